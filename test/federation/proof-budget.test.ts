// What strangers may have worked out for them (security.md 17, 18): by stream before anything is proven, by source network for what
// comes to nothing.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { type BudgetLimits, type Cost, costs, defaultBudgetLimits, ProofBudget } from "../../src/federation/proof-budget.ts"
import { ManualClock } from "../world/clock.ts"

const limits: BudgetLimits = { stream: 20_000, network: 100_000, burst: 50_000, networks: 3 }
const budgetOf = (changes: Partial<BudgetLimits> = {}) => {
  const clock = new ManualClock()
  return { clock, budget: new ProofBudget(clock, { ...limits, ...changes }) }
}

test("a stream that has proven nothing gets 20 ms", () => {
  assert.equal(defaultBudgetLimits.stream, 20_000, "in microseconds")
  const { budget } = budgetOf({ burst: 1_000_000 })
  const stream = budget.stream("192.0.2.1")
  stream.charge("handshake")
  let verifications = 0
  while (stream.spend("verification")) verifications += 1
  assert.equal(verifications, Math.floor((limits.stream - costs.handshake) / costs.verification))
  assert.equal(stream.exhausted, false, "what is cheaper may still be asked")
  while (!stream.exhausted) stream.charge("claim")
  assert.equal(stream.spend("question"), false)
  assert.equal(budget.stream("192.0.2.1").spend("verification"), true, "another stream has its own")
})

test("a proven stream is bound by its network alone, and gets most of what it cost back", () => {
  const { budget } = budgetOf()
  const stream = budget.stream("192.0.2.1")
  stream.charge("verification", 7)
  stream.charge("verification")
  assert.equal(stream.exhausted, true)
  stream.proven()
  assert.equal(stream.exhausted, false)
  assert.equal(budget.used("192.0.2"), 8 * costs.verification * 0.25)
  stream.proven()
  assert.equal(budget.used("192.0.2"), 8 * costs.verification * 0.25, "once")
  let more = 0
  while (stream.spend("verification")) more += 1
  assert.ok(more * costs.verification >= 45_000 && more < 30, `${more}`)
  assert.equal(stream.overdrawn, true)
  assert.equal(stream.exhausted, false, "its pairs go on")
})

test("true claims cost a network nothing, failed ones wear off at its rate, others have their own", async () => {
  const { clock, budget } = budgetOf()
  const [stream, neighbour, other] = [budget.stream("192.0.2.1"), budget.stream("192.0.2.77"), budget.stream("198.51.100.1")]
  stream.proven()
  for (let claim = 0; claim < 1000; claim += 1) {
    assert.equal(stream.spend("verification"), true)
    stream.giveBack("verification")
  }
  assert.equal(budget.used("192.0.2"), 0)
  while (stream.spend("verification")) assert.ok(budget.used("192.0.2") > 0)
  assert.equal(neighbour.spend("claim"), false)
  assert.equal(other.spend("claim"), true)
  assert.equal(budget.delay("198.51.100.9"), 0)
  assert.ok(budget.delay("192.0.2.200") > 0)
  await clock.advance(budget.delay("192.0.2.1") + 1)
  assert.equal(neighbour.spend("claim"), true)
  await clock.advance(1000)
  assert.equal(budget.used("192.0.2"), 0)
  assert.equal(budget.size, 1, "who owes nothing is forgotten")
})

test("who comes because of our own claims gets most of its handshake back, once a stream", () => {
  const { budget } = budgetOf()
  const stream = budget.stream("192.0.2.1")
  stream.charge("handshake")
  for (let question = 0; question < 10; question += 1) {
    stream.charge("question")
    stream.caused()
  }
  assert.equal(budget.used("192.0.2"), costs.handshake * 0.25)
  const proven = budget.stream("198.51.100.1")
  proven.charge("handshake")
  proven.proven()
  proven.charge("question")
  proven.caused()
  assert.equal(budget.used("198.51.100"), costs.handshake * 0.25, "not twice")
})

test("the debt of a network is bounded, and so is what is remembered of networks", async () => {
  const { clock, budget } = budgetOf()
  const stream = budget.stream("192.0.2.1")
  for (let step = 0; step < 1000; step += 1) stream.charge("verification")
  assert.equal(budget.delay("192.0.2.1"), 500, "half a second after the flood it is let in again")
  for (let network = 0; network < 100; network += 1) budget.stream(`198.51.${network}.1`).charge("claim")
  assert.equal(budget.size, 3)
  await clock.advance(60_000)
  assert.equal(budget.delay("198.51.99.1"), 0)
})

