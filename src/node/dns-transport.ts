// DNS queries over real sockets: one fresh UDP port a query (off loopback), TCP for what is too long (RFC 1035 4.2, RFC 5452 9.2, RFC 7766).
import { createSocket, type Socket } from "node:dgram"
import { readFileSync } from "node:fs"
import { readFile } from "node:fs/promises"
import { createConnection } from "node:net"
import type { DnsTransport } from "../dns/resolver.ts"
import { isLoopbackAddress } from "../dns/upstream.ts"
import { parseAddress } from "../model/address.ts"
import type { StopSignal } from "../model/stop.ts"
import type { NetworkAddress } from "../ports.ts"
import { SharedSocket } from "./dns-shared-socket.ts"

export interface DnsTransportLimits {
  /** Sockets open at once; further queries wait their turn within their own deadline. */
  readonly sockets: number
  /** Messages dropped for one query because they do not answer it, before it is given up as under attack. */
  readonly strays: number
  /** One socket for all UDP queries to an upstream on loopback: nobody outside guesses its port, and it costs half as much. */
  readonly sharedOnLoopback: boolean
}

/** Some 270 small datagrams fill a resolver's receive buffer, and what does not fit is asked again a second later: fewer at once are faster. */
const defaultLimits: DnsTransportLimits = { sockets: 64, strays: 64, sharedOnLoopback: false }

/** Lets so many through at once; the rest wait in order. */
class Gate {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  /** @returns whether there was a place at once */
  tryEnter(): boolean {
    if (this.#free === 0) return false
    this.#free -= 1
    return true
  }

  async enter(signal: StopSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.tryEnter()) return
    await new Promise<void>((resolve, reject) => {
      const admit = () => {
        signal.removeEventListener("abort", giveUp)
        resolve()
      }
      const giveUp = () => {
        this.#waiting.splice(this.#waiting.indexOf(admit), 1)
        reject(signal.reason)
      }
      signal.addEventListener("abort", giveUp, { once: true })
      this.#waiting.push(admit)
    })
  }

  leave(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}

function overUdp(
  query: Uint8Array,
  upstream: NetworkAddress,
  signal: StopSignal,
  accept: (reply: Uint8Array) => boolean,
  strays: number,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket: Socket = createSocket(upstream.address.includes(":") ? "udp6" : "udp4")
    let dropped = 0
    let over = false
    const finish = (settle: () => void): void => {
      if (over) return
      over = true
      signal.removeEventListener("abort", onAbort)
      socket.close()
      settle()
    }
    const onAbort = (): void => finish(() => reject(signal.reason))
    signal.addEventListener("abort", onAbort)
    socket.on("error", (error) => finish(() => reject(error)))
    socket.on("message", (message) => {
      if (accept(message)) finish(() => resolve(message))
      else if ((dropped += 1) >= strays) finish(() => reject(new Error(`${strays} messages came that do not answer the query`)))
    })
    // A connected socket takes messages from that address and port only, and hears of closed ports.
    socket.once("connect", () => {
      if (over) return
      socket.send(query, (error) => {
        if (error !== null) finish(() => reject(error))
      })
    })
    socket.connect(upstream.port, upstream.address)
  })
}

function overTcp(
  query: Uint8Array,
  upstream: NetworkAddress,
  signal: StopSignal,
  accept: (reply: Uint8Array) => boolean,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: upstream.address, port: upstream.port, noDelay: true })
    // The longest message there is; a dripping server makes no work by its pieces.
    const held = Buffer.alloc(2 + 65535)
    let filled = 0
    const finish = (settle: () => void): void => {
      signal.removeEventListener("abort", onAbort)
      socket.destroy()
      settle()
    }
    const onAbort = (): void => finish(() => reject(signal.reason))
    signal.addEventListener("abort", onAbort)
    socket.on("error", (error) => finish(() => reject(error)))
    socket.on("close", () => finish(() => reject(new Error("the connection closed before the answer"))))
    socket.on("data", (chunk: Buffer) => {
      filled += chunk.copy(held, filled)
      if (filled < 2) return
      const length = held.readUInt16BE(0)
      if (filled < length + 2) return
      // One query a connection: the first message is the answer or none comes.
      const message = Uint8Array.from(held.subarray(2, length + 2))
      if (accept(message)) finish(() => resolve(message))
      else finish(() => reject(new Error("the answer does not belong to the query")))
    })
    const framed = Buffer.alloc(query.length + 2)
    framed.writeUInt16BE(query.length, 0)
    framed.set(query, 2)
    socket.write(framed)
  })
}

