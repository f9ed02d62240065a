// The outgoing flow of the seed's chart up to the association (seed 3 and 4):
// discover -> connect -> openStream -> negotiateTls -> establishAssociation.
import type { Association, DomainPair, FederationLevel } from "../model/association.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { FindingId } from "../model/findings.ts"
import { findingSentence } from "../model/findings.ts"
import { type ContentNamespace, ns } from "../model/namespaces.ts"
import { type Requirement, shortfall } from "../model/policy.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { StopSignal } from "../model/stop.ts"
import type { SecuredChannel, TlsFacts } from "../ports.ts"
import { type Discovery, discover } from "../discovery/discover.ts"
import { match, type Obtained, type Proven } from "../proof/prove.ts"
import type { ProofSubject } from "../proof/prooftype.ts"
import { noFeatures, readFeatures, type StreamFeatures } from "../stream/features.ts"
import { headerXml, readHeader, type StreamHeader } from "../stream/open.ts"
import { continueStarttls, starttlsXml } from "../stream/starttls.ts"
import { XmlStream } from "../stream/xml-stream.ts"
import type { XmlElement } from "../xml/element.ts"
import { evidenceFor, subjectOf } from "./claims.ts"
import { connectTo, noProof } from "./connecting.ts"
import type { Federation, Hosting } from "./contract.ts"
import { deadline } from "./deadline.ts"
import { exporterOptions, Presentation } from "./exchange.ts"
import { leave } from "./leaving.ts"
import { requirementOf } from "./ratchet.ts"
import { Nudge } from "./nudge.ts"
import { OutgoingRefused, refusal, refusalOf } from "./refusal.ts"
import { streamName } from "./stream-names.ts"
import { belowRatchet, heedWithdrawal } from "./withdrawal.ts"

/** A stream to the target's server whose proof was judged; nothing of ours has been authenticated yet. */
export interface AssociatedStream {
  readonly stream: XmlStream
  readonly name: string
  readonly pair: DomainPair
  readonly endpoint: Endpoint
  /** The response header after the latest restart; its id goes into dialback keys. */
  readonly header: StreamHeader
  readonly features: StreamFeatures
  /** What went out already behind our header. */
  readonly ahead: Ahead | undefined
  /** Behind that went a space, which the peer may read where its next document begins. */
  readonly nudged?: boolean
  /** What the server showed; undefined without TLS. */
  readonly proof: ServerProof | undefined
  readonly association: Association
  /** Elements of ours that go before authentication: proofs that are shown in the stream. */
  readonly presenting?: string
  /** Of the policy the server was judged under. */
  readonly generation: number
}

/** What may follow our header at once where the peer was seen to take it (security.md 24). */
export interface Ahead {
  readonly xml: string
  /** The header after authentication, too: across a restart of the peer's parser. */
  readonly restart: boolean
  /** `xml` asks for both directions. */
  readonly bidi: boolean
}

export interface AssociateOptions {
  /** Whose claim causes this, for the caps of security.md 17; undefined for our own stanzas. */
  readonly source?: string
  /** Where the target's service is, when that was looked up already. */
  readonly known?: Discovery
  /** Other domains at this place are proven without their web servers: this one's is asked only if it is needed. */
  readonly webLater?: boolean
  /** Asked once the server is proven; undefined: header by header. `far`: a round trip costs more than what a surprise would. */
  readonly ahead?: (far: boolean) => Ahead | undefined
}

/**
 * Finds the target's server, connects, negotiates TLS and judges the server's proof. Endpoints are tried in SRV order,
 * at most eight, until one holds.
 *
 * @param pair our domain and the remote one
 * @param signal the deadline of the whole
 * @throws OutgoingRefused with the most telling failure
 */
