// The PKIX prooftype (seed 7, S7.1.1; RFC 6120 13.7.2, RFC 5280, RFC 9525): a path to a known root, and a name in the leaf.
import type { FindingId } from "../model/findings.ts"
import type { Instant, ReferenceIdentity, ServerProof, Verdict } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { matchIdentity } from "../x509/identifiers.ts"
import { nameText } from "../x509/names.ts"
import { type PathProblem, type ProvedPath, type RefusedPath, validatePath } from "../x509/path.ts"
import type { Prooftype } from "./prooftype.ts"

/** What PKIX needs is at hand: the roots this installation knows. Evidence names them by digest and count. */
export interface PkixMaterial {
  readonly anchors: AnchorSet
}

/** Each way a path can fail has a finding of its own. */
export const findingOf: Record<PathProblem, FindingId> = {
  expired: "cert.expired",
  "not-yet-valid": "cert.not-yet-valid",
  "no-path": "cert.unknown-root",
  "self-signed": "cert.self-signed",
  "unknown-root": "cert.unknown-root",
  "incomplete-chain": "cert.incomplete-chain",
  "bad-signature": "cert.bad-signature",
  "weak-key": "cert.weak-key",
  "unsupported-algorithm": "cert.weak-key",
  purpose: "cert.client-only",
  "name-constraints": "cert.constraints",
  "path-length": "cert.bad-chain",
  "not-a-ca": "cert.bad-chain",
  "ca-as-leaf": "cert.bad-chain",
  "unknown-critical-extension": "cert.bad-chain",
  malformed: "cert.malformed",
  budget: "cert.too-complex",
}

/** Paths that were found, by the chain as it was shown on one stream, which claims the names of thousands of pairs. */
const found = new WeakMap<ServerProof["chain"], { readonly anchors: AnchorSet; readonly path: ProvedPath }>()

/**
 * The path as of this moment. One that was found holds until it ends, with the same anchors; names are no part of it and are
 * never kept (security.md 8).
 */
function pathOf(chain: ServerProof["chain"], anchors: AnchorSet, at: Instant): ProvedPath | RefusedPath {
  const known = found.get(chain)
  if (known !== undefined && known.anchors === anchors && at >= known.path.from && at < known.path.until) return known.path
  const path = validatePath({ chain, anchors, at, purpose: "server" })
  if (path.ok) found.set(chain, { anchors, path })
  return path
}

export const pkix: Prooftype<"pkix", PkixMaterial> = {
  name: "pkix",
  atHand: true,
  needsSecureDns: false,

  obtain: (_subject, { anchors }) => ({ anchors }),

  match(proof: ServerProof, { anchors }: PkixMaterial, reference: ReferenceIdentity, at: Instant): Verdict {
    const by = "pkix"
    if (proof.chain.length === 0) return { outcome: "absent", by, finding: "cert.none-shown", detail: "" }
    // EKU-01: an initiating server's certificate is judged as a server's, too; public authorities issue nothing else.
    const path = pathOf(proof.chain, anchors, at)
    if (!path.ok) return { outcome: "refuted", by, finding: findingOf[path.problem], detail: path.detail }
    const leaf = path.path[0]
    if (leaf === undefined) return { outcome: "refuted", by, finding: "cert.malformed", detail: "an empty path" }
    const identity = matchIdentity(leaf, reference.accept)
    if (!("matched" in identity)) {
      const shown = identity.presented.length === 0 ? "names nothing" : `is for ${identity.presented.slice(0, 8).join(", ")}`
      return { outcome: "refuted", by, finding: "pkix.name-mismatch", detail: `the certificate ${shown}, wanted ${reference.source}` }
    }
    return { outcome: "proved", by, detail: `${identity.matched.type} ${identity.matched.presented}`, until: path.until }
  },

  // A certificate from an unknown authority says nothing about other proofs.
  binding: () => false,

  record: ({ anchors }) => ({ anchors: { digest: anchors.digest, count: anchors.count } }),

  revive(recorded, known) {
    const digest = (recorded as { anchors?: { digest?: unknown } } | null)?.anchors?.digest
    if (typeof digest !== "string") return { cannotJudge: "the evidence does not name its trust anchors" }
    const anchors = known.get(digest)
    if (anchors === undefined) return { cannotJudge: `the trust anchors ${digest.slice(0, 16)}… are not known here; name their file with --anchors` }
    return { material: { anchors } }
  },

  // security.md 25: chains are signed, and were checked again.
  rests({ anchors }, { chain }, at) {
    const path = chain.length === 0 ? undefined : pathOf(chain, anchors, at)
    return path?.ok === true ? [{ fact: `the certificate of ${path.path[0]?.subjectText ?? "nobody"} leads to the trust anchor ${nameText(path.anchor.subject)}`, mark: "signed" }] : []
  },

  since({ anchors }, { chain }, at) {
    const path = pathOf(chain, anchors, at)
    return path.ok ? path.from : at
  },

  facts: ({ anchors }) => [
    ["trust anchors", String(anchors.count)],
    ["digest", anchors.digest],
  ],
}
