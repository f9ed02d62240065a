// POSH from a table of web hosts to a verdict: obtaining and matching in one go, for tests.
import { createHash } from "node:crypto"
import { DialError, HttpsError, type DialFailure } from "../../src/model/errors.ts"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import type { Service, Verdict } from "../../src/model/verdict.ts"
import type { Https, HttpsRequest } from "../../src/ports.ts"
import { createPosh, type PoshOptions } from "../../src/proof/posh.ts"
import type { PoshMaterial } from "../../src/proof/posh-trail.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { type Combined, match } from "../../src/proof/prove.ts"
import type { ProofPorts, ProofSubject } from "../../src/proof/prooftype.ts"
import { a, never, publicAnchors, shownBy } from "./dane-support.ts"
import { addresses, insecure, scripted, type ScriptedDns, type Zone } from "./scripted-dns.ts"
import { issued, now, own, publicRoot } from "./tlsa-support.ts"

export const finalPath = "/.well-known/posh/xmpp-server.json"
export const olderPath = "/.well-known/posh._xmpp-server._tcp.json"
export const reach: ReachPolicy = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example"], ownListeners: [] }

/** The server's own certificate, of no authority and for no name: what POSH is for. */
export const nobody = own({ names: {}, commonName: "nobody" })
export const other = own({ names: {}, commonName: "another" })

export const digestOf = (der: Uint8Array, hash = "sha256"): string => createHash(hash).update(der).digest("base64")
export const fingerprint = (der: Uint8Array): Record<string, string> => ({ "sha-256": digestOf(der) })
export const documentOf = (...leaves: readonly Uint8Array[]) => ({ fingerprints: leaves.map(fingerprint), expires: 86_400 })
export const listing = (expires: unknown = 86_400): Page => json({ fingerprints: [fingerprint(nobody.der)], expires })

export interface Page {
  readonly status?: number
  readonly location?: string
  readonly contentType?: string
  readonly body?: string | Uint8Array
  readonly fails?: HttpsError["failure"]
}

export const json = (value: unknown): Page => ({ body: JSON.stringify(value) })
export const text = (body: string | Uint8Array): Page => ({ body })
export const redirect = (location: string, status = 302): Page => ({ status, location })

export interface Site {
  /** Default: a good one of its name. */
  readonly chain?: readonly Uint8Array[]
  /** By path; what is not there is 404. */
  readonly pages?: Readonly<Record<string, Page>>
  readonly dial?: DialFailure
  readonly addresses?: readonly string[]
}

export type Web = Record<string, Site>

const chains = new Map<string, readonly Uint8Array[]>()
/** A good certificate of a web host. */
export function webChain(host: string): readonly Uint8Array[] {
  const known = chains.get(host) ?? issued(publicRoot, host, { notBefore: now - 86_400_000, notAfter: now + 3650 * 86_400_000 }).chain
  chains.set(host, known)
  return known
}

export interface ScriptedWeb {
  readonly https: Https
  /** `https://HOST/PATH` of each request that was really written. */
  readonly requests: string[]
  /** Hosts whose certificate was looked at. */
  readonly shown: string[]
  readonly asked: HttpsRequest[]
  readonly dns: ScriptedDns
}

export function scriptedWeb(web: Web, clock: () => number = () => now): ScriptedWeb {
  const requests: string[] = []
  const shown: string[] = []
  const asked: HttpsRequest[] = []
  const zone: Zone = {}
  for (const [host, site] of Object.entries(web)) zone[`${host} A`] = insecure(addresses(...(site.addresses ?? ["127.0.0.1"])))
  const dns = scripted(zone, { status: "insecure" }, clock)
  const https: Https = {
    async get(request) {
      asked.push(request)
      const { host, path, signal, accept, maxOctets } = request
      if (signal.aborted) throw new HttpsError("timeout", "given up")
      const site = web[host]
      if (site === undefined) throw new DialError("refused", `${host}: nobody listens`)
      if (site.dial !== undefined) throw new DialError(site.dial, `${host}: ${site.dial}`)
      const chain = site.chain ?? webChain(host)
      shown.push(host)
      const facts = { chain, protocol: "TLSv1.3", cipher: "", serverName: host, alpn: undefined, exporter: new Uint8Array(32) }
      if (!accept(facts)) throw new HttpsError("refused", "not accepted", { chain })
      requests.push(`https://${host}${path}`)
      const page = site.pages?.[path] ?? { status: 404 }
      if (page.fails !== undefined) throw new HttpsError(page.fails, page.fails, { chain })
      const body = Uint8Array.from(Buffer.from(page.body ?? ""))
      if (body.length > maxOctets) throw new HttpsError("too-large", "too large", { chain })
      return { status: page.status ?? 200, location: page.location, contentType: page.contentType ?? "application/json", body, facts }
    },
  }
  return { https, requests, shown, asked, dns }
}

/** The domain's web host with this page at the well-known URI, and whatever hosts there are besides. */
export const webOf = (page: Page, more: Web = {}): Web => ({ "a.example": { pages: { [finalPath]: page } }, ...more })

export interface Trial extends PoshOptions {
  readonly chain?: readonly Uint8Array[]
  readonly role?: ProofSubject["role"]
  readonly service?: Service
  readonly at?: number
  readonly signal?: AbortSignal
  readonly reach?: ReachPolicy
}

export interface Tried {
  readonly web: ScriptedWeb
  readonly subject: ProofSubject
  readonly material: PoshMaterial
  readonly verdict: Verdict
  /** `proved`, or outcome and finding. */
  readonly said: string
  /** With PKIX beside it. */
  readonly combined: Combined
}

export function portsOf(web: ScriptedWeb, more: Partial<ProofPorts> = {}): ProofPorts {
  return { https: web.https, reach, anchors: publicAnchors, resolver: web.dns.resolver, at: now, signal: never, ...more }
}

export const saidBy = (verdict: Verdict): string => (verdict.outcome === "proved" ? "proved" : `${verdict.outcome} ${verdict.finding}`)

export async function tried(table: Web, { chain = nobody.chain, role = "outgoing", service = "xmpp-server", at = now, signal = never, reach: policy = reach, ...options }: Trial = {}): Promise<Tried> {
  const web = scriptedWeb(table)
  const posh = createPosh(options)
  const subject: ProofSubject = { source: a, service, role, endpoint: undefined }
  const ports = portsOf(web, { signal, reach: policy })
  const material = await posh.obtain(subject, ports)
  const proof = shownBy(chain, role === "outgoing" ? "tls-server" : "tls-client")
  const { verdicts, combined } = match([{ prooftype: posh, material }, { prooftype: pkix, material: pkix.obtain(subject, ports) }], subject, proof, at)
  return { web, subject, material, verdict: verdicts[0]!, said: saidBy(verdicts[0]!), combined }
}
