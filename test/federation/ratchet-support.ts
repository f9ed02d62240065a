// Associations and clocks for what is remembered of peers.
import type { Association, Direction, FederationLevel } from "../../src/model/association.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { Abilities } from "../../src/federation/abilities.ts"
import { Memory } from "../../src/federation/memory.ts"
import type { Clock } from "../../src/ports.ts"
import { ManualClock } from "../world/clock.ts"

/** Ours in every association here. */
export const ours = parseDomain("a.example")

/** An association with this peer as it would stand in a ledger; by certificate where it is authenticated. */
export function associationWith(direction: Direction, peer: Domain, level: FederationLevel, by: readonly string[] = ["pkix"]): Association {
  const pair = direction === "out" ? { sender: ours, target: peer } : { sender: peer, target: ours }
  const proved = by.map((name) => ({ outcome: "proved", by: name, detail: "", until: Number.MAX_SAFE_INTEGER }) as const)
  const absent = { outcome: "absent", by: "pkix", finding: "cert.none-shown", detail: "" } as const
  return {
    id: `s2s/${direction}/${peer}`,
    pair,
    stream: "s2s",
    epoch: 1,
    direction,
    level,
    verdict: level === "authenticated" ? (proved[0] ?? absent) : absent,
    verdicts: level === "authenticated" ? proved : [absent],
    via: level === "authenticated" ? "certificate" : "dns",
    proof: { chain: [], presentedAs: "tls-server", protocol: "TLSv1.3", cipher: "TLS_AES_128_GCM_SHA256", serverName: peer, alpn: undefined },
    evidence: () => [],
    established: 0,
    until: Number.MAX_SAFE_INTEGER,
  }
}

/** A clock whose wall part can be set; the other part goes on. */
export class SteppedClock extends ManualClock {
  offset = 0
  override now(): number {
    return super.now() + this.offset
  }
}

/** Abilities that know of these peers that they advertise dialback errors. */
export function errorsRemembered(...peers: readonly string[]): (clock: Clock) => Abilities {
  return (clock) => {
    const abilities = new Abilities(new Memory({ clock }), clock)
    const advertised = { dialbackErrors: true, bidi: true, streamManagement: false, pipelining: false }
    for (const peer of peers) abilities.learn(associationWith("out", parseDomain(peer), "authenticated"), { advertised })
    return abilities
  }
}
