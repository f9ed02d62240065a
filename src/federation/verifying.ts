// The connect-back: asking the authoritative server of a claimed sender domain (RFC 7712 4.3, XEP-0220 2.1.2, XEP-0344).
// Only over a connection we open ourselves, to an endpoint from our own resolution (security.md 2; DB-12, DB-37).
import { type Association, type DomainPair, type FederationLevel, weaker } from "../model/association.ts"
import { StreamClosed } from "../model/errors.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import { shortfall } from "../model/policy.ts"
import type { ServerProof } from "../model/verdict.ts"
import { parseCertificate } from "../x509/certificate.ts"
import { matchIdentity } from "../x509/identifiers.ts"
import type { Proven } from "../proof/prove.ts"
import { referenceIdentity } from "../proof/reference.ts"
import { partWithin } from "../stream/closing.ts"
import { associate, type AssociatedStream } from "./associate.ts"
import type { Claimant } from "./claim-guard.ts"
import { associationByCertificate, judgeIncoming } from "./claims.ts"
import type { Federation } from "./contract.ts"
import { deadline } from "./deadline.ts"
import { type DialbackErrorDetail, isDialback, readDialback, verifyRequestXml } from "./dialback.ts"
import { sourcePrefix } from "./proof-budget.ts"
import { requirementOf } from "./ratchet.ts"
import { OutgoingRefused, refusalOf } from "./refusal.ts"

export interface ClaimToVerify {
  readonly pair: DomainPair
  /** Of our response header on the asserting stream, after its latest restart. */
  readonly id: string
  readonly key: string
  readonly stream: string
  readonly epoch: number
  /** What the asserting stream showed; undefined without TLS. */
  readonly asserting: ServerProof | undefined
  readonly claimant: Claimant
}

export type Verification =
  | { readonly outcome: "valid"; readonly association: Association }
  | { readonly outcome: "invalid" | "error"; readonly error: DialbackErrorDetail | undefined; readonly finding: FindingId; readonly detail: string; readonly shown?: Proven }

/**
 * Verifies a `db:result` claim with the sender's own server.
 *
 * Never rejects: whatever goes wrong is an outcome. To the claimant all ways of not reaching the server look alike
 * (security.md 17).
 */
export async function verifyClaim(federation: Federation, claim: ClaimToVerify, signal: AbortSignal): Promise<Verification> {
  const { clock } = federation.ports
  const { pair, claimant } = claim
  const recent = federation.claims.recentFailure(pair, claimant)
  if (recent !== undefined) return unreachable("auth.dialback-error", recent)
  const { budget } = claimant
  if (budget?.spend("verification") === false) return { outcome: "error", error: { condition: "resource-constraint" }, finding: "reach.budget", detail: "" }
  const leave = federation.claims.enter(claimant)
  if (leave === undefined) return { outcome: "error", error: { condition: "resource-constraint" }, finding: "reach.capped", detail: "too many verifications at once" }
  const limit = deadline(clock, federation.current().times.verification, "the verification", signal)
  let leg: AssociatedStream | undefined
  let shown: Proven | undefined
  const held = (): void => {
    budget?.held()
    federation.claims.held(pair, claimant)
  }
  // What the certificate was judged by is evidence of a refusal, too.
  const withShown = (verification: Verification): Verification => (verification.outcome === "valid" || shown === undefined ? verification : { ...verification, shown })
  try {
    await budget?.turn("verification", limit.signal)
    shown = await judgeShown(federation, claim, limit.signal)
    const settled = shown === undefined ? undefined : settledByShown(federation, claim, shown)
    if (settled?.outcome === "valid") held()
    if (settled !== undefined) return withShown(settled)
    leg = await associate(federation, { sender: pair.target, target: pair.sender }, limit.signal, { source: sourcePrefix(claimant.address) })
    const verification = await ask(federation, claim, leg, limit.signal)
    if (verification.outcome === "valid") held()
    else if (!limit.signal.aborted) federation.claims.failed(pair, claimant, verification.detail)
    return withShown(verification)
  } catch (error) {
    const refused = refusalOf(error, limit.signal)
    if (!(refused instanceof OutgoingRefused)) throw error
    const { finding, detail } = refused.failure
    // What only our own limits stopped says nothing about the claim.
    if (!signal.aborted && finding !== "reach.capped") federation.claims.failed(pair, claimant, findingSentence(finding, detail))
    // The authoritative server does not serve the domain: DB-30 has a condition for it.
    if (finding === "stream.host-unknown") return withShown({ outcome: "error", error: { condition: "remote-server-not-found" }, finding, detail })
    return withShown(unreachable(finding, detail))
  } finally {
    limit.done()
    leave()
    if (leg !== undefined) {
      // DB-13: a connection for one verification is closed right after it.
      leg.stream.lastWords()
      partWithin(leg.stream.channel, clock, federation.current().times.closing)
      federation.event({ kind: "closed", at: clock.now(), stream: leg.name, direction: "out", pair: leg.pair, reason: "verification done", unacknowledged: 0 })
    }
  }
}

/** The certificate on the asserting stream, with what has to be asked for; undefined where nothing has to be. */
async function judgeShown(federation: Federation, { asserting, pair, claimant }: ClaimToVerify, signal: AbortSignal): Promise<Proven | undefined> {
  if (asserting === undefined || asserting.chain.length === 0 || federation.current().prooftypes.every(({ atHand }) => atHand)) return undefined
  // What is asked for here is part of what a verification costs.
  return await judgeIncoming(federation, pair, asserting, { address: claimant.address }, signal)
}

