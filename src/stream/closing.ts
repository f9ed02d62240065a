// The closing handshake (RFC 6120 4.4; TLS-13): closing tag, a bounded wait for the peer's, then the connection.
import type { Channel, Clock } from "../ports.ts"

/**
 * Ends a connection after everything queued was written, and gives up on a peer that does not follow. Takes the channel's
 * handler over: what still arrives is dropped, and no timer outlives the connection. Not for a channel that was handed to TLS.
 *
 * @param within ms until the connection is cut
 */
export function endWithin(channel: Channel, clock: Clock, within: number): void {
  const cancel = clock.after(within, () => channel.destroy())
  channel.attach({ chunk: () => {}, drain: () => {}, end: () => {}, close: cancel })
  channel.end()
  channel.resume()
}
