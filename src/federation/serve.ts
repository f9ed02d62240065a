// The inbound half of a stream: claims are verified beside the traffic, stanzas flow for pairs the ledger knows, nothing
// else passes (XEP-0220 2.2.1; CORE-22, CORE-23; security.md 2, 9). No proof is awaited inline: one slow domain stalls nobody.
import { type Association, type DomainPair, reversed } from "../model/association.ts"
import { domainTextOfJid, tryDomain } from "../model/domain.ts"
import { ProtocolError } from "../model/errors.ts"
import { findingSentence } from "../model/findings.ts"
import { ns } from "../model/namespaces.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { TlsCredentials } from "../ports.ts"
import type { Proven } from "../proof/prove.ts"
import type { PeerLimits } from "../stream/limits.ts"
import type { StanzaView } from "../stream/relay.ts"
import { RouteCache } from "../stream/route-cache.ts"
import type { Detached } from "../stream/xml-stream.ts"
import { attr, type XmlElement } from "../xml/element.ts"
import { answerVerify } from "./authoritative.ts"
import { ConnectBacks } from "./connect-backs.ts"
import { associationByCertificate, isOurs, judgeAtHand, rejudge } from "./claims.ts"
import type { Delivery, Federation } from "./contract.ts"
import { type DialbackElement, type DialbackErrorDetail, resultAnswerXml } from "./dialback.ts"
import { LiveStream } from "./live-stream.ts"
import { manageAccepted } from "./managed-stream.ts"
import { Outbound } from "./outbound.ts"
import { associations, openCount, pairsPerStream, pendingClaim, pendingCount } from "./pair-ledger.ts"
import type { PushStream } from "./push-stream.ts"
import { requirementOf } from "./ratchet.ts"
import type { IncomingSession } from "./session.ts"
import { withCanonicalDomains } from "./canonical.ts"
import { verifyClaim } from "./verifying.ts"

export interface ServeOptions {
  /** Of our response header after the latest restart. */
  readonly id: string
  /** What the peer showed; undefined without TLS. */
  readonly proof: ServerProof | undefined
  /** A dialback element that was read already and ended the negotiation. */
  readonly first: XmlElement | undefined
  /** The peer asked for both directions, and may have them. */
  readonly bidi?: BidiOptions
}

export interface BidiOptions {
  /** The certificate of ours that the peer was shown. */
  readonly credentials: TlsCredentials | undefined
  /** What the peer accepts, which it says where it asks (BIDI-9). */
  readonly limits: PeerLimits
}

interface Route {
  readonly delivery: Delivery
  readonly until: number
  /** Both addresses are written in canonical form, so the bytes may go on as they are. */
  readonly canonical: boolean
}

/** Serves an accepted stream. */
export function serveIncoming(federation: Federation, session: IncomingSession, detached: Detached, options: ServeOptions): void {
  const live = new LiveStream(federation, detached, session.live)
  live.inbound = new Inbound(federation, session, live, options)
  manageAccepted(federation, live, session, options.proof)
  if (options.bidi !== undefined) wayBack(federation, session, live, options, options.bidi)
  const { clock } = federation.ports
  const { times } = federation.current()
  session.serve(live.push)
  // A stream on which nothing gets proven is not kept for ever.
  const cancel = clock.after(times.negotiation + times.verification, () => {
    if (openCount(session.ledger, "in") === 0) live.push.close("connection-timeout")
  })
  live.push.closed.then(cancel)
  if (options.first !== undefined) live.push.deliver(options.first)
  live.push.start()
}

