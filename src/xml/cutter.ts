// Cuts the bytes of an open stream into stanzas without building trees; the unusual goes to the tree parser
// (RFC 6120 11, XML-01..06, CORE-24).
import { Buffer } from "node:buffer"

import { isSpaceByte, scanned, type StanzaKind, StanzaScanner } from "./cutter-scan.ts"
import { Utf8Gate } from "./cutter-utf8.ts"
import { contentNamespaces, type XmlElement } from "./element.ts"
import { XmlError } from "./errors.ts"
import { defaultLimits, type XmlEvent, type XmlLimits, XmlParser } from "./parser.ts"

export type { StanzaKind } from "./cutter-scan.ts"

/**
 * One stanza as it stands in a buffer. One object is reused for all: it, and the bytes, are valid only during the call that
 * passes it. The bytes are well-formed, unprefixed (but for `xml:`) and name no content namespace, so that a copy into a
 * stream with another default namespace is correct re-scoping. Offsets are indices into `bytes`, -1 where the attribute is
 * absent; an address is written without references or white space.
 */
export interface StanzaView {
  readonly raw: true
  readonly bytes: Buffer
  readonly start: number
  readonly end: number
  readonly kind: StanzaKind
  /** The domain part of `from`: behind the local part, before the resource. As written, not canonical. */
  readonly fromStart: number
  readonly fromEnd: number
  readonly toStart: number
  readonly toEnd: number
  /** The value of `type`. */
  readonly typeStart: number
  readonly typeEnd: number
  /** Whether the stanza itself has xml:lang. */
  readonly hasLang: boolean
  /** Bytes to insert at `insertAt` when the stanza is copied: the stream's xml:lang where the stanza has none. */
  readonly insert: Buffer | undefined
  readonly insertAt: number
}

type MutableView = { -readonly [K in keyof StanzaView]: StanzaView[K] }

export interface CutterHandler {
  stanza(view: StanzaView): void
  /** A first-level element that was read as a tree; `bytes` is its size from `<` to `>`. */
  tree(element: XmlElement, bytes: number): void
  /** The end tag of the stream; only white space may follow. */
  closeTag(): void
  /** The stream is dead: nothing is called any more. */
  failed(error: XmlError): void
}

export interface CutterOptions {
  /** Namespaces of the stream header, as `XmlParser.scope` gives them. */
  readonly scope: ReadonlyArray<readonly [prefix: string, ns: string]>
  /** The stream element's name as written, as `XmlParser.rootName` gives it. */
  readonly rootName: string
  readonly limits?: Partial<XmlLimits>
  /** What a stanza without xml:lang needs behind its name, when the streams differ in it. */
  readonly insert?: Buffer
  readonly handler: CutterHandler
}

const noBytes = Buffer.alloc(0)

/** What reading takes while it goes on. A stream between two stanzas has none: thousands of them are idle most of the time. */
interface Workplace {
  readonly scanner: StanzaScanner
  readonly view: MutableView
}

let spare: Workplace | undefined

function takeWorkplace(limits: XmlLimits): Workplace {
  const taken = spare ?? {
    scanner: new StanzaScanner(limits),
    view: {
      raw: true,
      bytes: noBytes,
      start: 0,
      end: 0,
      kind: "message",
      fromStart: -1,
      fromEnd: -1,
      toStart: -1,
      toEnd: -1,
      typeStart: -1,
      typeEnd: -1,
      hasLang: false,
      insert: undefined,
      insertAt: 0,
    },
  }
  spare = undefined
  taken.scanner.limits = limits
  return taken
}

type Scope = ReadonlyArray<readonly [prefix: string, ns: string]>

// Nearly all streams have the same limits and the same header: one copy of each serves them.
let lastLimits = defaultLimits
let lastScope: Scope = []

function sharedLimits(limits: XmlLimits): XmlLimits {
  const same = (Object.keys(limits) as (keyof XmlLimits)[]).every((key) => limits[key] === lastLimits[key])
  if (!same) lastLimits = limits
  return lastLimits
}

function sharedScope(scope: Scope): Scope {
  const same =
    scope.length === lastScope.length &&
    scope.every(([prefix, ns], index) => lastScope[index]![0] === prefix && lastScope[index]![1] === ns)
  if (!same) lastScope = scope
  return lastScope
}
/** What an idle stream may keep for the next unfinished stanza. */
const keptCarry = 1024
const firstStep = 512
const largestStep = 64 * 1024

