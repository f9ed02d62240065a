// A negotiated stream: input is pushed through the relay, output goes to the channel, and the end is a handshake
// (RFC 6120 4.4; TLS-13). Knows nothing of pairs: its owner decides about every element.
import { ProtocolError, type StreamErrorCondition } from "../model/errors.ts"
import { type ContentNamespace, ns } from "../model/namespaces.ts"
import type { Channel, Clock } from "../ports.ts"
import { endWithin, partWithin } from "../stream/closing.ts"
import { Relay, type StanzaView } from "../stream/relay.ts"
import { Slices } from "../stream/slices.ts"
import { isStreamError, readStreamError, streamErrorXml, toldTo } from "../stream/stream-errors.ts"
import type { Detached } from "../stream/xml-stream.ts"
import type { XmlElement } from "../xml/element.ts"
import type { XmlError } from "../xml/errors.ts"
import type { StreamEnd, StreamLimits } from "./contract.ts"

export interface PushOwner {
  /** A stanza on the fast path; the view is valid during the call. Throws ProtocolError to end the stream. */
  stanza(view: StanzaView): void
  /** Everything else at first level, and stanzas that need a tree. Throws ProtocolError to end the stream. */
  element(element: XmlElement): void
  /** One input chunk is done. */
  flushed(): void
  /** The channel took what was written. */
  drain(): void
}

export interface PushOptions {
  readonly content: ContentNamespace
  readonly limits: StreamLimits
  readonly clock: Clock
  /** ms to wait for the peer's closing tag. */
  readonly closing: number
  /** What is said before anything that ends the stream (XEP-0198 4). */
  lastWords?(): string
  /** ms between two slices of laborious input; 0: no reason to rest. */
  rest?(): number
}

const encoder = new TextEncoder()
/** What an element takes that is only read and handed on, such as a stanza of unusual form, beside a claim. */
const readingShare = 0.25
const noBytes = Buffer.alloc(0)
/** Octets of ours a peer may leave unread, beside one stanza, before the next answer ends the stream. */
const unreadAnswers = 256 * 1024

export class PushStream {
  readonly channel: Channel
  readonly closed: Promise<StreamEnd>
  readonly #owner: PushOwner
  readonly #options: PushOptions
  readonly #relay: Relay
  readonly #slices: Slices
  /** What came behind the negotiation and was not looked at. */
  #unread: Buffer
  #settle: (end: StreamEnd) => void = () => {}
  #over: StreamEnd | undefined
  /** Answers that leave together. */
  readonly #soon: string[] = []
  #weClosed = false
  #pauses = 0
  #started = false
  #cancelClosing = () => {}

