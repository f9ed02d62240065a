// The lab's DNS data: a plain table of names, and the answers an authoritative server makes of it (RFC 1034 4.3.2, RFC 2308, RFC 4592).

import { classInternet, type ResourceRecord, rcodes } from "../dns/message.ts"
import { type DnsName, nameFromText, nameKey, parentName, rootName, substituteSuffix } from "../dns/name.ts"
import { encodeContent, parseBody, shownName, typeNumbers } from "../dns/records.ts"
import { parseAddress } from "../model/address.ts"

/** The records of one name. Targets and addresses as text, TLSA data as hexadecimal. */
export interface ZoneRecords {
  readonly A?: readonly string[]
  readonly AAAA?: readonly string[]
  readonly CNAME?: string
  readonly DNAME?: string
  readonly NS?: readonly string[]
  /** priority, weight, port, target. */
  readonly SRV?: readonly (readonly [number, number, number, string])[]
  /** usage, selector, matching type, association data. */
  readonly TLSA?: readonly (readonly [number, number, number, string])[]
  readonly TXT?: readonly string[]
  /** Octets for any type number, malformed ones included. */
  readonly raw?: readonly { readonly type: number; readonly octets: Uint8Array }[]
  /** Seconds; 60 unless given. */
  readonly ttl?: number
}

export type ZoneText = Readonly<Record<string, ZoneRecords>>

const defaultTtl = 60

export function record(name: DnsName, type: number, octets: Uint8Array, ttl: number): ResourceRecord {
  return { name, type, class: classInternet, ttl, octets, content: { kind: "unknown" } }
}

function addressOctets(text: string, length: number): Uint8Array {
  const bytes = parseAddress(text)
  if (bytes?.length !== length) throw new TypeError(`${JSON.stringify(text)} is no address for this record`)
  return bytes
}

/** The records of one name of a table. */
export function recordsOf(name: DnsName, zone: ZoneRecords): ResourceRecord[] {
  const ttl = zone.ttl ?? defaultTtl
  const make = (type: keyof typeof typeNumbers, octets: Uint8Array): ResourceRecord => {
    const made = record(name, typeNumbers[type], octets, ttl)
    return { ...made, content: parseBody(made.type, octets) }
  }
  const target = (kind: "NS" | "CNAME" | "DNAME", text: string): ResourceRecord =>
    make(kind, encodeContent({ kind, target: nameFromText(text) }))
  return [
    ...(zone.A ?? []).map((text) => make("A", addressOctets(text, 4))),
    ...(zone.AAAA ?? []).map((text) => make("AAAA", addressOctets(text, 16))),
    ...(zone.CNAME === undefined ? [] : [target("CNAME", zone.CNAME)]),
    ...(zone.DNAME === undefined ? [] : [target("DNAME", zone.DNAME)]),
    ...(zone.NS ?? []).map((text) => target("NS", text)),
    ...(zone.SRV ?? []).map(([priority, weight, port, text]) =>
      make("SRV", encodeContent({ kind: "SRV", priority, weight, port, target: nameFromText(text) })),
    ),
    ...(zone.TLSA ?? []).map(([usage, selector, matching, hex]) =>
      make("TLSA", encodeContent({ kind: "TLSA", usage, selector, matching, association: Buffer.from(hex, "hex") })),
    ),
    ...(zone.TXT ?? []).map((text) => make("TXT", encodeContent({ kind: "TXT", strings: [Buffer.from(text)] }))),
    ...(zone.raw ?? []).map(({ type, octets }) => record(name, type, octets, ttl)),
  ]
}

export class ZoneTable {
  readonly #names = new Map<string, readonly ResourceRecord[]>()
  /** How many names stand below each: a table of thousands is asked for what is not in it as often as for what is. */
  readonly #below = new Map<string, number>()

  constructor(zones: ZoneText) {
    for (const [name, records] of Object.entries(zones)) this.set(name, records)
  }

