// One hosted domain's place for its component: attached or away, with the queue towards it.
import type { Domain } from "../model/domain.ts"
import { ns } from "../model/namespaces.ts"
import { type FlushList, Outlet } from "../stream/outlet.ts"
import { type BounceReason, bounceReasons, parseQueued } from "./bounce.ts"
import type { ComponentSession } from "./component.ts"
import type { Destination } from "./destination.ts"
import type { XmlElement } from "../xml/element.ts"

export class ComponentSlot implements Destination {
  readonly domain: Domain
  readonly content = ns.component
  readonly outlet: Outlet
  refusal: BounceReason | undefined = bounceReasons.componentAway
  #session: ComponentSession | undefined

  constructor(domain: Domain, limit: number, flushes: FlushList) {
    this.domain = domain
    this.outlet = new Outlet({ limit, flushes })
  }

  get session(): ComponentSession | undefined {
    return this.#session
  }

  wanted(): void {
    // Attached, or nothing is accepted: the flush after the chunk takes it along.
  }

  attach(session: ComponentSession): void {
    this.#session = session
    this.refusal = undefined
    session.onDrain = () => this.outlet.drained()
    session.held = () => this.outlet.unacknowledged
    let written = -1
    session.stalled = () => {
      const stuck = this.outlet.unsent > 0 && this.outlet.written === written
      written = this.outlet.written
      return stuck
    }
    this.outlet.attach(session.channel)
  }

  /**
   * The component is gone.
   *
   * @returns what it was not given any more, to be bounced, and how many stanzas may or may not have reached it
   */
  detach(): { readonly unsent: Iterable<XmlElement>; readonly unacknowledged: number } {
    this.#session = undefined
    this.refusal = bounceReasons.componentAway
    const unacknowledged = this.outlet.detach()
    return { unsent: parsed(this.outlet.take()), unacknowledged }
  }
}

function* parsed(stanzas: Iterable<Buffer>): Generator<XmlElement> {
  for (const bytes of stanzas) yield parseQueued(bytes, ns.component)
}
