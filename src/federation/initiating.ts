// The initiating role (seed 3 and 4, RFC 7712 4): associate -> authenticate (SASL EXTERNAL, else dialback) -> serve.
// Reads like the chart; each step is a function that can only be called with what the step before it made.
import type { Association, DomainPair } from "../model/association.ts"
import { ProtocolError, StreamClosed } from "../model/errors.ts"
import { findingSentence } from "../model/findings.ts"
import { ns } from "../model/namespaces.ts"
import { limitsXml, type PeerLimits } from "../stream/limits.ts"
import { headerXml } from "../stream/open.ts"
import { authXml, awaitExternal } from "../stream/sasl-external.ts"
import type { FormerStream } from "../stream/stream-management.ts"
import type { Discovery } from "../discovery/discover.ts"
import type { XmlElement } from "../xml/element.ts"
import { fingerprintOf } from "./abilities.ts"
import { type Ahead, type AssociatedStream, associate, openAnswer } from "./associate.ts"
import { isOurs, rejudge } from "./claims.ts"
import { type Federation, type Hosting, type IncomingHooks, type OutgoingStream, usesOf } from "./contract.ts"
import { deadline } from "./deadline.ts"
import { isDialback, readDialback, resultRequestXml } from "./dialback.ts"
import { leave } from "./leaving.ts"
import { LiveStream, strayStanza } from "./live-stream.ts"
import { manageOpened } from "./managed-stream.ts"
import { Outbound } from "./outbound.ts"
import { LiveLedger } from "./pair-ledger.ts"
import { OutgoingRefused, refusal, refusalOf } from "./refusal.ts"
import { Inbound } from "./serve.ts"
import { IncomingSession } from "./session.ts"
import { onSteadyTime } from "./steady-time.ts"

export interface OpenOptions {
  /** Where the target's service is, when that was looked up already. */
  readonly found?: Discovery
  /** The web servers of other domains there were not needed: this domain's is asked only where it is. */
  readonly webLater?: boolean
  /** Who takes what comes in on this very stream (XEP-0288); without it nothing may. */
  readonly hooks?: IncomingHooks
  /** Called when it is known that the peer takes one pair only on this stream: who waits for it need not. */
  readonly single?: () => void
  /** A lost stream to the same peer that this one shall go on with (XEP-0198). */
  readonly former?: FormerStream
}

/**
 * Opens a stream on which the pair may carry our stanzas.
 *
 * @param signal gives the attempt up
 * @throws OutgoingRefused
 */
export async function openOutgoing(gateway: Federation, pair: DomainPair, signal?: AbortSignal, options: OpenOptions = {}): Promise<OutgoingStream> {
  const federation = onSteadyTime(gateway)
  const { clock } = federation.ports
  const { times } = federation.current()
  const negotiation = deadline(clock, times.negotiation, "the negotiation", signal)
  try {
    const haste: Haste = { sent: false }
    try {
      return await attempt(federation, pair, negotiation.signal, options, haste)
    } catch (error) {
      if (!haste.sent) throw error
      // security.md 24: the first surprise ends the short cuts, and costs one more connection.
      federation.abilities?.surprised(pair.target)
      if (negotiation.signal.aborted) throw error
      return await attempt(federation, pair, negotiation.signal, options, undefined)
    }
  } catch (error) {
    if (error instanceof OutgoingRefused) {
      const { finding, detail, verdicts, evidence } = error.failure
      const sentence = findingSentence(finding, detail)
      federation.event({ kind: "refused", at: clock.now(), stream: "s2sout", direction: "out", pair, finding, sentence, verdicts, ...(evidence === undefined ? {} : { evidence }) })
    }
    throw error
  } finally {
    negotiation.done()
  }
}

/** Whether something went out ahead of the answers, and nothing has come of it yet. */
interface Haste {
  sent: boolean
}

