// The HttpServe port: small answers from memory over HTTP or HTTPS, by node:http on channels of this folder, bounded in
// connections, octets and time (security.md 20; RFC 9110, RFC 9112).
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Duplex } from "node:stream"
import type { Channel, Clock, HttpAnswer, HttpRequest, HttpServe, Listen, Listener, NetworkAddress, Tls } from "../ports.ts"
import { ChannelDuplex } from "./channel-duplex.ts"
import { sourceNetwork } from "./dial.ts"
import { createServer } from "./http-module.ts"

export interface HttpServeLimits {
  /** Connections of one listener at once; one more is closed unheard. */
  readonly connections: number
  /** Of these, from one address (an IPv6 host's whole /64); not counted on Unix sockets. */
  readonly perAddress: number
  /** Octets of a request's header. */
  readonly header: number
  /** Octets that a connection may send for one request, its body included, which nobody reads. */
  readonly request: number
  /** How long a TLS handshake may take, ms. */
  readonly handshake: number
  /** How long the first request's header may take, ms. */
  readonly head: number
  /** The same for every further request; in between the connection is idle. */
  readonly idle: number
  /** How long a connection lives, whatever happens on it, ms. */
  readonly life: number
}

export const defaultHttpLimits: HttpServeLimits = {
  connections: 512,
  // Behind a proxy everybody has its address.
  perAddress: 64,
  header: 8 * 1024,
  request: 64 * 1024,
  handshake: 5000,
  head: 5000,
  idle: 5000,
  life: 30_000,
}

export interface HttpServeOptions {
  readonly listen: Listen
  readonly tls: Tls
  readonly clock: Clock
  readonly limits?: Partial<HttpServeLimits>
  /** Told what a handler threw; the client gets a 500. */
  readonly troubled?: (error: unknown) => void
}

type Handle = (request: HttpRequest) => HttpAnswer
type Credentials = NonNullable<Parameters<HttpServe["serve"]>[2]>

/** A name or an IPv4 address, or an IPv6 literal, then perhaps a port. */
const authorityForm = /^([a-z0-9_.-]*|\[[0-9a-f:.]+\])(?::\d{0,5})?$/

/** @returns lower case, without port and final dot; undefined when it is no host */
function hostOf(text: string): string | undefined {
  return authorityForm.exec(text.toLowerCase())?.[1]?.replace(/\.$/, "")
}

