// Federation policy: how much proof a domain pair needs, read per pair and never per stream (security.md 9).
import { compareLevels, type DomainPair, type FederationLevel } from "./association.ts"
import type { Domain } from "./domain.ts"
import type { FindingId } from "./findings.ts"
import type { Instant } from "./verdict.ts"

/** `permissive` is a level that is reported; as a setting it is refused. */
export type RequiredLevel = Exclude<FederationLevel, "permissive">

export interface PolicyException {
  readonly peer: Domain
  readonly require: RequiredLevel
  readonly until: Instant
  readonly why: string
}

export interface FederationPolicy {
  readonly require: RequiredLevel
  /** Names of the prooftypes in use; a set, without order (security.md 4). */
  readonly proofs: ReadonlySet<string>
  readonly exceptions: readonly PolicyException[]
  /** Rises with each reload; a claim judged under an older one is judged again (security.md 10). */
  readonly generation: number
}

export interface Requirement {
  readonly require: RequiredLevel
  /** When the exception that lowers it ends; an association resting on it ends then at the latest. */
  readonly until?: Instant
  readonly exception?: PolicyException
  /** The peer has kept reaching a level that binds it now (security.md 13). Not satisfiable: without DNSSEC nothing is enough. */
  readonly ratchet?: { readonly level: FederationLevel; readonly satisfiable: boolean; readonly detail: string }
}

/**
 * What the pair of our domain with this peer needs now. Exceptions that have ended do not count.
 *
 * @param peer the remote domain
 * @param at when, ms since 1970
 */
export function requirementFor(policy: FederationPolicy, peer: Domain, at: Instant): Requirement {
  for (const exception of policy.exceptions) {
    if (exception.peer === peer && at < exception.until) {
      return { require: exception.require, until: exception.until, exception }
    }
  }
  return { require: policy.require }
}

/** Why a level is not enough: for policy itself, or for what the peer showed before. Undefined: it is enough. */
export function shortfall({ require, ratchet }: Requirement, peer: Domain, level: FederationLevel): { readonly finding: FindingId; readonly detail: string } | undefined {
  const enough = compareLevels(level, require) >= 0
  if (ratchet !== undefined && (!ratchet.satisfiable || !enough)) return { finding: "policy.ratchet", detail: `${ratchet.detail}; it now reaches ${level}` }
  return enough ? undefined : { finding: "policy.level", detail: `${peer} reaches ${level}, ${require} is required` }
}

/** The remote end of a pair, given which way it goes. */
export function peerOf(pair: DomainPair, direction: "in" | "out"): Domain {
  return direction === "in" ? pair.sender : pair.target
}
