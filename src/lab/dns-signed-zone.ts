// One zone of the lab, signed or not: its answers, referrals and denials with the records DNSSEC adds (RFC 4035 3.1, RFC 5155 7).
import { Buffer } from "node:buffer"
import { compareOctets, lowerWire, wildcardBelow } from "../dns/dnssec/canonical.ts"
import { labelFromHash, nsec3Hash } from "../dns/dnssec/denial-nsec3.ts"
import { type ResourceRecord, rcodes } from "../dns/message.ts"
import { compareNames, type DnsName, isAtOrBelow, nameFromText, nameKey, parentName, sameName, substituteSuffix } from "../dns/name.ts"
import { encodeContent, parseBody, shownName, typeName, typeNumbers } from "../dns/records.ts"
import { dsOctets, keyFlags, type SignatureChange, type SigningKey, signSet, type Validity } from "./dns-signer.ts"
import { record, recordsOf, type ZoneText } from "./dns-zones.ts"

export interface Nsec3Options {
  readonly iterations?: number
  /** Hexadecimal. */
  readonly salt?: string
  /** Unsigned delegations get no record of their own. */
  readonly optOut?: boolean
  /** Flags that nobody knows, instead. */
  readonly flags?: number
}

export interface SignedZoneOptions {
  readonly apex: string
  /** Names in full. SOA, NS, DNSKEY and denial records of the zone are made here; NS below the apex begins a child. */
  readonly records: ZoneText
  /** Without keys the zone is unsigned. Keys with flags 257 sign the keys; the others, or the same, everything else. */
  readonly keys?: readonly SigningKey[]
  /** More DNSKEY records, which sign nothing. */
  readonly decoys?: readonly Uint8Array[]
  readonly denial?: "nsec" | Nsec3Options
  readonly validity: Validity
  /** Seconds: TTL of what is made here. */
  readonly ttl?: number
  /** What is wrong with the signatures of a set; `omit` leaves them out. */
  readonly wrong?: (owner: string, type: string) => SignatureChange | "omit" | undefined
}

export interface ZoneReply {
  readonly rcode: number
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  /** Where an alias leads that this zone does not follow itself. */
  readonly alias?: DnsName
}

interface Node {
  readonly name: DnsName
  readonly records: readonly ResourceRecord[]
  /** A child zone begins here. */
  readonly delegation: boolean
}

interface Hashed {
  readonly hash: Uint8Array
  readonly node: Node
}

export class SignedZone {
  readonly apex: DnsName
  readonly keys: readonly SigningKey[]
  readonly #options: SignedZoneOptions
  readonly #nodes = new Map<string, Node>()
  /** Names with records, in canonical order. */
  readonly #ordered: Node[]
  readonly #hashed: Hashed[]
  readonly #signed = new Map<string, readonly ResourceRecord[]>()
  readonly #ttl: number

