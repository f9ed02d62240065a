// What each certificate of a path must be by itself, and to those below it (RFC 5280 6.1.3-6.1.5; EKU-01, EKU-02; ID-14).
// No search here: path.ts tries paths, this file judges steps.

import type { Anchor } from "./anchors.ts"
import type { Certificate } from "./certificate.ts"
import { KEY_USAGE } from "./extensions.ts"
import { type ComparisonMeter, constraintViolation } from "./name-constraints.ts"
import { shown } from "./names.ts"
import { timeText } from "./time.ts"

export type PathProblem =
  | "expired"
  | "not-yet-valid"
  | "no-path"
  | "self-signed"
  | "unknown-root"
  | "incomplete-chain"
  | "bad-signature"
  | "weak-key"
  | "unsupported-algorithm"
  | "purpose"
  | "name-constraints"
  | "path-length"
  | "not-a-ca"
  | "ca-as-leaf"
  | "unknown-critical-extension"
  | "malformed"
  | "budget"

export interface ProblemReport {
  readonly problem: PathProblem
  /** A sentence for the operator, without secrets, printable ASCII. */
  readonly detail: string
  /** The subject of the certificate it is about. */
  readonly subject?: string
}

/** What the end certificate is to be used for; `either`: as server or as client. */
export type Purpose = "server" | "client" | "either" | "any"

export interface StepRules {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly purpose: Purpose
  /** Whether anyExtendedKeyUsage stands for every purpose (EKU-01: by policy). */
  readonly acceptAnyPurpose: boolean
  /** Whether the CA profile of RFC 5280 is asked of presented certificates, and of anchors. */
  readonly strictPresented: boolean
  readonly strictAnchors: boolean
}

const SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
const ANY_PURPOSE = "2.5.29.37.0"
const WANTED: Readonly<Record<Purpose, readonly string[]>> = {
  server: [SERVER_AUTH],
  client: [CLIENT_AUTH],
  either: [SERVER_AUTH, CLIENT_AUTH],
  any: [],
}
const PURPOSE_TEXT: Readonly<Record<string, string>> = { [SERVER_AUTH]: "serverAuth", [CLIENT_AUTH]: "clientAuth", [ANY_PURPOSE]: "any" }

export function report(problem: PathProblem, certificate: Certificate, phrase: string): ProblemReport {
  return { problem, detail: `the certificate of ${certificate.subjectText} ${phrase}`, subject: certificate.subjectText }
}

function timeProblem(certificate: Certificate, at: number): ProblemReport | undefined {
  if (at < certificate.notBefore) return report("not-yet-valid", certificate, `is not valid before ${timeText(certificate.notBefore)}`)
  if (at > certificate.notAfter) return report("expired", certificate, `expired at ${timeText(certificate.notAfter)}`)
  return undefined
}

/** Problems that any certificate has by itself wherever it stands below the anchor. */
function commonProblems(certificate: Certificate, rules: StepRules): ProblemReport[] {
  const list: ProblemReport[] = []
  const time = timeProblem(certificate, rules.at)
  if (time !== undefined) list.push(time)
  const { refused } = certificate.key
  if (refused !== undefined) list.push(report(refused.problem, certificate, `holds ${refused.detail}`))
  // RFC 5280 4.2: a critical extension that is not understood is a reason to refuse.
  for (const oid of certificate.unknownCritical.slice(0, 4))
    list.push(report("unknown-critical-extension", certificate, `has the critical extension ${oid}, which is not understood`))
  if (certificate.version !== 3) list.push(report("malformed", certificate, `is an X.509 version ${certificate.version} certificate`))
  else if (rules.strictPresented) {
    for (const phrase of certificate.deviations) list.push(report("malformed", certificate, phrase))
    // RFC 5280 4.2.1.1: conforming CAs name the key they sign with, so that paths can be found.
    if (certificate.authorityKeyId === undefined)
      list.push(report("malformed", certificate, "has no authorityKeyIdentifier (RFC 5280 4.2.1.1)"))
  }
  return list
}

/** Problems of the end certificate, whatever is above it. `pinned`: it is itself an anchor, so its profile is its owner's affair. */
export function leafProblems(leaf: Certificate, rules: StepRules, pinned: boolean): ProblemReport[] {
  const list = commonProblems(leaf, pinned ? { ...rules, strictPresented: false } : rules)
  // ID-14 (RFC 6120 13.7.1.1): an end certificate is not a CA.
  if (leaf.basicConstraints?.ca) list.push(report("ca-as-leaf", leaf, "is a CA certificate, shown as if it were a server's own"))
  const usage = leaf.keyUsage
  if (usage !== undefined && rules.purpose !== "any") {
    const fit = [KEY_USAGE.digitalSignature, KEY_USAGE.keyAgreement, ...(rules.purpose === "client" ? [] : [KEY_USAGE.keyEncipherment])]
    if (!fit.some((bit) => usage.has(bit))) list.push(report("purpose", leaf, "has a keyUsage that does not allow TLS"))
  }
  return list
}

