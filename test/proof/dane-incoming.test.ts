// DANE for servers that connect to us (DANC-3 to DANC-6, DANC-8; security.md 4, 6, 7).
import assert from "node:assert/strict"
import { test } from "node:test"
import { clientTlsa, directSrv, hostTlsa, incoming, plainSrv, said, signedZone } from "./dane-support.ts"
import { bogus, failing, insecure, type Said, srv, type Zone } from "./scripted-dns.ts"
import { day, issued, middle, now, own, publicRoot, tlsa } from "./tlsa-support.ts"

const leaf = own({ names: {}, commonName: "nobody" })
const byPublic = issued(publicRoot, "a.example")
const promises = (...ders: Uint8Array[]): Said => ({ records: ders.map((der) => tlsa(der, "3 1 1")) })
const elsewhere = own()

async function row(zone: Zone, chain: readonly Uint8Array[] = leaf.chain, trial: Parameters<typeof incoming>[2] = {}): Promise<string> {
  const { verdict, combined } = (await incoming(zone, chain, trial)).tried[0]!
  return `${said(verdict)}; ${combined.outcome}`
}

const both = { [plainSrv]: { records: [srv("host.example")] }, [directSrv]: { records: [srv("direct.example", 5270)] } }
const directTlsa = "_5270._tcp.direct.example TLSA"

const table: [what: string, zone: Zone, expected: string][] = [
  ["what it promises for its own connections", { [clientTlsa]: promises(leaf.der) }, "proved; proved"],
  ["and something else for its servers", signedZone({ [clientTlsa]: promises(leaf.der), [hostTlsa]: promises(elsewhere.der) }), "proved; proved"],
  ["a mismatch there stops (security.md 4)", signedZone({ [clientTlsa]: promises(elsewhere.der) }), "refuted dane.client-mismatch; stop"],
  ["even where its servers have this very key", signedZone({ [clientTlsa]: promises(elsewhere.der), [hostTlsa]: promises(leaf.der) }), "refuted dane.client-mismatch; stop"],
  ["and where SRV fails", { [clientTlsa]: promises(elsewhere.der), [plainSrv]: failing }, "refuted dane.client-mismatch; stop"],
  ["insecure: not promised", signedZone({ [clientTlsa]: insecure(promises(elsewhere.der)), [hostTlsa]: promises(leaf.der) }), "proved; proved"],
  ["unusable: not promised", signedZone({ [clientTlsa]: { records: [{ ...tlsa(elsewhere.der, "3 1 1"), usage: 9 }] }, [hostTlsa]: promises(leaf.der) }), "proved; proved"],
  ["bogus: not taken for nothing (DANC-5)", signedZone({ [clientTlsa]: bogus, [hostTlsa]: promises(leaf.der) }), "unavailable dane.tlsa-bogus; unavailable"],
  ["failed: the same", signedZone({ [clientTlsa]: failing, [hostTlsa]: promises(leaf.der) }), "unavailable dane.tlsa-failed; unavailable"],
  ["a server's key", signedZone({ [hostTlsa]: promises(leaf.der) }), "proved; proved"],
  ["a key of any server, of both services", { ...both, [hostTlsa]: promises(elsewhere.der), [directTlsa]: promises(leaf.der) }, "proved; proved"],
  ["none of its servers' keys: other prooftypes go on (DANC-6)", signedZone({ [hostTlsa]: promises(elsewhere.der) }), "refuted dane.other-key; refuted"],
  ["one server's records bogus, another's fit", { ...both, [hostTlsa]: bogus, [directTlsa]: promises(leaf.der) }, "proved; proved"],
  ["one server's records bogus, another's do not fit", { ...both, [hostTlsa]: bogus, [directTlsa]: promises(elsewhere.der) }, "unavailable dane.tlsa-bogus; unavailable"],
  ["all failed", { ...both, [hostTlsa]: failing, [directTlsa]: failing }, "unavailable dane.tlsa-failed; unavailable"],
  ["SRV insecure: whatever its targets publish", signedZone({ [plainSrv]: insecure({ records: [srv("host.example")] }), [directSrv]: insecure({ records: [] }), [hostTlsa]: promises(leaf.der) }), "absent dane.not-signed; refuted"],
  ["SRV bogus", signedZone({ [plainSrv]: bogus, [hostTlsa]: promises(leaf.der) }), "unavailable dns.bogus; unavailable"],
  ["SRV of Direct TLS fails beside a secure one (security.md 7)", signedZone({ [directSrv]: failing, [hostTlsa]: promises(leaf.der) }), "unavailable dns.servfail; unavailable"],
  ["SRV of Direct TLS fails beside an insecure one", signedZone({ [plainSrv]: insecure({ records: [srv("host.example")] }), [directSrv]: failing, [hostTlsa]: promises(leaf.der) }), "absent dane.not-signed; refuted"],
  ["SRV '.' of one service leaves the other (DANC-5)", { [plainSrv]: { records: [srv(".", 0)] }, [directSrv]: { records: [srv("direct.example", 5270)] }, [directTlsa]: promises(leaf.der) }, "proved; proved"],
  ["SRV of one service insecure, of the other secure", { ...both, [plainSrv]: insecure({ records: [srv("host.example")] }), [hostTlsa]: promises(leaf.der), [directTlsa]: promises(elsewhere.der) }, "refuted dane.other-key; refuted"],
  ["no SRV, proven: its own port (security.md 6)", { "_5269._tcp.a.example TLSA": promises(leaf.der) }, "proved; proved"],
  ["no SRV, not proven", { [plainSrv]: insecure({ records: [] }), "_5269._tcp.a.example TLSA": promises(leaf.der) }, "absent dane.no-tlsa; refuted"],
  ["nothing published", signedZone(), "absent dane.no-tlsa; refuted"],
  ["only what cannot be used", signedZone({ [hostTlsa]: { records: [{ ...tlsa(leaf.der, "3 1 1"), selector: 7 }] } }), "absent dane.unusable; refuted"],
]