/**
 * `push` calls the handler for everything the bytes complete, in order, and keeps a copy of the rest. Stanzas are found raw
 * only where the default namespace of the stream is a content namespace.
 */
export class Cutter {
  readonly #scope: ReadonlyArray<readonly [string, string]>
  readonly #rootName: string
  readonly #limits: XmlLimits
  readonly #handler: CutterHandler
  readonly #insert: Buffer | undefined
  readonly #gate = new Utf8Gate()
  /** Held while a stanza is half read. */
  #workplace: Workplace | undefined
  /** The stanza begun and not finished; always copied, so that no chunk is held. */
  #carry = noBytes
  #carried = 0
  /** Reads the unusual element at hand; dropped after it. */
  #parser: XmlParser | undefined
  /** Bytes of that element the parser was given by earlier calls. */
  #given = 0
  /** The tree parser reads all that is left: behind an encoding error, `</stream:stream>` or a header without content namespace. */
  #treeOnly = false
  #over = false

  constructor(options: CutterOptions) {
    this.#scope = sharedScope(options.scope)
    this.#rootName = options.rootName
    this.#limits = sharedLimits({ ...defaultLimits, ...options.limits })
    this.#handler = options.handler
    this.#insert = options.insert
    // CORE-11: a peer may have made the stream namespace the default one; then every stanza names its own.
    const inherited = options.scope.find(([prefix]) => prefix === "")?.[1]
    this.#treeOnly = inherited === undefined || !contentNamespaces.has(inherited)
  }

  /** Stopped, or dead of an error. */
  get over(): boolean {
    return this.#over
  }

  /** Nothing is unfinished. */
  get idle(): boolean {
    return this.#carried === 0 && this.#parser === undefined
  }

  /** No handler is called after this, not even for what the chunk at hand still holds. */
  stop(): void {
    this.#over = true
    this.#carry = noBytes
    this.#carried = 0
    this.#parser = undefined
    this.#workplace = undefined
  }

