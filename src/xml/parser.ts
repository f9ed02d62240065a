// The incremental, restricted XML parser of a stream: bytes in; stream header, first-level elements and stream end out
// (RFC 6120 11; XML-01..06, CORE-12, CORE-20).
import { Buffer } from "node:buffer"

import { TreeBuilder } from "./builder.ts"
import { badByte, illegal, isSpace, nameClass, nameLead, nameStart, textClass } from "./chars.ts"
import { ContentReader } from "./content.ts"
import type { XmlElement } from "./element.ts"
import { XmlError } from "./errors.ts"
import { Input } from "./input.ts"
import { defaultLimits, withLimits, type XmlLimits } from "./limits.ts"
import { ReferenceReader } from "./reference.ts"
import { TagReader } from "./tag.ts"

export { defaultLimits, unauthenticatedLimits, type XmlLimits } from "./limits.ts"

export type XmlEvent =
  /** The stream header. The stream stays open, and the element never gets children. */
  | { readonly kind: "open"; readonly root: XmlElement }
  /** A complete first-level element, and its size from `<` to `>`. */
  | { readonly kind: "element"; readonly element: XmlElement; readonly bytes: number }
  /** The end of the stream. */
  | { readonly kind: "close" }

const prolog = 0
const opened = 1
const closed = 2

// What the next byte belongs to.
const outside = 0
const content = 1
const afterLess = 2
const startTag = 3
const endTag = 4
const afterBang = 5
const afterQuestion = 6
const declaration = 7

const cdataStart = Buffer.from("[CDATA[")
const declarationTarget = Buffer.from("xml")
// White space between first-level elements says nothing; a stream it keeps alive for years must not grow.
const keptWhiteSpace = 4096

/**
 * Parses one stream. Bytes go in by `push`; `next` parses as far as the next event and no further, so that what a peer sent behind it stays visible
 * in `rest`. A fault is thrown at the byte that decides it, and again by every later call. After a stream restart comes a new parser.
 */
export class XmlParser {
  readonly #input: Input
  readonly #tree = new TreeBuilder()
  readonly #content: ContentReader
  readonly #tag: TagReader
  #failure: XmlError | undefined
  #phase = prolog
  #state = outside
  #event: XmlEvent | undefined
  #header: XmlElement | undefined
  #headerName: Buffer = Buffer.alloc(0)
  #closeNext = false
  /** Only a parser of a new stream may meet an XML declaration. */
  #fresh = true
  /** `<` of the tag being read, from the mark; how much of an end tag's name has been compared. */
  #less = 0
  #compared = 0
  #nodes = 0
  // Where the names of the open elements stand, from the mark: end tags are compared with them byte by byte.
  readonly #nameStarts: number[] = []
  readonly #nameLengths: number[] = []

