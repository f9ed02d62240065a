// Acknowledgements and resumption on one stream, in either role (XEP-0198; SM-1 to SM-7; security.md 12). Counts what
// comes in and what goes out, and says what became of it; who may speak for whom is decided elsewhere, on every stream anew.
import { Buffer } from "node:buffer"

import { ProtocolError } from "../model/errors.ts"
import type { Clock } from "../ports.ts"
import type { XmlElement } from "../xml/element.ts"
import { answerXml, enabledXml, enableXml, failedXml, readManagement, requestXml, resumedXml, resumeXml, tooHigh } from "./management-elements.ts"
import type { Outlet } from "./outlet.ts"
import type { ResumableSessions, SessionBinding, SessionCounters } from "./resumable-sessions.ts"
import type { RetainedPart, Retention } from "./retention.ts"

/** What of an opened stream outlives it, for the next one to the same peer. */
export interface FormerStream extends SessionCounters {
  /** The peer's name of the session. */
  readonly id: string
  /** ms that the session outlives a stream. */
  readonly within: number
  /** Monotonic ms; later the peer need not know it any more. */
  readonly until: number
}

export type ManagementEvent =
  /** Both sides count. `resumable`: the stream can be resumed after a loss. */
  | { readonly kind: "enabled"; readonly resumable: boolean }
  /** The peer refuses; the stream goes on without. */
  | { readonly kind: "failed"; readonly condition: string }
  /** The counters of the former stream go on. `arrived`: so many of what it left unacknowledged had arrived after all. */
  | { readonly kind: "resumed"; readonly arrived: number }
  /** The former stream is over for good. `arrived`: as far as the peer still knows; undefined where it does not. */
  | { readonly kind: "not-resumed"; readonly condition: string; readonly arrived: number | undefined }

export interface ManagementOptions {
  readonly role: "initiating" | "receiving"
  readonly clock: Pick<Clock, "monotonic" | "after">
  /** Writes one element to the stream at once. */
  send(xml: string): void
  /** Whether the peer, or for an opened stream we, were authenticated, by SASL or dialback (SM-1). */
  authenticated(): boolean
  /** Octets of one stream, and of all of its peer's, that wait for acknowledgements. */
  readonly retained: { readonly limit: number; readonly load?: RetainedPart }
  /** s that a lost stream can be resumed; 0: never. For the receiving side also where the sessions are. */
  readonly resumable: number
  readonly sessions?: {
    readonly store: ResumableSessions
    /** Where the peer is. */
    readonly network?: string
    /** Undefined: the pair of the headers is not proven on this stream, so no session is its own. */
    binding(): SessionBinding | undefined
    /** Ends this stream at once, since another goes on with its session: nothing of it is handled any more. */
    supersede(): void
  }
  event(event: ManagementEvent): void
}

type OutletSide = Pick<Outlet, "unacknowledged" | "unacknowledgedBytes" | "acknowledge" | "retain">

/** ms between requests while few bytes wait: each costs the peer an answer. */
const pace = 50
/** Requests go out before the retained octets reach the limit, so that a steady flow never waits. */
const requestShare = 4
const requestBytes = Buffer.from(requestXml)

export class StreamManagement {
  readonly #options: ManagementOptions
  #state: "off" | "asked" | "resuming" | "on" | "over" = "off"
  /** At most one `<enable/>` a stream (SM-2). */
  #tried = false
  #handled = 0
  #answerDue = false
  #outlet: OutletSide | undefined
  #uncarried = false
  #finished = false
  #acknowledged = 0
  /** Since when an answer is waited for, monotonic ms. */
  #askedAt: number | undefined
  #keptAtRequest = 0
  #lastRequest = Number.NEGATIVE_INFINITY
  #cancelRequest: (() => void) | undefined
  #session: { readonly id: string; readonly within: number } | undefined
  #former: FormerStream | undefined

