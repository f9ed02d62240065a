// DANE and secure delegation for clients (RFC 7712 3.2, RFC 7673 3): the same rules with `_xmpp-client` and `_xmpps-client`.
import assert from "node:assert/strict"
import { test } from "node:test"
import { discover } from "../../src/discovery/discover.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { match, obtainAll } from "../../src/proof/prove.ts"
import type { ProofSubject } from "../../src/proof/prooftype.ts"
import { a, never, publicAnchors, said, shownBy } from "./dane-support.ts"
import { withoutWeb } from "./proof-ports.ts"
import { addresses, insecure, scripted, srv, type Zone } from "./scripted-dns.ts"
import { issued, now, own, publicRoot, tlsa } from "./tlsa-support.ts"

const leaf = own({ names: {}, commonName: "nobody" })

async function client(zone: Zone, chain: readonly Uint8Array[]) {
  const { resolver, asked } = scripted(zone)
  const found = await discover({ domain: a, service: "xmpp-client", resolver, random: { fraction: () => 0 }, reach: { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] } })
  assert.ok(found.outcome === "endpoints")
  const subject: ProofSubject = { source: a, service: "xmpp-client", role: "outgoing", endpoint: found.endpoints[0] }
  const obtained = await obtainAll([pkix, dane], subject, { ...withoutWeb, anchors: publicAnchors, resolver, at: now, signal: never })
  const { verdicts, combined } = match(obtained, subject, shownBy(chain), now)
  return { asked: asked.filter((name) => name.endsWith("TLSA")), verdicts: verdicts.map(said), outcome: combined.outcome }
}

const place = { "host.example A": addresses("127.0.0.1") }
const plain = "_xmpp-client._tcp.a.example SRV"

test("STARTTLS and Direct TLS: TLSA at the target and port of signed SRV", async () => {
  for (const [name, port] of [[plain, 5222], ["_xmpps-client._tcp.a.example SRV", 5223]] as const) {
    const zone = { ...place, [name]: { records: [srv("host.example", port)] }, [`_${port}._tcp.host.example TLSA`]: { records: [tlsa(leaf.der, "3 1 1")] } }
    assert.deepEqual(await client(zone, leaf.chain), { asked: [`_${port}._tcp.host.example TLSA`], verdicts: ["refuted cert.self-signed", "proved"], outcome: "proved" })
    assert.equal((await client(zone, issued(publicRoot, "a.example").chain)).outcome, "stop")
  }
})

test("the host's own certificate proves the domain where SRV is signed, and only there", async () => {
  const host = issued(publicRoot, "host.example")
  const records = { records: [srv("host.example", 5222)] }
  assert.equal((await client({ ...place, [plain]: records }, host.chain)).outcome, "proved")
  assert.deepEqual(await client({ ...place, [plain]: insecure(records) }, host.chain), { asked: [], verdicts: ["refuted pkix.name-mismatch", "absent dane.not-signed"], outcome: "refuted" })
})

test("without SRV: the port of clients at the domain itself", async () => {
  const zone = { "a.example A": addresses("127.0.0.1"), "_5222._tcp.a.example TLSA": { records: [tlsa(leaf.der, "3 1 1")] } }
  assert.equal((await client(zone, leaf.chain)).outcome, "proved")
})

test("an SRV-ID of the other service does not count (ID-04)", async () => {
  const forServers = issued(publicRoot, "b.example", { names: { srv: ["_xmpp-server.host.example"] } })
  const forClients = issued(publicRoot, "b.example", { names: { srv: ["_xmpp-client.host.example"] } })
  const zone = { ...place, [plain]: { records: [srv("host.example", 5222)] } }
  assert.deepEqual([(await client(zone, forServers.chain)).outcome, (await client(zone, forClients.chain)).outcome], ["refuted", "proved"])
})
