// The certificate we show for each hosted domain, as one immutable snapshot (security.md 10, 22; RFC 9525 6.3 for wildcards).
import { basename } from "node:path"
import type { Domain } from "../model/domain.ts"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"
import type { Instant } from "../model/verdict.ts"
import type { Files, TlsCredentials } from "../ports.ts"
import type { Certificate } from "../x509/certificate.ts"
import { type CertificateFile, type KeyFile, publicKeyName, type Scan, scanCertificates } from "./certificate-scan.ts"

/** A certificate with its key, ready to be shown. */
export interface ShownCertificate {
  readonly credentials: TlsCredentials
  readonly leaf: Certificate
  readonly certificatePath: string
  readonly keyPath: string
  readonly names: ReadonlySet<string>
}

export interface CertificateWarning {
  readonly event: "cert.refused" | "cert.missing" | "cert.expires" | "cert.unreadable"
  readonly domain?: Domain
  readonly path?: string
  readonly sentence: string
}

/** What is shown for which hosted domain. Made whole, swapped whole. */
export class CertificateSnapshot {
  readonly #byDomain: ReadonlyMap<Domain, ShownCertificate>
  constructor(byDomain: ReadonlyMap<Domain, ShownCertificate>) {
    this.#byDomain = byDomain
  }

  pick(domain: Domain): ShownCertificate | undefined {
    return this.#byDomain.get(domain)
  }

