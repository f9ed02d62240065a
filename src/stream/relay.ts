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

/** Whether two stretches of bytes are the same. */
export function sameBytes(a: Uint8Array, aStart: number, aEnd: number, b: Uint8Array, bStart: number, bEnd: number): boolean {
  const length = aEnd - aStart
  if (length !== bEnd - bStart) return false
  for (let index = 0; index < length; index += 1) {
    if (a[aStart + index] !== b[bStart + index]) return false
  }
  return true
}

/** A pair of domains as written, one behind the other, and what was found out about it. */
interface Remembered<Entry> {
  readonly domains: Buffer
  readonly from: number
  entry: Entry
  /** Another pair with the same hash. */
  next: Remembered<Entry> | undefined
}

/**
 * From the domain bytes of a stanza, as written, to what the receiver found out about that pair. Everything is forgotten when
 * the epoch changes (the ledger, the configuration or the set of outlets changed) and when too many pairs are kept.
 */
export class RouteCache<Entry> {
  readonly #capacity: number
  /** Most stanzas come in runs for one pair, and most streams carry one pair only. */
  #last: Remembered<Entry> | undefined
  /** By hash; made for the second pair. */
  #others: Map<number, Remembered<Entry>> | undefined
  #kept = 0
  #epoch = -1

  /** @param capacity pairs kept at most */
  constructor(capacity = 20_000) {
    this.#capacity = capacity
  }

  /** What `keep` was given for these two domains in the same epoch; undefined also when an address is missing. */
  find(view: StanzaView, epoch: number): Entry | undefined {
    if (epoch !== this.#epoch) this.#forget(epoch)
    const last = this.#last
    if (last === undefined) return undefined
    if (isOf(last, view)) return last.entry
    const others = this.#others
    if (others === undefined || view.fromStart < 0 || view.toStart < 0) return undefined
    for (let found = others.get(hashOf(view)); found !== undefined; found = found.next) {
      if (!isOf(found, view)) continue
      this.#last = found
      return found.entry
    }
    return undefined
  }

  keep(view: StanzaView, epoch: number, entry: Entry): void {
    if (epoch !== this.#epoch) this.#forget(epoch)
    const { bytes, fromStart, fromEnd, toStart, toEnd } = view
    if (fromStart < 0 || toStart < 0) return
    const from = fromEnd - fromStart
    const domains = Buffer.allocUnsafeSlow(from + toEnd - toStart)
    bytes.copy(domains, 0, fromStart, fromEnd)
    bytes.copy(domains, from, toStart, toEnd)
    const before = this.#last
    this.#last = { domains, from, entry, next: undefined }
    if (before === undefined) return
    if (this.#others === undefined) {
      this.#others = new Map()
      this.#enter(hashBytes(before.domains, before.from, hashBytes(before.domains, 0, seed, before.from), before.domains.length), before)
    } else if (this.#kept >= this.#capacity) {
      this.#others.clear()
      this.#kept = 0
    }
    this.#enter(hashOf(view), this.#last)
  }

  #enter(hash: number, remembered: Remembered<Entry>): void {
    const others = this.#others!
    const first = others.get(hash)
    let chained = 0
    for (let known = first; known !== undefined; known = known.next) {
      chained += 1
      if (known.from !== remembered.from || !known.domains.equals(remembered.domains)) continue
      known.entry = remembered.entry
      return
    }
    // Somebody makes names that collide: they are found out anew each time, and cost nobody a long chain.
    remembered.next = chained < longestChain ? first : undefined
    others.set(hash, remembered)
    this.#kept += 1
  }

  #forget(epoch: number): void {
    this.#others = undefined
    this.#kept = 0
    this.#last = undefined
    this.#epoch = epoch
  }
}

function isOf({ domains, from }: Remembered<unknown>, { bytes, fromStart, fromEnd, toStart, toEnd }: StanzaView): boolean {
  return (
    fromEnd - fromStart === from &&
    sameBytes(bytes, toStart, toEnd, domains, from, domains.length) &&
    sameBytes(bytes, fromStart, fromEnd, domains, 0, from) &&
    fromStart >= 0 &&
    toStart >= 0
  )
}

const seed = 0x1c9dc5
/** Pairs of one hash that are kept. */
const longestChain = 8

/** FNV-1a, kept to 30 bits so that it stays a small integer. */
function hashBytes(bytes: Buffer, start: number, hash: number, end: number): number {
  for (let index = start; index < end; index += 1) hash = Math.imul(hash ^ bytes[index]!, 0x01000193)
  return hash & 0x3fffffff
}

function hashOf({ bytes, fromStart, fromEnd, toStart, toEnd }: StanzaView): number {
  return hashBytes(bytes, toStart, hashBytes(bytes, fromStart, seed, fromEnd), toEnd)
}