test("refusals are told one by one, then by their number", async () => {
  const { clock, budget } = budgetOf()
  const stream = budget.stream("192.0.2.1")
  const told = Array.from({ length: 500 }, () => stream.refused())
  assert.deepEqual([told.filter((count) => count === 1).length, told.slice(20).every((count) => count === 0)], [20, true])
  await clock.advance(10_000)
  assert.equal(stream.refused(), 481)
  assert.equal(stream.refused(), 1)
})

test("no order of charging, giving back and proving makes a debt, or a credit, beyond the bounds", () => {
  const kinds = Object.keys(costs) as Cost[]
  const step = fc.tuple(fc.nat(4), fc.constantFrom("charge", "spend", "giveBack", "proven", "caused"), fc.constantFrom(...kinds), fc.nat(20))
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const { budget } = budgetOf()
      const streams = Array.from({ length: 5 }, (_, index) => budget.stream(`192.0.${index % 2}.1`))
      for (const [which, what, cost, times] of steps) {
        const stream = streams[which]!
        if (what === "proven" || what === "caused") stream[what]()
        else stream[what](cost, times)
        for (const network of ["192.0.0", "192.0.1"]) {
          const used = budget.used(network)
          assert.ok(used >= 0 && used <= 2 * limits.burst)
        }
      }
    }),
  )
})

test("a network with much that came to nothing begins its work one after the other; others begin at once", async () => {
  const { clock, budget } = budgetOf({ burst: 100_000 })
  const never = new AbortController().signal
  const begun: string[] = []
  const begin = (network: string, cost: "verification" | "handshake"): void => {
    const turn = budget.turn(network, cost, never)
    if (turn === undefined) begun.push(network)
    else void turn.then(() => begun.push(network))
  }
  budget.change("192.0.2", 1900)
  for (let n = 0; n < 100; n += 1) begin("192.0.2", "verification")
  assert.equal(begun.splice(0).length, 100, "little came to nothing yet")
  budget.change("192.0.2", 8000)
  for (const cost of ["verification", "handshake", "verification"] as const) begin("192.0.2", cost)
  begin("198.51.100", "verification")
  assert.deepEqual(begun.splice(0), ["192.0.2", "192.0.2", "198.51.100"], "handshakes wait where more came to nothing")
  await clock.advance(3.4)
  assert.deepEqual(begun, [])
  await clock.advance(0.1)
  assert.deepEqual(begun.splice(0), ["192.0.2"])
  await clock.advance(4)
  budget.change("192.0.2", 60_000)
  for (const cost of ["verification", "handshake", "verification"] as const) begin("192.0.2", cost)
  assert.deepEqual(begun.splice(0), ["192.0.2"])
  await clock.advance(7.4)
  assert.deepEqual(begun, [])
  // 7.5 ms after the connect-back, and 4.5 ms after the handshake.
  await clock.advance(0.2)
  assert.deepEqual(begun.splice(0), ["192.0.2"])
  await clock.advance(4.5)
  assert.deepEqual(begun.splice(0), ["192.0.2"])
  await clock.advance(1000)
  assert.equal(clock.pending, 0)
  for (let n = 0; n < 3; n += 1) begin("192.0.2", "verification")
  assert.equal(begun.length, 3, "worn off")
})

test("where a connect-back lately told the truth, more may be under way at once", async () => {
  const { clock, budget } = budgetOf({ burst: 100_000 })
  const stream = budget.stream("192.0.2.1", true)
  stream.charge("verification", 6)
  stream.held()
  assert.equal(budget.haste("192.0.2", "verification"), 0)
  assert.ok(budget.haste("192.0.2", "handshake") === 0 && stream.rest === 0)
  stream.charge("verification", 4)
  assert.ok(budget.haste("192.0.2", "verification") > 0.2)
  await clock.advance(10_000)
  budget.change("192.0.2", 10_000)
  assert.ok(budget.haste("192.0.2", "verification") > 0, "not for ever")
})

test("the claims of a network with much that came to nothing are read more slowly", () => {
  const { budget } = budgetOf()
  const stream = budget.stream("192.0.2.1", true)
  assert.equal(stream.rest, 0)
  stream.charge("verification")
  assert.equal(stream.rest, 4)
  stream.charge("verification", 100)
  assert.equal(stream.rest, 10)
  assert.equal(budget.stream("198.51.100.1").rest, 0)
})
