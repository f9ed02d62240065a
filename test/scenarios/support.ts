// Servers with a small fake gateway behind the federation core, in the world in memory or on real sockets with real TLS;
// and a raw peer that says what a test wants.
import assert from "node:assert/strict"
import type { Association, DomainPair } from "../../src/model/association.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import type { FederationEvent } from "../../src/model/events.ts"
import type { Evidence } from "../../src/model/evidence.ts"
import type { FederationPolicy, RequiredLevel } from "../../src/model/policy.ts"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import type { Abilities } from "../../src/federation/abilities.ts"
import { ClaimGuard } from "../../src/federation/claim-guard.ts"
import type { EndpointOverride, Federation, FederationPorts, FederationTimes, Hosting, IncomingHooks, IncomingStream, OutgoingStream, StreamUses } from "../../src/federation/contract.ts"
import { Carriers } from "../../src/federation/carriers.ts"
import { KeyRing } from "../../src/federation/dialback.ts"
import { openOutgoing } from "../../src/federation/initiating.ts"
import { managementShare } from "../../src/federation/managed-stream.ts"
import type { Ratchet } from "../../src/federation/ratchet.ts"
import { acceptStream } from "../../src/federation/receiving.ts"
import { OutgoingRefused } from "../../src/federation/refusal.ts"
import { CertificateAuthority, type IssuedCertificate, type IssueOptions, selfSigned } from "../../src/lab/certificate-authority.ts"
import { startDnsResponder } from "../../src/lab/dns-responder.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createDial } from "../../src/node/dial.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { createHttps } from "../../src/node/https.ts"
import { createListen } from "../../src/node/listen.ts"
import { systemRandom } from "../../src/node/random.ts"
import { createTls } from "../../src/node/tls.ts"
import type { Channel, Listener, NetworkAddress, SecuredChannel, Tls, TlsCredentials } from "../../src/ports.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"
import type { PeerLimits } from "../../src/stream/limits.ts"
import { serialise } from "../../src/xml/serialise.ts"
import type { Link } from "../world/channel.ts"
import type { ManualClock } from "../world/clock.ts"
import { Recorder } from "../world/recorder.ts"
import { createTestWorld, type TestWorld } from "../world/world.ts"

export const never = new AbortController().signal
export const domain = parseDomain
export const pairOf = (sender: string, target: string): DomainPair => ({ sender: domain(sender), target: domain(target) })

/** What the certificates of this run are made of: the same authority for all, and one that nobody knows. */
export const start = Date.UTC(2026, 10, 20)
export const authority = CertificateAuthority.create({ now: start })
export const stranger = CertificateAuthority.create({ name: "Unknown Root", now: start })
export const anchors = anchorsFromPem(authority.certificate.pem)

export function credentialsOf(certificate: IssuedCertificate): TlsCredentials {
  return { certificatePem: certificate.chainPem, keyPem: certificate.keyPem }
}

/** `now` for real sockets, whose clock is that of the machine. */
export interface Times {
  readonly now: number
}
const span = ({ now }: Times): Pick<IssueOptions, "notBefore" | "notAfter"> => ({ notBefore: now - 86_400_000, notAfter: now + 30 * 86_400_000 })
export function good(name: string, options: IssueOptions = {}, times: Times = { now: start }): IssuedCertificate {
  return authority.issue({ names: { dns: [name] }, ...span(times), ...options })
}
export function own(name: string, options: IssueOptions = {}, times: Times = { now: start }): IssuedCertificate {
  return selfSigned({ names: { dns: [name] }, now: times.now, ...span(times), ...options })
}

export interface ServerOptions {
  /** Domains hosted; the first is what answers show where they need one. */
  readonly domains: readonly string[]
  readonly address?: string
  /** Shown by domain; `null`: none. Default: one of the known authority for each domain. */
  readonly certificate?: IssuedCertificate | null | ((domain: string) => IssuedCertificate | undefined)
  /** Shows no certificate when it connects. */
  readonly mute?: boolean
  readonly require?: RequiredLevel
  readonly exceptions?: FederationPolicy["exceptions"]
  readonly prooftypes?: readonly AnyProoftype[]
  readonly dialback?: boolean
  readonly times?: Partial<FederationTimes>
  readonly overrides?: Readonly<Record<string, EndpointOverride>>
  readonly pendingClaims?: number
  /** Changes the machine, to weaken it on purpose. */
  readonly ports?: (ports: FederationPorts) => FederationPorts
  readonly claims?: (clock: FederationPorts["clock"]) => ClaimGuard
  readonly ratchet?: Ratchet
  /** No SRV record for its domains. */
  readonly unlisted?: boolean
  /** What it says that its streams accept (XEP-0478). */
  readonly announced?: PeerLimits
  /** What its streams may do beyond one pair one way; nothing unless given. */
  readonly uses?: Partial<StreamUses>
  /** Remembers what others can do. */
  readonly abilities?: (clock: FederationPorts["clock"]) => Abilities
}

