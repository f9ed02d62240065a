// One accepted connection: its ledger, its pairs in time, and the handle the gateway holds (security.md 9, 10).
import type { Association, DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { StreamErrorCondition } from "../model/errors.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { Channel } from "../ports.ts"
import type { Proven } from "../proof/prove.ts"
import { rejudge, type Rejudged } from "./claims.ts"
import type { Federation, IncomingHooks, IncomingStream, StreamEnd } from "./contract.ts"
import { associations, authorised, type ClaimedBy, emptyLedger, entryOf, type Ledger, type LedgerEvent, pendingClaim, reduce } from "./pair-ledger.ts"
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

export class IncomingSession {
  readonly name: string
  readonly handle: IncomingStream
  readonly hooks: IncomingHooks
  readonly #federation: Federation
  readonly #channel: Channel
  readonly #abort = new AbortController()
  #ledger: Ledger = emptyLedger
  #push: PushStream | undefined
  #claimed: { from: Domain | undefined; to: Domain | undefined } = { from: undefined, to: undefined }
  #settle: (end: StreamEnd) => void = () => {}
  #over = false
  #authenticated = false
  #refused = false
  #watch: Watch | undefined

  constructor(federation: Federation, channel: Channel, hooks: IncomingHooks) {
    this.#federation = federation
    this.#channel = channel
    this.hooks = hooks
    this.name = streamName("s2sin", federation.ports.random)
    const closed = new Promise<StreamEnd>((resolve) => {
      this.#settle = resolve
    })
    this.handle = {
      id: this.name,
      remote: channel.remote,
      associations: () => associations(this.#ledger),
      pause: () => this.#push?.pause(),
      resume: () => this.#push?.resume(),
      close: (condition, tell) => this.close(condition, tell),
      recheck: () => this.recheck(),
      closed,
    }
  }

  get at(): { stream: string; direction: "in" } {
    return { stream: this.name, direction: "in" }
  }

  get ledger(): Ledger {
    return this.#ledger
  }

  /** Aborts when the session is closed from here while it negotiates. */
  get aborted(): AbortSignal {
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
    push.closed.then((end) => this.ended(end, end.by === "us" && end.condition === "internal-server-error" ? "proof.internal" : undefined))
  }

  #apply(event: LedgerEvent): boolean {
    const next = reduce(this.#ledger, event)
    const changed = next !== this.#ledger
    this.#ledger = next
    return changed
  }

  restarted(): void {
    this.#apply({ kind: "restarted" })
  }

  /** Enters a claim. Undefined when the ledger does not take it (already authorised, or full). */
  claim(pair: DomainPair, by: ClaimedBy): number | undefined {
    const { generation } = this.#federation.current().policy
    return this.#apply({ kind: "claimed", pair, direction: "in", by, generation }) ? pendingClaim(this.#ledger, "in", pair) : undefined
  }

  /**
   * Lets the pair carry stanzas, if its claim is still the pending one and holds under the policy of this moment.
   *
   * @returns false when the claim died meanwhile (restart, close, reload)
   */
  authorise(association: Association, claim?: number): boolean {
    const number = claim ?? pendingClaim(this.#ledger, "in", association.pair)
    if (number === undefined || this.#over) return false
    const entry = entryOf(this.#ledger, "in", association.pair)?.state
    const { generation } = this.#federation.current().policy
    // A reload since the claim was made: what was judged then is judged again under what holds now (security.md 10).
    const judged = entry?.state === "claimed" && entry.generation === generation ? ({ holds: true, association } as const) : rejudge(this.#federation, association)
    if (!judged.holds) return false
    if (!this.#apply({ kind: "authorised", claim: number, association: judged.association, generation })) return false
    this.#federation.event({ kind: "associated", at: this.#federation.ports.clock.now(), ...this.at, association: judged.association })
    this.#watchEnd()
    if (!this.#authenticated) {
      this.#authenticated = true
      this.hooks.authenticated(this.handle)
    }
    return true
  }

  refuse(pair: DomainPair, claim: number | undefined, finding: FindingId, detail: string, proven?: Proven): void {
    const at = this.#federation.ports.clock.now()
    this.#refused = true
    if (claim !== undefined) this.#apply({ kind: "refused", claim, pair, direction: "in", finding, at })
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

  /** The association that lets this pair's stanzas in now. */
  authorised(pair: DomainPair): Association | undefined {
    return authorised(this.#ledger, "in", pair, this.#federation.ports.clock.now())
  }

  #watchEnd(): void {
    this.#watch ??= new Watch(this.#federation, {
      associations: () => (this.#over ? [] : associations(this.#ledger)),
      recheck: () => this.recheck(),
      renew: (association, fresh) => this.#settleRecheck(this.#judgedAgain(association, rejudge(this.#federation, association, fresh))),
      broken: (error) => this.broken(error),
    })
    this.#watch.arm()
  }

  /** Judges every pair again. What no longer holds stops at once; a stream with nothing left is closed. */
  recheck(): void {
    if (this.#over) return
    let last: FindingId | undefined
    for (const association of associations(this.#ledger)) last = this.#judgedAgain(association, rejudge(this.#federation, association)) ?? last
    this.#settleRecheck(last)
  }

  /** @returns why it holds no longer */
  #judgedAgain(association: Association, judged: Rejudged): FindingId | undefined {
    const at = this.#federation.ports.clock.now()
    const { generation } = this.#federation.current().policy
    if (judged.holds) {
      this.#apply({ kind: "renewed", association: judged.association, generation })
      return undefined
    }
    const { finding, detail } = judged
    this.#apply({ kind: "withdrawn", pair: association.pair, direction: "in", finding, at })
    this.#federation.event({ kind: "refused", at, ...this.at, pair: association.pair, finding, sentence: findingSentence(finding, detail), verdicts: [] })
    return finding
  }

  #settleRecheck(last: FindingId | undefined): void {
    if (last !== undefined && associations(this.#ledger).length === 0) {
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
      this.#abort.abort(new SessionClosed(condition, tell))
    }
  }

  /** The stream is over; the last event of the session. */
  ended(end: StreamEnd, finding?: FindingId, detail = end.detail): void {
    if (this.#over) return
    this.#over = true
    this.#watch?.stop()
    this.#abort.abort(new Error(end.detail))
    const pairs = associations(this.#ledger)
    this.#apply({ kind: "closed" })
    const at = this.#federation.ports.clock.now()
    const pair = pairs[0]?.pair ?? this.claimedPair
    // A refusal that was already reported is why the stream ends, not a second one.
    if (finding !== undefined && !this.#refused) {
      this.#federation.event({ kind: "refused", at, ...this.at, pair, finding, sentence: findingSentence(finding, detail), verdicts: [] })
    }
    this.#federation.event({ kind: "closed", at, ...this.at, pair, reason: end.detail, unacknowledged: 0 })
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
    return this.#ledger.revision
  }

}
