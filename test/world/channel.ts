// Channels in memory, in pairs: chunk sizes, latency, back-pressure, cuts and tampering as the test wants them (ports.ts Channel).
import type { Channel, ChannelClosed, ChannelHandler, Clock, NetworkAddress } from "../../src/ports.ts"

/** How bytes of one connection travel. */
export interface Link {
  /** Largest chunk delivered, or a function that is asked each time how much of the waiting octets comes next. Default: one chunk a write. */
  readonly chunk?: number | ((waiting: number) => number)
  /** One way, ms on the world's clock. */
  readonly latency?: number
  /** Octets the "kernel" takes before the backlog grows. */
  readonly capacity?: number
  /** After this many octets towards the one who accepted, or the one who dialled, the connection is reset. */
  readonly cut?: { readonly toServer?: number; readonly toClient?: number }
  /** Somebody on the path: what is delivered in place of one write. */
  readonly middle?: (bytes: Buffer, towards: "server" | "client") => Buffer
}

const defaultCapacity = 65_536
const highWater = 65_536

interface Flight {
  bytes: Buffer
  readonly arrives: number
}

/** One direction of a connection. */
class Pipe {
  readonly flights: Flight[] = []
  queued = 0
  delivered = 0
  ended = false
  /** The reader is gone: nothing is taken any more. */
  broken = false
}

const mask = (bytes: Buffer): Buffer => Buffer.from(bytes.map((byte) => byte ^ 0x5a))

/** The state behind a MemoryChannel; survives its upgrade to TLS. */
export class Endpoint {
  readonly remote: NetworkAddress
  readonly local: NetworkAddress
  readonly #clock: Pick<Clock, "monotonic" | "after">
  readonly #link: Link
  readonly #towards: "server" | "client"
  readonly #out: Pipe
  readonly #in: Pipe
  peer!: Endpoint
  #handler: ChannelHandler | undefined
  #paused = false
  #pumping = false
  #drainOwed = false
  #ended = false
  #endArrived = false
  #endTold: ChannelHandler | undefined
  #closed: ChannelClosed | undefined
  #closeTold: ChannelHandler | undefined
  /** Set by TLS: what is written is masked, what is read unmasked, so plain text from outside reads as rubbish. */
  masked = false

  constructor(options: {
    remote: NetworkAddress
    local: NetworkAddress
    clock: Pick<Clock, "monotonic" | "after">
    link: Link
    towards: "server" | "client"
    out: Pipe
    in: Pipe
  }) {
    this.remote = options.remote
    this.local = options.local
    this.#clock = options.clock
    this.#link = options.link
    this.#towards = options.towards
    this.#out = options.out
    this.#in = options.in
  }

  get closed(): ChannelClosed | undefined {
    return this.#closed
  }

  get endArrived(): boolean {
    return this.#endArrived
  }

