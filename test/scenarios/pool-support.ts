// The pool of outgoing streams on a server of a scene: what a gateway does with stanzas that leave.
import { parseDomain } from "../../src/model/domain.ts"
import type { BounceReason } from "../../src/gateway/bounce.ts"
import { StreamPool } from "../../src/gateway/stream-pool.ts"
import { FlushList, Outlet } from "../../src/stream/outlet.ts"
import { pairOf, type Server } from "./support.ts"

export interface Bounced {
  readonly body: string
  readonly reason: BounceReason
}

export class Sender {
  /** What was written to whoever sent the stanzas; what only waits to be written does not count. */
  readonly bounced: Bounced[] = []
  readonly lost: number[] = []
  readonly pool: StreamPool
  readonly #flushes = new FlushList()
  readonly #from: string

  constructor(server: Server, idleMs = 600_000) {
    const { clock, random } = server.federation.ports
    this.#from = server.name
    const waiting: Bounced[] = []
    const component = new Outlet({ limit: 1 << 20, flushes: this.#flushes })
    component.attach({
      backlog: 0,
      write: () => {
        this.bounced.push(...waiting.splice(0))
        return true
      },
    })
    const bounce = (body: string, reason: BounceReason): void => {
      waiting.push({ body, reason })
      component.appendText(" ")
    }
    this.pool = new StreamPool({
      clock,
      random,
      flushes: this.#flushes,
      limits: () => ({ queue: 1 << 20, retryMaxMs: 60_000, idleMs, pairs: 1000, openings: 10, openingsATurn: 10 }),
      open: (pair, signal, former) => server.carriers.open(pair, signal, former),
      undelivered: (_pair, stanzas, reason) => {
        for (const stanza of stanzas) bounce(bodyOf(stanza), reason)
      },
      pairOf: (stanza) => {
        const found = /from='[^@]*@([^']*)' to='[^@]*@([^']*)'/.exec(stanza.toString())
        return found === null ? undefined : { sender: parseDomain(found[1]!), target: parseDomain(found[2]!) }
      },
      reroute: (_pair, stanzas) => {
        for (const stanza of stanzas) bounce(`rerouted ${bodyOf(stanza)}`, { condition: "service-unavailable", type: "cancel", text: "" })
      },
      failed: () => undefined,
      lost: (_pair, _stream, count) => void this.lost.push(count),
      broken: (_pair, error) => {
        throw error
      },
      forgotten: () => undefined,
    })
  }

  /** Queues messages and writes them as one chunk. @returns what became of the last */
  send(to: string, bodies: readonly string[], from: string = this.#from): string {
    const way = this.pool.way(pairOf(from, to))!
    let last = "nothing"
    for (const body of bodies) {
      last = way.refusal?.condition ?? way.outlet.appendText(`<message from='x@${from}' to='y@${to}'><body>${body}</body></message>`)
      if (last === "queued") way.wanted()
    }
    this.#flushes.flush()
    return last
  }

  /** What no peer has acknowledged. */
  get unacknowledged(): number {
    const streams = new Set(this.pool.views.map(({ pair }) => this.pool.way(pair)!.outlet))
    return [...streams].reduce((sum, outlet) => sum + outlet.unacknowledged, 0)
  }
}

function bodyOf(stanza: Buffer): string {
  return /<body>([^<]*)/.exec(stanza.toString())?.[1] ?? stanza.toString()
}
