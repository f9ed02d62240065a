// What an attack on the path is made of: the scene it sees and the tools it has.

import type { DnsMessage, ResourceRecord } from "../../../src/dns/message.ts"
import { type DnsName, nameFromText, sameName } from "../../../src/dns/name.ts"
import { parseBody, typeNumbers } from "../../../src/dns/records.ts"
import type { SignedTree, TreeZone } from "../../../src/lab/dns-signed-tree.ts"
import { makeSigningKey, type SigningKey, signSet } from "../../../src/lab/dns-signer.ts"
import { record } from "../../../src/lab/dns-zones.ts"
import type { DnsOutcome, DnsStatus } from "../../../src/model/dns-answer.ts"

/** What the liar knows when a question about the attacked zone passes. */
export interface Scene {
  readonly tree: SignedTree
  readonly apex: string
  readonly name: DnsName
  readonly type: number
  readonly reply: DnsMessage
  /** The honest reply to another question. */
  honest(name: string, type: keyof typeof typeNumbers): DnsMessage
}

export interface Attack {
  readonly id: string
  /** First label(s) and type of the question, in the attacked zone. */
  readonly ask: readonly [prefix: string, type: "A" | "TLSA" | "SRV" | "TXT"]
  /** `true`: the truth got through all the same. */
  readonly status: DnsStatus
  readonly outcome: DnsOutcome
  /** Only for zones with this denial. */
  readonly only?: "nsec" | "nsec3"
  readonly zone?: Partial<TreeZone>
  lie(scene: Scene): DnsMessage | undefined
}

export const rrsig = typeNumbers.RRSIG
export const isSignature = ({ type }: ResourceRecord): boolean => type === rrsig
export const isDenial = ({ type, content }: ResourceRecord): boolean =>
  type === typeNumbers.NSEC ||
  type === typeNumbers.NSEC3 ||
  (content.kind === "RRSIG" && (content.typeCovered === typeNumbers.NSEC || content.typeCovered === typeNumbers.NSEC3))
export const isSoa = ({ type, content }: ResourceRecord): boolean =>
  type === typeNumbers.SOA || (content.kind === "RRSIG" && content.typeCovered === typeNumbers.SOA)
export const refused = { status: "bogus", outcome: "failure" } as const
export const truth = { status: "secure", outcome: "data" } as const

export function withOctets(one: ResourceRecord, octets: Uint8Array): ResourceRecord {
  return { ...one, octets, content: parseBody(one.type, octets) }
}

export const address = (name: DnsName, last: number): ResourceRecord => record(name, typeNumbers.A, Uint8Array.of(127, 66, 66, last), 60)
export const isQuestion = (scene: Scene, prefix: string, type: keyof typeof typeNumbers): boolean =>
  scene.type === typeNumbers[type] && sameName(scene.name, nameFromText(prefix === "" ? scene.apex : `${prefix}.${scene.apex}`))

/** Lies about one question only. */
export const about =
  (prefix: string, type: keyof typeof typeNumbers, lie: (scene: Scene) => DnsMessage | undefined) =>
  (scene: Scene): DnsMessage | undefined =>
    isQuestion(scene, prefix, type) ? lie(scene) : scene.reply

export const absent = (reply: DnsMessage, rcode: number, authorities: readonly ResourceRecord[]): DnsMessage => ({
  ...reply,
  rcode,
  answers: [],
  authorities,
})

/** A key pair of the attacker's own. */
let mallory: SigningKey | undefined
export const attackersKey = (): SigningKey => (mallory ??= makeSigningKey(13))
export const ownSignature = (records: readonly ResourceRecord[], signer: DnsName, at: number): ResourceRecord =>
  signSet(records, signer, attackersKey(), { inception: at - 3600, expiration: at + 86400 })

export function signatureTimes(reply: DnsMessage): number {
  const first = [...reply.answers, ...reply.authorities].find(isSignature)?.content
  return first?.kind === "RRSIG" ? first.inception + 86400 : 0
}
