// What a plan for renewals consists of: outcomes by domain, and the documents that follow from them (RFC 7711 3.1; POSH-04,
// POSH-08, POSH-09).
import type { Domain } from "../model/domain.ts"
import type { Instant } from "../model/verdict.ts"
import type { Files, TlsCredentials } from "../ports.ts"
import { defaultTlsaPolicy, type TlsaPolicy } from "../proof/tlsa.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { CertificateError, parseCertificate } from "../x509/certificate.ts"
import type { CertificateSnapshot, CertificateWarning, ShownCertificate } from "./certificates.ts"
import { pemBlocks } from "./certificate-scan.ts"
import type { GatewayConfig, HostedDomain } from "./config.ts"
import { reason } from "./config-values.ts"
import { fingerprintsDocument, longestExpires, mostCertificates } from "./posh-document.ts"
import type { RolloverCertificate, RolloverDecision, TlsaMeasure } from "./rollover.ts"
import type { RetiredCertificate } from "./rollover-state.ts"
import { ShardedMap } from "./sharded-map.ts"

const mostNextOctets = 256 * 1024

/** One document that is served now. */
export interface ServedDocument {
  readonly fingerprints: readonly string[]
  readonly expiresMs: number
  /** As it goes out. */
  readonly text: () => string
}

/** What is shown and held back for one domain, for `ctl certs`. Plain. */
export interface RolloverView {
  readonly domain: Domain
  /** The name whose certificate is shown, where that is another one. */
  readonly certificate?: Domain
  readonly onDisk: CertificateLine
  readonly served: CertificateLine
  /** Why they differ; absent where they do not. */
  readonly held?: { readonly because: RolloverDecision["because"]; readonly sentence: string; readonly until?: Instant }
  /** Names whose documents speak for it, and how long those may be remembered. */
  readonly posh: readonly { readonly name: Domain; readonly expiresMs: number; readonly fingerprints: readonly string[] }[]
  /** Certificates that are shown no more and are still named in documents. */
  readonly retired: readonly { readonly fingerprint: string; readonly until: Instant }[]
}

export interface CertificateLine {
  readonly fingerprint: string
  readonly notBefore: Instant
  readonly notAfter: Instant
}

export interface PublishedCertificate {
  readonly fingerprint: string
  readonly der: Uint8Array
}

/** What was decided for one domain. */
export interface Outcome {
  readonly hosted: HostedDomain
  readonly published: boolean
  readonly candidate: ShownCertificate
  readonly shown: ShownCertificate
  readonly decision: RolloverDecision
  readonly retired: readonly RetiredCertificate[]
  /** The most relevant first. */
  readonly publish: readonly PublishedCertificate[]
  /** Fingerprints of those among them that are announced in `posh.next`. */
  readonly next: readonly string[]
}

/** What a new snapshot shows and publishes; nothing has happened until it is committed. */
export interface RolloverPlan {
  readonly certificates: CertificateSnapshot
  readonly documents: ReadonlyMap<Domain, ServedDocument>
  readonly warnings: readonly CertificateWarning[]
  /** When to plan again without a change on disk. */
  readonly again: Instant | undefined
  readonly outcomes: ReadonlyMap<Domain, Outcome>
  readonly suspended: ReadonlySet<Domain>
  /** Whose old certificates were given up by hand. */
  readonly abandoned: ReadonlySet<Domain>
  readonly measure: Omit<TlsaMeasure, "domain">
}

/** What of the configuration decides about renewals. */
export type RolloverConfig = Pick<GatewayConfig, "domains" | "dnssec" | "proofs" | "daneUsages" | "sources"> & { readonly listen: Pick<GatewayConfig["listen"], "posh" | "poshHttps"> }

export interface RolloverInput {
  readonly config: RolloverConfig
  /** As the folders have them now. */
  readonly certificates: CertificateSnapshot
  /** As they were shown until now; undefined at the start. */
  readonly previous: CertificateSnapshot | undefined
  readonly anchors: AnchorSet
  readonly now: Instant
}

