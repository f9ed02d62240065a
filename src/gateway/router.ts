// Routing: component to component here, component to remote domain by the pool, remote to component for pairs that were
// proven; never from remote to remote (CORE-22, CORE-23, CORE-24, COMP-3; security.md 9, 21, 23).
import type { DomainPair } from "../model/association.ts"
import { type Domain, domainOfJid, domainTextOfJid, tryDomain } from "../model/domain.ts"
import { ProtocolError } from "../model/errors.ts"
import { type ContentNamespace, ns } from "../model/namespaces.ts"
import { parseView, withCanonicalDomains } from "../federation/canonical.ts"
import type { Delivery } from "../federation/contract.ts"
import type { Appended, InputPressure } from "../stream/outlet.ts"
import type { StanzaView } from "../stream/relay.ts"
import { RouteCache } from "../stream/route-cache.ts"
import { attr, type XmlElement } from "../xml/element.ts"
import { XmlError } from "../xml/errors.ts"
import { rescope, serialise } from "../xml/serialise.ts"
import { type BounceReason, bounceReasons, bounceXml, isAnswered } from "./bounce.ts"
import type { Destination, Load } from "./destination.ts"

/** What the router asks of the gateway. */
export interface RouterSurroundings {
  /** The component of a domain hosted here; undefined for every other domain. */
  component(domain: Domain): Destination | undefined
  /** The way to a remote domain; undefined when there are too many ways already, or the sender is not served any more. */
  remote(pair: DomainPair): Destination | undefined
  /** One stanza did not go on; `answered` false: nobody was told; "never": it is of a kind that is not answered. */
  bounced(from: Domain | undefined, to: Domain | undefined, reason: BounceReason, answered: boolean | "never"): void
  readonly load: Load
}

interface Route {
  readonly destination: Destination | undefined
  readonly refusal: BounceReason | undefined
  readonly from: Domain
  readonly to: Domain | undefined
  /** The bytes may be copied as they are. */
  readonly asWritten: boolean
}

const stanzaNames: ReadonlySet<string> = new Set(["message", "presence", "iq"])

export class Router {
  readonly #around: RouterSurroundings
  #epoch = 0

  constructor(around: RouterSurroundings) {
    this.#around = around
  }

  /** What is hosted changed: every remembered route is found anew. */
  changed(): void {
    this.#epoch += 1
  }

  get epoch(): number {
    return this.#epoch
  }

