// Evidence of DANE with the messages of DNS in it: `judge` validates them again, marks what is signed, and is not taken in by a
// file that says more than its messages show (security.md 16, 25).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { makeSigningKey } from "../../src/lab/dns-signer.ts"
import { SignedTree } from "../../src/lab/dns-signed-tree.ts"
import type { Evidence } from "../../src/model/evidence.ts"
import { dane } from "../../src/proof/dane.ts"
import { judge, type JudgedItem, readEvidenceFile } from "../../src/proof/judge.ts"
import { publicAnchors } from "./dane-support.ts"
import { both, record, records, resolverFor, tree, validity, zones } from "./signed-evidence.ts"
import { issued, now, own, publicRoot, tlsa } from "./tlsa-support.ts"

const anchors = tree.anchors()
const evidenceOf = async (role: "outgoing" | "incoming", mode: "validate" | "trust-ad" = "validate", of = tree): Promise<Evidence> => (await record(role, { mode, of }))[0]!

function judgeAll(items: readonly unknown[], { dnsAnchors = [anchors], ...more }: Partial<Parameters<typeof judge>[1]> & { level?: string } = {}) {
  const { pair, at } = items[0] as Evidence
  const { level = null, ...options } = more
  const file = { evidence: 1, tool: { name: "xmpp-dna", version: "0" }, recorded: at, direction: "out", pair, decision: "associated", level, finding: null, sentence: "", items }
  return judge(readEvidenceFile(JSON.stringify(file)), { prooftypes: both, anchors: [publicAnchors], dnsAnchors, ...options })
}
const judged = (item: unknown, dnsAnchors = [anchors]): JudgedItem => judgeAll([item], { dnsAnchors, prooftypes: [dane] }).items[0]!

// biome-ignore lint/suspicious/noExplicitAny: evidence is taken apart here as a forger would
type Material = any
function forged(item: Evidence, change: (material: Material) => void): Evidence {
  const copy = JSON.parse(JSON.stringify(item)) as Evidence
  change(copy.material)
  return copy
}
const dnsFacts = ({ facts }: JudgedItem): string[] => facts.filter(({ fact }) => fact.startsWith("DNS: ")).map(({ mark }) => mark)

for (const role of ["outgoing", "incoming"] as const) {
  test(`${role}: proved by signed DNS, validated again offline, every answer marked signed`, async () => {
    const item = judged(await evidenceOf(role))
    assert.deepEqual([item.result, item.now!.outcome], ["same", "proved"], item.sentence)
    assert.ok(dnsFacts(item).length >= 3 && dnsFacts(item).every((mark) => mark === "signed"), JSON.stringify(item.facts))
    const [attested, signed] = item.sentence.split(". Signed, and checked again here: ")
    assert.match(attested!, /if these recorded facts are true: the peer held the leaf certificate's key/)
    assert.doesNotMatch(attested!, /DNS: /)
    assert.match(signed!, /_5269\._tcp\.host\.example TLSA 3 1 1, secure/)
  })
}

test("other anchors than the recorder's: cannot judge, with the option that helps", async () => {
  const item = judged(await evidenceOf("outgoing"), [new SignedTree({ validity, zones: zones() }).anchors()])
  assert.equal(item.result, "cannot-judge")
  assert.match(item.sentence, /under the anchors known here; name others with --dns-anchors/)
})

test("by another resolver's word: attested, and not called secure", async () => {
  const item = judged(await evidenceOf("outgoing", "trust-ad"))
  assert.deepEqual([item.result, item.now!.outcome], ["same", "proved"])
  assert.ok(dnsFacts(item).every((mark) => mark === "attested"))
  assert.match(item.sentence, /TLSA 3 1 1, called secure by resolver 127\.0\.0\.1:53/)
  assert.doesNotMatch(item.sentence, /Signed, and checked/)
})

test("an unsigned zone is shown to be unsigned, and proves nothing", async () => {
  const unsigned = new SignedTree({ validity, zones: zones("none") })
  const evidence = await evidenceOf("outgoing", "validate", unsigned)
  const item = judged(evidence, [unsigned.anchors()])
  assert.deepEqual([item.result, item.now!.outcome], ["same", "absent"])
})

test("a file that says more than its messages is not believed", async () => {
  const item = await evidenceOf("outgoing")
  const other = tlsa(own().der, "3 1 1")
  const rows: readonly (readonly [string, (material: Material) => void, RegExp])[] = [
    ["other TLSA records", (material) => (material.tlsa[0].records = [other]), /hold other TLSA records/],
    ["a message dropped", (material) => material.tlsa[0].wire.pop(), /do not show it to be secure/],
    ["all messages dropped but the list", (material) => (material.tlsa[0].wire = []), /do not show it to be secure/],
    ["rubbish for messages", (material) => (material.tlsa[0].wire = ["AAAA", "!"]), /do not show it to be secure/],
    ["a later time than the signatures'", (material) => (material.at += 8_000_000), /do not show it to be secure/],
    ["the messages of another answer", (material) => (material.tlsa[0].wire = material.grounds[0].wire), /do not show it to be secure/],
    ["another alias target", (material) => (material.tlsa[0].canonical = "elsewhere.example"), /something else than the file/],
    ["records called absent", (material) => Object.assign(material.tlsa[0], { outcome: "no-data", records: [] }), /something else than the file/],
    ["signed records called unsigned", (material) => Object.assign(material.tlsa[0], { status: "insecure" }), /do not show it to be insecure/],
  ]
  for (const [what, change, says] of rows) {
    const found = judged(forged(item, change))
    assert.deepEqual([found.result, found.now], ["cannot-judge", undefined], what)
    assert.match(found.sentence, says, what)
  }
  // Without messages an answer is the recorder's word, and the sentence says so.
  const bare = judged(forged(item, (material) => delete material.tlsa[0].wire))
  assert.match(bare.sentence, /if these recorded facts are true: .*DNS: _5269\._tcp\.host\.example TLSA/)
  const longer = judged(forged(item, (material) => (material.tlsa[0].signaturesUntil += 1_000_000_000)))
  assert.ok(longer.now?.outcome === "proved" && longer.now.until <= now + 7_200_000, "the end of the signatures is read from the signatures")
})

test("a server that the signed SRV records do not name", async () => {
  const other = new SignedTree({ validity, zones: { ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records: { ...records, "_5270._tcp.host.example": records["_5269._tcp.host.example"] } } } })
  const incoming = await evidenceOf("incoming", "validate", other)
  const answer = await resolverFor(other, "validate").resolve("_5270._tcp.host.example", "TLSA", {})
  const item = judged(
    forged(incoming, (material) => {
      const lookup = material.tlsa.find(({ of }: { of: string }) => of === "server")
      Object.assign(lookup, { name: "_5270._tcp.host.example", canonical: "_5270._tcp.host.example", port: 5270, wire: answer.wire })
    }),
    [other.anchors()],
  )
  assert.equal(item.result, "cannot-judge")
  assert.match(item.sentence, /signed SRV records do not lead to host\.example port 5270/)
})

