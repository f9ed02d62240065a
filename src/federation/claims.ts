// Judging what a stream may carry: the certificate in hand against a claimed pair, and again when time or policy moved on
// (DWD-1, DWD-3, DB-34; security.md 9, 10, 18).
import { type Association, type DomainPair, type FederationLevel, type ObtainedMaterial, weaker } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { FindingId } from "../model/findings.ts"
import { peerOf, shortfall } from "../model/policy.ts"
import { guardName } from "../model/reach.ts"
import type { ServerProof } from "../model/verdict.ts"
import type { ProofPorts, ProofSubject } from "../proof/prooftype.ts"
import { match, notAsked, obtainAtHand, obtainKept, type Proven, startAsking, termsOf, withdrawnProofs } from "../proof/prove.ts"
import type { Claimant } from "./claim-guard.ts"
import type { Federation, Hosting } from "./contract.ts"
import { deadline, pause } from "./deadline.ts"
import { proofFor } from "./exchange.ts"
import { sourcePrefix } from "./proof-budget.ts"
import { requirementOf } from "./ratchet.ts"

/** Material that has to be asked for is waited for this long before features go out without EXTERNAL (security.md 18), ms. */
const materialPatience = 5000

const never = new AbortController().signal

export function subjectOf(peer: DomainPair["sender"], role: ProofSubject["role"], endpoint?: Endpoint): ProofSubject {
  return { source: peer, service: "xmpp-server", role, endpoint }
}

/**
 * What prooftypes may use at this moment.
 *
 * @param source network of the peer whose claim causes this, for caps
 */
export function proofPorts({ ports }: Federation, { anchors, reach }: Hosting, signal: AbortSignal, source?: string): ProofPorts {
  return { anchors, resolver: ports.resolver, https: ports.https, reach, at: ports.clock.now(), signal, ...(source === undefined ? {} : { source }) }
}

/** What the certificate in hand says about the sender as it is claimed now (ID-01), from what is here alone. Pure but for the snapshot and the clock. */
export function judgeAtHand(federation: Federation, pair: DomainPair, proof: ServerProof): Proven {
  const hosting = federation.current()
  const subject = subjectOf(pair.sender, "incoming")
  const obtained = obtainAtHand(hosting.prooftypes, subject, proofPorts(federation, hosting, never))
  return match(obtained, subject, proofFor(proof, pair), federation.ports.clock.now())
}

/**
 * All prooftypes on an incoming stream's certificate (POSH-26 among them). What must be asked for is asked only after a certificate was shown
 * that the others do not prove: nobody buys a fetch with a stream header alone. What one address may cause at once is
 * capped (security.md 17); a claim beyond waits for a place while its time lasts.
 *
 * @param claimant the peer; what is asked for is charged to its budget, where there is one
 */
export async function judgeIncoming(federation: Federation, pair: DomainPair, proof: ServerProof, claimant: Pick<Claimant, "address" | "budget">, signal: AbortSignal): Promise<Proven> {
  const atHand = judgeAtHand(federation, pair, proof)
  const hosting = federation.current()
  if (atHand.combined.outcome === "proved" || proof.chain.length === 0 || hosting.prooftypes.every((prooftype) => prooftype.atHand)) return atHand
  // security.md 17: about single labels and special names nothing is asked of anybody.
  if (!guardName(pair.sender, hosting.reach).ok) return atHand
  const subject = subjectOf(pair.sender, "incoming")
  const patience = deadline(federation.ports.clock, materialPatience, "obtaining proofs", signal)
  const source = sourcePrefix(claimant.address)
  const now = (): number => federation.ports.clock.now()
  const fetches = hosting.prooftypes.filter((prooftype) => !prooftype.atHand).length
  const afforded = claimant.budget?.spend("fetch", fetches) !== false
  let leave: (() => void) | undefined
  try {
    if (afforded) leave = await placeFor(federation, source, patience.signal)
    const ports = proofPorts(federation, hosting, patience.signal, source)
    const shown = proofFor(proof, pair)
    if (leave === undefined) {
      const rest = notAsked(hosting.prooftypes, afforded ? "too many claims from one place at once" : "too much work was asked for from one place")
      return match([...obtainAtHand(hosting.prooftypes, subject, ports), ...rest], subject, shown, now())
    }
    const asking = startAsking(hosting.prooftypes, subject, ports)
    const proven = match(await asking.for(shown, now), subject, shown, now())
    federation.ratchet?.withdrawn(pair.sender, "in", withdrawnProofs(hosting.prooftypes, [proven.kept]))
    if (proven.combined.outcome === "proved") claimant.budget?.giveBack("fetch", fetches)
    return proven
  } finally {
    leave?.()
    patience.done()
  }
}

