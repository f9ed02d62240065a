// The export `xmpp-dna/dnssec`: a validating resolver, and answers judged again without network (RFC 4033 to 4035, 5155).
import { Buffer } from "node:buffer"
import { type AnchorSet, parseAnchors, rootAnchors } from "../dns/dnssec/anchors.ts"
import { type Judgement, revalidate, type ValidatorLimits } from "../dns/dnssec/validator.ts"
import { nameFromText } from "../dns/name.ts"
import { typeNumbers } from "../dns/records.ts"
import { createResolver as createStub, type ResolverLimits, type StubResolver } from "../dns/resolver.ts"
import type { DnsAnswer, DnsOutcome, DnsReason, DnsStatus, RecordOf, RecordType } from "../model/dns-answer.ts"
import type { Instant } from "../model/verdict.ts"
import { systemClock } from "../node/clock.ts"
import { nodeDnsTransport, systemUpstreams } from "../node/dns-transport.ts"
import { systemRandom } from "../node/random.ts"
import type { NetworkAddress } from "../ports.ts"

export type { AnchorSet } from "../dns/dnssec/anchors.ts"
export { AnchorError, parseAnchors, rootAnchors } from "../dns/dnssec/anchors.ts"
export type { DnsAnswer, DnsOutcome, DnsReason, DnsReasonCode, DnsStatus, RecordMap, RecordOf, RecordType } from "../model/dns-answer.ts"

export interface ResolverOptions {
  /** `validate` unless given. `trust-ad` believes the AD bit of the upstreams, which must be on loopback and named here. */
  readonly mode?: "validate" | "trust-ad"
  /** `address:port`, `[address]:port` or `address`; the system's resolvers unless given. */
  readonly upstreams?: readonly string[]
  /** Anchors instead of the root's: a set, or DS and DNSKEY records in zone file form. */
  readonly anchors?: AnchorSet | string
  readonly limits?: Partial<ResolverLimits> & { readonly work?: Partial<ValidatorLimits> }
}

export interface DnssecResolver {
  /**
   * Never rejects because the world is silent or hostile: that is a status.
   *
   * @param name presentation form in A-labels
   */
  resolve<T extends RecordType>(name: string, type: T, options?: { readonly signal?: AbortSignal }): Promise<DnsAnswer<RecordOf<T>>>
  /** Whether validation is possible behind these upstreams; to be asked before relying on them. */
  ability(signal: AbortSignal): ReturnType<StubResolver["ability"]>
  flush(): void
}

/** @throws RangeError for text that is no address with or without port */
function addressIn(text: string): NetworkAddress {
  const match = /^(?:\[([0-9a-f:.]+)\]|([^:[\]]+)|([0-9a-f:.]+:[0-9a-f:.]*))(?::(\d{1,5}))?$/i.exec(text)
  const address = match?.[1] ?? match?.[2] ?? match?.[3]
  const port = Number(match?.[4] ?? 53)
  if (address === undefined || port < 1 || port > 65535) throw new RangeError(`${JSON.stringify(text)} is no address:port of a resolver`)
  return { address, port }
}

/**
 * A resolver with a cache of its own.
 *
 * @throws RangeError for upstreams or limits that make no sense, AnchorError for anchors that cannot be used
 */
export async function createResolver(options: ResolverOptions = {}): Promise<DnssecResolver> {
  const { mode = "validate", upstreams, anchors = rootAnchors, limits = {} } = options
  // security.md 16: which resolver is believed is for the operator to say, not for a file that others write.
  if (mode === "trust-ad" && upstreams === undefined) throw new RangeError("trust-ad needs its upstreams named")
  const { work, ...rest } = limits
  const set = typeof anchors === "string" ? parseAnchors(anchors) : anchors
  const stub = createStub({
    dnssec: mode === "trust-ad" ? mode : { anchors: set, ...(work === undefined ? {} : { limits: work }) },
    upstreams: upstreams?.map(addressIn) ?? (await systemUpstreams()),
    transport: nodeDnsTransport({ sharedOnLoopback: true }),
    clock: systemClock,
    random: systemRandom,
    limits: rest,
  })
  return {
    resolve: (name, type, { signal } = {}) => stub.resolve(name, type, signal === undefined ? {} : { signal }),
    ability: (signal) => stub.ability(signal),
    flush: () => stub.flush(),
  }
}

export interface Rejudged {
  readonly status: DnsStatus
  readonly outcome: DnsOutcome
  readonly why: readonly DnsReason[]
  /** No signature it rests on holds longer, ms since 1970. */
  readonly until: Instant
}

/**
 * Validates a recorded answer again from its own messages, as of a recorded time; nothing else in it is believed. An
 * answer without messages (attested, or never validated) is indeterminate.
 *
 * @param at ms since 1970
 * @throws DnsFormatError for a name that is none
 */
export function rejudge(
  answer: Pick<DnsAnswer<unknown>, "name" | "type" | "wire">,
  at: Instant,
  anchors: AnchorSet = rootAnchors,
): Rejudged {
  const found: Judgement = revalidate({
    name: nameFromText(answer.name),
    type: typeNumbers[answer.type],
    wire: (answer.wire ?? []).map((text) => Uint8Array.from(Buffer.from(text, "base64"))),
    at,
    anchors,
  })
  return { status: found.status, outcome: found.outcome, why: found.why, until: found.expires }
}
