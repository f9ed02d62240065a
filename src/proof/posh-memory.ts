// What a gateway remembers of POSH documents (RFC 7711 6; POSH-17, POSH-18, POSH-27; security.md 11, 14): each until its own end,
// failures for less than a minute, those of strangers apart from ours, everything counted.
import type { Instant } from "../model/verdict.ts"
import type { Clock } from "../ports.ts"
import type { PoshMaterial } from "./posh-trail.ts"

export interface PoshMemoryLimits {
  /** Of documents with their certificates, all together. */
  readonly octets: number
  readonly entries: number
  /** Documents fetched at once, and how many of them may be for connections of strangers. */
  readonly flights: number
  readonly strangers: number
  /** One fetch with all its hops, ms. */
  readonly patience: number
  /** How long a failure is remembered, and how soon one is tried again while an older document serves, ms; at most 60 s (security.md 14). */
  readonly failure: number
}

export const defaultPoshMemoryLimits: PoshMemoryLimits = { octets: 32 * 1024 * 1024, entries: 20_000, flights: 256, strangers: 192, patience: 30_000, failure: 30_000 }

/** What material is worth: `until` of a document; `said`: the domain has answered, if only that it has none. */
export interface Worth {
  readonly document: { readonly from: Instant; readonly until: Instant } | undefined
  readonly said: boolean
}

export interface PoshRequest {
  /** Everything that the answer depends on. */
  readonly key: string
  /** The claim of a peer that connected to us causes it. */
  readonly stranger: boolean
  /** The network of that peer, which its fetches are capped by. */
  readonly source?: string
  readonly signal: AbortSignal
  run(signal: AbortSignal, at: Instant): Promise<PoshMaterial>
  worth(material: PoshMaterial): Worth
  /** Our own limits ended it, which says nothing about the domain. */
  wasCapped(material: PoshMaterial): boolean
  /** Material of those who are not let in, or do not wait until the end. */
  without(kind: "capped" | "unreachable", at: Instant): PoshMaterial
}

interface Entry {
  readonly material: PoshMaterial
  readonly octets: number
  /** Of a failure, how long it is remembered; of a document, its end. */
  readonly until: Instant
  /** Not asked for again before. */
  rest: Instant
  readonly document: boolean
}

interface Flight {
  readonly material: Promise<PoshMaterial>
  readonly giveUp: AbortController
  waiting: number
}

function octetsOf({ exchanges }: PoshMaterial): number {
  return exchanges.reduce((sum, { url, chain, answer }) => sum + 512 + url.length + (answer?.body.length ?? 0) + chain.reduce((total, der) => total + der.length, 0), 1024)
}

/** One for the life of a gateway. */
export class PoshMemory {
  readonly #clock: Clock
  readonly #limits: PoshMemoryLimits
  /** The least recently used first. */
  readonly #entries = new Map<string, Entry>()
  readonly #flights = new Map<string, Flight>()
  #octets = 0
  #strangers = 0

  constructor(clock: Clock, limits: Partial<PoshMemoryLimits> = {}) {
    this.#clock = clock
    this.#limits = { ...defaultPoshMemoryLimits, ...limits }
  }

  /** For display. */
  get size(): { readonly entries: number; readonly octets: number; readonly flights: number } {
    return { entries: this.#entries.size, octets: this.#octets, flights: this.#flights.size }
  }

  /** From memory, from a fetch under way, or fetched. */
  async obtain(request: PoshRequest): Promise<PoshMaterial> {
    const now = this.#clock.now()
    const held = this.#held(request, now)
    if (held !== undefined && now < held.rest) return held.material
    const under = this.#flights.get(flightKey(request))
    // One that was given up a moment ago comes to nothing.
    const flight = under === undefined || under.giveUp.signal.aborted ? this.#begin(request) : under
    if (flight === undefined) return held?.document === true ? held.material : request.without("capped", now)
    const fresh = await this.#join(flight, request.signal)
    const after = this.#clock.now()
    const kept = this.#held(request, after)
    if (fresh === undefined) return kept?.document === true ? kept.material : request.without("unreachable", now)
    // POSH-17: where asking again came to nothing, the older document serves until its own end.
    const { document, said } = request.worth(fresh)
    return document === undefined && !said && kept?.document === true ? kept.material : fresh
  }

  /** What is remembered and may be used: documents by all; what failed for strangers is no matter of ours (security.md 14). */
  #held(request: PoshRequest, now: Instant): Entry | undefined {
    for (const each of [request.key, failureKey(request)]) {
      const entry = this.#entries.get(each)
      if (entry === undefined) continue
      this.#entries.delete(each)
      // A clock that was set back makes nothing last longer.
      if (now >= entry.until || now < entry.material.at - 1000) {
        this.#octets -= entry.octets
        continue
      }
      this.#entries.set(each, entry)
      return entry
    }
    return undefined
  }

