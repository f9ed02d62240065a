// DNSKEY records as keys of node:crypto, and one signature checked with one key (RFC 3110, 4034 2 and App. B, 5702, 6605, 8080, 5011).
import { Buffer } from "node:buffer"
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto"
import type { ResourceRecord } from "../message.ts"

/** RFC 8624 3.1, less the SHA-1 algorithms (5, 7), which count as unsupported here and so as unsigned. */
export const algorithms = { RSASHA256: 8, RSASHA512: 10, ECDSAP256SHA256: 13, ECDSAP384SHA384: 14, ED25519: 15, ED448: 16 } as const

export type Algorithm = (typeof algorithms)[keyof typeof algorithms]

const supported: readonly number[] = Object.values(algorithms)

export function isSupportedAlgorithm(algorithm: number): algorithm is Algorithm {
  return supported.includes(algorithm)
}

/** RFC 4034 App. B. Not for algorithm 1, which nobody supports. */
export function keyTag(octets: Uint8Array): number {
  let sum = 0
  for (const [index, octet] of octets.entries()) sum += (index & 1) === 0 ? octet << 8 : octet
  return (sum + (sum >>> 16)) & 0xffff
}

const base64url = (octets: Uint8Array): string => Buffer.from(octets).toString("base64url")

/** RFC 3110 2: exponent length in one octet, or zero and two octets. */
function rsaKey(octets: Uint8Array): KeyObject | undefined {
  const long = octets[0] === 0
  if (octets.length < (long ? 3 : 1)) return undefined
  const length = long ? (octets[1]! << 8) | octets[2]! : octets[0]!
  const start = long ? 3 : 1
  const exponent = octets.subarray(start, start + length)
  const modulus = octets.subarray(start + length)
  // Below 1024 bits a key proves nothing, above 4096 (and with a long exponent) checking is made costly on purpose.
  if (length < 1 || length > 8 || exponent.length !== length || modulus.length < 128 || modulus.length > 512) return undefined
  if (modulus[0] === 0) return undefined
  return createPublicKey({ key: { kty: "RSA", n: base64url(modulus), e: base64url(exponent) }, format: "jwk" })
}

function curveKey(octets: Uint8Array, crv: "P-256" | "P-384", size: number): KeyObject | undefined {
  if (octets.length !== size * 2) return undefined
  return createPublicKey({
    key: { kty: "EC", crv, x: base64url(octets.subarray(0, size)), y: base64url(octets.subarray(size)) },
    format: "jwk",
  })
}

function edwardsKey(octets: Uint8Array, crv: "Ed25519" | "Ed448", size: number): KeyObject | undefined {
  if (octets.length !== size) return undefined
  return createPublicKey({ key: { kty: "OKP", crv, x: base64url(octets) }, format: "jwk" })
}

function importKey(algorithm: Algorithm, octets: Uint8Array): KeyObject | undefined {
  switch (algorithm) {
    case algorithms.RSASHA256:
    case algorithms.RSASHA512:
      return rsaKey(octets)
    case algorithms.ECDSAP256SHA256:
      return curveKey(octets, "P-256", 32)
    case algorithms.ECDSAP384SHA384:
      return curveKey(octets, "P-384", 48)
    case algorithms.ED25519:
      return edwardsKey(octets, "Ed25519", 32)
    case algorithms.ED448:
      return edwardsKey(octets, "Ed448", 57)
  }
}

/** A DNSKEY that may sign zone data, with the key imported when it is first used. */
export class ZoneKey {
  readonly tag: number
  readonly algorithm: number
  /** The record's data, which DS digests cover. */
  readonly octets: Uint8Array
  readonly #publicKey: Uint8Array
  #imported: KeyObject | undefined | "not yet" = "not yet"

  constructor(octets: Uint8Array, algorithm: number, publicKey: Uint8Array) {
    this.octets = octets
    this.tag = keyTag(octets)
    this.algorithm = algorithm
    this.#publicKey = publicKey
  }

