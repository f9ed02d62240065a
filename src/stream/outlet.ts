// Where stanzas for one destination leave: a bounded queue before, during and between its streams. Where the peer
// acknowledges (XEP-0198 4), what was written stays until it has.
import { Buffer } from "node:buffer"

import type { Channel } from "../ports.ts"
import type { StanzaView } from "../xml/cutter.ts"
import { Arena, type Cut } from "./arena.ts"
import { oneAfterOther, type Retention, stanzasOf, type Taken, writtenTo } from "./retention.ts"

export type { Retention, Taken } from "./retention.ts"

/**
 * `queued`: it will be written, or given back by `take`. `full`: over the limit, bounce it (resource-constraint).
 * `too-large`: the peer takes nothing of that size, bounce it (policy-violation). `closed`: nothing leaves here any more.
 */
export type Appended = "queued" | "full" | "too-large" | "closed"

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
  #retention: Retention | undefined
  /** Something waits for acknowledgements only. */
  #heldBack = false
  /** Octets of one element that the peer takes (LIM-2). */
  #largest = Number.POSITIVE_INFINITY
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

  /**
   * Elements that were written and may not have arrived: where they are retained those that nobody acknowledged, exactly;
   * elsewhere those of which the channel at hand still holds a part.
   */
  get unacknowledged(): number {
    return this.#retention === undefined && this.#arena.kept === 0 ? this.#held : this.#arena.kept
  }

  /** Octets retained. */
  get unacknowledgedBytes(): number {
    return this.#arena.keptBytes
  }

  get #held(): number {
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

  /**
   * Queues what another outlet, or this one, gave back: in its order, beyond the limit (both queues are bounded), and marked
   * when it was written before.
   */
  appendTaken(taken: Taken): Appended {
    const { stanza, writes } = taken
    const refused = this.#admit(stanza.length, undefined, true)
    if (refused !== undefined) return refused
    if (writes === 0) this.#arena.append(stanza, 0, stanza.length)
    else this.#arena.appendAgain(stanza)
    return "queued"
  }

  /** Hands everything to the channel, unless that is busy: then when it has drained. */
  flush(): void {
    this.#listed = false
    const channel = this.#channel
    if (channel === undefined) return
    const arena = this.#arena
    const retention = this.#retention
    while (!this.#saturated && this.#room) {
      const stretch = arena.shift(retention !== undefined)
      if (stretch === undefined) break
      const bytes = stretch.to - stretch.from
      this.#written += stretch.elements
      const write = { bytes, elements: stretch.elements }
      if (this.#recent.length >= keptWrites) this.#forgetWrites(channel.backlog)
      if (this.#recent.length === 0) this.#recent = [write]
      else this.#recent.push(write)
      if (retention === undefined) this.#saturated = !channel.write(stretch.block.subarray(stretch.from, stretch.to))
      else {
        retention.load?.change(bytes)
        const request = retention.request(arena.bytes === 0 || !this.#room)
        const together = request !== undefined && arena.suffix(stretch, request)
        this.#saturated = !channel.write(stretch.block.subarray(stretch.from, together ? stretch.to + request.length : stretch.to))
        if (request !== undefined && !together) this.#saturated = !channel.write(request)
      }
      this.#unload(bytes)
    }
    this.#heldBack = arena.bytes > 0 && !this.#saturated
    // What fills the room may be others', who may never answer: what is ours has to be asked for.
    const request = this.#heldBack ? retention?.request(true) : undefined
    if (request !== undefined) this.#saturated = !channel.write(request)
    arena.rest()
  }

  /** Whether what is written now can be kept. */
  get #room(): boolean {
    const retention = this.#retention
    const kept = this.#arena.keptBytes
    return retention === undefined || kept === 0 || (kept < retention.limit && retention.load?.full !== true)
  }

  /**
   * From the next write on everything is kept until `acknowledge`; or, with undefined, nothing is any more, and what was
   * kept counts as written.
   */
  retain(retention: Retention | undefined): void {
    if (this.#closed || this.#channel === undefined) return
    this.#forgetKept()
    this.#retention = retention
    if (retention === undefined) this.flush()
  }

  /** @param count elements the peer answers for, the oldest; no more than `unacknowledged` */
  acknowledge(count: number): void {
    if (this.#channel === undefined || this.#retention === undefined || count > this.#arena.kept) throw new RangeError("acknowledged what was not written")
    const before = this.#arena.keptBytes
    this.#arena.acknowledge(count)
    this.#retention.load?.change(this.#arena.keptBytes - before)
    if (this.#heldBack) this.flush()
  }

  #forgetKept(): void {
    this.#retention?.load?.change(-this.#arena.keptBytes)
    this.#arena.acknowledge(this.#arena.kept)
  }

  /** The channel took what it was given. To be called at its `drain`. */
  drained(): void {
    this.#saturated = false
    this.#settle()
    this.flush()
  }

  /**
   * @param channel an established stream of this destination; its owner calls `drained`
   * @param retention as for `retain`, from the first write on. What an earlier stream left unacknowledged must have been taken
   */
  attach(channel: OutletChannel, retention?: Retention): void {
    if (this.#closed) return
    if (this.#arena.kept > 0) throw new Error("what the last stream left unacknowledged was not taken")
    this.#retention = retention
    this.#channel = channel
    this.#saturated = false
    this.#recent = []
    this.flush()
  }

  /**
   * The stream is over. What was not handed over stays, for the next stream or for `take`; what is retained, for
   * `takeUnacknowledged` or `takeEverything`.
   *
   * @returns elements that were written, still held when it broke, and are not retained: they may have arrived or not, so
   * they are counted, not bounced
   */
  detach(): number {
    const lost = Math.max(0, this.#held - this.#arena.kept)
    this.#retention?.load?.change(-this.#arena.keptBytes)
    this.#retention = undefined
    this.#largest = Number.POSITIVE_INFINITY
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
    return stanzasOf(this.#takeUnsent())
  }

  /** `take`, with what is known of earlier writes; on whatever stream, or none. */
  takeQueued(): Iterable<Taken> {
    return writtenTo(this.#takeUnsent(), 0)
  }

  /**
   * What was retained and not acknowledged, in order, after `detach`.
   *
   * @param handled of the oldest, so many arrived after all: the peer said so when the stream was resumed. Then the others
   * certainly did not, and count as never written
   */
  takeUnacknowledged(handled?: number): Iterable<Taken> {
    if (this.#channel !== undefined) throw new Error("a stream still carries what is unacknowledged")
    if (handled !== undefined) {
      if (handled > this.#arena.kept) throw new RangeError("acknowledged what was not written")
      this.#arena.acknowledge(handled)
    }
    return writtenTo(this.#arena.takeKept(), handled === undefined ? 1 : 0)
  }

  /** `takeUnacknowledged`, then everything unsent. */
  takeEverything(handled?: number): Iterable<Taken> {
    const unacknowledged = this.takeUnacknowledged(handled)
    return oneAfterOther(unacknowledged, writtenTo(this.#takeUnsent(), 0))
  }

  #takeUnsent(): Iterable<Cut> {
    const bytes = this.#arena.bytes
    const taken = this.#arena.takeAll()
    this.#unload(bytes)
    return taken
  }

  /**
   * Octets of one element that the peer takes (LIM-2): larger ones are refused from now on, until `detach`.
   *
   * @param largest undefined: it does not say
   * @returns those that wait here already and are larger; to be bounced
   */
  limitStanzas(largest: number | undefined): readonly Buffer[] {
    this.#largest = largest ?? Number.POSITIVE_INFINITY
    if (this.#arena.elements === 0 || this.#arena.longest <= this.#largest) return []
    const refused: Buffer[] = []
    for (const taken of writtenTo(this.#takeUnsent(), 0)) {
      if (this.appendTaken(taken) === "too-large") refused.push(taken.stanza)
    }
    return refused
  }

  /** Lets go of memory of an idle destination. */
  trim(): void {
    this.#settle()
    if (this.#arena.bytes === 0) this.#arena.trim()
  }

  #admit(length: number, input: InputPressure | undefined, beyond = false): Appended | undefined {
    if (this.#closed) return "closed"
    if (length > this.#largest) return "too-large"
    const waiting = this.#arena.bytes
    if (waiting === 0) this.#settle()
    else if (waiting + length > this.#limit && !beyond) return "full"
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
