// Which server a TLS client asks for, read before TLS begins, so that a web host of the lab can misbehave by name (RFC 8446 4.1.2, RFC 6066 3).

/** Octets of a first flight that are waited for. */
export const mostHello = 16 * 1024

export type HelloReading =
  | { readonly state: "more" }
  /** Without SNI, or no ClientHello at all. */
  | { readonly state: "unnamed" }
  | { readonly state: "named"; readonly serverName: string }

const unnamed = { state: "unnamed" } as const
const more = { state: "more" } as const

/** Reads a structure from the front; one that is too short answers undefined, and so does everything after it. */
class Octets {
  readonly #bytes: Buffer
  #at = 0
  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }
  get left(): number {
    return this.#bytes.length - this.#at
  }
  take(count: number): Buffer | undefined {
    if (this.left < count) {
      this.#at = this.#bytes.length
      return undefined
    }
    this.#at += count
    return this.#bytes.subarray(this.#at - count, this.#at)
  }
  number(width: number): number | undefined {
    return this.take(width)?.readUIntBE(0, width)
  }
  /** A vector with its length in front. */
  vector(width: number): Octets | undefined {
    const length = this.number(width)
    const bytes = length === undefined ? undefined : this.take(length)
    return bytes === undefined ? undefined : new Octets(bytes)
  }
}

/** The handshake message out of its records: a large ClientHello comes in several. */
function handshake(flight: Buffer): Buffer | "more" | undefined {
  const records = new Octets(flight)
  const parts: Buffer[] = []
  while (records.left > 0) {
    if (records.number(1) !== 22) return undefined
    if (records.take(2) === undefined) return "more"
    const length = records.number(2)
    const part = length === undefined ? undefined : records.take(length)
    if (part === undefined) return "more"
    parts.push(part)
    const message = Buffer.concat(parts)
    if (message[0] !== 1) return undefined
    if (message.length >= 4 && message.length >= 4 + message.readUIntBE(1, 3)) return message.subarray(4, 4 + message.readUIntBE(1, 3))
  }
  return "more"
}

/** @param flight everything that the client has sent so far */
export function readServerName(flight: Buffer): HelloReading {
  const message = handshake(flight)
  if (message === "more") return flight.length > mostHello ? unnamed : more
  if (message === undefined) return unnamed
  const hello = new Octets(message)
  hello.take(2 + 32)
  hello.vector(1)
  hello.vector(2)
  hello.vector(1)
  const extensions = hello.vector(2)
  while (extensions !== undefined && extensions.left > 0) {
    const type = extensions.number(2)
    const content = extensions.vector(2)
    if (type !== 0 || content === undefined) continue
    const names = content.vector(2)
    const kind = names?.number(1)
    const length = names?.number(2)
    const name = length === undefined ? undefined : names?.take(length)
    return kind === 0 && name !== undefined ? { state: "named", serverName: name.toString("latin1").toLowerCase() } : unnamed
  }
  return unnamed
}
