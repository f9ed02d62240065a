// Strict DER reader (X.690 sections 8-11): definite minimal lengths only, nothing left over,
// every read bounded by its parent. It never recurses by itself: depth is the depth of the code that calls it.

import { Buffer } from "node:buffer"
import { CertificateError } from "./errors.ts"

export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  nullValue: 0x05,
  objectIdentifier: 0x06,
  utf8String: 0x0c,
  printableString: 0x13,
  teletexString: 0x14,
  ia5String: 0x16,
  utcTime: 0x17,
  generalizedTime: 0x18,
  universalString: 0x1c,
  bmpString: 0x1e,
  sequence: 0x30,
  set: 0x31,
} as const

/** The identifier octet of a context-specific tag. */
export const contextTag = (number: number, constructed: boolean): number => (constructed ? 0xa0 : 0x80) | number

function broken(detail: string): CertificateError {
  return new CertificateError("der", detail)
}

/** One element: its identifier octet, its contents, and the whole encoding; both are views, not copies. */
export interface DerElement {
  readonly tag: number
  readonly contents: Buffer
  readonly whole: Buffer
}

/** Most elements are only passed on the way to others: a view is made when it is asked for. */
class ReadElement implements DerElement {
  readonly tag: number
  readonly #bytes: Buffer
  readonly #start: number
  readonly #at: number
  readonly #end: number

  constructor(tag: number, bytes: Buffer, start: number, at: number, end: number) {
    this.tag = tag
    this.#bytes = bytes
    this.#start = start
    this.#at = at
    this.#end = end
  }

  get contents(): Buffer {
    return this.#bytes.subarray(this.#at, this.#end)
  }

  get whole(): Buffer {
    return this.#bytes.subarray(this.#start, this.#end)
  }

  get reader(): DerReader {
    return new DerReader(this.#bytes, this.#at, this.#end)
  }
}

/** Reads elements one after another from a view. */
export class DerReader {
  readonly #bytes: Buffer
  readonly #end: number
  #at: number

  /** @param from of the octets that are read, the first, and `to` the one behind the last */
  constructor(bytes: Uint8Array, from = 0, to = bytes.length) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = from
    this.#end = to
  }

  get done(): boolean {
    return this.#at >= this.#end
  }

  /** The identifier octet of the next element, or -1 at the end. */
  get next(): number {
    return this.#at < this.#end ? this.#bytes[this.#at]! : -1
  }

  /** The next element, whatever its tag. */
  any(): DerElement {
    return this.#element()
  }

  #element(): ReadElement {
    const bytes = this.#bytes
    const start = this.#at
    const bound = this.#end
    if (start + 2 > bound) throw broken("ends inside an element")
    const tag = bytes[start]!
    const first = bytes[start + 1]!
    // Certificates use no tag above 30, so the multi-octet form is never right here.
    if ((tag & 0x1f) === 0x1f) throw broken("a tag number above 30")
    let at = start + 2
    let length = first
    if (first >= 0x80) {
      const count = first & 0x7f
      // X.690 10.1: the definite form, in the fewest octets.
      if (count === 0) throw broken("an indefinite length")
      if (count > 3) throw broken("a length of more than three octets")
      if (at + count > bound) throw broken("ends inside a length")
      length = bytes.readUIntBE(at, count)
      at += count
      if (length < 0x80 || length < 2 ** (8 * (count - 1))) throw broken("a length that is not minimal")
    }
    const end = at + length
    if (end > bound) throw broken("an element longer than what holds it")
    this.#at = end
    return new ReadElement(tag, bytes, start, at, end)
  }

  /** The next element, which must have this tag. `what` names it in the error. */
  expect(tag: number, what: string): DerElement {
    return this.#expected(tag, what)
  }

  #expected(tag: number, what: string): ReadElement {
    if (this.next !== tag)
      throw broken(`${what}: expected tag 0x${tag.toString(16)}, found ${this.next < 0 ? "the end" : `0x${this.next.toString(16)}`}`)
    return this.#element()
  }

  /** The next element if it has this tag. */
  optional(tag: number): DerElement | undefined {
    return this.next === tag ? this.any() : undefined
  }

  /** A reader of the contents of the next element, which must have this tag. */
  inside(tag: number, what: string): DerReader {
    return this.#expected(tag, what).reader
  }

  /** Nothing may be left. */
  end(what: string): void {
    if (!this.done) throw broken(`${what}: octets left over`)
  }
}

/** The one element that a value must consist of. */
export function only(bytes: Uint8Array, tag: number, what: string): DerElement {
  const reader = new DerReader(bytes)
  const element = reader.expect(tag, what)
  reader.end(what)
  return element
}

