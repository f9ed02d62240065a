// The gateway's configuration: files in, one immutable `GatewayConfig` or a `ConfigError` out (docs/operating.md;
// security.md 10, 17, 21). Nothing here touches the machine: files, environment and time are arguments.
import { guardName } from "../model/reach.ts"
import type { Cidr } from "../model/address.ts"
import type { Domain } from "../model/domain.ts"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"
import type { FederationPolicy, PolicyException, RequiredLevel } from "../model/policy.ts"
import type { Instant } from "../model/verdict.ts"
import type { LogLevel } from "../ports.ts"
import type { EndpointOverride, StreamUses } from "../federation/contract.ts"
import type { RatchetMode, RatchetOverride } from "../federation/ratchet.ts"
import { builtInProoftypes } from "../proof/registry.ts"
import type { AnchorSet } from "../dns/dnssec/anchors.ts"
import { checkDnssec, readDnsAnchors } from "./config-dnssec.ts"
import { besideFile, type FileRecord, type HostedDomain, isUnchanged, readDomains, readText, type RecordWorld } from "./config-domains.ts"
import { clashingFolders, hostedBy, type HostedMemory, type Included, readIncluded } from "./config-hosted.ts"
import type { IncludeLine } from "./config-include.ts"
import { problemsOf } from "./config-problems.ts"
import { configSchema, type DnssecMode, type RawConfig, type Trust } from "./config-schema.ts"
import { holds, type Rest, stampOf } from "./config-secrets.ts"
import { type ConfigText, inOrder } from "./config-text.ts"
import type { SocketAddress, SocketPath } from "./config-values.ts"

export type { DnssecMode, Trust } from "./config-schema.ts"
export type { HostedDomain, PoshSetting } from "./config-domains.ts"
export type { SocketAddress, SocketPath } from "./config-values.ts"

export interface GatewayLimits {
  /** Octets of one stanza. */
  readonly stanza: number
  readonly depth: number
  /** Octets that may wait for one destination. */
  readonly queue: number
  /** Octets that one input may have waiting before its reading pauses. */
  readonly input: number
  /** Octets that may wait in all. */
  readonly queued: number
  readonly unauthenticatedPerIp: number
  readonly unauthenticatedTotal: number
  /** Time a connection has to prove its first domain, ms. */
  readonly unauthenticatedMs: number
  /** Streams of all kinds at once. */
  readonly streams: number
}

/** Immutable; a reload makes a new one. */
export interface GatewayConfig {
  readonly node: string
  readonly listen: {
    readonly s2s: readonly SocketAddress[]
    readonly directTls: readonly SocketAddress[]
    readonly components: readonly (SocketAddress | SocketPath)[]
    /** Plain HTTP for POSH documents, to stand behind a web server. */
    readonly posh: readonly (SocketAddress | SocketPath)[]
    readonly poshHttps: readonly SocketAddress[]
    readonly admin?: SocketPath
  }
  readonly require: RequiredLevel
  readonly proofs: ReadonlySet<string>
  /** TLSA usages in use. */
  readonly daneUsages: readonly number[]
  /** Whether the older form of POSH documents is asked for, too. */
  readonly poshOlder: boolean
  readonly dialback: boolean
  /** What streams may do beyond carrying one pair one way, and for which peers they may not. */
  readonly streams: StreamUses
  readonly peers: ReadonlyMap<Domain, StreamUses>
  readonly exceptions: readonly PolicyException[]
  readonly ratchet: { readonly mode: RatchetMode; readonly overrides: readonly RatchetOverride[] }
  readonly idleTimeoutMs: number
  readonly retryMaxMs: number
  /** Negotiation of one stream, ms. */
  readonly timeoutMs: number
  /** Upstream resolvers; empty: the system's. */
  readonly resolvers: readonly SocketAddress[]
  readonly dnssec: DnssecMode
  /** Of DNSSEC; absent: those of the root. */
  readonly dnsAnchors?: AnchorSet
  readonly trust: Trust
  readonly allow: { readonly networks: readonly Cidr[]; readonly names: readonly Domain[] }
  readonly overrides: ReadonlyMap<Domain, EndpointOverride>
  readonly certificates: { readonly dirs: readonly string[]; readonly reload: "watch" | "signal"; readonly warnMs: number }
  /** Folders of certificates that serve only the domains of one included file, by that file. */
  readonly tenantDirs: ReadonlyMap<string, readonly string[]>
  /** All that are ours, the suspended ones among them. */
  readonly domains: ReadonlyMap<Domain, HostedDomain>
  readonly limits: GatewayLimits
  readonly log: { readonly level: LogLevel; readonly format: "auto" | "pretty" | "json" }
  readonly shutdown: { readonly drainMs: number; readonly deadlineMs: number }
  readonly state: { readonly dir: string; readonly evidenceFiles: number; readonly evidenceBytes: number; readonly seal?: string } | undefined
  /** Every file that was read, the main one first. */
  readonly sources: readonly string[]
  /** The `include` lines, absolute: where files may appear. */
  readonly include: readonly string[]
}

