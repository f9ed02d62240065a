// One question judged from end to end: data, aliases and absence, the weakest link deciding (RFC 4035 5, RFC 6672 5.3, DANE-01).
import { Buffer } from "node:buffer"
import type { DnsOutcome, DnsReason, DnsStatus } from "../../model/dns-answer.ts"
import type { Instant } from "../../model/verdict.ts"
import { maxAliases } from "../answer.ts"
import { classInternet, type DnsMessage, type ResourceRecord, rcodes } from "../message.ts"
import { DnsFormatError, type DnsName, isAtOrBelow, nameKey, sameName, substituteSuffix } from "../name.ts"
import { encodeContent, shownName, typeNumbers } from "../records.ts"
import { anchorFor } from "./anchors.ts"
import { canonicalBody, type Rrset, rrsetAt, rrsetsIn } from "./canonical.ts"
import { zoneContaining } from "./chain.ts"
import { absenceTtl, allowsExpansion, denialOf, unsignedReason, verifiedDenials } from "./denial.ts"
import { ask, bogus, type Lookup, type SecureZone, type Steps, type Trouble } from "./lookup.ts"
import { reason, shownSet } from "./reasons.ts"
import { verifyRrset } from "./rrsig.ts"
import { WorkExceeded } from "./work.ts"

export interface Judgement {
  readonly status: DnsStatus
  readonly outcome: DnsOutcome
  readonly rcode: number | undefined
  /** Empty unless the outcome is data; duplicates are removed. */
  readonly records: readonly ResourceRecord[]
  /** The name at the end of the alias chain. */
  readonly canonical: DnsName
  readonly why: readonly DnsReason[]
  /** Seconds. */
  readonly ttl: number
  /** No signature it rests on holds longer, ms since 1970. */
  readonly expires: Instant
}

/** How far one RRset or one absence can be believed. */
type Believed =
  | {
      readonly kind: "believed"
      readonly status: "secure" | "insecure"
      readonly why: readonly DnsReason[]
      readonly ttl: number
      readonly expires: Instant
      /** For an absence, what was proven. */
      readonly proven?: "no-data" | "name-error"
    }
  | Trouble

/** More signers than this at once are nobody's honest answer. */
const maxSigners = 3

function signersAbove(name: DnsName, signers: Iterable<DnsName>): DnsName[] {
  const distinct = new Map<string, DnsName>()
  for (const signer of signers) if (isAtOrBelow(name, signer)) distinct.set(nameKey(signer), signer)
  return [...distinct.values()].sort((a, b) => b.labels.length - a.labels.length).slice(0, maxSigners)
}

/** One RRset by the keys of one zone, with the proof a wildcard needs; reasons when it does not hold. */
function* believeBy(set: Rrset, message: DnsMessage, zone: SecureZone, lookup: Lookup): Steps<Believed> {
  const { work } = lookup
  const verified = yield* verifyRrset(set, zone, lookup)
  if (!verified.ok) return bogus(...verified.why)
  let { ttl } = verified
  let expires = Math.min(zone.expires, verified.expires)
  if (verified.expandedFrom !== undefined) {
    // RFC 4592 4.4, RFC 6672 3.3: expanded, it would redirect names that the wildcard itself answers for.
    if (set.type === typeNumbers.DNAME) return bogus(reason("signature-invalid", "a DNAME is expanded from a wildcard"))
    // RFC 4035 5.3.4, RFC 5155 8.8
    const denials = yield* verifiedDenials(message, zone, lookup)
    const allowed = allowsExpansion(denials, set.name, verified.expandedFrom, zone.apex, work)
    if (allowed === "no") {
      return bogus(...denials.why, reason("denial-missing", `nothing shows that a wildcard answers for ${shownName(set.name)}`))
    }
    ttl = Math.min(ttl, denials.ttl)
    expires = Math.min(expires, denials.expires)
    if (allowed !== "yes") return { kind: "believed", status: "insecure", why: [unsignedReason(allowed)], ttl, expires }
  }
  return { kind: "believed", status: "secure", why: [], ttl, expires }
}

/**
 * Tries the zones that claim to have signed, then asks the chain whether the name may be unsigned at all.
 *
 * @param byZone what a secure zone that claims to have signed makes of it
 * @param ttl seconds, for the case that nothing is signed
 */
