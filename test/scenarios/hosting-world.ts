// A whole gateway in the world in memory: it hosts shop.example under the certificate of host.example, which only POSH proves,
// by way of a web server of the customer's own; with peers, a component and time that passes on command.
import { ComponentClient } from "../../src/lab/component-client.ts"
import { loadConfig } from "../../src/gateway/config.ts"
import type { GatewayOptions, GatewayWorld } from "../../src/gateway/contract.ts"
import { type Gateway, startGateway } from "../../src/gateway/gateway.ts"
import { referenceDocument } from "../../src/gateway/posh-document.ts"
import type { IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import type { HttpServe } from "../../src/ports.ts"
import { createPosh } from "../../src/proof/posh.ts"
import { PoshMemory } from "../../src/proof/posh-memory.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { MemoryFiles, secretA } from "../gateway/config-fixture.ts"
import type { TestHost } from "../world/world.ts"
import { serveWeb, type WebHost } from "../world/web.ts"
import type { SignedDns } from "./signed-dns.ts"
import { gatewayWorldOf } from "./gateway-world.ts"
import { credentialsOf, good, memoryScene, type MemoryScene, never, type Server } from "./support.ts"

export const minute = 60_000
export const hour = 60 * minute
export const wellKnown = "/.well-known/posh/xmpp-server.json"

/** A fixed place for the gateway, and for the customer's web server. */
const houseAddress = "127.0.0.5"
const shopWebAddress = "127.0.0.6"

/** The HttpServe port over the memory's web hosts, which speak HTTPS alone. */
function memoryHttpServe(host: TestHost): HttpServe {
  return {
    async serve(at, handle, tls) {
      if ("path" in at || tls === undefined) throw new Error("only HTTPS on an address is served in memory")
      const site = {
        port: at.port,
        credentials: (name: string | undefined) => tls.pick(name)!,
        answer: (path: string, name: string) => {
          const { status, headers, body } = handle({ method: "GET", path, host: name, remote: { address: "127.0.0.1", port: 1 } })
          return { status, headers: { "content-type": headers["content-type"] ?? "" }, body }
        },
      }
      const web = await serveWeb({ address: at.address, listen: host.listen, tls: host.tls }, site)
      return { address: { address: at.address, port: at.port }, close: () => web.close() }
    },
  }
}

export interface HouseOptions {
  readonly options?: GatewayOptions
  /** YAML of shop.example's `posh`. */
  readonly posh?: string
  /** Of an earlier life, with its state. */
  readonly files?: MemoryFiles
  /** DNS is signed, and DANE in use. */
  readonly signed?: SignedDns
  /** How the customer's web server leads to the host's document. */
  readonly leads?: "redirect" | "reference"
}

export interface House {
  readonly scene: MemoryScene
  readonly gateway: Gateway
  readonly files: MemoryFiles
  readonly web: WebHost
  readonly log: TestHost["log"]
  /** Calls back for each line of the log. */
  told(listener: (event: string, text: string) => void): void
  /** What shop's component received: bodies. */
  readonly received: string[]
  readonly component: ComponentClient
  /** A new certificate appears in the folder, and the gateway looks. */
  renew(certificate: IssuedCertificate): Promise<void>
  peer(name: string, posh?: AnyProoftype): Promise<Server>
  close(): Promise<void>
}

/** A memory keeps documents as peers of this kind do. */
export const poshWithMemory = (scene: MemoryScene): AnyProoftype => createPosh({ memory: new PoshMemory(scene.clock) })

/** A peer that uses a document to its very last moment before it asks again. */
export function hoarding(): AnyProoftype {
  const posh = createPosh()
  let kept: Awaited<ReturnType<typeof posh.obtain>> | undefined
  return {
    ...posh,
    atHand: false,
    async obtain(subject, ports) {
      const age = kept === undefined ? undefined : posh.ageing?.(kept)
      if (kept !== undefined && age !== undefined && Number.isFinite(age.until) && age.until > ports.at) return kept
      kept = await posh.obtain(subject, ports)
      return kept
    },
  }
}

/** Once in a run a key is made; later ones are made where they are wanted. */
export const hostCertificate = (more: Parameters<typeof good>[1] = {}): IssuedCertificate => good("host.example", more)

export async function house(first: IssuedCertificate, { options, posh = "serve: true, expires: 2h", files = new MemoryFiles(), leads = "redirect", signed }: HouseOptions = {}): Promise<House> {
  const scene = memoryScene()
  const host = scene.world.host(houseAddress)
  files.set("/state/keep", "")
  files.set("/secrets/host", `${secretA}1`)
  files.set("/secrets/shop", `${secretA}2`)
  files.set("/certs/host.pem", first.chainPem + first.keyPem, { modified: files.files.size })
  files.set(
    "/etc/gw.yaml",
    `listen:
  s2s: ["${houseAddress}:5269"]
  components: ["127.0.0.5:5347"]
  posh_https: ["${houseAddress}:443"]
federation:
  resolver: { dnssec: ${signed === undefined ? "off" : "validate"} }
  allow: { networks: [127.0.0.0/8], names: [example] }
certificates: { dirs: [/certs] }
state: { dir: /state }
domains:
  - { name: host.example, posh: { ${posh.replace("true", "false")} }, component: { secret: { file: /secrets/host } } }
  - { name: shop.example, certificate: host.example, posh: { ${posh} }, component: { secret: { file: /secrets/shop } } }
`,
  )
  const listeners: ((event: string, text: string) => void)[] = []
  const world: GatewayWorld = {
    ...gatewayWorldOf(host, files, signed?.ports(host).resolver),
    log: {
      write: (level, event, fields) => {
        host.log.write(level, event, fields)
        for (const listener of listeners) listener(event, String(fields["text"]))
      },
    },
    httpServe: memoryHttpServe(host),
  }
  for (const name of ["host.example", "shop.example"]) scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, 5269, "xmpp.host.example"]] })
  scene.dns("xmpp.host.example", { A: [houseAddress] })
  scene.dns("host.example", { A: [houseAddress] })
  scene.dns("shop.example", { A: [shopWebAddress] })
  const customer = scene.world.host(shopWebAddress)
  const target = `https://host.example${wellKnown}`
  const web = await serveWeb(customer, {
    credentials: credentialsOf(good("shop.example")),
    answer: (path) => {
      if (path !== wellKnown) return { status: 404 }
      return leads === "redirect" ? { status: 302, headers: { location: target } } : { status: 200, headers: { "content-type": "application/json" }, body: referenceDocument(target, 7200) }
    },
  })
  const { config } = await loadConfig("/etc/gw.yaml", { files, environment: () => undefined, now: host.clock.now() })
  const gateway = await scene.until(startGateway(config, world, options))
  const received: string[] = []
  const component = await scene.until(
    ComponentClient.attach({
      dial: scene.world.host("127.0.0.7").dial,
      to: { address: houseAddress, port: 5347 },
      domain: "shop.example",
      secret: `${secretA}2`,
      signal: never,
      received: (stanza) => {
        const body = stanza.children.find((child) => typeof child !== "string" && child.name === "body")
        const text = body === undefined || typeof body === "string" ? "" : body.children.join("")
        received.push(stanza.attributes.some(({ name, value }) => name === "type" && value === "error") ? `error ${text}` : text)
      },
    }),
  )
  return {
    scene,
    gateway,
    files,
    web,
    log: host.log,
    told: (listener) => void listeners.push(listener),
    received,
    component,
    renew: async (certificate) => {
      files.set("/certs/host.pem", certificate.chainPem + certificate.keyPem, { modified: host.clock.now() })
      await scene.until(gateway.reload())
    },
    peer: async (name, prooftype = poshWithMemory(scene)) => await scene.server({ domains: [name], prooftypes: [pkix, prooftype], dialback: false }),
    close: async () => {
      await component.close()
      await scene.until(gateway.close())
      await web.close()
      await scene.close()
    },
  }
}
