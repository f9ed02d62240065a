// What DNS said, whether to believe it, and the record types anybody reads (RFC 4035 4.3).
import type { StopSignal } from "./stop.ts"
import type { Instant } from "./verdict.ts"

/**
 * secure: a chain of signatures from an anchor; insecure: proven or configured to be unsigned; bogus: should be signed
 * and is not; indeterminate: we could not find out, to be treated as an error (RFC 4035 4.3 sense).
 */
export type DnsStatus = "secure" | "insecure" | "bogus" | "indeterminate"

/** data: records; no-data: the name exists without them; name-error: NXDOMAIN; failure: bogus, SERVFAIL, silence, malformed. */
export type DnsOutcome = "data" | "no-data" | "name-error" | "failure"

export type DnsReasonCode =
  | "dnssec-off"
  | "timeout"
  | "network"
  | "servfail"
  | "refused"
  | "rcode"
  | "malformed"
  | "mismatch"
  | "lame"
  | "alias-loop"
  | "alias-too-long"
  | "too-many-records"
  | "bad-name"
  | "busy"
  | "aborted"
  | "no-upstream"
  | "alias"
  // Of the validator (RFC 4035 5): what is missing or wrong, and what makes an answer insecure.
  | "signature-missing"
  | "signature-invalid"
  | "signature-expired"
  | "signature-not-yet-valid"
  | "key-missing"
  | "ds-mismatch"
  | "denial-missing"
  | "work-limit"
  | "clock"
  | "no-anchor"
  | "unsigned-delegation"
  | "algorithm-unsupported"
  | "opt-out"
  | "nsec3-iterations"
  // Of another validator that we ask (security.md 16).
  | "not-validating"
  | "attested-bogus"

/** One step of why an answer has the status it has; `detail` is for people. */
export interface DnsReason {
  readonly code: DnsReasonCode
  readonly detail: string
  /** Which upstream, as `address:port`. */
  readonly upstream?: string
}

export interface AddressRecord {
  /** Canonical text of the address (RFC 5952). */
  readonly address: string
}

export interface SrvRecord {
  readonly priority: number
  readonly weight: number
  readonly port: number
  /** Presentation form, lower case, no final dot; "." is the root. */
  readonly target: string
}

export interface TlsaRecord {
  readonly usage: number
  readonly selector: number
  readonly matching: number
  /** Certificate association data, lower-case hexadecimal. */
  readonly association: string
}

export interface NameRecord {
  /** Presentation form, lower case, no final dot; "." is the root. */
  readonly target: string
}

export interface SoaRecord {
  readonly primary: string
  readonly mailbox: string
  readonly serial: number
  /** Seconds, as the four below. */
  readonly refresh: number
  readonly retry: number
  readonly expire: number
  readonly minimum: number
}

export interface TxtRecord {
  /** Each character string as Base64: they are octets, not text. */
  readonly strings: readonly string[]
}

export interface RecordMap {
  A: AddressRecord
  AAAA: AddressRecord
  CNAME: NameRecord
  DNAME: NameRecord
  NS: NameRecord
  SOA: SoaRecord
  SRV: SrvRecord
  TLSA: TlsaRecord
  TXT: TxtRecord
}

export type RecordType = keyof RecordMap
export type RecordOf<T extends RecordType> = RecordMap[T]

/** Everything one lookup ended in; JSON as it stands. */
export interface DnsAnswer<R> {
  /** What was asked: presentation form, lower case, no final dot. */
  readonly name: string
  readonly type: RecordType
  readonly records: readonly R[]
  readonly status: DnsStatus
  readonly outcome: DnsOutcome
  /** RFC 1035 4.1.1 and RFC 6895; undefined when nobody answered. */
  readonly rcode: number | undefined
  readonly why: readonly DnsReason[]
  /** The name at the end of the CNAME and DNAME chain. */
  readonly canonical: string
  readonly validatedBy: "self" | `resolver ${string}`
  /** Base64 of the messages the answer rests on, where the resolver keeps them. */
  readonly wire?: readonly string[]
  /** How long it may be used, ms since 1970. */
  readonly until: Instant
  /** When the first of the signatures it rests on ends, ms since 1970; absent where the resolver does not know. */
  readonly signaturesUntil?: Instant
}

export type AnyDnsAnswer = { [T in RecordType]: DnsAnswer<RecordOf<T>> & { readonly type: T } }[RecordType]

export interface Resolver {
  /**
   * Asks DNS. Never rejects because the world is silent or hostile: that is status 'indeterminate' (or 'bogus') with
   * outcome 'failure'. An aborted signal ends the wait with reason 'aborted'.
   *
   * @param name presentation form in A-labels (DANE-28), with or without final dot
   */
  resolve<T extends RecordType>(name: string, type: T, options: { readonly signal?: StopSignal }): Promise<DnsAnswer<RecordOf<T>>>
}
