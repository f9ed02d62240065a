// XEP-0114, the accepting side (COMP-1, COMP-2, COMP-3; security.md 21): header, handshake, then stanzas by the relay.
import type { Domain } from "../model/domain.ts"
import { tryDomain } from "../model/domain.ts"
import { ProtocolError, StreamClosed, type StreamErrorCondition } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import type { Channel, Clock, Random } from "../ports.ts"
import type { StreamEnd, StreamLimits } from "../federation/contract.ts"
import { parseView } from "../federation/canonical.ts"
import { DeadlinePassed, deadline } from "../federation/deadline.ts"
import { PushStream } from "../federation/push-stream.ts"
import { streamId, streamName } from "../federation/stream-names.ts"
import { endWithin } from "../stream/closing.ts"
import { headerXml, readHeader } from "../stream/open.ts"
import { streamErrorXml, toldTo } from "../stream/stream-errors.ts"
import type { StanzaView } from "../stream/relay.ts"
import { XmlStream } from "../stream/xml-stream.ts"
import { attr, text, type XmlElement } from "../xml/element.ts"
import { InputShare, type Load } from "./destination.ts"
import type { ComponentRouting } from "./router.ts"
import type { Secret } from "./secret.ts"

/** What a session asks of the gateway. Read afresh, so that a reload counts at once. */
export interface ComponentHost {
  readonly clock: Clock
  readonly random: Random
  readonly load: Load
  limits(): StreamLimits
  /** Octets this input may have in queues. */
  inputLimit(): number
  times(): ComponentTimes
  /** Undefined: not hosted here. */
  secret(domain: Domain): Secret | undefined
  /** Another connection of this component is attached; it stays, and is asked for a sign of life. */
  occupied(domain: Domain): boolean
  attach(session: ComponentSession): void
  detached(session: ComponentSession, end: StreamEnd): void
  routing(domain: Domain, input: InputShare): ComponentRouting
  flush(): void
  refused(session: { readonly name: string; readonly domain: Domain | undefined }, sentence: string): void
  /** An error of our own in serving one component; the process goes on. */
  broken(name: string, error: unknown): void
}

export interface ComponentTimes {
  /** Header and handshake, ms. */
  readonly negotiation: number
  readonly closing: number
  /** Between white space keepalives, ms (XML-08: at least 5 minutes). */
  readonly keepalive: number
  /** How long an attached component has to answer when another connection claims its domain, ms. */
  readonly probe: number
}

export const defaultComponentTimes: ComponentTimes = { negotiation: 30_000, closing: 5000, keepalive: 300_000, probe: 5000 }

/** One authenticated component connection. */
export class ComponentSession {
  readonly name: string
  readonly domain: Domain
  readonly channel: Channel
  readonly input: InputShare
  /** Set by the gateway: the channel took what was written. */
  onDrain: (() => void) | undefined
  /** Set by the gateway: whether stanzas wait and none has left since it was asked last. */
  stalled: (() => boolean) | undefined
  /** Set by the gateway: stanzas that were written and that the network has not taken. */
  held: (() => number) | undefined
  /** `held` when we closed the stream: our last words are not among them. Undefined when we did not. */
  unacknowledged: number | undefined
  readonly #host: ComponentHost
  readonly #push: PushStream
  readonly #routing: ComponentRouting
  /** Id of a ping whose answer belongs to us, not to the component's conversation. */
  #probeId: string | undefined
  #cancelProbe: (() => void) | undefined
  #cancelKeepalive: () => void = () => {}
  #over = false

  constructor(host: ComponentHost, name: string, domain: Domain, stream: XmlStream) {
    this.#host = host
    this.name = name
    this.domain = domain
    this.input = new InputShare(host.load, host.inputLimit(), { pause: () => this.#push.pause(), resume: () => this.#push.resume() })
    this.#routing = host.routing(domain, this.input)
    stream.raiseLimits({ stanzaBytes: host.limits().stanza, depth: host.limits().depth })
    this.#push = new PushStream(
      stream.detach(),
      {
        stanza: (view) => this.#stanza(view),
        element: (element) => this.#element(element),
        flushed: () => this.#flushed(),
        drain: () => this.onDrain?.(),
      },
      { content: ns.component, limits: host.limits(), clock: host.clock, closing: host.times().closing },
    )
    this.channel = this.#push.channel
  }

  get closed(): Promise<StreamEnd> {
    return this.#push.closed
  }

  /** Begins to read. The outlet must be attached before, so that answers find their way. */
  start(): void {
    void this.#push.closed.then((end) => this.#ended(end))
    this.#keepalive()
    this.#push.start()
  }

  get over(): boolean {
    return this.#over || this.#push.over
  }

  #ended(end: StreamEnd): void {
    this.#over = true
    this.#cancelProbe?.()
    this.#cancelKeepalive()
    this.#host.detached(this, end)
  }

  #stanza(view: StanzaView): void {
    if (this.#probeId !== undefined && view.kind === "iq" && this.#isProbeAnswer(parseView(view, ns.component))) return
    this.#routing.raw(view)
  }

  #element(element: XmlElement): void {
    if (this.#probeId !== undefined && this.#isProbeAnswer(element)) return
    this.#routing.tree(element)
  }

  #isProbeAnswer(element: XmlElement): boolean {
    const type = attr(element, "type")
    if (element.name !== "iq" || attr(element, "id") !== this.#probeId || (type !== "result" && type !== "error")) return false
    this.#probeId = undefined
    return true
  }

