// What the pool of streams keeps for each pair of domains and for each stream: queues, states, and who leaves where.
import type { DomainPair } from "../model/association.ts"
import { ns } from "../model/namespaces.ts"
import type { OutgoingStream } from "../federation/contract.ts"
import type { Clock } from "../ports.ts"
import { idleWithin, noLimits } from "../stream/limits.ts"
import type { Outlet } from "../stream/outlet.ts"
import type { Taken } from "../stream/retention.ts"
import type { FormerStream } from "../stream/stream-management.ts"
import type { BounceReason } from "./bounce.ts"
import type { Destination } from "./destination.ts"

/** The pool, as a way knows it. */
export interface WayKeeper {
  queue(): Outlet
  open(way: Way): void
}

export type WayState = "quiet" | "waiting-turn" | "opening" | "open" | "closing"

/** Between two looks for idle streams, where one may be idle for `idleMs`; ms. */
export function sweepWait(idleMs: number): number {
  return Math.min(60_000, Math.max(1000, idleMs / 8))
}

/** A stream with the pairs that leave on it, and their one queue: one write carries them all. */
export class Carrier {
  readonly stream: OutgoingStream
  readonly outlet: Outlet
  readonly ways = new Set<Way>()
  readonly openedAt: number
  readonly resumed: boolean
  /** `outlet.written` when the pool looked last, and since when it has not changed. */
  writtenBefore = 0
  quietSince: number
  /** When something left last, as far as the pool has looked. */
  movedAt: number
  /** We closed it, and it is not over yet. */
  leaving = false

  /** @param resumed it was opened to go on with a lost stream */
  constructor(stream: OutgoingStream, outlet: Outlet, now: number, resumed: boolean) {
    this.resumed = resumed
    this.stream = stream
    this.outlet = outlet
    this.openedAt = now
    this.quietSince = now
    this.movedAt = now
    this.writtenBefore = outlet.written
  }

  /** How long it stays open without traffic, ms, where we would wait `ours`. */
  idleWithin(ours: number): number {
    return idleWithin(ours, this.stream.limits ?? noLimits)
  }

  /** Takes those that wait and are asked for out of the queue. */
  pick(wanted: (stanza: Buffer) => boolean): readonly Buffer[] {
    const picked: Buffer[] = []
    for (const taken of this.outlet.takeQueued()) {
      if (wanted(taken.stanza)) picked.push(taken.stanza)
      else this.outlet.appendTaken(taken)
    }
    return picked
  }

  /** @returns as `Outlet.detach`: what may be lost */
  detach(): number {
    this.stream.uncarry?.()
    return this.outlet.detach()
  }
}

/** A lost stream that the next one is asked to go on with; its queue, with what is unacknowledged, waits for the answer. */
export interface Held {
  readonly former: FormerStream
  readonly carrier: Carrier
}

/** One for all ways: there are thousands. */
const nothing = (): void => {}

export class Way implements Destination {
  readonly pair: DomainPair
  readonly content = ns.server
  refusal: BounceReason | undefined
  state: WayState = "quiet"
  carrier: Carrier | undefined
  failures = 0
  /** Monotonic; until then stanzas bounce. */
  retryAt = 0
  cancelRetry: () => void = nothing
  quietSince = 0
  /** The stream that is being opened for this pair shall go on with this one. Its pairs keep its queue meanwhile. */
  held: Held | undefined
  /** Taken out of the pool while a stream was being opened. */
  gone = false
  /** What waits while there is no stream. */
  #own: Outlet | undefined
  readonly #pool: WayKeeper

  constructor(pool: WayKeeper, pair: DomainPair) {
    this.#pool = pool
    this.pair = pair
  }

  get outlet(): Outlet {
    return this.carrier?.outlet ?? this.own
  }

  get own(): Outlet {
    this.#own ??= this.#pool.queue()
    return this.#own
  }

  set own(outlet: Outlet | undefined) {
    this.#own = outlet
  }

  /** Stanzas of this pair alone that wait. */
  get waiting(): number {
    return this.#own?.unsent ?? 0
  }

  /** Nothing is tried, and stanzas bounce, for a while. */
  leaveAlone(clock: Clock, ms: number, reason: BounceReason): void {
    this.quietSince = clock.monotonic()
    this.retryAt = this.quietSince + ms
    this.refusal = reason
    this.cancelRetry()
    this.cancelRetry = clock.after(ms, () => {
      this.refusal = undefined
    })
  }

  /** Failures are forgotten. */
  forgive(): void {
    this.failures = 0
    this.retryAt = 0
    this.refusal = undefined
    this.cancelRetry()
  }

  wanted(): void {
    if (this.state === "quiet") this.#pool.open(this)
  }

  trim(): void {
    if (this.#own?.unsent === 0) this.#own = undefined
  }

  /**
   * It leaves on this stream from now on, with what has waited.
   *
   * @returns what the peer does not take, because of its size
   */
  join(carrier: Carrier): readonly Taken[] {
    const own = this.#own
    this.#own = undefined
    this.carrier = carrier
    carrier.ways.add(this)
    if (own === undefined || own === carrier.outlet) return []
    const refused: Taken[] = []
    for (const taken of own.takeEverything()) if (carrier.outlet.appendTaken(taken) === "too-large") refused.push(taken)
    own.close()
    return refused
  }

  /** It has no stream any more. What it left in the queue of the stream is the pool's to give back. */
  part(): void {
    this.carrier = undefined
  }
}
