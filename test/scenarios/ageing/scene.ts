// A whole gateway in memory and one peer, with all that their proofs rest on: certificates, roots, DNS, web, policy, memory. Every
// stanza is seen where it crosses a connection and where it arrives.
import assert from "node:assert/strict"
import { loadConfig } from "../../../src/gateway/config.ts"
import type { GatewayOptions, GatewayWorld } from "../../../src/gateway/contract.ts"
import { type Gateway, startGateway } from "../../../src/gateway/gateway.ts"
import { CertificateAuthority } from "../../../src/lab/certificate-authority.ts"
import { ComponentClient } from "../../../src/lab/component-client.ts"
import type { FederationEvent } from "../../../src/model/events.ts"
import { rfc3339 } from "../../../src/proof/prove.ts"
import type { Store, StoreChange, StoreRecord } from "../../../src/ports.ts"
import { anchorsFromPem } from "../../../src/x509/anchors.ts"
import { attr } from "../../../src/xml/element.ts"
import { serialise } from "../../../src/xml/serialise.ts"
import { boundless } from "../../attacks/weakened.ts"
import { MemoryFiles, secretA } from "../../gateway/config-fixture.ts"
import { alteredText } from "../../world/middle.ts"
import type { RecordingLog } from "../../world/world.ts"
import { gatewayWorldOf } from "../gateway-world.ts"
import { Sender } from "../pool-support.ts"
import { documentOf, redirectTo, Webs } from "../posh-web.ts"
import { SignedDns, tlsaRow } from "../signed-dns.ts"
import { anchors, credentialsOf, good, type MemoryScene, memoryScene, never, type Server, start } from "../support.ts"
import { certificates, type Connection, type Facts, type Shown, them, us } from "./facts.ts"

const day = 86_400_000
const gatewayAddress = "127.0.0.5"
const tlsaName = `_5269._tcp.host.${them}`
/** Enough for the longest play. */
const idle = 7 * day
const ours = [good(us), good(us, { commonName: "renewed" })].map(({ chainPem, keyPem }) => chainPem + keyPem)

/** The roots that we know when theirs is not among them. */
const withoutTheirs = anchorsFromPem(CertificateAuthority.create({ name: "Another Root", now: start }).certificate.pem)

