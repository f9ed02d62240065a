// One XML stream while it is negotiated: input is pulled, event by event, so that bytes behind a switch are visible
// (RFC 6120 4; security.md 24). After negotiation `detach` hands everything to the push relay.
import { ProtocolError, StreamClosed, type StreamErrorCondition } from "../model/errors.ts"
import type { Channel, ChannelClosed } from "../ports.ts"
import type { XmlElement } from "../xml/element.ts"
import { XmlError } from "../xml/errors.ts"
import { type XmlEvent, type XmlLimits, XmlParser } from "../xml/parser.ts"
import { isStreamError, readStreamError, streamErrorXml } from "./stream-errors.ts"

interface Waiter {
  resolve(event: XmlEvent): void
  reject(reason: unknown): void
}

/** What the relay needs to go on where negotiation stopped. */
export interface Detached {
  readonly channel: Channel
  /** Bytes behind the last event, unparsed. */
  readonly unread: Buffer
  /** Namespaces declared on the peer's stream header. */
  readonly scope: ReadonlyArray<readonly [prefix: string, ns: string]>
  /** The header's name as written, for its closing tag. */
  readonly rootName: string
  /** The peer's xml:lang, empty when it gave none. */
  readonly lang: string
}

const encoder = new TextEncoder()
/** Octets of ours a peer may leave unread during negotiation, before the next answer ends the stream. */
const unreadAnswers = 64 * 1024

export class XmlStream {
  #channel: Channel
  #limits: Partial<XmlLimits>
  #parser: XmlParser
  #waiter: Waiter | undefined
  #over: unknown
  /** The peer has finished sending; that ends the stream for who waits for more, and what we say still reaches it. */
  #ended: StreamClosed | undefined
  #root: XmlElement | undefined
  #parserDry = true
  #paused = false
  /** The latest deadline; it is listened to as long as input may be waited for, and not for each step anew. */
  #deadline: AbortSignal | undefined
  #detached = false
  #closedByUs = false

  /**
   * @param channel attached at once; the stream owns its handler until `release` or `detach`
   * @param limits octets, depth and counts, enforced while parsing (XML-06)
   */
  constructor(channel: Channel, limits: Partial<XmlLimits>) {
    this.#channel = channel
    this.#limits = limits
    this.#parser = new XmlParser(limits)
    this.#attach()
  }

  get channel(): Channel {
    return this.#channel
  }

  /** The latest header the peer sent, if any. */
  get root(): XmlElement | undefined {
    return this.#root
  }

