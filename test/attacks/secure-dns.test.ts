// Bad input by DNS whose signatures are good: the owner of a signed zone is the attacker (issue, "Bad input"). Every case ends
// with a named finding, after bounded work, through the real resolver, discovery and DANE.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { discover } from "../../src/discovery/discover.ts"
import { createResolver, type DnsTransport, type StubResolver } from "../../src/dns/resolver.ts"
import { startLabDns } from "../../src/lab/lab-dns.ts"
import type { ZoneRecords } from "../../src/lab/dns-zones.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { FindingId } from "../../src/model/findings.ts"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"
import { dane } from "../../src/proof/dane.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import { withoutWeb } from "../proof/proof-ports.ts"

const lab = await startLabDns(Date.now())
after(() => lab.close())
const { zones, honest } = lab
const upstream = { address: honest.address, port: honest.port }
const reach: ReachPolicy = { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] }
const leaf = selfSigned({ now: Date.now(), names: { dns: ["bad.example"] } })
const ours = (transport: DnsTransport = nodeDnsTransport()): StubResolver =>
  createResolver({ dnssec: { anchors: zones.anchors }, upstreams: [upstream], transport, clock: systemClock, random: systemRandom })

interface Told {
  /** Of discovery, else of DANE at the first endpoint. */
  readonly finding: string
  readonly detail: string
  readonly endpoints: number
  readonly queries: number
  readonly ms: number
  readonly until: number
}

type Zone = Readonly<Record<string, (here: (text: string) => string) => ZoneRecords>>

let count = 0

/** What comes of a domain whose signed zone says this; `@` stands for the domain. */
async function told(records: Zone, resolver = ours()): Promise<Told> {
  count += 1
  const domain = `bad${count}.example`
  const here = (text: string): string => text.replaceAll("@", domain)
  zones.open(domain, { signed: true })
  for (const [name, zone] of Object.entries(records)) zones.set(here(name), zone(here))
  const before = honest.queries.length
  const began = performance.now()
  const source = parseDomain(domain)
  const signal = AbortSignal.timeout(10_000)
  const found = await discover({ domain: source, service: "xmpp-server", resolver, random: systemRandom, reach, signal })
  const spent = (): Pick<Told, "queries" | "ms"> => ({ queries: honest.queries.length - before, ms: performance.now() - began })
  if (found.outcome !== "endpoints") return { finding: found.finding, detail: found.detail, endpoints: 0, until: 0, ...spent() }
  const endpoint = found.endpoints[0]!
  const subject = { source, service: "xmpp-server", role: "outgoing", endpoint } as const
  const at = Date.now()
  const material = await dane.obtain(subject, { ...withoutWeb, anchors: anchorSet([]), resolver, at, signal })
  const proof = { chain: [leaf.der], presentedAs: "tls-server", protocol: "TLSv1.3", cipher: "x", serverName: domain, alpn: undefined } as const
  const verdict = dane.match(proof, material, { source, service: "xmpp-server", accept: [] }, at)
  const finding = verdict.outcome === "proved" ? "proved" : verdict.finding
  return { finding, detail: verdict.detail, endpoints: found.endpoints.length, until: dane.ageing?.(material).until ?? 0, ...spent() }
}

const srv =
  (...records: readonly (readonly [priority: number, port: number, target: string])[]) =>
  (here: (text: string) => string): ZoneRecords => ({ SRV: records.map(([priority, port, target]) => [priority, 0, port, here(target)]) })
const alias =
  (target: string) =>
  (here: (text: string) => string): ZoneRecords => ({ CNAME: here(target) })
const just = (records: ZoneRecords) => (): ZoneRecords => records
const raw = (type: number, ...octets: number[]) => just({ raw: [{ type, octets: Uint8Array.from(octets) }] })
const many = <T>(length: number, make: (index: number) => T): T[] => Array.from({ length }, (_, index) => make(index))

const digest = "ab".repeat(32)
const service = "_xmpp-server._tcp.@"
const tlsaName = "_5269._tcp.host.@"
const host: Zone = { [service]: srv([0, 5269, "host.@"]), "host.@": just({ A: ["127.0.0.9"] }) }
const withTlsa = (records: (here: (text: string) => string) => ZoneRecords): Zone => ({ ...host, [tlsaName]: records })
const tlsaRecords = (...records: readonly (readonly [number, number, number, string])[]) => withTlsa(just({ TLSA: records }))

interface Case {
  readonly what: string
  readonly zone: Zone
  readonly finding: FindingId
  readonly detail: RegExp
}

