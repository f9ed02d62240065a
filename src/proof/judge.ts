// Judging saved evidence again, without network (security.md 25-27): anchors are ours or the operator's, the
// reference is recomputed, unknown prooftypes and anchors cannot be judged.
import { type AnchorSet as DnsAnchorSet, rootAnchors } from "../dns/dnssec/anchors.ts"
import { type Domain, parseDomain, tryDomain } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import type { Evidence, EvidenceFact, EvidenceFile } from "../model/evidence.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { Instant, Presented, ServerProof, Verdict } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import type { AnyProoftype } from "./prooftype.ts"
import { rfc3339 } from "./prove.ts"
import { referenceIdentity } from "./reference.ts"

/** Bounds on what a stranger's file may cost. */
export const evidenceLimits = { octets: 1024 * 1024, nesting: 32, items: 64, certificates: 16 }

export class EvidenceError extends Error {
  override readonly name = "EvidenceError"
}

export interface JudgedItem {
  readonly prooftype: string
  readonly source: string
  readonly at: string
  readonly recorded: Verdict
  readonly now: Verdict | undefined
  /** `same`: as recorded; `different`: not; `cannot-judge`: unknown anchors, prooftype or a broken item. */
  readonly result: "same" | "different" | "cannot-judge"
  /** What the verdict rests on, as far as this program can say whether it is signed (security.md 25). */
  readonly facts: readonly EvidenceFact[]
  readonly sentence: string
}

export interface Judgement {
  readonly items: readonly JudgedItem[]
  /** No seal is checked in this version, so tampering that stays consistent is not detected. */
  readonly sealed: false
  readonly exit: 0 | 2 | 3
}

export interface JudgeOptions {
  readonly prooftypes: readonly AnyProoftype[]
  readonly anchors: readonly AnchorSet[]
  /** Of DNSSEC, for recorded answers of DNS; those of the root unless given. */
  readonly dnsAnchors?: readonly DnsAnchorSet[]
  /** Judge at this moment instead of the recorded one. */
  readonly at?: Instant
}

/**
 * Reads an evidence file.
 *
 * @param text JSON, at most `evidenceLimits.octets` long
 * @throws EvidenceError that says what is wrong where
 */
export function readEvidenceFile(text: string): EvidenceFile {
  if (text.length > evidenceLimits.octets) throw new EvidenceError(`the file is larger than ${evidenceLimits.octets} octets`)
  checkNesting(text)
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch (error) {
    throw new EvidenceError(`not JSON, or cut off: ${error instanceof Error ? error.message : String(error)}`)
  }
  const file = object(read, "the file")
  if (file["evidence"] !== 1) {
    const version = typeof file["evidence"] === "number" ? `version ${file["evidence"]}` : "no version"
    throw new EvidenceError(`this is evidence of ${version}; this program reads version 1`)
  }
  const items = file["items"]
  if (!Array.isArray(items)) throw new EvidenceError("`items` is not a list")
  if (items.length > evidenceLimits.items) throw new EvidenceError(`more than ${evidenceLimits.items} items`)
  items.forEach(checkItem)
  return read as EvidenceFile
}

/** Counted before parsing, so that no depth of brackets reaches the parser. */
function checkNesting(text: string): void {
  let depth = 0
  let inString = false
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    if (inString) {
      if (code === 0x5c) index++
      else if (code === 0x22) inString = false
    } else if (code === 0x22) inString = true
    else if (code === 0x7b || code === 0x5b) {
      depth++
      if (depth > evidenceLimits.nesting) throw new EvidenceError(`nested deeper than ${evidenceLimits.nesting} at character ${index}`)
    } else if (code === 0x7d || code === 0x5d) depth--
  }
}

function object(value: unknown, what: string): Record<string, unknown> {
  if (value === null || typeof value !== "object" || Array.isArray(value)) throw new EvidenceError(`${what} is not an object`)
  return value as Record<string, unknown>
}

function checkItem(value: unknown, index: number): void {
  const where = `items[${index}]`
  const item = object(value, where)
  if (item["version"] !== 1) throw new EvidenceError(`${where}.version is not 1`)
  if (typeof item["prooftype"] !== "string") throw new EvidenceError(`${where}.prooftype is not text`)
  if (item["role"] !== "outgoing" && item["role"] !== "incoming") throw new EvidenceError(`${where}.role is neither outgoing nor incoming`)
  const pair = object(item["pair"], `${where}.pair`)
  for (const end of ["sender", "target"]) {
    if (typeof pair[end] !== "string" || tryDomain(pair[end]) === undefined) throw new EvidenceError(`${where}.pair.${end} is not a domain`)
  }
  const proof = object(item["proof"], `${where}.proof`)
  const chain = proof["chain"]
  if (!Array.isArray(chain) || chain.some((der) => typeof der !== "string")) throw new EvidenceError(`${where}.proof.chain is not a list of texts`)
  if (chain.length > evidenceLimits.certificates) throw new EvidenceError(`${where}.proof.chain has more than ${evidenceLimits.certificates} certificates`)
  for (const name of ["protocol", "cipher"]) if (typeof proof[name] !== "string") throw new EvidenceError(`${where}.proof.${name} is not text`)
  if (typeof item["at"] !== "string" || Number.isNaN(Date.parse(item["at"]))) throw new EvidenceError(`${where}.at is not a time`)
  const verdict = object(item["verdict"], `${where}.verdict`)
  if (!["proved", "refuted", "absent", "unavailable"].includes(String(verdict["outcome"]))) throw new EvidenceError(`${where}.verdict.outcome is unknown`)
}

