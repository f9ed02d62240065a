// Streams to remote domains, one a domain pair: opened when a stanza wants to leave, closed when idle, left alone for a
// while after a failure (CORE-05, CORE-07; security.md 14: failures of
// strangers never count here).
import { type DomainPair, pairKey } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import { ns } from "../model/namespaces.ts"
import type { Instant } from "../model/verdict.ts"
import type { Clock, Random } from "../ports.ts"
import type { OutgoingFailure, OutgoingStream, StreamEnd } from "../federation/contract.ts"
import { OutgoingRefused } from "../federation/refusal.ts"
import { type FlushList, Outlet } from "../stream/outlet.ts"
import { retryWait } from "./backoff.ts"
import { type BounceReason, bounceOfFailure, bounceReasons } from "./bounce.ts"
import type { Destination } from "./destination.ts"

export interface PoolLimits {
  /** Octets that may wait for one pair. */
  readonly queue: number
  readonly retryMaxMs: number
  readonly idleMs: number
  /** Pairs known at once: with a stream, a queue or a memory of failure. */
  readonly pairs: number
  /** Streams being opened at once; others wait their turn. */
  readonly openings: number
}

export interface PoolSurroundings {
  readonly clock: Clock
  readonly random: Random
  readonly flushes: FlushList
  limits(): PoolLimits
  /** Rejects with OutgoingRefused. */
  open(pair: DomainPair, signal: AbortSignal): Promise<OutgoingStream>
  /** Stanzas that will not leave, in the content namespace of s2s streams. */
  undelivered(pair: DomainPair, stanzas: Iterable<Buffer>, reason: BounceReason): void
  /** Stanzas that wait for a pair which is not remote any more. */
  reroute(pair: DomainPair, stanzas: Iterable<Buffer>): void
  /** No stream came to be. `next`: before that moment stanzas bounce at once. */
  failed(pair: DomainPair, failure: OutgoingFailure, next: Instant): void
  /** Stanzas were written to a stream that broke before the network took them. */
  lost(pair: DomainPair, stream: string, unacknowledged: number): void
  /** An error of our own; the pool goes on. */
  broken(pair: DomainPair, error: unknown): void
  /** A pair was forgotten: remembered routes to it are void. */
  forgotten(): void
}

/** Stanzas wait for a peer that has read nothing for this long: it is given up, ms. */
const stallMs = 120_000
/** How often it is looked, at the end, whether the network has taken everything, ms. */
const backlogLookMs = 20
/** A channel that was ended has this long to write what it holds, ms; no less than the closing handshake takes. */
const lastWordsMs = 6000
/** A stream that lives shorter than this and breaks with stanzas waiting counts as a failure, ms. */
const shortLife = 5000

type State = "quiet" | "waiting-turn" | "opening" | "open" | "closing"

class Way implements Destination {
  readonly pair: DomainPair
  readonly content = ns.server
  readonly outlet: Outlet
  refusal: BounceReason | undefined
  state: State = "quiet"
  stream: OutgoingStream | undefined
  openedAt = 0
  failures = 0
  /** Monotonic; until then stanzas bounce. */
  retryAt = 0
  cancelRetry: () => void = () => {}
  /** `outlet.written` when the pool looked last, and since when it has not changed. */
  writtenBefore = 0
  quietSince = 0
  /** When something left last, as far as the pool has looked. */
  movedAt = 0
  /** Taken out of the pool while a stream was being opened. */
  gone = false
  readonly #pool: StreamPool

  constructor(pool: StreamPool, pair: DomainPair, outlet: Outlet) {
    this.#pool = pool
    this.pair = pair
    this.outlet = outlet
  }

  wanted(): void {
    if (this.state === "quiet") this.#pool.open(this)
  }
}

export interface PoolView {
  readonly pair: DomainPair
  readonly state: State
  readonly stream: OutgoingStream | undefined
  readonly unsent: number
  readonly failures: number
}

