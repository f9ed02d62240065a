// What a stranger's claims may cost (security.md 14, 17): connect-backs at once by source network and in all, and what is
// remembered of failures.
import assert from "node:assert/strict"
import { test } from "node:test"
import { ClaimGuard, defaultClaimLimits } from "../../src/federation/claim-guard.ts"
import { sourcePrefix } from "../../src/federation/proof-budget.ts"
import { ManualClock } from "../world/clock.ts"
import { pairOf } from "../scenarios/support.ts"

const pair = pairOf("a.example", "b.example")
const from = (address: string, leaf?: Uint8Array) => ({ address, leaf })

test("sources are counted by network: /24 and /48", () => {
  assert.equal(sourcePrefix("192.0.2.7"), sourcePrefix("192.0.2.250"))
  assert.notEqual(sourcePrefix("192.0.2.7"), sourcePrefix("192.0.3.7"))
  assert.equal(sourcePrefix("2001:db8:1:2::7"), sourcePrefix("2001:DB8:1:ffff:1:2:3:4"))
  assert.notEqual(sourcePrefix("2001:db8:1::7"), sourcePrefix("2001:db8:2::7"))
  assert.equal(sourcePrefix("2001:db8::7"), sourcePrefix("2001:db8:0:1::8"))
  assert.equal(sourcePrefix("::1"), sourcePrefix("0:0:0::2"))
})

test("connect-backs at once: by source and in all; a place that is given back twice counts once", () => {
  const guard = new ClaimGuard(new ManualClock(), { ...defaultClaimLimits, total: 3, perSource: 2 })
  const first = guard.enter(from("192.0.2.1"))
  const second = guard.enter(from("192.0.2.2"))
  assert.ok(first !== undefined && second !== undefined)
  assert.equal(guard.enter(from("192.0.2.3")), undefined)
  assert.notEqual(guard.enter(from("198.51.100.1")), undefined)
  assert.equal(guard.enter(from("203.0.113.1")), undefined, "three in all")
  first()
  first()
  assert.notEqual(guard.enter(from("192.0.2.3")), undefined)
  assert.equal(guard.enter(from("192.0.2.3")), undefined)
})

test("security.md 14: a failure is that of pair, certificate and source; for half a minute", async () => {
  const clock = new ManualClock()
  const guard = new ClaimGuard(clock)
  const leaf = Buffer.from("a certificate")
  guard.failed(pair, from("192.0.2.1", leaf), "no")
  assert.equal(guard.recentFailure(pair, from("192.0.2.99", leaf)), "no")
  assert.equal(guard.recentFailure(pair, from("198.51.100.1", leaf)), undefined)
  assert.equal(guard.recentFailure(pair, from("192.0.2.1", Buffer.from("another"))), undefined)
  assert.equal(guard.recentFailure(pair, from("192.0.2.1")), undefined)
  assert.equal(guard.recentFailure(pairOf("a.example", "c.example"), from("192.0.2.1", leaf)), undefined)
  await clock.advance(29_999)
  assert.equal(guard.recentFailure(pair, from("192.0.2.1", leaf)), "no")
  await clock.advance(1)
  assert.equal(guard.recentFailure(pair, from("192.0.2.1", leaf)), undefined)
  assert.ok(defaultClaimLimits.memory <= 60_000)
})

test("what is remembered is bounded, and the oldest goes first", () => {
  const guard = new ClaimGuard(new ManualClock(), { ...defaultClaimLimits, remembered: 100 })
  for (let index = 0; index < 1000; index++) guard.failed(pairOf(`s${index}.example`, "b.example"), from("192.0.2.1"), "no")
  assert.equal(guard.recentFailure(pairOf("s899.example", "b.example"), from("192.0.2.1")), undefined)
  assert.equal(guard.recentFailure(pairOf("s900.example", "b.example"), from("192.0.2.1")), "no")
})

test("security.md 17, 18: asking for proofs has places of its own, for each network and in all", () => {
  const guard = new ClaimGuard(new ManualClock(), { ...defaultClaimLimits, materials: 3, materialsPerSource: 2, total: 1 })
  const one = guard.enterMaterial("192.0.2")
  assert.ok(one !== undefined && guard.enterMaterial("192.0.2") !== undefined)
  assert.equal(guard.enterMaterial("192.0.2"), undefined)
  assert.ok(guard.enterMaterial("198.51.100") !== undefined)
  assert.equal(guard.enterMaterial("203.0.113"), undefined)
  assert.ok(guard.enter({ address: "192.0.2.1", leaf: undefined }) !== undefined, "connect-backs are counted apart")
  one()
  one()
  assert.ok(guard.enterMaterial("203.0.113") !== undefined)
  assert.equal(guard.enterMaterial("198.51.100"), undefined, "given back twice is given back once")
})
