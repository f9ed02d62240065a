// The package's main export: a stream that is proven before it can be used, evidence judged again, domains and findings.
// Safe by default: there is no way to write before the proof holds.
import type { Association, DomainPair } from "../model/association.ts"
import { type Domain, domainOfJid, parseDomain } from "../model/domain.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { AnchorSet as DnsAnchorSet } from "../dns/dnssec/anchors.ts"
import type { EventSink } from "../model/events.ts"
import type { Evidence, EvidenceFile } from "../model/evidence.ts"
import { type FindingId, findings, type Party } from "../model/findings.ts"
import { ns } from "../model/namespaces.ts"
import type { RequiredLevel } from "../model/policy.ts"
import { parseCidr } from "../model/reach.ts"
import type { Instant, Verdict } from "../model/verdict.ts"
import type { Log, NetworkAddress, TlsCredentials } from "../ports.ts"
import { type AnchorSet, anchorsFromPem } from "../x509/anchors.ts"
import { attr, type XmlElement } from "../xml/element.ts"
import { serialise } from "../xml/serialise.ts"
import { judge as judgeFile, type Judgement } from "../proof/judge.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import { addProoftypes, builtInProoftypes } from "../proof/registry.ts"
import { ClaimGuard } from "../federation/claim-guard.ts"
import type { EndpointOverride, Federation, Hosting, StreamEnd } from "../federation/contract.ts"
import { KeyRing } from "../federation/dialback.ts"
import { openOutgoing } from "../federation/initiating.ts"
import { OutgoingRefused } from "../federation/refusal.ts"
import { parseQueued } from "../gateway/bounce.ts"
import { createGatewayWorld, type WorldResolverSettings } from "../node/gateway-world.ts"
import { loadTrust } from "../node/trust.ts"

export { DomainError, parseDomain, tryDomain } from "../model/domain.ts"
export { findings, findingSentence } from "../model/findings.ts"
export { federationLevels } from "../model/association.ts"
export { EvidenceError, readEvidenceFile } from "../proof/judge.ts"
export { AnchorError, anchorsFromPem } from "../x509/anchors.ts"
export type { Association, AssociationBasis, Direction, DomainPair, FederationLevel } from "../model/association.ts"
export type { Domain } from "../model/domain.ts"
export type { FederationEvent } from "../model/events.ts"
export type { Evidence, EvidenceFile, EvidenceProof } from "../model/evidence.ts"
export type { Finding, FindingId, Party, Severity } from "../model/findings.ts"
export type { Resolver } from "../model/dns-answer.ts"
export type { RequiredLevel } from "../model/policy.ts"
export type { StopSignal } from "../model/stop.ts"
export type { Presented, ReferenceIdentity, ServerProof, Verdict } from "../model/verdict.ts"
export type { XmlElement } from "../xml/element.ts"
export type { TlsCredentials } from "../ports.ts"
export type { StreamEnd } from "../federation/contract.ts"
export type { JudgedItem, Judgement } from "../proof/judge.ts"
export type { AnyProoftype, Exchange, PresentationContext, Prooftype } from "../proof/prooftype.ts"
export type { AnchorSet } from "../x509/anchors.ts"

/** Where trust comes from: the system's store, Node's list, a PEM text, or a set made by `anchorsFromPem`. */
export type TrustSource = "system" | "bundled" | { readonly pem: string } | AnchorSet

export interface ConnectOptions {
  /** Our domain, and the domain to reach; names in Unicode are accepted. */
  readonly from: string
  readonly to: string
  /** Our certificate chain and key, PEM. Without them most servers have no way to authenticate us. */
  readonly credentials?: TlsCredentials
  /** Gives the attempt up; `connect` then rejects. */
  readonly signal?: AbortSignal
  /** The least proof of the other domain; `authenticated` unless given (RFC 7590 3.4). */
  readonly require?: RequiredLevel
  /** `system` unless given. */
  readonly trust?: TrustSource
  /** Instead of a stub resolver of our own; must never reject because the world is silent. */
  readonly resolver?: Resolver
  /** Upstreams of that stub resolver; those of the system unless given. */
  readonly upstreams?: readonly NetworkAddress[]
  /**
   * Whether that stub resolver validates: `validate` unless given. `trust-ad` believes a validating resolver on loopback,
   * named in `upstreams`; `off` leaves SRV and addresses unproven and DANE out.
   */
  readonly dnssec?: "validate" | "trust-ad" | "off"
  /** Trust anchors of DNSSEC, made by `parseAnchors` of `xmpp-dna/dnssec`; those of the root unless given. */
  readonly dnsAnchors?: DnsAnchorSet
  /** Networks and names allowed although they are special (loopback, private, `example`); nothing unless given. */
  readonly allow?: { readonly networks?: readonly string[]; readonly names?: readonly string[] }
  /** Where to connect to instead of where DNS leads. The certificate must still name `to`. */
  readonly connect?: EndpointOverride
  /** Prooftypes besides PKIX, DANE and POSH. */
  readonly prooftypes?: readonly AnyProoftype[]
  /** For the whole negotiation, ms; 60,000 unless given. */
  readonly timeout?: number
  /** Told of every step. */
  readonly event?: EventSink
}

