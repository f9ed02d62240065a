// Beginnings of laborious work, one after the other: what one network causes is spread over time, and the loop has its turn for everybody
// else in between, however much was held up and became due together (RFC 6120 13.12; security.md 17).
import type { Clock } from "../ports.ts"

interface Waiting {
  readonly rest: number
  readonly begin: () => void
}

export class Turns {
  readonly #clock: Pick<Clock, "after">
  /** Those whose last beginning was a moment ago, with who is next: bounded by what bounds the work itself. */
  readonly #lines = new Map<string, Set<Waiting>>()

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock
  }

  /**
   * @param line in which one begins after the other
   * @param rest ms until the next may begin, counted from when this one did: a loop that was late lets in one at a time all the same
   * @returns undefined: begin now; else resolves when it may begin, or when the signal aborts
   */
  take(line: string, rest: number, signal: AbortSignal): Promise<void> | undefined {
    if (signal.aborted) return undefined
    const waiting = this.#lines.get(line)
    if (waiting === undefined) {
      this.#lines.set(line, this.#after(line, rest, new Set()))
      return undefined
    }
    return new Promise((resolve) => {
      const leave = (): void => {
        waiting.delete(one)
        resolve()
      }
      const one: Waiting = {
        rest,
        begin: () => {
          signal.removeEventListener("abort", leave)
          resolve()
        },
      }
      signal.addEventListener("abort", leave, { once: true })
      waiting.add(one)
    })
  }

  #after(line: string, rest: number, waiting: Set<Waiting>): Set<Waiting> {
    this.#clock.after(rest, () => {
      for (const next of waiting) {
        waiting.delete(next)
        this.#after(line, next.rest, waiting)
        return next.begin()
      }
      this.#lines.delete(line)
    })
    return waiting
  }
}
