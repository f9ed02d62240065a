// Never weaker than last time: what comes to bind, what lowers it, what does not, and what it asks in each mode (security.md 13).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import type { Direction, FederationLevel } from "../../src/model/association.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { findings } from "../../src/model/findings.ts"
import { type Requirement, shortfall } from "../../src/model/policy.ts"
import { Memory } from "../../src/federation/memory.ts"
import { decaysAfter, pinned, Ratchet, type RatchetEntry, type RatchetEvent, type RatchetNotice, type RatchetSettings, reduceRatchet } from "../../src/federation/ratchet.ts"
import { associationWith, SteppedClock } from "./ratchet-support.ts"

const day = 86_400_000
const b = parseDomain("b.example")
const c = parseDomain("c.example")

const seen = (days: number, level: FederationLevel = "authenticated", by: readonly string[] = ["pkix"]): RatchetEvent => ({ kind: "observed", level, by, at: days * day })
const after = (...events: readonly RatchetEvent[]): RatchetEntry => events.reduce(reduceRatchet, {})
const levelAt = (entry: RatchetEntry, days: number) => pinned(entry, days * day)?.level

const table: readonly (readonly [string, readonly RatchetEvent[], at: number, FederationLevel | undefined])[] = [
  ["nothing", [], 0, undefined],
  ["two observations, however far apart", [seen(0), seen(20)], 20, undefined],
  ["three within six days", [seen(0), seen(3), seen(6)], 6, undefined],
  ["three over a week", [seen(0), seen(1), seen(7)], 7, "authenticated"],
  ["many on one day count as one", [seen(0), seen(0.1), seen(0.2), seen(0.3), seen(7)], 7, undefined],
  ["`encrypted` binds, too", [seen(0, "encrypted"), seen(3, "encrypted"), seen(7, "encrypted")], 7, "encrypted"],
  ["the higher one counts for the lower one", [seen(0), seen(3), seen(7, "encrypted")], 7, "encrypted"],
  ["`verified` is the least anyway", [seen(0, "verified"), seen(3, "verified"), seen(9, "verified")], 9, undefined],
  ["a level that is not always reached never binds", [seen(0), seen(3), seen(5, "encrypted"), seen(7), seen(9)], 9, "encrypted"],
  ["what binds is not lowered by a weaker stream", [seen(0), seen(3), seen(7), seen(8, "verified"), seen(9, "encrypted")], 9, "authenticated"],
  ["89 days without", [seen(0), seen(3), seen(7)], 96, "authenticated"],
  ["90 days without", [seen(0), seen(3), seen(7)], 97, undefined],
  ["being seen keeps it", [seen(0), seen(3), seen(7), seen(90)], 170, "authenticated"],
  ["what decayed begins anew", [seen(0), seen(3), seen(7), seen(200)], 200, undefined],
  ["what never bound is forgotten after 30 days", [seen(0), seen(3), seen(33)], 33, undefined],
]
for (const [name, events, at, level] of table) test(`${name}: ${level ?? "nothing binds"}`, () => assert.equal(levelAt(after(...events), at), level))

test("a withdrawal that DNSSEC proves lowers the level where nothing else proved it", () => {
  const gone = (...by: string[]): RatchetEvent => ({ kind: "withdrawn", by })
  const byDane = after(seen(0, "authenticated", ["dane"]), seen(3, "authenticated", ["dane"]), seen(7, "authenticated", ["dane"]))
  assert.equal(levelAt(reduceRatchet(byDane, gone("dane")), 7), "encrypted")
  assert.equal(reduceRatchet(byDane, gone("posh")), byDane)
  const byBoth = after(seen(0), seen(3), seen(7, "authenticated", ["pkix", "dane"]))
  assert.equal(levelAt(reduceRatchet(byBoth, gone("dane")), 7), "authenticated")
  assert.equal(levelAt(reduceRatchet(reduceRatchet(byBoth, gone("dane")), gone("pkix")), 7), "encrypted")
  // What it was proved with last is what counts: the other proof may be long gone.
  const nowByDane = after(seen(0), seen(3), seen(7), seen(8, "authenticated", ["dane"]))
  assert.equal(levelAt(reduceRatchet(nowByDane, gone("dane")), 8), "encrypted")
})

test("whatever happens, only a proven withdrawal or time lowers what binds", () => {
  const event = fc.record({ level: fc.constantFrom<FederationLevel>("permissive", "verified", "encrypted", "authenticated"), pause: fc.nat(40) })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 30 }), (events) => {
      let entry: RatchetEntry = {}
      let now = 0
      let before: { level: string; last: number } | undefined
      for (const { level, pause } of events) {
        now += pause
        const pin = pinned(entry, now * day)
        if (before !== undefined && pin === undefined) assert.ok(now * day - before.last >= decaysAfter)
        entry = reduceRatchet(entry, seen(now, level))
        const next = pinned(entry, now * day)
        if (pin?.level === "authenticated") assert.equal(next?.level, "authenticated")
        if (pin !== undefined) assert.notEqual(next, undefined)
        before = next === undefined ? undefined : { level: next.level, last: next.run.last }
      }
    }),
  )
})