/** BOOLEAN: DER knows 00 and FF only (X.690 11.1). */
export function readBoolean(element: DerElement, what: string): boolean {
  const value = element.contents[0]
  if (element.contents.length !== 1 || (value !== 0x00 && value !== 0xff)) throw broken(`${what}: a BOOLEAN that is neither 00 nor FF`)
  return value === 0xff
}

/** The octets of an INTEGER after checking that they are the fewest (X.690 8.3.2). */
export function readInteger(element: DerElement, what: string): Buffer {
  const { contents } = element
  const [first, second] = contents
  if (first === undefined) throw broken(`${what}: an empty INTEGER`)
  if (second !== undefined && ((first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80)))
    throw broken(`${what}: an INTEGER that is not minimal`)
  return contents
}

/** A small, not negative INTEGER; larger ones are capped at 2^31 - 1, which means "no limit" to every reader of ours. */
export function readCount(element: DerElement, what: string): number {
  const contents = readInteger(element, what)
  if (contents[0]! >= 0x80) throw broken(`${what}: a negative INTEGER`)
  return contents.length > 4 ? 0x7fffffff : contents.readUIntBE(0, contents.length)
}

/** The dotted form of an OBJECT IDENTIFIER. */
export function readObjectIdentifier(element: DerElement, what: string): string {
  const { contents } = element
  if (contents.length === 0 || contents.length > 64) throw broken(`${what}: an OBJECT IDENTIFIER of ${contents.length} octets`)
  let dotted = ""
  let arc = 0
  let open = false
  for (let at = 0; at < contents.length; at++) {
    const octet = contents[at]!
    if (!open && octet === 0x80) throw broken(`${what}: an OBJECT IDENTIFIER that is not minimal`)
    arc = arc * 128 + (octet & 0x7f)
    // Beyond 2^53 two arcs would share one number (2.25 UUID arcs are the only users; none is ours).
    if (arc > Number.MAX_SAFE_INTEGER / 128) throw broken(`${what}: an OBJECT IDENTIFIER with an arc too large`)
    open = octet >= 0x80
    if (open) continue
    // X.690 8.19.4: the first two arcs share a number.
    const root = Math.min(2, Math.floor(arc / 40))
    dotted = dotted === "" ? `${root}.${arc - root * 40}` : `${dotted}.${arc}`
    arc = 0
  }
  if (open) throw broken(`${what}: an OBJECT IDENTIFIER that ends inside an arc`)
  return dotted
}

/** A BIT STRING of whole octets. */
export function readBitOctets(element: DerElement, what: string): Buffer {
  if (element.contents[0] !== 0) throw broken(`${what}: a BIT STRING that is not of whole octets`)
  return element.contents.subarray(1)
}

/** A named bit list as the set of its bits, at most 16; `minimal`: without trailing zero bits, as DER has it (X.690 11.2.2). */
export function readNamedBits(element: DerElement, what: string): { bits: ReadonlySet<number>; minimal: boolean } {
  const [unused, ...octets] = element.contents
  if (unused === undefined || unused > 7 || octets.length > 2 || (octets.length === 0 && unused !== 0))
    throw broken(`${what}: not a named bit list`)
  const size = octets.length * 8 - unused
  const bits = new Set<number>()
  octets.forEach((octet, index) => {
    for (let bit = 0; bit < 8; bit++) if (octet & (0x80 >> bit)) bits.add(index * 8 + bit)
  })
  // X.690 11.2.1: unused bits are zero.
  if ([...bits].some((bit) => bit >= size)) throw broken(`${what}: an unused bit is set`)
  return { bits, minimal: size === 0 || bits.has(size - 1) }
}

const PRINTABLE = /^[A-Za-z0-9 '()+,\-./:=?]*$/

/** The text of a string element, or undefined when its octets are not allowed in that type (or it is no string type). */
export function readText(element: DerElement): string | undefined {
  const { tag, contents } = element
  switch (tag) {
    case TAG.utf8String: {
      const text = contents.toString("utf8")
      return Buffer.from(text, "utf8").equals(contents) ? text : undefined
    }
    case TAG.printableString: {
      const text = contents.toString("latin1")
      return PRINTABLE.test(text) ? text : undefined
    }
    case TAG.ia5String:
      return contents.every((octet) => octet < 0x80) ? contents.toString("latin1") : undefined
    case TAG.teletexString:
      return contents.toString("latin1")
    case TAG.bmpString:
      return contents.length % 2 === 0 ? Buffer.from(contents).swap16().toString("utf16le") : undefined
    default:
      return undefined
  }
}
