// The bytes of one destination, copied once: blocks that are filled front to back, and where each stanza in them ends.
// What was taken can be kept until a peer has acknowledged it (XEP-0198 4).
import { Buffer } from "node:buffer"

import { againBit, LengthRing, lengthBits } from "./length-ring.ts"

const noBytes = Buffer.alloc(0)
const smallestBlock = 1024
const largestBlock = 64 * 1024
/** Blocks of the largest size that wait to be filled again. */
const spareBlocks = 4

/** Blocks that `takeAll` gave away in part while something before that was kept, of all arenas. */
const handedOut = new WeakSet<Buffer>()

/** A stretch of a block that holds whole elements. */
export interface Stretch {
  readonly block: Buffer
  from: number
  to: number
  elements: number
}

/** An element as it was queued, cut out again. */
export interface Cut {
  readonly bytes: Buffer
  /** Written before and queued again. */
  readonly again: boolean
}

/**
 * What was appended and not taken, and before it what was taken and is kept. Bytes that were taken by `shift` are never
 * overwritten until `reuse` says that nobody reads them any more, and not while they are kept.
 */
export class Arena {
  #block: Buffer = noBytes
  #used = 0
  /** The stretch being filled, at the end of `#block`; not in `#stretches` yet. */
  #current: Stretch | undefined
  #stretches: Stretch[] = []
  /** Of what is kept, then of what is queued. */
  #lengths = new LengthRing()
  #bytes = 0
  #keptStretches: Stretch[] = []
  #kept = 0
  #keptBytes = 0
  /** Blocks of which nothing is kept any more, but which the channel may still read. */
  #drying: Buffer[] = []
  #spare: Buffer[] = []

  /** Bytes appended and not taken. */
  get bytes(): number {
    return this.#bytes
  }

  /** Elements appended and not taken. */
  get elements(): number {
    return this.#lengths.count - this.#kept
  }

  /** Elements taken and kept, and their bytes. */
  get kept(): number {
    return this.#kept
  }

  get keptBytes(): number {
    return this.#keptBytes
  }

  /** Bytes of memory held for what comes next. */
  get held(): number {
    return this.#block.length + (this.#drying.length + this.#spare.length) * largestBlock
  }

