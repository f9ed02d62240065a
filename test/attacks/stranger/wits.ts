// What the stranger knows and remembers: its mood, every id, key and session it ever saw, and the model that is told of all it says and hears.
import type { Pair } from "./facts.ts"
import { Model } from "./model.ts"
import type { Mood } from "./moves.ts"

/** Of one message that a component of ours wrote. */
export interface Fate {
  readonly from: string
  readonly to: string
  seen: number
  bounced: number
  /** It was seen where nobody counts, so it is known to have left. */
  left: boolean
}

/** How often what mattered really happened, over all plays: a property of streams on which nothing ever comes in shows nothing. */
export interface Tally {
  plays: number
  sent: number
  delivered: number
  granted: number
  left: number
  bounced: number
  resumed: number
  vouched: number
}
export const emptyTally = (): Tally => ({ plays: 0, sent: 0, delivered: 0, granted: 0, left: 0, bounced: 0, resumed: 0, vouched: 0 })

export class Wits {
  readonly model = new Model()
  readonly tally: Tally
  mood: Mood
  /** Of the stranger's headers and of the gateway's. */
  readonly ids: string[] = []
  readonly keys = ["first", "second"]
  /** Keys that the gateway made for itself. */
  readonly made: { readonly pair: Pair; readonly id: string; readonly key: string }[] = []
  readonly sessions: string[] = []
  readonly fates = new Map<string, Fate>()
  /** Somebody takes what comes for this domain of ours. */
  present: (domain: string) => boolean = () => true
  #count = 0

  constructor(mood: Mood, tally: Tally) {
    this.mood = mood
    this.tally = tally
  }

  /** Never the same number. */
  next(): number {
    return this.#count++
  }
}

export function pick<T>(among: readonly T[], which: number): T | undefined {
  return among.length === 0 ? undefined : among[which % among.length]
}
