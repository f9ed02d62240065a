// Read pacing: when many small chunks come fast, reading rests for a moment so that the kernel gathers them.
// A wake-up and a write cost more than all the work on one stanza; a millisecond of rest turns twenty of each into one.
import type { Clock } from "../ports.ts"

/** Chunks looked at together before pacing begins. */
const sampled = 16
/** Pacing begins above this many chunks a second... */
const fast = 2_500
/** ...of at most this mean size, in octets: larger ones are gathered already. */
const small = 4_096
/** How long reading rests, ms: the shortest a timer can do. */
const rest = 1
/** A rest has paid when it gathered this many of the chunks that came before. */
const worthwhile = 2
/** Rests in a row that gathered nothing end the pacing. */
const patience = 8
/** After a silence of this length, ms, everything is measured afresh. */
const forgotten = 50

/**
 * Paces the reading of one connection. It adds at most `rest` to the latency, and only while chunks come faster than
 * `fast`; traffic of a few hundred chunks a second is never touched.
 */
export class Pace {
  readonly #clock: Pick<Clock, "monotonic">
  #on = false
  /** When the sample began; in pacing: when the rest asked for last is over. */
  #mark = 0
  #last = Number.NEGATIVE_INFINITY
  #chunks = 0
  #bytes = 0
  /** Mean size of the chunks that began the pacing. */
  #unit = 0
  #idle = 0

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock
  }

  /** Whether reads are being paced. */
  get active(): boolean {
    return this.#on
  }

  /** @returns milliseconds to rest before reading again; 0 reads on. While a rest lasts no second one is asked for. */
  onChunk(bytes: number): number {
    const now = this.#clock.monotonic()
    const silent = now - this.#last > forgotten
    this.#last = now
    if (silent) this.#sample(now)
    if (!this.#on) return this.#measure(now, bytes)
    // What one wake-up brings may come in several chunks (TLS records): all before the end of the rest are one harvest.
    this.#bytes += bytes
    if (now < this.#mark) return 0
    this.#idle = this.#bytes < worthwhile * this.#unit ? this.#idle + 1 : 0
    if (this.#idle >= patience) {
      this.#sample(now)
      return 0
    }
    return this.#rest(now)
  }

  #measure(now: number, bytes: number): number {
    this.#chunks += 1
    this.#bytes += bytes
    if (this.#chunks < sampled) return 0
    const mean = this.#bytes / this.#chunks
    const perSecond = ((this.#chunks - 1) * 1000) / Math.max(now - this.#mark, 0.001)
    this.#sample(now)
    if (perSecond < fast || mean > small) return 0
    this.#on = true
    this.#unit = mean
    this.#idle = 0
    return this.#rest(now)
  }

  #rest(now: number): number {
    this.#mark = now + rest
    this.#bytes = 0
    return rest
  }

  /** Ends pacing, or a sample, and begins to count anew. */
  #sample(now: number): void {
    this.#on = false
    this.#mark = now
    this.#chunks = 0
    this.#bytes = 0
  }
}
