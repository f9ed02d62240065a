// Canonical form of record data and of whole RRsets, and the octets a signature covers (RFC 4034 3.1.8.1 and 6, RFC 6840 5.1).
import type { ResourceRecord } from "../message.ts"
import { DnsFormatError, type DnsName, lowerName, lowerOctet, nameKey, sameName } from "../name.ts"
import { encodeContent, type RecordContent, typeNumbers } from "../records.ts"
import { WireReader, WireWriter } from "../wire.ts"

type Rrsig = Extract<RecordContent, { readonly kind: "RRSIG" }>

/** A signature record with the TTL it came with. */
export interface Signature {
  readonly ttl: number
  readonly content: Rrsig
}

/** Records of one owner and type, and the signatures that came with them. */
export interface Rrset {
  readonly name: DnsName
  readonly type: number
  readonly records: readonly ResourceRecord[]
  readonly signatures: readonly Signature[]
}

/** All RRsets of the types in a section, the signatures attached; RRSIGs without their records are dropped. */
export function rrsetsIn(section: readonly ResourceRecord[], types: readonly number[]): Rrset[] {
  const sets = new Map<string, { name: DnsName; type: number; records: ResourceRecord[]; signatures: Signature[] }>()
  for (const record of section) {
    if (record.class !== 1 || !types.includes(record.type)) continue
    const key = `${record.type} ${nameKey(record.name)}`
    const set = sets.get(key)
    if (set === undefined) sets.set(key, { name: record.name, type: record.type, records: [record], signatures: [] })
    else set.records.push(record)
  }
  if (sets.size === 0) return []
  for (const record of section) {
    if (record.class !== 1 || record.content.kind !== "RRSIG") continue
    sets.get(`${record.content.typeCovered} ${nameKey(record.name)}`)?.signatures.push({ ttl: record.ttl, content: record.content })
  }
  return [...sets.values()]
}

/** The RRset of one owner and type in a section, if it is there. */
export function rrsetAt(section: readonly ResourceRecord[], name: DnsName, type: number): Rrset | undefined {
  const here = section.filter((record) => sameName(record.name, name))
  return rrsetsIn(here, [type])[0]
}

/**
 * Types read by nobody here whose data holds names that RFC 4034 6.2 lower-cases: a digit is so many octets, `s` a
 * character string, `n` a name.
 */
const layouts: Readonly<Record<number, string>> = {
  3: "n",
  4: "n",
  7: "n",
  8: "n",
  9: "n",
  14: "nn",
  17: "nn",
  18: "2n",
  21: "2n",
  26: "2nn",
  35: "4sssn",
  36: "2n",
}

function lowerByLayout(octets: Uint8Array, layout: string): Uint8Array {
  const reader = new WireReader(octets)
  const writer = new WireWriter()
  try {
    for (const part of layout) {
      if (part === "n") writer.name(lowerName(reader.name(false)))
      else if (part === "s") {
        const length = reader.u8()
        writer.u8(length)
        writer.octets(reader.octets(length))
      } else writer.octets(reader.octets(Number(part)))
    }
    if (reader.left === 0) return writer.finish()
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error
    // Not what its type says: the octets are all there is, and a signature decides over those.
  }
  return octets
}

/** RFC 4034 6.2 (3): names inside the data in lower case, for the types listed there but NSEC (RFC 6840 5.1). */
export function canonicalBody(record: Pick<ResourceRecord, "type" | "octets" | "content">): Uint8Array {
  const { content } = record
  switch (content.kind) {
    case "NS":
    case "CNAME":
    case "DNAME":
    case "PTR":
    case "SRV":
      return encodeContent({ ...content, target: lowerName(content.target) })
    case "MX":
      return encodeContent({ ...content, exchange: lowerName(content.exchange) })
    case "SOA":
      return encodeContent({ ...content, primary: lowerName(content.primary), mailbox: lowerName(content.mailbox) })
    case "RRSIG":
      return encodeContent({ ...content, signer: lowerName(content.signer) })
    case "unknown": {
      const layout = layouts[record.type]
      return layout === undefined ? record.octets : lowerByLayout(record.octets, layout)
    }
    default:
      return record.octets
  }
}

/** RFC 4034 6.3: octets compared from the left, the shorter first where it is the beginning of the longer. */
export function compareOctets(a: Uint8Array, b: Uint8Array): number {
  const shared = Math.min(a.length, b.length)
  for (let index = 0; index < shared; index += 1) {
    const difference = a[index]! - b[index]!
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** The bodies of a set in canonical form and order, each once. */
export function canonicalBodies(records: readonly Pick<ResourceRecord, "type" | "octets" | "content">[]): Uint8Array[] {
  const bodies = records.map(canonicalBody).sort(compareOctets)
  return bodies.filter((body, index) => index === 0 || compareOctets(body, bodies[index - 1]!) !== 0)
}

const star = Uint8Array.of(0x2a)

export function isWildcard(name: DnsName): boolean {
  const first = name.labels[0]
  return first?.length === 1 && first[0] === 0x2a
}

/** The wildcard directly below a name. */
export const wildcardBelow = (name: DnsName): DnsName => ({ labels: [star, ...name.labels] })

/** The last so many labels of a name. */
export const suffixOf = (name: DnsName, labels: number): DnsName => ({ labels: name.labels.slice(name.labels.length - labels) })

/** Labels as the RRSIG field counts them: without the root and without a wildcard's star (RFC 4034 3.1.3). */
export const signedLabels = (name: DnsName): number => name.labels.length - (isWildcard(name) ? 1 : 0)

/**
 * What the signature was made over (RFC 4034 3.1.8.1). The owner is the wildcard where the signature has fewer labels
 * than the name (RFC 4035 5.3.2).
 */
export function signedOctets(rrset: Rrset, signature: Rrsig): Uint8Array {
  const { name } = rrset
  const owner = signature.labels < signedLabels(name) ? wildcardBelow(suffixOf(name, signature.labels)) : name
  const head = canonicalBody({
    type: typeNumbers.RRSIG,
    octets: new Uint8Array(0),
    content: { ...signature, signature: new Uint8Array(0) },
  })
  const bodies = canonicalBodies(rrset.records)
  const ownerOctets = lowerWire(owner)
  const perRecord = ownerOctets.length + 10
  const out = new Uint8Array(head.length + bodies.reduce((sum, body) => sum + perRecord + body.length, 0))
  const view = new DataView(out.buffer)
  out.set(head)
  let at = head.length
  for (const body of bodies) {
    out.set(ownerOctets, at)
    at += ownerOctets.length
    view.setUint16(at, rrset.type)
    view.setUint16(at + 2, 1)
    view.setUint32(at + 4, signature.originalTtl)
    view.setUint16(at + 8, body.length)
    out.set(body, at + 10)
    at += 10 + body.length
  }
  return out
}

/** The uncompressed, lower-case wire form of a name. */
export function lowerWire(name: DnsName): Uint8Array {
  const out = new Uint8Array(name.labels.reduce((sum, label) => sum + label.length + 1, 1))
  let at = 0
  for (const label of name.labels) {
    out[at] = label.length
    at += 1
    for (const octet of label) {
      out[at] = lowerOctet(octet)
      at += 1
    }
  }
  return out
}
