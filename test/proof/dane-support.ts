// DANE from a table of DNS answers to a verdict: discovery, obtaining and matching in one go, for tests.
import { type Discovery, discover } from "../../src/discovery/discover.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { Endpoint } from "../../src/model/endpoint.ts"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import type { ServerProof, Verdict } from "../../src/model/verdict.ts"
import { createDane, dane, type DaneMaterial } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { type Combined, match, type Obtained, termsOf } from "../../src/proof/prove.ts"
import type { ConnectionTerms, ProofSubject } from "../../src/proof/prooftype.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { seededRandom } from "../dns/support.ts"
import { withoutWeb } from "./proof-ports.ts"
import { addresses, scripted, srv, type Said, type Zone } from "./scripted-dns.ts"
import { now, publicRoot } from "./tlsa-support.ts"

export const a = parseDomain("a.example")
export const publicAnchors = anchorSet([publicRoot.certificate.der])
export const allUsages = createDane({ usages: [3, 2, 1, 0], digests: [2, 1] })
export const never = new AbortController().signal
const reach: ReachPolicy = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example"], ownListeners: [] }

export const plainSrv = "_xmpp-server._tcp.a.example SRV"
export const directSrv = "_xmpps-server._tcp.a.example SRV"
export const hostTlsa = "_5269._tcp.host.example TLSA"
export const clientTlsa = "_xmpp-server.a.example TLSA"

/** a.example is served by host.example, everything signed, no TLSA. */
export function signedZone(more: Zone = {}): Zone {
  return { [plainSrv]: { records: [srv("host.example")] }, "host.example A": addresses("127.0.0.1"), ...more }
}

export const shownBy = (chain: readonly Uint8Array[], presentedAs: ServerProof["presentedAs"] = "tls-server"): ServerProof => ({
  chain,
  presentedAs,
  protocol: "TLSv1.3",
  cipher: "TLS_AES_128_GCM_SHA256",
  serverName: "a.example",
  alpn: undefined,
})

export interface Tried {
  readonly endpoint: Endpoint | undefined
  readonly material: DaneMaterial
  readonly terms: ConnectionTerms
  readonly verdict: Verdict
  /** With PKIX beside it. */
  readonly combined: Combined
}

export interface Told {
  readonly found: Discovery | undefined
  readonly asked: readonly string[]
  readonly tried: readonly Tried[]
}

export interface Trial {
  readonly at?: number
  readonly prooftype?: typeof dane
  readonly otherwise?: Said
}

async function judge(subject: ProofSubject, resolver: ReturnType<typeof scripted>["resolver"], proof: ServerProof, { at = now, prooftype = dane }: Trial): Promise<Tried> {
  const ports = { ...withoutWeb, anchors: publicAnchors, resolver, at: now, signal: never }
  const material = await prooftype.obtain(subject, ports)
  const obtained: Obtained[] = [
    { prooftype: pkix, material: pkix.obtain(subject, ports) },
    { prooftype, material },
  ]
  const proven = match(obtained, subject, proof, at)
  return { endpoint: subject.endpoint, material, terms: termsOf(obtained), verdict: proven.verdicts[1]!, combined: proven.combined }
}

/** We connect to a.example; every endpoint shows the same chain. */
export async function outgoing(zone: Zone, chain: readonly Uint8Array[], trial: Trial = {}): Promise<Told> {
  const dns = scripted(zone, trial.otherwise)
  const found = await discover({ domain: a, service: "xmpp-server", resolver: dns.resolver, random: seededRandom(1), reach })
  const tried: Tried[] = []
  for (const endpoint of found.outcome === "endpoints" ? found.endpoints : []) {
    tried.push(await judge({ source: a, service: "xmpp-server", role: "outgoing", endpoint }, dns.resolver, shownBy(chain), trial))
  }
  return { found, asked: dns.asked, tried }
}

/** a.example connects to us. */
export async function incoming(zone: Zone, chain: readonly Uint8Array[], trial: Trial = {}): Promise<Told> {
  const dns = scripted(zone, trial.otherwise)
  const subject: ProofSubject = { source: a, service: "xmpp-server", role: "incoming", endpoint: undefined }
  return { found: undefined, asked: dns.asked, tried: [await judge(subject, dns.resolver, shownBy(chain, "tls-client"), trial)] }
}

/** `proved`, or outcome and finding. */
export function said(verdict: Verdict): string {
  return verdict.outcome === "proved" ? "proved" : `${verdict.outcome} ${verdict.finding}`
}
