// What a prooftype is (seed 9, RFC 7712 7): the four things in its own order, the same for built-in and user-made ones.
import type { AnchorSet as DnsAnchorSet } from "../dns/dnssec/anchors.ts"
import type { DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Resolver } from "../model/dns-answer.ts"
import type { Delegation, Endpoint } from "../model/endpoint.ts"
import type { EvidenceFact } from "../model/evidence.ts"
import type { FindingId } from "../model/findings.ts"
import type { ReachPolicy } from "../model/reach.ts"
import type { Instant, ReferenceIdentity, Role, ServerProof, Service, Verdict } from "../model/verdict.ts"
import type { Https } from "../ports.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { XmlElement } from "../xml/element.ts"

/** Whose proof is wanted, and how we came to its server. */
export interface ProofSubject {
  readonly source: Domain
  readonly service: Service
  readonly role: Role
  /** Where we connected to; undefined when the peer connected to us. */
  readonly endpoint: Endpoint | undefined
}

/** What obtaining may use. */
export interface ProofPorts {
  readonly anchors: AnchorSet
  readonly resolver: Resolver
  readonly https: Https
  /** What may be asked and dialled (security.md 17); `https` refuses the rest in any case. */
  readonly reach: ReachPolicy
  /** The network of the peer whose claim causes this, for caps; absent when we want to know for ourselves. */
  readonly source?: string
  /** Now. */
  readonly at: Instant
  readonly signal: AbortSignal
}

/** Where something is presented: what the presenter vouches for and the other end compares with (security.md 28). */
export interface PresentationContext {
  /** Both ends export the same octets: without this one could send back what the other one said. */
  readonly presenter: "initiating" | "receiving"
  /** From the initiating server's domain to the receiving one's. */
  readonly pair: DomainPair
  /** Of the receiving server's latest header. */
  readonly streamId: string
  /** 32 octets exported from TLS 1.3 under the prooftype's own label. */
  readonly exporter: Uint8Array
  readonly at: Instant
}

/**
 * How a prooftype that is not about certificates shows its proof in the stream, in both directions: the receiving server
 * below its features after TLS, the initiating one before it authenticates, and only where the other advertises it. TLS 1.3 only.
 */
export interface Exchange {
  /** Of its elements. */
  readonly namespace: string
  /** For the TLS exporter (RFC 8446 7.5); asked for before the handshake. */
  readonly exporterLabel: string
  /** An empty element below the features: proofs are accepted. */
  readonly advertisement: string
  /** One element that proves the presenter's domain; undefined: there is none for this pair. */
  present(context: PresentationContext): string | undefined
  /** What the other end's element says in this context, checked against it: plain JSON for `ServerProof.presented`, without secrets. */
  read(element: XmlElement, context: PresentationContext): unknown
}

/** What material says about a connection before anything goes over it. */
export interface ConnectionTerms {
  /** The endpoint must not be used at all (DANE-11). */
  readonly forbidden?: { readonly finding: FindingId; readonly detail: string }
  /** TLS was promised: nothing is sent in clear but its negotiation (DANE-33). */
  readonly tls: boolean
}

export interface Prooftype<Name extends string = string, Material = unknown> {
  readonly name: Name
  /** (1) + (2) The nature of the proof and the matching rules: pure, instant, replayable. */
  match(proof: ServerProof, material: Material, reference: ReferenceIdentity, at: Instant): Verdict
  /**
   * (3) How the verification material is obtained. Never throws because the world is silent: that is material, too.
   * Returns the material itself where nothing has to be asked.
   */
  obtain(subject: ProofSubject, ports: ProofPorts): Material | Promise<Material>
  /** `obtain` answers at once, from what is here: the prooftype can be used between two stanzas. */
  readonly atHand: boolean
  /** Where the proof is no certificate: how it is shown. */
  readonly exchange?: Exchange
  /** (4) */
  readonly needsSecureDns: boolean
  /** Never binding: where the others prove, nobody waits for it, and it is not asked later. */
  readonly dispensable?: boolean
  /** Whether material that does not match is fatal, whatever the others say (DANE-10; security.md 4). */
  binding(material: Material, role: Role): boolean
  /** What the material asks of a connection, where it can; outgoing only. Asked for of those that need secure DNS. */
  terms?(material: Material): ConnectionTerms
  /**
   * How the material ages: asked for again from `from` on, not judged with after `until`; both are
   * infinite for material that does not age. Absent: none of it does.
   */
  ageing?(material: Material): { readonly from: Instant; readonly until: Instant }
  /** DNSSEC itself proves that the domain publishes nothing for this prooftype; silence and unsigned absence do not (security.md 13). */
  withdrawn?(material: Material): boolean
  /** The same material under other trust anchors, where what it says depends on them (security.md 10). */
  withAnchors?(material: Material, anchors: AnchorSet): Material
  /** The material as JSON, for evidence. */
  record(material: Material): unknown
  /**
   * The material from evidence, or why it cannot be judged here.
   *
   * @param anchors sets at hand, by digest (security.md 25: only ours or the operator's)
   * @param dnsAnchors of DNSSEC, to validate recorded answers with again
   */
  revive(recorded: unknown, anchors: ReadonlyMap<string, AnchorSet>, dnsAnchors?: readonly DnsAnchorSet[]): { material: Material } | { cannotJudge: string }
  /** For people: label and value. */
  facts(material: Material): readonly (readonly [label: string, value: string])[]
  /** The facts a verdict about this proof rests on, beyond the handshake itself (security.md 25). */
  rests?(material: Material, proof: ServerProof, at: Instant): readonly EvidenceFact[]
  /** Since when the same proof and material would have proved the same; absent: since the moment of judging. */
  since?(material: Material, proof: ServerProof, at: Instant): Instant
  /** Of recorded material: the way to the endpoint that it shows, for the other proofs of the same connection. */
  way?(material: Material): RecordedWay | undefined
}

/** A delegation that can be judged again, for as long as what it rests on holds. */
export interface RecordedWay {
  readonly service: Service
  readonly delegation: Pick<Delegation, "source" | "derived" | "secure">
  readonly from: Instant
  readonly until: Instant
  readonly facts: readonly EvidenceFact[]
}

/** A prooftype whose material type nobody needs to know. */
// biome-ignore lint/suspicious/noExplicitAny: material is opaque between a prooftype's own functions
export type AnyProoftype = Prooftype<string, any>
