// The level others reach at an endpoint, and at a domain (XEP-0238): computed from verdicts and findings, where "could not tell" is
// never bad and never good.
import { compareLevels } from "../model/association.ts"
import { unableFindings } from "../gateway/dns-ability.ts"
import { type FindingId, findings } from "../model/findings.ts"
import type { RequiredLevel } from "../model/policy.ts"
import { offersDialback } from "./climb.ts"
import type { Climb } from "./question.ts"
import type { ReachedLevel, ReportFinding } from "./report.ts"

export interface Standing {
  /** What is reached for certain; null: nothing is known. */
  readonly level: ReachedLevel | null
  /** It may be more. */
  readonly open: boolean
}

const certain = (level: ReachedLevel): Standing => ({ level, open: false })
const unknown: Standing = { level: null, open: true }

/** The catalogue's; but that we were not allowed or not able to ask says nothing about the domain. */
export const severityOf = (id: FindingId): ReportFinding["severity"] => (aboutUs.has(id) ? "unknown" : findings[id].severity)
const aboutUs: ReadonlySet<FindingId> = new Set(["dns.guarded", ...Object.values(unableFindings)])

/** An address that nobody answers at is passed over by every server that connects. */
export function unreached({ trouble }: Climb): boolean {
  return trouble !== undefined && trouble.finding.startsWith("reach.")
}

export function standingOf({ service, trouble, proof, proven, before }: Climb): Standing {
  if (proof === undefined) {
    if (trouble === undefined || severityOf(trouble.finding) === "unknown") return unknown
    // RFC 7590 3.4: without TLS there is dialback at best, and for clients nothing; where it was offered and then refused the stream is over (TLS-04).
    if (trouble.finding === "tls.not-offered" && before?.features.starttls === undefined) {
      return certain(service === "xmpp-server" && before !== undefined && offersDialback(before) ? "verified" : "permissive")
    }
    return certain("none")
  }
  // It broke off before there was anything to go on with.
  if (trouble !== undefined) return severityOf(trouble.finding) === "unknown" ? unknown : certain("none")
  if (proven === undefined) return unknown
  const { combined } = proven
  if (combined.outcome === "proved") return certain("authenticated")
  const doubtful = combined.outcome !== "refuted" && severityOf(combined.verdict.finding) === "unknown"
  if (combined.outcome === "stop") return doubtful ? unknown : certain("none")
  return { level: "encrypted", open: doubtful }
}

const rank = (level: ReachedLevel): number => (level === "none" ? -1 : compareLevels(level, "permissive") + 1)

export function reaches(level: ReachedLevel | null, expect: RequiredLevel): boolean {
  return level !== null && rank(level) >= rank(expect)
}

export interface Overall {
  /** What is reached whichever address is taken; null: could not tell. */
  readonly level: ReachedLevel | null
  readonly ok: boolean
  readonly unknown: boolean
}

/** Every address that answers counts: servers take any of them, and most go no further when one proves too little. */
export function overall(climbs: readonly Climb[], expect: RequiredLevel): Overall {
  const answering = climbs.filter((climbed) => !unreached(climbed))
  const standings = (answering.length > 0 ? answering : climbs).map(standingOf)
  const below = standings.filter(({ level }) => !reaches(level, expect))
  const ok = standings.length > 0 && below.length === 0
  const doubt = below.every(({ open }) => open)
  const levels = standings.flatMap(({ level }) => (level === null ? [] : [level])).sort((a, b) => rank(a) - rank(b))
  const known = doubt && levels.length < standings.length ? null : (levels[0] ?? null)
  return { level: known, ok, unknown: !ok && doubt }
}