// The ratchet with its memory.

function build(settings: Partial<RatchetSettings> = {}, memory?: Memory, clock = new SteppedClock()) {
  const notices: RatchetNotice[] = []
  const set: { -readonly [Name in keyof RatchetSettings]: RatchetSettings[Name] } = { mode: "enforce", overrides: [], provesDns: true, ...settings }
  const kept = memory ?? new Memory({ clock })
  const ratchet = new Ratchet({ memory: kept, clock, settings: () => set, notice: (notice) => notices.push(notice) })
  return { clock, memory: kept, ratchet, notices, set }
}
type Built = ReturnType<typeof build>

const bothWays = ({ ratchet }: Pick<Built, "ratchet">, peer = b) => {
  ratchet.exchanged(peer, "out")
  ratchet.exchanged(peer, "in")
}

/** Eight days in which the peer reaches this level daily, and stanzas go both ways. */
async function eightDays(built: Built, { peer = b, level = "authenticated" as FederationLevel, direction = "out" as Direction, by = ["pkix"] } = {}): Promise<void> {
  bothWays(built, peer)
  for (let count = 0; count < 9; count += 1) {
    if (count > 0) await built.clock.advance(day)
    built.ratchet.associated(associationWith(direction, peer, level, by))
  }
}

const lax: Requirement = { require: "verified" }
const requiredOf = ({ ratchet, clock }: Built, direction: Direction = "out", requirement = lax, peer = b) => ratchet.raise(requirement, peer, direction, clock.now())

test("enforce: the level that binds is what the peer needs from now on, in that direction only", async () => {
  const built = build()
  await eightDays(built)
  const raised = requiredOf(built)
  assert.equal(raised.require, "authenticated")
  assert.deepEqual(shortfall(raised, b, "encrypted"), { finding: "policy.ratchet", detail: "b.example has kept reaching authenticated by pkix; it now reaches encrypted" })
  assert.equal(shortfall(raised, b, "authenticated"), undefined)
  assert.equal(requiredOf(built, "in").require, "verified")
  assert.equal(requiredOf(built, "out", lax, c).require, "verified")
  assert.equal(requiredOf(built, "out", { require: "authenticated" }).require, "authenticated")
})

test("enforce raises, and never lowers, what policy asks", async () => {
  const built = build()
  await eightDays(built, { level: "encrypted" })
  assert.equal(requiredOf(built).require, "encrypted")
  const high = requiredOf(built, "out", { require: "authenticated" })
  assert.equal(high.require, "authenticated")
  assert.equal(shortfall(high, b, "encrypted")?.finding, "policy.ratchet")
})

test("an exception of the policy is no override of the ratchet", async () => {
  const built = build()
  await eightDays(built)
  const exception = { peer: b, require: "encrypted", until: built.clock.now() + day, why: "their certificate has run out" } as const
  assert.equal(requiredOf(built, "out", { require: "encrypted", until: exception.until, exception }).require, "authenticated")
})

test("an override holds for its peer, until its end, and what rests on it ends with it", async () => {
  const built = build()
  await eightDays(built)
  const until = built.clock.now() + 2 * day
  built.set.overrides = [{ peer: b, until, why: "they move to another authority" }]
  assert.deepEqual(requiredOf(built), { require: "verified", until })
  assert.deepEqual(requiredOf(built, "out", { require: "verified", until: until - 5 }), { require: "verified", until: until - 5 })
  await built.clock.advance(2 * day)
  assert.equal(requiredOf(built).require, "authenticated")
})

test("warn: nothing is asked, and a weaker association is said once a day", async () => {
  const built = build({ mode: "warn" })
  await eightDays(built)
  assert.deepEqual(requiredOf(built), lax)
  assert.deepEqual(built.notices, [])
  for (let count = 0; count < 3; count += 1) built.ratchet.associated(associationWith("out", b, "encrypted"))
  assert.deepEqual(built.notices, [{ finding: "policy.ratchet", peer: b, direction: "out", detail: "b.example has kept reaching authenticated by pkix; it now reaches encrypted" }])
  await built.clock.advance(day)
  built.ratchet.associated(associationWith("out", b, "encrypted"))
  assert.equal(built.notices.length, 2)
  built.set.overrides = [{ peer: b, until: built.clock.now() + 2 * day, why: "known" }]
  await built.clock.advance(day)
  built.ratchet.associated(associationWith("out", b, "encrypted"))
  assert.equal(built.notices.length, 2)
})

test("off: nothing is asked, said or learnt", async () => {
  const built = build({ mode: "off" })
  await eightDays(built)
  built.set.mode = "enforce"
  assert.deepEqual(requiredOf(built), lax)
})

