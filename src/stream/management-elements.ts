// The elements of stream management, read strictly and written (XEP-0198 2 to 6; SM-1 to SM-6). `location` is never read
// (security.md 12): where a stream is resumed is found as for any stream.
import { ProtocolError } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import { attr, child, elements, type XmlElement } from "../xml/element.ts"
import { escapeAttribute } from "../xml/serialise.ts"

export type ManagementElement =
  | { readonly kind: "enable"; readonly resume: boolean; readonly max: number | undefined }
  /** `id` only where the stream can be resumed. */
  | { readonly kind: "enabled"; readonly id: string | undefined; readonly max: number | undefined }
  | { readonly kind: "resume"; readonly id: string; readonly h: number }
  | { readonly kind: "resumed"; readonly id: string; readonly h: number }
  | { readonly kind: "failed"; readonly condition: string; readonly h: number | undefined }
  | { readonly kind: "request" }
  | { readonly kind: "answer"; readonly h: number }

/** The longest name of a session that is kept, in characters; a peer that gives a longer one is not resumed with. */
const longestId = 1024

/**
 * @throws ProtocolError `bad-format` for an attribute that is missing or not of its type, `unsupported-stanza-type` for an unknown element
 */
export function readManagement(element: XmlElement): ManagementElement {
  switch (element.name) {
    case "enable":
      return { kind: "enable", resume: isTrue(element, "resume"), max: counter(element, "max") }
    case "enabled": {
      const id = attr(element, "id")
      const resumable = isTrue(element, "resume") && id !== undefined && id !== "" && id.length <= longestId
      return { kind: "enabled", id: resumable ? id : undefined, max: counter(element, "max") }
    }
    case "resume":
      return { kind: "resume", id: required(element, "previd"), h: handled(element) }
    case "resumed":
      return { kind: "resumed", id: required(element, "previd"), h: handled(element) }
    case "failed":
      return { kind: "failed", condition: elements(element).find((each) => each.ns === ns.stanzaErrors)?.name ?? "undefined-condition", h: counter(element, "h") }
    case "r":
      return { kind: "request" }
    case "a":
      return { kind: "answer", h: handled(element) }
    default:
      throw new ProtocolError("unsupported-stanza-type", `<${element.name}/> of stream management`)
  }
}

/** Whether stream features offer what we speak (SM-1). */
export function offersManagement(features: XmlElement): boolean {
  return child(features, "sm", ns.sm) !== undefined
}

/** xs:boolean. */
function isTrue(element: XmlElement, name: string): boolean {
  const written = attr(element, name)
  if (written === undefined || written === "false" || written === "0") return false
  if (written === "true" || written === "1") return true
  throw malformed(element, name)
}

function required(element: XmlElement, name: string): string {
  const written = attr(element, name)
  if (written === undefined || written === "") throw malformed(element, name)
  return written
}

/** xs:unsignedInt (SM-3). */
function counter(element: XmlElement, name: string): number | undefined {
  const written = attr(element, name)
  if (written === undefined) return undefined
  const value = /^[0-9]{1,10}$/.test(written) ? Number(written) : Number.NaN
  if (!(value < 2 ** 32)) throw malformed(element, name)
  return value
}

function handled(element: XmlElement): number {
  const h = counter(element, "h")
  if (h === undefined) throw malformed(element, "h")
  return h
}

function malformed(element: XmlElement, name: string): ProtocolError {
  return new ProtocolError("bad-format", `<${element.name}/> of stream management without a proper \`${name}\``)
}

export const managementFeature = `<sm xmlns='${ns.sm}'/>`
export const requestXml = `<r xmlns='${ns.sm}'/>`

export function answerXml(h: number): string {
  return `<a xmlns='${ns.sm}' h='${h}'/>`
}

/** @param max seconds; undefined: the stream shall not be resumable */
export function enableXml(max: number | undefined): string {
  return max === undefined ? `<enable xmlns='${ns.sm}'/>` : `<enable xmlns='${ns.sm}' resume='true' max='${max}'/>`
}

/** @param session undefined: the stream is not resumable */
export function enabledXml(session: { readonly id: string; readonly max: number } | undefined): string {
  return session === undefined ? `<enabled xmlns='${ns.sm}'/>` : `<enabled xmlns='${ns.sm}' id='${escapeAttribute(session.id)}' resume='true' max='${session.max}'/>`
}

export function resumeXml(id: string, h: number): string {
  return `<resume xmlns='${ns.sm}' previd='${escapeAttribute(id)}' h='${h}'/>`
}

export function resumedXml(id: string, h: number): string {
  return `<resumed xmlns='${ns.sm}' previd='${escapeAttribute(id)}' h='${h}'/>`
}

export function failedXml(condition: "unexpected-request" | "item-not-found" | "feature-not-implemented"): string {
  return `<failed xmlns='${ns.sm}'><${condition} xmlns='${ns.stanzaErrors}'/></failed>`
}

/** SM-5: the peer answers for more than it was sent. */
export function tooHigh(h: number, sent: number): ProtocolError {
  return new ProtocolError("undefined-condition", `the peer says it handled ${h} stanzas of ${sent}`, {
    application: `<handled-count-too-high xmlns='${ns.sm}' h='${h}' send-count='${sent}'/>`,
  })
}
