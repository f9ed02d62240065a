// Configuration, certificates, anchors and what the federation core reads of them: one immutable value, made whole and
// swapped whole (security.md 10).
import type { Domain } from "../model/domain.ts"
import { ConfigError } from "../model/errors.ts"
import type { OwnListener } from "../model/reach.ts"
import { createPosh } from "../proof/posh.ts"
import type { PoshMemory } from "../proof/posh-memory.ts"
import { selectProoftypes } from "../proof/registry.ts"
import { defaultTlsaPolicy } from "../proof/tlsa.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { Hosting } from "../federation/contract.ts"
import { type CertificateSnapshot, type CertificateWarning, loadCertificates } from "./certificates.ts"
import { domainChanges } from "./domain-changes.ts"
import { type GatewayConfig, policyOf, type Trust, usesFor } from "./config.ts"
import type { RolloverInput, RolloverPlan } from "./rollover-outcome.ts"
import { ShardedMap } from "./sharded-map.ts"
import type { Clock, Files } from "../ports.ts"

/** Octets of an element before authentication: enough for every negotiation (RFC 6120 13.12 asks for 10000). */
const unauthenticatedStanza = 10_240
/** security.md 17: at most this long for one claim, all endpoints together, ms. */
const verificationMs = 30_000
/** Prosody never answers a claim it cannot verify; ms. */
const dialbackAnswerMs = 45_000
/** Of the time for a stream, so that it is the peer's silence that ends first, which is remembered. */
const dialbackShare = 3 / 4
export const closingMs = 5000
const pendingClaims = 64

export interface Snapshot {
  readonly config: GatewayConfig
  /** As they are shown: a renewal may be held back. */
  readonly certificates: CertificateSnapshot
  /** As the folders have them. */
  readonly onDisk: CertificateSnapshot
  readonly renewals: RolloverPlan | undefined
  readonly warnings: readonly CertificateWarning[]
  readonly hosting: Hosting
}

export interface SnapshotSources {
  readonly files: Files
  /** Paths that may have changed since `previous`; absent: any. */
  readonly changed?: ReadonlySet<string>
  readonly clock: Clock
  /** The anchors of `federation.trust`. Rejects with an Error whose message is a sentence. */
  anchors(trust: Trust): Promise<AnchorSet> | AnchorSet
  ownListeners(): readonly OwnListener[]
  /** Of POSH documents, for the life of the gateway. */
  readonly poshMemory?: PoshMemory
  /** In place of 443, for labs. */
  readonly poshPort?: number
  /** Which renewals are held back, and what is published. */
  renewals?(input: Omit<RolloverInput, "previous">): Promise<RolloverPlan | undefined>
}

/**
 * Everything a configuration needs, read and checked. Nothing is changed when it fails.
 *
 * @param previous as the folders had them the last time
 * @param generation rises with each snapshot; claims judged under an older one are judged again
 * @throws ConfigError
 */
export async function makeSnapshot(config: GatewayConfig, generation: number, previous: CertificateSnapshot, sources: SnapshotSources): Promise<Snapshot> {
  const first = servedFirst(config)
  if (first === undefined) throw new ConfigError([{ place: config.sources[0] ?? "configuration", setting: "domains", sentence: "No domain is hosted." }])
  const now = sources.clock.now()
  const { snapshot: onDisk, warnings } = await loadCertificates({
    folders: config.certificates.dirs,
    files: sources.files,
    tenantFolders: config.tenantDirs,
    domains: config.domains,
    now,
    warnMs: config.certificates.warnMs,
    previous,
    ...(sources.changed === undefined ? {} : { changed: sources.changed }),
  })
  const anchors = await readAnchors(config, sources)
  const renewals = await sources.renewals?.({ config, certificates: onDisk, anchors, now })
  const certificates = renewals?.certificates ?? onDisk
  const policy = policyOf(config, generation)
  const hosting: Hosting = {
    hosts: (domain) => config.domains.get(domain)?.suspended === false,
    reserved: (domain) => config.domains.get(domain)?.suspended === true,
    credentials: (domain) => certificates.pick(domain)?.credentials,
    anyDomain: first,
    policy,
    prooftypes: selectProoftypes(config.proofs, {
      tlsa: { ...defaultTlsaPolicy, usages: config.daneUsages },
      posh: createPosh({
        older: config.poshOlder,
        ...(sources.poshMemory === undefined ? {} : { memory: sources.poshMemory }),
        ...(sources.poshPort === undefined ? {} : { port: sources.poshPort }),
      }),
    }),
    anchors,
    get reach() {
      return { networks: config.allow.networks, names: config.allow.names, ownListeners: sources.ownListeners() }
    },
    limits: { stanza: config.limits.stanza, unauthenticatedStanza, depth: config.limits.depth, pendingClaims },
    times: { negotiation: config.timeoutMs, verification: Math.min(verificationMs, config.timeoutMs), dialbackAnswer: Math.min(dialbackAnswerMs, config.timeoutMs * dialbackShare), closing: closingMs },
    override: (domain) => config.overrides.get(domain),
    dialback: config.dialback,
    uses: (peer) => usesFor(config, peer),
    announced: { maxBytes: config.limits.stanza, idleSeconds: Math.max(1, Math.floor(config.idleTimeoutMs / 1000)) },
  }
  return { config, certificates, onDisk, renewals, warnings: [...warnings, ...(renewals?.warnings ?? [])], hosting }
}

