// The example of a user's own prooftype keeps the contract of all prooftypes (RFC 7712 7), and reads only what it should.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { keyring } from "../../examples/token-prooftype/keyring.ts"
import { believedFor, createTokenProoftype, longestLife, signedOctets, tokenExporterLabel, tokenNamespace } from "../../examples/token-prooftype/token-prooftype.ts"
import type { Outcome, ServerProof, Verdict } from "../../src/model/verdict.ts"
import { builtInProoftypes, selectProoftypes } from "../../src/proof/registry.ts"
import type { ProofSubject } from "../../src/proof/prooftype.ts"
import { publicInternetOnly } from "../../src/model/reach.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { type ProofSituation, prooftypeContract } from "../contracts/prooftype.ts"
import { a, at, b, c, carried, contextOf, keyOf, parse, pemPair, proofWith, ringOf } from "./token-support.ts"

const ofA = createTokenProoftype(ringOf(a))
const ofB = createTokenProoftype(ringOf(b))
const answer = contextOf({ presenter: "receiving" })

/** A shows its token to B, who connected to it or whom it connected to. */
const byA = carried(ofA.exchange, ofB.exchange, contextOf())
const fromA: ProofSubject = { source: a, service: "xmpp-server", role: "incoming", endpoint: undefined }
const nowhere = { resolve: () => Promise.reject(new Error("nothing is asked of anybody")) }
const noWeb = { get: () => Promise.reject(new Error("nothing is asked of anybody")) }
const never = new AbortController().signal

function situation(name: string, outcome: Outcome, proof: ServerProof, subject = fromA): ProofSituation {
  return { name, outcome, subject, proof, at, ports: () => ({ anchors: anchorSet([]), resolver: nowhere, https: noWeb, reach: publicInternetOnly, at, signal: never }) }
}

prooftypeContract(
  ofB,
  [
    situation("a token of the initiating server", "proved", proofWith(byA)),
    situation("none shown", "absent", proofWith(undefined)),
    situation("made for another channel", "refuted", proofWith(carried(ofA.exchange, ofB.exchange, contextOf(), contextOf({ exporter: new Uint8Array(32) })))),
    situation("shown too long ago", "unavailable", proofWith({ ...(byA as object), received: at - believedFor, expires: at - believedFor + 1000 })),
  ],
  [],
)

const fromB: ProofSubject = { source: b, service: "xmpp-server", role: "outgoing", endpoint: undefined }
prooftypeContract(
  ofA,
  [
    situation("a token of the receiving server", "proved", proofWith(carried(ofB.exchange, ofA.exchange, answer), "tls-server"), fromB),
    situation("none shown, outgoing", "absent", proofWith(undefined, "tls-server"), fromB),
  ],
  [],
)

const verdictOf = (said: unknown, more: Partial<ServerProof> = {}, prooftype = ofB, subject = fromA): Verdict =>
  prooftype.match(proofWith(said, subject.role === "incoming" ? "tls-client" : "tls-server", more), ringOf(b), referenceIdentity(subject), at)
const detail = (verdict: Verdict): string => (verdict.outcome === "proved" ? "proved" : `${verdict.outcome}: ${verdict.detail}`)

test("what is signed is each field behind its length, in this order", () => {
  const octets = signedOctets({ presenter: "initiating", pair: { sender: a, target: b }, streamId: "id", exporter: Uint8Array.of(1, 2), at }, 99)
  const fields = ["xmpp-dna example token prooftype 0", "initiating", "a.example", "b.example", "id", "\u0001\u0002", "99"]
  assert.equal(octets.toString("latin1"), fields.map((field) => `\0\0\0${String.fromCharCode(field.length)}${field}`).join(""))
})

test("no two contexts are signed over the same octets", () => {
  const word = fc.string({ maxLength: 6 })
  const context = fc.record({ presenter: fc.constantFrom("initiating" as const, "receiving" as const), sender: word, target: word, streamId: word, exporter: fc.uint8Array({ maxLength: 4 }), expires: fc.nat() })
  const octets = ({ sender, target, expires, ...rest }: typeof context extends fc.Arbitrary<infer T> ? T : never) =>
    signedOctets({ ...rest, pair: { sender: sender as typeof a, target: target as typeof a }, at }, expires).toString("hex")
  fc.assert(fc.property(context, context, (one, two) => assert.equal(octets(one) === octets(two), JSON.stringify(one) === JSON.stringify(two))))
})

test("the element names its key and its end, and no algorithm and no address", () => {
  const shown = parse(ofA.exchange.present(contextOf())!)
  assert.deepEqual([shown.ns, shown.name, shown.attributes.map(({ name }) => name)], [tokenNamespace, "token", ["key", "expires"]])
  assert.equal(Number(shown.attributes[1]!.value) - at, 120_000)
  assert.ok(Number(shown.attributes[1]!.value) - at <= longestLife)
  assert.match(tokenExporterLabel, /^EXPERIMENTAL/)
})

test("nothing is shown to strangers, nor for a domain without a private key", () => {
  const stranger = createTokenProoftype(keyring([keyOf(a, "own")]))
  assert.equal(stranger.exchange.present(contextOf()), undefined)
  assert.equal(ofB.exchange.present(contextOf()), undefined)
  assert.notEqual(ofB.exchange.present(answer), undefined)
})