export interface ConfigWorld extends RecordWorld {
  readonly now: Instant
  /** What was loaded last: what has not changed since is taken from it. */
  readonly previous?: GatewayConfig
}

export interface LoadedConfig {
  readonly config: GatewayConfig
  /** What is allowed but should be looked at. */
  readonly warnings: readonly ConfigProblem[]
}

/**
 * Reads and checks a configuration file with its includes. Every problem is reported, not only the first.
 *
 * @param path of the main file
 * @throws ConfigError with `file:line:column`, the setting and what to do (exit status 78)
 */
export async function loadConfig(path: string, world: ConfigWorld): Promise<LoadedConfig> {
  const before = world.previous === undefined ? undefined : memories.get(world.previous)
  const { main, problems: own } = await readMain(path, world, before?.main)
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  const included = await readIncluded(main.include, world, before?.included)
  problems.push(...included.problems)
  const parts = { main, included }
  const { memory: hosted, problems: clashes } = hostedBy(parts, before)
  problems.push(...clashes, ...own, ...clashingFolders(parts, before))
  if (hosted.domains.size === 0 && problems.length === 0) {
    problems.push({ place: main.domainsPlace, setting: "domains", sentence: "No domain is hosted: name at least one under `domains`." })
  }
  if (problems.length > 0) throw new ConfigError(problems)
  for (const { until, warning } of main.endings) if (until <= world.now) warnings.push(warning)
  warnings.push(...included.warnings, ...main.warnings)
  for (const { warnings: each } of included.notable.values()) warnings.push(...each)
  const config = build(main, hosted.domains, included)
  memories.set(config, { main, included, hosted })
  return { config, warnings }
}

/** What a configuration was made of. */
interface ConfigMemory {
  readonly main: MainRecord
  readonly included: Included
  readonly hosted: HostedMemory
}

const memories = new WeakMap<GatewayConfig, ConfigMemory>()

/** The main file: everything but its domains as it was read, its domains as a record. */
interface MainRecord extends FileRecord {
  /** `dirs` are those of the operator here. */
  readonly raw: Omit<RawConfig, "domains">
  readonly include: readonly IncludeLine[]
  readonly dnsAnchors: AnchorSet | undefined
  /** Of the file with those anchors. */
  readonly anchorsRest: Rest | undefined
  /** Exceptions that end, with what is said when they have. */
  readonly endings: readonly { readonly until: Instant; readonly warning: ConfigProblem }[]
  /** Where domains would be named. */
  readonly domainsPlace: string
}

async function readMain(path: string, world: ConfigWorld, before?: MainRecord): Promise<{ main: MainRecord; problems: readonly ConfigProblem[] }> {
  if (before?.file === path && (await isUnchanged(before, world)) && (before.anchorsRest === undefined || (await holds(before.anchorsRest, world)))) {
    return { main: before, problems: [] }
  }
  const { text, stamp } = await readText(path, world)
  const parsed = configSchema.safeParse(text.value)
  if (!parsed.success) throw new ConfigError(inOrder(problemsOf(configSchema, text, parsed.error.issues)))
  const { domains: entries, ...raw } = parsed.data
  const problems: ConfigProblem[] = []
  const endings = checkPolicy(raw, text, problems)
  checkDnssec(raw, text, problems)
  const anchorsPath = raw.federation.resolver.anchors === undefined ? undefined : besideFile(path, raw.federation.resolver.anchors)
  const anchorsRest = anchorsPath === undefined ? undefined : { path: anchorsPath, stamp: (await stampOf(anchorsPath, world)) ?? "" }
  const dnsAnchors = await readDnsAnchors(raw, text, (file) => world.files.read(file), problems)
  const { domains, problems: wrong, warnings } = await readDomains(entries, text, world, before)
  problems.push(...wrong)
  const include = raw.include.map((pattern, index) => ({ pattern: besideFile(path, pattern), place: text.place(["include", index]) }))
  const dirs = raw.certificates.dirs.map((dir) => besideFile(path, dir))
  const domainsPlace = text.keyPlace(["domains"])
  return { main: { file: path, stamp, domains, dirs, warnings, raw, include, dnsAnchors, anchorsRest, endings, domainsPlace }, problems }
}

