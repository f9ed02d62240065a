// The machine as one gateway sees it: the ports of world.ts with DNS and trust anchors behind them.
import { createResolver } from "../dns/resolver.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { ReachPolicy } from "../model/reach.ts"
import { publicInternetOnly } from "../model/reach.ts"
import type { Dial, NetworkAddress } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { systemUpstreams } from "./dns-transport.ts"
import { loadTrust } from "./trust.ts"
import { createNodeWorld, type NodeWorld, type NodeWorldOptions } from "./world.ts"

export interface NodeGatewayWorld extends Omit<NodeWorld, "dial" | "dnsTransport"> {
  dial(reach: () => ReachPolicy): Dial
  resolver(upstreams: readonly NetworkAddress[]): Promise<Resolver>
  anchors(trust: { readonly kind: "bundled" | "system" } | { readonly kind: "file"; readonly path: string }): AnchorSet
  environment(name: string): string | undefined
}

/** One for each gateway: its dial refuses the gateway's own listeners. */
export function createGatewayWorld(options: Omit<NodeWorldOptions, "reach"> = {}): NodeGatewayWorld {
  let reach: () => ReachPolicy = () => publicInternetOnly
  const world = createNodeWorld({ ...options, reach: () => reach() })
  return {
    ...world,
    dial: (current) => {
      reach = current
      return world.dial
    },
    resolver: async (upstreams) => {
      const asked = upstreams.length > 0 ? upstreams : await systemUpstreams()
      if (asked.length === 0) throw new Error("no resolver is known: name one under federation.resolver.address")
      return createResolver({ dnssec: "off", upstreams: asked, transport: world.dnsTransport, clock: world.clock, random: world.random })
    },
    anchors: (trust) => loadTrust(trust.kind === "file" ? { file: trust.path } : trust.kind),
    environment: (name) => process.env[name],
  }
}