export interface Delivered {
  readonly pair: DomainPair
  readonly xml: string
}

/** One server: the federation core with hooks that remember. */
export class Server {
  readonly name: Domain
  readonly address: NetworkAddress
  readonly federation: Federation
  readonly events: FederationEvent[] = []
  readonly delivered: Delivered[] = []
  readonly incoming: IncomingStream[] = []
  hosting: Hosting
  readonly #open = new Set<OutgoingStream>()

  constructor(options: ServerOptions, machine: FederationPorts, hosting: Hosting, address: NetworkAddress) {
    this.name = domain(options.domains[0]!)
    this.address = address
    this.hosting = hosting
    const ports = options.ports?.(machine) ?? machine
    this.federation = {
      ports,
      current: () => this.hosting,
      event: (event) => void this.events.push(event),
      keys: new KeyRing(ports.random, ports.clock),
      claims: options.claims?.(ports.clock) ?? new ClaimGuard(ports.clock),
      management: managementShare(ports.clock, ports.random),
      ...(options.ratchet === undefined ? {} : { ratchet: options.ratchet }),
      ...(options.abilities === undefined ? {} : { abilities: options.abilities(ports.clock) }),
    }
    this.carriers = new Carriers(this.federation, this.hooks)
  }

  readonly hooks: IncomingHooks = {
    delivery: (pair) => ({
      raw: ({ bytes, start: from, end }) => void this.delivered.push({ pair, xml: bytes.toString("utf8", from, end) }),
      tree: (stanza) => void this.delivered.push({ pair, xml: serialise(stanza, { defaultNs: "jabber:server" }) }),
    }),
    flushed: () => {},
    authenticated: () => {},
    opened: (stream) => void this.incoming.push(stream),
    reachable: (domain, stream) => {
      this.ways.push({ domain, stream })
      this.carriers.reachable(domain, stream)
    },
  }

  /** Domains that accepted streams lead back to. */
  readonly ways: { readonly domain: Domain; readonly stream: OutgoingStream }[] = []
  readonly carriers: Carriers

