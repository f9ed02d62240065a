// DANE for servers we connect to: the status table of RFC 7673 3 and DANE-01 to DANE-14, DANE-25, DANE-33 to DANE-36.
import assert from "node:assert/strict"
import { test } from "node:test"
import { discover } from "../../src/discovery/discover.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { dane } from "../../src/proof/dane.ts"
import { match } from "../../src/proof/prove.ts"
import { a, allUsages, directSrv, hostTlsa, never, outgoing, plainSrv, publicAnchors, said, shownBy, signedZone } from "./dane-support.ts"
import { withoutWeb } from "./proof-ports.ts"
import { addresses, bogus, failing, hour, insecure, type Said, scripted, srv, type Zone } from "./scripted-dns.ts"
import { day, issued, middle, now, own, publicRoot, spoilt, tlsa } from "./tlsa-support.ts"

const leaf = own({ names: {}, commonName: "nobody" })
const byPublic = issued(publicRoot, "a.example")
const forHost = issued(publicRoot, "host.example")
const ee: Said = { records: [tlsa(leaf.der, "3 1 1")] }
const other: Said = { records: [tlsa(own().der, "3 1 1")] }
const tlsaNames = (asked: readonly string[]): string[] => asked.filter((name) => name.endsWith(" TLSA"))

/** Of the first endpoint: what DANE says, what all say with a PKIX certificate of the domain, and whether TLS is promised. */
async function row(zone: Zone, chain: readonly Uint8Array[] = byPublic.chain): Promise<string> {
  const { found, tried } = await outgoing(zone, chain)
  const [first] = tried
  if (first === undefined) return `${found!.outcome} ${found!.outcome === "endpoints" ? "" : found!.finding}`
  const terms = first.terms.forbidden === undefined ? (first.terms.tls ? "tls promised" : "free") : "forbidden"
  return `${said(first.verdict)}; ${first.combined.outcome}; ${terms}`
}

const servedBy = (records: Said, host: Said, records2?: Said): Zone => ({ [plainSrv]: records, "host.example A": host, "a.example A": addresses("127.0.0.9"), ...(records2 === undefined ? {} : { [hostTlsa]: records2 }) })
const one: Said = { records: [srv("host.example")] }
const host = addresses("127.0.0.1")
const nothing: Said = { records: [] }
const free = (finding: string) => `absent ${finding}; proved; free`

const table: [row: string, zone: Zone, expected: string][] = [
  // SRV.
  ["SRV secure: go on", servedBy(one, host, ee), "refuted dane.mismatch; stop; tls promised"],
  ["SRV insecure, TLSA secure (DANE-35)", servedBy(insecure(one), host, ee), free("dane.not-signed")],
  ["SRV bogus: abort", servedBy(bogus, host, ee), "unavailable dns.bogus"],
  ["SRV fails: abort", servedBy(failing, host, ee), "unavailable dns.servfail"],
  ["SRV data of no standing: abort", servedBy({ ...one, status: "indeterminate" }, host, ee), "unavailable dns.servfail"],
  // Addresses.
  ["addresses insecure: no TLSA", servedBy(one, insecure(host), ee), free("dane.not-signed")],
  ["addresses absent", servedBy(one, nothing, ee), "not-found dns.target-unresolvable"],
  ["addresses absent, insecurely", servedBy(one, insecure(nothing), ee), "not-found dns.target-unresolvable"],
  ["addresses bogus: not this endpoint", servedBy(one, bogus, ee), "unavailable dns.bogus"],
  ["addresses fail: not this endpoint", servedBy(one, failing, ee), "unavailable dns.servfail"],
  // TLSA.
  ["TLSA absent, the name unknown", servedBy(one, host), free("dane.no-tlsa")],
  ["TLSA absent, the name known", servedBy(one, host, nothing), free("dane.no-tlsa")],
  ["TLSA absent, insecurely", servedBy(one, host, insecure(nothing)), free("dane.no-tlsa")],
  ["TLSA insecure (DANE-12)", servedBy(one, host, insecure(ee)), free("dane.no-tlsa")],
  ["TLSA bogus (DANE-11)", servedBy(one, host, bogus), "unavailable dane.tlsa-bogus; stop; forbidden"],
  ["TLSA fails (DANE-11)", servedBy(one, host, failing), "unavailable dane.tlsa-failed; stop; forbidden"],
  ["TLSA data of no standing", servedBy(one, host, { ...ee, status: "indeterminate" }), "unavailable dane.tlsa-failed; stop; forbidden"],
  ["TLSA data called bogus", servedBy(one, host, { ...ee, status: "bogus" }), "unavailable dane.tlsa-bogus; stop; forbidden"],
  ["TLSA unusable (DANE-25): as without, but TLS is promised", servedBy(one, host, { records: [{ ...tlsa(leaf.der, "3 1 1"), usage: 77 }] }), "absent dane.unusable; proved; tls promised"],
  ["TLSA of a usage that is off: as without, but TLS is promised", servedBy(one, host, { records: [tlsa(byPublic.der, "1 1 1")] }), "absent dane.unusable; proved; tls promised"],
  ["TLSA with more records than are looked at", servedBy(one, host, { records: Array.from({ length: 4000 }, () => tlsa(byPublic.der, "3 1 1")) }), "unavailable dane.tlsa-failed; stop; forbidden"],
]

