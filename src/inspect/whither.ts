// Where a domain's servers are looked for: where DNS leads (RFC 6120 3.2), or at the one that whoever asks has named. Only their word leads
// to that one, which nobody else has: its name and its TLSA records count where DNS leads there as well (RFC 6120 13.7.2.1, RFC 7673 3.1).
import type { Endpoint } from "../model/endpoint.ts"
import { type Discovery, type DiscoverOptions, discover } from "../discovery/discover.ts"

/** By the word of whoever asks alone, to a server with another name than the domain's own. */
export function isUnpromised({ delegation: { via, derived, source } }: Endpoint): boolean {
  return via === "operator" && derived !== source
}

export async function discoverAsAsked(options: DiscoverOptions): Promise<Discovery> {
  const { override: named, ...usual } = options
  const there = await discover(options)
  const [first] = there.outcome === "endpoints" ? there.endpoints : []
  if (named === undefined || there.outcome !== "endpoints" || first === undefined || !isUnpromised(first)) return there
  const led = await discover(usual)
  const same = ({ delegation, port, transport }: Endpoint): boolean => delegation.derived === first.delegation.derived && port === named.port && transport === named.transport
  const report = { ...there.report, answers: [...led.report.answers, ...there.report.answers] }
  if (led.outcome === "endpoints" && led.endpoints.some(same)) {
    return { ...led, report: led.report, endpoints: led.endpoints.filter(same), targets: led.targets.map((target) => ({ ...target, endpoints: target.endpoints.filter(same) })) }
  }
  const alone = (endpoint: Endpoint): Endpoint => ({ ...endpoint, delegation: { ...endpoint.delegation, secure: false } })
  return { ...there, report, endpoints: there.endpoints.map(alone), targets: there.targets.map((target) => ({ ...target, endpoints: target.endpoints.map(alone) })) }
}
