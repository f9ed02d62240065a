// TLSA records: which of them count, and whether a presented chain fits one of them (RFC 6698 2 and 4, RFC 7671; DANE-15 to
// DANE-25). Pure: records, chain, names, anchors and the moment are arguments.
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { TlsaRecord } from "../model/dns-answer.ts"
import type { AcceptedIdentity, Instant } from "../model/verdict.ts"
import { type Anchor, type AnchorSet, anchorSet, bareAnchor } from "../x509/anchors.ts"
import { type Certificate, CertificateError, parseCertificate } from "../x509/certificate.ts"
import { publicKeyFacts } from "../x509/algorithms.ts"
import { contextTag, DerReader, TAG } from "../x509/der.ts"
import { matchIdentity } from "../x509/identifiers.ts"
import { validatePath } from "../x509/path.ts"

export const tlsaUsage = { pkixTa: 0, pkixEe: 1, daneTa: 2, daneEe: 3 } as const

export interface TlsaPolicy {
  /** Usages in use; records of others are unusable. */
  readonly usages: readonly number[]
  /** Matching types that are digests, the strongest first (DANE-23); records of others are unusable. */
  readonly digests: readonly number[]
}

/** RFC 7671 4 recommends usages 3 and 2; 1 and 0 are for whoever switches them on. */
export const defaultTlsaPolicy: TlsaPolicy = Object.freeze({ usages: Object.freeze([3, 2]), digests: Object.freeze([2, 1]) })

/** DANE-24. */
const digestNames: Readonly<Record<number, { readonly algorithm: string; readonly octets: number }>> = {
  1: { algorithm: "sha256", octets: 32 },
  2: { algorithm: "sha512", octets: 64 },
}

export interface UsableTlsa {
  readonly usage: number
  readonly selector: number
  readonly matching: number
  readonly association: Buffer
  /** What a Full record holds: a certificate (selector 0), or the key alone. */
  readonly whole?: Certificate
}

export interface UnusableTlsa {
  readonly record: TlsaRecord
  readonly reason: "usage" | "usage-off" | "selector" | "matching" | "length" | "malformed"
}

export interface TlsaSelection {
  /** Records to match with. */
  readonly usable: readonly UsableTlsa[]
  /** Usable in themselves, but a stronger digest stands beside them (DANE-23). */
  readonly outranked: readonly UsableTlsa[]
  readonly unusable: readonly UnusableTlsa[]
}

/** `3 1 1`, as records are written. */
export function tlsaParameters(record: { readonly usage: number; readonly selector: number; readonly matching: number }): string {
  return `${record.usage} ${record.selector} ${record.matching}`
}

/**
 * Discards what cannot be used, then applies digest agility: for each usage and selector the whole-content records and
 * those of the strongest digest present (DANE-22, DANE-23). Duplicates count once.
 */
export function selectTlsa(records: readonly TlsaRecord[], policy: TlsaPolicy = defaultTlsaPolicy): TlsaSelection {
  const usable = new Map<string, UsableTlsa>()
  const unusable: UnusableTlsa[] = []
  for (const record of records) {
    const read = readRecord(record, policy)
    if (typeof read === "string") unusable.push({ record, reason: read })
    else usable.set(`${tlsaParameters(record)} ${record.association}`, read)
  }
  const strongest = new Map<string, number>()
  const rank = (matching: number): number => policy.digests.indexOf(matching)
  const group = ({ usage, selector }: UsableTlsa): string => `${usage} ${selector}`
  for (const record of usable.values()) {
    if (record.matching === 0) continue
    const best = strongest.get(group(record))
    if (best === undefined || rank(record.matching) < rank(best)) strongest.set(group(record), record.matching)
  }
  const counts = (record: UsableTlsa): boolean => record.matching === 0 || strongest.get(group(record)) === record.matching
  return {
    usable: [...usable.values()].filter(counts),
    outranked: [...usable.values()].filter((record) => !counts(record)),
    unusable,
  }
}

