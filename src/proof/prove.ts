// Asking all prooftypes about one stream and weighing what they say: `combine` is the only place that weighs (security.md 4).
import type { Evidence } from "../model/evidence.ts"
import { type FindingId, findings } from "../model/findings.ts"
import type { DomainPair, ObtainedMaterial } from "../model/association.ts"
import type { Instant, Presented, ReferenceIdentity, Role, ServerProof, Verdict } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { AnyProoftype, ConnectionTerms, ProofPorts, ProofSubject } from "./prooftype.ts"
import { referenceIdentity } from "./reference.ts"

/** A proof without an end of its own is believed for this long (security.md 10), ms. */
export const longestProof = 7 * 24 * 3600 * 1000

export interface WeighedVerdict {
  readonly verdict: Verdict
  readonly binding: boolean
  /** Of a prooftype that is not waited for where the others prove. */
  readonly dispensable?: boolean
}

/** `stop`: this endpoint must not be used, whatever the other prooftypes say. */
export type Combined =
  | { readonly outcome: "proved"; readonly verdict: Verdict & { outcome: "proved" } }
  | { readonly outcome: "stop" | "unavailable" | "refuted" | "absent"; readonly verdict: Exclude<Verdict, { outcome: "proved" }> }

const nothingAsked: Exclude<Verdict, { outcome: "proved" }> = {
  outcome: "absent",
  by: "none",
  finding: "cert.none-shown",
  detail: "no prooftype is in use",
}

/**
 * Weighs verdicts (security.md 4). Outgoing: a binding prooftype that is refuted or unavailable stops the endpoint; else
 * any proof proves; else anything unavailable makes the whole unavailable; else refuted; else absent. Incoming: only a
 * binding refutation stops. The order of the verdicts does not matter. Where nothing is unavailable but what a
 * dispensable prooftype could not even find out, a refutation speaks, and the outcome stays what it is.
 */
export function combine(verdicts: readonly WeighedVerdict[], role: Role): Combined {
  type Failed = Exclude<Verdict, { outcome: "proved" }>
  let proved: (Verdict & { outcome: "proved" }) | undefined
  const failed: Partial<Record<"stop" | "unavailable" | "refuted" | "absent", Failed>> = {}
  // Among equals the one with the first name speaks, so that the order asked in cannot show.
  const keep = (outcome: "stop" | Failed["outcome"], verdict: Failed) => {
    const before = failed[outcome]
    if (before === undefined || verdict.by < before.by) failed[outcome] = verdict
  }
  let telling = false
  for (const { verdict, binding, dispensable } of verdicts) {
    if (verdict.outcome === "unavailable" && !(dispensable === true && findings[verdict.finding].severity === "unknown")) telling = true
    if (verdict.outcome === "proved") {
      // The proof that lasts longest carries the association.
      if (proved === undefined || verdict.until > proved.until || (verdict.until === proved.until && verdict.by < proved.by)) proved = verdict
      continue
    }
    if (binding && (verdict.outcome === "refuted" || (role === "outgoing" && verdict.outcome === "unavailable"))) keep("stop", verdict)
    keep(verdict.outcome, verdict)
  }
  if (failed.stop !== undefined) return { outcome: "stop", verdict: failed.stop }
  if (proved !== undefined) return { outcome: "proved", verdict: proved }
  // Most domains have no web server for POSH: what is wrong with the certificate says more than that nobody is there.
  if (failed.unavailable !== undefined && !telling && failed.refuted !== undefined) return { outcome: "unavailable", verdict: failed.refuted }
  for (const outcome of ["unavailable", "refuted", "absent"] as const) {
    const verdict = failed[outcome]
    if (verdict !== undefined) return { outcome, verdict }
  }
  return { outcome: "absent", verdict: nothingAsked }
}

/** What all prooftypes said, and the evidence for it, made into JSON only when asked. */
export interface Proven {
  readonly reference: ReferenceIdentity
  readonly verdicts: readonly Verdict[]
  readonly combined: Combined
  readonly at: Instant
  /** Material that had to be asked for, to judge with again. */
  readonly kept: readonly ObtainedMaterial[]
  evidence(pair: DomainPair): readonly Evidence[]
}

