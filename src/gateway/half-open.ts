// Connections that have proved nothing yet: how many one address and all together may hold, and how fast they come in
// (XML-07; security.md 17; RFC 6120 13.12).
import { parseAddress } from "../model/address.ts"
import type { Clock } from "../ports.ts"

export interface HalfOpenLimits {
  readonly perAddress: number
  /** Inside and waiting, all addresses together. */
  readonly total: number
  /** Of one address, beyond those inside, not read from until a place is free: a large host opens many streams at once. */
  readonly waiting?: number
  /** How long one waits, ms. */
  readonly patience?: number
  /** Milliseconds until the next of this address may come in, whatever places are free; 0 now. Asked again for each. */
  readonly delay?: () => number
}

/** What becomes of a connection: let in (now or later) with the function that gives its place back, or turned away. */
export interface Visitor {
  admitted(leave: () => void): void
  refused(): void
}

interface Waiting {
  readonly visitor: Visitor
  readonly cancel: () => void
}

interface Source {
  inside: number
  readonly waiting: Waiting[]
  /** Of those who came last. */
  limits: HalfOpenLimits
  cancelDelay: (() => void) | undefined
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
  readonly #clock: Clock
  readonly #sources = new Map<string, Source>()
  #total = 0

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Inside and waiting. */
  get total(): number {
    return this.#total
  }

  /** Calls the visitor back at once, or, when it has to wait, later; exactly once. */
  enter(address: string, limits: HalfOpenLimits, visitor: Visitor): void {
    const name = sourceOf(address)
    const source: Source = this.#sources.get(name) ?? { inside: 0, waiting: [], limits, cancelDelay: undefined }
    source.limits = limits
    const full = source.waiting.length > 0 || source.inside >= limits.perAddress || (limits.delay?.() ?? 0) > 0
    if (this.#total >= limits.total || (full && source.waiting.length >= (limits.waiting ?? 0))) return visitor.refused()
    this.#sources.set(name, source)
    this.#total += 1
    if (!full) return this.#admit(name, source, visitor)
    const waiting: Waiting = {
      visitor,
      cancel: this.#clock.after(limits.patience ?? 0, () => {
        source.waiting.splice(source.waiting.indexOf(waiting), 1)
        this.#total -= 1
        visitor.refused()
        this.#next(name, source)
      }),
    }
    source.waiting.push(waiting)
    this.#next(name, source)
  }

  /** Lets in whoever may come in now, and looks again when the next may. */
  #next(name: string, source: Source): void {
    while (source.waiting.length > 0 && source.inside < source.limits.perAddress) {
      const delay = source.limits.delay?.() ?? 0
      if (delay > 0) {
        source.cancelDelay ??= this.#clock.after(delay, () => {
          source.cancelDelay = undefined
          this.#next(name, source)
        })
        return
      }
      const next = source.waiting.shift()
      next?.cancel()
      if (next !== undefined) this.#admit(name, source, next.visitor)
    }
    if (source.inside > 0 || source.waiting.length > 0) return
    source.cancelDelay?.()
    this.#sources.delete(name)
  }

  #admit(name: string, source: Source, visitor: Visitor): void {
    source.inside += 1
    let left = false
    visitor.admitted(() => {
      if (left) return
      left = true
      source.inside -= 1
      this.#total -= 1
      this.#next(name, source)
    })
  }

  /** Turns everybody away who waits. */
  close(): void {
    for (const source of this.#sources.values()) {
      source.cancelDelay?.()
      source.cancelDelay = undefined
      for (const { cancel, visitor } of source.waiting.splice(0)) {
        cancel()
        this.#total -= 1
        visitor.refused()
      }
    }
  }
}
