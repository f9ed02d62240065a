// The lab's DNS as one signed tree with a root of its own: `example` is signed, a domain may have a zone of its own, signed or
// not, and sets whose signatures do not verify (RFC 4035 3.1; issue, "Lab and interop"). Changed at will while it answers.
import type { AnchorSet } from "../dns/dnssec/anchors.ts"
import { algorithms } from "../dns/dnssec/keys.ts"
import { type DnsName, isAtOrBelow, nameFromText } from "../dns/name.ts"
import { shownName } from "../dns/records.ts"
import type { Instant } from "../model/verdict.ts"
import { type DnsResponder, startDnsResponder } from "./dns-responder.ts"
import { SignedTree, type TreeZone } from "./dns-signed-tree.ts"
import { makeSigningKey, type SigningKey } from "./dns-signer.ts"
import type { ZoneAnswer, ZoneRecords } from "./dns-zones.ts"

interface Zone {
  readonly keys: readonly SigningKey[]
  readonly records: Map<string, ZoneRecords>
}

/** Seconds: TTL of denials, keys and delegations, short because tests publish what they asked for in vain before. */
const zoneTtl = 5
const recordTtl = 60
const week = 7 * 86_400

const keyOf = (text: string): string => shownName(nameFromText(text))

export class LabZones {
  readonly #zones = new Map<string, Zone>()
  readonly #spoilt = new Set<string>()
  readonly #validity: { readonly inception: number; readonly expiration: number }
  #tree: SignedTree | undefined

  constructor(now: Instant) {
    const seconds = Math.floor(now / 1000)
    this.#validity = { inception: seconds - 3600, expiration: seconds + week }
    this.open(".", { signed: true })
    this.open("example", { signed: true })
  }

  /** Begins a zone; its parent delegates to it, with DS records where it is signed. Replaces one of that name. */
  open(apex: string, { signed }: { readonly signed: boolean }): void {
    this.#zones.set(keyOf(apex), { keys: signed ? [makeSigningKey(algorithms.ED25519)] : [], records: new Map() })
    this.#tree = undefined
  }

  /** Ends a zone that was opened, with everything in it. */
  close(apex: string): void {
    this.#zones.delete(keyOf(apex))
    this.#tree = undefined
  }

  /** Replaces every record of a name in the zone it belongs to; undefined removes the name. */
  set(text: string, records: ZoneRecords | undefined): void {
    const name = nameFromText(text)
    for (const zone of this.#zones.values()) zone.records.delete(shownName(name))
    if (records !== undefined) this.#zoneOf(name).records.set(shownName(name), { ttl: recordTtl, ...records })
    this.#tree = undefined
  }

  /** From now on the signatures of this set do not verify; false mends them. */
  spoil(name: string, type: string, spoilt = true): void {
    const key = `${keyOf(name)} ${type}`
    if (spoilt) this.#spoilt.add(key)
    else this.#spoilt.delete(key)
    this.#tree = undefined
  }

  /** The root's key, for resolvers of this lab. */
  get anchors(): AnchorSet {
    return this.#grown().anchors()
  }

  /** The same as DS records, one a line. */
  get anchorText(): string {
    return this.#grown().anchorText()
  }

  answer(name: DnsName, type: number, dnssecOk: boolean): ZoneAnswer {
    return this.#grown().answer(name, type, dnssecOk)
  }

  #zoneOf(name: DnsName): Zone {
    const [deepest] = [...this.#zones]
      .map(([apex, zone]) => ({ apex: nameFromText(apex), zone }))
      .filter(({ apex }) => isAtOrBelow(name, apex))
      .sort((a, b) => b.apex.labels.length - a.apex.labels.length)
    if (deepest === undefined) throw new Error("the lab has no root zone")
    return deepest.zone
  }

  /** Keys stay what they are; signatures are made when somebody asks for them. */
  #grown(): SignedTree {
    const wrong: NonNullable<TreeZone["wrong"]> = (owner, type) => (this.#spoilt.has(`${owner} ${type}`) ? { corrupt: true } : undefined)
    this.#tree ??= new SignedTree({
      zones: Object.fromEntries(
        [...this.#zones].map(([apex, { keys, records }]): [string, TreeZone] => [
          apex,
          { keys, records: Object.fromEntries(records), wrong, ...(keys.length === 0 ? { ds: "none" as const } : {}) },
        ]),
      ),
      validity: this.#validity,
      ttl: zoneTtl,
    })
    return this.#tree
  }
}

export interface LabDns {
  readonly zones: LabZones
  /** Answers honestly. */
  readonly honest: DnsResponder
  /** The same zones through a resolver that keeps signatures to itself while `strips` is true. */
  readonly stripping: DnsResponder
  strips: boolean
  close(): Promise<void>
}

export async function startLabDns(now: Instant): Promise<LabDns> {
  const zones = new LabZones(now)
  const flags = { strips: false }
  const honest = await startDnsResponder({ answer: (name, type, dnssecOk) => zones.answer(name, type, dnssecOk) })
  try {
    const stripping = await startDnsResponder({ answer: (name, type, dnssecOk) => zones.answer(name, type, dnssecOk && !flags.strips) })
    return {
      zones,
      honest: settingZones(honest, zones),
      stripping: settingZones(stripping, zones),
      get strips() {
        return flags.strips
      },
      set strips(value) {
        flags.strips = value
      },
      close: async () => {
        await Promise.all([honest.close(), stripping.close()])
      },
    }
  } catch (error) {
    await honest.close()
    throw error
  }
}

/** A responder whose records are those of the zones. */
function settingZones(responder: DnsResponder, zones: LabZones): DnsResponder {
  return {
    address: responder.address,
    port: responder.port,
    queries: responder.queries,
    set: (name, records) => zones.set(name, records),
    misbehave: (name, how, type) => responder.misbehave(name, how, type),
    close: () => responder.close(),
  }
}
