// One PEM file: certificates with the names inside them, and private keys (folders of certbot, acme.sh, lego and Prosody
// alike; security.md 22). File names mean nothing. Only what is needed to choose and to show is kept: there may be
// thousands.
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { dirname } from "node:path"
import { tryDomain } from "../model/domain.ts"
import type { FileFacts, Files } from "../ports.ts"
import { type Certificate, CertificateError, parseCertificate } from "../x509/certificate.ts"
import { contextTag, DerReader, TAG } from "../x509/der.ts"
import { reason } from "./config-values.ts"

const maxFileOctets = 256 * 1024
const maxChain = 16
/** Authorities' certificates that are kept once, however many files they stand in. */
const maxShared = 1000

/** What is kept of a certificate that may be shown. */
export type LeafCertificate = Pick<Certificate, "der" | "fingerprint" | "notBefore" | "notAfter">

/** A certificate further up. */
export interface ChainCertificate {
  readonly der: Buffer
  readonly fingerprint: string
  readonly authority: boolean
  readonly selfIssued: boolean
  /** Encoded names, hex. */
  readonly subject: string
  readonly issuer: string
}

/** A certificate that could be shown for a domain: the first one of a file, with the rest of that file. */
export interface CertificateFile {
  readonly path: string
  readonly folder: string
  readonly leaf: LeafCertificate
  readonly subjectText: string
  readonly selfIssued: boolean
  /** Encoded name, hex. */
  readonly issuer: string
  /** SHA-256 of its SubjectPublicKeyInfo. */
  readonly publicKey: string
  /** What follows it in the file. */
  readonly above: readonly ChainCertificate[]
  /** `a.example` or `*.a.example`, canonical; what its subjectAltName has for XMPP servers. */
  readonly names: ReadonlySet<string>
}

export interface KeyFile {
  readonly path: string
  readonly folder: string
  /** SHA-256 of the SubjectPublicKeyInfo. */
  readonly publicKey: string
  readonly pem: string
}

/** What one file gave. */
export interface PemFile {
  readonly path: string
  readonly stamp: string
  readonly certificate: CertificateFile | undefined
  readonly keys: readonly KeyFile[]
  readonly authorities: readonly ChainCertificate[]
  readonly problems: readonly string[]
  /** What is allowed but should be looked at. */
  readonly exposed: string | undefined
}

export const isPemName = (path: string): boolean => /\.(?:pem|crt|cer|cert|key)$/i.test(path)

/** Reads PEM files; the certificates of authorities in them are shared. */
export class PemReader {
  readonly #files: Pick<Files, "read">
  readonly #shared = new Map<string, ChainCertificate>()

  constructor(files: Pick<Files, "read">) {
    this.#files = files
  }

  /** Never rejects: what is wrong is in `problems`. */
  async read(path: string, facts: FileFacts): Promise<PemFile> {
    const found: Draft = { path, stamp: facts.stamp, certificate: undefined, keys: [], authorities: [], problems: [], exposed: undefined }
    if (facts.size > maxFileOctets) {
      found.problems.push(`${facts.size} octets, which is too large for certificates and keys`)
      return found
    }
    let bytes: Uint8Array
    try {
      bytes = await this.#files.read(path)
    } catch (error) {
      found.problems.push(reason(error))
      return found
    }
    this.#take(Buffer.from(bytes).toString("latin1"), found)
    // Groups are made for keys (`ssl-cert`); everybody is not.
    if (found.keys.length > 0 && (facts.mode & 0o004) !== 0) found.exposed = `The private key in ${path} can be read by everybody: chmod o-r ${path}`
    return found
  }

  #take(text: string, found: Draft): void {
    const above: ChainCertificate[] = []
    let leaf: Certificate | undefined
    for (const { label, body, whole } of pemBlocks(text)) {
      if (label === "CERTIFICATE" || label === "TRUSTED CERTIFICATE" || label === "X509 CERTIFICATE") {
        if (above.length + 1 >= maxChain) continue
        try {
          if (leaf === undefined) leaf = parseCertificate(Buffer.from(body, "base64"))
          else above.push(this.#sharedOf(body))
        } catch (error) {
          if (!(error instanceof CertificateError)) throw error
          found.problems.push(`its certificate ${above.length + (leaf === undefined ? 1 : 2)} cannot be read: ${error.message}`)
          return
        }
      } else if (label.endsWith("PRIVATE KEY")) addKey(found, whole)
    }
    if (leaf === undefined) return
    const names = namesOf(leaf)
    const authority = leaf.basicConstraints?.ca === true
    // `openssl req -x509` marks self-signed certificates as authorities, so names decide and not the mark.
    if (names.size > 0) found.certificate = certificateFile(found.path, leaf, above, names)
    else if (!authority) found.problems.push(`the certificate ${leaf.subjectText} names no domain in its subjectAltName (a common name does not count)`)
    found.authorities.push(...(authority ? [chainCertificate(leaf)] : []), ...above.filter((each) => each.authority))
  }

  #sharedOf(body: string): ChainCertificate {
    const known = this.#shared.get(body)
    if (known !== undefined) return known
    const certificate = chainCertificate(parseCertificate(Buffer.from(body, "base64")))
    if (this.#shared.size >= maxShared) this.#shared.clear()
    this.#shared.set(flat(body), certificate)
    return certificate
  }
}

