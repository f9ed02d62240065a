// The prooftype DANE (RFC 7673, RFC 7671, RFC 6698): a certificate or key that signed DNS promises. Outgoing by
// the status table of RFC 7673 3, incoming by DANC-4 to DANC-8. Everything DNS said is material; matching is pure.
import type { DnsAnswer, Resolver, SrvRecord, TlsaRecord } from "../model/dns-answer.ts"
import { type Domain, tryDomain } from "../model/domain.ts"
import { type DnsGround, type Endpoint, groundOf } from "../model/endpoint.ts"
import type { EvidenceFact } from "../model/evidence.ts"
import type { FindingId } from "../model/findings.ts"
import type { AcceptedIdentity, Instant, ReferenceIdentity, Role, ServerProof, Verdict } from "../model/verdict.ts"
import {
  ageing,
  clientTlsaName,
  type DaneEndpoint,
  type DaneLookup,
  type DaneMaterial,
  defaultPort,
  lookupFailed,
  mostServers,
  mostTlsaRecords,
  recordDane,
  reviveDane,
  serverTlsaName,
  srvNames,
} from "./dane-material.ts"
import { groundKey, validatedAgain } from "./dane-signed.ts"
import type { ProofPorts, ProofSubject, Prooftype, RecordedWay } from "./prooftype.ts"
import { defaultTlsaPolicy, matchTlsa, selectTlsa, tlsaParameters, tlsaUsage, type TlsaMatch, type TlsaPolicy, type UsableTlsa } from "./tlsa.ts"

export type { DaneLookup, DaneMaterial } from "./dane-material.ts"

/** An evidence file may be judged with a clock a little behind the one that recorded it. */
const clockSlack = 300_000

// Obtaining.

async function lookUp(resolver: Resolver, of: DaneLookup["of"], base: Domain, port: number | null, name: string, signal: AbortSignal): Promise<DaneLookup> {
  const answer = await resolver.resolve(name, "TLSA", { signal })
  const lookup = { ...groundOf(answer), of, base, port }
  if (answer.records.length > mostTlsaRecords) {
    return { ...lookup, outcome: "failure", records: [], problem: `${answer.records.length} records; ${mostTlsaRecords} are the most` }
  }
  if (!lookupFailed(answer)) return { ...lookup, records: answer.records, problem: null }
  // Whatever records came with a failure are none.
  return { ...lookup, outcome: "failure", records: [], problem: (answer.why.at(-1)?.detail ?? answer.status).slice(0, 500) }
}

function endpointOf({ delegation, port, addressStatus, grounds = [] }: Endpoint): DaneEndpoint {
  const addresses = grounds.filter(({ type }) => type === "A" || type === "AAAA")
  const secure = addresses.some(({ status, outcome }) => status === "secure" && outcome === "data")
  return {
    via: delegation.via,
    target: delegation.derived,
    port,
    // POSH delegates nothing (security.md 5), so what is not DNS is the operator's word.
    delegation: delegation.because === "https" ? "insecure" : delegation.because,
    addresses: addresses.length === 0 ? addressStatus : secure ? "secure" : addressStatus === "secure" ? "insecure" : addressStatus,
  }
}

/** Whether DANE applies before any TLSA record is seen: SRV (or its absence) and addresses are secure (DANE-03, DANE-05). */
function applies({ delegation, addresses }: DaneEndpoint): boolean {
  return (delegation === "secure" || delegation === "configured") && addresses === "secure"
}

/** Bases in the order of DANE-08: where the target is an alias, first the name at its end, then the target, none between. */
function basesOf({ target }: DaneEndpoint, grounds: readonly DnsGround[]): Domain[] {
  const address = grounds.find(({ type, status, outcome }) => type !== "SRV" && status === "secure" && outcome === "data")
  const expanded = address === undefined ? undefined : tryDomain(address.canonical)
  return expanded === undefined || expanded === target ? [target] : [expanded, target]
}

