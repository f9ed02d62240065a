// Everything about our own domains that goes on beside their streams: documents for POSH and the listeners that serve them,
// renewals that are held back, and what peers will conclude about us (docs/operating.md).
import type { Resolver } from "../model/dns-answer.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import { ConfigError } from "../model/errors.ts"
import { guardAddress } from "../model/reach.ts"
import type { Listener, NetworkAddress, TlsCredentials } from "../ports.ts"
import { createPosh } from "../proof/posh.ts"
import type { DomainFacts } from "./admin-views.ts"
import type { GatewayConfig, HostedDomain, SocketAddress, SocketPath } from "./config.ts"
import { addressLabel, reason } from "./config-values.ts"
import type { GatewayWorld } from "./contract.ts"
import type { LogLines } from "./log-lines.ts"
import { type OwnStanding, ownStanding } from "./own-standing.ts"
import { withOwnWeb } from "./own-web.ts"
import { poshHandler } from "./posh-publisher.ts"
import { lookAgain } from "./rollover.ts"
import { RolloverDesk } from "./rollover-desk.ts"
import { chainOf, type RolloverInput, type RolloverNews, type RolloverPlan, type RolloverView } from "./rollover-outcome.ts"
import { RolloverStore } from "./rollover-state.ts"
import { ShardedMap } from "./sharded-map.ts"
import { SelfCheck, summaryText } from "./self-check.ts"
import type { Snapshot } from "./snapshot.ts"

export interface OwnDomainsSurroundings {
  readonly world: GatewayWorld
  readonly lines: LogLines
  snapshot(): Snapshot
  readonly resolver: Resolver
  /** Where streams are accepted. */
  listening(): readonly NetworkAddress[]
  /** Certificates are looked at again, and so is what holds them back. */
  replan(): void
  broken(error: unknown, fields: Readonly<Record<string, unknown>>): void
  readonly poshPort: number | undefined
  /** Whether our domains are judged at all. */
  readonly selfCheck: boolean
}

/** Timers of one turn; longer waits are taken in several. */
const longestTimer = 12 * 3_600_000
/** What several looks into DNS bring in a moment is planned with once, ms. */
const gatherMs = 1000

interface Bound {
  readonly kind: "posh" | "posh_https"
  readonly at: SocketAddress | SocketPath
  readonly listener: Listener
}

export class OwnDomains {
  readonly #around: OwnDomainsSurroundings
  readonly #check: SelfCheck
  readonly #handle = poshHandler((name) => this.#desk?.document(name))
  #desk: RolloverDesk | undefined
  #bound: Bound[] = []
  /** Of a name whose certificate is shown for others: one of those. */
  #shownAs: ReadonlyMap<Domain, Domain> = new Map()
  #cancelTimer: () => void = () => {}
  #cancelGather: (() => void) | undefined
  #begun = false

