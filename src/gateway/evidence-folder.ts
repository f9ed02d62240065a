// Refusals kept as evidence files in a bounded folder, to be judged again later (security.md 25-27).
import { createHash, type KeyObject } from "node:crypto"
import { basename, join } from "node:path"
import { pairKey } from "../model/association.ts"
import type { FederationEvent } from "../model/events.ts"
import type { EvidenceFile } from "../model/evidence.ts"
import type { Instant } from "../model/verdict.ts"
import { sealEvidence } from "../proof/seal.ts"
import type { Clock, Files } from "../ports.ts"
import { reason } from "./config-values.ts"
import type { LogLines } from "./log-lines.ts"

export interface EvidenceLimits {
  readonly files: number
  readonly octets: number
}

type Refused = Extract<FederationEvent, { kind: "refused" }>

/** The same refusal is kept once in this time, ms: peers retry for days. */
const quietMs = 10 * 60_000
const rememberedRefusals = 1000
const waitingWrites = 32
/** Refusals that were not kept are logged at most this often, with their number, ms. */
const skippedQuietMs = 10_000
const ending = ".evidence.json"

interface Kept {
  readonly path: string
  readonly octets: number
}

export class EvidenceFolder {
  readonly #folder: string
  readonly #limits: EvidenceLimits
  readonly #files: Files
  readonly #clock: Clock
  readonly #lines: LogLines
  readonly #version: string
  readonly #seal: KeyObject | undefined
  /** Oldest first. */
  readonly #kept: Kept[] = []
  #octets = 0
  readonly #recent = new Map<string, number>()
  #waiting = 0
  #writes: Promise<void> = Promise.resolve()
  #skipped = 0
  #cancelSkipped: (() => void) | undefined

  /** @param surroundings.seal an Ed25519 private key; without it files are unsealed */
  constructor(folder: string, limits: EvidenceLimits, surroundings: { files: Files; clock: Clock; lines: LogLines; version: string; seal?: KeyObject | undefined }) {
    this.#folder = folder
    this.#limits = limits
    this.#files = surroundings.files
    this.#clock = surroundings.clock
    this.#lines = surroundings.lines
    this.#version = surroundings.version
    this.#seal = surroundings.seal
  }

  /**
   * Learns what an earlier run left; other files in the folder are not touched, ever.
   *
   * @throws Error of the file system when the folder cannot be read
   */
  async open(): Promise<void> {
    const found: (Kept & { modified: Instant })[] = []
    for (const entry of await this.#files.list(this.#folder)) {
      if (entry.kind !== "file" || !entry.path.endsWith(ending)) continue
      const { size, modified } = await this.#files.stat(entry.path)
      found.push({ path: join(this.#folder, basename(entry.path)), octets: size, modified })
    }
    found.sort((a, b) => a.modified - b.modified || (a.path < b.path ? -1 : 1))
    this.#kept.push(...found)
    this.#octets = found.reduce((sum, { octets }) => sum + octets, 0)
    await this.#makeRoom(0)
  }

  get size(): { readonly files: number; readonly octets: number } {
    return { files: this.#kept.length, octets: this.#octets }
  }

  /** Keeps the evidence of a refusal, when there is any and it is not the same as a moment ago. Never throws. */
  keep(event: Refused): void {
    if (event.evidence === undefined || event.pair === undefined) return
    const key = `${event.direction} ${pairKey(event.pair)} ${event.finding}`
    const now = this.#clock.monotonic()
    const before = this.#recent.get(key)
    if (before !== undefined && now - before < quietMs) return
    // A flood of refusals costs a bounded queue, not the memory; what is left out is said.
    if (this.#waiting >= waitingWrites) return this.#skip()
    this.#recent.delete(key)
    this.#recent.set(key, now)
    if (this.#recent.size > rememberedRefusals) this.#recent.delete(this.#recent.keys().next().value as string)
    this.#waiting += 1
    this.#writes = this.#writes.then(async () => {
      try {
        await this.#write(event, key)
      } catch (error) {
        this.#lines.write("error", "evidence.failed", { text: `evidence of a refusal could not be kept in ${this.#folder}: ${reason(error)}` })
      } finally {
        this.#waiting -= 1
      }
    })
  }

  /** Everything handed over is on disk, or was said to have failed or to be left out. */
  async settled(): Promise<void> {
    await this.#writes
    this.#tellSkipped()
  }

  #skip(): void {
    this.#skipped += 1
    this.#cancelSkipped ??= this.#clock.after(skippedQuietMs, () => this.#tellSkipped())
  }

  #tellSkipped(): void {
    this.#cancelSkipped?.()
    this.#cancelSkipped = undefined
    if (this.#skipped === 0) return
    this.#lines.write("warn", "evidence.skipped", { count: this.#skipped, text: `the evidence of ${this.#skipped} refusals was not kept: they came faster than ${this.#folder} takes them` })
    this.#skipped = 0
  }

  async #write(event: Refused, key: string): Promise<void> {
    const pair = event.pair!
    const recorded = new Date(event.at).toISOString()
    const file: EvidenceFile = {
      evidence: 1,
      tool: { name: "xmpp-dna", version: this.#version },
      recorded,
      direction: event.direction,
      pair,
      decision: "refused",
      level: null,
      finding: event.finding,
      sentence: event.sentence,
      items: event.evidence!(),
    }
    const bytes = new TextEncoder().encode(`${JSON.stringify(this.#seal === undefined ? file : sealEvidence(asRead(file), this.#seal), null, 2)}\n`)
    if (bytes.length > this.#limits.octets) throw new Error(`it has ${bytes.length} octets, more than state.evidence_bytes allows for all`)
    await this.#makeRoom(bytes.length)
    // Names of domains can be longer than a file's name may be, so they are cut and told apart by a hash.
    const mark = createHash("sha256").update(`${key} ${recorded}`).digest("hex").slice(0, 12)
    const peer = event.direction === "in" ? pair.sender : pair.target
    const path = join(this.#folder, `${recorded.replace(/[:.]/g, "-")}-${event.direction}-${peer.slice(0, 80)}-${mark}${ending}`)
    await this.#files.write(path, bytes, { mode: 0o600 })
    this.#kept.push({ path, octets: bytes.length })
    this.#octets += bytes.length
    this.#lines.write("info", "evidence.kept", { sid: event.stream, dir: event.direction, from: pair.sender, to: pair.target, path, text: `evidence kept: ${path}` })
  }

  /** Removes the oldest until one more file of that size fits. */
  async #makeRoom(octets: number): Promise<void> {
    const more = octets === 0 ? 0 : 1
    while (this.#kept.length > 0 && (this.#kept.length + more > this.#limits.files || this.#octets + octets > this.#limits.octets)) {
      const oldest = this.#kept[0]!
      try {
        await this.#files.remove(oldest.path)
      } catch (error) {
        // Somebody else may have taken it away; then the aim is reached. Otherwise it still takes its room.
        if ((error as { code?: unknown }).code !== "ENOENT") throw error
      }
      this.#kept.shift()
      this.#octets -= oldest.octets
    }
  }
}

/** As a judge will read it: what JSON leaves out is not sealed either. */
function asRead(file: EvidenceFile): EvidenceFile {
  return JSON.parse(JSON.stringify(file)) as EvidenceFile
}
