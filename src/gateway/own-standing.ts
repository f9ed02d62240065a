// What peers will conclude about one domain of ours: discovery, then the prooftypes on the certificate that is shown, as
// somebody who connects judges and as somebody we connect to does (RFC 6120 3.2, RFC 7712 5; POSH-03, DANC-4).
import type { Resolver } from "../model/dns-answer.ts"
import type { Domain } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { Instant, Role, ServerProof, Verdict } from "../model/verdict.ts"
import type { Https, NetworkAddress, Random } from "../ports.ts"
import type { Hosting } from "../federation/contract.ts"
import { discover } from "../discovery/discover.ts"
import { type DaneLookup, type DaneMaterial, lookupFailed } from "../proof/dane-material.ts"
import type { AnyProoftype, ProofPorts, ProofSubject } from "../proof/prooftype.ts"
import { match, type Obtained, obtainAll, type Proven } from "../proof/prove.ts"
import type { TlsaLook } from "./tlsa-sights.ts"

/** One prooftype's say about us; of several servers the worst. */
export interface OwnProof {
  readonly name: string
  readonly outcome: Verdict["outcome"]
  readonly finding?: FindingId
  readonly detail: string
  readonly until?: Instant
}

export interface OwnProblem {
  readonly finding: FindingId
  readonly detail: string
  readonly sentence: string
}

/** How one of our domains stands with its peers; plain. */
export interface OwnStanding {
  readonly domain: Domain
  readonly at: Instant
  readonly proofs: readonly OwnProof[]
  /** Somebody who asks for a proof is given one at every server of the domain. */
  readonly proved: boolean
  readonly problems: readonly OwnProblem[]
}

export interface StandingQuestion {
  readonly domain: Domain
  /** DER as it is shown; undefined where there is none. */
  readonly chain: readonly Uint8Array[] | undefined
  /** A document is served here for the domain, or is meant to be. */
  readonly poshServed: boolean
  readonly hosting: Hosting
  readonly prooftypes: readonly AnyProoftype[]
  readonly resolver: Resolver
  readonly https: Https
  readonly random: Pick<Random, "fraction">
  /** Where streams are accepted. */
  readonly listening: readonly NetworkAddress[]
  readonly now: () => Instant
  readonly signal: AbortSignal
}

export interface StandingAnswer {
  readonly standing: OwnStanding
  /** What DNS promises for the certificate; undefined where a lookup failed, which is not "nothing". */
  readonly tlsa: readonly TlsaLook[] | undefined
}

const problem = (finding: FindingId, detail: string): OwnProblem => ({ finding, detail, sentence: findingSentence(finding, detail) })

/** Judges one domain of ours as its peers would. Never rejects because of the world. */
export async function ownStanding(question: StandingQuestion): Promise<StandingAnswer> {
  const { domain, chain, hosting, resolver, random, now, signal } = question
  const problems: OwnProblem[] = []
  const finish = (proofs: readonly OwnProof[], proved: boolean, tlsa: readonly TlsaLook[] | undefined): StandingAnswer => ({ standing: { domain, at: now(), proofs, proved, problems }, tlsa })
  if (chain === undefined) {
    problems.push(problem("tls.no-certificate", domain))
    return finish([], false, undefined)
  }
  // What we listen on ourselves is where peers should come to, so that it is not left out here; nothing is dialled.
  const reach = { ...hosting.reach, ownListeners: [] }
  const found = await discover({ domain, service: "xmpp-server", resolver, random, reach, signal })
  const endpoints = found.outcome === "endpoints" ? onePerServer(found.endpoints) : []
  if (found.outcome !== "endpoints") problems.push(problem(found.finding, found.detail))
  else problems.push(...elsewhere(domain, endpoints, question.listening))
  const { proven, materials } = await judgeAll(question, endpoints, chain)
  const proofs = summary(question.prooftypes, proven.map(({ verdicts }) => verdicts))
  const outgoing = proven.filter(({ role }) => role === "outgoing")
  const proved = outgoing.every(({ combined }) => combined.outcome === "proved") && proven.every(({ combined }) => combined.outcome !== "stop")
  const stops = proven.filter(({ combined }) => combined.outcome === "stop")
  if (stops.length > 0) problems.push(...stops.map(({ combined }) => problem("own.refused", `${domain}: ${said(combined.verdict)}`)))
  else if (!proved) problems.push(problem("own.no-proof", `${domain}: ${proofs.filter(({ outcome }) => outcome !== "proved").map(shortly).join("; ")}`))
  const posh = proofs.find(({ name }) => name === "posh")
  if (question.poshServed && posh !== undefined && posh.outcome !== "proved") problems.push(problem("own.posh-unpublished", `${domain}: ${posh.detail === "" ? posh.outcome : posh.detail} [${posh.finding ?? "posh"}]`))
  return finish(proofs, proved, tlsaOf(materials))
}

