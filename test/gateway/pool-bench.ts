// The pool with a clock stepped by hand, and everything it told, for tests of the pool.
import type { DomainPair } from "../../src/model/association.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { OutgoingFailure } from "../../src/federation/contract.ts"
import { FlushList, type InputPressure } from "../../src/stream/outlet.ts"
import type { BounceReason } from "../../src/gateway/bounce.ts"
import type { PoolLimits } from "../../src/gateway/pool-contract.ts"
import { StreamPool } from "../../src/gateway/stream-pool.ts"
import { Opener, StepClock, steadyRandom } from "./fakes.ts"

export const a = parseDomain("a.example")
export const far = (name: string): DomainPair => ({ sender: a, target: parseDomain(name) })
export const stanza = (id: number | string): string => `<message id='${id}'/>`

export class Bench {
  readonly clock = new StepClock()
  readonly opener = new Opener()
  readonly flushes = new FlushList()
  readonly undelivered: { to: string; text: string; reason: BounceReason }[] = []
  readonly rerouted: string[] = []
  readonly failures: { to: string; failure: OutgoingFailure; wait: number }[] = []
  readonly lost: number[] = []
  readonly broken: unknown[] = []
  forgotten = 0
  limits: PoolLimits = { queue: 1000, retryMaxMs: 60_000, idleMs: 600_000, pairs: 4, openings: 2, openingsATurn: 20 }
  readonly pool = new StreamPool({
    clock: this.clock,
    random: steadyRandom,
    flushes: this.flushes,
    limits: () => this.limits,
    open: this.opener.open,
    undelivered: (pair, stanzas, reason) => {
      for (const bytes of stanzas) this.undelivered.push({ to: pair.target, text: String(bytes), reason })
    },
    pairOf: (stanza) => {
      const to = /to='([^']*)'/.exec(String(stanza))?.[1]
      const from = /from='([^']*)'/.exec(String(stanza))?.[1]
      return to === undefined ? undefined : { ...far(to), ...(from === undefined ? {} : { sender: parseDomain(from) }) }
    },
    reroute: (_pair, stanzas) => {
      for (const bytes of stanzas) this.rerouted.push(String(bytes))
    },
    failed: (pair, failure, next) => this.failures.push({ to: pair.target, failure, wait: next - this.clock.now() }),
    lost: (_pair, _stream, count) => this.lost.push(count),
    broken: (_pair, error) => this.broken.push(error),
    forgotten: () => {
      this.forgotten += 1
    },
  })

  /** As the router does: refused, or queued, wanted and flushed. */
  send(pair: DomainPair, text: string, input?: InputPressure): string {
    const way = this.pool.way(pair)
    if (way === undefined) return "crowded"
    if (way.refusal !== undefined) return way.refusal.condition
    const appended = way.outlet.appendText(text, input)
    if (appended === "queued") way.wanted()
    this.flushes.flush()
    return appended
  }
}