async function attempt(federation: Federation, pair: DomainPair, signal: AbortSignal, options: OpenOptions, haste: Haste | undefined): Promise<OutgoingStream> {
  const { clock } = federation.ports
  const { times } = federation.current()
  const both = options.hooks !== undefined
  const ahead = (far: boolean): Ahead | undefined => {
    const plan = haste === undefined ? undefined : aheadOf(federation, pair, both)
    // Nearby a surprise costs more than the round trip that is saved.
    if (plan?.restart === false && !far) return undefined
    if (plan !== undefined && haste !== undefined) haste.sent = true
    return plan
  }
  let served: Served
  stillOurs(federation, pair)
  const associated = await associate(federation, pair, signal, { ahead, webLater: options.webLater === true, ...(options.found === undefined ? {} : { known: options.found }) })
  try {
    stillOurs(federation, pair)
    if (associated.features.dialback?.errors !== true) options.single?.()
    const authenticated = await authenticate(federation, associated, both, signal)
    if (haste !== undefined) haste.sent = false
    const association = held(federation, associated)
    learn(federation, associated, association, authenticated)
    served = serveOutgoing(federation, associated, association, authenticated, options, signal)
  } catch (error) {
    const refused = refusalOf(error, signal)
    leave(associated.stream, associated.stream.channel, error, clock, times.closing)
    const reason = refused instanceof Error ? refused.message : String(refused)
    federation.event({ kind: "closed", at: clock.now(), stream: associated.name, direction: "out", pair, reason, unacknowledged: 0 })
    throw refused
  }
  // The stream ends by itself where it cannot go on with the former one.
  served.outbound.arrived = await served.counting
  return served.outbound.handle
}

/**
 * security.md 10: the pair has waited for others, or for the peer, and a reload may have come meanwhile. Nobody is told that we speak for
 * a domain that is not served here any more, and no stranger is met in the name of one that is served now.
 */
function stillOurs(federation: Federation, { sender, target }: DomainPair): void {
  const hosting = federation.current()
  if (!hosting.hosts(sender)) throw refusal("stream.host-unknown", sender, "refused", { retryable: true })
  if (isOurs(hosting, target)) throw refusal("stream.from-own-domain", target, "refused", { retryable: true })
}

/**
 * What may follow our header at once (security.md 24): authentication where it succeeded before with this peer and this
 * certificate; the next header, too, where the peer advertised that it reads on.
 */
function aheadOf(federation: Federation, { sender, target }: DomainPair, both: boolean): Ahead | undefined {
  const hosting = federation.current()
  const uses = usesOf(hosting, target)
  const credentials = hosting.credentials(sender)
  const known = federation.abilities?.recall(target)
  if (!uses.pipelining || credentials === undefined || known?.accepts(fingerprintOf(credentials)) !== true) return undefined
  const bidi = both && uses.bidi && known.bidi
  return { xml: (bidi ? bidiXml(hosting) : "") + authXml(sender), restart: known.pipelining, bidi }
}

/** What the peer showed that it can do, for the next time. */
function learn(federation: Federation, { features, pair }: AssociatedStream, association: Association, { by, errors, management }: Authenticated): void {
  const credentials = by === "external" ? federation.current().credentials(pair.sender) : undefined
  federation.abilities?.learn(association, {
    advertised: { dialbackErrors: errors, bidi: features.bidi, streamManagement: management, pipelining: features.pipelining },
    ...(credentials === undefined ? {} : { externalAccepted: fingerprintOf(credentials) }),
  })
}

/** What the server showed, under the policy of this moment: a reload while it was negotiated counts (security.md 10). */
function held(federation: Federation, { association, generation }: AssociatedStream): Association {
  if (federation.current().policy.generation === generation) return association
  const judged = rejudge(federation, association)
  if (judged.holds) return judged.association
  throw refusal(judged.finding, judged.detail, "refused", { verdicts: association.verdicts, evidence: association.evidence, retryable: true })
}

interface Authenticated {
  readonly by: "external" | "dialback"
  /** Of the latest response header: what further keys on this stream are made of. */
  readonly id: string
  /** Dialback errors are advertised by what the peer said last. */
  readonly errors: boolean
  readonly bidi: boolean
  readonly management: boolean
  /** What the peer said last. */
  readonly limits: PeerLimits
}

/** BIDI-9: a connecting server has no features to say what it accepts in. */
function bidiXml(hosting: Hosting): string {
  const limits = hosting.announced === undefined ? "" : limitsXml(hosting.announced)
  return limits === "" ? `<bidi xmlns='${ns.bidi}'/>` : `<bidi xmlns='${ns.bidi}'>${limits}</bidi>`
}

