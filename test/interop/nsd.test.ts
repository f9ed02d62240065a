// The validator on zones that ldns signed and nsd serves: foreign keys, signatures and denial records, and unbound's opinion beside ours.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { parseAnchors } from "../../src/dns/dnssec/anchors.ts"
import { nameFromText } from "../../src/dns/name.ts"
import { typeNumbers } from "../../src/dns/records.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import type { DnsStatus } from "../../src/model/dns-answer.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"
import { standardCases } from "../dns/dnssec/cases.ts"
import { standardRecords } from "../dns/dnssec/tree.ts"
import { type LdnsZone, startNsd } from "./peers/nsd.ts"
import { opinionOf, startUnbound } from "./peers/unbound.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"

const zone = (apex: string, rest: Partial<LdnsZone>): LdnsZone => ({ apex, records: standardRecords(apex), ...rest })
const old = ["-i", "20200101000000", "-e", "20200201000000"]

const zones: LdnsZone[] = [
  zone("rsa256.example", { algorithm: "RSASHA256" }),
  zone("rsa512.example", { algorithm: "RSASHA512", arguments: ["-n", "-s", "aabbccdd", "-t", "5"] }),
  zone("p256.example", { algorithm: "ECDSAP256SHA256", arguments: ["-n", "-t", "0"] }),
  zone("p384.example", { algorithm: "ECDSAP384SHA384" }),
  zone("ed25519.example", { algorithm: "ED25519", arguments: ["-n", "-s", "ab", "-t", "1"] }),
  zone("ed448.example", { algorithm: "ED448" }),
  zone("expired.example", { algorithm: "ED25519", arguments: old }),
  zone("island.example", { algorithm: "ED25519", island: true }),
  zone("unsigned.optout.example", {}),
  zone("signed.optout.example", { algorithm: "ED25519" }),
  zone("optout.example", { algorithm: "ED25519", arguments: ["-n", "-p", "-t", "0"] }),
  zone("costly.example", { algorithm: "ED25519", arguments: ["-n", "-s", "ab", "-t", "160"] }),
  zone("unsigned.example", {}),
  { apex: "example", algorithm: "RSASHA256", records: {} },
  { apex: ".", algorithm: "ECDSAP256SHA256", records: {} },
]

const honest = ["rsa256", "rsa512", "p256", "p384", "ed25519", "ed448"].flatMap((label) => standardCases(`${label}.example`))
const special: readonly (readonly [name: string, type: "A" | "TXT" | "TLSA", status: DnsStatus])[] = [
  ["host.expired.example", "A", "bogus"],
  ["gone.expired.example", "A", "bogus"],
  ["host.island.example", "A", "insecure"],
  ["host.unsigned.example", "A", "insecure"],
  ["gone.unsigned.example", "TLSA", "insecure"],
  ["host.unsigned.optout.example", "A", "insecure"],
  ["host.signed.optout.example", "A", "secure"],
  ["gone.signed.optout.example", "A", "secure"],
  ["gone.optout.example", "A", "insecure"],
  ["host.optout.example", "TXT", "secure"],
  ["any.wild.optout.example", "A", "insecure"],
  ["host.costly.example", "A", "secure"],
  ["gone.costly.example", "A", "insecure"],
  ["gone.example", "A", "secure"],
]

test("zones signed by ldns, served by nsd: the expected verdict, and unbound's", { skip: peerMissing("nsd", "unbound") }, async (t) => {
  // Below the ports that the kernel gives to connections: one of those may be in use.
  const nsd = await startNsd({ address: "127.0.0.1", port: 15354 }, zones)
  after(() => nsd.stop())
  const unbound = await startUnbound({
    at: { address: "127.0.0.1", port: 15355 },
    forwardTo: nsd.at,

    anchors: nsd.anchors,
  })
  after(() => unbound.stop())
  const ours = createResolver({
    dnssec: { anchors: parseAnchors(nsd.anchors) },
    upstreams: [nsd.at],
    transport: nodeDnsTransport(),
    clock: systemClock,
    random: systemRandom,
  })
  assert.deepEqual(await ours.ability(AbortSignal.timeout(5_000)), { able: true })
  const questions = [
    ...honest.map(({ name, type, status, outcome }) => ({ name, type, status, outcome })),
    ...special.map(([name, type, status]) => ({ name, type, status, outcome: undefined })),
  ]
  for (const { name, type, status, outcome } of questions) {
    await t.test(`${name} ${type}`, async () => {
      const mine = await ours.resolve(name, type, {})
      assert.equal(mine.status, status, JSON.stringify(mine.why))
      if (outcome !== undefined) assert.equal(mine.outcome, outcome)
      // Asked for the CNAME a DNAME makes, unbound looks for a signature over it; RFC 6672 5.3.1 has none.
      const madeAlias = type === "CNAME" && name.startsWith("x.dn.")
      const theirs = await opinionOf(unbound.address, nameFromText(name), typeNumbers[type])
      assert.equal(theirs.status, madeAlias ? "bogus" : mine.status)
    })
  }
  peerUsed("nsd")
})
