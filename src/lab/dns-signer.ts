// Keys and signatures for the lab's signed zones, all six algorithms, with every field open to being made wrong (RFC 4034 2, 3, 5; RFC 3110, 6605, 8080).
import { Buffer } from "node:buffer"
import { constants, generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { type Rrset, signedLabels, signedOctets } from "../dns/dnssec/canonical.ts"
import { dsDigest } from "../dns/dnssec/ds.ts"
import { algorithms, keyTag } from "../dns/dnssec/keys.ts"
import type { ResourceRecord } from "../dns/message.ts"
import type { DnsName } from "../dns/name.ts"
import { encodeContent, type RecordContent, typeNumbers } from "../dns/records.ts"
import { record } from "./dns-zones.ts"

export interface SigningKey {
  /** As the DNSKEY record says it, which may be a number nobody knows. */
  readonly algorithm: number
  /** The algorithm that really signs. */
  readonly signsWith: number
  readonly flags: number
  readonly tag: number
  /** Data of the DNSKEY record. */
  readonly octets: Uint8Array
  readonly privateKey: KeyObject
}

export const keyFlags = { keySigning: 257, zoneSigning: 256 } as const

interface PublicJwk {
  readonly n?: string
  readonly e?: string
  readonly x?: string
  readonly y?: string
}

const octetsOf = (text: string | undefined): Buffer => Buffer.from(text ?? "", "base64url")

function publicOctets(key: KeyObject): Uint8Array {
  const jwk = key.export({ format: "jwk" }) as PublicJwk
  if (jwk.n === undefined) return Buffer.concat([octetsOf(jwk.x), octetsOf(jwk.y)])
  const exponent = octetsOf(jwk.e)
  return Buffer.concat([Uint8Array.of(exponent.length), exponent, octetsOf(jwk.n)])
}

function newPair(algorithm: number): { publicKey: KeyObject; privateKey: KeyObject } {
  switch (algorithm) {
    case algorithms.RSASHA256:
    case algorithms.RSASHA512:
      return generateKeyPairSync("rsa", { modulusLength: 2048 })
    case algorithms.ECDSAP256SHA256:
      return generateKeyPairSync("ec", { namedCurve: "P-256" })
    case algorithms.ECDSAP384SHA384:
      return generateKeyPairSync("ec", { namedCurve: "P-384" })
    case algorithms.ED25519:
      return generateKeyPairSync("ed25519")
    case algorithms.ED448:
      return generateKeyPairSync("ed448")
    default:
      throw new RangeError(`algorithm ${algorithm} cannot sign here`)
  }
}

/**
 * @param algorithm one of 8, 10, 13, 14, 15, 16
 * @param options flags: 257 unless given; as: another algorithm number for the record to show
 */
export function makeSigningKey(algorithm: number, options: { readonly flags?: number; readonly as?: number } = {}): SigningKey {
  const { publicKey, privateKey } = newPair(algorithm)
  const flags = options.flags ?? keyFlags.keySigning
  const shown = options.as ?? algorithm
  const octets = encodeContent({ kind: "DNSKEY", flags, protocol: 3, algorithm: shown, publicKey: publicOctets(publicKey) })
  return { algorithm: shown, signsWith: algorithm, flags, tag: keyTag(octets), octets, privateKey }
}

/** The same key pair in another role: with other flags, or under another number. */
export function keyInRole(key: SigningKey, flags: number, as = key.algorithm): SigningKey {
  const octets = Uint8Array.of(flags >> 8, flags & 0xff, key.octets[2]!, as, ...key.octets.subarray(4))
  return { ...key, flags, algorithm: as, octets, tag: keyTag(octets) }
}

/** Data of a DNSKEY record with the tag of another key and no use: its public part is noise that adds up. */
export function decoyWithTag(key: SigningKey, noise: number): Uint8Array {
  const octets = Uint8Array.from(key.octets)
  // Moving an amount between two words of the same weight leaves the tag as it is.
  const at = 4 + ((noise * 2) % ((octets.length - 8) & ~1))
  octets[at]! ^= 0x55
  octets[at + 3]! ^= noise & 0xff
  // The last word makes up for the difference; a carry may need one more.
  octets.fill(0, octets.length - 2)
  const missing = key.tag - keyTag(octets)
  for (const word of [missing, missing - 1, missing + 1].map((value) => (value + 0x20000) & 0xffff)) {
    octets[octets.length - 2] = word >> 8
    octets[octets.length - 1] = word & 0xff
    if (keyTag(octets) === key.tag && Buffer.compare(octets, key.octets) !== 0) return octets
  }
  throw new Error("no decoy has this tag")
}

/** Data of the DS record for a key; for digest types nobody knows the digest is 32 zero octets. */
export function dsOctets(owner: DnsName, key: Pick<SigningKey, "octets" | "algorithm" | "tag">, digestType = 2): Uint8Array {
  const digest = dsDigest(digestType, owner, key.octets) ?? new Uint8Array(32)
  return encodeContent({ kind: "DS", keyTag: key.tag, algorithm: key.algorithm, digestType, digest })
}

type Rrsig = Extract<RecordContent, { readonly kind: "RRSIG" }>

/** Fields of a signature that differ from the honest ones; signed as they stand. */
export interface SignatureChange extends Partial<Omit<Rrsig, "kind" | "signature">> {
  /** One bit of the signature is turned over. */
  readonly corrupt?: boolean
}

/** Seconds since 1970. */
export interface Validity {
  readonly inception: number
  readonly expiration: number
}

function signatureOctets(key: SigningKey, signed: Uint8Array): Uint8Array {
  const { privateKey } = key
  switch (key.signsWith) {
    case algorithms.RSASHA256:
      return sign("sha256", signed, { key: privateKey, padding: constants.RSA_PKCS1_PADDING })
    case algorithms.RSASHA512:
      return sign("sha512", signed, { key: privateKey, padding: constants.RSA_PKCS1_PADDING })
    case algorithms.ECDSAP256SHA256:
      return sign("sha256", signed, { key: privateKey, dsaEncoding: "ieee-p1363" })
    case algorithms.ECDSAP384SHA384:
      return sign("sha384", signed, { key: privateKey, dsaEncoding: "ieee-p1363" })
    default:
      return sign(null, signed, privateKey)
  }
}

/** The RRSIG record of a set by one key. The set's owner is the signed one: a wildcard stays a wildcard. */
export function signSet(
  records: readonly ResourceRecord[],
  signer: DnsName,
  key: SigningKey,
  validity: Validity,
  change: SignatureChange = {},
): ResourceRecord {
  const first = records[0]!
  const { corrupt = false, ...fields } = change
  const unsigned: Rrsig = {
    kind: "RRSIG",
    typeCovered: first.type,
    algorithm: key.algorithm,
    labels: signedLabels(first.name),
    originalTtl: first.ttl,
    expiration: validity.expiration,
    inception: validity.inception,
    keyTag: key.tag,
    signer,
    signature: new Uint8Array(0),
    ...fields,
  }
  const rrset: Rrset = { name: first.name, type: first.type, records, signatures: [] }
  const signature = Uint8Array.from(signatureOctets(key, signedOctets(rrset, unsigned)))
  if (corrupt) signature[signature.length >> 1]! ^= 0x10
  const content: Rrsig = { ...unsigned, signature }
  return { ...record(first.name, typeNumbers.RRSIG, encodeContent(content), first.ttl), content }
}
