// The signed test tree: a root, a top-level zone and a child zone for every dimension, each with the same names inside.
import { keyTag } from "../../../src/dns/dnssec/keys.ts"
import { nameFromText } from "../../../src/dns/name.ts"
import { SignedTree, type TreeZone } from "../../../src/lab/dns-signed-tree.ts"
import { decoyWithTag, dsOctets, keyInRole, makeSigningKey, type SigningKey } from "../../../src/lab/dns-signer.ts"
import type { ZoneText } from "../../../src/lab/dns-zones.ts"

export const tlsaHex = "ab".repeat(32)

/** The names every zone has. */
export function standardRecords(apex: string): ZoneText {
  return {
    [`_xmpp-server._tcp.${apex}`]: { SRV: [[0, 5, 5269, `Host.${apex}`]] },
    [`host.${apex}`]: { A: ["127.0.0.1", "127.0.0.2"], AAAA: ["::1"] },
    [`_5269._tcp.host.${apex}`]: { TLSA: [[3, 1, 1, tlsaHex]] },
    [`alias.${apex}`]: { CNAME: `host.${apex}` },
    [`alias2.${apex}`]: { CNAME: `alias.${apex}` },
    [`*.wild.${apex}`]: { A: ["127.0.0.3"], TLSA: [[3, 1, 1, tlsaHex]] },
    [`blocked.wild.${apex}`]: { TXT: ["no address"] },
    [`*.cwild.${apex}`]: { CNAME: `host.${apex}` },
    [`deep.b.ent.${apex}`]: { A: ["127.0.0.4"] },
    [`dn.${apex}`]: { DNAME: `target.${apex}` },
    [`x.target.${apex}`]: { A: ["127.0.0.5"] },
  }
}

const split = (algorithm: number): SigningKey[] => {
  const key = makeSigningKey(algorithm)
  return [key, keyInRole(makeSigningKey(algorithm), 256)]
}

/** RSA keys take long to make; one pair serves every zone that needs one. */
const pool = new Map<number, SigningKey[]>()
export function keysOf(algorithm: number): SigningKey[] {
  if (algorithm !== 8 && algorithm !== 10) return split(algorithm)
  let keys = pool.get(algorithm)
  if (keys === undefined) {
    keys = algorithm === 8 ? split(8) : keysOf(8).map((key) => ({ ...keyInRole(key, key.flags, 10), signsWith: 10 }))
    pool.set(algorithm, keys)
  }
  return keys
}

/** RFC 4034 2.1.2: the protocol field must be 3. */
function foreignProtocol(key: SigningKey): SigningKey {
  const octets = key.octets.map((octet, index) => (index === 2 ? 4 : octet))
  return { ...key, octets, tag: keyTag(octets) }
}

const noise = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => (index * 37 + 11) & 0xff)
export const salt = "aabbccdd"

/** Zones below `example` for the matrix of algorithms and denials. */
export const matrix: readonly { readonly apex: string; readonly zone: TreeZone }[] = [8, 10, 13, 14, 15, 16].flatMap((algorithm) => [
  { apex: `a${algorithm}.example`, zone: { keys: keysOf(algorithm), denial: "nsec" as const } },
  {
    apex: `h${algorithm}.example`,
    zone: { keys: keysOf(algorithm), denial: { iterations: algorithm === 13 ? 0 : 5, salt: algorithm === 13 ? "" : salt } },
  },
])

function withStandard(zones: Readonly<Record<string, TreeZone>>): Record<string, TreeZone> {
  return Object.fromEntries(
    Object.entries(zones).map(([apex, zone]) => [apex, { ...zone, records: { ...standardRecords(apex), ...zone.records } }]),
  )
}

