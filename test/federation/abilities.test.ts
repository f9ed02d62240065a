// What a peer can do is learnt on proven streams only, is forgotten at the first surprise, ends, and is bounded (security.md 24).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import type { Association } from "../../src/model/association.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { Abilities, abilitiesLast, fingerprintOf } from "../../src/federation/abilities.ts"
import { Memory } from "../../src/federation/memory.ts"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import { ManualClock } from "../world/clock.ts"
import { associationWith, SteppedClock } from "./ratchet-support.ts"

const a = parseDomain("a.example")
const b = parseDomain("b.example")
const advertised = { dialbackErrors: true, bidi: true, streamManagement: false, pipelining: true }

function build(capacity = 100, clock = new ManualClock()) {
  const memory = new Memory({ clock, capacity: { abilities: capacity, ratchet: 10 } })
  return { clock, memory, abilities: new Abilities(memory, clock) }
}

test("of a stranger nothing is known", () => {
  const { abilities } = build()
  const { known, bidi, accepts, refuses } = abilities.recall(b)
  assert.deepEqual([known, bidi, accepts("00"), refuses("assertion")], [false, false, false, false])
})

test("a proven stream teaches what was advertised, which certificate is accepted and what was refused; each adds to the rest", () => {
  const { abilities, clock, memory } = build()
  const association = associationWith("out", b, "authenticated")
  assert.equal(abilities.learn(association, { advertised }), true)
  abilities.learn(association, { externalAccepted: "aa" })
  abilities.learn(association, { refused: "supposition" })
  const check = (recalled: ReturnType<Abilities["recall"]>) => {
    const { known, dialbackErrors, bidi, streamManagement, pipelining } = recalled
    assert.deepEqual([known, dialbackErrors, bidi, streamManagement, pipelining], [true, true, true, false, true])
    assert.deepEqual([recalled.accepts("aa"), recalled.accepts("bb"), recalled.refuses("supposition"), recalled.refuses("assertion")], [true, false, true, false])
  }
  check(abilities.recall(b))
  check(new Abilities(memory, clock).recall(b))
  // What is advertised now replaces what was.
  abilities.learn(association, { advertised: { ...advertised, bidi: false } })
  assert.equal(abilities.recall(b).bidi, false)
  assert.equal(abilities.recall(b).accepts("aa"), true)
})

const unproven: readonly (readonly [string, Partial<Association>])[] = [
  ["that is only encrypted", { level: "encrypted", via: "dns" }],
  ["without TLS", { proof: undefined }],
  ["that rests on another one", { via: { authoritative: associationWith("out", b, "authenticated") } }],
]
for (const [name, changes] of unproven) {
  test(`nothing is learnt from a stream ${name}`, () => {
    const { abilities, memory } = build()
    assert.equal(abilities.learn({ ...associationWith("out", b, "authenticated"), ...changes }, { advertised, externalAccepted: "aa" }), false)
    assert.equal(abilities.recall(b).known, false)
    assert.equal(memory.size("abilities"), 0)
  })
}

test("it is the peer's, in either direction", () => {
  const { abilities } = build()
  abilities.learn(associationWith("in", b, "authenticated"), { advertised })
  assert.equal(abilities.recall(b).pipelining, true)
  assert.equal(abilities.recall(a).known, false)
})

test("the first surprise ends all of it", () => {
  const { abilities } = build()
  abilities.learn(associationWith("out", b, "authenticated"), { advertised, externalAccepted: "aa", refused: "assertion" })
  abilities.surprised(b)
  assert.deepEqual([abilities.recall(b).known, abilities.recall(b).accepts("aa"), abilities.recall(b).refuses("assertion")], [false, false, false])
})

test("what is not seen again for 30 days is over; each part by itself", async () => {
  const { abilities, clock } = build()
  const association = associationWith("out", b, "authenticated")
  abilities.learn(association, { advertised, externalAccepted: "aa", refused: "assertion" })
  await clock.advance(abilitiesLast - 1)
  assert.equal(abilities.recall(b).accepts("aa"), true)
  abilities.learn(association, { advertised })
  await clock.advance(1)
  assert.deepEqual([abilities.recall(b).bidi, abilities.recall(b).accepts("aa"), abilities.recall(b).refuses("assertion")], [true, false, false])
  await clock.advance(abilitiesLast)
  assert.equal(abilities.recall(b).known, false)
})

test("a clock that was set back makes it unknown, and never lasting", () => {
  const clock = new SteppedClock()
  const { abilities } = build(100, clock)
  abilities.learn(associationWith("out", b, "authenticated"), { advertised })
  clock.offset = -86_400_000
  assert.equal(abilities.recall(b).known, false)
})

test("what is seen again unchanged is not written again within a day", async () => {
  const { abilities, clock, memory } = build()
  const association = associationWith("out", b, "authenticated")
  let puts = 0
  const put = memory.put.bind(memory)
  memory.put = (...parts) => {
    puts += 1
    return put(...parts)
  }
  for (let count = 0; count < 5; count += 1) abilities.learn(association, { advertised, externalAccepted: "aa" })
  assert.equal(puts, 1)
  await clock.advance(86_400_000)
  abilities.learn(association, { advertised, externalAccepted: "aa" })
  assert.equal(puts, 2)
})

test("full, those learnt longest ago make room; what one peer accepts is bounded, too", () => {
  const { abilities, memory } = build(3)
  const peer = (index: number) => parseDomain(`peer-${index}.example`)
  for (let index = 0; index < 5; index += 1) abilities.learn(associationWith("out", peer(index), "authenticated"), { advertised })
  assert.equal(memory.size("abilities"), 3)
  assert.deepEqual([0, 1, 2, 3, 4].map((index) => abilities.recall(peer(index)).known), [false, false, true, true, true])
  for (let index = 0; index < 40; index += 1) abilities.learn(associationWith("out", peer(4), "authenticated"), { externalAccepted: `certificate ${index}` })
  const accepted = Array.from({ length: 40 }, (_, index) => abilities.recall(peer(4)).accepts(`certificate ${index}`))
  assert.deepEqual([accepted.filter(Boolean).length, accepted[39], accepted[0]], [16, true, false])
})

test("entries that are damaged are unknown, not an error", () => {
  const { abilities, memory, clock } = build()
  for (const text of ["", "null", "[]", "{", '{"learnt":"x","external":[],"refused":{}}', `{"learnt":${clock.now()},"external":[],"refused":null}`]) {
    memory.put("abilities", b, text)
    assert.equal(abilities.recall(b).known, false, text)
  }
  memory.put("abilities", b, JSON.stringify({ learnt: clock.now(), advertised: { bidi: "yes" }, external: [1, ["aa"], ["bb", clock.now()]], refused: { assertion: "x" } }))
  assert.deepEqual([abilities.recall(b).bidi, abilities.recall(b).accepts("bb"), abilities.recall(b).accepts("aa"), abilities.recall(b).refuses("assertion")], [false, true, false, false])
})

test("a certificate is named by the SHA-256 of its leaf", () => {
  const issued = selfSigned({ names: { dns: ["a.example"] }, now: Date.UTC(2026, 10, 20) })
  const credentials = { certificatePem: issued.chainPem, keyPem: issued.keyPem }
  const expected = createHash("sha256").update(issued.der).digest("hex")
  assert.equal(fingerprintOf(credentials), expected)
  assert.equal(fingerprintOf(credentials), expected)
})
