// One pair a domain, found as long as any of them holds, and again when it holds again (BIDI-4, DB-31; security.md 10).
import assert from "node:assert/strict"
import { test } from "node:test"
import { PairIndex } from "../../src/federation/pair-index.ts"
import type { Association, DomainPair } from "../../src/model/association.ts"
import { pairOf } from "../scenarios/support.ts"

/** Pairs that stand, with the moment at which each ends. */
function indexed() {
  const ends = new Map<DomainPair, number>()
  let now = 0
  let looks = 0
  const index = new PairIndex(
    "target",
    () => {
      looks += 1
      return ends.keys()
    },
    (pair) => (now < (ends.get(pair) ?? 0) ? ({ pair } as Association) : undefined),
  )
  return {
    put(pair: DomainPair, until: number) {
      ends.set(pair, until)
      index.add(pair)
    },
    ends,
    at: (moment: number) => void (now = moment),
    find: (pair: DomainPair) => index.find(pair.target)?.pair,
    looks: () => looks,
  }
}
const one = pairOf("a.example", "b.example")
const two = pairOf("a2.example", "b.example")
const other = pairOf("a.example", "c.example")

test("when the pair that is kept ends, another of the domain takes its place", () => {
  const { put, at, find } = indexed()
  put(one, 10)
  put(two, 20)
  assert.equal(find(one), one)
  at(10)
  assert.equal(find(one), two)
  at(20)
  assert.equal(find(one), undefined)
})

test("a proof whose end has passed and that is renewed then is found again, whoever looked in between", () => {
  const { put, at, find, ends } = indexed()
  put(one, 10)
  put(other, 30)
  at(10)
  assert.equal(find(one), undefined)
  assert.equal(find(other), other)
  // What is judged again may hold by another proof.
  ends.set(one, 40)
  assert.equal(find(one), one)
  // A clock that was put back: nobody judged anything.
  at(40)
  assert.equal(find(one), undefined)
  at(30)
  assert.equal(find(one), one)
  put(two, 60)
  at(50)
  assert.equal(find(one), two, "and when it ends again, another takes its place")
})

test("what was taken off is not found, and thousands that end cost one look", () => {
  const { put, at, find, ends, looks } = indexed()
  const many = Array.from({ length: 1000 }, (_, n) => pairOf("a.example", `d${n}.example`))
  for (const pair of many) put(pair, 10)
  ends.delete(many[0]!)
  assert.equal(find(many[0]!), undefined)
  at(10)
  for (const pair of many) assert.equal(find(pair), undefined)
  assert.equal(looks(), 2)
  put(many[0]!, 20)
  assert.equal(find(many[0]!), many[0])
})