/** Between two looks for a place, ms. */
const placeWait = 100

async function placeFor({ claims, ports: { clock } }: Federation, source: string, signal: AbortSignal): Promise<(() => void) | undefined> {
  for (;;) {
    const leave = claims.enterMaterial(source)
    if (leave !== undefined || signal.aborted) return leave
    await pause(clock, placeWait, signal)
  }
}

/** What an association keeps of how it was proven: no more than it takes to say so again. */
export function evidenceFor(pair: DomainPair, { evidence }: Proven): Association["evidence"] {
  return () => evidence(pair)
}

/** An incoming association by the certificate shown on this very stream. Undefined when it proves too little for policy. */
export function associationByCertificate(
  pair: DomainPair,
  proof: ServerProof,
  proven: Proven,
  stream: string,
  epoch: number,
): Association | undefined {
  const { combined } = proven
  if (combined.outcome !== "proved") return undefined
  return {
    id: [stream, epoch, pair.sender, pair.target].join("/"),
    pair,
    stream,
    epoch,
    direction: "in",
    level: "authenticated",
    verdict: combined.verdict,
    verdicts: proven.verdicts,
    via: "certificate",
    proof,
    obtained: proven.kept,
    evidence: evidenceFor(pair, proven),
    established: proven.at,
    until: combined.verdict.until,
  }
}

export type Rejudged =
  | { readonly holds: true; readonly association: Association }
  | { readonly holds: false; readonly finding: FindingId; readonly detail: string }

/** What was asked for anew, for judging again with it. */
export interface FreshMaterial {
  /** Where the domain's service is now, if that is still where the stream went. */
  readonly endpoint: Endpoint | undefined
  readonly obtained: readonly ObtainedMaterial[]
  /** What secure DNS says of the domain's other servers, where that was asked. */
  readonly elsewhere?: readonly PlaceMaterial[]
}

export interface PlaceMaterial {
  readonly endpoint: Endpoint | undefined
  readonly obtained: readonly ObtainedMaterial[]
}

/** No remote server may speak for it, whether it is served at the moment or suspended. */
export const isOurs = (hosting: Hosting, domain: Domain): boolean => hosting.hosts(domain) || hosting.reserved(domain)

/**
 * Judges an association again: time has passed, policy, anchors or hosted names may have changed (security.md 10). What
 * would have to be asked for is judged with as it was recorded, unless it was asked for anew.
 */
