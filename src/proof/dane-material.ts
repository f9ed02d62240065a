// What DNS said for DANE, as data: how long it may be judged with, and its form in evidence (RFC 7673 3, RFC 6698 8.2;
// security.md 10, 11, 25). Pure.
import type { DnsOutcome, DnsStatus, RecordType, TlsaRecord } from "../model/dns-answer.ts"
import type { Domain } from "../model/domain.ts"
import type { Delegation, DnsGround } from "../model/endpoint.ts"
import type { Instant, Role, Service } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { domain, type Fields, fields, list, number, revived, text, word, wrong } from "./recorded.ts"
import { defaultTlsaPolicy, type TlsaPolicy } from "./tlsa.ts"

/** One TLSA lookup with its records. */
export interface DaneLookup extends DnsGround {
  /** `server`: of what listens at a port of `base`; `client`: of what the domain shows when it connects (DANC-4). */
  readonly of: "server" | "client"
  /** The TLSA base domain, which an alias of the record's owner does not change (DANE-09). */
  readonly base: Domain
  /** null for `client`. */
  readonly port: number | null
  readonly records: readonly TlsaRecord[]
  /** Why it failed, where it did. */
  readonly problem: string | null
}

/** Where an outgoing stream goes, and what DNS vouched for on the way there. */
export interface DaneEndpoint {
  readonly via: Delegation["via"]
  readonly target: Domain
  readonly port: number
  /** Of the SRV answer, or of its absence. */
  readonly delegation: DnsStatus | "configured"
  /** Of the target's addresses: secure where any of them is (DANE-05). */
  readonly addresses: DnsStatus
}

export interface DaneMaterial {
  readonly role: Role
  readonly source: Domain
  readonly service: Service
  /** When it was asked for, ms since 1970. */
  readonly at: Instant
  readonly policy: TlsaPolicy
  /** null for incoming streams, and where the domain leads elsewhere now. */
  readonly endpoint: DaneEndpoint | null
  /** SRV and address answers, without records. */
  readonly grounds: readonly DnsGround[]
  readonly tlsa: readonly DaneLookup[]
  /** For usages 0 and 1 only. */
  readonly anchors: AnchorSet | undefined
  /** Of recorded material: the answers whose signatures were checked again here, as `NAME TYPE` (security.md 25). */
  readonly signed?: readonly string[]
}

/** Records of one TLSA answer that are looked at; an answer with more is a failed one. */
export const mostTlsaRecords = 256
/** Servers of one domain whose TLSA is asked for when that domain connects to us. */
export const mostServers = 8
/** security.md 11: nothing is asked for again sooner, whatever the TTL says. */
export const shortestRest = 3_600_000
/** Time in which asking again may succeed before the old answer ends. */
const renewalTime = 900_000
/** An answer whose signatures' end is unknown is used up to its TTL, or for as long as a negotiation takes. */
const withoutSignatures = 60_000

/** Bogus, SERVFAIL, silence and nonsense (RFC 4035 4.3 sense of indeterminate); no records is not among them (DANE-11). */
export function lookupFailed(ground: { readonly status: DnsStatus; readonly outcome: DnsOutcome }): boolean {
  return ground.outcome === "failure" || ground.status === "bogus" || ground.status === "indeterminate"
}

function endOf(ground: DnsGround, at: Instant): Instant {
  if (lookupFailed(ground)) return at + withoutSignatures
  if (ground.signaturesUntil === undefined && ground.status === "secure") return Math.max(ground.until, at + withoutSignatures)
  return Math.min(Math.max(ground.until, at + shortestRest + renewalTime), ground.signaturesUntil ?? Number.POSITIVE_INFINITY)
}

/**
 * Until when the material may be judged with, and from when on it should be asked for again (DANE-30; security.md 10, 11):
 * hourly at most, and never beyond the first signature's end.
 */
export function ageing(material: DaneMaterial): { readonly from: Instant; readonly until: Instant } {
  const { at } = material
  // Addresses led to the peer and have done their work; what was delegated and what was promised must go on holding.
  const grounds = [...material.grounds.filter(({ type }) => type === "SRV"), ...material.tlsa]
  // Where nothing was asked there is no TTL to go by; it is looked for again all the same: what led elsewhere may lead back.
  const longest = grounds.length === 0 ? shortestRest + renewalTime : 7 * 24 * 3_600_000
  const until = Math.min(at + longest, ...grounds.map((ground) => endOf(ground, at)))
  const from = Math.max(at + shortestRest, until - renewalTime)
  return { from: from < until ? from : at + Math.max(Math.floor(((until - at) * 3) / 4), 1000), until }
}

/** The material as JSON; anchors by digest only. */
export function recordDane({ anchors, signed: _, ...material }: DaneMaterial): unknown {
  return { ...material, anchors: anchors === undefined ? null : { digest: anchors.digest, count: anchors.count } }
}

