// DNS messages between octets and fields, without loss and with bounded work (RFC 1035 4.1, RFC 6891, RFC 6895).
import { DnsFormatError, type DnsName, rootName } from "./name.ts"
import { type RecordBody, type RecordContent, readBody, typeNumbers } from "./records.ts"
import { WireReader, WireWriter } from "./wire.ts"

export const opcodeQuery = 0
export const classInternet = 1

/** RFC 6895 2.3; the names that matter here. */
export const rcodes = { noError: 0, formatError: 1, serverFailure: 2, nameError: 3, notImplemented: 4, refused: 5, badVersion: 16 } as const

/** More records than any honest answer has; a message with more is refused before they are read. */
export const maxRecords = 1000

export interface Question {
  readonly name: DnsName
  readonly type: number
  readonly class: number
}

export interface ResourceRecord extends RecordBody {
  readonly name: DnsName
  readonly type: number
  readonly class: number
  /** Seconds; values with the highest bit set are read as 0 (RFC 2181 8). */
  readonly ttl: number
}

/** The OPT pseudo-record (RFC 6891 6.1); its part of the response code is in `DnsMessage.rcode`. */
export interface Edns {
  readonly udpPayload: number
  readonly version: number
  /** DNSSEC OK. */
  readonly dnssecOk: boolean
  /** The other 15 flag bits. */
  readonly flags: number
  readonly options: readonly { readonly code: number; readonly value: Uint8Array }[]
}

export interface DnsMessage {
  readonly id: number
  readonly response: boolean
  readonly opcode: number
  readonly authoritative: boolean
  readonly truncated: boolean
  readonly recursionDesired: boolean
  readonly recursionAvailable: boolean
  /** The reserved bit. */
  readonly reserved: boolean
  readonly authenticData: boolean
  readonly checkingDisabled: boolean
  /** 12 bits where EDNS is there, else 4. */
  readonly rcode: number
  readonly questions: readonly Question[]
  readonly answers: readonly ResourceRecord[]
  readonly authorities: readonly ResourceRecord[]
  /** Without OPT. */
  readonly additionals: readonly ResourceRecord[]
  readonly edns: Edns | undefined
}

function readQuestion(reader: WireReader): Question {
  return { name: reader.name(), type: reader.u16(), class: reader.u16() }
}

interface RawRecord extends ResourceRecord {
  readonly rawTtl: number
}

function readRecord(reader: WireReader): RawRecord {
  const name = reader.name()
  const type = reader.u16()
  const recordClass = reader.u16()
  const rawTtl = reader.u32()
  const length = reader.u16()
  if (length > reader.left) throw new DnsFormatError("the data of a record reaches past the end of the message")
  const body = new WireReader(reader.bytes, reader.position, reader.position + length)
  const { octets, content } = readBody(body, type, recordClass)
  reader.position += length
  return { name, type, class: recordClass, ttl: rawTtl > 0x7fffffff ? 0 : rawTtl, rawTtl, octets, content }
}

function readSection(reader: WireReader, count: number): RawRecord[] {
  const records: RawRecord[] = []
  for (let index = 0; index < count; index += 1) records.push(readRecord(reader))
  return records
}

const plain = ({ name, type, class: recordClass, ttl, octets, content }: RawRecord): ResourceRecord => ({
  name,
  type,
  class: recordClass,
  ttl,
  octets,
  content,
})

function ednsOf(record: RawRecord): Edns {
  if (record.name.labels.length !== 0) throw new DnsFormatError("an OPT record is not at the root")
  const options = (record.content as Extract<RecordContent, { kind: "OPT" }>).options
  const flags = record.rawTtl & 0xffff
  return { udpPayload: record.class, version: (record.rawTtl >>> 16) & 0xff, dnssecOk: flags >= 0x8000, flags: flags & 0x7fff, options }
}

/**
 * @param bytes one message, without the length octets of TCP
 * @throws DnsFormatError for anything that is not exactly one well-formed message of at most 1000 records
 */
