// Inspections in a small internet of one's own (src/lab): with its resolver, its authority and its web in place of the real ones, and what
// of a report can be foretold. Whoever calls brings the machine.
import { parseAnchors } from "../dns/dnssec/anchors.ts"
import { createResolver, type DnsTransport } from "../dns/resolver.ts"
import { parseDomain } from "../model/domain.ts"
import type { FindingId, Severity } from "../model/findings.ts"
import type { RequiredLevel } from "../model/policy.ts"
import { parseCidr, publicInternetOnly, type ReachPolicy } from "../model/reach.ts"
import type { Service } from "../model/verdict.ts"
import type { Listen, NetworkAddress, TlsCredentials } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { createPosh } from "../proof/posh.ts"
import { selectProoftypes } from "../proof/registry.ts"
import { inspect } from "./ladder.ts"
import type { InspectPorts, InspectQuestion } from "./question.ts"
import type { DomainResult } from "./report.ts"

/** Where it is looked, as the lab says it of itself. */
export interface SmallInternet {
  readonly dns: NetworkAddress
  readonly signed: { readonly zones: { readonly anchorText: string } }
  /** Of every web host: what 443 is elsewhere. */
  readonly webAt: NetworkAddress
  readonly anchors: AnchorSet
}

/** The machine of whoever looks, that dials what is allowed. */
export type LookingMachine = (reach: ReachPolicy) => Pick<InspectPorts, "dial" | "tls" | "https" | "clock" | "random"> & { readonly dnsTransport: DnsTransport; readonly listen: Listen }

export interface LookingQuestion {
  readonly service?: Service
  readonly expect?: RequiredLevel
  readonly family?: 4 | 6
  /** Of the whole, ms. */
  readonly patience?: number
  readonly from?: { readonly domain: string; readonly credentials: TlsCredentials }
  /** Its server is pinged, and waited for here, ms. */
  readonly reverse?: { readonly at: NetworkAddress; readonly patience: number }
}

/** Another resolver than the lab's own, with the anchors of its root as DS records. */
export interface OtherResolver {
  readonly at: NetworkAddress
  readonly anchorText: string
}

export interface SeenAtDomain {
  readonly exit: number
  readonly level: DomainResult["level"]
  readonly findings: readonly `${Severity} ${FindingId}`[]
}

/** What must be allowed to reach the lab. */
export const labAllows = { networks: ["127.0.0.0/8", "::1/128"], names: ["example", "test"] } as const
const usualTime = 30_000
const endpointTime = 10_000

export type Looking = (domain: string, question?: LookingQuestion, other?: OtherResolver) => Promise<DomainResult>

/**
 * @returns inspects one domain; never rejects because of the world
 */
export function looking({ dns, signed, webAt, anchors }: SmallInternet, machine: LookingMachine): Looking {
  const reach: ReachPolicy = { ...publicInternetOnly, networks: labAllows.networks.map(parseCidr), names: labAllows.names.map((name) => parseDomain(name)) }
  const { dial, listen, tls, https, clock, random, dnsTransport: transport } = machine(reach)
  const resolverOf = ({ address, port }: NetworkAddress, anchorText: string) =>
    createResolver({ dnssec: { anchors: parseAnchors(anchorText) }, upstreams: [{ address, port }], transport, clock, random })
  const usual = resolverOf(dns, signed.zones.anchorText)
  const prooftypes = selectProoftypes(new Set(["pkix", "dane", "posh"]), { posh: createPosh({ port: webAt.port }) })
  return async (domain, question = {}, other) => {
    const resolver = other === undefined ? usual : resolverOf(other.at, other.anchorText)
    const ports: InspectPorts = { dial, tls, https, clock, random, resolver, anchors, reach, prooftypes }
    const asking = question.reverse === undefined ? undefined : { ...question.reverse, listen, asked: "ping" as const }
    const { result } = await inspect(questionOf(domain, question), ports, new AbortController().signal, asking)
    return result
  }
}

function questionOf(domain: string, { service = "xmpp-server", expect = "authenticated", family, patience = usualTime, from }: LookingQuestion): InspectQuestion {
  return {
    domain: parseDomain(domain),
    service,
    expect,
    times: { total: patience, endpoint: Math.min(patience, endpointTime) },
    ...(family === undefined ? {} : { family }),
    ...(from === undefined ? {} : { from: { domain: parseDomain(from.domain), credentials: from.credentials } }),
  }
}

/** What of a report can be foretold; the exit status is that of `check` for this domain alone. */
export function seenOf({ ok, unknown, level, findings }: DomainResult): SeenAtDomain {
  return {
    exit: ok ? 0 : unknown ? 3 : 2,
    level,
    findings: findings.map(({ severity, id }) => `${severity} ${id as FindingId}` as const).sort(),
  }
}
