// Stanzas that were written to streams without acknowledgements and may not have arrived: counted by stream (RFC 6120 4.4).
import type { OutgoingStream } from "../federation/contract.ts"
import type { PoolSurroundings } from "./pool-contract.ts"

/** A channel that was ended has this long to write what it holds, ms; no less than the closing handshake takes. */
const lastWordsMs = 6000

export class Losses {
  readonly #around: Pick<PoolSurroundings, "clock" | "lost">
  /** Streams we closed whose last words are under way. */
  readonly #leaving = new Set<() => void>()

  constructor(around: Pick<PoolSurroundings, "clock" | "lost">) {
    this.#around = around
  }

  /**
   * @param unacknowledged that were written and still held
   * @param orderly we closed the stream: what the channel holds is still written, so it is looked at when that had its time
   */
  count(stream: OutgoingStream, unacknowledged: number, orderly: boolean): void {
    if (unacknowledged === 0) return
    if (!orderly) return this.#around.lost(stream.pair, stream.id, unacknowledged)
    const look = (): void => {
      cancel()
      this.#leaving.delete(look)
      if (stream.channel.backlog > 0) this.#around.lost(stream.pair, stream.id, unacknowledged)
    }
    const cancel = this.#around.clock.after(lastWordsMs, look)
    this.#leaving.add(look)
  }

  /** Looks at once. */
  close(): void {
    for (const look of [...this.#leaving]) look()
  }
}
