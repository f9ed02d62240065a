// The denial records of one response: verified, then asked what they prove (RFC 4035 5.4, RFC 5155 8).
import type { DnsReason } from "../../model/dns-answer.ts"
import type { Instant } from "../../model/verdict.ts"
import type { DnsMessage } from "../message.ts"
import { type DnsName, isAtOrBelow } from "../name.ts"
import { typeNumbers } from "../records.ts"
import { rrsetsIn } from "./canonical.ts"
import { type Denial, denialByNsec, nsecAllowsExpansion, type VerifiedNsec } from "./denial-nsec.ts"
import { denialByNsec3, hashFromLabel, nsec3AllowsExpansion, type VerifiedNsec3 } from "./denial-nsec3.ts"
import type { Lookup, SecureZone, Steps } from "./lookup.ts"
import { reason, shownSet } from "./reasons.ts"
import { verifyRrset } from "./rrsig.ts"
import type { Work } from "./work.ts"

/** The denial records of a response that the zone has signed. */
export interface Denials {
  readonly nsec: readonly VerifiedNsec[]
  readonly nsec3: readonly VerifiedNsec3[]
  /** Seconds, by the records above and the SOA record. */
  readonly ttl: number
  /** ms since 1970. */
  readonly expires: Instant
  /** What is wrong with the records that were left out. */
  readonly why: readonly DnsReason[]
}

const sha1 = 1
const optOutFlag = 1

/** RFC 2308 5: an absence lasts for the lesser of the SOA's own TTL and its minimum field; without SOA it is not kept. */
export function absenceTtl(message: DnsMessage, name: DnsName): number {
  for (const record of message.authorities) {
    if (record.content.kind === "SOA" && isAtOrBelow(name, record.name)) return Math.min(record.ttl, record.content.minimum)
  }
  return 0
}

/** @throws WorkExceeded */
export function* verifiedDenials(message: DnsMessage, zone: SecureZone, lookup: Lookup): Steps<Denials> {
  const nsec: VerifiedNsec[] = []
  const nsec3: VerifiedNsec3[] = []
  const why: DnsReason[] = []
  let ttl = Number.POSITIVE_INFINITY
  let expires = Number.POSITIVE_INFINITY
  for (const set of rrsetsIn(message.authorities, [typeNumbers.NSEC, typeNumbers.NSEC3])) {
    // Records of other zones on an alias chain are no concern of this one.
    if (!isAtOrBelow(set.name, zone.apex)) continue
    const verified = yield* verifyRrset(set, zone, lookup)
    if (!verified.ok) {
      why.push(...verified.why)
      continue
    }
    // A denial record never comes from a wildcard: expanded, it would deny names it was not made for.
    if (verified.expandedFrom !== undefined) {
      why.push(reason("signature-invalid", `the ${shownSet(set.name, set.type)} is expanded from a wildcard`))
      continue
    }
    ttl = Math.min(ttl, verified.ttl)
    expires = Math.min(expires, verified.expires)
    for (const { name, content } of set.records) {
      if (content.kind === "NSEC" && isAtOrBelow(content.next, zone.apex)) {
        nsec.push({ owner: name, next: content.next, types: content.types })
      }
      // RFC 5155 8.1, 8.2: unknown hash algorithms and flags are ignored; the owner is one label below the apex.
      if (content.kind !== "NSEC3" || content.algorithm !== sha1 || (content.flags & ~optOutFlag) !== 0) continue
      const ownerHash = name.labels.length === zone.apex.labels.length + 1 ? hashFromLabel(name.labels[0]!) : undefined
      if (ownerHash === undefined || content.nextHash.length !== ownerHash.length) continue
      const { nextHash, iterations, salt, types } = content
      nsec3.push({ ownerHash, nextHash, optOut: content.flags === optOutFlag, iterations, salt, types })
    }
  }
  return { nsec, nsec3, ttl, expires, why }
}

/** @throws WorkExceeded */
export function denialOf(denials: Denials, name: DnsName, type: number, apex: DnsName, work: Work): Denial {
  const byNsec = denialByNsec(denials.nsec, name, type, apex)
  if (byNsec.kind !== "nothing" || denials.nsec3.length === 0) return byNsec
  return denialByNsec3(denials.nsec3, name, type, apex, work)
}

/**
 * Whether a record made from the wildcard below `encloser` may stand at the name: nothing nearer exists.
 *
 * @throws WorkExceeded
 */
export function allowsExpansion(
  denials: Denials,
  name: DnsName,
  encloser: DnsName,
  apex: DnsName,
  work: Work,
): "yes" | "no" | "opt-out" | "iterations" {
  if (nsecAllowsExpansion(denials.nsec, name, encloser, apex)) return "yes"
  return denials.nsec3.length === 0 ? "no" : nsec3AllowsExpansion(denials.nsec3, name, encloser, work)
}

/** Why an answer whose proof is only "nothing need be signed" is insecure. */
export function unsignedReason(because: "opt-out" | "iterations"): DnsReason {
  return because === "opt-out"
    ? reason("opt-out", "the name lies in an opt-out span, in which unsigned delegations may hide (RFC 5155 6)")
    : reason("nsec3-iterations", "the zone's NSEC3 records ask for more iterations than are worth a proof (RFC 9276)")
}
