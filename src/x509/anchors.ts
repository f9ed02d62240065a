// Trust anchors (RFC 5280 6.1.1 d; security.md 25): a set of certificates, named by digest and count.

import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import { type Certificate, CertificateError, parseCertificate } from "./certificate.ts"
import { type DistinguishedName, readName } from "./names.ts"

/** What a path may end at: a name and a key, and the certificate they come from unless they were given alone. */
export interface Anchor {
  readonly subject: DistinguishedName
  readonly spki: Buffer
  readonly certificate: Certificate | undefined
}

export interface AnchorSet {
  /** SHA-256, lower-case hex, over the SHA-256 hashes of the certificates in ascending order. */
  readonly digest: string
  readonly count: number
  /** Certificates that could not be used, with the reason; empty unless `skipUnusable` was set. */
  readonly skipped: readonly { readonly position: number; readonly reason: string }[]
  /** The anchors with this encoded subject. */
  withSubject(encoded: Uint8Array): readonly Anchor[]
  /** Whether a certificate with this fingerprint (SHA-256, hex) is in the set. */
  has(fingerprint: string): boolean
  /** The certificates, in the order given, each once. */
  readonly certificates: readonly Certificate[]
}

export interface AnchorOptions {
  /** Leaves certificates out that cannot be parsed, instead of throwing: for stores that others maintain. */
  readonly skipUnusable?: boolean
}

const MOST_ANCHORS = 4096
const MOST_PEM_CHARACTERS = 16 * 1024 * 1024

/** Anchors that cannot be used. `position` counts certificates or PEM blocks from 1; 0 is the whole. */
export class AnchorError extends Error {
  override readonly name = "AnchorError"
  readonly position: number

  constructor(position: number, reason: string) {
    super(position === 0 ? reason : `certificate ${position}: ${reason}`)
    this.position = position
  }
}

const keyOf = (encoded: Uint8Array): string => Buffer.from(encoded.buffer, encoded.byteOffset, encoded.byteLength).toString("latin1")

/**
 * Makes an anchor set of DER certificates; duplicates count once. An empty set is allowed: nothing is proved by it.
 *
 * @throws AnchorError naming the certificate (from 1) and the reason
 */
export function anchorSet(certificates: readonly Uint8Array[], options: AnchorOptions = {}): AnchorSet {
  if (certificates.length > MOST_ANCHORS) throw new AnchorError(0, `${certificates.length} certificates; ${MOST_ANCHORS} are the most`)
  const byFingerprint = new Map<string, Certificate>()
  const bySubject = new Map<string, Anchor[]>()
  const skipped: { position: number; reason: string }[] = []
  certificates.forEach((encoded, index) => {
    let certificate: Certificate
    try {
      certificate = parseCertificate(encoded)
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error
      if (!options.skipUnusable) throw new AnchorError(index + 1, error.message)
      skipped.push({ position: index + 1, reason: error.message })
      return
    }
    if (byFingerprint.has(certificate.fingerprint)) return
    byFingerprint.set(certificate.fingerprint, certificate)
    const key = keyOf(certificate.subject.encoded)
    const anchor = { subject: certificate.subject, spki: certificate.spki, certificate }
    bySubject.set(key, [...(bySubject.get(key) ?? []), anchor])
  })
  const digest = createHash("sha256")
  for (const fingerprint of [...byFingerprint.keys()].sort()) digest.update(fingerprint, "hex")
  const none: readonly Anchor[] = []
  return Object.freeze({
    digest: digest.digest("hex"),
    count: byFingerprint.size,
    skipped,
    certificates: [...byFingerprint.values()],
    withSubject: (encoded: Uint8Array) => bySubject.get(keyOf(encoded)) ?? none,
    has: (fingerprint: string) => byFingerprint.has(fingerprint),
  })
}

/**
 * An anchor that is a name and a key only, for DANE-TA with a whole key in the record (RFC 7671 5.2).
 *
 * @param subject an encoded Name
 * @param spki an encoded SubjectPublicKeyInfo
 * @throws CertificateError where the name is none
 */
export function bareAnchor(subject: Uint8Array, spki: Uint8Array): Anchor {
  return Object.freeze({ subject: readName(Buffer.from(subject), "anchor name"), spki: Buffer.from(spki), certificate: undefined })
}

/** The DER contents of every certificate block of a PEM text, which may hold comments between blocks but nothing else. */
export function certificatesFromPem(text: string): Buffer[] {
  if (text.length > MOST_PEM_CHARACTERS) throw new AnchorError(0, `the file is larger than ${MOST_PEM_CHARACTERS} characters`)
  const found: Buffer[] = []
  let label: string | undefined
  let body = ""
  let block = 0
  for (const line of text.split(/\r\n|\n|\r/)) {
    const begin = /^-----BEGIN ([A-Z0-9 ]+)-----\s*$/.exec(line)
    if (label === undefined) {
      if (begin === null) {
        if (line.startsWith("-----")) throw new AnchorError(block + 1, "a line begins with dashes but is no BEGIN line")
        continue
      }
      label = begin[1]!
      block++
      body = ""
      if (block > MOST_ANCHORS) throw new AnchorError(0, `more than ${MOST_ANCHORS} PEM blocks`)
      if (label.endsWith("PRIVATE KEY"))
        throw new AnchorError(block, "this block is a private key, which does not belong among trust anchors")
      if (label === "TRUSTED CERTIFICATE")
        throw new AnchorError(block, 'this is an OpenSSL "trusted certificate"; write it again with `openssl x509 -in FILE -out FILE`')
      if (label !== "CERTIFICATE") throw new AnchorError(block, `this block is "${label}", not a certificate`)
    } else if (begin !== null) {
      throw new AnchorError(block, "the block has no END line")
    } else if (line.trim() === `-----END ${label}-----`) {
      const compact = body.replace(/\s+/g, "")
      if (compact === "" || compact.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(compact))
        throw new AnchorError(block, "the block is not Base64")
      found.push(Buffer.from(compact, "base64"))
      label = undefined
    } else body += line
  }
  if (label !== undefined) throw new AnchorError(block, "the block has no END line")
  return found
}

/**
 * Reads a PEM file of trust anchors. Text outside the blocks is ignored; at least one certificate must be there.
 *
 * @throws AnchorError naming the block (from 1) and the reason
 */
export function anchorsFromPem(text: string, options: AnchorOptions = {}): AnchorSet {
  const certificates = certificatesFromPem(text)
  if (certificates.length === 0) throw new AnchorError(0, 'no certificate: a "-----BEGIN CERTIFICATE-----" line is needed')
  return anchorSet(certificates, options)
}