for (const [what, zone, expected] of table) {
  test(`status table: ${what}`, async () => assert.equal(await row(zone), expected))
}

test("a match proves, without any name, date or authority (DANE-15)", async () => {
  assert.equal(await row(signedZone({ [hostTlsa]: ee }), leaf.chain), "proved; proved; tls promised")
  const old = own({ notBefore: now - 90 * day, notAfter: now - day })
  assert.equal(await row(signedZone({ [hostTlsa]: { records: [tlsa(old.der, "3 0 1")] } }), old.chain), "proved; proved; tls promised")
})

test("DANE-10: a mismatch stops though PKIX proves; without the records the same chain is proved", async () => {
  assert.equal(await row(signedZone({ [hostTlsa]: other })), "refuted dane.mismatch; stop; tls promised")
  assert.equal(await row(signedZone()), "absent dane.no-tlsa; proved; free")
  assert.equal(await row(signedZone({ [hostTlsa]: { records: [spoilt(tlsa(byPublic.der, "3 1 1"))] } })), "refuted dane.mismatch; stop; tls promised")
  assert.equal(await row(signedZone({ [hostTlsa]: other }), []), "refuted dane.mismatch; stop; tls promised", "no certificate at all")
})

test("DANE-05: TLSA is asked for where SRV and addresses are secure, and nowhere else", async () => {
  const asked = async (zone: Zone) => tlsaNames((await outgoing(zone, leaf.chain)).asked)
  assert.deepEqual(await asked(servedBy(one, host)), [hostTlsa])
  assert.deepEqual(await asked(servedBy(one, insecure(host))), [])
  assert.deepEqual(await asked(servedBy(insecure(one), host)), [])
  const { "host.example A": _v4, ...rest } = servedBy(one, host)
  assert.deepEqual(await asked({ ...rest, "host.example AAAA": addresses("::1") }), [hostTlsa])
  // One family secure is enough, and counts for the whole host.
  const mixed = { ...servedBy(one, insecure(host), other), "host.example AAAA": addresses("::1") }
  const { tried } = await outgoing(mixed, byPublic.chain)
  assert.deepEqual(
    tried.map(({ endpoint, combined }) => [endpoint!.address, endpoint!.addressStatus, combined.outcome]),
    [
      ["::1", "secure", "stop"],
      ["127.0.0.1", "insecure", "stop"],
    ],
  )
})

test("DANE-07, DANE-28: owner names have the port of SRV and A-labels", async () => {
  const zone = { [plainSrv]: { records: [srv("xn--bcher-kva.example", 5270)] }, "xn--bcher-kva.example A": host }
  assert.deepEqual(tlsaNames((await outgoing(zone, leaf.chain)).asked), ["_5270._tcp.xn--bcher-kva.example TLSA"])
  const direct = { [directSrv]: { records: [srv("host.example", 443)] }, "host.example A": host }
  assert.deepEqual(tlsaNames((await outgoing(direct, leaf.chain)).asked), ["_443._tcp.host.example TLSA"])
})

