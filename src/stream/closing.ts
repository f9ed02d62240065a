// The closing handshake (RFC 6120 4.4; TLS-13): closing tag, a bounded wait for the peer's, then the connection.
import type { Channel, Clock } from "../ports.ts"

/**
 * Ends a connection after everything queued was written, and gives up on a peer that does not follow.
 *
 * @param within ms until the connection is cut
 */
export function endWithin(channel: Channel, clock: Clock, within: number): void {
  channel.end()
  channel.resume()
  clock.after(within, () => channel.destroy())
}