export interface Obtained {
  readonly prooftype: AnyProoftype
  readonly material: unknown
}

/** Material of every prooftype, started together. A prooftype that throws, or is not done in time, is unavailable, not absent. */
export async function obtainAll(prooftypes: readonly AnyProoftype[], subject: ProofSubject, ports: ProofPorts): Promise<readonly Obtained[]> {
  if (prooftypes.every(({ atHand }) => atHand)) return obtainAtHand(prooftypes, subject, ports)
  return await Promise.all(
    prooftypes.map(async (prooftype) => {
      try {
        return { prooftype, material: await within(ports.signal, prooftype.obtain(subject, ports)) }
      } catch (error) {
        return { prooftype, material: new BrokenProoftype(error, ports.signal.aborted ? "proof.unavailable" : "proof.internal") }
      }
    }),
  )
}

/** Why what was asked for is not waited for any more. One for all: nobody reads where it came from. */
const notNeeded = new Error("not needed any more")

/** Asked for, with what may be left out set apart. */
export interface Asking {
  /** Of those on secure DNS, which may forbid a connection before it is used. */
  readonly secureDns: Promise<readonly Obtained[]>
  /**
   * What was obtained: all of it, or without the dispensable where the rest already decides about what was shown.
   *
   * @param now the moment of judging
   */
  for(proof: ServerProof, now: () => Instant): Promise<readonly Obtained[]>
  /** What is still under way is not needed any more. */
  giveUp(): void
}

/**
 * Starts asking. A web server that says nothing must not hold up a stream that is proved without it.
 *
 * @param spareLater the dispensable is likely not needed: it is asked for only once the rest did not decide
 */
export function startAsking(prooftypes: readonly AnyProoftype[], subject: ProofSubject, ports: ProofPorts, spareLater = false): Asking {
  // Made when there is something to give up: at most peers nothing is.
  let needless: AbortController | undefined
  let givenUp = false
  const secureDns = obtainAll(prooftypes.filter(({ needsSecureDns }) => needsSecureDns), subject, ports)
  const others = prooftypes.filter(({ needsSecureDns }) => !needsSecureDns)
  const needed = obtainAll(others.filter(({ dispensable }) => dispensable !== true), subject, ports)
  const dispensable = others.filter((prooftype) => prooftype.dispensable === true)
  const askSpare = () => {
    if (dispensable.length === 0) return Promise.resolve([])
    needless = new AbortController()
    if (givenUp) needless.abort(notNeeded)
    return obtainAll(dispensable, subject, { ...ports, signal: AbortSignal.any([ports.signal, needless.signal]) })
  }
  let spare = spareLater ? undefined : askSpare()
  const giveUp = (): void => {
    givenUp = true
    needless?.abort(notNeeded)
  }
  const inOrder = (all: readonly Obtained[]): readonly Obtained[] => prooftypes.flatMap((prooftype) => all.filter((each) => each.prooftype === prooftype))
  return {
    secureDns,
    giveUp,
    async for(proof, now) {
      const first = inOrder([...(await secureDns), ...(await needed)])
      const { outcome } = match(first, subject, proof, now()).combined
      if (outcome === "proved" || outcome === "stop") {
        giveUp()
        return first
      }
      spare ??= askSpare()
      return inOrder([...first, ...(await spare)])
    },
  }
}

/** What was shown is known already: the dispensable is asked for only where the rest does not decide about it. */
export async function obtainFor(prooftypes: readonly AnyProoftype[], subject: ProofSubject, ports: ProofPorts, proof: ServerProof, now: () => Instant): Promise<readonly Obtained[]> {
  const spare = prooftypes.filter(({ dispensable }) => dispensable === true)
  if (spare.length === 0) return await obtainAll(prooftypes, subject, ports)
  const first = await obtainAll(prooftypes.filter((each) => !spare.includes(each)), subject, ports)
  const { outcome } = match(first, subject, proof, now()).combined
  if (outcome === "proved" || outcome === "stop") return first
  const all = [...first, ...(await obtainAll(spare, subject, ports))]
  return prooftypes.flatMap((prooftype) => all.filter((each) => each.prooftype === prooftype))
}

