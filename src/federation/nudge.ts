// A peer that waits for acknowledgements gets one at once: a space behind our header (RFC 6120 11.7 allows it there).
import type { Channel, Clock, SecuredChannel } from "../ports.ts"

const space = new TextEncoder().encode(" ")
/** So long a peer that handed out all its tickets at once may take for its answer, ms. */
const patience = 2
/** The second ticket is held back behind the first, and the answer behind the second: one space each. */
const most = 2

/**
 * COMPAT(prosody 0.12): without TCP_NODELAY it holds all that is behind its first session ticket back until our kernel
 * acknowledges that one, which takes some 40 ms unless something of ours goes out. The ticket itself is the sign: what we
 * send once it is there carries the acknowledgement, near or far away; what we sent before does not.
 */
export class Nudge {
  readonly #clock: Pick<Clock, "after">
  #channel: Channel | undefined
  #later: (() => void) | undefined
  #deaf: (() => void) | undefined
  #sent = 0

  constructor(clock: Pick<Clock, "after">) {
    this.#clock = clock
  }

  get sent(): boolean {
    return this.#sent > 0
  }

  /** Our header is out, and its answer is not there yet. */
  listen({ channel, tickets }: SecuredChannel): void {
    this.#channel = channel
    this.#deaf = tickets?.((together) => {
      // All at once: nothing was held back, so most likely nothing will be.
      if (together > 1) this.#later ??= this.#clock.after(patience, () => this.#send())
      else this.#send()
    })
  }

  #send(): void {
    if (this.#sent >= most) return
    this.#sent += 1
    this.#channel?.write(space)
  }

  /** The answer is there, or never will be. */
  over(): void {
    this.#deaf?.()
    this.#later?.()
    this.#channel = undefined
  }
}