function readRecord(record: TlsaRecord, policy: TlsaPolicy): UsableTlsa | UnusableTlsa["reason"] {
  const { usage, selector, matching } = record
  if (!Object.values<number>(tlsaUsage).includes(usage)) return "usage"
  if (!policy.usages.includes(usage)) return "usage-off"
  if (selector !== 0 && selector !== 1) return "selector"
  const digest = digestNames[matching]
  if (matching !== 0 && (digest === undefined || !policy.digests.includes(matching))) return "matching"
  const association = Buffer.from(record.association, "hex")
  if (association.length === 0 || association.length * 2 !== record.association.length) return "malformed"
  if (digest !== undefined) return association.length === digest.octets ? { usage, selector, matching, association } : "length"
  try {
    if (selector === 0) return { usage, selector, matching, association, whole: parseCertificate(association) }
    publicKeyFacts(association)
    return { usage, selector, matching, association }
  } catch (error) {
    if (error instanceof CertificateError) return "malformed"
    throw error
  }
}

export interface TlsaQuestion {
  /** DER as presented, the peer's own certificate first. */
  readonly chain: readonly Uint8Array[]
  /** Names of which the certificate must have one, where the usage asks for names. */
  readonly accept: readonly AcceptedIdentity[]
  readonly at: Instant
  /** Of PKIX, for usages 0 and 1; without them such a record fits nobody. */
  readonly anchors?: AnchorSet | undefined
}

export type TlsaMatch =
  | {
      readonly matched: true
      readonly record: UsableTlsa
      /** How it fits, for people. */
      readonly detail: string
      /** End of the certificates it rests on, ms since 1970; infinity for DANE-EE, which has no dates. */
      readonly until: Instant
    }
  /** `name`: the chain fits and names somebody else; `chain`: something fits, and the way to it is broken; `mismatch`: nothing fits. */
  | { readonly matched: false; readonly reason: "name" | "chain" | "mismatch"; readonly detail: string }

type Failed = Extract<TlsaMatch, { matched: false }>

/** Bare keys and absent authorities that one set of records may add to a search. */
const mostAnchors = 64
const noAnchors = anchorSet([])

/**
 * Whether what was presented fits any record. One match is enough; without one the most telling failure is returned.
 *
 * @param records what `selectTlsa` left as usable
 */
export function matchTlsa(records: readonly UsableTlsa[], question: TlsaQuestion): TlsaMatch {
  const [leaf] = question.chain
  if (leaf === undefined) return { matched: false, reason: "mismatch", detail: "no certificate was shown" }
  const parts = new PartsOf()
  const of = (usage: number): readonly UsableTlsa[] => records.filter((record) => record.usage === usage)
  // DANE-15: nothing but the match counts, neither names nor dates nor purposes.
  for (const record of of(tlsaUsage.daneEe)) {
    if (parts.fits(leaf, record)) return { matched: true, record, detail: `DANE-EE ${tlsaParameters(record)}`, until: Number.POSITIVE_INFINITY }
  }
  const failures: Failed[] = []
  for (const attempt of [
    () => matchPkixEe(of(tlsaUsage.pkixEe), leaf, parts, question),
    () => matchAuthority(of(tlsaUsage.daneTa), parts, question),
    () => matchPkixTa(of(tlsaUsage.pkixTa), parts, question),
  ]) {
    const result = attempt()
    if (result?.matched === true) return result
    if (result !== undefined) failures.push(result)
  }
  const telling = (["name", "chain"] as const).flatMap((reason) => failures.filter((failure) => failure.reason === reason))[0]
  return telling ?? { matched: false, reason: "mismatch", detail: mismatchDetail(records, leaf, parts) }
}

/** DANE-20: the leaf fits, and PKIX proves it as it would without DANE. */
function matchPkixEe(records: readonly UsableTlsa[], leaf: Uint8Array, parts: PartsOf, question: TlsaQuestion): TlsaMatch | undefined {
  const record = records.find((each) => parts.fits(leaf, each))
  if (record === undefined) return undefined
  const proved = pkixProves(question)
  return "matched" in proved ? proved : { matched: true, record, detail: `PKIX-EE ${tlsaParameters(record)}, ${proved.name}`, until: proved.until }
}