  /** Undefined for octets that are no key of the algorithm. */
  get key(): KeyObject | undefined {
    if (this.#imported === "not yet") {
      try {
        this.#imported = isSupportedAlgorithm(this.algorithm) ? importKey(this.algorithm, this.#publicKey) : undefined
      } catch {
        // A point that is not on its curve, an even modulus: the record is no key.
        this.#imported = undefined
      }
    }
    return this.#imported
  }

  /** False for a wrong signature, one of the wrong form, and octets that are no key. */
  verifies(signed: Uint8Array, signature: Uint8Array): boolean {
    const job = this.#job(signature)
    return job !== undefined && verify(job.hash, signed, job.key, job.signature)
  }

  /** The same away from the event loop: a P-384 signature takes a millisecond. */
  verifiesLater(signed: Uint8Array, signature: Uint8Array): Promise<boolean> {
    const job = this.#job(signature)
    if (job === undefined) return Promise.resolve(false)
    return new Promise((resolve, reject) => {
      verify(job.hash, signed, job.key, job.signature, (error, holds) => {
        if (error === null) resolve(holds)
        else reject(error)
      })
    })
  }

  #job(signature: Uint8Array): VerifyJob | undefined {
    const { key } = this
    if (key === undefined) return undefined
    switch (this.algorithm) {
      case algorithms.RSASHA256:
        return { hash: "sha256", key: { key, padding: constants.RSA_PKCS1_PADDING }, signature }
      case algorithms.RSASHA512:
        return { hash: "sha512", key: { key, padding: constants.RSA_PKCS1_PADDING }, signature }
      // RFC 6605 4: r and s side by side, each as long as the group's order.
      case algorithms.ECDSAP256SHA256:
        return signature.length === 64 ? { hash: "sha256", key, signature: derSignature(signature) } : undefined
      case algorithms.ECDSAP384SHA384:
        return signature.length === 96 ? { hash: "sha384", key, signature: derSignature(signature) } : undefined
      case algorithms.ED25519:
        return signature.length === 64 ? { hash: null, key, signature } : undefined
      case algorithms.ED448:
        return signature.length === 114 ? { hash: null, key, signature } : undefined
      default:
        return undefined
    }
  }
}

interface VerifyJob {
  readonly hash: string | null
  readonly key: KeyObject | { readonly key: KeyObject; readonly padding: number }
  readonly signature: Uint8Array
}

/**
 * r and s as a DER sequence of two integers. node:crypto would take them as they are (`ieee-p1363`), but then does this
 * step slowly and on the event loop even when asked to verify later.
 */
function derSignature(octets: Uint8Array): Uint8Array {
  const half = octets.length / 2
  const integers = [octets.subarray(0, half), octets.subarray(half)].map((integer) => {
    let start = 0
    while (start < integer.length - 1 && integer[start] === 0) start += 1
    const digits = integer.subarray(start)
    return digits[0]! >= 0x80 ? Uint8Array.of(2, digits.length + 1, 0, ...digits) : Uint8Array.of(2, digits.length, ...digits)
  })
  return Uint8Array.of(0x30, integers[0]!.length + integers[1]!.length, ...integers[0]!, ...integers[1]!)
}

const zoneFlag = 0x0100
const revokeFlag = 0x0080
const protocolDnssec = 3

/** The key in a DNSKEY record; undefined when it must not sign zone data (RFC 4034 2.1) or is revoked (RFC 5011 2.1). */
export function zoneKeyOf(record: ResourceRecord): ZoneKey | undefined {
  const { content } = record
  if (content.kind !== "DNSKEY" || content.protocol !== protocolDnssec) return undefined
  if ((content.flags & zoneFlag) === 0 || (content.flags & revokeFlag) !== 0) return undefined
  return new ZoneKey(record.octets, content.algorithm, content.publicKey)
}
