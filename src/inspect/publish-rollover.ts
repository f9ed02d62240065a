// A change of key under TLSA records, step by step: publish the next beside the current, wait until no cache can hold the old set,
// switch, clean up (RFC 6698 A.4, RFC 7671 8.1, 8.4; DANE-30). The decision is the gateway's own (planRollover); here is what is
// needed to ask it from outside: looks at every authoritative server, with their history.
import { Buffer } from "node:buffer"
import { z } from "zod"
import type { AnyDnsAnswer, DnsAnswer, TlsaRecord } from "../model/dns-answer.ts"
import type { Domain } from "../model/domain.ts"
import type { Instant } from "../model/verdict.ts"
import type { AnchorSet } from "../x509/anchors.ts"
import { fittingRecord, planRollover, type RolloverCertificate, type SeenTlsa } from "../gateway/rollover.ts"
import { type TlsaLook, TlsaSights } from "../gateway/tlsa-sights.ts"
import { type PublishedFile, PublishError } from "./publish-certificate.ts"
import { type PublishedRecord, presented } from "./publish-records.ts"
import { association, type TlsaKind, tlsaOwner, type TlsaPlace, tlsaRecords, type TlsaSource, whyText } from "./publish-tlsa.ts"

/** One server's own answer about the records. */
export interface ServerAnswer {
  /** `ns1.host.example 192.0.2.1`. */
  readonly server: string
  readonly answer: DnsAnswer<TlsaRecord>
}

export interface TlsaRolloverQuestion {
  readonly place: TlsaPlace
  readonly current: PublishedFile
  readonly next: TlsaSource
  readonly kind: TlsaKind
  /** Seconds, of the records that are to be published. */
  readonly ttl: number
  /** A validating resolver's answer: whether peers use the records at all. */
  readonly validated: DnsAnswer<TlsaRecord>
  readonly servers: readonly ServerAnswer[]
  /** What was seen before; is told what is seen now. */
  readonly history: LookHistory
  /** Of somebody who knows: since then all servers have had the records that they have now. */
  readonly since?: Instant
  readonly anchors: AnchorSet | undefined
  readonly now: Instant
}

export interface TlsaRolloverPlan {
  readonly step: 1 | 2 | 3 | 4
  readonly title: string
  readonly records: readonly PublishedRecord[]
  /** To be taken out; only in the last step. */
  readonly remove: readonly PublishedRecord[]
  readonly seen: readonly string[]
  readonly safe: "yes" | "no" | "unknown"
  readonly because: string
  /** When it is safe at the latest, if nothing changes; null where nobody knows. */
  readonly until: Instant | null
}

const titles = { 1: "publish current + next", 2: "wait until no cache holds the old set", 3: "switch to the next key", 4: "take the old record out" } as const

/**
 * What to do now, and whether the next key may be shown.
 *
 * @throws PublishError where the next one cannot stand in a record of this kind
 */