function* believe(
  name: DnsName,
  claimed: Iterable<DnsName>,
  byZone: (zone: SecureZone) => Steps<Believed>,
  ttl: number,
  missing: DnsReason,
  lookup: Lookup,
): Steps<Believed> {
  const why: DnsReason[] = []
  for (const signer of signersAbove(name, claimed)) {
    const state = yield* zoneContaining(signer, lookup)
    if (state.kind === "trouble") return state
    // A signer is only claimed: it may lie above the anchor of the name, which alone decides what may be unsigned.
    if (state.kind === "insecure") continue
    if (!sameName(state.zone.apex, signer)) {
      why.push(reason("signature-invalid", `${shownName(signer)} signs and is no zone`))
      continue
    }
    const believed = yield* byZone(state.zone)
    if (believed.kind === "believed") return believed
    why.push(...believed.why)
  }
  const state = yield* zoneContaining(name, lookup)
  const against = why.length > 0 ? why : [missing]
  if (state.kind === "trouble") return { ...state, why: [...against, ...state.why] }
  if (state.kind === "insecure") return { ...state, kind: "believed", status: "insecure", ttl: Math.min(ttl, state.ttl) }
  return bogus(...against)
}

function believeSet(set: Rrset, message: DnsMessage, lookup: Lookup): Steps<Believed> {
  const signers = set.signatures.map(({ content }) => content.signer)
  const ttl = set.records.reduce((least, record) => Math.min(least, record.ttl), Number.POSITIVE_INFINITY)
  const missing = reason("signature-missing", `there is no signature over ${shownSet(set.name, set.type)}, and there should be`)
  return believe(set.name, signers, (zone) => believeBy(set, message, zone, lookup), ttl, missing, lookup)
}

function believeAbsence(name: DnsName, type: number, message: DnsMessage, lookup: Lookup): Steps<Believed> {
  const { work } = lookup
  const signers = rrsetsIn(message.authorities, [typeNumbers.NSEC, typeNumbers.NSEC3]).flatMap((set) =>
    set.signatures.map(({ content }) => content.signer),
  )
  const soaTtl = absenceTtl(message, name)
  const byZone = function* (zone: SecureZone): Steps<Believed> {
    const denials = yield* verifiedDenials(message, zone, lookup)
    const denial = denialOf(denials, name, type, zone.apex, work)
    const kept = { ttl: Math.min(soaTtl, denials.ttl), expires: Math.min(zone.expires, denials.expires) }
    if (denial.kind === "nothing") {
      return bogus(...denials.why, reason("denial-missing", `the absence of ${shownSet(name, type)} is not proven: ${denial.detail}`))
    }
    if (denial.kind === "unsigned") return { ...kept, kind: "believed", status: "insecure", why: [unsignedReason(denial.because)] }
    return { ...kept, kind: "believed", status: "secure", why: [], proven: denial.kind }
  }
  const missing = reason("denial-missing", `nothing proves the absence of ${shownSet(name, type)}`)
  return believe(name, signers, byZone, soaTtl, missing, lookup)
}

type Link =
  /** `made`: the records themselves, where the set that is signed is the DNAME they were made from. */
  | { readonly kind: "data"; readonly set: Rrset; readonly made?: readonly ResourceRecord[] }
  | { readonly kind: "alias"; readonly set: Rrset; readonly target: DnsName }
  | { readonly kind: "absence" }
  | { readonly kind: "malformed"; readonly detail: string }

/** RFC 6672 5.3.1: a CNAME made from a DNAME is not signed; the DNAME is believed and the CNAME made again. */
function dnameAbove(message: DnsMessage, name: DnsName, anchored: number): Extract<Link, { kind: "alias" | "malformed" }> | undefined {
  for (const dname of rrsetsIn(message.answers, [typeNumbers.DNAME])) {
    // What stands above the anchor is unsigned to us and must not lead away a name that the anchor vouches for.
    if (sameName(dname.name, name) || !isAtOrBelow(name, dname.name) || dname.name.labels.length < anchored) continue
    const content = dname.records[0]!.content
    if (content.kind !== "DNAME" || dname.records.length > 1) return { kind: "malformed", detail: "a name has two DNAME records" }
    try {
      return { kind: "alias", set: dname, target: substituteSuffix(name, dname.name, content.target) }
    } catch (error) {
      if (!(error instanceof DnsFormatError)) throw error
      return { kind: "malformed", detail: `a DNAME leads to no name: ${error.message}` }
    }
  }
  return undefined
}

/**
 * What the response says at the very name that was asked; the rest of a chain is asked for anew, link by link.
 *
 * @param anchored labels of the nearest anchor above the name
 */
