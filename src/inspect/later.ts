// Prooftypes that judge certificates as of another moment (RFC 5280 4.1.2.5): what holds now, and will it then.
import type { Instant } from "../model/verdict.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"

/**
 * What was obtained counts as obtained then, so that it is the dates in certificates that decide: of the domain's server and, for POSH,
 * of its web server. DANE stays as of now: a key in DNS has no dates, and the signatures there are made anew every few days.
 */
export function judgedAt(at: Instant): (prooftype: AnyProoftype) => AnyProoftype {
  return (prooftype) => {
    if (prooftype.needsSecureDns) return prooftype
    const dated = (material: unknown): unknown => (typeof material === "object" && material !== null && "at" in material ? { ...material, at } : material)
    return { ...prooftype, match: (proof, material, reference) => prooftype.match(proof, dated(material), reference, at) }
  }
}
