// Byte classes and strict UTF-8 for the parser (XML 1.0 2.2 Char, RFC 3629; XML-03). Tables are indexed by byte.

/** Classes of a byte in text, CDATA and attribute values; 0 needs no attention. */
export const plain = 0
export const less = 1
export const ampersand = 2
/** `>` in text, where it may end a forbidden `]]>`. */
export const greater = 3
/** CR in text; CR, LF and tab in attribute values: normalised when the token is complete. */
export const space = 4
/** Either quotation mark, in attribute values only. */
export const quote = 5
/** First byte of a multi-byte character. */
export const lead = 6
/** A control character XML does not allow. */
export const illegal = 7
/** A byte that can never start a character in UTF-8. */
export const badByte = 8

/** Classes of a byte in a name. */
export const nameEnd = 0
export const nameStart = 1
export const namePart = 2
export const nameColon = 3
export const nameLead = 4

function table(classify: (byte: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => classify(byte))
}

function baseClass(byte: number): number {
  if (byte >= 0x80) return byte >= 0xc2 && byte <= 0xf4 ? lead : badByte
  if (byte < 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d) return illegal
  return plain
}

export const textClass = table((byte) =>
  byte === 0x3c ? less : byte === 0x26 ? ampersand : byte === 0x3e ? greater : byte === 0x0d ? space : baseClass(byte),
)

export const valueClass = table((byte) => {
  if (byte === 0x3c) return less
  if (byte === 0x26) return ampersand
  if (byte === 0x22 || byte === 0x27) return quote
  if (byte === 0x09 || byte === 0x0a || byte === 0x0d) return space
  return baseClass(byte)
})

export const nameClass = table((byte) => {
  if (byte >= 0x80) return baseClass(byte) === lead ? nameLead : nameEnd
  const char = String.fromCharCode(byte)
  return char === ":" ? nameColon : /[A-Za-z_]/.test(char) ? nameStart : /[-.0-9]/.test(char) ? namePart : nameEnd
})

/** XML 1.0 production S. */
export function isSpace(byte: number): boolean {
  return byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09
}

/** What `characterLength` answers besides a length. */
export const incomplete = 0
export const malformed = -1
export const notXml = -2

/**
 * Length in bytes of the multi-byte character at `at`: strict UTF-8 (no overlong form, no surrogate, none above U+10FFFF), legal in XML.
 * @returns 2..4, `incomplete` if `end` cuts a so far correct character, `malformed`, or `notXml` for U+FFFE and U+FFFF
 */
export function characterLength(bytes: Uint8Array, at: number, end: number): number {
  const first = bytes[at] as number
  if (first < 0xc2 || first > 0xf4) return malformed
  if (at + 1 >= end) return incomplete
  const second = bytes[at + 1] as number
  if (first < 0xe0) return (second & 0xc0) === 0x80 ? 2 : malformed
  const low = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const high = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (second < low || second > high) return malformed
  if (at + 2 >= end) return incomplete
  const third = bytes[at + 2] as number
  if ((third & 0xc0) !== 0x80) return malformed
  if (first < 0xf0) return first === 0xef && second === 0xbf && third >= 0xbe ? notXml : 3
  if (at + 3 >= end) return incomplete
  return ((bytes[at + 3] as number) & 0xc0) === 0x80 ? 4 : malformed
}

/** Code point of the valid multi-byte character of `length` bytes at `at`. */
export function codePointAt(bytes: Uint8Array, at: number, length: number): number {
  let point = (bytes[at] as number) & (length === 2 ? 0x1f : length === 3 ? 0x0f : 0x07)
  for (let i = 1; i < length; i++) point = (point << 6) | ((bytes[at + i] as number) & 0x3f)
  return point
}

/** XML 1.0 production Char. */
export function isXmlChar(point: number): boolean {
  if (point < 0x20) return point === 0x09 || point === 0x0a || point === 0x0d
  return point <= 0xd7ff || (point >= 0xe000 && point <= 0xfffd) || (point >= 0x10000 && point <= 0x10ffff)
}

const startRanges = [
  0xc0, 0xd6, 0xd8, 0xf6, 0xf8, 0x2ff, 0x370, 0x37d, 0x37f, 0x1fff, 0x200c, 0x200d, 0x2070, 0x218f, 0x2c00, 0x2fef, 0x3001, 0xd7ff, 0xf900,
  0xfdcf, 0xfdf0, 0xfffd, 0x10000, 0xeffff,
]

/** NameStartChar of XML 1.0, fifth edition, for code points above ASCII. */
export function isNameStart(point: number): boolean {
  for (let i = 0; i < startRanges.length; i += 2)
    if (point >= (startRanges[i] as number) && point <= (startRanges[i + 1] as number)) return true
  return false
}

/** NameChar of XML 1.0, fifth edition, for code points above ASCII. */
export function isNamePart(point: number): boolean {
  return point === 0xb7 || (point >= 0x300 && point <= 0x36f) || point === 0x203f || point === 0x2040 || isNameStart(point)
}
