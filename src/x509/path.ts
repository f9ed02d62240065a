// Path validation (RFC 5280 section 6; EKU-01 to EKU-05, ID-13, ID-14): reads what was presented, searches a
// path to an anchor, and turns the outcome into a proof or into problems, the most telling first.

import type { Anchor, AnchorSet } from "./anchors.ts"
import { type Certificate, CertificateError, parseCertificate } from "./certificate.ts"
import { knownIssuer, rememberIssuers } from "./known-issuers.ts"
import {
  intermediateProblems,
  leafProblems,
  type PathProblem,
  type ProblemReport,
  type Purpose,
  purposeProblem,
  purposesLeft,
  type StepRules,
  wantedPurposes,
} from "./path-checks.ts"
import { type Budget, type Candidate, candidate, DEFAULT_BUDGET, MOST_PROBLEMS, OverBudget, Search } from "./path-search.ts"

export type { PathProblem, ProblemReport, Purpose } from "./path-checks.ts"
export { type Budget, DEFAULT_BUDGET } from "./path-search.ts"

export interface PathRequest {
  /** DER as presented: the peer's own certificate first, the others in any order, not trusted in any way. */
  readonly chain: readonly Uint8Array[]
  readonly anchors: AnchorSet
  /** The moment of judgement, in milliseconds since 1970. */
  readonly at: number
  readonly purpose: Purpose
  readonly budget?: Partial<Budget>
  /** Asks the CA profile of RFC 5280 of anchors too. Default: no. */
  readonly strictAnchors?: boolean
  /** Asks the CA profile of RFC 5280 of presented certificates. Default: yes. */
  readonly strictPresented?: boolean
  /** Takes anyExtendedKeyUsage for every purpose (EKU-01). Default: no. */
  readonly acceptAnyPurpose?: boolean
  /** Anchors besides the set, for instance names and keys alone (DANE-TA). */
  readonly extraAnchors?: readonly Anchor[]
}

export interface ProvedPath {
  readonly ok: true
  /** From the end certificate to the anchor's certificate, if it has one. */
  readonly path: readonly Certificate[]
  readonly anchor: Anchor
  /** Milliseconds since 1970: the latest notBefore and the earliest notAfter of the path, anchor included. */
  readonly from: number
  readonly until: number
}

export interface RefusedPath {
  readonly ok: false
  /** The most telling problem. */
  readonly problem: PathProblem
  readonly detail: string
  /** All that was found, the most telling first; at most 32. */
  readonly problems: readonly ProblemReport[]
}

/** Most telling first, where no path reaches an anchor. */
const WITHOUT_ANCHOR: readonly PathProblem[] = [
  "bad-signature",
  "unsupported-algorithm",
  "self-signed",
  "weak-key",
  "malformed",
  "unknown-root",
  "incomplete-chain",
  "no-path",
]
/** Most telling first, where a path reaches an anchor and is at fault. */
const WITH_ANCHOR: readonly PathProblem[] = [
  "expired",
  "not-yet-valid",
  "ca-as-leaf",
  "not-a-ca",
  "path-length",
  "name-constraints",
  "purpose",
  "weak-key",
  "unsupported-algorithm",
  "unknown-critical-extension",
  "malformed",
]
function refused(problems: readonly ProblemReport[]): RefusedPath {
  const unique = [...new Map(problems.map((item) => [`${item.problem}\u0000${item.detail}`, item])).values()].slice(0, MOST_PROBLEMS)
  const first = unique[0] ?? { problem: "no-path" as const, detail: "no certificate was presented" }
  return { ok: false, problem: first.problem, detail: first.detail, problems: unique.length === 0 ? [first] : unique }
}

function byRank(problems: readonly ProblemReport[], order: readonly PathProblem[]): ProblemReport[] {
  const rank = ({ problem }: ProblemReport): number => (order.indexOf(problem) + order.length + 1) % (order.length + 1)
  return [...problems].sort((one, two) => rank(one) - rank(two))
}

