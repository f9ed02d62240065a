// What is thrown: a broken protocol, an unreachable world, a bad configuration. A failed proof is a value, never thrown.

/** RFC 6120 4.9.3, all 25 conditions. */
export const streamErrorConditions = [
  "bad-format",
  "bad-namespace-prefix",
  "conflict",
  "connection-timeout",
  "host-gone",
  "host-unknown",
  "improper-addressing",
  "internal-server-error",
  "invalid-from",
  "invalid-namespace",
  "invalid-xml",
  "not-authorized",
  "not-well-formed",
  "policy-violation",
  "remote-connection-failed",
  "reset",
  "resource-constraint",
  "restricted-xml",
  "see-other-host",
  "system-shutdown",
  "undefined-condition",
  "unsupported-encoding",
  "unsupported-feature",
  "unsupported-stanza-type",
  "unsupported-version",
] as const
export type StreamErrorCondition = (typeof streamErrorConditions)[number]

/** RFC 6120 8.3.3 stanza error conditions that we send. */
export type StanzaErrorCondition =
  | "forbidden"
  | "internal-server-error"
  | "item-not-found"
  | "not-acceptable"
  | "not-authorized"
  | "policy-violation"
  | "remote-server-not-found"
  | "remote-server-timeout"
  | "resource-constraint"
  | "service-unavailable"
  | "jid-malformed"

/** The peer broke the protocol (or we must say so): the stream ends with this condition. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError"
  readonly condition: StreamErrorCondition
  /** What the peer may be told, in the optional text element; never more than it needs. */
  readonly tell: string | undefined
  /** The application-specific condition, as XML of ours (RFC 6120 4.9.4). */
  readonly application: string | undefined
  constructor(condition: StreamErrorCondition, detail: string, options: { tell?: string; application?: string; cause?: unknown } = {}) {
    super(detail, { cause: options.cause })
    this.condition = condition
    this.tell = options.tell
    this.application = options.application
  }
}

/** The peer ended the stream: by a stream error (`condition`), `</stream:stream>` or a lost connection. */
export class StreamClosed extends Error {
  override readonly name = "StreamClosed"
  readonly condition: string | undefined
  /** The peer's own words; untrusted, to be escaped when shown. */
  readonly text: string | undefined
  constructor(detail: string, options: { condition?: string; text?: string; cause?: unknown } = {}) {
    super(detail, { cause: options.cause })
    this.condition = options.condition
    this.text = options.text
  }
}

/** Why a connection could not be opened; to the peer all of them look alike (security.md 17). */
export type DialFailure = "refused" | "timeout" | "unreachable" | "reset" | "guarded" | "capped" | "aborted"

export class DialError extends Error {
  override readonly name = "DialError"
  readonly failure: DialFailure
  constructor(failure: DialFailure, detail: string, options: { cause?: unknown } = {}) {
    super(detail, options)
    this.failure = failure
  }
}

export class TlsError extends Error {
  override readonly name = "TlsError"
  /** Our finding: handshake failed, resumed, no credentials for the name, time-out. */
  readonly failure: "handshake" | "resumed" | "no-credentials" | "timeout" | "alpn" | "closed"
  constructor(failure: TlsError["failure"], detail: string, options: { cause?: unknown } = {}) {
    super(detail, options)
    this.failure = failure
  }
}

/** An HTTPS exchange that came to nothing. `refused`: the asker did not accept the server's certificate, whose chain is kept. */
export class HttpsError extends Error {
  override readonly name = "HttpsError"
  readonly failure: "tls" | "refused" | "protocol" | "encoded" | "too-large" | "timeout" | "closed"
  /** What was presented, leaf first, DER; empty before the handshake. */
  readonly chain: readonly Uint8Array[]
  constructor(failure: HttpsError["failure"], detail: string, options: { cause?: unknown; chain?: readonly Uint8Array[] } = {}) {
    super(detail, options)
    this.failure = failure
    this.chain = options.chain ?? []
  }
}

/** The memory on disk cannot be used. `newer`: written by a later version; `busy`: another process holds it; `failed`: reading or writing. */
export class StoreError extends Error {
  override readonly name = "StoreError"
  readonly failure: "newer" | "busy" | "failed"
  constructor(failure: StoreError["failure"], detail: string, options: { cause?: unknown } = {}) {
    super(detail, options)
    this.failure = failure
  }
}

/** A mistake in what the operator wrote: says what, where and what to do. */
export class ConfigError extends Error {
  override readonly name = "ConfigError"
  readonly problems: readonly ConfigProblem[]
  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map((problem) => `${problem.place}  ${problem.sentence}`).join("\n"))
    this.problems = problems
  }
}

export interface ConfigProblem {
  /** `file:line:column`, or the file alone. */
  readonly place: string
  /** The dotted path of the setting, where there is one. */
  readonly setting?: string
  readonly sentence: string
}
