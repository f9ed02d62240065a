// The one error the XML folder throws, with the stream error condition that reports it (RFC 6120 4.9.3 and 11).

/** The stream error conditions (RFC 6120 4.9.3) an XML fault can map to. */
export type XmlCondition =
  | "not-well-formed"
  | "restricted-xml"
  | "unsupported-encoding"
  | "bad-namespace-prefix"
  | "invalid-xml"
  | "policy-violation"
  | "bad-format"

/**
 * A fault in XML that was read, or in a tree that was to be written.
 * The message never repeats what the peer sent: it may end in a log.
 */
export class XmlError extends Error {
  /** Stream error condition to close with (RFC 6120 4.9.3). */
  readonly condition: XmlCondition
  /** What is wrong, in words. */
  readonly detail: string
  /** Byte offset in the stream of the byte that decided; undefined when writing. */
  readonly offset: number | undefined

  constructor(condition: XmlCondition, detail: string, offset?: number) {
    super(`${condition}: ${detail}${offset === undefined ? "" : `, at byte ${offset}`}`)
    this.name = "XmlError"
    this.condition = condition
    this.detail = detail
    this.offset = offset
  }
}
