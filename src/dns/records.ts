// Record data between octets and fields (RFC 1035 3.3, 2782, 3596, 4034, 5155, 6672, 6698, 6891; unknown types: RFC 3597).
// The octets of a record are kept beside its fields; signatures are checked over octets, so nothing is encoded anew.
import { addressText } from "../model/address.ts"
import { DnsFormatError, type DnsName, lowerNameText } from "./name.ts"
import { WireReader, WireWriter } from "./wire.ts"

export const typeNumbers = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  NSEC3PARAM: 51,
  TLSA: 52,
} as const
export type KnownType = keyof typeof typeNumbers
const typeNames = new Map<number, KnownType>(Object.entries(typeNumbers).map(([name, number]) => [number, name as KnownType]))

/** "A", "TLSA", or "TYPE65400" (RFC 3597 5). */
export function typeName(number: number): string {
  return typeNames.get(number) ?? `TYPE${number}`
}

export type RecordContent =
  | { readonly kind: "A" | "AAAA"; readonly address: string }
  | { readonly kind: "NS" | "CNAME" | "DNAME" | "PTR"; readonly target: DnsName }
  | { readonly kind: "MX"; readonly preference: number; readonly exchange: DnsName }
  | {
      readonly kind: "SOA"
      readonly primary: DnsName
      readonly mailbox: DnsName
      readonly serial: number
      readonly refresh: number
      readonly retry: number
      readonly expire: number
      readonly minimum: number
    }
  | { readonly kind: "TXT"; readonly strings: readonly Uint8Array[] }
  | { readonly kind: "SRV"; readonly priority: number; readonly weight: number; readonly port: number; readonly target: DnsName }
  | {
      readonly kind: "TLSA"
      readonly usage: number
      readonly selector: number
      readonly matching: number
      readonly association: Uint8Array
    }
  | { readonly kind: "DS"; readonly keyTag: number; readonly algorithm: number; readonly digestType: number; readonly digest: Uint8Array }
  | {
      readonly kind: "DNSKEY"
      readonly flags: number
      readonly protocol: number
      readonly algorithm: number
      readonly publicKey: Uint8Array
    }
  | {
      readonly kind: "RRSIG"
      readonly typeCovered: number
      readonly algorithm: number
      readonly labels: number
      readonly originalTtl: number
      readonly expiration: number
      readonly inception: number
      readonly keyTag: number
      readonly signer: DnsName
      readonly signature: Uint8Array
    }
  | { readonly kind: "NSEC"; readonly next: DnsName; readonly types: readonly number[] }
  | {
      readonly kind: "NSEC3"
      readonly algorithm: number
      readonly flags: number
      readonly iterations: number
      readonly salt: Uint8Array
      readonly nextHash: Uint8Array
      readonly types: readonly number[]
    }
  | {
      readonly kind: "NSEC3PARAM"
      readonly algorithm: number
      readonly flags: number
      readonly iterations: number
      readonly salt: Uint8Array
    }
  | { readonly kind: "OPT"; readonly options: readonly { readonly code: number; readonly value: Uint8Array }[] }
  /** A type nobody here reads, or known data of another class: the octets are all there is. */
  | { readonly kind: "unknown" }

type ContentOf<K extends RecordContent["kind"], C = RecordContent> = C extends { readonly kind: infer Kinds }
  ? K extends Kinds
    ? C
    : never
  : never

function address(reader: WireReader, kind: "A" | "AAAA"): RecordContent {
  return { kind, address: addressText(reader.octets(kind === "A" ? 4 : 16)) }
}

function characterStrings(reader: WireReader): Uint8Array[] {
  const strings: Uint8Array[] = []
  // RFC 1035 3.3.14: one or more strings.
  do strings.push(reader.octets(reader.u8()))
  while (reader.left > 0)
  return strings
}

/** RFC 4034 4.1.2: windows rise, have 1 to 32 octets and no empty octet at the end. */
function typeBitmap(reader: WireReader): number[] {
  const types: number[] = []
  let last = -1
  while (reader.left > 0) {
    const window = reader.u8()
    const length = reader.u8()
    if (window <= last) throw new DnsFormatError("the windows of a type bitmap do not rise")
    if (length < 1 || length > 32) throw new DnsFormatError(`a window of a type bitmap has ${length} octets`)
    last = window
    const bits = reader.octets(length)
    if (bits[length - 1] === 0) throw new DnsFormatError("a window of a type bitmap ends in an empty octet")
    for (let index = 0; index < length * 8; index += 1) {
      if ((bits[index >> 3]! & (0x80 >> (index & 7))) !== 0) types.push(window * 256 + index)
    }
  }
  return types
}

