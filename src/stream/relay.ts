// The push relay: what an established stream receives, stanza by stanza, without waiting for anybody (design 6; RFC 6120 4.7.4, 8.1.5, CORE-24).
import { Buffer } from "node:buffer"

import { Cutter, type StanzaView } from "../xml/cutter.ts"
import { attr, type XmlElement, xmlNamespace } from "../xml/element.ts"
import type { XmlError } from "../xml/errors.ts"
import type { XmlLimits } from "../xml/parser.ts"

export type { StanzaKind, StanzaView } from "../xml/cutter.ts"

/** The xml:lang of every stream header we send. */
export const ourLanguage = "en"

/** Called in the order of the stream. None of them may await: what takes time happens elsewhere. */
export interface RelayHandler {
  /** An ordinary stanza as bytes; the view and its bytes are valid only during the call. */
  stanza(view: StanzaView): void
  /** Every other first-level element, and stanzas whose form or payload needs a tree. The receiver tells them apart. */
  tree(element: XmlElement): void
  /** `</stream:stream>` (RFC 6120 4.4). */
  closeTag(): void
  /** What arrived is not allowed on a stream; nothing but `flushed` follows. */
  failed(error: XmlError): void
  /** Last call for each input chunk: hand on what the chunk filled. */
  flushed(): void
}

export interface RelayOptions {
  /** The content namespace of the stream (RFC 6120 4.8.2). */
  readonly contentNs: string
  /** As `XmlParser.scope` and `rootName` of the parser that read the stream header. */
  readonly scope: ReadonlyArray<readonly [prefix: string, ns: string]>
  readonly rootName: string
  readonly limits?: Partial<XmlLimits>
  /** Bytes that arrived behind the last event of the negotiation; read by `start`. */
  readonly unread: Buffer
  /** xml:lang of the header the peer sent. */
  readonly xmlLang?: string
  readonly handler: RelayHandler
}

/** RFC 5646 2.1: letters, digits and hyphens. Anything else is not copied into foreign stanzas. */
const languageTag = /^[A-Za-z0-9]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}$/
const stanzaNames: ReadonlySet<string> = new Set(["message", "presence", "iq"])

export class Relay {
  readonly #handler: RelayHandler
  readonly #contentNs: string
  readonly #language: string | undefined
  readonly #cutter: Cutter
  #unread: Buffer | undefined
  #over = false

