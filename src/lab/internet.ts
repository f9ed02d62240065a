// An internet on loopback: DNS, a certificate authority and servers of ours, all in this process (issue, "Lab").
// Everything goes through the product's own code and real sockets; nothing leaves 127.0.0.0/8.
import { anchorSet } from "../x509/anchors.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { Domain } from "../model/domain.ts"
import type { FederationEvent } from "../model/events.ts"
import type { Log, NetworkAddress } from "../ports.ts"
import { attr, child, text, type XmlElement } from "../xml/element.ts"
import { ns } from "../model/namespaces.ts"
import { CertificateAuthority, type IssuedCertificate, selfSigned } from "./certificate-authority.ts"
import type { DnsResponder } from "./dns-responder.ts"
import { type LabDns, startLabDns } from "./lab-dns.ts"
import { type LabServer, type ServerSpec, startServer } from "./lab-server.ts"
import { MovingClock } from "./moving-clock.ts"
import { labClock, type LabClock, type LabPorts } from "./ports.ts"
import { publish, type Published } from "./publish.ts"
import { LabWeb, type LabWebAnswer, type LabWebHost, type LabWebHostSpec, type LabWebRequest, type LabWebSurroundings } from "./web-host.ts"

export type { LabPorts } from "./ports.ts"
export type { FurtherDomain, LabCertificate, LabServer, ServerSpec } from "./lab-server.ts"
export type { LabTarget, LabTlsa, LabZone } from "./publish.ts"
export type { LabWebAnswer, LabWebCertificate, LabWebHost, LabWebHostSpec, LabWebRequest } from "./web-host.ts"

/** What came of one message, as the component that sent or got it saw it. */
export type MessageSeen =
  | { readonly kind: "sent"; readonly id: string; readonly from: string; readonly to: string; readonly body: string }
  | { readonly kind: "received"; readonly id: string; readonly from: string; readonly to: string; readonly body: string }
  | {
      readonly kind: "bounced"
      readonly id: string
      readonly from: string
      readonly to: string
      readonly condition: string
      readonly text: string
    }

/** Told of everything that happens, at once; for narration and for waiting. */
export interface Observer {
  event?(domain: Domain, event: FederationEvent): void
  message?(domain: Domain, message: MessageSeen): void
  /** A web host was asked. */
  web?(host: string, request: LabWebRequest, answer: LabWebAnswer): void
  /** What a scene says about itself between the steps. */
  note?(words: string): void
}

/** A wait that ended without what was waited for. */
export class WaitedInVain extends Error {
  override readonly name = "WaitedInVain"
}

const silent: Log = { write: () => undefined }
/** How long a server has to start and its component to attach, ms. */
const startMs = 5000
/** Of all web hosts; servers have addresses above it. */
const webAddress = "127.0.0.9"

export class Internet {
  readonly clock: LabClock
  /** Of servers that move in time; a scene lets it run ahead. */
  readonly movingClock: MovingClock
  readonly dns: DnsResponder
  readonly authority: CertificateAuthority
  /** What every server of the lab believes: the root of the lab's CA. */
  readonly anchors: AnchorSet
  /** The signed zones behind `dns`, and the resolver that can be made to strip their signatures. */
  readonly signed: LabDns
  readonly #ports: LabPorts
  readonly #observers = new Set<Observer>()
  readonly #servers = new Map<Domain, LabServer>()
  readonly #published = new Map<LabServer, () => void>()
  readonly #messages: { readonly domain: Domain; readonly message: MessageSeen }[] = []
  readonly #ownAddresses: boolean
  readonly #kept: { close(): Promise<void> }[] = []
  #web: LabWeb | undefined
  #stranger: CertificateAuthority | undefined
  #lastAddress = 10
  #lastMessage = 0

  private constructor(ports: LabPorts, clock: LabClock, signed: LabDns, ownAddresses: boolean) {
    this.#ports = ports
    this.clock = clock
    this.movingClock = new MovingClock(clock)
    this.signed = signed
    this.dns = signed.honest
    this.#ownAddresses = ownAddresses
    this.authority = CertificateAuthority.create({ name: "Lab CA", now: clock.now() })
    this.anchors = anchorSet([this.authority.certificate.der])
  }

  /** Starts DNS and makes the CA; servers are added one by one. */
  static async start(ports: LabPorts, options: { readonly webPort?: number } = {}): Promise<Internet> {
    const world = ports.world(silent)
    const signed = await startLabDns(world.clock.now())
    const net = new Internet(ports, labClock(world.clock), signed, await canBind(world.listen, "127.0.0.11"))
    try {
      await net.#startWeb(options.webPort ?? 0)
      return net
    } catch (error) {
      await net.close()
      throw error
    }
  }

