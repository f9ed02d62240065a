// The authoritative role: answering `db:verify` for hosted domains (XEP-0220 2.2.2; DB-20, DB-23 to DB-25).
import type { Hosting } from "./contract.ts"
import { type DialbackElement, type KeyRing, verifyAnswerXml } from "./dialback.ts"

/**
 * The answer to one `db:verify` request, on an authenticated or unauthenticated stream alike.
 *
 * @returns XML to send, or undefined when the request cannot even be answered (no id)
 */
export function answerVerify(request: DialbackElement, hosting: Hosting, keys: KeyRing): { xml: string; answer: "valid" | "invalid" | "error" } | undefined {
  if (request.id === undefined || request.id === "") return undefined
  const asked = { from: request.from, to: request.to, id: request.id }
  // An unknown `to` is an error of the request, never of the stream (DB-20, DB-23).
  if (!hosting.hosts(request.to)) return { xml: verifyAnswerXml(asked, "error", { condition: "item-not-found" }), answer: "error" }
  const answer = keys.vouches({ sender: request.to, target: request.from }, request.id, request.key) ? "valid" : "invalid"
  return { xml: verifyAnswerXml(asked, answer), answer }
}
