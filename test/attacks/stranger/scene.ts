// A whole gateway in memory with two domains and their components, an honest peer that goes on talking with it, and the places of the stranger.
import assert from "node:assert/strict"
import { ComponentClient } from "../../../src/lab/component-client.ts"
import { loadConfig } from "../../../src/gateway/config.ts"
import type { GatewayOptions } from "../../../src/gateway/contract.ts"
import { type Gateway, startGateway } from "../../../src/gateway/gateway.ts"
import type { FederationEvent } from "../../../src/model/events.ts"
import type { Channel } from "../../../src/ports.ts"
import { attr, type XmlElement } from "../../../src/xml/element.ts"
import { MemoryFiles, secretA } from "../../gateway/config-fixture.ts"
import { gatewayWorldOf } from "../../scenarios/gateway-world.ts"
import { Sender } from "../../scenarios/pool-support.ts"
import { good, type MemoryScene, memoryScene, never, type Server } from "../../scenarios/support.ts"
import type { Link } from "../../world/channel.ts"
import type { TestHost } from "../../world/world.ts"
import { boundless } from "../weakened.ts"
import { adopted, club, home, honest, ledThere, ours, type Pair } from "./facts.ts"
import type { Rules } from "./model.ts"

const gatewayAddress = "127.0.0.5"
const strangerAddress = "127.0.0.66"
const certificates = [home, club, adopted].map((name) => [name, good(name)] as const)
const uses = { bidi: true, piggyback: true, streamManagement: true, pipelining: true }

export interface Received extends Pair {
  readonly id: string
  readonly body: string
  readonly error: boolean
  /** Which component it came to. */
  readonly by: string
}

export interface StrangeScene {
  readonly scene: MemoryScene
  readonly gateway: Gateway
  readonly events: FederationEvent[]
  readonly peer: Server
  readonly sender: Sender
  readonly stranger: TestHost
  /** One for each domain of ours. */
  readonly components: ReadonlyMap<string, ComponentClient>
  dial(transport: "starttls" | "direct-tls"): Promise<Channel>
  reload(rules: Rules): Promise<void>
  /** Takes a component away, or brings it back. */
  toggle(name: string): Promise<void>
  close(): Promise<void>
}

export interface StrangeHooks {
  received(stanza: Received): void
  /** The gateway has come to the stranger's server. */
  accepted(channel: Channel): void
}

/** The domain of an address, as it is written there: components are to get canonical ones (security.md 23). */
const written = (jid: string): string => jid.split("/")[0]!.split("@").at(-1)!

function textOf({ children }: XmlElement): string {
  return children.flatMap((child) => (typeof child !== "string" && child.name === "body" ? child.children : [])).join("")
}

const yaml = ({ require, hosted }: Rules): string => `listen:
  s2s: ["${gatewayAddress}:5269"]
  direct_tls: ["${gatewayAddress}:5270"]
  components: ["127.0.0.5:5347"]
federation:
  require: ${require}
  proofs: [pkix]
  resolver: { dnssec: off }
  allow: { networks: [127.0.0.0/8], names: [example] }
certificates: { dirs: [/certs] }
domains:
${[...hosted].map((name) => `  - { name: ${name}, component: { secret: { file: /secrets/${name} } } }\n`).join("")}`

export async function strangeScene(hooks: StrangeHooks, options: { readonly gateway?: GatewayOptions; readonly link?: () => Link } = {}): Promise<StrangeScene> {
  const scene = memoryScene({ link: (from, to) => ([from.address, to.address].includes(strangerAddress) ? (options.link?.() ?? {}) : {}) })
  const { world, clock } = scene
  const host = world.host(gatewayAddress)
  const files = new MemoryFiles()
  for (const [index, [name, certificate]] of certificates.entries()) {
    files.set(`/secrets/${name}`, `${secretA}${index}`)
    files.set(`/certs/${name}.pem`, certificate.chainPem + certificate.keyPem)
    if (ours.has(name)) scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, 5269, "gateway.example"]] })
  }
  files.set("/etc/gw.yaml", yaml({ require: "encrypted", hosted: ours }))
  scene.dns("gateway.example", { A: [gatewayAddress] })
  for (const name of ledThere) scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, 5269, "stranger.example"]] })
  scene.dns("stranger.example", { A: [strangerAddress] })
  const events: FederationEvent[] = []
  const { config } = await loadConfig("/etc/gw.yaml", { files, environment: () => undefined, now: clock.now() })
  // What strangers may cost is another test's affair; here they are to get far.
  const gateway = await scene.until(startGateway(config, gatewayWorldOf(host, files), { claimLimits: { budget: boundless, memory: 1000 }, ...options.gateway, event: (event) => void events.push(event) }))
  const components = new Map<string, ComponentClient>()
  const attach = async (name: string): Promise<void> => {
    const received = (stanza: XmlElement): void => {
      const [from = "", to = ""] = [attr(stanza, "from"), attr(stanza, "to")]
      hooks.received({ id: attr(stanza, "id") ?? "", body: textOf(stanza), from: written(from), to: written(to), by: name, error: attr(stanza, "type") === "error" })
    }
    const secret = `${secretA}${certificates.findIndex(([each]) => each === name)}`
    const to = { address: gatewayAddress, port: 5347 }
    components.set(name, await scene.until(ComponentClient.attach({ dial: world.host("127.0.0.7").dial, to, domain: name, secret, signal: never, received })))
  }
  for (const name of ours) await attach(name)
  const peer = await scene.server({ domains: [honest], require: "encrypted", uses })
  const stranger = world.host(strangerAddress)
  const listener = await stranger.listen.listen({ address: strangerAddress, port: 5269 }, hooks.accepted)
  const sender = new Sender(peer)
  return {
    scene,
    gateway,
    events,
    peer,
    sender,
    stranger,
    components,
    dial: (transport) => stranger.dial.connect({ address: gatewayAddress, port: transport === "starttls" ? 5269 : 5270 }, { signal: never }),
    async reload(rules) {
      files.set("/etc/gw.yaml", yaml(rules))
      const result = await scene.until(gateway.reload())
      assert.ok(result.ok)
      // A component of a domain that is gone is told so; with the domain it comes back.
      for (const name of ours) {
        if (!rules.hosted.has(name)) components.delete(name)
        else if (!components.has(name)) await attach(name)
      }
    },
    async toggle(name) {
      const component = components.get(name)
      components.delete(name)
      if (component === undefined) await attach(name)
      else await scene.until(component.close())
    },
    async close() {
      await listener.close()
      await scene.until(sender.pool.close())
      for (const component of components.values()) await component.close()
      await scene.until(gateway.close())
      await scene.close()
    },
  }
}