/** In place of asking, where that is not allowed now: what would have to be asked for is unavailable, not absent. */
export function notAsked(prooftypes: readonly AnyProoftype[], why: string): readonly Obtained[] {
  return prooftypes.filter(({ atHand }) => !atHand).map((prooftype) => ({ prooftype, material: new BrokenProoftype(new Error(why), "proof.unavailable") }))
}

/** A prooftype that does not heed the signal must not hold a stream open. */
async function within<T>(signal: AbortSignal, obtaining: T | Promise<T>): Promise<T> {
  if (!(obtaining instanceof Promise)) return obtaining
  return await new Promise<T>((resolve, reject) => {
    const aborted = () => reject(signal.reason instanceof Error ? signal.reason : new Error("not obtained in time"))
    if (signal.aborted) aborted()
    else signal.addEventListener("abort", aborted, { once: true })
    void obtaining.then(resolve, reject).then(() => signal.removeEventListener("abort", aborted))
  })
}

/** Only what needs no asking; for claims that must be judged between two stanzas. */
export function obtainAtHand(prooftypes: readonly AnyProoftype[], subject: ProofSubject, ports: ProofPorts): readonly Obtained[] {
  const found: Obtained[] = []
  for (const prooftype of prooftypes) {
    if (!prooftype.atHand) continue
    try {
      const material: unknown = prooftype.obtain(subject, ports)
      if (material instanceof Promise) {
        // Nobody waits for it; how it ends is not asked.
        void Promise.allSettled([material])
        throw new Error("it says that its material is at hand, and then makes us wait")
      }
      found.push({ prooftype, material })
    } catch (error) {
      found.push({ prooftype, material: new BrokenProoftype(error) })
    }
  }
  return found
}

/**
 * Kept material of those prooftypes that are still in use; what has none is left out.
 *
 * @param anchors that hold now: what an authority vouched for that is trusted no more proves nothing (security.md 10)
 */
export function obtainKept(prooftypes: readonly AnyProoftype[], kept: readonly ObtainedMaterial[], anchors: AnchorSet): readonly Obtained[] {
  return prooftypes.flatMap((prooftype) => {
    const found = prooftype.atHand ? undefined : kept.find(({ prooftype: name }) => name === prooftype.name)
    if (found === undefined) return []
    return [{ prooftype, material: prooftype.withAnchors === undefined ? found.material : prooftype.withAnchors(found.material, anchors) }]
  })
}

/**
 * What all material together asks of a connection before anything goes over it. A prooftype on secure DNS that failed in
 * itself forbids: what it could not read may have.
 */
export function termsOf(obtained: readonly Obtained[]): ConnectionTerms {
  let tls = false
  for (const { prooftype, material } of obtained) {
    if (material instanceof BrokenProoftype) {
      if (prooftype.needsSecureDns) return { forbidden: { finding: "proof.unavailable", detail: `${prooftype.name}: ${material.reason}` }, tls: true }
      continue
    }
    const terms = prooftype.terms?.(material)
    if (terms?.forbidden !== undefined) return terms
    tls ||= terms?.tls === true
  }
  return { tls }
}

class BrokenProoftype {
  readonly reason: string
  readonly finding: FindingId
  constructor(error: unknown, finding: FindingId = "proof.internal") {
    this.finding = finding
    this.reason = error instanceof Error ? error.message : String(error)
  }
}

/** Pure: what the material says about what was shown, at this moment. */
export function match(obtained: readonly Obtained[], subject: ProofSubject, proof: ServerProof, at: Instant): Proven {
  const reference = referenceIdentity(subject)
  const weighed = obtained.map(({ prooftype, material }) => weigh(prooftype, material, subject, proof, reference, at))
  return {
    reference,
    verdicts: weighed.map(({ verdict }) => verdict),
    combined: combine(weighed, subject.role),
    at,
    kept: obtained.flatMap(({ prooftype, material }) => (prooftype.atHand || material instanceof BrokenProoftype ? [] : [{ prooftype: prooftype.name, material }])),
    evidence: evidenceLater(obtained, subject, proof, at),
  }
}

