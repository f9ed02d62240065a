// `xmpp-dna/dnssec` as a program uses it: answers with their status, anchors of one's own, both modes, and recorded answers again.
import assert from "node:assert/strict"
import { after, before, describe, it } from "node:test"
import { AnchorError, createResolver, parseAnchors, revalidateAnswer, rootAnchors, TrustAdError } from "../../src/entry/dnssec.ts"
import { typeNumbers } from "../../src/dns/records.ts"
import { type DnsResponder, startDnsResponder } from "../../src/lab/dns-responder.ts"
import { SignedTree } from "../../src/lab/dns-signed-tree.ts"
import { makeSigningKey } from "../../src/lab/dns-signer.ts"

const now = Math.floor(Date.now() / 1000)
const records = {
  "_xmpp-server._tcp.a.example": { SRV: [[0, 0, 5269, "host.a.example"]] as const },
  "_5269._tcp.host.a.example": { TLSA: [[3, 1, 1, "00".repeat(32)]] as const },
  "host.a.example": { A: ["127.0.0.1"] },
}
const tree = new SignedTree({
  validity: { inception: now - 3600, expiration: now + 3600 },
  zones: { ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records }, "unsigned.example": { ds: "none", records: { "host.unsigned.example": { A: ["127.0.0.2"] } } } },
})
const anchors = tree.anchorText()
let how: "honest" | "strips" | "validates" = "honest"
let dns: DnsResponder
const upstreams = (): string[] => [`${dns.address}:${dns.port}`]
before(async () => {
  dns = await startDnsResponder({
    answer: (name, type, dnssecOk) => tree.answer(name, type, dnssecOk),
    rewrite: (query, reply) => {
      if (how === "validates") return { ...reply, authenticData: query.authenticData }
      return how === "honest" ? reply : { ...reply, answers: reply.answers.filter(({ type }) => type !== typeNumbers.RRSIG), authorities: [] }
    },
  })
})
after(() => dns.close())

describe("validate", () => {
  it("the example: from a domain to the TLSA records of its server", async () => {
    how = "honest"
    const resolver = createResolver({ mode: "validate", upstreams: upstreams(), anchors })
    const ability = await resolver.ability()
    assert.ok(ability.able)
    const srv = await resolver.resolve("_xmpp-server._tcp.a.example", "SRV", { signal: new AbortController().signal })
    assert.equal(srv.status, "secure")
    const [server] = srv.records
    assert.ok(server !== undefined)
    const { status, rcode, records: found, why, until } = await resolver.resolve(`_${server.port}._tcp.${server.target}`, "TLSA", {})
    assert.deepEqual([status, rcode, found, why], ["secure", 0, [{ usage: 3, selector: 1, matching: 1, association: "00".repeat(32) }], []])
    assert.ok(until > Date.now() && until <= (now + 3600) * 1000)
  })

  it("absence that is proven, a zone that is not signed, and records taken away on the path", async () => {
    how = "honest"
    const resolver = createResolver({ upstreams: upstreams(), anchors: parseAnchors(anchors) })
    const gone = await resolver.resolve("gone.a.example", "A", {})
    assert.deepEqual([gone.status, gone.outcome, gone.rcode], ["secure", "name-error", 3])
    const unsigned = await resolver.resolve("host.unsigned.example", "A", {})
    assert.deepEqual([unsigned.status, unsigned.records], ["insecure", [{ address: "127.0.0.2" }]])
    how = "strips"
    const stripped = await resolver.resolve("host.a.example", "A", {})
    assert.deepEqual([stripped.status, stripped.records], ["bogus", []])
    const ability = await createResolver({ upstreams: upstreams(), anchors }).ability()
    assert.equal(ability.able ? "able" : ability.because, "stripped")
  })

  it("an answer is JSON, and anybody with the anchors can validate it again later", async () => {
    how = "honest"
    const answer = await createResolver({ upstreams: upstreams(), anchors }).resolve("host.a.example", "A", {})
    const { name, wire } = JSON.parse(JSON.stringify(answer)) as typeof answer
    assert.ok(wire !== undefined)
    const recorded = { name, type: "A", wire, at: Date.now(), anchors: parseAnchors(anchors) } as const
    const again = revalidateAnswer(recorded)
    assert.deepEqual([again.status, again.records], ["secure", answer.records])
    assert.equal(revalidateAnswer({ ...recorded, wire: wire.slice(1) }).status, "indeterminate")
    assert.equal(revalidateAnswer({ ...recorded, anchors: rootAnchors }).status, "bogus")
    assert.equal(revalidateAnswer({ ...recorded, at: Date.now() + 7_200_000 }).status, "bogus")
  })
})

describe("trust-ad", () => {
  it("believes a validating resolver on this machine, and says whose word it is", async () => {
    how = "validates"
    const resolver = createResolver({ mode: "trust-ad", upstreams: upstreams() })
    assert.ok((await resolver.ability()).able)
    const answer = await resolver.resolve("host.a.example", "A", {})
    assert.deepEqual([answer.status, answer.validatedBy, answer.wire], ["secure", `resolver ${upstreams()[0]}`, undefined])
    how = "honest"
    const other = createResolver({ mode: "trust-ad", upstreams: upstreams() })
    const ability = await other.ability()
    assert.equal(ability.able ? "able" : ability.because, "not-validating")
    assert.equal((await other.resolve("host.a.example", "A", {})).status, "indeterminate")
    how = "validates"
    const lenient = await createResolver({ mode: "trust-ad", upstreams: upstreams(), knownBogus: "host.a.example" }).ability()
    assert.equal(lenient.able ? "able" : lenient.because, "not-validating", "it lets through what it should hold back")
  })

  it("is refused for anybody else", () => {
    assert.throws(() => createResolver({ mode: "trust-ad", upstreams: ["192.0.2.53"] }), TrustAdError)
    assert.throws(() => createResolver({ mode: "trust-ad", upstreams: ["127.0.0.1", "[2001:db8::53]:53"] }), TrustAdError)
    assert.throws(() => createResolver({ mode: "trust-ad" }), TrustAdError)
  })
})

it("options that make no sense are told at once", () => {
  for (const upstream of ["localhost", "127.0.0.1:0", "127.0.0.1:99999", "::1:53:", "", "127.0.0.1:53:53"]) {
    assert.throws(() => createResolver({ upstreams: [upstream] }), TypeError, upstream)
  }
  assert.throws(() => createResolver({ anchors: "nonsense" }), AnchorError)
  assert.throws(() => createResolver({ anchors: "" }), AnchorError)
  assert.throws(() => createResolver({ mode: "trust-ad", upstreams: ["127.0.0.1"], anchors }), TypeError)
  assert.throws(() => createResolver({ knownBogus: "bogus.example" }), TypeError)
  assert.throws(() => createResolver({ limits: { failureTtl: 61 } }), RangeError)
  assert.equal(typeof createResolver({ upstreams: ["::1", "[::1]:5353", "127.0.0.1"] }).resolve, "function")
})
