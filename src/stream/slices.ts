// Input in slices, where it is laborious: what one peer sends at once must not keep the loop from all others (RFC 6120 13.12;
// security.md 17). Ordinary stanzas never wait here.
import type { Clock } from "../ports.ts"

/** Octets that are looked at together, and where nothing was laborious for so many octets. */
export const partBytes = 1024
export const calmPartBytes = 16_384
const calmAfter = 131_072
/** So many elements that took the tree parser, and more, make what was looked at laborious, however they are cut up or padded... */
const many = 4
/** ...where they were not spread over more than so many octets each. */
const spread = 1024
/** Laborious parts are read for so long in one turn, ms; the rest has its turn later. */
const sliceMs = 4
/** Where rests are asked for: for so long, and at most so many octets, some two dozen claims. */
const shortMs = 1.5
export const sliceBytes = 4096
/** A connection without anything laborious for so long, ms, is in another turn. */
const silence = 0.5

export interface SlicesOptions {
  readonly clock: Pick<Clock, "after" | "monotonic">
  /** Reads one slice, and all that follows from it. */
  readonly read: (bytes: Buffer) => void
  readonly pause: () => void
  readonly resume: () => void
  /** Until the next slice, ms; 0: the next turn, since nothing is known against this peer, and slices as long as others can bear. */
  readonly rest?: (() => number) | undefined
}

export class Slices {
  readonly #options: SlicesOptions
  /** Copies of what the channel handed over and is not yet looked at: the octets themselves are ours only until we return. */
  readonly #held: Buffer[] = []
  #cancel: (() => void) | undefined
  /** Laborious elements, wearing off with the octets that come. */
  #elements = 0
  /** Octets of laborious parts since the last rest, and when the first of them came. */
  #laboured = 0
  #since = 0
  #last = 0
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
    else {
      // A silence as long as a rest is one.
      if (this.#laboured > 0 && this.#options.clock.monotonic() - this.#last > Math.max(silence, this.#rest)) this.#rested()
      this.#read(bytes)
    }
  }

  get #rest(): number {
    return this.#options.rest?.() ?? 0
  }

  #read(bytes: Buffer): void {
    const { clock, read } = this.#options
    for (let rest = bytes; rest.length > 0 && !this.#over; ) {
      const part = rest.subarray(0, this.#calm < calmAfter ? partBytes : calmPartBytes)
      rest = rest.subarray(part.length)
      // Never more than the next parts wear off: what follows may be ordinary.
      this.#elements = Math.min(2 * many, Math.max(0, this.#elements - part.length / spread))
      if (this.#laboured === 0) this.#since = clock.monotonic()
      read(part)
      if (this.#elements < many) {
        this.#calm += part.length
        continue
      }
      this.#calm = 0
      this.#laboured += part.length
      this.#last = clock.monotonic()
      const worked = this.#last - this.#since
      if (this.#rest === 0 ? worked < sliceMs : worked < shortMs && this.#laboured < sliceBytes) continue
      if (this.#over) return
      if (rest.length > 0) this.#held.unshift(Buffer.from(rest))
      return this.#later()
    }
  }

  #rested(): void {
    this.#laboured = 0
    this.#elements = 0
  }

  #later(): void {
    this.#rested()
    this.#options.pause()
    this.#cancel = this.#options.clock.after(this.#rest, () => {
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
