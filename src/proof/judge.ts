// Judging saved evidence again, without network (security.md 25-27): anchors are ours or the operator's, the
// reference is recomputed, unknown prooftypes and anchors cannot be judged.
import { Buffer } from "node:buffer"
import { type AnchorSet as DnsAnchorSet, rootAnchors } from "../dns/dnssec/anchors.ts"
import { type Domain, parseDomain } from "../model/domain.ts"
import type { Evidence, EvidenceFact, EvidenceFile } from "../model/evidence.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { AcceptedIdentity, Instant, Presented, ReferenceIdentity, Role, ServerProof, Service, Verdict } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { AnyProoftype, RecordedWay } from "./prooftype.ts"
import { combine, rfc3339, type WeighedVerdict } from "./prove.ts"
import { referenceIdentity } from "./reference.ts"
import { checkSeal, type SealState } from "./seal.ts"

export { EvidenceError, evidenceLimits, readEvidenceFile } from "./evidence-file.ts"

export interface JudgedItem {
  readonly prooftype: string
  readonly source: string
  /** The moment it was judged for. */
  readonly at: string
  readonly recorded: Verdict
  readonly now: Verdict | undefined
  /** `same`: as recorded; `different`: not; `cannot-judge`: unknown anchors, prooftype or a broken item. */
  readonly result: "same" | "different" | "cannot-judge"
  /** Since when it would have proved so, where it would. */
  readonly from: string | null
  /** What the verdict rests on, as far as this program can say whether it is signed (security.md 25). */
  readonly facts: readonly EvidenceFact[]
  /** What may be said, without the facts that it takes to be true; or why nothing may be. */
  readonly claim: string
  /** The whole of what may be said (security.md 25). */
  readonly sentence: string
}

/** What the file says was decided, beside what its items prove. */
export interface JudgedDecision {
  /** `not-judged`: it does not say that the domain was authenticated, or not every item could be judged. */
  readonly result: "supported" | "contradicted" | "not-judged"
  readonly sentence: string
}

export interface Judgement {
  readonly items: readonly JudgedItem[]
  readonly decision: JudgedDecision
  /** Only then is it said that nobody changed the file: the seal fits, by a key that the judging side named. */
  readonly sealed: boolean
  readonly seal: { readonly state: SealState; readonly key: string | null; readonly sentence: string }
  /** 0 as recorded, 2 otherwise or changed after it was sealed, 3 cannot judge or not sealed by the key that was asked for. */
  readonly exit: 0 | 2 | 3
}

export interface JudgeOptions {
  readonly prooftypes: readonly AnyProoftype[]
  readonly anchors: readonly AnchorSet[]
  /** Of DNSSEC, for recorded answers of DNS; those of the root unless given. */
  readonly dnsAnchors?: readonly DnsAnchorSet[]
  /** Judge at this moment instead of the recorded one. */
  readonly at?: Instant
  /** Names of keys, one of which must have sealed the file (`trustedSealKey`). */
  readonly sealKeys?: readonly string[]
}

/** Judges every item of a file that `readEvidenceFile` accepted. Creates nothing but this report. */
export function judge(file: EvidenceFile, options: JudgeOptions): Judgement {
  const revived = file.items.map((evidence) => revive(evidence, options))
  const judged = revived.map((item, index) => judgeItem(item, wayOf(index, revived), options.at))
  const items = judged.map(({ item }) => item)
  const results = items.map(({ result }) => result)
  const decision = judgeDecision(file, judged)
  const trusted = options.sealKeys ?? []
  const { state, key } = checkSeal(file, trusted)
  const seal = { state, key, sentence: sealSentence(state, key) }
  const wrong = results.includes("different") || decision.result === "contradicted" || state === "broken"
  const open = results.includes("cannot-judge") || items.length === 0 || (trusted.length > 0 && state !== "good")
  return { items, decision, sealed: state === "good", seal, exit: wrong ? 2 : open ? 3 : 0 }
}

function sealSentence(state: SealState, key: string | null): string {
  if (state === "good") return `Sealed by ${key}: nobody has changed the file since.`
  if (state === "broken") return "The seal is broken: the file was changed after it was sealed."
  if (state === "unknown-key") return `Sealed by ${key}, which --key does not name: whoever changed the file may have sealed it.`
  return "The file is unsealed: changes that fit together would not show."
}

interface Revived {
  readonly evidence: Evidence
  readonly connection: string
  readonly source: Domain
  readonly found: { readonly prooftype: AnyProoftype; readonly material: unknown; readonly way: RecordedWay | undefined } | { readonly cannotJudge: string }
}

