// Our half of a stream: which pairs of ours it carries, and how further ones come onto it (RFC 7712 4.4; XEP-0220 2.1.1;
// XEP-0288; DB-04 to DB-11). No pair's failure is another's.
import { type Association, type DomainPair, pairKey, reversed } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { Discovery } from "../discovery/discover.ts"
import { discoverPeer } from "./associate.ts"
import { rejudge, type Rejudged } from "./claims.ts"
import { type Federation, type OutgoingStream, type StreamEnd, usesOf } from "./contract.ts"
import { expiry } from "./deadline.ts"
import { type DialbackElement, resultRequestXml } from "./dialback.ts"
import type { LiveStream } from "./live-stream.ts"
import { OutgoingHandle } from "./outgoing-handle.ts"
import { associations, authorised, entryOf, openCount, type PairState, pendingClaim } from "./pair-ledger.ts"
import { PairIndex } from "./pair-index.ts"
import { type CarrierFacts, idOf, Interrupted, mayCarry, NotCarried, provenBack, supposed } from "./piggyback.ts"
import { type OutgoingRefused, refusal } from "./refusal.ts"
import { Watch } from "./renewal.ts"

/** Claims of ours that wait for an answer on one stream at once; others wait for their turn. Peers bound them, too. */
const asksAtOnce = 48

/** Conditions with which a peer ends a stream whatever was asked on it: when it stops, is set up anew, or has waited for long. */
const ofItsOwn: ReadonlySet<string> = new Set(["connection-timeout", "reset", "system-shutdown"])

interface Ask {
  readonly pair: DomainPair
  readonly candidate: Association
  readonly generation: number
  readonly claim: number
  readonly answered: (outcome: Association | OutgoingRefused | NotCarried) => void
}

/** The peer asked for the pair, by SASL or a claim, and it was granted. */
function wasAskedFor(state: PairState | undefined): boolean {
  return state?.state === "authorised" && (state.by === "external" || state.by === "dialback")
}

export class Outbound {
  readonly facts: CarrierFacts
  readonly handle: OutgoingStream
  readonly #federation: Federation
  readonly #live: LiveStream
  /** Made for the first further pair: most streams carry one. */
  #asks: Map<string, Ask> | undefined
  #joining: Map<string, Promise<Association>> | undefined
  #turns: (() => void)[] = []
  #asking = 0
  /** Pairs of ours, by target. */
  readonly #byTarget: PairIndex
  /** An accepted stream: pairs that the peer asked for and we granted, by its domain. */
  readonly #byPeer: PairIndex
  #watch: Watch | undefined
  #first: Association | undefined
  #pair: DomainPair | undefined
  /** Where it was opened to resume another stream: how many stanzas of that had arrived. */
  arrived: number | undefined
  /** When the other direction had its last stanza. */
  lastInput: number | undefined

