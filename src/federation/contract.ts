// What the federation core asks of its surroundings and what it gives them (types, and the reading of switches).
import type { Association, DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { StreamErrorCondition } from "../model/errors.ts"
import type { EventSink } from "../model/events.ts"
import type { Evidence } from "../model/evidence.ts"
import type { FindingId } from "../model/findings.ts"
import type { FederationPolicy } from "../model/policy.ts"
import type { ReachPolicy } from "../model/reach.ts"
import type { Verdict } from "../model/verdict.ts"
import type { Channel, Clock, Dial, Https, NetworkAddress, Random, Tls, TlsCredentials } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { XmlElement } from "../xml/element.ts"
import type { Discovery } from "../discovery/discover.ts"
import type { PeerLimits } from "../stream/limits.ts"
import type { Outlet } from "../stream/outlet.ts"
import type { StanzaView } from "../stream/relay.ts"
import type { ResumableSessions } from "../stream/resumable-sessions.ts"
import type { RetainedLoad, Retention } from "../stream/retention.ts"
import type { FormerStream } from "../stream/stream-management.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import type { Abilities } from "./abilities.ts"
import type { ClaimGuard } from "./claim-guard.ts"
import type { KeyRing } from "./dialback.ts"
import type { Ratchet } from "./ratchet.ts"

/** The machine, as the federation core sees it. */
export interface FederationPorts {
  readonly dial: Dial
  readonly tls: Tls
  /** Over `dial`: what that may not reach, this does not reach. */
  readonly https: Https
  readonly clock: Clock
  readonly random: Random
  readonly resolver: Resolver
}

/** An endpoint the operator configured for a domain; replaces SRV (CORE-04). */
export interface EndpointOverride {
  readonly address: string
  readonly port: number
  readonly transport: "starttls" | "direct-tls"
}

export interface FederationTimes {
  /** Whole negotiation of one stream, ms. */
  readonly negotiation: number
  /** One claim's dialback, all endpoints together, ms (security.md 17: 30 s). */
  readonly verification: number
  /** How long we wait for the answer to our own `db:result`, ms (Prosody never answers when it cannot verify). */
  readonly dialbackAnswer: number
  /** Closing handshake: wait for the peer's `</stream:stream>`, ms. */
  readonly closing: number
}

export interface StreamLimits {
  /** Octets of one first-level element after authentication (>= 10000, XML-06). */
  readonly stanza: number
  readonly unauthenticatedStanza: number
  readonly depth: number
  /** Claims under verification on one stream at once. */
  readonly pendingClaims: number
}

/** One immutable snapshot: configuration, certificates and trust. Read afresh for every decision. */
export interface Hosting {
  hosts(domain: Domain): boolean
  /** Ours, though not served at the moment: whoever claims the name is refused as for one that is hosted. */
  reserved(domain: Domain): boolean
  credentials(domain: Domain): TlsCredentials | undefined
  /** Any of our domains, for answers that need one (CORE-14, unknown `to`). */
  readonly anyDomain: Domain
  readonly policy: FederationPolicy
  /** Those that `policy.proofs` names; the user's own among them. */
  readonly prooftypes: readonly AnyProoftype[]
  readonly anchors: AnchorSet
  readonly reach: ReachPolicy
  readonly limits: StreamLimits
  readonly times: FederationTimes
  override(domain: Domain): EndpointOverride | undefined
  /** Dialback offered and used at all (federation.dialback.offer). */
  readonly dialback: boolean
  /** What we say that a stream accepts (XEP-0478), nothing where left out. It must hold for every stream that is accepted. */
  readonly announced?: PeerLimits
  /** What streams with a peer may do beyond carrying one pair one way; without it nothing. */
  uses?(peer: Domain): StreamUses
}

/** Per-peer switches for what RFC 6120 alone does not have. */
export interface StreamUses {
  /** Both directions on one connection (XEP-0288). */
  readonly bidi: boolean
  /** Further pairs of ours on a stream that exists (RFC 7712 4.4). */
  readonly piggyback: boolean
  /** Acknowledged stanzas and resumption (XEP-0198). */
  readonly streamManagement: boolean
  /** Bytes across a restart of the parser (security.md 24). */
  readonly pipelining: boolean
}

const plainStreams: StreamUses = { bidi: false, piggyback: false, streamManagement: false, pipelining: false }

export function usesOf(hosting: Hosting, peer: Domain): StreamUses {
  return hosting.uses?.(peer) ?? plainStreams
}

/** Everything both roles share for the life of a gateway. */
export interface Federation {
  readonly ports: FederationPorts
  current(): Hosting
  readonly event: EventSink
  /** Our dialback keys. */
  readonly keys: KeyRing
  readonly claims: ClaimGuard
  /** What peers can do, from earlier streams; without it every stream goes the long way. */
  readonly abilities?: Abilities
  /** What peers kept proving; without it policy alone counts. */
  readonly ratchet?: Ratchet
  /** Streams that can be resumed, and what all of them retain; without it no stream is acknowledged (XEP-0198). */
  readonly management?: ManagementShare
}

export interface ManagementShare {
  readonly sessions: ResumableSessions
  readonly retained: RetainedLoad
}

export type StreamEnd = { readonly by: "us" | "peer" | "lost"; readonly detail: string; readonly condition?: string }

/** A stream on which our stanzas of one pair or of many may leave: one we opened, or with bidi one we accepted. */
export interface OutgoingStream {
  readonly id: string
  /** The pair it was opened for; of an accepted stream, the first one. */
  readonly pair: DomainPair
  /** Of `pair`, as it was judged last. */
  readonly association: Association
  readonly remote: NetworkAddress
  /** Where it was connected to; undefined for an accepted stream. */
  readonly endpoint: Endpoint | undefined
  /** The peer can say that a further pair failed without ending the stream (DB-32). */
  readonly errors: boolean
  /** For writing only; its handler stays with the stream, which passes `drain` on. */
  readonly channel: Channel
  /** Set by the pool: the channel took what was written. */
  onDrain: (() => void) | undefined
  /** Set by the pool: these pairs may carry nothing any more; the stream's others may. */
  onWithdrawn: ((pairs: readonly DomainPair[]) => void) | undefined
  readonly closed: Promise<StreamEnd>
  /** It is over: what is written now goes nowhere. */
  readonly ended?: boolean
  /** Those that carry stanzas of ours. */
  associations(): readonly Association[]
  associationOf(pair: DomainPair): Association | undefined
  /**
   * A further pair on this stream, by assertion or supposition (RFC 7712 4.4); the others go on whatever becomes of it.
   *
   * @param found where the target's service is, when that was looked up already
   * @throws NotCarried when the peer was not asked; OutgoingRefused when it refused
   */
  add(pair: DomainPair, signal: AbortSignal, found?: Discovery): Promise<Association>
  /** Takes pairs off the stream; the peer is not told, since there is no way to. */
  drop(pairs: readonly DomainPair[]): void
  /** Closing handshake (RFC 6120 4.4), with a stream error first when a condition is given. */
  close(condition?: StreamErrorCondition, tell?: string): void
  /** Judges every pair again against the current snapshot and clock; closes the stream when none holds any longer (security.md 10). */
  recheck(): void
  /** Monotonic moment of the last stanza in the other direction; undefined where there is none. */
  readonly lastInput: number | undefined
  /** Monotonic; set by the pool when it saw stanzas leave. */
  lastOutput: number
  /** What the peer says it accepts (XEP-0478). */
  readonly limits?: PeerLimits
  /** Called with the outlet that is to be attached: how it keeps what is not acknowledged (XEP-0198); undefined: it does not. */
  carry?(outlet: Outlet): Retention | undefined
  /** That outlet is detached, for another stream. */
  uncarry?(): void
  /** Since when the peer owes an acknowledgement, monotonic ms. */
  readonly unansweredSince?: number | undefined
  /** Once it was lost: what another stream may go on with. */
  readonly former?: FormerStream | undefined
  /** Of a stream opened to resume another: how many of the stanzas that were unacknowledged had arrived; undefined: unknown. */
  readonly arrived?: number | undefined
}

/** Why no stream came to be. Thrown by `openOutgoing`; never carries more to the peer than the condition. */
export interface OutgoingFailure {
  readonly finding: FindingId
  readonly detail: string
  readonly verdicts: readonly Verdict[]
  /** Made when somebody keeps it. */
  readonly evidence?: () => readonly Evidence[]
  /** `not-found`: bounce remote-server-not-found; `unreachable`: remote-server-timeout; `refused`: policy, the same with its reason; `rejected`: our own server disowned our key. */
  readonly kind: "not-found" | "unreachable" | "refused" | "rejected"
  /** False: trying again without a change is useless. */
  readonly retryable: boolean
}

/** Where the stanzas of one authorised pair go. Both calls deliver or bounce; they never drop in silence. */
export interface Delivery {
  raw(view: StanzaView): void
  tree(stanza: XmlElement): void
}

/** An accepted stream, as the gateway may hold it. */
export interface IncomingStream {
  readonly id: string
  readonly remote: NetworkAddress
  /** Authorised pairs, for display. */
  associations(): readonly Association[]
  /** Stops and restarts reading (per-input pressure). Calls nest: each pause needs one resume. */
  pause(): void
  resume(): void
  close(condition?: StreamErrorCondition, tell?: string): void
  /** Judges every pair again against the current snapshot and clock (security.md 10). */
  recheck(): void
  readonly closed: Promise<StreamEnd>
  /** Monotonic moment of the last stanza of ours on it, with bidi. */
  readonly lastOutput?: number | undefined
}

export interface IncomingHooks {
  /** Asked once for each authorised pair (and again after changes); the answer is used for every stanza of the pair. */
  delivery(pair: DomainPair, stream: IncomingStream): Delivery
  /** All stanzas of one input chunk were delivered: write what they filled. */
  flushed(stream: IncomingStream): void
  /** Negotiation done: the first pair carries stanzas (or the first dialback claim was answered valid). */
  authenticated(stream: IncomingStream): void
  /** A stream that we opened brings stanzas in as well (XEP-0288); `delivery` is asked for it from now on. */
  opened?(stream: IncomingStream): void
  /** An accepted stream may carry our stanzas to this domain as well, which is proven on it (XEP-0288). */
  reachable?(domain: Domain, stream: OutgoingStream): void
}