  #flushed(): void {
    // Anything it sends shows that somebody is there.
    this.#cancelProbe?.()
    this.#cancelProbe = undefined
    this.#host.flush()
  }

  /** A component that is silent for long may sit behind something that forgets connections (XEP-0114 has no ping of its own). */
  #keepalive(): void {
    this.#cancelKeepalive = this.#host.clock.after(this.#host.times().keepalive, () => {
      if (this.over) return
      // Design 6 "Loss": what waits for a component that never reads goes back while somebody wants to know.
      if (this.stalled?.() === true) return this.close("connection-timeout", "nothing was read for long")
      this.#push.send(" ")
      this.#keepalive()
    })
  }

  /**
   * Asks for a sign of life: a crashed bot must not lock itself out. Without one in time the connection is dropped
   * (security.md 21).
   */
  probe(): void {
    if (this.#cancelProbe !== undefined || this.over) return
    // A component we do not read from at the moment cannot answer.
    if (this.input.paused) return
    this.#probeId ??= `probe-${streamId(this.#host.random)}`
    this.#push.send(`<iq type='get' id='${this.#probeId}' from='${this.domain}' to='${this.domain}'><ping xmlns='${ns.ping}'/></iq>`)
    this.#cancelProbe = this.#host.clock.after(this.#host.times().probe, () => {
      this.#cancelProbe = undefined
      if (!this.input.paused) this.close("connection-timeout", "no answer to a ping")
    })
  }

  close(condition?: StreamErrorCondition, tell?: string): void {
    if (!this.over) this.unacknowledged ??= this.held?.()
    this.#push.close(condition, tell)
  }

  /** Cuts the connection without waiting for anything. */
  destroy(): void {
    this.channel.destroy()
  }
}

const encoder = new TextEncoder()

/**
 * Negotiates one accepted component connection. Resolves when it is attached (then the session lives on) or was refused;
 * never rejects.
 *
 * @param cancelled aborts a negotiation that is under way (shutdown), with a StreamClosed as reason
 */
export async function acceptComponent(host: ComponentHost, channel: Channel, cancelled: AbortSignal): Promise<ComponentSession | undefined> {
  const name = streamName("comp", host.random)
  const limits = host.limits()
  const stream = new XmlStream(channel, { stanzaBytes: limits.unauthenticatedStanza, depth: limits.depth })
  const negotiation = deadline(host.clock, host.times().negotiation, "the component's handshake", cancelled)
  const state: Opening = { headerSent: false, domain: undefined }
  try {
    const { domain, secret, id } = await authenticate(host, stream, negotiation.signal, state)
    // From here to `attach` nothing is awaited: of two that finish at once, one comes second.
    // A reload may have taken the domain away, or changed its secret, meanwhile.
    if (host.secret(domain)?.handshake(id) !== secret.handshake(id)) throw new ProtocolError("host-gone", `${domain} is no longer hosted here`)
    // security.md 21: whoever comes second never displaces the first, not even with the right secret. Said only to who has it.
    if (host.occupied(domain)) throw new ProtocolError("conflict", `another component of ${domain} is attached`, { tell: "this domain has a component already" })
    stream.send("<handshake/>")
    const session = new ComponentSession(host, name, domain, stream)
    host.attach(session)
    session.start()
    return session
  } catch (error) {
    refuse(host, name, stream, state, error)
    return undefined
  } finally {
    negotiation.done()
  }
}

interface Opening {
  headerSent: boolean
  domain: Domain | undefined
}

async function authenticate(host: ComponentHost, stream: XmlStream, signal: AbortSignal, state: Opening): Promise<{ readonly domain: Domain; readonly secret: Secret; readonly id: string }> {
  // COMP-1: the header's `to` names the component; no version, no features.
  const header = readHeader(await stream.header(signal), ns.component)
  const domain = tryDomain(header.to ?? "")
  const id = streamId(host.random)
  state.domain = domain
  state.headerSent = true
  stream.send(headerXml({ content: ns.component, ...(domain === undefined ? {} : { from: domain }), id, version: false }))
  const secret = domain === undefined ? undefined : host.secret(domain)
  if (domain === undefined || secret === undefined) throw new ProtocolError("host-unknown", `there is no component ${domain ?? JSON.stringify(header.to ?? "")} in the configuration`)
  const element = await stream.element(signal)
  // COMP-2, CORE-21: nothing but the handshake before the handshake.
  if (element.ns !== ns.component || element.name !== "handshake" || !secret.acceptsHandshake(id, text(element).trim())) {
    const said = element.name === "handshake" ? "wrong secret" : `<${element.name}/> instead of the handshake`
    throw new ProtocolError("not-authorized", `${domain}: ${said}`)
  }
  return { domain, secret, id }
}

function refuse(host: ComponentHost, name: string, stream: XmlStream, state: Opening, error: unknown): void {
  const protocol = error instanceof DeadlinePassed ? new ProtocolError("connection-timeout", error.message) : error
  if (protocol instanceof ProtocolError) {
    const { condition, tell } = toldTo(protocol)
    // RFC 6120 4.9.1.2: an error on the opening header comes behind a header of ours.
    const opening = state.headerSent ? "" : headerXml({ content: ns.component, id: streamId(host.random), version: false })
    stream.channel.write(encoder.encode(opening + streamErrorXml(condition, tell)))
    endWithin(stream.channel, host.clock, host.times().closing)
    host.refused({ name, domain: state.domain }, `${protocol.message} [${condition}]`)
    return
  }
  stream.channel.destroy()
  if (error instanceof StreamClosed) host.refused({ name, domain: state.domain }, error.message)
  else host.broken(name, error)
}
