// What the certificate folders hold, kept up to date: a file is read again only when it changed, and it is known which
// names a change is about (security.md 22). It reflects the disk; what is shown is decided in certificates.ts.
import { basename, dirname } from "node:path"
import type { FileFacts, Files } from "../ports.ts"
import { eachOf } from "./at-once.ts"
import { type CertificateFile, type ChainCertificate, isPemName, type KeyFile, type PemFile, PemReader } from "./certificate-scan.ts"
import { reason } from "./config-values.ts"

/** Bounds; a folder that holds more is not a folder of certificates. */
const maxFiles = 200_000
const maxDepth = 4
/** Changes remembered for snapshots made earlier; older ones are made anew. */
const maxJournal = 20_000

export type StoreFiles = Pick<Files, "read" | "list" | "stat">

/** Folders read for the operator, or for the domains of one tenant's file alone. */
export interface StoreRoot {
  readonly folder: string
  /** Undefined: the operator's. */
  readonly tenant: string | undefined
}

export interface ScanProblem {
  readonly path: string
  readonly sentence: string
}

/** A file with whom it may serve. */
interface Held {
  readonly file: PemFile
  readonly root: StoreRoot
  /** When it was last looked at. */
  stamp: string
}

export interface Keyed {
  readonly file: CertificateFile
  readonly key: KeyFile
  /** Whose folder it lies in; undefined: the operator's. */
  readonly tenant: string | undefined
}

export class CertificateStore {
  readonly #reader: PemReader
  #files: StoreFiles
  readonly #held = new Map<string, Held>()
  readonly #roots = new Map<string, StoreRoot>()
  readonly #byFolder = new Map<string, Set<Held>>()
  /** By the folder that was looked through: what could not even be looked at. */
  readonly #unseen = new Map<string, readonly ScanProblem[]>()
  readonly #byName = new Map<string, Held[]>()
  readonly #byKey = new Map<string, Held[]>()
  readonly #byPublicKey = new Map<string, { key: KeyFile; root: StoreRoot }[]>()
  /** By folder and fingerprint, with the number of files. */
  readonly #authorities = new Map<string, Map<string, { certificate: ChainCertificate; files: number }>>()
  readonly #problems = new Map<string, readonly string[]>()
  readonly #exposed = new Map<string, string>()
  /** Rises with every change. */
  version = 0
  readonly #journal: { readonly version: number; readonly name: string }[] = []
  /** Changes up to this version are not in the journal any more. */
  #forgotten = 0

  constructor(files: StoreFiles) {
    this.#files = files
    this.#reader = new PemReader({ read: (path) => this.#files.read(path) })
  }

