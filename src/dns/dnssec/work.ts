// The work one lookup may cost, counted before it is done: signatures, hashes, questions (CVE-2023-50387, CVE-2023-50868, RFC 9276).
import type { DnsReason } from "../../model/dns-answer.ts"
import { reason } from "./reasons.ts"

export interface WorkLimits {
  /** Signatures checked in one lookup, with the whole chain. */
  readonly signatures: number
  /** Signatures that turn out wrong in one lookup. */
  readonly wrongSignatures: number
  /** Signatures of one RRset that are looked at. */
  readonly signaturesPerSet: number
  /** Keys of one tag and algorithm that are tried for one signature. */
  readonly collidingKeys: number
  /** Keys of one zone, DS records of one delegation. */
  readonly keysPerZone: number
  /** Rounds of SHA-1 for NSEC3 in one lookup: a name costs one more than the zone's iterations. */
  readonly hashRounds: number
  /** Above this a zone's NSEC3 records prove nothing and the answer counts as unsigned (RFC 9276 3.2). */
  readonly iterations: number
  /** Messages one lookup may ask for. */
  readonly questions: number
}

export const defaultWorkLimits: WorkLimits = {
  signatures: 256,
  wrongSignatures: 32,
  signaturesPerSet: 8,
  collidingKeys: 4,
  keysPerZone: 64,
  hashRounds: 6000,
  iterations: 150,
  questions: 100,
}

/** Ends one lookup; the validator turns it into an answer. */
export class WorkExceeded extends Error {
  override readonly name = "WorkExceeded"
  readonly reason: DnsReason
  constructor(detail: string) {
    super(detail)
    this.reason = reason("work-limit", detail)
  }
}

/** What one lookup has cost so far. */
export class Work {
  readonly limits: WorkLimits
  signatures = 0
  wrongSignatures = 0
  hashRounds = 0
  questions = 0

  constructor(limits: WorkLimits) {
    this.limits = limits
  }

  countSignature(): void {
    this.signatures += 1
    if (this.signatures > this.limits.signatures) throw new WorkExceeded(`more than ${this.limits.signatures} signatures for one lookup`)
  }

  countWrongSignature(): void {
    this.wrongSignatures += 1
    if (this.wrongSignatures > this.limits.wrongSignatures) {
      throw new WorkExceeded(`more than ${this.limits.wrongSignatures} wrong signatures in one lookup`)
    }
  }

  /** @param rounds what the next name will cost */
  countHash(rounds: number): void {
    this.hashRounds += rounds
    if (this.hashRounds > this.limits.hashRounds)
      throw new WorkExceeded(`more than ${this.limits.hashRounds} rounds of hashing for one lookup`)
  }

  countQuestion(): void {
    this.questions += 1
    if (this.questions > this.limits.questions) throw new WorkExceeded(`more than ${this.limits.questions} questions for one lookup`)
  }
}
