// The ratchet's own time (security.md 13): it goes on only while this program runs, whatever the wall clock is set to, so that
// a stepped clock neither ripens nor rots what is remembered.
import type { Instant } from "../model/verdict.ts"
import type { Clock } from "../ports.ts"
import type { Memory } from "./memory.ts"

const hour = 3_600_000
/** Of the time in which we did not run at most this much counts, ms: the clock may have been set meanwhile. */
const longestGap = 24 * hour

/** Begins with the wall clock when the memory is new; afterwards falls behind it by pauses and steps. */
export class RatchetTime {
  /** Its place in the memory; no entry of a domain is called so. */
  static readonly key = "clock"
  readonly #memory: Memory
  readonly #clock: Clock
  readonly #base: Instant
  #kept: Instant
  /** How far the wall clock is behind what it said when this time was last kept, ms; 0 when it is not. */
  readonly setBack: number

  constructor(memory: Memory, clock: Clock) {
    this.#memory = memory
    this.#clock = clock
    const wall = clock.now()
    const kept = readKept(memory.get("ratchet", RatchetTime.key))
    const gap = kept === undefined ? 0 : wall - kept.wall
    this.setBack = Math.max(0, -gap)
    this.#base = kept === undefined ? wall : kept.at + Math.min(Math.max(gap, 0), longestGap)
    this.#base -= clock.monotonic()
    this.#kept = Number.NEGATIVE_INFINITY
    this.keep()
  }

  now(): Instant {
    const now = Math.floor(this.#base + this.#clock.monotonic())
    if (now - this.#kept >= hour) this.#keep(now)
    return now
  }

  wall(): Instant {
    return this.#clock.now()
  }

  /** Remembers the moment; done hourly by itself when somebody asks for the time. */
  keep(): void {
    this.#keep(Math.floor(this.#base + this.#clock.monotonic()))
  }

  #keep(at: Instant): void {
    this.#kept = at
    this.#memory.put("ratchet", RatchetTime.key, JSON.stringify({ at, wall: this.#clock.now() }))
  }
}

function readKept(text: string | undefined): { readonly at: Instant; readonly wall: Instant } | undefined {
  if (text === undefined) return undefined
  try {
    const { at, wall } = JSON.parse(text) as { at?: unknown; wall?: unknown }
    return Number.isFinite(at) && Number.isFinite(wall) ? { at: at as number, wall: wall as number } : undefined
  } catch {
    return undefined // damaged on disk: time begins with the wall clock again
  }
}