test("DANE-04, DANE-11: order is that of SRV; a server that is forbidden leaves the next one", async () => {
  const zone: Zone = {
    [plainSrv]: { records: [srv("host.example", 5269, 0), srv("next.example", 5269, 10), srv("last.example", 5269, 20)] },
    "host.example A": host,
    "next.example A": addresses("127.0.0.2"),
    "last.example A": bogus,
    [hostTlsa]: bogus,
    "_5269._tcp.next.example TLSA": ee,
  }
  const { tried, found } = await outgoing(zone, leaf.chain)
  assert.deepEqual(tried.map(({ endpoint, combined }) => [endpoint!.delegation.derived, combined.outcome]), [
    ["host.example", "stop"],
    ["next.example", "proved"],
  ])
  assert.ok(found!.report.skipped.some(({ reason, target }) => reason === "bogus" && target === "last.example port 5269"))
})

test("DANE-08: where the target is an alias, the name at its end is asked first, then the target, none between", async () => {
  const alias = (more: Zone): Zone => ({ [plainSrv]: one, "host.example A": { ...host, canonical: "real.example" }, ...more })
  const real = "_5269._tcp.real.example TLSA"
  const asked = async (more: Zone, chain = leaf.chain) => {
    const { asked: names, tried } = await outgoing(alias(more), chain)
    return [tlsaNames(names), said(tried[0]!.verdict)]
  }
  assert.deepEqual(await asked({ [real]: ee, [hostTlsa]: other }), [[real], "proved"])
  assert.deepEqual(await asked({ [hostTlsa]: ee }), [[real, hostTlsa], "proved"])
  assert.deepEqual(await asked({ [real]: insecure(other), [hostTlsa]: ee }), [[real, hostTlsa], "proved"])
  assert.deepEqual(await asked({ [real]: bogus, [hostTlsa]: ee }), [[real], "unavailable dane.tlsa-bogus"])
  assert.deepEqual(await asked({ [real]: other, [hostTlsa]: ee }), [[real], "refuted dane.mismatch"])
  assert.deepEqual(await asked({}), [[real, hostTlsa], "absent dane.no-tlsa"])
  // Its name counts for certificates of an authority; and the alias's, and the domain's, and no other.
  for (const [name, expected] of [["real.example", "proved"], ["host.example", "proved"], ["a.example", "proved"], ["b.example", "refuted dane.name-mismatch"]] as const) {
    assert.deepEqual((await asked({ [real]: { records: [tlsa(middle.certificate.der, "2 1 1")] } }, issued(middle, name).chain))[1], expected, name)
  }
  const unsigned = await outgoing({ [plainSrv]: one, "host.example A": insecure({ ...host, canonical: "real.example" }), [hostTlsa]: other }, byPublic.chain)
  assert.deepEqual(tlsaNames(unsigned.asked), [], "an alias that is not secure all the way")
})

test("DANE-09: an alias of the TLSA record leaves the names as they are", async () => {
  const zone = signedZone({ [hostTlsa]: { records: [tlsa(middle.certificate.der, "2 1 1")], canonical: "tlsa._dane.b.example" } })
  assert.equal(await row(zone, issued(middle, "host.example").chain), "proved; proved; tls promised")
  assert.equal(await row(zone, issued(middle, "b.example").chain), "refuted dane.name-mismatch; stop; tls promised")
  assert.equal(await row(zone, issued(middle, "tlsa._dane.b.example").chain), "refuted dane.name-mismatch; stop; tls promised")
})

test("DANE-13, DANE-14: without usable records the target's name counts where SRV is secure, and only there", async () => {
  const unusable: Said = { records: [{ ...tlsa(leaf.der, "3 1 1"), matching: 9 }] }
  assert.equal(await row(signedZone(), forHost.chain), "absent dane.no-tlsa; proved; free")
  assert.equal(await row(signedZone({ [hostTlsa]: unusable }), forHost.chain), "absent dane.unusable; proved; tls promised")
  assert.equal(await row(signedZone({ "host.example A": insecure(host) }), forHost.chain), "absent dane.not-signed; proved; free")
  assert.equal(await row(signedZone({ [plainSrv]: insecure(one) }), forHost.chain), "absent dane.not-signed; refuted; free")
  assert.equal(await row(signedZone({ [plainSrv]: insecure(one), [hostTlsa]: { records: [tlsa(forHost.der, "3 1 1")] } }), forHost.chain), "absent dane.not-signed; refuted; free")
})

