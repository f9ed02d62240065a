// From what was seen to what it means (RFC 7712 4.2): the findings with their severity in this very case, whose move each is, and
// what to paste. A proof that fails beside one that holds harms nobody; an address that is dead beside a live one is a warning.
import { tryDomain } from "../model/domain.ts"
import { type FindingId, findings } from "../model/findings.ts"
import type { Instant, Verdict } from "../model/verdict.ts"
import type { Certificate } from "../x509/certificate.ts"
import type { Skipped } from "../discovery/delegation.ts"
import { fingerprintOf, readCertificate, short } from "./describe.ts"
import { reaches, severityOf, standingOf, unreached } from "./levels.ts"
import type { Climb, Found, InspectQuestion } from "./question.ts"
import { repairsOf } from "./repairs.ts"
import type { ReportFinding, ReportParty, ReverseResult } from "./report.ts"

type Severity = ReportFinding["severity"]

interface Raised {
  readonly id: FindingId
  readonly detail: string
  /** The catalogue's, unless it weighs less here. */
  readonly severity?: Severity
  /** Index of the endpoint. */
  readonly endpoint?: number
}

const gravest: readonly Severity[] = ["bad", "unknown", "warn", "info"]
const twoWeeks = 14 * 24 * 3_600_000

/** Everything there is to say, the gravest first. */
export function conclude(question: InspectQuestion, discovery: Found, climbs: readonly Climb[], back: ReverseResult | null, now: Instant): ReportFinding[] {
  const raised = [...ofDiscovery(discovery), ...climbs.flatMap((climbed, index) => ofEndpoint(question, climbs, climbed, index, now)), ...ofAll(climbs), ...ofReverse(question, back)]
  const merged = new Map<string, { raised: Raised; endpoints: number[] }>()
  for (const each of raised) {
    const key = `${each.id} ${each.severity ?? ""} ${each.detail}`
    const known = merged.get(key) ?? { raised: each, endpoints: [] }
    if (each.endpoint !== undefined && !known.endpoints.includes(each.endpoint)) known.endpoints.push(each.endpoint)
    merged.set(key, known)
  }
  const grave = (finding: ReportFinding): number => gravest.indexOf(finding.severity)
  return [...merged.values()].map((each) => reportFinding(question, climbs, each.raised, each.endpoints)).sort((a, b) => grave(a) - grave(b))
}

function ofDiscovery(discovery: Found): Raised[] {
  if (discovery.outcome !== "endpoints") return [{ id: discovery.finding, detail: discovery.detail }]
  const [first] = discovery.endpoints
  const fallback: Raised[] = first?.delegation.via === "fallback" ? [{ id: "dns.no-srv-fallback", detail: "" }] : []
  // Beside endpoints that were found it costs nobody the domain.
  const lost = discovery.report.skipped.flatMap(({ target, reason, detail }): Raised[] => {
    const id = lostTargets[reason]
    return id === undefined ? [] : [{ id, detail: `${target}: ${detail}`, severity: "warn" }]
  })
  return [...fallback, ...lost]
}

const lostTargets: Partial<Record<Skipped["reason"], FindingId>> = {
  bogus: "dns.bogus",
  "lookup-failed": "dns.servfail",
  "no-address": "dns.target-unresolvable",
  guarded: "dns.guarded",
}

function ofEndpoint(question: InspectQuestion, climbs: readonly Climb[], climbed: Climb, endpoint: number, now: Instant): Raised[] {
  const { trouble, sentAway, proof, proven, before, after, login } = climbed
  const raised: Raised[] = []
  if (trouble !== undefined) raised.push(troubled(question, climbs, climbed, endpoint))
  if (before?.features.starttls?.required === false) raised.push({ id: "tls.not-required", detail: "", endpoint })
  const from = after?.header.from
  // CORE-14: it may answer by another of its names; proofs are of the one that was asked for.
  if (from !== undefined && tryDomain(from) !== question.domain) raised.push({ id: "stream.from-mismatch", detail: from, severity: "info", endpoint })
  if (proof !== undefined) {
    if (proven !== undefined) for (const verdict of proven.verdicts) if (verdict.outcome !== "proved") raised.push({ ...ofVerdict(question, climbed, verdict), endpoint })
    raised.push(...ofCertificate(question, climbed, now).map((each) => ({ ...each, endpoint })))
  }
  // It closes on a stranger that shows no certificate, as it may.
  if (sentAway !== undefined && login === null) raised.push({ id: sentAway.finding, detail: sentAway.detail, severity: "info", endpoint })
  if (login?.state === "refused") raised.push({ id: "auth.external-refused", detail: [login.detail, oursIsForServersOnly(question) ? forServersOnly : ""].filter((part) => part !== "").join("; "), endpoint })
  if (login?.by === "dialback" && login.state === "untried") raised.push({ id: "auth.external-not-offered", detail: oursIsForServersOnly(question) ? forServersOnly : "", endpoint })
  // As with a refusal: it has proven itself, and does not take us.
  if (login?.state === "not-offered") raised.push({ id: "auth.no-way", detail: "", severity: "warn", endpoint })
  return raised
}

