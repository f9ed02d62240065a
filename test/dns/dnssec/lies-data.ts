// Attacks by false data, keys, signatures and aliases; and harmless changes under which the truth must survive.

import { rcodes } from "../../../src/dns/message.ts"
import { type DnsName, nameFromText } from "../../../src/dns/name.ts"
import { encodeContent, typeNumbers } from "../../../src/dns/records.ts"
import { record } from "../../../src/lab/dns-zones.ts"
import {
  type Attack,
  about,
  address,
  attackersKey,
  isQuestion,
  isSignature,
  ownSignature,
  refused,
  signatureTimes,
  truth,
  withOctets,
} from "./lies-scene.ts"

const upper = (name: DnsName): DnsName => ({
  labels: name.labels.map((label) => label.map((octet) => (octet >= 0x61 && octet <= 0x7a ? octet - 32 : octet))),
})

export const dataAttacks: readonly Attack[] = [
  {
    id: "strip-signatures",
    ask: ["host", "A"],
    ...refused,
    lie: ({ reply }) => ({ ...reply, answers: reply.answers.filter((one) => !isSignature(one)) }),
  },
  {
    id: "flipped-address",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply }) => ({
      ...reply,
      answers: reply.answers.map((one) =>
        one.type === typeNumbers.A ? withOctets(one, Uint8Array.of(127, 0, 0, one.octets[3]! ^ 8)) : one,
      ),
    })),
  },
  {
    id: "added-address",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, name }) => ({ ...reply, answers: [address(name, 1), ...reply.answers] })),
  },
  {
    id: "removed-address",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply }) => ({ ...reply, answers: reply.answers.slice(1) })),
  },
  {
    id: "flipped-signature",
    ask: ["_5269._tcp.host", "TLSA"],
    ...refused,
    lie: about("_5269._tcp.host", "TLSA", ({ reply }) => ({
      ...reply,
      answers: reply.answers.map((one) =>
        isSignature(one)
          ? withOctets(
              one,
              one.octets.map((octet, at) => (at === one.octets.length - 9 ? octet ^ 1 : octet)),
            )
          : one,
      ),
    })),
  },
  {
    id: "wildcard-over-existing",
    ask: ["blocked.wild", "A"],
    ...refused,
    lie: about("blocked.wild", "A", ({ reply, honest, name }) => {
      const star = honest("other.wild", "A")
      return { ...reply, answers: star.answers.map((one) => ({ ...one, name })), authorities: [] }
    }),
  },
  {
    id: "wildcard-with-foreign-proof",
    ask: ["blocked.wild", "A"],
    ...refused,
    lie: about("blocked.wild", "A", ({ reply, honest, name }) => {
      const star = honest("zzz.wild", "A")
      return { ...reply, answers: star.answers.map((one) => ({ ...one, name })), authorities: star.authorities }
    }),
  },
  {
    id: "wildcard-below-existing",
    ask: ["below.blocked.wild", "A"],
    ...refused,
    lie: about("below.blocked.wild", "A", ({ reply, honest, name }) => {
      const star = honest("aaa.wild", "A")
      return { ...reply, rcode: 0, answers: star.answers.map((one) => ({ ...one, name })), authorities: star.authorities }
    }),
  },
  {
    id: "wildcard-elsewhere",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest, name }) => ({
      ...reply,
      answers: honest("zzz.wild", "A").answers.map((one) => ({ ...one, name })),
      authorities: honest("zzz.wild", "A").authorities,
    })),
  },
  {
    id: "sibling-signer",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest, name }) => {
      const sibling = honest("host.a13.example.", "A")
      return { ...reply, answers: sibling.answers.map((one) => ({ ...one, name })) }
    }),
  },
  {
    id: "attackers-signature",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, apex, name }) => {
      const forged = [address(name, 2)]
      return { ...reply, answers: [...forged, ownSignature(forged, nameFromText(apex), signatureTimes(reply))] }
    }),
  },
  {
    id: "attackers-key-set",
    ask: ["host", "A"],
    ...refused,
    lie: (scene) => {
      const { reply, apex, name } = scene
      const signer = nameFromText(apex)
      const at = signatureTimes(reply)
      if (isQuestion(scene, "", "DNSKEY")) {
        const forged = [record(name, typeNumbers.DNSKEY, attackersKey().octets, 60)]
        return { ...reply, answers: [...forged, ownSignature(forged, signer, at)] }
      }
      if (!isQuestion(scene, "host", "A")) return reply
      const forged = [address(name, 3)]
      return { ...reply, answers: [...forged, ownSignature(forged, signer, at)] }
    },
  },
  {
    id: "attackers-key-signs-the-set",
    ask: ["host", "A"],
    ...refused,
    // The key that the DS names is still there, but only the attacker's own vouches for the set.
    lie: (scene) => {
      const { reply, apex, name } = scene
      const at = signatureTimes(reply)
      if (isQuestion(scene, "", "DNSKEY")) {
        const set = [...reply.answers.filter((one) => !isSignature(one)), record(name, typeNumbers.DNSKEY, attackersKey().octets, 300)]
        return { ...reply, answers: [...set, ownSignature(set, nameFromText(apex), at)] }
      }
      if (!isQuestion(scene, "host", "A")) return reply
      const forged = [address(name, 3)]
      return { ...reply, answers: [...forged, ownSignature(forged, nameFromText(apex), at)] }
    },
  },
  {
    id: "attackers-key-added",
    ask: ["host", "A"],
    ...refused,
    lie: about("", "DNSKEY", ({ reply, name }) => ({
      ...reply,
      answers: [record(name, typeNumbers.DNSKEY, attackersKey().octets, 60), ...reply.answers],
    })),
  },
  { id: "keys-stripped", ask: ["host", "A"], ...refused, lie: about("", "DNSKEY", ({ reply }) => ({ ...reply, answers: [] })) },
  {
    id: "alias-injected",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, name, apex }) => {
      const target = nameFromText(`alias.${apex}`)
      return {
        ...reply,
        answers: [
          record(name, typeNumbers.CNAME, encodeContent({ kind: "CNAME", target: nameFromText("host.unsigned.example") }), 60),
          address(target, 4),
        ],
      }
    }),
  },
  {
    id: "alias-redirected",
    ask: ["alias", "A"],
    ...refused,
    lie: about("alias", "A", ({ reply }) => ({
      ...reply,
      answers: reply.answers.map((one) =>
        one.type === typeNumbers.CNAME
          ? withOctets(one, encodeContent({ kind: "CNAME", target: nameFromText("host.unsigned.example") }))
          : one,
      ),
    })),
  },
  {
    id: "dname-injected",
    ask: ["x.target", "A"],
    ...refused,
    lie: about("x.target", "A", ({ reply, apex }) => ({
      ...reply,
      answers: [
        record(
          nameFromText(`target.${apex}`),
          typeNumbers.DNAME,
          encodeContent({ kind: "DNAME", target: nameFromText("unsigned.example") }),
          60,
        ),
      ],
    })),
  },
  {
    id: "dname-redirected",
    ask: ["x.dn", "A"],
    ...refused,
    lie: about("x.dn", "A", ({ reply }) => ({
      ...reply,
      answers: reply.answers
        .filter((one) => one.type !== typeNumbers.CNAME)
        .map((one) =>
          one.type === typeNumbers.DNAME
            ? withOctets(one, encodeContent({ kind: "DNAME", target: nameFromText("unsigned.example") }))
            : one,
        ),
    })),
  },
  {
    id: "ad-spoofed",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, name }) => ({ ...reply, authenticData: true, answers: [address(name, 5)] })),
  },
  {
    id: "response-code-denies-data",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply }) => ({ ...reply, rcode: rcodes.nameError })),
  },
  {
    id: "signature-of-another-type",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest, name }) => ({
      ...reply,
      answers: [
        address(name, 6),
        ...honest("host", "AAAA").answers.flatMap((one) =>
          one.content.kind === "RRSIG" ? [withOctets(one, encodeContent({ ...one.content, typeCovered: typeNumbers.A }))] : [],
        ),
      ],
    })),
  },
  {
    id: "signature-with-fewer-labels",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply, honest }) => ({
      ...reply,
      answers: reply.answers.map((one) =>
        one.content.kind === "RRSIG" ? withOctets(one, encodeContent({ ...one.content, labels: one.content.labels - 1 })) : one,
      ),
      authorities: honest("gone", "A").authorities,
    })),
  },
  {
    id: "signature-period-prolonged",
    ask: ["host", "A"],
    ...refused,
    lie: about("host", "A", ({ reply }) => ({
      ...reply,
      answers: reply.answers.map((one) =>
        one.content.kind === "RRSIG" ? withOctets(one, encodeContent({ ...one.content, expiration: one.content.expiration + 86400 })) : one,
      ),
    })),
  },
  { id: "silence", ask: ["host", "A"], status: "indeterminate", outcome: "failure", lie: about("host", "A", () => undefined) },
  { id: "silence-about-keys", ask: ["host", "A"], status: "indeterminate", outcome: "failure", lie: about("", "DNSKEY", () => undefined) },
  {
    id: "ttl-inflated",
    ask: ["host", "A"],
    ...truth,
    lie: ({ reply }) => ({
      ...reply,
      answers: reply.answers.map((one) => ({ ...one, ttl: 604800 })),
      authorities: reply.authorities.map((one) => ({ ...one, ttl: 604800 })),
    }),
  },
  {
    id: "shuffled-and-doubled",
    ask: ["host", "A"],
    ...truth,
    lie: ({ reply }) => ({ ...reply, answers: [...reply.answers, ...reply.answers].reverse() }),
  },
  {
    id: "letter-case-changed",
    ask: ["_xmpp-server._tcp", "SRV"],
    ...truth,
    // The target and the signer's name are not signed as they are written (RFC 4034 6.2).
    lie: about("_xmpp-server._tcp", "SRV", ({ reply }) => ({
      ...reply,
      answers: reply.answers.map((one) => {
        if (one.content.kind === "SRV") return withOctets(one, encodeContent({ ...one.content, target: upper(one.content.target) }))
        return one.content.kind === "RRSIG" ? withOctets(one, encodeContent({ ...one.content, signer: upper(one.content.signer) })) : one
      }),
    })),
  },
  {
    id: "junk-signatures-first",
    ask: ["host", "A"],
    ...truth,
    lie: about("host", "A", ({ reply, name }) => ({
      ...reply,
      answers: [
        ...Array.from({ length: 5 }, (_, index) => ownSignature([address(name, index)], nameFromText("example"), signatureTimes(reply))),
        ...reply.answers,
      ],
    })),
  },
  {
    id: "denial-beside-data",
    ask: ["host", "A"],
    ...truth,
    lie: about("host", "A", ({ reply, honest }) => ({ ...reply, authorities: honest("gone", "A").authorities })),
  },
]