function revive(evidence: Evidence, { prooftypes, anchors, dnsAnchors = [rootAnchors] }: JudgeOptions): Revived {
  // The peer's domain is what was to be proved; which end it is follows from the role, not from the file's reference.
  const source = parseDomain(evidence.role === "outgoing" ? evidence.pair.target : evidence.pair.sender)
  const name = JSON.stringify(evidence.prooftype)
  const connection = connectionOf(evidence)
  const cannot = (cannotJudge: string): Revived => ({ evidence, connection, source, found: { cannotJudge } })
  const prooftype = prooftypes.find((each) => each.name === evidence.prooftype)
  if (prooftype === undefined) return cannot(`the prooftype ${name} is not known here`)
  // A user's prooftype, or a built-in one that a forged file brings down, costs this item and no more.
  try {
    const known = new Map(anchors.map((set) => [set.digest, set]))
    const revived = prooftype.revive(evidence.material, known, dnsAnchors)
    if ("cannotJudge" in revived) return cannot(revived.cannotJudge)
    return { evidence, connection, source, found: { prooftype, material: revived.material, way: prooftype.way?.(revived.material) } }
  } catch (error) {
    return cannot(unreadable(name, error))
  }
}

const unreadable = (name: string, error: unknown): string => `the prooftype ${name} cannot read it: ${error instanceof Error ? error.message : String(error)}`

/** Items of one connection: of one pair and moment, about one chain. */
function connectionOf({ role, pair, at, proof }: Evidence): string {
  return JSON.stringify([role, pair.sender, pair.target, at, proof.chain])
}

/** The pair and which end of it was to prove itself; the file's own pair is nobody's checked word. */
function subjectOf(role: Role, pair: Evidence["pair"] | undefined): string {
  return JSON.stringify([role, pair?.sender, pair?.target])
}

/** What another item of the same connection shows of the way there; DNS is recorded once, by the proof that rests on it. */
function wayOf(index: number, all: readonly Revived[]): RecordedWay | undefined {
  const own = all[index] as Revived
  if ("cannotJudge" in own.found || own.found.prooftype.way !== undefined) return undefined
  for (const { connection, source, found } of all) {
    if ("way" in found && found.way !== undefined && source === own.source && connection === own.connection) return found.way
  }
  return undefined
}

interface JudgedWith {
  readonly item: JudgedItem
  readonly connection: string
  /** Whom it is about, as `subjectOf` writes it. */
  readonly of: string
  readonly role: Role
  readonly weighed: WeighedVerdict | undefined
}

function judgeItem({ evidence, connection, source, found }: Revived, way: RecordedWay | undefined, moment: Instant | undefined): JudgedWith {
  const at = moment ?? Date.parse(evidence.at)
  const common = { prooftype: evidence.prooftype, source, at: rfc3339(at), recorded: evidence.verdict }
  const which = { connection, of: subjectOf(evidence.role, evidence.pair), role: evidence.role }
  const cannot = (why: string): JudgedWith => ({
    item: { ...common, now: undefined, result: "cannot-judge", from: null, facts: [], claim: why, sentence: `cannot judge: ${why}` },
    ...which,
    weighed: undefined,
  })
  if ("cannotJudge" in found) return cannot(found.cannotJudge)
  const { prooftype, material } = found
  const proof = proofOf(evidence)
  if (proof === undefined) return cannot("the file does not say whether a server or a client showed the certificate")
  try {
    const service: Service = (evidence.reference as { service?: unknown } | undefined)?.service === "xmpp-client" ? "xmpp-client" : "xmpp-server"
    const { now, led } = matchAgain((reference) => prooftype.match(proof, material, reference, at), { source, service }, way, at)
    // A name that only a secure delegation adds is not believed from a file, and not called wrong either.
    if (way === undefined && evidence.verdict.outcome === "proved" && now.outcome !== "proved") {
      const reference = referenceIdentity({ source, service })
      const told = { ...reference, accept: [...reference.accept, ...delegatedNames(evidence.reference)] }
      if (prooftype.match(proof, material, told, at).outcome === "proved") return cannot("the proof rests on a delegation, which this file does not show")
    }
    const since = Math.max(prooftype.since?.(material, proof, at) ?? at, led?.from ?? Number.NEGATIVE_INFINITY)
    const from = now.outcome === "proved" ? rfc3339(Math.min(since, at)) : null
    const facts = [...handshakeFacts, ...(prooftype.rests?.(material, proof, at) ?? []), ...(led?.facts ?? [])]
    // Which service was asked about is the file's word, so it is said.
    const claim = claimOf(now, service === "xmpp-client" ? `${source} for clients` : source, from)
    const sentence = now.outcome === "proved" ? `${claim}${restingOn(facts)}` : claim
    const item: JudgedItem = { ...common, now, result: sameVerdict(now, evidence.verdict) ? "same" : "different", from, facts, claim, sentence }
    return { item, ...which, weighed: { verdict: now, binding: prooftype.binding(material, evidence.role), dispensable: prooftype.dispensable === true } }
  } catch (error) {
    return cannot(unreadable(JSON.stringify(evidence.prooftype), error))
  }
}

