// What the federation core asks of its surroundings and what it gives them (types only).
import type { Association, DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Resolver } from "../model/dns-answer.ts"
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
import type { StanzaView } from "../stream/relay.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import type { ClaimGuard } from "./claim-guard.ts"
import type { KeyRing } from "./dialback.ts"

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
}

/** Everything both roles share for the life of a gateway. */
export interface Federation {
  readonly ports: FederationPorts
  current(): Hosting
  readonly event: EventSink
  /** Our dialback keys. */
  readonly keys: KeyRing
  readonly claims: ClaimGuard
}

export type StreamEnd = { readonly by: "us" | "peer" | "lost"; readonly detail: string; readonly condition?: string }

/** A stream we opened and on which the pair may carry our stanzas. */
export interface OutgoingStream {
  readonly id: string
  readonly pair: DomainPair
  readonly association: Association
  readonly remote: NetworkAddress
  /** For writing only; its handler stays with the stream, which passes `drain` on. */
  readonly channel: Channel
  /** Set by the pool: the channel took what was written. */
  onDrain: (() => void) | undefined
  readonly closed: Promise<StreamEnd>
  /** Closing handshake (RFC 6120 4.4), with a stream error first when a condition is given. */
  close(condition?: StreamErrorCondition, tell?: string): void
  /** Judges the association again against the current snapshot and clock; closes the stream when it no longer holds (security.md 10). */
  recheck(): void
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
  readonly associations: () => readonly Association[]
  /** Stops and restarts reading (per-input pressure). Calls nest: each pause needs one resume. */
  pause(): void
  resume(): void
  close(condition?: StreamErrorCondition, tell?: string): void
  /** Judges every pair again against the current snapshot and clock (security.md 10). */
  recheck(): void
  readonly closed: Promise<StreamEnd>
}

export interface IncomingHooks {
  /** Asked once for each authorised pair (and again after changes); the answer is used for every stanza of the pair. */
  delivery(pair: DomainPair, stream: IncomingStream): Delivery
  /** All stanzas of one input chunk were delivered: write what they filled. */
  flushed(stream: IncomingStream): void
  /** Negotiation done: the first pair carries stanzas (or the first dialback claim was answered valid). */
  authenticated(stream: IncomingStream): void
}