/** No stream came to be, or its proof does not hold. Says what was tried, whose move it is and what to do. */
export class AssociationError extends Error {
  override readonly name = "AssociationError"
  /** A stable id of the catalogue of findings. */
  readonly code: FindingId
  readonly domain: Domain
  /** Whose move it is. */
  readonly party: Party
  /** What to do, or "nothing". */
  readonly repair: string
  /** Every proof that was tried, and what it said. */
  readonly verdicts: readonly Verdict[]
  /** False: trying again without a change is useless. */
  readonly retryable: boolean
  readonly #evidence: (() => readonly Evidence[]) | undefined

  constructor(domain: Domain, refused: OutgoingRefused) {
    super(`${domain}: ${refused.message}`, { cause: refused })
    const { finding, verdicts, retryable, evidence } = refused.failure
    this.code = finding
    this.domain = domain
    this.party = findings[finding].party
    this.repair = findings[finding].repair
    this.verdicts = verdicts
    this.retryable = retryable
    this.#evidence = evidence
  }

  /** What the verdicts rest on, as plain JSON that `judge` can judge again. */
  evidence(): readonly Evidence[] {
    return this.#evidence?.() ?? []
  }
}

/** A stream to one domain, proven; it carries stanzas of one domain pair, one way (RFC 6120 4.5). */
export interface ProvenStream extends AsyncDisposable {
  readonly pair: DomainPair
  /** What was proved, by what, until when; judged again when it ends, and the stream is closed if it no longer holds. */
  readonly association: Association
  readonly remote: NetworkAddress
  /**
   * Queues one stanza: `message`, `presence` or `iq` with `from` below our domain and `to` below the other.
   *
   * @param xml one element; its default namespace is `jabber:server` where it names none
   * @returns false when the network is slower than this: wait for `drained`
   * @throws TypeError when it is not such a stanza; Error when the stream is closed
   */
  send(xml: string): boolean
  /** Resolves when more may be queued, or the stream is over. */
  drained(): Promise<void>
  /** Closing handshake (RFC 6120 4.4). */
  close(): Promise<StreamEnd>
  readonly closed: Promise<StreamEnd>
}

const silent: Log = { write: () => undefined }
const stanzaNames = new Set(["message", "presence", "iq"])
/** How long the other side has to close, ms. */
const closingMs = 2000

/**
 * Opens a stream to a domain, proves that the domain is at its other end, and authenticates by SASL EXTERNAL
 * (RFC 7712 4, RFC 6120 6). Dialback is not used: there is no server of ours that could answer for a key.
 *
 * @throws AssociationError when the domain cannot be reached or proved; DomainError for a name that is none; AnchorError
 *   for trust that cannot be read; CidrError for a network that is none; Error for a prooftype whose name is taken
 */
export async function connect(options: ConnectOptions): Promise<ProvenStream> {
  const pair: DomainPair = { sender: parseDomain(options.from), target: parseDomain(options.to) }
  const world = createGatewayWorld({ log: silent })
  const hosting = hostingFor(pair, options)
  const federation: Federation = {
    ports: {
      dial: world.dial(() => hosting.reach),
      tls: world.tls,
      https: world.https,
      clock: world.clock,
      random: world.random,
      resolver: options.resolver ?? (await world.resolver(resolverSettings(options))),
    },
    current: () => hosting,
    event: options.event ?? (() => undefined),
    keys: new KeyRing(world.random, world.clock),
    claims: new ClaimGuard(world.clock),
  }
  try {
    const stream = await openOutgoing(federation, pair, options.signal)
    return proven(stream)
  } catch (error) {
    if (error instanceof OutgoingRefused) throw new AssociationError(pair.target, error)
    throw error
  }
}

function resolverSettings({ upstreams = [], dnssec = "validate", dnsAnchors }: ConnectOptions): WorldResolverSettings {
  return { upstreams, dnssec, ...(dnsAnchors === undefined ? {} : { anchors: dnsAnchors }) }
}

