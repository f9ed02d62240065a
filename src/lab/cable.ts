// The line to a server of the lab, which a scene can spoil: what is sent gets lost, and then the connection is gone without a
// word (security.md 12).
import type { Channel, ChannelHandler, Dial, Listen, Listener, NetworkAddress } from "../ports.ts"

export interface CableEnds {
  readonly listen: Listen
  readonly dial: Dial
  /** Where others connect to; a port of 0 picks a free one. */
  readonly at: NetworkAddress
  /** Where the server listens. */
  readonly to: NetworkAddress
}

export class Cable {
  readonly #ends: CableEnds
  readonly #channels = new Set<Channel>()
  readonly #giveUp = new AbortController()
  #listener: Listener | undefined
  #loses = false

  private constructor(ends: CableEnds) {
    this.#ends = ends
  }

  /** @throws Error when nothing can be bound */
  static async lay(ends: CableEnds): Promise<Cable> {
    const cable = new Cable(ends)
    cable.#listener = await ends.listen.listen(ends.at, (channel) => void cable.#join(channel))
    return cable
  }

  get address(): NetworkAddress {
    return this.#listener?.address ?? this.#ends.at
  }

  async #join(near: Channel): Promise<void> {
    this.#channels.add(near)
    try {
      const far = await this.#ends.dial.connect(this.#ends.to, { signal: this.#giveUp.signal })
      this.#channels.add(far)
      this.#pipe(near, far, () => this.#loses)
      this.#pipe(far, near, () => false)
    } catch {
      // The server is gone: whoever connects sees his connection end, as on any network.
      this.#channels.delete(near)
      near.destroy()
    }
  }

  #pipe(from: Channel, to: Channel, loses: () => boolean): void {
    const handler: ChannelHandler = {
      chunk: (bytes) => {
        // The bytes are the caller's again once we return.
        if (!loses() && !to.write(Buffer.from(bytes))) from.pause()
      },
      // What was held back was on its way into this channel.
      drain: () => to.resume(),
      end: () => to.end(),
      close: () => {
        this.#channels.delete(from)
        to.destroy()
      },
    }
    from.attach(handler)
    from.resume()
  }

  /** From now on what is sent to the server arrives nowhere, and nobody is told. */
  lose(): void {
    this.#loses = true
  }

  /** Every connection ends where it is. Those that come after are whole. */
  cut(): void {
    this.#loses = false
    for (const channel of [...this.#channels]) channel.destroy()
  }

  async close(): Promise<void> {
    this.#giveUp.abort()
    this.cut()
    await this.#listener?.close()
  }
}
