// Streams to remote domains: opened when a stanza wants to leave, shared by the pairs that a stream may carry, closed when
// idle, and a pair left alone for a while after a failure (CORE-05, CORE-07; security.md 14: failures of strangers never
// count here).
import { type DomainPair, pairKey } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { OutgoingFailure, OutgoingStream, StreamEnd } from "../federation/contract.ts"
import { OutgoingRefused, refusal } from "../federation/refusal.ts"
import { Outlet } from "../stream/outlet.ts"
import type { FormerStream } from "../stream/stream-management.ts"
import { retryWait } from "./backoff.ts"
import { bounceOfFailure, bounceReasons } from "./bounce.ts"
import type { Destination } from "./destination.ts"
import { Drained } from "./drained.ts"
import { Leftovers } from "./leftovers.ts"
import { Losses } from "./losses.ts"
import { Openings } from "./openings.ts"
import type { PoolSurroundings, PoolView } from "./pool-contract.ts"
import { Carrier, sweepWait, Way } from "./ways.ts"

/** Stanzas wait for a peer that has read nothing for this long: it is given up, ms. */
const stallMs = 120_000
/** A stream that lives shorter than this and breaks with stanzas waiting counts as a failure, ms. */
const shortLife = 5000

export class StreamPool {
  readonly #around: PoolSurroundings
  readonly #ways = new Map<string, Way>()
  readonly #carriers = new Map<OutgoingStream, Carrier>()
  readonly #openings: Openings<Way>
  #cancelSweep: (() => void) | undefined
  #sweepWait = 0
  readonly #abort = new AbortController()
  #stopping = false
  readonly #drained: Drained
  readonly #losses: Losses
  readonly #leftovers: Leftovers

