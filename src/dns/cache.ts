// Answers kept for a while: bounded in entries and in octets, the least recently used goes first (RFC 2181 8, RFC 2308, RFC 9520).

interface Entry<V> {
  readonly value: V
  readonly octets: number
  /** Monotonic milliseconds: a clock that is set back does not prolong an answer (security.md 10). */
  readonly until: number
}

export interface CacheLimits {
  readonly entries: number
  readonly octets: number
}

export class ExpiringCache<V> {
  readonly #limits: CacheLimits
  readonly #entries = new Map<string, Entry<V>>()
  #octets = 0

  constructor(limits: CacheLimits) {
    this.#limits = limits
  }

  get size(): number {
    return this.#entries.size
  }

  get octets(): number {
    return this.#octets
  }

  /** @param now monotonic ms */
  get(key: string, now: number): V | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined) return undefined
    this.#entries.delete(key)
    if (now >= entry.until) {
      this.#octets -= entry.octets
      return undefined
    }
    this.#entries.set(key, entry)
    return entry.value
  }

  /**
   * @param octets what the value weighs; over the limit of the whole cache it is not kept
   * @param until monotonic ms
   */
  set(key: string, value: V, octets: number, until: number): void {
    this.delete(key)
    if (octets > this.#limits.octets || this.#limits.entries < 1) return
    this.#entries.set(key, { value, octets, until })
    this.#octets += octets
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#limits.entries && this.#octets <= this.#limits.octets) break
      this.delete(oldest)
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#octets -= entry.octets
    this.#entries.delete(key)
  }

  clear(): void {
    this.#entries.clear()
    this.#octets = 0
  }
}