  constructor(options: RelayOptions) {
    this.#handler = options.handler
    this.#contentNs = options.contentNs
    this.#unread = options.unread
    // RFC 6120 8.1.5: a stanza without xml:lang has that of its stream, which ends where the stanza leaves the stream.
    const language = options.xmlLang
    this.#language = language !== undefined && language !== ourLanguage && languageTag.test(language) ? language : undefined
    this.#cutter = new Cutter({
      scope: options.scope,
      rootName: options.rootName,
      limits: options.limits ?? {},
      ...(this.#language === undefined ? {} : { insert: Buffer.from(` xml:lang='${this.#language}'`) }),
      handler: {
        stanza: (view) => this.#handler.stanza(view),
        element: (element) => this.#handler.tree(this.#withLanguage(element)),
        close: () => this.#handler.closeTag(),
        failed: (error) => {
          this.#over = true
          this.#handler.failed(error)
        },
      },
    })
  }

  /** Neither a stanza nor another element is half read. */
  get idle(): boolean {
    return this.#cutter.idle
  }

  /** Reads what the negotiation left over. The first `chunk` does so, too. */
  start(): void {
    const unread = this.#unread
    this.#unread = undefined
    if (unread !== undefined && unread.length > 0) this.chunk(unread)
  }

  /** @param bytes one chunk from the channel; need not outlive the call */
  chunk(bytes: Buffer): void {
    if (this.#unread !== undefined) this.start()
    if (this.#over) return
    try {
      this.#cutter.push(bytes)
    } finally {
      this.#handler.flushed()
    }
  }

  /** Nothing more is passed on, not even the rest of the chunk being read; its `flushed` is still called. */
  stop(): void {
    this.#over = true
    this.#unread = undefined
    this.#cutter.stop()
  }

  #withLanguage(element: XmlElement): XmlElement {
    if (this.#language === undefined || element.ns !== this.#contentNs || !stanzaNames.has(element.name)) return element
    if (attr(element, "lang", xmlNamespace) !== undefined) return element
    const language = { prefix: "xml", ns: xmlNamespace, name: "lang", value: this.#language }
    return { ...element, attributes: [...element.attributes, language] }
  }
}

/** Whether two stretches of bytes are the same. */
export function sameBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
  const length = aEnd - aStart
  if (length !== bEnd - bStart) return false
  for (let index = 0; index < length; index += 1) {
    if (a[aStart + index] !== b[bStart + index]) return false
  }
  return true
}

/** Longer pairs of domains as written are looked up without being remembered as the last ones. */
const longestRemembered = 512

/**
 * From the domain bytes of a stanza, as written, to what the receiver found out about that pair. Everything is forgotten when
 * the epoch changes (the ledger, the configuration or the set of outlets changed) and when too many pairs are kept.
 */
export class RouteCache<Entry> {
  readonly #entries = new Map<string, Entry>()
  readonly #capacity: number
  readonly #last = Buffer.alloc(longestRemembered)
  #lastFrom = -1
  #lastTo = -1
  #lastEntry: Entry | undefined
  #epoch = -1

  /** @param capacity pairs kept at most */
  constructor(capacity = 4096) {
    this.#capacity = capacity
  }

  /** What `keep` was given for these two domains in the same epoch; undefined also when an address is missing. */
  find(view: StanzaView, epoch: number): Entry | undefined {
    if (epoch !== this.#epoch) this.#forget(epoch)
    const { bytes, fromStart, fromEnd, toStart, toEnd } = view
    // Most stanzas come in runs for one pair.
    const from = this.#lastFrom
    if (
      fromEnd - fromStart === from &&
      sameBytes(bytes, fromStart, fromEnd, this.#last, 0, from) &&
      sameBytes(bytes, toStart, toEnd, this.#last, from, from + this.#lastTo)
    ) {
      return this.#lastEntry
    }
    if (fromStart < 0 || toStart < 0) return undefined
    const entry = this.#entries.get(keyOf(view))
    if (entry !== undefined) this.#remember(view, entry)
    return entry
  }

  keep(view: StanzaView, epoch: number, entry: Entry): void {
    if (epoch !== this.#epoch) this.#forget(epoch)
    if (view.fromStart < 0 || view.toStart < 0) return
    if (this.#entries.size >= this.#capacity) this.#forget(epoch)
    this.#entries.set(keyOf(view), entry)
    this.#remember(view, entry)
  }

  #remember(view: StanzaView, entry: Entry): void {
    const { bytes, fromStart, fromEnd, toStart, toEnd } = view
    const from = fromEnd - fromStart
    const to = toEnd - toStart
    this.#lastFrom = -1
    if (from + to > longestRemembered || from === 0) return
    bytes.copy(this.#last, 0, fromStart, fromEnd)
    bytes.copy(this.#last, from, toStart, toEnd)
    this.#lastFrom = from
    this.#lastTo = to
    this.#lastEntry = entry
  }

  #forget(epoch: number): void {
    this.#entries.clear()
    this.#lastFrom = -1
    this.#lastEntry = undefined
    this.#epoch = epoch
  }
}

/** Latin-1 keeps bytes apart whatever they are, and no address holds a line feed. */
function keyOf(view: StanzaView): string {
  return `${view.bytes.toString("latin1", view.fromStart, view.fromEnd)}\n${view.bytes.toString("latin1", view.toStart, view.toEnd)}`
}