test("a second answer to the same question does not borrow the signatures of the first", async () => {
  const other = tlsa(own().der, "3 1 1")
  for (const list of ["tlsa", "grounds"] as const) {
    const item = judged(
      forged(await evidenceOf("outgoing"), (material) => {
        const { wire: _, ...unsigned } = material[list][0]
        material[list].unshift(list === "tlsa" ? { ...unsigned, records: [other] } : unsigned)
      }),
    )
    assert.deepEqual([item.result, item.facts], ["cannot-judge", []], list)
    assert.match(item.sentence, /answers one question twice/)
  }
})

test("an unsigned SRV answer leads to no server, nor does it keep the signed one from being read", async () => {
  const other = new SignedTree({ validity, zones: { ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records: { ...records, "_5270._tcp.host.example": records["_5269._tcp.host.example"] } } } })
  const incoming = await evidenceOf("incoming", "validate", other)
  const answer = await resolverFor(other, "validate").resolve("_5270._tcp.host.example", "TLSA", {})
  const item = judged(
    forged(incoming, (material) => {
      const direct = material.grounds[1]
      Object.assign(direct, { status: "insecure", outcome: "data" })
      delete direct.wire
      const lookup = material.tlsa.find(({ of }: { of: string }) => of === "server")
      Object.assign(lookup, { name: "_5270._tcp.host.example", canonical: "_5270._tcp.host.example", port: 5270, wire: answer.wire })
    }),
    [other.anchors()],
  )
  assert.equal(item.result, "cannot-judge", item.sentence)
  assert.match(item.sentence, /signed SRV records do not lead to host\.example port 5270/)
})

test("a server that only the operator's configuration names: the sentence says so", async () => {
  const item = judged(
    forged(await evidenceOf("outgoing"), (material) => {
      material.grounds = material.grounds.filter(({ type }: { type: string }) => type !== "SRV")
      Object.assign(material.endpoint, { via: "operator", delegation: "configured" })
    }),
  )
  assert.equal(item.now?.outcome, "proved", item.sentence)
  assert.match(item.sentence.split(". Signed, and checked again here: ")[0]!, /the operator's configuration sends a\.example to host\.example port 5269/)
})

test("without SRV only the usual port speaks for the domain", async () => {
  const bare = { "a.example": { A: ["127.0.0.1"] }, "_5269._tcp.a.example": records["_5269._tcp.host.example"], "_443._tcp.a.example": records["_5269._tcp.host.example"] }
  const other = new SignedTree({ validity, zones: { ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records: bare } } })
  const answer = await resolverFor(other, "validate").resolve("_443._tcp.a.example", "TLSA", {})
  for (const role of ["outgoing", "incoming"] as const) {
    const evidence = await evidenceOf(role, "validate", other)
    assert.equal(judged(evidence, [other.anchors()]).now?.outcome, "proved")
    const item = judged(
      forged(evidence, (material) => {
        if (role === "outgoing") material.endpoint.port = 443
        const lookup = material.tlsa.find(({ of }: { of: string }) => of === "server")
        Object.assign(lookup, { name: "_443._tcp.a.example", canonical: "_443._tcp.a.example", port: 443, wire: answer.wire })
      }),
      [other.anchors()],
    )
    assert.equal(item.result, "cannot-judge", item.sentence)
  }
})

