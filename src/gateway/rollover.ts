// When a renewed certificate is shown: not before whatever a peer may still remember vouches for it (RFC 7711 6, RFC 7671 8.1;
// POSH-08, POSH-17, DANE-30). Pure: what is published, what is in DNS and the moment are arguments.
import type { TlsaRecord } from "../model/dns-answer.ts"
import type { Domain } from "../model/domain.ts"
import type { AcceptedIdentity, Instant } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { referenceIdentity } from "../proof/reference.ts"
import { matchTlsa, selectTlsa, type TlsaPolicy, tlsaParameters } from "../proof/tlsa.ts"

/** A certificate as it is or would be shown. */
export interface RolloverCertificate {
  /** DER, the domain's own first. */
  readonly chain: readonly Uint8Array[]
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string
  readonly notBefore: Instant
  readonly notAfter: Instant
}

/** A document of fingerprints that was served for the domain; the last one still is. */
export interface PublishedDocument {
  /** SHA-256 of each certificate, hex. */
  readonly fingerprints: readonly string[]
  readonly expiresMs: number
  readonly from: Instant
  /** When it was replaced; absent while it is served. */
  readonly to?: Instant
}

/** One answer of DNS about the TLSA records of one server of the domain, from when to when it was seen. */
export interface SeenTlsa {
  /** Owner of the records. */
  readonly name: string
  /** The TLSA base domain, which may stand in a certificate that descends from a named authority (DANE-17). */
  readonly base: Domain
  readonly records: readonly TlsaRecord[]
  readonly firstSeen: Instant
  readonly lastSeen: Instant
  readonly ttlMs: number
  /** No later answer has replaced it. */
  readonly current: boolean
  /** What DNS said before is not known. */
  readonly first: boolean
}

/** `off`: nobody looks; `unseen`: nobody has looked yet. */
export type TlsaSight = { readonly kind: "off" } | { readonly kind: "unseen" } | { readonly kind: "seen"; readonly answers: readonly SeenTlsa[] }

export interface RolloverQuestion {
  readonly domain: Domain
  /** What is shown now; undefined at the start. */
  readonly current: RolloverCertificate | undefined
  /** What the folders hold now. */
  readonly candidate: RolloverCertificate
  /** When the candidate was first found. */
  readonly since: Instant
  /** Every document that speaks for the domain and that peers may remember; undefined where none is served. */
  readonly documents: readonly PublishedDocument[] | undefined
  readonly tlsa: TlsaSight
  readonly policy: TlsaPolicy
  readonly anchors: AnchorSet | undefined
  readonly now: Instant
}

export type RolloverReason =
  | "first"
  | "unchanged"
  | "nothing-published"
  | "published-long-enough"
  | "not-valid-yet"
  | "posh"
  | "tlsa"
  | "dns-unseen"
  | "old-ended"
  | "abandoned"

export interface RolloverDecision {
  readonly serve: "current" | "candidate"
  readonly because: RolloverReason
  readonly sentence: string
  /** When the hold ends by itself, at the latest; only while the current one is served. */
  readonly until?: Instant
  /** Peers may refuse the new certificate: said loudly. */
  readonly breaks?: true
}

/** POSH-18: a web cache between may show a document a little longer than it was served; and clocks differ. */
export const cacheSlack = 60_000 + 300_000
/** A look into DNS that does not come must not hold a certificate back for long, ms. */
export const unseenPatience = 15 * 60_000
/** DNS is looked at again this often while it holds a certificate back, ms. */
export const lookAgain = 5 * 60_000

interface Hold {
  readonly because: "posh" | "tlsa" | "dns-unseen" | "not-valid-yet"
  readonly until: Instant
  readonly sentence: string
}

/**
 * What to show, now. Whatever a peer may remember must vouch for the new certificate wherever it vouches for the old one:
 * POSH names whole certificates, so that a new certificate with the same key waits as well; TLSA mostly names keys.
 * Nothing holds a certificate back beyond the end of the old one.
 */
export function planRollover(question: RolloverQuestion): RolloverDecision {
  const { current, candidate, domain, now } = question
  if (current === undefined) return first(question)
  if (current.fingerprint === candidate.fingerprint) return { serve: "candidate", because: "unchanged", sentence: `${domain} shows what is on disk` }
  const holds = [...validityHold(question), ...poshHolds(question, current), ...tlsaHolds(question, current)]
  const longest = holds.reduce<Hold | undefined>((worst, hold) => (worst === undefined || hold.until > worst.until ? hold : worst), undefined)
  if (longest === undefined) {
    if (question.documents !== undefined) return { serve: "candidate", because: "published-long-enough", sentence: `${domain}: the new certificate is in every document that peers may remember` }
    return { serve: "candidate", because: "nothing-published", sentence: `${domain}: nothing that is published depends on the certificate` }
  }
  // Whatever is published, an expired certificate proves nothing (POSH-19).
  if (now >= current.notAfter) {
    return { serve: "candidate", because: "old-ended", breaks: true, sentence: `${domain}: the old certificate has ended, so the new one is shown although ${longest.sentence}` }
  }
  const until = Math.min(longest.until, current.notAfter)
  return { serve: "current", because: longest.because, until, sentence: `${domain} still shows the old certificate: ${longest.sentence}` }
}