function someOctets(reader: WireReader, what: string): Uint8Array {
  const octets = reader.rest()
  if (octets.length === 0) throw new DnsFormatError(`${what} is empty`)
  return octets
}

const readers: { readonly [K in KnownType]: (reader: WireReader) => RecordContent } = {
  A: (reader) => address(reader, "A"),
  AAAA: (reader) => address(reader, "AAAA"),
  NS: (reader) => ({ kind: "NS", target: reader.name() }),
  CNAME: (reader) => ({ kind: "CNAME", target: reader.name() }),
  PTR: (reader) => ({ kind: "PTR", target: reader.name() }),
  DNAME: (reader) => ({ kind: "DNAME", target: reader.name() }),
  MX: (reader) => ({ kind: "MX", preference: reader.u16(), exchange: reader.name() }),
  SOA: (reader) => ({
    kind: "SOA",
    primary: reader.name(),
    mailbox: reader.name(),
    serial: reader.u32(),
    refresh: reader.u32(),
    retry: reader.u32(),
    expire: reader.u32(),
    minimum: reader.u32(),
  }),
  TXT: (reader) => ({ kind: "TXT", strings: characterStrings(reader) }),
  // RFC 2782 forbids compression of the target, RFC 3597 4 asks to decompress it all the same.
  SRV: (reader) => ({ kind: "SRV", priority: reader.u16(), weight: reader.u16(), port: reader.u16(), target: reader.name() }),
  TLSA: (reader) => ({
    kind: "TLSA",
    usage: reader.u8(),
    selector: reader.u8(),
    matching: reader.u8(),
    association: someOctets(reader, "the association data of a TLSA record"),
  }),
  DS: (reader) => ({
    kind: "DS",
    keyTag: reader.u16(),
    algorithm: reader.u8(),
    digestType: reader.u8(),
    digest: someOctets(reader, "the digest of a DS record"),
  }),
  DNSKEY: (reader) => ({
    kind: "DNSKEY",
    flags: reader.u16(),
    protocol: reader.u8(),
    algorithm: reader.u8(),
    publicKey: someOctets(reader, "the key of a DNSKEY record"),
  }),
  RRSIG: (reader) => ({
    kind: "RRSIG",
    typeCovered: reader.u16(),
    algorithm: reader.u8(),
    labels: reader.u8(),
    originalTtl: reader.u32(),
    expiration: reader.u32(),
    inception: reader.u32(),
    keyTag: reader.u16(),
    signer: reader.name(),
    signature: someOctets(reader, "the signature of an RRSIG record"),
  }),
  NSEC: (reader) => ({ kind: "NSEC", next: reader.name(), types: typeBitmap(reader) }),
  NSEC3: (reader) => ({
    kind: "NSEC3",
    algorithm: reader.u8(),
    flags: reader.u8(),
    iterations: reader.u16(),
    salt: reader.octets(reader.u8()),
    nextHash: reader.octets(reader.u8()),
    types: typeBitmap(reader),
  }),
  NSEC3PARAM: (reader) => ({
    kind: "NSEC3PARAM",
    algorithm: reader.u8(),
    flags: reader.u8(),
    iterations: reader.u16(),
    salt: reader.octets(reader.u8()),
  }),
  OPT: (reader) => {
    const options: { code: number; value: Uint8Array }[] = []
    while (reader.left > 0) options.push({ code: reader.u16(), value: reader.octets(reader.u16()) })
    return { kind: "OPT", options }
  },
}

/** Types whose names other software may have compressed; their octets are kept decompressed. */
function decompressed(content: RecordContent): Uint8Array | undefined {
  switch (content.kind) {
    case "NS":
    case "CNAME":
    case "DNAME":
    case "PTR":
    case "MX":
    case "SOA":
    case "SRV":
    case "RRSIG":
    case "NSEC":
      return encodeContent(content)
    default:
      return undefined
  }
}

export interface RecordBody {
  /** Uncompressed, otherwise exactly as received. */
  readonly octets: Uint8Array
  readonly content: RecordContent
}

const internet = 1

/**
 * Reads the data of one record; `reader` stands at its start and must be limited to its length, over the whole message.
 *
 * @throws DnsFormatError when the data is too short, too long or not what its type says
 */