export async function associate(federation: Federation, pair: DomainPair, signal: AbortSignal, options: AssociateOptions = {}): Promise<AssociatedStream> {
  const { ports } = federation
  const hosting = federation.current()
  const name = streamName("s2sout", ports.random)
  const found = options.known ?? (await discoverPeer(federation, hosting, pair.target, signal))
  if (found.outcome !== "endpoints") {
    throw refusal(found.finding as FindingId, found.detail, found.outcome === "unavailable" ? "unreachable" : "not-found")
  }
  federation.event({
    kind: "discovered",
    at: ports.clock.now(),
    stream: name,
    direction: "out",
    pair,
    endpoints: found.endpoints.map(({ address, port, transport }) => `${address} port ${port} ${transport}`),
    via: found.endpoints[0]?.delegation.via ?? "fallback",
    ...(found.endpoints[0]?.delegation.because === "secure" ? { signed: true } : {}),
  })
  const attempts = () => attemptAll(federation, hosting, pair, found.endpoints, name, signal, options)
  try {
    const associated = await attempts()
    if (belowRatchet(federation, pair.target, associated.association.level)) await heedWithdrawal(federation, hosting, pair.target, found, signal)
    return associated
  } catch (error) {
    // security.md 13: only what DNSSEC proves lowers what the domain is held to, and then it counts at once.
    const held = error instanceof OutgoingRefused && error.failure.finding === "policy.ratchet"
    if (!held || !(await heedWithdrawal(federation, hosting, pair.target, found, signal))) throw error
    return await attempts()
  }
}

/** One endpoint after the other, until one holds. */
async function attemptAll(
  federation: Federation,
  hosting: Hosting,
  pair: DomainPair,
  endpoints: readonly Endpoint[],
  name: string,
  signal: AbortSignal,
  options: AssociateOptions,
): Promise<AssociatedStream> {
  const { ports } = federation
  let telling: OutgoingRefused | undefined
  for (const [index, endpoint] of endpoints.entries()) {
    // An endpoint that answers and then says nothing must not use up the time of those behind it.
    const others = index < endpoints.length - 1
    const share = others ? deadline(ports.clock, hosting.times.negotiation / 3, `the negotiation with ${endpoint.address}`, signal) : undefined
    try {
      return await attemptTwice(federation, hosting, pair, endpoint, name, share?.signal ?? signal, options)
    } catch (error) {
      const refused = refusalOf(error, signal)
      if (!(refused instanceof OutgoingRefused)) throw error
      // A refused proof says more than a dead address; among equals the first.
      if (telling === undefined || rank(refused) > rank(telling)) telling = refused
      if (signal.aborted) break
    } finally {
      share?.done()
    }
  }
  throw telling ?? refusal("dns.target-unresolvable", "", "not-found")
}

/** Where the domain's service is, in the order in which it is to be tried. */
export async function discoverPeer({ ports }: Federation, hosting: Hosting, domain: DomainPair["target"], signal: StopSignal): Promise<Discovery> {
  const override = hosting.override(domain)
  return await discover({
    domain,
    service: "xmpp-server",
    resolver: ports.resolver,
    random: ports.random,
    reach: hosting.reach,
    ...(override === undefined ? {} : { override }),
    signal,
  })
}

function rank({ failure }: OutgoingRefused): number {
  return failure.kind === "refused" ? 2 : failure.finding.startsWith("reach.") ? 0 : 1
}

/** A handshake takes one round trip; from here on, in ms, what is sent ahead saves time with every peer. */
const farAway = 25

/**
 * COMPAT(prosody 0.12): who refuses us at once writes its stream error and closes; a space that arrives then is answered
 * by a reset, with which the error is lost. So where the space may have cost us the peer's words, it is left out once.
 */
async function attemptTwice(
  federation: Federation,
  hosting: Hosting,
  pair: DomainPair,
  endpoint: Endpoint,
  name: string,
  signal: AbortSignal,
  options: AssociateOptions,
): Promise<AssociatedStream> {
  const nudge = new Nudge(federation.ports.clock)
  try {
    return await attempt(federation, hosting, pair, endpoint, name, signal, options, nudge)
  } catch (error) {
    const lost = error instanceof OutgoingRefused && error.failure.finding === "stream.closed"
    if (!lost || !nudge.sent || signal.aborted) throw error
    return await attempt(federation, hosting, pair, endpoint, name, signal, options, undefined)
  }
}

