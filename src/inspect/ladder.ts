// The whole ladder to one domain (RFC 7712 4.2): what DNS says, every address of every server, every proof to its end, and what others
// make of it, as the plain report of report.ts. Bounded in time, addresses and connections at once; never a stanza is sent.
import { unicode } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { FindingId } from "../model/findings.ts"
import { parseAddress } from "../model/address.ts"
import type { Instant } from "../model/verdict.ts"
import type { DaneMaterial } from "../proof/dane-material.ts"
import { rfc3339 } from "../proof/prove.ts"
import { unableFindings } from "../gateway/dns-ability.ts"
import { deadline } from "../federation/deadline.ts"
import { climb } from "./climb.ts"
import { conclude, leafOf } from "./conclude.ts"
import { answerResult, certificateResult, endpointFacts, fingerprintOf, readCertificate, timeOf } from "./describe.ts"
import { keysOf } from "./keys.ts"
import { judgedAt } from "./later.ts"
import { type Overall, overall, reaches, severityOf, standingOf } from "./levels.ts"
import { Materials } from "./materials.ts"
import { peersSee } from "./peers-see.ts"
import { type Climb, type Found, type Inspection, type InspectPorts, type InspectQuestion, nobodysDomain } from "./question.ts"
import type { DomainResult, EndpointResult, ProofResult, ReportFinding, ReverseResult } from "./report.ts"
import { type ReverseQuestion, reverse } from "./reverse.ts"
import { discoverAsAsked, isUnpromised } from "./whither.ts"

/** Addresses of one domain that are looked at. */
export const mostEndpoints = 16
const usualTimes = { total: 30_000, endpoint: 10_000 }
const usualConcurrency = 4

/**
 * Inspects one service of one domain.
 *
 * @param signal gives it up: what was not reached then is "could not tell"
 * @param asking to see the other direction as well, which needs `from` with its certificate; it has a time of its own
 * @returns never rejects because of the world
 * @throws Error when it cannot be listened for the other direction
 */
export async function inspect(question: InspectQuestion, now: InspectPorts, signal: AbortSignal, asking?: ReverseQuestion): Promise<Inspection> {
  const { domain, service, connect: override, family, times = usualTimes, at } = question
  const ports = at === undefined ? now : { ...now, prooftypes: now.prooftypes.map(judgedAt(at)) }
  const { clock, resolver, random, reach } = ports
  const started = clock.now()
  const began = clock.monotonic()
  const limit = deadline(clock, times.total, `the inspection of ${domain}`, signal)
  try {
    const found = await discoverAsAsked({ domain, service, resolver, random, reach, maxEndpoints: mostEndpoints, ...(override === undefined ? {} : { override }), signal: limit.signal })
    const discovery: Found = await believed(family === undefined ? found : ofFamily(found, family), ports, limit.signal)
    const endpoints = discovery.outcome === "endpoints" ? discovery.endpoints : []
    const climbs = await climbAll(question, ports, endpoints, times, limit.signal)
    const back = await backwards(question, ports, asking, signal)
    const result = resultOf(question, { discovery, climbs, back, asking }, started, at ?? clock.now(), clock.monotonic() - began)
    const pair = { sender: question.from?.domain ?? nobodysDomain, target: domain }
    return { result, evidence: () => climbs.flatMap(({ proof, proven }) => (proof === undefined ? [] : (proven?.evidence(pair) ?? []))), keys: () => keysOf(climbs) }
  } finally {
    limit.done()
  }
}

function ofFamily(found: Found, family: 4 | 6): Found {
  if (found.outcome !== "endpoints") return found
  const of = ({ address }: Endpoint): boolean => (parseAddress(address)?.length === 16 ? 6 : 4) === family
  const endpoints = found.endpoints.filter(of)
  if (endpoints.length > 0) return { ...found, endpoints, targets: found.targets.map((target) => ({ ...target, endpoints: target.endpoints.filter(of) })) }
  return { outcome: "not-found", finding: "reach.no-such-family", detail: `no IPv${family} address`, report: found.report }
}

/** security.md 15: what fails validation is the domain's fault only where validation works, which the root shows. */
async function believed(found: Found, { resolver }: InspectPorts, signal: AbortSignal): Promise<Found> {
  if (found.outcome !== "unavailable" || found.finding !== "dns.bogus") return found
  const ability = await resolver.ability?.(signal)
  if (ability === undefined || ability.able || ability.because === "off") return found
  const why = ability.why.at(-1)
  return { outcome: "unavailable", finding: unableFindings[ability.because], detail: why?.detail ?? "", report: found.report }
}

