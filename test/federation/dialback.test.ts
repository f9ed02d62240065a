// Dialback keys and elements: the published vectors (XEP-0185, XEP-0220), KEY-1..3, DB-24, DB-25.
import assert from "node:assert/strict"
import { createHmac, createHash } from "node:crypto"
import { test } from "node:test"
import { dialbackKey, KeyRing, readDialback, resultAnswerXml, resultRequestXml, verifyAnswerXml, verifyRequestXml } from "../../src/federation/dialback.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { XmlParser } from "../../src/xml/parser.ts"
import type { Clock, Random } from "../../src/ports.ts"

const vectors = [
  ["s3cr3tf0rd14lb4ck", "montague.example", "capulet.example", "D60000229F", "b4835385f37fe2895af6c196b59097b16862406db80559900d96bf6fa7d23df3"],
  ["d14lb4ck43v3r", "capulet.example", "montague.example", "417GAF25", "225cc5aa6a071133249d25fef42ae516fc7a86c523aa1c6980a7f73e784c972d"],
  ["s3cr3tf0rd14lb4ck", "xmpp.example.com", "example.org", "D60000229F", "37c69b1cf07a3f67c04a5ef5902fa5114f2c76fe4a2686482ba5b89323075643"],
] as const

test("KEY-1, KEY-2: keys are those of the published vectors", () => {
  for (const [secret, receiving, originating, id, key] of vectors) {
    assert.equal(dialbackKey(Buffer.from(secret), parseDomain(receiving), parseDomain(originating), id), key)
  }
})

test("KEY-2: the HMAC key is the hexadecimal text, not the raw hash", () => {
  const raw = createHmac("sha256", createHash("sha256").update("s3cr3tf0rd14lb4ck").digest()).update("montague.example capulet.example D60000229F").digest("hex")
  assert.match(raw, /^aab5380e.*bf4381$/)
  assert.notEqual(dialbackKey(Buffer.from("s3cr3tf0rd14lb4ck"), parseDomain("montague.example"), parseDomain("capulet.example"), "D60000229F"), raw)
})

const a = parseDomain("a.example")
const b = parseDomain("b.example")
const c = parseDomain("c.example")

function ring(): { keys: KeyRing; step: (ms: number) => void } {
  let now = 0
  const clock: Clock = { now: () => now, monotonic: () => now, after: () => () => {} }
  const random: Random = { bytes: (count) => new Uint8Array(count).fill(7), fraction: () => 0.5 }
  return { keys: new KeyRing(random, clock), step: (ms) => (now += ms) }
}

test("KEY-3, DB-24: only keys that were made are vouched for, so nobody can use us to compute one", () => {
  const { keys, step } = ring()
  const pair = { sender: a, target: b }
  const key = keys.issue(pair, "id1")
  assert.equal(keys.vouches(pair, "id1", key), true)
  assert.equal(keys.vouches(pair, "id1", `${key.slice(0, -1)}${key.endsWith("0") ? "1" : "0"}`), false)
  assert.equal(keys.vouches(pair, "id1", ""), false)
  assert.equal(keys.vouches({ sender: a, target: c }, "id1", key), false)
  assert.equal(keys.vouches({ sender: b, target: a }, "id1", key), false)
  assert.equal(keys.vouches(pair, "id2", key), false)
  // The arithmetic alone is right for id2, too, but nobody here made that key.
  const computed = dialbackKey(new Uint8Array(32).fill(7), b, a, "id2")
  assert.equal(keys.vouches(pair, "id2", computed), false)
  keys.forget(pair, "id1")
  assert.equal(keys.vouches(pair, "id1", key), false)
  const late = keys.issue(pair, "id3")
  step(10 * 60 * 1000 + 1)
  assert.equal(keys.vouches(pair, "id3", late), false)
})

test("what is remembered of keys is bounded", () => {
  const { keys } = ring()
  const pair = { sender: a, target: b }
  const first = keys.issue(pair, "first")
  for (let index = 0; index < 20_001; index++) keys.issue(pair, `id${index}`)
  assert.equal(keys.vouches(pair, "first", first), false)
  assert.equal(keys.vouches(pair, "id20000", keys.issue(pair, "id20000")), true)
})

function element(xml: string) {
  const parser = XmlParser.continueFrom([["", "jabber:server"], ["db", "jabber:server:dialback"]], "stream:stream", {})
  parser.push(Buffer.from(xml))
  const event = parser.next()
  assert.equal(event?.kind, "element")
  return event.kind === "element" ? event.element : assert.fail()
}

test("DB-21, DB-23, DB-29: elements read back what was written", () => {
  const pair = { sender: a, target: b }
  assert.deepEqual(readDialback(element(resultRequestXml(pair, "k1"))), { kind: "result", from: a, to: b, id: undefined, type: undefined, key: "k1", condition: undefined, words: undefined })
  assert.deepEqual(readDialback(element(verifyRequestXml(pair, "i'd", "k1"))), { kind: "verify", from: b, to: a, id: "i'd", type: undefined, key: "k1", condition: undefined, words: undefined })
  const answer = readDialback(element(resultAnswerXml(pair, "error", { condition: "not-authorized", words: "a < b" })))
  assert.deepEqual(answer, { kind: "result", from: b, to: a, id: undefined, type: "error", key: "", condition: "not-authorized", words: "a < b" })
  const verified = readDialback(element(verifyAnswerXml({ from: b, to: a, id: "x" }, "valid")))
  assert.deepEqual(verified, { kind: "verify", from: a, to: b, id: "x", type: "valid", key: "", condition: undefined, words: undefined })
})

test("security.md 23: dialback addresses are bare domains", () => {
  for (const from of ["u@a.example", "a.example/r", "a.example/x@victim.example", "a.example..", "\u212aa.example", "127.0.0.1"]) {
    assert.equal(readDialback(element(`<db:result from='${from}' to='b.example'>k</db:result>`)), undefined, from)
  }
  assert.equal(readDialback(element("<db:result to='b.example'>k</db:result>")), undefined)
  assert.equal(readDialback(element("<db:result from='A.Example.' to='b.example'>k</db:result>"))?.from, "a.example")
})