async function attempt(
  federation: Federation,
  hosting: Hosting,
  pair: DomainPair,
  endpoint: Endpoint,
  name: string,
  signal: AbortSignal,
  options: AssociateOptions,
  nudge: Nudge | undefined,
): Promise<AssociatedStream> {
  const { clock, tls } = federation.ports
  const subject = subjectOf(pair.target, "outgoing", endpoint)
  const requirement = requirementOf(federation, hosting, pair.target, "out", clock.now())
  const at = { stream: name, direction: "out" as const }
  const { channel, tlsPromised, material, giveUp } = await connectTo(federation, hosting, pair, endpoint, signal, options.source, options.webLater)
  federation.event({ kind: "connected", at: clock.now(), ...at, pair, peer: endpoint.address, transport: endpoint.transport })
  let stream: XmlStream | undefined
  let closable = channel
  try {
    const credentials = hosting.credentials(pair.sender)
    const tlsOptions = { serverName: pair.target, alpn: "xmpp-server", signal, ...exporterOptions(hosting.prooftypes), ...(credentials === undefined ? {} : { credentials }) }
    const limits = { stanzaBytes: hosting.limits.unauthenticatedStanza, depth: hosting.limits.depth }
    let secured: SecuredChannel | undefined
    let handshake = clock.monotonic()
    if (endpoint.transport === "direct-tls") {
      secured = await tls.client(channel, tlsOptions)
      stream = new XmlStream(secured.channel, limits)
    } else {
      stream = new XmlStream(channel, limits)
      // DANE-33: a server that publishes TLSA has promised TLS.
      const plaintextAllowed = requirement.require === "verified" && !tlsPromised
      // TLS-08: asked for even where it is not offered, so that taking the offer away gains nothing.
      stream.send(headerXml({ content: ns.server, from: pair.sender, to: pair.target }) + (plaintextAllowed ? "" : starttlsXml))
      const before = await openAnswer(stream, signal)
      federation.event({ kind: "opened", at: clock.now(), ...at, pair, id: before.header.id ?? "" })
      if (plaintextAllowed && before.features.starttls === undefined) {
        return finish(federation, hosting, pair, endpoint, name, stream, before, undefined, match(await material(noProof), subject, noProof, clock.now()))
      }
      // CORE-16: a peer of version 0.9 knows no STARTTLS, and may never answer it.
      if (before.header.version === undefined) throw refusal("tls.not-offered", "a server of version 0.9", "refused")
      if (plaintextAllowed) stream.send(starttlsXml)
      handshake = clock.monotonic()
      const switched = await continueStarttls(stream, tls, tlsOptions)
      if (switched === "refused") throw refusal("tls.not-offered", "", "refused")
      secured = switched
      // CORE-18: nothing learnt before TLS counts after it.
      stream.restart(secured.channel)
    }
    closable = secured.channel
    const { facts } = secured
    federation.event({
      kind: "secured",
      at: clock.now(),
      ...at,
      pair,
      protocol: facts.protocol,
      cipher: facts.cipher,
      certificate: facts.chain.length > 0 ? "shown" : "none",
    })
    let proof = proofOf(facts, "tls-server")
    let proven = establishAssociation(await material(proof), subject, proof, clock.now())
    for (const verdict of proven.verdicts) federation.event({ kind: "proof", at: clock.now(), ...at, pair, verdict })
    // security.md 28: a proof in the stream needs our header first, which says no more than the handshake did.
    const awaited = facts.exporters !== undefined && proven.combined.outcome !== "proved" && proven.combined.outcome !== "stop"
    if (!awaited) requireLevel(proven, "encrypted", requirement, stream, pair, headerXml({ content: ns.server, from: pair.sender, to: pair.target }))
    // security.md 24, POSH-15: nothing of ours stands on the secured stream before our own verdict.
    const ours = headerXml({ content: ns.server, from: pair.sender, to: pair.target })
    const far = clock.monotonic() - handshake >= farAway
    const ahead = proven.combined.outcome === "proved" ? options.ahead?.(far) : undefined
    stream.send(ours + (ahead?.xml ?? "") + (ahead?.restart === true ? ours : ""))
    if (ahead?.restart !== true) nudge?.listen(secured)
    let answer: Opened
    try {
      answer = await openAnswer(stream, signal)
    } finally {
      nudge?.over()
    }
    federation.event({ kind: "opened", at: clock.now(), ...at, pair, id: answer.header.id ?? "" })
    const presentation = new Presentation(hosting.prooftypes, facts, pair, answer.header.id ?? "")
    if (awaited) {
      proof = presentation.inFeatures(proof, answer.element, clock.now())
      proven = establishAssociation(await material(proof), subject, proof, clock.now())
      for (const verdict of proven.verdicts) federation.event({ kind: "proof", at: clock.now(), ...at, pair, verdict })
      requireLevel(proven, "encrypted", requirement, stream, pair, "")
    }
    return { ...finish(federation, hosting, pair, endpoint, name, stream, answer, proof, proven, ahead), nudged: ahead !== undefined && nudge?.sent === true, presenting: presentation.answered(answer.element, clock.now()) }
  } catch (error) {
    giveUp()
    const refused = refusalOf(error, signal)
    leave(stream, closable, error, clock, hosting.times.closing)
    federation.event({
      kind: "closed",
      at: clock.now(),
      ...at,
      pair,
      reason: refused instanceof Error ? refused.message : String(refused),
      unacknowledged: 0,
    })
    throw refused
  }
}

