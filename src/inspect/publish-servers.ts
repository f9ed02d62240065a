// The authoritative servers of a name, so that each can be asked for itself: a resolver's answer says nothing about the others (RFC 1034
// 4.2.2; RFC 7671 8.1).
import type { Resolver } from "../model/dns-answer.ts"
import { guardAddress, type ReachPolicy } from "../model/reach.ts"
import type { NetworkAddress } from "../ports.ts"

export interface AuthoritativeServer {
  readonly name: string
  /** undefined: it has no address that may be asked, and counts as one that did not answer. */
  readonly at: NetworkAddress | undefined
}

const mostServers = 13
const mostAddresses = 2

/** @returns none where DNS does not say; every server counts, also one without an address */
export async function authoritativeServers(name: string, resolver: Resolver, reach: ReachPolicy, signal: AbortSignal): Promise<readonly AuthoritativeServer[]> {
  for (let zone = name; zone !== ""; zone = zone.includes(".") ? zone.slice(zone.indexOf(".") + 1) : "") {
    const { outcome, records } = await resolver.resolve(zone, "NS", { signal })
    if (outcome === "failure") return []
    if (records.length === 0) continue
    const names = [...new Set(records.map(({ target }) => target))].slice(0, mostServers)
    return (await Promise.all(names.map((each) => addressesOf(each, resolver, reach, signal)))).flat()
  }
  return []
}

async function addressesOf(name: string, resolver: Resolver, reach: ReachPolicy, signal: AbortSignal): Promise<AuthoritativeServer[]> {
  const both = await Promise.all([resolver.resolve(name, "A", { signal }), resolver.resolve(name, "AAAA", { signal })])
  // One address of a family is as good as another; of both families the first that there is, since this machine may have one only.
  const addresses = both.flatMap(({ records }) => records.map(({ address }) => address)).filter((address) => guardAddress(address, reach, 53).ok)
  if (addresses.length === 0) return [{ name, at: undefined }]
  return addresses.filter((address) => !address.includes(":") || addresses.every((each) => each.includes(":"))).slice(0, mostAddresses).map((address) => ({ name: `${name} ${address}`, at: { address, port: 53 } }))
}