/** @param now seconds since 1970 */
export function buildTree(now: number, more: Readonly<Record<string, TreeZone>> = {}): SignedTree {
  const validity = { inception: now - 86400, expiration: now + 7 * 86400 }
  const key = (): SigningKey => makeSigningKey(13)
  const collide = keysOf(13)
  const unknown = makeSigningKey(15, { as: 200 })
  const twoAlgorithms = [makeSigningKey(13), ...keysOf(8)]
  const strange = key()
  const rolled = key()
  const special: Record<string, TreeZone> = {
    "sha384.example": { keys: [key()], ds: 4 },
    "multi.example": { keys: twoAlgorithms },
    "salted.example": { keys: [key()], denial: { iterations: 10, salt } },
    "iterations150.example": { keys: [key()], denial: { iterations: 150, salt } },
    "iterations151.example": {
      keys: [key()],
      denial: { iterations: 151, salt },
      records: { "unsigned.iterations151.example": { NS: ["ns.unsigned.iterations151.example"] } },
    },
    "optout.example": { keys: [key()], denial: { optOut: true } },
    "signed.optout.example": { keys: [key()] },
    "unsigned.optout.example": { ds: "none" },
    "a.b.optout.example": { ds: "none" },
    "h13b.example": { keys: [key()], denial: {} },
    "unsigned.h13b.example": { ds: "none" },
    "unsigned.example": { ds: "none" },
    "below.unsigned.example": { keys: [key()] },
    "island.example": { keys: [key()], ds: "none" },
    "unknown-algorithm.example": { keys: [unknown] },
    "unknown-digest.example": {
      keys: [key()],
      ds: (honest) => honest.map((octets) => Uint8Array.from(octets, (octet, at) => (at === 3 ? 200 : octet))),
    },
    "sha1-digest.example": {
      keys: [key()],
      ds: (honest) => honest.map((octets) => Uint8Array.from(octets.subarray(0, 24), (octet, at) => (at === 3 ? 1 : octet))),
    },
    "mixed-ds.example": {
      keys: [key()],
      ds: (honest) => [...honest, ...honest.map((octets) => Uint8Array.from(octets, (octet, at) => (at === 2 ? 200 : octet)))],
    },
    "rolling.example": { keys: [key()], ds: (honest) => [dsOctets(nameFromText("rolling.example"), rolled), ...honest] },
    "collide.example": { keys: collide, decoys: [1, 2].map((one) => decoyWithTag(collide[1]!, one)) },
    "cut.two.deep.example": { keys: [key()] },
    "child.a13.example": { keys: [key()], denial: {} },
    "expired.example": { keys: [key()], validity: { inception: now - 20 * 86400, expiration: now - 10 * 86400 } },
    "future.example": { keys: [key()], validity: { inception: now + 10 * 86400, expiration: now + 20 * 86400 } },
    "corrupt.example": { keys: [key()], wrong: (_owner, type) => (type === "DNSKEY" ? undefined : { corrupt: true }) },
    "corrupt-key.example": { keys: [key()], wrong: (_owner, type) => (type === "DNSKEY" ? { corrupt: true } : undefined) },
    "ds-mismatch.example": { keys: [key()], ds: () => [dsOctets(nameFromText("ds-mismatch.example"), strange)] },
    "unsigned-under-ds.example": { ds: () => [dsOctets(nameFromText("unsigned-under-ds.example"), strange)] },
    "short-digest.example": { keys: [key()], ds: (honest) => honest.map((octets) => octets.slice(0, 24)) },
    "ds-wrong-digest.example": {
      keys: [key()],
      ds: (honest) => honest.map((octets) => octets.map((octet, index) => (index === 20 ? octet ^ 1 : octet))),
    },
    "ds-wrong-tag.example": {
      keys: [key()],
      ds: (honest) => honest.map((octets) => octets.map((octet, index) => (index === 1 ? octet ^ 1 : octet))),
    },
    "protocol.example": { keys: [foreignProtocol(key())] },
    "unknown-flags.example": { keys: [key()], denial: { flags: 2 } },
    "no-zone-flag.example": { keys: [makeSigningKey(13, { flags: 1 })], ds: undefined! },
    "revoked.example": { keys: [makeSigningKey(13, { flags: 257 | 0x80 })] },
    "partly.example": {
      keys: [key()],
      wrong: (owner, type) =>
        owner === "host.partly.example" && type === "A" ? "omit" : owner === "host.partly.example" ? { corrupt: true } : undefined,
    },
    "signer-parent.example": {
      keys: [key()],
      wrong: (owner) => (owner.startsWith("host.") ? { signer: nameFromText("example") } : undefined),
    },
    "signer-child.example": {
      keys: [key()],
      wrong: (owner) => (owner.startsWith("host.") ? { signer: nameFromText("host.signer-child.example") } : undefined),
    },
    "labels-more.example": { keys: [key()], wrong: (owner) => (owner.startsWith("host.") ? { labels: 9 } : undefined) },
    "labels-less.example": { keys: [key()], wrong: (owner) => (owner.startsWith("host.") ? { labels: 2 } : undefined) },
    "short-ttl.example": { keys: [key()], ttl: 600, wrong: (owner) => (owner.startsWith("host.") ? { originalTtl: 7 } : undefined) },
    "no-denial.example": { keys: [key()], wrong: (_owner, type) => (type === "NSEC" ? "omit" : undefined) },
    "links.example": {
      keys: [key()],
      records: {
        "good.links.example": { CNAME: "host.h13.example" },
        "far.links.example": { CNAME: "alias2.a15.example" },
        "insecure.links.example": { CNAME: "host.unsigned.example" },
        "bogus.links.example": { CNAME: "host.corrupt.example" },
        "nowhere.links.example": { CNAME: "gone.a13.example" },
        "loop1.links.example": { CNAME: "loop2.links.example" },
        "loop2.links.example": { CNAME: "loop1.links.example" },
        "dgood.links.example": { DNAME: "h13.example" },
        "dinsecure.links.example": { DNAME: "unsigned.example" },
        "dbogus.links.example": { DNAME: "corrupt.example" },
        "UPPER.links.example": { SRV: [[1, 2, 3, "HOST.A13.Example"]] },
        "many.links.example": {
          TLSA: Array.from({ length: 60 }, (_, index) => [3, 1, 1, `${index.toString(16).padStart(2, "0")}${"cd".repeat(31)}`] as const),
        },
        "raw.links.example": { raw: [{ type: 65400, octets: noise(40) }] },
        "intoinsecure.links.example": { CNAME: "back.unsigned.example" },
        "*.links.example": { CNAME: "host.h13.example" },
      },
    },
  }
  special["unsigned.example"] = {
    ...special["unsigned.example"]!,
    records: { "back.unsigned.example": { CNAME: "host.a13.example" } },
  }
  // A key without the zone flag cannot be told by a DS of its own making: the DS is made by hand.
  const noFlag = special["no-zone-flag.example"]!
  special["no-zone-flag.example"] = { keys: noFlag.keys!, ds: () => [dsOctets(nameFromText("no-zone-flag.example"), noFlag.keys![0]!)] }
  return new SignedTree({
    validity,
    ttl: 300,
    zones: {
      ".": { keys: split(13) },
      example: { keys: keysOf(8) },
      ...withStandard(Object.fromEntries(matrix.map(({ apex, zone }) => [apex, zone]))),
      ...withStandard(special),
      ...withStandard(more),
    },
  })
}
