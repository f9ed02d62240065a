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
import type { AssociatedStream } from "./associate.ts"
import type { Claimant } from "./claim-guard.ts"
import { associationByCertificate, judgeIncoming } from "./claims.ts"
import type { ConnectBack, ConnectBacks } from "./connect-backs.ts"
import type { Federation } from "./contract.ts"
import { deadline, settledOrAborted } from "./deadline.ts"
import type { DialbackErrorDetail } from "./dialback.ts"
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

/** The claimant's network has to wait: nothing was found out about the claim. */
class NotAdmitted extends Error {
  override readonly name = "NotAdmitted"
  readonly finding: FindingId
  constructor(finding: FindingId, detail: string) {
    super(detail)
    this.finding = finding
  }
}

/**
 * Verifies a `db:result` claim with the sender's own server.
 *
 * @param backs of the stream that the claim is made on
 *
 * Never rejects: whatever goes wrong is an outcome. To the claimant all ways of not reaching the server look alike
 * (security.md 17).
 */
export async function verifyClaim(federation: Federation, claim: ClaimToVerify, backs: ConnectBacks, signal: AbortSignal): Promise<Verification> {
  const { clock } = federation.ports
  const { pair, claimant } = claim
  const recent = federation.claims.recentFailure(pair, claimant)
  if (recent !== undefined) return unreachable("auth.dialback-error", recent)
  const { budget } = claimant
  const { claims } = federation
  const source = sourcePrefix(claimant.address)
  const limit = deadline(clock, federation.current().times.verification, "the verification", signal)
  let shown: Proven | undefined
  let spent = 0
  let admitted = false
  let joined = false
  const left: (() => void)[] = []
  /** For each connection back: it costs the claimant's network, and has its turn. */
  const admit = async (): Promise<void> => {
    if (budget?.spend("verification") === false) throw new NotAdmitted("reach.budget", "")
    spent += 1
    const leave = claims.enter(claimant)
    if (leave === undefined) throw new NotAdmitted("reach.capped", "too many verifications at once")
    left.push(leave)
    await budget?.turn("verification", limit.signal)
  }
  const held = (): void => {
    if (spent > 0) budget?.held(spent)
    if (joined) budget?.giveBack("question")
    joined = false
    spent = 0
    claims.held(pair, claimant)
  }
  // What the certificate was judged by is evidence of a refusal, too.
  const withShown = (verification: Verification): Verification => (verification.outcome === "valid" || shown === undefined ? verification : { ...verification, shown })
  const place = backs.enter(pair.sender)
  try {
    if (place.before !== undefined) await settledOrAborted(place.before, limit.signal)
    // One question more on a connection that is there, or one of its own.
    joined = backs.joinable(pair.sender)
    if (joined) budget?.charge("question")
    else {
      await admit()
      admitted = true
    }
    shown = await judgeShown(federation, claim, limit.signal)
    const settled = shown === undefined ? undefined : settledByShown(federation, claim, shown)
    if (settled?.outcome === "valid") held()
    if (settled !== undefined) return withShown(settled)
    const admission = async (): Promise<void> => {
      if (!admitted) await admit()
      admitted = false
    }
    const verification = await backs.use(pair, source, limit.signal, admission, async (back) => {
      place.over()
      return await ask(federation, claim, back, limit.signal)
    })
    if (verification.outcome === "valid") held()
    else if (!limit.signal.aborted) claims.failed(pair, claimant, verification.detail)
    return withShown(verification)
  } catch (error) {
    if (error instanceof NotAdmitted) return withShown({ outcome: "error", error: { condition: "resource-constraint" }, finding: error.finding, detail: error.message })
    // DB-15, DB-26: a connection that ends with the question open is an error, not an answer.
    if (error instanceof StreamClosed) {
      const gone = error.condition === "host-unknown" || error.condition === "host-gone"
      if (!signal.aborted) federation.claims.failed(pair, claimant, error.message)
      if (gone) return withShown({ outcome: "error", error: { condition: "remote-server-not-found" }, finding: "stream.host-unknown", detail: error.message })
      return withShown(unreachable("auth.dialback-error", error.message))
    }
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
    place.over()
    for (const leave of left) leave()
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

async function ask(federation: Federation, claim: ClaimToVerify, back: ConnectBack, signal: AbortSignal): Promise<Verification> {
  const { clock } = federation.ports
  const { pair, id, key } = claim
  const { leg } = back
  const at = { stream: claim.stream, direction: "in" as const, pair }
  back.sameCertificate ??= sameCertificate(claim, leg)
  if (back.sameCertificate) {
    federation.event({ kind: "dialback", at: clock.now(), ...at, step: "same-certificate" })
    return accepted(federation, claim, leg, leg.association.level)
  }
  const asked = back.ask(pair, id, key, signal)
  federation.event({ kind: "dialback", at: clock.now(), ...at, step: "verify-sent" })
  const answer = await asked
  const kind = answer.type === "valid" || answer.type === "invalid" ? answer.type : "error"
  federation.event({ kind: "dialback", at: clock.now(), ...at, step: "verify-answered", answer: kind })
  // security.md 1: an answer over another stream never lifts the asserting one above encrypted.
  if (kind === "valid") return accepted(federation, claim, leg, weaker(leg.association.level, "encrypted"))
  if (kind === "invalid") return { outcome: "invalid", error: undefined, finding: "auth.dialback-invalid", detail: `${pair.sender} says that the key is not its own` }
  const condition = answer.condition === "item-not-found" ? "remote-server-not-found" : "remote-server-timeout"
  return { outcome: "error", error: { condition }, finding: "auth.dialback-error", detail: answer.words ?? answer.condition ?? "error" }
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
    // Others may have opened the connection; whose server it is was judged for all of them.
    via: { authoritative: { ...leg.association, pair: { sender: pair.target, target: pair.sender } } },
    proof: claim.asserting,
    evidence: leg.association.evidence,
    established: at,
    until: Math.min(leg.association.until, requirement.until ?? Number.POSITIVE_INFINITY),
  }
  return { outcome: "valid", association }
}
