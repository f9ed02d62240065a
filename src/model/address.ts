// IP addresses and networks as bytes: strict text in, canonical text out (RFC 4291 2.2, RFC 5952, RFC 4632).

/** 4 or 16 octets. */
export type AddressBytes = Uint8Array

/** A network; `bytes` has its host bits zero. */
export interface Cidr {
  readonly text: string
  readonly bytes: AddressBytes
  readonly prefix: number
}

export class CidrError extends Error {
  override readonly name = "CidrError"
}

function parseV4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4)
  let parts = 0
  let value = -1
  for (let at = 0; at <= text.length; at += 1) {
    const code = at === text.length ? 0x2e : text.charCodeAt(at)
    if (code === 0x2e) {
      if (value < 0 || parts === 4) return undefined
      bytes[parts] = value
      parts += 1
      value = -1
      continue
    }
    // A leading zero is octal to some libraries, so it is refused.
    if (code < 0x30 || code > 0x39 || value === 0) return undefined
    value = (value < 0 ? 0 : value * 10) + code - 0x30
    if (value > 255) return undefined
  }
  return parts === 4 ? bytes : undefined
}

function groupsOf(text: string): number[] | undefined {
  if (text === "") return []
  const groups: number[] = []
  for (const part of text.split(":")) {
    if (!/^[0-9A-Fa-f]{1,4}$/.test(part)) return undefined
    groups.push(Number.parseInt(part, 16))
  }
  return groups
}

function parseV6(text: string): Uint8Array | undefined {
  if (text.length > 45) return undefined
  let rest = text
  const dot = rest.indexOf(".")
  if (dot !== -1) {
    const colon = rest.lastIndexOf(":")
    if (colon === -1) return undefined
    const v4 = parseV4(rest.slice(colon + 1))
    if (v4 === undefined) return undefined
    rest = `${rest.slice(0, colon + 1)}${((v4[0]! << 8) | v4[1]!).toString(16)}:${((v4[2]! << 8) | v4[3]!).toString(16)}`
  }
  const halves = rest.split("::")
  if (halves.length > 2) return undefined
  const head = groupsOf(halves[0]!)
  const tail = halves.length === 2 ? groupsOf(halves[1]!) : []
  if (head === undefined || tail === undefined) return undefined
  const count = head.length + tail.length
  if (halves.length === 1 ? count !== 8 : count > 7) return undefined
  const groups = [...head, ...new Array<number>(8 - count).fill(0), ...tail]
  const bytes = new Uint8Array(16)
  for (const [index, group] of groups.entries()) {
    bytes[index * 2] = group >> 8
    bytes[index * 2 + 1] = group & 0xff
  }
  return bytes
}

/** The octets of a dotted quad or an IPv6 address without brackets and zone; undefined for anything else. */
export function parseAddress(text: string): AddressBytes | undefined {
  return text.includes(":") ? parseV6(text) : parseV4(text)
}

/** RFC 5952 text of 4 or 16 octets. */
export function addressText(bytes: AddressBytes): string {
  if (bytes.length === 4) return bytes.join(".")
  const groups: number[] = []
  for (let index = 0; index < 16; index += 2) groups.push((bytes[index]! << 8) | bytes[index + 1]!)
  let bestStart = -1
  let bestLength = 1
  for (let start = 0; start < 8; start += 1) {
    let length = 0
    while (start + length < 8 && groups[start + length] === 0) length += 1
    if (length > bestLength) {
      bestStart = start
      bestLength = length
    }
  }
  const hex = (part: number[]): string => part.map((group) => group.toString(16)).join(":")
  if (bestStart === -1) return hex(groups)
  return `${hex(groups.slice(0, bestStart))}::${hex(groups.slice(bestStart + bestLength))}`
}

/**
 * Reads `address/prefix` or a single address.
 *
 * @throws CidrError with a sentence: no address, prefix out of range, host bits set
 */
export function parseCidr(text: string): Cidr {
  const slash = text.indexOf("/")
  const bytes = parseAddress(slash === -1 ? text : text.slice(0, slash))
  if (bytes === undefined) throw new CidrError(`${JSON.stringify(text)} is not a network: write it as 192.0.2.0/24 or 2001:db8::/32.`)
  const bits = bytes.length * 8
  const prefixText = slash === -1 ? String(bits) : text.slice(slash + 1)
  const prefix = /^\d{1,3}$/.test(prefixText) ? Number(prefixText) : Number.NaN
  if (!(prefix <= bits)) throw new CidrError(`${JSON.stringify(text)} is not a network: the prefix must be a number from 0 to ${bits}.`)
  const masked = bytes.map((byte, index) => byte & maskOctet(prefix, index))
  if (masked.some((byte, index) => byte !== bytes[index])) {
    throw new CidrError(`${JSON.stringify(text)} has bits behind its prefix; did you mean ${addressText(masked)}/${prefix}?`)
  }
  return { text: `${addressText(masked)}/${prefix}`, bytes: masked, prefix }
}

function maskOctet(prefix: number, index: number): number {
  const bits = Math.min(8, Math.max(0, prefix - index * 8))
  return (0xff00 >> bits) & 0xff
}

/** True when the address is in the network; never across families. */
export function inNetwork(address: AddressBytes, network: Cidr): boolean {
  if (address.length !== network.bytes.length) return false
  for (let index = 0; index * 8 < network.prefix; index += 1) {
    if ((address[index]! & maskOctet(network.prefix, index)) !== network.bytes[index]) return false
  }
  return true
}