  #attach(): void {
    this.#channel.attach({
      chunk: (bytes) => this.#arrived(bytes),
      drain: () => {},
      end: () => {
        this.#ended = new StreamClosed("the peer closed the connection")
        if (this.#waiter !== undefined) this.#finish(this.#ended)
      },
      close: (closed) => this.#finish(new StreamClosed(closedSentence(closed))),
    })
    this.#paused = false
    this.#channel.resume()
  }

  #arrived(bytes: Buffer): void {
    if (this.#over !== undefined) return
    try {
      // The parser reads in place until it runs dry, which may be after this call returned.
      this.#parser.push(Buffer.from(bytes))
    } catch (error) {
      this.#finish(protocolErrorOf(error))
      return
    }
    // One chunk at a time, and the one that came before it was known: what the peer pipelines waits in the kernel, so an early
    // flood costs it, not us.
    if (!this.#parserDry && !this.#paused) {
      this.#paused = true
      this.#channel.pause()
    }
    this.#parserDry = false
    this.#pump()
  }

  #pump(): void {
    const waiter = this.#waiter
    if (waiter === undefined) return
    let event: XmlEvent | undefined
    try {
      event = this.#parser.next()
    } catch (error) {
      this.#finish(protocolErrorOf(error))
      return
    }
    if (event === undefined) {
      this.#parserDry = true
      this.#over ??= this.#ended
      if (this.#over !== undefined) this.#reject(this.#over)
      else this.#resume()
      return
    }
    if (event.kind === "open") this.#root = event.root
    if (event.kind === "element" && isStreamError(event.element)) {
      this.#finish(readStreamError(event.element))
      return
    }
    this.#waiter = undefined
    waiter.resolve(event)
  }

  #resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#channel.resume()
  }

  #finish(reason: unknown): void {
    const final = reason instanceof ProtocolError || (reason instanceof StreamClosed && reason.condition !== undefined)
    if (final) this.#over = reason
    else this.#over ??= reason
    // Events already received come first: a stream error before the FIN says more than the FIN.
    if (final) this.#parserDry = true
    if (this.#parserDry) this.#reject(this.#over)
  }

  #reject(reason: unknown): void {
    const waiter = this.#waiter
    this.#waiter = undefined
    // The signal may be there for as long as the process, and would keep the stream.
    if (this.#over !== undefined) this.#heed(undefined)
    waiter?.reject(reason)
  }

  /**
   * The next header, first-level element or closing tag. The only way input arrives.
   *
   * @param signal the deadline; its reason is what the promise rejects with
   * @throws ProtocolError when the peer breaks XML or its limits; StreamClosed when it ends the stream
   */
  next(signal: AbortSignal): Promise<XmlEvent> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#over !== undefined && this.#parserDry) return Promise.reject(this.#over)
    this.#heed(signal)
    return new Promise<XmlEvent>((resolve, reject) => {
      this.#waiter = { resolve, reject }
      this.#pump()
    })
  }

  readonly #aborted = (): void => this.#reject(this.#deadline?.reason)

  #heed(signal: AbortSignal | undefined): void {
    if (signal === this.#deadline) return
    this.#deadline?.removeEventListener("abort", this.#aborted)
    this.#deadline = signal
    signal?.addEventListener("abort", this.#aborted)
  }

  /** The next first-level element. A closing tag is StreamClosed, a second header not-well-formed. */
  async element(signal: AbortSignal): Promise<XmlElement> {
    const event = await this.next(signal)
    if (event.kind === "element") return event.element
    if (event.kind === "close") throw new StreamClosed("the peer closed the stream")
    throw new ProtocolError("not-well-formed", "a stream header inside the stream")
  }

  /** The next stream header. */
  async header(signal: AbortSignal): Promise<XmlElement> {
    const event = await this.next(signal)
    if (event.kind === "open") return event.root
    throw new ProtocolError("bad-format", "something else stands where a stream header is due")
  }

  /** Bytes received behind the last event; must be empty before a switch to TLS (TLS-03). */
  get unread(): Buffer {
    return this.#parser.rest()
  }

  send(xml: string): void {
    if (this.#detached) throw new Error("the stream was handed on: write to its channel")
    // A peer that asks without reading the answers must not fill our memory with them.
    if (this.#channel.backlog > unreadAnswers) return this.#finish(new ProtocolError("resource-constraint", "the peer does not read what it is sent"))
    this.#channel.write(encoder.encode(xml))
  }

  /** Gives the bare channel back for an upgrade; nothing may be unread. */
  release(): Channel {
    this.#channel.release()
    return this.#channel
  }

  /**
   * A fresh parser after TLS (on the secured channel) or after SASL success (unread bytes go to it: a pipelined header).
   * Everything learnt before is forgotten (CORE-18).
   */
  restart(channel?: Channel): void {
    const unread = channel === undefined ? this.#parser.rest() : undefined
    this.#parser = new XmlParser(this.#limits)
    this.#root = undefined
    this.#parserDry = true
    if (channel !== undefined) {
      this.#channel = channel
      this.#attach()
    } else if (unread !== undefined && unread.length > 0) {
      this.#parser.push(unread)
      this.#parserDry = false
    }
  }

  /** Limits after authentication are wider than before (XML-06). */
  raiseLimits(limits: Partial<XmlLimits>): void {
    this.#limits = limits
    this.#parser.limits = limits
  }

  /** Negotiation is over: the channel, released and paused, with what was not read. The stream cannot be used after. */
  detach(): Detached {
    const root = this.#root
    if (root === undefined) throw new Error("a stream without a header cannot be handed on")
    this.#detached = true
    this.#heed(undefined)
    const unread = Buffer.from(this.#parser.rest())
    const lang = root.attributes.find((attribute) => attribute.prefix === "xml" && attribute.name === "lang")?.value ?? ""
    this.#channel.release()
    return {
      channel: this.#channel,
      unread,
      scope: this.#parser.scope,
      rootName: this.#parser.rootName,
      lang,
    }
  }

  /**
   * Says the last words on a stream that is still being negotiated: the error when there is one, and the closing tag. The
   * connection is the caller's to end (closing.ts). Called again it does nothing.
   *
   * @param header of ours, where none went out: an error stands behind one. All is one write, for peers that stop reading
   * at the end of the connection before they have acted on what came before it
   */
  lastWords(condition?: StreamErrorCondition, tell?: string, header = ""): void {
    if (this.#closedByUs) return
    this.#closedByUs = true
    // Who waits for input all the same waits for the end of it.
    if (this.#waiter === undefined) this.#heed(undefined)
    const peerSaid = this.#over instanceof StreamClosed && this.#over.condition !== undefined
    // RFC 6120 4.9.1.1: a stream error of the peer's is answered by our closing tag and nothing else.
    if (peerSaid) this.#channel.write(encoder.encode("</stream:stream>"))
    else if (this.#over === undefined || this.#over instanceof ProtocolError) {
      this.#channel.write(encoder.encode(header + (condition === undefined ? "</stream:stream>" : streamErrorXml(condition, tell))))
    }
    this.#over ??= new StreamClosed("we closed the stream")
  }

  /** Last words, then the end of what we send; the peer's closing tag is not waited for. */
  close(condition?: StreamErrorCondition, tell?: string): void {
    this.lastWords(condition, tell)
    this.#channel.end()
    this.#channel.resume()
  }
}

function closedSentence(closed: ChannelClosed): string {
  const who = closed.by === "local" ? "we closed the connection" : "the connection was lost"
  return closed.detail === undefined ? who : `${who}: ${closed.detail}`
}

/** XML trouble in the stream layer's words. */
export function protocolErrorOf(error: unknown): unknown {
  return error instanceof XmlError ? new ProtocolError(error.condition, error.message, { cause: error }) : error
}
