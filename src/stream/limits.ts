// Stream limits, said and heard (XEP-0478; LIM-1, LIM-2; BIDI-9): in stream features, and by a connector inside `<bidi/>`.
import { ns } from "../model/namespaces.ts"
import { child, text, type XmlElement } from "../xml/element.ts"

/** What one side of a stream accepts from the other. Both parts may be missing. */
export interface PeerLimits {
  /** Octets of one first-level element. */
  readonly maxBytes: number | undefined
  /** s without traffic after which a stream may be closed. */
  readonly idleSeconds: number | undefined
}

export const noLimits: PeerLimits = { maxBytes: undefined, idleSeconds: undefined }

/** Of a stream's idle time as the peer has it, what we use: ours ends first, so that no stanza meets the peer's end. */
const idleShare = 0.8
/** The shortest idle time that is honoured, ms: below it a stream would be closed under its own traffic. */
const shortestIdleMs = 5000

/**
 * What we enforce, as an element; the empty string where we say nothing.
 *
 * @param limits those that hold for stanzas: what is announced before authentication must still be true after it, since
 * with dialback no further features follow
 */
export function limitsXml({ maxBytes, idleSeconds }: PeerLimits): string {
  const bytes = maxBytes === undefined ? "" : `<max-bytes>${maxBytes}</max-bytes>`
  const idle = idleSeconds === undefined ? "" : `<idle-seconds>${idleSeconds}</idle-seconds>`
  return bytes + idle === "" ? "" : `<limits xmlns='${ns.limits}'>${bytes}${idle}</limits>`
}

/** @param parent stream features, or `<bidi/>`. What is no positive whole number counts as not said. */
export function readLimits(parent: XmlElement): PeerLimits {
  const limits = child(parent, "limits", ns.limits)
  if (limits === undefined) return noLimits
  return { maxBytes: whole(limits, "max-bytes"), idleSeconds: whole(limits, "idle-seconds") }
}

function whole(limits: XmlElement, name: string): number | undefined {
  const element = child(limits, name, ns.limits)
  const written = element === undefined ? "" : text(element).trim()
  const value = /^[0-9]{1,15}$/.test(written) ? Number(written) : 0
  return value > 0 ? value : undefined
}

/** How long a stream to a peer stays open without traffic, ms: as long as we wish, but shorter than the peer lets it be. */
export function idleWithin(ours: number, { idleSeconds }: PeerLimits): number {
  return idleSeconds === undefined ? ours : Math.min(ours, Math.max(shortestIdleMs, idleSeconds * 1000 * idleShare))
}
