// What discovery, handshakes and certificates showed, as the report writes it (RFC 3339 times, hashes as `sha256:` and hexadecimal).
import { createHash } from "node:crypto"
import { parseAddress } from "../model/address.ts"
import type { AnyDnsAnswer } from "../model/dns-answer.ts"
import type { Instant, Verdict } from "../model/verdict.ts"
import { type Certificate, CertificateError, parseCertificate, presentedNames } from "../x509/certificate.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import { type Obtained, type Proven, rfc3339 } from "../proof/prove.ts"
import type { StreamFeatures } from "../stream/features.ts"
import { offersDialback } from "./climb.ts"
import type { Climb } from "./question.ts"
import type { AnswerResult, CertificateResult, EndpointResult, ProofResult } from "./report.ts"

/** An end that is none is not written; nor is one beyond what a date can be. */
export function timeOf(at: Instant | undefined): string | null {
  return at === undefined || !Number.isFinite(at) || Math.abs(at) > 8.64e15 ? null : rfc3339(at)
}

const hash = (octets: Uint8Array): string => `sha256:${createHash("sha256").update(octets).digest("hex")}`

export function fingerprintOf(der: Uint8Array): string {
  return hash(der)
}

/** A hostile server's words fill no report. */
export const short = (words: string): string => (words.length <= longestWords ? words : `${words.slice(0, longestWords)}…`)
const longestWords = 500

const purposes: Readonly<Record<string, string>> = {
  "1.3.6.1.5.5.7.3.1": "serverAuth",
  "1.3.6.1.5.5.7.3.2": "clientAuth",
  "2.5.29.37.0": "anyExtendedKeyUsage",
}

/** Undefined: it cannot be read. */
export function readCertificate(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der)
  } catch (error) {
    if (!(error instanceof CertificateError)) throw error
    return undefined
  }
}

export function certificateResult(certificate: Certificate): CertificateResult {
  const { subjectText, issuerText, serial, notBefore, notAfter, key, spki, extendedKeyUsage = [], selfIssued } = certificate
  return {
    names: presentedNames(certificate),
    subject: subjectText,
    issuer: issuerText,
    serial: serial.toString("hex"),
    notBefore: rfc3339(notBefore),
    notAfter: rfc3339(notAfter),
    key: key.name,
    spki: hash(spki),
    extendedKeyUsage: extendedKeyUsage.map((oid) => purposes[oid] ?? oid),
    selfIssued,
  }
}

/** Each record as it would stand in a zone file, without name, time and type. */
function recordText(answer: AnyDnsAnswer): string[] {
  switch (answer.type) {
    case "A":
    case "AAAA":
      return answer.records.map(({ address }) => address)
    case "SRV":
      return answer.records.map(({ priority, weight, port, target }) => `${priority} ${weight} ${port} ${target === "." ? "." : `${target}.`}`)
    case "TLSA":
      return answer.records.map(({ usage, selector, matching, association }) => `${usage} ${selector} ${matching} ${association}`)
    default:
      return answer.records.map((record) => JSON.stringify(record))
  }
}

/** Records of one answer that are written: a hostile one has thousands. */
const mostRecords = 32

export function answerResult(answer: AnyDnsAnswer): AnswerResult {
  const { name, type, status, outcome, why, validatedBy, signaturesUntil } = answer
  return {
    name,
    type,
    status,
    outcome,
    records: recordText(answer).slice(0, mostRecords),
    why: why.map(({ detail, upstream }) => (upstream === undefined ? detail : `${detail} (${upstream})`)),
    validatedBy,
    signaturesUntil: timeOf(signaturesUntil),
  }
}

/** A verdict by itself, without the material it rests on. */
export function verdictResult(verdict: Verdict): ProofResult {
  const finding = verdict.outcome === "proved" ? null : verdict.finding
  const until = verdict.outcome === "proved" ? timeOf(verdict.until) : null
  return { proof: verdict.by, state: verdict.outcome, detail: verdict.detail, finding, needsSecureDns: false, facts: [], until }
}

function proofResult(prooftype: AnyProoftype, verdict: Verdict, proven: Proven, shown: boolean): ProofResult {
  const { name, needsSecureDns } = prooftype
  const kept = proven.kept.find((each) => each.prooftype === name)
  const facts = kept === undefined ? [] : prooftype.facts(kept.material).map(([label, value]): [string, string] => [label, value])
  // Where nothing was shown, only what the material says by itself is a verdict.
  const judged = shown || (kept !== undefined && (verdict.outcome === "absent" || verdict.outcome === "unavailable"))
  if (!judged) return { proof: name, state: "untried", detail: "", finding: null, needsSecureDns, facts, until: null }
  return { ...verdictResult(verdict), proof: name, needsSecureDns, facts }
}

/** One for each prooftype, in the order they were asked in, then dialback where servers connect. */
export function proofResults({ proven, obtained, proof, after, before }: Climb, dialback: boolean): ProofResult[] {
  const results =
    proven === undefined
      ? []
      : obtained.flatMap(({ prooftype }: Obtained, index) => {
          const verdict = proven.verdicts[index]
          return verdict === undefined ? [] : [proofResult(prooftype, verdict, proven, proof !== undefined)]
        })
  if (!dialback) return results
  const opened = after ?? before
  const state = opened === undefined ? "untried" : offersDialback(opened) ? "offered" : "absent"
  // DB-02: servers that do not have it declare the namespace all the same.
  const detail = state === "offered" && opened?.features.dialback === undefined ? "by the namespace of its header alone" : ""
  return [...results, { proof: "dialback", state, detail, finding: null, needsSecureDns: false, facts: [], until: null }]
}

function featureNames(features: StreamFeatures, dialback: boolean): string[] {
  const { mechanisms, dialback: feature, bidi, pipelining, management } = features
  const named: readonly (readonly [string, boolean])[] = [
    ["external", mechanisms.includes("EXTERNAL")],
    ["dialback", dialback],
    ["dialback-errors", feature?.errors === true],
    ["bidi", bidi],
    ["pipelining", pipelining],
    ["stream-management", management],
  ]
  return named.flatMap(([name, offered]) => (offered ? [name] : []))
}

/** What one endpoint showed, before anything is concluded. */
export function endpointFacts(climbed: Climb, dialback: boolean): Omit<EndpointResult, "level" | "findings" | "state"> {
  const { endpoint, steps, ms, before, proof, after, login } = climbed
  const { address, port, transport, addressStatus, delegation } = endpoint
  const chain = (proof?.chain ?? []).map(fingerprintOf)
  const opened = after ?? before
  return {
    host: delegation.derived,
    port,
    address,
    family: parseAddress(address)?.length === 16 ? 6 : 4,
    transport,
    addressStatus,
    via: delegation.via,
    secureDelegation: delegation.secure,
    steps,
    ms,
    tls: proof?.protocol ?? null,
    cipher: proof?.cipher ?? null,
    alpn: proof?.alpn ?? null,
    starttls: before === undefined ? null : before.features.starttls === undefined ? "not-offered" : before.features.starttls.required ? "required" : "offered",
    from: after?.header.from === undefined ? null : short(after.header.from),
    features: opened === undefined ? [] : featureNames(opened.features, dialback && offersDialback(opened)),
    mechanisms: (after?.features.mechanisms ?? []).slice(0, mostRecords).map(short),
    certificate: chain[0] ?? null,
    chain,
    proofs: proofResults(climbed, dialback),
    login: login === null ? null : { ...login, detail: short(login.detail) },
  }
}
