// The gateway's configuration: files in, one immutable `GatewayConfig` or a `ConfigError` out (docs/operating.md;
// security.md 10, 17, 21). Nothing here touches the machine: files, environment and time are arguments.
import { basename, dirname, isAbsolute, join } from "node:path"
import { guardName } from "../model/reach.ts"
import type { Cidr } from "../model/address.ts"
import type { Domain } from "../model/domain.ts"
import { ConfigError, type ConfigProblem } from "../model/errors.ts"
import type { FederationPolicy, PolicyException, RequiredLevel } from "../model/policy.ts"
import type { Instant } from "../model/verdict.ts"
import type { Files, LogLevel } from "../ports.ts"
import type { EndpointOverride } from "../federation/contract.ts"
import { builtInProoftypes } from "../proof/registry.ts"
import type { AnchorSet } from "../dns/dnssec/anchors.ts"
import { configSchema, type DnssecMode, includeSchema, type RawConfig, type RawDomain, type Trust } from "./config-schema.ts"
import { checkDnssec, readDnsAnchors } from "./config-dnssec.ts"
import { problemsOf } from "./config-problems.ts"
import { readSecrets, type SecretSource } from "./config-secrets.ts"
import { ConfigText, type SettingPath } from "./config-text.ts"
import { reason, type SocketAddress, type SocketPath } from "./config-values.ts"
import type { Secret } from "./secret.ts"

export type { DnssecMode, Trust } from "./config-schema.ts"
export type { SocketAddress, SocketPath } from "./config-values.ts"

/** A domain of ours, as it was written down. */
export interface HostedDomain {
  readonly name: Domain
  readonly secret: Secret
  /** What a second connection of its component does. */
  readonly conflict: "kick_new"
  /** The name whose certificate is shown in place of an own one; it is the operator's (security.md 22). */
  readonly certificate?: Domain
  /** Absent: nothing is published for it. */
  readonly posh?: PoshSetting
  /** Ours, but not served: nobody else may claim the name meanwhile. */
  readonly suspended: boolean
  /** The file it stands in, as in `GatewayConfig.sources`. */
  readonly source: string
}

/** What is published for a domain under POSH (RFC 7711). */
export interface PoshSetting {
  readonly serve: boolean
  /** How long others may keep the document, ms. */
  readonly expiresMs: number
  /** Certificates that will be shown later and are published already. Absolute paths. */
  readonly next: readonly string[]
}

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
  readonly exceptions: readonly PolicyException[]
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
  readonly state: { readonly dir: string; readonly evidenceFiles: number; readonly evidenceBytes: number } | undefined
  /** Every file that was read, the main one first. */
  readonly sources: readonly string[]
  /** The `include` lines, absolute: where files may appear. */
  readonly include: readonly string[]
}

export interface ConfigWorld {
  readonly files: Pick<Files, "read" | "list" | "stat">
  /** An environment variable, or undefined. */
  readonly environment: (name: string) => string | undefined
  readonly now: Instant
  /** `--allow-inline-secrets` */
  readonly allowInlineSecrets?: boolean
}

export interface LoadedConfig {
  readonly config: GatewayConfig
  /** What is allowed but should be looked at. */
  readonly warnings: readonly ConfigProblem[]
}

/** A domain with where it was written. */
export interface DomainEntry {
  readonly raw: RawDomain
  readonly text: ConfigText
  readonly path: SettingPath
}

/**
 * Reads and checks a configuration file with its includes. Every problem is reported, not only the first.
 *
 * @param path of the main file
 * @throws ConfigError with `file:line:column`, the setting and what to do (exit status 78)
 */