  /** The stanzas of one attached component; throws ProtocolError to end its stream. */
  forComponent(own: Domain, input: InputPressure): ComponentRouting {
    return new ComponentRouting(this, this.#around, own, input)
  }

  /** The stanzas of a pair that was proven on an incoming stream. The federation core has compared both domains. */
  forRemote(pair: DomainPair, input: InputPressure): Delivery {
    return new RemoteDelivery(this, this.#around, pair, input)
  }

  /** Queues a stanza as it was received. */
  raw(view: StanzaView, destination: Destination, from: Domain, to: Domain, content: ContentNamespace, input: InputPressure): void {
    const reason = destination.refusal ?? (this.#around.load.full ? bounceReasons.full : undefined)
    if (reason === undefined) {
      const appended = destination.outlet.appendView(view, input)
      if (appended === "queued") return destination.wanted()
      this.bounceView(view, reasonOf(appended), from, to, content, input)
    } else this.bounceView(view, reason, from, to, content, input)
  }

  /** Queues a stanza that was read as a tree, in the content namespace of its next stream (CORE-24). */
  tree(stanza: XmlElement, destination: Destination, from: Domain, to: Domain, input: InputPressure | undefined): void {
    const reason = destination.refusal ?? (this.#around.load.full ? bounceReasons.full : undefined)
    if (reason !== undefined) return this.bounce(stanza, reason, from, to, input)
    let text: string
    try {
      text = serialise(rescope(stanza, stanza.ns, destination.content), { defaultNs: destination.content })
    } catch (error) {
      if (!(error instanceof XmlError)) throw error
      return this.bounce(stanza, bounceReasons.unwritable, from, to, input)
    }
    const appended = destination.outlet.appendText(text, input)
    if (appended === "queued") return destination.wanted()
    this.bounce(stanza, reasonOf(appended), from, to, input)
  }

  bounceView(view: StanzaView, reason: BounceReason, from: Domain, to: Domain | undefined, content: ContentNamespace, input: InputPressure): void {
    // A flood of errors must not cost a tree each.
    const type = view.typeStart < 0 ? undefined : view.bytes.toString("latin1", view.typeStart, view.typeEnd)
    if (isAnswered(view.kind, type)) this.bounce(parseView(view, content), reason, from, to, input)
    else this.#around.bounced(from, to, reason, "never")
  }

  /** Sends an error back to where a stanza came from: a component here, or the remote domain by its own pair. */
  bounce(stanza: XmlElement, reason: BounceReason, from: Domain, to: Domain | undefined, input: InputPressure | undefined): void {
    const local = this.#around.component(from)
    // CORE-23: an error goes back to a remote domain only from a domain of ours.
    const back = local ?? (to !== undefined && this.#around.component(to) !== undefined ? this.#around.remote({ sender: to, target: from }) : undefined)
    const by = local === undefined ? to : from
    const xml = back === undefined || back.refusal !== undefined || by === undefined ? undefined : bounceXml(stanza, reason, by, back.content)
    const sent = xml !== undefined && back!.outlet.appendText(xml, input) === "queued"
    if (sent) back!.wanted()
    this.#around.bounced(from, to, reason, sent || (isAnswered(stanza.name, attr(stanza, "type")) ? false : "never"))
  }

  /** Gives back what a destination held when it was given up. */
  bounceQueued(stanza: XmlElement, reason: BounceReason): void {
    const from = domainOfJid(attr(stanza, "from") ?? "")
    const to = domainOfJid(attr(stanza, "to") ?? "")
    if (from === undefined) this.#around.bounced(from, to, reason, false)
    else this.bounce(stanza, reason, from, to, undefined)
  }

  /** Routes a stanza anew that waited for a destination which is no longer the right one. */
  again(stanza: XmlElement): void {
    const from = domainOfJid(attr(stanza, "from") ?? "")
    const to = domainOfJid(attr(stanza, "to") ?? "")
    if (from === undefined || to === undefined) return this.bounceQueued(stanza, bounceReasons.broken)
    const local = this.#around.component(to)
    // CORE-23: only what one of our domains says may go out.
    const destination = local ?? (this.#around.component(from) === undefined ? undefined : this.#around.remote({ sender: from, target: to }))
    if (destination === undefined) return this.bounce(stanza, bounceReasons.broken, from, to, undefined)
    this.tree(stanza, destination, from, to, undefined)
  }
}

function reasonOf(appended: Exclude<Appended, "queued">): BounceReason {
  if (appended === "too-large") return bounceReasons.tooLarge
  return appended === "full" ? bounceReasons.full : bounceReasons.broken
}

/** Where the stanzas of one remote pair go. One object for each of many thousand pairs, so that a stanza touches little memory. */
class RemoteDelivery implements Delivery {
  readonly #router: Router
  readonly #around: RouterSurroundings
  readonly #sender: Domain
  readonly #target: Domain
  readonly #input: InputPressure
  #destination: Destination | undefined
  #epoch = -1

  constructor(router: Router, around: RouterSurroundings, pair: DomainPair, input: InputPressure) {
    this.#router = router
    this.#around = around
    this.#sender = pair.sender
    this.#target = pair.target
    this.#input = input
  }

  raw(view: StanzaView): void {
    this.#router.raw(view, this.#found(), this.#sender, this.#target, ns.server, this.#input)
  }

  tree(stanza: XmlElement): void {
    this.#router.tree(stanza, this.#found(), this.#sender, this.#target, this.#input)
  }

  #found(): Destination {
    const { epoch } = this.#router
    if (this.#destination === undefined || this.#epoch !== epoch) {
      this.#destination = this.#around.component(this.#target)
      this.#epoch = epoch
    }
    if (this.#destination === undefined) throw foreignTarget(this.#target)
    return this.#destination
  }
}

function foreignTarget(target: Domain): ProtocolError {
  // A reload can take a domain away while its pairs still live.
  return new ProtocolError("host-gone", `${target} is no longer hosted here`)
}

/** One component's stanzas: from its own domain only, to anybody. */
export class ComponentRouting {
  readonly #router: Router
  readonly #around: RouterSurroundings
  readonly #own: Domain
  readonly #input: InputPressure
  readonly #routes = new RouteCache<Route>()

  constructor(router: Router, around: RouterSurroundings, own: Domain, input: InputPressure) {
    this.#router = router
    this.#around = around
    this.#own = own
    this.#input = input
  }

  raw(view: StanzaView): void {
    let route = this.#routes.find(view, this.#router.epoch)
    if (route === undefined) {
      const from = view.fromStart < 0 ? undefined : view.bytes.toString("utf8", view.fromStart, view.fromEnd)
      const to = view.toStart < 0 ? undefined : view.bytes.toString("utf8", view.toStart, view.toEnd)
      route = this.#find(from, to)
      // What there is no room for now may find room later.
      if (route.destination !== undefined) this.#routes.keep(view, this.#router.epoch, route)
    }
    if (route.destination === undefined) return this.#router.bounceView(view, route.refusal!, route.from, route.to, ns.component, this.#input)
    if (route.asWritten) return this.#router.raw(view, route.destination, route.from, route.to!, ns.component, this.#input)
    this.#router.tree(withCanonicalDomains(view, ns.component), route.destination, route.from, route.to!, this.#input)
  }

  tree(stanza: XmlElement): void {
    // security.md 21: no dialback, no stream management, nothing but stanzas.
    if (stanza.ns !== ns.component || !stanzaNames.has(stanza.name)) {
      throw new ProtocolError("unsupported-stanza-type", `<${stanza.name}/> in ${stanza.ns} from a component`)
    }
    const route = this.#find(addressDomain(stanza, "from"), addressDomain(stanza, "to"))
    if (route.destination === undefined) return this.#router.bounce(stanza, route.refusal!, route.from, route.to, this.#input)
    const written = route.asWritten ? stanza : withCanonicalDomains(stanza, ns.component)
    this.#router.tree(written, route.destination, route.from, route.to!, this.#input)
  }

  #find(fromText: string | undefined, toText: string | undefined): Route {
    // COMP-3, CORE-22: both addresses, and the sender's domain is the component's.
    if (fromText === undefined || toText === undefined) throw new ProtocolError("improper-addressing", "a component's stanza without `from` or `to`", { tell: "every stanza needs `from` and `to`" })
    const from = tryDomain(fromText)
    if (from === undefined) throw new ProtocolError("improper-addressing", "a component's stanza whose `from` is not a JID")
    if (from !== this.#own) throw new ProtocolError("invalid-from", `the component ${this.#own} sent a stanza from ${from}`, { tell: `this connection is for ${this.#own}` })
    const to = tryDomain(toText)
    if (to === undefined) return { destination: undefined, refusal: bounceReasons.malformed, from, to, asWritten: true }
    const local = this.#around.component(to)
    // security.md 23: components see canonical domains only. Remote servers know theirs as their users write it.
    const asWritten = local === undefined || (fromText === from && toText === to)
    const destination = local ?? this.#around.remote({ sender: from, target: to })
    return { destination, refusal: destination === undefined ? bounceReasons.crowded : undefined, from, to, asWritten }
  }
}

function addressDomain(stanza: XmlElement, name: "from" | "to"): string | undefined {
  const address = attr(stanza, name)
  return address === undefined ? undefined : domainTextOfJid(address)
}
