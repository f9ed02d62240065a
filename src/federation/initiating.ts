// The initiating role (seed 3 and 4, RFC 7712 4): associate -> authenticate (SASL EXTERNAL, else dialback) -> serve.
// Reads like the chart; each step is a function that can only be called with what the step before it made.
import type { Association, DomainPair } from "../model/association.ts"
import { ProtocolError, StreamClosed } from "../model/errors.ts"
import { findingSentence } from "../model/findings.ts"
import { ns } from "../model/namespaces.ts"
import { headerXml } from "../stream/open.ts"
import { authXml, awaitExternal } from "../stream/sasl-external.ts"
import type { XmlElement } from "../xml/element.ts"
import { type AssociatedStream, associate, openAnswer } from "./associate.ts"
import type { Federation, OutgoingStream } from "./contract.ts"
import { deadline } from "./deadline.ts"
import { isDialback, readDialback, resultRequestXml } from "./dialback.ts"
import { leave } from "./leaving.ts"
import { PushStream } from "./push-stream.ts"
import { OutgoingRefused, refusal, refusalOf } from "./refusal.ts"
import { Watch } from "./renewal.ts"
import { onSteadyTime } from "./steady-time.ts"
import { rejudge, type Rejudged } from "./claims.ts"

/**
 * Opens a stream on which the pair may carry our stanzas.
 *
 * @param signal gives the attempt up
 * @throws OutgoingRefused
 */