const cases: readonly Case[] = [
  // A record that cannot be read fails the whole set: what it was meant to promise is not known (DANE-11).
  { what: "TLSA without a single octet", zone: withTlsa(raw(52)), finding: "dane.tlsa-failed", detail: /reaches past the end/ },
  { what: "TLSA of one octet", zone: withTlsa(raw(52, 3)), finding: "dane.tlsa-failed", detail: /reaches past the end/ },
  { what: "TLSA without association data", zone: withTlsa(raw(52, 3, 1, 1)), finding: "dane.tlsa-failed", detail: /data of a TLSA record is empty/ },
  // DANE-22: readable and useless is discarded, each with its reason.
  { what: "TLSA with a digest of the wrong length", zone: tlsaRecords([3, 1, 1, "abcd"]), finding: "dane.unusable", detail: /3 1 1 \(length\)/ },
  {
    what: "TLSA with parameters nobody knows",
    zone: tlsaRecords([77, 1, 1, digest], [3, 9, 1, digest], [3, 1, 9, digest], [255, 255, 255, digest]),
    finding: "dane.unusable",
    detail: /77 1 1 \(usage\), 3 9 1 \(selector\), 3 1 9 \(matching\), 255 255 255 \(usage\)/,
  },
  { what: "TLSA in full that is no certificate and no key", zone: tlsaRecords([3, 0, 0, "3003020101"], [2, 1, 0, "00"]), finding: "dane.unusable", detail: /3 0 0 \(malformed\), 2 1 0 \(malformed\)/ },
  { what: "a good TLSA record beside useless ones still binds", zone: tlsaRecords([77, 1, 1, digest], [3, 1, 1, digest], [3, 1, 1, "abcd"]), finding: "dane.mismatch", detail: /none of 1 usable record/ },
  { what: "300 TLSA records", zone: tlsaRecords(...many(300, (index) => [3, 1, 1, index.toString(16).padStart(64, "0")] as const)), finding: "dane.tlsa-failed", detail: /300 records; 256 are the most/ },
  { what: "1,300 TLSA records, as many as fit into a message", zone: tlsaRecords(...many(1300, (index) => [3, 1, 1, index.toString(16).padStart(64, "0")] as const)), finding: "dane.tlsa-failed", detail: /claims 1 questions and 1302 records/ },
  { what: "TLSA in a loop of aliases", zone: { ...host, [tlsaName]: alias("loop.@"), "loop.@": alias("pool.@"), "pool.@": alias("loop.@") }, finding: "dane.tlsa-failed", detail: /the aliases lead back/ },
  { what: "SRV that says no", zone: { [service]: srv([0, 5269, "."]) }, finding: "dns.srv-refused", detail: /target "\."/ },
  { what: "SRV that says no twice", zone: { [service]: srv([0, 5269, "."], [1, 5269, "."]) }, finding: "dns.target-unresolvable", detail: /stands beside others/ },
  { what: "SRV with port 0", zone: { ...host, [service]: srv([0, 0, "host.@"]) }, finding: "dns.target-unresolvable", detail: /port 0 is no port/ },
  { what: "SRV that names itself", zone: { [service]: srv([0, 5269, service]) }, finding: "dns.target-unresolvable", detail: /not a host name/ },
  { what: "SRV in a loop of aliases", zone: { [service]: alias("_xmpp-server._tcp.loop.@"), "_xmpp-server._tcp.loop.@": alias(service) }, finding: "dns.servfail", detail: /the aliases lead back/ },
  { what: "SRV target in a loop of aliases", zone: { ...host, "host.@": alias("tsoh.@"), "tsoh.@": alias("host.@") }, finding: "dns.servfail", detail: /the aliases lead back/ },
  { what: "SRV without a single octet", zone: { [service]: raw(33) }, finding: "dns.servfail", detail: /reaches past the end/ },
  { what: "SRV that ends within its target", zone: { [service]: raw(33, 0, 0, 0, 0, 20) }, finding: "dns.servfail", detail: /reaches past the end/ },
  { what: "2,000 SRV records", zone: { [service]: srv(...many(2000, (index) => [index, 5269, `h${index}.x.`] as const)) }, finding: "dns.servfail", detail: /claims 1 questions and 2002 records/ },
  { what: "4,000 address records", zone: { ...host, "host.@": just({ A: many(4000, (index) => `127.1.${index >> 8}.${index & 255}`) }) }, finding: "dns.servfail", detail: /claims 1 questions and 4002 records/ },
  { what: "a dot inside a label of the target", zone: { [service]: srv([0, 5269, "host\\.evil.@"]) }, finding: "dns.target-unresolvable", detail: /not a host name/ },
  { what: "a NUL inside a label of the target", zone: { [service]: srv([0, 5269, "host\\000.@"]) }, finding: "dns.target-unresolvable", detail: /not a host name/ },
]

