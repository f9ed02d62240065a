// What the planner of renewals must not forget over a restart: the documents that peers may remember, certificates that were
// shown before, and those that are shown, which the folders may not have any more after the next start (POSH-17). Versioned JSON
// beside the evidence; keys are kept only while something that is published names them.
import { createHash } from "node:crypto"
import { basename, join } from "node:path"
import { type Domain, tryDomain } from "../model/domain.ts"
import type { Instant } from "../model/verdict.ts"
import type { Files, TlsCredentials } from "../ports.ts"
import { type Certificate, CertificateError, parseCertificate } from "../x509/certificate.ts"
import { pemBlocks } from "./certificate-scan.ts"
import type { PublishedDocument } from "./rollover.ts"

/** A certificate that is shown no more but may still carry streams that were opened with it. */
export interface RetiredCertificate {
  readonly der: Uint8Array
  readonly fingerprint: string
  /** Named in documents until then. */
  readonly until: Instant
}

export interface RolloverMemory {
  /** By the name they are served under, the oldest first. */
  readonly documents: Map<Domain, readonly PublishedDocument[]>
  readonly retired: Map<Domain, readonly RetiredCertificate[]>
}

/** A certificate that a restart may need, with its key. */
export interface HeldCertificate {
  /** See `ownOf` and `lentBy`. */
  readonly owner: string
  readonly fingerprint: string
  readonly credentials: TlsCredentials
}

/** What a domain shows itself, and what is shown for it by the name of another, are never taken for each other (security.md 22). */
export const ownOf = (domain: Domain): string => domain
export const lentBy = (domain: Domain): string => `lent by ${domain}`

/** A certificate with its key, kept because the folders may no longer have it. */
export interface KeptCertificate {
  readonly certificatePem: string
  readonly keyPem: string
  readonly path: string
  readonly leaf: Certificate
}

export const emptyMemory = (): RolloverMemory => ({ documents: new Map(), retired: new Map() })

const fileName = "rollover.json"
const heldFolder = "held"
/** Octets of the file at most: ten thousand domains with a long history. */
const largest = 64 * 1024 * 1024

class Unreadable extends Error {
  override readonly name = "Unreadable"
}

/** Text of the file. Pure. */
export function writeMemory({ documents, retired }: RolloverMemory): string {
  return `${JSON.stringify({
    version: 1,
    documents: Object.fromEntries(documents),
    retired: Object.fromEntries([...retired].map(([domain, list]) => [domain, list.map(({ der, until }) => ({ der: Buffer.from(der).toString("base64"), until }))])),
  })}\n`
}

/**
 * Reads the text of the file. Pure.
 *
 * @throws Error with what is wrong
 */
export function readMemory(text: string): RolloverMemory {
  const memory = emptyMemory()
  const whole = object(JSON.parse(text), "it")
  if (whole["version"] !== 1) throw new Unreadable("it is of another version")
  for (const [name, list] of Object.entries(object(whole["documents"], "documents"))) memory.documents.set(domain(name), array(list, name).map(readDocument))
  for (const [name, list] of Object.entries(object(whole["retired"], "retired"))) memory.retired.set(domain(name), array(list, name).map(readRetired))
  return memory
}

function readDocument(value: unknown): PublishedDocument {
  const { fingerprints, expiresMs, from, to } = object(value, "a document")
  const named = array(fingerprints, "fingerprints")
  if (!named.every((each): each is string => typeof each === "string" && /^[0-9a-f]{64}$/.test(each))) throw new Unreadable("a fingerprint is none")
  return { fingerprints: named, expiresMs: instant(expiresMs), from: instant(from), ...(to === undefined ? {} : { to: instant(to) }) }
}

function readRetired(value: unknown): RetiredCertificate {
  const { der, until } = object(value, "a certificate")
  if (typeof der !== "string") throw new Unreadable("a certificate is none")
  const { der: octets, fingerprint } = parseCertificate(Buffer.from(der, "base64"))
  return { der: octets, fingerprint, until: instant(until) }
}

function object(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new Unreadable(`${what} is not an object`)
  return value as Readonly<Record<string, unknown>>
}

function array(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value) || value.length > 1000) throw new Unreadable(`${what} is not a list`)
  return value
}

function instant(value: unknown): Instant {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) throw new Unreadable("a time is none")
  return value
}

function domain(name: string): Domain {
  const read = tryDomain(name)
  if (read !== name) throw new Unreadable("a domain is none")
  return read as Domain
}

/** The folder `state.dir`, as the planner uses it. Without one nothing is remembered. */
export class RolloverStore {
  readonly #folder: string
  readonly #files: Files
  readonly #trouble: (sentence: string) => void
  #writing: Promise<void> = Promise.resolve()
  #pending: string | undefined
  /** Names of key files with the hash of whose they are. */
  readonly #held = new Map<string, string>()
  /** The same as an earlier run left them, by that hash. */
  readonly #found = new Map<string, readonly string[]>()

  /** @param trouble told when something cannot be read or kept; the gateway goes on without it */
  constructor(folder: string, files: Files, trouble: (sentence: string) => void) {
    this.#folder = folder
    this.#files = files
    this.#trouble = trouble
  }

