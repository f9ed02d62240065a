// Character and entity references, checked byte by byte (XML 1.0 4.1; XML-01). `decode.ts` turns them into characters.
import { isXmlChar, nameClass, nameEnd, nameLead, nameStart } from "./chars.ts"
import type { Input } from "./input.ts"

const predefined = ["amp;", "lt;", "gt;", "quot;", "apos;"]

/** Reads one reference, however it is cut into chunks. */
export class ReferenceReader {
  readonly #input: Input
  /** First byte behind `&`, from the mark. */
  #start = 0
  /** 0 for an entity, else the base of the number. */
  #base = 0
  #digits = 0
  #point = 0

  constructor(input: Input) {
    this.#input = input
  }

  /** @param at position of `&` */
  begin(at: number): void {
    this.#start = at + 1 - this.#input.mark
    this.#base = this.#digits = this.#point = 0
    this.#input.pos = at + 1
  }

  /** Reads on; true behind the semicolon. */
  read(): boolean {
    const input = this.#input
    const first = input.mark + this.#start
    for (let at = input.pos; at < input.stop; at++) {
      const byte = input.bytes[at] as number
      input.pos = at + 1
      if (this.#base === 0 && at === first && byte === 0x23) this.#base = 10
      else if (this.#base === 0 ? this.#entity(byte, at, first) : this.#number(byte, at, first)) return true
    }
    return false
  }

  #number(byte: number, at: number, first: number): boolean {
    if (byte === 0x3b && this.#digits > 0) {
      if (!isXmlChar(this.#point)) throw this.#input.fault("not-well-formed", "a reference to a character that XML does not allow", at)
      return true
    }
    if (byte === 0x78 && at === first + 1) {
      this.#base = 16
      return false
    }
    const letter = (byte | 0x20) - 0x57
    const digit = byte >= 0x30 && byte <= 0x39 ? byte - 0x30 : this.#base === 16 && letter >= 10 && letter <= 15 ? letter : -1
    if (digit < 0) throw this.#input.misplaced(at)
    this.#digits = 1
    this.#point = this.#point * this.#base + digit
    if (this.#point > 0x10ffff) throw this.#input.fault("not-well-formed", "a reference to a character that XML does not allow", at)
    return false
  }

  /** XML-01 (RFC 6120 11.1): only the five predefined entities; refused at the byte where it can no longer become one of them. */
  #entity(byte: number, at: number, first: number): boolean {
    const { bytes } = this.#input
    const index = at - first
    for (const entity of predefined) {
      let same = 0
      while (same <= index && entity.charCodeAt(same) === bytes[first + same]) same++
      if (same > index) return same === entity.length
    }
    const kind = nameClass[byte]
    if (index === 0 ? kind === nameStart || kind === nameLead : byte === 0x3b || kind !== nameEnd)
      throw this.#input.fault("restricted-xml", "an entity other than the five predefined ones", at)
    throw this.#input.misplaced(at)
  }
}
