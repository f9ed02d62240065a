// The receiving role up to the moment a stream may carry claims and stanzas (seed 3-5, RFC 7712 4.3):
// accept -> openStream -> negotiateTls -> claims -> SASL EXTERNAL, else dialback. Then serve.
import type { DomainPair } from "../model/association.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import { ProtocolError, StreamClosed, TlsError } from "../model/errors.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import { ns } from "../model/namespaces.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { Channel, TlsCredentials, TlsFacts } from "../ports.ts"
import type { Proven } from "../proof/prove.ts"
import { endWithin, partWithin } from "../stream/closing.ts"
import { featuresXml, type OfferedFeatures } from "../stream/features.ts"
import { type PeerLimits, readLimits } from "../stream/limits.ts"
import { failedXml } from "../stream/management-elements.ts"
import { headerXml, readHeader, type StreamHeader } from "../stream/open.ts"
import { type AuthRequest, challengeXml, failureXml, isAuth, readAuth, readResponse, type SaslFailure, successXml } from "../stream/sasl-external.ts"
import { acceptStarttls, InjectedBytes, isStarttls, starttlsFailureXml } from "../stream/starttls.ts"
import { toldTo } from "../stream/stream-errors.ts"
import { XmlStream } from "../stream/xml-stream.ts"
import type { XmlElement } from "../xml/element.ts"
import { proofOf } from "./associate.ts"
import { answerVerify } from "./authoritative.ts"
import { associationByCertificate, isOurs, judgeAtHand, judgeIncoming } from "./claims.ts"
import { type Federation, type IncomingHooks, type IncomingStream, usesOf } from "./contract.ts"
import { DeadlinePassed, deadline } from "./deadline.ts"
import { isDialback, readDialback } from "./dialback.ts"
import { exporterOptions, Presentation } from "./exchange.ts"
import type { Cost } from "./proof-budget.ts"
import { requirementOf, toldOf } from "./ratchet.ts"
import { serveIncoming } from "./serve.ts"
import { IncomingSession, SessionClosed } from "./session.ts"
import { onSteadyTime } from "./steady-time.ts"
import { streamId } from "./stream-names.ts"

/** EXT-08: this many failed `<auth/>` on one stream, then policy-violation. */
const authAttempts = 3

/** A header of the peer's that was checked and answered. */
interface Opened {
  readonly header: StreamHeader
  /** Canonical; undefined where an old server left it out (CORE-19). */
  readonly from: Domain | undefined
  readonly to: Domain | undefined
  /** Of our response header: what dialback keys on this stream are made of. */
  readonly id: string
}

/**
 * Negotiates and serves one accepted connection. Returns at once; everything else happens behind the handle.
 *
 * @param transport `direct-tls`: the handshake comes first, the certificate is picked by SNI
 */
export function acceptStream(gateway: Federation, channel: Channel, transport: "starttls" | "direct-tls", hooks: IncomingHooks): IncomingStream {
  const federation = onSteadyTime(gateway)
  const session = new IncomingSession(federation, channel, hooks)
  federation.event({ kind: "connected", at: federation.ports.clock.now(), ...session.at, pair: undefined, peer: channel.remote.address, transport })
  void receive(federation, session, channel, transport)
  return session.handle
}

async function receive(federation: Federation, session: IncomingSession, channel: Channel, transport: "starttls" | "direct-tls"): Promise<void> {
  const { clock } = federation.ports
  const hosting = federation.current()
  const negotiation = deadline(clock, hosting.times.negotiation, "the negotiation", session.aborted)
  const conversation = new Conversation(federation, session, channel)
  try {
    await conversation.run(transport, negotiation.signal)
  } catch (error) {
    try {
      conversation.fail(error)
    } catch (broken) {
      session.broken(broken)
    }
  } finally {
    negotiation.done()
  }
}

class Conversation {
  readonly #federation: Federation
  readonly #session: IncomingSession
  #channel: Channel
  #stream: XmlStream | undefined
  /** Our header went out since the last restart; an error needs one first (RFC 6120 4.9.1.2). */
  #headerSent = false
  #attempts = 0
  /** The peer asked for both directions, after TLS (BIDI-2), and says what it accepts. */
  #bidi: PeerLimits | undefined
  /** The certificate of ours that the peer was shown. */
  #shown: TlsCredentials | undefined

