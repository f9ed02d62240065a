// How we leave a stream whose negotiation ended badly (RFC 6120 4.4, 4.9.1, 5.4.3.2; TLS-04): the peer reads the condition
// and words written for it, never our reasons.
import { ProtocolError, StreamClosed, type StreamErrorCondition, TlsError } from "../model/errors.ts"
import type { Channel, Clock } from "../ports.ts"
import { endWithin, partWithin } from "../stream/closing.ts"
import { toldTo } from "../stream/stream-errors.ts"
import type { XmlStream } from "../stream/xml-stream.ts"
import { DeadlinePassed } from "./deadline.ts"
import { OutgoingRefused } from "./refusal.ts"

interface Parting {
  readonly condition?: StreamErrorCondition
  readonly tell?: string | undefined
}

function partingOf(error: unknown): Parting {
  if (error instanceof ProtocolError) return toldTo(error)
  if (error instanceof DeadlinePassed) return { condition: "connection-timeout" }
  // RFC 6120 4.9.3.23: nothing that the peer insists on is known here.
  if (error instanceof OutgoingRefused && error.failure.finding === "auth.no-way") return { condition: "unsupported-feature" }
  return {}
}

/**
 * Ends the stream with the condition that fits, then the connection.
 *
 * @param stream undefined where no stream was opened yet
 * @param channel of the connection, where there is no stream
 * @param closing ms until the connection is cut
 */
export function leave(stream: XmlStream | undefined, channel: Channel, error: unknown, clock: Clock, closing: number): void {
  // TLS-04: behind a failed handshake there is no stream to close, only the connection.
  if (stream === undefined || error instanceof TlsError) {
    ;(stream?.channel ?? channel).destroy()
    return
  }
  const { condition, tell } = partingOf(error)
  stream.lastWords(condition, tell)
  if (error instanceof StreamClosed) endWithin(stream.channel, clock, closing)
  else partWithin(stream.channel, clock, closing)
}
