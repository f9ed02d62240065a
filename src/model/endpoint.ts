// Where a service can be reached and who said so (design 4; RFC 6120 3.2, RFC 7673 3, XEP-0368 3).
import type { DnsStatus } from "./dns-answer.ts"
import type { Domain } from "./domain.ts"
import type { FindingId } from "./findings.ts"

/** Who sent us from the source domain to the derived one. Never "posh": a fingerprint delegates no name (security.md 5). */
export interface Delegation {
  /** What must be proved (RFC 7712: service domain name). */
  readonly source: Domain
  /** Where we were sent (RFC 7712: target server host name); the source itself where nobody sent us. */
  readonly derived: Domain
  readonly via: "srv" | "fallback" | "operator"
  /** Only then may the derived name stand in the reference identities (DANE-13, DANE-14, ID-12). */
  readonly secure: boolean
  /** Status of the SRV answer; for `fallback`, of its absence (security.md 6). */
  readonly because: DnsStatus | "https" | "configured"
}

export interface Endpoint {
  /** The very address to dial; no later step looks it up again (security.md 17). */
  readonly address: string
  readonly port: number
  readonly transport: "starttls" | "direct-tls"
  readonly addressStatus: DnsStatus
  readonly delegation: Delegation
}

/** What discovery can find; words of the catalogue. */
export type DiscoveryFinding = Extract<
  FindingId,
  "dns.servfail" | "dns.nxdomain" | "dns.srv-refused" | "dns.not-a-domain" | "dns.guarded" | "dns.target-unresolvable"
>
