// Whether a stream may carry a further pair of ours: assertion and supposition (RFC 7712 4.4.1, 4.4.2; N13; DB-31, DB-32), and
// the way back on an accepted stream (XEP-0288; BIDI-4, BIDI-5; security.md 3). One decision, and the judgement behind it.
import type { Association, DomainPair } from "../model/association.ts"
import type { Endpoint } from "../model/endpoint.ts"
import { shortfall } from "../model/policy.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { TlsCredentials } from "../ports.ts"
import type { Discovery } from "../discovery/discover.ts"
import type { PeerLimits } from "../stream/limits.ts"
import { match, obtainFor, termsOf } from "../proof/prove.ts"
import { evidenceFor, proofPorts, subjectOf } from "./claims.ts"
import { type Federation, type Hosting, usesOf } from "./contract.ts"
import { proofFor } from "./exchange.ts"
import { requirementOf } from "./ratchet.ts"

/** What a stream is, as far as it matters for further pairs. */
export interface CarrierFacts {
  /** Our name of it. */
  readonly name: string
  readonly role: "initiated" | "accepted"
  /** Of the latest response header, whoever sent it: what keys are made of (DB-12). */
  readonly id: string
  readonly epoch: number
  /** The peer advertised dialback errors; on a stream that it opened it cannot. */
  readonly errors: boolean
  /** The certificate of ours that the peer was shown. */
  readonly credentials: TlsCredentials | undefined
  /** What the peer showed; undefined without TLS. */
  readonly proof: ServerProof | undefined
  /** Where it was connected to; undefined for an accepted stream. */
  readonly endpoint: Endpoint | undefined
  /** What the peer says it accepts (XEP-0478). */
  readonly limits?: PeerLimits
}

/** What is proven on the stream already that matters for the pair. */
export interface Standing {
  /** A pair of ours with the same target that carries stanzas. */
  readonly basis: Association | undefined
  /** An accepted stream: the target as sender, which we answered `valid` or `<success/>`. */
  readonly peer: Association | undefined
  /** An accepted stream: the very pair in the other direction was asked for and granted. */
  readonly inverse: boolean
  /** The target is remembered to advertise dialback errors. */
  readonly errors?: boolean | undefined
  /** What the peer is remembered to have refused or never answered. */
  readonly refuses?: ((way: "assertion" | "supposition") => boolean) | undefined
}

export type Carry =
  /** Nothing needs to be asked: the peer asked for the way back (BIDI-4). */
  | { readonly how: "inverse"; readonly peer: Association }
  /** A further sender of ours to a target that is proven (seed 6.1). */
  | { readonly how: "assertion"; readonly basis: Association }
  /** A further sender of ours on an accepted stream (BIDI-5). */
  | { readonly how: "assertion-back"; readonly peer: Association }
  /** A further target, which has to be proven first (seed 6.2). */
  | { readonly how: "supposition" }
  | { readonly how: "not"; readonly why: string }

/** Pure. What `not` says is for logs and tests; the pair then gets a connection of its own. */
export function mayCarry(facts: CarrierFacts, pair: DomainPair, hosting: Hosting, standing: Standing): Carry {
  const not = (why: string): Carry => ({ how: "not", why })
  if (!hosting.hosts(pair.sender) || hosting.hosts(pair.target)) return not("it does not lead from us to others")
  const uses = usesOf(hosting, pair.target)
  if (facts.proof === undefined) return not("the stream has no TLS")
  if (facts.role === "accepted") {
    if (!uses.bidi) return not("bidi is switched off for this peer")
    // security.md 3: what was merely claimed is not the peer's.
    if (standing.peer === undefined) return not(`${pair.target} is not proven on the stream`)
    if (standing.inverse) return { how: "inverse", peer: standing.peer }
  }
  if (!uses.piggyback) return not("piggybacking is switched off for this peer")
  if (!hosting.dialback) return not("dialback is switched off")
  // DB-32: a peer that cannot say that one pair failed ends the stream with all of them. BIDI-5 wants dialback errors of
  // whoever asks for both directions, but servers that have none ask for them, too.
  if (facts.role === "accepted" ? standing.errors !== true : !facts.errors) return not("the peer does not advertise dialback errors")
  if (facts.id === "") return not("the stream has no id to make keys of")
  const own = hosting.credentials(pair.sender)
  if (own !== undefined && !sameCredentials(own, facts.credentials)) return not(`another certificate of ours proves ${pair.sender}`)
  const refused = (way: "assertion" | "supposition"): boolean => standing.refuses?.(way) === true
  if (facts.role === "accepted" || standing.basis !== undefined) {
    if (refused("assertion")) return not(`${pair.target} is remembered to take no further sender`)
    return standing.basis === undefined ? { how: "assertion-back", peer: standing.peer! } : { how: "assertion", basis: standing.basis }
  }
  if (refused("supposition")) return not(`${pair.target} is remembered to be no further target`)
  return { how: "supposition" }
}

function sameCredentials(own: TlsCredentials, shown: TlsCredentials | undefined): boolean {
  return shown !== undefined && (own === shown || own.certificatePem === shown.certificatePem)
}

/** A further pair was not asked for on this stream; another connection may do. */
export class NotCarried extends Error {
  override readonly name: string = "NotCarried"
}

/** The stream ended with the question open, and nobody said why: that is no refusal, and may be one. */
export class Interrupted extends NotCarried {
  override readonly name = "Interrupted"
}

export function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return a.address === b.address && a.port === b.port && a.transport === b.transport
}

/** Proven by a prooftype that is not waited for where others prove: by the document of a web server. */
export function restsOnWeb({ prooftypes }: Hosting, { verdict }: Association): boolean {
  return verdict.outcome === "proved" && prooftypes.some(({ name, dispensable }) => dispensable === true && name === verdict.by)
}

