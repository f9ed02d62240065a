// What the pool of streams asks of its surroundings and what it shows of itself (types only).
import type { Association, DomainPair } from "../model/association.ts"
import type { Instant } from "../model/verdict.ts"
import type { OutgoingFailure, OutgoingStream } from "../federation/contract.ts"
import type { Clock, Random } from "../ports.ts"
import type { FlushList } from "../stream/outlet.ts"
import type { FormerStream } from "../stream/stream-management.ts"
import type { BounceReason } from "./bounce.ts"
import type { WayState } from "./ways.ts"

export interface PoolLimits {
  /** Octets that may wait for one pair. */
  readonly queue: number
  readonly retryMaxMs: number
  readonly idleMs: number
  /** Pairs known at once: with a stream, a queue or a memory of failure. */
  readonly pairs: number
  /** Streams being opened at once; others wait their turn. */
  readonly openings: number
  /** Of those, how many begin in one turn of the loop. */
  readonly openingsATurn: number
}

export interface PoolSurroundings {
  readonly clock: Clock
  readonly random: Random
  readonly flushes: FlushList
  limits(): PoolLimits
  /**
   * Rejects with OutgoingRefused.
   *
   * @param former a lost stream for the same pair, which a new one is to go on with
   */
  open(pair: DomainPair, signal: AbortSignal, former?: FormerStream): Promise<OutgoingStream>
  /** Stanzas that will not leave, in the content namespace of s2s streams. */
  undelivered(pair: DomainPair, stanzas: Iterable<Buffer>, reason: BounceReason): void
  /** The domains of a stanza in the queue. */
  pairOf(stanza: Buffer): DomainPair | undefined
  /** Stanzas that wait for a pair which is not remote any more. */
  reroute(pair: DomainPair, stanzas: Iterable<Buffer>): void
  /** No stream came to be. `next`: before that moment stanzas bounce at once. */
  failed(pair: DomainPair, failure: OutgoingFailure, next: Instant): void
  /** Stanzas were written to a stream that broke before the network took them. */
  lost(pair: DomainPair, stream: string, unacknowledged: number): void
  /** An error of our own; the pool goes on. */
  broken(pair: DomainPair, error: unknown): void
  /** A pair was forgotten: remembered routes to it are void. */
  forgotten(): void
}

export interface PoolView {
  readonly pair: DomainPair
  readonly state: WayState
  readonly stream: OutgoingStream | undefined
  /** Of this pair on that stream. */
  readonly association: Association | undefined
  readonly unsent: number
  readonly failures: number
}