describe("PKIX by a name that signed SRV added: judged by the DNS material beside it", () => {
  // The certificate names the host alone; DANE has nothing to compare with.
  const chain = issued(publicRoot, "host.example").chain
  const without = new SignedTree({ validity, zones: zones(undefined, { "_xmpp-server._tcp.a.example": records["_xmpp-server._tcp.a.example"], "host.example": records["host.example"] }) })
  const recorded = () => record("outgoing", { prooftypes: both, of: without, chain })
  const options = { dnsAnchors: [without.anchors()] }

  test("it is proved again, the delegation marked signed, and holds no longer than DNS does", async () => {
    const items = await recorded()
    assert.deepEqual(items.map(({ verdict }) => verdict.outcome), ["proved", "absent"])
    const { items: found, exit, decision } = judgeAll(items, { ...options, level: "authenticated" })
    assert.deepEqual([found.map(({ result }) => result), exit, decision.result], [["same", "same"], 0, "supported"])
    const [pkix] = found
    assert.match(pkix!.sentence, /proved a\.example by pkix from 2026-11-20T12:00:00\.000Z to 2026-11-20T13:15:00\.000Z, if /)
    assert.deepEqual(pkix!.facts.filter(({ fact }) => fact.startsWith("DNS: ")), [
      { fact: "DNS: a.example leads to host.example port 5269", mark: "signed" },
      { fact: "DNS: _xmpp-server._tcp.a.example SRV data, secure", mark: "signed" },
    ])
    assert.equal(judgeAll(items, { ...options, at: now + 2 * 3_600_000 }).items[0]!.now?.outcome, "refuted", "after DNS has ended the name counts no more")
  })

  test("by another resolver's word it is attested, and nothing is called secure", async () => {
    const items = await record("outgoing", { prooftypes: both, of: without, chain, mode: "trust-ad" })
    const [pkix] = judgeAll(items, options).items
    assert.deepEqual([pkix!.result, pkix!.now?.outcome], ["same", "proved"])
    const dns = pkix!.facts.filter(({ fact }) => fact.startsWith("DNS: "))
    assert.deepEqual(dns.map(({ mark }) => mark), ["attested", "attested"])
    assert.match(dns[1]!.fact, /SRV data, called secure by resolver 127\.0\.0\.1:53$/)
  })

  test("without that material, or where it cannot be validated, it cannot be judged, as before", async () => {
    const items = await recorded()
    for (const some of [items.slice(0, 1), [items[0], { ...items[1], prooftype: "magic" }]]) assert.equal(judgeAll(some, options).items[0]!.result, "cannot-judge")
    const elsewhere = judgeAll(items, { dnsAnchors: [anchors] })
    assert.deepEqual(elsewhere.items.map(({ result }) => result), ["cannot-judge", "cannot-judge"])
    assert.match(elsewhere.items[0]!.sentence, /rests on a delegation, which this file does not show/)
  })

  test("attack: the way of another connection or domain is not taken for this one", async () => {
    const items = await recorded()
    const [pkix, dns] = items as [Evidence, Evidence]
    const victim = { sender: pkix.pair.sender, target: "victim.example" }
    const rows: readonly (readonly [string, readonly unknown[]])[] = [
      ["another domain", [{ ...pkix, pair: victim }, dns]],
      ["another domain, its pair on both", [{ ...pkix, pair: victim }, { ...dns, pair: victim }]],
      ["another chain", [{ ...pkix, proof: { ...pkix.proof, chain: issued(publicRoot, "host.example").chain.map((der) => Buffer.from(der).toString("base64")) } }, dns]],
      ["another moment", [{ ...pkix, at: new Date(now + 1000).toISOString() }, dns]],
      ["the other role", [pkix, { ...dns, role: "incoming", pair: { sender: pkix.pair.target, target: pkix.pair.sender } }]],
    ]
    for (const [what, forged] of rows) assert.notEqual(judgeAll(forged, options).items[0]!.now?.outcome, "proved", what)
  })

  test("attack: an unsigned delegation called secure by the reference is a false verdict", async () => {
    const unsigned = new SignedTree({ validity, zones: zones("none") })
    const items = await record("outgoing", { prooftypes: both, of: unsigned, chain })
    assert.deepEqual(items.map(({ verdict }) => verdict.outcome), ["refuted", "absent"])
    const reference = { ...items[0]!.reference, accept: [...items[0]!.reference.accept, { type: "DNS-ID", value: "host.example", because: "secure-delegation" }] }
    const verdict = { outcome: "proved", by: "pkix", detail: "", until: now + 1000 }
    const { items: found, exit } = judgeAll([{ ...items[0], reference, verdict }, items[1]], { dnsAnchors: [unsigned.anchors()] })
    assert.deepEqual([found[0]!.result, exit], ["different", 2])
  })
})
