// How much one connection of an inspection may say (RFC 6120 13.12; security.md 17): the parser bounds what is kept, and here is bounded what
// is read, so that whoever pours white space, or session tickets that nobody above TLS sees, costs no core until the time is over.
import type { Channel, ChannelHandler, Clock, Dial, NetworkAddress, SecuredChannel, Tls } from "../ports.ts"
import { refusal } from "../federation/refusal.ts"

/** Of one stage: until TLS, until the features behind it, until the login is over, and while we part. Four times what one element may have. */
export const mostOctets = 256 * 1024
/** Of one stage, as they came on the wire: TLS needs some for itself. */
const mostReceived = 2 * mostOctets
/** TLS says nothing when it keeps octets to itself: between two looks at how many have come, ms. */
const lookEvery = 50

/** Counts what one connection says. */
export class Meter {
  readonly #over = new AbortController()
  #heard = 0
  #received = 0

  /** Aborts, with the refusal as its reason, when it is too much. */
  get signal(): AbortSignal {
    return this.#over.signal
  }

  /** A new stage begins. */
  restart(): void {
    this.#heard = 0
    this.#received = 0
  }

  /** The channel is destroyed when it says too much. */
  on(channel: Channel): Channel {
    return new Metered(channel, this)
  }

  /** @returns whether it may be heard */
  hears(octets: number): boolean {
    this.#heard += octets
    return this.#within(this.#heard, mostOctets, "")
  }

  /** @returns whether more may come, of what came under TLS */
  receives(octets: number): boolean {
    this.#received += octets
    return this.#within(this.#received, mostReceived, ", most of which TLS keeps to itself,")
  }

  #within(octets: number, most: number, which: string): boolean {
    if (octets <= most) return true
    if (!this.#over.signal.aborted) this.#over.abort(refusal("stream.too-much", `more than ${most} octets${which} at one stage of the negotiation`, "unreachable"))
    return false
  }
}

class Metered implements Channel {
  readonly #bare: Channel
  readonly #meter: Meter
  #unwatch: (() => void) | undefined

  constructor(bare: Channel, meter: Meter) {
    this.#bare = bare
    this.#meter = meter
  }

  /** Looks now and then at how much has come under TLS, until the connection is over. */
  watch(clock: Pick<Clock, "after">, received: () => number): void {
    let before = received()
    const look = (): void => {
      const now = received()
      const may = this.#meter.receives(now - before)
      before = now
      if (may) this.#unwatch = clock.after(lookEvery, look)
      else this.#bare.destroy()
    }
    this.#unwatch = clock.after(lookEvery, look)
  }

  /** For TLS, which takes the connection itself; `meter` goes on above it. */
  get parts(): { readonly bare: Channel; readonly meter: Meter } {
    return { bare: this.#bare, meter: this.#meter }
  }

  get remote(): NetworkAddress {
    return this.#bare.remote
  }

  get local(): NetworkAddress {
    return this.#bare.local
  }

  get backlog(): number {
    return this.#bare.backlog
  }

  attach(handler: ChannelHandler): void {
    this.#bare.attach({
      chunk: (bytes) => (this.#meter.hears(bytes.length) ? handler.chunk(bytes) : this.#bare.destroy()),
      drain: () => handler.drain(),
      end: () => handler.end(),
      close: (closed) => {
        this.#unwatch?.()
        handler.close(closed)
      },
    })
  }

  release(): void {
    this.#bare.release()
  }

  write(bytes: Uint8Array): boolean {
    return this.#bare.write(bytes)
  }

  pause(): void {
    this.#bare.pause()
  }

  resume(): void {
    this.#bare.resume()
  }

  end(): void {
    this.#bare.end()
  }

  destroy(): void {
    this.#unwatch?.()
    this.#bare.destroy()
  }
}

/** TLS over metered channels: what was encrypted is counted by the same meter, and what TLS keeps to itself beside it. */
export function metering(tls: Tls, clock: Pick<Clock, "after">): Tls {
  const over = async (channel: Channel, secure: (bare: Channel) => Promise<SecuredChannel>): Promise<SecuredChannel> => {
    if (!(channel instanceof Metered)) return await secure(channel)
    const { bare, meter } = channel.parts
    const secured = await secure(bare)
    meter.restart()
    const metered = new Metered(secured.channel, meter)
    if (secured.received !== undefined) metered.watch(clock, secured.received)
    return { ...secured, channel: metered }
  }
  return {
    client: (channel, options) => over(channel, (bare) => tls.client(bare, options)),
    server: (channel, options) => over(channel, (bare) => tls.server(bare, options)),
  }
}

/** Each connection that is dialled has a meter of its own. */
export function meteringDial(dial: Dial): Dial {
  return { connect: async (to, options) => new Meter().on(await dial.connect(to, options)) }
}