  attach(handler: ChannelHandler): void {
    this.#handler = handler
    this.#paused = false
    if (this.#closed !== undefined) this.#tellClose()
    else this.#tellEnd()
    this.#pump()
  }

  release(): void {
    this.#handler = undefined
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#tellEnd()
    this.#pump()
  }

  /** Octets, as they came over the wire, that are to be read first; TLS gives back what followed its preamble. */
  unreadMasked(bytes: Buffer): void {
    if (bytes.length === 0) return
    this.#in.flights.unshift({ bytes, arrives: 0 })
    this.#in.queued += bytes.length
  }

  write(plain: Uint8Array): boolean {
    if (this.#closed !== undefined || this.#ended) return false
    if (this.#out.broken) {
      // The other end is gone: the first write after that learns it.
      queueMicrotask(() => this.close({ by: "reset", detail: "EPIPE" }))
      return false
    }
    const masked = this.masked ? mask(Buffer.from(plain)) : Buffer.from(plain)
    const bytes = this.#link.middle === undefined ? masked : this.#link.middle(masked, this.#towards)
    if (bytes.length > 0) {
      this.#out.flights.push({ bytes, arrives: this.#clock.monotonic() + (this.#link.latency ?? 0) })
      this.#out.queued += bytes.length
      this.peer.#pump()
    }
    if (this.backlog < highWater) return true
    this.#drainOwed = true
    return false
  }

  get backlog(): number {
    return Math.max(0, this.#out.queued - (this.#link.capacity ?? defaultCapacity))
  }

  end(): void {
    if (this.#ended || this.#closed !== undefined) return
    this.#ended = true
    this.#out.ended = true
    this.peer.#pump()
    queueMicrotask(() => this.#maybeClose())
  }

  destroy(): void {
    if (this.#closed !== undefined) return
    const unread = this.#in.queued > 0
    this.#in.broken = true
    this.#in.flights.length = 0
    this.#in.queued = 0
    // What the kernel holds still arrives, then the end; unread octets of the other side make it a reset.
    this.#closed = { by: "local" }
    queueMicrotask(() => {
      this.#tellClose()
      if (unread) this.peer.close({ by: "reset", detail: "ECONNRESET" })
      else {
        this.#out.ended = true
        this.peer.#pump()
      }
    })
  }

  close(closed: ChannelClosed): void {
    if (this.#closed !== undefined) return
    this.#closed = closed
    this.#in.broken = true
    this.#tellClose()
  }

  #tellEnd(): void {
    const handler = this.#handler
    if (!this.#endArrived || this.#paused || this.#closed !== undefined || handler === undefined || this.#endTold === handler) return
    this.#endTold = handler
    queueMicrotask(() => {
      if (this.#handler !== handler) {
        if (this.#endTold === handler) this.#endTold = undefined
        return
      }
      handler.end()
      this.#maybeClose()
    })
  }

  #tellClose(): void {
    const closed = this.#closed
    const handler = this.#handler
    if (closed === undefined || handler === undefined || this.#closeTold === handler) return
    this.#closeTold = handler
    queueMicrotask(() => {
      if (this.#handler === handler) handler.close(closed)
      else if (this.#closeTold === handler) this.#closeTold = undefined
    })
  }

  #maybeClose(): void {
    if (this.#closed !== undefined || !this.#ended || this.#endTold === undefined || this.backlog > 0) return
    this.close({ by: "peer" })
  }

  /** Delivers one chunk in a microtask of its own, then looks again. */
  #pump(): void {
    if (this.#pumping) return
    this.#pumping = true
    queueMicrotask(() => {
      this.#pumping = false
      this.#deliver()
    })
  }

  #deliver(): void {
    if (this.#handler === undefined || this.#paused || this.#closed !== undefined) return
    const flight = this.#in.flights[0]
    if (flight === undefined) {
      if (this.#in.ended && !this.#endArrived) {
        this.#endArrived = true
        this.#tellEnd()
      }
      return
    }
    const wait = flight.arrives - this.#clock.monotonic()
    if (wait > 0) {
      this.#clock.after(wait, () => this.#pump())
      return
    }
    const chunk = this.#link.chunk ?? flight.bytes.length
    const wanted = Math.max(1, typeof chunk === "number" ? chunk : chunk(flight.bytes.length))
    // The peer's pipe towards us is cut by the direction it flows in.
    const limit = this.#towards === "server" ? this.#link.cut?.toClient : this.#link.cut?.toServer
    const room = limit === undefined ? Number.POSITIVE_INFINITY : limit - this.#in.delivered
    const size = Math.min(wanted, flight.bytes.length, room)
    if (size <= 0) {
      this.close({ by: "reset", detail: "ECONNRESET" })
      this.peer.close({ by: "reset", detail: "ECONNRESET" })
      return
    }
    const piece = flight.bytes.subarray(0, size)
    if (size === flight.bytes.length) this.#in.flights.shift()
    else flight.bytes = flight.bytes.subarray(size)
    this.#in.queued -= size
    this.#in.delivered += size
    this.peer.#taken()
    const bytes = this.masked ? mask(piece) : Buffer.from(piece)
    this.#handler.chunk(bytes)
    // Whoever kept these octets without copying them now holds rubbish (ports.ts: they belong to the receiver until it returns).
    bytes.fill(0xdd)
    this.#pump()
  }

  #taken(): void {
    if (this.backlog > 0) return
    if (this.#drainOwed) {
      this.#drainOwed = false
      const handler = this.#handler
      queueMicrotask(() => {
        if (this.#handler === handler && this.#closed === undefined) handler?.drain()
      })
    }
    queueMicrotask(() => this.#maybeClose())
  }
}

export class MemoryChannel implements Channel {
  readonly remote: NetworkAddress
  readonly local: NetworkAddress
  readonly #endpoint: Endpoint
  #handedOver = false

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
    this.remote = endpoint.remote
    this.local = endpoint.local
  }

  #mine(): Endpoint {
    if (this.#handedOver) throw new Error("this channel was handed over to TLS")
    return this.#endpoint
  }

  attach(handler: ChannelHandler): void {
    this.#mine().attach(handler)
  }

  release(): void {
    if (!this.#handedOver) this.#endpoint.release()
  }

  write(bytes: Uint8Array): boolean {
    return this.#mine().write(bytes)
  }

  get backlog(): number {
    return this.#endpoint.backlog
  }

  pause(): void {
    if (!this.#handedOver) this.#endpoint.pause()
  }

  resume(): void {
    if (!this.#handedOver) this.#endpoint.resume()
  }

  end(): void {
    if (!this.#handedOver) this.#endpoint.end()
  }

  destroy(): void {
    this.#endpoint.destroy()
  }

  /** For the TLS of this world, as the real one does it. */
  handOver(): Endpoint | undefined {
    const endpoint = this.#mine()
    endpoint.release()
    if (endpoint.closed !== undefined || endpoint.endArrived) return undefined
    this.#handedOver = true
    return endpoint
  }
}

/** Both ends of a connection: the dialling one first. */
export function memoryPair(options: {
  clock: Pick<Clock, "monotonic" | "after">
  client?: NetworkAddress
  server?: NetworkAddress
  link?: Link
}): [client: MemoryChannel, server: MemoryChannel] {
  const client = options.client ?? { address: "127.0.0.2", port: 40_000 }
  const server = options.server ?? { address: "127.0.0.3", port: 5269 }
  const link = options.link ?? {}
  const up = new Pipe()
  const down = new Pipe()
  const near = new Endpoint({ local: client, remote: server, clock: options.clock, link, towards: "server", out: up, in: down })
  const far = new Endpoint({ local: server, remote: client, clock: options.clock, link, towards: "client", out: down, in: up })
  near.peer = far
  far.peer = near
  return [new MemoryChannel(near), new MemoryChannel(far)]
}