/** The transport of the stub resolver; holds no socket between queries, but with `sharedOnLoopback` one for a moment. */
export function nodeDnsTransport(limits: Partial<DnsTransportLimits> = {}): DnsTransport {
  const { sockets, strays, sharedOnLoopback } = { ...defaultLimits, ...limits }
  const gate = new Gate(sockets)
  const shared = new Map<string, SharedSocket>()
  /** What an upstream is called above; undefined off loopback. */
  const keys = new WeakMap<NetworkAddress, string | undefined>()
  const keyOf = (upstream: NetworkAddress): string | undefined => {
    if (!keys.has(upstream)) keys.set(upstream, isLoopbackAddress(upstream.address) ? `${upstream.address} ${upstream.port}` : undefined)
    return keys.get(upstream)
  }
  const sharedTo = (upstream: NetworkAddress): SharedSocket | undefined => {
    const key = keyOf(upstream)
    if (key === undefined) return undefined
    let socket = shared.get(key)
    if (socket === undefined) {
      socket = new SharedSocket(upstream, () => {
        if (shared.get(key) === socket) shared.delete(key)
      })
      shared.set(key, socket)
    }
    return socket
  }
  return {
    async exchange(query, upstream, protocol, signal, accept) {
      signal.throwIfAborted()
      if (!gate.tryEnter()) await gate.enter(signal)
      try {
        // It may have aborted while we waited; a listener added now would never hear of it.
        signal.throwIfAborted()
        const socket = protocol === "udp" && sharedOnLoopback ? sharedTo(upstream) : undefined
        if (socket !== undefined) return await socket.exchange(query, signal, accept)
        return await (protocol === "udp" ? overUdp(query, upstream, signal, accept, strays) : overTcp(query, upstream, signal, accept))
      } finally {
        gate.leave()
      }
    },
  }
}

/**
 * The `nameserver` lines of a resolv.conf, three at most as in the C library; the local machine where there is none.
 *
 * @param text the file
 */
export function upstreamsIn(text: string): NetworkAddress[] {
  const found: NetworkAddress[] = []
  for (const line of text.split("\n")) {
    const match = /^\s*nameserver\s+(\S+)/.exec(line)
    if (match === null) continue
    const address = match[1]!
    // A zone index belongs to link-local resolvers; the rest must be an address.
    if (parseAddress(address.replace(/%.*$/, "")) !== undefined) found.push({ address, port: 53 })
  }
  return found.length === 0 ? [{ address: "127.0.0.1", port: 53 }] : found.slice(0, 3)
}

/** @throws when the file cannot be read, other than that it is not there */
export async function systemUpstreams(path = "/etc/resolv.conf"): Promise<NetworkAddress[]> {
  try {
    return upstreamsIn(await readFile(path, "utf8"))
  } catch (error) {
    // Without the file the C library asks the local machine.
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return upstreamsIn("")
    throw error
  }
}

/**
 * The same at once, for whoever cannot wait.
 *
 * @throws when the file cannot be read, other than that it is not there
 */
export function systemUpstreamsNow(path = "/etc/resolv.conf"): NetworkAddress[] {
  try {
    return upstreamsIn(readFileSync(path, "utf8"))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return upstreamsIn("")
    throw error
  }
}
