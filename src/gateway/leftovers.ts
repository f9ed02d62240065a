// What waits in the queue of a stream, given back to the pairs it is of when the stream or a pair of it has ended (SM-7;
// RFC 6120 4.5). Once for however many pairs end in the same moment: thousands may share a queue.
import { pairKey } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import { bounceReasons } from "./bounce.ts"
import type { PoolSurroundings } from "./pool-contract.ts"
import type { Carrier, Way } from "./ways.ts"

type Surroundings = Pick<PoolSurroundings, "pairOf" | "undelivered" | "reroute" | "flushes">

export class Leftovers {
  readonly #around: Surroundings
  readonly #ways: ReadonlyMap<string, Way>

  /** @param ways those of the pool, by `pairKey` */
  constructor(around: Surroundings, ways: ReadonlyMap<string, Way>) {
    this.#around = around
    this.#ways = ways
  }

  /**
   * Gives what waits in a stream's queue back to the pairs it is of, each in its order. What was not acknowledged on the
   * stream goes once more, by whatever stream its pair is proven on next; what was not acknowledged twice is bounced (SM-7).
   *
   * @param arrived of what is unacknowledged, when the peer said so
   * @returns pairs that have something waiting now, those among them that had left the stream before it ended: nobody else looks for these
   */
  sortOut(carrier: Carrier, arrived?: number): ReadonlySet<Way> {
    const waiting = new Set<Way>()
    for (const taken of carrier.outlet.state === "attached" ? carrier.outlet.takeQueued() : carrier.outlet.takeEverything(arrived)) {
      const pair = this.#around.pairOf(taken.stanza)
      if (taken.writes === 2) {
        this.#around.undelivered(pair ?? carrier.stream.pair, [taken.stanza], bounceReasons.unconfirmed)
        continue
      }
      const way = pair === undefined ? undefined : this.#ways.get(pairKey(pair))
      if (way?.refusal !== undefined) this.#around.undelivered(way.pair, [taken.stanza], way.refusal)
      else if (way === undefined || way.outlet.appendTaken(taken) !== "queued") this.#around.reroute(pair ?? carrier.stream.pair, [taken.stanza])
      else waiting.add(way)
    }
    this.#around.flushes.flush()
    return waiting
  }

  /** What domains that are leaving had waiting goes back to them while their components can still be told. */
  giveBack(leaving: (sender: Domain) => boolean): void {
    const ofThem = (stanza: Buffer): boolean => {
      const pair = this.#around.pairOf(stanza)
      return pair !== undefined && leaving(pair.sender)
    }
    const looked = new Set<Carrier>()
    for (const way of this.#ways.values()) {
      if (!leaving(way.pair.sender)) continue
      const { carrier } = way
      if (carrier === undefined) this.#around.undelivered(way.pair, way.own.take(), bounceReasons.gone)
      else if (!looked.has(carrier)) {
        // The queue of a stream is other pairs', too.
        looked.add(carrier)
        this.#around.undelivered(way.pair, carrier.pick(ofThem), bounceReasons.gone)
      }
    }
    this.#around.flushes.flush()
  }
}
