// Channel over a net.Socket or TLSSocket: chunks by callback, reading paused until attached (ports.ts Channel; TLS-13).
import type { Socket } from "node:net"
import type { Channel, ChannelClosed, ChannelHandler, NetworkAddress } from "../ports.ts"

/**
 * Streams read ahead by this much while paused. One octet means: what one read brought is kept, then the kernel holds the rest,
 * so a pause reaches the peer as TCP back-pressure instead of filling 64 KiB a connection.
 */
export const readAhead = 1

/** Backlog in octets at which `write` answers false. */
export const writeHighWater = 128 * 1024

/** Read pacing: told the size of each chunk, answers how long to stop reading, in ms; 0 reads on. */
export interface ReadPace {
  onChunk(bytes: number): number
}

/** Makes the pacing of one connection; undefined where reads are not paced. */
export type NewPace = (() => ReadPace) | undefined

/** `::ffff:192.0.2.1` as a dual-stack listener reports it becomes `192.0.2.1`, so that limits and guards see one form. */
export function plainAddress(address: string | undefined): string {
  if (address === undefined) return ""
  return /^::ffff:\d+\.\d+\.\d+\.\d+$/i.test(address) ? address.slice(7) : address
}

const resetCodes = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ENOTCONN"])

/** Codes and reasons of errors that sockets and OpenSSL raise; the text is ours or the library's, never the peer's. */
export function errorCode(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const code = "code" in error && typeof error.code === "string" ? error.code : error.message
  return code.slice(0, 200)
}

function closedBy(error: unknown): ChannelClosed {
  const detail = errorCode(error)
  // An alert is the peer's word that it has given up: the same to us as a reset.
  return { by: resetCodes.has(detail) || /ALERT/.test(detail) ? "reset" : "error", detail }
}

/** The channel of a socket, so that all sockets share one set of listeners: closures for each would cost more memory than the channel. */
const owner = Symbol("channel")

function listener<A>(act: (channel: SocketChannel, argument: A) => void): (this: unknown, argument: A) => void {
  return function (argument) {
    act((this as { [owner]: SocketChannel })[owner], argument)
  }
}

/** The error of a socket that was given up already. */
const reported = (): undefined => undefined

/**
 * One connection as a Channel. All callbacks come from the event loop, never from inside `attach`, `resume`, `write` or `destroy`.
 * A handler attached after the peer's end, or after the close, is told so again: it could not know otherwise.
 */
export class SocketChannel implements Channel {
  readonly remote: NetworkAddress
  readonly local: NetworkAddress
  readonly #socket: Socket
  readonly #pace: ReadPace | undefined
  #handler: ChannelHandler | undefined
  #paused = false
  #pacing: NodeJS.Timeout | undefined
  #gathering = false
  readonly #gathered: Buffer[] = []
  #flushDue = false
  #peerEnded = false
  #endTold: ChannelHandler | undefined
  #destroyed = false
  #closed: ChannelClosed | undefined
  #closeTold: ChannelHandler | undefined
  #drainOwed = false
  /** Something was written in this turn of the loop: what follows in the same turn leaves together, at its end. */
  #writing = false
  #corked = false
  /** Backlog after the last write; 0 once everything drained. Still known after the socket forgot its own count. */
  #tail = 0
  /** Octets that came when the connection took none any more. */
  #refused = 0
  #handedOver = false

