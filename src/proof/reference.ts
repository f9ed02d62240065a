// Reference identities (RFC 6120 13.7.2.1, RFC 9525, RFC 7673 4.1): built from what we asked for, never from what is shown.
import type { Delegation } from "../model/endpoint.ts"
import type { AcceptedIdentity, ReferenceIdentity } from "../model/verdict.ts"
import type { ProofSubject } from "./prooftype.ts"

/**
 * The names that would prove the subject: its source domain, and the SRV target only where the delegation is secure
 * (ID-12, DANE-13, DANE-14).
 */
export function referenceIdentity(
  subject: Pick<ProofSubject, "source" | "service"> & { endpoint?: { readonly delegation: Pick<Delegation, "source" | "derived" | "secure"> } | undefined },
): ReferenceIdentity {
  const { source, service } = subject
  const accept: AcceptedIdentity[] = [
    { type: "DNS-ID", value: source, because: "source" },
    // ID-04: service and name are one value, so a service from one name cannot meet the domain of another.
    { type: "SRV-ID", value: `_${service}.${source}`, because: "source" },
    { type: "XmppAddr", value: source, because: "source" },
  ]
  const delegation = subject.endpoint?.delegation
  if (delegation?.secure === true && delegation.source === source && delegation.derived !== source) {
    accept.push({ type: "DNS-ID", value: delegation.derived, because: "secure-delegation" })
    accept.push({ type: "SRV-ID", value: `_${service}.${delegation.derived}`, because: "secure-delegation" })
  }
  return { source, service, accept }
}
