// Accepting streams of other servers: caps before anything is proved, one input share each, idle ones closed
// (XML-07; security.md 17).
import type { DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { StreamErrorCondition } from "../model/errors.ts"
import type { Channel, Clock } from "../ports.ts"
import type { Delivery, Federation, IncomingHooks, IncomingStream, OutgoingStream } from "../federation/contract.ts"
import { acceptStream } from "../federation/receiving.ts"
import type { FlushList } from "../stream/outlet.ts"
import { InputShare, type Load } from "./destination.ts"
import { HalfOpen } from "./half-open.ts"
import type { GatewayLimits } from "./config.ts"
import type { LogLines } from "./log-lines.ts"
import type { Router } from "./router.ts"

export interface IntakeSurroundings {
  readonly federation: Federation
  readonly clock: Clock
  readonly router: Router
  readonly load: Load
  readonly flushes: FlushList
  readonly lines: LogLines
  limits(): GatewayLimits
  idleMs(): number
  /** An accepted stream may carry our stanzas to this domain (XEP-0288). */
  reachable(domain: Domain, stream: OutgoingStream): void
}

interface Held {
  readonly stream: IncomingStream
  readonly input: InputShare
  leave: () => void
  cancelDeadline: () => void
  authenticated: boolean
  lastInput: number
  /** We opened it, so the pool closes it; here is only what comes in on it (XEP-0288). */
  readonly ours: boolean
}

/** One for all streams: there are thousands. */
const nothing = (): void => {}

/** So many times `unauthenticatedPerIp` may wait outside: a large host that starts opens a stream for each pair at once. */
const waitingShare = 3
/** Refused connections are logged at most this often, with their number, ms. */
const cappedQuietMs = 10_000

export class Intake implements IncomingHooks {
  readonly #around: IntakeSurroundings
  readonly #held = new Map<IncomingStream, Held>()
  readonly #halfOpen: HalfOpen
  #cancelSweep: (() => void) | undefined
  #capped = 0
  #cancelCapped: (() => void) | undefined
  #closed = false

  constructor(around: IntakeSurroundings) {
    this.#around = around
    this.#halfOpen = new HalfOpen(around.clock)
  }

  get streams(): readonly IncomingStream[] {
    return [...this.#held.keys()]
  }

  get halfOpen(): number {
    return this.#halfOpen.total
  }

  accept(channel: Channel, transport: "starttls" | "direct-tls"): void {
    const limits = this.#around.limits()
    const { address } = channel.remote
    const refused = (): void => {
      // XML-07: not even a header is spent on it; whoever floods learns nothing.
      channel.destroy()
      if (!this.#closed) this.#countCapped(address)
    }
    if (this.#closed || this.#held.size >= limits.streams) return refused()
    const places = {
      perAddress: limits.unauthenticatedPerIp,
      total: limits.unauthenticatedTotal,
      waiting: waitingShare * limits.unauthenticatedPerIp,
      patience: limits.unauthenticatedMs,
      // Where too much came to nothing the next ones wait outside: handshakes are the dearest thing that a stranger can ask for.
      delay: () => this.#around.federation.claims.budget.delay(address),
    }
    this.#halfOpen.enter(address, places, { admitted: (leave) => this.#serve(channel, transport, leave), refused })
  }

  #serve(channel: Channel, transport: "starttls" | "direct-tls", leave: () => void): void {
    const { clock } = this.#around
    const limits = this.#around.limits()
    const stream = acceptStream(this.#around.federation, channel, transport, this)
    const held: Held = {
      stream,
      input: new InputShare(this.#around.load, limits.input, stream),
      leave,
      cancelDeadline: clock.after(limits.unauthenticatedMs, () => {
        if (!held.authenticated) stream.close("connection-timeout", "nothing was authenticated in time")
      }),
      authenticated: false,
      lastInput: clock.monotonic(),
      ours: false,
    }
    this.#held.set(stream, held)
    this.#sweepLater()
    void stream.closed.then(() => {
      this.#held.delete(stream)
      held.cancelDeadline()
      held.leave()
    })
  }

  #countCapped(address: string): void {
    this.#capped += 1
    if (this.#cancelCapped !== undefined) return
    this.#around.lines.write("warn", "s2s.capped", { peer: address, finding: "stream.too-many", text: `connection from ${address} refused: too many unfinished connections [stream.too-many]` })
    this.#capped = 0
    this.#cancelCapped = this.#around.clock.after(cappedQuietMs, () => {
      this.#cancelCapped = undefined
      if (this.#capped > 0) {
        this.#around.lines.write("warn", "s2s.capped", { count: this.#capped, finding: "stream.too-many", text: `${this.#capped} more connections refused: too many unfinished connections [stream.too-many]` })
        this.#capped = 0
      }
    })
  }

  // Hooks of the federation core.

  delivery(pair: DomainPair, stream: IncomingStream): Delivery {
    const held = this.#held.get(stream)
    // The core asks only for streams it serves; a share is made for each when it is accepted.
    if (held === undefined) throw new Error(`a delivery was asked for the unknown stream ${stream.id}`)
    this.#around.federation.ratchet?.exchanged(pair.sender, "in")
    return this.#around.router.forRemote(pair, held.input)
  }

  flushed(stream: IncomingStream): void {
    const held = this.#held.get(stream)
    if (held !== undefined) held.lastInput = this.#around.clock.monotonic()
    this.#around.flushes.flush()
  }

  authenticated(stream: IncomingStream): void {
    const held = this.#held.get(stream)
    if (held === undefined || held.authenticated) return
    held.authenticated = true
    held.cancelDeadline()
    // Proven streams are bounded in total only: stock servers open one a pair.
    held.leave()
    held.cancelDeadline = nothing
    held.leave = nothing
  }

  opened(stream: IncomingStream): void {
    const { clock, load } = this.#around
    const input = new InputShare(load, this.#around.limits().input, stream)
    this.#held.set(stream, { stream, input, leave: nothing, cancelDeadline: nothing, authenticated: true, lastInput: clock.monotonic(), ours: true })
    void stream.closed.then(() => this.#held.delete(stream))
  }

  reachable(domain: Domain, stream: OutgoingStream): void {
    this.#around.reachable(domain, stream)
  }

  // Time.

  #sweepLater(): void {
    if (this.#cancelSweep !== undefined || this.#closed) return
    const wait = Math.min(60_000, Math.max(1000, this.#around.idleMs() / 8))
    this.#cancelSweep = this.#around.clock.after(wait, () => {
      this.#cancelSweep = undefined
      const now = this.#around.clock.monotonic()
      for (const { stream, lastInput, input, ours } of this.#held.values()) {
        const quiet = now - Math.max(lastInput, stream.lastOutput ?? 0)
        if (!ours && quiet >= this.#around.idleMs() && !input.paused) stream.close()
      }
      if (this.#held.size > 0) this.#sweepLater()
    })
  }

  /** @param concerns whether anything has changed for a pair; streams without one of those go on unjudged */
  recheck(concerns: (pair: DomainPair) => boolean): void {
    for (const stream of this.streams) if (stream.associations().some(({ pair }) => concerns(pair))) stream.recheck()
  }

  async close(condition: StreamErrorCondition): Promise<void> {
    this.#closed = true
    this.#cancelSweep?.()
    this.#cancelCapped?.()
    this.#halfOpen.close()
    const accepted = [...this.#held.values()].filter(({ ours }) => !ours)
    for (const { stream } of accepted) stream.close(condition)
    await Promise.all(accepted.map(({ stream }) => stream.closed))
  }
}