  /**
   * @param socket connected, created with `allowHalfOpen`, and not yet read from
   * @param addresses where the socket does not know them itself (a Unix socket, TLS over another socket)
   */
  constructor(
    socket: Socket,
    options: { addresses?: { remote: NetworkAddress; local: NetworkAddress }; pace?: ReadPace | undefined } = {},
  ) {
    this.#socket = socket
    this.#pace = options.pace
    this.remote = options.addresses?.remote ?? { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 }
    this.local = options.addresses?.local ?? { address: plainAddress(socket.localAddress), port: socket.localPort ?? 0 }
    Object.defineProperty(socket, owner, { value: this, writable: true })
    socket.pause()
    for (const [event, heard] of SocketChannel.#listeners) socket.on(event, heard)
    if (socket.destroyed) process.nextTick(() => this.#onClose())
  }

  static readonly #listeners = [
    ["data", listener((channel, bytes: Buffer) => channel.#onData(bytes))],
    ["drain", listener((channel) => channel.#onDrain())],
    ["end", listener((channel) => channel.#onEnd())],
    ["error", listener((channel, error: Error) => channel.#onError(error))],
    ["close", listener((channel) => channel.#onClose())],
  ] as const

  #onData(bytes: Buffer): void {
    if (this.#gathering) {
      this.#gathered.push(bytes)
      this.#flushSoon()
      return
    }
    this.#handler?.chunk(bytes)
    if (this.#pace !== undefined) this.#rest(bytes.length)
  }

  /** Asks the pacing after a chunk; while it wants rests, what comes in between is gathered into one chunk. */
  #rest(bytes: number): void {
    const ms = this.#pace!.onChunk(bytes)
    this.#gathering = ms > 0
    if (ms <= 0 || this.#socket.destroyed || this.#handedOver) return
    this.#socket.pause()
    this.#pacing ??= setTimeout((channel: SocketChannel) => channel.#afterRest(), ms, this)
  }

  #afterRest(): void {
    this.#pacing = undefined
    this.#flow()
  }

  /** One read of the kernel can hold many TLS records, each a chunk of its own: all of them are here before the immediate. */
  #flushSoon(): void {
    if (this.#flushDue) return
    this.#flushDue = true
    setImmediate((channel: SocketChannel) => channel.#flush(), this)
  }

  #flush(): void {
    this.#flushDue = false
    if (this.#gathered.length === 0 || this.#handler === undefined || this.#paused || this.#destroyed) return
    const bytes = this.#gathered.length === 1 ? this.#gathered[0]! : Buffer.concat(this.#gathered)
    this.#gathered.length = 0
    this.#handler.chunk(bytes)
    this.#rest(bytes.length)
    this.#tellEnd()
  }

  #onDrain(): void {
    this.#tail = 0
    if (!this.#drainOwed) return
    this.#drainOwed = false
    this.#handler?.drain()
  }

  #onEnd(): void {
    this.#peerEnded = true
    this.#tellEnd()
  }

  #onError(error: Error): void {
    // Some TLS errors are reported without a close: the socket is given up here, whatever the library intends.
    const closed = closedBy(error)
    this.#socket.destroy()
    this.#finish(closed)
  }

  #onClose(): void {
    if (this.#destroyed) this.#finish({ by: "local" })
    else this.#finish(this.#peerEnded ? { by: "peer" } : { by: "error", detail: "closed without an end" })
  }

  #flow(): void {
    if (this.#handedOver || this.#closed !== undefined) return
    if (this.#handler === undefined || this.#paused || this.#pacing !== undefined) this.#socket.pause()
    else {
      this.#socket.resume()
      if (this.#gathered.length > 0) this.#flushSoon()
      this.#tellEnd()
    }
  }

  #tellEnd(): void {
    if (!this.#peerEnded || this.#gathered.length > 0 || this.#closed !== undefined || this.#paused || this.#endTold === this.#handler)
      return
    this.#endTold = this.#later(
      (handler) => handler.end(),
      () => (this.#endTold = undefined),
    )
  }

  #finish(closed: ChannelClosed): void {
    if (this.#closed !== undefined) return
    this.#flush()
    this.#closed = this.#destroyed ? { by: "local" } : closed
    this.#stopPacing()
    this.#tellClose()
  }

  #tellClose(): void {
    const closed = this.#closed
    if (closed === undefined || this.#closeTold === this.#handler) return
    this.#closeTold = this.#later(
      (handler) => handler.close(closed),
      () => (this.#closeTold = undefined),
    )
  }

  /** Tells the handler on the next tick; one that was taken away in between was not told. */
  #later(tell: (handler: ChannelHandler) => void, missed: () => void): ChannelHandler | undefined {
    const handler = this.#handler
    if (handler !== undefined)
      process.nextTick(() => {
        if (this.#handler === handler) tell(handler)
        else missed()
      })
    return handler
  }

  #stopPacing(): void {
    if (this.#pacing === undefined) return
    clearTimeout(this.#pacing)
    this.#pacing = undefined
  }

  attach(handler: ChannelHandler): void {
    if (this.#handedOver) throw new Error("this channel was handed over to TLS")
    this.#handler = handler
    this.#paused = false
    if (this.#closed === undefined) this.#flow()
    else {
      if (this.#gathered.length > 0) process.nextTick(() => this.#flush())
      this.#tellClose()
    }
  }

  release(): void {
    this.#handler = undefined
    this.#stopPacing()
    this.#flow()
  }

  write(bytes: Uint8Array): boolean {
    // Plain text behind a TLS layer would be a way out of the encryption: a mistake of ours, so it throws.
    if (this.#handedOver) throw new Error("this channel was handed over to TLS")
    if (!this.#socket.writable) {
      // Nobody takes it any more. It counts as held back, so that whoever counts what was lost counts it.
      this.#refused += bytes.length
      return false
    }
    this.#turn()
    this.#socket.write(bytes)
    this.#tail = this.#socket.writableLength
    if (this.#tail < writeHighWater) return true
    this.#drainOwed = true
    return false
  }

  /** Many small writes of one turn, each for another pair, would each be a TLS record and a segment. The first is not held up. */
  #turn(): void {
    if (this.#writing) this.#hold()
    else this.#begin()
  }

  #begin(): void {
    this.#writing = true
    setImmediate((channel: SocketChannel) => channel.#turned(), this)
  }

  #hold(): void {
    if (this.#corked) return
    this.#corked = true
    this.#socket.cork()
  }

  gather(): void {
    if (this.#handedOver || !this.#socket.writable) return
    if (!this.#writing) this.#begin()
    this.#hold()
  }

  #turned(): void {
    this.#writing = false
    this.#letGo()
  }

  #letGo(): void {
    if (!this.#corked) return
    this.#corked = false
    this.#socket.uncork()
  }

  /** After the close: at most how much the kernel had not taken. */
  get backlog(): number {
    return this.#refused + (this.#closed === undefined && !this.#socket.destroyed ? this.#socket.writableLength : this.#tail)
  }

  pause(): void {
    this.#paused = true
    this.#flow()
  }

  resume(): void {
    this.#paused = false
    this.#flow()
  }

  end(): void {
    if (!this.#handedOver && this.#socket.writable) this.#socket.end()
  }

  destroy(): void {
    if (this.#closed !== undefined) return
    this.#destroyed = true
    this.#stopPacing()
    this.#letGo()
    this.#socket.destroy()
  }

  /**
   * Gives the socket to a TLS layer. What was read and not yet delivered stays in the socket, where TLS picks it up. Afterwards only
   * `destroy` still works here.
   *
   * @returns undefined when the channel is over, or the peer has finished sending
   */
  handOver(): Socket | undefined {
    if (this.#handedOver) throw new Error("this channel was handed over to TLS")
    this.release()
    this.#letGo()
    const socket = this.#socket
    if (this.#closed !== undefined || socket.destroyed || this.#peerEnded) return undefined
    this.#handedOver = true
    for (const [event, heard] of SocketChannel.#listeners) if (event !== "close") socket.off(event, heard)
    socket.on("error", reported)
    if (this.#gathered.length > 0) socket.unshift(Buffer.concat(this.#gathered))
    return socket
  }
}