/**
 * Supposition: the new target's own service is at the very address, port and transport we are connected to, and the
 * certificate of this connection passes the complete outgoing evaluation for it, with its own material (N13; security.md 3).
 * Where the stream's own target needed no web server, none is asked: a host with a certificate for each domain shows this one
 * for no other, and a silent web server would hold up the connection that the new target needs.
 *
 * @param first what the stream was opened for
 * @throws NotCarried
 */
export async function supposed(federation: Federation, facts: CarrierFacts, pair: DomainPair, first: Association | undefined, found: Discovery, signal: AbortSignal): Promise<Association> {
  const { proof } = facts
  const connected = facts.endpoint
  const endpoint = found.outcome !== "endpoints" || connected === undefined ? undefined : found.endpoints.find((each) => sameEndpoint(each, connected))
  if (endpoint === undefined || proof === undefined) throw new NotCarried(`${pair.target} is served at another address`)
  const hosting = federation.current()
  const prooftypes = first !== undefined && restsOnWeb(hosting, first) ? hosting.prooftypes : hosting.prooftypes.filter(({ dispensable }) => dispensable !== true)
  return await evaluated(federation, facts, pair, proof, endpoint, signal, prooftypes)
}

/**
 * The way back on an accepted stream: the peer's domain is evaluated as if we had connected to it, at every place where
 * DNS says it is served (security.md 3).
 *
 * @param peer the domain as it was proven when it came in
 * @throws NotCarried
 */
export async function provenBack(federation: Federation, facts: CarrierFacts, pair: DomainPair, peer: Association, found: Discovery, signal: AbortSignal): Promise<Association> {
  if (facts.proof === undefined || found.outcome !== "endpoints") throw new NotCarried(`nothing says where ${pair.target} is served`)
  // What was shown by a client is judged as what a server shows: that is whom our stanzas are for.
  const proof: ServerProof = { ...facts.proof, presentedAs: "tls-server" }
  let first: Association | undefined
  let failure: NotCarried | undefined
  const asked = new Set<string>()
  let promised = false
  for (const endpoint of found.endpoints) {
    const place = `${endpoint.delegation.derived} ${endpoint.port} ${endpoint.transport}`
    if (asked.has(place)) continue
    asked.add(place)
    try {
      first ??= await evaluated(federation, facts, pair, proof, endpoint, signal)
    } catch (error) {
      if (!(error instanceof NotProven)) throw error
      // A stop at any place is one: whoever could choose the place would choose his.
      if (error.stopped) throw error
      promised ||= error.promised
      failure ??= error
    }
  }
  if (first !== undefined && failure === undefined) return first
  // A verified key is enough where policy asks for no more and no TLSA promises more.
  const { via } = peer
  const hosting = federation.current()
  const at = federation.ports.clock.now()
  const requirement = requirementOf(federation, hosting, pair.target, "out", at)
  if (typeof via !== "object" || promised || shortfall(requirement, pair.target, "encrypted") !== undefined) {
    throw failure ?? new NotCarried(`${pair.target} is not proven by what it showed`)
  }
  return {
    ...peer,
    id: idOf(facts, pair),
    pair,
    direction: "out",
    level: "encrypted",
    via,
    established: at,
    until: Math.min(peer.until, requirement.until ?? Number.POSITIVE_INFINITY),
  }
}

class NotProven extends NotCarried {
  readonly stopped: boolean
  /** Secure DNS promises TLS with a certain certificate. */
  readonly promised: boolean
  constructor(message: string, stopped: boolean, promised: boolean) {
    super(message)
    this.stopped = stopped
    this.promised = promised
  }
}

export function idOf({ name, epoch }: CarrierFacts, pair: DomainPair): string {
  // Joined, it is one flat string, of which a stream of many pairs keeps thousands.
  return [name, epoch, pair.sender, pair.target].join("/")
}

async function evaluated(
  federation: Federation,
  facts: CarrierFacts,
  pair: DomainPair,
  proof: ServerProof,
  endpoint: Endpoint,
  signal: AbortSignal,
  prooftypes = federation.current().prooftypes,
): Promise<Association> {
  const hosting = federation.current()
  const subject = subjectOf(pair.target, "outgoing", endpoint)
  const shown = proofFor(proof, pair)
  const obtained = await obtainFor(prooftypes, subject, proofPorts(federation, hosting, signal), shown, () => federation.ports.clock.now())
  const terms = termsOf(obtained)
  if (terms.forbidden !== undefined) throw new NotProven(`${pair.target}: ${terms.forbidden.finding}`, true, true)
  const at = federation.ports.clock.now()
  const proven = match(obtained, subject, shown, at)
  const { combined } = proven
  if (combined.outcome !== "proved") throw new NotProven(`${pair.target}: ${combined.verdict.finding}`, combined.outcome === "stop", terms.tls)
  // security.md 15: where the ratchet cannot be satisfied, no proof is enough.
  const short = shortfall(requirementOf(federation, hosting, pair.target, "out", at), pair.target, "authenticated")
  if (short !== undefined) throw new NotProven(`${pair.target}: ${short.finding}`, true, terms.tls)
  return {
    id: idOf(facts, pair),
    pair,
    stream: facts.name,
    epoch: facts.epoch,
    direction: "out",
    level: "authenticated",
    verdict: combined.verdict,
    verdicts: proven.verdicts,
    via: "certificate",
    proof,
    endpoint,
    obtained: proven.kept,
    evidence: evidenceFor(pair, proven),
    established: at,
    until: combined.verdict.until,
  }
}