export class StreamPool {
  readonly #around: PoolSurroundings
  readonly #ways = new Map<string, Way>()
  readonly #turns: Way[] = []
  #openings = 0
  #cancelSweep: (() => void) | undefined
  readonly #abort = new AbortController()
  #stopping = false
  #idle: (() => void)[] = []
  #cancelBacklog: () => void = () => {}
  /** Streams we closed whose last words are under way. */
  readonly #leaving = new Set<() => void>()

  constructor(around: PoolSurroundings) {
    this.#around = around
  }

  /** The way for a pair; undefined when there are too many ways and none can be forgotten. */
  way(pair: DomainPair): Destination | undefined {
    const key = pairKey(pair)
    const known = this.#ways.get(key)
    if (known !== undefined) return known
    if (this.#stopping) return undefined
    const { pairs, queue } = this.#around.limits()
    if (this.#ways.size >= pairs && !this.#forgetOne()) return undefined
    const way = new Way(this, pair, new Outlet({ limit: queue, flushes: this.#around.flushes }))
    way.quietSince = this.#around.clock.monotonic()
    this.#ways.set(key, way)
    this.#sweepLater()
    return way
  }

  /** The same when its stream is open: for last words of a domain that is leaving. */
  openWay(pair: DomainPair): Destination | undefined {
    const way = this.#ways.get(pairKey(pair))
    return way?.state === "open" ? way : undefined
  }

  get views(): readonly PoolView[] {
    return [...this.#ways.values()].map(({ pair, state, stream, outlet, failures }) => ({ pair, state, stream, unsent: outlet.unsent, failures }))
  }

  open(way: Way): void {
    if (this.#stopping) return
    if (this.#openings >= this.#around.limits().openings) {
      way.state = "waiting-turn"
      this.#turns.push(way)
      return
    }
    way.state = "opening"
    this.#openings += 1
    this.#around.open(way.pair, this.#abort.signal).then(
      (stream) => this.#opened(way, stream),
      (error: unknown) => this.#refused(way, error),
    )
  }

  #turnDone(): void {
    this.#openings -= 1
    while (this.#openings < this.#around.limits().openings) {
      const next = this.#turns.shift()
      if (next === undefined) break
      if (next.state === "waiting-turn") this.open(next)
    }
    this.#checkIdle()
  }

  #opened(way: Way, stream: OutgoingStream): void {
    if (way.gone || this.#stopping) {
      stream.close(this.#stopping ? "system-shutdown" : undefined)
      return this.#turnDone()
    }
    way.state = "open"
    way.stream = stream
    way.openedAt = this.#around.clock.monotonic()
    way.quietSince = way.openedAt
    way.movedAt = way.openedAt
    stream.onDrain = () => {
      way.outlet.drained()
      this.#checkIdle()
    }
    way.outlet.attach(stream.channel)
    void stream.closed.then((end) => this.#closed(way, stream, end))
    this.#turnDone()
  }

  #refused(way: Way, error: unknown): void {
    way.state = "quiet"
    if (way.gone || this.#stopping) return this.#turnDone()
    if (!(error instanceof OutgoingRefused)) this.#around.broken(way.pair, error)
    const failure: OutgoingFailure =
      error instanceof OutgoingRefused ? error.failure : { finding: "proof.internal", detail: "", verdicts: [], kind: "unreachable", retryable: true }
    this.#fail(way, failure)
    this.#turnDone()
  }

  /** CORE-07: whoever waits is told; CORE-05: the domain is left alone for a while. */
  #fail(way: Way, failure: OutgoingFailure): void {
    way.failures += 1
    const reason = bounceOfFailure(failure)
    const { retryMaxMs } = this.#around.limits()
    // What trying again cannot change is tried again at the longest distance.
    const wait = failure.retryable ? retryWait(way.failures, retryMaxMs, this.#around.random.fraction()) : retryMaxMs
    const { clock } = this.#around
    way.retryAt = clock.monotonic() + wait
    way.refusal = reason
    way.quietSince = clock.monotonic()
    way.cancelRetry()
    way.cancelRetry = clock.after(wait, () => {
      way.refusal = undefined
    })
    this.#around.failed(way.pair, failure, clock.now() + wait)
    this.#around.undelivered(way.pair, way.outlet.take(), reason)
    this.#around.flushes.flush()
  }

  #closed(way: Way, stream: OutgoingStream, end: StreamEnd): void {
    if (way.stream !== stream) return
    way.stream = undefined
    way.state = "quiet"
    this.#countLost(way, stream, end.by === "us")
    const lived = this.#around.clock.monotonic() - way.openedAt
    if (lived >= shortLife) way.failures = 0
    way.quietSince = this.#around.clock.monotonic()
    // While stopping, what waits is counted by the gateway: nobody is left to be told.
    if (way.outlet.unsent > 0 && !this.#stopping) {
      // A peer that ends every stream at once would be asked again for ever.
      if (lived < shortLife && end.by !== "us") {
        this.#fail(way, { finding: "stream.closed", detail: end.detail, verdicts: [], kind: "unreachable", retryable: true })
      } else this.open(way)
    }
    this.#checkIdle()
  }

  /**
   * Counts what was written and may not have arrived.
   *
   * @param orderly we closed the stream: what the channel holds is still written, so it is looked at when that had its time
   */
  #countLost(way: Way, stream: OutgoingStream, orderly: boolean): void {
    const unacknowledged = way.outlet.detach()
    if (unacknowledged === 0) return
    if (!orderly || this.#stopping) return this.#around.lost(way.pair, stream.id, unacknowledged)
    const look = (): void => {
      cancel()
      this.#leaving.delete(look)
      if (stream.channel.backlog > 0) this.#around.lost(way.pair, stream.id, unacknowledged)
    }
    const cancel = this.#around.clock.after(lastWordsMs, look)
    this.#leaving.add(look)
  }

  // Idle streams and forgotten pairs.

  #sweepLater(): void {
    if (this.#cancelSweep !== undefined || this.#stopping) return
    const wait = Math.min(60_000, Math.max(1000, this.#around.limits().idleMs / 8))
    this.#cancelSweep = this.#around.clock.after(wait, () => {
      this.#cancelSweep = undefined
      this.#sweep()
      if (this.#ways.size > 0) this.#sweepLater()
    })
  }

  #sweep(): void {
    const now = this.#around.clock.monotonic()
    const { idleMs, retryMaxMs } = this.#around.limits()
    let forgotten = false
    for (const [key, way] of this.#ways) {
      const moved = way.outlet.written !== way.writtenBefore
      if (moved || way.outlet.unsent === 0) way.movedAt = now
      if (moved || way.outlet.unsent > 0) {
        if (way.state === "open" && now - way.movedAt >= stallMs) {
          this.#stalled(way)
          continue
        }
        way.writtenBefore = way.outlet.written
        way.quietSince = now
        continue
      }
      way.outlet.trim()
      const quiet = now - way.quietSince
      if (way.state === "open" && quiet >= idleMs) this.#release(way)
      // The memory of a failure outlives its wait once more, so that the next failure waits longer.
      else if (way.state === "quiet" && now >= way.retryAt && quiet >= Math.min(idleMs, 2 * retryMaxMs)) {
        this.#ways.delete(key)
        way.cancelRetry()
        forgotten = true
      }
    }
    if (forgotten) this.#around.forgotten()
  }

  /** A peer that keeps the connection and reads nothing would hold its stanzas for ever: they bounce, it is left alone. */
  #stalled(way: Way): void {
    const { stream } = way
    if (stream === undefined) return
    const unacknowledged = way.outlet.detach()
    way.stream = undefined
    way.state = "quiet"
    if (unacknowledged > 0) this.#around.lost(way.pair, stream.id, unacknowledged)
    stream.close("connection-timeout", "nothing was read for long")
    this.#fail(way, { finding: "stream.closed", detail: `the peer has read nothing for ${stallMs / 1000} s`, verdicts: [], kind: "unreachable", retryable: true })
  }

  /** Closes a stream politely. What arrives meanwhile waits for the next one. */
  #release(way: Way): void {
    if (way.stream === undefined) return
    way.state = "closing"
    this.#countLost(way, way.stream, true)
    way.stream.close()
  }

  #forgetOne(): boolean {
    const now = this.#around.clock.monotonic()
    for (const [key, way] of this.#ways) {
      if (way.state !== "quiet" || way.outlet.unsent > 0 || now < way.retryAt) continue
      this.#ways.delete(key)
      way.cancelRetry()
      this.#around.forgotten()
      return true
    }
    return false
  }

  // Reload.

  /** What domains that are leaving had waiting goes back to them while their components can still be told. */
  giveBack(leaving: (sender: Domain) => boolean): void {
    for (const way of this.#ways.values()) {
      if (leaving(way.pair.sender)) this.#around.undelivered(way.pair, way.outlet.take(), bounceReasons.gone)
    }
    this.#around.flushes.flush()
  }

  /**
   * After a new configuration: pairs that are no longer ours to send for, or no longer remote, end at once; the others
   * are judged again. Failures are forgotten: what was wrong may have been ours.
   *
   * @param remote whether the pair still leads from a domain of ours to a remote one
   * @param concerns whether anything has changed for a pair; the others go on as they are
   */
  reloaded(remote: (pair: DomainPair) => boolean, concerns: (pair: DomainPair) => boolean): void {
    for (const [key, way] of this.#ways) {
      if (!remote(way.pair)) {
        this.#ways.delete(key)
        way.gone = true
        way.state = "quiet"
        way.cancelRetry()
        const { stream } = way
        if (stream !== undefined) this.#countLost(way, stream, true)
        const stanzas = way.outlet.take()
        way.outlet.close()
        way.stream = undefined
        stream?.close("reset", "this pair of domains is not served any more")
        this.#around.reroute(way.pair, stanzas)
        continue
      }
      if (!concerns(way.pair)) continue
      way.failures = 0
      way.retryAt = 0
      way.refusal = undefined
      way.cancelRetry()
      way.stream?.recheck()
    }
    this.#around.forgotten()
    this.#around.flushes.flush()
  }

  // Shutdown.

  /** Resolves when nothing waits any more, the network has taken what was written, and no stream is being opened; bounded by the caller. */
  drained(): Promise<void> {
    return new Promise((resolve) => {
      this.#idle.push(resolve)
      this.#checkIdle()
    })
  }

  #checkIdle(): void {
    if (this.#idle.length === 0) return
    this.#cancelBacklog()
    let held = false
    for (const way of this.#ways.values()) {
      if (way.state === "opening" || way.state === "waiting-turn" || way.outlet.unsent > 0) return
      held ||= way.state === "open" && way.outlet.unacknowledged > 0
    }
    // A channel says when it was full and is empty, not when it merely is empty.
    if (held) {
      this.#cancelBacklog = this.#around.clock.after(backlogLookMs, () => this.#checkIdle())
      return
    }
    const idle = this.#idle
    this.#idle = []
    for (const resolve of idle) resolve()
  }

  /** Stanzas that wait at the moment. */
  get unsent(): number {
    let unsent = 0
    for (const way of this.#ways.values()) unsent += way.outlet.unsent
    return unsent
  }

  /** No new streams; the open ones are closed with system-shutdown. */
  async close(): Promise<void> {
    this.#stopping = true
    this.#cancelSweep?.()
    this.#cancelBacklog()
    this.#idle = []
    for (const look of this.#leaving) look()
    const closing: Promise<unknown>[] = []
    for (const way of this.#ways.values()) {
      way.cancelRetry()
      const { stream } = way
      if (stream === undefined) continue
      closing.push(stream.closed)
      // Counted before our last words are among what the channel holds. Unsent stanzas were counted by the gateway.
      this.#countLost(way, stream, false)
      stream.close("system-shutdown")
    }
    this.#abort.abort(new Error("the gateway is stopping"))
    await Promise.all(closing)
  }
}