type MainSettings = MainRecord["raw"]

function checkPolicy(raw: MainSettings, text: ConfigText, problems: ConfigProblem[]): MainRecord["endings"] {
  const { exceptions, overrides, ratchet } = raw.federation
  unique(
    exceptions.map((each) => each.peer),
    "federation.exceptions",
    (index) => text.place(["federation", "exceptions", index, "peer"]),
    problems,
  )
  unique(
    overrides.map((each) => each.peer),
    "federation.overrides",
    (index) => text.place(["federation", "overrides", index, "peer"]),
    problems,
  )
  unique(
    ratchet.overrides.map((each) => each.peer),
    "federation.ratchet.overrides",
    (index) => text.place(["federation", "ratchet", "overrides", index, "peer"]),
    problems,
  )
  if (ratchet.mode === "enforce" && raw.federation.resolver.dnssec === "off") {
    // security.md 15: what is not validated satisfies no ratchet, so every peer that is remembered would be refused.
    const place = text.place(["federation", "ratchet", "mode"])
    const sentence = "`enforce` needs signed DNS, and `federation.resolver.dnssec` is off, which satisfies no ratchet: write warn or off, or `dnssec: validate`."
    problems.push({ place, setting: "federation.ratchet.mode", sentence })
  }
  for (const [index, override] of overrides.entries()) {
    const guarded = guardName(override.peer, { names: raw.federation.allow.names })
    if (guarded.ok) continue
    const place = text.place(["federation", "overrides", index, "peer"])
    problems.push({ place, setting: `federation.overrides[${index}].peer`, sentence: `${guarded.detail}: allow it in federation.allow.names if it is meant.` })
  }
  if (raw.limits.queue < raw.limits.stanza) {
    problems.push({ place: text.place(["limits", "queue"]), setting: "limits.queue", sentence: "A queue smaller than one stanza (`limits.stanza`) could hold nothing: raise it." })
  }
  if (raw.shutdown.deadline < raw.shutdown.drain) {
    problems.push({ place: text.place(["shutdown", "deadline"]), setting: "shutdown.deadline", sentence: "The deadline ends before `shutdown.drain` does: raise it." })
  }
  checkListeners(raw, text, problems)
  // An exception that has ended closes again and warns; it never keeps the gateway from running.
  const ending = (list: readonly { readonly until: Instant; readonly peer: Domain }[], what: string, path: readonly string[]) =>
    list.map(({ until, peer }, index) => {
      const setting = `${path.join(".")}[${index}].until`
      const sentence = `The ${what} for ${peer} has ended and counts no more [policy.exception-ended].`
      return { until, warning: { place: text.place([...path, index, "until"]), setting, sentence } }
    })
  return [...ending(exceptions, "exception", ["federation", "exceptions"]), ...ending(ratchet.overrides, "override", ["federation", "ratchet", "overrides"])]
}

function checkListeners(raw: MainSettings, text: ConfigText, problems: ConfigProblem[]): void {
  const seen = new Map<string, string>()
  for (const kind of ["s2s", "direct_tls", "components", "posh", "posh_https"] as const) {
    for (const [index, address] of raw.listen[kind].entries()) {
      const label = JSON.stringify(address)
      if ("port" in address && address.port === 0) continue
      const setting = `listen.${kind}[${index}]`
      const before = seen.get(label)
      if (before === undefined) seen.set(label, setting)
      else problems.push({ place: text.place(["listen", kind, index]), setting, sentence: `The address is already used by ${before}.` })
    }
  }
}

function unique(peers: readonly Domain[], setting: string, place: (index: number) => string, problems: ConfigProblem[]): void {
  const seen = new Map<Domain, number>()
  for (const [index, peer] of peers.entries()) {
    const before = seen.get(peer)
    if (before === undefined) seen.set(peer, index)
    else problems.push({ place: place(index), setting: `${setting}[${index}].peer`, sentence: `${peer} is already named at ${place(before)}: remove one of the two.` })
  }
}