/** Evidence as it is to be written when somebody asks. Thousands of associations hold one: it keeps what went in, and matches again. */
function evidenceLater(obtained: readonly Obtained[], subject: ProofSubject, proof: ServerProof, at: Instant): Proven["evidence"] {
  return (pair) => {
    const reference = referenceIdentity(subject)
    return obtained.flatMap(({ prooftype, material }) => {
      if (material instanceof BrokenProoftype) return []
      const { verdict } = weigh(prooftype, material, subject, proof, reference, at)
      return [evidenceOf(prooftype, material, subject.role, pair, reference, proof, at, verdict)]
    })
  }
}

function weigh(
  prooftype: AnyProoftype,
  material: unknown,
  subject: ProofSubject,
  proof: ServerProof,
  reference: ReferenceIdentity,
  at: Instant,
): WeighedVerdict {
  const broken = (reason: string, finding: FindingId = "proof.internal"): WeighedVerdict => ({
    verdict: { outcome: "unavailable", by: prooftype.name, finding, detail: reason },
    // A prooftype that cannot say whether it binds must not open the door by failing.
    binding: prooftype.needsSecureDns && subject.role === "outgoing",
    dispensable: prooftype.dispensable === true,
  })
  if (material instanceof BrokenProoftype) return broken(material.reason, material.finding)
  try {
    const verdict = prooftype.match(proof, material, reference, at)
    // security.md 10: a stream that rests on it would be judged again without an end.
    if (verdict.outcome === "proved" && verdict.until < at) return broken("its proof had ended before it was given")
    return { verdict: capped(verdict, at), binding: prooftype.binding(material, subject.role), dispensable: prooftype.dispensable === true }
  } catch (error) {
    return broken(error instanceof Error ? error.message : String(error))
  }
}

function capped(verdict: Verdict, at: Instant): Verdict {
  if (verdict.outcome !== "proved" || Number.isFinite(verdict.until)) return verdict
  return { ...verdict, until: at + longestProof }
}

function evidenceOf(
  prooftype: AnyProoftype,
  material: unknown,
  role: Role,
  pair: DomainPair,
  reference: ReferenceIdentity,
  proof: ServerProof,
  at: Instant,
  verdict: Verdict,
): Evidence {
  return {
    version: 1,
    prooftype: prooftype.name,
    role,
    pair,
    reference,
    proof: {
      chain: proof.chain.map((der) => Buffer.from(der).toString("base64")),
      ...presentedFor(prooftype, proof),
      presentedAs: proof.presentedAs,
      protocol: proof.protocol,
      cipher: proof.cipher,
      serverName: proof.serverName ?? null,
      alpn: proof.alpn ?? null,
    },
    material: prooftype.record(material),
    at: rfc3339(at),
    verdict,
  }
}

/** Only what the prooftype was shown itself. */
function presentedFor({ name }: AnyProoftype, { presented }: ServerProof): { presented?: Presented } {
  return presented === undefined || !Object.hasOwn(presented.said, name) ? {} : { presented: { pair: presented.pair, said: { [name]: presented.said[name] } } }
}

/** RFC 3339 in UTC, with milliseconds. Pure: the instant is an argument. */
export function rfc3339(at: Instant): string {
  return new Date(at).toISOString()
}

/**
 * Names of the prooftypes for which DNSSEC proves that the domain publishes nothing any more (security.md 13).
 *
 * @param everywhere what was obtained for each of the domain's endpoints, or once for an incoming stream: one that still publishes, or cannot be asked, is no withdrawal
 */
export function withdrawnProofs(prooftypes: readonly AnyProoftype[], everywhere: readonly (readonly ObtainedMaterial[])[]): readonly string[] {
  if (everywhere.length === 0) return []
  return prooftypes.flatMap((prooftype) => {
    const gone = everywhere.every((kept) => {
      const found = kept.find(({ prooftype: name }) => name === prooftype.name)
      return found !== undefined && prooftype.withdrawn?.(found.material) === true
    })
    return gone ? [prooftype.name] : []
  })
}
