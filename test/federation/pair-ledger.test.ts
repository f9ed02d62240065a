// The pair ledger as lists of events (security.md 9, 10): what a stream may carry, in which direction, until when.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import type { Association, Direction } from "../../src/model/association.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { associations, authorised, emptyLedger, type Ledger, type LedgerEvent, pairsPerStream, pendingClaim, pendingCount, reduce } from "../../src/federation/pair-ledger.ts"

const a = parseDomain("a.example")
const b = parseDomain("b.example")
const c = parseDomain("c.example")
const pair = { sender: a, target: b }

function association(changes: Partial<Association> = {}): Association {
  return {
    id: "1",
    pair,
    stream: "s2sin-1",
    epoch: 0,
    direction: "in",
    level: "authenticated",
    verdict: { outcome: "proved", by: "pkix", detail: "", until: 1000 },
    verdicts: [],
    via: "certificate",
    proof: undefined,
    evidence: () => [],
    established: 0,
    until: 1000,
    ...changes,
  }
}

const claimed: LedgerEvent = { kind: "claimed", pair, direction: "in", by: "dialback", generation: 1 }
const run = (...events: LedgerEvent[]): Ledger => events.reduce(reduce, emptyLedger)

test("a pair carries nothing until it is authorised, then in its direction only", () => {
  assert.equal(authorised(emptyLedger, "in", pair, 0), undefined)
  const asked = run(claimed)
  assert.equal(authorised(asked, "in", pair, 0), undefined)
  assert.equal(pendingCount(asked, "in"), 1)
  const open = reduce(asked, { kind: "authorised", claim: 1, association: association(), generation: 1 })
  assert.equal(authorised(open, "in", pair, 0)?.id, "1")
  assert.equal(authorised(open, "out", pair, 0), undefined)
  assert.equal(authorised(open, "in", { sender: b, target: a }, 0), undefined)
  assert.equal(authorised(open, "in", { sender: c, target: b }, 0), undefined)
})

test("an association ends at `until`, on use", () => {
  const open = run(claimed, { kind: "authorised", claim: 1, association: association(), generation: 1 })
  assert.notEqual(authorised(open, "in", pair, 999), undefined)
  assert.equal(authorised(open, "in", pair, 1000), undefined)
})

test("claims and associations die at a restart; an answer that comes late changes nothing", () => {
  const asked = run(claimed, { kind: "restarted" })
  assert.equal(pendingClaim(asked, "in", pair), undefined)
  const late = reduce(asked, { kind: "authorised", claim: 1, association: association(), generation: 1 })
  assert.equal(late, asked)
  // The same pair, claimed again after the restart: the answer to the first claim does not answer the second.
  const again = reduce(asked, claimed)
  assert.equal(reduce(again, { kind: "authorised", claim: 1, association: association({ epoch: 1 }), generation: 1 }), again)
  assert.equal(reduce(again, { kind: "authorised", claim: 2, association: association({ epoch: 0 }), generation: 1 }), again)
  assert.notEqual(reduce(again, { kind: "authorised", claim: 2, association: association({ epoch: 1 }), generation: 1 }), again)
})

test("an answer without a claim authorises nothing; one refused claim harms no other pair", () => {
  const none = run({ kind: "authorised", claim: 1, association: association(), generation: 1 })
  assert.equal(none, emptyLedger)
  const other = { sender: c, target: b }
  const two = run(claimed, { ...claimed, pair: other })
  const open = reduce(reduce(two, { kind: "authorised", claim: 1, association: association(), generation: 1 }), { kind: "refused", claim: 2, pair: other, direction: "in", finding: "auth.dialback-invalid", at: 0 })
  assert.notEqual(authorised(open, "in", pair, 0), undefined)
  assert.equal(authorised(open, "in", other, 0), undefined)
})

test("withdrawn pairs stop at once, and closing ends everything", () => {
  const open = run(claimed, { kind: "authorised", claim: 1, association: association(), generation: 1 })
  const withdrawn = reduce(open, { kind: "withdrawn", pair, direction: "in", finding: "policy.level", at: 0 })
  assert.equal(authorised(withdrawn, "in", pair, 0), undefined)
  assert.ok(withdrawn.revision > open.revision)
  const closed = reduce(open, { kind: "closed" })
  assert.equal(associations(closed).length, 0)
  assert.equal(reduce(closed, claimed), closed)
})

