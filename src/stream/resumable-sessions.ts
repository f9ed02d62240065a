// Streams that can be resumed, as the receiving side remembers them: counters alone, never associations (XEP-0198 5;
// SM-6; security.md 12). Bounded in number and time; a full memory refuses, it does not push others out.
import { Buffer } from "node:buffer"

import type { Clock, Random } from "../ports.ts"

/** Whom a session belongs to. Another stream may go on with it only where all of this is the same and proven again. */
export interface SessionBinding {
  /** Of the headers: the peer's domain and ours, canonical. */
  readonly from: string
  readonly to: string
  /** SHA-256 of the certificate the peer showed; undefined where it showed none. */
  readonly leaf: string | undefined
}

/** What is left of a stream: counters modulo 2^32. */
export interface SessionCounters {
  /** Stanzas of the peer's that we took. */
  readonly handled: number
  /** Stanzas of ours up to which the peer has answered. */
  readonly acknowledged: number
  /** Stanzas of ours written behind those. */
  readonly unacknowledged: number
}

interface Session {
  readonly binding: SessionBinding
  readonly network: string
  /** Ends the stream that has the session, at once: it takes nothing more. */
  surrender: (() => SessionCounters) | undefined
  counters: SessionCounters | undefined
  /** Monotonic ms; a session that a stream has does not end. */
  until: number
}

export interface SessionLimits {
  readonly sessions: number
  /** With the same binding: more of them push the oldest of their own out. */
  readonly alike: number
  /**
   * Of one network: one operator may have any number of domains. More of them push the oldest of their own out that was lost;
   * where all are in use there is no room. What is pushed out costs its stream the count, never a stanza.
   */
  readonly network: number
}

export class ResumableSessions {
  readonly #sessions = new Map<string, Session>()
  readonly #alike = new Map<string, string[]>()
  readonly #networks = new Map<string, Set<string>>()
  readonly #clock: Pick<Clock, "monotonic">
  readonly #random: Pick<Random, "bytes">
  readonly #limits: SessionLimits
  /** No session ends before, monotonic ms: most never do, and hundreds are not looked through for each that begins. */
  #nextEnd = Number.POSITIVE_INFINITY

  constructor(clock: Pick<Clock, "monotonic">, random: Pick<Random, "bytes">, limits: SessionLimits) {
    this.#clock = clock
    this.#random = random
    this.#limits = limits
  }

  get size(): number {
    return this.#sessions.size
  }

  /**
   * @param surrender ends the stream that opens the session, when another stream goes on with it
   * @param network where the peer is
   * @returns 128 random bits, or undefined where there is no room
   */
  open(binding: SessionBinding, surrender: () => SessionCounters, network = ""): string | undefined {
    this.#forgetExpired()
    const key = keyOf(binding)
    const alike = this.#alike.get(key) ?? []
    if (alike.length >= this.#limits.alike) this.close(alike[0]!)
    const neighbours = this.#networks.get(network) ?? new Set()
    if (neighbours.size >= this.#limits.network) {
      const lost = [...neighbours].find((id) => this.#sessions.get(id)?.surrender === undefined)
      if (lost === undefined) return undefined
      this.close(lost)
    }
    if (this.#sessions.size >= this.#limits.sessions) return undefined
    const id = Buffer.from(this.#random.bytes(16)).toString("base64url")
    this.#sessions.set(id, { binding, network, surrender, counters: undefined, until: Number.POSITIVE_INFINITY })
    this.#networks.set(network, neighbours.add(id))
    this.#alike.set(key, [...(this.#alike.get(key) ?? []), id])
    return id
  }

  /** The stream was lost. @param ms how long another may go on with the session */
  park(id: string, counters: SessionCounters, ms: number): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    session.surrender = undefined
    session.counters = counters
    session.until = this.#clock.monotonic() + ms
    this.#nextEnd = Math.min(this.#nextEnd, session.until)
  }

  /** The stream was closed (XEP-0198 5: what is closed is not resumed). */
  close(id: string): void {
    const session = this.#sessions.get(id)
    if (session === undefined) return
    this.#sessions.delete(id)
    const neighbours = this.#networks.get(session.network)
    neighbours?.delete(id)
    if (neighbours?.size === 0) this.#networks.delete(session.network)
    const key = keyOf(session.binding)
    const others = (this.#alike.get(key) ?? []).filter((each) => each !== id)
    if (others.length === 0) this.#alike.delete(key)
    else this.#alike.set(key, others)
  }

  /**
   * Another stream, whose peer has proven anew who it is, goes on with a session.
   *
   * @param surrender as for `open`, of the new stream
   * @returns undefined where there is no such session for this peer; then nothing has changed, whoever asked
   */
  resume(id: string, binding: SessionBinding, surrender: () => SessionCounters): SessionCounters | undefined {
    this.#forgetExpired()
    const session = this.#sessions.get(id)
    // security.md 12: knowing the name of a session is not enough.
    if (session === undefined || keyOf(session.binding) !== keyOf(binding)) return undefined
    const counters = session.surrender?.() ?? session.counters
    if (counters === undefined) return undefined
    session.surrender = surrender
    session.counters = undefined
    session.until = Number.POSITIVE_INFINITY
    return counters
  }

  #forgetExpired(): void {
    const now = this.#clock.monotonic()
    if (now < this.#nextEnd) return
    this.#nextEnd = Number.POSITIVE_INFINITY
    for (const [id, { until }] of this.#sessions) {
      if (until <= now) this.close(id)
      else this.#nextEnd = Math.min(this.#nextEnd, until)
    }
  }
}

/** No domain holds a line feed. */
function keyOf({ from, to, leaf }: SessionBinding): string {
  return `${from}\n${to}\n${leaf ?? ""}`
}
