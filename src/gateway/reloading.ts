// Reading everything again while the gateway serves: one at a time, all or nothing, by hand, by signal, by a change on
// disk or by age (security.md 10).
import { dirname } from "node:path"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { Instant } from "../model/verdict.ts"
import { type GatewayConfig, loadConfig } from "./config.ts"
import { reason } from "./config-values.ts"
import type { GatewayWorld, ReloadResult } from "./contract.ts"
import { ableResolver, sameResolver } from "./dns-ability.ts"
import type { LogLines } from "./log-lines.ts"
import { differences, type Snapshot } from "./snapshot.ts"

export interface ReloadSurroundings {
  readonly world: GatewayWorld
  readonly lines: LogLines
  readonly allowInlineSecrets: boolean
  running(): boolean
  snapshot(): Snapshot
  resolver(): Resolver
  /** Rejects with ConfigError. */
  make(config: GatewayConfig, changed: Changed): Promise<Snapshot>
  /** Swaps both at once and judges what is live; never fails. */
  adopt(after: Snapshot, resolver: Resolver, changed: Changed): void
  /** The new certificates, for the log; with `before` only what is new about them. */
  told(after: Snapshot, before?: Snapshot): void
  broken(error: unknown): void
  /** The daily look, beside that at certificates. */
  looked?(): void
}

/** Paths that may have changed since the last reading; undefined: any. */
export type Changed = ReadonlySet<string> | undefined

/** Certificates grow old without a change on disk. */
const certificateLookMs = 12 * 3_600_000

/** What was dropped between reading the files and watching them is found by one more look, ms. */
const secondLookMs = 3000

/** Changes in several folders that belong together are reported within this time, ms. */
const gatherMs = 100

/** What became of the last reload, for display. */
export interface LastReload {
  readonly at: Instant
  readonly result: ReloadResult
}

export class Reloading {
  readonly #around: ReloadSurroundings
  #queue: Promise<unknown> = Promise.resolve()
  readonly #watched = new Map<string, () => void>()
  #cancelLook: () => void = () => {}
  #cancelSecondLook: () => void = () => {}
  #gathered: { readonly changed: Changed; readonly domains: boolean; readonly cancel: () => void } | undefined
  #last: LastReload | undefined
  /** What changed and was refused: the next reading is of that as well. */
  #unread: Changed = new Set()

  constructor(around: ReloadSurroundings) {
    this.#around = around
  }

  get last(): LastReload | undefined {
    return this.#last
  }

  /** Begins to look at what changes on disk, and at the age of certificates. */
  begin(): void {
    this.#watch()
    this.#lookAgain()
    const { include, certificates } = this.#around.snapshot().config
    if (include.length === 0 || certificates.reload !== "watch") return
    this.#cancelSecondLook = this.#around.world.clock.after(secondLookMs, () => void this.reload())
  }