async function askForEndpoint(endpoint: DaneEndpoint, grounds: readonly DnsGround[], { resolver, signal }: ProofPorts): Promise<DaneLookup[]> {
  // DANE-05: where addresses are not secure, TLSA is not even asked for.
  if (!applies(endpoint)) return []
  const lookups: DaneLookup[] = []
  for (const base of basesOf(endpoint, grounds)) {
    const lookup = await lookUp(resolver, "server", base, endpoint.port, serverTlsaName(base, endpoint.port), signal)
    lookups.push(lookup)
    // A promise, or a failure that may hide one, ends the search.
    if (lookupFailed(lookup) || (lookup.status === "secure" && lookup.records.length > 0)) break
  }
  return lookups
}

/** DANC-4: what the domain promises for its own connections, else what it promises for the servers its signed SRV names. */
async function askForSender({ source, service }: ProofSubject, { resolver, signal }: ProofPorts): Promise<Pick<DaneMaterial, "grounds" | "tlsa">> {
  const [plainName, directName] = srvNames(source, service)
  const [client, plain, direct] = await Promise.all([
    lookUp(resolver, "client", source, null, clientTlsaName(source, service), signal),
    resolver.resolve(plainName, "SRV", { signal }),
    resolver.resolve(directName, "SRV", { signal }),
  ])
  const grounds = [groundOf(plain), groundOf(direct)]
  const servers = lookupFailed(client) ? [] : serversOf(source, defaultPort(service), plain, direct)
  const tlsa = await Promise.all(servers.map(({ base, port }) => lookUp(resolver, "server", base, port, serverTlsaName(base, port), signal)))
  return { grounds, tlsa: [client, ...tlsa] }
}

function serversOf(source: Domain, port: number, plain: DnsAnswer<SrvRecord>, direct: DnsAnswer<SrvRecord>): { base: Domain; port: number }[] {
  if (srvFailure([groundOf(plain), groundOf(direct)]) !== undefined) return []
  // security.md 6: without SRV the domain's own port counts only where the absence is proven.
  if ([plain, direct].every(({ status, outcome }) => status === "secure" && outcome !== "data")) return [{ base: source, port }]
  const records = [plain, direct].flatMap((answer) => (answer.status === "secure" ? answer.records : []))
  const servers = new Map<string, { base: Domain; port: number }>()
  for (const record of [...records].sort((one, two) => one.priority - two.priority || two.weight - one.weight)) {
    // DANC-5: a target "." says that this service is not there, and nothing about the other one.
    const base = record.target === "." ? undefined : tryDomain(record.target)
    if (base !== undefined && record.port !== 0 && servers.size < mostServers) servers.set(`${base} ${record.port}`, { base, port: record.port })
  }
  return [...servers.values()]
}

/** security.md 7: a failed `_xmpps-server` counts as empty only beside an insecure `_xmpp-server` with records. */
function srvFailure([plain, direct]: readonly DnsGround[]): DnsGround | undefined {
  if (plain === undefined || direct === undefined) return undefined
  if (lookupFailed(plain)) return plain
  return lookupFailed(direct) && !(plain.status === "insecure" && plain.outcome === "data") ? direct : undefined
}

// Judging.

interface RecordSet {
  readonly lookup: DaneLookup
  readonly usable: readonly UsableTlsa[]
}

type Standing =
  /** DANE says nothing here. `promised`: there are records all the same, so TLS is promised (DANE-33). */
  | { readonly kind: "none"; readonly finding: FindingId; readonly detail: string; readonly promised: boolean }
  | { readonly kind: "failed"; readonly finding: FindingId; readonly detail: string }
  | { readonly kind: "records"; readonly sets: readonly RecordSet[]; readonly failed: DaneLookup | undefined }

const none = (finding: FindingId, detail: string, promised = false): Standing => ({ kind: "none", finding, detail, promised })

function failedLookup(lookup: DnsGround & { readonly problem?: string | null }): Standing {
  const detail = `${lookup.name} ${lookup.type}: ${lookup.problem ?? lookup.status}`
  if (lookup.type !== "TLSA") return { kind: "failed", finding: lookup.status === "bogus" ? "dns.bogus" : "dns.servfail", detail }
  return { kind: "failed", finding: lookup.status === "bogus" ? "dane.tlsa-bogus" : "dane.tlsa-failed", detail }
}

