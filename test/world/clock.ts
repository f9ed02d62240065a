// Time that passes only when a test says so, and randomness that repeats itself (ports.ts Clock, Random).
import { createHash } from "node:crypto"
import type { Clock, Random } from "../../src/ports.ts"

interface Timer {
  readonly at: number
  readonly order: number
  readonly callback: () => void
}

/** Lets every promise that can go on go on. Enough for anything that waits on no real input or timer. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn += 1) await new Promise((resolve) => setImmediate(resolve))
}

export class ManualClock implements Clock {
  readonly #start: number
  readonly #timers = new Set<Timer>()
  #elapsed = 0
  #order = 0

  /** @param start ms since 1970 */
  constructor(start = Date.UTC(2026, 10, 20)) {
    this.#start = start
  }

  now(): number {
    return this.#start + this.#elapsed
  }

  monotonic(): number {
    return this.#elapsed
  }

  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#elapsed + Math.max(0, ms), order: this.#order++, callback }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** Timers that wait; 0 shows that nothing was left behind. */
  get pending(): number {
    return this.#timers.size
  }

  #next(): Timer | undefined {
    let next: Timer | undefined
    for (const timer of this.#timers)
      if (next === undefined || timer.at < next.at || (timer.at === next.at && timer.order < next.order)) next = timer
    return next
  }

  #fire(timer: Timer): void {
    this.#elapsed = Math.max(this.#elapsed, timer.at)
    this.#timers.delete(timer)
    timer.callback()
  }

  /** Time passes; timers fire in order, and all that follows from one happens before the next. */
  async advance(ms: number): Promise<void> {
    const target = this.#elapsed + ms
    await settle()
    for (let next = this.#next(); next !== undefined && next.at <= target; next = this.#next()) {
      this.#fire(next)
      await settle()
    }
    this.#elapsed = target
  }

  /** Time passes and timers fire before anything else happens: no promise and no I/O goes on in between. */
  advanceNow(ms: number): void {
    const target = this.#elapsed + ms
    for (let next = this.#next(); next !== undefined && next.at <= target; next = this.#next()) this.#fire(next)
    this.#elapsed = target
  }

  /**
   * Time passes until the promise is settled.
   *
   * @param limit how much time may pass, ms
   * @throws when it does not settle in that time, or when nothing is left that could settle it
   */
  async until<T>(promise: Promise<T>, limit = 600_000): Promise<T> {
    let settled = false
    const done = (): void => void (settled = true)
    promise.then(done, done)
    const last = this.#elapsed + limit
    for (await settle(); !settled; await settle()) {
      const next = this.#next()
      if (next === undefined) throw new Error(`nothing is left that could happen, ${this.#elapsed} ms after the start`)
      if (next.at > last) throw new Error(`not settled within ${limit} ms`)
      this.#fire(next)
    }
    return await promise
  }
}

/** The same octets and fractions for the same seed, on every machine. */
export class SeededRandom implements Random {
  readonly #seed: string
  #count = 0

  constructor(seed: string) {
    this.#seed = seed
  }

  #block(): Buffer {
    return createHash("sha256")
      .update(`${this.#seed} ${this.#count++}`)
      .digest()
  }

  bytes(count: number): Uint8Array {
    const blocks: Buffer[] = []
    for (let made = 0; made < count; made += 32) blocks.push(this.#block())
    return Uint8Array.from(Buffer.concat(blocks).subarray(0, count))
  }

  fraction(): number {
    return this.#block().readUInt32BE(0) / 2 ** 32
  }
}