for (const { what, zone, finding, detail } of cases) {
  test(`signed and bad: ${what}: ${finding}`, async () => {
    const seen = await told(zone)
    assert.equal(seen.finding, finding, seen.detail)
    assert.match(seen.detail, detail)
    // One walk down to the zone, and no lookup for what was refused; unreadable answers are asked for once more.
    assert.ok(seen.queries <= 16, `${seen.queries} queries`)
    assert.ok(seen.ms < 3000, `${seen.ms} ms`)
    assert.ok(seen.detail.length < 2000 && !/\p{Cc}/u.test(seen.detail), seen.detail)
  })
}

test("200 SRV records with 30 addresses each: eight endpoints, and no more lookups than eight targets need", async () => {
  const targets = Object.fromEntries(many(200, (index) => [`h${index}.@`, just({ A: many(30, (host) => `127.2.${index}.${host}`) })]))
  const seen = await told({ [service]: srv(...many(200, (index) => [index, 5269, `h${index}.@`] as const)), ...targets })
  assert.equal(seen.endpoints, 8)
  assert.equal(seen.finding, "dane.no-tlsa")
  assert.ok(seen.queries <= 32, `${seen.queries} queries`)
})

test("absurd TTLs: neither for ever nor again at once", async () => {
  for (const ttl of [0, 1, 0x7fffffff, 0xffffffff]) {
    const began = Date.now()
    const seen = await told({
      [service]: (here) => ({ ...srv([0, 5269, "host.@"])(here), ttl }),
      "host.@": just({ A: ["127.0.0.9"], ttl }),
      [tlsaName]: just({ TLSA: [[3, 1, 1, digest]], ttl }),
    })
    assert.equal(seen.finding, "dane.mismatch", `TTL ${ttl}: ${seen.detail}`)
    // security.md 10, 11: an hour at least, seven days (of our signatures) at most.
    assert.ok(seen.until - began >= 3_600_000, `TTL ${ttl}: ${seen.until - began} ms`)
    assert.ok(seen.until - began <= 7 * 86_400_000, `TTL ${ttl}: ${seen.until - began} ms`)
  }
})

/** Names made of pointers, behind the question at offset `end`. */
const loops: Readonly<Record<string, (end: number) => readonly number[]>> = {
  "to itself": (end) => [0xc0 | (end >> 8), end & 255],
  "to a pointer back": (end) => [0xc0 | (end >> 8), (end + 2) & 255, 0xc0 | (end >> 8), end & 255],
  "to a label before itself": (end) => [1, 0x61, 0xc0 | (end >> 8), end & 255],
  "past the end": () => [0xff, 0xff],
  "into the header": () => [0xc0, 0x00],
}

/** The question with one answer whose owner is such a name. */
function looping(query: Uint8Array, name: (end: number) => readonly number[]): Uint8Array {
  const end = 12 + query.subarray(12).indexOf(0) + 5
  const head = Uint8Array.from(query.subarray(0, end))
  head[2] = 0x84
  head[3] = 0x80
  head.set([0, 1, 0, 1, 0, 0, 0, 0], 4)
  return Uint8Array.from([...head, ...name(end), 0, 33, 0, 1, 0, 0, 0, 60, 0, 7, 0, 0, 0, 0, 20, 149, 0])
}

for (const [what, name] of Object.entries(loops)) {
  test(`a compression pointer ${what}: dns.servfail`, async () => {
    let spoilt = 0
    const real = nodeDnsTransport()
    const transport: DnsTransport = {
      exchange: async (query, at, protocol, signal, accept) => {
        if (!Buffer.from(query).includes("_xmpp-server")) return await real.exchange(query, at, protocol, signal, accept)
        spoilt += 1
        const reply = looping(query, name)
        if (!accept(reply)) throw new Error("nothing that answers the question")
        return reply
      },
    }
    const seen = await told(host, ours(transport))
    assert.equal(seen.finding, "dns.servfail", seen.detail)
    assert.ok(spoilt >= 1 && spoilt <= 12, `${spoilt} spoilt replies`)
    assert.ok(seen.ms < 3000, `${seen.ms} ms`)
  })
}

test("names with dots and NULs inside labels are asked for as they are, and stand for no other name", async () => {
  const resolver = ours()
  zones.open("odd.example", { signed: true })
  zones.set("a\\.b.odd.example", { A: ["127.0.0.1"] })
  zones.set("a.b.odd.example", { A: ["127.0.0.2"] })
  zones.set("a\\000.odd.example", { A: ["127.0.0.3"] })
  zones.set("a.odd.example", { A: ["127.0.0.4"] })
  const addresses = async (name: string): Promise<string> => {
    const answer = await resolver.resolve(name, "A", {})
    return [answer.status, ...answer.records.map(({ address }) => address)].join(" ")
  }
  assert.equal(await addresses("a\\.b.odd.example"), "secure 127.0.0.1")
  assert.equal(await addresses("a.b.odd.example"), "secure 127.0.0.2")
  assert.equal(await addresses("a\\000.odd.example"), "secure 127.0.0.3")
  assert.equal(await addresses("a.odd.example"), "secure 127.0.0.4")
})