/** The status table of RFC 7673 3, from SRV over addresses to TLSA. */
function standingOutgoing({ source, endpoint, tlsa, policy }: DaneMaterial): Standing {
  if (endpoint === null) return none("dane.not-signed", `${source} leads elsewhere now`)
  const { via, delegation, target, addresses } = endpoint
  // DANE-03, DANE-35, DANE-36; security.md 6: an absence of SRV that is not proven is no absence.
  if (delegation !== "secure" && delegation !== "configured") {
    return none("dane.not-signed", via === "fallback" ? `it is not proven that ${source} has no SRV records` : `the SRV records of ${source} are ${delegation}`)
  }
  if (addresses !== "secure") return none("dane.not-signed", `the addresses of ${target} are ${addresses}`)
  if (tlsa.length === 0) return none("dane.no-tlsa", `${target} was not asked about`)
  for (const lookup of tlsa) {
    // DANE-11: a lookup that failed may hide a promise.
    if (lookupFailed(lookup)) return failedLookup(lookup)
    // DANE-12: insecure, or none: as if there were none.
    if (lookup.status !== "secure" || lookup.records.length === 0) continue
    const { usable, unusable } = selectTlsa(lookup.records, policy)
    if (usable.length > 0) return { kind: "records", sets: [{ lookup, usable }], failed: undefined }
    return none("dane.unusable", `${lookup.name}: ${unusable.slice(0, 4).map(({ record, reason }) => `${tlsaParameters(record)} (${reason})`).join(", ")}`, true)
  }
  return none("dane.no-tlsa", tlsa.map(({ name, status, outcome }) => `${name}: ${outcome}, ${status}`).join("; "))
}

function standingIncoming({ source, grounds, tlsa, policy }: DaneMaterial): Standing {
  const sets: RecordSet[] = []
  let failed: DaneLookup | undefined
  let published = false
  for (const lookup of tlsa) {
    if (lookupFailed(lookup)) {
      // DANC-5: a failure is not taken for "nothing found"; what it may hide binds (security.md 4).
      if (lookup.of === "client") return failedLookup(lookup)
      failed ??= lookup
      continue
    }
    if (lookup.status !== "secure" || lookup.records.length === 0) continue
    published = true
    const { usable } = selectTlsa(lookup.records, policy)
    if (usable.length === 0) continue
    sets.push({ lookup, usable })
    // What is promised for connections of its own outweighs what is promised for its servers.
    if (lookup.of === "client") return { kind: "records", sets, failed: undefined }
  }
  const srv = srvFailure(grounds)
  if (srv !== undefined) return failedLookup(srv)
  if (sets.length > 0) return { kind: "records", sets, failed }
  if (failed !== undefined) return failedLookup(failed)
  if (published) return none("dane.unusable", source)
  const signed = grounds.some(({ status }) => status === "secure")
  return signed ? none("dane.no-tlsa", source) : none("dane.not-signed", `the SRV records of ${source} are not signed`)
}

function standing(material: DaneMaterial): Standing {
  return material.role === "outgoing" ? standingOutgoing(material) : standingIncoming(material)
}

/** The names that a record set of this base accepts in a certificate: what was asked for, and where DNS securely led. */
function accepted(reference: ReferenceIdentity, material: DaneMaterial, { base, of }: DaneLookup): readonly AcceptedIdentity[] {
  const own = reference.accept.filter(({ because }) => because === "source")
  // DANC-3: what a domain promises for its own connections names the domain itself.
  if (of === "client") return own
  const target = material.endpoint?.target ?? base
  const reached = [...new Set([base, target])].filter((name) => name !== material.source)
  return [
    ...own,
    ...reached.flatMap((name): AcceptedIdentity[] => [
      { type: "DNS-ID", value: name, because: "secure-delegation" },
      { type: "SRV-ID", value: `_${material.service}.${name}`, because: "secure-delegation" },
    ]),
  ]
}

const mismatchFinding = { name: "dane.name-mismatch", chain: "dane.chain", mismatch: "dane.mismatch" } as const satisfies Record<string, FindingId>