type Draft = { -readonly [K in keyof PemFile]: PemFile[K] extends readonly (infer T)[] ? T[] : PemFile[K] }

/** A text of its own: a part of another would keep that one, a whole file, in memory. */
const flat = (text: string): string => Buffer.from(text, "latin1").toString("latin1")

/** The same for octets, which small allocations share a pool for. */
function own(octets: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(octets.length)
  copy.set(octets)
  return copy
}

function chainCertificate({ der, fingerprint, basicConstraints, selfIssued, subject, issuer }: Certificate): ChainCertificate {
  const authority = basicConstraints?.ca === true
  return { der: own(der), fingerprint, authority, selfIssued, subject: subject.encoded.toString("hex"), issuer: issuer.encoded.toString("hex") }
}

function certificateFile(path: string, leaf: Certificate, above: readonly ChainCertificate[], names: ReadonlySet<string>): CertificateFile {
  const { der, fingerprint, notBefore, notAfter, subjectText, selfIssued, issuer, spki } = leaf
  return {
    path,
    folder: dirname(path),
    leaf: { der: own(der), fingerprint, notBefore, notAfter },
    subjectText,
    selfIssued,
    issuer: issuer.encoded.toString("hex"),
    publicKey: publicKeyName(spki),
    above,
    names,
  }
}

/** RFC 7468, in one pass: a BEGIN without its END ends the search. */
export function* pemBlocks(text: string): Generator<{ label: string; body: string; whole: string }> {
  for (let at = text.indexOf("-----BEGIN "); at !== -1; at = text.indexOf("-----BEGIN ", at)) {
    const labelEnd = text.indexOf("-----", at + 11)
    if (labelEnd === -1 || labelEnd - at > 60) {
      at += 11
      continue
    }
    const label = text.slice(at + 11, labelEnd)
    const closing = `-----END ${label}-----`
    const end = text.indexOf(closing, labelEnd)
    if (end === -1) return
    yield { label, body: text.slice(labelEnd + 5, end), whole: text.slice(at, end + closing.length) }
    at = end + closing.length
  }
}

function addKey(found: Draft, pem: string): void {
  if (/ENCRYPTED/.test(pem)) {
    found.problems.push("the private key is locked with a passphrase: store it without one, readable by the gateway only")
    return
  }
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // The library's own words may quote the file, which holds a secret.
    found.problems.push("the private key cannot be read: it is damaged, or of a kind that is not known")
    return
  }
  const spki = enclosedSpki(pem) ?? createPublicKey(key).export({ type: "spki", format: "der" })
  found.keys.push({ path: found.path, folder: dirname(found.path), publicKey: publicKeyName(spki), pem: flat(`${pem}\n`) })
}

/**
 * The public key that an elliptic-curve private key carries along (RFC 5958 2, RFC 5915 3): the library takes it as it is, too, but
 * asking it costs more than everything else about a certificate. Undefined: it carries none, or is of another kind.
 */
function enclosedSpki(pem: string): Buffer | undefined {
  if (!pem.startsWith("-----BEGIN PRIVATE KEY-----")) return undefined
  try {
    const outer = new DerReader(Buffer.from(pem.slice(27, pem.indexOf("-----END")), "base64")).inside(TAG.sequence, "key")
    outer.any()
    const algorithm = outer.expect(TAG.sequence, "algorithm")
    const inner = new DerReader(outer.expect(TAG.octetString, "key").contents).inside(TAG.sequence, "key")
    inner.any()
    inner.expect(TAG.octetString, "key")
    inner.optional(contextTag(0, true))
    const bits = inner.optional(contextTag(1, true))
    return bits === undefined ? undefined : sequence(algorithm.whole, bits.contents)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    return undefined
  }
}

function sequence(...parts: readonly Buffer[]): Buffer {
  const contents = Buffer.concat(parts)
  const { length } = contents
  const head = length < 0x80 ? [0x30, length] : length < 0x100 ? [0x30, 0x81, length] : [0x30, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(head), contents])
}

export function publicKeyName(spki: Uint8Array): string {
  return createHash("sha256").update(spki).digest("base64")
}

/** ID-04 to ID-08: DNS-ID, SRV-ID for servers and XmppAddr; never the common name. */
function namesOf(leaf: Certificate): Set<string> {
  const names = new Set<string>()
  for (const name of leaf.subjectAltNames ?? []) {
    if (name.type === "dns") {
      const wildcard = name.text.startsWith("*.")
      const domain = tryDomain(wildcard ? name.text.slice(2) : name.text)
      if (domain !== undefined) names.add(wildcard ? `*.${domain}` : domain)
    } else if (name.type === "srv" && name.text.toLowerCase().startsWith("_xmpp-server.")) {
      const domain = tryDomain(name.text.slice("_xmpp-server.".length))
      if (domain !== undefined) names.add(domain)
    } else if (name.type === "xmppAddr") {
      const domain = tryDomain(name.text)
      if (domain !== undefined) names.add(domain)
    }
  }
  return names
}