  constructor(options: SignedZoneOptions) {
    this.#options = options
    this.apex = nameFromText(options.apex)
    this.keys = options.keys ?? []
    this.#ttl = options.ttl ?? 60
    const own = new Map<string, { name: DnsName; records: ResourceRecord[] }>()
    const add = (name: DnsName, records: readonly ResourceRecord[]): void => {
      const here = own.get(nameKey(name))
      if (here === undefined) own.set(nameKey(name), { name, records: [...records] })
      else here.records.push(...records)
    }
    add(this.apex, this.#apexRecords())
    for (const [text, zone] of Object.entries(options.records))
      add(nameFromText(text), recordsOf(nameFromText(text), { ttl: this.#ttl, ...zone }))
    const cuts = [...own.values()].filter(
      ({ name, records }) => !sameName(name, this.apex) && records.some(({ type }) => type === typeNumbers.NS),
    )
    for (const { name, records } of own.values()) {
      // What lies below a cut belongs to the child.
      if (cuts.some((cut) => isAtOrBelow(name, cut.name) && !sameName(name, cut.name))) continue
      this.#nodes.set(nameKey(name), { name, records, delegation: cuts.some((cut) => sameName(cut.name, name)) })
    }
    this.#ordered = [...this.#nodes.values()].sort((a, b) => compareNames(a.name, b.name))
    for (const { name } of this.#ordered) {
      for (let above = parentName(name); above.labels.length > this.apex.labels.length; above = parentName(above)) {
        if (!this.#nodes.has(nameKey(above))) this.#nodes.set(nameKey(above), { name: above, records: [], delegation: false })
      }
    }
    this.#hashed = this.#hashAll()
  }

  get isSigned(): boolean {
    return this.keys.length > 0
  }

  /** DS data for each key that signs the keys. */
  ds(digestType = 2): Uint8Array[] {
    return this.#keySigners().map((key) => dsOctets(this.apex, key, digestType))
  }

  #keySigners(): readonly SigningKey[] {
    const signers = this.keys.filter(({ flags }) => flags === keyFlags.keySigning)
    return signers.length > 0 ? signers : this.keys
  }

  #zoneSigners(): readonly SigningKey[] {
    const signers = this.keys.filter(({ flags }) => flags === keyFlags.zoneSigning)
    return signers.length > 0 ? signers : this.keys
  }

  #make(name: DnsName, type: keyof typeof typeNumbers, octets: Uint8Array): ResourceRecord {
    return { ...record(name, typeNumbers[type], octets, this.#ttl), content: parseBody(typeNumbers[type], octets) }
  }

  #apexRecords(): ResourceRecord[] {
    const server = nameFromText(this.apex.labels.length === 0 ? "ns.example" : `ns.${shownName(this.apex)}`)
    const times = { serial: 1, refresh: 3600, retry: 600, expire: 86400, minimum: this.#ttl }
    const { denial = "nsec", decoys = [] } = this.#options
    const parameters =
      denial === "nsec" || !this.isSigned
        ? []
        : [this.#make(this.apex, "NSEC3PARAM", encodeContent({ kind: "NSEC3PARAM", algorithm: 1, flags: 0, ...hashing(denial) }))]
    return [
      this.#make(this.apex, "SOA", encodeContent({ kind: "SOA", primary: server, mailbox: server, ...times })),
      this.#make(this.apex, "NS", encodeContent({ kind: "NS", target: server })),
      ...[...this.keys.map(({ octets }) => octets), ...decoys].map((octets) => this.#make(this.apex, "DNSKEY", octets)),
      ...parameters,
    ]
  }

  #hashAll(): Hashed[] {
    const { denial = "nsec" } = this.#options
    if (!this.isSigned || denial === "nsec") return []
    const { iterations, salt } = hashing(denial)
    const left = (node: Node): boolean =>
      denial.optOut === true && node.delegation && !node.records.some(({ type }) => type === typeNumbers.DS)
    const kept = [...this.#nodes.values()].filter((node) => {
      if (left(node)) return false
      if (node.records.length > 0) return true
      // An empty name is there for what is below it, unless that is left out.
      return this.#ordered.some((other) => isAtOrBelow(other.name, node.name) && !left(other))
    })
    return kept.map((node) => ({ node, hash: nsec3Hash(node.name, iterations, salt) })).sort((a, b) => compareOctets(a.hash, b.hash))
  }

  /** Records with their signatures beside them, as they are sent. `at`: the owner to show, for wildcards and letter case. */
  #withSignatures(records: readonly ResourceRecord[], at?: DnsName): ResourceRecord[] {
    const first = records[0]!
    const shown = (record: ResourceRecord): ResourceRecord => (at === undefined ? record : { ...record, name: at })
    if (!this.isSigned) return records.map(shown)
    const key = `${first.type} ${nameKey(first.name)}`
    let signatures = this.#signed.get(key)
    if (signatures === undefined) {
      const change = this.#options.wrong?.(shownName(first.name), typeName(first.type))
      const keys = first.type === typeNumbers.DNSKEY ? this.#keySigners() : this.#zoneSigners()
      signatures = change === "omit" ? [] : keys.map((signer) => signSet(records, this.apex, signer, this.#options.validity, change))
      this.#signed.set(key, signatures)
    }
    return [...records, ...signatures].map(shown)
  }

  #nsecAt(node: Node): ResourceRecord[] {
    const index = this.#ordered.indexOf(node)
    const next = this.#ordered[(index + 1) % this.#ordered.length]!.name
    const types = [...typesAt(node), typeNumbers.RRSIG, typeNumbers.NSEC]
    return this.#withSignatures([this.#make(node.name, "NSEC", encodeContent({ kind: "NSEC", next, types }))])
  }

  /** The NSEC record at the name or before it. */
  nsecFor(name: DnsName): ResourceRecord[] {
    const before = this.#ordered.findLast((node) => compareNames(node.name, name) <= 0)
    return before === undefined ? [] : this.#nsecAt(before)
  }

  /** The NSEC3 record at the name's hash or before it. */
  nsec3For(name: DnsName): ResourceRecord[] {
    const { denial = "nsec" } = this.#options
    if (denial === "nsec" || this.#hashed.length === 0) return []
    const { iterations, salt } = hashing(denial)
    const hash = nsec3Hash(name, iterations, salt)
    const found = this.#hashed.findLastIndex((entry) => compareOctets(entry.hash, hash) <= 0)
    const index = found === -1 ? this.#hashed.length - 1 : found
    const entry = this.#hashed[index]!
    const nextHash = this.#hashed[(index + 1) % this.#hashed.length]!.hash
    const types = typesAt(entry.node)
    const signed = types.length > 0 && !(entry.node.delegation && !types.includes(typeNumbers.DS))
    const owner = { labels: [Buffer.from(labelFromHash(entry.hash)), ...this.apex.labels] }
    const content = {
      kind: "NSEC3",
      algorithm: 1,
      flags: denial.flags ?? (denial.optOut === true ? 1 : 0),
      iterations,
      salt,
      nextHash,
    } as const
    return this.#withSignatures([
      this.#make(owner, "NSEC3", encodeContent({ ...content, types: signed ? [...types, typeNumbers.RRSIG] : types })),
    ])
  }

  /** What exists at the name or above it, and the name below that does not. */
  #encloser(name: DnsName): { readonly encloser: DnsName; readonly nextCloser: DnsName } {
    let nextCloser = name
    for (let above = parentName(name); ; above = parentName(above)) {
      if (this.#nodes.has(nameKey(above)) || above.labels.length <= this.apex.labels.length) return { encloser: above, nextCloser }
      nextCloser = above
    }
  }

  #soa(): ResourceRecord[] {
    return this.#withSignatures(this.#nodes.get(nameKey(this.apex))!.records.filter(({ type }) => type === typeNumbers.SOA))
  }

  /** The records that deny: `absent` when the name itself is not there. */
  #denial(name: DnsName, absent: boolean): ResourceRecord[] {
    if (!this.isSigned) return []
    const { encloser } = this.#encloser(name)
    const wildcard = wildcardBelow(encloser)
    if ((this.#options.denial ?? "nsec") === "nsec") {
      return distinct([...this.nsecFor(name), ...(absent ? this.nsecFor(wildcard) : [])])
    }
    const own = this.#hashed.some(({ node }) => sameName(node.name, name))
    if (own) return this.nsec3For(name)
    // An unsigned delegation in an opt-out span, or a name that is not there.
    const above = this.#hashedAbove(encloser)
    const below = { labels: name.labels.slice(name.labels.length - above.labels.length - 1) }
    return distinct([...this.nsec3For(above), ...this.nsec3For(below), ...(absent ? this.nsec3For(wildcard) : [])])
  }

  /** The nearest name at or above that has an NSEC3 record. */
  #hashedAbove(name: DnsName): DnsName {
    let above = name
    while (!this.#hashed.some(({ node }) => sameName(node.name, above)) && above.labels.length > this.apex.labels.length)
      above = parentName(above)
    return above
  }

  /** What the zone answers; aliases are not followed. */
  answer(name: DnsName, type: number): ZoneReply {
    const node = this.#nodes.get(nameKey(name))
    const none: readonly ResourceRecord[] = []
    if (node === undefined) {
      const alias = this.#dname(name)
      if (alias !== undefined) return alias
      return this.#fromWildcard(name, type)
    }
    const matching = node.records.filter((one) => one.type === type)
    // The parent has authority over the DS alone; the rest of a delegation is the child's.
    if (matching.length > 0 && (!node.delegation || type === typeNumbers.DS)) {
      return { rcode: rcodes.noError, answers: this.#withSignatures(matching, name), authorities: none }
    }
    const cname = node.records.filter((one) => one.content.kind === "CNAME")
    const target = cname[0]?.content
    if (target?.kind === "CNAME")
      return { rcode: rcodes.noError, answers: this.#withSignatures(cname, name), authorities: none, alias: target.target }
    return { rcode: rcodes.noError, answers: none, authorities: [...this.#soa(), ...this.#denial(name, false)] }
  }

  #dname(name: DnsName): ZoneReply | undefined {
    for (let above = parentName(name); above.labels.length >= this.apex.labels.length; above = parentName(above)) {
      const found = this.#nodes.get(nameKey(above))?.records.filter(({ content }) => content.kind === "DNAME") ?? []
      const content = found[0]?.content
      if (content?.kind === "DNAME") {
        const target = substituteSuffix(name, above, content.target)
        const made = this.#make(name, "CNAME", encodeContent({ kind: "CNAME", target }))
        return { rcode: rcodes.noError, answers: [...this.#withSignatures(found), made], authorities: [], alias: target }
      }
      if (above.labels.length === 0) break
    }
    return undefined
  }

  #fromWildcard(name: DnsName, type: number): ZoneReply {
    const { encloser, nextCloser } = this.#encloser(name)
    const star = this.#nodes.get(nameKey(wildcardBelow(encloser)))
    const isNsec = (this.#options.denial ?? "nsec") === "nsec"
    if (star === undefined) return { rcode: rcodes.nameError, answers: [], authorities: [...this.#soa(), ...this.#denial(name, true)] }
    const expansion = !this.isSigned ? [] : isNsec ? this.nsecFor(name) : this.nsec3For(nextCloser)
    const matching = star.records.filter((one) => one.type === type)
    if (matching.length > 0) return { rcode: rcodes.noError, answers: this.#withSignatures(matching, name), authorities: expansion }
    const cname = star.records.filter((one) => one.content.kind === "CNAME")
    const target = cname[0]?.content
    if (target?.kind === "CNAME") {
      return { rcode: rcodes.noError, answers: this.#withSignatures(cname, name), authorities: expansion, alias: target.target }
    }
    return { rcode: rcodes.noError, answers: [], authorities: [...this.#soa(), ...this.#denial(name, true)] }
  }
}

function hashing({ iterations = 0, salt = "" }: Nsec3Options): { readonly iterations: number; readonly salt: Uint8Array } {
  return { iterations, salt: Buffer.from(salt, "hex") }
}

function typesAt(node: Node): number[] {
  const types = [...new Set(node.records.map(({ type }) => type))]
  return node.delegation ? types.filter((type) => type === typeNumbers.NS || type === typeNumbers.DS) : types
}

function distinct(records: readonly ResourceRecord[]): ResourceRecord[] {
  const seen = new Set<string>()
  return records.filter(({ name, octets }) => {
    const key = `${Buffer.from(lowerWire(name)).toString("latin1")} ${Buffer.from(octets).toString("latin1")}`
    return !seen.has(key) && seen.add(key) !== undefined
  })
}