/** XEP-0288, accepting side: what the peer has proven is where our stanzas may go, too (BIDI-3, BIDI-4). */
function wayBack(federation: Federation, session: IncomingSession, live: LiveStream, { id, proof }: ServeOptions, { credentials, limits }: BidiOptions): void {
  const facts = { name: session.name, role: "accepted" as const, id, epoch: session.ledger.epoch, errors: false, credentials, proof, endpoint: undefined, limits }
  const outbound = new Outbound(federation, live, facts)
  live.outbound = outbound
  session.lastOutput = () => outbound.handle.lastOutput
  session.onRechecked = () => outbound.recheck()
  session.onGranted = (association) => {
    outbound.granted(association)
    session.hooks.reachable?.(association.pair.sender, outbound.handle)
  }
  // Granted by SASL, before there was a stream to serve.
  for (const association of associations(session.ledger, "in")) session.onGranted(association)
}

export class Inbound {
  readonly #federation: Federation
  readonly #session: IncomingSession
  readonly #options: ServeOptions
  readonly #live: LiveStream
  readonly #push: PushStream
  /** Made for the first claim that has to be verified. */
  #backs: ConnectBacks | undefined
  /** What takes stanzas as they are written; found for as long as every pair holds. */
  readonly #routes = new RouteCache<Delivery>(pairsPerStream)
  /** When the first of them ends, and how often one has. */
  #soonest = Number.POSITIVE_INFINITY
  #ends = 0
  /** A claim of this stream was proven by the certificate in hand. */
  #pathFound: boolean
  /** The clock was asked since the chunk began. */
  #timely = false

  constructor(federation: Federation, session: IncomingSession, live: LiveStream, options: ServeOptions) {
    this.#federation = federation
    this.#session = session
    this.#options = options
    this.#live = live
    this.#push = live.push
    this.#pathFound = associations(session.ledger, "in").some(({ via }) => via === "certificate")
  }

  flushed(): void {
    const { outbound } = this.#live
    if (outbound !== undefined) outbound.lastInput = this.#federation.ports.clock.monotonic()
    this.#timely = false
    this.#session.hooks.flushed(this.#session.handle)
  }

  /** Between two slices of claims and questions, ms; 0: no reason to rest. */
  get rest(): number {
    return this.#session.budget.rest
  }

  // Stanzas.

