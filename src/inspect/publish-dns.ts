// Every record a domain should have for XMPP: SRV for servers and clients, plain and direct TLS, addresses, TLSA, CAA (RFC 6120 3.2.1,
// XEP-0368 3, RFC 7673 3, RFC 8659, RFC 2782 "." for what is not offered).
import { addressText, parseAddress } from "../model/address.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import { type PublishedFile, PublishError } from "./publish-certificate.ts"
import type { PublishedRecord } from "./publish-records.ts"
import { type TlsaKind, tlsaRecords } from "./publish-tlsa.ts"

/** One of a domain's servers. */
export interface DnsPlace {
  readonly host: Domain
  readonly port: number
}

export interface DnsQuestion {
  readonly domain: Domain
  readonly ttl: number
  /** By SRV name without the `_`; an empty list says that it is not offered, undefined leaves it out. */
  readonly services: Readonly<Record<SrvName, readonly DnsPlace[] | undefined>>
  /** Of all hosts below the domain; text as it was given. */
  readonly addresses: readonly string[]
  /** What the servers show; empty: no TLSA records. */
  readonly certificates: readonly PublishedFile[]
  readonly kind: TlsaKind
  /** Who may issue certificates, as CAA names it. */
  readonly caa: readonly string[]
}

export const srvNames = ["xmpp-server", "xmpps-server", "xmpp-client", "xmpps-client"] as const
export type SrvName = (typeof srvNames)[number]

export interface DnsRecords {
  readonly records: readonly PublishedRecord[]
  /** What the records alone do not say. */
  readonly notes: readonly string[]
}

/**
 * Reads `host.example` or `host.example:5269`.
 *
 * @throws PublishError
 */
export function readPlace(text: string, usualPort: number): DnsPlace {
  const [, name, digits] = /^([^:]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = name === undefined ? undefined : tryDomain(name)
  const port = digits === undefined ? usualPort : Number(digits)
  if (host === undefined || port < 1 || port > 65_535) throw new PublishError(`${JSON.stringify(text.slice(0, 80))} is no server: write a name and perhaps a port, as in xmpp1.host.example:5269.`)
  return { host, port }
}

/** @throws PublishError for addresses and CAA values that are none */
export function dnsRecords({ domain, ttl, services, addresses, certificates, kind, caa }: DnsQuestion): DnsRecords {
  const notes: string[] = []
  const records: PublishedRecord[] = []
  const hosts = new Set<Domain>()
  for (const name of srvNames) {
    const places = services[name]
    if (places === undefined) continue
    const owner = `_${name}._tcp.${domain}`
    // CORE-02: "." says that there is no such service, which spares everybody the search for one.
    if (places.length === 0) records.push({ name: owner, ttl, content: { type: "SRV", priority: 0, weight: 0, port: 0, target: "." }, comment: "not offered" })
    places.forEach(({ host, port }, index) => {
      hosts.add(host)
      records.push({ name: owner, ttl, content: { type: "SRV", priority: index === 0 ? 0 : 10 * index, weight: 5, port, target: host } })
    })
  }
  const own = [...hosts].filter((host) => host === domain || host.endsWith(`.${domain}`))
  const foreign = [...hosts].filter((host) => !own.includes(host))
  for (const text of addresses) {
    const bytes = parseAddress(text)
    if (bytes === undefined) throw new PublishError(`${JSON.stringify(text.slice(0, 80))} is not an IP address.`)
    for (const host of own) records.push({ name: host, ttl, content: { type: bytes.length === 4 ? "A" : "AAAA", address: addressText(bytes) } })
  }
  if (addresses.length === 0 && own.length > 0) notes.push(`${own.join(", ")} need${own.length === 1 ? "s" : ""} A and AAAA records: --address makes them`)
  if (foreign.length > 0) notes.push(`addresses and TLSA records of ${foreign.join(", ")} belong into the zones of their owners`)
  if (certificates.length === 0) notes.push("no TLSA records without --cert; they prove the servers to peers that use DANE, where the zone is signed")
  else {
    const places = new Map(srvNames.flatMap((name) => services[name] ?? []).map((place) => [`${place.host} ${place.port}`, place]))
    records.push(...tlsaRecords(certificates, [...places.values()], kind, ttl))
    notes.push("TLSA records prove nothing until the zone is signed with DNSSEC; change keys with `xmpp-dna tlsa rollover`")
  }
  for (const value of caa) {
    if (tryDomain(value) === undefined) throw new PublishError(`${JSON.stringify(value.slice(0, 80))} is no authority's name for CAA: write letsencrypt.org or the like.`)
    records.push({ name: domain, ttl, content: { type: "CAA", tag: "issue", value } })
  }
  if (caa.length === 0) notes.push(`a CAA record says who may issue certificates for ${domain}: --caa makes it`)
  return { records, notes }
}
