// From an anchor down to the zone that contains a name: DS, DNSKEY, unsigned delegations (RFC 4035 5.2, RFC 5155 8.6, 8.9, RFC 6840 4).
import type { DnsReason } from "../../model/dns-answer.ts"
import type { Instant } from "../../model/verdict.ts"
import type { DnsMessage } from "../message.ts"
import { type DnsName, isAtOrBelow, sameName } from "../name.ts"
import { shownName, typeNumbers } from "../records.ts"
import { anchorFor } from "./anchors.ts"
import { rrsetAt, rrsetsIn, suffixOf } from "./canonical.ts"
import { absenceTtl, allowsExpansion, denialOf, unsignedReason, verifiedDenials } from "./denial.ts"
import { type DsFields, dsFieldsOf, isSupportedDs, isUsableDs, namesKey } from "./ds.ts"
import { zoneKeyOf } from "./keys.ts"
import { ask, bogus, type Cut, type Lookup, type SecureZone, type Steps, type Trouble } from "./lookup.ts"
import { reason, shownSet } from "./reasons.ts"
import { verifyRrset } from "./rrsig.ts"

/** The state of the zone that contains a name. */
export type ZoneState =
  | { readonly kind: "secure"; readonly zone: SecureZone }
  | { readonly kind: "insecure"; readonly why: readonly DnsReason[]; readonly ttl: number; readonly expires: Instant }
  | Trouble

/** What a step rests on besides its own keys. */
interface Basis {
  readonly ttl: number
  readonly expires: Instant
  readonly wire: readonly Uint8Array[]
}

/** The keys of a zone, proven by DS records or anchors of the same form. */
function* zoneByDs(apex: DnsName, ds: readonly DsFields[], basis: Basis, lookup: Lookup): Steps<Cut | Trouble> {
  const { work } = lookup
  // Chosen before the set is cut short: copies of a record leave its signature whole, so that somebody on the path
  // could put the supported ones past the end.
  const binding = ds.filter(isSupportedDs).slice(0, work.limits.keysPerZone)
  // RFC 4035 5.2: a zone signed only with what is unknown to us is treated as unsigned.
  if (binding.length === 0) {
    const kinds = [...new Set(ds.map((one) => `algorithm ${one.algorithm} with digest ${one.digestType}`))].slice(0, 8).join(", ")
    return {
      ...basis,
      kind: "unsigned",
      why: [reason("algorithm-unsupported", `${shownName(apex)} is signed with ${kinds}, not supported`)],
    }
  }
  const reply = yield* ask(lookup, apex, typeNumbers.DNSKEY)
  if ("kind" in reply) return reply
  const set = rrsetAt(reply.message.answers, apex, typeNumbers.DNSKEY)
  if (set === undefined) return bogus(reason("key-missing", `${shownName(apex)} should be signed and shows no keys`, reply.upstream))
  const keys = set.records.slice(0, work.limits.keysPerZone).flatMap((record) => zoneKeyOf(record) ?? [])
  const usable = binding.filter(isUsableDs)
  const entry = keys.filter((key) => usable.some((one) => namesKey(one, apex, key)))
  if (entry.length === 0) {
    return bogus(reason("ds-mismatch", `no key of ${shownName(apex)} is one that its parent or the anchor names`, reply.upstream))
  }
  const verified = yield* verifyRrset(set, { apex, keys: entry }, lookup)
  if (!verified.ok) return bogus(...verified.why)
  const expires = Math.min(basis.expires, verified.expires)
  return {
    kind: "zone",
    zone: { apex, keys, expires },
    ttl: Math.min(basis.ttl, verified.ttl),
    expires,
    wire: [...basis.wire, reply.octets],
  }
}

/** A CNAME at the name, or a DNAME above it, instead of what was asked: neither begins a zone. */
function* cutByAlias(
  message: DnsMessage,
  octets: Uint8Array,
  child: DnsName,
  parent: SecureZone,
  lookup: Lookup,
): Steps<Cut | Trouble | undefined> {
  const { work } = lookup
  const basis = { expires: parent.expires, wire: [octets] }
  for (const dname of rrsetsIn(message.answers, [typeNumbers.DNAME])) {
    if (sameName(dname.name, child) || !isAtOrBelow(child, dname.name) || !isAtOrBelow(dname.name, parent.apex)) continue
    const verified = yield* verifyRrset(dname, parent, lookup)
    if (!verified.ok) return bogus(...verified.why)
    if (verified.expandedFrom !== undefined) return bogus(reason("signature-invalid", "a DNAME is expanded from a wildcard"))
    return { ...basis, kind: "absent", ttl: verified.ttl, expires: Math.min(basis.expires, verified.expires) }
  }
  const cname = rrsetAt(message.answers, child, typeNumbers.CNAME)
  if (cname === undefined) return undefined
  const verified = yield* verifyRrset(cname, parent, lookup)
  if (!verified.ok) return bogus(...verified.why)
  let ttl = verified.ttl
  let expires = Math.min(basis.expires, verified.expires)
  if (verified.expandedFrom !== undefined) {
    const denials = yield* verifiedDenials(message, parent, lookup)
    ttl = Math.min(ttl, denials.ttl)
    expires = Math.min(expires, denials.expires)
    const allowed = allowsExpansion(denials, child, verified.expandedFrom, parent.apex, work)
    if (allowed === "no")
      return bogus(...denials.why, reason("denial-missing", `nothing shows that a wildcard answers for ${shownName(child)}`))
    if (allowed !== "yes") return { ...basis, kind: "unsigned", why: [unsignedReason(allowed)], ttl, expires }
  }
  return { ...basis, kind: "none", ttl, expires }
}

