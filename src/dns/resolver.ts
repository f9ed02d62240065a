// The stub resolver: question in, answer with status and reasons out; it keeps, shares and bounds.
// With DNSSEC off whatever answers is `insecure`, whatever fails is `indeterminate` (RFC 4035 4.3 sense); else the validator
// says, ours or (trust-ad) another one's.

import { Buffer } from "node:buffer"
import type { DnsAnswer, DnsReason, DnsStatus, RecordOf, RecordType, Resolver } from "../model/dns-answer.ts"
import { Stop, type StopSignal } from "../model/stop.ts"
import type { Clock, NetworkAddress, Random } from "../ports.ts"
import { modelRecords, readAnswer } from "./answer.ts"
import { ExpiringCache } from "./cache.ts"
import type { AnchorSet } from "./dnssec/anchors.ts"
import { type Ability, createValidator, type Validated, type Validator, type ValidatorLimits } from "./dnssec/validator.ts"
import { DnsFormatError, type DnsName, nameFromText, nameKey } from "./name.ts"
import { shownName, typeNumbers } from "./records.ts"
import { authentic, refuseRemote, TrustAd, type TrustAdAbility } from "./trust-ad.ts"
import { type Asked, type DnsTransport, type Manner, UpstreamPool } from "./upstream.ts"

export type { DnsTransport } from "./upstream.ts"

export interface ResolverLimits {
  /** One lookup with all its retries and aliases, ms. */
  readonly lookup: number
  /** First UDP attempt, ms. */
  readonly attempt: number
  /** Distinct lookups under way at once; more fail as busy. */
  readonly inFlight: number
  readonly cacheEntries: number
  /** Octets of messages the kept answers rest on. */
  readonly cacheOctets: number
  /** Longest time an answer is kept, seconds, whatever its TTL says. */
  readonly maxTtl: number
  /** How long a failure is kept, seconds; 60 at most (security.md 14). */
  readonly failureTtl: number
}

export const defaultResolverLimits: ResolverLimits = {
  lookup: 8_000,
  attempt: 1_500,
  inFlight: 2_000,
  cacheEntries: 20_000,
  cacheOctets: 16 * 1024 * 1024,
  maxTtl: 3_600,
  failureTtl: 10,
}

export interface ResolverOptions {
  /**
   * `off` is written by the operator and makes every status insecure (security.md 15). Otherwise every answer is
   * validated, from the root's anchors unless others are given; or, with `trust-ad`, a resolver on this machine is believed
   * that validates (security.md 16).
   */
  readonly dnssec: "off" | "trust-ad" | { readonly anchors?: AnchorSet; readonly limits?: Partial<ValidatorLimits> }
  /** For `trust-ad`: a name whose signatures are wrong, to test that resolver with. */
  readonly knownBogus?: string
  readonly upstreams: readonly NetworkAddress[]
  readonly transport: DnsTransport
  readonly clock: Clock
  readonly random: Random
  readonly limits?: Partial<ResolverLimits>
}

export interface StubResolver extends Resolver {
  /** Whether validation is possible behind these upstreams; to be asked once before relying on it (security.md 15). */
  ability(signal: StopSignal): Promise<Ability | TrustAdAbility | { readonly able: false; readonly because: "off"; readonly why: readonly DnsReason[] }>
  /** Forgets every kept answer, as after a change of configuration. */
  flush(): void
}

interface Finished {
  readonly answer: DnsAnswer<RecordOf<RecordType>>
  readonly octets: number
  /** Seconds. */
  readonly ttl: number
}

interface Named {
  readonly name: DnsName
  /** Of the cache, without the type. */
  readonly key: string
}

/** Of some 300 octets each. */
const namesKept = 256

interface Flight {
  readonly promise: Promise<Finished>
  readonly controller: Stop
  waiting: number
}

const off: DnsReason = { code: "dnssec-off", detail: "signatures are not checked (resolver.dnssec: off)" }

/** Base64 of a message; zone cuts are part of many answers. */
const base64s = new WeakMap<Uint8Array, string>()
function base64(octets: Uint8Array): string {
  let text = base64s.get(octets)
  if (text === undefined) {
    text = Buffer.from(octets).toString("base64")
    base64s.set(octets, text)
  }
  return text
}

/** @throws RangeError for limits out of range; TrustAdError for `trust-ad` with a resolver elsewhere; the world's failures are answers, never thrown */
export function createResolver(options: ResolverOptions): StubResolver {
  const limits = { ...defaultResolverLimits, ...options.limits }
  if (limits.failureTtl > 60) throw new RangeError("failures are kept for 60 seconds at most")
  if (options.dnssec === "trust-ad") refuseRemote(options.upstreams)
  return new CachingStub(options, limits)
}

