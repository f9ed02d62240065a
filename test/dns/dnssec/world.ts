// The signed test tree answering in memory, with or without a liar on the path.
import { createValidator, type Reply, type Validator, type ValidatorLimits } from "../../../src/dns/dnssec/validator.ts"
import { classInternet, type DnsMessage, decodeMessage, encodeMessage, makeQuery } from "../../../src/dns/message.ts"
import type { DnsName } from "../../../src/dns/name.ts"
import type { SignedTree } from "../../../src/lab/dns-signed-tree.ts"

/** Changes a reply; undefined: silence. */
export type Lie = (query: DnsMessage, reply: DnsMessage, attempt: number) => DnsMessage | undefined

/** What a resolver in front of the tree would send, as it would arrive. */
export function replyOf(tree: SignedTree, name: DnsName, type: number, lie?: Lie, attempt = 0): Reply {
  const edns = { udpPayload: 1232, version: 0, dnssecOk: true, flags: 0, options: [] }
  const query = { ...makeQuery(1, { name, type, class: classInternet }, edns), checkingDisabled: true }
  const found = tree.answer(name, type, true)
  const honest: DnsMessage = { ...query, response: true, recursionAvailable: true, ...found }
  const told = lie === undefined ? honest : lie(query, honest, attempt)
  if (told === undefined) return { message: undefined, rcode: undefined, why: [{ code: "timeout", detail: "no answer" }] }
  const octets = encodeMessage(told)
  return { message: decodeMessage(octets), octets }
}

export interface TestValidator extends Validator {
  /** Questions asked so far. */
  readonly asked: { name: DnsName; type: number; attempt: number }[]
  /** Moves both clocks. */
  advance(ms: number): void
}

export function validatorOver(tree: SignedTree, at: number, lie?: Lie, limits: Partial<ValidatorLimits> = {}): TestValidator {
  let time = 0
  const asked: TestValidator["asked"] = []
  const validator = createValidator({
    anchors: tree.anchors(),
    clock: { now: () => at + time, monotonic: () => time },
    limits,
    ask: async ({ name, type }, _signal, attempt) => {
      asked.push({ name, type, attempt })
      return replyOf(tree, name, type, lie, attempt)
    },
  })
  return Object.assign(validator, { asked, advance: (ms: number) => void (time += ms) })
}