export interface RolloverNews {
  readonly event: "cert.held" | "cert.switched"
  readonly domain: Domain
  readonly loud: boolean
  readonly text: string
}

export interface DocumentsInput {
  readonly config: RolloverConfig
  readonly outcomes: ReadonlyMap<Domain, Outcome>
  /** Now; what did not change stays the same object. */
  served(name: Domain): ServedDocument | undefined
  /** Whether a document of this name that peers may remember lists the certificate. */
  wasListed(name: Domain, fingerprint: string): boolean
}

/** A document for each domain that serves one, and for each name whose certificate is shown for others. */
export function documentsOf({ config, outcomes, served, wasListed }: DocumentsInput): ReadonlyMap<Domain, ServedDocument> {
  const documents = new Map<Domain, ServedDocument>()
  if (!serves(config)) return documents
  const borrowers = new Map<Domain, Outcome[]>()
  for (const outcome of outcomes.values()) {
    const { certificate } = outcome.hosted
    if (certificate === undefined) continue
    const list = borrowers.get(certificate)
    if (list === undefined) borrowers.set(certificate, [outcome])
    else list.push(outcome)
  }
  const inUse = new Set([...outcomes.values()].flatMap(({ candidate, shown }) => [candidate.leaf.fingerprint, shown.leaf.fingerprint]))
  const set = (name: Domain, all: readonly PublishedCertificate[], expiresMs: number): void => {
    const certificates = all.length <= mostCertificates ? all : [...all.filter((each) => inUse.has(each.fingerprint)), ...all.filter((each) => !inUse.has(each.fingerprint))].slice(0, mostCertificates)
    const fingerprints = certificates.map(({ fingerprint }) => fingerprint)
    const before = served(name)
    const same = before?.expiresMs === expiresMs && before.fingerprints.join() === fingerprints.join()
    documents.set(name, same ? before : documentOf(certificates, fingerprints, expiresMs))
  }
  for (const [name, { hosted, publish }] of outcomes) if (hosted.posh?.serve === true && !borrowers.has(name)) set(name, publish, hosted.posh.expiresMs)
  // Customers' redirects and references lead to the name whose certificate is shown for them.
  for (const [name, those] of borrowers) {
    const lent = new Set(those.map(({ candidate }) => candidate.leaf.fingerprint))
    const host = outcomes.get(name)
    const own = host !== undefined && lent.has(host.candidate.leaf.fingerprint) ? host : undefined
    const operators = new Set(own?.hosted.source === config.sources[0] ? own?.next : [])
    // security.md 22: this document speaks for every customer, so that no customer adds to it what is not the operator's.
    // What was listed before counts on, but for what customers announce: one may have hosted this name alone at that time.
    const announced = new Set([...(host?.next ?? []), ...those.flatMap(({ next }) => next)])
    const good = ({ fingerprint }: PublishedCertificate): boolean => lent.has(fingerprint) || operators.has(fingerprint) || (!announced.has(fingerprint) && wasListed(name, fingerprint))
    const expiresMs = own?.hosted.posh?.expiresMs ?? longestExpires * 1000
    set(name, listed([...(own?.publish ?? []), ...those.flatMap(({ publish }) => publish)].filter(good)), expiresMs)
  }
  return documents
}

function documentOf(certificates: readonly PublishedCertificate[], fingerprints: readonly string[], expiresMs: number): ServedDocument {
  let text: string | undefined
  return { fingerprints, expiresMs, text: () => (text ??= fingerprintsDocument(certificates.map(({ der }) => der), Math.floor(expiresMs / 1000))) }
}