/** All that the way of checking DNS signatures allows; DANE rests on them. */
function defaultProofs(dnssec: DnssecMode): readonly string[] {
  return builtInProoftypes.map(({ name }) => name).filter((name) => name !== "dane" || dnssec !== "off")
}

function build({ raw, file, dirs, include, dnsAnchors }: MainRecord, domains: ReadonlyMap<Domain, HostedDomain>, { records, notable }: Included): GatewayConfig {
  const { federation, limits, listen } = raw
  const absolute = (path: string): string => besideFile(file, path)
  let sources: readonly string[] | undefined
  const tenantDirs = new Map<string, readonly string[]>()
  for (const record of notable.values()) if (record.dirs.length > 0) tenantDirs.set(record.file, record.dirs)
  const overrides = new Map<Domain, EndpointOverride>()
  for (const each of federation.overrides) overrides.set(each.peer, { address: each.connect.address, port: each.connect.port, transport: each.transport })
  const resolvers = federation.resolver.address === undefined ? [] : [federation.resolver.address].flat()
  return {
    node: raw.node,
    listen: {
      s2s: listen.s2s,
      directTls: listen.direct_tls,
      components: listen.components,
      posh: listen.posh,
      poshHttps: listen.posh_https,
      ...(listen.admin === undefined ? {} : { admin: listen.admin }),
    },
    require: federation.require,
    proofs: new Set(federation.proofs ?? defaultProofs(federation.resolver.dnssec)),
    daneUsages: [...new Set(federation.dane.usages)],
    poshOlder: federation.posh.older,
    dialback: federation.dialback.offer,
    streams: streamUses(federation),
    peers: new Map(federation.peers.map((each) => [each.peer, streamUses(each)])),
    exceptions: federation.exceptions,
    ratchet: federation.ratchet,
    idleTimeoutMs: federation.idle_timeout,
    retryMaxMs: federation.retry_max,
    timeoutMs: federation.timeout,
    resolvers,
    dnssec: federation.resolver.dnssec,
    ...(dnsAnchors === undefined ? {} : { dnsAnchors }),
    trust: federation.trust.kind === "file" ? { kind: "file", path: absolute(federation.trust.path) } : federation.trust,
    allow: federation.allow,
    overrides,
    certificates: { dirs, reload: raw.certificates.reload, warnMs: raw.certificates.warn },
    tenantDirs,
    domains,
    limits: {
      stanza: limits.stanza,
      depth: limits.depth,
      queue: limits.queue,
      input: limits.input,
      queued: limits.queued,
      unauthenticatedPerIp: limits.unauthenticatedPerIp,
      unauthenticatedTotal: limits.unauthenticatedTotal,
      unauthenticatedMs: limits.unauthenticated,
      streams: limits.streams,
    },
    log: raw.log,
    shutdown: { drainMs: raw.shutdown.drain, deadlineMs: raw.shutdown.deadline },
    state: raw.state === undefined ? undefined : stateOf(raw.state, absolute),
    // Thousands, and rarely asked for.
    get sources() {
      sources ??= [file, ...records.keys()]
      return sources
    },
    include: include.map(({ pattern }) => pattern),
  }
}

/** The policy of this configuration, as the federation core reads it. */
export function policyOf(config: GatewayConfig, generation: number): FederationPolicy {
  return { require: config.require, proofs: config.proofs, exceptions: config.exceptions, generation }
}
function streamUses({ bidi, piggyback, stream_management: streamManagement, pipelining }: { bidi: boolean; piggyback: boolean; stream_management: boolean; pipelining: boolean }): StreamUses {
  return { bidi, piggyback, streamManagement, pipelining }
}

/** A switch for all is off for each. */
export function usesFor(config: Pick<GatewayConfig, "streams" | "peers">, peer: Domain): StreamUses {
  const { streams } = config
  const own = config.peers.get(peer)
  if (own === undefined) return streams
  return {
    bidi: streams.bidi && own.bidi,
    piggyback: streams.piggyback && own.piggyback,
    streamManagement: streams.streamManagement && own.streamManagement,
    pipelining: streams.pipelining && own.pipelining,
  }
}

function stateOf({ dir, evidence_files: evidenceFiles, evidence_bytes: evidenceBytes, seal }: NonNullable<RawConfig["state"]>, absolute: (path: string) => string): GatewayConfig["state"] {
  return { dir: absolute(dir), evidenceFiles, evidenceBytes, ...(seal === undefined ? {} : { seal: absolute(seal) }) }
}