export function decodeMessage(bytes: Uint8Array): DnsMessage {
  if (bytes.length > 65535) throw new DnsFormatError("a message is longer than 65535 octets")
  const reader = new WireReader(bytes)
  const id = reader.u16()
  const flags = reader.u16()
  const counts = [reader.u16(), reader.u16(), reader.u16(), reader.u16()] as const
  // Counted before parsing: what is claimed, and whether so much could be there at all.
  const claimed = counts[1] + counts[2] + counts[3]
  if (counts[0] > 16 || claimed > maxRecords) throw new DnsFormatError(`a message claims ${counts[0]} questions and ${claimed} records`)
  if (counts[0] * 5 + claimed * 11 > reader.left) throw new DnsFormatError("a message claims more records than it has room for")
  const questions: Question[] = []
  for (let index = 0; index < counts[0]; index += 1) questions.push(readQuestion(reader))
  const answers = readSection(reader, counts[1])
  const authorities = readSection(reader, counts[2])
  const additionals = readSection(reader, counts[3])
  if (reader.left !== 0) throw new DnsFormatError(`${reader.left} octets follow the message`)
  const options = additionals.filter((record) => record.type === typeNumbers.OPT)
  // RFC 6891 6.1.1: one OPT at most, in the additional section only.
  const isOption = (record: RawRecord): boolean => record.type === typeNumbers.OPT
  if (options.length > 1 || answers.some(isOption) || authorities.some(isOption)) {
    throw new DnsFormatError("an OPT record is where it must not be")
  }
  const option = options[0]
  return {
    id,
    response: (flags & 0x8000) !== 0,
    opcode: (flags >> 11) & 0xf,
    authoritative: (flags & 0x0400) !== 0,
    truncated: (flags & 0x0200) !== 0,
    recursionDesired: (flags & 0x0100) !== 0,
    recursionAvailable: (flags & 0x0080) !== 0,
    reserved: (flags & 0x0040) !== 0,
    authenticData: (flags & 0x0020) !== 0,
    checkingDisabled: (flags & 0x0010) !== 0,
    rcode: (flags & 0xf) | (option === undefined ? 0 : (option.rawTtl >>> 24) << 4),
    questions,
    answers: answers.map(plain),
    authorities: authorities.map(plain),
    additionals: additionals.filter((record) => record !== option).map(plain),
    edns: option === undefined ? undefined : ednsOf(option),
  }
}

function bit(set: boolean, mask: number): number {
  return set ? mask : 0
}

function writeRecord(writer: WireWriter, record: ResourceRecord): void {
  writer.compressedName(record.name)
  writer.u16(record.type)
  writer.u16(record.class)
  writer.u32(record.ttl)
  writer.u16(record.octets.length)
  writer.octets(record.octets)
}

function writeEdns(writer: WireWriter, edns: Edns, rcode: number): void {
  writer.name(rootName)
  writer.u16(typeNumbers.OPT)
  writer.u16(edns.udpPayload)
  writer.u8(rcode >>> 4)
  writer.u8(edns.version)
  writer.u16(bit(edns.dnssecOk, 0x8000) | edns.flags)
  const at = writer.length
  writer.u16(0)
  for (const option of edns.options) {
    writer.u16(option.code)
    writer.u16(option.value.length)
    writer.octets(option.value)
  }
  writer.patch16(at, writer.length - at - 2)
}

/**
 * The octets of a message. Owner names are compressed, names inside record data never.
 *
 * @throws DnsFormatError when it would be longer than 65535 octets, or has an extended code without EDNS
 */
export function encodeMessage(message: DnsMessage): Uint8Array {
  if (message.rcode > 15 && message.edns === undefined) throw new DnsFormatError("a response code above 15 needs EDNS")
  const writer = new WireWriter()
  writer.u16(message.id)
  writer.u16(
    bit(message.response, 0x8000) |
      ((message.opcode & 0xf) << 11) |
      bit(message.authoritative, 0x0400) |
      bit(message.truncated, 0x0200) |
      bit(message.recursionDesired, 0x0100) |
      bit(message.recursionAvailable, 0x0080) |
      bit(message.reserved, 0x0040) |
      bit(message.authenticData, 0x0020) |
      bit(message.checkingDisabled, 0x0010) |
      (message.rcode & 0xf),
  )
  writer.u16(message.questions.length)
  writer.u16(message.answers.length)
  writer.u16(message.authorities.length)
  writer.u16(message.additionals.length + (message.edns === undefined ? 0 : 1))
  // Nothing stands before the first name, and in a query nothing behind it that could point to it.
  const alone = message.questions.length === 1 && message.answers.length + message.authorities.length + message.additionals.length === 0
  for (const question of message.questions) {
    if (alone) writer.name(question.name)
    else writer.compressedName(question.name)
    writer.u16(question.type)
    writer.u16(question.class)
  }
  for (const section of [message.answers, message.authorities, message.additionals]) {
    for (const record of section) writeRecord(writer, record)
  }
  if (message.edns !== undefined) writeEdns(writer, message.edns, message.rcode)
  return writer.finish()
}

/** A query for one name with recursion desired. */
export function makeQuery(id: number, question: Question, edns: Edns | undefined): DnsMessage {
  return {
    id,
    response: false,
    opcode: opcodeQuery,
    authoritative: false,
    truncated: false,
    recursionDesired: true,
    recursionAvailable: false,
    reserved: false,
    authenticData: false,
    checkingDisabled: false,
    rcode: 0,
    questions: [question],
    answers: [],
    authorities: [],
    additionals: [],
    edns,
  }
}
