// Which domain pairs may use one stream, in which direction: a pure reducer over events (security.md 9, 10).
// One ledger a stream. The key is (restart epoch, direction, sender, target); claims die at each restart.
import type { Association, Direction, DomainPair } from "../model/association.ts"
import { pairKey } from "../model/association.ts"
import type { FindingId } from "../model/findings.ts"
import type { Instant } from "../model/verdict.ts"

export type ClaimedBy = "header" | "external" | "dialback" | "certificate"

export type PairState =
  /** Asked for, being proved; carries nothing. `generation` of the policy it is judged under. */
  | { readonly state: "claimed"; readonly by: ClaimedBy; readonly claim: number; readonly generation: number }
  | { readonly state: "authorised"; readonly by: ClaimedBy; readonly association: Association; readonly generation: number }
  | { readonly state: "refused"; readonly finding: FindingId; readonly at: Instant }

export interface PairEntry {
  /** Of the ledger: direction and pair. */
  readonly key: string
  readonly pair: DomainPair
  readonly direction: Direction
  readonly state: PairState
}

/** Pairs by key, in shards: an event copies the shard that it touches, not thousands of pairs. So few pairs are found sooner by looking at each. */
export interface PairEntries {
  readonly size: number
  readonly shards: readonly (readonly PairEntry[])[]
}

export interface Ledger {
  readonly epoch: number
  /** Rises whenever an authorised pair may have ended or changed; whoever caches that a pair is authorised compares it. */
  readonly revision: number
  readonly claims: number
  readonly entries: PairEntries
  /** Pairs that wait for an answer, and pairs that carry stanzas; counted by direction. */
  readonly pending: Readonly<Record<Direction, number>>
  readonly open: Readonly<Record<Direction, number>>
  readonly closed: boolean
}

const noEntries: PairEntries = { size: 0, shards: [[]] }
const none: Readonly<Record<Direction, number>> = { in: 0, out: 0 }

export const emptyLedger: Ledger = { epoch: 0, revision: 0, claims: 0, entries: noEntries, pending: none, open: none, closed: false }

/** A stream may know this many pairs; a claim beyond is answered resource-constraint. */
export const pairsPerStream = 16_384

/** Pairs of one shard, on average, before there are more shards. */
const shardFill = 32
const shardGrowth = 8

export type LedgerEvent =
  /** After STARTTLS or SASL: everything known so far is void. */
  | { readonly kind: "restarted" }
  | { readonly kind: "claimed"; readonly pair: DomainPair; readonly direction: Direction; readonly by: ClaimedBy; readonly generation: number }
  /** The answer to one claim; void when the claim is not the one pending (a restart, a newer claim, a close). */
  | { readonly kind: "authorised"; readonly claim: number; readonly association: Association; readonly generation: number }
  | { readonly kind: "refused"; readonly claim: number; readonly pair: DomainPair; readonly direction: Direction; readonly finding: FindingId; readonly at: Instant }
  /** An authorised pair no longer holds (expired, policy changed, our own domain now). */
  | { readonly kind: "withdrawn"; readonly pair: DomainPair; readonly direction: Direction; readonly finding: FindingId; readonly at: Instant }
  /** Proved again: same pair, new end. */
  | { readonly kind: "renewed"; readonly association: Association; readonly generation: number }
  | { readonly kind: "closed" }

function keyOf(direction: Direction, pair: DomainPair): string {
  return `${direction} ${pairKey(pair)}`
}

/** The next ledger. Returns the same object when the event changes nothing: late and replayed answers fall here. */
export function reduce(ledger: Ledger, event: LedgerEvent): Ledger {
  if (ledger.closed) return ledger
  switch (event.kind) {
    case "restarted":
      return { ...ledger, epoch: ledger.epoch + 1, revision: ledger.revision + 1, entries: noEntries, pending: none, open: none }
    case "closed":
      return { ...ledger, revision: ledger.revision + 1, entries: noEntries, pending: none, open: none, closed: true }
    case "claimed": {
      const key = keyOf(event.direction, event.pair)
      const before = lookUp(ledger, key)
      // An authorised pair is not asked for again; a full ledger takes no new ones.
      if (before?.state.state === "authorised") return ledger
      if (before === undefined && ledger.entries.size >= pairsPerStream) return ledger
      const claims = ledger.claims + 1
      const state: PairState = { state: "claimed", by: event.by, claim: claims, generation: event.generation }
      return put({ ...ledger, claims }, { key, pair: event.pair, direction: event.direction, state })
    }
    case "authorised": {
      const { pair, direction, epoch } = event.association
      const key = keyOf(direction, pair)
      const before = lookUp(ledger, key)
      if (before?.state.state !== "claimed" || before.state.claim !== event.claim || epoch !== ledger.epoch) return ledger
      const { by } = before.state
      return put(ledger, { key, pair, direction, state: { state: "authorised", by, association: event.association, generation: event.generation } })
    }
    case "refused": {
      const key = keyOf(event.direction, event.pair)
      const before = lookUp(ledger, key)
      if (before?.state.state !== "claimed" || before.state.claim !== event.claim) return ledger
      return put(ledger, { key, pair: event.pair, direction: event.direction, state: { state: "refused", finding: event.finding, at: event.at } })
    }
    case "withdrawn": {
      const key = keyOf(event.direction, event.pair)
      if (lookUp(ledger, key)?.state.state !== "authorised") return ledger
      return put(ledger, { key, pair: event.pair, direction: event.direction, state: { state: "refused", finding: event.finding, at: event.at } })
    }
    case "renewed": {
      const { pair, direction, epoch } = event.association
      const key = keyOf(direction, pair)
      const before = lookUp(ledger, key)?.state
      if (before?.state !== "authorised" || epoch !== ledger.epoch) return ledger
      const { by } = before
      return put(ledger, { key, pair, direction, state: { state: "authorised", by, association: event.association, generation: event.generation } })
    }
  }
}