  /** Octets of the longest element appended and not taken. */
  get longest(): number {
    return this.#lengths.longest(this.#kept, this.elements)
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

  /** Appends an element that was written before: it is marked so. */
  appendAgain(bytes: Buffer): void {
    this.append(bytes, 0, bytes.length)
    this.#lengths.markLast()
  }

  /** @param length the size of `text` in UTF-8 */
  appendText(text: string, length: number): void {
    const to = this.#reserve(length)
    this.#block.write(text, to, length, "utf8")
  }

  /**
   * The first stretch; undefined when nothing is there.
   *
   * @param keep its elements stay until `acknowledge`; the caller must not change the stretch
   */
  shift(keep = false): Stretch | undefined {
    let stretch = this.#stretches.shift()
    if (stretch === undefined) {
      stretch = this.#current
      this.#current = undefined
    }
    if (stretch === undefined) return undefined
    const { elements } = stretch
    const bytes = stretch.to - stretch.from
    this.#bytes -= bytes
    if (!keep) {
      this.#lengths.drop(elements)
      return stretch
    }
    this.#kept += elements
    this.#keptBytes += bytes
    const last = this.#keptStretches.at(-1)
    if (last === undefined || last.block !== stretch.block || last.to !== stretch.from) {
      this.#keptStretches.push({ ...stretch })
    } else {
      last.to = stretch.to
      last.elements += elements
    }
    return stretch
  }

  /**
   * Puts bytes that are no element behind a stretch that was taken last.
   *
   * @returns whether there was room: then they lie in its block, at `stretch.to`
   */
  suffix(stretch: Stretch, bytes: Uint8Array): boolean {
    if (stretch.block !== this.#block || stretch.to !== this.#used || this.#used + bytes.length > this.#block.length) return false
    this.#block.set(bytes, this.#used)
    this.#used += bytes.length
    return true
  }

  /** @param count kept elements that need not be kept any more, the oldest; no more than `kept` */
  acknowledge(count: number): void {
    let left = count
    while (left > 0) {
      const first = this.#keptStretches[0]!
      if (left < first.elements) {
        const bytes = this.#lengths.sum(0, left)
        first.from += bytes
        first.elements -= left
        this.#unkeep(left, bytes)
        return
      }
      left -= first.elements
      this.#unkeep(first.elements, first.to - first.from)
      this.#keptStretches.shift()
      const next = this.#keptStretches[0] ?? this.#stretches[0]
      if (first.block !== (next?.block ?? this.#block)) this.#dry(first.block)
    }
  }

  /** Everything that was taken has been read: its room may be filled again, but for what is kept. Only while nothing is appended. */
  reuse(): void {
    if (this.#bytes > 0) return
    if (this.#kept === 0) this.#used = 0
    for (const block of this.#drying.splice(0)) if (this.#spare.length < spareBlocks) this.#spare.push(block)
  }

  /** Nothing is appended: a block of the smallest size is not kept for what may come. Thousands of destinations are idle. */
  rest(): void {
    if (this.#bytes > 0 || this.#block.length > smallestBlock) return
    this.#leave()
    this.#lengths.rest()
  }

  /** Somebody may read what was taken for as long as he likes: no block he was given is ever filled again. */
  abandon(): void {
    this.#leave()
    this.#drying = []
  }

  /** Lets go of memory kept for what comes next. */
  trim(): void {
    if (this.#bytes > 0) return
    this.#spare = []
    this.#drying = []
    this.#leave()
    if (this.#kept === 0) this.#lengths = new LengthRing()
  }

  /** Takes everything that was not taken; the elements are cut apart only as they are asked for. */
  takeAll(): Iterable<Cut> {
    this.#leave()
    const stretches = this.#stretches
    const lengths = this.#lengths
    this.#lengths = lengths.split(this.#kept)
    this.#stretches = []
    this.#bytes = 0
    // The first may lie behind what is kept: its block is not filled again when that is acknowledged.
    if (this.#kept > 0 && stretches[0] !== undefined) handedOut.add(stretches[0].block)
    return elementsOf(stretches, lengths)
  }

  /** Takes what is kept, the oldest first, as `takeAll`; what is queued stays. */
  takeKept(): Iterable<Cut> {
    const stretches = this.#keptStretches
    const lengths = this.#lengths.split(this.#kept)
    // Whoever is given them reads them when he likes.
    this.abandon()
    this.#keptStretches = []
    this.#kept = 0
    this.#keptBytes = 0
    return elementsOf(stretches, lengths)
  }

  #unkeep(elements: number, bytes: number): void {
    this.#lengths.drop(elements)
    this.#kept -= elements
    this.#keptBytes -= bytes
  }

  #dry(block: Buffer): void {
    if (!handedOut.has(block) && block.length === largestBlock && this.#drying.length < spareBlocks) this.#drying.push(block)
  }

  /** Nothing more is put into the block at hand. */
  #leave(): void {
    if (this.#current !== undefined) this.#stretches.push(this.#current)
    this.#current = undefined
    this.#block = noBytes
    this.#used = 0
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
    const spare = next === largestBlock && length <= next ? this.#spare.pop() : undefined
    // Not from the platform's pool, where one long-lived neighbour of a few bytes would keep 64 KiB alive.
    this.#block = spare ?? Buffer.allocUnsafeSlow(Math.max(next, length))
    this.#used = 0
  }
}

function* elementsOf(stretches: readonly Stretch[], lengths: LengthRing): Iterable<Cut> {
  for (const stretch of stretches) {
    let at = stretch.from
    while (at < stretch.to) {
      const written = lengths.shift()
      const length = written & lengthBits
      yield { bytes: stretch.block.subarray(at, at + length), again: written >= againBit }
      at += length
    }
  }
}