/** Whether a zone begins at `child`, as its parent says. */
function* judgeCut(child: DnsName, parent: SecureZone, lookup: Lookup): Steps<Cut | Trouble> {
  const { work } = lookup
  const reply = yield* ask(lookup, child, typeNumbers.DS)
  if ("kind" in reply) return reply
  const { message, octets } = reply
  const ds = rrsetAt(message.answers, child, typeNumbers.DS)
  if (ds !== undefined) {
    const verified = yield* verifyRrset(ds, parent, lookup)
    if (!verified.ok) return bogus(...verified.why)
    if (verified.expandedFrom !== undefined) return bogus(reason("signature-invalid", "a DS record is expanded from a wildcard"))
    const basis = { ttl: verified.ttl, expires: Math.min(parent.expires, verified.expires), wire: [octets] }
    return yield* zoneByDs(child, dsFieldsOf(ds.records), basis, lookup)
  }
  const alias = yield* cutByAlias(message, octets, child, parent, lookup)
  if (alias !== undefined) return alias
  const denials = yield* verifiedDenials(message, parent, lookup)
  const denial = denialOf(denials, child, typeNumbers.DS, parent.apex, work)
  const basis = {
    ttl: Math.min(denials.ttl, absenceTtl(message, child)),
    expires: Math.min(parent.expires, denials.expires),
    wire: [octets],
  }
  switch (denial.kind) {
    case "name-error":
      return { ...basis, kind: "absent" }
    case "no-data":
      if (denial.delegation) {
        return {
          ...basis,
          kind: "unsigned",
          why: [reason("unsigned-delegation", `${shownName(child)} is delegated without DS, as its parent proves`)],
        }
      }
      return { ...basis, kind: denial.wildcard ? "absent" : "none" }
    case "unsigned":
      return { ...basis, kind: "unsigned", why: [unsignedReason(denial.because)] }
    case "nothing":
      return bogus(
        ...denials.why,
        reason("denial-missing", `the absence of ${shownSet(child, typeNumbers.DS)} is not proven: ${denial.detail}`),
      )
  }
}

/** A cut from the store, or found and then kept. */
function* cutAt(name: DnsName, find: () => Steps<Cut | Trouble>, lookup: Lookup): Steps<Cut | Trouble> {
  const kept = lookup.cuts.get(name, lookup.at)
  if (kept !== undefined) {
    for (const octets of kept.wire) lookup.wire.add(octets)
    return kept
  }
  const found = yield* find()
  if (found.kind !== "trouble") lookup.cuts.put(name, found, lookup.at)
  return found
}

const timely = (why: readonly DnsReason[]): boolean =>
  why.length > 0 && why.every(({ code }) => code === "signature-expired" || code === "signature-not-yet-valid")

/**
 * The deepest zone at or above the name, by questions for DS along the labels.
 *
 * @throws WorkExceeded
 */
export function* zoneContaining(name: DnsName, lookup: Lookup): Steps<ZoneState> {
  const anchor = anchorFor(lookup.anchors, name)
  if (anchor === undefined) {
    const why = [reason("no-anchor", `no anchor vouches for ${shownName(name)}`)]
    return { kind: "insecure", why, ttl: Number.POSITIVE_INFINITY, expires: Number.POSITIVE_INFINITY }
  }
  const nothing: Basis = { ttl: Number.POSITIVE_INFINITY, expires: Number.POSITIVE_INFINITY, wire: [] }
  const top = yield* cutAt(anchor.name, () => zoneByDs(anchor.name, anchor.ds, nothing, lookup), lookup)
  if (top.kind !== "zone") {
    if (top.kind === "trouble" && timely(top.why)) {
      const now = new Date(lookup.at).toISOString()
      return bogus(
        ...top.why,
        reason("clock", `the keys of ${shownName(anchor.name)} are never out of date: is the clock right? It says ${now}`),
      )
    }
    return top.kind === "trouble" ? top : bogus(reason("no-anchor", `the anchor of ${shownName(anchor.name)} cannot be used`))
  }
  let { zone } = top
  for (let labels = anchor.name.labels.length + 1; labels <= name.labels.length; labels += 1) {
    const child = suffixOf(name, labels)
    const parent = zone
    const cut = yield* cutAt(child, () => judgeCut(child, parent, lookup), lookup)
    switch (cut.kind) {
      case "zone":
        zone = cut.zone
        break
      case "unsigned":
        return { kind: "insecure", why: cut.why, ttl: cut.ttl, expires: cut.expires }
      case "absent":
        return { kind: "secure", zone }
      case "trouble":
        return cut
      case "none":
        break
    }
  }
  return { kind: "secure", zone }
}
