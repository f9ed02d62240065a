// What the validator keeps, asks, bounds and tells: cuts, second ways, work, abilities, recorded answers (security.md 15, 25).
import assert from "node:assert/strict"
import { test } from "node:test"
import { rootAnchors } from "../../../src/dns/dnssec/anchors.ts"
import { createValidator, revalidate } from "../../../src/dns/dnssec/validator.ts"
import { nameFromText } from "../../../src/dns/name.ts"
import { typeNumbers } from "../../../src/dns/records.ts"
import { SignedTree } from "../../../src/lab/dns-signed-tree.ts"
import { decoyWithTag, dsOctets, makeSigningKey, signSet } from "../../../src/lab/dns-signer.ts"
import { record } from "../../../src/lab/dns-zones.ts"
import { standardRecords } from "./tree.ts"
import { type Lie, validatorOver } from "./world.ts"

const at = Date.UTC(2026, 10, 20)
const validity = { inception: at / 1000 - 3600, expiration: at / 1000 + 7200 }
const signal = new AbortController().signal
const { A, DNSKEY, DS, RRSIG, TLSA, TXT } = typeNumbers

function smallTree(ttl = 600) {
  const apex = "a.example"
  return new SignedTree({
    validity,
    ttl,
    zones: {
      ".": { keys: [makeSigningKey(13)] },
      example: { keys: [makeSigningKey(15)] },
      [apex]: { keys: [makeSigningKey(13)], records: standardRecords(apex) },
    },
  })
}
const tree = smallTree()
const host = nameFromText("host.a.example")

test("zone cuts are kept: a second name costs one question; after their TTL they are asked for again", async () => {
  const validator = validatorOver(tree, at)
  await validator.validate(host, A, signal)
  const cold = validator.asked.length
  assert.equal(cold, 6, "the question, the root's keys, and DS with DNSKEY for two zones")
  await validator.validate(nameFromText("_5269._tcp.host.a.example"), TLSA, signal)
  assert.equal(validator.asked.length, cold + 1)
  validator.advance(601_000)
  await validator.validate(host, A, signal)
  assert.equal(validator.asked.length, cold * 2 + 1)
  validator.flush()
  await validator.validate(host, A, signal)
  assert.equal(validator.asked.length, cold * 3 + 1)
})

test("nothing outlives the signatures, kept or not", async () => {
  const long = smallTree(86_400)
  const validator = validatorOver(long, at)
  const found = await validator.validate(host, A, signal)
  assert.equal(found.ttl, 7200)
  assert.equal(found.expires, at + 7_200_000)
  validator.advance(7_201_000)
  const late = await validator.validate(host, A, signal)
  assert.equal(late.status, "bogus")
  assert.ok(late.why.some(({ code }) => code === "signature-expired"))
  assert.ok(
    late.why.some(({ code }) => code === "clock"),
    "the root's own keys out of date mean a wrong clock",
  )
})

test("an answer holds no longer than the weakest signature above it", async () => {
  const soon = { inception: validity.inception, expiration: at / 1000 + 100 }
  const short = new SignedTree({
    validity,
    ttl: 600,
    zones: {
      ".": { keys: [makeSigningKey(13)] },
      example: { keys: [makeSigningKey(13)], validity: soon },
      "a.example": { keys: [makeSigningKey(13)], records: standardRecords("a.example") },
    },
  })
  for (const [type, name] of [
    [A, host],
    [A, nameFromText("gone.a.example")],
    [A, nameFromText("any.wild.a.example")],
  ] as const) {
    const found = await validatorOver(short, at).validate(name, type, signal)
    assert.equal(found.status, "secure")
    assert.equal(found.expires, at + 100_000)
  }
})

test("lookups at the same time share the questions about zones", async () => {
  const validator = validatorOver(tree, at)
  await Promise.all(Array.from({ length: 30 }, (_, index) => validator.validate(nameFromText(`n${index}.wild.a.example`), A, signal)))
  assert.equal(validator.asked.filter(({ type }) => type === DNSKEY).length, 3)
})

const strip: Lie = (_query, reply) => ({
  ...reply,
  answers: reply.answers.filter(({ type }) => type !== RRSIG),
  authorities: reply.authorities.filter(({ type }) => type !== RRSIG && type !== typeNumbers.NSEC),
})

test("ability: able, stripped, silent, wrong clock, wrong anchors", async () => {
  const because = async (validator: ReturnType<typeof validatorOver>) => {
    const ability = await validator.ability(signal)
    return ability.able ? "able" : ability.because
  }
  assert.equal(await because(validatorOver(tree, at)), "able")
  assert.equal(await because(validatorOver(tree, at, strip)), "stripped")
  assert.equal(await because(validatorOver(tree, at, () => undefined)), "unreachable")
  assert.equal(await because(validatorOver(tree, at + 86_400_000)), "clock")
  assert.equal(await because(validatorOver(tree, at - 86_400_000)), "clock")
  const foreign = createValidator({
    anchors: rootAnchors,
    clock: { now: () => at, monotonic: () => 0 },
    ask: async ({ name, type }) => {
      const { replyOf } = await import("./world.ts")
      return replyOf(tree, name, type)
    },
  })
  const ability = await foreign.ability(signal)
  assert.equal(ability.able ? "able" : ability.because, "bogus")
})

