// Where the stanzas in an arena end: their lengths in order of arrival, each with a mark (XEP-0198 4).

/** The bit of a length that says `again`; no element is that long. */
export const againBit = 0x8000_0000
export const lengthBits = 0x7fff_ffff

/** Shared by all that are empty: thousands of destinations are idle. */
const noLengths = new Uint32Array(0)
const smallest = 8

/** Lengths in the order of arrival; grows, never beyond what is queued and kept. */
export class LengthRing {
  #ring = noLengths
  #head = 0
  #count = 0

  get count(): number {
    return this.#count
  }

  push(length: number): void {
    if (this.#count === this.#ring.length) this.#grow()
    this.#ring[(this.#head + this.#count) & (this.#ring.length - 1)] = length
    this.#count += 1
  }

  shift(): number {
    const length = this.#ring[this.#head]!
    this.drop(1)
    return length
  }

  /** Octets of `count` elements, from the oldest `skipped` on. */
  sum(skipped: number, count: number): number {
    let octets = 0
    const mask = this.#ring.length - 1
    for (let index = skipped; index < skipped + count; index += 1) octets += this.#ring[(this.#head + index) & mask]! & lengthBits
    return octets
  }

  /** The longest of `count` elements, from the oldest `skipped` on. */
  longest(skipped: number, count: number): number {
    let longest = 0
    const mask = this.#ring.length - 1
    for (let index = skipped; index < skipped + count; index += 1) longest = Math.max(longest, this.#ring[(this.#head + index) & mask]! & lengthBits)
    return longest
  }

  /** Marks the newest. */
  markLast(): void {
    const at = (this.#head + this.#count - 1) & (this.#ring.length - 1)
    this.#ring[at] = (this.#ring[at]! | againBit) >>> 0
  }

  /** Takes the oldest `count` out, as a ring of their own. */
  split(count: number): LengthRing {
    const apart = new LengthRing()
    for (let index = 0; index < count; index += 1) apart.push(this.shift())
    return apart
  }

  drop(count: number): void {
    this.#head = (this.#head + count) & (this.#ring.length - 1)
    this.#count -= count
  }

  /** Nothing is in it: it keeps no memory of the smallest size for what may come. */
  rest(): void {
    if (this.#count > 0 || this.#ring.length > smallest) return
    this.#ring = noLengths
    this.#head = 0
  }

  #grow(): void {
    const larger = new Uint32Array(Math.max(smallest, this.#ring.length * 2))
    for (let index = 0; index < this.#count; index += 1) larger[index] = this.#ring[(this.#head + index) & (this.#ring.length - 1)]!
    this.#ring = larger
    this.#head = 0
  }
}
