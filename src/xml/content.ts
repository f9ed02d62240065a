// Character data inside elements: text, CDATA sections, references (XML 1.0 2.4, 2.7, 2.11).
import { ampersand, greater, incomplete, less, space, textClass } from "./chars.ts"
import { decodeText } from "./decode.ts"
import type { Input } from "./input.ts"
import type { ReferenceReader } from "./reference.ts"

const inText = 0
const inReference = 1
const inCdata = 2

/** Reads the character data between two tags as one text. */
export class ContentReader {
  readonly #input: Input
  readonly #reference: ReferenceReader
  #state = inText
  /** Where the text starts, from the mark; -1 if there is none. */
  #start = -1
  /** It has multi-byte characters; it has something to decode. */
  #wide = false
  #coded = false

  constructor(input: Input, reference: ReferenceReader) {
    this.#input = input
    this.#reference = reference
  }

  /** Whether character data has been read since the last tag. */
  get started(): boolean {
    return this.#start >= 0
  }

  /** @param at position of the first byte, which may be the `<` of a CDATA section */
  begin(at: number): void {
    this.#start = at - this.#input.mark
    this.#wide = this.#coded = false
  }

  /** Continues behind `<![CDATA[`. */
  enterCdata(): void {
    this.#coded = true
    this.#state = inCdata
  }

  /** Reads on; true if `pos` is at a `<`. */
  read(): boolean {
    for (;;) {
      if (this.#state === inReference) {
        if (!this.#reference.read()) return false
        this.#state = inText
      } else if (this.#state === inCdata) {
        if (!this.#readCdata()) return false
        this.#state = inText
      }
      if (!this.#readText()) return false
      if (this.#state === inText) return true
    }
  }

  /** The text before the tag that starts at `end`; '' if there is none. */
  take(end: number): string {
    if (this.#start < 0) return ""
    const { bytes, mark } = this.#input
    const start = mark + this.#start
    this.#start = -1
    return this.#coded ? decodeText(bytes, start, end) : bytes.toString(this.#wide ? "utf8" : "latin1", start, end)
  }

  /** True at a `<`, or at the start of a reference. */
  #readText(): boolean {
    const input = this.#input
    const { bytes, stop } = input
    let at = input.pos
    for (;;) {
      while (at < stop && textClass[bytes[at] as number] === 0) at++
      input.pos = at
      if (at >= stop) return false
      switch (textClass[bytes[at] as number]) {
        case less:
          return true
        case ampersand:
          this.#coded = true
          this.#reference.begin(at)
          this.#state = inReference
          return true
        case greater:
          // XML 1.0 2.4: the end of a CDATA section does not stand in text. At least `<x>` precedes, so both indices exist.
          if (bytes[at - 1] === 0x5d && bytes[at - 2] === 0x5d)
            throw input.fault("not-well-formed", "the end of a CDATA section in text", at)
          at++
          break
        case space:
          this.#coded = true
          at++
          break
        default: {
          const length = input.character(at)
          if (length === incomplete) return false
          this.#wide = true
          at += length
        }
      }
    }
  }

  /** True behind `]]>`. */
  #readCdata(): boolean {
    const input = this.#input
    const { bytes, stop } = input
    let at = input.pos
    for (;;) {
      let kind = 0
      while (
        at < stop &&
        ((kind = textClass[bytes[at] as number] as number) === 0 || kind === less || kind === ampersand || kind === space)
      )
        at++
      input.pos = at
      if (at >= stop) return false
      if (kind === greater) {
        at++
        // `[` precedes the section's first byte, so brackets before it are never taken for its end.
        if (bytes[at - 2] !== 0x5d || bytes[at - 3] !== 0x5d) continue
        input.pos = at
        return true
      }
      const length = input.character(at)
      if (length === incomplete) return false
      at += length
    }
  }
}