/** Addresses of one server differ in nothing that is judged. */
function onePerServer(endpoints: readonly Endpoint[]): Endpoint[] {
  const servers = new Map<string, Endpoint>()
  for (const endpoint of endpoints) {
    const key = `${endpoint.delegation.derived} ${endpoint.port}`
    if (!servers.has(key)) servers.set(key, endpoint)
  }
  return [...servers.values()]
}

/** CORE-03: a port that nobody of us listens at; an address proves nothing, since there may be a forwarder. */
function elsewhere(domain: Domain, endpoints: readonly Endpoint[], listening: readonly NetworkAddress[]): OwnProblem[] {
  return endpoints.flatMap(({ delegation, port }) => (listening.some((each) => each.port === port) ? [] : [problem("own.elsewhere", `${domain} leads to ${delegation.derived} port ${port}`)]))
}

interface Judged extends Proven {
  readonly role: Role
}

async function judgeAll(question: StandingQuestion, endpoints: readonly Endpoint[], chain: readonly Uint8Array[]): Promise<{ proven: Judged[]; materials: DaneMaterial[] }> {
  const { domain, hosting, prooftypes, resolver, https, now, signal } = question
  const ports: ProofPorts = { anchors: hosting.anchors, resolver, https, reach: { ...hosting.reach, ownListeners: [] }, at: now(), signal }
  const subject = (role: Role, endpoint?: Endpoint): ProofSubject => ({ source: domain, service: "xmpp-server", role, endpoint })
  // A document is the domain's, whichever server shows the certificate.
  const ofDomain = prooftypes.filter(({ name }) => name === "posh")
  const ofServer = prooftypes.filter(({ name }) => name !== "posh")
  const common = await obtainAll(ofDomain, subject("outgoing", endpoints[0]), ports)
  const subjects = endpoints.length === 0 ? [subject("outgoing")] : endpoints.map((endpoint) => subject("outgoing", endpoint))
  const proven: Judged[] = []
  const materials: DaneMaterial[] = []
  for (const each of [...subjects, subject("incoming")]) {
    const usable = each.role === "outgoing" && each.endpoint === undefined ? ofServer.filter(({ needsSecureDns }) => !needsSecureDns) : ofServer
    const obtained: Obtained[] = [...(await obtainAll(usable, each, ports)), ...common]
    const judged = match(obtained, each, proofOf(domain, chain, each.role), now())
    proven.push({ ...judged, role: each.role })
    for (const { prooftype, material } of judged.kept) if (prooftype === "dane") materials.push(material as DaneMaterial)
  }
  return { proven, materials }
}

function proofOf(domain: Domain, chain: readonly Uint8Array[], role: Role): ServerProof {
  return { chain, presentedAs: role === "outgoing" ? "tls-server" : "tls-client", protocol: "TLSv1.3", cipher: "", serverName: domain, alpn: undefined }
}

const worse: readonly Verdict["outcome"][] = ["proved", "absent", "unavailable", "refuted"]

/** The worst of each prooftype over all servers; what is for servers that connect counts where it refutes. */
function summary(prooftypes: readonly AnyProoftype[], verdicts: readonly (readonly Verdict[])[]): OwnProof[] {
  const servers = verdicts.slice(0, -1)
  const client = verdicts.at(-1) ?? []
  return prooftypes.flatMap(({ name }) => {
    const own = servers.flatMap((each) => each.filter(({ by }) => by === name))
    const clientRefuted = client.filter((each) => each.by === name && each.outcome === "refuted" && each.finding === "dane.client-mismatch")
    const [worst] = [...own, ...clientRefuted].sort((a, b) => worse.indexOf(b.outcome) - worse.indexOf(a.outcome))
    if (worst === undefined) return []
    return [{ name, outcome: worst.outcome, detail: worst.detail, ...(worst.outcome === "proved" ? { until: worst.until } : { finding: worst.finding }) }]
  })
}

function said(verdict: Verdict): string {
  return verdict.outcome === "proved" ? verdict.detail : findingSentence(verdict.finding, verdict.detail)
}

const shortly = ({ name, outcome, finding }: OwnProof): string => `${name} ${outcome}${finding === undefined ? "" : ` [${finding}]`}`

/** Everything signed DNS says about our certificates, by owner name. */
function tlsaOf(materials: readonly DaneMaterial[]): readonly TlsaLook[] | undefined {
  const looks = new Map<string, TlsaLook>()
  for (const { grounds, tlsa, at } of materials) {
    if ([...grounds, ...tlsa].some(lookupFailed)) return undefined
    for (const lookup of tlsa) if (lookup.status === "secure" && lookup.records.length > 0) looks.set(lookup.name, lookOf(lookup, at))
  }
  return [...looks.values()]
}

function lookOf({ name, base, records, until }: DaneLookup, at: Instant): TlsaLook {
  return { name, base, records, ttlMs: Math.max(0, until - at) }
}
