// An immutable map that is cheap to change a little, and cheap to compare with what it was made from: with ten thousand hosted
// domains a copy for each reload would cost more than the reload.

const shardCount = 256
/** Smaller ones are one map, in the order of insertion. */
const smallest = 512

type Shard<K, V> = ReadonlyMap<K, V>

function shardOf(key: string): number {
  let hash = 0
  for (let index = 0; index < key.length; index += 1) hash = (Math.imul(hash, 31) + key.charCodeAt(index)) | 0
  return (hash ^ (hash >>> 15)) & (shardCount - 1)
}

export class ShardedMap<K extends string, V> implements ReadonlyMap<K, V> {
  readonly #shards: readonly Shard<K, V>[]
  readonly size: number

  /** Use `edited` on another one. */
  private constructor(shards: readonly Shard<K, V>[], size: number) {
    this.#shards = shards
    this.size = size
  }

  static empty<K extends string, V>(): ShardedMap<K, V> {
    return new ShardedMap<K, V>([new Map()], 0)
  }

  static from<K extends string, V>(entries: Iterable<readonly [K, V]>): ShardedMap<K, V> {
    return ShardedMap.empty<K, V>().edited((edit) => {
      for (const [key, value] of entries) edit.set(key, value)
    })
  }

  #shard(key: K): Shard<K, V> {
    return this.#shards.length === 1 ? this.#shards[0]! : this.#shards[shardOf(key)]!
  }

  get(key: K): V | undefined {
    return this.#shard(key).get(key)
  }

  has(key: K): boolean {
    return this.#shard(key).has(key)
  }

  *entries(): Generator<[K, V], undefined> {
    for (const shard of this.#shards) yield* shard.entries()
  }

  *keys(): Generator<K, undefined> {
    for (const shard of this.#shards) yield* shard.keys()
  }

  *values(): Generator<V, undefined> {
    for (const shard of this.#shards) yield* shard.values()
  }

  [Symbol.iterator](): Generator<[K, V], undefined> {
    return this.entries()
  }

  forEach(call: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this) call(value, key, this)
  }

  /** The same with changes; this one stays as it is. */
  edited(change: (edit: Pick<Map<K, V>, "get" | "set" | "delete" | "has">) => void): ShardedMap<K, V> {
    const shards = this.#shards.slice()
    const own = new Set<number>()
    let { size } = this
    const at = (key: K): number => (shards.length === 1 ? 0 : shardOf(key))
    const writable = (index: number): Map<K, V> => {
      if (own.has(index)) return shards[index] as Map<K, V>
      const copy = new Map(shards[index])
      shards[index] = copy
      own.add(index)
      return copy
    }
    const edit: Pick<Map<K, V>, "get" | "set" | "delete" | "has"> = {
      get: (key) => shards[at(key)]!.get(key),
      has: (key) => shards[at(key)]!.has(key),
      set(key, value) {
        const index = at(key)
        const known = shards[index]!.get(key)
        // What is the same leaves the shard as it is, so that it can be compared.
        if (known === value && (known !== undefined || shards[index]!.has(key))) return this as Map<K, V>
        if (known === undefined && !shards[index]!.has(key)) size += 1
        writable(index).set(key, value)
        return this as Map<K, V>
      },
      delete(key) {
        const index = at(key)
        if (!shards[index]!.has(key)) return false
        size -= 1
        return writable(index).delete(key)
      },
    }
    change(edit)
    if (own.size === 0) return this
    return shards.length === 1 && size >= smallest ? ShardedMap.#spread(shards[0]!) : new ShardedMap(shards, size)
  }

  static #spread<K extends string, V>(all: Shard<K, V>): ShardedMap<K, V> {
    const shards = Array.from({ length: shardCount }, () => new Map<K, V>())
    for (const [key, value] of all) shards[shardOf(key)]!.set(key, value)
    return new ShardedMap(shards, all.size)
  }

  /** The shards that are not the very same in both. */
  static #unlike<K extends string, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): readonly (readonly [Shard<K, V>, Shard<K, V>])[] {
    if (!(a instanceof ShardedMap) || !(b instanceof ShardedMap) || a.#shards.length !== b.#shards.length) return [[a, b]]
    const unlike: (readonly [Shard<K, V>, Shard<K, V>])[] = []
    for (const [index, shard] of (a as ShardedMap<K, V>).#shards.entries()) {
      const other = (b as ShardedMap<K, V>).#shards[index]!
      if (shard !== other) unlike.push([shard, other])
    }
    return unlike
  }

  /** Keys that only one of them has, or whose values are not the very same. */
  static differences<K extends string, V>(a: ReadonlyMap<K, V>, b: ReadonlyMap<K, V>): K[] {
    const keys: K[] = []
    if (a === b) return keys
    for (const [one, two] of ShardedMap.#unlike(a, b)) {
      for (const [key, value] of one) if (two.get(key) !== value || (value === undefined && !two.has(key))) keys.push(key)
      for (const key of two.keys()) if (!one.has(key)) keys.push(key)
    }
    return keys
  }
}