class KeptStore implements Store {
  readonly found = { kind: "kept" } as const
  readonly place = "/state/memory.sqlite"
  readonly #rows = new Map<string, StoreRecord>()
  records(): readonly StoreRecord[] {
    return [...this.#rows.values()]
  }
  async write(changes: readonly StoreChange[]): Promise<void> {
    for (const { kind, key, value } of changes) {
      if (value === undefined) this.#rows.delete(`${kind} ${key}`)
      else this.#rows.set(`${kind} ${key}`, { kind, key, value })
    }
  }
  async close(): Promise<void> {}
  /** As if the peer had proven itself by certificate for weeks, in both directions. */
  async remember(now: number): Promise<void> {
    const run = { count: 3, first: now - 20 * day, last: now - day, by: ["pkix"] }
    const value = JSON.stringify({ encrypted: run, authenticated: run })
    await this.write([
      { kind: "ratchet", key: "clock", value: JSON.stringify({ at: now, wall: now }), changed: now },
      ...["in", "out"].map((way) => ({ kind: "ratchet", key: `${way} ${them}`, value, changed: now }) as const),
    ])
  }
}

export interface Sights {
  /** A stanza crosses a connection; `by` the one who wrote it. */
  crossed(body: string, by: "us" | "them", connection: Connection): void
  /** A component of ours was given something. */
  received(id: string, error: boolean): void
}

const yaml = ({ require, ratchet, override }: Facts): string => `listen:
  s2s: ["${gatewayAddress}:5269"]
  components: ["${gatewayAddress}:5347"]
federation:
  require: ${require}
  proofs: [pkix, dane, posh]
  idle_timeout: 7d
  retry_max: 1m
  resolver: {}
  ratchet: { mode: ${ratchet}${override === 0 ? "" : `, overrides: [{ peer: ${them}, until: "${rfc3339(override).replace(".000", "")}", why: "they know" }]`} }
  allow: { networks: [127.0.0.0/8], names: [example] }
state: { dir: /state }
certificates: { dirs: [/certs] }
domains:
  - { name: ${us}, component: { secret: { file: /secrets/a } } }
`

export interface AgeingScene {
  readonly scene: MemoryScene
  readonly peer: Server
  readonly sender: Sender
  readonly log: RecordingLog
  /** What was refused, and streams that ended. */
  readonly events: FederationEvent[]
  /** Questions for the peer's TLSA records, and requests for its document, so far. */
  looks(): { readonly dns: number; readonly web: number }
  send(id: string): void
  /** The world is as the facts say, from now on. @param before what was so until now */
  become(facts: Facts, before: Facts): Promise<void>
  /** Another certificate of ours. */
  renewOurs(): Promise<void>
  restart(): Promise<void>
  close(): Promise<void>
}

export async function ageingScene(facts: Facts, sights: Sights, options: { readonly bidi: boolean; readonly remembered: boolean; readonly gateway?: GatewayOptions }): Promise<AgeingScene> {
  let shown: Shown = facts.shown
  const scene: MemoryScene = memoryScene({
    link: (from) => {
      const connection: Connection = { by: from.address === gatewayAddress ? "us" : "them", at: scene.clock.now(), shown }
      return {
        middle: alteredText((text, towards) => {
          const by = (towards === "server") === (connection.by === "us") ? "us" : "them"
          for (const [, body] of text.matchAll(/<body>([^<]*)<\/body>/g)) sights.crossed(body!, by, connection)
          return text
        }),
      }
    },
  })
  const { world, clock } = scene
  const dns = new SignedDns()
  const webs = new Webs(scene)
  const store = new KeptStore()
  if (options.remembered) await store.remember(start)
  const host = world.host(gatewayAddress)
  const files = new MemoryFiles({ "/secrets/a": secretA, [`/certs/${us}.pem`]: ours[0]!, "/etc/gw.yaml": yaml(facts), "/state/made": "" })
  scene.dns(`_xmpp-server._tcp.${us}`, { SRV: [[0, 0, 5269, "gateway.example"]] })
  scene.dns("gateway.example", { A: [gatewayAddress] })
  let rooted = facts.rooted
  const gatewayWorld: GatewayWorld = {
    ...gatewayWorldOf(host, files, dns.ports(host).resolver),
    anchors: () => (rooted ? anchors : withoutTheirs),
    store: () => store,
  }
  const events: AgeingScene["events"] = []
  let gateway: Gateway
  let component: ComponentClient
  const begin = async (): Promise<void> => {
    const { config } = await loadConfig("/etc/gw.yaml", { files, environment: () => undefined, now: clock.now() })
    const claimLimits = { budget: boundless }
    const event = (happened: FederationEvent): void => {
      if (happened.kind === "refused" || happened.kind === "closed") events.push(happened)
    }
    gateway = await scene.until(startGateway(config, gatewayWorld, { claimLimits, ...options.gateway, event }))
    component = await scene.until(
      ComponentClient.attach({
        dial: world.host("127.0.0.7").dial,
        to: { address: gatewayAddress, port: 5347 },
        domain: us,
        secret: secretA,
        signal: never,
        received: (stanza) => sights.received(attr(stanza, "id") ?? /<body>([^<]*)/.exec(serialise(stanza))?.[1] ?? "", attr(stanza, "type") === "error"),
      }),
    )
  }
  const uses = { bidi: options.bidi, piggyback: true, streamManagement: true, pipelining: true }
  const certificate = () => certificates[shown].issued
  const peer = await scene.server({ domains: [them], require: "encrypted", uses, certificate })
  await webs.host(them)
  const publish = (now: Facts): void => {
    shown = now.shown
    rooted = now.rooted
    peer.hosting = { ...peer.hosting, credentials: () => credentialsOf(certificate()) }
    dns.rules.set(`${tlsaName} TLSA`, ({ says: "secure", fails: "fails", bogus: "bogus", silent: "silent", unsigned: "insecure" } as const)[now.dns])
    scene.dns(tlsaName, now.tlsa.length === 0 ? undefined : { TLSA: now.tlsa.map((each) => tlsaRow(certificates[each].issued)) })
    const document = now.posh.length === 0 ? undefined : documentOf(now.posh.map((each) => certificates[each].issued), now.expires / 1000)
    webs.page(them, ({ says: document, failing: { status: 503 }, closing: "close", elsewhere: redirectTo("https://elsewhere.example/x") } as const)[now.web])
  }
  publish(facts)
  await begin()
  const sender = new Sender(peer, idle)
  const reload = async (): Promise<void> => {
    const result = await scene.until(gateway.reload())
    assert.ok(result.ok, JSON.stringify(result))
  }
  let certificateOfOurs = 0
  const end = async (): Promise<void> => {
    await component.close()
    await scene.until(gateway.close())
  }
  return {
    scene,
    peer,
    sender,
    log: host.log,
    events,
    looks: () => ({ dns: dns.asked.filter((name) => name === `${tlsaName} TLSA`).length, web: webs.requests.length }),
    send: (id) => component.send(`<message id='${id}' from='x@${us}' to='y@${them}'><body>${id}</body></message>`),
    async become(now, before) {
      publish(now)
      const settings = yaml(now)
      if (settings === yaml(before) && now.rooted === before.rooted) return
      files.set("/etc/gw.yaml", settings)
      await reload()
    },
    async renewOurs() {
      certificateOfOurs = 1 - certificateOfOurs
      files.set(`/certs/${us}.pem`, ours[certificateOfOurs]!)
      await reload()
    },
    async restart() {
      await end()
      await begin()
    },
    async close() {
      await scene.until(sender.pool.close())
      await end()
      await webs.close()
      await scene.close()
    },
  }
}
