// A resolver on this machine's clock and sockets that validates every answer from given anchors (security.md 15).
import type { AnchorSet } from "../dns/dnssec/anchors.ts"
import { createResolver, type StubResolver } from "../dns/resolver.ts"
import type { NetworkAddress } from "../ports.ts"
import { systemClock } from "./clock.ts"
import { nodeDnsTransport } from "./dns-transport.ts"
import { systemRandom } from "./random.ts"

export function validatingResolver(upstreams: readonly NetworkAddress[], anchors: AnchorSet): StubResolver {
  return createResolver({ dnssec: { anchors }, upstreams, transport: nodeDnsTransport(), clock: systemClock, random: systemRandom })
}