  /** A stream for the pair, new or not, as a gateway gets it. */
  async join(target: string, sender: string = this.name): Promise<OutgoingStream> {
    const stream = await this.carriers.open(pairOf(sender, target), never)
    this.#open.add(stream)
    void stream.closed.then(() => this.#open.delete(stream))
    return stream
  }

  accept(channel: Channel, transport: "starttls" | "direct-tls" = "starttls"): IncomingStream {
    const stream = acceptStream(this.federation, channel, transport, this.hooks)
    this.incoming.push(stream)
    return stream
  }

  async open(target: string, sender: string = this.name, signal?: AbortSignal): Promise<OutgoingStream> {
    const stream = await openOutgoing(this.federation, pairOf(sender, target), signal)
    this.#open.add(stream)
    void stream.closed.then(() => this.#open.delete(stream))
    return stream
  }

  get outgoing(): readonly OutgoingStream[] {
    return [...this.#open]
  }

  /** A reload: a new snapshot, by default of the next generation; live streams are judged again, as a gateway does it. */
  reload(changes: Partial<Omit<Hosting, "policy">> & { policy?: Partial<FederationPolicy> }, options: { recheck?: boolean } = {}): void {
    const policy = { ...this.hosting.policy, ...changes.policy, generation: this.hosting.policy.generation + 1 }
    this.hosting = { ...this.hosting, ...changes, policy }
    if (options.recheck === false) return
    for (const stream of [...this.incoming, ...this.#open]) stream.recheck()
  }

  of<K extends FederationEvent["kind"]>(kind: K): Extract<FederationEvent, { kind: K }>[] {
    return this.events.filter((event): event is Extract<FederationEvent, { kind: K }> => event.kind === kind)
  }

  get findings(): string[] {
    return this.of("refused").map(({ finding }) => finding)
  }

  /** Associations ever made on accepted streams. */
  get admitted(): Association[] {
    return this.of("associated").flatMap(({ association, direction }) => (direction === "in" ? [association] : []))
  }

  get evidence(): readonly Evidence[] {
    return this.events.flatMap((event) => (event.kind === "refused" ? (event.evidence?.() ?? []) : event.kind === "associated" ? event.association.evidence() : []))
  }

  get bodies(): string[] {
    return this.delivered.map(({ xml }) => /<body>([^<]*)<\/body>/.exec(xml)?.[1] ?? xml)
  }
}

export function message(from: string, to: string, body = "hi"): Buffer {
  return Buffer.from(`<message from='${from}' to='${to}'><body>${body}</body></message>`)
}

/** All that the federation core tells anybody, as text: for looking for what must not be in it. */
export function everythingSaid(server: Server): string {
  const plain = (_key: string, value: unknown): unknown =>
    value instanceof Uint8Array ? `${Buffer.from(value).toString("hex")} ${Buffer.from(value).toString("base64")}` : value
  return JSON.stringify([server.events, server.evidence], plain)
}

const loopbackReach: ReachPolicy = { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] }
const times: FederationTimes = { negotiation: 10_000, verification: 8000, dialbackAnswer: 5000, closing: 500 }

function hostingOf(options: ServerOptions, reach: ReachPolicy, now: number): Hosting {
  const names = new Set<Domain>(options.domains.map(domain))
  const shown = new Map<Domain, TlsCredentials>()
  for (const name of names) {
    const { certificate } = options
    const issued = certificate === undefined ? good(name, {}, { now }) : typeof certificate === "function" ? certificate(name) : certificate
    if (issued !== undefined && issued !== null) shown.set(name, credentialsOf(issued))
  }
  return {
    hosts: (name) => names.has(name),
    reserved: () => false,
    credentials: (name) => shown.get(name),
    anyDomain: [...names][0]!,
    policy: { require: options.require ?? "authenticated", proofs: new Set(["pkix"]), exceptions: options.exceptions ?? [], generation: 1 },
    prooftypes: options.prooftypes ?? [pkix],
    anchors,
    reach,
    limits: { stanza: 524_288, unauthenticatedStanza: 10_240, depth: 64, pendingClaims: options.pendingClaims ?? 16 },
    times: { ...times, ...options.times },
    override: (name) => options.overrides?.[name],
    dialback: options.dialback ?? true,
    ...(options.announced === undefined ? {} : { announced: options.announced }),
    uses: () => ({ bidi: false, piggyback: false, streamManagement: false, pipelining: false, ...options.uses }),
  }
}

/** Shows no certificate of its own where it connects. */
export function withoutClientCertificate(tls: Tls): Tls {
  return {
    client: (channel, { credentials: _unused, ...rest }) => tls.client(channel, rest),
    server: (channel, options) => tls.server(channel, options),
  }
}

/** A place for servers: in memory, with a clock that tests move, or on real sockets. */
export interface Scene {
  readonly real: boolean
  readonly now: number
  server(options: ServerOptions): Promise<Server>
  /** A connection to a server, seen as a peer sees it. */
  raw(to: Server, from?: string): Promise<RawPeer>
  /** The outcome of a promise, with as much time as it needs. */
  until<T>(promise: Promise<T>): Promise<T>
  /** Resolves when the condition holds. */
  eventually(what: string, holds: () => boolean): Promise<void>
  /** All that follows from what happened so far. */
  settle(): Promise<void>
  dns(name: string, records: Parameters<TestWorld["dns"]>[1]): void
  close(): Promise<void>
}

export interface MemoryScene extends Scene {
  readonly world: TestWorld
  readonly clock: ManualClock
}

function listed(scene: Pick<Scene, "dns">, options: ServerOptions, address: NetworkAddress): void {
  if (options.unlisted === true) return
  for (const name of options.domains) {
    scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, address.port, `host.${name}`]] })
    scene.dns(`host.${name}`, { A: [address.address] })
  }
}

