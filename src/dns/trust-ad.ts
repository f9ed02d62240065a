// Mode trust-ad: another validator's word, on loopback only, tested at start and whenever it says "not signed" (security.md
// 15, 16; RFC 6840 5.7, 5.8; RFC 8914 4). It is attested, never signed: loopback does not show who validates.
import type { DnsReason, DnsStatus } from "../model/dns-answer.ts"
import type { StopSignal } from "../model/stop.ts"
import type { Clock, NetworkAddress } from "../ports.ts"
import { type DnsName, nameFromText, rootName } from "./name.ts"
import { shownName, typeNumbers } from "./records.ts"
import { type Asked, isLoopbackAddress, type Manner, type UpstreamPool } from "./upstream.ts"

/** The mode was asked for where it must not be. */
export class TrustAdError extends Error {
  override readonly name = "TrustAdError"
}

export type TrustAdAbility =
  | { readonly able: true }
  | { readonly able: false; readonly because: "unreachable" | "not-validating"; readonly why: readonly DnsReason[] }

export interface TrustAdOptions {
  readonly pool: UpstreamPool
  readonly clock: Pick<Clock, "monotonic">
  /** A name with a broken signature, where the operator knows one: the resolver must hold its addresses back. */
  readonly knownBogus?: string
}

/** RFC 8914 4.6 to 4.13, and the later codes 25 and 27 of its registry: validation was tried and failed. */
const bogusErrors: ReadonlySet<number> = new Set([5, 6, 7, 8, 9, 10, 11, 12, 25, 27])

/** For so long one success says that a resolver still validates, ms; and for so long one failure says that it does not. */
const believedMs = 30_000
const doubtedMs = 2_000

export const authentic: Manner = { dnssec: false, attempt: 0, flags: "authentic" }
const unchecked: Manner = { dnssec: false, attempt: 0, flags: "unchecked" }

/** security.md 16: off loopback anybody on the path sets the bit. */
export function refuseRemote(addresses: readonly NetworkAddress[]): void {
  if (addresses.length === 0) throw new TrustAdError("trust-ad needs the address of a validating resolver on this machine")
  for (const { address } of addresses) {
    if (!isLoopbackAddress(address)) throw new TrustAdError(`${address} is not a loopback address: on the way from there anybody could set the AD bit`)
  }
}

/** What the answers of validating resolvers are worth. */
export class TrustAd {
  readonly #options: TrustAdOptions
  readonly #tests = new Map<string, { readonly ability: Promise<TrustAdAbility>; until: number }>()

  constructor(options: TrustAdOptions) {
    this.#options = options
  }

  /** Tests every upstream; the first that cannot validate decides. */
  async ability(signal: StopSignal): Promise<TrustAdAbility> {
    this.#tests.clear()
    const tested = await Promise.all(this.#options.pool.labels.map((label) => this.tested(label, signal)))
    return tested.find(({ able }) => !able) ?? { able: true }
  }

  /**
   * Whether this upstream validates at this time, as far as can be told.
   *
   * @param anew an earlier test that ended well is not enough
   */
  async tested(label: string, signal: StopSignal, anew = false): Promise<TrustAdAbility> {
    const { clock } = this.#options
    const known = this.#tests.get(label)
    const underWay = known?.until === Number.POSITIVE_INFINITY
    if (known !== undefined && (underWay || clock.monotonic() < known.until) && !(anew && !underWay && (await known.ability).able)) return known.ability
    const test = { ability: this.#test(label, signal), until: Number.POSITIVE_INFINITY }
    this.#tests.set(label, test)
    const ability = await test.ability
    // A test that ended because its asker left says nothing.
    test.until = signal.aborted ? 0 : clock.monotonic() + (ability.able ? believedMs : doubtedMs)
    return ability
  }

  async #test(upstream: string, signal: StopSignal): Promise<TrustAdAbility> {
    const { pool, knownBogus } = this.#options
    const root = await pool.ask(rootName, typeNumbers.SOA, signal, { ...authentic, upstream })
    const unable = (because: "unreachable" | "not-validating", detail: string, why: readonly DnsReason[] = []): TrustAdAbility => ({
      able: false,
      because,
      why: [...why, { code: because === "unreachable" ? "no-upstream" : "not-validating", detail, upstream }],
    })
    if (root.message === undefined) return unable("unreachable", "the resolver does not answer for the root zone", root.why)
    // RFC 6840 5.8: the root is signed, so that a resolver that validates has nothing to doubt here.
    if (!root.message.authenticData) return unable("not-validating", "the resolver does not call the root zone authentic (no AD bit)")
    // Without CD nothing tells an answer that was held back from one that is not there.
    const raw = await pool.ask(rootName, typeNumbers.SOA, signal, { ...unchecked, upstream })
    if (raw.message === undefined) return unable("not-validating", "the resolver does not answer with checking disabled (CD)", raw.why)
    if (knownBogus === undefined) return { able: true }
    const name = nameFromText(knownBogus)
    const bogus = await pool.ask(name, typeNumbers.A, signal, { ...authentic, upstream })
    if (bogus.message !== undefined) return unable("not-validating", `the resolver answers for ${shownName(name)}, whose signatures are wrong`)
    return { able: true }
  }

  /** `secure` only with the bit; without it "unsigned" is believed of a resolver that still validates, and of no other. */
  async statusOf(
    asked: Extract<Asked, { message: object }>,
    signal: StopSignal,
  ): Promise<{ readonly status: DnsStatus; readonly why: readonly DnsReason[] }> {
    const ability = await this.tested(asked.upstream, signal, !asked.message.authenticData)
    // security.md 15: validation that ends while we run is an abort, never a switch to "unsigned".
    if (!ability.able) return { status: "indeterminate", why: ability.why }
    return { status: asked.message.authenticData ? "secure" : "insecure", why: [] }
  }

  /** Bogus or broken: by the resolver's own words, else by asking for what it holds back. */
  async failureOf(
    name: DnsName,
    type: number,
    failed: Extract<Asked, { message: undefined }>,
    signal: StopSignal,
  ): Promise<{ readonly status: "bogus" | "indeterminate"; readonly why: readonly DnsReason[] }> {
    const { upstream, extendedErrors } = failed
    // Only SERVFAIL hides a failed validation (RFC 4035 5.5).
    if (upstream === undefined || failed.rcode !== 2) return { status: "indeterminate", why: [] }
    const said = extendedErrors.find((code) => bogusErrors.has(code))
    if (said !== undefined) {
      return { status: "bogus", why: [{ code: "attested-bogus", detail: `the resolver's validation failed (extended error ${said})`, upstream }] }
    }
    const raw = await this.#options.pool.ask(name, type, signal, { ...unchecked, upstream })
    if (raw.message === undefined) return { status: "indeterminate", why: [] }
    return { status: "bogus", why: [{ code: "attested-bogus", detail: "the resolver holds the answer back, and gives it with checking disabled (CD)", upstream }] }
  }
}
