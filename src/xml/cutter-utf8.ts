// Is a stream of chunks UTF-8, asked once a chunk, characters cut in two included (XML-03, RFC 3629)?
import { Buffer, isUtf8 } from "node:buffer"

/** Bytes that follow the first byte of a character; 0 for ASCII and for bytes that start none. */
function following(first: number): number {
  if (first >= 0xc2 && first <= 0xdf) return 1
  if (first >= 0xe0 && first <= 0xef) return 2
  return first >= 0xf0 && first <= 0xf4 ? 3 : 0
}

/** Whether the second byte may follow the first: no overlong forms, surrogates or points above U+10FFFF (RFC 3629 4). */
function mayFollow(first: number, second: number): boolean {
  if ((second & 0xc0) !== 0x80) return false
  if (first === 0xe0) return second >= 0xa0
  if (first === 0xed) return second < 0xa0
  if (first === 0xf0) return second >= 0x90
  return first !== 0xf4 || second < 0x90
}

/** Index of a character that `end` cuts off, or `end`. */
function cutOff(bytes: Uint8Array, end: number): number {
  for (let back = 1; back <= 3 && back <= end; back += 1) {
    const byte = bytes[end - back]!
    if ((byte & 0xc0) === 0x80) continue
    return following(byte) >= back ? end - back : end
  }
  return end
}

/** Keeps the at most three bytes of a character that the last chunk cut off. */
export class Utf8Gate {
  /** Made when a character is first cut in two: most streams never need it. */
  #tail: Buffer | undefined
  #kept = 0

  /** False from the first chunk on in which a byte cannot be part of UTF-8, given all chunks before. */
  passes(chunk: Buffer): boolean {
    if (this.#kept === 0 && isUtf8(chunk)) return true
    let start = 0
    const tail = (this.#tail ??= Buffer.alloc(4))
    if (this.#kept > 0) {
      const whole = 1 + following(tail[0]!)
      while (this.#kept < whole && start < chunk.length) {
        tail[this.#kept] = chunk[start]!
        this.#kept += 1
        start += 1
      }
      if (!mayBegin(tail, this.#kept)) return false
      if (this.#kept < whole) return true
      this.#kept = 0
    }
    const end = cutOff(chunk, chunk.length)
    if (end < start) return false
    if (!isUtf8(chunk.subarray(start, end))) return false
    this.#kept = chunk.length - end
    chunk.copy(tail, 0, end)
    return mayBegin(tail, this.#kept)
  }
}

/** Whether the first `count` bytes may begin a character. */
function mayBegin(tail: Buffer, count: number): boolean {
  if (count > 1 && !mayFollow(tail[0]!, tail[1]!)) return false
  for (let index = 2; index < count; index += 1) {
    if ((tail[index]! & 0xc0) !== 0x80) return false
  }
  return true
}
