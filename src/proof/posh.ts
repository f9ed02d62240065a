// The POSH prooftype (seed 7.2, S7.2.1, S8.1; RFC 7711, RFC 7712 5.2; POSH-01 to POSH-27, POSH3-1 to POSH3-8): a document that a domain
// publishes over HTTPS lists the certificates its server may show. The fingerprint takes the place of authority and name;
// no host on the way to the document ever becomes a name of the domain (security.md 5).
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { FindingId } from "../model/findings.ts"
import type { Instant, ReferenceIdentity, ServerProof, Verdict } from "../model/verdict.ts"
import { type Certificate, CertificateError, parseCertificate } from "../x509/certificate.ts"
import { leafProblems } from "../x509/path-checks.ts"
import { findingOf } from "./pkix.ts"
import { type Descriptor, type HashName, hashes, wellKnownUrl } from "./posh-document.ts"
import { factsOfPosh, linesOfPosh, recordPosh, revivePosh } from "./posh-evidence.ts"
import { fetchTrail, nothingFetched, type PoshQuestion } from "./posh-fetch.ts"
import type { PoshMemory, Worth } from "./posh-memory.ts"
import { follow, type PoshMaterial, type PoshStep } from "./posh-trail.ts"
import type { Prooftype } from "./prooftype.ts"
import { rfc3339 } from "./prove.ts"

export interface PoshOptions {
  /** What was obtained before; without it, each time is the first. */
  readonly memory?: PoshMemory
  /** Whether the form of draft 03 is asked for where the final one is not published. */
  readonly older?: boolean
  /** What stands for port 443 on every hop, for labs; no URL may name another. */
  readonly port?: number
}

/** security.md 11: what holds longer is asked for hourly at most. */
const shortestRest = 3_600_000
/** What ends sooner than an hour is asked for in its last quarter, but not more often than this. */
const shortestLife = 60_000
/** Clocks of a recorder and a judge may differ by this, ms. */
const clockSlack = 300_000

type Step = Exclude<PoshStep, { kind: "ask" | "torn" }>
type Document = Extract<Step, { readonly until: Instant }>

/** Material that was obtained or revived has come to an end. */
function ended(material: PoshMaterial): Step {
  const step = follow(material)
  if (step.kind === "ask" || step.kind === "torn") return { kind: "failed", finding: "posh.too-many-redirects", detail: material.source, withdrawn: false }
  return step
}

/**
 * From half of its life on, but hourly at most, a document is asked for again; until its own end it serves (POSH-17;
 * security.md 11). What came to nothing does not age: the next connection asks anew.
 */
export function ageing(material: PoshMaterial): { readonly from: Instant; readonly until: Instant } {
  const step = ended(material)
  if (!("until" in step)) return { from: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY }
  const { at } = material
  const { until } = step
  const from = at + Math.max((until - at) / 2, shortestRest)
  if (from < until) return { from, until }
  return { from: Math.min(at + Math.max(Math.floor(((until - at) * 3) / 4), shortestLife), until - 1), until }
}

function worth(material: PoshMaterial): Worth {
  const step = ended(material)
  if ("until" in step) return { document: ageing(material), said: true }
  return { document: undefined, said: step.kind === "none" || step.withdrawn }
}

interface Match {
  readonly outcome: "match" | "mismatch" | "weaker"
  readonly detail: string
}

const digestNames = { "sha-512": "sha512", "sha-384": "sha384", "sha-256": "sha256" } as const satisfies Record<HashName, string>

/** POSH-06 to POSH-08, POSH-22: the strongest known hash of a descriptor speaks for it; any descriptor may match. */
function matchDescriptors(descriptors: readonly Descriptor[], leaf: Uint8Array): Match {
  const digests = new Map(hashes.map(([name]) => [name, createHash(digestNames[name]).update(leaf).digest()]))
  const fits = (descriptor: Descriptor, name: HashName): boolean => descriptor.get(name)?.equals(digests.get(name) as Uint8Array) === true
  let weaker: string | undefined
  for (const descriptor of descriptors) {
    const present = hashes.map(([name]) => name).filter((name) => descriptor.has(name))
    const [strongest, ...others] = present
    if (strongest === undefined) continue
    if (fits(descriptor, strongest)) return { outcome: "match", detail: strongest }
    const other = others.find((name) => fits(descriptor, name))
    if (other !== undefined) weaker ??= `${other} fits, ${strongest} does not`
  }
  if (weaker !== undefined) return { outcome: "weaker", detail: weaker }
  return { outcome: "mismatch", detail: `the certificate shown has the sha-256 ${digests.get("sha-256")?.toString("base64")}; it is none of ${descriptors.length}` }
}

function matchLeaves(leaves: readonly Uint8Array[], leaf: Uint8Array): Match {
  // POSH3-2, POSH3-8: the very certificate, in any place.
  if (leaves.some((each) => Buffer.from(each).equals(leaf))) return { outcome: "match", detail: "the certificate itself" }
  return { outcome: "mismatch", detail: `the certificate shown is none of ${leaves.length}` }
}