/** By the domain's own names, else with those that the way adds while it holds; `led` where it took those. */
function matchAgain(
  match: (reference: ReferenceIdentity) => Verdict,
  subject: Pick<ReferenceIdentity, "source" | "service">,
  way: RecordedWay | undefined,
  at: Instant,
): { readonly now: Verdict; readonly led: RecordedWay | undefined } {
  const own = match(referenceIdentity(subject))
  const holds = way !== undefined && way.service === subject.service && way.delegation.secure && at >= way.from - clockSlack && at < way.until
  if (own.outcome === "proved" || !holds) return { now: own, led: undefined }
  const wider = match(referenceIdentity({ ...subject, endpoint: way }))
  if (wider.outcome !== "proved") return { now: wider, led: undefined }
  return { now: { ...wider, until: Math.min(wider.until, way.until) }, led: way }
}

/** With a clock a little behind the recorder's; as `dane` allows. */
const clockSlack = 300_000

function proofOf({ proof }: Evidence): ServerProof | undefined {
  const { presentedAs } = proof
  if (presentedAs !== "tls-server" && presentedAs !== "tls-client") return undefined
  return {
    chain: proof.chain.map((der) => Buffer.from(der, "base64")),
    ...(proof.presented === undefined ? {} : { presented: proof.presented as Presented }),
    presentedAs,
    protocol: proof.protocol,
    cipher: proof.cipher,
    serverName: proof.serverName ?? undefined,
    alpn: proof.alpn ?? undefined,
  }
}

/**
 * `authenticated` follows from what is in the file: somewhere the proofs of one connection, weighed, prove the domain. Other levels and
 * refusals rest on more than proofs (policy, dialback, what peers answered).
 */
function judgeDecision(file: EvidenceFile, judged: readonly JudgedWith[]): JudgedDecision {
  const { decision, level } = file
  if (decision !== "associated" || level !== "authenticated") return { result: "not-judged", sentence: "What was decided rests on more than proofs, and is not judged." }
  // What is proven of one pair says nothing about the one that the file names.
  const own = judged.filter(({ of }) => of === subjectOf(file.direction === "out" ? "outgoing" : "incoming", file.pair))
  let open = judged.length === 0
  for (const name of new Set(own.map(({ connection }) => connection))) {
    const together = own.filter(({ connection }) => connection === name)
    const weighed = together.flatMap((each) => each.weighed ?? [])
    if (weighed.length < together.length) open = true
    else if (combine(weighed, (together[0] as JudgedWith).role).outcome === "proved") return { result: "supported", sentence: "The file says that the domain was authenticated, and so its proofs do." }
  }
  if (judged.length > 0 && own.length === 0) return { result: "contradicted", sentence: "The file says that a domain was authenticated that none of its proofs is about." }
  if (open) return { result: "not-judged", sentence: "The file says that the domain was authenticated; not every proof could be judged." }
  return { result: "contradicted", sentence: "The file says that the domain was authenticated; its proofs do not." }
}

/** The names that the recorder says a secure delegation added. Nothing is proved by them; without them nothing is called wrong either. */
function delegatedNames(reference: unknown): readonly AcceptedIdentity[] {
  const accept = (reference as { accept?: unknown } | null | undefined)?.accept
  if (!Array.isArray(accept)) return []
  return accept.slice(0, 16).flatMap((each: unknown) => {
    const { type, value, because } = (each ?? {}) as Readonly<Record<string, unknown>>
    if (because !== "secure-delegation" || typeof value !== "string" || (type !== "DNS-ID" && type !== "SRV-ID")) return []
    return [{ type, value, because }]
  })
}

function sameVerdict(a: Verdict, b: Verdict): boolean {
  if (a.outcome !== b.outcome) return false
  return a.outcome === "proved" || b.outcome === "proved" ? true : a.finding === b.finding
}

const handshakeFacts: readonly EvidenceFact[] = [
  { fact: "the peer held the leaf certificate's key in the TLS handshake", mark: "attested" },
  { fact: "the time of recording", mark: "attested" },
]

/** Conditional, always (security.md 25). */
function claimOf(verdict: Verdict, what: string, from: string | null): string {
  if (verdict.outcome === "proved") return `this material would have proved ${what} by ${verdict.by} from ${from} to ${rfc3339(verdict.until)}`
  return `this material does not prove ${what} by ${verdict.by}: ${findingSentence(verdict.finding as FindingId, verdict.detail)}`
}

function restingOn(facts: readonly EvidenceFact[]): string {
  const marked = (wanted: EvidenceFact["mark"]): string => facts.flatMap(({ mark, fact }) => (mark === wanted ? [fact] : [])).join("; ")
  const signed = marked("signed")
  return `, if these recorded facts are true: ${marked("attested")}${signed === "" ? "" : `. Signed, and checked again here: ${signed}`}`
}
