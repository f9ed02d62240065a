// The machine as one gateway sees it: the ports of world.ts with DNS and trust anchors behind them.
import type { AnchorSet as DnsAnchorSet } from "../dns/dnssec/anchors.ts"
import { createResolver, type StubResolver } from "../dns/resolver.ts"
import type { ReachPolicy } from "../model/reach.ts"
import { publicInternetOnly } from "../model/reach.ts"
import type { Dial, NetworkAddress, Store } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { systemUpstreams } from "./dns-transport.ts"
import { openStore } from "./store.ts"
import { loadTrust } from "./trust.ts"
import { createNodeWorld, type NodeWorld, type NodeWorldOptions } from "./world.ts"

export interface WorldResolverSettings {
  /** Empty: the system's. */
  readonly upstreams: readonly NetworkAddress[]
  readonly dnssec: "validate" | "trust-ad" | "off"
  /** For `validate`; those of the root unless given. */
  readonly anchors?: DnsAnchorSet
}

export interface NodeGatewayWorld extends Omit<NodeWorld, "dial" | "dnsTransport"> {
  dial(reach: () => ReachPolicy): Dial
  resolver(settings: WorldResolverSettings): Promise<StubResolver>
  anchors(trust: { readonly kind: "bundled" | "system" } | { readonly kind: "file"; readonly path: string }): AnchorSet
  environment(name: string): string | undefined
  /** The memory in a folder. Throws StoreError. */
  store(folder: string): Store
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
    resolver: async ({ upstreams, dnssec: mode, anchors }) => {
      const asked = upstreams.length > 0 ? upstreams : await systemUpstreams()
      if (asked.length === 0) throw new Error("no resolver is known: name one under federation.resolver.address")
      const dnssec = mode !== "validate" ? mode : anchors === undefined ? {} : { anchors }
      return createResolver({ dnssec, upstreams: asked, transport: world.dnsTransport, clock: world.clock, random: world.random })
    },
    anchors: (trust) => loadTrust(trust.kind === "file" ? { file: trust.path } : trust.kind),
    environment: (name) => process.env[name],
    store: (folder) => openStore(folder, world.clock.now()),
  }
}