function linkAt(message: DnsMessage, name: DnsName, type: number, anchored: number): Link {
  const set = rrsetAt(message.answers, name, type)
  if (set !== undefined && message.rcode !== rcodes.noError) {
    return { kind: "malformed", detail: "records came with a response code that denies them" }
  }
  const cname = type === typeNumbers.CNAME ? set : rrsetAt(message.answers, name, typeNumbers.CNAME)
  if (set !== undefined && (set !== cname || set.signatures.length > 0)) return { kind: "data", set }
  if (cname === undefined || cname.signatures.length === 0) {
    const dname = dnameAbove(message, name, anchored)
    if (dname?.kind === "alias" && type === typeNumbers.CNAME) {
      const content = { kind: "CNAME", target: dname.target } as const
      const { ttl } = dname.set.records[0]!
      const made = { name, type, class: classInternet, ttl, octets: encodeContent(content), content }
      return { kind: "data", set: dname.set, made: [made] }
    }
    if (dname !== undefined) return dname
  }
  if (set !== undefined) return { kind: "data", set }
  if (cname === undefined) return { kind: "absence" }
  const contents = cname.records.map(({ content }) => content)
  const first = contents[0]!
  // RFC 2181 10.1: one CNAME for a name.
  if (first.kind !== "CNAME" || contents.some((other) => other.kind !== "CNAME" || !sameName(other.target, first.target))) {
    return { kind: "malformed", detail: "two CNAME records disagree" }
  }
  return { kind: "alias", set: cname, target: first.target }
}

function withoutDuplicates(records: readonly ResourceRecord[]): ResourceRecord[] {
  return [...new Map(records.map((record) => [Buffer.from(canonicalBody(record)).toString("latin1"), record])).values()]
}

/** Neither serves the zone nor asks others: it says nothing about the records. */
function isReferral(message: DnsMessage): boolean {
  if (message.authoritative || message.recursionAvailable) return false
  return (
    message.authorities.some((record) => record.content.kind === "NS") &&
    !message.authorities.some((record) => record.content.kind === "SOA")
  )
}

function* followed(asked: DnsName, type: number, lookup: Lookup): Steps<Judgement> {
  const why: DnsReason[] = []
  const visited = new Set<string>()
  let name = asked
  let status: "secure" | "insecure" = "secure"
  let ttl = Number.POSITIVE_INFINITY
  let expires = Number.POSITIVE_INFINITY
  let rcode: number | undefined
  const failed = (failure: DnsStatus, ...reasons: readonly DnsReason[]): Judgement => ({
    status: failure,
    outcome: "failure",
    rcode,
    records: [],
    canonical: asked,
    why: [...why, ...reasons],
    ttl: 0,
    expires: lookup.at,
  })
  for (;;) {
    if (visited.has(nameKey(name))) return failed("indeterminate", reason("alias-loop", `the aliases lead back to ${shownName(name)}`))
    visited.add(nameKey(name))
    if (visited.size > maxAliases) return failed("indeterminate", reason("alias-too-long", `more than ${maxAliases} aliases`))
    const reply = yield* ask(lookup, name, type)
    if ("kind" in reply) return failed(reply.status, ...reply.why)
    const { message, upstream } = reply
    why.push(...(reply.why ?? []))
    rcode = message.rcode
    const link = linkAt(message, name, type, anchorFor(lookup.anchors, name)?.name.labels.length ?? 0)
    if (link.kind === "malformed") return failed("bogus", reason("malformed", link.detail, upstream))
    if (link.kind === "absence" && isReferral(message))
      return failed("indeterminate", reason("lame", "the server only refers to others", upstream))
    const believed: Believed =
      link.kind === "absence" ? yield* believeAbsence(name, type, message, lookup) : yield* believeSet(link.set, message, lookup)
    if (believed.kind === "trouble") return failed(believed.status, ...believed.why)
    if (believed.status === "insecure") {
      // DANE-01: the weakest link decides.
      status = "insecure"
      why.push(...believed.why)
    }
    ttl = Math.min(ttl, believed.ttl)
    expires = Math.min(expires, believed.expires)
    if (link.kind === "alias") {
      why.push({
        code: "alias",
        detail: `${shownName(name)} leads to ${shownName(link.target)}`,
        ...(upstream === undefined ? {} : { upstream }),
      })
      name = link.target
      continue
    }
    const records = link.kind === "data" ? withoutDuplicates(link.made ?? link.set.records) : []
    const absent = believed.proven ?? (message.rcode === rcodes.nameError ? "name-error" : "no-data")
    return { status, outcome: link.kind === "data" ? "data" : absent, rcode, records, canonical: name, why, ttl, expires }
  }
}

/** Judges one question. What is over the limits of work is bogus, with the limit as reason. */
export function* judge(name: DnsName, type: number, lookup: Lookup): Steps<Judgement> {
  try {
    return yield* followed(name, type, lookup)
  } catch (error) {
    if (!(error instanceof WorkExceeded)) throw error
    return {
      status: "bogus",
      outcome: "failure",
      rcode: undefined,
      records: [],
      canonical: name,
      why: [error.reason],
      ttl: 0,
      expires: lookup.at,
    }
  }
}