function judgeSets(proof: ServerProof, material: DaneMaterial, reference: ReferenceIdentity, at: Instant, sets: readonly RecordSet[], failed: DaneLookup | undefined): Verdict {
  const by = "dane"
  const results: { readonly lookup: DaneLookup; readonly result: TlsaMatch }[] = []
  for (const { lookup, usable } of sets) {
    const result = matchTlsa(usable, { chain: proof.chain, accept: accepted(reference, material, lookup), at, anchors: material.anchors })
    if (result.matched) return { outcome: "proved", by, detail: `${result.detail} at ${lookup.name}`, until: Math.min(result.until, ageing(material).until) }
    results.push({ lookup, result })
  }
  // Among several servers the one we do not know about may be the right one.
  if (failed !== undefined) {
    const { finding, detail } = failedLookup(failed) as Extract<Standing, { kind: "failed" }>
    return { outcome: "unavailable", by, finding, detail }
  }
  const told = results[0] as (typeof results)[number]
  const { reason, detail } = told.result as Extract<TlsaMatch, { matched: false }>
  const finding = material.role === "outgoing" ? mismatchFinding[reason] : told.lookup.of === "client" ? "dane.client-mismatch" : "dane.other-key"
  return { outcome: "refuted", by, finding, detail: `${told.lookup.name}: ${detail}` }
}

function matchDane(proof: ServerProof, material: DaneMaterial, reference: ReferenceIdentity, at: Instant): Verdict {
  const by = "dane"
  // One domain's records never vouch for another, nor a server's for a client.
  if (material.source !== reference.source || material.service !== reference.service || (proof.presentedAs === "tls-server") !== (material.role === "outgoing")) {
    return { outcome: "unavailable", by, finding: "proof.internal", detail: `the material is about ${material.source}, ${material.role}` }
  }
  if (at >= ageing(material).until || at < material.at - clockSlack) return { outcome: "unavailable", by, finding: "dane.too-old", detail: "" }
  const found = standing(material)
  if (found.kind === "none") return { outcome: "absent", by, finding: found.finding, detail: found.detail }
  if (found.kind === "failed") return { outcome: "unavailable", by, finding: found.finding, detail: found.detail }
  if (material.role === "incoming" && proof.chain.length === 0) return { outcome: "absent", by, finding: "cert.none-shown", detail: "" }
  return judgeSets(proof, material, reference, at, found.sets, found.failed)
}

/**
 * DANE-10, DANE-11, DANC-6; security.md 4. Outgoing, records bind, and so does a lookup that may hide them; incoming, only
 * what the domain promises for its own connections: what it promises for its servers says nothing about other keys.
 */
function binds(material: DaneMaterial, role: Role): boolean {
  const found = standing(material)
  if (found.kind === "none") return false
  if (role === "outgoing") return true
  return found.kind === "records" && found.sets.some(({ lookup }) => lookup.of === "client")
}

/** security.md 13: signed DNS leads here, or says where the domain's servers are, and denies every TLSA record that could count. */
function withdrawn(material: DaneMaterial): boolean {
  const { role, endpoint, grounds, tlsa } = material
  const signed = role === "outgoing" ? endpoint?.delegation === "secure" : grounds.length > 0 && grounds.every(({ status }) => status === "secure")
  return signed && tlsa.length > 0 && tlsa.every((lookup) => lookup.status === "secure" && !lookupFailed(lookup) && lookup.records.length === 0)
}

function factOf(ground: DnsGround, signed: readonly string[] = [], records?: readonly TlsaRecord[]): EvidenceFact {
  // security.md 16: by another's word nothing is called secure here.
  const status = ground.validatedBy === "self" ? ground.status : `called ${ground.status} by ${ground.validatedBy}`
  const what = records === undefined || records.length === 0 ? ground.outcome : records.slice(0, 8).map(tlsaParameters).join(", ")
  return { fact: `DNS: ${ground.name} ${ground.type} ${what}, ${status}`, mark: signed.includes(groundKey(ground)) ? "signed" : "attested" }
}

