// What an outlet keeps of what it has written, until the peer has acknowledged it, and how it gives that back
// (XEP-0198 4; SM-3, SM-7).
import type { Buffer } from "node:buffer"

import type { Cut } from "./arena.ts"

/** What the outlets of one peer keep until it is acknowledged. */
export interface RetainedPart {
  /** Nothing more is to be kept for now. */
  readonly full: boolean
  change(bytes: number): void
}

/**
 * Octets that all outlets together keep until they are acknowledged. Each peer has a part: whoever acknowledges nothing
 * fills his own, and when all together is full everybody still has an even share, so that nobody waits for another's answer.
 * Beyond the limit it grows with the logarithm of the number of peers that fill their parts.
 */
export class RetainedLoad {
  readonly #limit: number
  readonly #limitOfPart: number
  /** Of peers that owe acknowledgements. */
  readonly #parts = new Map<string, number>()
  #bytes = 0

  /** @param limitOfPart octets of one peer, however little the others keep */
  constructor(limit: number, limitOfPart = limit) {
    this.#limit = limit
    this.#limitOfPart = limitOfPart
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @param peer whose outlets count together */
  part(peer: string): RetainedPart {
    return new PartOfLoad(this, peer)
  }

  full(peer: string): boolean {
    const part = this.#parts.get(peer) ?? 0
    return part >= this.#limitOfPart || (this.#bytes >= this.#limit && part >= this.#limit / this.#parts.size)
  }

  change(peer: string, bytes: number): void {
    this.#bytes += bytes
    const part = (this.#parts.get(peer) ?? 0) + bytes
    if (part === 0) this.#parts.delete(peer)
    else this.#parts.set(peer, part)
  }
}

/** A class, since each stream has one: an object with a getter of its own would cost half a kilobyte. */
class PartOfLoad implements RetainedPart {
  readonly #load: RetainedLoad
  readonly #peer: string

  constructor(load: RetainedLoad, peer: string) {
    this.#load = load
    this.#peer = peer
  }

  get full(): boolean {
    return this.#load.full(this.#peer)
  }

  change(bytes: number): void {
    this.#load.change(this.#peer, bytes)
  }
}

/** How what is written is kept on a stream whose peer acknowledges it. */
export interface Retention {
  /** Octets kept: from here on nothing more is written until some are acknowledged. One write is always let through. */
  readonly limit: number
  /** While it is full, an outlet that keeps something writes nothing more. */
  readonly load?: RetainedPart
  /**
   * Asked at each write.
   *
   * @param pausing nothing more can be written for now
   * @returns a request for an acknowledgement, which goes with the write and is no stanza
   */
  request(pausing: boolean): Uint8Array | undefined
}

/** A stanza that comes back from an outlet whose stream is over. */
export interface Taken {
  readonly stanza: Buffer
  /** How often it was written to a stream, with no acknowledgement. It is sent again once (2 is bounced). */
  readonly writes: 0 | 1 | 2
}

/** The stanzas alone. */
export function* stanzasOf(cuts: Iterable<Cut>): Iterable<Buffer> {
  for (const { bytes } of cuts) yield bytes
}

/**
 * Stanzas with their history.
 *
 * @param once how often those were written that are not marked
 */
export function* writtenTo(cuts: Iterable<Cut>, once: 0 | 1): Iterable<Taken> {
  for (const { bytes, again } of cuts) yield { stanza: bytes, writes: again ? (once === 0 ? 1 : 2) : once }
}

/** All of one, then all of the other. */
export function* oneAfterOther(first: Iterable<Taken>, second: Iterable<Taken>): Iterable<Taken> {
  yield* first
  yield* second
}