test("stripping that begins mid-run is bogus, never insecure", async () => {
  let stripping = false
  const validator = validatorOver(tree, at, (query, reply, attempt) => (stripping ? strip(query, reply, attempt) : reply))
  assert.equal((await validator.validate(host, A, signal)).status, "secure")
  stripping = true
  assert.equal((await validator.validate(host, A, signal)).status, "bogus")
  assert.equal((await validator.validate(host, TXT, signal)).status, "bogus")
})

test("many keys of one tag with many signatures end at the limit (CVE-2023-50387)", async () => {
  const key = makeSigningKey(14)
  const apex = nameFromText("trap.example")
  const decoys = Array.from({ length: 60 }, (_, index) => decoyWithTag(key, index))
  const trap = new SignedTree({
    validity,
    zones: {
      ".": { keys: [makeSigningKey(13)] },
      example: { keys: [makeSigningKey(13)] },
      "trap.example": { keys: [key], records: standardRecords("trap.example") },
    },
  })
  const forged = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      signSet([record(nameFromText("host.trap.example"), A, Uint8Array.of(127, 0, 1, index), 60)], apex, key, validity),
    )
  const started = process.cpuUsage().user
  const validator = validatorOver(trap, at, (_query, reply) => {
    const question = reply.questions[0]!
    if (question.type === DNSKEY && question.name.labels.length === 2) {
      return { ...reply, answers: [...decoys.map((octets) => record(apex, DNSKEY, octets, 60)), ...reply.answers] }
    }
    return question.type === A ? { ...reply, answers: [...reply.answers.filter(({ type }) => type === A), ...forged(200)] } : reply
  })
  const found = await validator.validate(nameFromText("host.trap.example"), A, signal)
  assert.equal(found.status, "bogus")
  assert.ok(process.cpuUsage().user - started < 2_000_000, "bounded work")
})

test("a lookup that would ask for ever ends at the limit", async () => {
  const validator = validatorOver(tree, at, undefined, { questions: 3 })
  const found = await validator.validate(host, A, signal)
  assert.deepEqual([found.status, found.why[0]!.code], ["bogus", "work-limit"])
})

test("recorded answers: the same verdict, and any piece taken away or changed is noticed", async () => {
  const validator = validatorOver(tree, at)
  const anchors = tree.anchors()
  for (const [name, type] of [
    [host, A],
    [nameFromText("gone.a.example"), A],
    [nameFromText("any.wild.a.example"), TLSA],
    [nameFromText("alias2.a.example"), A],
  ] as const) {
    const { wire } = await validator.validate(name, type, signal)
    const again = (messages: readonly Uint8Array[], when = at, trusted = anchors) =>
      revalidate({ name, type, wire: messages, at: when, anchors: trusted }).status
    assert.equal(again(wire), "secure")
    assert.equal(again([...wire].reverse()), "secure")
    assert.equal(again(wire, at + 86_400_000), "bogus", "after the signatures expired")
    assert.equal(again(wire, at - 86_400_000), "bogus", "before they began")
    assert.equal(again(wire, at, rootAnchors), "bogus", "other anchors")
    for (const [index, message] of wire.entries()) {
      assert.equal(again(wire.filter((_, other) => other !== index)), "indeterminate")
      for (let position = 12; position < message.length; position += 7) {
        const changed = message.map((octet, offset) => (offset === position ? octet ^ 0x20 : octet))
        const status = again(wire.map((one, other) => (other === index ? changed : one)))
        // Letter case, TTLs and what is not looked at may change; the verdict never becomes insecure.
        assert.notEqual(status, "insecure")
      }
    }
  }
  assert.equal(revalidate({ name: host, type: A, wire: [new Uint8Array(5), new Uint8Array(0)], at, anchors }).status, "indeterminate")
})

test("a DS of a key that is not there, and an anchor below the root", async () => {
  const island = new SignedTree({
    validity,
    zones: {
      ".": {},
      example: { ds: "none" },
      "a.example": {
        keys: [makeSigningKey(13)],
        ds: () => [dsOctets(nameFromText("a.example"), makeSigningKey(13))],
        records: standardRecords("a.example"),
      },
    },
  })
  const validator = createValidator({
    anchors: island.anchors("a.example"),
    clock: { now: () => at, monotonic: () => 0 },
    ask: async ({ name, type }) => {
      const { replyOf } = await import("./world.ts")
      return replyOf(island, name, type)
    },
  })
  assert.equal((await validator.validate(host, A, signal)).status, "secure")
  const outside = await validator.validate(nameFromText("host.b.example"), A, signal)
  assert.deepEqual([outside.status, outside.why[0]!.code], ["insecure", "no-anchor"])
  assert.equal(DS, 43)
})