  constructor(detached: Detached, owner: PushOwner, options: PushOptions) {
    this.channel = detached.channel
    this.#owner = owner
    this.#options = options
    this.#unread = detached.unread
    this.closed = new Promise((resolve) => {
      this.#settle = resolve
    })
    this.#relay = new Relay({
      contentNs: options.content,
      scope: detached.scope,
      rootName: detached.rootName,
      limits: { stanzaBytes: options.limits.stanza, depth: options.limits.depth },
      unread: noBytes,
      xmlLang: detached.lang,
      handler: {
        stanza: (view) => this.#guarded(() => owner.stanza(view)),
        tree: (element) => {
          this.#slices.laborious(element.ns === ns.dialback ? 1 : readingShare)
          this.#guarded(() => this.#tree(element))
        },
        closeTag: () => this.#peerClosed(),
        failed: (error) => this.#failed(error),
        flushed: () => this.#ours(() => owner.flushed()),
      },
    })
    this.#slices = new Slices({
      clock: options.clock,
      read: (bytes) => this.#relay.chunk(bytes),
      pause: () => this.pause(),
      resume: () => this.resume(),
      rest: options.rest,
    })
  }

  /** Begins to read; what was left unread by the negotiation comes first. */
  start(): void {
    // What was delivered before may have ended it.
    if (this.#over !== undefined) return
    this.#started = true
    this.channel.attach({
      chunk: (bytes) => {
        this.#begin()
        this.#slices.chunk(bytes)
      },
      drain: () => this.#ours(() => this.#owner.drain()),
      end: () => this.#lost("the peer closed the connection without closing the stream"),
      close: (closed) => this.#lost(closed.detail ?? "the connection was lost"),
    })
    this.#begin()
    if (this.#pauses === 0) this.channel.resume()
  }

  /** As laborious as what comes later may be what was sent ahead. */
  #begin(): void {
    const unread = this.#unread
    this.#unread = noBytes
    this.#slices.chunk(unread)
  }

  /** Hands in an element that was read before the stream was. */
  deliver(element: XmlElement): void {
    this.#guarded(() => this.#tree(element))
  }

  get over(): boolean {
    return this.#over !== undefined
  }

  /** Nothing more leaves on it: it is over, or our closing tag was sent. */
  get closing(): boolean {
    return this.#over !== undefined || this.#weClosed
  }

  #lost(detail: string): void {
    this.#slices.finish()
    this.#end({ by: "lost", detail })
  }

  #tree(element: XmlElement): void {
    if (isStreamError(element)) {
      const said = readStreamError(element)
      if (!this.#weClosed) this.channel.write(encoder.encode("</stream:stream>"))
      this.#end({ by: "peer", detail: said.message, condition: said.condition ?? "undefined-condition" })
      return
    }
    this.#owner.element(element)
  }

  /** A stanza that ends the stream must not be followed by another from the same chunk. */
  #guarded(deliver: () => void): void {
    if (this.#over !== undefined) return
    this.#ours(deliver)
  }

  /** Runs what the owner does. An error of our own costs the stream, never the process. */
  #ours(step: () => void): void {
    try {
      step()
    } catch (error) {
      const known = error instanceof ProtocolError
      const { condition, tell, application } = known ? toldTo(error) : { condition: "internal-server-error" as const, tell: undefined, application: undefined }
      const detail = known ? error.message : `internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`
      this.#sendEnd(condition, tell, application)
      this.#end({ by: "us", detail, condition })
    }
  }

  /** Ends the stream for an error beside its traffic. */
  broken(error: unknown): void {
    this.#guarded(() => {
      throw error
    })
  }

  #failed(error: XmlError): void {
    if (this.#over !== undefined) return
    this.#sendEnd(error.condition)
    this.#end({ by: "us", detail: error.message, condition: error.condition })
  }

  #peerClosed(): void {
    this.#sendGathered()
    if (!this.#weClosed) this.channel.write(encoder.encode(`${this.#options.lastWords?.() ?? ""}</stream:stream>`))
    this.#end({ by: this.#weClosed ? "us" : "peer", detail: this.#weClosed ? "closed by both sides" : "the peer closed the stream" })
  }

  #sendEnd(condition: StreamErrorCondition | undefined, tell?: string, application?: string): void {
    if (this.#weClosed) return
    this.#sendGathered()
    // The peer does not read: it was closed just now.
    if (this.#weClosed) return
    this.#weClosed = true
    const first = this.#options.lastWords?.() ?? ""
    this.channel.write(encoder.encode(first + (condition === undefined ? "</stream:stream>" : streamErrorXml(condition, tell, application))))
  }

  #end(end: StreamEnd): void {
    if (this.#over !== undefined) return
    this.#over = end
    this.#cancelClosing()
    this.#relay.stop()
    this.#slices.stop()
    // TLS-13: who closes first hears the other out.
    const first = end.by === "us" && end.condition !== undefined && end.condition !== "resource-constraint"
    ;(first ? partWithin : endWithin)(this.channel, this.#options.clock, this.#options.closing)
    this.#settle(end)
  }

  send(xml: string): void {
    if (this.#over !== undefined || this.#weClosed) return
    // A peer that asks without reading the answers must not fill our memory with them. Stanzas under way may be as large as one is allowed to be.
    if (this.channel.backlog > unreadAnswers + this.#options.limits.stanza) {
      this.#weClosed = true
      this.#end({ by: "us", detail: "the peer does not read what it is sent", condition: "resource-constraint" })
      return
    }
    this.channel.write(encoder.encode(xml))
  }

  /**
   * As `send`, with others of the same moment in one write, behind what is sent meanwhile: for answers to many questions in one chunk,
   * each of which would cost more to write than to find.
   */
  sendSoon(xml: string): void {
    this.#soon.push(xml)
    if (this.#soon.length === 1) queueMicrotask(() => this.#ours(() => this.#sendGathered()))
  }

  #sendGathered(): void {
    if (this.#soon.length > 0) this.send(this.#soon.splice(0).join(""))
  }

  /** Our side of the closing handshake. With a condition the stream is over at once; without, the peer's tag is waited for. */
  close(condition?: StreamErrorCondition, tell?: string): void {
    if (this.#over !== undefined) return
    this.#sendEnd(condition, tell)
    if (condition !== undefined || !this.#started) {
      this.#end({ by: "us", detail: tell ?? condition ?? "closed", ...(condition === undefined ? {} : { condition }) })
      return
    }
    this.#cancelClosing()
    this.#cancelClosing = this.#options.clock.after(this.#options.closing, () => this.#end({ by: "us", detail: "closed; the peer did not answer" }))
  }

  /** Calls nest. */
  pause(): void {
    this.#pauses += 1
    if (this.#pauses === 1 && this.#over === undefined) this.channel.pause()
  }

  resume(): void {
    this.#pauses -= 1
    if (this.#pauses === 0 && this.#started) this.channel.resume()
  }
}