/** FNV-1a over the key: which shard it is in. */
function shardOf(key: string, shards: number): number {
  let hash = 0x811c9dc5
  for (let index = 0; index < key.length; index += 1) hash = Math.imul(hash ^ key.charCodeAt(index), 0x01000193)
  return (hash >>> 0) % shards
}

function indexIn(shard: readonly PairEntry[], key: string): number {
  for (let index = 0; index < shard.length; index += 1) if (shard[index]!.key === key) return index
  return -1
}

function entryIn(shard: readonly PairEntry[], key: string): PairEntry | undefined {
  const place = indexIn(shard, key)
  return place < 0 ? undefined : shard[place]
}

function shardFor({ entries: { shards } }: Ledger, key: string): readonly PairEntry[] {
  return shards[shards.length === 1 ? 0 : shardOf(key, shards.length)]!
}

function lookUp(ledger: Ledger, key: string): PairEntry | undefined {
  return entryIn(shardFor(ledger, key), key)
}

/** Of shards that are long, since names were made to fall into one: each stanza may ask. */
const tables = new WeakMap<readonly PairEntry[], ReadonlyMap<string, PairEntry>>()
const longShard = 256

/** As `lookUp`, for who asks more often than anything changes. */
function lookUpOften(ledger: Ledger, key: string): PairEntry | undefined {
  const shard = shardFor(ledger, key)
  if (shard.length <= longShard) return entryIn(shard, key)
  let table = tables.get(shard)
  if (table === undefined) tables.set(shard, (table = new Map(shard.map((entry) => [entry.key, entry]))))
  return table.get(key)
}

function grown({ size, shards: before }: PairEntries): PairEntries {
  const shards: PairEntry[][] = Array.from({ length: before.length * shardGrowth }, () => [])
  for (const shard of before) for (const entry of shard) shards[shardOf(entry.key, shards.length)]!.push(entry)
  return { size, shards }
}

function put(ledger: Ledger, entry: PairEntry): Ledger {
  const entries = ledger.entries.size >= shardFill * ledger.entries.shards.length ? grown(ledger.entries) : ledger.entries
  const at = shardOf(entry.key, entries.shards.length)
  const old = entries.shards[at]!
  const place = indexIn(old, entry.key)
  const before = place < 0 ? undefined : old[place]
  const shard = place < 0 ? [...old, entry] : old.with(place, entry)
  const counted = (state: PairState["state"]): number => Number(entry.state.state === state) - Number(before?.state.state === state)
  const count = (counts: Ledger["pending"], by: number): Ledger["pending"] => (by === 0 ? counts : { ...counts, [entry.direction]: counts[entry.direction] + by })
  return {
    ...ledger,
    // A pair more takes no answer back that was given.
    revision: before?.state.state === "authorised" ? ledger.revision + 1 : ledger.revision,
    entries: { size: entries.size + (before === undefined ? 1 : 0), shards: entries.shards.with(at, shard) },
    pending: count(ledger.pending, counted("claimed")),
    open: count(ledger.open, counted("authorised")),
  }
}

export function entryOf(ledger: Ledger, direction: Direction, pair: DomainPair): PairEntry | undefined {
  return lookUp(ledger, keyOf(direction, pair))
}

/** The number of the pending claim of this pair, where there is one. */
export function pendingClaim(ledger: Ledger, direction: Direction, pair: DomainPair): number | undefined {
  const state = entryOf(ledger, direction, pair)?.state
  return state?.state === "claimed" ? state.claim : undefined
}

/** The association that lets the pair carry stanzas now, in this direction only. Past its end it is none (checked on use). */
export function authorised(ledger: Ledger, direction: Direction, pair: DomainPair, at: Instant): Association | undefined {
  const state = lookUpOften(ledger, keyOf(direction, pair))?.state
  return state?.state === "authorised" && at < state.association.until ? state.association : undefined
}

/** Those that carry stanzas, of one direction or of both. */
export function associations(ledger: Ledger, direction?: Direction): readonly Association[] {
  const found: Association[] = []
  for (const shard of ledger.entries.shards) {
    for (const entry of shard) {
      if (entry.state.state === "authorised" && (direction === undefined || entry.direction === direction)) found.push(entry.state.association)
    }
  }
  return found
}

/** Claims of one direction that wait for an answer. */
export function pendingCount(ledger: Ledger, direction: Direction): number {
  return ledger.pending[direction]
}

/** Pairs that carry stanzas in one direction. */
export function openCount(ledger: Ledger, direction: Direction): number {
  return ledger.open[direction]
}

/** The ledger of one live stream, for both directions: the reducer with its latest state. */
export class LiveLedger {
  #state: Ledger = emptyLedger

  get state(): Ledger {
    return this.#state
  }

  /** @returns whether the event changed anything */
  apply(event: LedgerEvent): boolean {
    const next = reduce(this.#state, event)
    const changed = next !== this.#state
    this.#state = next
    return changed
  }
}