/** Undefined: it neither proves the sender nor forbids asking its server. */
function settledByShown(federation: Federation, { asserting, pair, stream, epoch, claimant }: ClaimToVerify, proven: Proven): Verification | undefined {
  const association = asserting === undefined ? undefined : associationByCertificate(pair, asserting, proven, stream, epoch)
  if (association !== undefined) return { outcome: "valid", association }
  const { combined } = proven
  if (combined.outcome !== "stop") return undefined
  // security.md 4: a stop is one, and no key takes its place.
  const { finding, detail } = combined.verdict
  federation.claims.failed(pair, claimant, findingSentence(finding, detail))
  return { outcome: "error", error: { condition: "not-authorized", words: findingSentence(finding) }, finding, detail }
}

function unreachable(finding: FindingId, detail: string): Verification {
  return { outcome: "error", error: { condition: "remote-server-timeout" }, finding, detail }
}

async function ask(federation: Federation, claim: ClaimToVerify, leg: AssociatedStream, signal: AbortSignal): Promise<Verification> {
  const { clock } = federation.ports
  const { pair, id, key } = claim
  const at = { stream: claim.stream, direction: "in" as const, pair }
  if (sameCertificate(claim, leg)) {
    federation.event({ kind: "dialback", at: clock.now(), ...at, step: "same-certificate" })
    return accepted(federation, claim, leg, leg.association.level)
  }
  leg.stream.send(verifyRequestXml(pair, id, key))
  federation.event({ kind: "dialback", at: clock.now(), ...at, step: "verify-sent" })
  for (;;) {
    let element: Awaited<ReturnType<typeof leg.stream.element>>
    try {
      element = await leg.stream.element(signal)
    } catch (error) {
      // DB-15, DB-26: a connection that ends with the question open is an error, not an answer.
      if (error instanceof StreamClosed) {
        if (error.condition === "host-unknown" || error.condition === "host-gone") return { outcome: "error", error: { condition: "remote-server-not-found" }, finding: "stream.host-unknown", detail: error.message }
        return unreachable("auth.dialback-error", error.message)
      }
      throw error
    }
    if (!isDialback(element) || element.name !== "verify") continue
    const answer = readDialback(element)
    // DB-14: only an answer to this very question counts: both domains and the id.
    if (answer?.type === undefined || answer.from !== pair.sender || answer.to !== pair.target || answer.id !== id) continue
    const kind = answer.type === "valid" || answer.type === "invalid" ? answer.type : "error"
    federation.event({ kind: "dialback", at: clock.now(), ...at, step: "verify-answered", answer: kind })
    // security.md 1: an answer over another stream never lifts the asserting one above encrypted.
    if (kind === "valid") return accepted(federation, claim, leg, weaker(leg.association.level, "encrypted"))
    if (kind === "invalid") return { outcome: "invalid", error: undefined, finding: "auth.dialback-invalid", detail: `${pair.sender} says that the key is not its own` }
    const condition = answer.condition === "item-not-found" ? "remote-server-not-found" : "remote-server-timeout"
    return { outcome: "error", error: { condition }, finding: "auth.dialback-error", detail: answer.words ?? answer.condition ?? "error" }
  }
}

/** DWD-4: the very certificate that the authoritative server holds, whose name is the sender's; compared as DER (DWD-5). */
function sameCertificate(claim: ClaimToVerify, leg: AssociatedStream): boolean {
  const shown = claim.asserting?.chain[0]
  const held = leg.proof?.chain[0]
  if (shown === undefined || held === undefined || !Buffer.from(shown).equals(held)) return false
  // The sender's own name, not one that a delegation adds: the host of many domains holds such a certificate, too.
  const reference = referenceIdentity({ source: claim.pair.sender, service: "xmpp-server" })
  try {
    return "matched" in matchIdentity(parseCertificate(shown), reference.accept)
  } catch {
    // A certificate that cannot be read names nobody; the key has to be verified.
    return false
  }
}

function accepted(federation: Federation, claim: ClaimToVerify, leg: AssociatedStream, legLevel: FederationLevel): Verification {
  const at = federation.ports.clock.now()
  const { pair } = claim
  const level = claim.asserting === undefined ? weaker(legLevel, "verified") : legLevel
  const requirement = requirementOf(federation, federation.current(), pair.sender, "in", at)
  const short = shortfall(requirement, pair.sender, level)
  if (short !== undefined) return { outcome: "error", error: { condition: "not-authorized", words: findingSentence(short.finding) }, ...short }
  const association: Association = {
    id: `${claim.stream}/${claim.epoch}/${pair.sender}/${pair.target}`,
    pair,
    stream: claim.stream,
    epoch: claim.epoch,
    direction: "in",
    level,
    verdict: leg.association.verdict,
    verdicts: leg.association.verdicts,
    via: { authoritative: leg.association },
    proof: claim.asserting,
    evidence: leg.association.evidence,
    established: at,
    until: Math.min(leg.association.until, requirement.until ?? Number.POSITIVE_INFINITY),
  }
  return { outcome: "valid", association }
}