  get domains(): readonly Domain[] {
    return [...this.#byDomain.keys()]
  }

  /** The same with others for some domains: a renewal that is held back. */
  with(replaced: ReadonlyMap<Domain, ShownCertificate>): CertificateSnapshot {
    return replaced.size === 0 ? this : new CertificateSnapshot(new Map([...this.#byDomain, ...replaced]))
  }

  /** The end of the validity that comes first, with its domain. */
  get nearestExpiry(): { readonly domain: Domain; readonly at: Instant } | undefined {
    let nearest: { domain: Domain; at: Instant } | undefined
    for (const [domain, shown] of this.#byDomain) {
      if (nearest === undefined || shown.leaf.notAfter < nearest.at) nearest = { domain, at: shown.leaf.notAfter }
    }
    return nearest
  }
}

export const noCertificates = new CertificateSnapshot(new Map())

export interface CertificateRequest {
  readonly folders: readonly string[]
  readonly files: Pick<Files, "read" | "list" | "stat">
  readonly domains: Iterable<Domain>
  readonly now: Instant
  /** Certificates that end sooner than this are warned of, ms. */
  readonly warnMs: number
  /** What is shown now; kept for a domain whose files are broken at the moment. */
  readonly previous: CertificateSnapshot
}

export interface CertificateResult {
  readonly snapshot: CertificateSnapshot
  readonly warnings: readonly CertificateWarning[]
}

/**
 * Finds the certificate of every hosted domain: one that names it exactly, else one with a wildcard. Of several in one
 * folder with the same names (one lineage: a certificate and its renewal) the one issued last counts.
 *
 * @throws ConfigError when two different certificates claim one hosted domain and neither is the other's renewal
 */
export async function loadCertificates(request: CertificateRequest): Promise<CertificateResult> {
  const scan = await scanCertificates(request.folders, request.files)
  const warnings: CertificateWarning[] = scan.problems.map(({ path, sentence }) => ({ event: "cert.unreadable", path, sentence: `${path}: ${sentence}` }))
  const index = new NameIndex(scan)
  const problems: ConfigProblem[] = []
  const shown = new Map<Domain, ShownCertificate>()
  const reported = new Set<CertificateFile>()
  const reuse = new Map<string, ShownCertificate>()
  const assembled = new Map<CertificateFile, ShownCertificate>()
  for (const domain of request.previous.domains) {
    const before = request.previous.pick(domain)!
    reuse.set(identityOf(before.credentials), before)
  }
  for (const domain of request.domains) {
    const candidates = index.candidates(domain)
    for (const file of candidates.keyless) {
      if (reported.has(file)) continue
      reported.add(file)
      warnings.push({ event: "cert.refused", domain, path: file.path, sentence: keylessSentence(file, scan) })
    }
    const chosen = choose(domain, candidates.keyed, request.now, problems)
    const before = request.previous.pick(domain)
    if (chosen !== undefined) {
      const fresh = assembled.get(chosen.file) ?? assemble(chosen, scan)
      assembled.set(chosen.file, fresh)
      const same = reuse.get(identityOf(fresh.credentials))
      // The identity of the credentials is the key of the TLS context: unchanged files keep it.
      if (same === undefined) reuse.set(identityOf(fresh.credentials), fresh)
      shown.set(domain, same ?? fresh)
    } else if (before !== undefined && (candidates.keyless.length > 0 || isDamaged(before, scan))) {
      // A renewal caught halfway, or a file damaged, must not take a running domain down: what was shown stays.
      shown.set(domain, before)
      const why = candidates.keyless.length > 0 ? "the one on disk has no matching key" : "its files cannot be read"
      warnings.push({ event: "cert.refused", domain, sentence: `${domain} keeps the certificate from ${before.certificatePath} that is in memory: ${why}.` })
    } else if (problems.length === 0) {
      warnings.push({ event: "cert.missing", domain, sentence: `No certificate with its key names ${domain}: peers cannot authenticate it [tls.no-certificate].` })
    }
  }
  if (problems.length > 0) throw new ConfigError(problems)
  for (const warning of expiryWarnings(shown, request)) warnings.push(warning)
  return { snapshot: new CertificateSnapshot(shown), warnings }
}

/** Whether something where the certificate came from could not be read; one that was plainly removed is gone. */
function isDamaged({ certificatePath, keyPath }: ShownCertificate, { problems }: Scan): boolean {
  return problems.some(({ path }) => [certificatePath, keyPath].some((own) => own === path || own.startsWith(`${path}/`)))
}

function identityOf(credentials: TlsCredentials): string {
  return `${credentials.certificatePem}\n${credentials.keyPem}`
}

interface Keyed {
  readonly file: CertificateFile
  readonly key: KeyFile
}

function append<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name)
  if (list === undefined) lists.set(name, [item])
  else list.push(item)
}

/** Certificates by the names inside them, so that 500 domains do not mean 500 passes. */
class NameIndex {
  readonly #byName = new Map<string, CertificateFile[]>()
  readonly #keys = new Map<string, KeyFile[]>()

  constructor(scan: Scan) {
    for (const file of scan.certificates) for (const name of file.names) append(this.#byName, name, file)
    for (const key of scan.keys) append(this.#keys, key.publicKey, key)
  }

  candidates(domain: Domain): { keyed: readonly Keyed[]; keyless: readonly CertificateFile[] } {
    const exact = this.#split(domain)
    if (exact.keyed.length > 0) return exact
    // ID-07: a wildcard stands for exactly one label, the first.
    const dot = domain.indexOf(".")
    if (dot === -1) return exact
    const wild = this.#split(`*.${domain.slice(dot + 1)}`)
    return { keyed: wild.keyed, keyless: [...exact.keyless, ...wild.keyless] }
  }

  #split(name: string): { keyed: Keyed[]; keyless: CertificateFile[] } {
    const keyed: Keyed[] = []
    const keyless: CertificateFile[] = []
    for (const file of this.#byName.get(name) ?? []) {
      const keys = this.#keys.get(publicKeyName(file.leaf.spki)) ?? []
      const key = keys.find((candidate) => candidate.folder === file.folder) ?? keys[0]
      if (key === undefined) keyless.push(file)
      else keyed.push({ file, key })
    }
    return { keyed, keyless }
  }
}

function keylessSentence(file: CertificateFile, scan: Scan): string {
  const beside = scan.keys.filter((key) => key.folder === file.folder).map((key) => basename(key.path))
  const found = beside.length === 0 ? "no private key was found" : `the private key in ${beside.slice(0, 3).join(", ")} is another one's`
  return `${file.path} is not shown: ${found} for the certificate ${file.leaf.subjectText} (${[...file.names].slice(0, 3).join(", ")}).`
}

function sameLineage(a: CertificateFile, b: CertificateFile): boolean {
  return a.folder === b.folder && (a.leaf.fingerprint === b.leaf.fingerprint || sameNames(a.names, b.names))
}

const sameNames = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => a.size === b.size && [...a].every((name) => b.has(name))

/**
 * The one that counts. Lineage: same folder and the same set of names; the later notBefore is the renewal, but one that
 * is not valid yet never displaces one that is.
 */
function choose(domain: Domain, candidates: readonly Keyed[], now: Instant, problems: ConfigProblem[]): Keyed | undefined {
  const lineages: Keyed[] = []
  for (const candidate of candidates) {
    const at = lineages.findIndex((other) => sameLineage(other.file, candidate.file))
    if (at === -1) {
      lineages.push(candidate)
      continue
    }
    const other = lineages[at]!
    if (other.file.leaf.fingerprint === candidate.file.leaf.fingerprint) {
      // fullchain.pem beside cert.pem: the longer chain is the one to show.
      if (candidate.file.chain.length > other.file.chain.length) lineages[at] = candidate
    } else if (isRenewal(candidate.file.leaf, other.file.leaf, now)) lineages[at] = candidate
    else if (!isRenewal(other.file.leaf, candidate.file.leaf, now)) lineages.push(candidate)
  }
  const [first, ...others] = lineages
  const different = others.find((other) => other.file.leaf.fingerprint !== first!.file.leaf.fingerprint)
  if (different !== undefined) {
    // security.md 22: guessing here would let whoever can drop a file choose what the domain shows.
    problems.push({
      place: different.file.path,
      setting: "certificates.dirs",
      sentence: `Two different certificates name ${domain}: ${first!.file.path} and ${different.file.path}. Remove one, or put the renewal beside the one it replaces.`,
    })
    return undefined
  }
  return lineages.reduce<Keyed | undefined>((best, each) => (best === undefined || each.file.chain.length > best.file.chain.length ? each : best), undefined)
}

function isRenewal(newer: Certificate, older: Certificate, now: Instant): boolean {
  if (newer.notBefore > now && older.notBefore <= now) return false
  if (older.notBefore > now && newer.notBefore <= now) return true
  return newer.notBefore > older.notBefore || (newer.notBefore === older.notBefore && newer.notAfter > older.notAfter)
}

function assemble(chosen: Keyed, scan: Scan): ShownCertificate {
  const { file, key } = chosen
  const chain = [...file.chain]
  const known = scan.authorities.get(file.folder) ?? []
  // A file with the leaf alone is completed from the authorities beside it (acme.sh, lego); the root stays at home.
  for (let last = chain.at(-1)!; chain.length < 8 && !last.selfIssued; ) {
    const next = known.find((authority) => authority.subject.encoded.equals(last.issuer.encoded))
    if (next === undefined || next.selfIssued || chain.some((each) => each.fingerprint === next.fingerprint)) break
    chain.push(next)
    last = next
  }
  return {
    credentials: Object.freeze({ certificatePem: chain.map(pemOf).join(""), keyPem: key.pem }),
    leaf: file.leaf,
    certificatePath: file.path,
    keyPath: key.path,
    names: file.names,
  }
}

function pemOf(certificate: Certificate): string {
  const lines = certificate.der.toString("base64").match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}

const dayMs = 86_400_000

function* expiryWarnings(shown: ReadonlyMap<Domain, ShownCertificate>, request: CertificateRequest): Generator<CertificateWarning> {
  for (const [domain, { leaf, certificatePath }] of shown) {
    const left = leaf.notAfter - request.now
    if (left >= request.warnMs && leaf.notBefore <= request.now) continue
    const on = new Date(leaf.notAfter).toISOString().slice(0, 10)
    const sentence =
      leaf.notBefore > request.now
        ? `The certificate of ${domain} is not valid yet [cert.not-yet-valid].`
        : left < 0
          ? `The certificate of ${domain} ended on ${on} [cert.expired].`
          : `The certificate of ${domain} ends on ${on}, in ${Math.floor(left / dayMs)} days.`
    yield { event: "cert.expires", domain, path: certificatePath, sentence }
  }
}