/** With nothing else to show, all that is left is to say what it costs: a renewal while nobody served, say. */
function first({ domain, candidate, documents, now }: RolloverQuestion): RolloverDecision {
  const without = (documents ?? []).some(({ fingerprints, expiresMs, to }) => !fingerprints.includes(candidate.fingerprint) && (to ?? now) + expiresMs + cacheSlack > now)
  if (!without) return { serve: "candidate", because: "first", sentence: `${domain} shows the certificate found` }
  return { serve: "candidate", because: "first", breaks: true, sentence: `${domain}: the certificate that was shown before is gone, so the one found is shown although peers may remember a POSH document without it` }
}

function* validityHold({ candidate, now }: RolloverQuestion): Generator<Hold> {
  if (candidate.notBefore > now) yield { because: "not-valid-yet", until: candidate.notBefore, sentence: "the new one is not valid yet" }
}

/** POSH-17: a document counts until its own `expires` is over, wherever it was fetched last. */
function* poshHolds({ documents, candidate, now }: RolloverQuestion, current: RolloverCertificate): Generator<Hold> {
  for (const { fingerprints, expiresMs, to } of documents ?? []) {
    if (!fingerprints.includes(current.fingerprint) || fingerprints.includes(candidate.fingerprint)) continue
    const until = (to ?? now) + expiresMs + cacheSlack
    if (until > now) yield { because: "posh", until, sentence: "peers may remember a POSH document without the new one" }
  }
}

function* tlsaHolds(question: RolloverQuestion, current: RolloverCertificate): Generator<Hold> {
  const { tlsa, candidate, since, now } = question
  if (tlsa.kind === "off") return
  if (tlsa.kind === "unseen") {
    const until = since + unseenPatience
    if (until > now) yield { because: "dns-unseen", until, sentence: "its TLSA records have not been looked at yet" }
    return
  }
  for (const answer of tlsa.answers) {
    const remembered = answer.lastSeen + answer.ttlMs
    if (!answer.current && remembered <= now) continue
    const old = fittingRecord(answer, current, question)
    // Records that do not fit the old one prove nothing today; the new one cannot break what they prove.
    if (old === undefined) continue
    const fresh = fittingRecord(answer, candidate, question)
    if (fresh === undefined) {
      // While DNS says so there is no end in sight but that of the old certificate.
      const until = answer.current ? Number.POSITIVE_INFINITY : remembered
      const sentence = answer.current ? `publish a TLSA record for the new one at ${answer.name} (${kinds(answer.records)})` : `peers may remember TLSA records at ${answer.name} without the new one`
      yield { because: "tlsa", until, sentence }
    } else if (fresh !== old && answer.first && answer.firstSeen + answer.ttlMs > now) {
      // It fits by a record of its own, and nobody knows since when that is there.
      yield { because: "tlsa", until: answer.firstSeen + answer.ttlMs, sentence: `the TLSA record for the new one at ${answer.name} may be younger than its TTL` }
    }
  }
}

/** What is needed to say whether a certificate fits records. */
export type TlsaMeasure = Pick<RolloverQuestion, "domain" | "policy" | "anchors" | "now">

/** By which record the certificate fits, if by any. */
export function fittingRecord({ records, base }: SeenTlsa, { chain }: Pick<RolloverCertificate, "chain">, { domain, policy, anchors, now }: TlsaMeasure): string | undefined {
  const { usable } = selectTlsa(records, policy)
  if (usable.length === 0) return undefined
  const accept: AcceptedIdentity[] = [...referenceIdentity({ source: domain, service: "xmpp-server" }).accept]
  if (base !== domain) accept.push({ type: "DNS-ID", value: base, because: "secure-delegation" })
  const found = matchTlsa(usable, { chain, accept, at: now, anchors })
  return found.matched ? `${tlsaParameters(found.record)} ${found.record.association.toString("hex")}` : undefined
}

/** `3 1 1, 2 0 1`. */
export function kinds(records: readonly TlsaRecord[]): string {
  return [...new Set(records.map(tlsaParameters))].slice(0, 4).join(", ")
}
