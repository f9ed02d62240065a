// Which stream a pair of ours leaves on: one that is there and may carry it (assertion, supposition, the way back with bidi),
// else a new one; and those that want to the same place at the same moment wait for the first of them (RFC 7712 4.4; DB-32,
// DB-36).
import { type DomainPair, pairKey } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { Discovery } from "../discovery/discover.ts"
import { discoverPeer } from "./associate.ts"
import { type Federation, type IncomingHooks, type OutgoingStream, usesOf } from "./contract.ts"
import { deadline, lookupDeadline, settledOrAborted } from "./deadline.ts"
import { openOutgoing } from "./initiating.ts"
import { Interrupted, NotCarried, restsOnWeb } from "./piggyback.ts"
import { OutgoingRefused, refusalOf } from "./refusal.ts"
import type { FormerStream } from "../stream/stream-management.ts"

/** How long a pair that was refused on a stream of others goes by a connection of its own, ms. */
const refusalLasts = 24 * 3_600_000
/** And one whose stream ended while it was asked for, ms: nobody need have meant it, and it may end the next one as well. */
const interruptionLasts = 600_000
/** How long a place is remembered whose server takes one pair a stream, ms. */
const singleLasts = 600_000
const remembered = 4096
/** For this part of the time of a negotiation a pair waits for others that go to the same place. */
const patienceShare = 4

/** Moments until which something counts, the oldest forgotten first: nothing but round trips rests on them. */
class ShortMemory {
  readonly #until = new Map<string, number>()
  readonly #lasts: number

  constructor(lasts: number) {
    this.#lasts = lasts
  }

