// The certificate we show for each hosted domain, as one immutable snapshot (security.md 10, 22; RFC 9525 6.3 for wildcards).
import type { Domain } from "../model/domain.ts"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"
import type { Instant } from "../model/verdict.ts"
import type { TlsCredentials } from "../ports.ts"
import type { CertificateFile, KeyFile, LeafCertificate } from "./certificate-scan.ts"
import { CertificateStore, type Keyed, type StoreFiles, type StoreRoot } from "./certificate-store.ts"
import type { HostedDomain } from "./config-domains.ts"
import { ShardedMap } from "./sharded-map.ts"

export type { LeafCertificate } from "./certificate-scan.ts"

/** A certificate with its key, ready to be shown. */
export interface ShownCertificate {
  readonly credentials: TlsCredentials
  readonly leaf: LeafCertificate
  readonly certificatePath: string
  readonly keyPath: string
  readonly names: ReadonlySet<string>
}

export interface CertificateWarning {
  readonly event: "cert.refused" | "cert.missing" | "cert.expires" | "cert.unreadable" | "cert.exposed"
  readonly domain?: Domain
  readonly path?: string
  readonly sentence: string
}

/** What decides which certificate a domain shows. */
export type CertificateOwner = Pick<HostedDomain, "name" | "certificate" | "suspended" | "source">

/** What was chosen for one domain, and for how long that holds if no file changes. */
interface Choice {
  readonly owner: CertificateOwner
  readonly shown: ShownCertificate | undefined
  readonly warnings: readonly CertificateWarning[]
  /** A certificate that is not valid yet may be another choice from then on. */
  readonly until: Instant
}

interface Basis {
  readonly store: CertificateStore
  /** Of the store, when the choices were made. */
  readonly version: number
  readonly owners: ReadonlyMap<Domain, CertificateOwner>
  readonly choices: ShardedMap<Domain, Choice>
  readonly shown: ShardedMap<Domain, ShownCertificate>
  /** Choices with something to say, and those that time will change. */
  readonly warned: ReadonlyMap<Domain, Choice>
  readonly waiting: ReadonlySet<Domain>
  /** Domains by the other name whose certificate they show. */
  readonly borrowers: ReadonlyMap<Domain, ReadonlySet<Domain>>
}

/** What is shown for which hosted domain. Made whole, swapped whole. */
export class CertificateSnapshot {
  readonly #byDomain: ReadonlyMap<Domain, ShownCertificate>
  /** What it was made from; the next one is made from what changed since. */
  readonly basis: Basis | undefined
  #nearest: Nearest | undefined

  /** @param nearest the first end of a validity, where it is known already */
  constructor(byDomain: ReadonlyMap<Domain, ShownCertificate>, basis?: Basis, nearest?: Nearest) {
    this.#byDomain = byDomain
    this.basis = basis
    this.#nearest = nearest
  }

  pick(domain: Domain): ShownCertificate | undefined {
    return this.#byDomain.get(domain)
  }