  constructor(federation: Federation, session: IncomingSession, channel: Channel) {
    this.#federation = federation
    this.#session = session
    this.#channel = channel
  }

  async run(transport: "starttls" | "direct-tls", signal: AbortSignal): Promise<void> {
    const { tls } = this.#federation.ports
    const hosting = this.#federation.current()
    const limits = { stanzaBytes: hosting.limits.unauthenticatedStanza, depth: hosting.limits.depth }
    if (transport === "direct-tls") {
      await this.#turn(signal)
      // DTLS-2: TLS from the first byte, and no STARTTLS inside.
      const secured = await tls.server(this.#channel, {
        pick: (serverName) => this.#show(tryDomain(serverName ?? "") ?? hosting.anyDomain),
        alpn: ["xmpp-server"],
        ...exporterOptions(hosting.prooftypes),
        signal,
      })
      this.#channel = secured.channel
      this.#stream = new XmlStream(secured.channel, limits)
      return await this.#secured(this.#stream, secured.facts, signal)
    }
    const stream = new XmlStream(this.#channel, limits)
    this.#stream = stream
    const opened = await this.#open(stream, signal)
    const plaintext = this.#plaintextAllowed(opened.from)
    // Where TLS is a choice it is offered only with something to show: a peer that takes it would only fail.
    const choice = hosting.credentials(opened.to ?? hosting.anyDomain) === undefined ? {} : { starttls: "optional" as const }
    // What asks for TLS behind its header is answered together.
    this.#channel.gather?.()
    // BIDI-1: said before TLS as well, for those who plan by it; it counts after.
    this.#answer(opened, { ...(plaintext ? choice : { starttls: "required" }), dialback: plaintext && hosting.dialback, bidi: this.#offersBidi(opened.from) })
    for (;;) {
      const element = await stream.element(signal)
      // TLS-05: asked for once; after TLS it is an unknown element.
      if (isStarttls(element)) {
        const picked = opened.to ?? hosting.anyDomain
        // TLS-04: with nothing to show a handshake could only fail.
        if (hosting.credentials(picked) === undefined) {
          stream.send(starttlsFailureXml)
          partWithin(stream.channel, this.#federation.ports.clock, hosting.times.closing)
          return this.#session.ended({ by: "us", detail: `no certificate for ${picked}` }, "tls.no-certificate")
        }
        await this.#turn(signal)
        // TLS-07: the certificate follows the header's `to`; Prosody sends no SNI.
        const secured = await acceptStarttls(stream, tls, { pick: () => this.#show(picked), alpn: ["xmpp-server"], ...exporterOptions(hosting.prooftypes), signal })
        this.#channel = secured.channel
        stream.restart(secured.channel)
        // CORE-18 and security.md 9: the `from`, the id and every claim from before TLS are void.
        this.#session.restarted()
        this.#headerSent = false
        return await this.#secured(stream, secured.facts, signal)
      }
      if (isAuth(element)) {
        // EXT-02: no mechanism before TLS.
        stream.send(failureXml("encryption-required"))
        this.#countFailure()
        continue
      }
      // BIDI-2: asked for in clear it was asked for by anybody.
      if (isBidi(element)) continue
      if (element.ns === ns.dialback && plaintext && hosting.dialback) return this.#serve(stream, opened, undefined, element)
      if (isDialback(element)) throw new ProtocolError("policy-violation", "dialback before TLS", { tell: findingSentence("tls.not-offered") })
      throw strayElement(element)
    }
  }

  /** security.md 17: handshakes of a network with much that came to nothing do not all fall into one turn of the loop. */
  async #turn(signal: AbortSignal): Promise<void> {
    await this.#session.budget.turn("handshake", signal)
    signal.throwIfAborted()
  }

  #show(domain: Domain): TlsCredentials | undefined {
    this.#shown = this.#federation.current().credentials(domain)
    return this.#shown
  }

  /** A stream under TLS, from its first header on. */
  async #secured(stream: XmlStream, facts: TlsFacts, signal: AbortSignal): Promise<void> {
    const { clock } = this.#federation.ports
    const certificate = facts.chain.length > 0 ? "shown" : "none"
    this.#federation.event({ kind: "secured", at: clock.now(), ...this.#session.at, pair: undefined, protocol: facts.protocol, cipher: facts.cipher, certificate })
    // What judging what it showed will take, at most: a signature for each certificate.
    this.#charge("certificate", facts.chain.length)
    this.#charge("signature", facts.chain.length)
    const proof = proofOf(facts, "tls-client")
    const opened = await this.#open(stream, signal)
    const pair = pairOf(opened)
    let proven: Proven | undefined
    if (pair !== undefined) {
      proven = await judgeIncoming(this.#federation, pair, proof, this.#session.claimant, signal)
      for (const verdict of proven.verdicts) this.#federation.event({ kind: "proof", at: clock.now(), ...this.#session.at, pair, verdict })
    }
    // Shown in the stream beside the certificate; void with the next restart, as the stream's id is.
    let shown = proof
    const presentation = pair === undefined ? undefined : new Presentation(this.#federation.current().prooftypes, facts, pair, opened.id)
    if (pair !== undefined && proven !== undefined) this.#refuseAtOnce(pair, proven, presentation?.possible === true)
    // EXT-01: offered only after the proof holds.
    const external = proven?.combined.outcome === "proved"
    const { dialback } = this.#federation.current()
    // EXT-08: empty features would say that all is done; who has no way to prove itself here is told so now.
    if (!external && !dialback) throw this.#noWay(pair, proven)
    const bidi = this.#offersBidi(opened.from)
    const pipelining = opened.from !== undefined && usesOf(this.#federation.current(), opened.from).pipelining
    const presented = presentation?.offered(clock.now()) ?? ""
    this.#answer(opened, { external, dialback, bidi, pipelining, ...this.#announced(), ...(presented === "" ? {} : { presented }) })
    if (external && pair !== undefined) this.#federation.event({ kind: "external", at: clock.now(), ...this.#session.at, pair, result: "offered" })
    for (;;) {
      const element = await stream.element(signal)
      if (isAuth(element)) {
        const authenticated = await this.#external(stream, element, opened, proof, signal)
        if (authenticated !== undefined) return await this.#afterExternal(stream, authenticated, proof, signal)
        continue
      }
      if (element.ns === ns.sm && (element.name === "enable" || element.name === "resume")) {
        // SM-1: not before authentication, which may still follow.
        stream.send(failedXml("unexpected-request"))
        continue
      }
      if (isBidi(element)) {
        if (bidi) this.#bidi = readLimits(element)
        continue
      }
      if (presentation?.reads(element) === true) {
        shown = presentation.inElement(shown, element, clock.now())
        continue
      }
      if (element.ns === ns.dialback) {
        const read = isDialback(element) ? readDialback(element) : undefined
        // A question about our own keys needs no I/O and no trust; authentication may still follow.
        if (read?.kind === "verify" && read.type === undefined) {
          this.#charge("question")
          const answered = answerVerify(read, this.#federation.current(), this.#federation.keys)
          if (answered !== undefined) stream.send(answered.xml)
          if (answered?.answer === "valid") this.#session.budget.caused()
          continue
        }
        return this.#serve(stream, opened, shown, element)
      }
      throw strayElement(element)
    }
  }

  /**
   * A certificate that is refuted, where nothing less than a proof will do: the sentence goes out now, as a stream error,
   * which is the one form that the operators of common servers get to read. A peer without any certificate may still ask
   * about our keys, so it is refused only when it claims something.
   */
  #refuseAtOnce(pair: DomainPair, proven: Proven, awaited: boolean): void {
    const { combined } = proven
    // A certificate that was shown and is refuted, at least by one: where none was shown there is nothing to say yet.
    if (combined.outcome === "proved" || combined.outcome === "absent" || !proven.verdicts.some(({ outcome }) => outcome === "refuted")) return
    const hosting = this.#federation.current()
    const requirement = requirementOf(this.#federation, hosting, pair.sender, "in", this.#federation.ports.clock.now())
    // security.md 4: a stop is one whatever the policy; no dialback comes behind it. Else the connect-back may prove more, by
    // what depends on the way there: unless DNS promises nothing, and the way is DNS's own.
    const silent = (name: string): boolean => hosting.override(pair.sender) === undefined && proven.verdicts.some(({ by, outcome }) => by === name && outcome === "absent")
    const open = awaited || requirement.require !== "authenticated" || hosting.prooftypes.some(({ atHand, dispensable, name }) => !atHand && dispensable !== true && !silent(name))
    if (open && combined.outcome !== "stop") return
    const { finding, detail } = toldOf(requirement, pair.sender, combined)
    this.#session.refuse(pair, undefined, finding, detail, proven)
    throw new ProtocolError("not-authorized", findingSentence(finding, detail), { tell: findingSentence(finding) })
  }

  #noWay(pair: DomainPair | undefined, proven: Proven | undefined): ProtocolError {
    const verdict = proven?.combined.verdict
    const [finding, detail]: [FindingId, string] = verdict === undefined || verdict.outcome === "proved" ? ["policy.level", "a stream without a sender"] : [verdict.finding, verdict.detail]
    if (pair !== undefined) this.#session.refuse(pair, undefined, finding, detail, proven)
    return new ProtocolError("policy-violation", findingSentence(finding, detail), { tell: findingSentence(finding) })
  }

  /** SASL EXTERNAL, receiving side. The proof is judged again now, not remembered (security.md 10). */
  async #external(stream: XmlStream, auth: XmlElement, opened: Opened, proof: ServerProof, signal: AbortSignal): Promise<DomainPair | undefined> {
    const { clock } = this.#federation.ports
    let request: AuthRequest = readAuth(auth)
    if (request.kind === "challenge") {
      stream.send(challengeXml)
      request = readResponse(await stream.element(signal))
      if (request.kind === "challenge") request = { kind: "failure", condition: "malformed-request" }
    }
    const pair = pairOf(opened)
    const refuse = (condition: SaslFailure, finding?: FindingId, detail?: string): undefined => {
      const words = finding === undefined ? undefined : findingSentence(finding)
      stream.send(failureXml(condition, words))
      if (pair !== undefined) {
        this.#federation.event({ kind: "external", at: clock.now(), ...this.#session.at, pair, result: "refused", detail: detail ?? words ?? condition })
      }
      this.#countFailure()
      return undefined
    }
    if (request.kind === "failure") return refuse(request.condition)
    if (pair === undefined) return refuse("not-authorized")
    // EXT-03: empty, or the stream's own `from`; nobody speaks for another domain.
    if (request.authzid !== "" && tryDomain(request.authzid) !== pair.sender) return refuse("invalid-authzid", "auth.authzid", `another identity than ${pair.sender}`)
    const proven = judgeAtHand(this.#federation, pair, proof)
    const held = proven.combined.outcome === "proved" ? proven : await judgeIncoming(this.#federation, pair, proof, this.#session.claimant, signal)
    if (held.combined.outcome !== "proved") return refuse("not-authorized", held.combined.verdict.finding, held.combined.verdict.detail)
    stream.send(successXml)
    this.#federation.event({ kind: "external", at: clock.now(), ...this.#session.at, pair, result: "accepted" })
    return pair
  }

  async #afterExternal(stream: XmlStream, authenticated: DomainPair, proof: ServerProof, signal: AbortSignal): Promise<void> {
    const hosting = this.#federation.current()
    stream.raiseLimits({ stanzaBytes: hosting.limits.stanza, depth: hosting.limits.depth })
    stream.restart()
    this.#session.restarted()
    this.#headerSent = false
    const opened = await this.#open(stream, signal)
    // EXT-06: the identity is the one that was authenticated; another one in the new header is a different peer.
    if (opened.from !== undefined && opened.from !== authenticated.sender) {
      throw new ProtocolError("invalid-from", `authenticated as ${authenticated.sender}, then from ${opened.from}`)
    }
    const pair = { sender: authenticated.sender, target: opened.to ?? authenticated.target }
    // Judged anew for the new epoch: nothing of the association outlives the restart. The claim comes first, so that a
    // reload while it is judged is seen (security.md 10).
    const claim = this.#session.claim(pair, "external")
    const proven = await judgeIncoming(this.#federation, pair, proof, this.#session.claimant, signal)
    const association = associationByCertificate(pair, proof, proven, this.#session.name, this.#session.ledger.epoch)
    if (association === undefined || !this.#session.authorise(association, claim)) {
      throw new ProtocolError("not-authorized", "the proof ended during authentication")
    }
    this.#answer(opened, { dialback: hosting.dialback, management: this.#offersManagement(authenticated.sender), ...this.#announced() })
    this.#serve(stream, opened, proof, undefined)
  }

  #serve(stream: XmlStream, opened: Opened, proof: ServerProof | undefined, first: XmlElement | undefined): void {
    const hosting = this.#federation.current()
    stream.raiseLimits({ stanzaBytes: hosting.limits.stanza, depth: hosting.limits.depth })
    serveIncoming(this.#federation, this.#session, stream.detach(), {
      id: opened.id,
      proof,
      first,
      ...(this.#bidi !== undefined && proof !== undefined ? { bidi: { credentials: this.#shown, limits: this.#bidi } } : {}),
    })
  }

  /** Offered only where somebody here can use the way back. */
  #offersBidi(from: Domain | undefined): boolean {
    return from !== undefined && this.#session.hooks.reachable !== undefined && usesOf(this.#federation.current(), from).bidi
  }

  /** SM-1: behind authentication only. */
  #offersManagement(from: Domain): boolean {
    return this.#federation.management !== undefined && usesOf(this.#federation.current(), from).streamManagement
  }

  /** LIM-1. Said behind TLS, before authentication too: with dialback these features are the last. */
  #announced(): Pick<OfferedFeatures, "limits"> {
    const { announced } = this.#federation.current()
    return announced === undefined ? {} : { limits: announced }
  }

  /** The peer's header, checked (CORE-10 to CORE-16, CORE-22, CORE-25). */
  async #open(stream: XmlStream, signal: AbortSignal): Promise<Opened> {
    const hosting = this.#federation.current()
    const header = readHeader(await stream.header(signal), ns.server)
    const to = header.to === undefined ? undefined : tryDomain(header.to)
    const from = header.from === undefined ? undefined : tryDomain(header.from)
    if (header.to !== undefined && to === undefined) throw new ProtocolError("improper-addressing", "the header's `to` is not a domain")
    if (header.from !== undefined && from === undefined) throw new ProtocolError("improper-addressing", "the header's `from` is not a domain")
    if (to !== undefined && !hosting.hosts(to)) throw new ProtocolError("host-unknown", `the header asks for ${to}`)
    if (from !== undefined && isOurs(hosting, from)) {
      throw new ProtocolError("invalid-from", findingSentence("stream.from-own-domain", from), { tell: findingSentence("stream.from-own-domain") })
    }
    const id = streamId(this.#federation.ports.random)
    this.#session.named(from, to)
    this.#federation.event({ kind: "opened", at: this.#federation.ports.clock.now(), ...this.#session.at, pair: pairOf({ from, to }), id })
    return { header, from, to, id }
  }

  /** Response header and features in one write: a second one would wait for an acknowledgement. */
  #answer(opened: Opened, features: OfferedFeatures): void {
    const hosting = this.#federation.current()
    const old = opened.header.version === undefined
    const xml = headerXml({
      content: ns.server,
      from: opened.to ?? hosting.anyDomain,
      // CORE-14: the peer's own `from`, as it wrote it.
      ...(opened.header.from === undefined ? {} : { to: opened.header.from }),
      id: opened.id,
      version: !old,
    })
    this.#headerSent = true
    this.#stream?.send(old ? xml : xml + featuresXml(features))
  }

