// Giving up, told to whoever waits: what an AbortSignal does, without the machinery of events, which for a lookup costs more
// than the lookup's own bookkeeping.

/** The part of an AbortSignal that lookups need; every AbortSignal is one. */
export interface StopSignal {
  readonly aborted: boolean
  readonly reason: unknown
  throwIfAborted(): void
  addEventListener(type: "abort", listener: () => void, options?: { readonly once?: boolean }): void
  removeEventListener(type: "abort", listener: () => void): void
}

/** A signal of one's own. Listeners hear it once, in the order in which they came. */
export class Stop implements StopSignal {
  readonly #listeners: (() => void)[] = []
  #aborted = false
  #reason: unknown

  get aborted(): boolean {
    return this.#aborted
  }

  get reason(): unknown {
    return this.#reason
  }

  throwIfAborted(): void {
    if (this.#aborted) throw this.#reason
  }

  addEventListener(_type: "abort", listener: () => void): void {
    // As with events, twice is once.
    if (!this.#aborted && !this.#listeners.includes(listener)) this.#listeners.push(listener)
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    const at = this.#listeners.indexOf(listener)
    if (at >= 0) this.#listeners.splice(at, 1)
  }

  /** The first time counts. @param reason an Error unless the caller has another one */
  abort(reason: unknown = new Error("given up")): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    // One after another, so that none is told whom an earlier one took out.
    for (let listener = this.#listeners.shift(); listener !== undefined; listener = this.#listeners.shift()) listener()
  }
}
