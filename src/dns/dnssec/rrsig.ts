// One RRset against the keys of its zone at a given time (RFC 4035 5.3, RFC 6840 5.11).
import type { DnsReason } from "../../model/dns-answer.ts"
import type { Instant } from "../../model/verdict.ts"
import { type DnsName, isAtOrBelow, sameName } from "../name.ts"
import { shownName } from "../records.ts"
import { type Rrset, type Signature, signedLabels, signedOctets, suffixOf } from "./canonical.ts"
import { isSupportedAlgorithm } from "./keys.ts"
import { check, type Lookup, type SecureZone, type Steps } from "./lookup.ts"
import { reason, shownSet } from "./reasons.ts"

export type VerifiedSet =
  | {
      readonly ok: true
      /** Seconds: the least of the records' TTL, the signature's and the signed one, and what is left of the signature. */
      readonly ttl: number
      /** When the signature expires, ms since 1970. */
      readonly expires: Instant
      /** The closest encloser whose wildcard these records came from, where they did. */
      readonly expandedFrom: DnsName | undefined
    }
  | { readonly ok: false; readonly why: readonly DnsReason[] }

/** A time of an RRSIG, ms since 1970: 32 bits around now, compared by serial arithmetic (RFC 4034 3.1.5). */
export function instantOf(seconds: number, at: Instant): Instant {
  const now = Math.floor(at / 1000)
  return (now + ((seconds - now) | 0)) * 1000
}

/** Why the signature cannot hold, whatever its octets say. */
function refusal(rrset: Rrset, { content }: Signature, apex: DnsName, at: Instant): DnsReason | undefined {
  const what = `the signature over ${shownSet(rrset.name, rrset.type)}`
  // RFC 4035 5.3.1: the signer is the zone that contains the set, and the labels are not more than the name has.
  if (!sameName(content.signer, apex)) {
    return reason("signature-invalid", `${what} is by ${shownName(content.signer)}, not by its zone ${shownName(apex)}`)
  }
  if (!isAtOrBelow(rrset.name, apex)) return reason("signature-invalid", `${what} is by a zone that does not contain it`)
  if (content.labels > signedLabels(rrset.name) || content.labels < apex.labels.length) {
    return reason("signature-invalid", `${what} counts ${content.labels} labels`)
  }
  if (!isSupportedAlgorithm(content.algorithm)) {
    return reason("algorithm-unsupported", `${what} has algorithm ${content.algorithm}, which is not supported`)
  }
  // The signature's own validity period: not before inception, not after expiration.
  const inception = instantOf(content.inception, at)
  const expiration = instantOf(content.expiration, at)
  if (at > expiration) return reason("signature-expired", `${what} expired ${new Date(expiration).toISOString()}`)
  if (at < inception) return reason("signature-not-yet-valid", `${what} is valid from ${new Date(inception).toISOString()}`)
  return undefined
}

/**
 * Any one good signature is enough (RFC 6840 5.11 lets a validator be that lenient).
 *
 * @param zone the zone that must have signed the set
 * @throws WorkExceeded
 */
export function* verifyRrset(
  rrset: Rrset,
  zone: Pick<SecureZone, "apex" | "keys">,
  lookup: Pick<Lookup, "at" | "work">,
): Steps<VerifiedSet> {
  const { at, work } = lookup
  const why: DnsReason[] = []
  if (rrset.signatures.length === 0) {
    return { ok: false, why: [reason("signature-missing", `there is no signature over ${shownSet(rrset.name, rrset.type)}`)] }
  }
  let looked = 0
  for (const signature of rrset.signatures) {
    const { content } = signature
    const refused = refusal(rrset, signature, zone.apex, at)
    if (refused !== undefined) {
      if (why.length < work.limits.signaturesPerSet) why.push(refused)
      continue
    }
    looked += 1
    if (looked > work.limits.signaturesPerSet) {
      why.push(reason("work-limit", `${shownSet(rrset.name, rrset.type)} has more signatures than are looked at`))
      break
    }
    const keys = zone.keys.filter((key) => key.tag === content.keyTag && key.algorithm === content.algorithm)
    if (keys.length === 0) {
      why.push(reason("key-missing", `${shownName(zone.apex)} has no key ${content.keyTag} of algorithm ${content.algorithm}`))
      continue
    }
    const signed = signedOctets(rrset, content)
    // Key tags collide by chance and on purpose: a few keys are tried (CVE-2023-50387).
    for (const key of keys.slice(0, work.limits.collidingKeys)) {
      if (yield* check(lookup, key, signed, content.signature)) return verified(rrset, signature, at)
    }
    why.push(reason("signature-invalid", `the signature over ${shownSet(rrset.name, rrset.type)} by key ${content.keyTag} is wrong`))
  }
  return { ok: false, why }
}

function verified(rrset: Rrset, { content, ttl: signatureTtl }: Signature, at: Instant): VerifiedSet {
  const expires = instantOf(content.expiration, at)
  const left = Math.max(0, Math.floor((expires - at) / 1000))
  // RFC 4035 5.3.3
  const ttl = rrset.records.reduce((least, record) => Math.min(least, record.ttl), Math.min(signatureTtl, content.originalTtl, left))
  const expandedFrom = content.labels < signedLabels(rrset.name) ? suffixOf(rrset.name, content.labels) : undefined
  return { ok: true, ttl, expires, expandedFrom }
}
