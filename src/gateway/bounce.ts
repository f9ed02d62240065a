// Stanza errors that go back to the sender (RFC 6120 8.3, 10.4.3; CORE-07): which stanzas are answered, and with what.
import type { StanzaErrorCondition } from "../model/errors.ts"
import { type ContentNamespace, ns } from "../model/namespaces.ts"
import { attr, element, type XmlElement } from "../xml/element.ts"
import { parseAccepted } from "../federation/canonical.ts"
import { serialise } from "../xml/serialise.ts"
import type { OutgoingFailure } from "../federation/contract.ts"
import { findingSentence } from "../model/findings.ts"

/** RFC 6120 8.3.2: what the sender may do about it. */
export type BounceType = "auth" | "cancel" | "continue" | "modify" | "wait"

export interface BounceReason {
  readonly condition: StanzaErrorCondition
  readonly type: BounceType
  /** For people; English. */
  readonly text: string
  /** Whose rule it is: ours, unless it is the peer's; then we do not sign it (LIM-2). */
  readonly rule?: "peer"
}

/** RFC 6120 8.3.3 in the cases the gateway meets by itself. */
export const bounceReasons = {
  componentAway: { condition: "remote-server-timeout", type: "wait", text: "Component unavailable" },
  full: { condition: "resource-constraint", type: "wait", text: "Too much is waiting for this destination" },
  malformed: { condition: "jid-malformed", type: "modify", text: "The address is not a valid JID" },
  unwritable: { condition: "not-acceptable", type: "modify", text: "The stanza cannot be passed on" },
  broken: { condition: "remote-server-timeout", type: "wait", text: "The connection to the server was lost" },
  stopping: { condition: "remote-server-timeout", type: "wait", text: "This server is shutting down" },
  gone: { condition: "service-unavailable", type: "cancel", text: "This domain is not served here any more" },
  unconfirmed: { condition: "remote-server-timeout", type: "wait", text: "The connection to the server was lost twice; whether the stanza arrived is not known" },
  tooLarge: { condition: "policy-violation", type: "modify", text: "The stanza is larger than the other server accepts", rule: "peer" },
  crowded: { condition: "resource-constraint", type: "wait", text: "Too many destinations at once" },
} as const satisfies Record<string, BounceReason>

/** CORE-07: no such server is remote-server-not-found (cancel); no stream to it is remote-server-timeout (wait). */
export function bounceOfFailure(failure: Pick<OutgoingFailure, "kind" | "finding" | "detail">): BounceReason {
  const text = findingSentence(failure.finding, failure.detail)
  if (failure.kind === "not-found") return { condition: "remote-server-not-found", type: "cancel", text }
  // DB-10: a key of ours that our own server disowned is a fault of ours.
  if (failure.kind === "rejected") return { condition: "internal-server-error", type: "cancel", text }
  return { condition: "remote-server-timeout", type: "wait", text }
}

/**
 * Whether a stanza that cannot be delivered is answered. RFC 6120 8.3.1: an error never is; 8.2.3: nor is the answer to a
 * request. Somebody's going offline is nobody's question (RFC 6121 4.5).
 */
export function isAnswered(kind: string, type: string | undefined): boolean {
  if (type === "error") return false
  if (kind === "iq") return type === "get" || type === "set"
  if (kind === "presence") return type !== "unavailable"
  return kind === "message"
}

/**
 * The error stanza, or undefined where none is sent.
 *
 * @param stanza as received
 * @param by the domain that says so
 * @param to the content namespace of the stream it leaves on
 */
export function bounceXml(stanza: XmlElement, reason: BounceReason, by: string, to: ContentNamespace): string | undefined {
  if (!isAnswered(stanza.name, attr(stanza, "type"))) return undefined
  const back = element(stanza.name, to, { from: attr(stanza, "to"), to: attr(stanza, "from"), id: attr(stanza, "id"), type: "error" }, [
    element("error", to, { type: reason.type, by: reason.rule === "peer" ? undefined : by }, [
      element(reason.condition, ns.stanzaErrors),
      element("text", ns.stanzaErrors, { "xml:lang": "en" }, [reason.text.slice(0, 500)]),
    ]),
  ])
  return serialise(back, { defaultNs: to })
}

/** Prefixes of the headers we send, which stanzas copied as bytes cannot use, but trees may have. */
const prefixes: readonly (readonly [string, string])[] = [
  ["stream", ns.streams],
  ["db", ns.dialback],
]

/**
 * Reads a stanza again that was queued as bytes.
 *
 * @param content the content namespace of the stream it was to leave on
 */
export function parseQueued(bytes: Uint8Array, content: ContentNamespace): XmlElement {
  return parseAccepted([bytes], [["", content], ...prefixes])
}
