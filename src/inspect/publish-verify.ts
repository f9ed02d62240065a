// A published POSH document as a peer reads it, and whether it names the certificates that it should (RFC 7711 3, 10; POSH-03, POSH-06).
import { findings } from "../model/findings.ts"
import type { Instant } from "../model/verdict.ts"
import { posh } from "../proof/posh.ts"
import { linesOfPosh } from "../proof/posh-evidence.ts"
import { follow, type PoshMaterial } from "../proof/posh-trail.ts"
import { rfc3339 } from "../proof/prove.ts"
import { referenceIdentity } from "../proof/reference.ts"
import type { PublishedFile } from "./publish-certificate.ts"

export interface PoshVerified {
  /** unknown: could not tell, which is no fault of the domain's. */
  readonly state: "good" | "bad" | "unknown"
  readonly finding: string | null
  readonly sentence: string
  /** What each step on the way answered. */
  readonly trail: readonly string[]
  readonly names: number | null
  readonly until: string | null
  readonly certificates: readonly { readonly file: string; readonly outcome: string; readonly detail: string }[]
}

/** @param files certificates that the document should name; may be empty */
export function verifyPosh(material: PoshMaterial, files: readonly PublishedFile[], at: Instant): PoshVerified {
  // security.md 27: without the queries of URLs.
  const trail = linesOfPosh(material).map(([url, came]) => `${url}: ${came}`)
  const step = follow(material)
  const rest = { trail, names: null, until: null, certificates: [] }
  if (step.kind === "none") return { ...rest, state: "bad", finding: "posh.not-published", sentence: `${findings["posh.not-published"].sentence}: ${step.detail}` }
  if (step.kind === "failed") {
    const { sentence, severity } = findings[step.finding]
    return { ...rest, state: severity === "unknown" && !step.withdrawn ? "unknown" : "bad", finding: step.finding, sentence: `${sentence}: ${step.detail}` }
  }
  if (step.kind === "ask" || step.kind === "torn") return { ...rest, state: "unknown", finding: "posh.too-many-redirects", sentence: "the way to the document did not come to an end" }
  const { source, service } = material
  const reference = referenceIdentity({ source, service })
  const certificates = files.map(({ file, leaf }) => {
    const shown = { chain: [leaf.der], presentedAs: "tls-server", protocol: "", cipher: "", serverName: undefined, alpn: undefined } as const
    const verdict = posh.match(shown, material, reference, at)
    return { file, outcome: verdict.outcome, finding: verdict.outcome === "proved" ? null : verdict.finding, detail: verdict.detail }
  })
  const names = step.kind === "fingerprints" ? step.descriptors.length : step.leaves.length
  const facts = { trail, names, until: rfc3339(step.until), certificates: certificates.map(({ file, outcome, detail }) => ({ file, outcome, detail })) }
  const wrong = certificates.find(({ outcome }) => outcome !== "proved")
  if (wrong !== undefined) return { ...facts, state: "bad", finding: wrong.finding, sentence: `the document is good, and does not prove ${wrong.file}: ${wrong.detail}` }
  const which = files.length === 0 ? "" : `, ${files.length === 1 ? "the one given among them" : `all ${files.length} given among them`}`
  return { ...facts, state: "good", finding: null, sentence: `the document is good and names ${names} certificate${names === 1 ? "" : "s"}${which}` }
}
