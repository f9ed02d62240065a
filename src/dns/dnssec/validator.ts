// The validating resolver without cache and sockets: drives the judging steps against the world, or against records (RFC 4035 4.3, 5; security.md 15, 25).
import type { DnsReason } from "../../model/dns-answer.ts"
import type { Instant } from "../../model/verdict.ts"
import type { StopSignal } from "../../model/stop.ts"
import type { Clock } from "../../ports.ts"
import { ExpiringCache } from "../cache.ts"
import { classInternet, decodeMessage } from "../message.ts"
import { DnsFormatError, type DnsName, nameKey } from "../name.ts"
import { shownName, typeNumbers } from "../records.ts"
import { type AnchorSet, rootAnchors } from "./anchors.ts"
import { type Judgement, judge } from "./judgement.ts"
import type { Cut, CutStore, Lookup, Question, Reply, Steps } from "./lookup.ts"
import { reason } from "./reasons.ts"
import { defaultWorkLimits, Work, type WorkLimits } from "./work.ts"

export type { Judgement } from "./judgement.ts"
export type { Question, Reply } from "./lookup.ts"

/** A judgement and the messages it rests on; with them `revalidate` comes to the same one. */
export interface Validated extends Judgement {
  readonly wire: readonly Uint8Array[]
  /** Octets of the messages this lookup asked for itself; the others, about zone cuts found earlier, are shared. */
  readonly ownOctets: number
}

export interface ValidatorLimits extends WorkLimits {
  /** Zone cuts kept, and the octets of the messages they were read from. */
  readonly cuts: number
  readonly cutOctets: number
  /** Seconds a cut is kept at most. */
  readonly maxTtl: number
}

export const defaultValidatorLimits: ValidatorLimits = {
  ...defaultWorkLimits,
  cuts: 10_000,
  cutOctets: 16 * 1024 * 1024,
  maxTtl: 3600,
}

export interface ValidatorOptions {
  /**
   * Asks with DO and CD set. Every well-formed response to the question is a reply, whoever it came from; reasons otherwise.
   *
   * @param attempt 0; 1 when the first answer was bogus and another way (upstream or protocol) should be taken
   */
  readonly ask: (question: Question, signal: StopSignal, attempt: number) => Promise<Reply>
  /** The root's unless given. */
  readonly anchors?: AnchorSet
  readonly clock: Pick<Clock, "now" | "monotonic">
  readonly limits?: Partial<ValidatorLimits>
}

/** Whether validation is possible at all behind these upstreams (security.md 15). */
export type Ability =
  | { readonly able: true }
  | { readonly able: false; readonly because: "unreachable" | "stripped" | "clock" | "bogus"; readonly why: readonly DnsReason[] }

export interface Validator {
  readonly anchors: AnchorSet
  /** Never rejects: the world's silence and lies are judgements. */
  validate(name: DnsName, type: number, signal: StopSignal): Promise<Validated>
  /** Asks for the keys of every anchor and a signed record beside them. */
  ability(signal: StopSignal): Promise<Ability>
  /** Forgets every zone cut. */
  flush(): void
}

const questionKey = ({ name, type }: Question): string => `${type} ${nameKey(name)}`

const isAboutCuts = ({ type }: Question): boolean => type === typeNumbers.DS || type === typeNumbers.DNSKEY

const attempts = 2

/** How long a reply about a zone cut serves other lookups, ms: until the first of them has verified it. */
const sharedFor = 500

export function createValidator(options: ValidatorOptions): Validator {
  return new DrivingValidator(options, { ...defaultValidatorLimits, ...options.limits })
}

class KeptCuts implements CutStore {
  readonly #cache: ExpiringCache<Cut>
  readonly #clock: ValidatorOptions["clock"]
  readonly #maxTtl: number

  constructor(clock: ValidatorOptions["clock"], limits: ValidatorLimits) {
    this.#clock = clock
    this.#maxTtl = limits.maxTtl
    this.#cache = new ExpiringCache({ entries: limits.cuts, octets: limits.cutOctets })
  }

  get(name: DnsName, at: Instant): Cut | undefined {
    const cut = this.#cache.get(nameKey(name), this.#clock.monotonic())
    // The wall clock may have been set forward meanwhile.
    return cut !== undefined && cut.expires >= at ? cut : undefined
  }

