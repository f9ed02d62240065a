// Whether DNSSEC proves that a domain has withdrawn DANE (security.md 13): only what is signed, for every server, counts.
import assert from "node:assert/strict"
import { test } from "node:test"
import { dane, type DaneMaterial } from "../../src/proof/dane.ts"
import { withdrawnProofs } from "../../src/proof/prove.ts"
import { clientTlsa, directSrv, hostTlsa, incoming, outgoing, plainSrv, signedZone } from "./dane-support.ts"
import { addresses, bogus, failing, insecure, type Said, srv, type Zone } from "./scripted-dns.ts"
import { own, tlsa } from "./tlsa-support.ts"

const leaf = own()
const promise: Said = { records: [tlsa(leaf.der, "3 1 1")] }
const gone = (material: DaneMaterial): boolean => dane.withdrawn?.(material) === true

/** Over all endpoints that were found. */
function withdrawn(materials: readonly DaneMaterial[]): boolean {
  const kept = materials.map((material) => [{ prooftype: "dane", material }])
  return withdrawnProofs([dane], kept).includes("dane")
}

const two: Zone = { [plainSrv]: { records: [srv("host.example", 5269, 1), srv("spare.example", 5269, 2)] }, "host.example A": addresses("127.0.0.1"), "spare.example A": addresses("127.0.0.2") }

const outgoingTable: [what: string, zone: Zone, expected: boolean][] = [
  ["signed, and no TLSA", signedZone(), true],
  ["TLSA", signedZone({ [hostTlsa]: promise }), false],
  ["TLSA that cannot be used", signedZone({ [hostTlsa]: { records: [{ ...tlsa(leaf.der, "3 1 1"), usage: 9 }] } }), false],
  ["an absence that is not signed", signedZone({ [hostTlsa]: insecure({ records: [] }) }), false],
  ["silence", signedZone({ [hostTlsa]: failing }), false],
  ["bogus", signedZone({ [hostTlsa]: bogus }), false],
  ["SRV stripped of its signatures", signedZone({ [plainSrv]: insecure({ records: [srv("host.example")] }) }), false],
  ["addresses stripped of theirs", signedZone({ "host.example A": insecure(addresses("127.0.0.1")) }), false],
  ["two servers without", two, true],
  ["two servers, of which one still publishes", { ...two, "_5269._tcp.spare.example TLSA": promise }, false],
  ["two servers, of which one cannot be asked", { ...two, "_5269._tcp.spare.example TLSA": failing }, false],
]
for (const [what, zone, expected] of outgoingTable) {
  test(`outgoing, ${what}: ${expected ? "withdrawn" : "not withdrawn"}`, async () => {
    const { tried } = await outgoing(zone, leaf.chain)
    assert.equal(withdrawn(tried.map(({ material }) => material)), expected)
  })
}

const incomingTable: [what: string, zone: Zone, expected: boolean][] = [
  ["signed, and no TLSA", signedZone(), true],
  ["TLSA for its connections", signedZone({ [clientTlsa]: promise }), false],
  ["TLSA for its server", signedZone({ [hostTlsa]: promise }), false],
  ["the one for its connections is not signed", signedZone({ [clientTlsa]: insecure({ records: [] }) }), false],
  ["one SRV is not signed", signedZone({ [directSrv]: insecure({ records: [] }) }), false],
  ["SRV fails", signedZone({ [plainSrv]: failing }), false],
]
for (const [what, zone, expected] of incomingTable) {
  test(`incoming, ${what}: ${expected ? "withdrawn" : "not withdrawn"}`, async () => {
    const { tried } = await incoming(zone, leaf.chain)
    assert.equal(withdrawn(tried.map(({ material }) => material)), expected)
  })
}

test("nothing asked, and a prooftype that cannot be withdrawn, are no withdrawal", async () => {
  const { tried } = await outgoing(signedZone(), leaf.chain)
  const material = tried[0]!.material
  assert.equal(gone(material), true)
  assert.deepEqual(withdrawnProofs([dane], []), [])
  assert.deepEqual(withdrawnProofs([dane], [[]]), [])
  const { withdrawn: _left, ...other } = dane
  assert.deepEqual(withdrawnProofs([other], [[{ prooftype: "dane", material }]]), [])
  assert.equal(gone({ ...material, tlsa: [] }), false)
})
