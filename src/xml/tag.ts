// Start tags and the XML declaration, which share their grammar of attributes (XML 1.0 2.8, 3.1, 3.3.3; XML-03, XML-04).
import { ampersand, incomplete, less, nameClass, nameLead, nameStart, quote, space, valueClass, isSpace } from "./chars.ts"
import { decodeValue } from "./decode.ts"
import type { Input } from "./input.ts"
import { NameReader, type QualifiedName } from "./names.ts"
import type { ReferenceReader } from "./reference.ts"
import type { TagFault, TreeBuilder } from "./builder.ts"

const elementName = 0
const between = 1
const attributeName = 2
const beforeEquals = 3
const beforeQuote = 4
const value = 5
const valueReference = 6
const lastByte = 7

const declarationOrder = ["version", "encoding", "standalone"]

/** Reads one start tag or XML declaration, however it is cut into chunks, and hands its parts to the tree. */
export class TagReader {
  readonly #input: Input
  readonly #tree: TreeBuilder
  readonly #reference: ReferenceReader
  readonly #name: NameReader
  #state = elementName
  #declaration = false
  #empty = false
  #spaced = false
  /** The next pseudo-attribute the XML declaration may have. */
  #order = 0
  #attribute: QualifiedName | undefined
  #quote = 0
  /** First byte of the value, from the mark. */
  #start = 0
  #wide = false
  #coded = false
  /** Where the element's name stands, from the mark, and its bytes: end tags are compared with it. */
  nameStart = 0
  nameBytes = 0

  constructor(input: Input, tree: TreeBuilder, reference: ReferenceReader) {
    this.#input = input
    this.#tree = tree
    this.#reference = reference
    this.#name = new NameReader(input)
  }

  /** Whether the tag read is an empty-element tag. */
  get empty(): boolean {
    return this.#empty
  }

  /** @param at position of the first byte of the name */
  begin(at: number): void {
    this.#declaration = this.#empty = false
    this.#name.begin(at)
    this.#state = elementName
  }

  /** Continues behind `<?xml` and white space. */
  beginDeclaration(): void {
    this.#declaration = this.#spaced = true
    this.#order = 0
    this.#state = between
  }