  #begin(request: PoshRequest): Flight | undefined {
    const { flights, strangers, patience } = this.#limits
    if (this.#flights.size >= flights || (request.stranger && this.#strangers >= strangers)) return undefined
    const key = flightKey(request)
    const giveUp = new AbortController()
    const cancel = this.#clock.after(patience, () => giveUp.abort(new Error(`no POSH document within ${patience} ms`)))
    if (request.stranger) this.#strangers += 1
    const material = request
      .run(giveUp.signal, this.#clock.now())
      .then((fetched) => {
        // What only our own hurry or our own caps ended says nothing about the domain.
        if (!giveUp.signal.aborted && !request.wasCapped(fetched)) this.#keep(request, fetched)
        return fetched
      })
      .finally(() => {
        cancel()
        if (request.stranger) this.#strangers -= 1
        if (this.#flights.get(key) === flight) this.#flights.delete(key)
      })
    const flight: Flight = { material, giveUp, waiting: 0 }
    this.#flights.set(key, flight)
    return flight
  }

  /** Undefined: not in the caller's time. The fetch ends when nobody waits for it any more. */
  async #join(flight: Flight, signal: AbortSignal): Promise<PoshMaterial | undefined> {
    flight.waiting += 1
    let left = (): void => {}
    const gone = new Promise<undefined>((resolve) => {
      left = () => resolve(undefined)
      if (signal.aborted) left()
      else signal.addEventListener("abort", left, { once: true })
    })
    try {
      return await Promise.race([flight.material, gone])
    } finally {
      signal.removeEventListener("abort", left)
      flight.waiting -= 1
      if (flight.waiting === 0) flight.giveUp.abort(new Error("nobody waits for this document any more"))
    }
  }

  #keep(request: PoshRequest, material: PoshMaterial): void {
    const { failure } = this.#limits
    const now = this.#clock.now()
    const { document, said } = request.worth(material)
    const octets = octetsOf(material)
    if (document !== undefined) {
      for (const stranger of [true, false]) this.#forget(failureKey({ key: request.key, stranger }))
      this.#put(request.key, { material, octets, until: document.until, rest: document.from, document: true })
      return
    }
    const before = this.#entries.get(request.key)
    // POSH-03, POSH-09: "there is none" and "nothing holds" end what was said before; silence does not.
    if (said) this.#forget(request.key)
    else if (before !== undefined) before.rest = Math.max(before.rest, now + failure)
    this.#put(failureKey(request), { material, octets, until: now + failure, rest: now + failure, document: false })
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#entries.delete(key)
    this.#octets -= entry.octets
  }

  #put(key: string, entry: Entry): void {
    this.#forget(key)
    this.#entries.set(key, entry)
    this.#octets += entry.octets
    for (const oldest of this.#entries.keys()) {
      if (this.#octets <= this.#limits.octets && this.#entries.size <= this.#limits.entries) return
      this.#forget(oldest)
    }
  }
}

/** A stranger's fetch is capped by where the stranger is; nobody from elsewhere waits for it (security.md 14). */
function flightKey({ key, stranger, source = "" }: PoshRequest): string {
  return `${stranger ? `in ${source}` : "out"} ${key}`
}

function failureKey({ key, stranger }: Pick<PoshRequest, "key" | "stranger">): string {
  return `failed ${stranger ? "in" : "out"} ${key}`
}