  /** @param chunk need not outlive the call */
  push(chunk: Buffer): void {
    if (this.#over || chunk.length === 0) return
    // XML-03. Where the encoding is broken the tree parser finds the very byte, after what stands before it.
    if (!this.#treeOnly && !this.#gate.passes(chunk)) this.#treeOnly = true
    const workplace = this.#workplace ?? takeWorkplace(this.#limits)
    this.#workplace = workplace
    let position = 0
    if (this.#parser !== undefined) position = this.#feedTree(chunk, 0)
    else if (this.#carried > 0) position = this.#treeOnly ? this.#carryToTree(chunk, 0, workplace) : this.#finishCarried(chunk, workplace)
    this.#run(chunk, position, workplace)
    if (this.#carried > 0) return
    this.#workplace = undefined
    // Whatever ended the reading, the next stream begins at the beginning.
    workplace.scanner.reset()
    spare = workplace
  }

  #run(chunk: Buffer, from: number, workplace: Workplace): void {
    const { scanner } = workplace
    const end = chunk.length
    let position = from
    while (position < end && !this.#over) {
      if (isSpaceByte(chunk[position]!)) {
        position += 1
        continue
      }
      const found = this.#treeOnly || chunk[position] !== 0x3c ? scanned.unusual : scanner.scan(chunk, position, end)
      if (found === scanned.stanza) {
        this.#emit(chunk, position, workplace)
        position += scanner.length
      } else if (found === scanned.more) {
        this.#keep(chunk, position)
        return
      } else {
        scanner.reset()
        this.#startTree()
        position = this.#feedTree(chunk, position)
      }
    }
  }

  /** Goes on with a stanza that an earlier chunk began; returns how much of this chunk was used. */
  #finishCarried(chunk: Buffer, workplace: Workplace): number {
    const { scanner } = workplace
    let position = 0
    let step = firstStep
    while (position < chunk.length) {
      const piece = Math.min(step, chunk.length - position)
      const before = this.#carried
      this.#append(chunk, position, position + piece)
      const found = scanner.scan(this.#carry, 0, this.#carried)
      if (found === scanned.more) {
        position += piece
        step = Math.min(step * 2, largestStep)
        continue
      }
      if (found === scanned.stanza) {
        this.#carried = 0
        const used = position + scanner.length - before
        this.#emit(this.#carry, 0, workplace)
        if (this.#carry.length > keptCarry) this.#carry = noBytes
        return used
      }
      this.#carried = before
      return this.#carryToTree(chunk, position, workplace)
    }
    return position
  }

  #emit(bytes: Buffer, base: number, { scanner, view }: Workplace): void {
    view.bytes = bytes
    view.start = base
    view.end = base + scanner.length
    view.kind = scanner.kind
    view.fromStart = scanner.fromStart < 0 ? -1 : base + scanner.fromStart
    view.fromEnd = scanner.fromEnd < 0 ? -1 : base + scanner.fromEnd
    view.toStart = scanner.toStart < 0 ? -1 : base + scanner.toStart
    view.toEnd = scanner.toEnd < 0 ? -1 : base + scanner.toEnd
    view.typeStart = scanner.typeStart < 0 ? -1 : base + scanner.typeStart
    view.typeEnd = scanner.typeEnd < 0 ? -1 : base + scanner.typeEnd
    view.hasLang = scanner.hasLang
    view.insert = scanner.hasLang ? undefined : this.#insert
    view.insertAt = base + 1 + scanner.kind.length
    this.#handler.stanza(view)
    // The chunk belongs to the caller again.
    view.bytes = noBytes
  }

  #keep(chunk: Buffer, from: number): void {
    this.#carried = 0
    this.#append(chunk, from, chunk.length)
  }

  #append(chunk: Buffer, from: number, to: number): void {
    const needed = this.#carried + to - from
    if (needed > this.#carry.length) {
      // Room doubles: linear under a drip of single bytes.
      const larger = Buffer.allocUnsafeSlow(Math.max(keptCarry, this.#carry.length * 2, needed))
      this.#carry.copy(larger, 0, 0, this.#carried)
      this.#carry = larger
    }
    chunk.copy(this.#carry, this.#carried, from, to)
    this.#carried = needed
  }

  #startTree(): void {
    this.#parser = XmlParser.continueFrom(this.#scope, this.#rootName, this.#limits)
    this.#given = 0
  }

  /** The unfinished stanza turns out to be unusual: the tree parser reads it from its first byte. */
  #carryToTree(chunk: Buffer, from: number, { scanner }: Workplace): number {
    const begun = Buffer.from(this.#carry.subarray(0, this.#carried))
    scanner.reset()
    this.#carried = 0
    if (this.#carry.length > keptCarry) this.#carry = noBytes
    this.#startTree()
    // Complete or wrong within what was carried it cannot be: the scanner would have said so before.
    this.#feedTree(begun, 0)
    return this.#over ? chunk.length : this.#feedTree(chunk, from)
  }

  /** Gives the chunk to the tree parser until its element is whole; returns the index behind that, or the chunk's length. */
  #feedTree(chunk: Buffer, from: number): number {
    let position = from
    let step = this.#given === 0 ? chunk.length : firstStep
    while (position < chunk.length) {
      const parser = this.#parser
      if (parser === undefined) return position
      const piece = chunk.subarray(position, Math.min(chunk.length, position + step))
      step = Math.min(step * 2, largestStep)
      const used = this.#parse(parser, piece)
      position += used
    }
    return position
  }

  /** How much of the piece the parser used before it was dropped again. */
  #parse(parser: XmlParser, piece: Buffer): number {
    parser.push(piece)
    for (;;) {
      const event = this.#next(parser)
      if (event === undefined) {
        this.#given += piece.length
        return piece.length
      }
      if (event.kind === "element") {
        const used = event.bytes - this.#given
        if (!this.#treeOnly) this.#parser = undefined
        this.#handler.tree(event.element, event.bytes)
        if (this.#over) return piece.length
        if (!this.#treeOnly) return used
      } else {
        // What follows the end of the stream must be white space; the parser that saw the end tag watches over it.
        this.#treeOnly = true
        this.#handler.closeTag()
        if (this.#over) return piece.length
      }
    }
  }

  #next(parser: XmlParser): XmlEvent | undefined {
    try {
      return parser.next()
    } catch (error) {
      if (!(error instanceof XmlError)) throw error
      this.stop()
      this.#handler.failed(error)
      return undefined
    }
  }
}
