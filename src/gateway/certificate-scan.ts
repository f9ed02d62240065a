// Reads every PEM file below the certificate folders: certificates with the names inside them, and private keys
// (interface of certbot, acme.sh, lego and Prosody folders alike; security.md 22). File names mean nothing.
import { createHash, createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { basename, dirname } from "node:path"
import { tryDomain } from "../model/domain.ts"
import type { Files } from "../ports.ts"
import { type Certificate, CertificateError, parseCertificate } from "../x509/certificate.ts"
import { reason } from "./config-values.ts"

/** Bounds of one scan; a folder that holds more is not a folder of certificates. */
const maxFiles = 20_000
const maxDepth = 4
const maxFileOctets = 256 * 1024
const maxChain = 16

/** A certificate that could be shown for a domain: the first one of a file, with the rest of that file. */
export interface CertificateFile {
  readonly path: string
  readonly folder: string
  readonly leaf: Certificate
  readonly chain: readonly Certificate[]
  /** `a.example` or `*.a.example`, canonical; what its subjectAltName has for XMPP servers. */
  readonly names: ReadonlySet<string>
}

export interface KeyFile {
  readonly path: string
  readonly folder: string
  /** SHA-256 of the SubjectPublicKeyInfo, hex. */
  readonly publicKey: string
  readonly pem: string
}

export interface ScanProblem {
  readonly path: string
  readonly sentence: string
}

export interface Scan {
  readonly certificates: readonly CertificateFile[]
  readonly keys: readonly KeyFile[]
  /** Authorities' certificates, for chains that are not complete in their own file; by folder. */
  readonly authorities: ReadonlyMap<string, readonly Certificate[]>
  readonly problems: readonly ScanProblem[]
}

type ScanFiles = Pick<Files, "read" | "list" | "stat">

interface Findings {
  certificates: CertificateFile[]
  keys: KeyFile[]
  authorities: Map<string, Certificate[]>
  problems: ScanProblem[]
  seen: number
}

/**
 * Looks through the folders, four levels deep. What cannot be read or parsed is reported and left out.
 */
export async function scanCertificates(folders: readonly string[], files: ScanFiles): Promise<Scan> {
  const found: Findings = { certificates: [], keys: [], authorities: new Map(), problems: [], seen: 0 }
  for (const folder of folders) await scanFolder(folder, files, found, 0)
  if (found.seen > maxFiles) found.problems.push({ path: folders.join(", "), sentence: `more than ${maxFiles} files: the rest was not looked at` })
  return found
}

async function scanFolder(folder: string, files: ScanFiles, found: Findings, depth: number): Promise<void> {
  let entries: Awaited<ReturnType<Files["list"]>>
  try {
    entries = await files.list(folder)
  } catch (error) {
    found.problems.push({ path: folder, sentence: `the folder cannot be read: ${reason(error)}` })
    return
  }
  for (const entry of [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    if (basename(entry.path).startsWith(".")) continue
    if (++found.seen > maxFiles) return
    let kind = entry.kind
    // A link counts as what it leads to; certbot's live/ is made of links.
    if (kind === "other") kind = await kindOf(entry.path, files, found)
    if (kind === "directory") {
      if (depth + 1 < maxDepth) await scanFolder(entry.path, files, found, depth + 1)
    } else if (kind === "file" && /\.(?:pem|crt|cer|cert|key)$/i.test(entry.path)) await scanFile(entry.path, files, found)
  }
}

async function kindOf(path: string, files: ScanFiles, found: Findings): Promise<"file" | "directory" | "other"> {
  try {
    return (await files.stat(path)).kind
  } catch (error) {
    found.problems.push({ path, sentence: reason(error) })
    return "other"
  }
}

async function scanFile(path: string, files: ScanFiles, found: Findings): Promise<void> {
  let bytes: Uint8Array
  try {
    const { size } = await files.stat(path)
    if (size > maxFileOctets) {
      found.problems.push({ path, sentence: `${size} octets, which is too large for certificates and keys` })
      return
    }
    bytes = await files.read(path)
  } catch (error) {
    found.problems.push({ path, sentence: reason(error) })
    return
  }
  const text = Buffer.from(bytes).toString("latin1")
  const folder = dirname(path)
  const chain: Certificate[] = []
  for (const { label, body, whole } of pemBlocks(text)) {
    if (label === "CERTIFICATE" || label === "TRUSTED CERTIFICATE" || label === "X509 CERTIFICATE") {
      if (chain.length >= maxChain) continue
      try {
        chain.push(parseCertificate(Buffer.from(body, "base64")))
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error
        found.problems.push({ path, sentence: `its certificate ${chain.length + 1} cannot be read: ${error.message}` })
        return
      }
    } else if (label.endsWith("PRIVATE KEY")) addKey(path, folder, whole, found)
  }
  if (chain.length > 0) addChain(path, folder, chain, found)
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

function addKey(path: string, folder: string, pem: string, found: Findings): void {
  if (/ENCRYPTED/.test(pem)) {
    found.problems.push({ path, sentence: "the private key is locked with a passphrase: store it without one, readable by the gateway only" })
    return
  }
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // The library's own words may quote the file, which holds a secret.
    found.problems.push({ path, sentence: "the private key cannot be read: it is damaged, or of a kind that is not known" })
    return
  }
  const spki = createPublicKey(key).export({ type: "spki", format: "der" })
  found.keys.push({ path, folder, publicKey: publicKeyName(spki), pem: `${pem}\n` })
}

export function publicKeyName(spki: Uint8Array): string {
  return createHash("sha256").update(spki).digest("hex")
}

function addChain(path: string, folder: string, chain: readonly Certificate[], found: Findings): void {
  const leaf = chain[0]!
  const names = namesOf(leaf)
  const authority = leaf.basicConstraints?.ca === true
  // `openssl req -x509` marks self-signed certificates as authorities, so names decide and not the mark.
  if (names.size > 0) found.certificates.push({ path, folder, leaf, chain, names })
  else if (!authority) {
    found.problems.push({ path, sentence: `the certificate ${leaf.subjectText} names no domain in its subjectAltName (a common name does not count)` })
  }
  const known = found.authorities.get(folder) ?? []
  for (const certificate of chain) if (certificate.basicConstraints?.ca === true) known.push(certificate)
  found.authorities.set(folder, known)
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