  get domains(): readonly Domain[] {
    return [...this.#byDomain.keys()]
  }

  get count(): number {
    return this.#byDomain.size
  }

  /** The same with others for some domains: a renewal that is held back. */
  with(replaced: ReadonlyMap<Domain, ShownCertificate>): CertificateSnapshot {
    if (replaced.size === 0) return this
    const shown = this.#byDomain instanceof ShardedMap ? (this.#byDomain as ShardedMap<Domain, ShownCertificate>) : ShardedMap.from(this.#byDomain)
    return new CertificateSnapshot(shown.edited((edit) => replaced.forEach((one, domain) => edit.set(domain, one))), this.basis)
  }

  /** The end of the validity that comes first, with its domain. */
  get nearestExpiry(): Nearest | undefined {
    this.#nearest ??= nearestOf(this.#byDomain)
    return this.#nearest
  }

  /** Domains that show something else than in another snapshot. */
  differences(other: CertificateSnapshot): readonly Domain[] {
    return ShardedMap.differences(this.#byDomain, other.#byDomain)
  }
}

interface Nearest {
  readonly domain: Domain
  readonly at: Instant
}

function nearestOf(shown: ReadonlyMap<Domain, ShownCertificate>): Nearest | undefined {
  let nearest: Nearest | undefined
  for (const [domain, { leaf }] of shown) if (nearest === undefined || leaf.notAfter < nearest.at) nearest = { domain, at: leaf.notAfter }
  return nearest
}

export const noCertificates = new CertificateSnapshot(new Map())

export interface CertificateRequest {
  /** The operator's. */
  readonly folders: readonly string[]
  /** Folders that serve only the domains of one file, by that file (security.md 22). */
  readonly tenantFolders?: ReadonlyMap<string, readonly string[]>
  readonly files: StoreFiles
  readonly domains: ReadonlyMap<Domain, CertificateOwner>
  readonly now: Instant
  /** Certificates that end sooner than this are warned of, ms. */
  readonly warnMs: number
  /** What is shown now; kept for a domain whose files are broken at the moment. */
  readonly previous: CertificateSnapshot
  /** Paths that may have changed since then; absent: any. */
  readonly changed?: ReadonlySet<string>
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
  const { previous, now } = request
  const store = previous.basis?.store ?? new CertificateStore(request.files)
  await store.update(rootsOf(request), request.files, previous.basis === undefined ? undefined : request.changed)
  // With thousands of domains choosing for all of them would cost far more than a change is worth.
  const known = previous.basis
  const again = known === undefined ? undefined : toChooseAgain(known, request.domains, now)
  const problems: ConfigProblem[] = []
  const made: [Domain, Choice | undefined][] = []
  for (const name of again ?? request.domains.keys()) {
    const owner = request.domains.get(name)
    made.push([name, owner === undefined || owner.suspended ? undefined : choose(owner, store, now, known?.choices.get(name)?.shown, problems)])
  }
  if (problems.length > 0) throw new ConfigError(problems)
  const warnings: CertificateWarning[] = store.problems.map(({ path, sentence }) => ({ event: "cert.unreadable", path, sentence: `${path}: ${sentence}` }))
  for (const [path, sentence] of store.exposed) warnings.push({ event: "cert.exposed", path, sentence })
  const basis = basisOf(store, request.domains, again === undefined ? undefined : known, made)
  for (const warning of once([...basis.warned.values()].flatMap((choice) => choice.warnings))) warnings.push(warning)
  const nearest = again === undefined ? undefined : nearestAfter(previous, basis.shown, again)
  const snapshot = new CertificateSnapshot(basis.shown, basis, nearest)
  const { nearestExpiry } = snapshot
  if (basis.waiting.size > 0 || (nearestExpiry !== undefined && nearestExpiry.at - now < request.warnMs)) {
    for (const warning of expiryWarnings(basis.shown, request)) warnings.push(warning)
  }
  return { snapshot, warnings }
}

/** Domains whose choice may be another one now; undefined: all. */
function toChooseAgain(known: Basis, domains: ReadonlyMap<Domain, CertificateOwner>, now: Instant): Set<Domain> | undefined {
  const moved = known.store.changedSince(known.version)
  if (moved === undefined) return undefined
  const again = new Set<Domain>(ShardedMap.differences(known.owners, domains))
  for (const name of known.waiting) if (now >= known.choices.get(name)!.until) again.add(name)
  const parents = new Set([...moved].filter((name) => name.startsWith("*.")))
  for (const name of moved) {
    const domain = name as Domain
    if (domains.has(domain)) again.add(domain)
    for (const borrower of known.borrowers.get(domain) ?? []) again.add(borrower)
  }
  if (parents.size > 0) {
    for (const { name, certificate = name } of domains.values()) if (parents.has(wildcardOf(certificate) ?? "")) again.add(name)
  }
  return again
}

/** Everything known of the choices, the new ones among them. */
function basisOf(store: CertificateStore, owners: ReadonlyMap<Domain, CertificateOwner>, known: Basis | undefined, made: readonly (readonly [Domain, Choice | undefined])[]): Basis {
  const warned = new Map(known?.warned)
  const waiting = new Set(known?.waiting)
  const borrowers = new Map(known?.borrowers)
  const borrow = (certificate: Domain | undefined, change: (names: Set<Domain>) => void): void => {
    if (certificate === undefined) return
    const names = new Set(borrowers.get(certificate))
    change(names)
    borrowers.set(certificate, names)
  }
  for (const [name, choice] of made) {
    borrow(known?.owners.get(name)?.certificate, (names) => names.delete(name))
    borrow(owners.get(name)?.certificate, (names) => names.add(name))
    if (choice !== undefined && choice.warnings.length > 0) warned.set(name, choice)
    else warned.delete(name)
    if (choice !== undefined && Number.isFinite(choice.until)) waiting.add(name)
    else waiting.delete(name)
  }
  const choices = (known?.choices ?? ShardedMap.empty<Domain, Choice>()).edited((edit) => {
    for (const [name, choice] of made) if (choice === undefined) edit.delete(name)
      else edit.set(name, choice)
  })
  const shown = (known?.shown ?? ShardedMap.empty<Domain, ShownCertificate>()).edited((edit) => {
    for (const [name, choice] of made) if (choice?.shown === undefined) edit.delete(name)
      else edit.set(name, choice.shown)
  })
  return { store, version: store.version, owners, choices, shown, warned, waiting, borrowers }
}

/** The first end of a validity, if what changed since the last snapshot tells it; else it has to be looked for. */
function nearestAfter(previous: CertificateSnapshot, shown: ReadonlyMap<Domain, ShownCertificate>, changed: ReadonlySet<Domain>): Nearest | undefined {
  let nearest = previous.basis === undefined ? undefined : previous.nearestExpiry
  if (nearest === undefined || changed.has(nearest.domain)) return undefined
  for (const domain of changed) {
    const at = shown.get(domain)?.leaf.notAfter
    if (at !== undefined && at < nearest.at) nearest = { domain, at }
  }
  return nearest
}

function rootsOf({ folders, tenantFolders }: CertificateRequest): StoreRoot[] {
  const roots: StoreRoot[] = folders.map((folder) => ({ folder: plain(folder), tenant: undefined }))
  for (const [tenant, own] of tenantFolders ?? []) for (const folder of own) roots.push({ folder: plain(folder), tenant })
  return roots
}

const plain = (folder: string): string => (folder.length > 1 ? folder.replace(/\/+$/, "") : folder)

/** ID-07: a wildcard stands for exactly one label, the first. */
function wildcardOf(name: Domain): string | undefined {
  const dot = name.indexOf(".")
  return dot === -1 ? undefined : `*.${name.slice(dot + 1)}`
}

/** One keyless certificate may name many domains. */
function once(warnings: readonly CertificateWarning[]): Iterable<CertificateWarning> {
  const bySentence = new Map<string, CertificateWarning>()
  for (const warning of warnings) if (!bySentence.has(warning.sentence)) bySentence.set(warning.sentence, warning)
  return bySentence.values()
}

function choose(owner: CertificateOwner, store: CertificateStore, now: Instant, before: ShownCertificate | undefined, problems: ConfigProblem[]): Choice {
  const { name: domain, certificate } = owner
  const wanted = certificate ?? domain
  const warnings: CertificateWarning[] = []
  // security.md 22: another name's certificate is the operator's to lend, never a tenant's.
  const candidates = candidatesFor(wanted, certificate === undefined ? owner.source : undefined, store)
  for (const file of candidates.keyless) warnings.push({ event: "cert.refused", domain, path: file.path, sentence: keylessSentence(file, store) })
  const dispute: ConfigProblem[] = []
  const best = bestOf(wanted, candidates.keyed, now, dispute)
  const until = Math.min(...candidates.keyed.map(({ file }) => file.leaf.notBefore).filter((from) => from > now), Number.POSITIVE_INFINITY)
  // security.md 22: who writes a tenant's folder must not hold up the renewals of all others.
  if (before !== undefined && dispute[0] !== undefined && candidates.keyed.some(({ tenant }) => tenant !== undefined)) {
    warnings.push({ event: "cert.refused", domain, path: dispute[0].place, sentence: `${domain} keeps the certificate from ${before.certificatePath} that is in memory. ${dispute[0].sentence}` })
    return { owner, shown: before, warnings, until }
  }
  problems.push(...dispute)
  if (best !== undefined) return { owner, shown: shownOf(best, store, before), warnings, until }
  if (before !== undefined && (candidates.keyless.length > 0 || store.isDamaged(before.certificatePath) || store.isDamaged(before.keyPath))) {
    // A renewal caught halfway, or a file damaged, must not take a running domain down: what was shown stays.
    const why = candidates.keyless.length > 0 ? "the one on disk has no matching key" : "its files cannot be read"
    warnings.push({ event: "cert.refused", domain, sentence: `${domain} keeps the certificate from ${before.certificatePath} that is in memory: ${why}.` })
    return { owner, shown: before, warnings, until }
  }
  if (certificate === undefined) {
    warnings.push({ event: "cert.missing", domain, sentence: `No certificate with its key names ${domain}: peers cannot authenticate it [tls.no-certificate].` })
  } else {
    warnings.push({ event: "cert.missing", domain, sentence: `${domain} is to show the certificate of ${certificate}, and no folder of the operator's has one with its key [tls.no-certificate].` })
  }
  return { owner, shown: undefined, warnings, until }
}

function candidatesFor(name: Domain, tenant: string | undefined, store: CertificateStore): { keyed: readonly Keyed[]; keyless: readonly CertificateFile[] } {
  const exact = store.named(name, tenant)
  const wildcard = wildcardOf(name)
  if (exact.keyed.length > 0 || wildcard === undefined) return exact
  const wild = store.named(wildcard, tenant)
  return { keyed: wild.keyed, keyless: [...exact.keyless, ...wild.keyless] }
}

function keylessSentence(file: CertificateFile, store: CertificateStore): string {
  const beside = store.keysIn(file.folder)
  const found = beside.length === 0 ? "no private key was found" : `the private key in ${beside.slice(0, 3).join(", ")} is another one's`
  return `${file.path} is not shown: ${found} for the certificate ${file.subjectText} (${[...file.names].slice(0, 3).join(", ")}).`
}

function sameLineage(a: CertificateFile, b: CertificateFile): boolean {
  return a.folder === b.folder && (a.leaf.fingerprint === b.leaf.fingerprint || sameNames(a.names, b.names))
}

const sameNames = (a: ReadonlySet<string>, b: ReadonlySet<string>): boolean => a.size === b.size && [...a].every((name) => b.has(name))

/**
 * The one that counts. Lineage: same folder and the same set of names; the later notBefore is the renewal, but one that
 * is not valid yet never displaces one that is.
 */
function bestOf(domain: Domain, candidates: readonly Keyed[], now: Instant, problems: ConfigProblem[]): Keyed | undefined {
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
      if (candidate.file.above.length > other.file.above.length) lineages[at] = candidate
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
  return lineages.reduce<Keyed | undefined>((best, each) => (best === undefined || each.file.above.length > best.file.above.length ? each : best), undefined)
}

function isRenewal(newer: LeafCertificate, older: LeafCertificate, now: Instant): boolean {
  if (newer.notBefore > now && older.notBefore <= now) return false
  if (older.notBefore > now && newer.notBefore <= now) return true
  return newer.notBefore > older.notBefore || (newer.notBefore === older.notBefore && newer.notAfter > older.notAfter)
}

/** PEM is put together when a TLS context is made from it: as texts ten thousand chains would take a lot of memory. */
class StoredCredentials implements TlsCredentials {
  readonly #chain: readonly Buffer[]
  readonly #key: KeyFile
  constructor(chain: readonly Buffer[], key: KeyFile) {
    this.#chain = chain
    this.#key = key
  }

  get certificatePem(): string {
    return this.#chain.map(pemOf).join("")
  }

  get keyPem(): string {
    return this.#key.pem
  }

  isOf(chain: readonly Buffer[], key: KeyFile): boolean {
    return key.pem === this.#key.pem && chain.length === this.#chain.length && chain.every((der, index) => der.equals(this.#chain[index]!))
  }
}

/** One certificate for many domains is one set of credentials, and so one TLS context. */
const assembled = new WeakMap<CertificateFile, ShownCertificate>()

function shownOf({ file, key }: Keyed, store: CertificateStore, before: ShownCertificate | undefined): ShownCertificate {
  const chain = [file.leaf.der, ...store.chainOf(file).map(({ der }) => der)]
  // The identity of the credentials is the key of the TLS context: unchanged files keep it.
  for (const known of [assembled.get(file), before]) {
    if (known?.credentials instanceof StoredCredentials && known.certificatePath === file.path && known.keyPath === key.path && known.credentials.isOf(chain, key)) return known
  }
  const shown: ShownCertificate = {
    credentials: new StoredCredentials(chain, key),
    leaf: file.leaf,
    certificatePath: file.path,
    keyPath: key.path,
    names: file.names,
  }
  assembled.set(file, shown)
  return shown
}

function pemOf(der: Buffer): string {
  const lines = der.toString("base64").match(/.{1,64}/g) ?? []
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
