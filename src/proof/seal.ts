// The seal of evidence: an Ed25519 signature (RFC 8032) of whoever recorded it, over the file's canonical form, so that a later
// change shows even where it fits together (security.md 25, 26). Pure.
import { Buffer } from "node:buffer"
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto"
import type { EvidenceFile } from "../model/evidence.ts"

/** No other signature of the same key can be taken for a seal. */
const context = "xmpp-dna evidence seal 1\n"
/** RFC 8410 7: what stands before the 32 octets of a private key. */
const pkcs8Start = Buffer.from("302e020100300506032b657004220420", "hex")
const keyStart = "ed25519:"
const named = /^ed25519:[A-Za-z0-9+/]{43}=$/

/** What is said of a file's seal; only `good` says that nothing was changed since a known gateway wrote it. */
export type SealState =
  /** By a key that the judging side named. */
  | "good"
  /** It fits, by a key that nobody here named: whoever changed the file may have made it. */
  | "unknown-key"
  /** The file was changed after it was sealed, or the seal is none. */
  | "broken"
  | "none"

export class SealKeyError extends Error {
  override readonly name = "SealKeyError"
}

/**
 * JSON with the members of every object in the order of their names and no white space, so that reformatting breaks no seal
 * (the idea of RFC 8785).
 *
 * @param value as `JSON.parse` makes it, nested no deeper than an evidence file may be
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`
  if (value === null || typeof value !== "object") return JSON.stringify(value)
  const members = Object.entries(value).sort(([one], [two]) => (one < two ? -1 : one > two ? 1 : 0))
  return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonicalJson(member)}`).join(",")}}`
}

function sealed(file: object, key: string): Buffer {
  return Buffer.from(`${context}${canonicalJson({ ...file, seal: { key } })}`, "utf8")
}

/** The public key as it stands in files and log lines: `ed25519:` and its 32 octets in Base64. */
export function sealKeyName(key: KeyObject): string {
  const { x } = (key.type === "private" ? createPublicKey(key) : key).export({ format: "jwk" })
  return `${keyStart}${Buffer.from(x ?? "", "base64url").toString("base64")}`
}

/** @param seed 32 octets of chance */
export function sealKeyFromSeed(seed: Uint8Array): KeyObject {
  return createPrivateKey({ key: Buffer.concat([pkcs8Start, seed]), format: "der", type: "pkcs8" })
}

function ed25519(read: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = read()
  } catch {
    // The platform's sentence may show a part of what it was given.
    throw new SealKeyError("it holds no key that can be read; an Ed25519 key in PEM form is wanted")
  }
  if (key.asymmetricKeyType !== "ed25519") throw new SealKeyError(`its key is of the kind ${key.asymmetricKeyType}, and not Ed25519`)
  return key
}

/**
 * @param pem a private key, PKCS #8
 * @throws SealKeyError which shows nothing of it
 */
export function readSealKey(pem: string): KeyObject {
  return ed25519(() => createPrivateKey(pem))
}

/**
 * The name of a key that a judging side trusts.
 *
 * @param text a PEM file's, public or private, or the name itself
 * @throws SealKeyError
 */
export function trustedSealKey(text: string): string {
  const word = text.trim()
  return named.test(word) ? word : sealKeyName(ed25519(() => createPublicKey(text)))
}

/** @param key an Ed25519 private key */
export function sealEvidence(file: EvidenceFile, key: KeyObject): EvidenceFile {
  const { seal: _, ...bare } = file
  const name = sealKeyName(key)
  return { ...bare, seal: { key: name, signature: sign(null, sealed(bare, name), key).toString("base64") } }
}

/**
 * @param trusted names of keys, as `trustedSealKey` gives them; never read from the file
 */
export function checkSeal(file: EvidenceFile, trusted: readonly string[]): { readonly state: SealState; readonly key: string | null } {
  const { seal, ...bare } = file as Omit<EvidenceFile, "seal"> & { readonly seal?: unknown }
  if (seal === undefined) return { state: "none", key: null }
  const { key, signature, ...more } = (seal ?? {}) as Readonly<Record<string, unknown>>
  if (typeof key !== "string" || !named.test(key) || typeof signature !== "string" || Object.keys(more).length > 0) return { state: "broken", key: null }
  const octets = Buffer.from(signature, "base64")
  // The platform's reader skips what is no Base64.
  if (octets.toString("base64") !== signature) return { state: "broken", key }
  const x = Buffer.from(key.slice(keyStart.length), "base64").toString("base64url")
  const fits = verify(null, sealed(bare, key), createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" }), octets)
  if (!fits) return { state: "broken", key }
  return { state: trusted.includes(key) ? "good" : "unknown-key", key }
}
