// Whether the configured resolvers allow what `resolver.dnssec` asks for, tried before anything relies on it (security.md 15, 16).
import type { DnsReason, Resolver } from "../model/dns-answer.ts"
import type { AnchorSet } from "../dns/dnssec/anchors.ts"
import { ConfigError } from "../model/errors.ts"
import { type FindingId, findings, findingSentence } from "../model/findings.ts"
import type { Clock, NetworkAddress } from "../ports.ts"
import type { DnssecMode, GatewayConfig } from "./config.ts"
import { reason } from "./config-values.ts"

/** What `federation.resolver` says. */
export interface ResolverSettings {
  /** Empty: the system's. */
  readonly upstreams: readonly NetworkAddress[]
  readonly dnssec: DnssecMode
  /** Absent: those of the root. */
  readonly anchors?: AnchorSet
}

/** A resolver that can say whether it is able to validate. */
export interface GatewayResolver extends Resolver {
  ability?(signal: AbortSignal): Promise<{ readonly able: true } | { readonly able: false; readonly because: keyof typeof unableFindings | "off"; readonly why: readonly DnsReason[] }>
}

/** Time for the whole test, ms. */
const testMs = 12_000

/** What is wrong where a resolver is not able, in a word of the catalogue. */
export const unableFindings = {
  unreachable: "dns.unreachable",
  stripped: "dns.stripped",
  clock: "dns.clock",
  bogus: "dns.cannot-validate",
  "not-validating": "dns.not-validating",
} as const satisfies Record<string, FindingId>

export function resolverSettings({ resolvers, dnssec, dnsAnchors }: GatewayConfig): ResolverSettings {
  return { upstreams: resolvers, dnssec, ...(dnsAnchors === undefined ? {} : { anchors: dnsAnchors }) }
}

/** Whether two configurations ask the same resolvers for the same. */
export function sameResolver(before: GatewayConfig, after: GatewayConfig): boolean {
  const mark = ({ resolvers, dnssec, dnsAnchors }: GatewayConfig): string => JSON.stringify([resolvers, dnssec, dnsAnchors?.digest])
  return mark(before) === mark(after)
}

/**
 * The resolver of a configuration, tested.
 *
 * @throws ConfigError with the finding and the remedy (exit status 78)
 */
export async function ableResolver(
  config: GatewayConfig,
  world: { readonly clock: Pick<Clock, "after">; resolver(settings: ResolverSettings): Promise<GatewayResolver> | GatewayResolver },
): Promise<Resolver> {
  const problem = (setting: string, sentence: string): ConfigError => new ConfigError([{ place: config.sources[0] ?? "configuration", setting, sentence }])
  let resolver: GatewayResolver
  try {
    resolver = await world.resolver(resolverSettings(config))
  } catch (error) {
    throw problem("federation.resolver", `The resolver cannot be used: ${reason(error)}`)
  }
  // security.md 15: only the operator's own word takes validation away.
  if (config.dnssec === "off") return resolver
  const deadline = new AbortController()
  const cancel = world.clock.after(testMs, () => deadline.abort())
  try {
    const ability = await resolver.ability?.(deadline.signal)
    if (ability?.able === true) return resolver
    const id = ability === undefined || ability.because === "off" ? "dns.cannot-validate" : unableFindings[ability.because]
    const detail = [...new Set(ability?.why.map(({ detail: each, upstream }) => (upstream === undefined ? each : `${each} (${upstream})`)))].slice(-3).join("; ")
    throw problem("federation.resolver.dnssec", `\`${config.dnssec}\` is not possible: ${findingSentence(id, detail)}. What to do: ${findings[id].repair}.`)
  } finally {
    cancel()
  }
}
