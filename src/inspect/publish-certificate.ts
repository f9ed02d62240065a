// A certificate file as somebody names it to have it published: what may be in it, and a sentence for everything else (RFC 7468;
// RFC 5280 4.1; POSH-06, POSH-19).
import { Buffer } from "node:buffer"
import type { Instant } from "../model/verdict.ts"
import { pemBlocks } from "../gateway/certificate-scan.ts"
import { type Certificate, CertificateError, parseCertificate } from "../x509/certificate.ts"

/** What was given cannot be published; the message is a sentence for whoever gave it. */
export class PublishError extends Error {
  override readonly name = "PublishError"
}

/** Octets of a file with certificates. */
export const mostFileOctets = 256 * 1024
const mostCertificates = 16
const day = 86_400_000

export interface PublishedFile {
  readonly file: string
  /** The server's own. */
  readonly leaf: Certificate
  /** Those that follow it in the file, each the issuer of the one before. */
  readonly above: readonly Certificate[]
  /** Sentences to be said, not to stop for. */
  readonly notes: readonly string[]
}

const date = (at: Instant): string => new Date(at).toISOString().slice(0, 10)

/**
 * Reads PEM, or one certificate as DER. The first certificate is the server's own, as in the files of certbot, acme.sh and lego.
 *
 * @param bytes of the whole file, at most `mostFileOctets`
 * @param file for messages
 * @throws PublishError
 */
export function readCertificateFile(bytes: Uint8Array, file: string, now: Instant): PublishedFile {
  if (bytes.length > mostFileOctets) throw new PublishError(`${file} has ${bytes.length} octets, which is too large for certificates.`)
  const notes: string[] = []
  const [leaf, ...rest] = bytes[0] === 0x30 ? [read(bytes, file, 1)] : readPem(Buffer.from(bytes).toString("latin1"), file, notes)
  if (leaf === undefined) throw new PublishError(`${file} holds no certificate: name a file with -----BEGIN CERTIFICATE----- in it.`)
  if (leaf.basicConstraints?.ca === true && !leaf.selfIssued) {
    notes.push(`${file}: the first certificate is an authority's, ${leaf.subjectText}; name the server's own (fullchain.pem, not chain.pem)`)
  }
  if (leaf.notBefore > now) notes.push(`${file}: the certificate is not valid before ${date(leaf.notBefore)}`)
  const above: Certificate[] = []
  for (const [index, each] of rest.entries()) {
    const below = above.at(-1) ?? leaf
    if (!each.subject.encoded.equals(below.issuer.encoded)) {
      notes.push(`${file}: certificate ${index + 2}, ${each.subjectText}, did not issue the one before it; only the first ${index + 1} of ${rest.length + 1} count`)
      break
    }
    above.push(each)
  }
  return { file, leaf, above, notes }
}

/** The end of its validity in words; undefined while it is valid. */
export function endedSentence({ leaf, file }: PublishedFile, now: Instant): string | undefined {
  return leaf.notAfter < now ? `the certificate in ${file} expired on ${date(leaf.notAfter)}` : undefined
}

/** `ends in 61 days`. */
export function endsSentence({ leaf, file }: PublishedFile, now: Instant): string {
  const days = Math.floor((leaf.notAfter - now) / day)
  return `the certificate in ${file} ends in ${days} day${days === 1 ? "" : "s"}, on ${date(leaf.notAfter)}`
}

function readPem(text: string, file: string, notes: string[]): Certificate[] {
  if (text.trim() === "") throw new PublishError(`${file} is empty.`)
  const found: Certificate[] = []
  const others = new Set<string>()
  let whole = 0
  for (const { label, body } of pemBlocks(text)) {
    whole += 1
    if (label !== "CERTIFICATE" && label !== "X509 CERTIFICATE") {
      others.add(label)
      continue
    }
    if (found.length >= mostCertificates) throw new PublishError(`${file} holds more than ${mostCertificates} certificates: it is a bundle, not a server's.`)
    const digits = body.replace(/\s+/g, "")
    if (digits === "" || digits.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(digits)) {
      throw new PublishError(`${file} is damaged: certificate ${found.length + 1} is not Base64.`)
    }
    found.push(read(Buffer.from(digits, "base64"), file, found.length + 1))
  }
  if ((text.match(/-----BEGIN /g) ?? []).length > whole) throw new PublishError(`${file} is damaged: a -----BEGIN line has no -----END line of its own.`)
  const key = [...others].some((label) => label.endsWith("PRIVATE KEY"))
  if (found.length > 0) {
    if (key) notes.push(`${file} holds a private key, too; nothing of it was used`)
    return found
  }
  if (key) throw new PublishError(`${file} holds a private key and no certificate: name the certificate (fullchain.pem, cert.pem).`)
  if (others.has("PUBLIC KEY")) throw new PublishError(`${file} holds a public key and no certificate.`)
  if ([...others].some((label) => label.endsWith("CERTIFICATE REQUEST"))) throw new PublishError(`${file} is a request for a certificate: name the certificate that came of it.`)
  return []
}

function read(der: Uint8Array, file: string, position: number): Certificate {
  try {
    return parseCertificate(der)
  } catch (error) {
    if (error instanceof CertificateError) throw new PublishError(`${file}: certificate ${position} cannot be read: ${error.message}`)
    throw error
  }
}
