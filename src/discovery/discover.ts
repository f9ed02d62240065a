// From a domain to the endpoints of its service, each with the reason why it is believed (RFC 6120 3.2, XEP-0368, RFC 7673 3;
// security.md 17). Everything DNS said is kept as data for reports and evidence.
import type { AddressRecord, AnyDnsAnswer, DnsAnswer, DnsStatus, Resolver } from "../model/dns-answer.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import { type Delegation, type DiscoveryFinding, type DnsGround, type Endpoint, groundOf } from "../model/endpoint.ts"
import { guardAddress, guardName, parseAddress, type ReachPolicy } from "../model/reach.ts"
import type { Service } from "../model/verdict.ts"
import type { StopSignal } from "../model/stop.ts"
import type { Random } from "../ports.ts"
import { failed, failureDetail, maxSkipped, planTargets, type Skipped, type SrvTarget } from "./delegation.ts"

/** Endpoints one claim may make us dial (security.md 17). */
export const maxEndpoints = 8
const defaultPorts: { readonly [S in Service]: number } = { "xmpp-server": 5269, "xmpp-client": 5222 }

/** Where the operator says the service is, in place of SRV (CORE-04). */
export interface DiscoveryOverride {
  /** An IP address, or a name whose addresses are looked up. */
  readonly address: string
  readonly port: number
  readonly transport: Endpoint["transport"]
}

export interface DiscoverOptions {
  readonly domain: Domain
  readonly service: Service
  readonly resolver: Resolver
  readonly random: Pick<Random, "fraction">
  readonly reach: ReachPolicy
  readonly override?: DiscoveryOverride
  /** For whoever wants to see all of it; `maxEndpoints`, and half of them for each of several targets, unless given. */
  readonly maxEndpoints?: number
  readonly signal?: StopSignal
}

/** What DNS said and what was left out, in the order it was met; JSON as it stands. */
export interface DiscoveryReport {
  readonly domain: Domain
  readonly service: Service
  readonly answers: readonly AnyDnsAnswer[]
  readonly skipped: readonly Skipped[]
  /** Beyond the limits, all of them, where `skipped` lists some: targets whose addresses were not looked up, and addresses by family. */
  readonly leftOut: { targets: number; four: number; six: number }
}

export interface TargetEndpoints {
  readonly target: Domain
  readonly endpoints: readonly Endpoint[]
}

export type Discovery =
  /** At least one endpoint; `targets` groups the same ones, in the same order, for racing the addresses of a host. */
  | {
      readonly outcome: "endpoints"
      readonly endpoints: readonly Endpoint[]
      readonly targets: readonly TargetEndpoints[]
      readonly report: DiscoveryReport
    }
  /**
   * refused: the guard forbids it; no-service: the domain says so; not-found: DNS has nothing; unavailable: DNS could not
   * be asked, which is never taken for "nothing".
   */
  | {
      readonly outcome: "refused" | "no-service" | "not-found" | "unavailable"
      readonly finding: DiscoveryFinding
      readonly detail: string
      readonly report: DiscoveryReport
    }

interface Place {
  readonly host: Domain
  readonly port: number
  readonly transport: Endpoint["transport"]
  readonly delegation: Delegation
  /** The SRV answers behind it. */
  readonly grounds: readonly DnsGround[]
}

interface Reached {
  readonly endpoints: readonly Endpoint[]
  /** Beyond the limit. */
  readonly rest: readonly Endpoint[]
  /** Records beyond those that are looked through. */
  readonly unread: { readonly four: number; readonly six: number }
  readonly answers: readonly DnsAnswer<AddressRecord>[]
  readonly skipped: readonly Skipped[]
}

/**
 * Finds the endpoints of a domain's service. The addresses of all targets are looked up at once; no endpoint needs a
 * further lookup.
 *
 * @param options.domain what must be proved later; guarded before any I/O
 * @param options.override replaces SRV; the operator's word is a secure delegation (ID-12)
 * @param options.signal gives up; the outcome is then `unavailable`
 * @returns never rejects because of the world
 */
