// What the pool of streams keeps for each pair of domains and for each stream: queues, states, and who leaves where.
import type { DomainPair } from "../model/association.ts"
import { ns } from "../model/namespaces.ts"
import type { OutgoingStream } from "../federation/contract.ts"
import type { Outlet } from "../stream/outlet.ts"
import type { BounceReason } from "./bounce.ts"
import type { Destination } from "./destination.ts"

/** The pool, as a way knows it. */
export interface WayKeeper {
  queue(): Outlet
  open(way: Way): void
}

export type WayState = "quiet" | "waiting-turn" | "opening" | "open" | "closing"

/** A stream with the pairs that leave on it, and their one queue: one write carries them all. */
export class Carrier {
  readonly stream: OutgoingStream
  readonly outlet: Outlet
  readonly ways = new Set<Way>()
  readonly openedAt: number
  /** `outlet.written` when the pool looked last, and since when it has not changed. */
  writtenBefore = 0
  quietSince: number
  /** When something left last, as far as the pool has looked. */
  movedAt: number
  /** We closed it, and it is not over yet. */
  leaving = false

  constructor(stream: OutgoingStream, outlet: Outlet, now: number) {
    this.stream = stream
    this.outlet = outlet
    this.openedAt = now
    this.quietSince = now
    this.movedAt = now
    this.writtenBefore = outlet.written
  }
}

export class Way implements Destination {
  readonly pair: DomainPair
  readonly content = ns.server
  refusal: BounceReason | undefined
  state: WayState = "quiet"
  carrier: Carrier | undefined
  failures = 0
  /** Monotonic; until then stanzas bounce. */
  retryAt = 0
  cancelRetry: () => void = () => {}
  quietSince = 0
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

  wanted(): void {
    if (this.state === "quiet") this.#pool.open(this)
  }

  trim(): void {
    if (this.#own?.unsent === 0) this.#own = undefined
  }

  /** It leaves on this stream from now on, with what has waited. */
  join(carrier: Carrier): void {
    const own = this.#own
    this.#own = undefined
    this.carrier = carrier
    carrier.ways.add(this)
    if (own === undefined || own === carrier.outlet) return
    for (const taken of own.takeEverything()) carrier.outlet.appendTaken(taken)
    own.close()
  }

  /** It has no stream any more. What it left in the queue of the stream is the pool's to give back. */
  part(): void {
    this.carrier = undefined
  }
}
