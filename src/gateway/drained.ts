// Waiting until nothing waits any more and the network has taken everything, at the end.
import type { Clock } from "../ports.ts"

/** How often it is looked whether the network has taken everything, ms. */
const lookMs = 20

export class Drained {
  readonly #clock: Clock
  readonly #standing: () => "busy" | "held" | "quiet"
  #waiting: (() => void)[] = []
  #cancel: () => void = () => {}

  /** @param standing `busy`: something waits, and `look` is called when that changes; `held`: the network has not taken all of it */
  constructor(clock: Clock, standing: () => "busy" | "held" | "quiet") {
    this.#clock = clock
    this.#standing = standing
  }

  /** Resolves when it is quiet; bounded by the caller. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve)
      this.look()
    })
  }

  /** Something has changed. */
  look(): void {
    if (this.#waiting.length === 0) return
    this.#cancel()
    const standing = this.#standing()
    if (standing === "busy") return
    // A channel says when it was full and is empty, not when it merely is empty.
    if (standing === "held") {
      this.#cancel = this.#clock.after(lookMs, () => this.look())
      return
    }
    for (const resolve of this.#waiting.splice(0)) resolve()
  }

  /** Nobody waits any more. */
  close(): void {
    this.#cancel()
    this.#waiting = []
  }
}