/** What is left to check of a listed certificate (POSH3-7: the older form has no other end than this): its form, its dates (POSH-19), its use; neither authority nor names. */
function problemOf(leaf: Certificate, at: Instant): { readonly finding: FindingId; readonly detail: string } | undefined {
  const rules = { at, purpose: "server", acceptAnyPurpose: true, strictPresented: false, strictAnchors: false } as const
  // Whoever makes a certificate of its own mostly makes it a CA's; the fingerprint names this one and nothing below it.
  const [problem] = leafProblems(leaf, rules, true).filter((each) => each.problem !== "ca-as-leaf")
  return problem === undefined ? undefined : { finding: findingOf[problem.problem], detail: problem.detail }
}

function judgeLeaf(step: Document, leaf: Uint8Array, at: Instant): Verdict {
  const by = "posh"
  const { outcome, detail } = step.kind === "fingerprints" ? matchDescriptors(step.descriptors, leaf) : matchLeaves(step.leaves, leaf)
  if (outcome !== "match") return { outcome: "refuted", by, finding: outcome === "weaker" ? "posh.weaker-hash" : "posh.mismatch", detail }
  let certificate: Certificate
  try {
    certificate = parseCertificate(leaf)
  } catch (error) {
    if (error instanceof CertificateError) return { outcome: "refuted", by, finding: "cert.malformed", detail: error.detail }
    throw error
  }
  const problem = problemOf(certificate, at)
  if (problem !== undefined) return { outcome: "refuted", by, ...problem }
  return { outcome: "proved", by, detail, until: Math.min(step.until, certificate.notAfter) }
}

function matchPosh(proof: ServerProof, material: PoshMaterial, reference: ReferenceIdentity, at: Instant): Verdict {
  const by = "posh"
  // One domain's document never vouches for another domain or service.
  if (material.source !== reference.source || material.service !== reference.service) {
    return { outcome: "unavailable", by, finding: "proof.internal", detail: `the material is about ${material.service} of ${material.source}` }
  }
  const step = ended(material)
  // POSH-25: nothing published is no failure.
  if (step.kind === "none") return { outcome: "absent", by, finding: "posh.not-published", detail: step.detail }
  // POSH-09: who says that nothing holds has said something, unlike who says what cannot be read.
  if (step.kind === "failed") return { outcome: step.withdrawn ? "refuted" : "unavailable", by, finding: step.finding, detail: step.detail }
  const [leaf] = proof.chain
  if (leaf === undefined) return { outcome: "absent", by, finding: "cert.none-shown", detail: "" }
  if (at >= step.until || at < material.at - clockSlack) return { outcome: "unavailable", by, finding: "posh.expired", detail: "it could not be asked for again in time" }
  return judgeLeaf(step, leaf, at)
}

/** The prooftype with a memory of its own, or with the older form. */
export function createPosh({ memory, older = false, port = 443 }: PoshOptions = {}): Prooftype<"posh", PoshMaterial> {
  return {
    name: "posh",
    atHand: false,
    needsSecureDns: false,
    dispensable: true,
    match: matchPosh,
    // POSH-13: a mismatch leaves room for other proofs.
    binding: () => false,
    ageing,
    // Each web server on the way is judged again.
    withAnchors: (material, anchors) => (material.anchors.digest === anchors.digest ? material : { ...material, anchors }),
    record: recordPosh,
    revive: revivePosh,

    async obtain({ source, service, role }, ports) {
      const questionAt = (at: Instant): PoshQuestion => ({ source, service, at, port, older, anchors: ports.anchors })
      if (memory === undefined) return await fetchTrail(questionAt(ports.at), ports)
      const url = wellKnownUrl(source, service)
      return await memory.obtain({
        key: [service, source, port, older, ports.anchors.digest].join(" "),
        stranger: role === "incoming",
        ...(ports.source === undefined ? {} : { source: ports.source }),
        signal: ports.signal,
        run: (signal, at) => fetchTrail(questionAt(at), { ...ports, signal, at }),
        worth,
        wasCapped: ({ exchanges }) => exchanges.at(-1)?.failure?.kind === "capped",
        without: (kind, at) => nothingFetched(questionAt(at), url, kind, kind === "capped" ? "too many at once" : "no document in time"),
      })
    },

    facts(material) {
      const step = ended(material)
      const end = "until" in step ? ([["holds until", rfc3339(step.until)]] as const) : []
      const lists = step.kind === "fingerprints" ? ([["fingerprints", String(step.descriptors.length)]] as const) : []
      return [...linesOfPosh(material), ...lists, ...end]
    },

    rests: factsOfPosh,

    since: ({ at }) => at,
  }
}

export const posh = createPosh()
