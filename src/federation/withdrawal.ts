// Asking DNSSEC whether a domain that proves less than before has withdrawn the proof itself (security.md 13): at every server
// it names, since whoever could choose the server would choose one without.
import { compareLevels, type FederationLevel } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { Discovery } from "../discovery/discover.ts"
import { match, obtainAll, withdrawnProofs } from "../proof/prove.ts"
import { proofPorts, subjectOf } from "./claims.ts"
import { noProof } from "./connecting.ts"
import type { Federation, Hosting } from "./contract.ts"

/** The level is below the one that binds this peer, as far as is known. */
export function belowRatchet({ ratchet }: Federation, peer: Domain, level: FederationLevel): boolean {
  const pin = ratchet?.pinned(peer, "out")
  return pin !== undefined && compareLevels(level, pin.level) < 0
}

/**
 * Lowers what is remembered of the peer where signed DNS denies it at all its endpoints.
 *
 * @param found all of them; where one was left out, nothing is known of it
 * @returns whether it was lowered
 */
export async function heedWithdrawal(federation: Federation, hosting: Hosting, peer: Domain, found: Discovery, signal: AbortSignal): Promise<boolean> {
  const { ratchet } = federation
  const before = ratchet?.pinned(peer, "out")
  if (ratchet === undefined || before === undefined || found.outcome !== "endpoints" || found.report.skipped.length > 0) return false
  const prooftypes = hosting.prooftypes.filter(({ withdrawn }) => withdrawn !== undefined)
  const ports = proofPorts(federation, hosting, signal)
  const everywhere = await Promise.all(
    found.endpoints.map(async (endpoint) => {
      const subject = subjectOf(peer, "outgoing", endpoint)
      return match(await obtainAll(prooftypes, subject, ports), subject, noProof, ports.at).kept
    }),
  )
  ratchet.withdrawn(peer, "out", withdrawnProofs(prooftypes, everywhere))
  return ratchet.pinned(peer, "out")?.level !== before.level
}
