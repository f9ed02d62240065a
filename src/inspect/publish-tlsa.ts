// TLSA records of certificates and keys, and the names they belong under (RFC 6698 2.1, 3; RFC 7671 4, 5; RFC 7673 3; DANE-15,
// DANE-17, DANE-20).
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { AnyDnsAnswer, DnsAnswer, DnsStatus, Resolver, SrvRecord } from "../model/dns-answer.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import type { Service } from "../model/verdict.ts"
import type { Certificate } from "../x509/certificate.ts"
import { type PublishedFile, PublishError } from "./publish-certificate.ts"
import type { PublishedRecord } from "./publish-records.ts"

export interface TlsaKind {
  readonly usage: number
  readonly selector: number
  readonly matching: number
}

/** DANE-EE, the key, SHA-256: holds whatever the certificate around the key says (RFC 7671 5.1). */
export const usualKind: TlsaKind = { usage: 3, selector: 1, matching: 1 }

/** Why the older usages are not made without being asked for twice. */
export const olderUsages =
  "Usages 0 and 1 ask peers for a public certificate as well: they prove nothing more than that one, and many leave such records out. 3 1 1 is what to use; --yes-i-mean makes them all the same."

/**
 * Reads `3 1 1` or `311`.
 *
 * @throws PublishError
 */
export function readKind(text: string): TlsaKind {
  const [usage, selector, matching] = (/^([0-3]) ?([01]) ?([012])$/.exec(text.trim())?.slice(1) ?? []).map(Number)
  if (usage === undefined || selector === undefined || matching === undefined) {
    throw new PublishError(`${JSON.stringify(text.slice(0, 40))} is no kind of TLSA record: write usage, selector and matching type, as in "3 1 1".`)
  }
  return { usage, selector, matching }
}

/** Which certificate of a file a usage is about. */
function named({ file, leaf, above }: PublishedFile, usage: number): Certificate {
  if (usage === 1 || usage === 3) return leaf
  const top = above.at(-1)
  if (top !== undefined) return top
  // DANE-17: a file with nothing but the authority itself.
  if (leaf.basicConstraints?.ca === true) return leaf
  throw new PublishError(`${file} holds no authority: usage ${usage} needs the whole chain, or the authority's own certificate.`)
}

/** What is published: of a file, or of a key whose certificate does not exist yet. */
export type TlsaSource = PublishedFile | { readonly file: string; /** SubjectPublicKeyInfo, DER. */ readonly spki: Buffer }

/**
 * The certificate association data, lower-case hexadecimal.
 *
 * @throws PublishError where the source has nothing of this kind
 */
export function association(source: TlsaSource, { usage, selector, matching }: TlsaKind): string {
  let part: Uint8Array
  if ("spki" in source) {
    if (selector === 0 || usage % 2 === 0) throw new PublishError(`${source.file} holds a key alone: only 3 1 x and 1 1 x can be made of it.`)
    part = source.spki
  } else {
    const certificate = named(source, usage)
    part = selector === 0 ? certificate.der : certificate.spki
  }
  return matching === 0 ? Buffer.from(part).toString("hex") : createHash(matching === 1 ? "sha256" : "sha512").update(part).digest("hex")
}

/** A server of the domain, by the name its TLSA records stand under. */
export interface TlsaPlace {
  readonly host: Domain
  readonly port: number
}

/** RFC 6698 3 */
export const tlsaOwner = ({ host, port }: TlsaPlace): string => `_${port}._tcp.${host}`

/** One record for each place and source; what comes again counts once. */
export function tlsaRecords(sources: readonly TlsaSource[], places: readonly TlsaPlace[], kind: TlsaKind, ttl: number): PublishedRecord[] {
  const made = [...new Map(sources.map((source) => [association(source, kind), source]))]
  return places.flatMap((place) =>
    made.map(([hex, { file }]) => ({
      name: tlsaOwner(place),
      ttl,
      content: { type: "TLSA" as const, ...kind, association: hex },
      ...(made.length === 1 ? {} : { comment: file.replace(/[^\x21-\x7e]/g, "?") }),
    })),
  )
}

export type PlacesFound =
  | { readonly ok: true; readonly places: readonly TlsaPlace[]; readonly notes: readonly string[] }
  /** `unknown`: DNS could not be asked. */
  | { readonly ok: false; readonly unknown: boolean; readonly sentence: string }

const mostPlaces = 16

/** Every server that the domain's SRV records name; the domain itself on the usual port where there are none. */
export async function placesOf(domain: Domain, service: Service, resolver: Resolver, signal: AbortSignal): Promise<PlacesFound> {
  const names = [`_${service}._tcp.${domain}`, `_${service.replace("xmpp", "xmpps")}._tcp.${domain}`]
  const answers = await Promise.all(names.map((name) => resolver.resolve(name, "SRV", { signal })))
  const broken = answers.find(({ outcome }) => outcome === "failure")
  if (broken !== undefined) return { ok: false, unknown: true, sentence: `${broken.name} could not be looked up: ${whyText(broken as AnyDnsAnswer)}` }
  const records = answers.flatMap((answer) => answer.records)
  if (records.length === 0) {
    const port = service === "xmpp-server" ? 5269 : 5222
    return { ok: true, places: [{ host: domain, port }], notes: [`${domain} has no SRV record: its servers are looked for at ${domain} port ${port}`, ...unsigned(answers)] }
  }
  const places = new Map<string, TlsaPlace>()
  for (const { target, port } of records) {
    const host = tryDomain(target)
    if (host !== undefined && port !== 0 && places.size < mostPlaces) places.set(`${host} ${port}`, { host, port })
  }
  if (places.size === 0) return { ok: false, unknown: false, sentence: `${domain} says that it offers no ${service} service (SRV target "."), so that there is nothing to publish.` }
  return { ok: true, places: [...places.values()], notes: unsigned(answers) }
}

/** DANE-11 and what goes before it: without a signed way to the host nobody asks for its records. */
function unsigned(answers: readonly DnsAnswer<SrvRecord>[]): string[] {
  const status: DnsStatus | undefined = answers.find((each) => each.status !== "secure")?.status
  return status === undefined ? [] : [`the SRV records are not signed (${status}): peers use TLSA records only where DNSSEC covers the way to them`]
}

export function whyText({ why, status }: Pick<AnyDnsAnswer, "why" | "status">): string {
  return why.at(-1)?.detail ?? status
}
