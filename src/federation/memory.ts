// What outlives a stream: bounded kinds of entries, read from memory at once and written to the Store in the background
// (security.md 13). Without a store it is the memory of this process alone.
import { StoreError } from "../model/errors.ts"
import type { Clock, Store, StoreChange, StoreFound, StoreKind } from "../ports.ts"

/** Entries of each kind. A kind that is full takes no new key; whoever keeps it decides what to do. */
export const memoryCapacity: Readonly<Record<StoreKind, number>> = { abilities: 20_000, ratchet: 20_000 }
/** Changes wait this long, to be written together, ms. */
const batchDelay = 1000
/** Changes written at once; a transaction of this size takes a few milliseconds. */
const batchSize = 256
/** After a failed write, this long until the next try, ms. */
const retryDelay = 60_000
const longestKey = 1024
const longestValue = 8192

export interface MemoryOptions {
  readonly clock: Clock
  readonly store?: Store
  readonly capacity?: Readonly<Record<StoreKind, number>>
  /** Writing failed; told once until it works again. Nothing in memory is lost by it. */
  readonly failed?: (error: StoreError) => void
  /** Writing works again. */
  readonly recovered?: () => void
}

export class Memory {
  readonly #clock: Clock
  readonly #store: Store | undefined
  readonly #capacity: Readonly<Record<StoreKind, number>>
  readonly #failed: (error: StoreError) => void
  readonly #recovered: () => void
  readonly #kinds: Record<StoreKind, Map<string, string>> = { abilities: new Map(), ratchet: new Map() }
  /** What is not on disk yet, one change for each entry; so it is bounded as the entries are. */
  readonly #changed = new Map<string, StoreChange>()
  #cancel: (() => void) | undefined
  #writing: Promise<void> | undefined
  #troubled = false
  #closed = false

  /** @throws StoreError when the store cannot be read */
  constructor({ clock, store, capacity, failed, recovered }: MemoryOptions) {
    this.#clock = clock
    this.#store = store
    this.#capacity = capacity ?? memoryCapacity
    this.#failed = failed ?? (() => undefined)
    this.#recovered = recovered ?? (() => undefined)
    // Oldest first, as they were put.
    for (const { kind, key, value } of [...(store?.records() ?? [])].reverse()) this.#kinds[kind].set(key, value)
  }

  /** How the store was found; `none`: everything is forgotten with this process. */
  get found(): StoreFound | { readonly kind: "none" } {
    return this.#store?.found ?? { kind: "none" }
  }

  get(kind: StoreKind, key: string): string | undefined {
    return this.#kinds[kind].get(key)
  }

  size(kind: StoreKind): number {
    return this.#kinds[kind].size
  }

  /** All entries of a kind, those put longest ago first. */
  entries(kind: StoreKind): IterableIterator<[string, string]> {
    return this.#kinds[kind].entries()
  }

  /**
   * Keeps a value, in memory at once and on disk soon.
   *
   * @returns false when the kind is full and the key is new: then nothing was kept, and nothing was forgotten for it
   */
  put(kind: StoreKind, key: string, value: string): boolean {
    if (key.length > longestKey || value.length > longestValue) throw new RangeError(`an entry of ${kind} is too long`)
    const entries = this.#kinds[kind]
    if (!entries.has(key) && entries.size >= this.#capacity[kind]) return false
    entries.delete(key)
    entries.set(key, value)
    this.#note({ kind, key, value, changed: this.#clock.now() })
    return true
  }

  remove(kind: StoreKind, key: string): void {
    if (!this.#kinds[kind].delete(key)) return
    this.#note({ kind, key, value: undefined, changed: this.#clock.now() })
  }

  #note(change: StoreChange): void {
    if (this.#store === undefined || this.#closed) return
    this.#changed.set(`${change.kind} ${change.key}`, change)
    this.#arm(this.#troubled ? retryDelay : batchDelay)
  }

  #arm(delay: number): void {
    if (this.#cancel !== undefined || this.#writing !== undefined || this.#closed) return
    this.#cancel = this.#clock.after(delay, () => {
      this.#cancel = undefined
      void this.#write(1)
    })
  }

  #disarm(): void {
    this.#cancel?.()
    this.#cancel = undefined
  }

  /** Up to so many batches; the event loop turns between two of them. */
  #write(batches: number): Promise<void> {
    this.#writing ??= this.#writeBatches(batches).finally(() => {
      this.#writing = undefined
      if (this.#changed.size > 0) this.#arm(this.#troubled ? retryDelay : 0)
    })
    return this.#writing
  }

  async #writeBatches(batches: number): Promise<void> {
    const store = this.#store
    for (let batch = 0; store !== undefined && batch < batches && this.#changed.size > 0; batch += 1) {
      const taken = [...this.#changed].slice(0, batchSize)
      for (const [name] of taken) this.#changed.delete(name)
      try {
        await store.write(taken.map(([, change]) => change))
        if (this.#troubled) this.#recovered()
        this.#troubled = false
      } catch (error) {
        // What changed again meanwhile is newer than what could not be written.
        for (const [name, change] of taken) if (!this.#changed.has(name)) this.#changed.set(name, change)
        const failure = error instanceof StoreError ? error : new StoreError("failed", String(error), { cause: error })
        if (!this.#troubled) this.#failed(failure)
        this.#troubled = true
        return
      }
    }
  }

  /** Writes everything now, as far as it can be written. */
  async flush(): Promise<void> {
    await this.#writing
    this.#disarm()
    await this.#write(Math.ceil(this.#changed.size / batchSize))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.flush()
    this.#closed = true
    this.#disarm()
    await this.#store?.close()
  }
}
