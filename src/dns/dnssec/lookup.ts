// What one validated lookup carries along, and the two ways it meets the world: questions it yields and replies it is given.
// The steps are generators, so that the same code validates live answers and, later and without network, recorded ones.
import type { DnsReason, DnsStatus } from "../../model/dns-answer.ts"
import type { Instant } from "../../model/verdict.ts"
import type { DnsMessage } from "../message.ts"
import type { DnsName } from "../name.ts"
import type { AnchorSet } from "./anchors.ts"
import type { ZoneKey } from "./keys.ts"
import type { Work } from "./work.ts"

export interface Question {
  readonly name: DnsName
  readonly type: number
}

/** One response to the question, asked with DO and CD; or why there is none. */
export type Reply =
  | { readonly message: DnsMessage; readonly octets: Uint8Array; readonly upstream?: string; readonly why?: readonly DnsReason[] }
  | { readonly message: undefined; readonly rcode: number | undefined; readonly why: readonly DnsReason[] }

/** One signature to be checked with one key: the work that is worth leaving the event loop for. */
export interface SignatureCheck {
  readonly key: ZoneKey
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** A computation that asks and has signatures checked now and then, and ends in a T. */
export type Steps<T> = Generator<Question | SignatureCheck, T, Reply | boolean>

/** A zone whose keys were proven by its DS records or by an anchor. */
export interface SecureZone {
  readonly apex: DnsName
  readonly keys: readonly ZoneKey[]
  /** No signature of the chain up to here holds longer, ms since 1970. */
  readonly expires: Instant
}

/** What is known of a name on the way from an anchor down: whether a zone begins there. */
export type Cut = (
  | { readonly kind: "zone"; readonly zone: SecureZone }
  /** Unsigned from here on, provenly so. */
  | { readonly kind: "unsigned"; readonly why: readonly DnsReason[] }
  /** No zone begins here, but something may be below. */
  | { readonly kind: "none" }
  /** Neither this name nor anything below it begins a zone (RFC 8020, RFC 6672 2.4). */
  | { readonly kind: "absent" }
) & {
  /** Seconds it may be kept, by the TTLs it rests on. */
  readonly ttl: number
  /** No signature it rests on (of its own step) holds longer, ms since 1970. */
  readonly expires: Instant
  /** The messages it was read from. */
  readonly wire: readonly Uint8Array[]
}

/** Cuts found earlier. Only what was verified is ever put in. */
export interface CutStore {
  get(name: DnsName, at: Instant): Cut | undefined
  put(name: DnsName, cut: Cut, at: Instant): void
}

export interface Lookup {
  /** The time at which signatures must hold, ms since 1970. */
  readonly at: Instant
  readonly anchors: AnchorSet
  readonly work: Work
  readonly cuts: CutStore
  /** The messages this lookup rests on. */
  readonly wire: Set<Uint8Array>
}

/** Nothing could be verified; to be treated as an error in both forms (RFC 4035 4.3). */
export interface Trouble {
  readonly kind: "trouble"
  readonly status: Extract<DnsStatus, "bogus" | "indeterminate">
  readonly why: readonly DnsReason[]
}

export const bogus = (...why: readonly DnsReason[]): Trouble => ({ kind: "trouble", status: "bogus", why })

/** Whether the signature holds. */
export function* check(lookup: Pick<Lookup, "work">, key: ZoneKey, signed: Uint8Array, signature: Uint8Array): Steps<boolean> {
  lookup.work.countSignature()
  const holds = yield { key, signed, signature }
  if (typeof holds !== "boolean") throw new TypeError("the check of a signature was answered by a message")
  if (!holds) lookup.work.countWrongSignature()
  return holds
}

/** Asks one question; its octets belong to what the lookup rests on. */
export function* ask(lookup: Lookup, name: DnsName, type: number): Steps<Exclude<Reply, { message: undefined }> | Trouble> {
  lookup.work.countQuestion()
  const reply = yield { name, type }
  if (typeof reply === "boolean") throw new TypeError("a question was answered by the check of a signature")
  if (reply.message === undefined) return { kind: "trouble", status: "indeterminate", why: reply.why }
  lookup.wire.add(reply.octets)
  return reply
}
