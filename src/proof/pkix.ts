// The PKIX prooftype (seed 7, S7.1.1; RFC 6120 13.7.2, RFC 5280, RFC 9525): a path to a known root, and a name in the leaf.
import type { FindingId } from "../model/findings.ts"
import type { Instant, ReferenceIdentity, ServerProof, Verdict } from "../model/verdict.ts"
import type { Anchor, AnchorSet } from "../x509/anchors.ts"
import { matchIdentity, type NamedCertificate } from "../x509/identifiers.ts"
import { nameText } from "../x509/names.ts"
import { type PathProblem, type RefusedPath, validatePath } from "../x509/path.ts"
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

/** A path that was found, without its certificates: thousands of streams keep one, and they are many times as large as what is asked later. */
interface FoundPath {
  readonly ok: true
  readonly anchors: AnchorSet
  readonly anchor: Anchor
  /** The names of the end certificate, and who it says it is. */
  readonly leaf: NamedCertificate
  readonly subjectText: string
  readonly from: Instant
  readonly until: Instant
}

/** Paths that were found, by the chain as it was shown, by which thousands of pairs may be claimed. */
const found = new WeakMap<ServerProof["chain"], FoundPath>()

/**
 * For so long what was refused is not tried again, ms: a peer without a good certificate claims hundreds of pairs by their keys, and each
 * search costs signatures. A certificate whose time begins meanwhile waits as long; none is taken that is not good.
 */
const refusalHolds = 1000

/** Refusals, by the chain as it was shown. */
const refused = new WeakMap<ServerProof["chain"], { readonly anchors: AnchorSet; readonly at: Instant; readonly path: RefusedPath }>()

/**
 * The path as of this moment. One that was found holds until it ends, with the same anchors; whether a name is its own is no part
 * of it and is never kept (security.md 8).
 */
function pathOf(chain: ServerProof["chain"], anchors: AnchorSet, at: Instant): FoundPath | RefusedPath {
  const known = found.get(chain)
  if (known !== undefined && known.anchors === anchors && at >= known.from && at < known.until) return known
  const before = refused.get(chain)
  if (before !== undefined && before.anchors === anchors && at >= before.at && at - before.at < refusalHolds) return before.path
  const path = validatePath({ chain, anchors, at, purpose: "server" })
  if (!path.ok) {
    refused.set(chain, { anchors, at, path })
    return path
  }
  const { anchor, from, until } = path
  const [leaf] = path.path
  // What has no text is never compared, and is a view of the whole certificate.
  const subjectAltNames = leaf?.subjectAltNames?.filter((name) => "text" in name)
  const slim: FoundPath = { ok: true, anchors, anchor, leaf: { subjectAltNames }, subjectText: leaf?.subjectText ?? "nobody", from, until }
  found.set(chain, slim)
  return slim
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
    const identity = matchIdentity(path.leaf, reference.accept)
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
    return path?.ok === true ? [{ fact: `the certificate of ${path.subjectText} leads to the trust anchor ${nameText(path.anchor.subject)}`, mark: "signed" }] : []
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
