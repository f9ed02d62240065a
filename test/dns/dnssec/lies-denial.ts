// Attacks by false absence: of data, of names, of DS records (RFC 4035 5.4, RFC 5155 8, RFC 6840 4).
import { wildcardBelow } from "../../../src/dns/dnssec/canonical.ts"
import { type ResourceRecord, rcodes } from "../../../src/dns/message.ts"
import { isAtOrBelow, nameFromText, sameName } from "../../../src/dns/name.ts"
import { encodeContent, typeNumbers } from "../../../src/dns/records.ts"
import { dsOctets, makeSigningKey } from "../../../src/lab/dns-signer.ts"
import { record } from "../../../src/lab/dns-zones.ts"
import { type Attack, about, absent, isDenial, isQuestion, isSignature, isSoa, refused, withOctets } from "./lies-scene.ts"

export const denialAttacks: readonly Attack[] = [
  {
    id: "strip-everything",
    ask: ["host", "A"],
    ...refused,
    lie: ({ reply }) => ({
      ...reply,
      answers: reply.answers.filter((one) => !isSignature(one)),
      authorities: reply.authorities.filter((one) => !isSignature(one) && !isDenial(one)),
    }),
  },
  { id: "empty-no-data", ask: ["host", "A"], ...refused, lie: about("host", "A", ({ reply }) => absent(reply, 0, [])) },
  {
    id: "no-data-signed-soa",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest }) => absent(reply, 0, honest("gone", "A").authorities.filter(isSoa))),
  },
  {
    id: "name-error-no-proof",
    ask: ["_5269._tcp.host", "TLSA"],
    ...refused,
    lie: about("_5269._tcp.host", "TLSA", ({ reply, honest }) =>
      absent(reply, rcodes.nameError, honest("gone", "A").authorities.filter(isSoa)),
    ),
  },
  {
    id: "name-error-foreign-proof",
    ask: ["_5269._tcp.host", "TLSA"],
    ...refused,
    lie: about("_5269._tcp.host", "TLSA", ({ reply, honest }) => absent(reply, rcodes.nameError, honest("zzz", "A").authorities)),
  },
  {
    id: "no-data-of-another-name",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest }) =>
      absent(reply, 0, honest("alias", "TXT").authorities.concat(honest("blocked.wild", "A").authorities)),
    ),
  },
  {
    id: "no-data-own-record",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest }) => absent(reply, 0, honest("host", "TXT").authorities)),
  },
  {
    id: "no-data-at-alias",
    ask: ["alias", "TXT"],
    ...refused,
    lie: about("alias", "TXT", ({ reply, tree, apex }) => {
      const zone = tree.zone(apex)
      const name = nameFromText(`alias.${apex}`)
      return absent(reply, 0, [...zone.nsecFor(name), ...zone.nsec3For(name)])
    }),
  },
  {
    id: "parent-denies-apex",
    ask: ["", "TXT"],
    ...refused,
    lie: about("", "TXT", ({ reply, tree, name }) => absent(reply, 0, tree.zone("example").nsecFor(name))),
  },
  {
    id: "parent-denies-below",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, tree, name }) => absent(reply, rcodes.nameError, tree.zone("example").nsecFor(name))),
  },
  {
    id: "wildcard-denial-record-moved",
    ask: ["blocked.wild", "TXT"],
    ...refused,
    only: "nsec",
    // The NSEC record of the wildcard above, shown as if it had been expanded at the name: its signature holds there.
    lie: about("blocked.wild", "TXT", ({ reply, tree, apex, name }) => {
      const moved = tree.zone(apex).nsecFor(nameFromText(`*.wild.${apex}`))
      return absent(
        reply,
        0,
        moved.map((one) => ({ ...one, name })),
      )
    }),
  },
  {
    id: "ds-stripped",
    ask: ["host", "A"],
    ...refused,
    lie: (scene) => {
      const { reply } = scene
      if (isQuestion(scene, "", "DS")) return absent(reply, 0, [])
      return {
        ...reply,
        answers: reply.answers.filter((one) => !isSignature(one)),
        authorities: reply.authorities.filter((one) => !isSignature(one) && !isDenial(one)),
      }
    },
  },
  {
    id: "ds-denied-by-child",
    ask: ["host", "A"],
    ...refused,
    lie: (scene) => {
      const { reply, tree, apex, name } = scene
      if (!isQuestion(scene, "", "DS")) return { ...reply, answers: reply.answers.filter((one) => !isSignature(one)) }
      return absent(reply, 0, [...tree.zone(apex).nsecFor(name), ...tree.zone(apex).nsec3For(name)])
    },
  },
  {
    id: "ds-denied-by-sibling",
    ask: ["host", "A"],
    ...refused,
    lie: (scene) => {
      const { reply, tree } = scene
      if (!isQuestion(scene, "", "DS")) return { ...reply, answers: reply.answers.filter((one) => !isSignature(one)) }
      return absent(reply, 0, tree.zone("example").nsecFor(nameFromText("unsigned.example")))
    },
  },
  {
    id: "ds-denied-by-own-record",
    ask: ["host", "A"],
    ...refused,
    lie: (scene) => {
      const { reply, tree, name } = scene
      if (!isQuestion(scene, "", "DS")) return { ...reply, answers: reply.answers.filter((one) => !isSignature(one)) }
      return absent(reply, 0, tree.zone("example").nsecFor(name))
    },
  },
  {
    id: "ds-of-unknown-algorithm",
    ask: ["host", "A"],
    ...refused,
    lie: (scene) => {
      const { reply, name } = scene
      if (!isQuestion(scene, "", "DS")) return { ...reply, answers: reply.answers.filter((one) => !isSignature(one)) }
      const forged = record(name, typeNumbers.DS, dsOctets(name, makeSigningKey(15, { as: 201 })), 60)
      return { ...reply, answers: [forged, ...reply.answers.filter(isSignature)] }
    },
  },
  {
    id: "opt-out-forged",
    ask: ["gone", "A"],
    ...refused,
    only: "nsec3",
    lie: about("gone", "A", ({ reply }) => ({
      ...reply,
      authorities: reply.authorities.map((one) =>
        one.content.kind === "NSEC3" ? withOctets(one, encodeContent({ ...one.content, flags: 1 })) : one,
      ),
    })),
  },
  {
    id: "iterations-forged",
    ask: ["gone", "A"],
    ...refused,
    only: "nsec3",
    lie: about("gone", "A", ({ reply }) => ({
      ...reply,
      authorities: reply.authorities.map((one) =>
        one.content.kind === "NSEC3" ? withOctets(one, encodeContent({ ...one.content, iterations: 2500 })) : one,
      ),
    })),
  },
  {
    id: "bitmap-forged",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest }) =>
      absent(
        reply,
        0,
        honest("host", "TXT").authorities.map((one) =>
          one.content.kind === "NSEC" || one.content.kind === "NSEC3"
            ? withOctets(one, encodeContent({ ...one.content, types: one.content.types.filter((type) => type !== typeNumbers.A) }))
            : one,
        ),
      ),
    ),
  },
  {
    id: "wildcard-proof-dropped",
    ask: ["gone.cwild.wild", "TXT"],
    ...refused,
    lie: about("gone.cwild.wild", "TXT", ({ reply, apex }) => ({
      ...reply,
      // Without the record at the wildcard nothing says that it has no such type.
      authorities: reply.authorities.filter(
        (one) => !isDenial(one) || (!sameName(one.name, wildcardBelow(nameFromText(`wild.${apex}`))) && !isWildcardHash(one, apex)),
      ),
    })),
  },
  {
    id: "next-closer-proof-dropped",
    ask: ["any.wild", "A"],
    ...refused,
    lie: about("any.wild", "A", ({ reply }) => ({ ...reply, authorities: [] })),
  },
]

function isWildcardHash(one: ResourceRecord, apex: string): boolean {
  const covered = one.content.kind === "NSEC3" ? one.content.types : []
  // Of the three hashed names only the wildcard has both types.
  return isAtOrBelow(one.name, nameFromText(apex)) && covered.includes(typeNumbers.TLSA) && covered.includes(typeNumbers.A)
}