  constructor(federation: Federation, live: LiveStream, facts: CarrierFacts) {
    this.#federation = federation
    this.#live = live
    this.facts = facts
    this.#byTarget = new PairIndex("target", () => this.associations.map(({ pair }) => pair), (pair) => this.associationOf(pair))
    this.#byPeer = new PairIndex("sender", () => this.#granted(), (pair) => authorised(live.ledger.state, "in", pair, federation.ports.clock.now()))
    this.handle = new OutgoingHandle(this, live)
    void live.push.closed.then((end) => this.#ended(end))
  }

  /** Watches from the first pair on. */
  #watchEnds(added: Association): void {
    const { push } = this.#live
    this.#watch ??= new Watch(this.#federation, {
      associations: () => (push.over ? [] : this.associations),
      recheck: () => this.recheck(),
      renew: (association, fresh) => {
        if (!this.#judgedAgain(association, rejudge(this.#federation, association, fresh))) this.handle.onWithdrawn?.([association.pair])
        this.#settle()
      },
      broken: (error) => push.broken(error),
    })
    this.#watch.arm(added)
  }

  get initiated(): boolean {
    return this.facts.role === "initiated"
  }

  /** The pair it was opened for; of an accepted stream, the first one. */
  get pair(): DomainPair {
    return this.#pair!
  }

  /** Of `pair`, as it was judged last. */
  get association(): Association {
    return this.associationOf(this.pair) ?? this.associations[0] ?? this.#first!
  }

  get associations(): readonly Association[] {
    return associations(this.#live.ledger.state, "out")
  }

  drained(): void {
    this.handle.onDrain?.()
  }

  associationOf(pair: DomainPair): Association | undefined {
    return authorised(this.#live.ledger.state, "out", pair, this.#federation.ports.clock.now())
  }

  /** A pair of ours to this target that carries stanzas now: what proves the target. */
  basisFor(target: Domain): Association | undefined {
    return this.#byTarget.find(target)
  }

  /** Enters the pair that the stream was opened for, which the negotiation has proven and authenticated. */
  begin(association: Association): void {
    this.#pair = association.pair
    const claim = this.#claim(association.pair)
    if (claim !== undefined) this.#authorise(association, claim)
  }

  /** An accepted stream: a domain of the peer's was granted; the way back is open from the first one on. */
  granted({ pair }: Association): void {
    this.#pair ??= reversed(pair)
    this.#byPeer.add(pair)
  }

  /** BIDI-4: not those that a stanza brought along. */
  #granted(): readonly DomainPair[] {
    const { state } = this.#live.ledger
    return associations(state, "in").flatMap(({ pair }) => (wasAskedFor(entryOf(state, "in", pair)?.state) ? [pair] : []))
  }

  #claim(pair: DomainPair): number | undefined {
    const { ledger } = this.#live
    const { generation } = this.#federation.current().policy
    return ledger.apply({ kind: "claimed", pair, direction: "out", by: "dialback", generation }) ? pendingClaim(ledger.state, "out", pair) : undefined
  }

  #authorise(association: Association, claim: number): boolean {
    const { generation } = this.#federation.current().policy
    if (!this.#live.ledger.apply({ kind: "authorised", claim, association, generation })) return false
    this.#byTarget.add(association.pair)
    this.#first ??= association
    this.#federation.event({ kind: "associated", at: this.#federation.ports.clock.now(), stream: this.facts.name, direction: "out", association })
    this.#watchEnds(association)
    return true
  }

  /** A further pair. Calls for the same pair share one attempt. */
  add(pair: DomainPair, signal: AbortSignal, found?: Discovery): Promise<Association> {
    // Also where it carried the pair: whoever waits for the stream to end would be given it again and again.
    if (this.#live.push.closing) return Promise.reject(new NotCarried("the stream is being closed"))
    const known = this.associationOf(pair)
    if (known !== undefined) return Promise.resolve(known)
    const key = pairKey(pair)
    const joining = this.#joining?.get(key)
    if (joining !== undefined) return joining
    const attempt = this.#add(pair, signal, found).finally(() => this.#joining?.delete(key))
    this.#joining ??= new Map()
    this.#joining.set(key, attempt)
    return attempt
  }

  async #add(pair: DomainPair, signal: AbortSignal, found: Discovery | undefined): Promise<Association> {
    const { facts } = this
    const hosting = this.#federation.current()
    const carry = mayCarry(facts, pair, hosting, this.#standing(pair))
    const discovered = async (): Promise<Discovery> => found ?? (await discoverPeer(this.#federation, hosting, pair.target, signal))
    const { generation } = hosting.policy
    switch (carry.how) {
      case "not":
        throw new NotCarried(carry.why)
      case "inverse": {
        const candidate = await provenBack(this.#federation, facts, pair, carry.peer, await discovered(), signal)
        const claim = this.#claim(pair)
        const association = claim === undefined ? undefined : this.#grant({ pair, candidate, generation, claim })
        if (association === undefined) throw new NotCarried("the proof ended meanwhile")
        return association
      }
      case "assertion": {
        const { basis } = carry
        // The same target, proven here; policy is read anew, and for the pair.
        const judged = rejudge(this.#federation, { ...basis, id: idOf(facts, pair), pair })
        if (!judged.holds) throw new NotCarried(judged.finding)
        const { association } = judged
        return await this.#ask(pair, { ...association, established: this.#federation.ports.clock.now() }, generation, signal)
      }
      case "assertion-back":
        return await this.#ask(pair, await provenBack(this.#federation, facts, pair, carry.peer, await discovered(), signal), generation, signal)
      case "supposition":
        return await this.#ask(pair, await supposed(this.#federation, facts, pair, this.#first, await discovered(), signal), generation, signal)
    }
  }

  #standing(pair: DomainPair) {
    const back = entryOf(this.#live.ledger.state, "in", reversed(pair))?.state
    const known = this.#federation.abilities?.recall(pair.target)
    return {
      basis: this.initiated ? this.basisFor(pair.target) : undefined,
      peer: this.#byPeer.find(pair.target),
      inverse: wasAskedFor(back),
      errors: known?.dialbackErrors,
      refuses: known?.refuses,
    }
  }

  /** `db:result` for a further pair; the answer is waited for as long as for the first (DB-07). */
  async #ask(pair: DomainPair, candidate: Association, generation: number, signal: AbortSignal): Promise<Association> {
    const { clock } = this.#federation.ports
    await this.#turn(signal)
    const key = this.#federation.keys.issue(pair, this.facts.id)
    let done = (): void => {}
    try {
      return await new Promise<Association>((resolve, reject) => {
        const claim = this.#live.push.closing || signal.aborted ? undefined : this.#claim(pair)
        if (claim === undefined) return reject(new NotCarried("the stream takes no further pair"))
        const late = () => {
          // Whoever never answers would cost every further pair as much.
          if (!signal.aborted) this.#unwilling(candidate)
          this.#failed(pair, refusal("auth.dialback-timeout", "", "unreachable"), "auth.dialback-timeout")
        }
        done = expiry(clock, this.#federation.current().times.dialbackAnswer, signal, late)
        this.#asks ??= new Map()
        this.#asks.set(pairKey(pair), {
          pair,
          candidate,
          generation,
          claim,
          answered: (outcome) => (outcome instanceof Error ? reject(outcome) : resolve(outcome)),
        })
        this.#live.push.sendSoon(resultRequestXml(pair, key))
        this.#federation.event({ kind: "dialback", at: clock.now(), stream: this.facts.name, direction: "out", pair, step: "result-sent" })
      })
    } finally {
      done()
      this.#federation.keys.forget(pair, this.facts.id)
      this.#asking -= 1
      this.#turns.shift()?.()
    }
  }

  /** Waits for a place among those that are asked for. */
  async #turn(signal: AbortSignal): Promise<void> {
    while (this.#asking >= asksAtOnce && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const woken = () => {
          signal.removeEventListener("abort", givenUp)
          resolve()
        }
        // Whoever gives up must not be woken in the place of somebody who waits.
        const givenUp = () => {
          this.#turns = this.#turns.filter((other) => other !== woken)
          resolve()
        }
        this.#turns.push(woken)
        signal.addEventListener("abort", givenUp, { once: true })
      })
    }
    if (signal.aborted) {
      this.#turns.shift()?.()
      throw signal.reason
    }
    this.#asking += 1
  }

  /** DB-08: an answer counts for the pair that was asked for on this very stream, and once. */
  answer(read: DialbackElement): void {
    const pair = { sender: read.to, target: read.from }
    const ask = this.#asks?.get(pairKey(pair))
    if (ask === undefined) return
    const kind = read.type === "valid" || read.type === "invalid" ? read.type : "error"
    const words = (read.words ?? read.condition ?? kind).replace(/[0-9a-f]{64}/g, "[key]")
    const { clock } = this.#federation.ports
    this.#federation.event({
      kind: "dialback",
      at: clock.now(),
      stream: this.facts.name,
      direction: "out",
      pair,
      step: "answered",
      answer: kind,
      ...(kind === "valid" ? {} : { detail: words }),
    })
    if (kind !== "valid") {
      const how = kind === "invalid" ? "rejected" : read.condition === "item-not-found" ? "not-found" : "unreachable"
      return this.#failed(pair, refusal("auth.dialback-refused", words, how), "auth.dialback-refused")
    }
    const association = this.#grant(ask)
    if (association === undefined) return this.#failed(pair, new NotCarried("the policy changed while we asked"), "policy.level")
    this.#asks?.delete(pairKey(pair))
    ask.answered(association)
  }

  /** The pair carries stanzas from now on, if what was judged before still holds (security.md 10). */
  #grant({ candidate, generation, claim }: Omit<Ask, "answered">): Association | undefined {
    const now = this.#federation.current().policy.generation
    const judged = now === generation ? ({ holds: true, association: candidate } as const) : rejudge(this.#federation, candidate)
    return judged.holds && this.#authorise(judged.association, claim) ? judged.association : undefined
  }

  /** The next time the pair goes by a connection of its own at once. */
  #unwilling(candidate: Association): void {
    const { sender, target } = candidate.pair
    const known = this.basisFor(target)
    this.#federation.abilities?.learn(candidate, { refused: known !== undefined && known.pair.sender !== sender ? "assertion" : "supposition" })
  }

  #failed(pair: DomainPair, why: OutgoingRefused | NotCarried, finding: FindingId): void {
    const ask = this.#asks?.get(pairKey(pair))
    if (ask === undefined) return
    this.#asks?.delete(pairKey(pair))
    const at = this.#federation.ports.clock.now()
    this.#live.ledger.apply({ kind: "refused", claim: ask.claim, pair, direction: "out", finding, at })
    ask.answered(why)
  }

  /** Takes pairs off; where none is left in either direction, the stream goes. */
  drop(pairs: readonly DomainPair[]): void {
    for (const pair of pairs) this.#withdraw(pair, "stream.host-unknown")
    this.#settle()
  }

  #withdraw(pair: DomainPair, finding: FindingId): boolean {
    const at = this.#federation.ports.clock.now()
    return this.#live.ledger.apply({ kind: "withdrawn", pair, direction: "out", finding, at })
  }

  /** Judges every pair of ours again. */
  recheck(): void {
    if (this.#live.push.over) return
    const withdrawn = this.associations.filter((association) => !this.#judgedAgain(association, this.#again(association)))
    // All at once: what waits is sorted out once, however many end.
    if (withdrawn.length > 0) this.handle.onWithdrawn?.(withdrawn.map(({ pair }) => pair))
    this.#settle()
  }

  #again(association: Association): Rejudged {
    const { target } = association.pair
    // BIDI-4: the way back ends with the way in.
    if (!this.initiated && this.#byPeer.find(target) === undefined) return { holds: false, finding: "route.unproven-sender", detail: target }
    if (this.#switchedOff(association.pair)) return { holds: false, finding: "policy.switched-off", detail: target }
    return rejudge(this.#federation, association)
  }

  /** A reload took back what lets the pair leave here; what is left unacknowledged stays the stream's. */
  #switchedOff(pair: DomainPair): boolean {
    const { bidi, piggyback } = usesOf(this.#federation.current(), pair.target)
    if (this.initiated) return !piggyback && this.#pair !== undefined && pairKey(pair) !== pairKey(this.#pair)
    return !bidi || (!piggyback && !wasAskedFor(entryOf(this.#live.ledger.state, "in", reversed(pair))?.state))
  }

  #lastFinding: FindingId | undefined

  /** @returns false: it was withdrawn, and whoever has stanzas of the pair has to be told */
  #judgedAgain(association: Association, judged: Rejudged): boolean {
    const { pair } = association
    const { generation } = this.#federation.current().policy
    if (judged.holds) {
      this.#live.ledger.apply({ kind: "renewed", association: judged.association, generation })
      return true
    }
    const { finding, detail } = judged
    if (!this.#withdraw(pair, finding)) return true
    this.#lastFinding = finding
    this.#federation.event({
      kind: "refused",
      at: this.#federation.ports.clock.now(),
      stream: this.facts.name,
      direction: "out",
      pair,
      finding,
      sentence: findingSentence(finding, detail),
      verdicts: [],
    })
    return false
  }

  #settle(): void {
    const { state } = this.#live.ledger
    if (openCount(state, "out") + openCount(state, "in") === 0 && !this.#live.push.over) {
      // TLS-14: a stream must not outlive what it rests on.
      this.#live.push.close("reset", this.#lastFinding === undefined ? "no pair of domains is left on this stream" : findingSentence(this.#lastFinding))
      return
    }
    this.#watch?.arm()
  }

  #ended(end: StreamEnd): void {
    this.#watch?.stop()
    const blamed = end.by === "peer" && end.condition !== undefined && !ofItsOwn.has(end.condition)
    // What was idle here and was closed meanwhile refused nothing.
    const closed = end.by === "us" && end.condition === undefined
    for (const { pair, candidate } of [...(this.#asks?.values() ?? [])]) {
      // DB-32: a peer that ends the stream for one pair is asked for none again.
      if (blamed) this.#unwilling(candidate)
      const why = blamed ? refusal("stream.closed", end.detail, "unreachable") : closed ? new NotCarried(end.detail) : new Interrupted(end.detail)
      this.#failed(pair, why, "stream.closed")
    }
    for (const turn of this.#turns.splice(0)) turn()
  }
}
