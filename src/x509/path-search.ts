// The search for a path (RFC 5280 section 6): depth-first with backtracking, within budgets, over what a
// stranger sent. First pass: only steps without a fault. Second pass, if that finds nothing: names and signatures alone, to
// say what is wrong.

import type { Buffer } from "node:buffer"
import { createHash, type KeyObject } from "node:crypto"
import { importKey, type SignatureAlgorithm, verifySignature } from "./algorithms.ts"
import type { Anchor, AnchorSet } from "./anchors.ts"
import type { Certificate } from "./certificate.ts"
import { knownSignature } from "./known-issuers.ts"
import {
  anchorProblems,
  type PathProblem,
  type ProblemReport,
  purposeProblem,
  purposesLeft,
  report,
  stepProblems,
  type StepRules,
} from "./path-checks.ts"

/** Limits of one validation. */
export interface Budget {
  /** Signatures verified. */
  readonly signatures: number
  /** Names compared with constraints. */
  readonly comparisons: number
  /** Issuers tried. */
  readonly steps: number
  readonly intermediates: number
  /** Certificates accepted from the wire. */
  readonly certificates: number
}

export const DEFAULT_BUDGET: Budget = Object.freeze({
  signatures: 100,
  comparisons: 250_000,
  steps: 10_000,
  intermediates: 8,
  certificates: 16,
})

/** Thrown when a budget is used up; only validatePath catches it. */
export class OverBudget extends Error {}

/** Reports kept of one validation. */
export const MOST_PROBLEMS = 32
const DIAGNOSIS_STEPS = 1_000

/** One certificate from the wire, with what was worked out about it. */
export interface Candidate {
  readonly certificate: Certificate
  readonly subject: string
  readonly issuer: string
  /** Subject and key: a path holds each at most once, so cycles end. */
  readonly identity: string
  /** The key alone. */
  readonly key: string
  /** Problems it has as an intermediate, wherever it stands. */
  readonly problems: readonly ProblemReport[]
}

const latin1 = (bytes: Buffer): string => bytes.toString("latin1")
/** A key as short text, for maps and sets. */
const keyDigest = (spki: Buffer): string => createHash("sha256").update(spki).digest("base64")

/** Of anchors, which are asked for each path. */
const anchorDigests = new WeakMap<Anchor, string>()

function anchorDigest(anchor: Anchor): string {
  let known = anchorDigests.get(anchor)
  if (known === undefined) anchorDigests.set(anchor, (known = keyDigest(anchor.spki)))
  return known
}

/** Node key objects by certificate: importing an anchor's key is worth remembering. */
const imported = new WeakMap<Buffer, { readonly key: KeyObject | undefined }>()

function keyObject(spki: Buffer): KeyObject | undefined {
  let known = imported.get(spki)
  if (known === undefined) {
    known = { key: importKey(spki) }
    imported.set(spki, known)
  }
  return known.key
}

export class Search {
  readonly #rules: StepRules
  readonly #budget: Budget
  readonly #anchors: AnchorSet
  readonly #extra: readonly Anchor[]
  readonly #others: readonly Candidate[]
  readonly #verified = new Map<string, boolean>()
  readonly #anchorFaults = new Map<Anchor, readonly ProblemReport[]>()
  #signatures = 0
  #comparisons = 0
  #steps = 0
  #stepLimit: number
  #diagnosing = false
  #tooDeep = false
  /** Reports of dead ends (second pass). */
  readonly found: ProblemReport[] = []

  constructor(anchors: AnchorSet, extra: readonly Anchor[], rules: StepRules, budget: Budget, others: readonly Candidate[]) {
    this.#rules = rules
    this.#budget = budget
    this.#anchors = anchors
    this.#extra = extra
    this.#others = others
    this.#stepLimit = budget.steps
  }

  /** The first path without a fault. */
  prove(leaf: Candidate, purposes: readonly string[]): { below: readonly Certificate[]; anchor: Anchor } | undefined {
    const path = this.#extend([leaf], purposes, [])
    return path === undefined ? undefined : { below: path.below, anchor: path.anchor }
  }

  /** The first path to an anchor whatever its faults, with them; or undefined, with the reports of dead ends in `found`. */
  diagnose(leaf: Candidate, purposes: readonly string[]): readonly ProblemReport[] | undefined {
    this.#diagnosing = true
    this.#stepLimit = Math.min(this.#budget.steps, this.#steps + DIAGNOSIS_STEPS)
    return this.#extend([leaf], purposes, [])?.faults
  }