/**
 * DANE-21: PKIX proves the leaf, and it also descends from what a record names. The two ways may part above the leaf, which
 * lets a locally trusted intermediate end one of them.
 */
function matchPkixTa(records: readonly UsableTlsa[], parts: PartsOf, question: TlsaQuestion): TlsaMatch | undefined {
  if (records.length === 0) return undefined
  const trusted = (question.anchors?.certificates ?? []).map(({ der }) => der)
  const descent = descends(records, parts, question, trusted)
  if (descent === undefined || "matched" in descent) return descent
  const proved = pkixProves(question)
  if ("matched" in proved) return proved
  return { matched: true, record: descent.record, detail: `PKIX-TA ${tlsaParameters(descent.record)}, ${proved.name}`, until: Math.min(proved.until, descent.until) }
}

/** DANE-17: a valid chain to what a record names, and a name that was asked for. */
function matchAuthority(records: readonly UsableTlsa[], parts: PartsOf, question: TlsaQuestion): TlsaMatch | undefined {
  const descent = descends(records, parts, question, [])
  if (descent === undefined || "matched" in descent) return descent
  const named = nameOf(descent.leaf, question.accept)
  if ("matched" in named) return named
  return { matched: true, record: descent.record, detail: `DANE-TA ${tlsaParameters(descent.record)}, ${named.name}`, until: descent.until }
}

function nameOf(leaf: Certificate, accept: readonly AcceptedIdentity[]): { readonly name: string } | Failed {
  const identity = matchIdentity(leaf, accept)
  if ("matched" in identity) return { name: `${identity.matched.type} ${identity.matched.presented}` }
  const shown = identity.presented.length === 0 ? "names nothing" : `is for ${identity.presented.slice(0, 8).join(", ")}`
  const wanted = accept.filter(({ type }) => type === "DNS-ID").map(({ value }) => value)
  return { matched: false, reason: "name", detail: `the certificate ${shown}, wanted ${wanted.join(" or ")}` }
}

function pkixProves({ chain, accept, at, anchors }: TlsaQuestion): { readonly name: string; readonly until: Instant } | Failed {
  if (anchors === undefined) return { matched: false, reason: "chain", detail: "there are no trust anchors to validate the chain with" }
  const path = validatePath({ chain, anchors, at, purpose: "server" })
  if (!path.ok) return { matched: false, reason: "chain", detail: path.detail }
  const named = nameOf(path.path[0] as Certificate, accept)
  return "matched" in named ? named : { ...named, until: path.until }
}

interface Descent {
  readonly record: UsableTlsa
  readonly leaf: Certificate
  readonly until: Instant
}

/** A valid path from the leaf to a certificate or key that a record names; undefined where no record names any in sight. */
function descends(records: readonly UsableTlsa[], parts: PartsOf, { chain, at }: TlsaQuestion, trusted: readonly Uint8Array[]): Descent | Failed | undefined {
  if (records.length === 0) return undefined
  const found = anchorsNamed(records, parts, chain, trusted)
  if (found.size === 0) return undefined
  if (found.size > mostAnchors) return { matched: false, reason: "chain", detail: `the TLSA records name ${found.size} authorities; ${mostAnchors} are the most` }
  // The profile of a private authority is its owner's affair; dates, constraints, purposes and signatures are not (DANE-19).
  const path = validatePath({ chain, anchors: noAnchors, extraAnchors: [...found.keys()], at, purpose: "server", strictPresented: false })
  if (!path.ok) return { matched: false, reason: "chain", detail: path.detail }
  return { record: found.get(path.anchor) as UsableTlsa, leaf: path.path[0] as Certificate, until: path.until }
}