export function planTlsaRollover(question: TlsaRolloverQuestion): TlsaRolloverPlan {
  const { place, current, next, kind, ttl, validated, servers, history, now, anchors } = question
  const both = tlsaRecords([current, next], [place], kind, ttl)
  const records = both.map((record, index) => ({ ...record, comment: index === 0 ? (both.length === 1 ? "current and next: the same" : "current") : "next" }))
  const answered = servers.filter(({ answer }) => answer.outcome !== "failure")
  const fresh = association(next, kind)
  const having = answered.filter(({ answer }) => has(answer, kind, fresh))
  const seen = servers.length === 0 ? [] : [`next seen at ${having.length} of ${servers.length} authoritative server${servers.length === 1 ? "" : "s"}`]
  for (const { server, answer } of servers) if (answer.outcome === "failure") seen.push(`${server}: ${whyText(answer as AnyDnsAnswer)}`)
  const say = (step: TlsaRolloverPlan["step"], safe: TlsaRolloverPlan["safe"], because: string, more: Partial<TlsaRolloverPlan> = {}): TlsaRolloverPlan => ({ step, title: titles[step], records, remove: [], seen, safe, because, until: null, ...more })

  if (validated.outcome === "failure" || validated.status === "indeterminate") return say(1, "unknown", `${validated.name} could not be looked up: ${whyText(validated as AnyDnsAnswer)}`)
  // Nobody may be told "yes" on the word of a part of the servers: any of the others may still answer with the old set.
  if (answered.length === 0) return say(1, "unknown", "no authoritative server answered")
  if (answered.length < servers.length) return say(having.length === answered.length ? 2 : 1, "unknown", `${servers.length - answered.length} of ${servers.length} authoritative servers did not answer`)
  history.add(answered.map((each) => lookOf(each, place, now)), now)

  // DANE-01: what is proven to be unsigned is used by nobody.
  if (validated.status === "insecure") return say(having.length === servers.length ? 3 : 1, "yes", "the zone is not signed, so that no peer uses its TLSA records")
  const candidate = shownAs(next, now)
  const shownNow = shownAs(current, now)
  const answers = history.answers(place, question.since)
  const measure = { domain: place.host, policy: { usages: [3, 2, 1, 0], digests: [2, 1] }, anchors, now }
  const old = leftOver(answered, both, place)
  if (both.length === 1 && candidate.fingerprint === shownNow.fingerprint) {
    if (having.length < servers.length) return say(1, "yes", "current and next are the same certificate; it is not published everywhere")
    return old.length === 0 ? say(4, "yes", "nothing is left to do: the key that is shown is the only one published") : say(4, "yes", `${old.length} record${old.length === 1 ? "" : "s"} of other keys can go, unless another server answers to this name with one of them`, { remove: old })
  }
  const decision = planRollover({ current: shownNow, candidate, since: now, documents: undefined, tlsa: { kind: "seen", answers }, ...measure })
  const published = having.length === servers.length
  const live = answers.filter((each) => each.current)
  if (decision.serve === "current") {
    if (!published) return say(1, "no", `the next key is missing at ${servers.length - having.length} of ${servers.length} servers`)
    // DANE-23: of each usage and selector only the strongest digest counts.
    const outranked = live.some((each) => fittingRecord(each, shownNow, measure) !== undefined && fittingRecord(each, candidate, measure) === undefined)
    if (outranked) return say(1, "no", "records of a stronger digest stand beside it, so that the one of the next key does not count: publish the next key with --kind of those, too")
    return say(2, "no", waitText(decision.until ?? null, now, decision.sentence), { until: decision.until ?? null })
  }
  if (decision.breaks === true) return say(published ? 3 : 1, "yes", `the current certificate has expired, so that nothing is lost, although ${decision.sentence.split("although ")[1] ?? decision.sentence}`)
  return say(published ? 3 : 1, "yes", whyYes())

  function whyYes(): string {
    if (live.every((each) => each.records.length === 0)) return "there are no TLSA records that could contradict it"
    if (!live.some((each) => fittingRecord(each, shownNow, measure) !== undefined)) {
      return published ? "the current certificate fits no record any more; the next one does" : "neither fits the records: peers that use DANE refuse both"
    }
    return both.length === 1 ? "the key stays the same, and the records are about the key" : "every set that a cache may hold has a record for the next key"
  }
}

const has = ({ records }: DnsAnswer<TlsaRecord>, { usage, selector, matching }: TlsaKind, hex: string): boolean =>
  records.some((each) => each.usage === usage && each.selector === selector && each.matching === matching && each.association === hex)

function waitText(until: Instant | null, now: Instant, sentence: string): string {
  const why = sentence.slice(sentence.indexOf(": ") + 2)
  return until === null ? why : `wait ${Math.ceil((until - now) / 60_000)} min, until ${new Date(until).toISOString().slice(0, 16)}Z: ${why}`
}

/** Records that stand for neither of the two. */
function leftOver(servers: readonly ServerAnswer[], wanted: readonly PublishedRecord[], place: TlsaPlace): PublishedRecord[] {
  const keep = new Set(wanted.map(({ content }) => presented(content)))
  const others = new Map<string, PublishedRecord>()
  for (const { answer } of servers) {
    for (const record of answer.records) {
      const content = { type: "TLSA" as const, ...record }
      if (!keep.has(presented(content))) others.set(presented(content), { name: tlsaOwner(place), ttl: 0, content })
    }
  }
  return [...others.values()]
}

