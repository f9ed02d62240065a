// Bounced stanzas in the log: counted by pair and reason, so that a flood is a few lines (`component.bounce`).
import type { Domain } from "../model/domain.ts"
import type { Clock } from "../ports.ts"
import type { BounceReason } from "./bounce.ts"
import type { LogLines } from "./log-lines.ts"

/** How long counts are gathered before they are written, ms. */
const gatherMs = 5000
const maxKinds = 1000

interface Count {
  readonly from: Domain | undefined
  readonly to: Domain | undefined
  readonly reason: BounceReason
  answered: number
  unanswered: number
}

export class BounceLog {
  readonly #clock: Clock
  readonly #lines: LogLines
  readonly #counts = new Map<string, Count>()
  #cancel: (() => void) | undefined
  #total = 0
  #untold = 0

  constructor(clock: Clock, lines: LogLines) {
    this.#clock = clock
    this.#lines = lines
  }

  /** Stanzas that did not go on, ever. */
  get total(): number {
    return this.#total
  }

  /** Of these, how many asked for an answer and nobody could be told, ever. */
  get untold(): number {
    return this.#untold
  }

  add(from: Domain | undefined, to: Domain | undefined, reason: BounceReason, answered: boolean | "never"): void {
    this.#total += 1
    if (answered === false) this.#untold += 1
    const key = `${from} ${to} ${reason.condition} ${reason.text}`
    let count = this.#counts.get(key)
    if (count === undefined) {
      if (this.#counts.size >= maxKinds) this.flush()
      count = { from, to, reason, answered: 0, unanswered: 0 }
      this.#counts.set(key, count)
    }
    if (answered === true) count.answered += 1
    else count.unanswered += 1
    this.#cancel ??= this.#clock.after(gatherMs, () => this.flush())
  }

  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    const counts = [...this.#counts.values()]
    this.#counts.clear()
    for (const { from, to, reason, answered, unanswered } of counts) {
      const told = `${answered} stanzas bounced with ${reason.condition}`
      const silent = unanswered === 0 ? "" : `, ${unanswered} dropped that are never answered or had no way back`
      this.#lines.write("warn", "component.bounce", {
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
        condition: reason.condition,
        bounced: answered,
        dropped: unanswered,
        text: `${told}${silent}: ${reason.text}`,
      })
    }
  }
}