  #plaintextAllowed(from: Domain | undefined): boolean {
    const hosting = this.#federation.current()
    const now = this.#federation.ports.clock.now()
    if (from !== undefined) return requirementOf(this.#federation, hosting, from, "in", now).require === "verified"
    return hosting.policy.require === "verified"
  }

  /** security.md 17: before anything is proven a stream has so much worked out for it, and no more. */
  #charge(cost: Cost, times = 1): void {
    const { budget } = this.#session
    budget.charge(cost, times)
    if (budget.exhausted) throw new ProtocolError("resource-constraint", findingSentence("reach.budget"), { tell: findingSentence("reach.budget") })
  }

  #countFailure(): void {
    this.#charge("claim")
    this.#attempts += 1
    if (this.#attempts >= authAttempts) throw new ProtocolError("policy-violation", "too many failed authentications")
  }

  /** Ends a negotiation that went wrong, telling the peer what it may know. */
  fail(error: unknown): void {
    const { clock } = this.#federation.ports
    const stream = this.#stream
    const closing = this.#federation.current().times.closing
    const protocol = error instanceof DeadlinePassed ? new ProtocolError("connection-timeout", error.message) : error
    if (protocol instanceof ProtocolError && stream !== undefined) {
      const { condition, tell } = toldTo(protocol)
      stream.lastWords(condition, tell, this.#headerDue())
      partWithin(stream.channel, clock, closing)
      const finding = protocol instanceof InjectedBytes ? "tls.starttls-injection" : findingOf(protocol)
      this.#session.ended({ by: "us", detail: protocol.message, condition }, finding)
      return
    }
    if (error instanceof SessionClosed && stream !== undefined) {
      if (this.#headerSent || error.condition !== undefined) stream.lastWords(error.condition, error.tell, this.#headerDue())
      partWithin(stream.channel, clock, closing)
      this.#session.ended({ by: "us", detail: error.message, ...(error.condition === undefined ? {} : { condition: error.condition }) })
      return
    }
    if (error instanceof StreamClosed && stream !== undefined) {
      if (this.#headerSent) stream.lastWords()
      endWithin(stream.channel, clock, closing)
      const { condition } = error
      if (condition === undefined) return this.#session.ended({ by: "peer", detail: error.message })
      // The peer's own words about us are for the operator to read, as loud as a refusal of ours.
      const detail = error.text === undefined ? condition : `${condition}, "${error.text}"`
      this.#session.ended({ by: "peer", detail: error.message, condition }, "stream.error", detail)
      return
    }
    // TLS-04: after a failed handshake there is no stream to close, only the connection.
    ;(stream?.channel ?? this.#channel).destroy()
    const detail = error instanceof Error ? error.message : String(error)
    if (this.#session.aborted.aborted) this.#session.ended({ by: "us", detail: "closed here" })
    else if (error instanceof TlsError) this.#session.ended({ by: "lost", detail }, error.failure === "no-credentials" ? "tls.no-certificate" : "tls.handshake-failed")
    else this.#session.broken(error)
  }

  /** An error on the peer's header stands behind one of ours (RFC 6120 4.9.1.2). */
  #headerDue(): string {
    if (this.#headerSent) return ""
    this.#headerSent = true
    return headerXml({ content: ns.server, from: this.#federation.current().anyDomain, id: streamId(this.#federation.ports.random) })
  }
}

function isBidi(element: XmlElement): boolean {
  return element.ns === ns.bidi && element.name === "bidi"
}

function pairOf(opened: Pick<Opened, "from" | "to">): DomainPair | undefined {
  return opened.from === undefined || opened.to === undefined ? undefined : { sender: opened.from, target: opened.to }
}

/** A first-level element where only negotiation belongs: stanzas are not-authorized (CORE-21), others unknown. */
function strayElement(element: XmlElement): ProtocolError {
  if (element.ns === ns.server && (element.name === "message" || element.name === "presence" || element.name === "iq")) {
    return new ProtocolError("not-authorized", `<${element.name}/> before authentication`)
  }
  return new ProtocolError("unsupported-stanza-type", `<${element.name}/> during negotiation`)
}

function findingOf(error: ProtocolError): FindingId {
  if (error.condition === "invalid-from") return "stream.from-own-domain"
  if (error.condition === "host-unknown") return "stream.host-unknown"
  if (error.condition === "connection-timeout") return "stream.too-slow"
  if (error.condition === "resource-constraint") return "reach.budget"
  if (error.condition === "not-authorized") return "route.unproven-sender"
  return "stream.bad-xml"
}
