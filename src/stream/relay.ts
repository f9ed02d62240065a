// The push relay: what an established stream receives, stanza by stanza, without waiting for anybody (RFC 6120 4.7.4, 8.1.5, CORE-24).
import { Buffer } from "node:buffer"

import { Cutter, type CutterHandler, type StanzaView } from "../xml/cutter.ts"
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
  readonly #cutter: Cutter
  #unread: Buffer | undefined

  constructor(options: RelayOptions) {
    const { handler, contentNs, xmlLang } = options
    this.#handler = handler
    this.#unread = options.unread
    // RFC 6120 8.1.5: a stanza without xml:lang has that of its stream, which ends where the stanza leaves the stream.
    const language = xmlLang !== undefined && xmlLang !== ourLanguage && languageTag.test(xmlLang) ? xmlLang : undefined
    const common = { scope: options.scope, rootName: options.rootName, limits: options.limits ?? {} }
    this.#cutter = new Cutter(
      language === undefined
        ? { ...common, handler }
        : { ...common, insert: Buffer.from(` xml:lang='${language}'`), handler: translated(handler, contentNs, language) },
    )
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
    if (this.#cutter.over) return
    try {
      this.#cutter.push(bytes)
    } finally {
      this.#handler.flushed()
    }
  }

  /** Nothing more is passed on, not even the rest of the chunk being read; its `flushed` is still called. */
  stop(): void {
    this.#unread = undefined
    this.#cutter.stop()
  }
}

/** The same handler, but that a stanza without xml:lang, read as a tree, gets that of its stream. */
function translated(handler: RelayHandler, contentNs: string, language: string): CutterHandler {
  const lang = { prefix: "xml", ns: xmlNamespace, name: "lang", value: language }
  return {
    stanza: (view) => handler.stanza(view),
    tree(element) {
      const without = element.ns === contentNs && stanzaNames.has(element.name) && attr(element, "lang", xmlNamespace) === undefined
      handler.tree(without ? { ...element, attributes: [...element.attributes, lang] } : element)
    },
    closeTag: () => handler.closeTag(),
    failed: (error) => handler.failed(error),
  }
}
