// `xmpp-dna/testing`: an internet on loopback for other people's tests: DNS, a CA, servers of ours, real TLS sockets.
// No root, no hosts file, no system trust store, nothing on disk; two at once do not meet.
import type { Resolver } from "../model/dns-answer.ts"
import { createResolver } from "../dns/resolver.ts"
import type { NetworkAddress, TlsCredentials } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { CertificateAuthority, IssueOptions } from "../lab/certificate-authority.ts"
import type { DnsResponder } from "../lab/dns-responder.ts"
import { Internet, type LabServer, type LabWebHost, type LabWebHostSpec, type MessageSeen, type Observer, type ServerSpec } from "../lab/internet.ts"
import { scenes } from "../lab/programme.ts"
import { playScene, raiseCast, type SceneReport } from "../lab/scene.ts"
import { createGatewayWorld } from "../node/gateway-world.ts"
import { nodeDnsTransport } from "../node/dns-transport.ts"

export { CertificateAuthority, selfSigned } from "../lab/certificate-authority.ts"
export { WaitedInVain } from "../lab/internet.ts"
export type { IssuedCertificate, IssueOptions, SubjectNames } from "../lab/certificate-authority.ts"
export type { DnsResponder, Misbehaviour } from "../lab/dns-responder.ts"
export type { ZoneRecords } from "../lab/dns-zones.ts"
export type { LabCertificate, LabServer, LabTarget, LabTlsa, LabZone, MessageSeen, Observer, ServerSpec } from "../lab/internet.ts"
export type { LabWebAnswer, LabWebCertificate, LabWebHost, LabWebHostSpec, LabWebRequest } from "../lab/internet.ts"
export type { SceneReport } from "../lab/scene.ts"

export interface LabOptions {
  /** Servers to start with; more can be added. */
  readonly servers?: readonly ServerSpec[]
  /** Starts the cast of this scene (`xmpp-dna lab --list` names them); `play` plays it. */
  readonly scene?: string
}

export interface Lab extends AsyncDisposable {
  /** What to pass to `connect` besides `from`, `to` and `credentials`. */
  readonly options: { readonly resolver: Resolver; readonly trust: AnchorSet; readonly allow: { readonly networks: readonly string[]; readonly names: readonly string[] } }
  /** The server that answers for every name: set records, misbehave, see what was asked. */
  readonly dns: DnsResponder
  /** Issues whatever certificate a test needs; every server of the lab knows its root. */
  readonly authority: CertificateAuthority
  readonly resolver: Resolver
  readonly anchors: AnchorSet
  readonly servers: readonly LabServer[]
  /** @throws Error when there is no server of this domain */
  server(domain: string): LabServer
  /** Starts a server of ours with its certificate, component and DNS records. */
  addServer(spec: ServerSpec): Promise<LabServer>
  removeServer(server: LabServer): Promise<void>
  /** Starts an HTTPS host with scripted answers, and publishes its address. */
  web(spec: LabWebHostSpec): LabWebHost
  /** A certificate of the lab's CA with its key, for a domain of the test's own. */
  credentials(domain: string, options?: IssueOptions): TlsCredentials
  /** Publishes SRV and address records that lead to a server of the test's own. */
  publish(domain: string, at: NetworkAddress): void
  /** Sends a message from one server's component to another's; resolves with what came of it. */
  exchange(from: string, to: string, body: string): Promise<MessageSeen>
  /** Told of every event and message; returns the stopper. */
  observe(observer: Observer): () => void
  /** Plays the scene named in the options, and judges it. */
  play(): Promise<SceneReport>
  close(): Promise<void>
}

const networks = ["127.0.0.0/8", "::1/128"]
const names = ["example", "test"]
/** How long a message may take to arrive or bounce, ms. */
const exchangeMs = 10_000

/**
 * Starts a lab; `await using net = await lab()` ends it with the block (Node 24; elsewhere call `close`).
 *
 * @throws Error for a scene that does not exist; ConfigError when nothing can be bound
 */
export async function lab(options: LabOptions = {}): Promise<Lab> {
  const scene = options.scene === undefined ? undefined : scenes.find(({ id }) => id === options.scene)
  if (options.scene !== undefined && scene === undefined) throw new Error(`there is no scene ${JSON.stringify(options.scene)}; known: ${scenes.map(({ id }) => id).join(", ")}`)
  const net = await Internet.start({ world: (log) => createGatewayWorld({ log }) })
  try {
    await raiseCast(net, [...(scene?.cast ?? []), ...(options.servers ?? [])])
  } catch (error) {
    await net.close()
    throw error
  }
  const { dns, authority, anchors } = net
  const { clock, random } = createGatewayWorld({ log: { write: () => undefined } })
  const resolver = createResolver({ dnssec: "off", upstreams: [{ address: dns.address, port: dns.port }], transport: nodeDnsTransport(), clock, random })
  const close = (): Promise<void> => net.close()
  return {
    options: { resolver, trust: anchors, allow: { networks, names } },
    dns,
    authority,
    resolver,
    anchors,
    get servers() {
      return net.servers
    },
    server: (domain) => net.server(domain),
    addServer: (spec) => net.addServer(spec),
    removeServer: (server) => net.removeServer(server),
    web: (spec) => net.web(spec),
    credentials: (domain, issue = {}) => {
      const { chainPem, keyPem } = authority.issue({ names: { dns: [domain] }, ...issue })
      return { certificatePem: chainPem, keyPem }
    },
    publish: (domain, at) => {
      dns.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, at.port, `xmpp.${domain}`]] })
      dns.set(`xmpp.${domain}`, at.address.includes(":") ? { AAAA: [at.address] } : { A: [at.address] })
    },
    exchange: async (from, to, body) => {
      const [sender, receiver] = [net.server(from), net.server(to)]
      const id = net.say(sender, receiver, body)
      return await net.until(`the message from ${from}`, () => net.outcome(receiver.domain, id) ?? net.outcome(sender.domain, id), exchangeMs)
    },
    observe: (observer) => net.observe(observer),
    play: async () => {
      if (scene === undefined) throw new Error("no scene was named in the options")
      return await playScene(net, scene)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