  set(text: string, zone: ZoneRecords | undefined): void {
    const name = nameFromText(text)
    const key = nameKey(name)
    const records = zone === undefined ? undefined : recordsOf(name, zone)
    const change = Number(records !== undefined) - Number(this.#names.has(key))
    if (records === undefined) this.#names.delete(key)
    else this.#names.set(key, records)
    if (change === 0) return
    for (let ancestor = name; ancestor.labels.length > 0; ) {
      ancestor = parentName(ancestor)
      const above = nameKey(ancestor)
      const count = (this.#below.get(above) ?? 0) + change
      if (count === 0) this.#below.delete(above)
      else this.#below.set(above, count)
    }
  }

  /** The records of a name; its own empty list when only something below it has records; undefined when there is nothing. */
  at(name: DnsName): readonly ResourceRecord[] | undefined {
    const own = this.#names.get(nameKey(name))
    if (own !== undefined) return own
    return name.labels.length === 0 || this.#below.has(nameKey(name)) ? [] : undefined
  }
}

const soa = encodeContent({
  kind: "SOA",
  primary: nameFromText("ns.lab.example"),
  mailbox: nameFromText("hostmaster.lab.example"),
  serial: 1,
  refresh: 3600,
  retry: 600,
  expire: 86400,
  minimum: 5,
})
/** One zone, the root, holds everything. */
const rootSoa = record(rootName, typeNumbers.SOA, soa, 5)
const rootNs = record(rootName, typeNumbers.NS, encodeContent({ kind: "NS", target: nameFromText("ns.lab.example") }), defaultTtl)

export interface ZoneAnswer {
  readonly rcode: number
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
}

const anyType = 255
const maxChain = 8

/** Answers in full: aliases are followed within the table, absence comes with the SOA of the root. */
export function answerFrom(table: ZoneTable, asked: DnsName, type: number): ZoneAnswer {
  const answers: ResourceRecord[] = []
  let name = asked
  for (let hop = 0; hop < maxChain; hop += 1) {
    const here = name.labels.length === 0 ? [...(table.at(name) ?? []), rootSoa, rootNs] : (table.at(name) ?? wildcard(table, name))
    const alias = here === undefined ? dname(table, name) : undefined
    if (alias !== undefined) {
      answers.push(alias.record, record(name, typeNumbers.CNAME, encodeContent({ kind: "CNAME", target: alias.target }), alias.record.ttl))
      name = alias.target
      continue
    }
    if (here === undefined) return { rcode: rcodes.nameError, answers, authorities: [rootSoa] }
    // The asker's letter case is repeated in the owner.
    const matching = here.filter((entry) => entry.type === type || type === anyType).map((entry) => ({ ...entry, name }))
    if (matching.length > 0) return { rcode: rcodes.noError, answers: [...answers, ...matching], authorities: [] }
    const cname = here.find((entry) => entry.content.kind === "CNAME")
    if (cname?.content.kind !== "CNAME") return { rcode: rcodes.noError, answers, authorities: [rootSoa] }
    answers.push({ ...cname, name })
    name = cname.content.target
  }
  return { rcode: rcodes.noError, answers, authorities: [] }
}

/** RFC 4592: the wildcard at the closest encloser, unless a name in between exists. */
function wildcard(table: ZoneTable, name: DnsName): readonly ResourceRecord[] | undefined {
  for (let ancestor = parentName(name); ; ancestor = parentName(ancestor)) {
    const star = table.at(nameFromText(ancestor.labels.length === 0 ? "*" : `*.${shownName(ancestor)}`))
    if (star !== undefined) return star
    if (ancestor.labels.length === 0 || table.at(ancestor) !== undefined) return undefined
  }
}

function dname(table: ZoneTable, name: DnsName): { record: ResourceRecord; target: DnsName } | undefined {
  for (let ancestor = parentName(name); ancestor.labels.length > 0; ancestor = parentName(ancestor)) {
    for (const entry of table.at(ancestor) ?? []) {
      if (entry.content.kind === "DNAME") return { record: entry, target: substituteSuffix(name, ancestor, entry.content.target) }
    }
  }
  return undefined
}