export async function loadConfig(path: string, world: ConfigWorld): Promise<LoadedConfig> {
  const text = ConfigText.parse(path, await readFile(path, world))
  const parsed = configSchema.safeParse(text.value)
  if (!parsed.success) throw new ConfigError(inOrder(problemsOf(configSchema, text, parsed.error.issues)))
  const raw = parsed.data
  const problems: ConfigProblem[] = []
  const warnings: ConfigProblem[] = []
  const entries: DomainEntry[] = raw.domains.map((domain, index) => ({ raw: domain, text, path: ["domains", index] }))
  const sources = [path]
  const tenantDirs = new Map<string, readonly string[]>()
  for (const [index, pattern] of raw.include.entries()) {
    for (const file of await included(pattern, text, ["include", index], world, problems)) {
      sources.push(file)
      const { domains, dirs } = await readInclude(file, world, problems)
      entries.push(...domains)
      if (dirs.length > 0) tenantDirs.set(file, dirs)
    }
  }
  checkDomains(entries, problems)
  checkPolicy(raw, text, world, problems, warnings)
  checkDnssec(raw, text, problems)
  const dnsAnchors = await readDnsAnchors(raw, text, (file, from) => readFile(file, world, from), problems)
  const secrets = await readSecrets(entries.map(secretSource), world, problems, warnings)
  if (entries.length === 0) {
    problems.push({ place: text.keyPlace(["domains"]), setting: "domains", sentence: "No domain is hosted: name at least one under `domains`." })
  }
  if (problems.length > 0) throw new ConfigError(problems)
  const domains = new Map<Domain, HostedDomain>()
  for (const [index, entry] of entries.entries()) domains.set(entry.raw.name, hostedDomain(entry, secrets[index]!))
  return { config: build(raw, { domains, tenantDirs, sources, base: dirname(path), dnsAnchors }), warnings }
}

function hostedDomain({ raw, text }: DomainEntry, secret: Secret): HostedDomain {
  const { name, component, certificate, posh, suspended } = raw
  return {
    name,
    secret,
    conflict: component.conflict,
    ...(certificate === undefined ? {} : { certificate }),
    ...(posh === undefined ? {} : { posh: { serve: posh.serve, expiresMs: posh.expires, next: [posh.next].flat().map((file) => besideFile(text.file, file)) } }),
    suspended,
    source: text.file,
  }
}

/** Relative paths are relative to the file they stand in. */
const besideFile = (file: string, path: string): string => (isAbsolute(path) ? path : join(dirname(file), path))

function secretSource(entry: DomainEntry): SecretSource {
  return { domain: entry.raw.name, secret: entry.raw.component.secret, text: entry.text, path: [...entry.path, "component", "secret"] }
}

async function readFile(path: string, world: ConfigWorld, from?: { place: string; setting: string }): Promise<Uint8Array> {
  try {
    return await world.files.read(path)
  } catch (error) {
    const sentence = from === undefined ? `The file cannot be read: ${reason(error)}.` : `${path} cannot be read: ${reason(error)}.`
    throw new ConfigError([{ ...(from === undefined ? {} : { setting: from.setting }), place: from?.place ?? path, sentence }])
  }
}

/** Files of one `include` line: a path, or a folder with `*` in the last part. */
async function included(pattern: string, text: ConfigText, path: SettingPath, world: ConfigWorld, problems: ConfigProblem[]): Promise<string[]> {
  const where = { place: text.place(path), setting: "include" }
  const full = isAbsolute(pattern) ? pattern : join(dirname(text.file), pattern)
  if (!full.includes("*")) return [full]
  const folder = dirname(full)
  if (folder.includes("*")) {
    problems.push({ ...where, sentence: `${pattern} has a "*" before its last part: only the file's name may have one.` })
    return []
  }
  try {
    const entries = await world.files.list(folder)
    return entries
      .filter((entry) => entry.kind === "file" && matchesStar(basename(entry.path), basename(full)))
      .map((entry) => entry.path)
      .sort()
  } catch (error) {
    problems.push({ ...where, sentence: `The folder ${folder} cannot be read: ${reason(error)}.` })
    return []
  }
}

/** `*` stands for any characters; a hidden file needs its dot written. */
function matchesStar(name: string, pattern: string): boolean {
  if (name.startsWith(".") && !pattern.startsWith(".")) return false
  const parts = pattern.split("*")
  let at = 0
  for (const [index, part] of parts.entries()) {
    const found = index === 0 ? (name.startsWith(part) ? 0 : -1) : index === parts.length - 1 ? (name.endsWith(part) ? name.length - part.length : -1) : name.indexOf(part, at)
    if (found < at) return false
    at = found + part.length
  }
  return true
}