/** *Association*, the box of the chart: the material against what the server showed. */
function establishAssociation(material: readonly Obtained[], subject: ProofSubject, proof: ServerProof, at: number): Proven {
  return match(material, subject, proof, at)
}

/**
 * What a handshake showed, as proof. Field by field: associations are logged and kept as evidence, where the exporter
 * value must never stand (security.md 27).
 */
export function proofOf({ chain, protocol, cipher, serverName, alpn }: TlsFacts, presentedAs: ServerProof["presentedAs"]): ServerProof {
  return { chain, presentedAs, protocol, cipher, serverName, alpn }
}

export interface Opened {
  readonly header: StreamHeader
  readonly features: StreamFeatures
  /** The features as they came. */
  readonly element?: XmlElement
}

/** The response header and its features. A peer of version 0.9 sends none. */
export async function openAnswer(stream: XmlStream, signal: AbortSignal, content: ContentNamespace = ns.server): Promise<Opened> {
  const header = readHeader(await stream.header(signal), content)
  if (header.version === undefined) {
    return {
      header,
      features: { ...noFeatures, dialback: header.dialbackDeclared ? { errors: false } : undefined },
    }
  }
  const element = await stream.element(signal)
  return { header, features: readFeatures(element), element }
}

/**
 * Ends the attempt when the level reached is below what the pair needs; the peer reads why.
 *
 * @param header ours, where none went out since TLS: an error needs one first (RFC 6120 4.9.1.2)
 */
function requireLevel(proven: Proven, unproved: FederationLevel, requirement: Requirement, stream: XmlStream, pair: DomainPair, header: string): void {
  const { combined } = proven
  const stopped = combined.outcome === "stop"
  const level: FederationLevel = combined.outcome === "proved" ? "authenticated" : unproved
  const short = shortfall(requirement, pair.target, level)
  if (!stopped && short === undefined) return
  const verdict = combined.verdict
  // What the peer proved so far says more than that it does not prove it now.
  const told = verdict.outcome === "proved" || (!stopped && short?.finding === "policy.ratchet") ? short : verdict
  if (told === undefined) return
  const sentence = findingSentence(told.finding, told.detail)
  stream.lastWords("not-authorized", tellPeer(told.finding), header)
  throw refusal(told.finding, told.detail === "" ? `${pair.target} needs ${requirement.require}` : told.detail, "refused", {
    verdicts: proven.verdicts,
    evidence: () => proven.evidence(pair),
    retryable: combined.outcome === "unavailable",
    cause: new Error(sentence),
  })
}

/** The peer's operator reads the finding's plain sentence: it says nothing that the peer does not know. */
export function tellPeer(finding: FindingId): string {
  return findingSentence(finding)
}

function finish(
  federation: Federation,
  hosting: Hosting,
  pair: DomainPair,
  endpoint: Endpoint,
  name: string,
  stream: XmlStream,
  answer: Opened,
  proof: ServerProof | undefined,
  proven: Proven,
  ahead?: Ahead,
): AssociatedStream {
  const at = federation.ports.clock.now()
  const { combined } = proven
  const level: FederationLevel = combined.outcome === "proved" ? "authenticated" : proof === undefined ? "verified" : "encrypted"
  const requirement = requirementOf(federation, hosting, pair.target, "out", at)
  // security.md 4: without TLS, too, a stop is one.
  if (combined.outcome === "stop" || shortfall(requirement, pair.target, level) !== undefined) requireLevel(proven, level, requirement, stream, pair, "")
  const association: Association = {
    id: `${name}/1`,
    pair,
    stream: name,
    epoch: 1,
    direction: "out",
    level,
    verdict: combined.verdict,
    verdicts: proven.verdicts,
    via: combined.outcome === "proved" ? "certificate" : "dns",
    proof,
    endpoint,
    obtained: proven.kept,
    evidence: evidenceFor(pair, proven),
    established: at,
    until: Math.min(combined.outcome === "proved" ? combined.verdict.until : Number.POSITIVE_INFINITY, requirement.until ?? Number.POSITIVE_INFINITY),
  }
  return { stream, name, pair, endpoint, header: answer.header, features: answer.features, ahead, proof, association, generation: hosting.policy.generation }
}
