// `xmpp-dna/testing`: an internet on loopback for other people's tests: DNS, a CA, servers of ours, real TLS sockets.
// No root, no hosts file, no system trust store, nothing on disk; two at once do not meet.
import type { Resolver } from "../model/dns-answer.ts"
import { createResolver } from "../dns/resolver.ts"
import type { NetworkAddress, TlsCredentials } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { CertificateAuthority, IssueOptions } from "../lab/certificate-authority.ts"
import type { DnsResponder } from "../lab/dns-responder.ts"
import { Internet, type LabServer, type LabWebHost, type LabWebHostSpec, type MessageSeen, type Observer, type ServerSpec } from "../lab/internet.ts"
import { labAllows, looking, seenOf } from "../inspect/looking.ts"
import type { DomainResult } from "../inspect/report.ts"
import type { ExhibitQuestion } from "../lab/exhibit.ts"
import { exhibits, lookAtAll, type Raised, raiseExhibits } from "../lab/exhibits.ts"
import { scenes } from "../lab/programme.ts"
import { playScene, raiseCast, type SceneReport } from "../lab/scene.ts"
import { createAskingWorld } from "../node/asking-world.ts"
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
export type { ExhibitQuestion } from "../lab/exhibit.ts"
export type { DomainResult } from "../inspect/report.ts"

export interface LabOptions {
  /** Servers to start with; more can be added. */
  readonly servers?: readonly ServerSpec[]
  /** Starts the cast of this scene, or puts this exhibit up (`xmpp-dna lab --list` names them); `play` plays or checks it. */
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
  /**
   * What `xmpp-dna check` finds at a domain of this lab, in the form of its `--json`. Names below `example` alone can be asked about.
   *
   * @throws DomainError for what is no domain
   */
  check(domain: string, question?: ExhibitQuestion): Promise<DomainResult>
  /** Told of every event and message; returns the stopper. */
  observe(observer: Observer): () => void
  /** Plays the scene named in the options, and judges it. */
  play(): Promise<SceneReport>
  close(): Promise<void>
}

/** How long a message may take to arrive or bounce, ms. */
const exchangeMs = 10_000

/**
 * Starts a lab; `await using net = await lab()` ends it with the block (Node 24; elsewhere call `close`).
 *
 * @throws Error for a scene that does not exist; ConfigError when nothing can be bound
 */
export async function lab(options: LabOptions = {}): Promise<Lab> {
  const scene = scenes.find(({ id }) => id === options.scene)
  const exhibit = exhibits.find(({ id }) => id === options.scene)
  if (options.scene !== undefined && scene === undefined && exhibit === undefined)
    throw new Error(`there is no scene ${JSON.stringify(options.scene)}; known: ${[...scenes, ...exhibits].map(({ id }) => id).join(", ")}`)
  const net = await Internet.start({ world: (log) => createGatewayWorld({ log }) })
  let raised: readonly Raised[]
  try {
    await raiseCast(net, [...(scene?.cast ?? []), ...(options.servers ?? [])])
    raised = await raiseExhibits(net, exhibit === undefined ? [] : [exhibit])
  } catch (error) {
    await net.close()
    throw error
  }
  const { dns, authority, anchors } = net
  const { clock, random } = createGatewayWorld({ log: { write: () => undefined } })
  const resolver = createResolver({ dnssec: "off", upstreams: [{ address: dns.address, port: dns.port }], transport: nodeDnsTransport(), clock, random })
  const look = looking(net, createAskingWorld)
  const close = (): Promise<void> => net.close()
  return {
    options: { resolver, trust: anchors, allow: labAllows },
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
    check: (domain, question) => {
      const standing = raised.find(({ exhibit: each }) => each.domain === domain)?.standing
      return look(domain, { ...standing?.question, ...question }, standing?.resolver)
    },
    play: async () => {
      const [looked] = await lookAtAll(net, raised, async (each, { question, resolver: other }) => seenOf(await look(each.domain, question, other)))
      if (looked !== undefined) return looked
      if (scene === undefined) throw new Error("no scene was named in the options")
      return await playScene(net, scene)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