  constructor(around: OwnDomainsSurroundings) {
    this.#around = around
    const { clock } = around.world
    this.#check = new SelfCheck({
      clock,
      domains: () => [...around.snapshot().config.domains.values()].filter(({ suspended }) => !suspended).map(({ name }) => name),
      judge: (domain, signal) => this.#judge(domain, signal),
      seen: (domain, looks) => {
        this.#desk?.seen(domain, looks, clock.now())
        if (this.#desk?.wantSight.includes(domain) === true) this.#gather()
      },
      changed: (standing) => this.#tell(standing),
      round: (standings) => around.lines.write("info", "own.checked", { domains: standings.size, text: summaryText(standings.values()) }),
      broken: (domain, error) => around.broken(error, { domain }),
    })
  }

  /** Remembers what an earlier run left; before the first snapshot is made. */
  async open(config: GatewayConfig): Promise<void> {
    const { files } = this.#around.world
    const trouble = (text: string): void => this.#around.lines.write("error", "state.failed", { text })
    const store = config.state === undefined ? undefined : new RolloverStore(config.state.dir, files, trouble)
    this.#desk = new RolloverDesk({ files, store, news: (news) => this.#write(news), looks: this.#around.selfCheck })
    await this.#desk.open()
  }

  /** For the snapshot that is being made; changes nothing. */
  async plan(input: RolloverInput): Promise<RolloverPlan | undefined> {
    return await this.#desk?.plan(input)
  }

  /** The snapshot is in force. */
  adopted(before: Snapshot | undefined, after: Snapshot): void {
    const { clock } = this.#around.world
    const { renewals, config } = after
    const differing = ShardedMap.differences(before?.config.domains ?? ShardedMap.empty<Domain, HostedDomain>(), config.domains)
    if (differing.some((name) => [before?.config.domains.get(name), config.domains.get(name)].some((hosted) => hosted?.certificate !== undefined))) {
      this.#shownAs = new Map([...config.domains.values()].flatMap(({ name, certificate }) => (certificate === undefined ? [] : [[certificate, name] as const])))
    }
    if (renewals !== undefined) {
      this.#desk?.commit(renewals, clock.now())
      this.#schedule(renewals.again)
    }
    if (!this.#begun || before === undefined) return
    if (differing.some((name) => config.domains.get(name)?.suspended !== false)) {
      this.#check.forgetOthers()
      this.#desk?.forgetOthers((domain) => config.domains.has(domain))
    }
    // security.md 10: other anchors or another way of asking DNS may change every verdict.
    const all = before.hosting.anchors.digest !== after.hosting.anchors.digest || before.config.dnssec !== config.dnssec
    if (all) this.#check.check(config.domains.keys())
    else this.#check.check([...differing, ...before.certificates.differences(after.certificates)].filter((domain) => config.domains.has(domain) && shownText(before, domain) !== shownText(after, domain)))
  }

  #schedule(again: number | undefined): void {
    const { clock } = this.#around.world
    this.#cancelTimer()
    if (again === undefined) return
    const due = again - clock.now()
    this.#cancelTimer = clock.after(Math.max(1, Math.min(due, longestTimer)), () => {
      if (this.#begun) this.#check.check(this.#desk?.wantSight ?? [], true)
      if (due > longestTimer) this.#schedule(again)
      else {
        // A plan that is refused, because of a certificate of somebody else's, say, must not be the last.
        this.#schedule(clock.now() + lookAgain)
        this.#around.replan()
      }
    })
  }

  #gather(): void {
    this.#cancelGather ??= this.#around.world.clock.after(gatherMs, () => {
      this.#cancelGather = undefined
      this.#around.replan()
    })
  }

  /**
   * Binds `listen.posh` and `listen.posh_https`.
   *
   * @throws ConfigError naming the address that cannot be listened on
   */
  async listen(config: GatewayConfig): Promise<void> {
    for (const at of config.listen.posh) await this.#bind("posh", at, config)
    for (const at of config.listen.poshHttps) await this.#bind("posh_https", at, config)
  }

  async #bind(kind: Bound["kind"], at: SocketAddress | SocketPath, config: GatewayConfig): Promise<void> {
    const { httpServe } = this.#around.world
    try {
      if (httpServe === undefined) throw new Error("there is no HTTP server here")
      const tls = kind === "posh" ? [] : [{ pick: (serverName: string | undefined) => (serverName === undefined ? undefined : this.#credentials(serverName)) }]
      this.#bound.push({ kind, at, listener: await httpServe.serve(at, this.#handle, ...tls) })
    } catch (error) {
      throw new ConfigError([{ place: config.sources[0] ?? "configuration", setting: `listen.${kind}`, sentence: `${addressLabel(at)} cannot be listened on: ${reason(error)}.` }])
    }
  }

  #credentials(serverName: string): TlsCredentials | undefined {
    const name = tryDomain(serverName)
    if (name === undefined) return undefined
    const { certificates } = this.#around.snapshot()
    const other = this.#shownAs.get(name)
    return (certificates.pick(name) ?? (other === undefined ? undefined : certificates.pick(other)))?.credentials
  }

  /** What is bound, for `addresses` and the start-up text. */
  addresses(kind: Bound["kind"]): readonly (NetworkAddress | SocketPath)[] {
    return this.#bound.filter((each) => each.kind === kind).map(({ at, listener }) => ("path" in at ? at : listener.address))
  }

  /** Everything is ready: our domains are judged from now on. */
  begin(): void {
    if (!this.#around.selfCheck) return
    this.#begun = true
    this.#check.begin()
  }

  async stop(): Promise<void> {
    this.#check.stop()
    this.#cancelTimer()
    this.#cancelGather?.()
    await Promise.all([...this.#bound.splice(0).map(({ listener }) => listener.close()), this.#desk?.settled()])
  }

  async #judge(domain: Domain, signal: AbortSignal) {
    const { world, snapshot, resolver, listening, poshPort } = this.#around
    const { certificates, config, hosting } = snapshot()
    const shown = certificates.pick(domain)
    // Without the memory of documents: what is published now counts, not what was.
    const posh = createPosh({ older: config.poshOlder, ...(poshPort === undefined ? {} : { port: poshPort }) })
    return await ownStanding({
      domain,
      chain: shown === undefined ? undefined : chainOf(shown),
      poshServed: config.domains.get(domain)?.posh?.serve === true || this.#desk?.document(domain) !== undefined,
      hosting,
      prooftypes: hosting.prooftypes.map((prooftype) => (prooftype.name === "posh" ? posh : prooftype)),
      resolver,
      https: withOwnWeb(world.https, {
        isOwn: (to) => this.#isOwnWeb(to),
        credentials: (serverName) => this.#credentials(serverName),
        handle: this.#handle,
      }),
      random: world.random,
      listening: listening(),
      now: () => world.clock.now(),
      signal,
    })
  }

  #isOwnWeb(to: NetworkAddress): boolean {
    const { reach } = this.#around.snapshot().hosting
    const ports = this.#bound.flatMap(({ kind, at, listener }) => (kind === "posh_https" && !("path" in at) ? [listener.address.port] : []))
    const guard = guardAddress(to.address, reach, to.port)
    return ports.includes(to.port) && !guard.ok && guard.refused === "own-listener"
  }

  #tell({ domain, problems, proofs, proved }: OwnStanding): void {
    const proof = proofs.filter(({ outcome }) => outcome === "proved").map(({ name }) => name)
    if (problems.length === 0) this.#around.lines.write("info", "own.good", { domain, proof, text: `${domain}: nothing is wrong any more` })
    for (const { finding, sentence } of problems) this.#around.lines.write("warn", "own.problem", { domain, finding, proved, proof, text: sentence })
  }

  #write({ event, domain, loud, text }: RolloverNews): void {
    this.#around.lines.write(loud ? "error" : "info", event, { domain, text })
  }

  // For `ctl`.

  get standings(): ReadonlyMap<Domain, OwnStanding> {
    return this.#check.standings
  }

  get renewals(): readonly RolloverView[] {
    return this.#desk?.views() ?? []
  }

  /** The old certificate of this domain counts no more: its key was stolen, say. */
  abandon(domain: Domain): void {
    this.#desk?.abandon(domain)
    this.#around.replan()
  }

  /** What is known beside the snapshot about one domain. */
  facts(domain: Domain): DomainFacts | undefined {
    const standing = this.#check.standings.get(domain)
    const view = this.#desk?.view(domain)
    const keyInDns = this.#desk?.keyInDns(domain)
    if (standing === undefined && view === undefined && keyInDns === undefined) return undefined
    return {
      ...(standing === undefined ? {} : { proofs: standing.proofs.map(({ name, outcome, detail }) => ({ prooftype: name, outcome, detail })) }),
      ...(keyInDns === undefined ? {} : { keyInDns }),
      ...(view === undefined || view.posh.length === 0 ? {} : { posh: poshText(view) }),
      ...(view?.held === undefined ? {} : { candidate: candidateOf(view, view.held) }),
    }
  }
}

function candidateOf({ onDisk }: RolloverView, { until, sentence }: NonNullable<RolloverView["held"]>): NonNullable<DomainFacts["candidate"]> {
  return { fingerprint: onDisk.fingerprint, notBefore: onDisk.notBefore, ...(until === undefined ? {} : { heldUntil: until }), because: sentence }
}

/** `7 d, 2 certs` (a table of 80 columns has no room for more), or `host.example` for one that is served under another name. */
function poshText({ domain, posh }: RolloverView): string {
  const own = posh.find(({ name }) => name === domain)
  if (own === undefined) return `by ${posh.map(({ name }) => name).join(", ")}`
  const hours = Math.round(own.expiresMs / 3_600_000)
  const count = own.fingerprints.length
  return `${hours % 24 === 0 ? `${hours / 24} d` : `${hours} h`}, ${count} cert${count === 1 ? "" : "s"}`
}

/** What of a domain decides how it stands. */
function shownText({ certificates, config }: Snapshot, domain: Domain): string {
  const hosted = config.domains.get(domain)
  return [certificates.pick(domain)?.leaf.fingerprint, hosted?.suspended, hosted?.certificate, JSON.stringify(hosted?.posh)].join(" ")
}
