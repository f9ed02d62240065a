// Where a service can be reached and who said so (RFC 6120 3.2, RFC 7673 3, XEP-0368 3).
import type { DnsAnswer, DnsOutcome, DnsStatus, RecordType } from "./dns-answer.ts"
import type { Domain } from "./domain.ts"
import type { FindingId } from "./findings.ts"
import type { Instant } from "./verdict.ts"

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

/** What a DNS answer says about itself, kept with what was built on it; JSON as it stands. */
export interface DnsGround {
  readonly name: string
  readonly type: RecordType
  readonly status: DnsStatus
  readonly outcome: DnsOutcome
  /** The name at the end of the aliases. */
  readonly canonical: string
  readonly validatedBy: DnsAnswer<unknown>["validatedBy"]
  readonly until: Instant
  readonly signaturesUntil?: Instant
  /** Base64 of the messages it rests on, where the resolver keeps them: what a later judge could validate again. */
  readonly wire?: readonly string[]
}

/** Domains of one host rest on the same answers about it: what each keeps of them is kept once. */
const grounds = new WeakMap<DnsAnswer<unknown>, DnsGround>()

/** The ground an answer gives, without its records. */
export function groundOf(answer: DnsAnswer<unknown>): DnsGround {
  let ground = grounds.get(answer)
  if (ground === undefined) {
    ground = newGroundOf(answer)
    grounds.set(answer, ground)
  }
  return ground
}

function newGroundOf(answer: DnsAnswer<unknown>): DnsGround {
  const { name, type, status, outcome, canonical, validatedBy, until, signaturesUntil, wire } = answer
  return {
    name,
    type,
    status,
    outcome,
    canonical,
    validatedBy,
    until,
    ...(signaturesUntil === undefined ? {} : { signaturesUntil }),
    ...(wire === undefined ? {} : { wire }),
  }
}

export interface Endpoint {
  /** The very address to dial; no later step looks it up again (security.md 17). */
  readonly address: string
  readonly port: number
  readonly transport: "starttls" | "direct-tls"
  readonly addressStatus: DnsStatus
  readonly delegation: Delegation
  /** The answers that led here: SRV (or its absence), then both address lookups. Absent where DNS was not asked. */
  readonly grounds?: readonly DnsGround[]
}

/** What discovery can find; words of the catalogue. */
export type DiscoveryFinding = Extract<
  FindingId,
  "dns.servfail" | "dns.bogus" | "dns.clock" | "dns.nxdomain" | "dns.srv-refused" | "dns.not-a-domain" | "dns.guarded" | "dns.target-unresolvable" | "dns.no-server"
>
