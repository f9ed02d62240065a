// Input in slices, where it is laborious: what one peer sends at once must not keep the loop from all others (RFC 6120 13.12;
// security.md 17). Ordinary stanzas never wait here.
import type { Clock } from "../ports.ts"

/** Octets of one slice: some two dozen claims, or a millisecond of work. */
export const sliceBytes = 4096
/** A slice with so many elements that took the tree parser and more was laborious: the rest has its turn later. */
const many = 16
/** After so many slices that were not, input is read as it comes. */
const calmAfter = 32
export interface SlicesOptions {
  readonly clock: Pick<Clock, "after">
  /** Reads one slice, and all that follows from it. */
  readonly read: (bytes: Buffer) => void
  readonly pause: () => void
  readonly resume: () => void
  /** Until the next slice, ms; 1, the shortest a timer can do, where nothing is said. */
  readonly rest?: (() => number) | undefined
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

  /** An element came that is more work than an ordinary stanza. */
  laborious(): void {
    this.#elements += 1
  }

  chunk(bytes: Buffer): void {
    if (this.#over) return
    // What came behind in the same turn waits as well: order is kept.
    if (this.#cancel !== undefined) this.#held.push(Buffer.from(bytes))
    else this.#read(bytes)
  }

  #read(bytes: Buffer): void {
    for (let rest = bytes; rest.length > 0 && !this.#over; ) {
      const part = this.#calm < calmAfter ? rest.subarray(0, sliceBytes) : rest
      rest = rest.subarray(part.length)
      this.#elements = 0
      this.#options.read(part)
      if (this.#elements < many) this.#calm += 1
      else {
        this.#calm = 0
        if (this.#over) return
        if (rest.length > 0) this.#held.unshift(Buffer.from(rest))
        return this.#later()
      }
    }
  }

  #later(): void {
    this.#options.pause()
    this.#cancel = this.#options.clock.after(this.#options.rest?.() ?? 1, () => {
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