function caProblems(certificate: Certificate): ProblemReport[] {
  const list: ProblemReport[] = []
  // RFC 5280 6.1.4 k, n: cA must be asserted, and keyCertSign where keyUsage is there.
  if (!certificate.basicConstraints?.ca) list.push(report("not-a-ca", certificate, "is not a CA and cannot issue certificates"))
  else if (certificate.keyUsage !== undefined && !certificate.keyUsage.has(KEY_USAGE.keyCertSign))
    list.push(report("not-a-ca", certificate, "is not allowed to sign certificates (keyUsage)"))
  return list
}

/** Problems of an intermediate certificate, whatever is around it. */
export function intermediateProblems(certificate: Certificate, rules: StepRules): ProblemReport[] {
  return [...commonProblems(certificate, rules), ...caProblems(certificate)]
}

/** Problems of an anchor as an issuer: lenient about the profile of its certificate unless told otherwise. */
export function anchorProblems(anchor: Anchor, rules: StepRules): ProblemReport[] {
  const { certificate } = anchor
  if (certificate === undefined) return []
  const list: ProblemReport[] = []
  const time = timeProblem(certificate, rules.at)
  if (time !== undefined) list.push(time)
  const { refused } = certificate.key
  if (refused !== undefined) list.push(report(refused.problem, certificate, `holds ${refused.detail}`))
  for (const oid of certificate.unknownCritical.slice(0, 4))
    list.push(report("unknown-critical-extension", certificate, `has the critical extension ${oid}, which is not understood`))
  // A version 1 root says nothing about being a CA; a version 3 one says it.
  if (certificate.version === 3) list.push(...caProblems(certificate))
  if (rules.strictAnchors) for (const phrase of certificate.deviations) list.push(report("malformed", certificate, phrase))
  return list
}

/** The purposes of `allowed` that a certificate leaves: all of them where it has no extKeyUsage. */
export function purposesLeft(certificate: Certificate, allowed: readonly string[], rules: StepRules): readonly string[] {
  const stated = certificate.extendedKeyUsage
  if (stated === undefined || (rules.acceptAnyPurpose && stated.includes(ANY_PURPOSE))) return allowed
  return allowed.filter((purpose) => stated.includes(purpose))
}

/** The purposes of a whole (partial) path. Purpose 'any' is always satisfied. */
export const wantedPurposes = (rules: StepRules): readonly string[] => WANTED[rules.purpose]

export function purposeProblem(certificate: Certificate, rules: StepRules): ProblemReport {
  const stated = (certificate.extendedKeyUsage ?? [])
    .slice(0, 4)
    .map((oid) => PURPOSE_TEXT[oid] ?? oid)
    .join(", ")
  const wanted = WANTED[rules.purpose].map((oid) => PURPOSE_TEXT[oid]).join(" or ")
  return report("purpose", certificate, `is for ${stated}, not for ${wanted} (extendedKeyUsage)`)
}

/**
 * Problems of a CA with the certificates below it: path length (RFC 5280 6.1.4 l, m) and name constraints (6.1.3 b, c).
 *
 * @param below the path so far, end certificate first
 */
export function stepProblems(issuer: Certificate, below: readonly Certificate[], meter: ComparisonMeter): ProblemReport[] {
  const list: ProblemReport[] = []
  const limit = issuer.basicConstraints?.pathLength
  if (limit !== undefined) {
    const depth = below.filter((certificate, index) => index > 0 && !certificate.selfIssued).length
    if (depth > limit)
      list.push(
        report(
          "path-length",
          issuer,
          `allows ${limit} CA certificate${limit === 1 ? "" : "s"} below it, and there ${depth === 1 ? "is" : "are"} ${depth}`,
        ),
      )
  }
  if (issuer.nameConstraints !== undefined) {
    for (const [index, certificate] of below.entries()) {
      if (index > 0 && certificate.selfIssued) continue
      const violation = constraintViolation(issuer.nameConstraints, certificate, meter)
      if (violation !== undefined) {
        list.push(report("name-constraints", certificate, `breaks the name constraints of ${issuer.subjectText}: ${shown(violation)}`))
        break
      }
    }
  }
  return list
}
