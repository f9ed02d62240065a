// Whole gateways on loopback with real sockets and TLS, and a component that speaks raw XEP-0114, for the gateway's tests.
import { createHash } from "node:crypto"
import { once } from "node:events"
import { connect, type Socket } from "node:net"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import type { Resolver } from "../../src/model/dns-answer.ts"
import type { FederationEvent } from "../../src/model/events.ts"
import { publicInternetOnly, type ReachPolicy } from "../../src/model/reach.ts"
import { CertificateAuthority, type IssuedCertificate, type IssueOptions } from "../../src/lab/certificate-authority.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createDial } from "../../src/node/dial.ts"
import { createHttps } from "../../src/node/https.ts"
import { createHttpServe } from "../../src/node/http-serve.ts"
import { createListen } from "../../src/node/listen.ts"
import { systemRandom } from "../../src/node/random.ts"
import { createTls } from "../../src/node/tls.ts"
import type { LogLevel, NetworkAddress } from "../../src/ports.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { loadConfig } from "../../src/gateway/config.ts"
import { type Gateway, type GatewayOptions, type GatewayWorld, startGateway } from "../../src/gateway/gateway.ts"
import { MemoryFiles } from "./config-fixture.ts"

export const authority = CertificateAuthority.create({ name: "Test Root", now: Date.now() })
const issued = new Map<string, IssuedCertificate>()

export function certificateFor(names: string | readonly string[], options: IssueOptions = {}): IssuedCertificate {
  const key = JSON.stringify([names, options])
  const known = issued.get(key)
  if (known !== undefined) return known
  const fresh = authority.issue({ names: { dns: [names].flat() }, notBefore: Date.now() - 86_400_000, notAfter: Date.now() + 30 * 86_400_000, ...options })
  issued.set(key, fresh)
  return fresh
}

/** Distinct, strong and the same each time. */
export function secretFor(domain: string): string {
  return createHash("sha256").update(`secret of ${domain}`).digest("hex")
}

export interface LogLine {
  readonly level: LogLevel
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

export interface RunningFixture {
  readonly gateway: Gateway
  readonly files: MemoryFiles
  readonly log: LogLine[]
  readonly events: FederationEvent[]
  readonly s2s: NetworkAddress
  readonly components: NetworkAddress
  /** Names of log events with their text. */
  lines(event: string): string[]
  /** Resolves when a line of this event has a text that matches. */
  logged(event: string, text?: RegExp): Promise<LogLine>
  /** The configuration in its file, with other words. */
  rewrite(change: (yaml: string) => string): void
  stop(): Promise<void>
}

const silentResolver: Resolver = {
  resolve: async (name) => {
    throw new Error(`no lookup was expected: ${name}`)
  },
}

export interface FixtureOptions {
  readonly domains: readonly string[]
  /** Where other domains live. */
  readonly peers?: Readonly<Record<string, NetworkAddress>>
  /** YAML under `federation:`, two spaces deep. */
  readonly federation?: string
  /** Whole YAML sections. */
  readonly more?: string
  readonly certificates?: Readonly<Record<string, IssuedCertificate | undefined>>
  readonly files?: Readonly<Record<string, string>>
  readonly options?: GatewayOptions
  /** Or what makes one, of `federation.resolver`. */
  readonly resolver?: Resolver | GatewayWorld["resolver"]
  readonly clock?: GatewayWorld["clock"]
  readonly store?: NonNullable<GatewayWorld["store"]>
  readonly address?: string
  readonly yaml?: (text: string) => string
}

/** The configuration of a gateway of these domains, as YAML. */
export function yamlFor(options: FixtureOptions): string {
  const at = options.address ?? "127.0.0.1"
  const peers = Object.entries(options.peers ?? {}).map(([peer, { address, port }]) => `    - { peer: ${peer}, connect: "${address}:${port}" }\n`)
  // Without a resolver nothing may be looked up, POSH hosts included.
  const proofs = options.resolver === undefined && !(options.federation ?? "").includes("proofs:") ? "  proofs: [pkix]\n" : ""
  const domains = options.domains.map((name) => `  - { name: ${name}, component: { secret: { file: /secrets/${name} } } }\n`)
  return `listen:
  s2s: ["${at}:0"]
  direct_tls: ["${at}:0"]
  components: ["127.0.0.1:0"]
federation:
  resolver: { dnssec: off }
  allow: { networks: [127.0.0.0/8], names: [example] }
${proofs}${peers.length === 0 ? "" : `  overrides:\n${peers.join("")}`}${options.federation ?? ""}
certificates: { dirs: [/certs] }
domains:
${domains.join("")}${options.more ?? ""}`
}

export async function startFixture(options: FixtureOptions): Promise<RunningFixture> {
  const files = new MemoryFiles({ "/etc/gw.yaml": (options.yaml ?? ((text) => text))(yamlFor(options)), ...(options.files ?? {}) })
  for (const domain of options.domains) {
    files.set(`/secrets/${domain}`, secretFor(domain))
    const given = options.certificates !== undefined && domain in options.certificates
    const certificate = given ? options.certificates![domain] : certificateFor(domain)
    if (certificate !== undefined) files.set(`/certs/${domain}.pem`, certificate.chainPem + certificate.keyPem)
  }
  const log: LogLine[] = []
  const events: FederationEvent[] = []
  const waiting = new Set<() => void>()
  const clock = options.clock ?? systemClock
  const listen = createListen()
  const tls = createTls()
  let reach: () => ReachPolicy = () => publicInternetOnly
  const dial = createDial({ reach: () => reach(), clock: systemClock, ownListeners: () => listen.ownListeners() })
  const world: GatewayWorld = {
    clock,
    random: systemRandom,
    tls,
    https: createHttps({ dial, tls }),
    httpServe: createHttpServe({ listen, tls, clock: systemClock }),
    listen,
    files,
    log: {
      write: (level, event, fields) => {
        log.push({ level, event, fields })
        for (const look of [...waiting]) look()
      },
    },
    dial: (current) => {
      reach = current
      return dial
    },
    resolver: (settings) => (typeof options.resolver === "function" ? options.resolver(settings) : (options.resolver ?? silentResolver)),
    anchors: () => anchorSet([authority.certificate.der]),
    environment: () => undefined,
    ...(options.store === undefined ? {} : { store: options.store }),
  }
  const { config } = await loadConfig("/etc/gw.yaml", { files, environment: () => undefined, now: clock.now() })
  const gateway = await startGateway(config, world, { ...options.options, event: (event) => events.push(event) })
  return {
    gateway,
    files,
    log,
    events,
    s2s: gateway.addresses.s2s[0]!,
    components: gateway.addresses.components[0] as NetworkAddress,
    lines: (event) => log.filter((line) => line.event === event).map((line) => String(line.fields.text)),
    logged: (event, text = /(?:)/) =>
      patiently(`log line ${event} ${text}`, waiting, () => log.find((line) => line.event === event && text.test(String(line.fields.text)))),
    rewrite: (change) => files.set("/etc/gw.yaml", change(new TextDecoder().decode(new TextEncoder().encode(String(files.files.get("/etc/gw.yaml")!.text))))),
    stop: async () => {
      await gateway.close()
    },
  }
}

/** Waits for something that changes only at known moments; fails with what was waited for. */
export function patiently<T>(what: string, waiting: Set<() => void>, look: () => T | undefined, ms = 30_000): Promise<T> {
  return new Promise((resolve, reject) => {
    const check = (): void => {
      let found: T | undefined
      try {
        found = look()
        if (found === undefined) return
        resolve(found)
      } catch (error) {
        reject(error)
      }
      clearTimeout(timer)
      waiting.delete(check)
    }
    const timer = setTimeout(() => {
      waiting.delete(check)
      reject(new Error(`waited in vain for ${what}`))
    }, ms)
    waiting.add(check)
    check()
  })
}

/** A component on a raw socket: what is sent is written as it is, what comes is text. */
export class RawComponent {
  readonly socket: Socket
  text = ""
  ended = false
  readonly #waiting = new Set<() => void>()
  #seen = 0