export async function openOutgoing(gateway: Federation, pair: DomainPair, signal?: AbortSignal): Promise<OutgoingStream> {
  const federation = onSteadyTime(gateway)
  const { clock } = federation.ports
  const { times } = federation.current()
  const negotiation = deadline(clock, times.negotiation, "the negotiation", signal)
  try {
    const associated = await associate(federation, pair, negotiation.signal)
    try {
      const authenticated = await authenticate(federation, associated, negotiation.signal)
      const association = held(federation, associated)
      federation.event({ kind: "associated", at: clock.now(), stream: associated.name, direction: "out", association })
      return serveOutgoing(federation, associated, association, authenticated)
    } catch (error) {
      const refused = refusalOf(error, negotiation.signal)
      leave(associated.stream, associated.stream.channel, error, clock, times.closing)
      const reason = refused instanceof Error ? refused.message : String(refused)
      federation.event({ kind: "closed", at: clock.now(), stream: associated.name, direction: "out", pair, reason, unacknowledged: 0 })
      throw refused
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

/** What the server showed, under the policy of this moment: a reload while it was negotiated counts (security.md 10). */
function held(federation: Federation, { association, generation }: AssociatedStream): Association {
  if (federation.current().policy.generation === generation) return association
  const judged = rejudge(federation, association)
  if (judged.holds) return judged.association
  throw refusal(judged.finding, judged.detail, "refused", { verdicts: association.verdicts, evidence: association.evidence, retryable: true })
}

/** Stream id whose key was issued, where dialback was used. */
type Authenticated = { readonly by: "external" } | { readonly by: "dialback"; readonly id: string }

/** *Authentication*, the last box of the chart: how we prove ourselves to the peer. */
async function authenticate(federation: Federation, associated: AssociatedStream, signal: AbortSignal): Promise<Authenticated> {
  const { stream, features, pair, proof } = associated
  const hosting = federation.current()
  const at = { stream: associated.name, direction: "out" as const, pair }
  const { clock } = federation.ports
  let refusedWords: string | undefined
  if (proof !== undefined && features.mechanisms.includes("EXTERNAL") && hosting.credentials(pair.sender) !== undefined) {
    stream.send(authXml(pair.sender))
    federation.event({ kind: "external", at: clock.now(), ...at, result: "sent" })
    const result = await awaitExternal(stream, signal)
    if (result.accepted) {
      federation.event({ kind: "external", at: clock.now(), ...at, result: "accepted" })
      stream.restart()
      stream.send(headerXml({ content: ns.server, from: pair.sender, to: pair.target }))
      await openAnswer(stream, signal)
      return { by: "external" }
    }
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
  return await dialback(federation, associated, id, refusedWords, signal)
}

/** Asks the peer to verify us (XEP-0220 2.1.1); only the answer for this pair on this stream counts (DB-08). */
async function dialback(federation: Federation, associated: AssociatedStream, id: string, refusedWords: string | undefined, signal: AbortSignal): Promise<Authenticated> {
  const { stream, pair } = associated
  const { clock } = federation.ports
  const at = { stream: associated.name, direction: "out" as const, pair }
  // Why our certificate was not taken is mostly why dialback was not, either; common servers say it only there.
  const told = (words: string): string => [words, refusedWords === undefined ? "" : `SASL EXTERNAL was refused before: "${refusedWords}"`].filter((part) => part !== "").join("; ")
  const key = federation.keys.issue(pair, id)
  // A peer may repeat our key in its words, which are logged (security.md 27).
  const without = (words: string): string => words.replaceAll(key, "[key]")
  stream.send(resultRequestXml(pair, key))
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
      if (kind === "valid") return { by: "dialback", id }
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

/** CORE-26: stanzas go one way. */
function strayStanza(): ProtocolError {
  return new ProtocolError("not-authorized", "a stanza on a stream that carries only ours", { tell: "this stream carries stanzas in the other direction only" })
}

function serveOutgoing(federation: Federation, associated: AssociatedStream, judged: Association, authenticated: Authenticated): OutgoingStream {
  const { ports } = federation
  const hosting = federation.current()
  // The callbacks below outlive the negotiation: they must not hold its parser, header and answers.
  const { pair, name } = associated
  let association = judged
  const push = new PushStream(
    associated.stream.detach(),
    {
      // CORE-26: this stream carries stanzas one way only; a pair proven here is proven in our direction alone.
      stanza: () => {
        throw strayStanza()
      },
      element: (element) => {
        if (element.ns === ns.server) throw strayStanza()
        // DB-08 and DB-14: answers that nobody asked for, and requests in the wrong role, change nothing.
        if (element.ns === ns.dialback) return
        if (element.ns === ns.streams && element.name === "features") return
        throw new ProtocolError("unsupported-stanza-type", `<${element.name}/> on an outgoing stream`)
      },
      flushed: () => {},
      drain: () => outgoing.onDrain?.(),
    },
    { content: ns.server, limits: hosting.limits, clock: ports.clock, closing: hosting.times.closing },
  )
  const judgedAgain = (judged: Rejudged) => {
    if (judged.holds) {
      association = judged.association
      watch.arm()
      return
    }
    const sentence = findingSentence(judged.finding, judged.detail)
    federation.event({ kind: "refused", at: ports.clock.now(), stream: name, direction: "out", pair, finding: judged.finding, sentence, verdicts: [] })
    // TLS-14: a stream must not outlive what it rests on.
    push.close("reset", findingSentence(judged.finding))
  }
  const watch = new Watch(federation, {
    associations: () => (push.over ? [] : [association]),
    recheck: () => outgoing.recheck(),
    renew: (current, fresh) => judgedAgain(rejudge(federation, current, fresh)),
    broken: (error) => push.broken(error),
  })
  const outgoing: OutgoingStream = {
    id: name,
    pair,
    get association() {
      return association
    },
    remote: push.channel.remote,
    channel: push.channel,
    onDrain: undefined,
    closed: push.closed,
    close: (condition, tell) => push.close(condition, tell),
    recheck: () => {
      if (push.over) return
      judgedAgain(rejudge(federation, association))
    },
  }
  push.closed.then((end) => {
    watch.stop()
    if (authenticated.by === "dialback") federation.keys.forget(pair, authenticated.id)
    federation.event({ kind: "closed", at: ports.clock.now(), stream: name, direction: "out", pair, reason: end.detail, unacknowledged: 0 })
  })
  watch.arm()
  push.start()
  return outgoing
}

