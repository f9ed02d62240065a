// An outgoing half of a stream as the gateway holds it (RFC 7712 4.4). A class, since thousands live at once: an object with getters
// of its own would cost each of them two kilobytes.
import type { Association, DomainPair } from "../model/association.ts"
import type { StreamErrorCondition } from "../model/errors.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { Channel, NetworkAddress } from "../ports.ts"
import type { Discovery } from "../discovery/discover.ts"
import { noLimits, type PeerLimits } from "../stream/limits.ts"
import type { Outlet } from "../stream/outlet.ts"
import type { Retention } from "../stream/retention.ts"
import type { FormerStream } from "../stream/stream-management.ts"
import type { OutgoingStream, StreamEnd } from "./contract.ts"
import type { LiveStream } from "./live-stream.ts"
import type { Outbound } from "./outbound.ts"

export class OutgoingHandle implements OutgoingStream {
  readonly #outbound: Outbound
  readonly #live: LiveStream
  onDrain: (() => void) | undefined
  onWithdrawn: ((pairs: readonly DomainPair[]) => void) | undefined
  lastOutput = 0

  constructor(outbound: Outbound, live: LiveStream) {
    this.#outbound = outbound
    this.#live = live
  }

  get id(): string {
    return this.#outbound.facts.name
  }

  get pair(): DomainPair {
    return this.#outbound.pair
  }

  get association(): Association {
    return this.#outbound.association
  }

  get remote(): NetworkAddress {
    return this.#live.push.channel.remote
  }

  get endpoint(): Endpoint | undefined {
    return this.#outbound.facts.endpoint
  }

  get errors(): boolean {
    return this.#outbound.facts.errors
  }

  get channel(): Channel {
    return this.#live.push.channel
  }

  get closed(): Promise<StreamEnd> {
    return this.#live.push.closed
  }

  get ended(): boolean {
    return this.#live.push.over
  }

  get lastInput(): number | undefined {
    return this.#outbound.lastInput
  }

  get limits(): PeerLimits {
    return this.#outbound.facts.limits ?? noLimits
  }

  get unansweredSince(): number | undefined {
    return this.#live.management?.unansweredSince
  }

  get former(): FormerStream | undefined {
    return this.#live.former
  }

  get arrived(): number | undefined {
    return this.#outbound.arrived
  }

  associations(): readonly Association[] {
    return this.#outbound.associations
  }

  associationOf(pair: DomainPair): Association | undefined {
    return this.#outbound.associationOf(pair)
  }

  add(pair: DomainPair, signal: AbortSignal, found?: Discovery): Promise<Association> {
    return this.#outbound.add(pair, signal, found)
  }

  drop(pairs: readonly DomainPair[]): void {
    this.#outbound.drop(pairs)
  }

  close(condition?: StreamErrorCondition, tell?: string): void {
    this.#live.push.close(condition, tell)
  }

  recheck(): void {
    this.#outbound.recheck()
  }

  carry(outlet: Outlet): Retention | undefined {
    return this.#live.management?.carry(outlet)
  }

  uncarry(): void {
    this.#live.management?.uncarry()
  }
}
