// What NSEC3 records prove to be absent (RFC 5155 8, RFC 9276 3.2, RFC 6840 4.1). All records given were verified.
import { Buffer } from "node:buffer"
import { hash as hashOnce } from "node:crypto"
import type { DnsName } from "../name.ts"
import { lowerWire, suffixOf, wildcardBelow } from "./canonical.ts"
import { cutsOff, type Denial, provesNothing, typesDeny } from "./denial-nsec.ts"
import type { Work } from "./work.ts"

/** An NSEC3 record whose signature by the zone holds, and whose owner is no wildcard expansion. */
export interface VerifiedNsec3 {
  /** Hash in the first label of the owner. */
  readonly ownerHash: Uint8Array
  readonly nextHash: Uint8Array
  readonly optOut: boolean
  readonly iterations: number
  readonly salt: Uint8Array
  readonly types: readonly number[]
}

const digits = "0123456789abcdefghijklmnopqrstuv"
const hashOctets = 20

/** RFC 4648 7 without padding, the form of hashed owner names; undefined for anything but one SHA-1 hash. */
export function hashFromLabel(label: Uint8Array): Uint8Array | undefined {
  if (label.length !== 32) return undefined
  const octets = new Uint8Array(hashOctets)
  let bits = 0
  let value = 0
  let at = 0
  for (const octet of label) {
    const digit = digits.indexOf(String.fromCharCode(octet).toLowerCase())
    if (digit < 0) return undefined
    value = ((value << 5) | digit) & 0xfff
    bits += 5
    if (bits >= 8) {
      bits -= 8
      octets[at] = (value >> bits) & 0xff
      at += 1
    }
  }
  return octets
}

export function labelFromHash(octets: Uint8Array): string {
  let text = ""
  let bits = 0
  let value = 0
  for (const octet of octets) {
    value = ((value << 8) | octet) & 0x1fff
    bits += 8
    while (bits >= 5) {
      bits -= 5
      text += digits[(value >> bits) & 31]
    }
  }
  return text
}

/** RFC 5155 5: SHA-1 over name and salt, then so many times again over the hash and salt. */
export function nsec3Hash(name: DnsName, iterations: number, salt: Uint8Array): Uint8Array {
  let hashed: Buffer = hashOnce("sha1", Buffer.concat([lowerWire(name), salt]), "buffer")
  for (let count = 0; count < iterations; count += 1)
    hashed = hashOnce("sha1", salt.length === 0 ? hashed : Buffer.concat([hashed, salt]), "buffer")
  return hashed
}

/** The records of one zone with the same parameters, and the hashes made for one lookup. */
class Nsec3Set {
  readonly #records: readonly VerifiedNsec3[]
  readonly #work: Work
  readonly #hashes = new Map<string, Buffer>()

  constructor(records: readonly VerifiedNsec3[], work: Work) {
    this.#records = records
    this.#work = work
  }

  #hash(name: DnsName): Buffer {
    const wire = lowerWire(name)
    const key = Buffer.from(wire).toString("latin1")
    let hashed = this.#hashes.get(key)
    if (hashed === undefined) {
      const { iterations, salt } = this.#records[0]!
      this.#work.countHash(iterations + 1)
      hashed = Buffer.from(nsec3Hash(name, iterations, salt))
      this.#hashes.set(key, hashed)
    }
    return hashed
  }

  matching(name: DnsName): VerifiedNsec3 | undefined {
    const hashed = this.#hash(name)
    return this.#records.find((record) => hashed.equals(record.ownerHash))
  }

  covering(name: DnsName): VerifiedNsec3 | undefined {
    const hashed = this.#hash(name)
    return this.#records.find(({ ownerHash, nextHash }) => {
      const afterOwner = hashed.compare(ownerHash) > 0
      const beforeNext = hashed.compare(nextHash) < 0
      // The last record leads back to the first; a single one covers all but itself.
      if (Buffer.compare(ownerHash, nextHash) < 0) return afterOwner && beforeNext
      return (afterOwner || beforeNext) && !hashed.equals(ownerHash)
    })
  }

  /**
   * RFC 5155 8.3: the longest ancestor that exists, and that the name next to it does not. The record at the encloser
   * must be of this zone and no DNAME.
   */
  closestEncloser(name: DnsName, apex: DnsName): { readonly encloser: DnsName; readonly cover: VerifiedNsec3 } | string {
    for (let labels = name.labels.length - 1; labels >= apex.labels.length; labels -= 1) {
      const encloser = suffixOf(name, labels)
      const match = this.matching(encloser)
      if (match === undefined) continue
      if (cutsOff(encloser, match.types, name)) return "another zone or a DNAME begins above the name"
      const cover = this.covering(suffixOf(name, labels + 1))
      return cover === undefined ? "no NSEC3 record covers the next closer name" : { encloser, cover }
    }
    return "no NSEC3 record matches an ancestor of the name"
  }
}