  /** Budgets that cut a path short without ending the search. */
  get shortcomings(): readonly ProblemReport[] {
    return this.#tooDeep
      ? [{ problem: "budget", detail: `the chain has more than ${this.#budget.intermediates} intermediate certificates in a row` }]
      : []
  }

  #step(): void {
    if (++this.#steps > this.#stepLimit) throw new OverBudget(`more than ${this.#stepLimit} issuers tried`)
  }

  /** Verifies the signature of a certificate with a key; each pair once. */
  #signedBy(child: Certificate, spki: Buffer, key: string): boolean {
    const { signatureAlgorithm } = child
    if (typeof signatureAlgorithm === "string") return false
    const pair = child.fingerprint + key
    const known = this.#verified.get(pair)
    if (known !== undefined) return known
    if (++this.#signatures > this.#budget.signatures) throw new OverBudget(`more than ${this.#budget.signatures} signatures to verify`)
    // One that is known counts all the same: the answer must not depend on what was judged before.
    const good = knownSignature(child, spki) || this.#verifies(child, signatureAlgorithm, spki)
    this.#verified.set(pair, good)
    return good
  }

  #verifies({ signed, signature }: Certificate, algorithm: SignatureAlgorithm, spki: Buffer): boolean {
    const key = keyObject(spki)
    return key !== undefined && verifySignature(algorithm, key, signed, signature)
  }

  /** Keys that are refused are not put to work either: what they cost is the stranger's choice. */
  #cannotVerify(issuer: Certificate | undefined): boolean {
    const key = issuer?.key.refused
    if (issuer === undefined || key === undefined) return false
    if (this.found.length < MOST_PROBLEMS) this.found.push(report(key.problem, issuer, `holds ${key.detail}`))
    return true
  }

  readonly #meter = {
    spend: (count: number): void => {
      this.#comparisons += count
      if (this.#comparisons > this.#budget.comparisons)
        throw new OverBudget(`more than ${this.#budget.comparisons} comparisons with name constraints`)
    },
  }

  #faultsOf(anchor: Anchor): readonly ProblemReport[] {
    let faults = this.#anchorFaults.get(anchor)
    if (faults === undefined) {
      faults = anchorProblems(anchor, this.#rules)
      this.#anchorFaults.set(anchor, faults)
    }
    return faults
  }

  /** Faults of a step up to an issuer: its own, and those with what is below; and the purposes it leaves. */
  #judge(
    issuer: Certificate,
    own: readonly ProblemReport[],
    below: readonly Certificate[],
    purposes: readonly string[],
  ): { faults: ProblemReport[]; left: readonly string[] } {
    const faults = [...own]
    if (faults.length > 0 && !this.#diagnosing) return { faults, left: purposes }
    faults.push(...stepProblems(issuer, below, this.#meter))
    // EKU nests: what a CA is not for, nothing below it is for.
    const left = purposesLeft(issuer, purposes, this.#rules)
    if (purposes.length > 0 && left.length === 0) faults.push(purposeProblem(issuer, this.#rules))
    return { faults, left }
  }

  #extend(
    path: readonly Candidate[],
    purposes: readonly string[],
    faults: readonly ProblemReport[],
  ): { below: readonly Certificate[]; anchor: Anchor; faults: readonly ProblemReport[] } | undefined {
    const top = path[path.length - 1]!
    const below = path.map(({ certificate }) => certificate)
    let named = false
    let signed = false
    let circular = false
    // Whether a key that says it is the right one did not verify: the mark of a forgery rather than of a namesake.
    let denied: string | undefined
    const refuse = (issuerKeyId: Buffer | undefined, name: string): void => {
      const wanted = top.certificate.authorityKeyId
      if (wanted === undefined || issuerKeyId === undefined || wanted.equals(issuerKeyId)) denied = name
    }

    const anchors = [
      ...this.#anchors.withSubject(top.certificate.issuer.encoded),
      ...this.#extra.filter((anchor) => anchor.subject.encoded.equals(top.certificate.issuer.encoded)),
    ]
    for (const anchor of anchors) {
      this.#step()
      named = true
      const { certificate } = anchor
      const { faults: more } =
        certificate === undefined ? { faults: [] } : this.#judge(certificate, this.#faultsOf(anchor), below, purposes)
      if (more.length > 0 && !this.#diagnosing) continue
      if (this.#cannotVerify(certificate)) {
        signed = true
        continue
      }
      if (!this.#signedBy(top.certificate, anchor.spki, anchorDigest(anchor))) {
        refuse(certificate?.subjectKeyId, certificate?.subjectText ?? top.certificate.issuerText)
        continue
      }
      return { below, anchor, faults: [...faults, ...more] }
    }

    for (const candidate of this.#issuersOf(top)) {
      this.#step()
      if (path.some(({ identity }) => identity === candidate.identity)) {
        circular = true
        continue
      }
      named = true
      if (!this.#diagnosing && candidate.problems.length > 0) continue
      const judged = this.#judge(candidate.certificate, candidate.problems, below, purposes)
      if (judged.faults.length > 0 && !this.#diagnosing) continue
      if (this.#cannotVerify(candidate.certificate)) {
        signed = true
        continue
      }
      if (!this.#signedBy(top.certificate, candidate.certificate.spki, candidate.key)) {
        refuse(candidate.certificate.subjectKeyId, candidate.certificate.subjectText)
        continue
      }
      signed = true
      // The leaf is not an intermediate, and `path` holds it.
      if (path.length > this.#budget.intermediates) {
        this.#tooDeep = true
        continue
      }
      const result = this.#extend([...path, candidate], judged.left, [...faults, ...judged.faults])
      if (result !== undefined) return result
    }
    if (this.#diagnosing) this.#deadEnd(path, { named, signed, circular, denied })
    return undefined
  }

  /** Presented certificates with the right subject: those whose key identifier fits first, then the longest-lived. */
  #issuersOf(top: Candidate): readonly Candidate[] {
    const wanted = top.certificate.authorityKeyId
    const fits = (candidate: Candidate): number => {
      const offered = candidate.certificate.subjectKeyId
      return wanted === undefined || offered === undefined ? 1 : wanted.equals(offered) ? 0 : 2
    }
    return this.#others
      .filter((candidate) => candidate.subject === top.issuer && candidate !== top)
      .sort(
        (one, two) =>
          one.problems.length - two.problems.length || fits(one) - fits(two) || two.certificate.notAfter - one.certificate.notAfter,
      )
  }

  /** Says why nothing is above the last certificate of a path. */
  #deadEnd(
    path: readonly Candidate[],
    { named, signed, circular, denied }: { named: boolean; signed: boolean; circular: boolean; denied: string | undefined },
  ): void {
    const top = path[path.length - 1]!
    const { certificate } = top
    if (signed) return // the dead end is further up, or is the issuer's key, and has its report
    const say = (problem: PathProblem, phrase: string): void => {
      if (this.found.length < MOST_PROBLEMS) this.found.push(report(problem, certificate, phrase))
    }
    if (typeof certificate.signatureAlgorithm === "string") {
      say("unsupported-algorithm", `is signed with ${certificate.signatureAlgorithm}, which is not accepted`)
      return
    }
    const { issuerText } = certificate
    if (certificate.selfIssued && (certificate.key.refused !== undefined || this.#signedBy(certificate, certificate.spki, top.key))) {
      if (path.length === 1) say("self-signed", "is self-signed and not among the trusted ones")
      else say("unknown-root", `ends the chain, and is not among the trusted roots (${this.#anchors.count} known here)`)
      return
    }
    if (denied !== undefined) {
      say("bad-signature", `was not signed by ${denied}, which it names as its issuer`)
      return
    }
    if (named) {
      say("unknown-root", `was issued by another ${issuerText} than the known one (a different key)`)
      return
    }
    if (circular) {
      say("no-path", "is certified only by CAs that it certifies itself")
      return
    }
    const absent = `was issued by ${issuerText}, whose certificate was not sent and is not among the trusted roots (${this.#anchors.count} known here)`
    // Who says where the issuer's certificate can be fetched has an issuer that is meant to be sent along (RFC 5280 4.2.2.1).
    if (path.length === 1 && certificate.namesIssuerLocation)
      say("incomplete-chain", `${absent}: the server must send its intermediate certificates`)
    else say("unknown-root", `${absent}${path.length === 1 ? " (if it is an intermediate, the server must send it)" : ""}`)
  }
}

export function candidate(certificate: Certificate, problems: readonly ProblemReport[]): Candidate {
  const subject = latin1(certificate.subject.encoded)
  const key = keyDigest(certificate.spki)
  return { certificate, subject, issuer: latin1(certificate.issuer.encoded), identity: subject + key, key, problems }
}