export function memoryScene(options: { readonly link?: (from: NetworkAddress, to: NetworkAddress) => Link; readonly reach?: ReachPolicy; readonly seed?: string } = {}): MemoryScene {
  const world = createTestWorld({ start, ...options })
  const { clock } = world
  const listeners: Listener[] = []
  const servers: Server[] = []
  let next = 10
  const scene: MemoryScene = {
    real: false,
    now: start,
    world,
    clock,
    async server(wanted) {
      const host = world.host(wanted.address ?? `127.0.0.${next++}`)
      const { dial, tls, https, random, resolver } = host
      const ports: FederationPorts = { dial, https, tls: wanted.mute === true ? withoutClientCertificate(tls) : tls, random, resolver, clock }
      let accept: (channel: Channel) => void = () => {}
      const listener = await host.listen.listen({ address: host.address, port: 5269 }, (channel) => accept(channel))
      listeners.push(listener)
      const server = new Server(wanted, ports, hostingOf(wanted, options.reach ?? loopbackReach, start), listener.address)
      accept = (channel) => void server.accept(channel)
      servers.push(server)
      listed(scene, wanted, listener.address)
      return server
    },
    async raw(to, from = "127.0.0.200") {
      const host = world.host(from)
      return new RawPeer(await host.dial.connect(to.address, { signal: never }), host.tls)
    },
    until: (promise) => clock.until(promise),
    async eventually(what, holds) {
      for (let turn = 0; turn < 200 && !holds(); turn++) await clock.advance(turn < 20 ? 0 : 100)
      assert.ok(holds(), what)
    },
    settle: () => world.settle(),
    dns: (name, records) => world.dns(name, records),
    async close() {
      for (const server of servers) for (const stream of [...server.incoming, ...server.outgoing]) stream.close("system-shutdown")
      for (const listener of listeners) await listener.close()
      await clock.advance(60_000)
    },
  }
  return scene
}

export async function realScene(): Promise<Scene> {
  const responder = await startDnsResponder({ zones: {} })
  const now = Date.now()
  const listeners: Listener[] = []
  const servers: Server[] = []
  const channels: Channel[] = []
  let next = 21
  const scene: Scene = {
    real: true,
    now,
    async server(wanted) {
      const upstreams = [{ address: responder.address, port: responder.port }]
      const resolver = createResolver({ dnssec: "off", upstreams, transport: nodeDnsTransport(), clock: systemClock, random: systemRandom })
      const tls = createTls()
      const dial = createDial({ reach: () => loopbackReach, clock: systemClock })
      const ports: FederationPorts = {
        dial,
        https: createHttps({ dial, tls }),
        tls: wanted.mute === true ? withoutClientCertificate(tls) : tls,
        clock: systemClock,
        random: systemRandom,
        resolver,
      }
      let accept: (channel: Channel) => void = () => {}
      const listener = await createListen().listen({ address: `127.0.0.${next++}`, port: 0 }, (channel) => accept(channel))
      listeners.push(listener)
      const quick: ServerOptions = { ...wanted, times: { closing: 200, ...wanted.times } }
      const server = new Server(quick, ports, hostingOf(quick, loopbackReach, now), listener.address)
      accept = (channel) => void server.accept(channel)
      servers.push(server)
      listed(scene, wanted, listener.address)
      return server
    },
    async raw(to) {
      const dial = createDial({ reach: () => loopbackReach, clock: systemClock })
      const channel = await dial.connect(to.address, { signal: never })
      channels.push(channel)
      return new RawPeer(channel, createTls())
    },
    until: (promise) => promise,
    async eventually(what, holds) {
      for (let turn = 0; turn < 2000 && !holds(); turn++) await new Promise((resolve) => setTimeout(resolve, 10))
      assert.ok(holds(), what)
    },
    // In turns: a process that was kept waiting for all of the time would have read nothing in it.
    async settle() {
      for (let turn = 0; turn < 25; turn++) await new Promise((resolve) => setTimeout(resolve, 2))
    },
    dns: (name, records) => (records === undefined ? undefined : responder.set(name, records)),
    async close() {
      for (const server of servers) for (const stream of [...server.incoming, ...server.outgoing]) stream.close("system-shutdown")
      for (const channel of channels) channel.destroy()
      for (const listener of listeners) await listener.close()
      await responder.close()
    },
  }
  return scene
}

