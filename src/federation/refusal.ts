// Why an outgoing stream did not come to be: finding, sentence, and what the gateway may do about it (CORE-07).
import { DialError, ProtocolError, StreamClosed, TlsError } from "../model/errors.ts"
import type { Evidence } from "../model/evidence.ts"
import { type FindingId, findingSentence } from "../model/findings.ts"
import type { Verdict } from "../model/verdict.ts"
import { InjectedBytes } from "../stream/starttls.ts"
import type { OutgoingFailure } from "./contract.ts"
import { DeadlinePassed } from "./deadline.ts"

export class OutgoingRefused extends Error {
  override readonly name = "OutgoingRefused"
  readonly failure: OutgoingFailure
  constructor(failure: OutgoingFailure, options: { cause?: unknown } = {}) {
    super(findingSentence(failure.finding, failure.detail), options)
    this.failure = failure
  }
}

export function refusal(
  finding: FindingId,
  detail: string,
  kind: OutgoingFailure["kind"],
  options: { verdicts?: readonly Verdict[]; evidence?: () => readonly Evidence[]; retryable?: boolean; cause?: unknown } = {},
): OutgoingRefused {
  const failure = {
    finding,
    detail,
    kind,
    verdicts: options.verdicts ?? [],
    retryable: options.retryable ?? kind !== "refused",
    ...(options.evidence === undefined ? {} : { evidence: options.evidence }),
  }
  return new OutgoingRefused(failure, { cause: options.cause })
}

/**
 * Whatever a step threw, as a refusal. Our own mistakes (anything unknown) are passed through unchanged.
 *
 * @param signal of the step; whatever an abort made it throw is a refusal, too
 */
export function refusalOf(error: unknown, signal?: AbortSignal): unknown {
  if (error instanceof OutgoingRefused) return error
  if (error instanceof InjectedBytes) return refusal("tls.starttls-injection", error.message, "refused", { cause: error })
  if (error instanceof DialError) {
    const finding = ({ refused: "reach.refused", reset: "reach.refused", timeout: "reach.timeout", unreachable: "reach.refused", guarded: "dns.guarded", capped: "reach.capped", aborted: "reach.timeout" } as const)[error.failure]
    return refusal(finding, error.message, error.failure === "guarded" ? "not-found" : "unreachable", { cause: error })
  }
  if (error instanceof TlsError) {
    const finding = error.failure === "resumed" ? "tls.resumed" : error.failure === "timeout" ? "stream.too-slow" : "tls.handshake-failed"
    return refusal(finding, error.message, "unreachable", { cause: error })
  }
  if (error instanceof StreamClosed) {
    if (error.condition === "host-unknown" || error.condition === "host-gone") {
      return refusal("stream.host-unknown", error.text ?? error.condition, "not-found", { cause: error })
    }
    if (error.condition === undefined) return refusal("stream.closed", error.message, "unreachable", { cause: error })
    return refusal("stream.error", error.text === undefined ? error.condition : `${error.condition}, "${error.text}"`, "unreachable", { cause: error })
  }
  if (error instanceof ProtocolError) return refusal("stream.bad-xml", error.message, "unreachable", { cause: error })
  if (error instanceof DeadlinePassed) return refusal("stream.too-slow", error.message, "unreachable", { cause: error })
  if (signal?.aborted === true && error === signal.reason) return refusal("stream.too-slow", "the attempt was given up", "unreachable", { cause: error })
  return error
}