function anchorsNamed(records: readonly UsableTlsa[], parts: PartsOf, chain: readonly Uint8Array[], trusted: readonly Uint8Array[]): Map<Anchor, UsableTlsa> {
  const found = new Map<Anchor, UsableTlsa>()
  const read = chain.map((der) => parts.certificate(der))
  const bare: UsableTlsa[] = []
  for (const record of records) {
    let seen = false
    // The leaf is nobody's authority. Hashes can only be found again in what was shown (RFC 7671 5.2.2).
    for (const der of [...chain.slice(1), ...trusted]) {
      const certificate = parts.fits(der, record) ? parts.certificate(der) : undefined
      if (certificate === undefined) continue
      seen = true
      found.set({ subject: certificate.subject, spki: certificate.spki, certificate }, record)
    }
    if (seen || record.matching !== 0) continue
    // DANE-17: an authority that stands whole in the record need not be in the handshake.
    if (record.whole !== undefined) found.set({ subject: record.whole.subject, spki: record.whole.spki, certificate: record.whole }, record)
    else bare.push(record)
  }
  // DANE-18: a key without a certificate may have signed any certificate shown whose issuer was not shown.
  const issuers = new Map(read.flatMap((certificate) => (certificate === undefined ? [] : [[certificate.issuerText + certificate.issuer.encoded.toString("hex"), certificate]])))
  for (const record of bare) {
    for (const { issuer } of issuers.values()) {
      if (found.size <= mostAnchors) found.set(bareAnchor(issuer.encoded, record.association), record)
    }
  }
  return found
}

/** Certificates, their keys and digests, each worked out once for all records. */
class PartsOf {
  readonly #certificates = new Map<Uint8Array, Certificate | undefined>()
  readonly #keys = new Map<Uint8Array, Buffer | undefined>()
  readonly #digests = new Map<string, Buffer>()
  readonly #numbers = new Map<Uint8Array, number>()

  fits(der: Uint8Array, record: UsableTlsa): boolean {
    const part = this.part(der, record.selector, record.matching)
    return part?.equals(record.association) ?? false
  }

  part(der: Uint8Array, selector: number, matching: number): Buffer | undefined {
    const whole = selector === 0 ? Buffer.from(der.buffer, der.byteOffset, der.byteLength) : this.#key(der)
    const digest = digestNames[matching]
    if (whole === undefined || digest === undefined) return whole
    let number = this.#numbers.get(der)
    if (number === undefined) this.#numbers.set(der, (number = this.#numbers.size))
    const key = `${number} ${selector} ${matching}`
    let made = this.#digests.get(key)
    if (made === undefined) this.#digests.set(key, (made = createHash(digest.algorithm).update(whole).digest()))
    return made
  }

  certificate(der: Uint8Array): Certificate | undefined {
    if (!this.#certificates.has(der)) this.#certificates.set(der, readCertificate(der))
    return this.#certificates.get(der)
  }

  #key(der: Uint8Array): Buffer | undefined {
    if (!this.#keys.has(der)) this.#keys.set(der, keyOf(der))
    return this.#keys.get(der)
  }
}

function readCertificate(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der)
  } catch (error) {
    if (error instanceof CertificateError) return undefined
    throw error
  }
}

/** The SubjectPublicKeyInfo, whatever else is wrong with the certificate: DANE-EE asks for nothing else (DANE-15). */
function keyOf(der: Uint8Array): Buffer | undefined {
  try {
    const body = new DerReader(new DerReader(der).inside(TAG.sequence, "certificate").expect(TAG.sequence, "tbsCertificate").contents)
    body.optional(contextTag(0, true))
    body.expect(TAG.integer, "serialNumber")
    for (const field of ["signature", "issuer", "validity", "subject"]) body.expect(TAG.sequence, field)
    return body.expect(TAG.sequence, "subjectPublicKeyInfo").whole
  } catch (error) {
    if (error instanceof CertificateError) return undefined
    throw error
  }
}

/** Says what was shown as the record that would have fitted, so that an operator can compare or publish it. */
function mismatchDetail(records: readonly UsableTlsa[], leaf: Uint8Array, parts: PartsOf): string {
  const kinds = [...new Set(records.map(tlsaParameters))].slice(0, 6).join(", ")
  const whose = parts.certificate(leaf)?.subjectText ?? "an unreadable subject"
  const digest = parts.part(leaf, 1, 1)?.toString("hex")
  const own = digest === undefined ? "" : `; the key shown would be 3 1 1 ${digest}`
  return `the certificate of ${whose} fits none of ${records.length} usable record${records.length === 1 ? "" : "s"} (${kinds})${own}`
}
