// How the lab's exhibits are looked at: by the inspection that `check` is, in this process, through the lab's own resolver and authority.
import { parseAnchors } from "../dns/dnssec/anchors.ts"
import { createResolver } from "../dns/resolver.ts"
import { inspect } from "../inspect/ladder.ts"
import type { InspectPorts, InspectQuestion } from "../inspect/question.ts"
import type { DomainResult } from "../inspect/report.ts"
import type { Exhibit, ExhibitSeen, SeenFinding, Standing } from "../lab/exhibit.ts"
import type { Look } from "../lab/exhibits.ts"
import type { Internet } from "../lab/internet.ts"
import { parseDomain } from "../model/domain.ts"
import { parseCidr, publicInternetOnly, type ReachPolicy } from "../model/reach.ts"
import { nodeDnsTransport } from "../node/dns-transport.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { createPosh } from "../proof/posh.ts"
import { selectProoftypes } from "../proof/registry.ts"
import { exit } from "./exit.ts"

/** What must be allowed to reach the lab. */
export const labAllows = { networks: ["127.0.0.0/8", "::1/128"], names: ["example"] } as const
const usualTime = 30_000
const endpointTime = 10_000

/** Whoever looks: a machine in the lab that knows its authority and its root, as `check` does with the lab's environment. */
export function looking(net: Internet): { readonly look: Look; result(exhibit: Pick<Exhibit, "domain">, standing: Standing): Promise<DomainResult> } {
  const reach: ReachPolicy = { ...publicInternetOnly, networks: labAllows.networks.map(parseCidr), names: labAllows.names.map((name) => parseDomain(name)) }
  const world = createGatewayWorld({ log: { write: () => undefined } })
  const { tls, https, clock, random } = world
  const dial = world.dial(() => reach)
  const transport = nodeDnsTransport()
  const resolverOf = (at: { readonly address: string; readonly port: number }, anchorText: string) =>
    createResolver({ dnssec: { anchors: parseAnchors(anchorText) }, upstreams: [{ address: at.address, port: at.port }], transport, clock, random })
  const usual = resolverOf(net.dns, net.signed.zones.anchorText)
  const prooftypes = selectProoftypes(new Set(["pkix", "dane", "posh"]), { posh: createPosh({ port: net.webAt.port }) })
  const result = async ({ domain }: Pick<Exhibit, "domain">, { question = {}, resolver: another }: Standing): Promise<DomainResult> => {
    const resolver = another === undefined ? usual : resolverOf(another.at, another.anchorText)
    const ports: InspectPorts = { dial, tls, https, clock, random, resolver, anchors: net.anchors, reach, prooftypes }
    return (await inspect(questionOf(domain, question), ports, new AbortController().signal)).result
  }
  return { result, look: async (exhibit, standing) => seenOf(await result(exhibit, standing)) }
}

function questionOf(domain: string, { service = "xmpp-server", expect = "authenticated", family, patience = usualTime, from }: NonNullable<Standing["question"]>): InspectQuestion {
  return {
    domain: parseDomain(domain),
    service,
    expect,
    times: { total: patience, endpoint: Math.min(patience, endpointTime) },
    ...(family === undefined ? {} : { family }),
    ...(from === undefined ? {} : { from: { domain: parseDomain(from.domain), credentials: from.credentials } }),
  }
}

/** What of a report an exhibit foretells. */
export function seenOf({ ok, unknown, level, findings }: DomainResult): ExhibitSeen {
  return {
    exit: ok ? exit.ok : unknown ? exit.unknown : exit.bad,
    level,
    findings: findings.map(({ severity, id }) => `${severity} ${id}` as SeenFinding).sort(),
  }
}