const said = byA as Record<string, unknown>
const refused: readonly (readonly [string, unknown, Partial<ServerProof>, string])[] = [
  ["TLS 1.2", said, { protocol: "TLSv1.2" }, "refuted: a token needs TLS 1.3, and this is TLSv1.2"],
  ["shown by a server", said, { presentedAs: "tls-server" }, "refuted: the token was made for the other direction"],
  ["an unknown key", { ...said, key: "z9" }, {}, 'refuted: the key "z9" is not in the keyring'],
  ["the key of another domain", { ...said, key: "c1" }, {}, "refuted: the key c1 speaks for c.example, not for a.example"],
  ["a wrong signature", { ...said, valid: false }, {}, "refuted: the signature of a1 does not fit this stream"],
  ["without an end", { ...said, expires: null }, {}, "refuted: the token had ended when it was shown"],
  ["over", { ...said, expires: at }, {}, "refuted: the token had ended when it was shown"],
  ["an end too far away", { ...said, expires: at + longestLife + 1 }, {}, "refuted: the token claims to hold for more than five minutes"],
  ["from the future", { ...said, received: at + longestLife + 1, expires: at + longestLife + 2 }, {}, "unavailable: the token was shown too long ago"],
]
for (const [what, shown, more, expected] of refused) test(`${what}: ${expected}`, () => assert.equal(detail(verdictOf(shown, more)), expected))

test("it lasts half a day, whatever end the token names: that is for showing it", () => {
  const verdict = verdictOf(byA)
  assert.ok(verdict.outcome === "proved")
  assert.equal(verdict.until, at + believedFor)
})

test("a key that is taken out of the keyring proves nothing from then on", () => {
  const without = keyring([keyOf(b, "own"), keyOf(c, "theirs")])
  const verdict = ofB.match(proofWith(byA), without, referenceIdentity(fromA), at)
  assert.equal(detail(verdict), 'refuted: the key "a1" is not in the keyring')
})

test("neither the signature nor the exported octets are kept (security.md 27)", () => {
  const shown = ofA.exchange.present(contextOf())!
  const kept = JSON.stringify([byA, ofB.record(ringOf(b)), ofB.facts(ringOf(b))])
  const signature = />([^<]+)</.exec(shown)![1]!
  for (const secret of [signature, Buffer.from(contextOf().exporter).toString("hex"), Buffer.from(contextOf().exporter).toString("base64")]) assert.equal(kept.includes(secret), false)
})

test("whatever an element says, reading it ends, and only a real token is valid", () => {
  const real = parse(ofA.exchange.present(contextOf())!)
  const check = (xml: string): void => {
    const { valid } = ofB.exchange.read(parse(xml), contextOf()) as { valid: boolean }
    assert.equal(valid, false, xml)
  }
  const expires = real.attributes[1]!.value
  const signature = String(real.children[0])
  for (const xml of [
    "<token/>",
    `<token key='a1' expires='${expires}'/>`,
    `<token key='a1' expires='${expires}'>${signature.slice(4)}</token>`,
    `<token key='a1' expires='${expires}'>${signature.replace(/=+$/, "")}</token>`,
    `<token key='a1' expires='${expires}'>${Buffer.alloc(64).toString("base64")}</token>`,
    `<token key='a1' expires='${expires}'><b/>${signature}</token>`,
    `<token key='a1' expires='+${expires}'>${signature}</token>`,
    `<token key='a1' expires='${expires}.0'>${signature}</token>`,
    `<token key='a1' expires='${Number(expires) + 1}'>${signature}</token>`,
    `<token key='b1' expires='${expires}'>${signature}</token>`,
    `<token key='${"k".repeat(5000)}' expires='9'>${signature}</token>`,
  ])
    check(xml)
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (key, end, text) => {
      const element = { ...real, attributes: [{ ...real.attributes[0]!, value: key }, { ...real.attributes[1]!, value: end }], children: [text] }
      assert.equal((ofB.exchange.read(element, contextOf()) as { valid: boolean }).valid, false)
    }),
  )
})

test("the keyring: Ed25519 only, one name one key one domain", () => {
  const make = (...settings: Parameters<typeof keyring>[0]) => () => keyring(settings)
  assert.throws(make(keyOf(a, "own"), { ...keyOf(b, "own"), id: "a1" }), /two keys are called a1/)
  assert.throws(make(keyOf(a, "own"), { ...keyOf(a, "theirs"), id: "a2", domain: "b.example" }), /a2 is in the keyring under another name/)
  assert.throws(make({ id: "a1", domain: "a.example", pem: pemPair("ed448").publicPem }), /a1 is ed448; only Ed25519/)
  assert.throws(make({ id: "a1", domain: "a.example", pem: "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" }), /a1 cannot be read/)
  assert.throws(make({ ...keyOf(a, "own"), domain: "no domain" }))
  assert.throws(make({ ...keyOf(a, "own"), id: "a 1" }), /no name for a key/)
  assert.equal(ringOf(a).digest, ringOf(b).digest)
  assert.notEqual(keyring([keyOf(a, "own")]).digest, ringOf(a).digest)
})

test("evidence is judged with the keyring at hand, never with one of the file's", () => {
  const recorded = ofB.record(ringOf(b))
  const other = createTokenProoftype(keyring([keyOf(a, "theirs")]))
  assert.ok("material" in ofB.revive(recorded, new Map()))
  const revived = other.revive(recorded, new Map())
  assert.ok("cannotJudge" in revived)
  assert.match(revived.cannotJudge, /is not the one here/)
})

test("it is off unless it is passed on, and takes no built-in name", () => {
  assert.equal(builtInProoftypes.some(({ name }) => name === "token"), false)
  assert.throws(() => selectProoftypes(new Set(["token"])), /there is no prooftype token/)
  assert.deepEqual(selectProoftypes(new Set(["pkix", "token"]), { extra: [ofA] }).map(({ name }) => name), ["pkix", "token"])
  assert.throws(() => selectProoftypes(new Set(["pkix"]), { extra: [{ ...ofA, name: "pkix" }] }), /two prooftypes are called pkix/)
})