/**
 * Builds and validates a path from the first certificate of a chain to an anchor. Pure: the same request has the same answer.
 * It does not look at whom the certificate names (that is matchIdentity), and not at revocation (security.md 26).
 */
export function validatePath(request: PathRequest): ProvedPath | RefusedPath {
  const budget = { ...DEFAULT_BUDGET, ...request.budget }
  const rules: StepRules = {
    at: request.at,
    purpose: request.purpose,
    acceptAnyPurpose: request.acceptAnyPurpose ?? false,
    strictPresented: request.strictPresented ?? true,
    strictAnchors: request.strictAnchors ?? false,
  }
  const [first, ...rest] = request.chain
  if (first === undefined) return refused([])
  if (request.chain.length > budget.certificates)
    return refused([
      { problem: "budget", detail: `${request.chain.length} certificates were presented; ${budget.certificates} are the most` },
    ])
  const unreadable: ProblemReport[] = []
  let leaf: Certificate
  try {
    leaf = parseCertificate(first)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    return refused([{ problem: "malformed", detail: `the first certificate cannot be read: ${error.detail}` }])
  }
  const others: Candidate[] = []
  const seen = new Set([leaf.fingerprint])
  rest.forEach((encoded, index) => {
    try {
      const certificate = knownIssuer(encoded) ?? parseCertificate(encoded)
      // Anchors among the presented are found as anchors; sent again and again they would only cost steps.
      if (seen.has(certificate.fingerprint) || request.anchors.has(certificate.fingerprint)) return
      seen.add(certificate.fingerprint)
      others.push(candidate(certificate, intermediateProblems(certificate, rules)))
    } catch (error) {
      if (!(error instanceof CertificateError)) throw error
      unreadable.push({ problem: "malformed", detail: `certificate ${index + 2} of the chain cannot be read: ${error.detail}` })
    }
  })
  return search(request, rules, budget, leaf, others, unreadable)
}

function search(
  request: PathRequest,
  rules: StepRules,
  budget: Budget,
  leaf: Certificate,
  others: readonly Candidate[],
  unreadable: readonly ProblemReport[],
): ProvedPath | RefusedPath {
  const pinned = request.anchors.has(leaf.fingerprint)
  const own = leafProblems(leaf, rules, pinned)
  const wanted = wantedPurposes(rules)
  if (wanted.length > 0 && purposesLeft(leaf, wanted, rules).length === 0) own.push(purposeProblem(leaf, rules))
  if (pinned) {
    if (own.length > 0) return refused(own)
    // The operator named this very certificate: there is nothing above it to ask.
    const anchor = { subject: leaf.subject, spki: leaf.spki, certificate: leaf }
    return { ok: true, path: [leaf], anchor, from: leaf.notBefore, until: leaf.notAfter }
  }
  const start = candidate(leaf, [])
  const run = new Search(request.anchors, request.extraAnchors ?? [], rules, budget, others)
  try {
    const purposes = purposesLeft(leaf, wanted, rules)
    const proof = own.length === 0 ? run.prove(start, purposes) : undefined
    if (proof !== undefined) {
      // Keys that only one peer names are not the many others' business.
      if (request.extraAnchors === undefined) rememberIssuers(proof.below.slice(1), proof.anchor.spki)
      const path = [...proof.below, ...(proof.anchor.certificate === undefined ? [] : [proof.anchor.certificate])]
      const from = Math.max(...path.map(({ notBefore }) => notBefore))
      const until = Math.min(...path.map(({ notAfter }) => notAfter))
      return { ok: true, path, anchor: proof.anchor, from, until }
    }
    const faults = run.diagnose(start, purposes)
    if (faults !== undefined) return refused([...run.shortcomings, ...byRank([...own, ...faults], WITH_ANCHOR), ...unreadable])
    return refused([...run.shortcomings, ...byRank([...run.found, ...unreadable], WITHOUT_ANCHOR), ...own])
  } catch (error) {
    if (!(error instanceof OverBudget)) throw error
    return refused([{ problem: "budget", detail: `the chain takes too much work: ${error.message}` }, ...own])
  }
}
