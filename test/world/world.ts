// An internet in memory: hosts by address with every port of src/ports.ts, one clock, one table of DNS names.
import { type DnsMessage, decodeMessage, encodeMessage, rcodes } from "../../src/dns/message.ts"
import { createResolver, type DnsTransport } from "../../src/dns/resolver.ts"
import { answerFrom, type ZoneRecords, type ZoneText, ZoneTable } from "../../src/lab/dns-zones.ts"
import type { Resolver } from "../../src/model/dns-answer.ts"
import { DialError } from "../../src/model/errors.ts"
import { guardAddress, type OwnListener, parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import type { Channel, Dial, Https, Listen, Listener, Log, LogLevel, NetworkAddress, Random, Tls } from "../../src/ports.ts"
import { type Link, memoryPair } from "./channel.ts"
import { ManualClock, SeededRandom, settle } from "./clock.ts"
import { createMemoryTls } from "./tls.ts"
import { memoryHttps, serveWeb, type WebHost, type WebSite } from "./web.ts"

export interface LogLine {
  readonly level: LogLevel
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

export class RecordingLog implements Log {
  readonly lines: LogLine[] = []

  write(level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>): void {
    this.lines.push({ level, event, fields })
  }

  of(event: string): LogLine[] {
    return this.lines.filter((line) => line.event === event)
  }
}

export interface TestWorldOptions {
  readonly seed?: string
  /** ms since 1970. */
  readonly start?: number
  readonly zones?: ZoneText
  /** Loopback and names below example by default. */
  readonly reach?: ReachPolicy
  /** How the bytes of a new connection travel. */
  readonly link?: (from: NetworkAddress, to: NetworkAddress) => Link
}

/** The ports of one machine of this world, ready for a federation or a gateway. */
export interface TestHost {
  readonly address: string
  readonly dial: Dial
  readonly listen: Listen
  readonly tls: Tls
  readonly https: Https
  readonly clock: ManualClock
  readonly random: Random
  readonly log: RecordingLog
  readonly resolver: Resolver
  ownListeners(): readonly OwnListener[]
}

export interface Connection {
  readonly from: NetworkAddress
  readonly to: NetworkAddress
}

export interface TestWorld {
  readonly clock: ManualClock
  host(address: string): TestHost
  /** Replaces the records of a name; undefined removes it. */
  dns(name: string, records: ZoneRecords | undefined): void
  /** Names asked, as `NAME TYPE-NUMBER`. */
  readonly lookups: string[]
  /** Every connection that was made, in order. */
  readonly connections: Connection[]
  /** Packets to these addresses vanish: a dial hangs until its signal aborts. */
  readonly silent: Set<string>
  /** Starts a web server at an address, port 443 unless said otherwise. */
  web(address: string, site: WebSite): Promise<WebHost>
  settle(): Promise<void>
}

const loopbackOnly: ReachPolicy = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example"], ownListeners: [] }

export function createTestWorld(options: TestWorldOptions = {}): TestWorld {
  const clock = new ManualClock(options.start)
  const seed = options.seed ?? "world"
  const zones = new ZoneTable(options.zones ?? {})
  const accepting = new Map<string, (channel: Channel) => void>()
  const connections: Connection[] = []
  const lookups: string[] = []
  const silent = new Set<string>()
  let nextPort = 32_768

  const transport: DnsTransport = {
    async exchange(query) {
      const asked: DnsMessage = decodeMessage(query)
      const question = asked.questions[0]!
      lookups.push(
        `${question.name.labels
          .map((label) => Buffer.from(label).toString("latin1"))
          .join(".")
          .toLowerCase()} ${question.type}`,
      )
      const found = answerFrom(zones, question.name, question.type)
      return encodeMessage({
        ...asked,
        response: true,
        authoritative: true,
        recursionAvailable: true,
        rcode: found.rcode ?? rcodes.noError,
        answers: [...found.answers],
        authorities: [...found.authorities],
        additionals: [],
      })
    },
  }

  const host = (address: string): TestHost => {
    const own: OwnListener[] = []
    const random = new SeededRandom(`${seed} ${address}`)
    const reach = options.reach ?? loopbackOnly
    const dial: Dial = {
      async connect(to, { signal }): Promise<Channel> {
        if (signal.aborted) throw new DialError("aborted", "the connection attempt was given up", { cause: signal.reason })
        const guarded = guardAddress(to.address, { ...reach, ownListeners: [...reach.ownListeners, ...own] }, to.port)
        if (!guarded.ok) throw new DialError("guarded", guarded.detail)
        if (silent.has(to.address))
          await new Promise((_, reject) =>
            signal.addEventListener(
              "abort",
              () => reject(new DialError("aborted", "no answer before the attempt was given up", { cause: signal.reason })),
              {
                once: true,
              },
            ),
          )
        const accept = accepting.get(`${to.address} ${to.port}`)
        if (accept === undefined) throw new DialError("refused", `${to.address} port ${to.port}: nobody listens`)
        const from = { address, port: nextPort++ }
        connections.push({ from, to })
        const [client, server] = memoryPair({ clock, client: from, server: to, link: options.link?.(from, to) ?? {} })
        queueMicrotask(() => accept(server))
        return client
      },
    }
    const tls = createMemoryTls(new SeededRandom(`${seed} ${address} tls`))
    return {
      address,
      clock,
      random,
      log: new RecordingLog(),
      tls,
      https: memoryHttps(dial, tls),
      resolver: createResolver({ dnssec: "off", upstreams: [{ address: "127.0.0.53", port: 53 }], transport, clock, random }),
      ownListeners: () => own,
      dial,
      listen: {
        async listen(at, accept): Promise<Listener> {
          const where = "path" in at ? { address: at.path, port: 0 } : { address: at.address, port: at.port === 0 ? nextPort++ : at.port }
          const wildcard = where.address === "0.0.0.0" || where.address === "::"
          const key = `${wildcard ? address : where.address} ${where.port}`
          if (accepting.has(key)) throw Object.assign(new Error(`${key}: address in use`), { code: "EADDRINUSE" })
          accepting.set(key, accept)
          const listener = { address: wildcard ? address : where.address, port: where.port }
          if (!("path" in at)) own.push(listener)
          return {
            address: where,
            close: async () => {
              accepting.delete(key)
              if (own.includes(listener)) own.splice(own.indexOf(listener), 1)
            },
          }
        },
      },
    }
  }

  return { clock, host, dns: (name, records) => zones.set(name, records), lookups, connections, silent, web: (address, site) => serveWeb(host(address), site), settle }
}
