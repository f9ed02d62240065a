// The lab's signed DNS: zones from the root down as a resolver would answer for them, aliases followed (RFC 4035 3.1, 3.2; RFC 1034 4.3.2).
import { type AnchorSet, anchorSet } from "../dns/dnssec/anchors.ts"
import { dsFieldsOf } from "../dns/dnssec/ds.ts"
import { type ResourceRecord, rcodes } from "../dns/message.ts"
import { type DnsName, isAtOrBelow, nameFromText, nameKey, parentName } from "../dns/name.ts"
import { parseBody, shownName, typeNumbers } from "../dns/records.ts"
import { SignedZone, type SignedZoneOptions } from "./dns-signed-zone.ts"
import { record, type ZoneAnswer, type ZoneRecords, type ZoneText } from "./dns-zones.ts"

/** A zone of the tree. Delegation and DS in its parent are made from it. */
export interface TreeZone extends Omit<SignedZoneOptions, "validity" | "apex" | "records"> {
  readonly records?: ZoneText
  readonly validity?: SignedZoneOptions["validity"]
  /** `none`: delegated as if unsigned; `unchecked`: made by the function from the honest ones; digest type 2 otherwise. */
  readonly ds?: "none" | 2 | 4 | ((honest: readonly Uint8Array[]) => readonly Uint8Array[])
}

export interface TreeOptions {
  /** By apex; "." is the root and must be there. */
  readonly zones: Readonly<Record<string, TreeZone>>
  readonly validity: SignedZoneOptions["validity"]
  readonly ttl?: number
}

const maxChain = 8

export class SignedTree {
  readonly #zones = new Map<string, SignedZone>()

  constructor({ zones, validity, ttl }: TreeOptions) {
    const apexes = Object.keys(zones).sort((a, b) => nameFromText(b).labels.length - nameFromText(a).labels.length)
    const delegations = new Map<string, Record<string, ZoneRecords>>()
    // Children first: their keys are what the parent signs.
    for (const apex of apexes) {
      const { ds, records, ...rest } = zones[apex]!
      const zone = new SignedZone({
        validity,
        ...(ttl === undefined ? {} : { ttl }),
        ...rest,
        apex,
        records: { ...delegations.get(apex), ...records },
      })
      this.#zones.set(nameKey(zone.apex), zone)
      if (apex === ".") continue
      const parent = apexes
        .filter((other) => other !== apex && isAtOrBelow(zone.apex, nameFromText(other)))
        .sort((a, b) => nameFromText(b).labels.length - nameFromText(a).labels.length)[0]!
      const honest = zone.ds(ds === 4 ? 4 : 2)
      const shown = ds === "none" ? [] : typeof ds === "function" ? ds(honest) : honest
      const children = delegations.get(parent) ?? {}
      children[apex] = { NS: [`ns.${apex}`], raw: shown.map((octets) => ({ type: typeNumbers.DS, octets })) }
      delegations.set(parent, children)
    }
  }

  zone(apex: string): SignedZone {
    const zone = this.#zones.get(nameKey(nameFromText(apex)))
    if (zone === undefined) throw new Error(`the tree has no zone ${apex}`)
    return zone
  }

  /** Anchors for the zone's own key-signing keys; the root's unless told otherwise. */
  anchors(apex = "."): AnchorSet {
    const zone = this.zone(apex)
    const ds = zone
      .ds()
      .map((octets): ResourceRecord => ({ ...record(zone.apex, typeNumbers.DS, octets, 0), content: parseBody(typeNumbers.DS, octets) }))
    return anchorSet([{ name: zone.apex, ds: dsFieldsOf(ds) }])
  }

  /** The same as DS records in zone file form, one a line. */
  anchorText(apex = "."): string {
    return this.anchors(apex)
      .anchors.flatMap(({ name, ds }) =>
        ds.map(({ keyTag, algorithm, digestType, digest }) => {
          const owner = name.labels.length === 0 ? "." : `${shownName(name)}.`
          return `${owner} IN DS ${keyTag} ${algorithm} ${digestType} ${Buffer.from(digest).toString("hex")}\n`
        }),
      )
      .join("")
  }

  /** The deepest zone at or above; for DS the one above a child's apex (RFC 4035 3.1.4.1). */
  #zoneFor(name: DnsName, type: number): SignedZone {
    const start = type === typeNumbers.DS && name.labels.length > 0 ? parentName(name) : name
    for (let above = start; ; above = parentName(above)) {
      const zone = this.#zones.get(nameKey(above))
      if (zone !== undefined) return zone
      if (above.labels.length === 0) throw new Error("the tree has no root")
    }
  }

  answer(asked: DnsName, type: number, dnssecOk: boolean): ZoneAnswer {
    const answers: ResourceRecord[] = []
    const authorities: ResourceRecord[] = []
    let rcode: number = rcodes.noError
    let name = asked
    for (let hop = 0; hop < maxChain; hop += 1) {
      const reply = this.#zoneFor(name, type).answer(name, type)
      rcode = reply.rcode
      answers.push(...reply.answers)
      authorities.push(...reply.authorities)
      if (reply.alias === undefined) break
      name = reply.alias
    }
    if (dnssecOk) return { rcode, answers, authorities }
    // RFC 4035 3.2.1: who does not set DO is not sent what was not asked for.
    const extra: readonly number[] = [typeNumbers.RRSIG, typeNumbers.NSEC, typeNumbers.NSEC3]
    const plain = (records: readonly ResourceRecord[]): ResourceRecord[] =>
      records.filter((one) => one.type === type || !extra.includes(one.type))
    return { rcode, answers: plain(answers), authorities: plain(authorities) }
  }
}