/** Any domain for answers that need one; a suspended one only when there is no other. */
function servedFirst({ domains }: GatewayConfig): Domain | undefined {
  for (const { name, suspended } of domains.values()) if (!suspended) return name
  const [first] = domains.keys()
  return first
}

async function readAnchors(config: GatewayConfig, sources: SnapshotSources): Promise<AnchorSet> {
  const { trust } = config
  try {
    return await sources.anchors(trust)
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    throw new ConfigError([{ place: trust.kind === "file" ? trust.path : (config.sources[0] ?? "configuration"), setting: "federation.trust", sentence: `The root certificates cannot be used: ${said}` }])
  }
}

/** Root certificates are many: they are read again when anything may have changed, or they themselves have. */
export class TrustedRoots {
  readonly #read: SnapshotSources["anchors"]
  #last: { readonly trust: string; readonly anchors: AnchorSet } | undefined

  constructor(read: SnapshotSources["anchors"]) {
    this.#read = read
  }

  /** @param changed paths that may have changed since the last call; undefined: any */
  async of(trust: Trust, changed: ReadonlySet<string> | undefined): Promise<AnchorSet> {
    const text = JSON.stringify(trust)
    if (changed !== undefined && this.#last?.trust === text && (trust.kind !== "file" || !changed.has(trust.path))) return this.#last.anchors
    const anchors = await this.#read(trust)
    this.#last = { trust: text, anchors }
    return anchors
  }
}

/**
 * Which of our domains a new snapshot is about; what is live between others goes on untouched (security.md 10).
 *
 * @returns undefined when it is about all of them: policy, anchors or another common setting changed
 */
export function touchedDomains(before: Snapshot, after: Snapshot): ReadonlySet<Domain> | undefined {
  if (before.hosting.anchors.digest !== after.hosting.anchors.digest || settingChanges(before.config, after.config).length > 0) return undefined
  return new Set([...ShardedMap.differences(before.config.domains, after.config.domains), ...before.certificates.differences(after.certificates)])
}

/** What changed between two configurations, for the log of a reload. */
export function differences(before: GatewayConfig, after: GatewayConfig): { readonly changes: readonly string[]; readonly needRestart: readonly string[] } {
  const changes = [...domainChanges(before, after), ...settingChanges(before, after)]
  const restart: readonly (readonly [string, (config: GatewayConfig) => unknown])[] = [
    ["listen", (config) => config.listen],
    ["log", (config) => config.log],
    ["state", (config) => config.state ?? null],
    ["node", (config) => config.node],
  ]
  return { changes, needRestart: restart.filter(([, read]) => JSON.stringify(read(before)) !== JSON.stringify(read(after))).map(([name]) => name) }
}

/** What changed besides the domains. */
function settingChanges(before: GatewayConfig, after: GatewayConfig): readonly string[] {
  if (before === after) return []
  const settings: readonly (readonly [string, (config: GatewayConfig) => unknown])[] = [
    ["federation.require", (config) => config.require],
    ["federation.proofs", (config) => [...config.proofs].sort()],
    ["federation.dane.usages", (config) => [...config.daneUsages].sort()],
    ["federation.posh.older", (config) => config.poshOlder],
    ["federation.dialback.offer", (config) => config.dialback],
    ["federation.bidi, piggyback, stream_management, pipelining", (config) => config.streams],
    ["federation.peers", (config) => [...config.peers]],
    ["federation.exceptions", (config) => config.exceptions],
    ["federation.ratchet", (config) => config.ratchet],
    ["federation.idle_timeout", (config) => config.idleTimeoutMs],
    ["federation.retry_max", (config) => config.retryMaxMs],
    ["federation.timeout", (config) => config.timeoutMs],
    ["federation.resolver", (config) => [config.resolvers, config.dnssec, config.dnsAnchors?.digest]],
    ["federation.trust", (config) => config.trust],
    ["federation.allow", (config) => [config.allow.networks.map((network) => network.text), config.allow.names]],
    ["federation.overrides", (config) => [...config.overrides]],
    ["certificates", (config) => config.certificates],
    ["limits", (config) => config.limits],
    ["shutdown", (config) => config.shutdown],
  ]
  return settings.filter(([, read]) => JSON.stringify(read(before)) !== JSON.stringify(read(after))).map(([name]) => `~ ${name}`)
}