test("DANE-36; security.md 6: without SRV the domain's own port counts where the absence is proven", async () => {
  const home: Zone = { "a.example A": host, "_5269._tcp.a.example TLSA": ee }
  assert.equal(await row(home, leaf.chain), "proved; proved; tls promised")
  assert.equal(await row({ ...home, "_5269._tcp.a.example TLSA": other }), "refuted dane.mismatch; stop; tls promised")
  for (const names of [[plainSrv], [directSrv], [plainSrv, directSrv]]) {
    const unproven = { ...home, ...Object.fromEntries(names.map((name) => [name, insecure(nothing)])) }
    const { asked, tried } = await outgoing(unproven, leaf.chain)
    assert.deepEqual([tlsaNames(asked), said(tried[0]!.verdict)], [[], "absent dane.not-signed"], names.join())
  }
  assert.deepEqual(tlsaNames((await outgoing({ ...home, "a.example A": insecure(host) }, leaf.chain)).asked), [])
  // R7673 App. B: with SRV, records below the domain itself are not looked at.
  assert.deepEqual(tlsaNames((await outgoing({ ...signedZone(), ...home }, leaf.chain)).asked), [hostTlsa])
})

test("security.md 7: a failed _xmpps-server counts as empty only beside an insecure _xmpp-server", async () => {
  assert.equal(await row({ ...signedZone({ [hostTlsa]: ee }), [directSrv]: failing }, leaf.chain), "unavailable dns.servfail")
  assert.equal(await row({ ...signedZone({ [plainSrv]: insecure(one) }), [directSrv]: bogus }), "absent dane.not-signed; proved; free")
})

test("usages 1 and 0 are unusable unless switched on; then PKIX is needed as well (DANE-20, DANE-21)", async () => {
  for (const [kind, named] of [["1 1 1", byPublic.der], ["0 0 1", publicRoot.certificate.der]] as const) {
    const zone = signedZone({ [hostTlsa]: { records: [tlsa(named, kind)] } })
    assert.equal(said((await outgoing(zone, byPublic.chain)).tried[0]!.verdict), "absent dane.unusable", kind)
    assert.equal(said((await outgoing(zone, byPublic.chain, { prooftype: allUsages })).tried[0]!.verdict), "proved", kind)
    assert.equal((await outgoing(zone, issued(middle, "a.example").chain, { prooftype: allUsages })).tried[0]!.combined.outcome, "stop", kind)
  }
  const wrongName = signedZone({ [hostTlsa]: { records: [tlsa(forHost.der, "1 1 1")] } })
  assert.equal(said((await outgoing(wrongName, forHost.chain, { prooftype: allUsages })).tried[0]!.verdict), "proved", "the secure target's name")
  const elsewhere = issued(publicRoot, "b.example")
  assert.equal(said((await outgoing(signedZone({ [hostTlsa]: { records: [tlsa(elsewhere.der, "1 1 1")] } }), elsewhere.chain, { prooftype: allUsages })).tried[0]!.verdict), "refuted dane.name-mismatch")
})

test("one domain's records never vouch for another, nor a server's for a client", async () => {
  const { tried } = await outgoing(signedZone({ [hostTlsa]: ee }), leaf.chain)
  const { material, endpoint } = tried[0]!
  const judged = (source: string, presentedAs: "tls-server" | "tls-client" = "tls-server") =>
    said(match([{ prooftype: dane, material }], { source: parseDomain(source), service: "xmpp-server", role: "outgoing", endpoint }, shownBy(leaf.chain, presentedAs), now).verdicts[0]!)
  assert.equal(judged("a.example"), "proved")
  assert.equal(judged("b.example"), "unavailable proof.internal")
  assert.equal(judged("a.example", "tls-client"), "unavailable proof.internal")
})