  /** What an earlier run left. `lost`: there was something, or a key is kept, and the file cannot be read. Never rejects. */
  async open(): Promise<{ readonly memory: RolloverMemory; readonly lost: boolean }> {
    for (const folder of [this.#folder, join(this.#folder, heldFolder)]) {
      if (!(await this.#isWritableByOthers(folder))) continue
      this.#trouble(`${folder} belongs to another user or can be written by others, who could have us show and publish a certificate of theirs: nothing in it is believed (chmod go-w ${folder})`)
      return { memory: emptyMemory(), lost: true }
    }
    await this.#listHeld()
    const path = join(this.#folder, fileName)
    try {
      const { size } = await this.#files.stat(path)
      if (size > largest) throw new Unreadable(`it has ${size} octets`)
      return { memory: readMemory(Buffer.from(await this.#files.read(path)).toString("utf8")), lost: false }
    } catch (error) {
      if ((error as { code?: unknown }).code === "ENOENT") return { memory: emptyMemory(), lost: this.#held.size > 0 }
      this.#trouble(`${path} cannot be read (${said(error)}): what was published before is not known, so renewed certificates wait anew`)
      return { memory: emptyMemory(), lost: true }
    }
  }

  /** security.md 22: what is shown and published is decided by what lies there. */
  async #isWritableByOthers(folder: string): Promise<boolean> {
    try {
      const { mode, owner } = await this.#files.stat(folder)
      return owner === "other" || (mode & 0o022) !== 0
    } catch {
      // What is not there yet is made by us; what cannot be looked at cannot be read either, which is said there.
      return false
    }
  }

  /** Which keys are there, by the names of their files alone: with thousands of domains few are ever read. */
  async #listHeld(): Promise<void> {
    for (const { path, kind } of await this.#files.list(join(this.#folder, heldFolder)).catch(nothingThere)) {
      const [, owner, fingerprint] = /^([0-9a-f]{32})-([0-9a-f]{64})\.pem$/.exec(basename(path)) ?? []
      if (kind === "file" && owner !== undefined && fingerprint !== undefined) this.#held.set(`${owner}-${fingerprint}`, owner)
    }
    for (const [name, owner] of this.#held) this.#found.set(owner, [...(this.#found.get(owner) ?? []), name])
  }

  /**
   * What an earlier run kept for this owner.
   *
   * @param but not the one with this fingerprint
   */
  async kept(owner: string, but: string): Promise<KeptCertificate | undefined> {
    if (this.#found.size === 0) return undefined
    const name = this.#found.get(ownerHash(owner))?.find((each) => !each.endsWith(`-${but}`))
    if (name === undefined) return undefined
    const path = this.#path(name)
    try {
      const text = Buffer.from(await this.#files.read(path)).toString("latin1")
      if (text.slice(0, text.indexOf("\n")) !== owner) throw new Unreadable("it is named after another domain")
      const kept = readKept(path, text)
      if (heldName(owner, kept.leaf.fingerprint) !== name) throw new Unreadable("it is named after another certificate")
      return kept
    } catch (error) {
      this.#trouble(`${path} cannot be read: ${said(error)}`)
      return undefined
    }
  }

  /** Writes the latest, one write at a time. */
  save(memory: RolloverMemory): void {
    const idle = this.#pending === undefined
    this.#pending = writeMemory(memory)
    if (!idle) return
    this.#then(async () => {
      const text = this.#pending ?? ""
      this.#pending = undefined
      await this.#files.write(join(this.#folder, fileName), Buffer.from(text), { mode: 0o600 })
    })
  }

  #path(name: string): string {
    return join(this.#folder, heldFolder, `${name}.pem`)
  }

  /** Keeps exactly these, with their keys, readable by us alone. */
  hold(wanted: Iterable<HeldCertificate>): void {
    const names = new Set<string>()
    for (const { owner, fingerprint, credentials } of wanted) {
      const name = heldName(owner, fingerprint)
      names.add(name)
      if (this.#held.has(name)) continue
      this.#held.set(name, ownerHash(owner))
      // Put together when its turn comes: thousands of keys as texts take a lot of memory.
      this.#then(() => this.#files.write(this.#path(name), Buffer.from(`${owner}\n${credentials.certificatePem}${credentials.keyPem}`), { mode: 0o600 }))
    }
    for (const name of [...this.#held.keys()]) {
      if (names.has(name)) continue
      this.#held.delete(name)
      this.#then(() => this.#files.remove(this.#path(name)))
    }
  }

  #then(work: () => Promise<void>): void {
    this.#writing = this.#writing.then(work).catch((error: unknown) => {
      if ((error as { code?: unknown }).code !== "ENOENT") this.#trouble(`what a restart must know cannot be kept in ${this.#folder}: ${said(error)}`)
    })
  }

  /** Everything asked for so far was written. */
  async settled(): Promise<void> {
    await this.#writing
  }
}

/** A domain may be longer than a file's name. */
const ownerHash = (owner: string): string => createHash("sha256").update(owner).digest("hex").slice(0, 32)

const heldName = (owner: string, fingerprint: string): string => `${ownerHash(owner)}-${fingerprint}`

function nothingThere(error: unknown): [] {
  if ((error as { code?: unknown }).code === "ENOENT") return []
  throw error
}

function readKept(path: string, text: string): KeptCertificate {
  let leaf: Certificate | undefined
  let certificatePem = ""
  let keyPem = ""
  for (const { label, body, whole } of pemBlocks(text)) {
    if (label === "CERTIFICATE") {
      leaf ??= parseCertificate(Buffer.from(body, "base64"))
      certificatePem += `${whole}\n`
    } else if (label.endsWith("PRIVATE KEY")) keyPem = `${whole}\n`
  }
  if (leaf === undefined || keyPem === "") throw new Unreadable("it has no certificate with its key")
  return { certificatePem, keyPem, path, leaf }
}

function said(error: unknown): string {
  // What a JSON reader says may quote the file; it holds no secrets, but nobody reads a page of it.
  if (error instanceof SyntaxError) return "it is not JSON"
  if (error instanceof CertificateError || error instanceof Unreadable) return error.message
  return error instanceof Error ? error.message.slice(0, 200) : String(error)
}
