// Signature algorithms and public keys, known by their exact AlgorithmIdentifier bytes (RFC 5280 4.1.1.2; RFC 4055,
// 5480, 5758, 8410): whatever is not in a table here is unsupported. No SHA-1, no RSA below 2048.

import type { Buffer } from "node:buffer"
import { constants, createPublicKey, type KeyObject, verify } from "node:crypto"
import { DerReader, readBitOctets, readInteger, TAG } from "./der.ts"

export type KeyKind = "rsa" | "ec" | "ed25519" | "ed448"

export interface SignatureAlgorithm {
  readonly name: string
  readonly key: KeyKind
  readonly digest: "sha256" | "sha384" | "sha512" | null
  /** Salt length where it is RSASSA-PSS. */
  readonly pssSalt?: number
}

const RSA_NULL = "2a864886f70d0101"
const pss = (hash: string, salt: string): string =>
  `3041${"06092a864886f70d01010a"}3034a00f300d0609608648016503040${hash}0500a11c301a06092a864886f70d010108300d0609608648016503040${hash}0500a2030201${salt}`

/** By the hex of the whole AlgorithmIdentifier. */
const SIGNATURES: ReadonlyMap<string, SignatureAlgorithm> = new Map<string, SignatureAlgorithm>([
  [`300d0609${RSA_NULL}0b0500`, { name: "RSA with SHA-256", key: "rsa", digest: "sha256" }],
  [`300d0609${RSA_NULL}0c0500`, { name: "RSA with SHA-384", key: "rsa", digest: "sha384" }],
  [`300d0609${RSA_NULL}0d0500`, { name: "RSA with SHA-512", key: "rsa", digest: "sha512" }],
  [pss("201", "20"), { name: "RSA-PSS with SHA-256", key: "rsa", digest: "sha256", pssSalt: 32 }],
  [pss("202", "30"), { name: "RSA-PSS with SHA-384", key: "rsa", digest: "sha384", pssSalt: 48 }],
  [pss("203", "40"), { name: "RSA-PSS with SHA-512", key: "rsa", digest: "sha512", pssSalt: 64 }],
  ["300a06082a8648ce3d040302", { name: "ECDSA with SHA-256", key: "ec", digest: "sha256" }],
  ["300a06082a8648ce3d040303", { name: "ECDSA with SHA-384", key: "ec", digest: "sha384" }],
  ["300a06082a8648ce3d040304", { name: "ECDSA with SHA-512", key: "ec", digest: "sha512" }],
  ["300506032b6570", { name: "Ed25519", key: "ed25519", digest: null }],
  ["300506032b6571", { name: "Ed448", key: "ed448", digest: null }],
])

/** Names of algorithms that are refused, for the sentence only. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  [`300d0609${RSA_NULL}050500`, "RSA with SHA-1"],
  [`300d0609${RSA_NULL}040500`, "RSA with MD5"],
  ["300906072a8648ce3d0401", "ECDSA with SHA-1"],
])

interface KeyShape {
  readonly name: string
  readonly kind: KeyKind
  /** Octets of the key itself, where that is fixed. */
  readonly size?: number
}

const KEYS: ReadonlyMap<string, KeyShape> = new Map<string, KeyShape>([
  [`300d0609${RSA_NULL}010500`, { name: "RSA", kind: "rsa" }],
  // Named curves only, points uncompressed (RFC 5480 2.1.1, 2.2).
  ["301306072a8648ce3d020106082a8648ce3d030107", { name: "P-256", kind: "ec", size: 65 }],
  ["301006072a8648ce3d020106052b81040022", { name: "P-384", kind: "ec", size: 97 }],
  ["301006072a8648ce3d020106052b81040023", { name: "P-521", kind: "ec", size: 133 }],
  ["300506032b6570", { name: "Ed25519", kind: "ed25519", size: 32 }],
  ["300506032b6571", { name: "Ed448", kind: "ed448", size: 57 }],
])

const RSA_LEAST_BITS = 2048
/** An RSA key larger than this costs a stranger's victim too much for each signature. */
const RSA_MOST_BITS = 8192

