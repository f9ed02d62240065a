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

/** How long the peer's own end is waited for before ours is sent, ms. */
const courtesy = 1000

/** The closing tag of any stream, whatever its prefix. */
const closingTag = /<\/(?:[^\s<>/:]{1,64}:)?stream\s*>\s*$/
const longestTag = 128

/**
 * As `endWithin`, where we closed first (TLS-13): the connection is kept, and read from, until the peer has closed its side,
 * for a second at most. A peer that meets our end before it has acted on our last words may never act on them.
 *
 * @param within ms until the connection is cut
 */
export function partWithin(channel: Channel, clock: Clock, within: number): void {
  let tail = ""
  const end = () => {
    cancelCourtesy()
    channel.end()
  }
  const cancelCourtesy = clock.after(Math.min(courtesy, within), end)
  const cancelCut = clock.after(within, () => channel.destroy())
  channel.attach({
    chunk: (bytes) => {
      tail = (tail + bytes.toString("latin1", Math.max(0, bytes.length - longestTag))).slice(-longestTag)
      if (closingTag.test(tail)) end()
    },
    drain: () => {},
    end,
    close: () => {
      cancelCourtesy()
      cancelCut()
    },
  })
  channel.resume()
}