class CachingStub implements StubResolver {
  readonly #clock: Clock
  readonly #limits: ResolverLimits
  readonly #pool: UpstreamPool
  readonly #cache: ExpiringCache<DnsAnswer<RecordOf<RecordType>>>
  readonly #validator: Validator | undefined
  readonly #trustAd: TrustAd | undefined
  readonly #flights = new Map<string, Flight>()
  /** Names that were asked about of late, by their text. */
  readonly #names = new Map<string, Named>()
  /** Raised by flush(): a lookup begun before it is not kept. */
  #generation = 0

  constructor(options: ResolverOptions, limits: ResolverLimits) {
    this.#clock = options.clock
    this.#limits = limits
    this.#cache = new ExpiringCache({ entries: limits.cacheEntries, octets: limits.cacheOctets })
    this.#pool = new UpstreamPool({
      addresses: options.upstreams,
      transport: options.transport,
      clock: options.clock,
      random: options.random,
      times: { attempt: limits.attempt, penalty: 10_000 },
    })
    if (options.dnssec === "off") return
    if (options.dnssec === "trust-ad") {
      const { knownBogus } = options
      this.#trustAd = new TrustAd({ pool: this.#pool, clock: options.clock, ...(knownBogus === undefined ? {} : { knownBogus }) })
    } else {
      const { anchors, limits: work } = options.dnssec
      this.#validator = createValidator({
        ...(anchors === undefined ? {} : { anchors }),
        ...(work === undefined ? {} : { limits: work }),
        clock: options.clock,
        ask: async ({ name, type }, signal, attempt) => this.#pool.ask(name, type, signal, { dnssec: true, attempt }),
      })
    }
  }

  async ability(signal: StopSignal): ReturnType<StubResolver["ability"]> {
    return (await (this.#validator ?? this.#trustAd)?.ability(signal)) ?? { able: false, because: "off", why: [off] }
  }

  flush(): void {
    this.#generation += 1
    this.#cache.clear()
    this.#validator?.flush()
  }

  async resolve<T extends RecordType>(
    text: string,
    type: T,
    { signal }: { readonly signal?: StopSignal },
  ): Promise<DnsAnswer<RecordOf<T>>> {
    let named: Named
    try {
      named = this.#named(text)
    } catch (error) {
      if (!(error instanceof DnsFormatError)) throw error
      return this.#failure(text, type, [{ code: "bad-name", detail: error.message }])
    }
    const { name } = named
    const key = `${type} ${named.key}`
    const kept = this.#cache.get(key, this.#clock.monotonic())
    // RFC 4035 5.3.3: the wall clock may have been set forward past the signatures meanwhile.
    if (kept !== undefined && (kept.signaturesUntil === undefined || this.#clock.now() <= kept.signaturesUntil)) return kept as DnsAnswer<RecordOf<T>>
    if (signal?.aborted === true) return this.#failure(shownName(name), type, [{ code: "aborted", detail: "the asker gave up" }])
    let flight = this.#flights.get(key)
    if (flight === undefined) {
      if (this.#flights.size >= this.#limits.inFlight) {
        return this.#failure(shownName(name), type, [{ code: "busy", detail: `${this.#limits.inFlight} lookups are under way` }])
      }
      flight = this.#launch(key, name, type)
    }
    return (await this.#join(key, flight, signal, name, type)) as DnsAnswer<RecordOf<T>>
  }

  /** A host of hundreds of domains is asked about hundreds of times. @throws DnsFormatError */
  #named(text: string): Named {
    const known = this.#names.get(text)
    if (known !== undefined) return known
    const name = nameFromText(text)
    const named = { name, key: nameKey(name) }
    if (this.#names.size >= namesKept) this.#names.clear()
    this.#names.set(text, named)
    return named
  }

  #launch(key: string, name: DnsName, type: RecordType): Flight {
    const controller = new Stop()
    const cancel = this.#clock.after(this.#limits.lookup, () => controller.abort())
    const generation = this.#generation
    const land = () => {
      cancel()
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    }
    const promise = this.#lookup(name, type, controller).then(
      (finished) => {
        land()
        if (generation === this.#generation && flight.waiting > 0 && finished.ttl > 0) {
          this.#cache.set(key, finished.answer, finished.octets, this.#clock.monotonic() + finished.ttl * 1000)
        }
        return finished
      },
      (error: unknown) => {
        land()
        throw error
      },
    )
    const flight: Flight = { promise, controller, waiting: 0 }
    this.#flights.set(key, flight)
    return flight
  }

  /** Waits for a lookup others may wait for too; the last one to leave ends it. */
  async #join(key: string, flight: Flight, signal: StopSignal | undefined, name: DnsName, type: RecordType): Promise<DnsAnswer<unknown>> {
    flight.waiting += 1
    let onAbort = (): void => undefined
    try {
      const finished = await new Promise<Finished | undefined>((resolve, reject) => {
        onAbort = () => resolve(undefined)
        signal?.addEventListener("abort", onAbort)
        flight.promise.then(resolve, reject)
      })
      if (finished !== undefined) return finished.answer
    } finally {
      signal?.removeEventListener("abort", onAbort)
      flight.waiting -= 1
    }
    if (flight.waiting === 0) {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
      flight.controller.abort()
    }
    return this.#failure(shownName(name), type, [{ code: "aborted", detail: "the asker gave up" }])
  }

  async #lookup(name: DnsName, type: RecordType, signal: StopSignal): Promise<Finished> {
    if (this.#validator !== undefined) return this.#validated(name, type, await this.#validator.validate(name, typeNumbers[type], signal))
    const asked = shownName(name)
    const visited = new Set<string>()
    const trustAd = this.#trustAd
    const manner: Manner | undefined = trustAd === undefined ? undefined : authentic
    const why: DnsReason[] = trustAd === undefined ? [off] : []
    const words: string[] = []
    let status: DnsStatus = trustAd === undefined ? "insecure" : "secure"
    let owner = name
    let octets = 256
    let ttl = this.#limits.maxTtl
    for (;;) {
      const reply: Asked = await this.#pool.ask(owner, typeNumbers[type], signal, manner)
      why.push(...reply.why)
      if (reply.message === undefined) {
        const failure = await trustAd?.failureOf(owner, typeNumbers[type], reply, signal)
        return this.#failed(asked, type, [...why, ...(failure?.why ?? [])], reply.rcode, failure?.status, reply.upstream)
      }
      if (trustAd !== undefined) {
        if (!words.includes(reply.upstream)) words.push(reply.upstream)
        const said = await trustAd.statusOf(reply, signal)
        why.push(...said.why)
        if (said.status === "indeterminate") return this.#failed(asked, type, why, reply.message.rcode, "indeterminate", reply.upstream)
        // DANE-01: the weakest link decides.
        if (said.status !== "secure") status = said.status
      }
      octets += reply.octets.length
      const reading = readAnswer(reply.message, owner, typeNumbers[type], visited)
      const upstream = reply.upstream
      if (reading.kind === "failure") {
        return this.#failed(asked, type, [...why, { code: reading.code, detail: reading.detail, upstream }], reply.message.rcode)
      }
      ttl = Math.min(ttl, reading.ttl)
      if (reading.canonical !== owner)
        why.push({ code: "alias", detail: `${shownName(owner)} leads to ${shownName(reading.canonical)}`, upstream })
      if (reading.kind === "alias") {
        owner = reading.canonical
        continue
      }
      const answer: DnsAnswer<RecordOf<RecordType>> = {
        name: asked,
        type,
        records: reading.kind === "data" ? modelRecords(type, reading.records) : [],
        status,
        outcome: reading.kind,
        rcode: reply.message.rcode,
        why,
        canonical: shownName(reading.canonical),
        validatedBy: trustAd === undefined ? "self" : `resolver ${words.join(", ")}`,
        until: this.#clock.now() + ttl * 1000,
      }
      return { answer, octets, ttl }
    }
  }

  #validated(name: DnsName, type: RecordType, found: Validated): Finished {
    const asked = shownName(name)
    const failed = found.outcome === "failure"
    const now = this.#clock.now()
    const kept = failed ? this.#limits.failureTtl : Math.min(found.ttl, this.#limits.maxTtl, Math.floor((found.expires - now) / 1000))
    const ttl = Math.max(0, kept)
    const wire = found.wire.map(base64)
    const answer: DnsAnswer<RecordOf<RecordType>> = {
      name: asked,
      type,
      records: modelRecords(type, found.records),
      status: found.status,
      outcome: found.outcome,
      rcode: found.rcode,
      why: found.why,
      canonical: shownName(found.canonical),
      validatedBy: "self",
      wire,
      until: now + ttl * 1000,
      ...(found.status === "secure" && Number.isFinite(found.expires) ? { signaturesUntil: found.expires } : {}),
    }
    // Messages about zone cuts found earlier are shared with the answer that weighs them; a message weighs more in Base64,
    // and has its fields beside it.
    return { answer, octets: 512 + 3 * found.ownOctets, ttl }
  }

  #failed(
    name: string,
    type: RecordType,
    why: readonly DnsReason[],
    rcode: number | undefined,
    status: "bogus" | "indeterminate" = "indeterminate",
    upstream?: string,
  ): Finished {
    const ttl = this.#limits.failureTtl
    const failure = this.#failure(name, type, why, rcode, ttl)
    const validatedBy = this.#trustAd === undefined || upstream === undefined ? ("self" as const) : (`resolver ${upstream}` as const)
    return { answer: { ...failure, status, validatedBy } as DnsAnswer<RecordOf<RecordType>>, octets: 512, ttl }
  }

  #failure<R>(name: string, type: RecordType, why: readonly DnsReason[], rcode?: number, ttl = 0): DnsAnswer<R> {
    return {
      name,
      type,
      records: [],
      status: "indeterminate",
      outcome: "failure",
      rcode,
      why,
      canonical: name,
      validatedBy: "self",
      until: this.#clock.now() + ttl * 1000,
    }
  }
}
