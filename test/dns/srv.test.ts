// The order of SRV records: priorities strictly, weights by chance (CORE-02, RFC 2782).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { orderSrv } from "../../src/dns/srv.ts"
import { seeded } from "./support.ts"

test("priorities come first, whatever the weights and the chance", () => {
  const records = [
    { priority: 20, weight: 65535, id: "c" },
    { priority: 10, weight: 0, id: "b" },
    { priority: 0, weight: 0, id: "a" },
  ]
  for (let seed = 0; seed < 50; seed += 1)
    assert.deepEqual(
      orderSrv(records, seeded(seed)).map((record) => record.id),
      ["a", "b", "c"],
    )
})

test("within a priority the first place is drawn by weight", () => {
  const random = seeded(2782)
  const records = [
    { priority: 0, weight: 60, id: "sixty" },
    { priority: 0, weight: 30, id: "thirty" },
    { priority: 0, weight: 10, id: "ten" },
    { priority: 0, weight: 0, id: "none" },
  ]
  const first = new Map<string, number>()
  const rounds = 20_000
  for (let round = 0; round < rounds; round += 1) {
    const id = orderSrv(records, random)[0]!.id
    first.set(id, (first.get(id) ?? 0) + 1)
  }
  const share = (id: string) => (first.get(id) ?? 0) / rounds
  // Whole numbers from 0 to 100 are drawn: 0 falls to the weight of nothing, the rest to their owners.
  assert.ok(Math.abs(share("sixty") - 60 / 101) < 0.015, `${share("sixty")}`)
  assert.ok(Math.abs(share("thirty") - 30 / 101) < 0.015, `${share("thirty")}`)
  assert.ok(Math.abs(share("ten") - 10 / 101) < 0.01, `${share("ten")}`)
  assert.ok(share("none") > 0.003 && share("none") < 0.02, `weight 0 has a small chance: ${share("none")}`)
})

test("the number drawn runs from 0 to the sum, both included", () => {
  const records = [
    { priority: 0, weight: 1, id: "one" },
    { priority: 0, weight: 0, id: "none" },
  ]
  const first = (fraction: number) => orderSrv(records, () => fraction)[0]!.id
  assert.deepEqual([first(0), first(0.49), first(0.5), first(0.99)], ["none", "none", "one", "one"])
})

test("property: the outcome is a permutation, sorted by priority, for any chance", () => {
  const record = fc.record({ priority: fc.integer({ min: 0, max: 3 }), weight: fc.integer({ min: 0, max: 65535 }) })
  fc.assert(
    fc.property(
      fc.array(record, { maxLength: 30 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.9999999999999999, noNaN: true })),
      (records, stream) => {
        const ordered = orderSrv(records, () => stream.next().value as number)
        assert.equal(ordered.length, records.length)
        assert.deepEqual(new Set(ordered), new Set(records))
        for (let index = 1; index < ordered.length; index += 1) assert.ok(ordered[index - 1]!.priority <= ordered[index]!.priority)
      },
    ),
    { numRuns: 500, seed: 4 },
  )
})