/** No DNS answer stands behind it: whoever judges has to believe the configuration. */
function configuredFact(source: Domain, endpoint: DaneMaterial["endpoint"]): readonly EvidenceFact[] {
  return endpoint?.via === "operator" ? [{ fact: `the operator's configuration sends ${source} to ${endpoint.target} port ${endpoint.port}`, mark: "attested" }] : []
}

/** Where SRV, or whoever configured it, led: other proofs may take the target's name for it (ID-12, DANE-13). */
function wayOf({ tlsa: _, ...material }: DaneMaterial): RecordedWay | undefined {
  const { source, service, endpoint, grounds, at, signed } = material
  if (endpoint === null) return undefined
  const { target, port, delegation, via } = endpoint
  const srv = grounds.filter(({ type }) => type === "SRV")
  const checked = srv.every((ground) => signed?.includes(groundKey(ground)) === true)
  const led: EvidenceFact = { fact: `DNS: ${source} leads to ${target} port ${port}`, mark: checked ? "signed" : "attested" }
  return {
    service,
    delegation: { source, derived: target, secure: delegation === "secure" || delegation === "configured" },
    from: at,
    until: ageing({ ...material, tlsa: [] }).until,
    facts: via === "operator" ? configuredFact(source, endpoint) : [led, ...srv.map((ground) => factOf(ground, signed))],
  }
}

/**
 * The prooftype with a policy of its own, for instance with usages 1 and 0.
 *
 * @param policy of TLSA records; recorded with the material
 */
export function createDane(policy: TlsaPolicy = defaultTlsaPolicy): Prooftype<"dane", DaneMaterial> {
  const needsAnchors = policy.usages.includes(tlsaUsage.pkixEe) || policy.usages.includes(tlsaUsage.pkixTa)
  return {
    name: "dane",
    atHand: false,
    needsSecureDns: true,
    match: matchDane,
    binding: binds,
    ageing,
    withdrawn,
    withAnchors: (material, anchors) => (material.anchors === undefined || material.anchors.digest === anchors.digest ? material : { ...material, anchors }),
    record: recordDane,
    revive(recorded, anchors, dnsAnchors = []) {
      const revived = reviveDane(recorded, anchors)
      return "cannotJudge" in revived ? revived : validatedAgain(revived.material, dnsAnchors)
    },

    async obtain(subject, ports) {
      const { role, source, service } = subject
      const common = { role, source, service, at: ports.at, policy, anchors: needsAnchors ? ports.anchors : undefined }
      if (role === "incoming") return { ...common, endpoint: null, ...(await askForSender(subject, ports)) }
      if (subject.endpoint === undefined) return { ...common, endpoint: null, grounds: [], tlsa: [] }
      const grounds = subject.endpoint.grounds ?? []
      const endpoint = endpointOf(subject.endpoint)
      return { ...common, endpoint, grounds, tlsa: await askForEndpoint(endpoint, grounds, ports) }
    },

    terms(material) {
      const found = material.role === "outgoing" ? standing(material) : undefined
      if (found?.kind === "failed") return { forbidden: { finding: found.finding, detail: found.detail }, tls: true }
      return { tls: found?.kind === "records" || (found?.kind === "none" && found.promised) }
    },

    facts: ({ endpoint, grounds, tlsa }) => [
      ...(endpoint === null ? [] : [["target", `${endpoint.target} port ${endpoint.port}, ${endpoint.delegation}`] as const]),
      ...grounds.map(({ name, type, status }) => [`${name} ${type}`, status] as const),
      ...tlsa.map(({ name, status, records, problem }) => [`${name} TLSA`, `${status}${problem === null ? "" : `, ${problem}`}${records.slice(0, 16).map((record) => `; ${tlsaParameters(record)} ${record.association.slice(0, 128)}`).join("")}`] as const),
    ],

    since: ({ at }) => at,

    way: wayOf,

    rests: ({ source, endpoint, grounds, tlsa, signed }) => [
      ...configuredFact(source, endpoint),
      ...grounds.map((ground) => factOf(ground, signed)),
      ...tlsa.map((lookup) => factOf(lookup, signed, lookup.records)),
    ],
  }
}

export const dane = createDane()
