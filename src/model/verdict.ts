// The four-valued verdict and what it is about (seed 9, RFC 7712 7; design: never a boolean for trust).
import type { DomainPair } from "./association.ts"
import type { Domain } from "./domain.ts"
import type { FindingId } from "./findings.ts"

/** Milliseconds since 1970-01-01T00:00:00Z. */
export type Instant = number

export type Service = "xmpp-server" | "xmpp-client"

/**
 * proved: the material says so; refuted: the domain said something and this is not it; absent: it publishes no such
 * proof; unavailable: we could not find out. `unavailable` never becomes `absent` (security.md 4).
 */
export type Verdict =
  | { readonly outcome: "proved"; readonly by: string; readonly detail: string; readonly until: Instant }
  | { readonly outcome: "refuted" | "absent" | "unavailable"; readonly by: string; readonly finding: FindingId; readonly detail: string }

export type Outcome = Verdict["outcome"]

/** Shown in the stream itself, for one domain pair: plain JSON by the name of its prooftype, without secrets (security.md 27). */
export interface Presented {
  readonly pair: DomainPair
  readonly said: Readonly<Record<string, unknown>>
}

/** What a server showed when it was asked who it is. Kept once a stream; DER here, Base64 only in evidence. */
export interface ServerProof {
  readonly chain: readonly Uint8Array[]
  /** What prooftypes that are not about certificates were shown. */
  readonly presented?: Presented
  readonly presentedAs: "tls-server" | "tls-client"
  readonly protocol: string
  readonly cipher: string
  readonly serverName: string | undefined
  readonly alpn: string | undefined
}

export interface AcceptedIdentity {
  readonly type: "DNS-ID" | "SRV-ID" | "XmppAddr"
  readonly value: string
  readonly because: "source" | "secure-delegation"
}

/** Built from what we asked for, never from what was presented (ID-02). */
export interface ReferenceIdentity {
  readonly source: Domain
  readonly service: Service
  readonly accept: readonly AcceptedIdentity[]
}

/** `outgoing`: we connected to the source domain; `incoming`: it connected to us. */
export type Role = "outgoing" | "incoming"