/** Reads recorded material; whatever does not fit together is not judged. */
export function reviveDane(recorded: unknown, known: ReadonlyMap<string, AnchorSet>): { material: DaneMaterial } | { cannotJudge: string } {
  return revived("dane", () => read(recorded, known))
}

/** Of names and reasons, in characters. */
const longestText = 2048
const statuses: readonly DnsStatus[] = ["secure", "insecure", "bogus", "indeterminate"]
const outcomes: readonly DnsOutcome[] = ["data", "no-data", "name-error", "failure"]
const instant = Number.MAX_SAFE_INTEGER

function read(recorded: unknown, known: ReadonlyMap<string, AnchorSet>): DaneMaterial {
  const from = fields(recorded, "it")
  const role = word(from["role"], ["outgoing", "incoming"] as const, "role")
  const source = domain(from["source"], longestText, "source")
  const service = word(from["service"], ["xmpp-server", "xmpp-client"] as const, "service")
  const endpoint = from["endpoint"] === null ? null : readEndpoint(from["endpoint"])
  if (role === "incoming" && endpoint !== null) wrong("an incoming stream has no endpoint of ours")
  const grounds = list(from["grounds"], 8, "grounds").map((value, index) => readGround(fields(value, `grounds[${index}]`), `grounds[${index}]`))
  const material: DaneMaterial = {
    role,
    source,
    service,
    at: number(from["at"], instant, "at"),
    policy: readPolicy(from["policy"]),
    endpoint,
    grounds,
    tlsa: list(from["tlsa"], mostServers + 2, "tlsa").map((value, index) => readLookup(value, `tlsa[${index}]`)),
    anchors: readAnchors(from["anchors"], known),
  }
  checkNames(material)
  return material
}

function readEndpoint(value: unknown): DaneEndpoint {
  const from = fields(value, "endpoint")
  return {
    via: word(from["via"], ["srv", "fallback", "operator"] as const, "endpoint.via"),
    target: domain(from["target"], longestText, "endpoint.target"),
    port: number(from["port"], 65_535, "endpoint.port"),
    delegation: word(from["delegation"], [...statuses, "configured" as const], "endpoint.delegation"),
    addresses: word(from["addresses"], statuses, "endpoint.addresses"),
  }
}

function readGround(from: Fields, what: string): DnsGround {
  const validatedBy = text(from["validatedBy"], longestText, `${what}.validatedBy`)
  if (validatedBy !== "self" && !validatedBy.startsWith("resolver ")) wrong(`${what}.validatedBy names nobody`)
  const signaturesUntil = from["signaturesUntil"]
  const wire = from["wire"]
  return {
    name: text(from["name"], longestText, `${what}.name`),
    type: word<RecordType>(from["type"], ["SRV", "A", "AAAA", "TLSA"], `${what}.type`),
    status: word(from["status"], statuses, `${what}.status`),
    outcome: word(from["outcome"], outcomes, `${what}.outcome`),
    canonical: text(from["canonical"], longestText, `${what}.canonical`),
    validatedBy: validatedBy as DnsGround["validatedBy"],
    until: number(from["until"], instant, `${what}.until`),
    ...(signaturesUntil === undefined ? {} : { signaturesUntil: number(signaturesUntil, instant, `${what}.signaturesUntil`) }),
    ...(wire === undefined ? {} : { wire: list(wire, 128, `${what}.wire`).map((part) => (typeof part === "string" ? part : wrong(`${what}.wire holds no texts`))) }),
  }
}

function readLookup(value: unknown, what: string): DaneLookup {
  const from = fields(value, what)
  const problem = from["problem"]
  return {
    ...readGround(from, what),
    of: word(from["of"], ["server", "client"] as const, `${what}.of`),
    base: domain(from["base"], longestText, `${what}.base`),
    port: from["port"] === null ? null : number(from["port"], 65_535, `${what}.port`),
    records: list(from["records"], mostTlsaRecords, `${what}.records`).map((each, index) => readRecord(each, `${what}.records[${index}]`)),
    problem: problem === null ? null : text(problem, longestText, `${what}.problem`),
  }
}

function readRecord(value: unknown, what: string): TlsaRecord {
  const from = fields(value, what)
  const association = from["association"]
  if (typeof association !== "string" || association.length > 131_072) wrong(`${what}.association is not a text`)
  return {
    usage: number(from["usage"], 255, `${what}.usage`),
    selector: number(from["selector"], 255, `${what}.selector`),
    matching: number(from["matching"], 255, `${what}.matching`),
    association: association as string,
  }
}

function readPolicy(value: unknown): TlsaPolicy {
  const from = fields(value, "policy")
  const numbers = (which: string): number[] => list(from[which], 4, `policy.${which}`).map((each) => number(each, 3, `policy.${which}`))
  const policy = { usages: numbers("usages"), digests: numbers("digests") }
  // A judge reads with digests it knows, whatever the file says.
  if (policy.digests.some((matching) => !defaultTlsaPolicy.digests.includes(matching))) wrong("policy.digests has an unknown digest")
  return policy
}