/** In the order in which servers try them; a few at a time. */
async function climbAll(question: InspectQuestion, ports: InspectPorts, endpoints: readonly Endpoint[], times: NonNullable<InspectQuestion["times"]>, signal: AbortSignal): Promise<Climb[]> {
  // What a proof rests on is waited for as long as an endpoint; and it ends before all does, so that there is something to say of it.
  const patience = deadline(ports.clock, Math.min(times.endpoint, times.total * 0.8), `what the proofs of ${question.domain} rest on`, signal)
  const materials = new Materials(question, ports, signal, patience.signal)
  const climbs: Climb[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < endpoints.length; at = next++) climbs[at] = await climb(question, ports, materials, endpoints[at] as Endpoint, times.endpoint, signal)
  }
  try {
    await Promise.all(Array.from({ length: Math.min(question.concurrency ?? usualConcurrency, endpoints.length) }, worker))
  } finally {
    patience.done()
  }
  return climbs
}

async function backwards(question: InspectQuestion, ports: InspectPorts, asking: ReverseQuestion | undefined, signal: AbortSignal): Promise<ReverseResult | null> {
  const { from, service } = question
  if (asking === undefined || service !== "xmpp-server" || from?.credentials === undefined) return null
  return await reverse(question, { domain: from.domain, credentials: from.credentials }, ports, asking, signal)
}

interface Seen {
  readonly discovery: Found
  readonly climbs: readonly Climb[]
  readonly back: ReverseResult | null
  readonly asking: ReverseQuestion | undefined
}

function resultOf(question: InspectQuestion, { discovery, climbs, back, asking }: Seen, started: Instant, now: Instant, took: number): DomainResult {
  const { domain, service, expect, from } = question
  const findings = conclude(question, discovery, climbs, back, now)
  const served = service === "xmpp-server"
  const endpoints = climbs.map((climbed, index) => endpointResult(climbed, served, index, findings))
  const there = climbs.length > 0 ? overall(climbs, expect) : withoutEndpoints(discovery)
  const { level, ok, unknown } = both(there, back, expect)
  const [first] = discovery.outcome === "endpoints" ? discovery.endpoints : []
  const proofs = summary(endpoints)
  const leftOut = leftOutOf(question, discovery)
  const telling = findings.filter(({ severity }) => severity !== "info").map(({ id }) => id as FindingId)
  return {
    domain,
    unicode: unicode(domain),
    service,
    started: rfc3339(started),
    asOf: rfc3339(question.at ?? started),
    tookMs: Math.max(0, Math.round(took)),
    asked: { from: served ? (from?.domain ?? nobodysDomain) : null, credentials: served && from?.credentials !== undefined },
    level,
    ok,
    unknown,
    discovery: {
      outcome: discovery.outcome,
      answers: discovery.report.answers.map(answerResult),
      skipped: discovery.report.skipped.map(({ target, reason, detail }) => ({ target, reason, detail })),
      leftOut,
    },
    delegation: first === undefined ? null : { derived: first.delegation.derived, secure: first.delegation.secure, via: first.delegation.via },
    proofs,
    endpoints,
    certificates: certificatesOf(climbs),
    expires: expiriesOf(discovery, climbs, proofs),
    findings,
    peersSee: served ? peersSee(telling, level) : [],
    reverse: back,
    notes: [...notesOfLimits(leftOut), ...notesOf(question, asking), ...(first !== undefined && isUnpromised(first) ? [`asked at ${first.delegation.derived} as you say; DNS does not lead others there, so that its name counts for nothing, and DANE was left out`] : [])],
  }
}

/** Not to be there is an answer, and so is what no validating server may use; not to be asked is none. */
function withoutEndpoints(found: Found): Overall {
  const unasked = found.outcome !== "endpoints" && severityOf(found.finding) === "unknown"
  return unasked ? { level: null, ok: false, unknown: true } : { level: "none", ok: false, unknown: false }
}

/** Who is waited for, and proves too little, misses the expectation as well; who does not come is not known to. */
function both(there: Overall, back: ReverseResult | null, expect: InspectQuestion["expect"]): Overall {
  if (back === null || reaches(back.level, expect)) return there
  const silent = back.state === "no-connection" || back.state === "unavailable"
  return { level: there.level, ok: false, unknown: silent && (there.ok || there.unknown) }
}