/** As planRollover knows certificates. A key without one stands as the frame of a certificate that has nothing but the key. */
function shownAs(source: TlsaSource, now: Instant): RolloverCertificate {
  if ("leaf" in source) {
    const { der, fingerprint, notBefore, notAfter } = source.leaf
    return { chain: [der, ...source.above.map((each) => each.der)], fingerprint, notBefore, notAfter }
  }
  return { chain: [frameOf(source.spki)], fingerprint: "", notBefore: now, notAfter: Number.POSITIVE_INFINITY }
}

function wrapped(...parts: readonly Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([0x30, ...length]), body])
}

/** Serial number, four empty fields, the key: DANE-EE asks for nothing else (DANE-15). It is no certificate to anybody else. */
function frameOf(spki: Buffer): Buffer {
  const empty = Buffer.from([0x30, 0x00])
  return wrapped(wrapped(Buffer.from([0x02, 0x01, 0x01]), empty, empty, empty, empty, spki))
}

function lookOf({ server, answer }: ServerAnswer, place: TlsaPlace, now: Instant): TlsaLook {
  return { name: `${tlsaOwner(place)} (${server})`, base: place.host, records: answer.records, ttlMs: Math.max(0, Math.ceil((answer.until - now) / 1000) * 1000) }
}

const kept = z.object({
  v: z.literal(1),
  owner: z.string().max(300),
  looks: z
    .array(
      z.object({
        at: z.number().int(),
        looks: z.array(z.object({ name: z.string().max(600), records: z.array(z.object({ usage: z.number(), selector: z.number(), matching: z.number(), association: z.string().regex(/^[0-9a-f]*$/) })).max(200), ttlMs: z.number().nonnegative() })).max(64),
      }),
    )
    .max(2_000),
})
type KeptLook = z.infer<typeof kept>["looks"][number]

/** Looks are remembered this long, ms; no TTL that anybody uses is longer. */
const longestMemory = 14 * 86_400_000

/** What the authoritative servers said, and when: DNS has no history of its own. */
export class LookHistory {
  readonly #place: TlsaPlace
  readonly #sights = new TlsaSights()
  #looks: KeptLook[] = []

  /**
   * @param text what `text()` gave an earlier run; undefined begins anew
   * @throws PublishError where it is none, or of another server
   */
  constructor(place: TlsaPlace, text?: string) {
    this.#place = place
    if (text === undefined) return
    const read = kept.safeParse(parsed(text))
    if (!read.success) throw new PublishError("it is not what an earlier `tlsa rollover` wrote; remove it to begin anew.")
    if (read.data.owner !== tlsaOwner(place)) throw new PublishError(`it is about ${read.data.owner}, not about ${tlsaOwner(place)}.`)
    for (const { at, looks } of read.data.looks) this.add(looks.map((look) => ({ ...look, base: place.host })), at)
  }

  /** Looks have to come in their order. */
  add(looks: readonly TlsaLook[], at: Instant): void {
    const last = this.#looks.at(-1)
    // A clock that was set back: what was seen before cannot be placed.
    if (last !== undefined && at < last.at) return
    const entry: KeptLook = { at, looks: looks.map(({ name, records, ttlMs }) => ({ name, records: records.map((each) => ({ ...each })), ttlMs })) }
    const before = this.#looks.at(-2)
    // Of looks that saw the same, the first and the last are enough.
    if (last !== undefined && before !== undefined && same(before, last) && same(last, entry)) this.#looks.pop()
    this.#looks = [...this.#looks.filter((each) => each.at + longestMemory > at), entry].slice(-2_000)
    this.#sights.seen(this.#place.host as Domain, looks, at)
  }

  answers({ host }: TlsaPlace, since?: Instant): readonly SeenTlsa[] {
    const sight = this.#sights.of(host, this.#looks.at(-1)?.at ?? 0)
    const answers = sight.kind === "seen" ? sight.answers : []
    if (since === undefined) return answers
    return answers.map((each) => (each.current ? { ...each, firstSeen: Math.min(since, each.firstSeen) } : { ...each, lastSeen: Math.min(since, each.lastSeen) }))
  }

  text(): string {
    return `${JSON.stringify({ v: 1, owner: tlsaOwner(this.#place), looks: this.#looks })}\n`
  }
}

const same = (a: KeptLook, b: KeptLook): boolean => JSON.stringify(a.looks) === JSON.stringify(b.looks)

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    // What is no JSON is no memory either; the schema says so.
    return undefined
  }
}
