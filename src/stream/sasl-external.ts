// SASL EXTERNAL between servers, both halves (RFC 6120 6, RFC 4422 A, XEP-0178 3; EXT-01 to EXT-10).
import { ProtocolError } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import { attr, text, type XmlElement } from "../xml/element.ts"
import { escapeText } from "../xml/serialise.ts"
import type { XmlStream } from "./xml-stream.ts"

export type SaslFailure =
  | "aborted"
  | "encryption-required"
  | "incorrect-encoding"
  | "invalid-authzid"
  | "invalid-mechanism"
  | "malformed-request"
  | "not-authorized"
  | "temporary-auth-failure"

export type ExternalResult = { readonly accepted: true } | { readonly accepted: false; readonly condition: string; readonly words: string | undefined }

/** Initiating side. The identity is sent for the benefit of old servers (EXT-03). */
export function authXml(identity: string): string {
  return `<auth xmlns='${ns.sasl}' mechanism='EXTERNAL'>${Buffer.from(identity, "utf8").toString("base64")}</auth>`
}

/** Waits for success or failure; an empty challenge is answered with an empty response (EXT-04). */
export async function awaitExternal(stream: XmlStream, signal: AbortSignal): Promise<ExternalResult> {
  // At most one challenge: EXTERNAL has no more to ask.
  for (let challenges = 0; challenges <= 1; challenges++) {
    const answer = await stream.element(signal)
    if (answer.ns !== ns.sasl) throw new ProtocolError("bad-format", `<${answer.name}/> in answer to <auth/>`)
    if (answer.name === "success") return { accepted: true }
    if (answer.name === "failure") return readFailure(answer)
    if (answer.name !== "challenge") break
    stream.send(`<response xmlns='${ns.sasl}'>=</response>`)
  }
  throw new ProtocolError("bad-format", "no success and no failure in answer to <auth/>")
}

function readFailure(failure: XmlElement): ExternalResult {
  // An unknown condition counts as not-authorized (EXT-07).
  let condition = "not-authorized"
  let words: string | undefined
  for (const node of failure.children) {
    if (typeof node === "string") continue
    if (node.name === "text") words = text(node).slice(0, 500)
    else condition = node.name
  }
  return { accepted: false, condition, words }
}

export type AuthRequest =
  | { readonly kind: "identity"; readonly authzid: string }
  | { readonly kind: "challenge" }
  | { readonly kind: "failure"; readonly condition: SaslFailure }

export function isAuth(element: XmlElement): boolean {
  return element.ns === ns.sasl && element.name === "auth"
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Receiving side: what `<auth/>` asks for. An empty authzid means the stream's own `from`. */
export function readAuth(element: XmlElement): AuthRequest {
  if (attr(element, "mechanism") !== "EXTERNAL") return { kind: "failure", condition: "invalid-mechanism" }
  const encoded = text(element)
  if (encoded === "") return { kind: "challenge" }
  return readResponseText(encoded)
}

/** The answer to an empty challenge. */
export function readResponse(element: XmlElement): AuthRequest {
  if (element.ns !== ns.sasl) return { kind: "failure", condition: "malformed-request" }
  if (element.name === "abort") return { kind: "failure", condition: "aborted" }
  if (element.name !== "response") return { kind: "failure", condition: "malformed-request" }
  const encoded = text(element)
  return encoded === "" ? { kind: "identity", authzid: "" } : readResponseText(encoded)
}

function readResponseText(encoded: string): AuthRequest {
  // A zero-length response is a single `=`; anything else is strict Base64 (EXT-05, RFC 6120 13.9.1).
  if (encoded === "=") return { kind: "identity", authzid: "" }
  if (!base64.test(encoded)) return { kind: "failure", condition: "incorrect-encoding" }
  return { kind: "identity", authzid: Buffer.from(encoded, "base64").toString("utf8") }
}

export const successXml = `<success xmlns='${ns.sasl}'/>`
export const challengeXml = `<challenge xmlns='${ns.sasl}'/>`

export function failureXml(condition: SaslFailure, words?: string): string {
  const said = words === undefined ? "" : `<text xml:lang='en'>${escapeText(words)}</text>`
  return `<failure xmlns='${ns.sasl}'><${condition}/>${said}</failure>`
}
