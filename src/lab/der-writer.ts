// DER encoding for the lab's certificates (X.690 section 10; RFC 5280 appendix A): a writer only, kept apart from
// the reader in src/x509 so that a mistake in one is not hidden by the same mistake in the other.

import { Buffer } from "node:buffer"

/** Wraps contents in one tag-length-value with the shortest definite length. `tag` is the whole identifier octet. */
export function tlv(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(contents)
  const length = body.length
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), body])
  const octets: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256)
  return Buffer.concat([Buffer.of(tag, 0x80 | octets.length, ...octets), body])
}

export const sequence = (...contents: readonly Uint8Array[]): Buffer => tlv(0x30, ...contents)
/** SET OF with its members in ascending order of encoding, as DER asks. */
export const setOf = (...members: readonly Uint8Array[]): Buffer => tlv(0x31, ...[...members].sort(Buffer.compare))
export const octetString = (contents: Uint8Array): Buffer => tlv(0x04, contents)
export const bitString = (contents: Uint8Array, unused = 0): Buffer => tlv(0x03, Buffer.of(unused), contents)
export const boolean = (value: boolean): Buffer => Buffer.of(0x01, 0x01, value ? 0xff : 0x00)
export const nullValue = (): Buffer => Buffer.of(0x05, 0x00)
export const utf8String = (text: string): Buffer => tlv(0x0c, Buffer.from(text, "utf8"))
export const printableString = (text: string): Buffer => tlv(0x13, Buffer.from(text, "latin1"))
export const ia5String = (text: string): Buffer => tlv(0x16, Buffer.from(text, "latin1"))

/** A context-specific tag, constructed (explicit, or implicit around a SEQUENCE) unless told otherwise. */
export const context = (number: number, contents: Uint8Array, constructed = true): Buffer =>
  tlv((constructed ? 0xa0 : 0x80) | number, contents)

/** INTEGER in the shortest two's complement form. */
export function integer(value: number | bigint): Buffer {
  const octets: number[] = []
  let rest = BigInt(value)
  const end = rest < 0n ? -1n : 0n
  do {
    octets.unshift(Number(rest & 0xffn))
    rest >>= 8n
  } while (rest !== end || octets[0]! >= 0x80 !== (end === -1n))
  return tlv(0x02, Buffer.from(octets))
}

/** OBJECT IDENTIFIER from its dotted form. */
export function objectIdentifier(dotted: string): Buffer {
  const arcs = dotted.split(".").map(Number)
  const [first, second, ...others] = arcs
  if (first === undefined || second === undefined || arcs.some((arc) => !Number.isSafeInteger(arc) || arc < 0))
    throw new TypeError(`not an object identifier: ${dotted}`)
  const octets: number[] = []
  for (const arc of [first * 40 + second, ...others]) {
    const groups = [arc % 128]
    for (let rest = Math.floor(arc / 128); rest > 0; rest = Math.floor(rest / 128)) groups.unshift((rest % 128) | 0x80)
    octets.push(...groups)
  }
  return tlv(0x06, Buffer.from(octets))
}

/** A Time in UTC: UTCTime to the end of 2049, GeneralizedTime from 2050 (RFC 5280 4.1.2.5). `at` in milliseconds. */
export function time(at: number): Buffer {
  const digits = new Date(Math.floor(at / 1000) * 1000)
    .toISOString()
    .replace(/\.000Z$/, "")
    .replace(/\D/g, "")
  const year = Number(digits.slice(0, 4))
  return year >= 1950 && year < 2050
    ? tlv(0x17, Buffer.from(`${digits.slice(2)}Z`, "latin1"))
    : tlv(0x18, Buffer.from(`${digits}Z`, "latin1"))
}

/** A named bit list: trailing zero bits are left out (X.690 11.2.2). */
export function namedBits(bits: readonly number[]): Buffer {
  const highest = Math.max(-1, ...bits)
  if (highest < 0) return bitString(Buffer.alloc(0))
  const octets = Buffer.alloc(Math.floor(highest / 8) + 1)
  for (const bit of bits) octets[bit >> 3]! |= 0x80 >> (bit & 7)
  return bitString(octets, 7 - (highest & 7))
}

/** The octets of an IPv4 or IPv6 address given as text (4 or 16). */
export function addressOctets(text: string): Buffer {
  if (!text.includes(":")) {
    const parts = text.split(".").map(Number)
    if (parts.length !== 4 || parts.some((part) => !Number.isInteger(part) || part < 0 || part > 255))
      throw new TypeError(`not an IP address: ${text}`)
    return Buffer.from(parts)
  }
  const [head = "", tail] = text.split("::")
  const groups = (part: string): number[] => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)))
  const front = groups(head)
  const back = tail === undefined ? [] : groups(tail)
  const words = [...front, ...new Array<number>(Math.max(0, 8 - front.length - back.length)).fill(0), ...back]
  if (words.length !== 8 || words.some((word) => !(word >= 0 && word <= 0xffff))) throw new TypeError(`not an IP address: ${text}`)
  const octets = Buffer.alloc(16)
  words.forEach((word, index) => octets.writeUInt16BE(word, index * 2))
  return octets
}

/** The octets of `address/prefix`, address then mask, as an iPAddress name constraint has them (RFC 5280 4.2.1.10). */
export function networkOctets(text: string): Buffer {
  const [address = "", prefix] = text.split("/")
  const octets = addressOctets(address)
  const bits = prefix === undefined ? octets.length * 8 : Number(prefix)
  const mask = Buffer.alloc(octets.length)
  for (let bit = 0; bit < bits; bit++) mask[bit >> 3]! |= 0x80 >> (bit & 7)
  return Buffer.concat([octets, mask])
}
