// All hosted domains' components: one slot each, sessions that come and go, and what a reload changes (COMP-*; security.md 21).
import type { Domain } from "../model/domain.ts"
import { StreamClosed, type StreamErrorCondition } from "../model/errors.ts"
import type { Channel, Clock, Random } from "../ports.ts"
import type { Hosting, StreamEnd } from "../federation/contract.ts"
import type { FlushList } from "../stream/outlet.ts"
import { bounceReasons } from "./bounce.ts"
import { acceptComponent, type ComponentHost, type ComponentSession, type ComponentTimes } from "./component.ts"
import { ComponentSlot } from "./component-slot.ts"
import type { GatewayConfig, HostedDomain } from "./config.ts"
import type { InputShare, Load } from "./destination.ts"
import { HalfOpen } from "./half-open.ts"
import type { LogLines } from "./log-lines.ts"
import type { ComponentRouting, Router } from "./router.ts"
import type { Secret } from "./secret.ts"
import { ShardedMap } from "./sharded-map.ts"

export interface ComponentSurroundings {
  readonly clock: Clock
  readonly random: Random
  readonly load: Load
  readonly flushes: FlushList
  readonly lines: LogLines
  readonly router: Router
  readonly times: ComponentTimes
  config(): GatewayConfig
  hosting(): Hosting
}

export class Components implements ComponentHost {
  readonly clock: Clock
  readonly random: Random
  readonly load: Load
  readonly #around: ComponentSurroundings
  readonly #slots = new Map<Domain, ComponentSlot>()
  readonly #halfOpen: HalfOpen
  readonly #negotiating = new AbortController()

  constructor(around: ComponentSurroundings) {
    this.#around = around
    this.#halfOpen = new HalfOpen(around.clock)
    this.clock = around.clock
    this.random = around.random
    this.load = around.load
  }

  slot(domain: Domain): ComponentSlot | undefined {
    return this.#slots.get(domain)
  }

  get sessions(): readonly ComponentSession[] {
    return [...this.#slots.values()].flatMap((slot) => slot.session ?? [])
  }

  /** Slots follow the configuration. Sessions of domains that went or were suspended, or whose secret changed, end. */
  configured(before: GatewayConfig | undefined): void {
    const { domains, limits } = this.#around.config()
    const differing = ShardedMap.differences(before?.domains ?? ShardedMap.empty<Domain, HostedDomain>(), domains)
    for (const domain of differing) {
      if (domains.has(domain) && !this.#slots.has(domain)) this.#slots.set(domain, new ComponentSlot(domain, limits.queue, this.#around.flushes))
    }
    for (const domain of differing) {
      const slot = this.#slots.get(domain)
      const now = domains.get(domain)
      const was = before?.domains.get(domain)
      if (slot === undefined) continue
      if (now === undefined || now.suspended) {
        const { session } = slot
        // What waited for it goes back while there is still a way to say so.
        if (session !== undefined) this.#release(slot)
        // The place of a suspended domain stays, empty: stanzas of our other domains come back from it at once.
        if (now === undefined) this.#slots.delete(domain)
        session?.close("host-gone", now === undefined ? "this domain is no longer hosted here" : "this domain is suspended")
      } else if (was !== undefined && now.secret.handshake("") !== was.secret.handshake("")) {
        slot.session?.close("reset", "the secret has changed")
      }
    }
    this.#around.router.changed()
  }

  accept(channel: Channel): void {
    const { unauthenticatedTotal } = this.#around.config().limits
    this.#halfOpen.enter(channel.remote.address, { perAddress: unauthenticatedTotal, total: unauthenticatedTotal }, {
      admitted: (leave) => {
        if (this.#negotiating.signal.aborted) channel.destroy()
        else return void acceptComponent(this, channel, this.#negotiating.signal).finally(leave)
        leave()
      },
      refused: () => channel.destroy(),
    })
  }

  // What a session asks.

  limits() {
    return this.#around.hosting().limits
  }

  inputLimit(): number {
    return this.#around.config().limits.input
  }

  times(): ComponentTimes {
    return this.#around.times
  }

  secret(domain: Domain): Secret | undefined {
    const hosted = this.#around.config().domains.get(domain)
    return hosted?.suspended === true ? undefined : hosted?.secret
  }

  occupied(domain: Domain): boolean {
    const session = this.#slots.get(domain)?.session
    if (session === undefined) return false
    session.probe()
    return true
  }

  attach(session: ComponentSession): void {
    this.#slots.get(session.domain)!.attach(session)
    this.#around.lines.write("info", "component.up", { sid: session.name, from: session.domain, peer: peerOf(session), text: `component ${session.domain} attached` })
  }

  detached(session: ComponentSession, end: StreamEnd): void {
    const slot = this.#slots.get(session.domain)
    const held = slot?.session === session ? this.#release(slot) : 0
    const lost = Math.min(held, session.unacknowledged ?? held)
    this.#around.lines.write(end.by === "us" && end.condition !== undefined ? "warn" : "info", "component.down", {
      sid: session.name,
      from: session.domain,
      reason: end.detail,
      ...(lost > 0 ? { unacknowledged: lost } : {}),
      text: `component ${session.domain} detached: ${end.detail}${lost > 0 ? `; ${lost} stanzas were written and may not have arrived` : ""}`,
    })
  }

  #release(slot: ComponentSlot): number {
    const { unsent, unacknowledged } = slot.detach()
    for (const stanza of unsent) this.#around.router.bounceQueued(stanza, bounceReasons.componentAway)
    this.#around.flushes.flush()
    return unacknowledged
  }

  routing(domain: Domain, input: InputShare): ComponentRouting {
    return this.#around.router.forComponent(domain, input)
  }

  flush(): void {
    this.#around.flushes.flush()
  }

  refused(session: { readonly name: string; readonly domain: Domain | undefined }, sentence: string): void {
    this.#around.lines.write("warn", "component.refused", { sid: session.name, ...(session.domain === undefined ? {} : { from: session.domain }), text: `component refused: ${sentence}` })
  }

  broken(name: string, error: unknown): void {
    this.#around.lines.write("error", "gateway.error", { sid: name, text: error instanceof Error ? (error.stack ?? error.message) : String(error) })
  }

  /** Ends every session; new ones are refused. Resolves when the last is over. */
  async close(condition: StreamErrorCondition): Promise<void> {
    this.#negotiating.abort(new StreamClosed("the gateway is stopping"))
    const { sessions } = this
    for (const session of sessions) session.close(condition)
    await Promise.all(sessions.map((session) => session.closed))
  }
}

function peerOf(session: ComponentSession): string {
  const { address, port } = session.channel.remote
  return port === 0 ? address : `${address} port ${port}`
}
