// How many openings are under way, and how many begin in one turn of the loop; the others wait in order. Hundreds that begin
// together are half done together, and each collection of garbage has to move what belongs to every one of them.
import type { Clock } from "../ports.ts"
import type { PoolLimits } from "./pool-contract.ts"

export class Openings<One> {
  readonly #clock: Pick<Clock, "after">
  readonly #limits: () => Pick<PoolLimits, "openings" | "openingsATurn">
  readonly #begin: (one: One) => void
  readonly #waiting: One[] = []
  #count = 0
  /** Of those, in this turn of the loop. */
  #begun = 0
  #cancelTurn = () => {}

  /** @param begin for one whose turn has come: takes a place again, or wants none any more */
  constructor(clock: Pick<Clock, "after">, limits: () => Pick<PoolLimits, "openings" | "openingsATurn">, begin: (one: One) => void) {
    this.#clock = clock
    this.#limits = limits
    this.#begin = begin
  }

  /** @returns whether it may begin now; else it is told when its turn has come */
  take(one: One): boolean {
    if (!this.#mayBegin()) {
      this.#waiting.push(one)
      return false
    }
    this.#count += 1
    if (this.#begun === 0) this.#cancelTurn = this.#clock.after(0, () => this.#nextTurn())
    this.#begun += 1
    return true
  }

  done(): void {
    this.#count -= 1
    this.#serve()
  }

  close(): void {
    this.#cancelTurn()
  }

  #mayBegin(): boolean {
    const { openings, openingsATurn } = this.#limits()
    return this.#count < openings && this.#begun < openingsATurn
  }

  #nextTurn(): void {
    this.#begun = 0
    this.#serve()
  }

  #serve(): void {
    while (this.#waiting.length > 0 && this.#mayBegin()) this.#begin(this.#waiting.shift()!)
  }
}