test("a stream knows a bounded number of pairs", () => {
  let ledger = emptyLedger
  for (let index = 0; index < pairsPerStream + 5; index++) {
    ledger = reduce(ledger, { ...claimed, pair: { sender: `d${index}.example` as Domain, target: b } })
  }
  assert.equal(ledger.entries.size, pairsPerStream)
})

test("property: nothing is authorised that was not claimed in the same epoch and direction and then answered", () => {
  const domains = [a, b, c]
  const direction = fc.constantFrom<Direction>("in", "out")
  const anyPair = fc.record({ sender: fc.constantFrom(...domains), target: fc.constantFrom(...domains) })
  const step = fc.oneof(
    fc.record({ kind: fc.constant("claimed" as const), pair: anyPair, direction, by: fc.constant("dialback" as const), generation: fc.constant(1) }),
    fc.record({ kind: fc.constant("answer" as const), pair: anyPair, direction, claim: fc.integer({ min: 0, max: 12 }), epoch: fc.integer({ min: 0, max: 3 }) }),
    fc.constant({ kind: "restarted" as const }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      let ledger = emptyLedger
      // A second, simpler account of what should be open.
      let epoch = 0
      let claims = 0
      const pending = new Map<string, number>()
      const open = new Set<string>()
      for (const event of steps) {
        if (event.kind === "restarted") {
          ledger = reduce(ledger, event)
          epoch += 1
          pending.clear()
          open.clear()
        } else if (event.kind === "claimed") {
          ledger = reduce(ledger, event)
          const key = `${event.direction} ${event.pair.sender} ${event.pair.target}`
          if (!open.has(key)) pending.set(key, ++claims)
        } else {
          const key = `${event.direction} ${event.pair.sender} ${event.pair.target}`
          ledger = reduce(ledger, { kind: "authorised", claim: event.claim, association: association({ pair: event.pair, direction: event.direction, epoch: event.epoch }), generation: 1 })
          if (pending.get(key) === event.claim && event.epoch === epoch && !open.has(key)) {
            open.add(key)
            pending.delete(key)
          }
        }
      }
      const held = new Set(associations(ledger).map((held) => `${held.direction} ${held.pair.sender} ${held.pair.target}`))
      assert.deepEqual([...held].sort(), [...open].sort())
    }),
    { numRuns: 500 },
  )
})

/** As the ledger has it, FNV-1a: anybody can choose names by it. */
function fallsInto(key: string): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  return hash >>> 0
}

test("attack: names that all fall into one shard make looking for a pair no slower, which each stanza may do", () => {
  const count = 4096
  const opened = (wanted: (key: string) => boolean): { ledger: Ledger; pairs: (typeof pair)[] } => {
    const pairs: (typeof pair)[] = []
    for (let number = 0; pairs.length < count; number += 1) {
      const sender = `n${number.toString(36).padStart(6, "0")}.c.example` as Domain
      if (wanted(`in ${sender} ${b}`)) pairs.push({ sender, target: b })
    }
    let ledger = emptyLedger
    for (const each of pairs) {
      ledger = reduce(ledger, { ...claimed, pair: each } as LedgerEvent)
      ledger = reduce(ledger, { kind: "authorised", claim: ledger.claims, association: association({ pair: each }), generation: 1 })
    }
    return { ledger, pairs }
  }
  const spread = opened(() => true)
  const chosen = opened((key) => fallsInto(key) % 512 === 7)
  const took = ({ ledger, pairs }: typeof spread): number => {
    const began = performance.now()
    for (const { sender, target } of pairs) assert.notEqual(authorised(ledger, "in", { sender, target }, 0), undefined)
    return performance.now() - began
  }
  const best = (which: typeof spread): number => Math.min(...Array.from({ length: 5 }, () => took(which)))
  const [ordinary, attacked] = [best(spread), best(chosen)]
  // Without tables it is some sixty times as long.
  assert.ok(attacked < ordinary * 12, `${attacked.toFixed(1)} ms instead of ${ordinary.toFixed(1)} ms`)
  assert.equal(authorised(chosen.ledger, "in", { sender: a, target: b }, 0), undefined)
})
