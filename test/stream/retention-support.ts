// Outlets that retain, for tests: a channel that is read late, and short ways to fill and ask.
import assert from "node:assert/strict"

import type { Outlet } from "../../src/stream/outlet.ts"
import type { RetainedPart, Retention, Taken } from "../../src/stream/retention.ts"

export const asked = Buffer.from("<r/>")

/** A channel that is read as late as it may be: what it was given must not have changed by then. */
export class LateChannel {
  readonly writes: Uint8Array[] = []
  readonly #mark: number
  backlog = 0
  constructor(mark = Number.POSITIVE_INFINITY) {
    this.#mark = mark
  }

  write(bytes: Uint8Array): boolean {
    this.writes.push(bytes)
    this.backlog += bytes.length
    return this.backlog < this.#mark
  }

  read(): string {
    const text = Buffer.concat(this.writes.splice(0)).toString()
    this.backlog = 0
    return text
  }
}

export const keep = (limit = 1 << 20, load?: RetainedPart): Retention => ({ limit, ...(load === undefined ? {} : { load }), request: () => undefined })

export function put(outlet: Outlet, ...texts: string[]): void {
  for (const text of texts) {
    const around = Buffer.from(`##${text}##`)
    assert.equal(outlet.append(around, 2, around.length - 2), "queued")
    around.fill(0x21)
  }
}

export const told = (taken: Iterable<Taken>): string[] => Array.from(taken, ({ stanza, writes }) => `${stanza} ${writes}`)