  stop(): void {
    this.#cancelLook()
    this.#cancelSecondLook()
    this.#gathered?.cancel()
    for (const stop of this.#watched.values()) stop()
    this.#watched.clear()
  }

  /** Reads the configuration again, or takes the one given. Never rejects. */
  reload(config?: GatewayConfig, changed?: Changed): Promise<ReloadResult> {
    return this.exclusively((reload) => reload(() => config, changed))
  }

  /** Certificates alone. The configuration is the one that holds when its turn comes: a reload may be under way. */
  certificates(changed?: Changed): Promise<ReloadResult> {
    return this.exclusively((reload) => reload(() => this.#around.snapshot().config, changed))
  }

  /**
   * Does something while no reload of anybody else can run; files that are changed in there are never read half.
   *
   * @param work is given a reload of its own, which never rejects
   */
  exclusively<T>(work: (reload: (config?: () => GatewayConfig | undefined, changed?: Changed) => Promise<ReloadResult>) => Promise<T>): Promise<T> {
    const next = this.#queue.then(() => work((config = () => undefined, changed) => this.#guarded(config, changed)))
    // One that fails does not spoil the next; whoever asked for it is told.
    const done = (): void => undefined
    this.#queue = next.then(done, done)
    return next
  }

  async #guarded(config: () => GatewayConfig | undefined, changed: Changed): Promise<ReloadResult> {
    let result: ReloadResult
    try {
      result = await this.#reload(config(), changed)
    } catch (error) {
      // One that fails for a reason nobody thought of is told as well.
      this.#around.broken(error)
      result = { ok: false, problems: [{ place: this.#place(), sentence: `The reload failed: ${reason(error)}.` }] }
    }
    this.#last = { at: this.#around.world.clock.now(), result }
    return result
  }

  #place(): string {
    return this.#around.snapshot().config.sources[0] ?? "configuration"
  }

  #shuttingDown(): ReloadResult {
    return { ok: false, problems: [{ place: this.#place(), sentence: "The gateway is shutting down." }] }
  }

  async #reload(given: GatewayConfig | undefined, asked: Changed): Promise<ReloadResult> {
    const { world, lines } = this.#around
    if (!this.#around.running()) return this.#shuttingDown()
    const before = this.#around.snapshot()
    let warnings: readonly ConfigProblem[] = []
    let changed = asked
    let after: Snapshot
    let resolver: Resolver
    try {
      let config = given
      if (config === undefined) {
        const { files, environment, clock } = world
        const { allowInlineSecrets } = this.#around
        changed = asked === undefined || this.#unread === undefined ? undefined : new Set([...this.#unread, ...asked])
        this.#unread = changed
        const known = { previous: before.config, ...(changed === undefined ? {} : { changed }) }
        const loaded = await loadConfig(before.config.sources[0]!, { files, environment, now: clock.now(), allowInlineSecrets, ...known })
        config = loaded.config
        warnings = loaded.warnings
      }
      after = await this.#around.make(config, changed)
      resolver = sameResolver(before.config, config) ? this.#around.resolver() : await ableResolver(config, world)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      // A running gateway is never taken down by a bad file: everything stays as it was.
      for (const { place, setting, sentence } of error.problems) {
        lines.write("error", "config.refused", { place, ...(setting === undefined ? {} : { setting }), text: `reload refused, nothing was changed: ${place} ${sentence}` })
      }
      return { ok: false, problems: error.problems }
    }
    // Reading takes time, and a shutdown may have begun meanwhile.
    if (!this.#around.running()) return this.#shuttingDown()
    if (given === undefined) this.#unread = new Set()
    this.#around.adopt(after, resolver, changed)
    const { changes, needRestart } = differences(before.config, after.config)
    for (const { place, setting, sentence } of warnings) lines.write("warn", "config.warning", { place, ...(setting === undefined ? {} : { setting }), text: `${place} ${sentence}` })
    this.#around.told(after, changed === undefined ? undefined : before)
    const restart = needRestart.length === 0 ? "" : `; a restart is needed for ${needRestart.join(", ")}`
    lines.write("info", "config.reloaded", { changes, needRestart, text: `reloaded: ${changes.length === 0 ? "no change" : changes.join(", ")}${restart}` })
    this.#watch()
    return { ok: true, changes, needRestart, warnings }
  }

  /** What changes on disk: certificates count with the same configuration, an include folder means reading it again. */
  #watch(): void {
    const { certificates, tenantDirs, include } = this.#around.snapshot().config
    const wanted = new Map<string, (paths?: readonly string[]) => void>()
    if (certificates.reload === "watch") {
      for (const dir of [certificates.dirs, ...tenantDirs.values()].flat()) wanted.set(dir, (paths) => this.#gather("certificates", paths))
      for (const line of include) wanted.set(line.includes("*") ? dirname(line) : line, (paths) => this.#gather("domains", paths))
    }
    for (const [path, stop] of this.#watched) {
      if (wanted.has(path)) continue
      stop()
      this.#watched.delete(path)
    }
    for (const [path, changed] of wanted) {
      // What is watched already goes on: a fresh look could miss a change.
      if (!this.#watched.has(path)) this.#watched.set(path, this.#around.world.files.watch(path, changed))
    }
  }

  /** A new domain comes with its certificate, in another folder: both are taken up together. */
  #gather(kind: "domains" | "certificates", paths: readonly string[] | undefined): void {
    const { clock } = this.#around.world
    const before = this.#gathered ?? { changed: new Set<string>(), domains: false, cancel: clock.after(gatherMs, () => this.#applyGathered()) }
    const changed = paths === undefined || before.changed === undefined ? undefined : new Set([...before.changed, ...paths])
    this.#gathered = { changed, domains: before.domains || kind === "domains", cancel: before.cancel }
  }

  #applyGathered(): void {
    const { changed, domains } = this.#gathered!
    this.#gathered = undefined
    if (!domains) return void this.certificates(changed)
    void this.reload(undefined, changed).then((result) => {
      // A mistake in a tenant's file holds no renewal up.
      if (!result.ok) void this.certificates(changed)
    })
  }

  #lookAgain(): void {
    this.#cancelLook = this.#around.world.clock.after(certificateLookMs, () => {
      this.#around.looked?.()
      void this.certificates()
      this.#lookAgain()
    })
  }
}