/** *Authentication*, the last box of the chart: how we prove ourselves to the peer. */
async function authenticate(federation: Federation, associated: AssociatedStream, both: boolean, signal: AbortSignal): Promise<Authenticated> {
  const { stream, features, pair, proof } = associated
  const hosting = federation.current()
  // BIDI-2: after TLS, before authentication, in its own namespace; there is no answer.
  const wanted = both && proof !== undefined && usesOf(hosting, pair.target).bidi
  const bidi = associated.ahead === undefined ? wanted && features.bidi : associated.ahead.bidi
  // What was sent ahead must be what is offered now.
  if (associated.ahead !== undefined && (!features.mechanisms.includes("EXTERNAL") || (bidi && !features.bidi))) throw surprise()
  const first = (bidi ? bidiXml(hosting) : "") + (associated.presenting ?? "")
  const at = { stream: associated.name, direction: "out" as const, pair }
  const { clock } = federation.ports
  let refusedWords: string | undefined
  if (proof !== undefined && features.mechanisms.includes("EXTERNAL") && hosting.credentials(pair.sender) !== undefined) {
    if (associated.ahead === undefined) stream.send(first + authXml(pair.sender))
    federation.event({ kind: "external", at: clock.now(), ...at, result: "sent" })
    const result = await awaitExternal(stream, signal)
    if (result.accepted) {
      federation.event({ kind: "external", at: clock.now(), ...at, result: "accepted" })
      // What the peer sent behind its success is for the fresh parser.
      stream.restart()
      // XML-04: an XML declaration, but not behind a space.
      const declaration = associated.nudged !== true
      if (associated.ahead?.restart !== true) stream.send(headerXml({ content: ns.server, from: pair.sender, to: pair.target, declaration }))
      const { header, features: after } = await openAnswer(stream, signal)
      return { by: "external", id: header.id ?? "", errors: after.dialback?.errors === true, bidi, management: after.management, limits: after.limits }
    }
    // A header that stands where none is due ends the stream; without one there is still dialback.
    if (associated.ahead?.restart === true) throw surprise()
    if (associated.ahead !== undefined) federation.abilities?.surprised(pair.target)
    refusedWords = result.words ?? result.condition
    federation.event({ kind: "external", at: clock.now(), ...at, result: "refused", detail: refusedWords })
  }
  // EKU-06: an old server refuses a certificate for servers only; dialback goes on, on the same stream.
  const offered = features.dialback !== undefined || associated.header.dialbackDeclared
  if (!hosting.dialback || !offered) {
    if (refusedWords !== undefined) throw refusal("auth.external-refused", `"${refusedWords}"`, "refused", { retryable: true })
    throw refusal("auth.no-way", "", "refused", { retryable: true })
  }
  const id = associated.header.id
  if (id === undefined || id === "") throw new ProtocolError("bad-format", "a response header without an id")
  const sent = refusedWords === undefined ? first : ""
  await dialback(federation, associated, id, sent, refusedWords, signal)
  return { by: "dialback", id, errors: features.dialback?.errors === true, bidi, management: false, limits: features.limits }
}

function surprise(): OutgoingRefused {
  return refusal("stream.closed", "the peer does not take ahead of its answers what it took before", "unreachable")
}