function endpointResult(climbed: Climb, served: boolean, index: number, findings: readonly ReportFinding[]): EndpointResult {
  const { level, open } = standingOf(climbed)
  const state = climbed.trouble === undefined ? "ok" : level === null && open ? "unknown" : "failed"
  return { ...endpointFacts(climbed, served), state, level, findings: findings.filter(({ endpoints }) => endpoints.includes(index)).map(({ id }) => id) }
}

const worse: readonly ProofResult["state"][] = ["untried", "offered", "proved", "absent", "unavailable", "refuted"]

/** Of each prooftype the worst of all endpoints that came far enough: what a server may meet. */
function summary(endpoints: readonly EndpointResult[]): ProofResult[] {
  const worst = new Map<string, ProofResult>()
  for (const proof of endpoints.flatMap(({ proofs }) => proofs)) {
    const known = worst.get(proof.proof)
    if (known === undefined || worse.indexOf(proof.state) > worse.indexOf(known.state)) worst.set(proof.proof, proof)
  }
  return [...worst.values()]
}

function certificatesOf(climbs: readonly Climb[]): DomainResult["certificates"] {
  const found: DomainResult["certificates"] = {}
  for (const der of climbs.flatMap(({ proof }) => proof?.chain ?? [])) {
    const print = fingerprintOf(der)
    if (Object.hasOwn(found, print)) continue
    const certificate = readCertificate(der)
    if (certificate !== undefined) found[print] = certificateResult(certificate)
  }
  return found
}

function expiriesOf({ report }: Found, climbs: readonly Climb[], proofs: readonly ProofResult[]): DomainResult["expires"] {
  const soonest = (times: readonly (number | undefined)[]): number | undefined => times.reduce((least, time) => (time === undefined || (least !== undefined && least < time) ? least : time), undefined)
  return {
    certificate: timeOf(soonest(climbs.map(({ proof }) => leafOf(proof?.chain)?.notAfter))),
    signatures: timeOf(soonest([...report.answers, ...climbs.flatMap(tlsaLookups)].map(({ signaturesUntil }) => signaturesUntil))),
    posh: proofs.find(({ proof }) => proof === "posh")?.until ?? null,
  }
}

function tlsaLookups({ proven }: Climb): DaneMaterial["tlsa"] {
  const kept = proven?.kept.find(({ prooftype }) => prooftype === "dane")
  return kept === undefined ? [] : (kept.material as DaneMaterial).tlsa
}

function leftOutOf({ family }: InspectQuestion, { report: { leftOut } }: Found): DomainResult["discovery"]["leftOut"] {
  const { targets, four, six } = leftOut
  return { addresses: family === undefined ? four + six : family === 4 ? four : six, targets }
}

function notesOfLimits({ addresses, targets }: DomainResult["discovery"]["leftOut"]): string[] {
  const parts = [...counted(addresses, "further address", "further addresses"), ...counted(targets, "further server that SRV names", "further servers that SRV names")]
  if (parts.length === 0) return []
  return [`${parts.join(" and ")} ${addresses + targets === 1 ? "was" : "were"} not looked at: that is more than one inspection takes`]
}

const counted = (count: number, one: string, many: string): string[] => (count === 0 ? [] : [`${count} ${count === 1 ? one : many}`])

function notesOf({ service, from, at }: InspectQuestion, asking: ReverseQuestion | undefined): string[] {
  const without = asking !== undefined && (service === "xmpp-client" || from?.credentials === undefined)
  const dated = at === undefined ? [] : [`certificates were judged as of ${rfc3339(at)}, DNS and DANE as of now; ends are counted from then`]
  return [...dated, ...notesOfAsking(service, from), ...(without ? ["the other direction was not looked at: that is between servers, and needs a certificate of ours"] : [])]
}

function notesOfAsking(service: InspectQuestion["service"], from: InspectQuestion["from"]): string[] {
  if (service === "xmpp-client") return ["clients' side: judged as a client would that checks certificates, without logging in"]
  if (from === undefined) return [`asked as ${nobodysDomain}, which nobody can connect back to: SASL EXTERNAL and dialback were seen, not tried`]
  if (from.credentials === undefined) return [`no certificate of ${from.domain} was at hand: SASL EXTERNAL and dialback were seen, not tried`]
  return ["dialback was not tried: only a running gateway could answer for the key"]
}