export function readBody(reader: WireReader, type: number, recordClass: number): RecordBody {
  const start = reader.position
  const known = typeNames.get(type)
  if (known === undefined || (recordClass !== internet && known !== "OPT")) return { octets: reader.rest(), content: { kind: "unknown" } }
  const content = readers[known](reader)
  if (reader.left !== 0) throw new DnsFormatError(`${reader.left} octets are left over in a ${known} record`)
  return { octets: decompressed(content) ?? reader.bytes.slice(start, reader.end), content }
}

/** The data of a record that stands alone, without a message around it. */
export function parseBody(type: number, octets: Uint8Array): RecordContent {
  return readBody(new WireReader(octets), type, internet).content
}

function writeBitmap(writer: WireWriter, types: readonly number[]): void {
  const windows = new Map<number, Uint8Array>()
  for (const type of types) {
    const bits = windows.get(type >> 8) ?? new Uint8Array(32)
    bits[(type & 0xff) >> 3]! |= 0x80 >> (type & 7)
    windows.set(type >> 8, bits)
  }
  for (const [window, bits] of [...windows].sort(([a], [b]) => a - b)) {
    let length = 32
    while (bits[length - 1] === 0) length -= 1
    writer.u8(window)
    writer.u8(length)
    writer.octets(bits.subarray(0, length))
  }
}

const writers: {
  readonly [K in Exclude<RecordContent["kind"], "A" | "AAAA" | "unknown">]: (writer: WireWriter, content: ContentOf<K>) => void
} = {
  NS: (writer, content) => writer.name(content.target),
  CNAME: (writer, content) => writer.name(content.target),
  DNAME: (writer, content) => writer.name(content.target),
  PTR: (writer, content) => writer.name(content.target),
  MX: (writer, content) => {
    writer.u16(content.preference)
    writer.name(content.exchange)
  },
  SOA: (writer, content) => {
    writer.name(content.primary)
    writer.name(content.mailbox)
    for (const field of ["serial", "refresh", "retry", "expire", "minimum"] as const) writer.u32(content[field])
  },
  TXT: (writer, content) => {
    for (const string of content.strings) {
      writer.u8(string.length)
      writer.octets(string)
    }
  },
  SRV: (writer, content) => {
    writer.u16(content.priority)
    writer.u16(content.weight)
    writer.u16(content.port)
    writer.name(content.target)
  },
  TLSA: (writer, content) => {
    writer.u8(content.usage)
    writer.u8(content.selector)
    writer.u8(content.matching)
    writer.octets(content.association)
  },
  DS: (writer, content) => {
    writer.u16(content.keyTag)
    writer.u8(content.algorithm)
    writer.u8(content.digestType)
    writer.octets(content.digest)
  },
  DNSKEY: (writer, content) => {
    writer.u16(content.flags)
    writer.u8(content.protocol)
    writer.u8(content.algorithm)
    writer.octets(content.publicKey)
  },
  RRSIG: (writer, content) => {
    writer.u16(content.typeCovered)
    writer.u8(content.algorithm)
    writer.u8(content.labels)
    for (const field of ["originalTtl", "expiration", "inception"] as const) writer.u32(content[field])
    writer.u16(content.keyTag)
    writer.name(content.signer)
    writer.octets(content.signature)
  },
  NSEC: (writer, content) => {
    writer.name(content.next)
    writeBitmap(writer, content.types)
  },
  NSEC3: (writer, content) => {
    writer.u8(content.algorithm)
    writer.u8(content.flags)
    writer.u16(content.iterations)
    writer.u8(content.salt.length)
    writer.octets(content.salt)
    writer.u8(content.nextHash.length)
    writer.octets(content.nextHash)
    writeBitmap(writer, content.types)
  },
  NSEC3PARAM: (writer, content) => {
    writer.u8(content.algorithm)
    writer.u8(content.flags)
    writer.u16(content.iterations)
    writer.u8(content.salt.length)
    writer.octets(content.salt)
  },
  OPT: (writer, content) => {
    for (const option of content.options) {
      writer.u16(option.code)
      writer.u16(option.value.length)
      writer.octets(option.value)
    }
  },
}

/** Octets of the fields, names uncompressed. Addresses and unknown types have no fields to encode: use their octets. */
export function encodeContent(content: Exclude<RecordContent, { readonly kind: "A" | "AAAA" | "unknown" }>): Uint8Array {
  const writer = new WireWriter()
  const write = writers[content.kind] as (writer: WireWriter, content: RecordContent) => void
  write(writer, content)
  return writer.finish()
}

/** Target names as the model shows them: presentation form, lower case, no final dot. */
export function shownName(name: DnsName): string {
  return lowerNameText(name)
}
