// Intermediate certificates of paths that held (RFC 5280 section 6): the same few stand above most servers' certificates, and neither
// what their octets say nor whose key signed them ever changes. Nothing else of them is remembered: their time, their place, their
// constraints and the anchors are judged for each path anew.

import type { Buffer } from "node:buffer"
import type { Certificate } from "./certificate.ts"

/** Some dozens are in use by public authorities; each takes a few KiB. */
export const MOST_KNOWN = 64

/** Those used longest ago first. */
const known = new Set<Certificate>()
/** The key that was seen to have signed one of those, as a SubjectPublicKeyInfo. */
const signers = new WeakMap<Certificate, Buffer>()

/** The certificate that these very octets are, where it is remembered. */
export function knownIssuer(encoded: Uint8Array): Certificate | undefined {
  for (const certificate of known) if (certificate.der.length === encoded.length && certificate.der.equals(encoded)) return certificate
  return undefined
}

/** Whether this object, which is of a path that held, was signed by this very key. */
export function knownSignature(certificate: Certificate, spki: Buffer): boolean {
  return signers.get(certificate)?.equals(spki) === true
}

/**
 * @param intermediates of one path that held, each signed by the next, from the one above the end certificate on
 * @param anchorKey the key above the last of them
 */
export function rememberIssuers(intermediates: readonly Certificate[], anchorKey: Buffer): void {
  for (const [index, certificate] of intermediates.entries()) {
    known.delete(certificate)
    known.add(certificate)
    signers.set(certificate, intermediates[index + 1]?.spki ?? anchorKey)
  }
  for (const oldest of known) {
    if (known.size <= MOST_KNOWN) return
    known.delete(oldest)
  }
}
