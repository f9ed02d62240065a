// Where stanzas go next: an attached component or a remote domain. The router knows both only as this.
import type { Domain } from "../model/domain.ts"
import type { ContentNamespace } from "../model/namespaces.ts"
import { InputPressure, type Outlet } from "../stream/outlet.ts"
import type { BounceReason } from "./bounce.ts"

export interface Destination {
  readonly content: ContentNamespace
  readonly outlet: Outlet
  /** While set, nothing is queued: stanzas bounce at once with it. Read for every stanza. */
  readonly refusal: BounceReason | undefined
  /** Something was queued; makes sure that it leaves. */
  wanted(): void
}

/** Octets that wait in all queues together, against one bound (security: a stranger cannot fill the memory by many queues). */
export class Load {
  readonly #limit: () => number
  #queued = 0

  constructor(limit: () => number) {
    this.#limit = limit
  }

  get queued(): number {
    return this.#queued
  }

  get full(): boolean {
    return this.#queued >= this.#limit()
  }

  change(octets: number): void {
    this.#queued += octets
  }
}

/** One input's share of the queues; counts into the whole as well. */
export class InputShare extends InputPressure {
  readonly #load: Load

  constructor(load: Load, limit: number, gate: { pause(): void; resume(): void }) {
    super(limit, gate)
    this.#load = load
  }

  override add(octets: number): void {
    this.#load.change(octets)
    super.add(octets)
  }

  override release(octets: number): void {
    this.#load.change(-octets)
    super.release(octets)
  }
}

/** What became of stanzas that could not go on; for the log, counted by pair, so that a flood is a few lines. */
export interface BounceCount {
  readonly from: Domain | undefined
  readonly to: Domain | undefined
  readonly condition: string
  bounced: number
  /** Errors, answers and the like, which are never bounced, and bounces that found no way back. */
  dropped: number
}
