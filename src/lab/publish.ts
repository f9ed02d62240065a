// What the lab's DNS says about one server: SRV, addresses and TLSA, as its operator would publish them (RFC 7673 6, RFC 6698 2).
import { createHash } from "node:crypto"
import type { IssuedCertificate } from "./certificate-authority.ts"
import type { Service } from "../model/verdict.ts"
import type { LabZones } from "./lab-dns.ts"
import type { ZoneRecords } from "./dns-zones.ts"

/** One TLSA record, made from the server's certificates. */
export interface LabTlsa {
  readonly usage: 0 | 1 | 2 | 3
  readonly selector: 0 | 1
  readonly matching: 0 | 1 | 2
  /** `leaf` unless given; `stale`: of a key that is no longer in use. */
  readonly of?: "leaf" | "issuer" | "stale"
}

export interface LabTarget {
  /** The host's name, anywhere in the lab. */
  readonly name: string
  readonly priority?: number
  readonly tlsa?: readonly LabTlsa[]
  /** The signatures over its TLSA records do not verify. */
  readonly bogusTlsa?: boolean
}

/** A zone of the domain's own. Without one its records stand in `example`, which is signed. */
export interface LabZone {
  /** True unless given; false: an insecure delegation. */
  readonly signed?: boolean
  /** Where SRV leads; `xmpp` below the domain unless given. */
  readonly targets?: readonly LabTarget[]
  /** Of what the domain shows when it connects, at `_xmpp-server` below it (DANC-4). */
  readonly clientTlsa?: readonly LabTlsa[]
  /** The signatures over its SRV records do not verify. */
  readonly bogusSrv?: boolean
}

/** What publishing needs to know of a server. */
export interface Published {
  readonly domain: string
  /** `xmpp-server` unless given. */
  readonly service?: Service
  readonly zone: LabZone | undefined
  readonly s2s: { readonly address: string; readonly port: number }
  readonly transport: "starttls" | "direct-tls"
  readonly certificate: IssuedCertificate
  /** Of the certificate's issuer. */
  readonly issuer: Pick<IssuedCertificate, "der" | "key">
}

/** TLSA fields as the lab's zones want them. */
export function tlsaFields({ usage, selector, matching, of = "leaf" }: LabTlsa, { certificate, issuer }: Pick<Published, "certificate" | "issuer">): readonly [number, number, number, string] {
  const named = of === "issuer" ? issuer : certificate
  const selected = selector === 0 ? named.der : named.key.spki
  // A key that was exchanged: the digest of something else.
  const octets = of === "stale" ? Buffer.concat([selected, Buffer.from("former")]) : selected
  const data = matching === 0 ? octets : createHash(matching === 1 ? "sha256" : "sha512").update(octets).digest()
  return [usage, selector, matching, data.toString("hex")]
}

/** @returns what takes the records away again */
export function publish(zones: LabZones, server: Published): () => void {
  const { domain, service = "xmpp-server", zone, s2s, transport } = server
  const set = new Set<string>()
  const spoilt: [string, string][] = []
  const put = (name: string, records: ZoneRecords): void => {
    set.add(name)
    zones.set(name, records)
  }
  const spoil = (name: string, type: string): void => {
    spoilt.push([name, type])
    zones.spoil(name, type)
  }
  if (zone !== undefined) zones.open(domain, { signed: zone.signed ?? true })
  const targets = zone?.targets ?? [{ name: `xmpp.${domain}` }]
  const srv = `_${transport === "direct-tls" ? service.replace("xmpp", "xmpps") : service}._tcp.${domain}`
  put(srv, { SRV: targets.map(({ name, priority = 0 }) => [priority, 0, s2s.port, name]) })
  if (zone?.bogusSrv === true) spoil(srv, "SRV")
  for (const { name, tlsa = [], bogusTlsa = false } of targets) {
    put(name, { A: [s2s.address] })
    const owner = `_${s2s.port}._tcp.${name}`
    if (tlsa.length > 0) put(owner, { TLSA: tlsa.map((each) => tlsaFields(each, server)) })
    if (bogusTlsa) spoil(owner, "TLSA")
  }
  const client = zone?.clientTlsa ?? []
  if (client.length > 0) put(`_xmpp-server.${domain}`, { TLSA: client.map((each) => tlsaFields(each, server)) })
  return () => {
    for (const [name, type] of spoilt) zones.spoil(name, type, false)
    for (const name of set) zones.set(name, undefined)
    if (zone !== undefined) zones.close(domain)
  }
}