async function readInclude(file: string, world: ConfigWorld, problems: ConfigProblem[]): Promise<{ domains: readonly DomainEntry[]; dirs: readonly string[] }> {
  try {
    const text = ConfigText.parse(file, await readFile(file, world))
    const parsed = includeSchema.safeParse(text.value)
    if (parsed.success) {
      const domains = parsed.data.domains.map((raw, index) => ({ raw, text, path: ["domains", index] }))
      return { domains, dirs: parsed.data.certificates.dirs.map((dir) => besideFile(file, dir)) }
    }
    problems.push(...inOrder(problemsOf(includeSchema, text, parsed.error.issues)))
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    problems.push(...error.problems)
  }
  return { domains: [], dirs: [] }
}

function checkDomains(entries: readonly DomainEntry[], problems: ConfigProblem[]): void {
  const seen = new Map<Domain, string>()
  for (const entry of entries) {
    const place = entry.text.place([...entry.path, "name"])
    const before = seen.get(entry.raw.name)
    if (before === undefined) seen.set(entry.raw.name, place)
    else problems.push({ place, setting: "domains", sentence: `${entry.raw.name} is already hosted at ${before}: remove one of the two.` })
  }
}

function checkPolicy(raw: RawConfig, text: ConfigText, world: ConfigWorld, problems: ConfigProblem[], warnings: ConfigProblem[]): void {
  const { exceptions, overrides } = raw.federation
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
  for (const [index, exception] of exceptions.entries()) {
    if (exception.until > world.now) continue
    // An exception that has ended closes again and warns; it never keeps the gateway from running.
    const place = text.place(["federation", "exceptions", index, "until"])
    warnings.push({ place, setting: `federation.exceptions[${index}].until`, sentence: `The exception for ${exception.peer} has ended and counts no more [policy.exception-ended].` })
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
}

function checkListeners(raw: RawConfig, text: ConfigText, problems: ConfigProblem[]): void {
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

interface Gathered {
  readonly domains: ReadonlyMap<Domain, HostedDomain>
  readonly tenantDirs: ReadonlyMap<string, readonly string[]>
  readonly sources: readonly string[]
  /** Folder of the main file. */
  readonly base: string
  readonly dnsAnchors: AnchorSet | undefined
}

/** All that the way of checking DNS signatures allows; DANE rests on them. */
function defaultProofs(dnssec: DnssecMode): readonly string[] {
  return builtInProoftypes.map(({ name }) => name).filter((name) => name !== "dane" || dnssec !== "off")
}

function build(raw: RawConfig, { domains, tenantDirs, sources, base, dnsAnchors }: Gathered): GatewayConfig {
  const { federation, limits, listen } = raw
  const absolute = (path: string): string => (isAbsolute(path) ? path : join(base, path))
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
    exceptions: federation.exceptions,
    idleTimeoutMs: federation.idle_timeout,
    retryMaxMs: federation.retry_max,
    timeoutMs: federation.timeout,
    resolvers,
    dnssec: federation.resolver.dnssec,
    ...(dnsAnchors === undefined ? {} : { dnsAnchors }),
    trust: federation.trust.kind === "file" ? { kind: "file", path: absolute(federation.trust.path) } : federation.trust,
    allow: federation.allow,
    overrides,
    certificates: { dirs: raw.certificates.dirs.map(absolute), reload: raw.certificates.reload, warnMs: raw.certificates.warn },
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
    state: raw.state === undefined ? undefined : { dir: absolute(raw.state.dir), evidenceFiles: raw.state.evidence_files, evidenceBytes: raw.state.evidence_bytes },
    sources,
    include: raw.include.map(absolute),
  }
}

/** The policy of this configuration, as the federation core reads it. */
export function policyOf(config: GatewayConfig, generation: number): FederationPolicy {
  return { require: config.require, proofs: config.proofs, exceptions: config.exceptions, generation }
}

/** By line and column, as an editor jumps through them. */
function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  const at = (problem: ConfigProblem): [number, number] => {
    const match = /:(\d+):(\d+)$/.exec(problem.place)
    return match === null ? [0, 0] : [Number(match[1]), Number(match[2])]
  }
  return [...problems].sort((a, b) => at(a)[0] - at(b)[0] || at(a)[1] - at(b)[1])
}