  has(key: string, now: number): boolean {
    return now < (this.#until.get(key) ?? 0)
  }

  add(key: string, now: number, lasts = this.#lasts): void {
    this.#until.delete(key)
    for (const oldest of this.#until.keys()) {
      if (this.#until.size < remembered) break
      this.#until.delete(oldest)
    }
    this.#until.set(key, now + lasts)
  }
}

/** Streams to one address that a further target is tried on: each costs a complete evaluation of the certificate shown there. */
const triedAtPlace = 4
/** How long a place is remembered where several streams carried none further, as with a certificate for each domain, ms. */
const separateLasts = 60_000

export class Carriers {
  readonly #federation: Federation
  readonly #hooks: IncomingHooks | undefined
  /** Live streams by the domains that are proven on them, and by where they are connected to. */
  readonly #byTarget = new Map<Domain, OutgoingStream[]>()
  readonly #byPlace = new Map<string, OutgoingStream[]>()
  /** Under which keys a stream is found. */
  readonly #named = new Map<OutgoingStream, string[]>()
  /** Where a stream is being opened; resolves when it is known whether others may come along. */
  readonly #opening = new Map<string, Promise<void>>()
  readonly #refused = new ShortMemory(refusalLasts)
  readonly #single = new ShortMemory(singleLasts)
  readonly #separate = new ShortMemory(separateLasts)

  /** @param hooks who takes what comes in on streams that we open (XEP-0288); without it they have one direction */
  constructor(federation: Federation, hooks?: IncomingHooks) {
    this.#federation = federation
    this.#hooks = hooks
  }

  /** An accepted stream on which a domain of the peer's was granted (XEP-0288). */
  reachable(domain: Domain, stream: OutgoingStream): void {
    this.#index(this.#byTarget, domain, stream)
  }

  #index<Key extends string>(index: Map<Key, OutgoingStream[]>, key: Key, stream: OutgoingStream): void {
    const there = index.get(key)
    if (there?.includes(stream) === true) return
    if (there === undefined) index.set(key, [stream])
    else there.push(stream)
    const named = this.#named.get(stream)
    if (named !== undefined) named.push(key)
    else {
      this.#named.set(stream, [key])
      void stream.closed.then(() => this.#forget(stream))
    }
  }

  #forget(stream: OutgoingStream): void {
    const named = this.#named.get(stream) ?? []
    this.#named.delete(stream)
    for (const index of [this.#byTarget, this.#byPlace] as Map<string, OutgoingStream[]>[]) {
      for (const key of named) {
        const left = index.get(key)?.filter((other) => other !== stream)
        if (left === undefined) continue
        if (left.length === 0) index.delete(key)
        else index.set(key, left)
      }
    }
  }

  /**
   * A stream that carries the pair when the promise resolves.
   *
   * @param former a lost stream that was opened for this pair: a new one asks to go on with it
   * @throws OutgoingRefused
   */
  async open(pair: DomainPair, signal: AbortSignal, former?: FormerStream): Promise<OutgoingStream> {
    // What is to go on with a lost stream is a stream for the same pair, of its own (security.md 12).
    if (former !== undefined) return await this.#fresh(pair, signal, undefined, former)
    const federation = this.#federation
    const hosting = federation.current()
    const { clock } = federation.ports
    const { bidi, piggyback } = usesOf(hosting, pair.target)
    if ((!bidi && !piggyback) || this.#refused.has(pairKey(pair), clock.monotonic())) return await this.#fresh(pair, signal)
    const known = await this.#join(this.#byTarget.get(pair.target), pair, signal)
    if (known !== undefined) return known
    const found = await this.#discover(pair.target, signal)
    const places = found.outcome === "endpoints" && piggyback ? found.endpoints.map(placeOf) : []
    const [first] = places
    let crowded: string | undefined
    for (let turn = 0; first !== undefined && turn < 2; turn += 1) {
      for (const place of places) {
        // A host that has a certificate for each domain has many streams, and none of them carries another: soon only the latest is
        // tried, which is the one that those who waited for it waited for.
        const tried = this.#byPlace.get(place)?.slice(this.#separate.has(place, clock.monotonic()) ? -1 : -triedAtPlace)
        const joined = await this.#join(tried, pair, signal, found)
        if (joined !== undefined) return joined
        if (tried?.length === triedAtPlace) crowded = place
      }
      const others = this.#opening.get(first)
      if (others === undefined || turn > 0 || this.#single.has(first, clock.monotonic())) break
      const patience = deadline(clock, hosting.times.negotiation / patienceShare, "waiting for others", signal)
      await settledOrAborted(others, patience.signal)
      patience.done()
    }
    if (signal.aborted) throw refusalOf(signal.reason, signal)
    const stream = await this.#fresh(pair, signal, found)
    // It has a certificate of its own there. Whoever only names the place in DNS proves nothing of those who are at it.
    if (crowded !== undefined && stream.endpoint !== undefined && placeOf(stream.endpoint) === crowded) this.#separate.add(crowded, clock.monotonic())
    return stream
  }

  async #discover(target: Domain, signal: AbortSignal): Promise<Discovery> {
    const hosting = this.#federation.current()
    const limit = lookupDeadline(this.#federation.ports.clock, hosting.times.negotiation, "the lookup", signal)
    try {
      return await discoverPeer(this.#federation, hosting, target, limit.signal)
    } finally {
      limit.done()
    }
  }

  /** On one of these streams, if one takes it; whatever one of them refuses is no matter to the others. */
  async #join(streams: readonly OutgoingStream[] | undefined, pair: DomainPair, signal: AbortSignal, found?: Discovery): Promise<OutgoingStream | undefined> {
    const { clock } = this.#federation.ports
    if (streams === undefined || this.#refused.has(pairKey(pair), clock.monotonic())) return undefined
    // One for all of them: whoever keeps many streams open must not hold a place of ours for as many times.
    const limit = deadline(clock, this.#federation.current().times.negotiation, "joining a stream", signal)
    try {
      for (const stream of [...streams]) {
        try {
          await stream.add(pair, limit.signal, found)
          this.#index(this.#byTarget, pair.target, stream)
          return stream
        } catch (error) {
          if (signal.aborted) throw refusalOf(error, signal)
          if (error instanceof Interrupted) {
            this.#refused.add(pairKey(pair), clock.monotonic(), interruptionLasts)
            return undefined
          }
          if (error instanceof NotCarried && !limit.signal.aborted) continue
          if (!limit.signal.aborted && !(error instanceof OutgoingRefused)) throw error
          // It was asked and said no, or nothing: that costs one time, not every time.
          this.#refused.add(pairKey(pair), clock.monotonic())
          return undefined
        }
      }
      return undefined
    } finally {
      limit.done()
    }
  }

  /** Whoever is there already was proven without a web server. */
  #needsNoWeb(place: string): boolean {
    const latest = this.#byPlace.get(place)?.at(-1)
    return latest?.association.verdict.outcome === "proved" && !restsOnWeb(this.#federation.current(), latest.association)
  }

  async #fresh(pair: DomainPair, signal: AbortSignal, found?: Discovery, former?: FormerStream): Promise<OutgoingStream> {
    const place = found?.outcome === "endpoints" && found.endpoints[0] !== undefined ? placeOf(found.endpoints[0]) : undefined
    let release = (): void => {}
    if (place !== undefined && !this.#opening.has(place)) {
      const known = new Promise<void>((resolve) => {
        release = resolve
      })
      this.#opening.set(place, known)
      void known.then(() => this.#opening.delete(place))
    }
    try {
      const stream = await openOutgoing(this.#federation, pair, signal, {
        ...(found === undefined ? {} : { found }),
        ...(former === undefined ? {} : { former }),
        webLater: place !== undefined && this.#needsNoWeb(place),
        ...(this.#hooks === undefined ? {} : { hooks: this.#hooks }),
        single: () => {
          if (place !== undefined) this.#single.add(place, this.#federation.ports.clock.monotonic())
          release()
        },
      })
      this.#index(this.#byTarget, pair.target, stream)
      if (stream.endpoint !== undefined && stream.errors) this.#index(this.#byPlace, placeOf(stream.endpoint), stream)
      return stream
    } finally {
      release()
    }
  }
}

function placeOf({ address, port, transport }: Endpoint): string {
  return `${address} ${port} ${transport}`
}
