// Reference identities against presented ones (RFC 9525; RFC 6120 13.7; ID-02 to ID-12): DNS-ID, SRV-ID, XmppAddr.
// The subject's commonName is never looked at (ID-09).

import { parseDomain } from "../model/domain.ts"
import { type Certificate, presentedNames } from "./certificate.ts"
import { dnsLabels } from "./name-constraints.ts"
import { shown } from "./names.ts"

export type IdentifierType = "DNS-ID" | "SRV-ID" | "XmppAddr"

export interface AcceptedIdentifier {
  readonly type: IdentifierType
  /** A canonical domain (A-labels, lower case); with SRV-ID `_service.` before it. */
  readonly value: string
}

export interface MatchOptions {
  /** Whether `_xmpp-server.*.a.example` counts (ID-08). Default: yes. */
  readonly srvWildcards?: boolean
}

export type IdentityMatch<Accepted extends AcceptedIdentifier = AcceptedIdentifier> =
  /** The accepted entry that was matched, as it was given, and the name in the certificate that matched it (ID-19). */
  | { readonly matched: Accepted & { readonly presented: string } }
  /** What the certificate names instead, escaped, at most 20 names. */
  | { readonly presented: readonly string[] }

const MOST_SHOWN = 20

/** Whether the last label is a number: such a text is an address to many, and no DNS-ID (ID-11). */
const looksLikeAddress = (labels: readonly string[]): boolean => /^(?:\d+|0x[0-9a-f]*)$/.test(labels.at(-1) ?? "")

/** ID-07: one `*`, the complete left-most label, stands for exactly one label; anything else with a `*` names nobody. */
function dnsMatches(presented: string, wanted: readonly string[], wildcards: boolean): boolean {
  const labels = dnsLabels(presented, wildcards)
  if (labels === undefined || labels.length !== wanted.length || looksLikeAddress(wanted)) return false
  return labels.every((label, index) => label === wanted[index] || (index === 0 && label === "*"))
}

/** The names of one certificate, by what may match what: a host of many domains has hundreds, judged for each of them. */
interface NameIndex {
  /** DNS names without wildcard, in lower case, as they are written. */
  readonly dns: ReadonlyMap<string, readonly string[]>
  readonly wildcards: readonly string[]
  readonly srv: readonly string[]
  readonly xmppAddr: readonly string[]
}

/** What is looked at of a certificate: its names, which need not keep the rest of it alive. */
export type NamedCertificate = Pick<Certificate, "subjectAltNames">

/** Of certificates with many names; that of a few takes less time to make than it is worth to keep. */
const indexes = new WeakMap<NamedCertificate, NameIndex>()
const fewNames = 8

function indexOf(leaf: NamedCertificate): NameIndex {
  const known = indexes.get(leaf)
  if (known !== undefined) return known
  const dns = new Map<string, string[]>()
  const wildcards: string[] = []
  const srv: string[] = []
  const xmppAddr: string[] = []
  for (const name of leaf.subjectAltNames ?? []) {
    if (name.type === "srv") srv.push(name.text)
    else if (name.type === "xmppAddr") xmppAddr.push(name.text)
    else if (name.type === "dns" && name.text.startsWith("*")) wildcards.push(name.text)
    else if (name.type === "dns") {
      const lower = name.text.toLowerCase()
      const same = dns.get(lower)
      if (same === undefined) dns.set(lower, [name.text])
      else same.push(name.text)
    }
  }
  const index = { dns, wildcards, srv, xmppAddr }
  if ((leaf.subjectAltNames ?? []).length > fewNames) indexes.set(leaf, index)
  return index
}

/** The first name of the certificate that matches; among DNS names one without wildcard goes first. */
function matching(names: NameIndex, { type, value }: AcceptedIdentifier, srvWildcards: boolean): string | undefined {
  if (type === "SRV-ID") return names.srv.find((name) => srvMatches(name, value, srvWildcards))
  if (type === "XmppAddr") return names.xmppAddr.find((name) => xmppAddrMatches(name, value))
  const labels = dnsLabels(value, false)
  if (labels === undefined) return undefined
  const exact = names.dns.get(labels.join("."))
  return exact?.find((name) => dnsMatches(name, labels, true)) ?? names.wildcards.find((name) => dnsMatches(name, labels, true))
}

/** ID-04: service and domain are one unit, both without regard to case. */
function srvMatches(presented: string, wanted: string, wildcards: boolean): boolean {
  const cut = (name: string): [string, string] => {
    const dot = name.indexOf(".")
    return dot < 0 ? [name, ""] : [name.slice(0, dot), name.slice(dot + 1)]
  }
  const [service, domain] = cut(presented)
  const [wantedService, wantedDomain] = cut(wanted)
  const lower = (text: string): string => text.replace(/[A-Z]+/g, (upper) => upper.toLowerCase())
  const labels = dnsLabels(wantedDomain, false)
  return (
    /^_[A-Za-z0-9-]+$/.test(service) &&
    lower(service) === lower(wantedService) &&
    labels !== undefined &&
    dnsMatches(domain, labels, wildcards)
  )
}

/** ID-05: a bare domain only, no wildcard; U-labels are brought to A-labels as on the wire (security.md 23). */
function xmppAddrMatches(presented: string, wanted: string): boolean {
  if (presented.length > 1023 || /[@/*]/.test(presented)) return false
  try {
    return parseDomain(presented) === wanted
  } catch {
    return false // whatever is no domain names none
  }
}

/**
 * Looks for one accepted identity in a certificate; any one match is enough (ID-06).
 *
 * @param accept built from what was asked for, never from the certificate (ID-02)
 */
export function matchIdentity<Accepted extends AcceptedIdentifier>(
  leaf: NamedCertificate,
  accept: readonly Accepted[],
  options: MatchOptions = {},
): IdentityMatch<Accepted> {
  const srvWildcards = options.srvWildcards ?? true
  const index = indexOf(leaf)
  for (const accepted of accept) {
    const presented = matching(index, accepted, srvWildcards)
    if (presented !== undefined) return { matched: { ...accepted, presented } }
  }
  const names = [...new Set(presentedNames(leaf).map(shown))]
  const more = names.length - MOST_SHOWN
  return { presented: more > 0 ? [...names.slice(0, MOST_SHOWN), `${more} more`] : names }
}