  put(name: DnsName, cut: Cut, at: Instant): void {
    const ms = Math.min(Math.min(cut.ttl, this.#maxTtl) * 1000, cut.expires - at)
    const octets = cut.wire.reduce((sum, message) => sum + message.length, 256)
    if (ms > 0) this.#cache.set(nameKey(name), cut, octets, this.#clock.monotonic() + ms)
  }

  clear(): void {
    this.#cache.clear()
  }
}

/** One lookup sees each cut once, however short its TTL: what it was told twice could differ, and the record could not. */
function withinOneLookup(store?: CutStore): CutStore {
  const seen = new Map<string, Cut>()
  return {
    get(name, at) {
      const key = nameKey(name)
      const cut = seen.get(key) ?? store?.get(name, at)
      if (cut !== undefined) seen.set(key, cut)
      return cut
    },
    put(name, cut, at) {
      seen.set(nameKey(name), cut)
      store?.put(name, cut, at)
    },
  }
}

class DrivingValidator implements Validator {
  readonly anchors: AnchorSet
  readonly #ask: ValidatorOptions["ask"]
  readonly #clock: ValidatorOptions["clock"]
  readonly #limits: ValidatorLimits
  readonly #cuts: KeptCuts
  /** Questions about zone cuts that are under way or were a moment ago: many lookups need the same ones at the same time. */
  readonly #shared = new ExpiringCache<Promise<Reply>>({ entries: 1000, octets: 1000 })

  constructor(options: ValidatorOptions, limits: ValidatorLimits) {
    this.anchors = options.anchors ?? rootAnchors
    this.#ask = options.ask
    this.#clock = options.clock
    this.#limits = limits
    this.#cuts = new KeptCuts(options.clock, limits)
  }

  flush(): void {
    this.#cuts.clear()
    this.#shared.clear()
  }

  async validate(name: DnsName, type: number, signal: StopSignal): Promise<Validated> {
    let first: Validated | undefined
    for (let attempt = 0; attempt < attempts; attempt += 1) {
      const validated = await this.#once(name, type, signal, attempt)
      // One lying or broken upstream must not speak for all: a second way is tried before a name is called bogus.
      if (validated.status !== "bogus") {
        if (first === undefined) return validated
        return validated.status === "indeterminate" ? first : { ...validated, why: [...first.why, ...validated.why] }
      }
      first ??= validated
      if (signal.aborted) break
    }
    return first!
  }

  async #once(name: DnsName, type: number, signal: StopSignal, attempt: number): Promise<Validated> {
    const lookup: Lookup = {
      at: this.#clock.now(),
      anchors: this.anchors,
      work: new Work(this.#limits),
      cuts: withinOneLookup(this.#cuts),
      wire: new Set(),
    }
    const steps = judge(name, type, lookup)
    let ownOctets = 0
    let step = steps.next()
    while (step.done !== true) {
      const need = step.value
      if ("key" in need) {
        step = steps.next(await need.key.verifiesLater(need.signed, need.signature))
        continue
      }
      const reply = await this.#reply(need, signal, attempt)
      if (reply.message !== undefined) ownOctets += reply.octets.length
      step = steps.next(reply)
    }
    return { ...step.value, wire: [...lookup.wire], ownOctets }
  }

  async #reply(question: Question, signal: StopSignal, attempt: number): Promise<Reply> {
    if (!isAboutCuts(question)) return this.#ask(question, signal, attempt)
    const key = `${attempt} ${questionKey(question)}`
    const under = this.#shared.get(key, this.#clock.monotonic())
    if (under !== undefined) {
      const reply = await under
      // It may have failed only because its own asker left.
      return reply.message === undefined && !signal.aborted ? this.#ask(question, signal, attempt) : reply
    }
    const asked = this.#ask(question, signal, attempt)
    this.#shared.set(key, asked, 1, this.#clock.monotonic() + sharedFor)
    const reply = await asked
    if (reply.message === undefined) this.#shared.delete(key)
    return reply
  }

  async ability(signal: StopSignal): Promise<Ability> {
    for (const { name } of this.anchors.anchors) {
      const validated = await this.validate(name, typeNumbers.SOA, signal)
      if (validated.status === "secure") continue
      const { why } = validated
      const has = (code: DnsReason["code"]): boolean => why.some((one) => one.code === code)
      if (has("clock")) return { able: false, because: "clock", why }
      if (validated.status === "indeterminate") return { able: false, because: "unreachable", why }
      return { able: false, because: has("signature-missing") || has("key-missing") ? "stripped" : "bogus", why }
    }
    return { able: true }
  }
}

/** The steps driven by what is at hand, at once. */
function runAtOnce<T>(steps: Steps<T>, reply: (question: Question) => Reply): T {
  let step = steps.next()
  while (step.done !== true) {
    const need = step.value
    step = steps.next("key" in need ? need.key.verifies(need.signed, need.signature) : reply(need))
  }
  return step.value
}

export interface Recorded {
  readonly name: DnsName
  readonly type: number
  /** The messages of the answer, in any order. */
  readonly wire: readonly Uint8Array[]
  /** The time at which it was believed, ms since 1970. */
  readonly at: Instant
  /** The judging side's own anchors, never the recorder's (security.md 25). */
  readonly anchors: AnchorSet
  readonly limits?: Partial<WorkLimits>
}

/** The most messages a recorded answer may consist of. */
const maxRecorded = 200

/**
 * Validates recorded messages again, without network, as of the recorded time. A message that is not there is
 * silence: the answer is then indeterminate, never insecure.
 */
export function revalidate({ name, type, wire, at, anchors, limits }: Recorded): Judgement {
  const replies = new Map<string, Reply>()
  for (const octets of wire.slice(0, maxRecorded)) {
    try {
      const message = decodeMessage(octets)
      const question = message.questions[0]
      if (!message.response || message.questions.length !== 1 || question?.class !== classInternet) continue
      const key = questionKey(question)
      if (!replies.has(key)) replies.set(key, { message, octets })
    } catch (error) {
      if (!(error instanceof DnsFormatError)) throw error
      // What cannot be read answers nothing; the question then has no reply.
    }
  }
  const lookup: Lookup = {
    at,
    anchors,
    work: new Work({ ...defaultWorkLimits, ...limits }),
    cuts: withinOneLookup(),
    wire: new Set(),
  }
  return runAtOnce(
    judge(name, type, lookup),
    (question) =>
      replies.get(questionKey(question)) ?? {
        message: undefined,
        rcode: undefined,
        why: [reason("no-upstream", `the record holds no answer for ${shownName(question.name)}`)],
      },
  )
}
