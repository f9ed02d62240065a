// An inspector in the lab: a machine of its own that validates from the lab's root and knows the lab's authority.
import { parseAnchors } from "../../src/dns/dnssec/anchors.ts"
import type { InspectPorts, InspectQuestion } from "../../src/inspect/question.ts"
import { Internet } from "../../src/lab/internet.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"
import { createPosh } from "../../src/proof/posh.ts"
import { selectProoftypes } from "../../src/proof/registry.ts"
import { labPorts } from "../lab/support.ts"

export const labReach: ReachPolicy = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1/128")], names: ["example" as Domain, "test" as Domain], ownListeners: [] }

export interface Inspector {
  readonly net: Internet
  readonly ports: InspectPorts
  question(domain: string, more?: Partial<InspectQuestion>): InspectQuestion
  close(): Promise<void>
}

export async function inspector(options: { readonly dnssec?: "validate" | "off"; readonly stripping?: boolean } = {}): Promise<Inspector> {
  const net = await Internet.start(labPorts)
  const world = createGatewayWorld({ log: { write: () => undefined } })
  const { address, port } = options.stripping === true ? net.signed.stripping : net.dns
  const resolver = await world.resolver({ upstreams: [{ address, port }], dnssec: options.dnssec ?? "validate", anchors: parseAnchors(net.signed.zones.anchorText) })
  const ports: InspectPorts = {
    dial: world.dial(() => labReach),
    tls: world.tls,
    https: world.https,
    clock: world.clock,
    random: world.random,
    resolver,
    anchors: net.anchors,
    reach: labReach,
    prooftypes: selectProoftypes(new Set(["pkix", "dane", "posh"]), { posh: createPosh({ port: net.webAt.port }) }),
  }
  return {
    net,
    ports,
    question: (domain, more = {}) => ({ domain: parseDomain(domain), service: "xmpp-server", expect: "authenticated", ...more }),
    close: () => net.close(),
  }
}