  /**
   * Looks at the folders again.
   *
   * @param changed the paths that may have changed; undefined: any
   */
  async update(roots: readonly StoreRoot[], files: StoreFiles, changed?: ReadonlySet<string>): Promise<void> {
    this.#files = files
    const wanted = new Map(roots.map((root) => [root.folder, root]))
    const fresh = roots.filter(({ folder, tenant }) => this.#roots.get(folder)?.tenant !== tenant || !this.#roots.has(folder))
    const gone = [...this.#roots.values()].filter(({ folder, tenant }) => !wanted.has(folder) || wanted.get(folder)!.tenant !== tenant)
    for (const root of gone) {
      this.#roots.delete(root.folder)
      this.#forget(root.folder, new Set())
    }
    for (const root of fresh) this.#roots.set(root.folder, root)
    const whole = changed === undefined ? [...wanted.values()] : fresh
    for (const root of whole) await this.#scan(root, root.folder)
    for (const path of changed ?? []) await this.#look(path)
  }

  /** Names whose certificates may be others than at that version; undefined: any. */
  changedSince(version: number): ReadonlySet<string> | undefined {
    if (version < this.#forgotten) return undefined
    const names = new Set<string>()
    for (let at = this.#journal.length - 1; at >= 0 && this.#journal[at]!.version > version; at -= 1) names.add(this.#journal[at]!.name)
    return names
  }

  /** In order of their paths. */
  get problems(): readonly ScanProblem[] {
    const all = [...this.#unseen.values()].flat()
    for (const [path, sentences] of this.#problems) for (const sentence of sentences) all.push({ path, sentence })
    return all.sort((a, b) => (a.path < b.path ? -1 : 1))
  }

  /** Whether it, or a folder above it, could not be read; what was plainly removed is gone. */
  isDamaged(path: string): boolean {
    if (this.#problems.has(path)) return true
    return [...this.#unseen.values()].some((problems) => problems.some((problem) => problem.path === path || path.startsWith(`${problem.path}/`)))
  }

  get exposed(): ReadonlyMap<string, string> {
    return this.#exposed
  }

  /**
   * Certificates with this name that may be shown for a domain of this file.
   *
   * @param name `a.example` or `*.a.example`
   * @param tenant whose folders count beside the operator's
   */
  named(name: string, tenant: string | undefined): { keyed: readonly Keyed[]; keyless: readonly CertificateFile[] } {
    const keyed: Keyed[] = []
    const keyless: CertificateFile[] = []
    for (const { file, root } of this.#byName.get(name) ?? []) {
      // security.md 22: a tenant's folder serves that tenant's domains only, and so do its keys.
      if (root.tenant !== undefined && root.tenant !== tenant) continue
      const certificate = file.certificate!
      const keys = (this.#byPublicKey.get(certificate.publicKey) ?? []).filter((each) => each.root.tenant === root.tenant)
      // The nearest: in the same file, else in the same folder.
      const near = keys.find((each) => each.key.path === certificate.path) ?? keys.find((each) => each.key.folder === certificate.folder)
      const key = (near ?? keys[0])?.key
      if (key === undefined) keyless.push(certificate)
      else keyed.push({ file: certificate, key, tenant: root.tenant })
    }
    return { keyed, keyless }
  }

  keysIn(folder: string): readonly string[] {
    return [...(this.#byFolder.get(folder) ?? [])].filter(({ file }) => file.keys.length > 0).map(({ file }) => basename(file.path))
  }

  /** A file with the leaf alone is completed from the authorities beside it (acme.sh, lego); the root stays at home. */
  chainOf(file: CertificateFile): readonly ChainCertificate[] {
    const chain = [...file.above]
    const known = [...(this.#authorities.get(file.folder)?.values() ?? [])]
    let { selfIssued, issuer } = chain.at(-1) ?? file
    while (!selfIssued && chain.length < 7) {
      const next = known.find(({ certificate }) => certificate.subject === issuer)?.certificate
      if (next === undefined || next.selfIssued || next.fingerprint === file.leaf.fingerprint || chain.some((each) => each.fingerprint === next.fingerprint)) break
      chain.push(next)
      ;({ selfIssued, issuer } = next)
    }
    return chain
  }

  // Looking.

  /** Everything below a folder, which is the root or lies below it. */
  async #scan(root: StoreRoot, folder: string): Promise<void> {
    const problems: ScanProblem[] = []
    const seen = new Set<string>()
    const depth = folder === root.folder ? 0 : folder.slice(root.folder.length + 1).split("/").length
    await this.#scanFolder(root, folder, depth, seen, problems)
    if (seen.size > maxFiles) problems.push({ path: folder, sentence: `more than ${maxFiles} files: the rest was not looked at` })
    this.#forget(folder, seen)
    if (problems.length > 0) this.#unseen.set(folder, problems)
  }

  /** What is known of a folder and below, but for these files. */
  #forget(folder: string, but: ReadonlySet<string>): void {
    const below = `${folder}/`
    for (const path of [...this.#held.keys()]) if (path.startsWith(below) && !but.has(path)) this.#drop(path)
    for (const looked of [...this.#unseen.keys()]) if (looked === folder || looked.startsWith(below)) this.#unseen.delete(looked)
  }

  async #scanFolder(root: StoreRoot, folder: string, depth: number, seen: Set<string>, problems: ScanProblem[]): Promise<void> {
    let entries: Awaited<ReturnType<Files["list"]>>
    try {
      entries = await this.#files.list(folder)
    } catch (error) {
      problems.push({ path: folder, sentence: `the folder cannot be read: ${reason(error)}` })
      return
    }
    const visible = entries.filter((entry) => !basename(entry.path).startsWith(".")).sort((a, b) => (a.path < b.path ? -1 : 1))
    const folders: string[] = []
    await eachOf(visible, async ({ path, kind }) => {
      if (kind === "directory") folders.push(path)
      // A link counts as what it leads to; certbot's live/ is made of links.
      else if (kind === "other" && !isPemName(path)) {
        const facts = await this.#stat(path, problems)
        if (facts?.kind === "directory") folders.push(path)
      } else if (isPemName(path) && seen.size <= maxFiles) {
        seen.add(path)
        const facts = await this.#stat(path, problems)
        if (facts?.kind === "directory") folders.push(path)
        else if (facts?.kind === "file") await this.#read(path, facts, root)
        else this.#drop(path)
      }
    })
    if (depth + 1 < maxDepth) for (const below of folders.sort()) await this.#scanFolder(root, below, depth + 1, seen, problems)
  }

  async #stat(path: string, problems: ScanProblem[]): Promise<FileFacts | undefined> {
    try {
      return await this.#files.stat(path)
    } catch (error) {
      problems.push({ path, sentence: reason(error) })
      return undefined
    }
  }

  /** One path that changed, wherever it is. */
  async #look(path: string): Promise<void> {
    const root = this.#rootOf(path)
    if (root === undefined) return
    if (root.folder === path) return this.#scan(root, path)
    const below = path.slice(root.folder.length + 1).split("/")
    if (below.length > maxDepth || below.some((part) => part.startsWith("."))) return
    const facts = await this.#files.stat(path).catch(/* gone: taken out below */ () => undefined)
    if (facts?.kind === "file" && isPemName(path)) await this.#read(path, facts, root)
    else if (facts?.kind === "directory" && below.length < maxDepth) await this.#scan(root, path)
    else if (this.#held.has(path)) this.#drop(path)
    else if (facts === undefined) this.#forget(path, new Set())
  }

  #rootOf(path: string): StoreRoot | undefined {
    for (let at = path; ; at = dirname(at)) {
      const root = this.#roots.get(at)
      if (root !== undefined || at === dirname(at)) return root
    }
  }

  async #read(path: string, facts: FileFacts, root: StoreRoot): Promise<void> {
    const before = this.#held.get(path)
    if (before !== undefined && before.stamp === facts.stamp && before.root.tenant === root.tenant) return
    const file = await this.#reader.read(path, facts)
    if (before !== undefined && before.root.tenant === root.tenant && sameContent(before.file, file)) {
      // Written again with what it had: the identity of what is shown stays.
      before.stamp = file.stamp
      this.#note(file)
      return
    }
    this.#drop(path)
    this.#add({ file, root, stamp: file.stamp })
  }

  // The index.

  #add(held: Held): void {
    const { file, root } = held
    this.version += 1
    this.#held.set(file.path, held)
    const folder = dirname(file.path)
    const beside = this.#byFolder.get(folder) ?? new Set<Held>()
    this.#byFolder.set(folder, beside.add(held))
    this.#note(file)
    for (const key of file.keys) {
      append(this.#byPublicKey, key.publicKey, { key, root })
      this.#keyMoved(key)
    }
    const { certificate } = file
    if (certificate !== undefined) {
      append(this.#byKey, certificate.publicKey, held)
      for (const name of certificate.names) {
        append(this.#byName, name, held)
        this.#moved(name)
      }
    }
    for (const authority of file.authorities) {
      const known = this.#authorities.get(folder) ?? new Map<string, { certificate: ChainCertificate; files: number }>()
      this.#authorities.set(folder, known)
      const one = known.get(authority.fingerprint)
      if (one !== undefined) one.files += 1
      else {
        known.set(authority.fingerprint, { certificate: authority, files: 1 })
        this.#authorityMoved(folder, authority)
      }
    }
  }

  #drop(path: string): void {
    const held = this.#held.get(path)
    if (held === undefined) return
    const { file } = held
    this.version += 1
    this.#held.delete(path)
    const folder = dirname(path)
    const beside = this.#byFolder.get(folder)
    beside?.delete(held)
    if (beside?.size === 0) this.#byFolder.delete(folder)
    this.#problems.delete(path)
    this.#exposed.delete(path)
    for (const key of file.keys) {
      remove(this.#byPublicKey, key.publicKey, (each) => each.key === key)
      this.#keyMoved(key)
    }
    const { certificate } = file
    if (certificate !== undefined) {
      const own = (each: Held): boolean => each.file.certificate === certificate
      remove(this.#byKey, certificate.publicKey, own)
      for (const name of certificate.names) {
        remove(this.#byName, name, own)
        this.#moved(name)
      }
    }
    for (const authority of file.authorities) {
      const known = this.#authorities.get(folder)
      const one = known?.get(authority.fingerprint)
      if (one === undefined) continue
      one.files -= 1
      if (one.files > 0) continue
      known!.delete(authority.fingerprint)
      this.#authorityMoved(folder, authority)
    }
  }

  #note({ path, problems, exposed }: PemFile): void {
    if (problems.length > 0) this.#problems.set(path, problems)
    else this.#problems.delete(path)
    if (exposed !== undefined) this.#exposed.set(path, exposed)
    else this.#exposed.delete(path)
  }

  #keyMoved({ publicKey }: KeyFile): void {
    for (const { file } of this.#byKey.get(publicKey) ?? []) for (const name of file.certificate!.names) this.#moved(name)
  }

  /** Chains that end where this authority begins may now be longer or shorter. */
  #authorityMoved(folder: string, { subject }: ChainCertificate): void {
    for (const { file } of this.#byFolder.get(folder) ?? []) {
      const { certificate } = file
      if (certificate === undefined) continue
      const last = certificate.above.at(-1) ?? certificate
      if (last.selfIssued || last.issuer !== subject) continue
      for (const name of certificate.names) this.#moved(name)
    }
  }

  #moved(name: string): void {
    this.#journal.push({ version: this.version, name })
    if (this.#journal.length < maxJournal) return
    this.#forgotten = this.version
    this.#journal.length = 0
  }
}

function append<T>(lists: Map<string, T[]>, name: string, item: T): void {
  const list = lists.get(name)
  if (list === undefined) lists.set(name, [item])
  else list.push(item)
}

function remove<T>(lists: Map<string, T[]>, name: string, isIt: (item: T) => boolean): void {
  const list = lists.get(name)
  if (list === undefined) return
  const rest = list.filter((item) => !isIt(item))
  if (rest.length === 0) lists.delete(name)
  else lists.set(name, rest)
}

function sameContent(a: PemFile, b: PemFile): boolean {
  const prints = ({ certificate, authorities, keys }: PemFile): readonly string[] => [
    certificate?.leaf.fingerprint ?? "",
    ...(certificate?.above.map((each) => each.fingerprint) ?? []),
    "authorities",
    ...authorities.map((each) => each.fingerprint),
    "keys",
    ...keys.map((each) => each.pem),
  ]
  return a.problems.length === 0 && b.problems.length === 0 && prints(a).join() === prints(b).join()
}
