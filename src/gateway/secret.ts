// A shared secret that no log, JSON or error can show (security.md 27), and the XEP-0114 handshake over it (COMP-2).
import { createHash, timingSafeEqual } from "node:crypto"

/** The least strength of a component's secret, in bits (security.md 21). */
export const leastSecretBits = 128

function digest(text: string): Buffer {
  return createHash("sha256").update(text, "utf8").digest()
}

/** Wraps a secret; every accidental way of showing it yields a placeholder. */
export class Secret {
  readonly #text: string
  constructor(text: string) {
    this.#text = text
  }

  /** Lower-case hex SHA-1 of stream id and secret (XEP-0114 3). */
  handshake(streamId: string): string {
    return createHash("sha1").update(`${streamId}${this.#text}`, "utf8").digest("hex")
  }

  /** Compares a received handshake in constant time: both sides are hashed first, so their length does not show either. */
  acceptsHandshake(streamId: string, received: string): boolean {
    return timingSafeEqual(digest(this.handshake(streamId)), digest(received))
  }

  toString(): string {
    return "[secret]"
  }

  toJSON(): string {
    return "[secret]"
  }

  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return "[secret]"
  }
}

/**
 * What a generated text of this alphabet and length is worth at most, in bits. A text can be weaker than that (nobody
 * can measure a password), so one that plainly repeats itself is worth nothing.
 */
export function secretBits(text: string): number {
  const symbols = [...text]
  if (new Set(symbols).size < 8) return 0
  const alphabet = /^[0-9]+$/.test(text) ? 10 : /^(?:[0-9a-f]+|[0-9A-F]+)$/.test(text) ? 16 : /^(?:[0-9a-z]+|[0-9A-Z]+)$/.test(text) ? 36 : /^[0-9A-Za-z]+$/.test(text) ? 62 : 94
  return Math.floor(symbols.length * Math.log2(alphabet))
}