/** The outcome of an attempt that must fail. */
export async function refusedBy(attempt: Promise<unknown>): Promise<OutgoingRefused> {
  try {
    await attempt
  } catch (error) {
    assert.ok(error instanceof OutgoingRefused, `not a refusal: ${error instanceof Error ? error.stack : String(error)}`)
    return error
  }
  return assert.fail("it was not refused")
}

export const openHeader = (from: string | undefined, to: string | undefined, more = ""): string =>
  `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback'${from === undefined ? "" : ` from='${from}'`}${to === undefined ? "" : ` to='${to}'`} version='1.0'${more}>`
export const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
export const auth = (authzid = "="): string => `<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${authzid}</auth>`

/** A peer that writes and reads bytes as a test says. */
export class RawPeer {
  channel: Channel
  readonly #tls: Tls
  seen = new Recorder()
  /** Of the latest response header. */
  id = ""
  /** Asked of TLS before its handshake. */
  exporterLabels: readonly string[] = []
  exporters: ReadonlyMap<string, Uint8Array> = new Map()

  constructor(channel: Channel, tls: Tls) {
    this.channel = channel
    this.#tls = tls
    channel.attach(this.seen)
    channel.resume()
  }

  get text(): string {
    return this.seen.text
  }

  send(text: string): void {
    this.channel.write(Buffer.from(text))
  }

  /** Resolves with what was read since the start of the stream, when it holds this text. */
  async expect(text: string): Promise<string> {
    await this.#soon(this.seen.untilText(text), text)
    const ids = [...this.text.matchAll(/<stream:stream[^>]* id='([^']*)'/g)]
    this.id = ids.at(-1)?.[1] ?? this.id
    return this.text
  }

  async header(from: string | undefined, to: string | undefined): Promise<string> {
    this.send(openHeader(from, to))
    return await this.expect("</stream:features>")
  }

  /** TLS as client, after `<proceed/>` or at once for Direct TLS. */
  async secure(credentials: TlsCredentials | undefined, serverName: string): Promise<SecuredChannel> {
    this.channel.release()
    const secured = await this.#tls.client(this.channel, { serverName, alpn: "xmpp-server", signal: never, exporterLabels: this.exporterLabels, ...(credentials === undefined ? {} : { credentials }) })
    this.channel = secured.channel
    this.exporters = secured.facts.exporters ?? this.exporters
    this.seen = new Recorder()
    this.channel.attach(this.seen)
    this.channel.resume()
    return secured
  }

  /** Header, STARTTLS, TLS, header: up to the features that count. */
  async upToFeatures(from: string | undefined, to: string, credentials: TlsCredentials | undefined, fromBefore: string | undefined = from): Promise<string> {
    await this.header(fromBefore, to)
    this.send(starttls)
    await this.expect("<proceed")
    await this.secure(credentials, to)
    return await this.header(from, to)
  }

  /** EXTERNAL and the restart behind it. */
  async authenticated(from: string, to: string, credentials: TlsCredentials): Promise<void> {
    await this.upToFeatures(from, to, credentials)
    this.send(auth())
    await this.expect("<success")
    this.seen = new Recorder()
    this.channel.attach(this.seen)
    this.channel.resume()
    this.send(openHeader(from, to))
    await this.expect("features")
  }

  /** The end of the connection; a closing tag is answered as a peer does it. */
  async closed(): Promise<string> {
    await this.#soon(this.seen.until("a closing tag or the end", (seen) => seen.ended || seen.closed !== undefined || seen.text.endsWith("</stream:stream>")), "a closing tag")
    this.channel.write(Buffer.from("</stream:stream>"))
    await this.#soon(this.seen.until("the end", (seen) => seen.ended || seen.closed !== undefined), "the end")
    return this.text
  }

  /** What does not come is said, instead of waited for until the test runner gives up. */
  async #soon(waiting: Promise<void>, what: string): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${what} did not come; read so far: ${this.text}`)), 20_000)
    })
    try {
      await Promise.race([waiting, late])
    } finally {
      clearTimeout(timer)
    }
  }

  /** The condition of the stream error read, if there was one. */
  get condition(): string | undefined {
    return /<stream:error><([a-z-]+) /.exec(this.text)?.[1]
  }
}
