// A Channel as a Duplex, for node:http only: streams of XML never go through one (ports.ts; docs/decisions).
import { Duplex } from "node:stream"
import type { Channel } from "../ports.ts"

/** Octets held before the channel is told to wait; few connections speak HTTP, and their messages are small. */
const held = 16 * 1024

/** A channel that went down while HTTP still wanted something of it; the peer's doing, told apart from broken HTTP by its code. */
export class ChannelLost extends Error {
  override readonly name = "ChannelLost"
  readonly code = "ECONNRESET"
}

/**
 * Takes the channel over: destroying the stream destroys the channel, and the other way round.
 *
 * @param arrived told how many octets came, before anybody reads them
 */
export class ChannelDuplex extends Duplex {
  readonly #channel: Channel
  #drained: (() => void) | undefined

  constructor(channel: Channel, arrived: (octets: number) => void) {
    super({ readableHighWaterMark: held, writableHighWaterMark: held, allowHalfOpen: true })
    this.#channel = channel
    channel.attach({
      chunk: (bytes) => {
        arrived(bytes.length)
        // The bytes are the channel's again when this returns.
        if (!this.destroyed && !this.push(Buffer.from(bytes))) channel.pause()
      },
      drain: () => this.#release(),
      end: () => {
        if (!this.destroyed) this.push(null)
      },
      close: ({ by, detail }) => {
        if (this.destroyed) return
        // After a regular end of both sides there is nothing left to report.
        if (by === "peer" && this.readableEnded && this.writableFinished) this.destroy()
        else this.destroy(by === "local" ? undefined : new ChannelLost(`the connection was lost: ${detail ?? by}`))
      },
    })
  }

  override _read(): void {
    this.#channel.resume()
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#channel.write(bytes)) done()
    // A channel that is over drains no more: `close` ends the wait.
    else this.#drained = done
  }

  #release(): void {
    const done = this.#drained
    this.#drained = undefined
    done?.()
  }

  override _final(done: () => void): void {
    this.#channel.end()
    done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#release()
    this.#channel.destroy()
    done(error)
  }
}
