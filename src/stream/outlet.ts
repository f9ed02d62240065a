// Where stanzas for one destination leave: a bounded queue before, during and between its streams.
import { Buffer } from "node:buffer"

import type { Channel } from "../ports.ts"
import type { StanzaView } from "../xml/cutter.ts"
import { Arena } from "./arena.ts"

/**
 * `queued`: it will be written, or given back by `take`. `full`: over the limit, bounce it (resource-constraint).
 * `closed`: nothing leaves here any more.
 */
export type Appended = "queued" | "full" | "closed"

export type OutletChannel = Pick<Channel, "write" | "backlog">

/**
 * What one input has in queues, over all destinations. The input is paused only by its own sum: a slow destination that
 * others fill stalls nobody.
 */
export class InputPressure {
  readonly #limit: number
  readonly #gate: { pause(): void; resume(): void }
  #queued = 0
  #paused = false

  /**
   * @param limit bytes; should be a few times the limit of an outlet, so that one slow destination bounces before it stalls the input
   * @param gate the input's reading
   */
  constructor(limit: number, gate: { pause(): void; resume(): void }) {
    this.#limit = limit
    this.#gate = gate
  }

  get queued(): number {
    return this.#queued
  }

  get paused(): boolean {
    return this.#paused
  }

  add(bytes: number): void {
    this.#queued += bytes
    if (!this.#paused && this.#queued > this.#limit) {
      this.#paused = true
      this.#gate.pause()
    }
  }

  release(bytes: number): void {
    this.#queued -= bytes
    // Half way down, so that reading is not switched at every stanza.
    if (this.#paused && this.#queued <= this.#limit / 2) {
      this.#paused = false
      this.#gate.resume()
    }
  }
}

/** The outlets that were filled since the last flush; one for all relays of a gateway. */
export class FlushList {
  #filled: Outlet[] = []

  add(outlet: Outlet): void {
    this.#filled.push(outlet)
  }

  /** One write for each destination; called at the end of every input chunk. */
  flush(): void {
    if (this.#filled.length === 0) return
    const filled = this.#filled
    this.#filled = []
    for (const outlet of filled) outlet.flush()
  }
}

/** Writes remembered before older ones are added up. */
const keptWrites = 64

export interface OutletOptions {
  /** Bytes that may wait here. One element is always taken, however large. */
  readonly limit: number
  /** Told at the first append after a flush. */
  readonly flushes?: FlushList
}

interface Share {
  readonly input: InputPressure | undefined
  bytes: number
}

export class Outlet {
  readonly #arena = new Arena()
  readonly #limit: number
  readonly #flushes: FlushList | undefined
  #channel: OutletChannel | undefined
  #closed = false
  /** `write` said false; wait for `drained`, so that what has not been handed over can still be bounced. */
  #saturated = false
  #listed = false
  #written = 0
  /** Who queued what, in order; neighbours of one input are one share. */
  #shares: Share[] = []
  /** Writes that the channel may still hold: bytes and stanzas, oldest first. */
  #recent: { readonly bytes: number; readonly elements: number }[] = []

  constructor(options: OutletOptions) {
    this.#limit = options.limit
    this.#flushes = options.flushes
  }