/** The most numerous set of equal parameters first (RFC 5155 8.2); two are looked at. */
function byParameters(records: readonly VerifiedNsec3[]): VerifiedNsec3[][] {
  const sets = new Map<string, VerifiedNsec3[]>()
  for (const record of records) {
    const key = `${record.iterations} ${Buffer.from(record.salt).toString("hex")}`
    const set = sets.get(key)
    if (set === undefined) sets.set(key, [record])
    else set.push(record)
  }
  return [...sets.values()].sort((a, b) => b.length - a.length).slice(0, 2)
}

function denialBySet(set: Nsec3Set, name: DnsName, type: number, apex: DnsName): Denial {
  const matching = set.matching(name)
  if (matching !== undefined) return typesDeny(matching.types, type, false)
  const found = set.closestEncloser(name, apex)
  if (typeof found === "string") return provesNothing(found)
  const { encloser, cover } = found
  const wildcard = wildcardBelow(encloser)
  const atWildcard = set.matching(wildcard)
  if (atWildcard !== undefined) {
    const denied = typesDeny(atWildcard.types, type, true)
    return denied.kind === "no-data" && cover.optOut ? { kind: "unsigned", because: "opt-out" } : denied
  }
  // RFC 5155 8.6 and 9.2: in an opt-out span the name may be an unsigned delegation, or lie below one.
  if (cover.optOut) return { kind: "unsigned", because: "opt-out" }
  return set.covering(wildcard) === undefined ? provesNothing("no NSEC3 record shows that no wildcard answers") : { kind: "name-error" }
}

/** Records whose hashes cost more than a proof is worth count as none: the zone may as well be unsigned (RFC 9276 3.2). */
function affordable(records: readonly VerifiedNsec3[], work: Work): VerifiedNsec3[] {
  return records.filter((record) => record.iterations <= work.limits.iterations)
}

/**
 * What the records prove about the name and type; `apex` is the zone that signed them.
 *
 * @throws WorkExceeded
 */
export function denialByNsec3(records: readonly VerifiedNsec3[], name: DnsName, type: number, apex: DnsName, work: Work): Denial {
  const cheap = affordable(records, work)
  let last = provesNothing("there is no NSEC3 record")
  for (const same of byParameters(cheap)) {
    last = denialBySet(new Nsec3Set(same, work), name, type, apex)
    if (last.kind !== "nothing") return last
  }
  return cheap.length < records.length ? { kind: "unsigned", because: "iterations" } : last
}

/** RFC 5155 8.8: the next closer name below `encloser` does not exist, so its wildcard answers; or the span proves nothing. */
export function nsec3AllowsExpansion(
  records: readonly VerifiedNsec3[],
  name: DnsName,
  encloser: DnsName,
  work: Work,
): "yes" | "no" | "opt-out" | "iterations" {
  const cheap = affordable(records, work)
  for (const same of byParameters(cheap)) {
    const cover = new Nsec3Set(same, work).covering(suffixOf(name, encloser.labels.length + 1))
    if (cover !== undefined) return cover.optOut ? "opt-out" : "yes"
  }
  return cheap.length < records.length ? "iterations" : "no"
}