  stanza(view: StanzaView): void {
    if (!this.#timely) this.#lookAtTime()
    const epoch = this.#session.revision + this.#ends
    const delivery = this.#routes.find(view, epoch) ?? this.#find(view, epoch)
    delivery.raw(view)
  }

  /** security.md 10: an end is checked on use; once a chunk, since all its stanzas are used at once. */
  #lookAtTime(): void {
    this.#timely = true
    if (this.#federation.ports.clock.now() < this.#soonest) return
    this.#soonest = Number.POSITIVE_INFINITY
    this.#ends += 1
  }

  #find(view: StanzaView, epoch: number): Delivery {
    const written = (encoding: "latin1" | "utf8", start: number, end: number) => (start < 0 ? "" : view.bytes.toString(encoding, start, end))
    // In Latin-1 only ASCII equals the canonical form: every byte counts when the bytes are to go on as they are.
    const { delivery, until, canonical } = this.#route(
      written("utf8", view.fromStart, view.fromEnd),
      written("utf8", view.toStart, view.toEnd),
      written("latin1", view.fromStart, view.fromEnd),
      written("latin1", view.toStart, view.toEnd),
    )
    this.#soonest = Math.min(this.#soonest, until)
    const taking = canonical ? delivery : rewriting(delivery)
    this.#routes.keep(view, epoch, taking)
    return taking
  }

  tree(element: XmlElement): void {
    if (element.name !== "message" && element.name !== "presence" && element.name !== "iq") {
      throw new ProtocolError("unsupported-stanza-type", `<${element.name}/>`)
    }
    const from = domainTextOfJid(attr(element, "from") ?? "")
    const to = domainTextOfJid(attr(element, "to") ?? "")
    const route = this.#route(from, to, from, to)
    route.delivery.tree(route.canonical ? element : withCanonicalDomains(element, ns.server))
  }

  /** Where stanzas of these two domains go, or a stream error when they may not pass (CORE-22). */
  #route(fromText: string, toText: string, fromWritten: string, toWritten: string): Route {
    const from = tryDomain(fromText)
    const to = tryDomain(toText)
    if (from === undefined || to === undefined) throw new ProtocolError("improper-addressing", "a stanza without a proper `from` and `to`")
    const pair = { sender: from, target: to }
    const association = this.#standing(pair) ?? this.#byOurs(pair) ?? this.#byCertificate(pair)
    const delivery = this.#session.hooks.delivery(pair, this.#session.handle)
    return { delivery, until: association.until, canonical: fromWritten === from && toWritten === to }
  }

  #standing(pair: DomainPair): Association | undefined {
    const association = this.#session.authorised(pair)
    const basis = association?.rests
    if (basis === undefined || this.#live.outbound?.associationOf(basis.pair) !== undefined) return association
    // What rested on a pair of ours ends with it.
    this.#session.withdraw(pair, "route.unproven-sender")
    return undefined
  }

  /**
   * BIDI-7: on a stream that we opened, whom we proved there may answer the domain of ours that asked; the association of
   * our direction is what lets the other one in, and ends it.
   */
  #byOurs(pair: DomainPair): Association | undefined {
    const { outbound } = this.#live
    if (outbound?.initiated !== true) return undefined
    const ours = outbound.associationOf(reversed(pair))
    if (ours === undefined) return undefined
    const association = this.#restingOn(pair, ours)
    if (association === undefined) return undefined
    const claim = this.#session.claim(pair, "certificate")
    return claim !== undefined && this.#session.authorise(association, claim) ? association : undefined
  }

  /** Undefined: it holds in our direction, and does not reach what this one needs. */
  #restingOn(pair: DomainPair, ours: Association): Association | undefined {
    const judged = rejudge(this.#federation, {
      ...ours,
      id: [this.#session.name, this.#session.ledger.epoch, pair.sender, pair.target].join("/"),
      pair,
      direction: "in",
      rests: ours,
      established: this.#federation.ports.clock.now(),
    })
    return judged.holds ? judged.association : undefined
  }

  /**
   * A stanza is never a dialback claim. The one thing that may let an unknown pair in is the certificate in hand, judged
   * now and complete (security.md 9): some servers answer on the stream of another of their domains.
   */
  #byCertificate(pair: DomainPair): Association {
    const hosting = this.#federation.current()
    if (!hosting.hosts(pair.target)) {
      throw new ProtocolError("host-unknown", findingSentence("route.foreign-target", pair.target), { tell: findingSentence("route.foreign-target") })
    }
    const proof = this.#options.proof
    if (proof !== undefined && !isOurs(hosting, pair.sender) && this.#anyOpen) {
      const proven = judgeAtHand(this.#federation, pair, proof)
      const association = associationByCertificate(pair, proof, proven, this.#session.name, this.#session.ledger.epoch)
      if (association !== undefined) {
        const claim = this.#session.claim(pair, "certificate")
        if (claim !== undefined && this.#session.authorise(association, claim)) return association
      }
    }
    // Before anything was proven it is a stanza without authentication; after, one from somebody else.
    const condition = this.#anyOpen ? "invalid-from" : "not-authorized"
    throw new ProtocolError(condition, findingSentence("route.unproven-sender", pair.sender), { tell: findingSentence("route.unproven-sender") })
  }

  // Dialback.

  get #anyOpen(): boolean {
    const { ledger } = this.#session
    return openCount(ledger, "in") + openCount(ledger, "out") > 0
  }

  /** A question about our own keys. */
  verify(request: DialbackElement): void {
    const { budget } = this.#session
    budget.charge("question")
    if (budget.exhausted) return this.#tooMuch()
    const answered = answerVerify(request, this.#federation.current(), this.#federation.keys)
    if (answered !== undefined) this.#push.sendSoon(answered.xml)
    if (answered?.answer === "valid") budget.caused()
  }

  /** security.md 17: who has proven nothing and used up what a stream gets is not answered any more. */
  #tooMuch(): void {
    const words = findingSentence("reach.budget")
    const { claimedPair } = this.#session
    if (claimedPair !== undefined) this.#session.refuse(claimedPair, undefined, "reach.budget", "")
    this.#push.close("resource-constraint", words)
  }

  /** `db:result`: what can be said at once is said at once; the rest goes on beside the traffic (DB-19). */
  claim(request: DialbackElement): void {
    const { clock } = this.#federation.ports
    const { budget } = this.#session
    budget.charge("claim")
    if (budget.exhausted) return this.#tooMuch()
    const hosting = this.#federation.current()
    const pair: DomainPair = { sender: request.from, target: request.to }
    this.#federation.event({ kind: "dialback", at: clock.now(), ...this.#session.at, pair, step: "result-received" })
    if (!hosting.hosts(pair.target)) return this.#refuse(pair, undefined, { condition: "item-not-found" }, "stream.host-unknown", pair.target)
    if (isOurs(hosting, pair.sender)) return this.#refuse(pair, undefined, { condition: "not-acceptable" }, "stream.from-own-domain", pair.sender)
    const { proof } = this.#options
    const requirement = requirementOf(this.#federation, hosting, pair.sender, "in", clock.now())
    // DB-35: whoever comes without TLS is told to come with it.
    if (proof === undefined && requirement.require !== "verified") return this.#refuse(pair, undefined, { condition: "policy-violation" }, "tls.not-offered", "dialback without TLS")
    if (this.#standing(pair) !== undefined) return this.#answer(pair, "valid")
    // DB-04: asked already, and the answer will come.
    if (pendingClaim(this.#session.ledger, "in", pair) !== undefined) return
    if (request.key === "") return this.#refuse(pair, undefined, { condition: "not-acceptable" }, "auth.dialback-error", "a request without a key")
    if (pendingCount(this.#session.ledger, "in") >= hosting.limits.pendingClaims) return this.#refuse(pair, undefined, { condition: "resource-constraint" }, "reach.capped", "too many claims on one stream")
    const ours = this.#live.outbound?.initiated === true ? this.#live.outbound.basisFor(pair.sender) : undefined
    const tooMuch = (): void => this.#refuse(pair, undefined, { condition: "resource-constraint" }, "reach.budget", "")
    // DWD-1 and DB-34: the certificate is judged now, when the claim is made, not when it was shown.
    const judge = (): Proven | undefined => (proof === undefined ? undefined : judgeAtHand(this.#federation, pair, proof))
    let proven: Proven | undefined
    if (ours === undefined && budget.overdrawn) {
      if (!this.#pathFound) return tooMuch()
      // Where its path was found already, judging a further name is little more work than refusing to; all that would follow is.
      proven = judge()
      if (proven?.combined.outcome !== "proved") return tooMuch()
    }
    const claim = this.#session.claim(pair, "dialback")
    if (claim === undefined) return this.#refuse(pair, undefined, { condition: "resource-constraint" }, "reach.capped", "too many pairs on one stream")
    // BIDI-5, BIDI-7: who asserts is the server that we connected to and proved for this very domain.
    const resting = ours === undefined ? undefined : this.#restingOn(pair, ours)
    if (resting !== undefined && this.#session.authorise(resting, claim)) return this.#granted(pair)
    proven ??= judge()
    if (proof !== undefined && proven !== undefined) {
      const association = associationByCertificate(pair, proof, proven, this.#session.name, this.#session.ledger.epoch)
      this.#pathFound ||= association !== undefined
      if (association !== undefined && this.#session.authorise(association, claim)) return this.#granted(pair)
      if (!this.#pathFound) budget.charge("signature", proof.chain.length)
    }
    // A verified key reaches `encrypted` at most, so where more is needed and nothing else could prove it, asking is useless.
    const hopeless = requirement.require === "authenticated" && hosting.prooftypes.every((prooftype) => prooftype.atHand)
    // security.md 4: a stop is one, and no key takes its place.
    const stopped = proven?.combined.outcome === "stop"
    if (hopeless || stopped || !hosting.dialback) return this.#refuseByPolicy(pair, claim, proven)
    void this.#verify(pair, claim, request.key)
  }

  #refuseByPolicy(pair: DomainPair, claim: number, proven: Proven | undefined): void {
    const verdict = proven?.combined.verdict
    const finding = verdict === undefined || verdict.outcome === "proved" ? "policy.level" : verdict.finding
    const detail = verdict === undefined || verdict.outcome === "proved" ? "dialback is not enough here" : verdict.detail
    const words = findingSentence(finding)
    this.#federation.event({ kind: "dialback", at: this.#federation.ports.clock.now(), ...this.#session.at, pair, step: "answered", answer: "error", detail: words })
    this.#session.refuse(pair, claim, finding, detail, proven)
    // Common servers drop the text of a dialback error but show that of a stream error; with nothing else on the stream
    // there is no reason to keep it.
    if (!this.#anyOpen) this.#push.close("not-authorized", words)
    else this.#push.send(resultAnswerXml(pair, "error", { condition: "not-authorized", words }))
  }

  async #verify(pair: DomainPair, claim: number, key: string): Promise<void> {
    const { name, aborted } = this.#session
    const { id, proof } = this.#options
    const claimant = { ...this.#session.claimant, leaf: proof?.chain[0] }
    try {
      const { epoch } = this.#session.ledger
      this.#backs ??= new ConnectBacks(this.#federation)
      const verification = await verifyClaim(this.#federation, { pair, id, key, stream: name, epoch, asserting: proof, claimant }, this.#backs, aborted)
      if (this.#session.over) return
      if (verification.outcome === "valid") {
        if (this.#session.authorise(verification.association, claim)) return this.#granted(pair)
        return this.#refuse(pair, claim, { condition: "not-authorized" }, "policy.level", "the policy changed while the claim was verified")
      }
      if (verification.outcome === "error") {
        return this.#refuse(pair, claim, verification.error ?? { condition: "remote-server-timeout" }, verification.finding, verification.detail, verification.shown)
      }
      // DB-22: an invalid key ends the stream, unless other pairs live on it.
      if (this.#anyOpen) return this.#refuse(pair, claim, { condition: "forbidden" }, verification.finding, verification.detail, verification.shown)
      this.#session.refuse(pair, claim, verification.finding, verification.detail, verification.shown)
      this.#answer(pair, "invalid")
      this.#push.close()
    } catch (error) {
      this.#session.broken(error)
    }
  }

  #granted(pair: DomainPair): void {
    this.#session.budget.giveBack("claim")
    this.#answer(pair, "valid")
  }

  #answer(pair: DomainPair, answer: "valid" | "invalid"): void {
    this.#push.sendSoon(resultAnswerXml(pair, answer))
    this.#federation.event({ kind: "dialback", at: this.#federation.ports.clock.now(), ...this.#session.at, pair, step: "answered", answer })
  }

  #refuse(pair: DomainPair, claim: number | undefined, error: DialbackErrorDetail, finding: Parameters<IncomingSession["refuse"]>[2], detail: string, shown?: Proven): void {
    this.#push.sendSoon(resultAnswerXml(pair, "error", error))
    this.#federation.event({ kind: "dialback", at: this.#federation.ports.clock.now(), ...this.#session.at, pair, step: "answered", answer: "error", detail: error.condition })
    // A flood is a few lines in the log, with their number.
    const told = this.#session.budget.refused()
    if (told === 0) return this.#session.forget(pair, claim, finding)
    this.#session.refuse(pair, claim, finding, told === 1 ? detail : `${detail}${detail === "" ? "" : ", "}${told} claims refused`, shown)
  }
}

/** Stanzas whose domains are not written in canonical form are written anew. */
function rewriting(delivery: Delivery): Delivery {
  return { raw: (view) => delivery.tree(withCanonicalDomains(view, ns.server)), tree: (stanza) => delivery.tree(stanza) }
}