export function rejudge(federation: Federation, association: Association, fresh?: FreshMaterial): Rejudged {
  const hosting = federation.current()
  const at = federation.ports.clock.now()
  const { pair, direction } = association
  const peer = peerOf(pair, direction)
  const ours = direction === "in" ? pair.target : pair.sender
  if (isOurs(hosting, peer)) return { holds: false, finding: "stream.from-own-domain", detail: peer }
  if (!hosting.hosts(ours)) return { holds: false, finding: "stream.host-unknown", detail: ours }
  const requirement = requirementOf(federation, hosting, peer, direction, at)
  const tooWeak = (level: FederationLevel): (Rejudged & { holds: false }) | undefined => {
    const short = shortfall(requirement, peer, level)
    return short === undefined ? undefined : { holds: false, ...short }
  }
  const exceptionEnd = requirement.until ?? Number.POSITIVE_INFINITY
  const { via, rests } = association
  const authority = rests ?? (typeof via === "object" ? via.authoritative : undefined)
  if (authority !== undefined) {
    const basis = rejudge(federation, authority, fresh)
    if (!basis.holds) return basis
    // A way back by a verified key alone; what rests on a pair of ours is an incoming one.
    const unmet = direction === "out" ? unmetPromise(federation, association, [{ endpoint: undefined, obtained: [], ...basis.association }, ...(fresh?.elsewhere ?? [])]) : undefined
    if (unmet !== undefined) return unmet
    const level = weaker(association.level, basis.association.level)
    const weak = tooWeak(level)
    if (weak !== undefined) return weak
    // What it rests on may end later now, or earlier.
    const until = Math.min(basis.association.until, exceptionEnd)
    const on = rests === undefined ? { via: { authoritative: basis.association } } : { via: basis.association.via, rests: basis.association }
    return { holds: true, association: { ...association, level, ...on, until } }
  }
  const { proof } = association
  if (proof === undefined) return tooWeak("verified") ?? { holds: true, association: { ...association, until: exceptionEnd } }
  const endpoint = fresh === undefined ? association.endpoint : fresh.endpoint
  const subject = subjectOf(peer, direction === "in" ? "incoming" : "outgoing", endpoint)
  const kept = fresh?.obtained ?? association.obtained ?? []
  const obtained = [...obtainAtHand(hosting.prooftypes, subject, proofPorts(federation, hosting, never)), ...obtainKept(hosting.prooftypes, kept, hosting.anchors)]
  const proven = match(obtained, subject, proofFor(proof, pair), at)
  const { combined } = proven
  const level: FederationLevel = combined.outcome === "proved" ? "authenticated" : "encrypted"
  // An incoming stream without a proof of its own rests on a verification, which is the case above.
  if (direction === "in" && combined.outcome !== "proved") return { holds: false, finding: combined.verdict.finding, detail: combined.verdict.detail }
  if (combined.outcome === "stop") return { holds: false, finding: combined.verdict.finding, detail: combined.verdict.detail }
  const weak = tooWeak(level)
  if (weak !== undefined) {
    return combined.outcome === "proved" || weak.finding === "policy.ratchet" ? weak : { holds: false, finding: combined.verdict.finding, detail: combined.verdict.detail }
  }
  const until = combined.outcome === "proved" ? combined.verdict.until : exceptionEnd
  const renewed: Association = {
    ...association,
    level,
    verdict: combined.verdict,
    verdicts: proven.verdicts,
    via: combined.outcome === "proved" ? "certificate" : "dns",
    ...(endpoint === undefined ? {} : { endpoint }),
    obtained: kept,
    evidence: evidenceFor(pair, proven),
    until: Math.min(until, level === "authenticated" ? Number.POSITIVE_INFINITY : exceptionEnd),
  }
  return { holds: true, association: renewed }
}

/**
 * security.md 3: a verified key opens the way back only while no usable TLSA promises more of the domain, at any of its servers.
 * Where some came since, what this stream showed has to pass as what a server shows, or the way back ends.
 *
 * @param places the server that the key was verified with, and the others as far as they were asked about
 */
function unmetPromise(federation: Federation, { pair, proof }: Association, places: readonly PlaceMaterial[]): (Rejudged & { holds: false }) | undefined {
  const hosting = federation.current()
  for (const { endpoint, obtained } of places) {
    const kept = obtainKept(hosting.prooftypes, obtained, hosting.anchors)
    const { tls, forbidden } = termsOf(kept)
    // security.md 11: what could not be found out takes nothing away.
    if (!tls || forbidden !== undefined) continue
    if (proof === undefined) return { holds: false, finding: "tls.not-offered", detail: pair.target }
    const subject = subjectOf(pair.target, "outgoing", endpoint)
    const atHand = obtainAtHand(hosting.prooftypes, subject, proofPorts(federation, hosting, never))
    const shown = proofFor({ ...proof, presentedAs: "tls-server" }, pair)
    const { combined } = match([...atHand, ...kept], subject, shown, federation.ports.clock.now())
    if (combined.outcome !== "proved") return { holds: false, finding: combined.verdict.finding, detail: combined.verdict.detail }
  }
  return undefined
}
