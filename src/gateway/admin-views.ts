// What the admin socket shows of a running gateway: plain JSON made on request, without secrets, keys or stanzas
// (security.md 27).
import type { Association } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Instant, Outcome } from "../model/verdict.ts"
import type { ComponentSession } from "./component.ts"
import type { HostedDomain } from "./config.ts"
import type { GatewayAddresses, GatewayState } from "./contract.ts"
import type { IncomingStream } from "../federation/contract.ts"
import type { ShownCertificate } from "./certificates.ts"
import type { LastReload } from "./reloading.ts"
import type { Snapshot } from "./snapshot.ts"
import type { PoolView } from "./pool-contract.ts"

/** What the gateway found out about one of its own domains, as a peer would see it; all of it may be unknown yet. */
export interface DomainFacts {
  readonly proofs?: readonly { readonly prooftype: string; readonly outcome: Outcome; readonly detail: string }[]
  /** What is said of TLSA records for the key shown. */
  readonly keyInDns?: string
  /** What is said of its POSH document. */
  readonly posh?: string
  /** A renewal on disk that is not shown yet. */
  readonly candidate?: { readonly fingerprint: string; readonly notBefore: Instant; readonly heldUntil?: Instant; readonly because: string }
}

/** What of a gateway can be shown. */
export interface GatewaySights {
  readonly version: string
  readonly startedAt: Instant
  readonly state: GatewayState
  readonly snapshot: Snapshot
  readonly addresses: GatewayAddresses
  readonly components: readonly ComponentSession[]
  readonly incoming: readonly IncomingStream[]
  readonly outgoing: readonly PoolView[]
  readonly lastReload: LastReload | undefined
  component(domain: Domain): ComponentSession | undefined
  facts(domain: Domain): DomainFacts | undefined
}

export interface StatusView {
  readonly version: string
  readonly node: string
  readonly state: GatewayState
  readonly startedAt: string
  readonly domains: { readonly served: number; readonly suspended: number; readonly withoutCertificate: number }
  readonly components: { readonly attached: number; readonly away: number }
  readonly streams: { readonly in: number; readonly out: number }
  readonly waitingStanzas: number
  readonly listening: GatewayAddresses
  readonly nearestExpiry: { readonly name: string; readonly ends: string } | undefined
  readonly lastReload: { readonly at: string; readonly ok: boolean } | undefined
}

export interface DomainRow {
  readonly name: string
  readonly state: "served" | "suspended"
  /** `own`, or the name whose certificate is shown; `none` when it is served without one. */
  readonly certificate: string
  readonly proofs: DomainFacts["proofs"]
  readonly component: "up" | "away"
  readonly file: string
}

export interface CertificateMark {
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string
  readonly from: string
}

export interface CertificateRow {
  readonly name: string
  readonly onDisk: CertificateMark | undefined
  readonly served: (CertificateMark & { readonly ends: string; readonly file: string }) | undefined
  readonly keyInDns: string | undefined
  readonly posh: string | undefined
  readonly heldUntil: string | undefined
  readonly because: string | undefined
}

export interface StreamRow {
  readonly session: string
  readonly direction: "in" | "out"
  readonly host: string
  readonly peer: string
  readonly address: string
  readonly tls: string | undefined
  /** The prooftype that holds, or `dialback`. */
  readonly proof: string
  readonly level: string
  readonly since: string
  readonly until: string
}

export interface StreamsView {
  readonly streams: readonly StreamRow[]
  /** Not shown: there are too many. */
  readonly more: number
  /** Pairs without a stream for which stanzas wait or a failure is remembered. */
  readonly without: readonly { readonly from: string; readonly to: string; readonly state: string; readonly waiting: number; readonly failures: number }[]
}

export interface ComponentRow {
  readonly name: string
  readonly session: string | undefined
  readonly address: string | undefined
}

export interface ReadyView {
  readonly ready: boolean
  readonly reasons: readonly string[]
}

/** Rows of one answer. */
const maxRows = 20_000

const iso = (at: Instant): string => new Date(at).toISOString()

export function statusView(gateway: GatewaySights): StatusView {
  const { config, certificates } = gateway.snapshot
  const suspended = [...config.domains.values()].filter((domain) => domain.suspended).length
  const served = config.domains.size - suspended
  const attached = gateway.components.length
  const missing = [...config.domains.values()].filter((domain) => !domain.suspended && certificates.pick(domain.name) === undefined).length
  const nearest = certificates.nearestExpiry
  return {
    version: gateway.version,
    node: config.node,
    state: gateway.state,
    startedAt: iso(gateway.startedAt),
    domains: { served, suspended, withoutCertificate: missing },
    components: { attached, away: served - attached },
    streams: { in: gateway.incoming.length, out: gateway.outgoing.filter(({ stream }) => stream !== undefined).length },
    waitingStanzas: gateway.outgoing.reduce((sum, { unsent }) => sum + unsent, 0),
    listening: gateway.addresses,
    nearestExpiry: nearest === undefined ? undefined : { name: nearest.domain, ends: iso(nearest.at) },
    lastReload: gateway.lastReload === undefined ? undefined : { at: iso(gateway.lastReload.at), ok: gateway.lastReload.result.ok },
  }
}