/** Judges every item of a file that `readEvidenceFile` accepted. Creates nothing but this report. */
export function judge(file: EvidenceFile, options: JudgeOptions): Judgement {
  const known = new Map(options.anchors.map((anchors) => [anchors.digest, anchors]))
  const types = new Map(options.prooftypes.map((prooftype) => [prooftype.name, prooftype]))
  const items = file.items.map((evidence) => judgeItem(evidence, types, { known, dns: options.dnsAnchors ?? [rootAnchors] }, options.at))
  const results = items.map(({ result }) => result)
  const exit = results.includes("different") ? 2 : results.includes("cannot-judge") || items.length === 0 ? 3 : 0
  return { items, sealed: false, exit }
}

interface Anchors {
  readonly known: ReadonlyMap<string, AnchorSet>
  readonly dns: readonly DnsAnchorSet[]
}

function judgeItem(evidence: Evidence, types: ReadonlyMap<string, AnyProoftype>, anchors: Anchors, moment: Instant | undefined): JudgedItem {
  const at = moment ?? Date.parse(evidence.at)
  // The peer's domain is what was to be proved; which end it is follows from the role, not from the file's reference.
  const source = parseDomain(evidence.role === "outgoing" ? evidence.pair.target : evidence.pair.sender)
  const common = { prooftype: evidence.prooftype, source, at: rfc3339(at), recorded: evidence.verdict }
  const cannot = (why: string): JudgedItem => ({ ...common, now: undefined, result: "cannot-judge", facts: [], sentence: `cannot judge: ${why}` })
  const prooftype = types.get(evidence.prooftype)
  if (prooftype === undefined) return cannot(`the prooftype ${JSON.stringify(evidence.prooftype)} is not known here`)
  // A user's prooftype, or a built-in one that a forged file brings down, costs this item and no more.
  try {
    return judgeWith(prooftype, evidence, anchors, at, source, common, cannot)
  } catch (error) {
    return cannot(`the prooftype ${JSON.stringify(evidence.prooftype)} cannot read it: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function judgeWith(
  prooftype: AnyProoftype,
  evidence: Evidence,
  anchors: Anchors,
  at: Instant,
  source: Domain,
  common: Pick<JudgedItem, "prooftype" | "source" | "at" | "recorded">,
  cannot: (why: string) => JudgedItem,
): JudgedItem {
  const revived = prooftype.revive(evidence.material, anchors.known, anchors.dns)
  if ("cannotJudge" in revived) return cannot(revived.cannotJudge)
  const { presentedAs } = evidence.proof
  if (presentedAs !== "tls-server" && presentedAs !== "tls-client") return cannot("the file does not say whether a server or a client showed the certificate")
  const proof: ServerProof = {
    chain: evidence.proof.chain.map((der) => Buffer.from(der, "base64")),
    ...(evidence.proof.presented === undefined ? {} : { presented: evidence.proof.presented as Presented }),
    presentedAs,
    protocol: evidence.proof.protocol,
    cipher: evidence.proof.cipher,
    serverName: evidence.proof.serverName ?? undefined,
    alpn: evidence.proof.alpn ?? undefined,
  }
  // No recorded delegation is believed: what made it secure would have to be judged, too.
  const endpoint: Endpoint | undefined = undefined
  const reference = referenceIdentity({ source, service: (evidence.reference as { service?: unknown } | undefined)?.service === "xmpp-client" ? "xmpp-client" : "xmpp-server", endpoint })
  const now = prooftype.match(proof, revived.material, reference, at)
  // A name that only a secure delegation adds is not believed from a file, and not called wrong either.
  if (evidence.verdict.outcome === "proved" && now.outcome !== "proved" && restsOnDelegation(evidence.reference)) {
    return cannot("the proof rests on a delegation, which this file does not show")
  }
  const result = sameVerdict(now, evidence.verdict) ? "same" : "different"
  const facts = [...handshakeFacts, ...(prooftype.rests?.(revived.material) ?? [])]
  return { ...common, now, result, facts, sentence: sentenceOf(now, source, facts) }
}

function restsOnDelegation(reference: unknown): boolean {
  const accept = (reference as { accept?: unknown } | null | undefined)?.accept
  return Array.isArray(accept) && accept.some((identity) => (identity as { because?: unknown } | null)?.because === "secure-delegation")
}

function sameVerdict(a: Verdict, b: Verdict): boolean {
  if (a.outcome !== b.outcome) return false
  return a.outcome === "proved" || b.outcome === "proved" ? true : a.finding === b.finding
}

const handshakeFacts: readonly EvidenceFact[] = [
  { fact: "the peer held the leaf certificate's key in the TLS handshake", mark: "attested" },
  { fact: "the time of recording", mark: "attested" },
]

/** What may be said (security.md 25): conditional, with the facts it rests on. */
function sentenceOf(verdict: Verdict, source: string, facts: readonly EvidenceFact[]): string {
  if (verdict.outcome === "proved") {
    const marked = (wanted: EvidenceFact["mark"]): string => facts.flatMap(({ mark, fact }) => (mark === wanted ? [fact] : [])).join("; ")
    const signed = marked("signed")
    return `this material would have proved ${source} by ${verdict.by} until ${rfc3339(verdict.until)}, if these recorded facts are true: ${marked("attested")}${signed === "" ? "" : `. Signed, and checked again here: ${signed}`}`
  }
  return `this material does not prove ${source} by ${verdict.by}: ${findingSentence(verdict.finding as FindingId, verdict.detail)}`
}
