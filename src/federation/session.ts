// One accepted connection: its ledger, its pairs in time, and the handle the gateway holds (security.md 9, 10).
import type { Association, DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { StreamErrorCondition } from "../model/errors.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { Channel, NetworkAddress } from "../ports.ts"
import type { Proven } from "../proof/prove.ts"
import { rejudge, type Rejudged } from "./claims.ts"
import type { Federation, IncomingHooks, IncomingStream, StreamEnd } from "./contract.ts"
import { associations, authorised, type ClaimedBy, entryOf, type Ledger, LiveLedger, openCount, pendingClaim } from "./pair-ledger.ts"
import type { StreamBudget } from "./proof-budget.ts"
import type { PushStream } from "./push-stream.ts"
import { Watch } from "./renewal.ts"
import { streamName } from "./stream-names.ts"

/** Our own wish to end a stream that is still being negotiated. */
export class SessionClosed extends Error {
  override readonly name = "SessionClosed"
  readonly condition: StreamErrorCondition | undefined
  readonly tell: string | undefined
  constructor(condition: StreamErrorCondition | undefined, tell: string | undefined) {
    super(tell ?? condition ?? "closed here")
    this.condition = condition
    this.tell = tell
  }
}

/** A class, since thousands live at once: an object with a getter of its own would cost each of them a kilobyte. */
class IncomingHandle implements IncomingStream {
  readonly #session: IncomingSession
  readonly remote: NetworkAddress
  readonly closed: Promise<StreamEnd>

  constructor(session: IncomingSession, remote: NetworkAddress, closed: Promise<StreamEnd>) {
    this.#session = session
    this.remote = remote
    this.closed = closed
  }

  get id(): string {
    return this.#session.name
  }

  get lastOutput(): number | undefined {
    return this.#session.lastOutput?.()
  }

  associations(): readonly Association[] {
    return associations(this.#session.ledger, "in")
  }

  pause(): void {
    this.#session.pause()
  }

  resume(): void {
    this.#session.resume()
  }

  close(condition?: StreamErrorCondition, tell?: string): void {
    this.#session.close(condition, tell)
  }

  recheck(): void {
    this.#session.recheck()
  }
}

export class IncomingSession {
  readonly name: string
  readonly handle: IncomingStream
  readonly hooks: IncomingHooks
  readonly #federation: Federation
  readonly #channel: Channel
  /** Made for whoever waits for something on its behalf. */
  #abort: AbortController | undefined
  readonly live: LiveLedger
  /** What the peer may still have worked out. */
  readonly budget: StreamBudget
  /** A stream that we opened ends once, in its own words. */
  readonly #ours: boolean
  #push: PushStream | undefined
  #claimed: { from: Domain | undefined; to: Domain | undefined } = { from: undefined, to: undefined }
  #settle: (end: StreamEnd) => void = () => {}
  #over = false
  #authenticated = false
  #refused = false
  #watch: Watch | undefined

  /** @param ours the inbound half of a stream that we opened: its name and its ledger */
  constructor(federation: Federation, channel: Channel, hooks: IncomingHooks, ours?: { readonly name: string; readonly ledger: LiveLedger }) {
    this.#federation = federation
    this.#channel = channel
    this.hooks = hooks
    this.#ours = ours !== undefined
    this.name = ours?.name ?? streamName("s2sin", federation.ports.random)
    this.live = ours?.ledger ?? new LiveLedger()
    this.budget = federation.claims.budget.stream(channel.remote.address, this.#ours)
    if (!this.#ours) this.budget.charge("handshake")
    const closed = new Promise<StreamEnd>((resolve) => {
      this.#settle = resolve
    })
    this.handle = new IncomingHandle(this, channel.remote, closed)
  }

  /** Told of every pair that a claim of the peer's has opened. */
  onGranted: ((association: Association) => void) | undefined
  /** With bidi: when a stanza of ours left last. */
  lastOutput: (() => number) | undefined
  /** With bidi: the outbound half, which rests on this one. */
  onRechecked: (() => void) | undefined

  pause(): void {
    this.#push?.pause()
  }

  resume(): void {
    this.#push?.resume()
  }

  get at(): { stream: string; direction: "in" } {
    return { stream: this.name, direction: "in" }
  }

  get ledger(): Ledger {
    return this.live.state
  }

  get claimant(): { readonly address: string; readonly budget: StreamBudget } {
    return { address: this.handle.remote.address, budget: this.budget }
  }

  /** Aborts when the session is closed from here while it negotiates, and when it is over. */
  get aborted(): AbortSignal {
    this.#abort ??= new AbortController()
    if (this.#over) this.#abort.abort(new Error("the stream is over"))
    return this.#abort.signal
  }

  get over(): boolean {
    return this.#over
  }

  /** What the latest header claims; for logs. */
  named(from: Domain | undefined, to: Domain | undefined): void {
    this.#claimed = { from, to }
  }

  get claimedPair(): DomainPair | undefined {
    const { from, to } = this.#claimed
    return from === undefined || to === undefined ? undefined : { sender: from, target: to }
  }

  serve(push: PushStream): void {
    this.#push = push
    const told: unknown = this.#abort?.signal.reason
    // The negotiation is over, and nobody waits for its end any more.
    this.#abort = undefined
    push.closed.then((end) => this.ended(end, end.by === "us" && end.condition === "internal-server-error" ? "proof.internal" : undefined))
    // Its last step did not look.
    if (told instanceof SessionClosed) push.close(told.condition, told.tell)
  }

  restarted(): void {
    this.live.apply({ kind: "restarted" })
  }

  /** Enters a claim. Undefined when the ledger does not take it (already authorised, or full). */
  claim(pair: DomainPair, by: ClaimedBy): number | undefined {
    const { generation } = this.#federation.current().policy
    return this.live.apply({ kind: "claimed", pair, direction: "in", by, generation }) ? pendingClaim(this.ledger, "in", pair) : undefined
  }

  /**
   * Lets the pair carry stanzas, if its claim is still the pending one and holds under the policy of this moment.
   *
   * @returns false when the claim died meanwhile (restart, close, reload)
   */
  authorise(association: Association, claim?: number): boolean {
    const number = claim ?? pendingClaim(this.ledger, "in", association.pair)
    if (number === undefined || this.#over) return false
    const entry = entryOf(this.ledger, "in", association.pair)?.state
    const { generation } = this.#federation.current().policy
    // A reload since the claim was made: what was judged then is judged again under what holds now (security.md 10).
    const judged = entry?.state === "claimed" && entry.generation === generation ? ({ holds: true, association } as const) : rejudge(this.#federation, association)
    if (!judged.holds) return false
    if (!this.live.apply({ kind: "authorised", claim: number, association: judged.association, generation })) return false
    this.#federation.event({ kind: "associated", at: this.#federation.ports.clock.now(), ...this.at, association: judged.association })
    this.#watchEnd(judged.association)
    if (!this.#authenticated) {
      this.#authenticated = true
      this.budget.proven()
      this.hooks.authenticated(this.handle)
    }
    // BIDI-4: a pair that a stanza brought along was not asked for.
    if (entry?.state === "claimed" && entry.by !== "certificate") this.onGranted?.(judged.association)
    return true
  }

  refuse(pair: DomainPair, claim: number | undefined, finding: FindingId, detail: string, proven?: Proven): void {
    const at = this.#federation.ports.clock.now()
    this.#refused = true
    this.forget(pair, claim, finding)
    this.#federation.event({
      kind: "refused",
      at,
      ...this.at,
      pair,
      finding,
      sentence: findingSentence(finding, detail),
      verdicts: proven?.verdicts ?? [],
      ...(proven === undefined ? {} : { evidence: () => proven.evidence(pair) }),
    })
  }

  /** A claim that came to nothing, of which nobody has to be told. */
  forget(pair: DomainPair, claim: number | undefined, finding: FindingId): void {
    if (claim !== undefined) this.live.apply({ kind: "refused", claim, pair, direction: "in", finding, at: this.#federation.ports.clock.now() })
  }

  /** A pair that may bring nothing in any more, although nobody judged it again. */
  withdraw(pair: DomainPair, finding: FindingId): void {
    this.live.apply({ kind: "withdrawn", pair, direction: "in", finding, at: this.#federation.ports.clock.now() })
  }

  /** The association that lets this pair's stanzas in now. */
  authorised(pair: DomainPair): Association | undefined {
    return authorised(this.ledger, "in", pair, this.#federation.ports.clock.now())
  }

  #watchEnd(added?: Association): void {
    this.#watch ??= new Watch(this.#federation, {
      associations: () => (this.#over ? [] : associations(this.ledger, "in")),
      recheck: () => this.recheck(),
      renew: (association, fresh) => this.#settleRecheck(this.#judgedAgain(association, rejudge(this.#federation, association, fresh))),
      broken: (error) => this.broken(error),
    })
    this.#watch.arm(added)
  }

  /** Judges every pair again. What no longer holds stops at once; a stream with nothing left is closed. */
  recheck(): void {
    if (this.#over) return
    let last: FindingId | undefined
    for (const association of associations(this.ledger, "in")) last = this.#judgedAgain(association, rejudge(this.#federation, association)) ?? last
    this.#settleRecheck(last)
  }

  /** @returns why it holds no longer */
  #judgedAgain(association: Association, judged: Rejudged): FindingId | undefined {
    const at = this.#federation.ports.clock.now()
    const { generation } = this.#federation.current().policy
    if (judged.holds) {
      this.live.apply({ kind: "renewed", association: judged.association, generation })
      return undefined
    }
    const { finding, detail } = judged
    this.live.apply({ kind: "withdrawn", pair: association.pair, direction: "in", finding, at })
    this.#federation.event({ kind: "refused", at, ...this.at, pair: association.pair, finding, sentence: findingSentence(finding, detail), verdicts: [] })
    return finding
  }

  #settleRecheck(last: FindingId | undefined): void {
    this.onRechecked?.()
    if (last !== undefined && openCount(this.ledger, "in") + openCount(this.ledger, "out") === 0) {
      // TLS-14: `reset` asks the peer to come again and be judged anew.
      this.close("reset", findingSentence(last))
      return
    }
    this.#watchEnd()
  }

  close(condition?: StreamErrorCondition, tell?: string): void {
    if (this.#over) return
    if (this.#push !== undefined) this.#push.close(condition, tell)
    else {
      // The negotiation notices at its next step, says so to the peer and ends the connection.
      this.#abort ??= new AbortController()
      this.#abort.abort(new SessionClosed(condition, tell))
    }
  }

  /** The stream is over; the last event of the session. */
  ended(end: StreamEnd, finding?: FindingId, detail = end.detail): void {
    if (this.#over) return
    this.#over = true
    this.#watch?.stop()
    this.#abort?.abort(new Error(end.detail))
    const pairs = associations(this.ledger, "in")
    this.live.apply({ kind: "closed" })
    const at = this.#federation.ports.clock.now()
    const pair = pairs[0]?.pair ?? this.claimedPair
    // A refusal that was already reported is why the stream ends, not a second one.
    if (finding !== undefined && !this.#refused) {
      this.#federation.event({ kind: "refused", at, ...this.at, pair, finding, sentence: findingSentence(finding, detail), verdicts: [] })
    }
    if (!this.#ours) this.#federation.event({ kind: "closed", at, ...this.at, pair, reason: end.detail, unacknowledged: 0 })
    this.#settle(end)
  }

  /** An error of our own: the stream dies, the process does not, and the log says what it was. */
  broken(error: unknown): void {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error)
    this.#channel.destroy()
    this.ended({ by: "us", detail: `internal error: ${detail}`, condition: "internal-server-error" }, "proof.internal")
  }

  /** For caches: changes whenever an answer of `authorised` may change. */
  get revision(): number {
    return this.ledger.revision
  }
}