/** Asks the peer to verify us (XEP-0220 2.1.1); only the answer for this pair on this stream counts (DB-08). */
async function dialback(federation: Federation, associated: AssociatedStream, id: string, first: string, refusedWords: string | undefined, signal: AbortSignal): Promise<void> {
  const { stream, pair } = associated
  const { clock } = federation.ports
  const at = { stream: associated.name, direction: "out" as const, pair }
  // Why our certificate was not taken is mostly why dialback was not, either; common servers say it only there.
  const told = (words: string): string => [words, refusedWords === undefined ? "" : `SASL EXTERNAL was refused before: "${refusedWords}"`].filter((part) => part !== "").join("; ")
  const key = federation.keys.issue(pair, id)
  // A peer may repeat our key in its words, which are logged (security.md 27).
  const without = (words: string): string => words.replaceAll(key, "[key]")
  stream.send(first + resultRequestXml(pair, key))
  federation.event({ kind: "dialback", at: clock.now(), ...at, step: "result-sent" })
  // DB-07: some servers say nothing when they cannot verify, so the wait is ours to end.
  const waiting = deadline(clock, federation.current().times.dialbackAnswer, "the dialback answer", signal)
  try {
    for (;;) {
      const element = await stream.element(waiting.signal)
      if (element.ns === ns.server) throw strayStanza()
      const answer = answerFor(element, pair)
      if (answer === undefined) continue
      const detail = answer.condition === undefined ? {} : { detail: without(answer.words ?? answer.condition) }
      const kind = answer.type === "valid" || answer.type === "invalid" ? answer.type : "error"
      federation.event({ kind: "dialback", at: clock.now(), ...at, step: "answered", answer: kind, ...detail })
      if (kind === "valid") return
      const words = answer.words ?? answer.condition ?? kind
      // DB-10 and DB-11: invalid is ours to bounce as an error of the system, error as a time-out.
      const failure = kind === "invalid" ? "rejected" : answer.condition === "item-not-found" ? "not-found" : "unreachable"
      throw refusal("auth.dialback-refused", told(without(words)), failure)
    }
  } catch (error) {
    federation.keys.forget(pair, id)
    if (waiting.signal.aborted && !signal.aborted) throw refusal("auth.dialback-timeout", told(""), "unreachable")
    if (error instanceof StreamClosed && error.condition !== undefined) {
      throw refusal("auth.dialback-refused", told(without(error.text ?? error.condition)), "unreachable")
    }
    throw error
  } finally {
    waiting.done()
  }
}

/** An answer to our request for exactly this pair; anything else on the stream is not for us and is dropped (DB-08). */
function answerFor(element: XmlElement, pair: DomainPair) {
  if (!isDialback(element) || element.name !== "result") return undefined
  const read = readDialback(element)
  if (read === undefined || read.type === undefined) return undefined
  return read.from === pair.target && read.to === pair.sender ? read : undefined
}

interface Served {
  readonly outbound: Outbound
  /** Where another stream is resumed: how far that had come. */
  readonly counting: Promise<number | undefined> | undefined
}

function serveOutgoing(federation: Federation, associated: AssociatedStream, association: Association, authenticated: Authenticated, options: OpenOptions, signal: AbortSignal): Served {
  const { hooks, former } = options
  // The callbacks below outlive the negotiation: they must not hold its parser, header and answers.
  const { pair, name, endpoint, proof } = associated
  const { by, id, errors, bidi, management, limits } = authenticated
  const ledger = new LiveLedger()
  // Associations are of the stream's first epoch: TLS was its last restart before the proof.
  ledger.apply({ kind: "restarted" })
  const live = new LiveStream(federation, associated.stream.detach(), ledger)
  const credentials = federation.current().credentials(pair.sender)
  const outbound = new Outbound(federation, live, { name, role: "initiated", id, epoch: ledger.state.epoch, errors, credentials, proof, endpoint, limits })
  live.outbound = outbound
  outbound.begin(association)
  if (bidi && hooks !== undefined) wayIn(federation, live, outbound, hooks)
  void live.push.closed.then((end) => {
    if (by === "dialback") federation.keys.forget(pair, id)
    federation.event({ kind: "closed", at: federation.ports.clock.now(), stream: name, direction: "out", pair, reason: end.detail, unacknowledged: 0 })
  })
  const begin = manageOpened(federation, live, { pair, name, offered: management })
  // The first stanzas wait for this stream: what asks for acknowledgements leaves with them.
  if (begin !== undefined) live.push.channel.gather?.()
  const counting = begin?.(former, signal)
  live.push.start()
  return { outbound, counting }
}

/** XEP-0288, connecting side: whom we proved may send on this stream to those of our domains that use it (BIDI-7). */
function wayIn(federation: Federation, live: LiveStream, outbound: Outbound, hooks: IncomingHooks): void {
  const { name, id, proof } = outbound.facts
  const session = new IncomingSession(federation, live.push.channel, hooks, { name, ledger: live.ledger })
  session.lastOutput = () => outbound.handle.lastOutput
  live.inbound = new Inbound(federation, session, live, { id, proof, first: undefined })
  session.serve(live.push)
  hooks.opened?.(session.handle)
}