for (const [what, zone, expected] of table) test(`incoming: ${what}`, async () => assert.equal(await row(zone), expected))

test("PKIX goes on beside everything but a mismatch with the records for clients", async () => {
  assert.equal(await row(signedZone({ [hostTlsa]: promises(elsewhere.der) }), byPublic.chain), "refuted dane.other-key; proved")
  assert.equal(await row(signedZone({ [clientTlsa]: failing }), byPublic.chain), "unavailable dane.tlsa-failed; proved")
  assert.equal(await row(signedZone({ [clientTlsa]: promises(elsewhere.der) }), byPublic.chain), "refuted dane.client-mismatch; stop")
})

test("DANC-8: with usage 3 the purpose of the certificate does not matter, nor its dates or names", async () => {
  for (const options of [{ eku: ["serverAuth"] }, { eku: ["clientAuth"] }, { notBefore: now - 90 * day, notAfter: now - day }, { names: { dns: ["b.example"] } }]) {
    const odd = own(options)
    assert.equal(await row({ [clientTlsa]: promises(odd.der) }, odd.chain), "proved; proved")
  }
})

test("DANC-3: an authority promised for clients needs the domain's name; one promised for a server also takes the server's", async () => {
  const authority: Said = { records: [tlsa(middle.certificate.der, "2 1 1")] }
  const [own, host, other] = [issued(middle, "a.example"), issued(middle, "host.example"), issued(middle, "b.example")]
  assert.equal(await row(signedZone({ [clientTlsa]: authority }), own.chain), "proved; proved")
  assert.equal(await row(signedZone({ [clientTlsa]: authority }), host.chain), "refuted dane.client-mismatch; stop")
  assert.equal(await row(signedZone({ [hostTlsa]: authority }), own.chain), "proved; proved")
  assert.equal(await row(signedZone({ [hostTlsa]: authority }), host.chain), "proved; proved")
  assert.equal(await row(signedZone({ [hostTlsa]: authority }), other.chain), "refuted dane.other-key; refuted")
  // Each server's authority vouches for its own name only.
  const two = { ...both, [hostTlsa]: authority, [directTlsa]: promises(elsewhere.der) }
  assert.equal(await row(two, issued(middle, "direct.example").chain), "refuted dane.other-key; refuted")
})

test("DANC-5: SHA-512 beside SHA-256, each compared with its own digest, and the stronger one counts", async () => {
  const zone = (one: Uint8Array, two: Uint8Array): Zone => ({ [clientTlsa]: { records: [tlsa(one, "3 1 1"), tlsa(two, "3 1 2")] } })
  assert.equal(await row(zone(leaf.der, leaf.der)), "proved; proved")
  assert.equal(await row(zone(elsewhere.der, leaf.der)), "proved; proved")
  assert.equal(await row(zone(leaf.der, elsewhere.der)), "refuted dane.client-mismatch; stop")
})

test("what is asked: both services and the records for clients at once, then at most eight servers", async () => {
  const targets = Array.from({ length: 20 }, (_, index) => srv(`h${String(index).padStart(2, "0")}.example`, 5269, 20 - index))
  const { asked } = await incoming({ [plainSrv]: { records: [...targets, srv(".", 0), srv("zero.example", 0), srv("no\\.name", 5269)] } }, leaf.chain)
  assert.deepEqual(asked.slice(0, 3), [clientTlsa, plainSrv, directSrv])
  assert.deepEqual(asked.slice(3), Array.from({ length: 8 }, (_, index) => `_5269._tcp.h${19 - index}.example TLSA`))
  const quiet = await incoming({ [clientTlsa]: failing, ...signedZone() }, leaf.chain)
  assert.deepEqual(quiet.asked, [clientTlsa, plainSrv, directSrv], "nothing more where it could not matter")
})

test("without a certificate there is nothing to compare: no stop, dialback may follow", async () => {
  assert.equal(await row({ [clientTlsa]: promises(elsewhere.der) }, []), "absent cert.none-shown; absent")
})
