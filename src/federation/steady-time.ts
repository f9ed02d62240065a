// Time for the life of one stream: a clock that is set back lengthens nothing (security.md 10: wall and monotonic clock).
import type { Clock } from "../ports.ts"
import type { Federation } from "./contract.ts"

/** The wall clock is looked at this often, so that one set forward is noticed, ms. */
const longestLook = 60_000

/**
 * A clock for one stream: never behind what the wall said when the stream began plus what went by since. Set forward, it
 * follows the wall.
 */
class SteadyClock implements Clock {
  readonly #clock: Clock
  readonly #began: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#began = clock.now() - clock.monotonic()
  }

  now(): number {
    return Math.max(this.#clock.now(), Math.floor(this.#began + this.#clock.monotonic()))
  }

  monotonic(): number {
    return this.#clock.monotonic()
  }

  after(ms: number, callback: () => void): () => void {
    return this.#clock.after(ms, callback)
  }
}

export function steadyClock(clock: Clock): Clock {
  return new SteadyClock(clock)
}

/** The same federation, told the time of one stream that begins now. */
export function onSteadyTime(federation: Federation): Federation {
  return { ...federation, ports: { ...federation.ports, clock: steadyClock(federation.ports.clock) } }
}

/**
 * Calls back once when the moment has come, however the clock is set meanwhile.
 *
 * @param until ms since 1970; infinity: never
 * @returns cancels
 */
export function whenOver(clock: Clock, until: number, callback: () => void): () => void {
  if (!Number.isFinite(until)) return () => {}
  let cancel = () => {}
  const look = () => {
    const left = until - clock.now()
    // At least 1 ms apart: what ends now may be judged to hold now, and would be asked for ever.
    if (left > 0) cancel = clock.after(Math.min(Math.max(left, 1), longestLook), look)
    else callback()
  }
  const left = until - clock.now()
  cancel = clock.after(Math.min(Math.max(left, 1), longestLook), look)
  return () => cancel()
}
