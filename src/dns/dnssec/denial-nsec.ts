// What NSEC records prove to be absent (RFC 4035 5.4, RFC 6840 4.1 to 4.4, RFC 4592, RFC 8020). All records given were verified.
import { compareNames, type DnsName, isAtOrBelow, sameName } from "../name.ts"
import { typeNumbers } from "../records.ts"
import { wildcardBelow } from "./canonical.ts"

/** An NSEC record whose signature by the zone holds, and whose owner is no wildcard expansion. */
export interface VerifiedNsec {
  readonly owner: DnsName
  readonly next: DnsName
  readonly types: readonly number[]
}

/**
 * What a verified denial says of a name and type.
 *
 * `no-data`: the name is there without the type (`delegation`: it is a delegation without DS; `wildcard`: it is not there,
 * and the wildcard that would answer lacks the type). `unsigned`: the span is one in which unsigned delegations may
 * hide, or its hashes cost too much: nothing is proven, and nothing need be signed.
 */
export type Denial =
  | { readonly kind: "no-data"; readonly delegation: boolean; readonly wildcard: boolean }
  | { readonly kind: "name-error" }
  | { readonly kind: "unsigned"; readonly because: "opt-out" | "iterations" }
  | { readonly kind: "nothing"; readonly detail: string }

export const provesNothing = (detail: string): Denial => ({ kind: "nothing", detail })

const isDelegation = (types: readonly number[]): boolean => types.includes(typeNumbers.NS) && !types.includes(typeNumbers.SOA)

/**
 * Whether a record at `owner` says nothing about `name` because another zone or a DNAME begins in between (RFC 6840 4.1:
 * an ancestor delegation; 4.4: a DNAME).
 */
export function cutsOff(owner: DnsName, types: readonly number[], name: DnsName): boolean {
  if (sameName(owner, name) || !isAtOrBelow(name, owner)) return false
  return isDelegation(types) || types.includes(typeNumbers.DNAME)
}

/** What the types at the very name say; NSEC and NSEC3 alike. */
export function typesDeny(types: readonly number[], type: number, wildcard: boolean): Denial {
  if (types.includes(type)) return provesNothing("the record lists the type as present")
  if (types.includes(typeNumbers.CNAME)) return provesNothing("the record lists an alias at the name")
  const delegation = isDelegation(types)
  if (type === typeNumbers.DS) {
    // RFC 6840 4.1, RFC 4035 5.2: the DS is the parent's, so the child's own record denies nothing.
    if (types.includes(typeNumbers.SOA)) return provesNothing("the record is from the child zone and says nothing about the DS")
  } else if (delegation) return provesNothing("the record is from the parent zone and says nothing about the child")
  return { kind: "no-data", delegation: delegation && !wildcard, wildcard }
}

/** Strictly between owner and next in canonical order; the last record of a zone leads back to the apex. */
function covers({ owner, next }: VerifiedNsec, name: DnsName, apex: DnsName): boolean {
  if (!isAtOrBelow(name, apex) || compareNames(owner, name) >= 0) return false
  return compareNames(name, next) < 0 || (compareNames(next, owner) <= 0 && sameName(next, apex))
}

const covering = (records: readonly VerifiedNsec[], name: DnsName, apex: DnsName): VerifiedNsec | undefined =>
  records.find((record) => covers(record, name, apex) && !cutsOff(record.owner, record.types, name))

function sharedLabels(a: DnsName, b: DnsName): number {
  let count = 0
  const most = Math.min(a.labels.length, b.labels.length)
  while (count < most && sameName({ labels: [a.labels.at(-1 - count)!] }, { labels: [b.labels.at(-1 - count)!] })) count += 1
  return count
}

/** The longest existing ancestor of a name that the record covers: it shares it with one of the two ends. */
function closestEncloser({ owner, next }: VerifiedNsec, name: DnsName): DnsName {
  const labels = Math.max(sharedLabels(name, owner), sharedLabels(name, next))
  return { labels: name.labels.slice(name.labels.length - labels) }
}

/** What the records prove about the name and type; `apex` is the zone that signed them. */
export function denialByNsec(records: readonly VerifiedNsec[], name: DnsName, type: number, apex: DnsName): Denial {
  const matching = records.find((record) => sameName(record.owner, name))
  if (matching !== undefined) return typesDeny(matching.types, type, false)
  const cover = covering(records, name, apex)
  if (cover === undefined) return provesNothing("no NSEC record covers the name")
  // RFC 4035 3.1.3.2 and 4592 2.2.2: something exists below the name, so the name does, without any record.
  if (isAtOrBelow(cover.next, name)) return { kind: "no-data", delegation: false, wildcard: false }
  const wildcard = wildcardBelow(closestEncloser(cover, name))
  const atWildcard = records.find((record) => sameName(record.owner, wildcard))
  if (atWildcard !== undefined) return typesDeny(atWildcard.types, type, true)
  const coverOfWildcard = covering(records, wildcard, apex)
  if (coverOfWildcard === undefined) return provesNothing("no NSEC record shows that no wildcard answers")
  // RFC 4592 2.2.2: names may exist below the wildcard, which then exists without records.
  if (isAtOrBelow(coverOfWildcard.next, wildcard)) return { kind: "no-data", delegation: false, wildcard: true }
  return { kind: "name-error" }
}

/** RFC 4035 5.3.4: nothing nearer to the name than the wildcard below `encloser` exists. */
export function nsecAllowsExpansion(records: readonly VerifiedNsec[], name: DnsName, encloser: DnsName, apex: DnsName): boolean {
  const cover = covering(records, name, apex)
  if (cover === undefined || isAtOrBelow(cover.next, name)) return false
  return closestEncloser(cover, name).labels.length === encloser.labels.length
}