export async function discover(options: DiscoverOptions): Promise<Discovery> {
  const { domain, service, resolver, random, reach, override, signal } = options
  const answers: AnyDnsAnswer[] = []
  const skipped: Skipped[] = []
  const report: DiscoveryReport = { domain, service, answers, skipped, leftOut: { targets: 0, four: 0, six: 0 } }
  const asking = signal === undefined ? {} : { signal }
  // security.md 17: before any I/O.
  const guard = guardName(domain, reach)
  if (!guard.ok) {
    const finding = guard.refused === "not-a-name" ? "dns.not-a-domain" : "dns.guarded"
    return { outcome: "refused", finding, detail: guard.detail, report }
  }
  if (override !== undefined) return overridden(override, options, answers, skipped, report)

  const [plain, direct] = await Promise.all([
    resolver.resolve(`_${service}._tcp.${domain}`, "SRV", asking),
    resolver.resolve(`_${service.replace("xmpp", "xmpps")}._tcp.${domain}`, "SRV", asking),
  ])
  answers.push(plain as AnyDnsAnswer, direct as AnyDnsAnswer)
  const plan = planTargets(plain, direct, reach, most(options), () => random.fraction())
  if (plan.kind === "none") {
    skipped.push(...plan.skipped)
    return { outcome: plan.outcome, finding: plan.finding, detail: plan.detail, report }
  }
  if (plan.kind === "targets") {
    skipped.push(...plan.skipped)
    report.leftOut.targets = plan.leftOut
  }
  const places =
    plan.kind === "targets" ? plan.targets.map((target) => srvPlace(domain, target)) : [fallbackPlace(domain, service, plan.because, plan.grounds)]
  const found = await gather(places, options, answers, skipped, report)
  // CORE-07: without SRV and without addresses the domain itself is what was not found, or nobody is named for the service.
  if (plan.kind === "fallback" && found.outcome === "not-found") {
    const unknown = answers.every((answer) => answer.outcome === "name-error")
    return { ...found, finding: unknown ? "dns.nxdomain" : "dns.no-server" }
  }
  return found
}

const most = ({ maxEndpoints: asked = maxEndpoints }: DiscoverOptions): number => asked

function srvPlace(source: Domain, { target, port, transport, because, ground }: SrvTarget): Place {
  const delegation: Delegation = { source, derived: target, via: "srv", secure: because === "secure", because }
  return { host: target, port, transport, delegation, grounds: [ground] }
}

function fallbackPlace(source: Domain, service: Service, because: DnsStatus, grounds: readonly DnsGround[]): Place {
  const delegation: Delegation = { source, derived: source, via: "fallback", secure: because === "secure", because }
  return { host: source, port: defaultPorts[service], transport: "starttls", delegation, grounds }
}

async function overridden(
  override: DiscoveryOverride,
  options: DiscoverOptions,
  answers: AnyDnsAnswer[],
  skipped: Skipped[],
  report: DiscoveryReport,
): Promise<Discovery> {
  const { domain, reach } = options
  const { address, port, transport } = override
  const configured = { source: domain, via: "operator", secure: true, because: "configured" } as const
  if (parseAddress(address) !== undefined) {
    const guard = guardAddress(address, reach, port)
    if (!guard.ok) return { outcome: "refused", finding: "dns.guarded", detail: guard.detail, report }
    // No name was looked up, so no DNS speaks for the address.
    const endpoint: Endpoint = { address, port, transport, addressStatus: "insecure", delegation: { ...configured, derived: domain } }
    return { outcome: "endpoints", endpoints: [endpoint], targets: [{ target: domain, endpoints: [endpoint] }], report }
  }
  const guard = guardName(address, reach)
  const host = tryDomain(address)
  if (!guard.ok || host === undefined) {
    return {
      outcome: "refused",
      finding: "dns.guarded",
      detail: guard.ok ? `${JSON.stringify(address)} is no host name` : guard.detail,
      report,
    }
  }
  return gather([{ host, port, transport, delegation: { ...configured, derived: host }, grounds: [] }], options, answers, skipped, report)
}