function ordered({ config }: Snapshot): HostedDomain[] {
  return [...config.domains.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

export function domainRows(gateway: GatewaySights): DomainRow[] {
  return ordered(gateway.snapshot).map((hosted) => ({
    name: hosted.name,
    state: hosted.suspended ? "suspended" : "served",
    certificate: !hosted.suspended && gateway.snapshot.certificates.pick(hosted.name) === undefined ? "none" : (hosted.certificate ?? "own"),
    proofs: hosted.suspended ? undefined : gateway.facts(hosted.name)?.proofs,
    component: gateway.component(hosted.name) === undefined ? "away" : "up",
    file: hosted.source,
  }))
}

export function certificateRows(gateway: GatewaySights): CertificateRow[] {
  return ordered(gateway.snapshot)
    .filter(({ suspended }) => !suspended)
    .map(({ name }) => certificateRow(name, gateway.snapshot.certificates.pick(name), gateway.facts(name)))
}

function certificateRow(name: Domain, shown: ShownCertificate | undefined, facts: DomainFacts | undefined): CertificateRow {
  const mark = shown === undefined ? undefined : { fingerprint: shown.leaf.fingerprint, from: iso(shown.leaf.notBefore) }
  const held = facts?.candidate
  return {
    name,
    onDisk: held === undefined ? mark : { fingerprint: held.fingerprint, from: iso(held.notBefore) },
    served: shown === undefined ? undefined : { ...mark!, ends: iso(shown.leaf.notAfter), file: shown.certificatePath },
    keyInDns: facts?.keyInDns,
    posh: facts?.posh,
    heldUntil: held?.heldUntil === undefined ? undefined : iso(held.heldUntil),
    because: held?.because,
  }
}

function streamRow(session: string, address: string, association: Association): StreamRow {
  const { direction, pair, verdict, level, proof, via } = association
  return {
    session,
    direction,
    host: direction === "out" ? pair.sender : pair.target,
    peer: direction === "out" ? pair.target : pair.sender,
    address,
    tls: proof?.protocol,
    proof: typeof via === "object" ? "dialback" : verdict.outcome === "proved" ? verdict.by : "dialback",
    level,
    since: iso(association.established),
    until: iso(association.until),
  }
}

/** @param name of ours or of a peer; all unless given */
export function streamsView(gateway: GatewaySights, name: Domain | undefined): StreamsView {
  const rows: StreamRow[] = []
  for (const stream of gateway.incoming) {
    for (const association of stream.associations()) rows.push(streamRow(stream.id, stream.remote.address, association))
  }
  for (const { stream } of gateway.outgoing) if (stream !== undefined) rows.push(streamRow(stream.id, stream.remote.address, stream.association))
  const wanted = rows.filter(({ host, peer }) => name === undefined || host === name || peer === name)
  wanted.sort((a, b) => (a.host === b.host ? (a.peer < b.peer ? -1 : 1) : a.host < b.host ? -1 : 1))
  const without = gateway.outgoing
    .filter(({ stream, pair }) => stream === undefined && (name === undefined || pair.sender === name || pair.target === name))
    .map(({ pair, state, unsent, failures }) => ({ from: pair.sender, to: pair.target, state, waiting: unsent, failures }))
  return { streams: wanted.slice(0, maxRows), more: Math.max(0, wanted.length - maxRows), without: without.slice(0, maxRows) }
}

export function componentRows(gateway: GatewaySights): ComponentRow[] {
  return ordered(gateway.snapshot)
    .filter(({ suspended }) => !suspended)
    .map(({ name }) => {
      const session = gateway.component(name)
      return { name, session: session?.name, address: session?.channel.remote.address }
    })
}

/** Never because of a peer: whether this gateway can do its part. */
export function readyView(gateway: GatewaySights): ReadyView {
  const reasons: string[] = []
  const { config, certificates } = gateway.snapshot
  if (gateway.state !== "running") reasons.push(`the gateway is ${gateway.state}`)
  const served = [...config.domains.values()].filter(({ suspended }) => !suspended)
  if (served.length > 0 && !served.some(({ name }) => certificates.pick(name) !== undefined)) reasons.push("no served domain has a certificate")
  return { ready: reasons.length === 0, reasons }
}