  get state(): "waiting" | "attached" | "closed" {
    if (this.#closed) return "closed"
    return this.#channel === undefined ? "waiting" : "attached"
  }

  /** Elements handed to a channel, ever. */
  get written(): number {
    return this.#written
  }

  /** Elements and bytes that no channel was given yet. */
  get unsent(): number {
    return this.#arena.elements
  }

  get unsentBytes(): number {
    return this.#arena.bytes
  }

  /** Elements handed to the channel at hand of which it still holds a part. */
  get unacknowledged(): number {
    const held = this.#channel?.backlog ?? 0
    let bytes = 0
    let elements = 0
    for (let index = this.#recent.length - 1; index >= 0 && bytes < held; index -= 1) {
      const recent = this.#recent[index]!
      elements += held - bytes >= recent.bytes ? recent.elements : Math.ceil((recent.elements * (held - bytes)) / recent.bytes)
      bytes += recent.bytes
    }
    return elements
  }

  /** Copies `bytes[start..end)`. */
  append(bytes: Buffer, start: number, end: number, input?: InputPressure): Appended {
    const refused = this.#admit(end - start, input)
    if (refused !== undefined) return refused
    this.#arena.append(bytes, start, end)
    return "queued"
  }

  /** Copies a stanza, with the xml:lang of its stream where it needs that. */
  appendView(view: StanzaView, input?: InputPressure): Appended {
    const insert = view.insert
    const refused = this.#admit(view.end - view.start + (insert?.length ?? 0), input)
    if (refused !== undefined) return refused
    this.#arena.append(view.bytes, view.start, view.end, insert, view.insertAt)
    return "queued"
  }

  /** @param text one serialised element */
  appendText(text: string, input?: InputPressure): Appended {
    const length = Buffer.byteLength(text)
    const refused = this.#admit(length, input)
    if (refused !== undefined) return refused
    this.#arena.appendText(text, length)
    return "queued"
  }

  /** Hands everything to the channel, unless that is busy: then when it has drained. */
  flush(): void {
    this.#listed = false
    const channel = this.#channel
    if (channel === undefined) return
    while (!this.#saturated) {
      const stretch = this.#arena.shift()
      if (stretch === undefined) break
      const bytes = stretch.to - stretch.from
      this.#written += stretch.elements
      const write = { bytes, elements: stretch.elements }
      if (this.#recent.length >= keptWrites) this.#forgetWrites(channel.backlog)
      if (this.#recent.length === 0) this.#recent = [write]
      else this.#recent.push(write)
      this.#saturated = !channel.write(stretch.block.subarray(stretch.from, stretch.to))
      this.#unload(bytes)
    }
    this.#arena.rest()
  }

  /** The channel took what it was given. To be called at its `drain`. */
  drained(): void {
    this.#saturated = false
    this.#settle()
    this.flush()
  }

  /** @param channel an established stream of this destination; its owner calls `drained` */
  attach(channel: OutletChannel): void {
    if (this.#closed) return
    this.#channel = channel
    this.#saturated = false
    this.#recent = []
    this.flush()
  }

  /**
   * The stream is over. What was not handed over stays, for the next stream or for `take`.
   *
   * @returns elements that were written but still held when it broke: they may have arrived or not, so they are counted, not bounced
   */
  detach(): number {
    const lost = this.unacknowledged
    this.#channel = undefined
    this.#saturated = false
    this.#recent = []
    // The channel may go on reading what it was given.
    this.#arena.abandon()
    return lost
  }

  /** Nothing is accepted any more. What is unsent can be taken. */
  close(): void {
    if (this.#channel !== undefined) this.detach()
    this.#closed = true
  }

  /** Everything unsent, to be bounced or routed again; the queue is empty when this returns. */
  take(): Iterable<Buffer> {
    const bytes = this.#arena.bytes
    const taken = this.#arena.takeAll()
    this.#unload(bytes)
    return taken
  }

  /** Lets go of memory of an idle destination. */
  trim(): void {
    this.#settle()
    if (this.#arena.bytes === 0) this.#arena.trim()
  }

  #admit(length: number, input: InputPressure | undefined): Appended | undefined {
    if (this.#closed) return "closed"
    const waiting = this.#arena.bytes
    if (waiting === 0) this.#settle()
    else if (waiting + length > this.#limit) return "full"
    if (!this.#listed && this.#flushes !== undefined) {
      this.#listed = true
      this.#flushes.add(this)
    }
    const last = this.#shares[this.#shares.length - 1]
    if (last !== undefined && last.input === input) last.bytes += length
    else this.#shares.push({ input, bytes: length })
    input?.add(length)
    return undefined
  }

  /** Where the channel holds nothing, its memory can be filled again. */
  #settle(): void {
    if (this.#channel === undefined || this.#recent.length === 0 || this.#channel.backlog > 0) return
    this.#recent = []
    this.#arena.reuse()
  }

  /** Keeps of the writes those the channel may still hold, in at most two entries. */
  #forgetWrites(held: number): void {
    let bytes = 0
    let elements = 0
    for (let index = this.#recent.length - 1; index >= 0 && bytes < held; index -= 1) {
      bytes += this.#recent[index]!.bytes
      elements += this.#recent[index]!.elements
    }
    this.#recent = bytes === 0 ? [] : [{ bytes, elements }]
  }

  /** `bytes` left the queue; each input gets back its own. */
  #unload(bytes: number): void {
    let left = bytes
    while (left > 0) {
      const first = this.#shares[0]
      if (first === undefined) return
      const part = Math.min(left, first.bytes)
      first.bytes -= part
      left -= part
      if (first.bytes === 0) this.#shares.shift()
      first.input?.release(part)
    }
  }
}