/** Host and path that are asked for; undefined when the request does not say it in one way (RFC 9112 3.2). */
function targetOf({ url = "", headersDistinct }: IncomingMessage): { host: string; path: string } | undefined {
  const [first = "", ...more] = headersDistinct.host ?? []
  const host = hostOf(first)
  if (host === undefined || more.length > 0) return undefined
  // A proxy's form of a request: its own host counts (RFC 9112 3.2.2).
  const absolute = /^https?:\/\/([^/?#]+)(\/.*)?$/i.exec(url)
  const [named, target] = absolute === null ? [host, url] : [hostOf(absolute[1]!), absolute[2] ?? "/"]
  if (named === undefined || !target.startsWith("/")) return undefined
  return { host: named, path: target.replace(/[?#].*$/s, "") }
}

const plain = (status: number, body: string): HttpAnswer => ({
  status,
  headers: { "Content-Type": "text/plain; charset=utf-8" },
  body: `${body}\n`,
})

/** What is known of one connection, by the stream that node:http was given. */
interface Visit {
  readonly remote: NetworkAddress
  /** Octets since the last request was answered. */
  octets: number
  /** From now on the connection is idle, and ends when no request comes. */
  rest(): void
  /** A request has come. */
  busy(): void
}

/** One listener: its connections, and the node:http server that they are handed to. It listens on nothing itself. */
class HttpHouse {
  readonly #options: HttpServeOptions
  readonly #limits: HttpServeLimits
  readonly #handle: Handle
  readonly #visits = new WeakMap<Duplex, Visit>()
  readonly #open = new Set<{ close(): void }>()
  readonly #perAddress = new Map<string, number>()
  readonly #server

  constructor(handle: Handle, options: HttpServeOptions, limits: HttpServeLimits) {
    this.#handle = handle
    this.#options = options
    this.#limits = limits
    // Its own timers start with its own listening: time is kept here.
    this.#server = createServer({ maxHeaderSize: limits.header, insecureHTTPParser: false, requireHostHeader: true, keepAliveTimeout: 0 })
    const answer = (request: IncomingMessage, response: ServerResponse): void => this.#answer(request, response)
    this.#server.on("request", answer)
    // No "100 Continue": the body is not wanted.
    this.#server.on("checkContinue", answer)
    this.#server.on("clientError", (error: Error & { code?: string }, stream) => {
      const status = error.code === "HPE_HEADER_OVERFLOW" ? "431 Request Header Fields Too Large" : "400 Bad Request"
      if (stream.writable && !stream.destroyed)
        stream.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => stream.destroy())
      else stream.destroy()
    })
  }

  /** Takes a connection in, or closes it when there are too many. */
  take(channel: Channel, counted: boolean, tls: Credentials | undefined): void {
    const { connections, perAddress, handshake, life } = this.#limits
    const from = sourceNetwork(channel.remote.address)
    const count = this.#perAddress.get(from) ?? 0
    if (this.#open.size >= connections || (counted && count >= perAddress)) return channel.destroy()
    this.#perAddress.set(from, count + 1)
    const controller = new AbortController()
    let current = channel
    let left = false
    const close = (): void => {
      controller.abort()
      current.destroy()
      leave()
    }
    const leave = (): void => {
      if (left) return
      left = true
      stopLife()
      this.#open.delete(entry)
      const rest = (this.#perAddress.get(from) ?? 1) - 1
      if (rest === 0) this.#perAddress.delete(from)
      else this.#perAddress.set(from, rest)
    }
    const entry = { close }
    this.#open.add(entry)
    const stopLife = this.#options.clock.after(life, close)
    if (tls === undefined) return this.#speak(channel, leave)
    const stopHandshake = this.#options.clock.after(handshake, close)
    this.#options.tls
      .server(channel, { pick: (name) => tls.pick(name), alpn: ["http/1.1"], asksForCertificate: false, signal: controller.signal })
      .then(
        ({ channel: secured }) => {
          current = secured
          if (left) secured.destroy()
          else this.#speak(secured, leave)
        },
        // The handshake failed: the connection is gone already.
        () => leave(),
      )
      .finally(stopHandshake)
  }

  #speak(channel: Channel, leave: () => void): void {
    const { head, idle, request } = this.#limits
    let stopTimer: (() => void) | undefined
    const wait = (ms: number): void => {
      stopTimer?.()
      stopTimer = this.#options.clock.after(ms, () => stream.destroy())
    }
    const visit: Visit = {
      remote: channel.remote,
      octets: 0,
      rest: () => {
        visit.octets = 0
        wait(idle)
      },
      busy: () => stopTimer?.(),
    }
    const stream = new ChannelDuplex(channel, (octets) => {
      visit.octets += octets
      if (visit.octets > request) stream.destroy()
    })
    stream.on("error", () => stream.destroy())
    stream.once("close", () => {
      stopTimer?.()
      leave()
    })
    this.#visits.set(stream, visit)
    wait(head)
    this.#server.emit("connection", stream)
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const stream: Duplex = request.socket
    const visit = this.#visits.get(stream)
    if (visit === undefined) return void stream.destroy()
    visit.busy()
    const body = request.headers["content-length"] !== undefined || request.headers["transfer-encoding"] !== undefined
    // Nobody reads a request's body: the connection ends with the answer instead.
    if (body) response.shouldKeepAlive = false
    response.on("finish", () => visit.rest())
    try {
      const { status, headers, body: content } = this.#answerTo(request, visit)
      const octets = Buffer.from(content)
      response.writeHead(status, { ...headers, "Content-Length": octets.length })
      // node:http leaves the body of an answer to HEAD away.
      response.end(octets)
    } catch (error) {
      this.#options.troubled?.(error)
      if (response.headersSent) return void stream.destroy()
      response.writeHead(500, { "Content-Length": 0 }).end()
    }
  }

  #answerTo(request: IncomingMessage, { remote }: Visit): HttpAnswer {
    const target = targetOf(request)
    if (target === undefined) return plain(400, "The request does not name one host and path.")
    return this.#handle({ method: request.method ?? "", ...target, remote })
  }

  closeAll(): void {
    for (const { close } of [...this.#open]) close()
  }
}

/** Serves on what `listen` binds, so the dial guard knows these listeners as our own, and Unix sockets get their mode from it. */
export function createHttpServe(options: HttpServeOptions): HttpServe {
  const limits = { ...defaultHttpLimits, ...options.limits }
  return {
    async serve(at, handle, tls): Promise<Listener> {
      const house = new HttpHouse(handle, options, limits)
      const listener = await options.listen.listen(at, (channel) => house.take(channel, !("path" in at), tls))
      return {
        address: listener.address,
        close: async () => {
          await listener.close()
          house.closeAll()
        },
      }
    },
  }
}