function troubled({ expect }: InspectQuestion, climbs: readonly Climb[], climbed: Climb, endpoint: number): Raised {
  const { finding, detail } = climbed.trouble as NonNullable<Climb["trouble"]>
  // No more than dialback was expected, and that is to be had without TLS.
  if (reaches(standingOf(climbed).level, expect)) return { id: finding, detail, endpoint, severity: "warn" }
  const others = climbs.filter((each) => !unreached(each))
  if (!unreached(climbed) || others.length === 0) return { id: finding, detail, endpoint }
  if (finding === "reach.no-route") return { id: finding, detail, endpoint, severity: "info" }
  const isSix = ({ endpoint: { address } }: Climb): boolean => address.includes(":")
  const six = isSix(climbed) && !others.some(isSix)
  return { id: six ? "reach.ipv6-dead" : "reach.address-dead", detail, endpoint }
}

/** A verdict that is no proof, and how much it matters beside the others. */
function ofVerdict(question: InspectQuestion, climbed: Climb, { finding, detail, outcome }: Exclude<Verdict, { outcome: "proved" }>): Raised {
  const { severity } = findings[finding]
  const { level } = standingOf(climbed)
  const raised = { id: finding, detail }
  if (severity !== "bad" && severity !== "unknown") return raised
  // What a domain publishes and gets wrong harms those who ask for nothing else.
  if (level === "authenticated") return { ...raised, severity: outcome === "refuted" && /^(?:dane|posh)\./.test(finding) ? "warn" : "info" }
  return reaches(level, question.expect) ? { ...raised, severity: severity === "bad" ? "warn" : "info" } : raised
}

function ofCertificate({ expiryWarning = twoWeeks, at }: InspectQuestion, { proof }: Climb, now: Instant): Raised[] {
  const leaf = leafOf(proof?.chain)
  if (leaf === undefined) return []
  const raised: Raised[] = []
  const left = leaf.notAfter - now
  if (left > 0 && left < expiryWarning) raised.push({ id: "cert.expiring", detail: `${new Date(leaf.notAfter).toISOString().slice(0, 10)}, ${Math.floor(left / 86_400_000)} days from ${at === undefined ? "now" : "then"}` })
  // EKU-01: what public authorities issue since 2026.
  if (isForServersOnly(leaf)) raised.push({ id: "cert.server-only", detail: "" })
  return raised
}

function isForServersOnly({ extendedKeyUsage }: Certificate): boolean {
  return extendedKeyUsage?.includes(serverAuth) === true && !extendedKeyUsage.includes(clientAuth)
}

function oursIsForServersOnly({ from }: InspectQuestion): boolean {
  const [pem] = /-----BEGIN CERTIFICATE-----[^-]+/.exec(from?.credentials?.certificatePem ?? "") ?? []
  const leaf = pem === undefined ? undefined : readCertificate(Buffer.from(pem.slice(pem.indexOf("\n")), "base64"))
  return leaf !== undefined && isForServersOnly(leaf)
}

/** EKU-06 */
const forServersOnly = "our certificate is for TLS servers only, which older servers refuse"
const serverAuth = "1.3.6.1.5.5.7.3.1"
const clientAuth = "1.3.6.1.5.5.7.3.2"

function ofAll(climbs: readonly Climb[]): Raised[] {
  const leaves = new Set(climbs.flatMap(({ proof }) => (proof?.chain[0] === undefined ? [] : [fingerprintOf(proof.chain[0])])))
  return leaves.size > 1 ? [{ id: "cert.differs", detail: `${leaves.size} certificates` }] : []
}

function ofReverse({ expect }: InspectQuestion, back: ReverseResult | null): Raised[] {
  if (back === null || reaches(back.level, expect)) return []
  if (back.state === "no-connection" || back.state === "unavailable") return [{ id: "auth.reverse-unseen", detail: back.detail }]
  const failed = back.proofs.flatMap(({ proof, finding, detail }) => (finding === null ? [] : [`${proof}: ${detail === "" ? findings[finding as FindingId].sentence : detail}`]))
  return [{ id: "auth.reverse-refused", detail: back.detail === "" ? failed.join("; ") : back.detail }]
}

export function leafOf(chain: readonly Uint8Array[] | undefined): Certificate | undefined {
  const [leaf] = chain ?? []
  return leaf === undefined ? undefined : readCertificate(leaf)
}

function reportFinding(question: InspectQuestion, climbs: readonly Climb[], { id, detail, severity }: Raised, endpoints: number[]): ReportFinding {
  const { sentence, section } = findings[id]
  const climbed = endpoints[0] === undefined ? climbs.find(({ proof }) => proof !== undefined) : climbs[endpoints[0]]
  const endpoint = climbed?.endpoint
  const fix = repairsOf(id, {
    detail,
    domain: question.domain,
    service: question.service,
    host: endpoint?.delegation.derived,
    port: endpoint?.port,
    leaf: leafOf(climbed?.proof?.chain),
    vouched: climbed?.proven?.verdicts.some(({ outcome }) => outcome === "proved") === true,
  })
  return { id, severity: severity ?? severityOf(id), party: partyOf(question, id, climbed), sentence, detail: short(detail), fix, section, endpoints }
}

/** What a server does wrong is its operator's move, who need not be the domain's. */
const ofServers = /^(?:reach|stream|tls|cert|pkix|auth)\./

function partyOf({ domain, own }: InspectQuestion, id: FindingId, climbed: Climb | undefined): ReportParty {
  const { party } = findings[id]
  if (party !== "peer") return party
  const host = climbed?.endpoint.delegation.derived
  if (ofServers.test(id) && host !== undefined && host !== domain && !host.endsWith(`.${domain}`)) return "hoster"
  return own === true ? "you" : "peer"
}