  constructor(options: ManagementOptions) {
    this.#options = options
  }

  /** Both sides count. */
  get on(): boolean {
    return this.#state === "on"
  }

  /** Stanzas of the peer's that were taken, modulo 2^32 (SM-3). */
  get handled(): number {
    return this.#handled
  }

  /** Since when the peer owes an answer, monotonic ms; undefined: it owes none. */
  get unansweredSince(): number | undefined {
    return this.#askedAt
  }

  /** Stanzas of ours that left, modulo 2^32. */
  get #sent(): number {
    return (this.#acknowledged + (this.#outlet?.unacknowledged ?? 0)) >>> 0
  }

  /** What is written from now on is counted (SM-4): between our `<enable/>` and its answer as well. */
  get #counting(): boolean {
    return this.#state === "on" || this.#state === "asked"
  }

  // What we do.

  /** Asks the peer to count. What is written behind it is counted, so nothing has to wait for the answer. */
  enable(): void {
    if (this.#state !== "off" || this.#tried || !this.#options.authenticated()) throw new Error("stream management cannot be enabled now")
    this.#tried = true
    this.#state = "asked"
    this.#options.send(enableXml(this.#options.resumable > 0 ? this.#options.resumable : undefined))
    this.#outlet?.retain(this.#retention)
  }

  /** Asks to go on with a stream that was lost. No stanza may be written until the event says how it ended. */
  resume(former: FormerStream): void {
    if (this.#state !== "off" || this.#tried || !this.#options.authenticated()) throw new Error("no stream can be resumed now")
    this.#state = "resuming"
    this.#former = former
    this.#options.send(resumeXml(former.id, former.handled))
  }

  /**
   * The outlet whose stanzas this stream carries; one, for the life of the stream.
   *
   * @returns what to attach it with
   */
  carry(outlet: OutletSide): Retention | undefined {
    if (this.#state === "resuming") throw new Error("nothing may be written before the stream is resumed")
    this.#outlet = outlet
    return this.#counting ? this.#retention : undefined
  }

  /** The outlet is given to another stream: what the peer answers for from now on is nobody's. */
  uncarry(): void {
    this.#outlet = undefined
    this.#uncarried = true
    this.#stopRequests()
  }

  get #retention(): Retention {
    const { limit, load } = this.#options.retained
    return { limit, ...(load === undefined ? {} : { load }), request: (pausing) => this.#requestWith(pausing) }
  }

  /** Goes with a write of stanzas. */
  #requestWith(pausing: boolean): Uint8Array | undefined {
    const { limit } = this.#options.retained
    const kept = this.#outlet!.unacknowledgedBytes
    const many = kept - this.#keptAtRequest >= limit / requestShare
    if (!many) {
      if (!pausing || this.#askedAt !== undefined || this.#cancelRequest !== undefined) return undefined
      if (this.#options.clock.monotonic() - this.#lastRequest < pace) {
        this.#requestLater()
        return undefined
      }
    }
    this.#requested()
    return requestBytes
  }

  #requested(): void {
    this.#cancelRequest?.()
    this.#cancelRequest = undefined
    this.#lastRequest = this.#options.clock.monotonic()
    this.#askedAt ??= this.#lastRequest
    this.#keptAtRequest = this.#outlet?.unacknowledgedBytes ?? 0
  }

  /** One timer for whatever is written until then. */
  #requestLater(): void {
    if (this.#cancelRequest !== undefined) return
    const wait = Math.max(1, this.#lastRequest + pace - this.#options.clock.monotonic())
    this.#cancelRequest = this.#options.clock.after(wait, () => {
      this.#cancelRequest = undefined
      this.request()
    })
  }

  /** Asks now, where something is unacknowledged and not asked for; before a stream is closed, say. */
  request(): void {
    if (!this.on || this.#askedAt !== undefined || (this.#outlet?.unacknowledged ?? 0) === 0) return
    this.#requested()
    this.#options.send(requestXml)
  }

  // What the peer does.

  /** A stanza of the peer's was taken: its next hop has it, or it was bounced. Called for each, in order. */
  stanzaHandled(): void {
    if (this.#state === "on") this.#handled = (this.#handled + 1) >>> 0
  }

  /**
   * An element of stream management arrived.
   *
   * @throws ProtocolError to end the stream
   */
  element(element: XmlElement): void {
    if (this.#state === "over") return
    const read = readManagement(element)
    const { role } = this.#options
    switch (read.kind) {
      case "enable":
        if (role === "receiving") return this.#peerEnables(read.resume, read.max)
        break
      case "resume":
        if (role === "receiving") return this.#peerResumes(read.id, read.h)
        break
      case "enabled":
        if (this.#state === "asked") return this.#enabled(read.id, read.max)
        break
      case "resumed":
        if (this.#state === "resuming") return this.#resumed(read.id, read.h)
        break
      case "failed":
        if (this.#state === "asked" || this.#state === "resuming") return this.#failed(read.condition, read.h)
        break
      case "request":
        if (this.#state !== "on") break
        this.#answerDue = true
        return
      case "answer":
        if (this.#state === "on") return this.#answered(read.h)
        break
    }
    throw new ProtocolError("unsupported-stanza-type", `<${element.name}/> of stream management where it has no place`)
  }

  /** The input chunk is done: one answer for all requests in it (SM-3). */
  flushed(): void {
    if (!this.#answerDue) return
    this.#answerDue = false
    if (this.on) this.#options.send(answerXml(this.#handled))
  }

  #peerEnables(resume: boolean, max: number | undefined): void {
    // SM-1, SM-2: only after authentication, and once.
    if (this.#state !== "off" || this.#tried || !this.#options.authenticated()) {
      this.#options.send(failedXml("unexpected-request"))
      return
    }
    this.#tried = true
    const { sessions, resumable } = this.#options
    const within = Math.min(resumable, max ?? resumable)
    const binding = resume && within > 0 ? sessions?.binding() : undefined
    const id = binding === undefined ? undefined : sessions?.store.open(binding, () => this.#surrender(), sessions.network)
    if (id !== undefined) this.#session = { id, within: within * 1000 }
    this.#state = "on"
    this.#options.send(enabledXml(id === undefined ? undefined : { id, max: within }))
    // SM-4: what was queued and not written before is counted, too.
    this.#outlet?.retain(this.#retention)
    this.#options.event({ kind: "enabled", resumable: id !== undefined })
  }

  #peerResumes(id: string, h: number): void {
    if (this.#state !== "off" || this.#tried || !this.#options.authenticated()) {
      this.#options.send(failedXml("unexpected-request"))
      return
    }
    const { sessions } = this.#options
    const binding = sessions?.binding()
    const counters = binding === undefined ? undefined : sessions?.store.resume(id, binding, () => this.#surrender())
    if (sessions === undefined || counters === undefined) {
      this.#options.send(failedXml(sessions === undefined ? "feature-not-implemented" : "item-not-found"))
      return
    }
    this.#tried = true
    this.#session = { id, within: this.#options.resumable * 1000 }
    this.#state = "on"
    this.#handled = counters.handled
    const arrived = arrivedOf(counters, h)
    this.#acknowledged = h
    this.#options.send(resumedXml(id, counters.handled))
    this.#outlet?.retain(this.#retention)
    this.#options.event({ kind: "resumed", arrived })
  }

  #enabled(id: string | undefined, max: number | undefined): void {
    this.#state = "on"
    const within = Math.min(this.#options.resumable, max ?? this.#options.resumable)
    if (id !== undefined && within > 0) this.#session = { id, within: within * 1000 }
    this.#options.event({ kind: "enabled", resumable: this.#session !== undefined })
  }

  #resumed(id: string, h: number): void {
    const former = this.#former!
    // The peer answers with the session that was asked for, or not at all.
    if (id !== former.id) throw new ProtocolError("bad-format", "another stream was resumed than the one asked for")
    const arrived = arrivedOf(former, h)
    this.#former = undefined
    this.#tried = true
    this.#state = "on"
    this.#handled = former.handled
    this.#acknowledged = h
    this.#session = { id, within: former.within }
    this.#options.event({ kind: "resumed", arrived })
  }

  #failed(condition: string, h: number | undefined): void {
    const former = this.#former
    this.#former = undefined
    this.#state = "off"
    if (former === undefined) {
      this.#stopRequests()
      this.#outlet?.retain(undefined)
      this.#options.event({ kind: "failed", condition })
      return
    }
    // The peer may still know how far it got; what it cannot have got it does not know.
    const arrived = h === undefined ? undefined : (h - former.acknowledged) >>> 0
    this.#options.event({ kind: "not-resumed", condition, arrived: arrived !== undefined && arrived <= former.unacknowledged ? arrived : undefined })
  }

  #answered(h: number): void {
    if (this.#uncarried) return
    const count = (h - this.#acknowledged) >>> 0
    const unacknowledged = this.#outlet?.unacknowledged ?? 0
    // SM-5. An answer that goes back is one that goes round and far beyond.
    if (count > unacknowledged) throw tooHigh(h, this.#sent)
    this.#acknowledged = h
    this.#askedAt = undefined
    // May write what waited for it, with another request.
    if (count > 0) this.#outlet!.acknowledge(count)
    if (this.#askedAt !== undefined) return
    this.#keptAtRequest = this.#outlet?.unacknowledgedBytes ?? 0
    if (this.#keptAtRequest > 0) this.#requestLater()
  }

  // The end.

  /** What to say before the closing tag: how far we got (XEP-0198 4). From then on nothing more must be taken: see `finished`. */
  lastWords(): string {
    if (!this.on) return ""
    this.#finished = true
    return answerXml(this.#handled)
  }

  /** The last count went out: a stanza that still comes is the peer's to send again or to bounce, so it must not be taken here. */
  get finished(): boolean {
    return this.#finished
  }

  /**
   * The stream is over. To be called before the outlet is detached.
   *
   * @param lost nobody closed it: it can be resumed
   * @returns on the initiating side, what the next stream can resume
   */
  over(lost: boolean): FormerStream | undefined {
    if (this.#state === "over") return undefined
    const session = this.on && !this.#uncarried ? this.#session : undefined
    const former = this.#former
    const counters = this.#end()
    if (this.#options.role === "initiating") {
      // A stream that was lost while it was to be resumed leaves the former one as it was.
      if (former !== undefined) return lost ? former : undefined
      return lost && session !== undefined ? { ...session, ...counters, until: this.#options.clock.monotonic() + session.within } : undefined
    }
    const store = this.#options.sessions?.store
    if (session === undefined || store === undefined) return undefined
    if (lost) store.park(session.id, counters, session.within)
    else store.close(session.id)
    return undefined
  }

  #end(): SessionCounters {
    this.#state = "over"
    this.#stopRequests()
    return { handled: this.#handled, acknowledged: this.#acknowledged, unacknowledged: this.#outlet?.unacknowledged ?? 0 }
  }

  #stopRequests(): void {
    this.#askedAt = undefined
    this.#cancelRequest?.()
    this.#cancelRequest = undefined
  }

  #surrender(): SessionCounters {
    const counters = this.#end()
    this.#options.sessions?.supersede()
    return counters
  }
}

/** Of what a former stream left unacknowledged, how many the peer says it got. */
function arrivedOf(former: SessionCounters, h: number): number {
  const arrived = (h - former.acknowledged) >>> 0
  if (arrived > former.unacknowledged) throw tooHigh(h, (former.acknowledged + former.unacknowledged) >>> 0)
  return arrived
}