/** Certificates announced in `posh.next`; one that cannot be read is said and left out. */
export async function nextOf(hosted: HostedDomain, files: Pick<Files, "read" | "stat">, warnings: CertificateWarning[]): Promise<PublishedCertificate[]> {
  const found: PublishedCertificate[] = []
  for (const path of hosted.posh?.next ?? []) {
    try {
      const { size } = await files.stat(path)
      if (size > mostNextOctets) throw new Error(`it has ${size} octets`)
      const text = Buffer.from(await files.read(path)).toString("latin1")
      const [first] = [...pemBlocks(text)].filter(({ label }) => label === "CERTIFICATE")
      if (first === undefined) throw new Error("there is no certificate in it")
      const { der, fingerprint } = parseCertificate(Buffer.from(first.body, "base64"))
      found.push({ der, fingerprint })
    } catch (error) {
      const why = error instanceof CertificateError ? error.message : reason(error)
      warnings.push({ event: "cert.unreadable", domain: hosted.name, path, sentence: `${path}, which is the next certificate of ${hosted.name}, cannot be published: ${why}.` })
    }
  }
  return found
}

/** Without a listener nothing is published, whatever domains ask for. */
export const serves = ({ listen }: RolloverConfig): boolean => listen.posh.length + listen.poshHttps.length > 0

export const policyOf = ({ daneUsages }: RolloverConfig): TlsaPolicy => ({ ...defaultTlsaPolicy, usages: daneUsages })

export const ofShown = ({ leaf }: ShownCertificate) => ({ fingerprint: leaf.fingerprint, der: leaf.der })

export const line = ({ leaf: { fingerprint, notBefore, notAfter } }: ShownCertificate): CertificateLine => ({ fingerprint, notBefore, notAfter })

/** Chains are taken apart once for each set of credentials. */
const chains = new WeakMap<TlsCredentials, readonly Uint8Array[]>()

/** DER as it is shown, the domain's own certificate first. */
export function chainOf({ credentials }: ShownCertificate): readonly Uint8Array[] {
  let chain = chains.get(credentials)
  if (chain === undefined) {
    // Copied: a piece of the platform's pool that lives as long would keep 64 KiB alive.
    chain = [...pemBlocks(credentials.certificatePem)].map(({ body }) => Uint8Array.from(Buffer.from(body, "base64")))
    chains.set(credentials, chain)
  }
  return chain
}

export function asPlanned(shown: ShownCertificate): RolloverCertificate {
  return {
    ...line(shown),
    // Only TLSA records ask for it.
    get chain() {
      return chainOf(shown)
    },
  }
}

/** Each once, where it came first. */
export function listed(certificates: readonly PublishedCertificate[]): PublishedCertificate[] {
  const byFingerprint = new Map<string, PublishedCertificate>()
  for (const { fingerprint, der } of certificates) if (!byFingerprint.has(fingerprint)) byFingerprint.set(fingerprint, { fingerprint, der })
  return [...byFingerprint.values()]
}

/** Domains that are not simply hosted with a certificate of their own. */
export interface NotableDomains {
  readonly domains: ReadonlyMap<Domain, HostedDomain>
  /** Those for which a document may speak. */
  readonly speaking: ReadonlyMap<Domain, HostedDomain>
  readonly suspended: ReadonlySet<Domain>
}

/** @param before of the configuration before: only what differs is looked at */
export function notableDomains(domains: ReadonlyMap<Domain, HostedDomain>, before?: NotableDomains): NotableDomains {
  const differing = ShardedMap.differences(before?.domains ?? ShardedMap.empty<Domain, HostedDomain>(), domains)
  const speaking = new Map(before?.speaking)
  const suspended = new Set(before?.suspended)
  for (const name of differing) {
    const hosted = domains.get(name)
    if (hosted !== undefined && (hosted.posh?.serve === true || hosted.certificate !== undefined)) speaking.set(name, hosted)
    else speaking.delete(name)
    if (hosted?.suspended === true) suspended.add(name)
    else suspended.delete(name)
  }
  return { domains, speaking, suspended }
}
