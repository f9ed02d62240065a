// Evidence over signed DNS, from a resolver that validates in front of a signed tree to the items of a file; for tests of `judge`.
import assert from "node:assert/strict"
import { createResolver, type DnsTransport } from "../../src/dns/resolver.ts"
import { classInternet, decodeMessage, encodeMessage } from "../../src/dns/message.ts"
import { SignedTree } from "../../src/lab/dns-signed-tree.ts"
import type { ZoneText } from "../../src/lab/dns-zones.ts"
import { makeSigningKey } from "../../src/lab/dns-signer.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { Evidence } from "../../src/model/evidence.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { discover } from "../../src/discovery/discover.ts"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { match } from "../../src/proof/prove.ts"
import type { AnyProoftype, ProofSubject } from "../../src/proof/prooftype.ts"
import { seededRandom } from "../dns/support.ts"
import { a, never, publicAnchors, shownBy } from "./dane-support.ts"
import { withoutWeb } from "./proof-ports.ts"
import { now, own, tlsa } from "./tlsa-support.ts"

export const leaf = own()
const seconds = Math.floor(now / 1000)
export const validity = { inception: seconds - 3600, expiration: seconds + 7200 }

/** The record for a certificate's key, as a zone has it. */
export function promise(der: Uint8Array) {
  const { usage, selector, matching, association } = tlsa(der, "3 1 1")
  return { TLSA: [[usage, selector, matching, association]] as const }
}
export const records = {
  "_xmpp-server._tcp.a.example": { SRV: [[0, 0, 5269, "host.example"]] as const },
  "host.example": { A: ["127.0.0.1"] },
  "_5269._tcp.host.example": promise(leaf.der),
}
export const zones = (ds?: "none", more: ZoneText = records) => ({ ".": { keys: [makeSigningKey(13)] }, example: { keys: [makeSigningKey(13)], records: more, ...(ds === undefined ? {} : { ds }) } })
export const tree = new SignedTree({ validity, zones: zones() })

/** A resolver in front of the tree; with `trust-ad` it is believed to have validated. */
export function resolverFor(of: SignedTree, mode: "validate" | "trust-ad" = "validate") {
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

export interface Recording {
  readonly mode?: "validate" | "trust-ad"
  readonly of?: SignedTree
  readonly prooftypes?: readonly AnyProoftype[]
  readonly chain?: readonly Uint8Array[]
}

/** What is recorded of one connection with a.example, in the order of the prooftypes: DANE alone unless given. */
export async function record(role: "outgoing" | "incoming", { mode = "validate", of = tree, prooftypes = [dane], chain = leaf.chain }: Recording = {}): Promise<readonly Evidence[]> {
  const resolver = resolverFor(of, mode)
  const reach = { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] }
  const found = await discover({ domain: a, service: "xmpp-server", resolver, random: seededRandom(1), reach })
  assert.ok(found.outcome === "endpoints")
  const subject: ProofSubject = { source: a, service: "xmpp-server", role, endpoint: role === "outgoing" ? found.endpoints[0] : undefined }
  const ports = { ...withoutWeb, anchors: publicAnchors, resolver, at: now, signal: never }
  const obtained = await Promise.all(prooftypes.map(async (prooftype) => ({ prooftype, material: (await prooftype.obtain(subject, ports)) as unknown })))
  const us = parseDomain("us.example")
  const pair = role === "outgoing" ? { sender: us, target: a } : { sender: a, target: us }
  return match(obtained, subject, shownBy(chain, role === "outgoing" ? "tls-server" : "tls-client"), now).evidence(pair)
}

export const both: readonly AnyProoftype[] = [pkix, dane]
