// Bounds on what a peer can make the parser hold (RFC 6120 13.12; XML-06).

/** All limits are the largest value still allowed, and are enforced while parsing. */
export interface XmlLimits {
  /** Bytes from `<` to `>` of a first-level element, the stream header or the XML declaration. */
  readonly stanzaBytes: number
  /** Nesting of elements; a first-level element has depth 1. */
  readonly depth: number
  /** Attributes of one element, namespace declarations apart. */
  readonly attributes: number
  /** Namespace declarations of one element. */
  readonly declarations: number
  /** Characters of a name, prefix and colon included. */
  readonly nameLength: number
  /** Elements and texts in one first-level element. */
  readonly nodes: number
}

/** For an authenticated stream. */
export const defaultLimits: XmlLimits = Object.freeze({
  stanzaBytes: 512 * 1024,
  depth: 64,
  attributes: 64,
  declarations: 64,
  nameLength: 256,
  nodes: 10_000,
})

/** Until the peer has proved its domain: nothing large needs saying before that (RFC 6120 13.12 asks for at least 10,000 bytes). */
export const unauthenticatedLimits: XmlLimits = Object.freeze({ ...defaultLimits, stanzaBytes: 10 * 1024 })

/**
 * Completes limits.
 * @param base complete, and found right
 * @throws RangeError for a limit that is not a positive integer
 */
export function withLimits(base: XmlLimits, changes: Partial<XmlLimits>): XmlLimits {
  // What is changed is looked at: an unusual stanza has a parser of its own, and the base was completed before.
  for (const name of Object.keys(changes) as (keyof XmlLimits)[]) {
    const limit = changes[name]
    if (!Number.isSafeInteger(limit) || limit! < 1) throw new RangeError(`XML limit ${name} is not a positive integer: ${limit}`)
  }
  return { ...base, ...changes }
}
