// Attacks on the path between the zones and us, one zone for each; the same liar faces our validator and unbound.
import { suffixOf } from "../../../src/dns/dnssec/canonical.ts"
import type { DnsMessage } from "../../../src/dns/message.ts"
import { nameFromText } from "../../../src/dns/name.ts"
import { typeNumbers } from "../../../src/dns/records.ts"
import type { SignedTree, TreeZone } from "../../../src/lab/dns-signed-tree.ts"
import { makeSigningKey } from "../../../src/lab/dns-signer.ts"
import { dataAttacks } from "./lies-data.ts"
import { denialAttacks } from "./lies-denial.ts"
import type { Attack } from "./lies-scene.ts"
import type { Lie } from "./world.ts"

export const attacks: readonly Attack[] = [...dataAttacks, ...denialAttacks]

/** A zone for each attack and denial, `<id>-nsec.example` and `<id>-nsec3.example`. */
export const attackedZones: readonly { readonly apex: string; readonly attack: Attack; readonly zone: TreeZone }[] = attacks.flatMap(
  (attack) =>
    (["nsec", "nsec3"] as const)
      .filter((denial) => attack.only === undefined || attack.only === denial)
      .map((denial) => ({
        apex: `${attack.id}-${denial}.example`,
        attack,
        zone: {
          keys: [makeSigningKey(13)],
          denial: denial === "nsec" ? "nsec" : { iterations: 1, salt: "ab" },
          ...attack.zone,
        } as TreeZone,
      })),
)

export const zonesUnderAttack: Readonly<Record<string, TreeZone>> = Object.fromEntries(attackedZones.map(({ apex, zone }) => [apex, zone]))

const byApex = new Map(attackedZones.map((one) => [one.apex, one]))

/** The liar in front of the tree: each attacked zone suffers its own attack, nothing else is touched. */
export function liarOver(tree: SignedTree): Lie {
  return (_query, reply) => {
    const { name, type } = reply.questions[0]!
    if (name.labels.length < 2) return reply
    const apex = suffixOf(name, 2)
      .labels.map((label) => Buffer.from(label).toString("latin1").toLowerCase())
      .join(".")
    const attacked = byApex.get(apex)
    if (attacked === undefined) return reply
    const honest = (prefix: string, asked: keyof typeof typeNumbers): DnsMessage => {
      const other = nameFromText(prefix.endsWith(".") ? prefix : `${prefix}.${apex}`)
      return { ...reply, ...tree.answer(other, typeNumbers[asked], true) }
    }
    return attacked.attack.lie({ tree, apex, name, type, reply, honest })
  }
}
