// Input in slices, where it is laborious: what one peer sends at once must not keep the loop from all others (RFC 6120 13.12;
// security.md 17). Ordinary stanzas never wait here.
import type { Clock } from "../ports.ts"

/** Octets of one slice: some two dozen claims, or a millisecond of work. */
export const sliceBytes = 4096
/** And where nothing was laborious for so many octets; larger than a slice has to be, smaller than what one read can bring. */
export const calmSliceBytes = 16_384
const calmAfter = 131_072
/** So many elements that took the tree parser and more were laborious, however they were cut up or padded: the rest has its turn later... */
const many = 16
/** ...where they were not spread over more than so many octets each. */
const spread = 1024
/** Until the next turn, ms: the shortest a timer can do. */
const turn = 1

export interface SlicesOptions {
  readonly clock: Pick<Clock, "after">
  /** Reads one slice, and all that follows from it. */
  readonly read: (bytes: Buffer) => void
  readonly pause: () => void
  readonly resume: () => void
}

export class Slices {
  readonly #options: SlicesOptions
  /** Copies of what the channel handed over and is not yet looked at: the octets themselves are ours only until we return. */
  readonly #held: Buffer[] = []
  #cancel: (() => void) | undefined
  #elements = 0
  #calm = 0
  #over = false

  constructor(options: SlicesOptions) {
    this.#options = options
  }

  /**
   * An element came that is more work than an ordinary stanza.
   *
   * @param part of the work of a claim
   */
  laborious(part = 1): void {
    this.#elements += part
  }

  chunk(bytes: Buffer): void {
    if (this.#over || bytes.length === 0) return
    // What came behind in the same turn waits as well: order is kept.
    if (this.#cancel !== undefined) this.#held.push(Buffer.from(bytes))
    else this.#read(bytes)
  }

  #read(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0 && !this.#over; ) {
      const part = rest.subarray(0, this.#calm < calmAfter ? sliceBytes : calmSliceBytes)
      rest = rest.subarray(part.length)
      this.#elements = Math.max(0, this.#elements - part.length / spread)
      this.#options.read(part)
      if (this.#elements < many) this.#calm += part.length
      else {
        this.#calm = 0
        this.#elements = 0
        if (this.#over) return
        if (rest.length > 0) this.#held.unshift(Buffer.from(rest))
        return this.#later()
      }
    }
  }

  #later(): void {
    this.#options.pause()
    this.#cancel = this.#options.clock.after(turn, () => {
      this.#cancel = undefined
      while (this.#cancel === undefined && this.#held.length > 0 && !this.#over) this.#read(this.#held.shift()!)
      this.#options.resume()
    })
  }

  /** Nothing more will come: what is held is read at once. */
  finish(): void {
    this.#cancel?.()
    this.#cancel = undefined
    for (const bytes of this.#held.splice(0)) if (!this.#over) this.#options.read(bytes)
    this.stop()
  }

  /** What is held is of no use any more. */
  stop(): void {
    this.#over = true
    this.#cancel?.()
    this.#cancel = undefined
    this.#held.length = 0
  }
}
