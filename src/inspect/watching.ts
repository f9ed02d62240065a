// Looking at domains again and again: rounds with a jitter between them, so that many watchers do not ask at the same moment, and what
// changed told after each (RFC 7712 4.2). Time and chance are arguments.
import { pause } from "../federation/deadline.ts"
import type { Clock, Random } from "../ports.ts"
import { type Change, changesOf, memoryKey, type Remembered } from "./changes.ts"
import type { Inspection, InspectQuestion } from "./question.ts"

export interface WatchTerms {
  /** Between the end of a round and the next one, ms. */
  readonly interval: number
  /** The part of the interval by which it varies in both directions, 0 to 1. */
  readonly jitter: number
  /** Domains at a time. */
  readonly concurrency: number
  /** Undefined: until it is given up. */
  readonly rounds: number | undefined
}

export interface WatchPorts {
  readonly clock: Clock
  readonly random: Random
  look(question: InspectQuestion, signal: AbortSignal): Promise<Inspection>
  /** Told of a domain as soon as it was looked at. */
  seen(changes: readonly Change[]): void
  /** After each round: what changed in it, and everything that is remembered. */
  round(changes: readonly Change[], memory: readonly Remembered[]): Promise<void>
}

/**
 * @param memory of earlier runs, by memoryKey; kept up to date
 * @param signal ends it; what was cut short is neither told nor remembered
 */
export async function watching(questions: readonly InspectQuestion[], memory: Map<string, Remembered>, terms: WatchTerms, ports: WatchPorts, signal: AbortSignal): Promise<void> {
  for (let round = 1; !signal.aborted; round += 1) {
    const changes = await oneRound(questions, memory, terms.concurrency, ports, signal)
    await ports.round(changes, [...memory.values()])
    if (round === terms.rounds) return
    const varied = terms.interval * (1 + terms.jitter * (2 * ports.random.fraction() - 1))
    await pause(ports.clock, varied, signal)
  }
}

async function oneRound(questions: readonly InspectQuestion[], memory: Map<string, Remembered>, concurrency: number, ports: WatchPorts, signal: AbortSignal): Promise<Change[]> {
  const all: Change[] = []
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < questions.length && !signal.aborted; at = next++) {
      const question = questions[at] as InspectQuestion
      const { result, keys } = await ports.look(question, signal)
      if (signal.aborted) return
      const connect = question.connect === undefined ? "" : `${question.connect.address} ${question.connect.port}`
      const key = memoryKey({ ...question, connect })
      const { changes, remembered } = changesOf(memory.get(key), result, keys(), connect)
      memory.set(key, remembered)
      all.push(...changes)
      ports.seen(changes)
    }
  }
  await Promise.all(Array.from({ length: Math.min(concurrency, questions.length) }, worker))
  return all
}
