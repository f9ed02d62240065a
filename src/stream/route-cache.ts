// From the two domains of a stanza, as written, to what the receiver found out about that pair: one look into one table of
// numbers and one stretch of bytes, since ten thousand pairs on one stream do not fit into a processor's cache as objects.
import { Buffer } from "node:buffer"

import type { StanzaView } from "../xml/cutter.ts"

/** Numbers of one place: hash, where the bytes are, octets of `from`, octets of both. */
const width = 4
const smallestTable = 8
const seed = 0x1c9dc5
/** Places that are looked at before a pair counts as not kept: names that are made to collide cost their stream no more. */
const longestSearch = 64

/** Shared by all that keep nothing: most streams bring nothing in, or one pair. */
const noBytes = Buffer.alloc(0)
const noTable = new Int32Array(0)

/** FNV-1a. */
function hashBytes(bytes: Uint8Array, start: number, end: number, hash: number): number {
  let mixed = hash
  for (let index = start; index < end; index += 1) mixed = Math.imul(mixed ^ bytes[index]!, 0x01000193)
  return mixed
}

/** The low bits of FNV-1a alone depend on the low bits of what was hashed; 0 means an empty place. */
function finished(hash: number): number {
  return (hash ^ (hash >>> 15)) | 0x40000000
}

/**
 * Everything is forgotten when the epoch changes (the ledger, the configuration or the set of outlets changed) and when too
 * many pairs are kept.
 */
export class RouteCache<Entry> {
  readonly #capacity: number
  #epoch = -1
  /** Most stanzas come in runs for one pair, and most streams carry one pair only. */
  #lastEntry: Entry | undefined
  #lastAt = 0
  #lastFrom = 0
  #lastBoth = -1
  #bytes = noBytes
  #used = 0
  #table = noTable
  #entries: (Entry | undefined)[] = []
  #kept = 0

  /** @param capacity pairs kept at most */
  constructor(capacity = 20_000) {
    this.#capacity = capacity
  }

  /** What `keep` was given for these two domains in the same epoch; undefined also when an address is missing. */
  find(view: StanzaView, epoch: number): Entry | undefined {
    if (epoch !== this.#epoch) this.#forget(epoch)
    const { bytes, fromStart, fromEnd, toStart, toEnd } = view
    const from = fromEnd - fromStart
    const both = from + toEnd - toStart
    if (fromStart < 0 || toStart < 0 || this.#kept === 0) return undefined
    if (from === this.#lastFrom && both === this.#lastBoth && this.#isAt(this.#lastAt, view)) return this.#lastEntry
    if (this.#kept === 1) return undefined
    const table = this.#table
    const mask = table.length / width - 1
    const hash = finished(hashBytes(bytes, toStart, toEnd, hashBytes(bytes, fromStart, fromEnd, seed)))
    for (let place = hash & mask, looked = 0; looked < longestSearch; place = (place + 1) & mask, looked += 1) {
      const at = place * width
      const there = table[at]!
      if (there === 0) return undefined
      if (there !== hash || table[at + 2] !== from || table[at + 3] !== both || !this.#isAt(table[at + 1]!, view)) continue
      this.#lastAt = table[at + 1]!
      this.#lastFrom = from
      this.#lastBoth = both
      this.#lastEntry = this.#entries[place]
      return this.#lastEntry
    }
    return undefined
  }

  keep(view: StanzaView, epoch: number, entry: Entry): void {
    if (epoch !== this.#epoch || this.#kept >= this.#capacity) this.#forget(epoch)
    const { bytes, fromStart, fromEnd, toStart, toEnd } = view
    if (fromStart < 0 || toStart < 0) return
    const from = fromEnd - fromStart
    const both = from + toEnd - toStart
    if (2 * (this.#kept + 1) * width > this.#table.length) this.#grow()
    const hash = finished(hashBytes(bytes, toStart, toEnd, hashBytes(bytes, fromStart, fromEnd, seed)))
    const place = this.#placeFor(hash, from, both, view)
    const same = this.#holds(place * width, hash, from, both, view)
    const at = same ? this.#table[place * width + 1]! : this.#append(view, both)
    this.#table.set([hash, at, from, both], place * width)
    this.#entries[place] = entry
    // Whose place was taken counts on, as its bytes do, until everything is forgotten.
    if (!same) this.#kept += 1
    this.#lastEntry = entry
    this.#lastAt = at
    this.#lastFrom = from
    this.#lastBoth = both
  }

  /** Where the pair is, or may be put: an empty place, or after a long search the first one, whose pair is found out anew. */
  #placeFor(hash: number, from: number, both: number, view: StanzaView): number {
    const table = this.#table
    const mask = table.length / width - 1
    for (let place = hash & mask, looked = 0; looked < longestSearch; place = (place + 1) & mask, looked += 1) {
      const at = place * width
      if (table[at] === 0) return place
      if (this.#holds(at, hash, from, both, view)) return place
    }
    return hash & mask
  }

  #holds(at: number, hash: number, from: number, both: number, view: StanzaView): boolean {
    const table = this.#table
    return table[at] === hash && table[at + 2] === from && table[at + 3] === both && this.#isAt(table[at + 1]!, view)
  }

  #isAt(at: number, { bytes, fromStart, fromEnd, toStart, toEnd }: StanzaView): boolean {
    const kept = this.#bytes
    let index = at
    for (let position = fromStart; position < fromEnd; position += 1, index += 1) if (bytes[position] !== kept[index]) return false
    for (let position = toStart; position < toEnd; position += 1, index += 1) if (bytes[position] !== kept[index]) return false
    return true
  }

  #append({ bytes, fromStart, fromEnd, toStart, toEnd }: StanzaView, length: number): number {
    if (this.#used + length > this.#bytes.length) {
      // Not from the platform's pool, where one long-lived neighbour of a few bytes would keep 64 KiB alive.
      const larger = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.#bytes.length))
      this.#bytes.copy(larger, 0, 0, this.#used)
      this.#bytes = larger
    }
    const at = this.#used
    bytes.copy(this.#bytes, at, fromStart, fromEnd)
    bytes.copy(this.#bytes, at + fromEnd - fromStart, toStart, toEnd)
    this.#used += length
    return at
  }

  #grow(): void {
    const before = this.#table
    const entries = this.#entries
    const places = Math.max(smallestTable, (before.length / width) * 2)
    const table = new Int32Array(places * width)
    const moved: (Entry | undefined)[] = new Array<Entry | undefined>(places).fill(undefined)
    for (let old = 0; old < entries.length; old += 1) {
      const hash = before[old * width]!
      if (hash === 0) continue
      let place = hash & (places - 1)
      while (table[place * width] !== 0) place = (place + 1) & (places - 1)
      table.set(before.subarray(old * width, (old + 1) * width), place * width)
      moved[place] = entries[old]
    }
    this.#table = table
    this.#entries = moved
  }

  #forget(epoch: number): void {
    this.#epoch = epoch
    if (this.#kept === 0) return
    this.#kept = 0
    this.#used = 0
    this.#lastBoth = -1
    this.#lastEntry = undefined
    this.#bytes = noBytes
    this.#table = noTable
    this.#entries = []
  }
}
