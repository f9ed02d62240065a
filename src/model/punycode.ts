// Bootstring decoding for A-labels (RFC 3492, RFC 5890 2.3.2.1); the way back is the platform's UTS 46 mapping.

const base = 36
const tMin = 1
const tMax = 26
const skew = 38
const damp = 700
const initialBias = 72
const initialN = 128
const maxCodePoint = 0x10ffff

function adapt(delta: number, points: number, first: boolean): number {
  let rest = first ? Math.floor(delta / damp) : delta >> 1
  rest += Math.floor(rest / points)
  let k = 0
  while (rest > ((base - tMin) * tMax) >> 1) {
    rest = Math.floor(rest / (base - tMin))
    k += base
  }
  return k + Math.floor(((base - tMin + 1) * rest) / (rest + skew))
}

function digitOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30 + 26
  if (code >= 0x61 && code <= 0x7a) return code - 0x61
  return base
}

/**
 * Decodes what stands behind `xn--`. Lower case expected; at most 63 octets, so the work is bounded.
 *
 * @returns the Unicode label, or undefined when the text is no Bootstring (RFC 3492 6.2)
 */
export function decodePunycode(encoded: string): string | undefined {
  if (encoded.length === 0 || encoded.length > 63) return undefined
  const points: number[] = []
  const delimiter = encoded.lastIndexOf("-")
  for (let index = 0; index < delimiter; index += 1) {
    const code = encoded.charCodeAt(index)
    if (code >= 0x80) return undefined
    points.push(code)
  }
  let position = delimiter > 0 ? delimiter + 1 : 0
  let n = initialN
  let bias = initialBias
  let insertAt = 0
  while (position < encoded.length) {
    const before = insertAt
    let weight = 1
    for (let k = base; ; k += base) {
      if (position >= encoded.length) return undefined
      const digit = digitOf(encoded.charCodeAt(position))
      position += 1
      if (digit >= base) return undefined
      insertAt += digit * weight
      if (insertAt > 0x7fffffff) return undefined
      const threshold = k <= bias ? tMin : k >= bias + tMax ? tMax : k - bias
      if (digit < threshold) break
      weight *= base - threshold
    }
    bias = adapt(insertAt - before, points.length + 1, before === 0)
    n += Math.floor(insertAt / (points.length + 1))
    insertAt %= points.length + 1
    if (n > maxCodePoint || (n >= 0xd800 && n <= 0xdfff)) return undefined
    points.splice(insertAt, 0, n)
    insertAt += 1
  }
  return String.fromCodePoint(...points)
}