  async #startWeb(port: number): Promise<void> {
    const around = { clock: this.clock, authority: this.authority, stranger: () => this.#otherAuthority(), asked: this.#webAsked }
    this.#web = await LabWeb.start({ address: this.#ownAddresses ? webAddress : "127.0.0.1", port }, around)
  }

  readonly #webAsked: NonNullable<LabWebSurroundings["asked"]> = ({ host }, request, answer) => {
    for (const observer of [...this.#observers]) observer.web?.(host, request, answer)
  }

  /** Where every web host of this lab is: what 443 is elsewhere. */
  get webAt(): NetworkAddress {
    if (this.#web === undefined) throw new Error("the lab's web has not started")
    return this.#web.at
  }

  /**
   * Starts a web host and publishes its address.
   *
   * @throws Error when the host is there already
   */
  web(spec: LabWebHostSpec): LabWebHost {
    if (this.#web === undefined) throw new Error("the lab's web has not started")
    const host = this.#web.add(spec, () => this.signed.zones.set(spec.host, undefined))
    this.#publishWeb([host])
    return host
  }

  /** Whether every server has an address of its own, as where all of 127.0.0.0/8 answers. */
  get manyAddresses(): boolean {
    return this.#ownAddresses
  }

  /** Once more after a server's zone was opened: a name belongs to the deepest zone there is. */
  #publishWeb(hosts: readonly LabWebHost[]): void {
    for (const { host, at } of hosts) this.signed.zones.set(host, { A: [at.address] })
  }

  get servers(): readonly LabServer[] {
    return [...this.#servers.values()]
  }

  server(domain: string): LabServer {
    const server = this.#servers.get(domain as Domain)
    if (server === undefined) throw new Error(`there is no server of ${domain} in this lab`)
    return server
  }

  /** @returns the stopper */
  observe(observer: Observer): () => void {
    this.#observers.add(observer)
    return () => this.#observers.delete(observer)
  }

  /**
   * Starts a server of ours with its certificate, component and DNS records.
   *
   * @throws ConfigError when nothing can be bound; Error when the domain has a server already
   */
  async addServer(spec: ServerSpec): Promise<LabServer> {
    for (const { domain } of [spec, ...(spec.also ?? [])]) if (this.#servers.has(domain as Domain)) throw new Error(`${domain} has a server already`)
    const controller = new AbortController()
    const cancel = this.clock.after(startMs, () =>
      controller.abort(new WaitedInVain(`the server of ${spec.domain} did not start in ${startMs} ms`)),
    )
    try {
      const server = await startServer(spec, {
        world: (log) => ({ ...this.#ports.world(log), clock: spec.movesInTime === true ? this.movingClock : this.clock }),
        address: this.#nextAddress(),
        dns: addressOf(spec.behindStripping === true ? this.signed.stripping : this.dns),
        webPort: this.webAt.port,
        dnsAnchors: this.signed.zones.anchorText,
        authority: this.authority,
        stranger: () => this.#otherAuthority(),
        secret: () => Buffer.from(this.#ports.world(silent).random.bytes(32)).toString("hex"),
        signal: controller.signal,
        event: (domain, event) => {
          for (const observer of [...this.#observers]) observer.event?.(domain, event)
        },
        received: (domain, stanza) => this.#received(domain, stanza),
      })
      for (const each of [server, ...server.also]) {
        this.#servers.set(each.domain, each)
        this.#published.set(each, this.#publish(each))
      }
      this.#publishWeb(this.#web?.hosts ?? [])
      return server
    } finally {
      cancel()
    }
  }

  /** Closed with the lab, besides its servers. */
  keep(thing: { close(): Promise<void> }): void {
    this.#kept.push(thing)
  }

  /** DNS records that lead to a server of another kind; they stay. */
  publish(server: Published): void {
    publish(this.signed.zones, server)
    this.#publishWeb(this.#web?.hosts ?? [])
  }

  /** An authority that nobody knows. */
  get stranger(): CertificateAuthority {
    return this.#otherAuthority()
  }

  async removeServer(server: LabServer): Promise<void> {
    for (const each of [server, ...server.also]) {
      this.#servers.delete(each.domain)
      this.#published.get(each)?.()
      this.#published.delete(each)
    }
    await server.close()
  }

  /**
   * Sends a message from one server's component to another's.
   *
   * @returns its id
   */
  say(from: LabServer, to: LabServer, body: string): string {
    this.#lastMessage += 1
    const id = `m${this.#lastMessage}`
    const seen = { kind: "sent", id, from: `bot@${from.domain}`, to: `bot@${to.domain}`, body } as const
    this.#seen(from.domain, seen)
    from.component.message(id, seen.from, seen.to, body)
    return id
  }

  /** A certificate that nobody issued, for these names. */
  selfSigned(names: readonly string[]): IssuedCertificate {
    return selfSigned({ names: { dns: names }, now: this.authority.now })
  }

  /** For whoever watches. */
  note(words: string): void {
    for (const observer of [...this.#observers]) observer.note?.(words)
  }

  /** What the component of this domain saw of the message with this id, besides having sent it. */
  outcome(domain: Domain, id: string): MessageSeen | undefined {
    return this.#messages.find((entry) => entry.domain === domain && entry.message.id === id && entry.message.kind !== "sent")?.message
  }

  /**
   * Waits until something is there to be found. Looks again after every event and message.
   *
   * @param what completes "waited in vain for …"
   * @param ms at most
   * @throws WaitedInVain
   */
  async until<T>(what: string, look: () => T | undefined, ms: number): Promise<T> {
    return await new Promise<T>((resolve, reject) => {
      const check = (): void => {
        const found = look()
        if (found === undefined) return
        done()
        resolve(found)
      }
      const stop = this.observe({ event: check, message: check })
      const cancel = this.clock.after(ms, () => {
        stop()
        reject(new WaitedInVain(`waited in vain for ${what}`))
      })
      const done = (): void => {
        stop()
        cancel()
      }
      check()
    })
  }

  /** Ends everything. */
  async close(): Promise<void> {
    // A server with further domains is closed once for each of them: the second time nothing is left to do.
    await Promise.all([...this.#servers.values()].map((server) => this.removeServer(server)))
    await Promise.all(this.#kept.map((thing) => thing.close()))
    await this.#web?.close()
    await this.signed.close()
    this.clock.stop()
  }

  #nextAddress(): string {
    if (!this.#ownAddresses) return "127.0.0.1"
    this.#lastAddress += 1
    return `127.0.${Math.floor(this.#lastAddress / 250)}.${this.#lastAddress % 250}`
  }

  #publish(server: LabServer): () => void {
    const { domain, spec, s2s, transport, certificate } = server
    // Whoever signs with its own key is its own issuer.
    const from = spec.certificate?.from ?? "lab"
    const issuer = from === "self" ? certificate : from === "lab" ? this.authority.certificate : this.#otherAuthority().certificate
    return publish(this.signed.zones, { domain, zone: spec.zone, s2s, transport, certificate, issuer })
  }

  #otherAuthority(): CertificateAuthority {
    this.#stranger ??= CertificateAuthority.create({ name: "Other CA", now: this.authority.now })
    return this.#stranger
  }

  #received(domain: Domain, stanza: XmlElement): void {
    const id = attr(stanza, "id") ?? ""
    const addresses = { id, from: attr(stanza, "from") ?? "", to: attr(stanza, "to") ?? "" }
    const error = child(stanza, "error", ns.component)
    if (attr(stanza, "type") !== "error" || error === undefined) {
      const body = child(stanza, "body", ns.component)
      this.#seen(domain, { kind: "received", ...addresses, body: body === undefined ? "" : text(body) })
      return
    }
    const parts = error.children.filter((node): node is XmlElement => typeof node !== "string" && node.ns === ns.stanzaErrors)
    const condition = parts.find(({ name }) => name !== "text")?.name ?? "undefined-condition"
    const words = parts.find(({ name }) => name === "text")
    this.#seen(domain, { kind: "bounced", ...addresses, condition, text: words === undefined ? "" : text(words) })
  }

  #seen(domain: Domain, message: MessageSeen): void {
    this.#messages.push({ domain, message })
    if (this.#messages.length > 10_000) this.#messages.shift()
    for (const observer of [...this.#observers]) observer.message?.(domain, message)
  }
}

function addressOf({ address, port }: DnsResponder): NetworkAddress {
  return { address, port }
}

/** Linux answers for all of 127.0.0.0/8; other systems for 127.0.0.1 alone until told. */
async function canBind(
  listen: { listen(at: NetworkAddress, accept: (channel: { destroy(): void }) => void): Promise<{ close(): Promise<void> }> },
  address: string,
): Promise<boolean> {
  try {
    const listener = await listen.listen({ address, port: 0 }, (channel) => channel.destroy())
    await listener.close()
    return true
  } catch {
    // Not bindable here: all servers then share one address, told apart by port.
    return false
  }
}
