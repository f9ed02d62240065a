// A domain name association: a domain pair bound to one direction of one stream (seed 1, S1.1; XEP-0220 domain pairs).
import type { Domain } from "./domain.ts"
import type { Endpoint } from "./endpoint.ts"
import type { Evidence } from "./evidence.ts"
import type { Instant, ServerProof, Verdict } from "./verdict.ts"

/** XEP-0220: the sender domain and the target domain of stanzas. */
export interface DomainPair {
  readonly sender: Domain
  readonly target: Domain
}

/** Federation levels (XEP-0238, in the seed's words), weakest first. */
export const federationLevels = ["permissive", "verified", "encrypted", "authenticated"] as const
export type FederationLevel = (typeof federationLevels)[number]

/** Negative when `a` is weaker than `b`. */
export function compareLevels(a: FederationLevel, b: FederationLevel): number {
  return federationLevels.indexOf(a) - federationLevels.indexOf(b)
}

export function weaker(a: FederationLevel, b: FederationLevel): FederationLevel {
  return compareLevels(a, b) <= 0 ? a : b
}

/** `out`: stanzas go from us to the peer; `in`: from the peer to us. */
export type Direction = "in" | "out"

/**
 * What an association rests on. `certificate`: shown on this very stream. `authoritative`: `db:verify` over another
 * stream, whose own association is nested. `dns`: nothing but the address that unauthenticated DNS named (an outgoing
 * stream below `authenticated`).
 */
export type AssociationBasis = "certificate" | "dns" | { readonly authoritative: Association }

/** Verification material as its prooftype obtained it; opaque to everybody else. */
export interface ObtainedMaterial {
  readonly prooftype: string
  readonly material: unknown
}

export interface Association {
  readonly id: string
  readonly pair: DomainPair
  /** Our name of the stream in logs. */
  readonly stream: string
  /** Counts restarts of the stream; an association never outlives one. */
  readonly epoch: number
  readonly direction: Direction
  readonly level: FederationLevel
  /** The verdict on the *peer's* domain. */
  readonly verdict: Verdict
  /** The verdicts of all prooftypes asked, in no order. */
  readonly verdicts: readonly Verdict[]
  readonly via: AssociationBasis
  /**
   * With bidi on a stream that we opened: the association of our own direction that this one is the other half of, and ends
   * with (XEP-0288; BIDI-7).
   */
  readonly rests?: Association
  /** The stream's one proof; shared, not copied. */
  readonly proof: ServerProof | undefined
  /** Where an outgoing stream was connected to, and who sent us there. */
  readonly endpoint?: Endpoint
  /** What was asked for to judge it, by prooftype: for judging again without asking. */
  readonly obtained?: readonly ObtainedMaterial[]
  /** Built on demand: JSON with Base64 is made only when somebody wants to see it. */
  readonly evidence: () => readonly Evidence[]
  readonly established: Instant
  readonly until: Instant
}

export function pairKey(pair: DomainPair): string {
  // A space cannot stand in a domain, so the key is unambiguous.
  return `${pair.sender} ${pair.target}`
}

export function reversed(pair: DomainPair): DomainPair {
  return { sender: pair.target, target: pair.sender }
}
