// Cursor and builder for DNS messages: every read is bounded, compression only ever points back (RFC 1035 4.1.4).
import { DnsFormatError, type DnsName, type Label, maxNameOctets, nameKey } from "./name.ts"

/** A chain of pointers without labels between them is legal and pointless; this many are read. */
const maxPointers = 64

export class WireReader {
  readonly bytes: Uint8Array
  /** Where the part that may be read ends; names alone may look before it, never behind. */
  readonly end: number
  position: number
  /** A name that was read, and where it stands: owner names mostly point to that of the question. `pointers`: it took so many. */
  #met: { readonly name: DnsName; readonly at: number; readonly end: number; readonly pointers: number } | undefined

  constructor(bytes: Uint8Array, position = 0, end = bytes.length) {
    this.bytes = bytes
    this.position = position
    this.end = end
  }

  get left(): number {
    return this.end - this.position
  }

  octets(count: number): Uint8Array {
    if (count > this.left) throw new DnsFormatError(`a field of ${count} octets reaches past the end`)
    const taken = this.bytes.slice(this.position, this.position + count)
    this.position += count
    return taken
  }

  rest(): Uint8Array {
    return this.octets(this.left)
  }

  u8(): number {
    if (this.left < 1) throw new DnsFormatError("a field reaches past the end")
    const value = this.bytes[this.position]!
    this.position += 1
    return value
  }

  u16(): number {
    if (this.left < 2) throw new DnsFormatError("a field reaches past the end")
    const { bytes, position } = this
    this.position = position + 2
    return (bytes[position]! << 8) | bytes[position + 1]!
  }

  u32(): number {
    return this.u16() * 0x10000 + this.u16()
  }

  /**
   * A name, followed through compression.
   *
   * @param compression false where the type forbids it (RFC 3597 4): a pointer is then an error
   */
  name(compression = true): DnsName {
    const labels: Label[] = []
    let octets = 1
    let at = this.position
    // Each pointer must lead before everything read so far for this name, so there is no loop and no forward pointer.
    let lowest = this.position
    let pointers = 0
    let limit = this.end
    let after: number | undefined
    for (;;) {
      if (at >= limit) throw new DnsFormatError("a name reaches past the end")
      const length = this.bytes[at]!
      if (length === 0) {
        const name = { labels }
        const end = after ?? at + 1
        this.#met ??= { name, at: this.position, end, pointers }
        this.position = end
        return name
      }
      if (length >= 0xc0) {
        if (!compression) throw new DnsFormatError("a name is compressed where that is forbidden")
        if (at + 1 >= limit) throw new DnsFormatError("a compression pointer reaches past the end")
        const target = ((length & 0x3f) << 8) | this.bytes[at + 1]!
        pointers += 1
        if (target >= lowest || pointers > maxPointers) throw new DnsFormatError("a compression pointer does not lead back")
        after ??= at + 2
        // What is pointed at ends before the place that points at it.
        limit = lowest
        const met = this.#met
        if (target === met?.at && labels.length === 0 && met.end <= limit && pointers + met.pointers <= maxPointers) {
          this.position = after
          return met.name
        }
        lowest = target
        at = target
        continue
      }
      if (length > 63) throw new DnsFormatError("a label has a reserved type")
      octets += length + 1
      if (octets > maxNameOctets) throw new DnsFormatError(`a name has more than ${maxNameOctets} octets`)
      if (at + 1 + length > limit) throw new DnsFormatError("a label reaches past the end")
      labels.push(this.bytes.slice(at + 1, at + 1 + length))
      at += 1 + length
    }
  }
}

/** Room for one message, which the writer that is at work has: making it anew costs more than most messages do. */
let spare: Uint8Array | undefined = new Uint8Array(512)

export class WireWriter {
  #bytes: Uint8Array
  #length = 0
  /** Where the rest of a name already stands; owner names only are compressed. */
  #known: Map<string, number> | undefined

  constructor() {
    this.#bytes = spare ?? new Uint8Array(512)
    spare = undefined
  }

  get length(): number {
    return this.#length
  }

  #room(count: number): void {
    if (this.#length + count > 65535) throw new DnsFormatError("a message would be longer than 65535 octets")
    if (this.#length + count <= this.#bytes.length) return
    const larger = new Uint8Array(Math.min(65535, Math.max(this.#bytes.length * 2, this.#length + count)))
    larger.set(this.#bytes)
    this.#bytes = larger
  }

  u8(value: number): void {
    this.#room(1)
    this.#bytes[this.#length] = value
    this.#length += 1
  }

  u16(value: number): void {
    this.#room(2)
    this.#bytes[this.#length] = value >>> 8
    this.#bytes[this.#length + 1] = value & 0xff
    this.#length += 2
  }

  u32(value: number): void {
    this.u16(Math.floor(value / 0x10000))
    this.u16(value % 0x10000)
  }

  octets(bytes: Uint8Array): void {
    this.#room(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  name(name: DnsName): void {
    for (const label of name.labels) {
      this.u8(label.length)
      this.octets(label)
    }
    this.u8(0)
  }

  /** As name(), pointing back to the longest tail already written. Letter case of the tail is that of its first use. */
  compressedName(name: DnsName): void {
    this.#known ??= new Map()
    for (let index = 0; index < name.labels.length; index += 1) {
      const key = nameKey({ labels: name.labels.slice(index) })
      const known = this.#known.get(key)
      if (known !== undefined) {
        this.u16(0xc000 | known)
        return
      }
      if (this.#length < 0x4000) this.#known.set(key, this.#length)
      this.u8(name.labels[index]!.length)
      this.octets(name.labels[index]!)
    }
    this.u8(0)
  }

  /** Overwrites two octets written before. */
  patch16(position: number, value: number): void {
    this.#bytes[position] = value >>> 8
    this.#bytes[position + 1] = value & 0xff
  }

  /** The last call: the writer gives its room back. */
  finish(): Uint8Array {
    const written = this.#bytes.slice(0, this.#length)
    if (this.#bytes.length === 512) spare = this.#bytes
    this.#bytes = written
    return written
  }
}