  /** Reads on; true behind the `>`. */
  read(): boolean {
    const input = this.#input
    while (input.pos < input.stop) {
      const at = input.pos
      const byte = input.bytes[at] as number
      switch (this.#state) {
        case elementName:
          if (!this.#name.read()) return false
          this.nameStart = this.#name.start
          this.nameBytes = input.pos - input.mark - this.nameStart
          this.#tree.startTag(this.#name.take())
          this.#spaced = false
          this.#state = between
          break
        case between:
          if (byte === 0x20 || isSpace(byte)) {
            this.#spaced = true
            input.pos = at + 1
          } else if (this.#readEnd(byte, at)) return true
          break
        case attributeName:
          if (!this.#name.read()) return false
          this.#checkName(this.#name.take())
          this.#state = beforeEquals
          break
        case beforeEquals:
          if (byte === 0x3d) this.#state = beforeQuote
          else if (!isSpace(byte)) throw input.misplaced(at)
          input.pos = at + 1
          break
        case beforeQuote:
          if (byte === 0x22 || byte === 0x27) {
            this.#quote = byte
            this.#start = at + 1 - input.mark
            this.#wide = this.#coded = false
            this.#state = value
          } else if (!isSpace(byte)) throw input.misplaced(at)
          input.pos = at + 1
          break
        case value:
          if (!this.#readValue()) return false
          break
        case valueReference:
          if (!this.#reference.read()) return false
          this.#state = value
          break
        default:
          if (byte !== 0x3e) throw input.misplaced(at)
          input.pos = at + 1
          if (!this.#declaration) this.#endTag(at)
          return true
      }
    }
    return false
  }

  /** A byte between attributes that is not white space: true if it ends the tag. */
  #readEnd(byte: number, at: number): boolean {
    const input = this.#input
    if (byte === (this.#declaration ? 0x3f : 0x2f)) {
      if (this.#declaration && this.#order === 0) throw input.fault("not-well-formed", "an XML declaration without a version", at)
      this.#empty = true
      this.#state = lastByte
      input.pos = at + 1
      return false
    }
    if (byte === 0x3e && !this.#declaration) {
      input.pos = at + 1
      this.#endTag(at)
      return true
    }
    const kind = nameClass[byte]
    if (!this.#spaced || (kind !== nameStart && kind !== nameLead)) throw input.misplaced(at)
    this.#name.begin(at)
    this.#state = attributeName
    return false
  }

  #endTag(at: number): void {
    this.#refuse(this.#tree.endOfTag(), at)
  }

  #checkName(name: QualifiedName): void {
    const input = this.#input
    const at = input.pos
    this.#attribute = name
    if (this.#declaration) {
      const order = declarationOrder.indexOf(name.raw)
      // XML 1.0 2.8: version first, then encoding, then standalone, each once.
      if (order < this.#order || (this.#order === 0 && order > 0))
        throw input.fault("not-well-formed", "an XML declaration out of order", at)
      this.#order = order + 1
      return
    }
    const { attributes, declarations } = input.limits
    if (name.declares !== undefined && this.#tree.declarationCount >= declarations)
      throw input.exceeded("namespace declarations in a tag", declarations, at)
    if (name.declares === undefined && this.#tree.attributeCount >= attributes) throw input.exceeded("attributes in a tag", attributes, at)
    this.#refuse(this.#tree.attributeFault(name), at)
  }

  /** Reads a value up to its end or to a reference; false if it goes on behind the window. */
  #readValue(): boolean {
    const input = this.#input
    const { bytes, stop } = input
    let at = input.pos
    for (;;) {
      while (at < stop && valueClass[bytes[at] as number] === 0) at++
      input.pos = at
      if (at >= stop) return false
      const byte = bytes[at] as number
      switch (valueClass[byte]) {
        case quote:
          if (byte === this.#quote) {
            this.#endValue(at)
            input.pos = at + 1
            return true
          }
          at++
          break
        case ampersand:
          this.#coded = true
          this.#reference.begin(at)
          this.#state = valueReference
          return true
        case space:
          this.#coded = true
          at++
          break
        case less:
          throw input.misplaced(at)
        default: {
          const length = input.character(at)
          if (length === incomplete) return false
          this.#wide = true
          at += length
        }
      }
    }
  }

  #endValue(at: number): void {
    const { bytes, mark } = this.#input
    const start = mark + this.#start
    const decoded = this.#coded ? decodeValue(bytes, start, at) : bytes.toString(this.#wide ? "utf8" : "latin1", start, at)
    this.#spaced = false
    this.#state = between
    if (this.#declaration) this.#checkDeclaration(decoded, at)
    else this.#refuse(this.#tree.attribute(this.#attribute as QualifiedName, decoded), at)
  }

  #checkDeclaration(decoded: string, at: number): void {
    const input = this.#input
    if (this.#coded) throw input.fault("not-well-formed", "an XML declaration with something that is not plain text", at)
    if (this.#order === 1 && decoded !== "1.0") throw input.fault("not-well-formed", "an XML version other than 1.0", at)
    // XML-03 (RFC 6120 11.6): UTF-8 only; encoding names know no case (XML 1.0 4.3.3).
    if (this.#order === 2 && decoded.toLowerCase() !== "utf-8")
      throw input.fault("unsupported-encoding", "an encoding other than UTF-8", at)
    // XML-04: standalone must not be sent and says nothing here, so a correct one is ignored.
    if (this.#order === 3 && decoded !== "yes" && decoded !== "no")
      throw input.fault("not-well-formed", "a standalone that is neither yes nor no", at)
  }

  #refuse(fault: TagFault | undefined, at: number): void {
    if (fault !== undefined) throw this.#input.fault(fault.condition, fault.detail, at)
  }
}
