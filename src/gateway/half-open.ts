// Connections that have proved nothing yet: how many one address and all together may hold (XML-07; security.md 17; RFC 6120 13.12).
import { parseAddress } from "../model/address.ts"

export interface HalfOpenLimits {
  readonly perAddress: number
  readonly total: number
}

/** An IPv6 host owns a /64; its neighbours in there are itself. */
export function sourceOf(address: string): string {
  const bytes = parseAddress(address)
  if (bytes === undefined) return address
  const mapped = bytes.length === 16 && bytes.subarray(0, 10).every((octet) => octet === 0) && bytes[10] === 0xff && bytes[11] === 0xff
  const own = mapped ? bytes.subarray(12) : bytes.length === 16 ? bytes.subarray(0, 8) : bytes
  return own.join(".")
}

export class HalfOpen {
  readonly #counts = new Map<string, number>()
  #total = 0

  get total(): number {
    return this.#total
  }

  /** A place for one more; undefined when there is none. The returned function gives it back, once. */
  enter(address: string, limits: HalfOpenLimits): (() => void) | undefined {
    const source = sourceOf(address)
    const held = this.#counts.get(source) ?? 0
    if (this.#total >= limits.total || held >= limits.perAddress) return undefined
    this.#counts.set(source, held + 1)
    this.#total += 1
    let left = false
    return () => {
      if (left) return
      left = true
      this.#total -= 1
      const now = this.#counts.get(source)! - 1
      if (now === 0) this.#counts.delete(source)
      else this.#counts.set(source, now)
    }
  }
}
