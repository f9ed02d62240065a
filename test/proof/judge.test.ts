// Judging saved evidence again (security.md 25-27): the same verdict from the same facts; anything forged, unknown or oversized
// is told apart, and nothing in a file decides how it is judged.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Evidence, EvidenceFile } from "../../src/model/evidence.ts"
import { EvidenceError, evidenceLimits, judge, readEvidenceFile } from "../../src/proof/judge.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { match } from "../../src/proof/prove.ts"
import type { AnyProoftype, ProofSubject } from "../../src/proof/prooftype.ts"
import type { IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"
import { anchors, domain, good, own, pairOf, start, stranger } from "../scenarios/support.ts"

const day = 86_400_000
const strangers = anchorsFromPem(stranger.certificate.pem)

function evidenceFor(certificate: IssuedCertificate, role: "incoming" | "outgoing" = "incoming", at = start): Evidence {
  const subject: ProofSubject = { source: domain("a.example"), service: "xmpp-server", role, endpoint: undefined }
  const presentedAs = role === "incoming" ? ("tls-client" as const) : ("tls-server" as const)
  const proof = { chain: certificate.chain, presentedAs, protocol: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", serverName: undefined, alpn: undefined }
  const proven = match([{ prooftype: pkix, material: { anchors } }], subject, proof, at)
  const pair = role === "incoming" ? pairOf("a.example", "b.example") : pairOf("b.example", "a.example")
  return proven.evidence(pair)[0]!
}

function fileOf(...items: unknown[]): EvidenceFile {
  const [first] = items as Evidence[]
  return readEvidenceFile(
    JSON.stringify({
      evidence: 1,
      tool: { name: "xmpp-dna", version: "0" },
      recorded: new Date(start).toISOString(),
      direction: "in",
      pair: first?.pair ?? pairOf("a.example", "b.example"),
      decision: "refused",
      level: null,
      finding: null,
      sentence: "",
      items,
    }),
  )
}

/** A deep copy with other values at some paths, written as `a.b.0.c`; undefined takes one away. */
function changed(value: unknown, changes: Readonly<Record<string, unknown>>): unknown {
  const copy: unknown = JSON.parse(JSON.stringify(value))
  for (const [path, to] of Object.entries(changes)) {
    const names = path.split(".")
    const last = names.pop()!
    const place = names.reduce<Record<string, unknown>>((at, name) => at[name] as Record<string, unknown>, copy as Record<string, unknown>)
    if (to === undefined) delete place[last]
    else place[last] = to
  }
  return copy
}
const judged = (evidence: unknown, options: Partial<Parameters<typeof judge>[1]> = {}) => judge(fileOf(evidence), { prooftypes: [pkix], anchors: [anchors], ...options })

describe("the same facts, the same verdict", () => {
  const rows: readonly (readonly [string, IssuedCertificate])[] = [
    ["good", good("a.example")],
    ["serverAuth only", good("a.example", { eku: ["serverAuth"] })],
    ["self-signed", own("a.example")],
    ["unknown root", stranger.issue({ names: { dns: ["a.example"] }, notBefore: start - day, notAfter: start + day })],
    ["expired", good("a.example", { notBefore: start - 2 * day, notAfter: start - day })],
    ["another name", good("other.example")],
    ["clientAuth only", good("a.example", { eku: ["clientAuth"] })],
  ]
  for (const [name, certificate] of rows)
    for (const role of ["incoming", "outgoing"] as const)
      test(`${name}, ${role}`, () => {
        const { items, exit, sealed } = judged(evidenceFor(certificate, role))
        assert.equal(items[0]?.result, "same")
        assert.equal(exit, 0)
        assert.equal(sealed, false)
        assert.equal(items[0]?.source, "a.example")
        if (name === "good") assert.match(items[0]!.sentence, /^this material would have proved a\.example by pkix from \S+ to \S+, if these recorded facts are true/)
      })
})

describe("one field changed: what was refuted never becomes proved, and what was proved does not stay so unnoticed", () => {
  const proved = evidenceFor(good("a.example"))
  const base64 = (der: Uint8Array) => Buffer.from(der).toString("base64")
  const bent = Buffer.from(proved.proof.chain[0]!, "base64")
  bent[bent.length - 1]! ^= 1
  const refuted = { outcome: "refuted", by: "pkix", finding: "cert.expired", detail: "" }
  const rows: readonly (readonly [name: string, changes: Record<string, unknown>, result: string])[] = [
    ["the chain of somebody else", { "proof.chain": good("other.example").chain.map(base64) }, "different"],
    ["one octet of the leaf", { "proof.chain.0": base64(bent) }, "different"],
    ["no chain", { "proof.chain": [] }, "different"],
    ["rubbish for a certificate", { "proof.chain": ["AAAA"] }, "different"],
    ["another domain", { "pair.sender": "victim.example" }, "different"],
    ["the other role", { role: "outgoing" }, "different"],
    ["a time after the end", { at: new Date(start + 400 * day).toISOString() }, "different"],
    ["a time before the beginning", { at: new Date(start - 400 * day).toISOString() }, "different"],
    ["another verdict", { verdict: refuted }, "different"],
    ["anchors that are not known here", { "material.anchors.digest": strangers.digest }, "cannot-judge"],
    ["no anchors", { material: {} }, "cannot-judge"],
    ["material that is nothing", { material: null }, "cannot-judge"],
    ["another prooftype", { prooftype: "magic" }, "cannot-judge"],
  ]
  for (const [name, changes, result] of rows)
    test(name, () => {
      const { items, exit } = judged(changed(proved, changes))
      assert.equal(items[0]?.result, result)
      assert.equal(exit, result === "different" ? 2 : 3)
    })

  const claimed = { outcome: "proved", by: "pkix", detail: "", until: start + day }
  test("attack: a forged reference: the names that are looked for are computed, not read", () => {
    const honest = evidenceFor(good("attacker.example"))
    const accept = { type: "DNS-ID", value: "attacker.example", because: "source" }
    const forged = { verdict: claimed, reference: { source: "a.example", service: "xmpp-server", accept: [accept] } }
    assert.equal(judged(changed(honest, forged)).items[0]?.result, "different")
    const delegated = judged(changed(honest, { ...forged, "reference.accept.0.because": "secure-delegation" }))
    assert.equal(delegated.items[0]?.result, "cannot-judge")
    assert.equal(delegated.exit, 3)
  })

  test("attack: forged anchors: a digest that is not ours cannot be judged, whatever the file calls proved", () => {
    const honest = evidenceFor(stranger.issue({ names: { dns: ["a.example"] }, notBefore: start - day, notAfter: start + day }))
    assert.equal(judged(changed(honest, { verdict: claimed })).items[0]?.result, "different")
    const forged = changed(honest, { verdict: claimed, "material.anchors": { digest: strangers.digest, count: 1 } })
    assert.equal(judged(forged).items[0]?.result, "cannot-judge")
    assert.equal(judged(forged, { anchors: [anchors, strangers] }).items[0]?.result, "same", "unless the operator says that these roots are good")
  })

  test("attack: a backdated `at` is judged for the moment it names, and the sentence says that the time is a recorded fact", () => {
    const ended = evidenceFor(good("a.example", { notBefore: start - day / 2, notAfter: start - day / 4 }))
    assert.equal(ended.verdict.outcome, "refuted")
    const backdated = changed(ended, { at: new Date(start - day / 3).toISOString(), verdict: claimed })
    const { items } = judged(backdated)
    assert.equal(items[0]?.result, "same")
    assert.match(items[0]!.sentence, /if these recorded facts are true: .*the time of recording/)
    assert.equal(judged(backdated, { at: start }).items[0]?.result, "different")
  })

  test("attack: another service's name: which service was asked about is said", () => {
    const honest = evidenceFor(good("a.example", { names: { srv: ["_xmpp-client.a.example"] } }), "outgoing")
    assert.equal(honest.verdict.outcome, "refuted")
    const { items } = judged(changed(honest, { verdict: claimed, "reference.service": "xmpp-client" }))
    assert.match(items[0]!.sentence, /would have proved a\.example for clients by pkix/)
    assert.equal(judged(changed(honest, { verdict: claimed })).items[0]?.result, "different")
  })

  test("a domain written otherwise is the same domain", () => {
    assert.equal(judged(changed(proved, { "pair.sender": "A.Example." })).items[0]?.result, "same")
  })
})

test("a prooftype that fails on a file costs that item and no other", () => {
  const broken: AnyProoftype = {
    ...pkix,
    name: "broken",
    revive: () => {
      throw new TypeError("boom")
    },
  }
  const other = changed(evidenceFor(good("a.example")), { prooftype: "broken" })
  const { items, exit } = judge(fileOf(other, evidenceFor(good("a.example"))), { prooftypes: [pkix, broken], anchors: [anchors] })
  assert.deepEqual(items.map(({ result }) => result), ["cannot-judge", "same"])
  assert.match(items[0]!.sentence, /boom/)
  assert.equal(exit, 3)
})

test("an empty file supports nothing", () => {
  assert.equal(judge(fileOf(), { prooftypes: [pkix], anchors: [anchors] }).exit, 3)
})

describe("bad files are refused with a sentence", () => {
  const whole = fileOf(evidenceFor(good("a.example")))
  const text = JSON.stringify(whole)
  const having = (changes: Record<string, unknown>): string => JSON.stringify(changed(whole, changes))
  const rows: readonly (readonly [string, string, RegExp])[] = [
    ["no JSON", "xmpp", /not JSON, or cut off/],
    ["cut off", text.slice(0, -10), /not JSON, or cut off/],
    ["empty", "", /not JSON/],
    ["a list", "[]", /the file is not an object/],
    ["another version", having({ evidence: 2 }), /evidence of version 2; this program reads version 1/],
    ["no version", having({ evidence: undefined }), /no version/],
    ["items that are no list", having({ items: {} }), /`items` is not a list/],
    ["too many items", having({ items: Array(65).fill(whole.items[0]) }), /more than 64 items/],
    ["too many certificates", having({ "items.0.proof.chain": Array(17).fill("AA==") }), /items\[0\]\.proof\.chain has more than 16/],
    ["a chain of numbers", having({ "items.0.proof.chain": [1] }), /not a list of texts/],
    ["no role", having({ "items.0.role": undefined }), /role is neither/],
    ["a pair without a domain", having({ "items.0.pair.sender": "127.0.0.1" }), /pair\.sender is not a domain/],
    ["a time that is none", having({ "items.0.at": "yesterday" }), /at is not a time/],
    ["an unknown outcome", having({ "items.0.verdict.outcome": "true" }), /verdict\.outcome is unknown/],
    ["an item that is null", having({ "items.0": null }), /items\[0\] is not an object/],
    ["a nesting bomb", "[".repeat(100_000), /nested deeper than 32 at character 32/],
    ["a nesting bomb of objects", `{"a":`.repeat(100_000), /nested deeper than 32/],
    ["too large", `"${"x".repeat(evidenceLimits.octets)}"`, /larger than/],
  ]
  for (const [name, bad, words] of rows)
    test(name, () => {
      assert.throws(() => readEvidenceFile(bad), (error) => error instanceof EvidenceError && words.test(error.message))
    })

  test("brackets inside texts do not count", () => {
    const file = having({ sentence: `${"[".repeat(100)}"${"{".repeat(100)}` })
    assert.equal(readEvidenceFile(file).items.length, 1)
  })
})
