// Ways to make signed names look unsigned, or to hold them longer than weighed (RFC 4035 5.2, 5.3.3, RFC 6672, security.md 15).
import assert from "node:assert/strict"
import { test } from "node:test"
import { createValidator } from "../../../src/dns/dnssec/validator.ts"
import { decodeMessage, encodeMessage } from "../../../src/dns/message.ts"
import { nameFromText } from "../../../src/dns/name.ts"
import { encodeContent, typeNumbers } from "../../../src/dns/records.ts"
import { createResolver } from "../../../src/dns/resolver.ts"
import { SignedTree } from "../../../src/lab/dns-signed-tree.ts"
import { makeSigningKey, signSet } from "../../../src/lab/dns-signer.ts"
import { record } from "../../../src/lab/dns-zones.ts"
import { manualClock, seededRandom } from "../support.ts"
import { standardRecords } from "./tree.ts"
import { type Lie, replyOf, validatorOver } from "./world.ts"

const at = Date.UTC(2026, 10, 20)
const validity = { inception: at / 1000 - 3600, expiration: at / 1000 + 7200 }
const signal = new AbortController().signal
const { A, DNAME, DS, RRSIG } = typeNumbers
const host = nameFromText("host.a.example")

/** The DS as signed today and its SHA-1 twin, both under one signature. */
const twoDigests = (honest: readonly Uint8Array[]): Uint8Array[] => [
  ...honest,
  ...honest.map((octets) => Uint8Array.from(octets.subarray(0, 24), (octet, index) => (index === 3 ? 1 : octet))),
]

test("copies of a DS record that is not supported do not push the supported one out of sight", async () => {
  const tree = new SignedTree({
    validity,
    zones: {
      ".": { keys: [makeSigningKey(13)] },
      example: { keys: [makeSigningKey(13)] },
      "a.example": { keys: [makeSigningKey(13)], ds: twoDigests, records: standardRecords("a.example") },
    },
  })
  assert.equal((await validatorOver(tree, at).validate(host, A, signal)).status, "secure")
  const forged = record(host, A, Uint8Array.of(127, 66, 66, 1), 60)
  const lie: Lie = (_query, reply) => {
    const { name, type } = reply.questions[0]!
    if (type === A) return { ...reply, answers: [forged] }
    if (type !== DS || name.labels.length !== 2) return reply
    const old = reply.answers.find((one) => one.type === DS && one.octets[3] === 1)!
    assert.notEqual(old, undefined)
    return { ...reply, answers: [...Array.from({ length: 64 }, () => old), ...reply.answers] }
  }
  const found = await validatorOver(tree, at, lie).validate(host, A, signal)
  assert.deepEqual([found.status, found.outcome], ["bogus", "failure"])
})

test("neither a signer nor a DNAME above the anchor makes an anchored name unsigned", async () => {
  const key = makeSigningKey(13)
  const island = new SignedTree({
    validity,
    zones: { ".": {}, example: { ds: "none" }, "a.example": { keys: [key], records: standardRecords("a.example") } },
  })
  const validate = (lie?: Lie) =>
    createValidator({
      anchors: island.anchors("a.example"),
      clock: { now: () => at, monotonic: () => 0 },
      ask: async ({ name, type }) => replyOf(island, name, type, lie),
    }).validate(host, A, signal)
  assert.equal((await validate()).status, "secure")
  const forged = record(host, A, Uint8Array.of(127, 66, 66, 1), 60)
  const stranger = makeSigningKey(13)
  for (const signer of [".", "example"]) {
    const signature = signSet([forged], nameFromText(signer), stranger, validity)
    const found = await validate((_query, reply) => (reply.questions[0]!.type === A ? { ...reply, answers: [forged, signature] } : reply))
    assert.equal(found.status, "bogus", `signed by ${signer}`)
    const octets = encodeContent({ kind: "DNAME", target: nameFromText("other.example") })
    const dname = record(nameFromText(signer), DNAME, octets, 60)
    const led = await validate((_query, reply) => (reply.questions[0]!.name.labels.length === 3 ? { ...reply, answers: [dname] } : reply))
    assert.equal(led.status, "bogus", `DNAME at ${signer}`)
  }
})

test("a DNAME made from a wildcard redirects nothing", async () => {
  const tree = new SignedTree({
    validity,
    zones: {
      ".": { keys: [makeSigningKey(13)] },
      "a.test": { keys: [makeSigningKey(13)], records: { "*.dw.a.test": { DNAME: "b.a.test" }, "x.b.a.test": { A: ["127.0.0.9"] } } },
    },
  })
  const above = nameFromText("y.dw.a.test")
  const lie: Lie = (_query, reply) => {
    if (reply.questions[0]!.name.labels.length !== 5) return reply
    const made = tree.answer(above, DNAME, true)
    assert.ok(made.answers.some(({ type }) => type === DNAME) && made.answers.some(({ type }) => type === RRSIG))
    return { ...reply, ...made }
  }
  const found = await validatorOver(tree, at, lie).validate(nameFromText("x.y.dw.a.test"), A, signal)
  assert.deepEqual([found.status, found.outcome], ["bogus", "failure"])
})

test("what a lookup asked for itself about zone cuts is weighed with its answer", async () => {
  const tree = new SignedTree({
    validity,
    zones: {
      ".": { keys: [makeSigningKey(13)] },
      example: { keys: [makeSigningKey(13)] },
      "a.example": { keys: [makeSigningKey(13)], records: standardRecords("a.example") },
    },
  })
  const validator = validatorOver(tree, at)
  const cold = await validator.validate(host, A, signal)
  assert.equal(
    cold.ownOctets,
    cold.wire.reduce((sum, message) => sum + message.length, 0),
  )
  const warm = await validator.validate(host, A, signal)
  assert.ok(warm.ownOctets > 0 && warm.ownOctets < cold.ownOctets)
})

test("a kept answer ends with its signatures also when the wall clock is set forward", async () => {
  const tree = new SignedTree({
    validity,
    zones: { ".": { keys: [makeSigningKey(13)], records: { "host.a.example": { A: ["127.0.0.1"] } } } },
  })
  let asked = 0
  let wall = at
  const resolver = createResolver({
    dnssec: { anchors: tree.anchors() },
    upstreams: [{ address: "127.0.0.1", port: 53 }],
    transport: {
      exchange: async (octets) => {
        asked += 1
        const query = decodeMessage(octets)
        const { name, type } = query.questions[0]!
        return encodeMessage({ ...query, response: true, recursionAvailable: true, ...tree.answer(name, type, true) })
      },
    },
    clock: { ...manualClock(), now: () => wall },
    random: seededRandom(1),
  })
  assert.equal((await resolver.resolve("host.a.example", "A", {})).status, "secure")
  const cold = asked
  assert.equal((await resolver.resolve("host.a.example", "A", {})).status, "secure")
  assert.equal(asked, cold, "kept")
  wall = at + 7_201_000
  assert.equal((await resolver.resolve("host.a.example", "A", {})).status, "bogus")
})
