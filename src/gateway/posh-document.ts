// What a domain publishes for POSH (RFC 7711 3.1, 3.2; POSH-06, POSH-08, POSH-09, POSH-12): a document of fingerprints, or a
// reference to one. Pure, and the same octets for the same certificates.
import { createHash } from "node:crypto"

/** Seconds; what peers of this kind remember at most (security.md 11). */
export const longestExpires = 7 * 24 * 3600
/** Certificates of one document; peers read 64 KiB at most. */
export const mostCertificates = 64

function checkExpires(expires: number): void {
  // POSH-09: a whole number; 0 would say that nothing holds.
  if (!Number.isInteger(expires) || expires < 1 || expires > longestExpires) throw new RangeError(`expires is ${expires}: a whole number of seconds from 1 to ${longestExpires} is needed`)
}

/**
 * The fingerprints document of these certificates.
 *
 * @param certificates DER, the most relevant first (POSH-08); one that comes again counts once
 * @param expires seconds
 * @throws RangeError without certificates, with more than 64, or for an `expires` that peers would refuse
 */
export function fingerprintsDocument(certificates: readonly Uint8Array[], expires: number): string {
  checkExpires(expires)
  const seen = new Set<string>()
  const fingerprints: Record<string, string>[] = []
  for (const der of certificates) {
    // POSH-06: of the whole certificate as DER, never of its key alone; base64 with padding.
    const descriptor = { "sha-256": digest("sha256", der), "sha-512": digest("sha512", der) }
    if (seen.has(descriptor["sha-256"])) continue
    seen.add(descriptor["sha-256"])
    fingerprints.push(descriptor)
  }
  // POSH-04: at least one descriptor.
  if (fingerprints.length === 0 || fingerprints.length > mostCertificates) throw new RangeError(`${fingerprints.length} certificates: from 1 to ${mostCertificates} are needed`)
  return `${JSON.stringify({ fingerprints, expires })}\n`
}

function digest(algorithm: "sha256" | "sha512", der: Uint8Array): string {
  return createHash(algorithm).update(der).digest("base64")
}

/**
 * The reference document a customer's own web server can answer with.
 *
 * @param url where the fingerprints are: an https URL (POSH-11)
 * @param expires seconds; the delegation holds this long at most
 * @throws RangeError for another URL or an `expires` that peers would refuse
 */
export function referenceDocument(url: string, expires: number): string {
  checkExpires(expires)
  const parsed = URL.parse(url)
  if (parsed?.protocol !== "https:" || parsed.username !== "" || parsed.password !== "") throw new RangeError(`${url} is not an https URL`)
  return `${JSON.stringify({ url: parsed.href, expires })}\n`
}
