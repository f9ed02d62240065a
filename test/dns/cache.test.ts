// The cache of answers: time, entries and octets are all bounds (RFC 2181 8, RFC 9520).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { ExpiringCache } from "../../src/dns/cache.ts"

test("keeps until the time given, and not a moment longer", () => {
  const cache = new ExpiringCache<string>({ entries: 10, octets: 1000 })
  cache.set("a", "x", 10, 100)
  assert.equal(cache.get("a", 99), "x")
  assert.equal(cache.get("a", 100), undefined)
  assert.equal(cache.octets, 0)
})

test("the least recently used goes first", () => {
  const cache = new ExpiringCache<number>({ entries: 2, octets: 1000 })
  cache.set("a", 1, 1, 100)
  cache.set("b", 2, 1, 100)
  assert.equal(cache.get("a", 0), 1)
  cache.set("c", 3, 1, 100)
  assert.deepEqual([cache.get("a", 0), cache.get("b", 0), cache.get("c", 0)], [1, undefined, 3])
})

test("octets are a bound of their own; what is larger than all is not kept", () => {
  const cache = new ExpiringCache<number>({ entries: 100, octets: 100 })
  cache.set("a", 1, 60, 100)
  cache.set("b", 2, 60, 100)
  assert.equal(cache.get("a", 0), undefined)
  cache.set("c", 3, 101, 100)
  assert.equal(cache.get("c", 0), undefined)
  assert.equal(cache.get("b", 0), 2)
})

test("property: the bounds hold and the count of octets is right, whatever happens", () => {
  const step = fc.record({
    key: fc.constantFrom(..."abcdef"),
    octets: fc.integer({ min: 0, max: 60 }),
    life: fc.integer({ min: 1, max: 20 }),
    forget: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cache = new ExpiringCache<number>({ entries: 4, octets: 100 })
      const weights = new Map<string, number>()
      for (const [now, { key, octets, life, forget }] of steps.entries()) {
        if (forget) cache.delete(key)
        else cache.set(key, now, octets, now + life)
        weights.set(key, octets)
        assert.ok(cache.size <= 4 && cache.octets <= 100)
      }
      let total = 0
      for (const [key, octets] of weights) if (cache.get(key, steps.length - 1) !== undefined) total += octets
      assert.ok(total <= cache.octets || cache.size === 0)
      for (const key of weights.keys()) cache.delete(key)
      assert.deepEqual([cache.size, cache.octets], [0, 0])
    }),
    { numRuns: 500, seed: 8 },
  )
})