  /** @param limits changes to `defaultLimits` */
  constructor(limits: Partial<XmlLimits> = {}) {
    this.#input = new Input(withLimits(defaultLimits, limits))
    const reference = new ReferenceReader(this.#input)
    this.#content = new ContentReader(this.#input, reference)
    this.#tag = new TagReader(this.#input, this.#tree, reference)
  }

  /**
   * A parser that starts inside an open stream.
   * @param scope namespaces declared on the stream header, as `scope` of the parser that read it gives them
   * @param rootName qualified name of the stream element as it was written, as `rootName` gives it
   */
  static continueFrom(
    scope: ReadonlyArray<readonly [prefix: string, ns: string]>,
    rootName: string,
    limits: Partial<XmlLimits> = {},
  ): XmlParser {
    const parser = new XmlParser(limits)
    for (const [prefix, ns] of scope) parser.#tree.scope.declare(prefix, ns)
    parser.#headerName = Buffer.from(rootName)
    parser.#phase = opened
    parser.#fresh = false
    return parser
  }

  get limits(): XmlLimits {
    return this.#input.limits
  }

  /** Changes limits, for instance after authentication; they hold from the next byte on. */
  set limits(changes: Partial<XmlLimits>) {
    this.#input.limits = withLimits(this.#input.limits, changes)
  }

  /** Namespaces declared on the stream header, the prefix '' being the default namespace. */
  get scope(): readonly (readonly [prefix: string, ns: string])[] {
    return this.#header === undefined ? this.#tree.scope.entries() : this.#header.declarations
  }

  /** Qualified name of the stream element as it was written; '' before the header. */
  get rootName(): string {
    return this.#headerName.toString()
  }

  /** Nothing is unfinished and no byte waits to be parsed. */
  get idle(): boolean {
    return this.#state === outside && !this.#closeNext && this.#input.pos === this.#input.end
  }

  /** Adds bytes. The chunk is read in place until `next` answers undefined: do not overwrite it before. After a fault bytes are dropped. */
  push(chunk: Uint8Array): void {
    if (this.#failure === undefined) this.#input.push(chunk)
  }

  /** A copy of all bytes after the last event; of white space already passed over, at least the last 4,096. */
  rest(): Buffer {
    return this.#input.rest()
  }

  /**
   * Parses to the end of the next event.
   * @returns undefined if that needs more bytes
   * @throws XmlError at the first byte that decides; the parser is dead then
   */
  next(): XmlEvent | undefined {
    if (this.#failure !== undefined) throw this.#failure
    try {
      return this.#advance()
    } catch (fault) {
      if (fault instanceof XmlError) this.#failure = fault
      throw fault
    }
  }

  #advance(): XmlEvent | undefined {
    if (this.#closeNext) {
      this.#closeNext = false
      return { kind: "close" }
    }
    const input = this.#input
    input.measure()
    while (this.#step()) {
      const event = this.#event
      if (event === undefined) continue
      this.#event = undefined
      input.mark = input.pos
      return event
    }
    if (this.#state === outside) {
      if (input.pos - input.mark > keptWhiteSpace * 2) input.mark = input.pos - keptWhiteSpace
    } else if (input.end - input.mark - input.start >= input.limits.stanzaBytes) {
      // XML-06: so many bytes have come and the element is not complete. All of them were checked before, so the cut into chunks changes nothing.
      throw input.exceeded("bytes in an element", input.limits.stanzaBytes, input.mark + input.start + input.limits.stanzaBytes - 1)
    }
    input.settle()
    return undefined
  }

  /** Reads a token or part of it; false if that needs more bytes. */
  #step(): boolean {
    switch (this.#state) {
      case content:
        return this.#readContent()
      case afterLess:
        return this.#readLess()
      case startTag:
        return this.#readStartTag()
      case endTag:
        return this.#readEndTag()
      case outside:
        return this.#readOutside()
      case afterBang:
        return this.#readBang()
      case afterQuestion:
        return this.#readQuestion()
      default:
        if (!this.#tag.read()) return false
        this.#state = outside
        return true
    }
  }

  #readOutside(): boolean {
    const input = this.#input
    const { bytes, end } = input
    let at = input.pos
    // XML-05 (RFC 6120 11.7): white space between first-level elements is allowed.
    while (at < end && isSpace(bytes[at] as number)) at++
    input.pos = at
    if (at >= end) return false
    if (this.#phase === closed) throw input.fault("not-well-formed", "something follows the end of the stream", at)
    if (bytes[at] !== 0x3c) throw this.#stray(at)
    input.start = this.#less = at - input.mark
    input.pos = at + 1
    input.measure()
    this.#nodes = 0
    this.#state = afterLess
    return true
  }

  /** Text where only elements may stand. */
  #stray(at: number): XmlError {
    const kind = textClass[this.#input.bytes[at] as number]
    if (kind === illegal || kind === badByte) return this.#input.misplaced(at)
    // A byte order mark is such text (XML-03: U+FEFF is a character like any other).
    return this.#phase === prolog
      ? this.#input.fault("not-well-formed", "text before the stream header", at)
      : this.#input.fault("bad-format", "text between first-level elements", at)
  }

  #readLess(): boolean {
    const input = this.#input
    const at = input.pos
    if (at >= input.stop) return false
    const byte = input.bytes[at] as number
    const kind = nameClass[byte]
    if (kind === nameStart || kind === nameLead) {
      this.#endText()
      if (this.#phase === opened) {
        const { depth } = input.limits
        if (this.#tree.depth >= depth) throw input.exceeded("levels of nesting", depth, at)
        this.#countNode(at)
      }
      this.#tag.begin(at)
      this.#state = startTag
      return true
    }
    if (byte === 0x2f) {
      if (this.#phase === prolog) throw input.fault("not-well-formed", "an end tag without its start tag", at)
      this.#endText()
      this.#compared = 0
      this.#state = endTag
    } else if (byte === 0x21) this.#state = afterBang
    else if (byte === 0x3f) {
      // XML-01: no processing instructions. XML-04: the XML declaration stands at the very start of a stream only.
      if (!this.#fresh || input.origin + at !== 1) throw input.fault("restricted-xml", "a processing instruction", at)
      this.#state = afterQuestion
    } else throw input.misplaced(at)
    input.pos = at + 1
    return true
  }

  #readBang(): boolean {
    const input = this.#input
    const first = input.mark + this.#less + 2
    for (let at = input.pos; at < input.stop; at++) {
      const byte = input.bytes[at] as number
      if (at === first) {
        // XML-01 (RFC 6120 11.1): comments and document type declarations are refused where they start.
        if (byte === 0x2d) throw input.fault("restricted-xml", "a comment", at)
        if (nameClass[byte] === nameStart) throw input.fault("restricted-xml", "a document type declaration", at)
        if (byte === 0x5b && this.#tree.depth === 0) throw this.#stray(at)
      }
      if (byte !== cdataStart[at - first]) throw input.misplaced(at)
      input.pos = at + 1
      if (at - first < cdataStart.length - 1) continue
      if (!this.#content.started) this.#startText(input.mark + this.#less)
      this.#content.enterCdata()
      this.#state = content
      return true
    }
    return false
  }

  #readQuestion(): boolean {
    const input = this.#input
    const first = input.mark + this.#less + 2
    for (let at = input.pos; at < input.stop; at++) {
      const byte = input.bytes[at] as number
      const index = at - first
      const wanted = index < declarationTarget.length ? byte === declarationTarget[index] : isSpace(byte)
      if (!wanted) throw input.fault("restricted-xml", "a processing instruction", at)
      input.pos = at + 1
      if (index < declarationTarget.length) continue
      this.#tag.beginDeclaration()
      this.#state = declaration
      return true
    }
    return false
  }

  #readContent(): boolean {
    const input = this.#input
    if (!this.#content.started && input.pos < input.stop && input.bytes[input.pos] !== 0x3c) this.#startText(input.pos)
    if (!this.#content.read()) return false
    this.#less = input.pos - input.mark
    input.pos++
    this.#state = afterLess
    return true
  }

  #startText(at: number): void {
    this.#countNode(at)
    this.#content.begin(at)
  }

  #endText(): void {
    if (this.#content.started) this.#tree.text(this.#content.take(this.#input.mark + this.#less))
  }

  #countNode(at: number): void {
    const { nodes } = this.#input.limits
    if (++this.#nodes > nodes) throw this.#input.exceeded("elements and texts in an element", nodes, at)
  }

  #readStartTag(): boolean {
    const tag = this.#tag
    if (!tag.read()) return false
    if (this.#phase === prolog) this.#openStream()
    else if (tag.empty) this.#closeElement()
    else {
      const depth = this.#tree.depth - 1
      this.#nameStarts[depth] = tag.nameStart
      this.#nameLengths[depth] = tag.nameBytes
      this.#state = content
    }
    return true
  }

  #openStream(): void {
    const input = this.#input
    const root = this.#tree.takeHeader()
    const at = input.mark + this.#tag.nameStart
    this.#headerName = Buffer.from(input.bytes.subarray(at, at + this.#tag.nameBytes))
    this.#header = root
    this.#closeNext = this.#tag.empty
    this.#phase = this.#closeNext ? closed : opened
    this.#state = outside
    this.#event = { kind: "open", root }
  }

  #readEndTag(): boolean {
    const input = this.#input
    const { bytes, stop } = input
    const depth = this.#tree.depth - 1
    const name = depth < 0 ? this.#headerName : bytes
    const from = depth < 0 ? 0 : input.mark + (this.#nameStarts[depth] as number)
    const length = depth < 0 ? name.length : (this.#nameLengths[depth] as number)
    let compared = this.#compared
    let at = input.pos
    for (; at < stop && compared < length; at++, compared++) if (bytes[at] !== name[from + compared]) throw input.misplaced(at)
    this.#compared = compared
    if (compared === length) while (at < stop && isSpace(bytes[at] as number)) at++
    input.pos = at
    if (at >= stop) return false
    if (bytes[at] !== 0x3e) throw input.misplaced(at)
    input.pos = at + 1
    if (depth >= 0) this.#closeElement()
    else {
      this.#phase = closed
      this.#state = outside
      this.#event = { kind: "close" }
    }
    return true
  }

  #closeElement(): void {
    const element = this.#tree.close()
    if (element === undefined) this.#state = content
    else {
      this.#state = outside
      this.#event = { kind: "element", element, bytes: this.#input.pos - this.#input.mark - this.#input.start }
    }
  }
}
