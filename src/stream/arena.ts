// The bytes of one destination, copied once: blocks that are filled front to back, and where each stanza in them ends.
import { Buffer } from "node:buffer"

const noBytes = Buffer.alloc(0)
const smallestBlock = 1024
const largestBlock = 64 * 1024

/** A stretch of a block that holds whole elements. */
export interface Stretch {
  readonly block: Buffer
  readonly from: number
  to: number
  elements: number
}

/** Lengths in the order of arrival; grows, never beyond what is queued. */
class LengthRing {
  #ring = new Uint32Array(8)
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

  drop(count: number): void {
    this.#head = (this.#head + count) & (this.#ring.length - 1)
    this.#count -= count
  }

  #grow(): void {
    const larger = new Uint32Array(this.#ring.length * 2)
    for (let index = 0; index < this.#count; index += 1) larger[index] = this.#ring[(this.#head + index) & (this.#ring.length - 1)]!
    this.#ring = larger
    this.#head = 0
  }
}

/**
 * What was appended and not taken. Bytes that were taken by `shift` are never overwritten until `reuse` says that nobody
 * reads them any more.
 */
export class Arena {
  #block = noBytes
  #used = 0
  /** The stretch being filled, at the end of `#block`; not in `#stretches` yet. */
  #current: Stretch | undefined
  #stretches: Stretch[] = []
  #lengths = new LengthRing()
  #bytes = 0

  /** Bytes appended and not taken. */
  get bytes(): number {
    return this.#bytes
  }

  /** Elements appended and not taken. */
  get elements(): number {
    return this.#lengths.count
  }

  /** Bytes of memory held for what comes next. */
  get held(): number {
    return this.#block.length
  }

  /** Copies `bytes[start..end)`, with `insert` put in at `insertAt`. */
  append(bytes: Buffer, start: number, end: number, insert?: Buffer, insertAt = start): void {
    const length = end - start + (insert?.length ?? 0)
    const to = this.#reserve(length)
    const block = this.#block
    if (insert === undefined) {
      bytes.copy(block, to, start, end)
    } else {
      bytes.copy(block, to, start, insertAt)
      insert.copy(block, to + insertAt - start)
      bytes.copy(block, to + insertAt - start + insert.length, insertAt, end)
    }
  }

  /** @param length the size of `text` in UTF-8 */
  appendText(text: string, length: number): void {
    const to = this.#reserve(length)
    this.#block.write(text, to, length, "utf8")
  }

  /** The first stretch, which is now the caller's; undefined when nothing is there. */
  shift(): Stretch | undefined {
    let stretch = this.#stretches.shift()
    if (stretch === undefined) {
      stretch = this.#current
      this.#current = undefined
    }
    if (stretch === undefined) return undefined
    this.#bytes -= stretch.to - stretch.from
    this.#lengths.drop(stretch.elements)
    return stretch
  }

  /** Everything that was taken has been read: its room may be filled again. Only while nothing is appended. */
  reuse(): void {
    if (this.#bytes === 0) this.#used = 0
  }

  /** Nothing is appended: a block of the smallest size is not kept for what may come. Thousands of destinations are idle. */
  rest(): void {
    if (this.#bytes === 0 && this.#block.length <= smallestBlock) this.abandon()
  }

  /** Somebody may read what was taken for as long as he likes: its block is never filled again. */
  abandon(): void {
    if (this.#current !== undefined) this.#stretches.push(this.#current)
    this.#current = undefined
    this.#block = noBytes
    this.#used = 0
  }

  /** Lets go of memory kept for what comes next. */
  trim(): void {
    if (this.#bytes > 0) return
    this.#block = noBytes
    this.#used = 0
    this.#lengths = new LengthRing()
  }

  /** Takes everything at once; the elements are cut apart only as they are asked for. */
  takeAll(): Iterable<Buffer> {
    const stretches = this.#stretches
    if (this.#current !== undefined) stretches.push(this.#current)
    const lengths = this.#lengths
    this.#stretches = []
    this.#current = undefined
    this.#bytes = 0
    this.#lengths = new LengthRing()
    this.#block = noBytes
    this.#used = 0
    return elementsOf(stretches, lengths)
  }

  /** Room for one element, in one piece; counts it. */
  #reserve(length: number): number {
    if (this.#used + length > this.#block.length) this.#nextBlock(length)
    const at = this.#used
    this.#used += length
    this.#bytes += length
    this.#lengths.push(length)
    const current = this.#current
    if (current === undefined) {
      this.#current = { block: this.#block, from: at, to: this.#used, elements: 1 }
    } else {
      current.to = this.#used
      current.elements += 1
    }
    return at
  }

  #nextBlock(length: number): void {
    if (this.#current !== undefined) this.#stretches.push(this.#current)
    this.#current = undefined
    // An idle destination costs nothing; one that fills its blocks gets larger ones.
    const next = Math.min(largestBlock, Math.max(smallestBlock, this.#block.length * 4))
    // Not from the platform's pool, where one long-lived neighbour of a few bytes would keep 64 KiB alive.
    this.#block = Buffer.allocUnsafeSlow(Math.max(next, length))
    this.#used = 0
  }
}

function* elementsOf(stretches: readonly Stretch[], lengths: LengthRing): Iterable<Buffer> {
  for (const stretch of stretches) {
    let at = stretch.from
    while (at < stretch.to) {
      const length = lengths.shift()
      yield stretch.block.subarray(at, at + length)
      at += length
    }
  }
}
