// Turns the bytes of a complete, already checked text or attribute value into its string
// (XML 1.0 2.11 line ends, 3.3.3 attribute values, 4.1 references, 2.7 CDATA).
import { Buffer } from "node:buffer"

const scratchSize = 8192
const scratch = Buffer.allocUnsafeSlow(scratchSize)

/** Every replacement is shorter than what it replaces, so the source length is enough room. */
function room(length: number): Buffer {
  return length <= scratchSize ? scratch : Buffer.allocUnsafeSlow(length)
}

const named = new Map([
  ["amp", 0x26],
  ["lt", 0x3c],
  ["gt", 0x3e],
  ["quot", 0x22],
  ["apos", 0x27],
])

function writePoint(out: Buffer, at: number, point: number): number {
  if (point < 0x80) {
    out[at] = point
    return at + 1
  }
  return at + out.write(String.fromCodePoint(point), at, "utf8")
}

/** Writes what the reference at `at` stands for; the reference is known to be correct. */
function writeReference(out: Buffer, to: number, bytes: Buffer, at: number, semicolon: number): number {
  if (bytes[at + 1] !== 0x23) return writePoint(out, to, named.get(bytes.toString("latin1", at + 1, semicolon)) as number)
  const hexadecimal = bytes[at + 2] === 0x78
  let point = 0
  for (let i = at + (hexadecimal ? 3 : 2); i < semicolon; i++) {
    const byte = bytes[i] as number
    point = point * (hexadecimal ? 16 : 10) + (byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57)
  }
  return writePoint(out, to, point)
}

/**
 * Text between two tags, CDATA sections included.
 * @param bytes correct XML content without tags from `start` to `end`
 */
export function decodeText(bytes: Buffer, start: number, end: number): string {
  const out = room(end - start)
  let to = 0
  let cdata = false
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte === 0x0d) {
      // XML 1.0 2.11: CR LF and a lone CR both read as LF.
      out[to++] = 0x0a
      if (at + 1 < end && bytes[at + 1] === 0x0a) at++
    } else if (cdata) {
      if (byte === 0x5d && bytes[at + 1] === 0x5d && bytes[at + 2] === 0x3e) {
        cdata = false
        at += 2
      } else out[to++] = byte
    } else if (byte === 0x26) {
      const semicolon = bytes.indexOf(0x3b, at)
      to = writeReference(out, to, bytes, at, semicolon)
      at = semicolon
    } else if (byte === 0x3c) {
      cdata = true
      at += 8
    } else out[to++] = byte
  }
  return out.toString("utf8", 0, to)
}

/** Attribute value between its quotes: white space becomes U+0020 unless it was written as a reference (XML 1.0 3.3.3). */
export function decodeValue(bytes: Buffer, start: number, end: number): string {
  const out = room(end - start)
  let to = 0
  for (let at = start; at < end; at++) {
    const byte = bytes[at] as number
    if (byte === 0x26) {
      const semicolon = bytes.indexOf(0x3b, at)
      to = writeReference(out, to, bytes, at, semicolon)
      at = semicolon
    } else if (byte === 0x09 || byte === 0x0a) out[to++] = 0x20
    else if (byte === 0x0d) {
      out[to++] = 0x20
      if (at + 1 < end && bytes[at + 1] === 0x0a) at++
    } else out[to++] = byte
  }
  return out.toString("utf8", 0, to)
}