/** The signature algorithm of an AlgorithmIdentifier, or what to call it where it is not supported. */
export function signatureAlgorithm(identifier: Buffer): SignatureAlgorithm | string {
  const hex = identifier.toString("hex")
  return SIGNATURES.get(hex) ?? REFUSED.get(hex) ?? "an unknown algorithm"
}

export interface PublicKeyFacts {
  /** `P-256`, `RSA 2048`, ... */
  readonly name: string
  readonly kind: KeyKind | undefined
  /** Why the key may not be used: `weak-key` or `unsupported-algorithm`, with a phrase. */
  readonly refused?: { readonly problem: "weak-key" | "unsupported-algorithm"; readonly detail: string }
}

/** Reads a SubjectPublicKeyInfo as far as needed to say whether its key may be used. Throws only where the DER is broken. */
export function publicKeyFacts(spki: Buffer): PublicKeyFacts {
  const outer = new DerReader(spki)
  const info = outer.inside(TAG.sequence, "subjectPublicKeyInfo")
  outer.end("subjectPublicKeyInfo")
  const identifier = info.expect(TAG.sequence, "subjectPublicKeyInfo algorithm").whole
  const key = readBitOctets(info.expect(TAG.bitString, "subjectPublicKey"), "subjectPublicKey")
  info.end("subjectPublicKeyInfo")
  const shape = KEYS.get(identifier.toString("hex"))
  const refuse = (name: string, problem: "weak-key" | "unsupported-algorithm", detail: string): PublicKeyFacts => ({
    name,
    kind: shape?.kind,
    refused: { problem, detail },
  })
  if (shape === undefined) return refuse("unknown", "unsupported-algorithm", "a key of a type or curve that is not supported")
  if (shape.kind !== "rsa") {
    if (key.length !== shape.size || (shape.kind === "ec" && key[0] !== 0x04))
      return refuse(shape.name, "unsupported-algorithm", `a ${shape.name} key in a form that is not supported`)
    return { name: shape.name, kind: shape.kind }
  }
  const reader = new DerReader(key)
  const pair = reader.inside(TAG.sequence, "RSA key")
  reader.end("RSA key")
  const modulus = readInteger(pair.expect(TAG.integer, "RSA modulus"), "RSA modulus")
  const exponent = readInteger(pair.expect(TAG.integer, "RSA exponent"), "RSA exponent")
  pair.end("RSA key")
  const significant = modulus[0] === 0 ? modulus.subarray(1) : modulus
  const bits = significant.length === 0 ? 0 : significant.length * 8 - Math.clz32(significant[0]!) + 24
  const name = `RSA ${bits}`
  if (modulus[0]! >= 0x80 || bits < RSA_LEAST_BITS)
    return refuse(name, "weak-key", `an RSA key of ${bits} bits; ${RSA_LEAST_BITS} are the least`)
  if (bits > RSA_MOST_BITS) return refuse(name, "unsupported-algorithm", `an RSA key of ${bits} bits; ${RSA_MOST_BITS} are the most`)
  // An even exponent is no RSA key, 1 is no signature at all, and a long one only costs time.
  if (exponent.length > 5 || exponent[0]! >= 0x80 || exponent.at(-1)! % 2 === 0 || (exponent.length === 1 && exponent[0]! < 3))
    return refuse(name, "weak-key", "an RSA key with an unfit exponent")
  return { name, kind: "rsa" }
}

/** Imports a SubjectPublicKeyInfo; undefined where the platform does not take it (a point off its curve). */
export function importKey(spki: Buffer): KeyObject | undefined {
  try {
    return createPublicKey({ key: spki, format: "der", type: "spki" })
  } catch {
    return undefined // the caller reports it: a key that cannot be used has signed nothing
  }
}

/** Whether `signature` over `bytes` was made by this key. A key of another kind than the algorithm's never verifies. */
export function verifySignature(algorithm: SignatureAlgorithm, key: KeyObject, bytes: Buffer, signature: Buffer): boolean {
  if (key.asymmetricKeyType !== algorithm.key) return false
  try {
    return algorithm.pssSalt === undefined
      ? verify(algorithm.digest, bytes, key, signature)
      : verify(algorithm.digest, bytes, { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: algorithm.pssSalt }, signature)
  } catch {
    return false // a signature that the platform cannot even read is not one
  }
}
