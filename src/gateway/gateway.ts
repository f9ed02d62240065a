// The gateway: many hosted domains, attached components, streams to remote domains, on one immutable snapshot
// (security.md 10, 17, 21).
import type { DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import { ConfigError } from "../model/errors.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { FederationEvent } from "../model/events.ts"
import { findingSentence } from "../model/findings.ts"
import type { OwnListener } from "../model/reach.ts"
import type { Channel, Clock, Listener } from "../ports.ts"
import { PoshMemory } from "../proof/posh-memory.ts"
import { sealKeyName } from "../proof/seal.ts"
import { ClaimGuard, defaultClaimLimits } from "../federation/claim-guard.ts"
import type { Federation, IncomingStream } from "../federation/contract.ts"
import { KeyRing } from "../federation/dialback.ts"
import { Carriers } from "../federation/carriers.ts"
import { managementShare } from "../federation/managed-stream.ts"
import { FlushList } from "../stream/outlet.ts"
import { AdminSocket } from "./admin.ts"
import { answerVerb } from "./admin-verbs.ts"
import type { GatewaySights } from "./admin-views.ts"
import { parseQueued } from "./bounce.ts"
import { BounceLog } from "./bounce-log.ts"
import { noCertificates } from "./certificates.ts"
import type { ComponentSession } from "./component.ts"
import { defaultComponentTimes } from "./component.ts"
import { Components } from "./components.ts"
import type { GatewayConfig, SocketAddress, SocketPath } from "./config.ts"
import { addressLabel, reason } from "./config-values.ts"
import type { DrainResult, Gateway, GatewayAddresses, GatewayOptions, GatewayState, GatewayWorld, ReloadResult } from "./contract.ts"
import { ableResolver } from "./dns-ability.ts"
import { Load } from "./destination.ts"
import { EvidenceFolder } from "./evidence-folder.ts"
import { openSealKey } from "./seal-key.ts"
import { Intake } from "./intake.ts"
import { LogLines } from "./log-lines.ts"
import { Recollection } from "./recollection.ts"
import { type Changed, Reloading } from "./reloading.ts"
import { OwnDomains } from "./own-domains.ts"
import type { OwnStanding } from "./own-standing.ts"
import type { RolloverView } from "./rollover-outcome.ts"
import { Router } from "./router.ts"
import { makeSnapshot, type Snapshot, touchedDomains, TrustedRoots } from "./snapshot.ts"
import type { PoolView } from "./pool-contract.ts"
import { StreamPool } from "./stream-pool.ts"
import { domainOfJid } from "../model/domain.ts"
import { TenantFiles } from "./tenant-files.ts"
import { ns } from "../model/namespaces.ts"
import { attr, type XmlElement } from "../xml/element.ts"

export type { DrainResult, Gateway, GatewayAddresses, GatewayOptions, GatewayState, GatewayWorld, ReloadResult } from "./contract.ts"

type ListenerKind = "s2s" | "directTls" | "components"

/** Hundreds that begin together are half done together, and each collection of garbage has to move what belongs to every one of them. */
const poolLimits = { pairs: 20_000, openings: 256, openingsATurn: 8 }
/** Streams have this long to say goodbye when the deadline has passed, ms. */
const lastWordMs = 500

/**
 * Binds the listeners and serves until `drain` or `close`.
 *
 * @throws ConfigError when certificates, trust, state folder or listeners cannot be used; nothing is left running then
 */
export async function startGateway(config: GatewayConfig, world: GatewayWorld, options: GatewayOptions = {}): Promise<Gateway> {
  const gateway = new RunningGateway(world, options)
  await gateway.start(config)
  return gateway
}

class RunningGateway implements Gateway {
  readonly #world: GatewayWorld
  readonly #options: GatewayOptions
  readonly #lines: LogLines
  readonly #bounces: BounceLog
  readonly #router: Router
  readonly #pool: StreamPool
  #snapshot!: Snapshot
  #resolver!: Resolver
  #components!: Components
  #intake!: Intake
  #evidence: EvidenceFolder | undefined
  #recollection!: Recollection
  readonly #roots: TrustedRoots
  #generation = 0
  /** Outlives every snapshot: a reload forgets no document. */
  readonly #poshMemory: PoshMemory
  #listeners: { readonly kind: ListenerKind; readonly at: SocketAddress | SocketPath; readonly listener: Listener }[] = []
  readonly #reloading: Reloading
  readonly #admin: AdminSocket
  readonly #own: OwnDomains
  #startedAt = 0
  readonly ended: Promise<DrainResult>
  #tellEnd!: (result: DrainResult) => void
  #ending: Promise<DrainResult> | undefined
  #hurry: () => void = () => {}
  state: GatewayState = "running"

  constructor(world: GatewayWorld, options: GatewayOptions) {
    this.#world = world
    this.#poshMemory = new PoshMemory(world.clock, options.poshLimits)
    this.#options = options
    this.#roots = new TrustedRoots((trust) => world.anchors(trust))
    this.#lines = new LogLines(world.log)
    this.#bounces = new BounceLog(world.clock, this.#lines)
    this.ended = new Promise((resolve) => {
      this.#tellEnd = resolve
    })
    this.#reloading = new Reloading({
      world,
      lines: this.#lines,
      allowInlineSecrets: options.allowInlineSecrets === true,
      running: () => this.state === "running",
      snapshot: () => this.#snapshot,
      resolver: () => this.#resolver,
      make: (config, changed) => this.#makeSnapshot(config, changed),
      adopt: (after, resolver, changed) => this.#adopt(after, resolver, changed),
      told: (after, before) => this.#tellCertificates(after, before),
      broken: (error) => this.#broken(error, {}),
      looked: () => this.#recollection.look([...this.incoming, ...this.outgoing.flatMap(({ stream }) => stream ?? [])]),
    })
    this.#admin = this.#makeAdmin()
    this.#own = new OwnDomains({
      world,
      lines: this.#lines,
      snapshot: () => this.#snapshot,
      resolver: { resolve: (name, type, resolveOptions) => this.#resolver.resolve(name, type, resolveOptions) },
      listening: () => [...this.addresses.s2s, ...this.addresses.directTls],
      replan: () => void this.#reloading.certificates(new Set()),
      broken: (error, fields) => this.#broken(error, fields),
      poshPort: options.poshPort,
      selfCheck: options.selfCheck === true,
    })
    this.#router = new Router({
      component: (domain) => this.#components.slot(domain),
      // A domain that is leaving opens no stream for its last words.
      remote: (pair) => {
        if (!this.#snapshot.hosting.hosts(pair.sender)) return this.#pool.openWay(pair)
        this.#recollection.ratchet.exchanged(pair.target, "out")
        return this.#pool.way(pair)
      },
      bounced: (from, to, why, answered) => this.#bounces.add(from, to, why, answered),
      load: this.#load,
    })
    this.#pool = new StreamPool({
      clock: world.clock,
      random: world.random,
      flushes: this.#flushes,
      limits: () => ({ queue: this.config.limits.queue, retryMaxMs: this.config.retryMaxMs, idleMs: this.config.idleTimeoutMs, ...poolLimits }),
      open: (pair, signal, former) => this.#carriers.open(pair, signal, former),
      undelivered: (_pair, stanzas, why) => {
        for (const bytes of stanzas) this.#router.bounceQueued(parseQueued(bytes, ns.server), why)
      },
      pairOf: (stanza) => pairOfStanza(parseQueued(stanza, ns.server)),
      reroute: (_pair, stanzas) => {
        for (const bytes of stanzas) this.#router.again(parseQueued(bytes, ns.server))
      },
      failed: (pair, failure, next) => {
        const text = `no stream, stanzas bounce until the next try: ${findingSentence(failure.finding, failure.detail)}`
        this.#lines.write("warn", "s2s.retry", { dir: "out", from: pair.sender, to: pair.target, finding: failure.finding, retry: new Date(next).toISOString(), text })
      },
      lost: (pair, stream, count) =>
        this.#lines.write("warn", "s2s.lost", { sid: stream, dir: "out", from: pair.sender, to: pair.target, unacknowledged: count, text: `${count} stanzas were written to a stream that broke and may not have arrived` }),
      broken: (pair, error) => this.#broken(error, { from: pair.sender, to: pair.target }),
      forgotten: () => this.#router.changed(),
    })
  }

  readonly #flushes = new FlushList()
  readonly #load = new Load(() => this.#snapshot.config.limits.queued)
  #federation!: Federation
  #carriers!: Carriers

  get config(): GatewayConfig {
    return this.#snapshot.config
  }

  get components(): readonly ComponentSession[] {
    return this.#components.sessions
  }

  get incoming(): readonly IncomingStream[] {
    return this.#intake.streams
  }

  get outgoing(): readonly PoolView[] {
    return this.#pool.views
  }

  get standings(): ReadonlyMap<Domain, OwnStanding> {
    return this.#own.standings
  }

  get renewals(): readonly RolloverView[] {
    return this.#own.renewals
  }

  // Start.

  async start(config: GatewayConfig): Promise<void> {
    const { clock, random, tls, https } = this.#world
    this.#startedAt = clock.now()
    await this.#own.open(config)
    this.#snapshot = await this.#makeSnapshot(config)
    this.#resolver = await ableResolver(config, this.#world)
    await this.#openEvidence(config)
    this.#recollection = new Recollection({ world: this.#world, lines: this.#lines, config: () => this.config })
    this.#federation = {
      ports: {
        dial: this.#world.dial(() => this.#snapshot.hosting.reach),
        tls,
        https,
        clock,
        random,
        resolver: { resolve: (name, type, resolveOptions) => this.#resolver.resolve(name, type, resolveOptions) },
      },
      current: () => this.#snapshot.hosting,
      event: (event) => this.#event(event),
      keys: new KeyRing(random, clock),
      claims: new ClaimGuard(clock, { ...defaultClaimLimits, ...this.#options.claimLimits }),
      abilities: this.#recollection.abilities,
      ratchet: this.#recollection.ratchet,
      management: managementShare(clock, random),
    }
    const shared = { clock, random, load: this.#load, flushes: this.#flushes, lines: this.#lines, router: this.#router }
    this.#components = new Components({
      ...shared,
      times: { ...defaultComponentTimes, ...this.#options.componentTimes },
      config: () => this.config,
      hosting: () => this.#snapshot.hosting,
    })
    this.#components.configured(undefined)
    this.#intake = new Intake({ ...shared, federation: this.#federation, limits: () => this.config.limits, idleMs: () => this.config.idleTimeoutMs, reachable: (domain, stream) => this.#carriers.reachable(domain, stream) })
    this.#carriers = new Carriers(this.#federation, this.#intake)
    try {
      await this.#listen(config)
      this.#own.adopted(undefined, this.#snapshot)
      await this.#own.listen(config)
      if (config.listen.admin !== undefined) await this.#admin.open(config.listen.admin)
    } catch (error) {
      this.state = "closed"
      await Promise.all([this.#stopListening(), this.#admin.close(), this.#own.stop()])
      // Somebody may have come in by a listener that was bound before the one that failed.
      await Promise.all([this.#components.close("system-shutdown"), this.#intake.close("system-shutdown"), this.#pool.close()])
      await this.#recollection.close()
      throw error
    }
    this.#tellCertificates(this.#snapshot)
    this.#own.begin()
    this.#reloading.begin()
    this.#lines.write("info", "gateway.ready", { node: config.node, domains: config.domains.size, text: this.#readyText() })
  }

  #readyText(): string {
    const listening = this.#listeners.map(({ kind, at, listener }) => `${kind} ${addressLabel("path" in at ? at : listener.address)}`)
    const admin = this.#admin.path === undefined ? [] : [`admin ${addressLabel(this.#admin.path)}`]
    return `ready: ${this.config.domains.size} domains, listening on ${[...listening, ...admin].join(", ")}`
  }

  async #makeSnapshot(config: GatewayConfig, changed?: Changed): Promise<Snapshot> {
    this.#generation += 1
    const before = this.#generation === 1 ? undefined : this.#snapshot
    const { files, startFiles = files } = this.#world
    const made = await makeSnapshot(config, this.#generation, before?.onDisk ?? noCertificates, {
      files: before === undefined ? startFiles : files,
      ...(changed === undefined ? {} : { changed }),
      clock: this.#world.clock,
      anchors: (trust) => this.#roots.of(trust, changed),
      ownListeners: () => this.#ownListeners(),
      poshMemory: this.#poshMemory,
      ...(this.#options.poshPort === undefined ? {} : { poshPort: this.#options.poshPort }),
      renewals: (input) => this.#own.plan({ ...input, previous: before?.certificates }),
    })
    const { alterHosting } = this.#options
    return alterHosting === undefined ? made : { ...made, hosting: alterHosting(made.hosting) }
  }

  /** security.md 17: what we listen on ourselves is never dialled. */
  #ownListeners(): readonly OwnListener[] {
    if (this.#world.ownListeners !== undefined) return this.#world.ownListeners()
    return this.#listeners.flatMap(({ at, listener }) => ("path" in at ? [] : [listener.address]))
  }

  async #openEvidence(config: GatewayConfig): Promise<void> {
    const { state } = config
    if (state === undefined) return
    const seal = state.seal === undefined ? undefined : await openSealKey(state.seal, this.#world)
    if (seal !== undefined) this.#lines.write("info", "evidence.seal", { key: sealKeyName(seal), text: `evidence is sealed by ${sealKeyName(seal)}: judge it with --key` })
    this.#evidence = new EvidenceFolder(
      state.dir,
      { files: state.evidenceFiles, octets: state.evidenceBytes },
      { files: this.#world.files, clock: this.#world.clock, lines: this.#lines, version: this.#options.version ?? "0", seal },
    )
    try {
      await this.#evidence.open()
    } catch (error) {
      throw new ConfigError([{ place: state.dir, setting: "state.dir", sentence: `The folder cannot be used: ${reason(error)}. Make it, owned by the gateway's user, mode 700.` }])
    }
  }

  async #listen(config: GatewayConfig): Promise<void> {
    const bind = async (kind: ListenerKind, at: SocketAddress | SocketPath, accept: (channel: Channel) => void) => {
      try {
        this.#listeners.push({ kind, at, listener: await this.#world.listen.listen(at, accept) })
      } catch (error) {
        throw new ConfigError([{ place: config.sources[0] ?? "configuration", setting: `listen.${kind === "directTls" ? "direct_tls" : kind}`, sentence: `${addressLabel(at)} cannot be listened on: ${reason(error)}.` }])
      }
    }
    for (const at of config.listen.s2s) await bind("s2s", at, (channel) => this.#intake.accept(channel, "starttls"))
    for (const at of config.listen.directTls) await bind("directTls", at, (channel) => this.#intake.accept(channel, "direct-tls"))
    for (const at of config.listen.components) await bind("components", at, (channel) => this.#components.accept(channel))
  }

  get addresses(): GatewayAddresses {
    const bound = (kind: ListenerKind) => this.#listeners.filter((each) => each.kind === kind)
    const network = (kind: "s2s" | "directTls") => bound(kind).map(({ listener }) => listener.address)
    const admin = this.#admin.path
    return {
      s2s: network("s2s"),
      directTls: network("directTls"),
      components: bound("components").map(({ at, listener }) => ("path" in at ? at : listener.address)),
      posh: this.#own.addresses("posh"),
      poshHttps: this.#own.addresses("posh_https"),
      ...(admin === undefined ? {} : { admin }),
    }
  }

  // Administration.

  #makeAdmin(): AdminSocket {
    const { clock, files, listen, random } = this.#world
    const tenants = new TenantFiles({ files, random, reloading: this.#reloading, config: () => this.config })
    const verbs = {
      lines: this.#lines,
      reloading: this.#reloading,
      tenants,
      sights: () => this.#sights(),
      abandon: (domain: Domain) => this.#own.abandon(domain),
      drain: () => void this.drain(),
    }
    return new AdminSocket({
      clock,
      listen,
      files,
      lines: this.#lines,
      answer: (request) => answerVerb(request, verbs),
      broken: (error) => this.#broken(error, {}),
    })
  }

  #sights(): GatewaySights {
    return {
      version: this.#options.version ?? "0",
      startedAt: this.#startedAt,
      state: this.state,
      snapshot: this.#snapshot,
      addresses: this.addresses,
      components: this.components,
      incoming: this.incoming,
      outgoing: this.outgoing,
      lastReload: this.#reloading.last,
      component: (domain) => this.#components.slot(domain)?.session,
      facts: (domain) => this.#own.facts(domain),
    }
  }

  // Events and trouble.

  #event(event: FederationEvent): void {
    this.#lines.event(event)
    if (event.kind === "refused") this.#evidence?.keep(event)
    if (event.kind === "associated") this.#recollection.ratchet.associated(event.association)
    this.#options.event?.(event)
  }

  #broken(error: unknown, fields: Readonly<Record<string, unknown>>): void {
    this.#lines.write("error", "gateway.error", { ...fields, text: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }

  #tellCertificates({ certificates, warnings }: Snapshot, before?: Snapshot): void {
    const told = new Set(before?.warnings.map(({ sentence }) => sentence))
    for (const { event, domain, path, sentence } of warnings) {
      if (told.has(sentence)) continue
      this.#lines.write(event === "cert.refused" ? "error" : "warn", event, { ...(domain === undefined ? {} : { domain }), ...(path === undefined ? {} : { path }), text: sentence })
    }
    const { count, nearestExpiry } = certificates
    const nearest = nearestExpiry === undefined ? "" : `, nearest expiry ${new Date(nearestExpiry.at).toISOString().slice(0, 10)} (${nearestExpiry.domain})`
    this.#lines.write("info", "cert.loaded", { count, text: `certificates for ${count} of ${this.config.domains.size} domains${nearest}` })
  }

  // Reload.

  reload(config?: GatewayConfig): Promise<ReloadResult> {
    return this.#reloading.reload(config)
  }

  #adopt(after: Snapshot, resolver: Resolver, changed: Changed): void {
    const before = this.#snapshot
    this.#snapshot = after
    this.#resolver = resolver
    this.#own.adopted(before, after)
    const { hosting } = after
    this.#pool.giveBack((sender) => before.hosting.hosts(sender) && !hosting.hosts(sender))
    this.#components.configured(before.config)
    this.#rejudge(changed === undefined ? undefined : touchedDomains(before, after))
  }

  /**
   * security.md 10: live pairs are judged against the new policy, anchors and hosted names at once.
   *
   * @param touched those of our domains that changed; undefined: all may have
   */
  #rejudge(touched: ReadonlySet<Domain> | undefined): void {
    const { hosting, config } = this.#snapshot
    const concerns = ({ sender, target }: DomainPair): boolean => touched === undefined || touched.has(sender) || touched.has(target)
    this.#intake.recheck(concerns)
    this.#pool.reloaded((pair) => hosting.hosts(pair.sender) && !config.domains.has(pair.target), concerns)
    this.#flushes.flush()
  }

  // Shutdown.

  drain(): Promise<DrainResult> {
    if (this.#ending !== undefined) this.#hurry()
    this.#ending ??= this.#end(this.config.shutdown.drainMs, this.config.shutdown.deadlineMs)
    return this.#ending
  }

  close(): Promise<DrainResult> {
    if (this.#ending !== undefined) this.#hurry()
    this.#ending ??= this.#end(0, 0)
    return this.#ending
  }

  async #stopListening(): Promise<void> {
    const listeners = this.#listeners.splice(0)
    await Promise.all(listeners.map(({ listener }) => listener.close()))
  }

  async #end(drainMs: number, deadlineMs: number): Promise<DrainResult> {
    const { clock } = this.#world
    this.state = "draining"
    const hurried = new Promise<void>((resolve) => {
      this.#hurry = resolve
    })
    const cancels: (() => void)[] = []
    const wait = (ms: number): Promise<void> =>
      new Promise((resolve) => {
        cancels.push(clock.after(ms, resolve))
        void hurried.then(resolve)
      })
    const deadline = wait(deadlineMs)
    this.#lines.write("info", "drain.begin", { drain: drainMs, deadline: deadlineMs, text: `stopping: serving for ${drainMs / 1000} s more, then closing within ${deadlineMs / 1000} s` })
    if (drainMs > 0) await wait(drainMs)
    this.#reloading.stop()
    const closing = Promise.all([this.#stopListening(), this.#admin.stopListening(), this.#own.stop()])
    this.#lines.write("info", "drain.listeners", { text: "no new connections are accepted" })
    const untold = this.#bounces.untold
    // Whoever could send more is told first, so that the queues can only become shorter.
    const inputs = Promise.all([this.#components.close("system-shutdown"), this.#intake.close("system-shutdown"), closing])
    let inTime = false
    await Promise.race([Promise.all([inputs, this.#pool.drained()]).then(() => {
      inTime = true
    }), deadline])
    const lost = this.#pool.unsent + this.#bounces.untold - untold
    const streams = this.#pool.close()
    await Promise.race([Promise.all([inputs, streams]), lastWord(clock, cancels)])
    for (const cancel of cancels) cancel()
    this.#bounces.flush()
    await Promise.all([this.#evidence?.settled(), this.#admin.close()])
    await this.#recollection.close()
    this.state = "closed"
    this.#lines.write(lost > 0 ? "warn" : "info", "drain.end", { lost, inTime, text: lost > 0 ? `stopped; ${lost} stanzas were lost` : "stopped; nothing was lost" })
    this.#tellEnd({ lost, inTime })
    return { lost, inTime }
  }
}

function pairOfStanza(stanza: XmlElement): DomainPair | undefined {
  const sender = domainOfJid(attr(stanza, "from") ?? "")
  const target = domainOfJid(attr(stanza, "to") ?? "")
  return sender === undefined || target === undefined ? undefined : { sender, target }
}

function lastWord(clock: Clock, cancels: (() => void)[]): Promise<void> {
  return new Promise((resolve) => cancels.push(clock.after(lastWordMs, resolve)))
}