function readAnchors(value: unknown, known: ReadonlyMap<string, AnchorSet>): AnchorSet | undefined {
  if (value === null) return undefined
  const digest = text(fields(value, "anchors")["digest"], longestText, "anchors.digest")
  return known.get(digest) ?? wrong(`the trust anchors ${digest.slice(0, 16)}… are not known here; name their file with --anchors`)
}

/** Owner name of the record for a port of a host (RFC 6698 3; DANE-07). */
export function serverTlsaName(base: string, port: number): string {
  return `_${port}._tcp.${base}`
}

/** Owner name of the record for what a domain shows when it connects (DANC-4). */
export function clientTlsaName(source: Domain, service: Service): string {
  return `_${service}.${source}`
}

export function srvNames(source: Domain, service: Service): readonly [starttls: string, directTls: string] {
  return [`_${service}._tcp.${source}`, `_${service.replace("xmpp", "xmpps")}._tcp.${source}`]
}

const weakness: readonly DnsStatus[] = ["secure", "insecure", "indeterminate", "bogus"]

/** Where servers of a domain without SRV listen (CORE-03). */
export const defaultPort = (service: Service): number => (service === "xmpp-server" ? 5269 : 5222)

/** A server of the domain that connects to us is one that signed SRV names, or the domain itself where that proves empty. */
function ledTo({ base, port }: DaneLookup, source: Domain, service: Service, answered: readonly DnsGround[]): boolean {
  if (answered.some(({ status, outcome }) => status === "secure" && outcome === "data")) return true
  return base === source && port === defaultPort(service) && answered.every(({ status, outcome }) => status === "secure" && outcome !== "data")
}

/** An answer about one name must not stand for another: names follow from source and endpoint. */
function checkNames({ role, source, service, endpoint, grounds, tlsa }: DaneMaterial): void {
  const services: readonly string[] = srvNames(source, service)
  // Of two answers to one question the signed one would vouch for the other (security.md 25).
  const questions = [...grounds, ...tlsa].map(({ name, type }) => `${name} ${type}`)
  if (new Set(questions).size !== questions.length) wrong("it answers one question twice")
  for (const { name, type, canonical } of grounds) {
    if (type === "SRV" ? !services.includes(name) : endpoint === null || name !== endpoint.target) wrong(`${name} ${type} is not about ${source}`)
    if (canonical === "") wrong(`${name} ${type} leads nowhere`)
  }
  const answered = grounds.filter(({ type }) => type === "SRV")
  if (role === "incoming" && (answered.length !== 2 || answered.some(({ name }, index) => name !== services[index]))) wrong("an incoming stream rests on both SRV answers")
  if (endpoint?.via === "srv" && answered.some(({ outcome }) => outcome !== "data")) wrong("no SRV record led to the endpoint")
  if (endpoint?.via === "fallback" && (answered.length !== 2 || answered.some(({ outcome }) => outcome === "data"))) wrong("both SRV answers must be empty for the domain's own addresses")
  if (endpoint !== null) {
    const srv = answered.map(({ status }) => status)
    const weakest = weakness[Math.max(...srv.map((status) => weakness.indexOf(status)))]
    if (endpoint.via === "operator" ? endpoint.delegation !== "configured" : endpoint.delegation !== weakest) wrong("endpoint.delegation is not what the SRV answers say")
    const secure = grounds.some(({ type, status, outcome }) => type !== "SRV" && status === "secure" && outcome === "data")
    if ((endpoint.addresses === "secure") !== secure) wrong("endpoint.addresses is not what the address answers say")
    if (endpoint.via === "fallback" && (endpoint.target !== source || endpoint.port !== defaultPort(service))) wrong("without SRV the target is the domain itself at its usual port")
  }
  const bases = endpoint === null ? [] : [endpoint.target, ...grounds.filter(({ type, status }) => type !== "SRV" && status === "secure").map(({ canonical }) => canonical)]
  for (const lookup of tlsa) {
    const client = lookup.of === "client"
    const failed = lookupFailed(lookup)
    if ((lookup.outcome === "data") !== lookup.records.length > 0 || failed !== (lookup.problem !== null) || (failed && lookup.records.length > 0)) {
      wrong(`${lookup.name} has records and an outcome that do not fit`)
    }
    if (role === "incoming" && !client && !ledTo(lookup, source, service, answered)) wrong(`no secure SRV answer leads to ${lookup.name}`)
    const wanted = client ? clientTlsaName(source, service) : serverTlsaName(lookup.base, lookup.port ?? wrong("a lookup for a server has no port"))
    if (lookup.type !== "TLSA" || lookup.name !== wanted) wrong(`${lookup.name} is not where the records for ${lookup.base} are`)
    if (client && (role !== "incoming" || lookup.base !== source || lookup.port !== null)) wrong("records for clients belong to incoming streams of the domain")
    if (role === "outgoing" && (endpoint === null || lookup.port !== endpoint.port || !bases.includes(lookup.base))) wrong(`${lookup.name} is not about the endpoint`)
  }
}
