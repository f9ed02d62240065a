// A path that does anything to the replies, at random. In the tests a few hundred lookups; longer by hand: node test/dns/dnssec/fuzz.ts --seconds=600 [--seed=1]
import assert from "node:assert/strict"
import { performance } from "node:perf_hooks"
import { pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import { canonicalBody } from "../../../src/dns/dnssec/canonical.ts"
import { type Judgement, revalidate } from "../../../src/dns/dnssec/validator.ts"
import { type DnsMessage, decodeMessage, encodeMessage, type ResourceRecord } from "../../../src/dns/message.ts"
import { DnsFormatError, type DnsName, nameFromText } from "../../../src/dns/name.ts"
import { typeName, typeNumbers } from "../../../src/dns/records.ts"
import { SignedTree } from "../../../src/lab/dns-signed-tree.ts"
import { makeSigningKey } from "../../../src/lab/dns-signer.ts"
import { seeded } from "../support.ts"
import { keysOf, standardRecords } from "./tree.ts"
import { replyOf, validatorOver } from "./world.ts"

const at = Date.UTC(2026, 10, 20)
const validity = { inception: at / 1000 - 86400, expiration: at / 1000 + 86400 }

const zones = {
  "nsec.example": { keys: keysOf(8), denial: "nsec" as const },
  "nsec3.example": { keys: [makeSigningKey(13)], denial: { iterations: 2, salt: "ab" } },
  "optout.example": { keys: keysOf(8), denial: { optOut: true } },
  "signed.optout.example": { keys: [makeSigningKey(15)] },
  "unsigned.optout.example": { ds: "none" as const },
  "child.nsec.example": { keys: keysOf(8), denial: {} },
  "unsigned.example": { ds: "none" as const },
  "island.example": { keys: keysOf(8), ds: "none" as const },
}
const tree = new SignedTree({
  validity,
  ttl: 300,
  zones: {
    ".": { keys: keysOf(8) },
    example: { keys: keysOf(8) },
    ...Object.fromEntries(
      Object.entries(zones).map(([apex, zone]) => [
        apex,
        {
          ...zone,
          records: {
            ...standardRecords(apex),
            [`away.${apex}`]: { CNAME: "host.nsec3.example" },
            [`out.${apex}`]: { CNAME: "host.unsigned.example" },
          },
        },
      ]),
    ),
  },
})

const prefixes = [
  "host",
  "_xmpp-server._tcp",
  "_5269._tcp.host",
  "alias2",
  "gone",
  "zzz",
  "ent",
  "b.ent",
  "any.wild",
  "a.b.wild",
  "blocked.wild",
  "below.blocked.wild",
  "x.cwild",
  "x.dn",
  "away",
  "out",
  "",
]
const types = ["A", "TLSA", "SRV", "TXT", "CNAME"] as const
const questions = Object.keys(zones).flatMap((apex) =>
  prefixes.flatMap((prefix) =>
    types.map((type) => ({ name: nameFromText(prefix === "" ? apex : `${prefix}.${apex}`), type: typeNumbers[type] })),
  ),
)

type Below = (count: number) => number

function pick<T>(below: Below, from: readonly T[]): T | undefined {
  return from.length === 0 ? undefined : from[below(from.length)]
}

/** Another honest reply, of which parts are replayed. */
function another(below: Below): DnsMessage {
  const { name, type } = pick(below, questions)!
  const asked = pick(below, [type, type, typeNumbers.DS, typeNumbers.DNSKEY])!
  const cut = below(3) === 0 ? { labels: name.labels.slice(Math.min(name.labels.length, below(4))) } : name
  const reply = replyOf(tree, cut, asked)
  return reply.message!
}

function changedRecord(below: Below, one: ResourceRecord, asked: DnsName): ResourceRecord {
  switch (below(5)) {
    case 0: {
      const octets = Uint8Array.from(one.octets)
      if (octets.length > 0) octets[below(octets.length)]! ^= 1 << below(8)
      return { ...one, octets }
    }
    case 1:
      return { ...one, name: asked }
    case 2:
      return { ...one, name: pick(below, questions)!.name }
    case 3:
      return { ...one, ttl: below(1 << 30) }
    default:
      return { ...one, name: { labels: one.name.labels.slice(Math.min(one.name.labels.length, 1)) } }
  }
}

function changedSection(below: Below, section: readonly ResourceRecord[], asked: DnsName): ResourceRecord[] {
  const kept = [...section]
  switch (below(7)) {
    case 0:
      return []
    case 1:
      return kept.filter(({ type }) => type !== typeNumbers.RRSIG)
    case 2:
      return kept.filter(() => below(3) > 0)
    case 3:
      return kept.map((one) => (below(2) === 0 ? changedRecord(below, one, asked) : one))
    case 4: {
      const other = another(below)
      return [...kept, ...other.answers, ...other.authorities]
    }
    case 5: {
      const other = another(below)
      return [...(below(2) === 0 ? other.answers : other.authorities)].map((one) => (below(3) === 0 ? { ...one, name: asked } : one))
    }
    default:
      return kept.reverse()
  }
}

/** The same reply, or what the path made of it; undefined is silence. */
function changed(below: Below, reply: DnsMessage): DnsMessage | undefined {
  const asked = reply.questions[0]!.name
  let told = reply
  for (let count = 1 + below(3); count > 0; count -= 1) {
    switch (below(9)) {
      case 0:
        if (below(4) === 0) return undefined
        break
      case 1:
        told = { ...told, rcode: pick(below, [0, 3, 2])! }
        break
      case 2: {
        const other = another(below)
        told = { ...told, rcode: other.rcode, answers: other.answers, authorities: other.authorities }
        break
      }
      case 3:
      case 4:
      case 5:
        told = { ...told, answers: changedSection(below, told.answers, asked) }
        break
      default:
        told = { ...told, authorities: changedSection(below, told.authorities, asked) }
    }
  }
  try {
    // What cannot be written or read again is a malformed message, which the transport would have dropped.
    return decodeMessage(encodeMessage(told))
  } catch (error) {
    if (!(error instanceof DnsFormatError)) throw error
    return undefined
  }
}

const shownRecords = (records: readonly ResourceRecord[]): string[] =>
  records.map((one) => Buffer.from(canonicalBody(one)).toString("hex")).sort()
const signal = new AbortController().signal

const honest = validatorOver(tree, at)
const truths = new Map<number, Judgement>()
async function truthOf(index: number): Promise<Judgement> {
  let truth = truths.get(index)
  if (truth === undefined) {
    truth = await honest.validate(questions[index]!.name, questions[index]!.type, signal)
    assert.ok(truth.status === "secure" || truth.status === "insecure", JSON.stringify(truth.why))
    truths.set(index, truth)
  }
  return truth
}

export interface FuzzResult {
  readonly lookups: number
  readonly byStatus: Readonly<Record<string, number>>
}

/**
 * Secure always carries the true data, a secure truth never turns insecure, an insecure one never secure, and the record
 * of every lookup comes to the same verdict again.
 */
export async function fuzz(seconds: number, seed: number, most = Number.POSITIVE_INFINITY): Promise<FuzzResult> {
  const fraction = seeded(seed)
  const below: Below = (count) => Math.floor(fraction() * count)
  const end = performance.now() + seconds * 1000
  const byStatus: Record<string, number> = {}
  let lookups = 0
  while (performance.now() < end && lookups < most) {
    // One validator for a while: what it keeps from one lookup must not harm the next.
    const often = 1 + below(6)
    const validator = validatorOver(tree, at, (_query, reply) => (below(often) === 0 ? changed(below, reply) : reply))
    for (let round = 0; round < 30; round += 1) {
      const index = below(questions.length)
      const { name, type } = questions[index]!
      const truth = await truthOf(index)
      const found = await validator.validate(name, type, signal)
      const label = `seed ${seed}, lookup ${lookups}: ${name.labels.map((one) => Buffer.from(one).toString()).join(".")} ${typeName(type)}: ${JSON.stringify(found.why)}`
      lookups += 1
      byStatus[found.status] = (byStatus[found.status] ?? 0) + 1
      if (found.status === "secure") {
        assert.equal(truth.status, "secure", label)
        assert.equal(found.outcome, truth.outcome, label)
        assert.deepEqual(shownRecords(found.records), shownRecords(truth.records), label)
        assert.ok(found.ttl <= 300, label)
      } else if (found.status === "insecure") assert.equal(truth.status, "insecure", label)
      const again = revalidate({ name, type, wire: found.wire, at, anchors: tree.anchors() })
      if (found.status === "secure" || found.status === "insecure") assert.equal(again.status, found.status, `again: ${label}`)
      else assert.ok(again.status === "bogus" || again.status === "indeterminate", `again: ${label}`)
    }
  }
  return { lookups, byStatus }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } } })
  const seed = Number(values.seed ?? Date.now() % 1_000_000)
  console.log(`seed ${seed}`)
  const { lookups, byStatus } = await fuzz(Number(values.seconds), seed)
  console.log(`${lookups} lookups, ${JSON.stringify(byStatus)}`)
}