  constructor(around: PoolSurroundings) {
    this.#around = around
    this.#losses = new Losses(around)
    this.#leftovers = new Leftovers(around, this.#ways)
    this.#openings = new Openings(around.clock, () => around.limits(), (way) => {
      if (way.state === "waiting-turn") this.open(way)
    })
    this.#drained = new Drained(around.clock, () => this.#standing())
  }

  /** The way for a pair; undefined when there are too many ways and none can be forgotten. */
  way(pair: DomainPair): Destination | undefined {
    const key = pairKey(pair)
    const known = this.#ways.get(key)
    if (known !== undefined) return known
    if (this.#stopping) return undefined
    if (this.#ways.size >= this.#around.limits().pairs && !this.#forgetOne()) return undefined
    const way = new Way(this, pair)
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

  /** A queue of the size that one destination may have. */
  queue(): Outlet {
    return new Outlet({ limit: this.#around.limits().queue, flushes: this.#around.flushes })
  }

  get views(): readonly PoolView[] {
    return [...this.#ways.values()].map((way) => {
      const { pair, state, carrier, failures } = way
      return { pair, state, stream: carrier?.stream, association: carrier?.stream.associationOf(pair), unsent: carrier?.outlet.unsent ?? way.waiting, failures }
    })
  }

  open(way: Way): void {
    if (this.#stopping) return
    if (!this.#openings.take(way)) {
      way.state = "waiting-turn"
      return
    }
    way.state = "opening"
    this.#around.open(way.pair, this.#abort.signal, way.held?.former).then(
      (stream) => this.#opened(way, stream),
      (error: unknown) => this.#refused(way, error),
    )
  }

  #turnDone(): void {
    this.#openings.done()
    this.#drained.look()
  }

  #opened(way: Way, stream: OutgoingStream): void {
    const resumed = way.held !== undefined
    this.#letGo(way, stream.arrived)
    if (way.gone || this.#stopping) {
      this.#unwanted(way, stream)
      return this.#turnDone()
    }
    const carrier = this.#carriers.get(stream)
    if (stream.ended === true && pairKey(stream.pair) === pairKey(way.pair)) return this.#refused(way, refusal("stream.closed", "as soon as it was open", "unreachable"))
    if (carrier?.leaving === true || stream.ended === true) {
      // It is being closed, or its end came together with the answer: the pair comes onto the next one.
      way.state = "quiet"
      this.#turnDone()
      if (way.waiting > 0) this.open(way)
      return
    }
    way.state = "open"
    way.quietSince = this.#around.clock.monotonic()
    if (carrier === undefined) this.#carry(way, stream, resumed)
    else {
      carrier.quietSince = way.quietSince
      this.#join(way, carrier)
    }
    this.#around.flushes.flush() // also bounces of what is too large for this peer
    this.#turnDone()
  }

  #unwanted(way: Way, stream: OutgoingStream): void {
    const others = this.#carriers.get(stream)
    if (others !== undefined) stream.drop([way.pair])
    else stream.close(this.#stopping ? "system-shutdown" : undefined)
  }

  #join(way: Way, carrier: Carrier): void {
    for (const { stanza } of way.join(carrier)) this.#around.undelivered(way.pair, [stanza], bounceReasons.tooLarge)
  }

  #carry(way: Way, stream: OutgoingStream, resumed: boolean): void {
    const outlet = way.own
    const carrier = new Carrier(stream, outlet, this.#around.clock.monotonic(), resumed)
    this.#carriers.set(stream, carrier)
    // LIM-2: what the peer says it does not take would cost the stream.
    this.#around.undelivered(way.pair, outlet.limitStanzas(stream.limits?.maxBytes), bounceReasons.tooLarge)
    this.#join(way, carrier)
    // It may have to be closed earlier than those before.
    if (sweepWait(carrier.idleWithin(this.#around.limits().idleMs)) < this.#sweepWait) this.#cancelSweep = void this.#cancelSweep?.()
    this.#sweepLater()
    stream.onDrain = () => {
      outlet.drained()
      this.#drained.look()
    }
    stream.onWithdrawn = (pairs) => this.#withdrawn(carrier, pairs)
    outlet.attach(stream.channel, stream.carry?.(outlet))
    void stream.closed.then((end) => this.#closed(carrier, end))
  }

  /** These may leave on this stream no longer; what waited of them finds another way. */
  #withdrawn(carrier: Carrier, pairs: readonly DomainPair[]): void {
    if (carrier.leaving) return
    const parted: Way[] = []
    for (const pair of pairs) {
      const way = this.#ways.get(pairKey(pair))
      if (way === undefined || way.carrier !== carrier) continue
      // Also the last one: with bidi the stream may go on without any pair of ours.
      this.#partWith(way, carrier)
      way.state = "quiet"
      parted.push(way)
    }
    if (parted.length === 0) return
    this.#leftovers.sortOut(carrier)
    this.#openAgain(parted)
  }

  #openAgain(ways: Iterable<Way>): void {
    for (const way of ways) if (way.state === "quiet" && way.waiting > 0) this.open(way)
  }

  #partWith(way: Way, carrier: Carrier): void {
    carrier.ways.delete(way)
    way.part()
  }

  /** The stream before was lost with stanzas that were not acknowledged: the next one asks how far it came (XEP-0198 5). */
  #hold(carrier: Carrier, former: FormerStream, way: Way): void {
    way.held = { former, carrier }
    // What comes meanwhile queues behind what is held.
    for (const each of carrier.ways) each.state = "waiting-turn"
    this.open(way)
  }

  /** It is known how far the stream before came, or never will be: each pair waits for a stream on which it is proven. */
  #letGo(way: Way, arrived: number | undefined): void {
    const carrier = way.held?.carrier
    if (carrier === undefined) return
    way.held = undefined
    const ways = [...carrier.ways]
    for (const each of ways) {
      this.#partWith(each, carrier)
      if (each !== way) each.state = "quiet"
    }
    const waiting = this.#leftovers.sortOut(carrier, arrived)
    carrier.outlet.close()
    this.#openAgain([...ways, ...waiting])
  }

  #refused(way: Way, error: unknown): void {
    this.#letGo(way, undefined)
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
    way.leaveAlone(clock, wait, reason)
    this.#around.failed(way.pair, failure, clock.now() + wait)
    this.#around.undelivered(way.pair, way.own.take(), reason)
    this.#around.flushes.flush()
  }

  #closed(carrier: Carrier, end: StreamEnd): void {
    const { stream, outlet } = carrier
    if (!this.#carriers.delete(stream)) return
    const ways = [...carrier.ways]
    if (!carrier.leaving) this.#countLost(carrier, end.by === "us")
    const now = this.#around.clock.monotonic()
    const lived = now - carrier.openedAt
    const first = this.#ways.get(pairKey(stream.pair))
    // A peer that loses every stream it resumes would be asked again for ever.
    const resumable = !carrier.leaving && !this.#stopping && (lived >= shortLife || !carrier.resumed)
    if (resumable && stream.former !== undefined && outlet.unacknowledged > 0 && first?.carrier === carrier) {
      for (const way of ways) way.quietSince = now
      return this.#hold(carrier, stream.former, first)
    }
    for (const way of ways) {
      way.part()
      way.state = "quiet"
      way.quietSince = now
      if (lived >= shortLife) way.failures = 0
    }
    carrier.ways.clear()
    const waiting = carrier.leaving ? [] : this.#giveBack(carrier, ways)
    // While stopping, what waits is counted by the gateway: nobody is left to be told.
    for (const way of this.#stopping ? [] : ways) {
      if (way.waiting === 0 || way.state !== "quiet") continue
      // A peer that ends every stream at once would be asked again for ever.
      if (lived < shortLife && end.by !== "us") {
        this.#fail(way, { finding: "stream.closed", detail: end.detail, verdicts: [], kind: "unreachable", retryable: true })
      } else this.open(way)
    }
    this.#openAgain(waiting)
    this.#drained.look()
  }

  /** @returns pairs that have something waiting, as far as somebody has to look for them */
  #giveBack(carrier: Carrier, ways: readonly Way[]): Iterable<Way> {
    const { outlet } = carrier
    const [only] = ways
    if (ways.length !== 1 || only === undefined || outlet.unacknowledged > 0) return this.#leftovers.sortOut(carrier)
    only.own = outlet
    return []
  }

  /** @param orderly we closed the stream */
  #countLost(carrier: Carrier, orderly: boolean): void {
    const { outlet, stream } = carrier
    const unacknowledged = carrier.detach() + (this.#stopping ? outlet.unacknowledged : 0)
    this.#losses.count(stream, unacknowledged, orderly && !this.#stopping)
  }

  // Idle streams and forgotten pairs.

  #sweepLater(): void {
    if (this.#cancelSweep !== undefined || this.#stopping) return
    let idleMs = this.#around.limits().idleMs
    for (const carrier of this.#carriers.values()) idleMs = Math.min(idleMs, carrier.idleWithin(idleMs))
    this.#sweepWait = sweepWait(idleMs)
    this.#cancelSweep = this.#around.clock.after(this.#sweepWait, () => {
      this.#cancelSweep = undefined
      this.#sweep()
      if (this.#ways.size > 0) this.#sweepLater()
    })
  }

  #sweep(): void {
    const now = this.#around.clock.monotonic()
    const { idleMs, retryMaxMs } = this.#around.limits()
    let forgotten = false
    for (const carrier of this.#carriers.values()) if (!carrier.leaving) this.#look(carrier, now, idleMs)
    for (const [key, way] of this.#ways) {
      if (way.state === "quiet" && way.waiting > 0) way.quietSince = now
      else if (way.state === "quiet") {
        way.trim()
        // The memory of a failure outlives its wait once more, so that the next failure waits longer.
        if (now < way.retryAt || now - way.quietSince < Math.min(idleMs, 2 * retryMaxMs)) continue
        this.#ways.delete(key)
        way.cancelRetry()
        forgotten = true
      }
    }
    if (forgotten) this.#around.forgotten()
  }

  #look(carrier: Carrier, now: number, idleMs: number): void {
    const { outlet, stream } = carrier
    const moved = outlet.written !== carrier.writtenBefore
    if (moved || outlet.unsent === 0) carrier.movedAt = now
    if (moved || outlet.unsent > 0) {
      if (now - carrier.movedAt >= stallMs) return this.#stalled(carrier)
      carrier.writtenBefore = outlet.written
      carrier.quietSince = now
      stream.lastOutput = now
      return
    }
    outlet.trim()
    // A peer that owes an answer for long is not there any more.
    if (stream.unansweredSince !== undefined && now - stream.unansweredSince >= stallMs) return this.#stalled(carrier)
    if (outlet.unacknowledgedBytes > 0) return
    // With bidi the other direction may be busy.
    const quietSince = Math.max(carrier.quietSince, stream.lastInput ?? 0)
    if (now - quietSince >= carrier.idleWithin(idleMs)) this.#release(carrier)
  }

  /** A peer that keeps the connection and reads nothing would hold its stanzas for ever: they bounce, it is left alone. */
  #stalled(carrier: Carrier): void {
    const { stream } = carrier
    const unacknowledged = carrier.detach()
    const ways = [...carrier.ways]
    this.#carriers.delete(stream)
    for (const way of ways) {
      way.part()
      way.state = "quiet"
    }
    const waiting = this.#giveBack(carrier, ways)
    if (unacknowledged > 0) this.#around.lost(stream.pair, stream.id, unacknowledged)
    stream.close("connection-timeout", "nothing was read for long")
    for (const way of ways) {
      if (way.waiting === 0) continue
      this.#fail(way, { finding: "stream.closed", detail: `the peer has read nothing for ${stallMs / 1000} s`, verdicts: [], kind: "unreachable", retryable: true })
    }
    this.#openAgain(waiting)
  }

  /** Closes a stream politely. What arrives meanwhile waits for the next one. */
  #release(carrier: Carrier): void {
    this.#countLost(carrier, true)
    carrier.leaving = true
    for (const way of carrier.ways) {
      way.part()
      way.state = "closing"
    }
    carrier.stream.close()
  }

  #forgetOne(): boolean {
    const now = this.#around.clock.monotonic()
    for (const [key, way] of this.#ways) {
      if (way.state !== "quiet" || way.waiting > 0 || now < way.retryAt) continue
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
    for (const way of this.#ways.values()) if (leaving(way.pair.sender)) this.#letGo(way, undefined)
    this.#leftovers.giveBack(leaving)
  }

  /**
   * After a new configuration: pairs that are no longer ours to send for, or no longer remote, end at once; the others
   * are judged again. Failures are forgotten: what was wrong may have been ours.
   *
   * @param remote whether the pair still leads from a domain of ours to a remote one
   * @param concerns whether anything has changed for a pair; the others go on as they are
   */
  reloaded(remote: (pair: DomainPair) => boolean, concerns: (pair: DomainPair) => boolean): void {
    // What a stream that is being resumed left is waited for: sent again without the answer, it might arrive twice.
    for (const way of this.#ways.values()) if (!remote(way.pair)) this.#letGo(way, undefined)
    const touched = new Set<Carrier>()
    for (const [key, way] of this.#ways) {
      if (remote(way.pair)) {
        if (!concerns(way.pair)) continue
        way.forgive()
        continue
      }
      this.#ways.delete(key)
      way.gone = true
      way.state = "quiet"
      way.cancelRetry()
      const { carrier } = way
      if (carrier === undefined) {
        this.#around.reroute(way.pair, way.own.take())
        way.own.close()
        continue
      }
      // One that was lost is sorted out when it is known how far it came.
      if (this.#carriers.has(carrier.stream)) touched.add(carrier)
      this.#partWith(way, carrier)
      // Whoever still remembers the way must not queue what nobody will look for.
      way.own.close()
    }
    for (const carrier of touched) this.#without(carrier, remote)
    for (const carrier of [...this.#carriers.values()]) {
      const { stream } = carrier
      if (!carrier.leaving && (concerns(stream.pair) || stream.associations().some(({ pair }) => concerns(pair)))) stream.recheck()
    }
    this.#around.forgotten()
    this.#around.flushes.flush()
  }

  /** Pairs of this stream are not ours to send for any more; what waits of them is routed anew. */
  #without(carrier: Carrier, remote: (pair: DomainPair) => boolean): void {
    const { stream } = carrier
    if (carrier.ways.size > 0) {
      this.#leftovers.sortOut(carrier)
      stream.drop(stream.associations().flatMap(({ pair }) => (remote(pair) ? [] : [pair])))
      return
    }
    this.#carriers.delete(stream)
    this.#countLost(carrier, true)
    const stanzas = [...carrier.outlet.takeEverything()].map((taken) => taken.stanza)
    carrier.outlet.close()
    stream.close("reset", "this pair of domains is not served any more")
    this.#around.reroute(stream.pair, stanzas)
  }

  // Shutdown.

  /** Resolves when nothing waits any more, the network has taken what was written, and no stream is being opened; bounded by the caller. */
  drained(): Promise<void> {
    return this.#drained.wait()
  }

  #standing(): "busy" | "held" | "quiet" {
    for (const way of this.#ways.values()) if (way.state === "opening" || way.state === "waiting-turn" || way.waiting > 0) return "busy"
    let held = false
    for (const { outlet, leaving } of this.#carriers.values()) {
      if (outlet.unsent > 0) return "busy"
      held ||= !leaving && outlet.unacknowledged > 0
    }
    return held ? "held" : "quiet"
  }

  /** Stanzas that wait at the moment. */
  get unsent(): number {
    let unsent = 0
    for (const way of this.#ways.values()) unsent += way.waiting
    for (const { outlet } of this.#carriers.values()) unsent += outlet.unsent
    for (const { held } of this.#ways.values()) unsent += held?.carrier.outlet.unsent ?? 0
    return unsent
  }

  /** No new streams; the open ones are closed with system-shutdown. */
  async close(): Promise<void> {
    this.#stopping = true
    this.#cancelSweep?.()
    this.#openings.close()
    this.#drained.close()
    this.#losses.close()
    const closing: Promise<unknown>[] = []
    for (const way of this.#ways.values()) {
      way.cancelRetry()
      const { held } = way
      if (held !== undefined) this.#around.lost(way.pair, held.carrier.stream.id, held.carrier.outlet.unacknowledged)
    }
    for (const carrier of [...this.#carriers.values()]) {
      const { stream, leaving } = carrier
      closing.push(stream.closed)
      // Counted before our last words are among what the channel holds. Unsent stanzas were counted by the gateway.
      if (!leaving) this.#countLost(carrier, false)
      carrier.leaving = true
      stream.close("system-shutdown")
    }
    this.#abort.abort(new Error("the gateway is stopping"))
    await Promise.all(closing)
  }
}