  private constructor(socket: Socket) {
    this.socket = socket
    socket.setNoDelay(true)
    socket.on("data", (bytes: Buffer) => {
      this.text += bytes.toString("utf8")
      for (const look of [...this.#waiting]) look()
    })
    // A reset is an end as well; which of the two it is does not matter to these tests.
    const over = (): void => {
      this.ended = true
      for (const look of [...this.#waiting]) look()
    }
    socket.on("error", over)
    socket.on("close", over)
  }

  static async connect(to: NetworkAddress): Promise<RawComponent> {
    const socket = connect({ host: to.address, port: to.port })
    await once(socket, "connect")
    return new RawComponent(socket)
  }

  /** Header and handshake; resolves when the gateway has accepted. */
  static async attach(to: NetworkAddress, domain: string, secret = secretFor(domain)): Promise<RawComponent> {
    const component = await RawComponent.connect(to)
    await component.open(domain)
    await component.handshake(secret)
    return component
  }

  async open(domain: string): Promise<void> {
    this.send(`<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`)
    await this.until(/<stream:stream [^>]*>/)
  }

  async handshake(secret: string): Promise<void> {
    const id = /<stream:stream [^>]*id='([^']*)'/.exec(this.text)![1]!
    this.send(`<handshake>${createHash("sha1").update(id + secret).digest("hex")}</handshake>`)
    await this.until(/<handshake\/>/)
  }

  send(text: string): void {
    this.socket.write(text)
  }

  /** Everything up to and including the first match behind what earlier calls have matched. */
  until(pattern: RegExp, ms?: number): Promise<RegExpExecArray> {
    return patiently(
      `${pattern} in ${JSON.stringify(this.text.slice(this.#seen, this.#seen + 2000))}`,
      this.#waiting,
      () => {
        const found = pattern.exec(this.text.slice(this.#seen))
        if (found === null && this.ended) throw new Error(`the connection ended before ${pattern}; received: ${JSON.stringify(this.text.slice(-1000))}`)
        if (found === null) return undefined
        this.#seen += found.index + found[0].length
        return found
      },
      ms,
    )
  }

  /** Resolves when so many have been received, ever. */
  count(text: string, times: number, ms?: number): Promise<true> {
    return patiently(`${text}, ${times} times`, this.#waiting, () => (this.text.split(text).length > times ? true : undefined), ms)
  }

  over(): Promise<true> {
    return patiently(`the end of the connection; so far ${JSON.stringify(this.text.slice(-500))}`, this.#waiting, () => (this.ended ? true : undefined))
  }

  close(): void {
    this.socket.destroy()
  }
}

export const d = (name: string): Domain => parseDomain(name)
