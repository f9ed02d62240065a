// The bytes one parser still needs and the bounds on them: everything after the last event, in one piece, so that tokens never have to be joined
// (RFC 6120 11.6 UTF-8; XML-03, XML-06).
import { Buffer } from "node:buffer"

import { badByte, characterLength, lead, malformed, notXml, textClass } from "./chars.ts"
import { type XmlCondition, XmlError } from "./errors.ts"
import type { XmlLimits } from "./limits.ts"

const empty = Buffer.alloc(0)
const smallest = 256

/**
 * Holds the bytes from the last event on. A chunk is used in place while it is being parsed; what is left unfinished is copied.
 * Positions kept elsewhere count from `mark`, which moves only between events, so they survive any moving of bytes.
 */
export class Input {
  bytes: Buffer = empty
  /** First byte after the last event. */
  mark = 0
  /** Next byte to parse. */
  pos = 0
  /** End of what has arrived. */
  end = 0
  /** End of what may be looked at now: of what has arrived, or of the size a first-level element may have. */
  stop = 0
  /** `<` of the first-level construct being read, from `mark`. */
  start = 0
  /** Offset in the stream of `bytes[0]`. */
  origin = 0
  limits: XmlLimits
  #borrowed = false

  constructor(limits: XmlLimits) {
    this.limits = limits
  }

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return
    const pending = this.end - this.mark
    if (pending === 0) {
      this.#adopt(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length), chunk.length)
      this.#borrowed = true
      return
    }
    if (this.#borrowed || this.end + chunk.length > this.bytes.length) {
      const fits = !this.#borrowed && pending + chunk.length <= this.bytes.length >>> 1
      // Room at least doubles whenever it grows: linear under a drip of single bytes.
      const target = fits ? this.bytes : Buffer.allocUnsafeSlow(Math.max(smallest, pending * 2, pending + chunk.length))
      this.bytes.copy(target, 0, this.mark, this.end)
      this.#adopt(target, pending)
      this.#borrowed = false
    }
    this.bytes.set(chunk, this.end)
    this.end += chunk.length
  }

  /** Stops using the caller's chunk: copies the unfinished rest, or lets go of everything. */
  settle(): void {
    const pending = this.end - this.mark
    if (pending === 0) this.#adopt(empty, 0)
    else if (this.#borrowed || (this.bytes.length > smallest && pending < this.bytes.length >>> 3)) {
      const target = Buffer.allocUnsafeSlow(Math.max(smallest, pending + (pending >>> 1)))
      this.bytes.copy(target, 0, this.mark, this.end)
      this.#adopt(target, pending)
    } else return
    this.#borrowed = false
  }

  /** A copy of everything after the last event. */
  rest(): Buffer {
    return Buffer.from(this.bytes.subarray(this.mark, this.end))
  }

  /** Sets `stop`; to be called when bytes, limits or the construct change. */
  measure(): void {
    this.stop = Math.min(this.end, this.mark + this.start + this.limits.stanzaBytes)
  }

  fault(condition: XmlCondition, detail: string, at: number): XmlError {
    return new XmlError(condition, detail, this.origin + at)
  }

  exceeded(what: string, limit: number, at: number): XmlError {
    return this.fault("policy-violation", `more than ${limit} ${what}`, at)
  }

  /** For a byte that does not fit the grammar where it stands. XML-03: one that is not UTF-8 at all is told apart. */
  misplaced(at: number): XmlError {
    if (textClass[this.bytes[at] as number] === badByte) return this.fault("unsupported-encoding", "bytes that are not UTF-8", at)
    return this.fault("not-well-formed", "a character that is not allowed here", at)
  }

  /** Length of the multi-byte character at `at`, 0 if `stop` cuts it; throws if it is none or not allowed in XML. */
  character(at: number): number {
    const { bytes } = this
    const first = bytes[at] as number
    // Two bytes are the usual case in many languages.
    if (first >= 0xc2 && first < 0xe0 && at + 1 < this.stop && ((bytes[at + 1] as number) & 0xc0) === 0x80) return 2
    if (textClass[first] !== lead) throw this.misplaced(at)
    const length = characterLength(bytes, at, this.stop)
    if (length === malformed) throw this.fault("unsupported-encoding", "bytes that are not UTF-8", at)
    if (length === notXml) throw this.fault("not-well-formed", "a character that XML does not allow", at)
    return length
  }

  /** Makes `bytes` the window; its first byte is the one now at `mark`. */
  #adopt(bytes: Buffer, end: number): void {
    this.origin += this.mark
    this.pos -= this.mark
    this.mark = 0
    this.bytes = bytes
    this.end = end
  }
}
