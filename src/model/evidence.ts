// Evidence: plain JSON between obtaining and matching, which anyone can judge again later (security.md 25-27).
import type { DomainPair } from "./association.ts"
import type { ReferenceIdentity, Role, Verdict } from "./verdict.ts"

export interface EvidenceProof {
  /** Certificates as presented, leaf first, DER in Base64. */
  readonly chain: readonly string[]
  readonly presented?: unknown
  readonly presentedAs: "tls-server" | "tls-client"
  readonly protocol: string
  readonly cipher: string
  readonly serverName: string | null
  readonly alpn: string | null
}

/**
 * What a verdict rests on (security.md 25). `signed`: whoever judges can check the signatures himself; `attested`: he has
 * the recorder's word for it.
 */
export interface EvidenceFact {
  readonly fact: string
  readonly mark: "signed" | "attested"
}

/** One prooftype's facts about one stream. `reference` is shown, and recomputed by whoever judges. */
export interface Evidence {
  readonly version: 1
  readonly prooftype: string
  readonly role: Role
  readonly pair: DomainPair
  readonly reference: ReferenceIdentity
  readonly proof: EvidenceProof
  /** What the prooftype obtained, as JSON of its own. */
  readonly material: unknown
  /** RFC 3339, UTC; self-asserted by who recorded it. */
  readonly at: string
  /** What was concluded then. */
  readonly verdict: Verdict
}

/** Whose file it is, and that nobody changed it since: an Ed25519 signature over its canonical form (security.md 25). */
export interface EvidenceSeal {
  /** The public key: `ed25519:` and its 32 octets in Base64. */
  readonly key: string
  /** Base64. */
  readonly signature: string
}

/** What `serve` keeps of a refusal and `judge` reads. */
export interface EvidenceFile {
  readonly evidence: 1
  readonly tool: { readonly name: "xmpp-dna"; readonly version: string }
  readonly recorded: string
  readonly direction: "in" | "out"
  readonly pair: DomainPair
  readonly decision: "associated" | "refused"
  readonly level: string | null
  readonly finding: string | null
  readonly sentence: string
  readonly items: readonly Evidence[]
  readonly seal?: EvidenceSeal
}