function hostingFor({ sender, target }: DomainPair, options: ConnectOptions): Hosting {
  const prooftypes = addProoftypes(builtInProoftypes, options.prooftypes ?? [])
  const negotiation = options.timeout ?? 60_000
  return {
    hosts: (domain) => domain === sender,
    reserved: () => false,
    credentials: (domain) => (domain === sender ? options.credentials : undefined),
    anyDomain: sender,
    policy: { require: options.require ?? "authenticated", proofs: new Set(prooftypes.map(({ name }) => name)), exceptions: [], generation: 1 },
    prooftypes,
    anchors: anchorsOf(options.trust ?? "system"),
    reach: { networks: (options.allow?.networks ?? []).map(parseCidr), names: (options.allow?.names ?? []).map(parseDomain), ownListeners: [] },
    limits: { stanza: 524_288, unauthenticatedStanza: 10_240, depth: 64, pendingClaims: 1 },
    times: { negotiation, verification: negotiation, dialbackAnswer: negotiation, closing: closingMs },
    override: (domain) => (domain === target ? options.connect : undefined),
    dialback: false,
  }
}

function anchorsOf(trust: TrustSource): AnchorSet {
  if (typeof trust === "string") return loadTrust(trust)
  return "pem" in trust ? anchorsFromPem(trust.pem) : trust
}

function proven(stream: Awaited<ReturnType<typeof openOutgoing>>): ProvenStream {
  const encoder = new TextEncoder()
  let over = false
  const waiting: (() => void)[] = []
  /** `send` said so, and the network has not caught up since. */
  let full = false
  const release = (): void => {
    full = false
    for (const resolve of waiting.splice(0)) resolve()
  }
  stream.onDrain = release
  const closed = stream.closed.then((end) => {
    over = true
    release()
    return end
  })
  const close = (): Promise<StreamEnd> => {
    if (!over) stream.close()
    return closed
  }
  return {
    pair: stream.pair,
    get association() {
      return stream.association
    },
    remote: stream.remote,
    send: (xml) => {
      if (over) throw new Error("the stream is closed")
      const taken = stream.channel.write(encoder.encode(stanzaXml(xml, stream.pair)))
      if (!taken) full = true
      return taken
    },
    drained: () => (over || !full ? Promise.resolve() : new Promise((resolve) => waiting.push(resolve))),
    close,
    closed,
    [Symbol.asyncDispose]: async () => {
      await close()
    },
  }
}

/** Exactly one stanza of this pair, written anew: what a caller passes on can neither end the stream nor speak for others. */
function stanzaXml(xml: string, { sender, target }: DomainPair): string {
  let stanza: XmlElement
  try {
    stanza = parseQueued(new TextEncoder().encode(xml), ns.server)
  } catch (error) {
    throw new TypeError(`not a stanza: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
  }
  if (stanza.ns !== ns.server || !stanzaNames.has(stanza.name)) throw new TypeError(`<${stanza.name}/> in ${stanza.ns} is not a stanza`)
  const from = domainOfJid(attr(stanza, "from") ?? "")
  const to = domainOfJid(attr(stanza, "to") ?? "")
  if (from !== sender) throw new TypeError(`the stanza is from ${from ?? "nobody"}; this stream is for ${sender}`)
  if (to !== target) throw new TypeError(`the stanza is to ${to ?? "nobody"}; this stream leads to ${target}`)
  return serialise(stanza, { defaultNs: ns.server })
}

export interface JudgeOptions {
  /** Anchor sets that evidence may name by digest. Only these count, never what the file says (security.md 25). */
  readonly anchors: readonly AnchorSet[]
  /** Of DNSSEC, for recorded answers of DNS, made by `parseAnchors` of `xmpp-dna/dnssec`; those of the root unless given. */
  readonly dnsAnchors?: readonly DnsAnchorSet[]
  /** Instead of the moment of recording, ms since 1970. */
  readonly at?: Instant
  /** Names of the keys of which one must have sealed the file: `ed25519:` and 32 octets in Base64. */
  readonly sealKeys?: readonly string[]
  /** Prooftypes besides PKIX, DANE and POSH. */
  readonly prooftypes?: readonly AnyProoftype[]
}

/**
 * Judges recorded evidence again, without network (docs/evidence.md; security.md 25-27).
 *
 * @param file as `readEvidenceFile` reads it
 * @returns each item with the verdict now; `exit` is 0 same, 2 another verdict, 3 cannot judge
 */
export function judge(file: EvidenceFile, { prooftypes = [], ...options }: JudgeOptions): Judgement {
  return judgeFile(file, { ...options, prooftypes: addProoftypes(builtInProoftypes, prooftypes) })
}

/**
 * The trust anchors of this machine, for `judge` and `connect`.
 *
 * @param source the system's store, or the list Node was built with
 * @throws AnchorError or an error of the file system, naming the file
 */
export function machineAnchors(source: "system" | "bundled"): AnchorSet {
  return loadTrust(source)
}

