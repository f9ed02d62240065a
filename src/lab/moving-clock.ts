// A clock that a scene can let run ahead: hours pass in a moment, and what falls due meanwhile happens (POSH-17).
import type { Clock } from "../ports.ts"

interface Timer {
  /** By the monotonic clock. */
  readonly due: number
  readonly callback: () => void
  cancel: () => void
}

export class MovingClock implements Clock {
  readonly #real: Clock
  readonly #timers = new Set<Timer>()
  #ahead = 0

  constructor(real: Clock) {
    this.#real = real
  }

  now(): number {
    return this.#real.now() + this.#ahead
  }

  monotonic(): number {
    return this.#real.monotonic() + this.#ahead
  }

  after(ms: number, callback: () => void): () => void {
    const timer: Timer = { due: this.monotonic() + Math.max(0, ms), callback, cancel: () => undefined }
    this.#timers.add(timer)
    this.#arm(timer)
    return () => {
      timer.cancel()
      this.#timers.delete(timer)
    }
  }

  #arm(timer: Timer): void {
    timer.cancel()
    timer.cancel = this.#real.after(Math.max(0, timer.due - this.monotonic()), () => {
      this.#timers.delete(timer)
      timer.callback()
    })
  }

  /**
   * That much time passes at once. What fell due meanwhile happens now, in its order; what that sets going has all its time.
   *
   * @param ms from zero
   */
  pass(ms: number): void {
    this.#ahead += Math.max(0, ms)
    const now = this.monotonic()
    const due = [...this.#timers].filter((timer) => timer.due <= now).sort((one, other) => one.due - other.due)
    for (const timer of due) {
      // One that went before may have cancelled it.
      if (!this.#timers.delete(timer)) continue
      timer.cancel()
      timer.callback()
    }
    for (const timer of this.#timers) this.#arm(timer)
  }
}
