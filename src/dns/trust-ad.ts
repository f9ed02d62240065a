// The opinion of a validating resolver on loopback, taken because the operator says so (RFC 4035 3.2.3, 4.9.3; RFC 6840 5.7; RFC 8914; security.md 16).
// What comes of it is attested by that resolver, never signed: no wire records are kept.
import type { DnsReason, DnsStatus } from "../model/dns-answer.ts"
import { type Reading, readAnswer } from "./answer.ts"
import { rcodes } from "./message.ts"
import { type DnsName, rootName } from "./name.ts"
import { shownName, typeNumbers } from "./records.ts"
import type { UpstreamPool } from "./upstream.ts"

export type Attested = {
  readonly why: readonly DnsReason[]
  readonly rcode: number | undefined
} & (
  | {
      readonly status: "secure" | "insecure"
      readonly reading: Exclude<Reading, { readonly kind: "failure" | "alias" }>
      readonly upstream: string
      readonly octets: number
    }
  | { readonly status: Extract<DnsStatus, "bogus" | "indeterminate">; readonly reading: undefined }
)

/** RFC 8914 4: 5 to 12 speak of DNSSEC, 25 and 27 of signatures and iterations; 27 is no failure but stands beside some. */
const dnssecCodes: readonly number[] = [5, 6, 7, 8, 9, 10, 11, 12, 25, 27]

/**
 * One question, and a second with checking disabled where the first failed: what exists but may not be shown is bogus,
 * what cannot be had at all is indeterminate.
 */
export async function attested(pool: UpstreamPool, name: DnsName, type: number, signal: AbortSignal): Promise<Attested> {
  const reply = await pool.ask(name, type, signal, { wants: "opinion", attempt: 0 })
  if (reply.message === undefined) {
    const { rcode, extended } = reply
    if (rcode !== rcodes.serverFailure) return { status: "indeterminate", reading: undefined, rcode, why: reply.why }
    const told = extended !== undefined && dnssecCodes.includes(extended)
    const unchecked = told ? undefined : await pool.ask(name, type, signal, { wants: "unchecked", attempt: 0 })
    if (!told && unchecked?.message === undefined) return { status: "indeterminate", reading: undefined, rcode, why: reply.why }
    const detail = told ? `the resolver says so (extended error ${extended})` : "the resolver has the answer and does not show it"
    return { status: "bogus", reading: undefined, rcode, why: [...reply.why, { code: "signature-invalid", detail }] }
  }
  const { message, upstream } = reply
  const { rcode } = message
  const reading = readAnswer(message, name, type, new Set())
  if (reading.kind === "failure") {
    return {
      status: "indeterminate",
      reading: undefined,
      rcode,
      why: [...reply.why, { code: reading.code, detail: reading.detail, upstream }],
    }
  }
  if (reading.kind === "alias") {
    const detail = `the resolver left the chain at ${shownName(reading.canonical)}`
    return { status: "indeterminate", reading: undefined, rcode, why: [...reply.why, { code: "alias", detail, upstream }] }
  }
  const why =
    reading.canonical === name
      ? []
      : [{ code: "alias" as const, detail: `${shownName(name)} leads to ${shownName(reading.canonical)}`, upstream }]
  return {
    status: message.authenticData ? "secure" : "insecure",
    reading,
    rcode,
    upstream,
    octets: reply.octets.length,
    why: [...reply.why, ...why],
  }
}

/** Whether the resolver validates at all: the root's own data must come with AD. */
export async function attestingAbility(
  pool: UpstreamPool,
  signal: AbortSignal,
): Promise<{ readonly able: boolean; readonly because: "unreachable" | "stripped" | "bogus"; readonly why: readonly DnsReason[] }> {
  const { status, why } = await attested(pool, rootName, typeNumbers.SOA, signal)
  const because = status === "bogus" ? "bogus" : status === "indeterminate" ? "unreachable" : "stripped"
  return { able: status === "secure", because, why }
}