test("DANE-30; security.md 10, 11: a proof ends with the first signature, is asked for again hourly, and never earlier", async () => {
  const proof = async (said: Said, srvSaid: Partial<Said> = {}) => {
    const { tried } = await outgoing(signedZone({ [plainSrv]: { ...one, ...srvSaid }, [hostTlsa]: { ...ee, ...said } }), leaf.chain)
    const { verdict, material } = tried[0]!
    assert.equal(verdict.outcome, "proved")
    const until = verdict.outcome === "proved" ? verdict.until - now : 0
    const { from, until: end } = dane.ageing!(material)
    assert.equal(end - now, until)
    return [from - now, until].map((ms) => ms / hour)
  }
  assert.deepEqual(await proof({ until: now + 24 * hour }), [23.75, 24])
  assert.deepEqual(await proof({ until: now + 60_000 }), [1, 1.25], "a short TTL")
  assert.deepEqual(await proof({ until: now + 60_000, signaturesUntil: now + hour / 2 }), [0.375, 0.5], "signatures end before the hour does")
  assert.deepEqual(await proof({ until: now + 24 * hour }, { until: now + 2 * hour }), [1.75, 2], "SRV ends first")
  assert.deepEqual(await proof({ until: now + 2 * hour, signaturesUntil: null }), [1.75, 2], "signatures whose end is unknown: the TTL")
  assert.deepEqual(await proof({ until: now + hour / 2, signaturesUntil: null }), [0.375, 0.5])
  assert.deepEqual((await proof({ until: now, signaturesUntil: null }))[1], 1 / 60, "long enough for a negotiation")
  assert.deepEqual(await proof({ until: now + 1000 * day }), [24 - 0.25, 24], "SRV's TTL")
  const authority = signedZone({ [hostTlsa]: { records: [tlsa(middle.certificate.der, "2 1 1")], until: now + 10 * day } })
  const short = issued(middle, "a.example", { notAfter: now + hour })
  const { tried } = await outgoing(authority, short.chain)
  assert.equal(tried[0]!.verdict.outcome === "proved" && tried[0]!.verdict.until, now + hour, "a certificate ends before DNS does")
})

test("material past its end proves nothing, and what it bound it still binds", async () => {
  const zone = signedZone({ [hostTlsa]: ee })
  for (const [at, expected] of [
    [now + 24 * hour - 1, "proved; proved"],
    [now + 24 * hour, "unavailable dane.too-old; stop"],
    [now - 400_000, "unavailable dane.too-old; stop"],
  ] as const) {
    const { verdict, combined } = (await outgoing(zone, leaf.chain, { at })).tried[0]!
    assert.equal(`${said(verdict)}; ${combined.outcome}`, expected)
  }
  const none = (await outgoing(signedZone(), byPublic.chain, { at: now + 25 * hour })).tried[0]!
  assert.deepEqual([said(none.verdict), none.combined.outcome], ["unavailable dane.too-old", "proved"])
})

test("a world without signatures: DANE is silent, whatever is published", async () => {
  const zone = Object.fromEntries(Object.entries(signedZone({ [hostTlsa]: other })).map(([name, what]) => [name, insecure(what)]))
  const { tried, asked } = await outgoing(zone, byPublic.chain, { otherwise: { status: "insecure" } })
  assert.deepEqual([said(tried[0]!.verdict), tried[0]!.combined.outcome, tlsaNames(asked)], ["absent dane.not-signed", "proved", []])
})

test("where the service is configured, the name of the place is looked up as if SRV had named it", async () => {
  const { resolver } = scripted({ "host.example A": host, [hostTlsa]: ee })
  for (const [address, expected] of [["host.example", "proved"], ["127.0.0.1", "absent dane.not-signed"]] as const) {
    const found = await discover({
      domain: a,
      service: "xmpp-server",
      resolver,
      random: { fraction: () => 0 },
      reach: { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] },
      override: { address, port: 5269, transport: "starttls" },
    })
    assert.ok(found.outcome === "endpoints")
    const subject = { source: a, service: "xmpp-server", role: "outgoing", endpoint: found.endpoints[0] } as const
    const ports = { ...withoutWeb, anchors: publicAnchors, resolver, at: now, signal: never }
    const material = await dane.obtain(subject, ports)
    assert.equal(said(match([{ prooftype: dane, material }], subject, shownBy(leaf.chain), now).verdicts[0]!), expected, address)
  }
})
