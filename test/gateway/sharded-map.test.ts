// The map for many domains: the same as a plain one, whatever is done to it, and told apart from its predecessors.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { ShardedMap } from "../../src/gateway/sharded-map.ts"

type Step = readonly [kind: "set" | "delete", key: string, value: number]
const step: fc.Arbitrary<Step> = fc.tuple(fc.constantFrom("set", "set", "delete"), fc.integer({ min: 0, max: 1500 }).map((n) => `d${n}.example`), fc.integer({ min: 0, max: 3 }))
const sorted = (entries: Iterable<readonly [string, number]>): (readonly [string, number])[] => [...entries].sort(([a], [b]) => (a < b ? -1 : 1))

describe("a map in shards", () => {
  it("holds what a plain one holds after the same steps, small or large, and its predecessors stay as they were", () => {
    const start = fc.integer({ min: 0, max: 1200 })
    fc.assert(
      fc.property(start, fc.array(fc.array(step, { maxLength: 30 }), { maxLength: 5 }), (count, edits) => {
        const plain = new Map<string, number>(Array.from({ length: count }, (_, n) => [`d${n}.example`, n] as const))
        let map = ShardedMap.from(plain)
        for (const steps of edits) {
          const before = map
          const was = new Map(plain)
          map = before.edited((edit) => {
            for (const [kind, key, value] of steps) {
              if (kind === "set") {
                edit.set(key, value)
                plain.set(key, value)
              } else assert.equal(edit.delete(key), plain.delete(key))
              assert.deepEqual([edit.get(key), edit.has(key)], [plain.get(key), plain.has(key)])
            }
          })
          assert.equal(map.size, plain.size)
          assert.deepEqual(sorted(map), sorted(plain))
          assert.deepEqual(sorted(before), sorted(was))
          const unlike = [...new Set([...was.keys(), ...plain.keys()])].filter((key) => was.get(key) !== plain.get(key) || was.has(key) !== plain.has(key))
          assert.deepEqual(ShardedMap.differences(before, map).sort(), unlike.sort())
          assert.deepEqual(ShardedMap.differences(was, map).sort(), unlike.sort(), "a plain map can be compared as well")
        }
      }),
      { numRuns: 60 },
    )
  })
  it("a small one keeps the order of insertion", () => {
    assert.deepEqual([...ShardedMap.from([["b", 1], ["a", 2], ["c", 3]]).keys()], ["b", "a", "c"])
  })
  it("an edit that changes nothing gives the same object, and a value set again does not differ", () => {
    const map = ShardedMap.from<string, number>(Array.from({ length: 2000 }, (_, n) => [`d${n}`, n] as const))
    const same = map.edited((edit) => {
      edit.set("d5", 5)
      edit.delete("none")
    })
    assert.equal(same, map)
    const back = map.edited((edit) => {
      edit.delete("d5")
      edit.set("d5", 5)
    })
    assert.deepEqual(ShardedMap.differences(map, back), [])
  })
  it("can be gone through in every way", () => {
    const map = ShardedMap.from([["a", 1], ["b", 2]])
    const seen: [string, number][] = []
    map.forEach((value, key) => seen.push([key, value]))
    assert.deepEqual([[...map], [...map.entries()], [...map.values()], seen], [[["a", 1], ["b", 2]], [["a", 1], ["b", 2]], [1, 2], [["a", 1], ["b", 2]]])
  })
})
