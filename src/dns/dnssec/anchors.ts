// Trust anchors: the keys of the root as shipped, and anchors of one's own from a file (RFC 4035 4.4, RFC 7958; security.md 25).
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { DnsFormatError, type DnsName, isAtOrBelow, lowerName, nameFromText, nameKey, rootName, sameName } from "../name.ts"
import { shownName } from "../records.ts"
import { type DsFields, dsDigest, isUsableDs } from "./ds.ts"
import { keyTag } from "./keys.ts"

export interface TrustAnchor {
  readonly name: DnsName
  /** Any of these may vouch for the zone's keys. */
  readonly ds: readonly DsFields[]
}

export interface AnchorSet {
  readonly anchors: readonly TrustAnchor[]
  /** SHA-256 over the anchors in a fixed form: evidence names its anchors by it. */
  readonly digest: string
}

/** Anchors that cannot be used; `line` counts from 1. */
export class AnchorError extends Error {
  override readonly name = "AnchorError"
  readonly line: number | undefined
  constructor(message: string, line?: number) {
    super(line === undefined ? message : `line ${line}: ${message}`)
    this.line = line
  }
}

const hexOctets = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"))

/**
 * The key-signing keys of the root zone: KSK-2017 (20326) and KSK-2024 (38696), published 2017-02-02 and 2024-07-18.
 * Both, because the first ends its service when the roll to the second does.
 */
const shipped: readonly DsFields[] = [
  {
    keyTag: 20326,
    algorithm: 8,
    digestType: 2,
    digest: hexOctets("e06d44b80b8f1d39a95c0b0d7c65d08458e880409bbc683457104237c7f8ec8d"),
  },
  {
    keyTag: 38696,
    algorithm: 8,
    digestType: 2,
    digest: hexOctets("683d2d0acb8c9b712a1948b27f741219298d0a450d612c483af444a4c0fb2b16"),
  },
]

/**
 * Anchors of the same name are one.
 *
 * @throws AnchorError when there is none, or one of them names no supported algorithm and digest
 */
export function anchorSet(given: readonly TrustAnchor[]): AnchorSet {
  const byName = new Map<string, { name: DnsName; ds: DsFields[] }>()
  for (const { name, ds } of given) {
    const known = byName.get(nameKey(name))
    if (known === undefined) byName.set(nameKey(name), { name: lowerName(name), ds: [...ds] })
    else known.ds.push(...ds)
  }
  if (byName.size === 0) throw new AnchorError("there is no trust anchor")
  const anchors = [...byName.values()]
  const lines: string[] = []
  for (const { name, ds } of anchors) {
    if (!ds.some(isUsableDs)) throw new AnchorError(`no anchor of ${shownName(name)} has a supported algorithm and digest`)
    for (const one of ds) {
      lines.push(`${shownName(name)} ${one.keyTag} ${one.algorithm} ${one.digestType} ${Buffer.from(one.digest).toString("hex")}`)
    }
  }
  return {
    anchors,
    digest: createHash("sha256")
      .update([...new Set(lines)].sort().join("\n"))
      .digest("hex"),
  }
}

/** What a validator uses unless it is told otherwise. */
export const rootAnchors: AnchorSet = anchorSet([{ name: rootName, ds: shipped }])

/** The anchor nearest above the name, or at it; undefined where nothing vouches. */
export function anchorFor({ anchors }: AnchorSet, name: DnsName): TrustAnchor | undefined {
  let nearest: TrustAnchor | undefined
  for (const anchor of anchors) {
    if (isAtOrBelow(name, anchor.name) && (nearest === undefined || anchor.name.labels.length > nearest.name.labels.length))
      nearest = anchor
  }
  return nearest
}

/** For the start of a chain at exactly this name. */
export function anchorAt({ anchors }: AnchorSet, name: DnsName): TrustAnchor | undefined {
  return anchors.find((anchor) => sameName(anchor.name, name))
}

function numberIn(text: string | undefined, most: number, what: string, line: number): number {
  if (text === undefined || !/^\d{1,5}$/.test(text) || Number(text) > most)
    throw new AnchorError(`${what} is no number up to ${most}`, line)
  return Number(text)
}

function dsOfKey(owner: DnsName, flags: number, protocol: number, algorithm: number, key: Uint8Array): DsFields {
  const octets = Uint8Array.of(flags >> 8, flags & 0xff, protocol, algorithm, ...key)
  return { keyTag: keyTag(octets), algorithm, digestType: 2, digest: dsDigest(2, owner, octets)! }
}

const maxAnchorText = 65536

/**
 * Reads anchors in zone file form, one DS or DNSKEY record a line, TTL and class optional, `;` begins a comment.
 *
 * @throws AnchorError naming the line that cannot be read
 */
export function parseAnchors(text: string): AnchorSet {
  if (text.length > maxAnchorText) throw new AnchorError(`the anchors have more than ${maxAnchorText} characters`)
  const anchors: TrustAnchor[] = []
  for (const [index, whole] of text.split(/\r?\n/).entries()) {
    const line = index + 1
    const words = whole
      .replace(/;.*$/, "")
      .split(/[\s()]+/)
      .filter((word) => word !== "")
    if (words.length === 0) continue
    let name: DnsName
    try {
      name = nameFromText(words[0]!)
    } catch (error) {
      if (!(error instanceof DnsFormatError)) throw error
      throw new AnchorError(error.message, line)
    }
    const rest = words.slice(1)
    while (rest.length > 0 && /^(?:\d+|IN)$/i.test(rest[0]!)) rest.shift()
    const [kind, first, second, third, ...pieces] = rest
    const joined = pieces.join("")
    if (kind?.toUpperCase() === "DS") {
      if (!/^(?:[0-9a-f]{2})+$/i.test(joined)) throw new AnchorError("the digest is no hexadecimal", line)
      const ds: DsFields = {
        keyTag: numberIn(first, 65535, "the key tag", line),
        algorithm: numberIn(second, 255, "the algorithm", line),
        digestType: numberIn(third, 255, "the digest type", line),
        digest: hexOctets(joined),
      }
      anchors.push({ name, ds: [ds] })
    } else if (kind?.toUpperCase() === "DNSKEY") {
      if (!/^[A-Za-z0-9+/]+={0,2}$/.test(joined)) throw new AnchorError("the key is no Base64", line)
      const [flags, protocol] = [numberIn(first, 65535, "the flags field", line), numberIn(second, 255, "the protocol", line)]
      const algorithm = numberIn(third, 255, "the algorithm", line)
      anchors.push({ name, ds: [dsOfKey(name, flags, protocol, algorithm, Uint8Array.from(Buffer.from(joined, "base64")))] })
    } else throw new AnchorError("neither a DS nor a DNSKEY record", line)
  }
  return anchorSet(anchors)
}
