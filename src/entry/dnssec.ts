// `xmpp-dna/dnssec`: DNS answers that can be believed, validated here from the root's keys (RFC 4033 to 4035, RFC 5155), or by the
// word of a validating resolver on this machine; and recorded answers validated again offline (security.md 15, 16, 25).
import { Buffer } from "node:buffer"
import type { DnsAnswer, DnsReason, RecordOf, RecordType, Resolver } from "../model/dns-answer.ts"
import { parseAddress } from "../model/address.ts"
import type { Instant } from "../model/verdict.ts"
import type { NetworkAddress } from "../ports.ts"
import { modelRecords } from "../dns/answer.ts"
import { type AnchorSet, parseAnchors, rootAnchors } from "../dns/dnssec/anchors.ts"
import { revalidate } from "../dns/dnssec/validator.ts"
import { nameFromText } from "../dns/name.ts"
import { shownName, typeNumbers } from "../dns/records.ts"
import { createResolver as createStub, type ResolverLimits } from "../dns/resolver.ts"
import { systemClock } from "../node/clock.ts"
import { nodeDnsTransport, systemUpstreamsNow } from "../node/dns-transport.ts"
import { systemRandom } from "../node/random.ts"

export { AnchorError, parseAnchors, rootAnchors } from "../dns/dnssec/anchors.ts"
export { TrustAdError } from "../dns/trust-ad.ts"
export type {
  AddressRecord,
  DnsAnswer,
  DnsOutcome,
  DnsReason,
  DnsReasonCode,
  DnsStatus,
  NameRecord,
  RecordOf,
  RecordType,
  SoaRecord,
  SrvRecord,
  TlsaRecord,
  TxtRecord,
} from "../model/dns-answer.ts"
export type { AnchorSet, TrustAnchor } from "../dns/dnssec/anchors.ts"
export type { ResolverLimits } from "../dns/resolver.ts"

export interface SecureResolverOptions {
  /**
   * `validate` (the default): signatures are checked here, whatever the upstreams think of them. `trust-ad`: the upstreams
   * validate, run on this machine and are believed; their answers are attested, never signed.
   */
  readonly mode?: "validate" | "trust-ad"
  /** `address` or `address:port`, IPv6 with a port in brackets; port 53 unless given. The system's unless given. */
  readonly upstreams?: readonly string[]
  /** For `validate`: DS or DNSKEY records in zone file form, or what `parseAnchors` made of them. The root's unless given. */
  readonly anchors?: string | AnchorSet
  /** For `trust-ad`: a name whose signatures are wrong. The resolver must hold its addresses back, or is not believed. */
  readonly knownBogus?: string
  /** Times in milliseconds or seconds, sizes and counts, each where it differs from the default. */
  readonly limits?: Partial<ResolverLimits>
}

/** Why nothing can be validated behind the upstreams, or that it can. */
export type ResolverAbility =
  | { readonly able: true }
  | { readonly able: false; readonly because: "unreachable" | "stripped" | "clock" | "bogus" | "not-validating"; readonly why: readonly DnsReason[] }

export interface SecureResolver extends Resolver {
  /**
   * Asks once whether validation is possible at all; to be called before relying on it. Without it nothing becomes
   * unsafe: every answer is then bogus or indeterminate.
   */
  ability(options?: { readonly signal?: AbortSignal }): Promise<ResolverAbility>
  /** Forgets every kept answer. */
  flush(): void
}

/**
 * A resolver whose answers say whether they can be believed: `secure`, `insecure`, `bogus` or `indeterminate`, with reasons
 * (RFC 4035 4.3). It opens nothing before the first question and holds nothing open that keeps a process alive.
 *
 * @throws TrustAdError when `trust-ad` is to believe a resolver elsewhere or nobody named; AnchorError for anchors that cannot be
 *   read; TypeError for an upstream that is no address, and for options of the other mode; RangeError for limits out of range
 */
export function createResolver(options: SecureResolverOptions = {}): SecureResolver {
  const { mode = "validate", anchors, knownBogus, limits } = options
  if (mode !== "validate" && mode !== "trust-ad") throw new TypeError(`mode is ${JSON.stringify(mode)}; known are validate and trust-ad`)
  if (mode === "trust-ad" && anchors !== undefined) throw new TypeError("anchors are for the mode validate")
  if (mode === "validate" && knownBogus !== undefined) throw new TypeError("knownBogus is for the mode trust-ad")
  // security.md 16: whom to believe is said by name; what the system happens to use is not enough.
  const upstreams = options.upstreams?.map(upstreamOf) ?? (mode === "trust-ad" ? [] : systemUpstreamsNow())
  const set = typeof anchors === "string" ? parseAnchors(anchors) : (anchors ?? rootAnchors)
  const stub = createStub({
    dnssec: mode === "validate" ? { anchors: set } : mode,
    ...(knownBogus === undefined ? {} : { knownBogus }),
    upstreams,
    transport: nodeDnsTransport({ sharedOnLoopback: true }),
    clock: systemClock,
    random: systemRandom,
    ...(limits === undefined ? {} : { limits }),
  })
  return {
    resolve: (name, type, asking = {}) => stub.resolve(name, type, asking),
    ability: async ({ signal = new AbortController().signal } = {}) => (await stub.ability(signal)) as ResolverAbility,
    flush: () => stub.flush(),
  }
}

function upstreamOf(text: string): NetworkAddress {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text)
  const address = match?.[1] ?? match?.[2] ?? text
  const port = match?.[3] === undefined ? 53 : Number(match[3])
  if (parseAddress(address) === undefined || port < 1 || port > 65_535) throw new TypeError(`${JSON.stringify(text)} is no address of a resolver: write "127.0.0.1:53" or "[::1]:53"`)
  return { address, port }
}

export interface RecordedAnswer<T extends RecordType> {
  readonly name: string
  readonly type: T
  /** Base64 of the messages, as `resolve` gave them. */
  readonly wire: readonly string[]
  /** The time at which it was believed, ms since 1970. */
  readonly at: Instant
  /** Of whoever judges, never of whoever recorded; the root's unless given. */
  readonly anchors?: AnchorSet
}

/**
 * Validates a recorded answer again, without network, as of the recorded time. A message that is missing is silence: the
 * answer is then indeterminate, never insecure.
 */
export function revalidateAnswer<T extends RecordType>(
  recorded: RecordedAnswer<T>,
): Pick<DnsAnswer<RecordOf<T>>, "status" | "outcome" | "rcode" | "records" | "canonical" | "why"> {
  const { name, type, wire, at, anchors = rootAnchors } = recorded
  const messages = wire.map((text) => Uint8Array.from(Buffer.from(text, "base64")))
  const { status, outcome, rcode, records, canonical, why } = revalidate({ name: nameFromText(name), type: typeNumbers[type], wire: messages, at, anchors })
  return { status, outcome, rcode, records: modelRecords(type, records), canonical: shownName(canonical), why }
}
