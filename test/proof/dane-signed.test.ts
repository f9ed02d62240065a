// Evidence of DANE with the messages of DNS in it: `judge` validates them again, marks what is signed, and is not taken in by a
// file that says more than its messages show (security.md 16, 25).
import assert from "node:assert/strict"
import { test } from "node:test"
import { parseAnchors } from "../../src/dns/dnssec/anchors.ts"
import { createResolver, type DnsTransport } from "../../src/dns/resolver.ts"
import { classInternet, decodeMessage, encodeMessage } from "../../src/dns/message.ts"
import { SignedTree } from "../../src/lab/dns-signed-tree.ts"
import { makeSigningKey } from "../../src/lab/dns-signer.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { Evidence } from "../../src/model/evidence.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { discover } from "../../src/discovery/discover.ts"
import { dane } from "../../src/proof/dane.ts"
import { judge, type JudgedItem, readEvidenceFile } from "../../src/proof/judge.ts"
import { match } from "../../src/proof/prove.ts"
import type { ProofSubject } from "../../src/proof/prooftype.ts"
import { seededRandom } from "../dns/support.ts"
import { a, never, publicAnchors, shownBy } from "./dane-support.ts"
import { withoutWeb } from "./proof-ports.ts"
import { now, own, tlsa } from "./tlsa-support.ts"

const leaf = own()
const { usage, selector, matching, association } = tlsa(leaf.der, "3 1 1")
const seconds = Math.floor(now / 1000)
const records = {
  "_xmpp-server._tcp.a.example": { SRV: [[0, 0, 5269, "host.example"]] as const },
  "host.example": { A: ["127.0.0.1"] },
  "_5269._tcp.host.example": { TLSA: [[usage, selector, matching, association]] as const },
}
const zones = (ds?: "none") => ({ ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records, ...(ds === undefined ? {} : { ds }) } })
const validity = { inception: seconds - 3600, expiration: seconds + 7200 }
const tree = new SignedTree({ validity, zones: zones() })
const anchors = parseAnchors(tree.anchorText())

/** A resolver in front of the tree; with `trust-ad` it is believed to have validated. */
function resolverFor(of: SignedTree, mode: "validate" | "trust-ad") {
  const transport: DnsTransport = {
    exchange: async (octets) => {
      const query = decodeMessage(octets)
      const { name, type } = query.questions[0]!
      const found = of.answer(name, type, query.edns?.dnssecOk === true)
      return encodeMessage({ ...query, response: true, recursionAvailable: true, authenticData: query.authenticData, questions: [{ name, type, class: classInternet }], ...found })
    },
  }
  const clock = { now: () => now, monotonic: () => 0, after: () => () => undefined }
  const dnssec = mode === "trust-ad" ? mode : { anchors: of.anchors() }
  return createResolver({ dnssec, upstreams: [{ address: "127.0.0.1", port: 53 }], transport, clock, random: seededRandom(5) })
}

async function evidenceOf(role: "outgoing" | "incoming", mode: "validate" | "trust-ad" = "validate", of = tree): Promise<Evidence> {
  const resolver = resolverFor(of, mode)
  const reach = { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] }
  const found = await discover({ domain: a, service: "xmpp-server", resolver, random: seededRandom(1), reach })
  assert.ok(found.outcome === "endpoints")
  const subject: ProofSubject = { source: a, service: "xmpp-server", role, endpoint: role === "outgoing" ? found.endpoints[0] : undefined }
  const material = await dane.obtain(subject, { ...withoutWeb, anchors: publicAnchors, resolver, at: now, signal: never })
  const us = parseDomain("us.example")
  const pair = role === "outgoing" ? { sender: us, target: a } : { sender: a, target: us }
  return match([{ prooftype: dane, material }], subject, shownBy(leaf.chain, role === "outgoing" ? "tls-server" : "tls-client"), now).evidence(pair)[0]!
}

function judged(item: unknown, dnsAnchors = [anchors]): JudgedItem {
  const { pair, at } = item as Evidence
  const file = { evidence: 1, tool: { name: "xmpp-dna", version: "0" }, recorded: at, direction: "out", pair, decision: "associated", level: null, finding: null, sentence: "", items: [item] }
  return judge(readEvidenceFile(JSON.stringify(file)), { prooftypes: [dane], anchors: [publicAnchors], dnsAnchors }).items[0]!
}

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