test("`dnssec: off` satisfies no ratchet, and teaches it nothing", async () => {
  const built = build()
  await eightDays(built)
  built.set.provesDns = false
  const raised = requiredOf(built)
  assert.deepEqual(shortfall(raised, b, "authenticated"), {
    finding: "policy.ratchet",
    detail: "b.example has kept reaching authenticated by pkix; with `dnssec: off` nothing satisfies that; it now reaches authenticated",
  })
  await eightDays(built, { peer: c })
  built.set.provesDns = true
  assert.deepEqual(requiredOf(built, "out", lax, c), lax)
  built.set.mode = "warn"
  built.set.provesDns = false
  built.ratchet.associated(associationWith("out", b, "authenticated"))
  assert.equal(built.notices.at(-1)?.finding, "policy.ratchet")
})

test("a domain counts only when stanzas went both ways", async () => {
  const built = build()
  for (const ways of [[], ["in"], ["out"]] as const) {
    for (const way of ways) built.ratchet.exchanged(c, way)
    for (let count = 0; count < 9; count += 1) {
      built.ratchet.associated(associationWith("out", c, "authenticated"))
      await built.clock.advance(day)
    }
    if (ways[0] !== "out") assert.equal(built.ratchet.pinned(c, "out"), undefined)
  }
  // The second way completes the exchange; what is reached now is the first observation.
  assert.equal(built.memory.size("ratchet"), 2)
})

test("a stream that was there before the first answer is counted when the answer goes", async () => {
  const built = build()
  built.ratchet.associated(associationWith("in", b, "authenticated"))
  built.ratchet.associated(associationWith("out", b, "encrypted"))
  built.ratchet.exchanged(b, "in")
  assert.equal(built.memory.get("ratchet", "in b.example"), undefined)
  built.ratchet.exchanged(b, "out")
  assert.deepEqual(Object.keys(JSON.parse(built.memory.get("ratchet", "in b.example") ?? "{}")), ["encrypted", "authenticated"])
  assert.deepEqual(Object.keys(JSON.parse(built.memory.get("ratchet", "out b.example") ?? "{}")), ["encrypted"])
})

test("a proven withdrawal lowers what is asked at once", async () => {
  const built = build()
  await eightDays(built, { by: ["dane"] })
  built.ratchet.withdrawn(b, "out", [])
  assert.equal(requiredOf(built).require, "authenticated")
  built.ratchet.withdrawn(b, "out", ["dane"])
  assert.equal(requiredOf(built).require, "encrypted")
})

test("it outlives a restart, and says when the clock was set back meanwhile", async () => {
  const built = build()
  await eightDays(built)
  const clock = new SteppedClock(built.clock.now() - 3 * day)
  const again = build({}, built.memory, clock)
  assert.equal(requiredOf(again).require, "authenticated")
  assert.deepEqual(again.notices.map(({ finding, detail }) => [finding, detail]), [["policy.clock", "by 4320 minutes since the last run"]])
})

test("full: a new domain is refused and said so, none is forgotten; what has decayed makes room", async () => {
  const clock = new SteppedClock()
  const memory = new Memory({ clock, capacity: { abilities: 1, ratchet: 2 } })
  const built = build({}, memory, clock)
  await eightDays(built)
  for (let count = 0; count < 3; count += 1) {
    bothWays(built, c)
    built.ratchet.associated(associationWith("out", c, "authenticated"))
  }
  assert.equal(built.ratchet.pinned(b, "out")?.level, "authenticated")
  assert.equal(memory.get("ratchet", "out c.example"), undefined)
  assert.deepEqual(built.notices.map(({ finding }) => finding), ["policy.ratchet-full"])
  await clock.advance(decaysAfter)
  built.ratchet.associated(associationWith("out", c, "authenticated"))
  assert.notEqual(memory.get("ratchet", "out c.example"), undefined)
  assert.equal(memory.get("ratchet", "out b.example"), undefined)
})

test("an entry that cannot be read is said to be lost", () => {
  for (const text of ["", "null", "[1]", '{"authenticated":{"count":3}}', '{"authenticated":{"count":3,"first":0,"last":1,"by":[1]}}', '{"encrypted":null}']) {
    const built = build()
    built.memory.put("ratchet", "out b.example", text)
    assert.equal(built.ratchet.pinned(b, "out"), undefined)
    const expected = text === "[1]" ? [] : ["policy.memory-lost"]
    assert.deepEqual(built.notices.map(({ finding }) => finding), expected, text)
  }
})

test("every notice is in the catalogue, and little is written: once a day for each peer", async () => {
  for (const id of ["policy.ratchet", "policy.ratchet-full", "policy.memory-lost", "policy.clock"] as const) assert.ok(findings[id].sentence.length > 10)
  const built = build()
  bothWays(built)
  let puts = 0
  const put = built.memory.put.bind(built.memory)
  built.memory.put = (kind, key, value) => {
    if (key.includes(" ")) puts += 1
    return put(kind, key, value)
  }
  for (let count = 0; count < 1000; count += 1) built.ratchet.associated(associationWith("out", b, "authenticated"))
  assert.equal(puts, 1)
})
