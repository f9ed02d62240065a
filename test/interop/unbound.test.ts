// The validator beside Debian's unbound: the same zones, the same liar, the same verdict; and zones signed by foreign hands.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { rootAnchors } from "../../src/dns/dnssec/anchors.ts"
import { nameFromText } from "../../src/dns/name.ts"
import { typeNumbers } from "../../src/dns/records.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import { startDnsResponder } from "../../src/lab/dns-responder.ts"
import type { DnsStatus } from "../../src/model/dns-answer.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"
import { cases } from "../dns/dnssec/cases.ts"
import { attackedZones, liarOver, zonesUnderAttack } from "../dns/dnssec/lies.ts"
import { buildTree } from "../dns/dnssec/tree.ts"
import { opinionOf, startUnbound } from "./peers/unbound.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"

const skip = peerMissing("unbound")

/** Where the two may differ, and why that is right. */
const differences: Readonly<Record<string, { readonly unbound: DnsStatus; readonly because: string }>> = {
  "host.sha1-digest.example A": { unbound: "bogus", because: "a DS with a (false) SHA-1 digest binds unbound; here SHA-1 binds nobody" },
  "host.revoked.example A": {
    unbound: "secure",
    because: "unbound minds the revoke flag in anchors only; here a revoked key signs nothing",
  },
  ...Object.fromEntries(
    cases
      .filter(({ name, type }) => name.startsWith("x.dn.") && type === "CNAME")
      .map(({ name, type }) => [
        `${name} ${type}`,
        {
          unbound: "bogus" as const,
          because: "asked for the CNAME a DNAME makes, unbound looks for a signature over it; RFC 6672 5.3.1 has none",
        },
      ]),
  ),
  ...Object.fromEntries(
    ["nsec", "nsec3"].map((denial) => [
      `host.junk-signatures-first-${denial}.example A`,
      { unbound: "bogus" as const, because: "unbound takes the first signature's signer for the zone; here each signer is tried" },
    ]),
  ),
}

test("same verdict as unbound on every case and behind every lie", { skip }, async (t) => {
  const tree = buildTree(Math.floor(Date.now() / 1000), zonesUnderAttack)
  const liar = liarOver(tree)
  const responder = await startDnsResponder({
    address: "127.0.0.1",
    answer: (name, type, dnssecOk) => tree.answer(name, type, dnssecOk),
    rewrite: (query, reply) => (query.edns?.dnssecOk === true ? liar(query, reply, 0) : reply),
  })
  after(() => responder.close())
  const upstream = { address: responder.address, port: responder.port }
  const unbound = await startUnbound({ at: { address: "127.0.0.1", port: 15353 }, forwardTo: upstream, anchors: tree.anchorText() })
  after(() => unbound.stop())
  const ours = createResolver({
    dnssec: { anchors: tree.anchors() },
    upstreams: [upstream],
    transport: nodeDnsTransport(),
    clock: systemClock,
    random: systemRandom,
    limits: { attempt: 300 },
  })
  assert.notEqual(tree.anchors().digest, rootAnchors.digest)
  assert.deepEqual(await ours.ability(AbortSignal.timeout(5_000)), { able: true })
  const questions = [
    ...cases.map(({ name, type }) => ({ name, type })),
    // Unbound takes longer than 20 s to give up a silent upstream: those two are tested without it.
    ...attackedZones
      .filter(({ attack }) => attack.status !== "indeterminate")
      .map(({ apex, attack: { ask } }) => ({ name: ask[0] === "" ? apex : `${ask[0]}.${apex}`, type: ask[1] })),
  ]
  let compared = 0
  for (const { name, type } of questions) {
    await t.test(`${name} ${type}`, async () => {
      const mine = await ours.resolve(name, type, {})
      const theirs = await opinionOf(unbound.address, nameFromText(name), typeNumbers[type])
      const difference = differences[`${name} ${type}`]
      // To both, data that cannot be had and data that cannot be believed are failures; who calls it what is no difference.
      const merged = (status: DnsStatus): string => (status === "bogus" || status === "indeterminate" ? "failure" : status)
      assert.equal(merged(theirs.status), merged(difference?.unbound ?? mine.status), JSON.stringify(mine.why))
      compared += 1
      // Both differ where it is said, and nowhere else.
      if (difference !== undefined) assert.notEqual(merged(theirs.status), merged(mine.status))
      if (mine.outcome === "failure" || difference !== undefined) return
      const theirData = theirs.message.answers.filter((record) => record.type === typeNumbers[type])
      assert.equal(new Set(theirData.map(({ octets }) => Buffer.from(octets).toString("hex"))).size, mine.records.length)
      assert.equal(theirs.message.rcode === 3, mine.outcome === "name-error")
    })
  }
  assert.ok(compared >= 180, String(compared))
  // And believed by its AD bit, as the operator may choose, it says the same once more.
  const believing = createResolver({
    dnssec: "trust-ad",
    upstreams: [unbound.address],
    transport: nodeDnsTransport(),
    clock: systemClock,
    random: systemRandom,
  })
  assert.deepEqual(await believing.ability(AbortSignal.timeout(5_000)), { able: true })
  for (const { name, type, status } of cases.filter(
    (one, index) => index % 5 === 0 && differences[`${one.name} ${one.type}`] === undefined,
  )) {
    const found = await believing.resolve(name, type, {})
    assert.equal(found.status, status, `${name} ${type}: ${JSON.stringify(found.why)}`)
  }
  peerUsed("unbound")
})