async function gather(
  places: readonly Place[],
  options: DiscoverOptions,
  answers: AnyDnsAnswer[],
  skipped: Skipped[],
  report: DiscoveryReport,
): Promise<Discovery> {
  const limit = most(options)
  // Where there are several targets, one host cannot fill the list.
  const perTarget = places.length > 1 ? Math.floor(limit / 2) : limit
  const reached = await Promise.all(places.map((place) => addressesOf(place, options, perTarget)))
  const targets: TargetEndpoints[] = []
  const known = new Set<string>()
  const left = new Map<string, Endpoint>()
  for (const [index, found] of reached.entries()) {
    answers.push(...(found.answers as AnyDnsAnswer[]))
    skipped.push(...found.skipped)
    const taken = found.endpoints.filter((endpoint) => {
      const key = keyOf(endpoint)
      if (known.has(key)) return false
      if (known.size >= limit) left.set(key, endpoint)
      else known.add(key)
      return known.has(key)
    })
    for (const endpoint of found.rest) left.set(keyOf(endpoint), endpoint)
    if (taken.length > 0) targets.push({ target: places[index]!.host, endpoints: taken })
    report.leftOut.four += found.unread.four
    report.leftOut.six += found.unread.six
  }
  for (const [key, { address }] of left) if (!known.has(key)) report.leftOut[address.includes(":") ? "six" : "four"] += 1
  const endpoints = targets.flatMap((target) => target.endpoints)
  if (endpoints.length > 0) return { outcome: "endpoints", endpoints, targets, report }
  return { ...nothingReached(reached), report }
}

/** By another signed name the same address has other TLSA records: after one name was stopped the next may hold (DANE-11). */
function keyOf({ address, port, transport, delegation }: Endpoint): string {
  return `${address} ${port} ${transport} ${delegation.secure ? delegation.derived : ""}`
}

/** What could not be asked outweighs what is forbidden, and that what is not there. */
function nothingReached(reached: readonly Reached[]): {
  outcome: "unavailable" | "refused" | "not-found"
  finding: DiscoveryFinding
  detail: string
} {
  const skips = reached.flatMap((found) => found.skipped)
  for (const [reason, outcome, finding] of [
    ["bogus", "unavailable", "dns.bogus"],
    ["lookup-failed", "unavailable", "dns.servfail"],
    ["guarded", "refused", "dns.guarded"],
    ["no-address", "not-found", "dns.target-unresolvable"],
  ] as const) {
    const matching = skips.filter((skip) => skip.reason === reason)
    if (matching.length > 0)
      return {
        outcome,
        finding,
        detail: matching
          .map((skip) => skip.detail)
          .slice(0, 4)
          .join("; "),
      }
  }
  return { outcome: "not-found", finding: "dns.target-unresolvable", detail: "no address" }
}

async function addressesOf(place: Place, { resolver, reach, signal }: DiscoverOptions, limit: number): Promise<Reached> {
  const { host, port, transport, delegation } = place
  const asking = signal === undefined ? {} : { signal }
  const both = await Promise.all([resolver.resolve(host, "AAAA", asking), resolver.resolve(host, "A", asking)])
  const skipped: Skipped[] = []
  const grounds = [...place.grounds, ...both.map(groundOf)]
  const label = `${host} port ${port}`
  const families = both.map((answer) => {
    // DANE-05: an address lookup that failed gives no endpoint; the other family may.
    if (failed(answer)) {
      skipped.push({ target: label, reason: answer.status === "bogus" ? "bogus" : "lookup-failed", detail: failureDetail(answer) })
      return []
    }
    return answer.records.slice(0, maxSkipped).flatMap(({ address }): Endpoint[] => {
      const guard = guardAddress(address, reach, port)
      if (guard.ok) return [{ address, port, transport, addressStatus: answer.status, delegation, grounds }]
      skipped.push({ target: label, reason: "guarded", detail: guard.detail })
      return []
    })
  })
  const endpoints = alternate(families)
  for (const { address } of endpoints.slice(limit)) {
    skipped.push({ target: label, reason: "over-limit", detail: `${address}: more than ${limit} addresses` })
  }
  if (endpoints.length === 0 && skipped.length === 0)
    skipped.push({ target: label, reason: "no-address", detail: `${host} has no address` })
  const [six = 0, four = 0] = both.map(({ records }) => Math.max(0, records.length - maxSkipped))
  return { endpoints: endpoints.slice(0, limit), rest: endpoints.slice(limit), unread: { four, six }, answers: both, skipped }
}

/** RFC 8305 4: families take turns, IPv6 first, so that a dead family costs one attempt. */
function alternate(families: readonly (readonly Endpoint[])[]): Endpoint[] {
  const filled = families.filter((family) => family.length > 0)
  if (filled.length <= 1) return [...(filled[0] ?? [])]
  const longest = Math.max(...families.map((family) => family.length))
  return Array.from({ length: longest }, (_, index) => families.flatMap((family) => family[index] ?? [])).flat()
}
