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
  | { readonly state: "authorised"; readonly association: Association; readonly generation: number }
  | { readonly state: "refused"; readonly finding: FindingId; readonly at: Instant }

export interface PairEntry {
  readonly pair: DomainPair
  readonly direction: Direction
  readonly state: PairState
}

export interface Ledger {
  readonly epoch: number
  /** Rises with every change; whoever caches an answer compares it. */
  readonly revision: number
  readonly claims: number
  readonly entries: ReadonlyMap<string, PairEntry>
  readonly closed: boolean
}

export const emptyLedger: Ledger = { epoch: 0, revision: 0, claims: 0, entries: new Map(), closed: false }

/** A stream may know this many pairs; a claim beyond is answered resource-constraint. */
export const pairsPerStream = 2048

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
      return { ...ledger, epoch: ledger.epoch + 1, revision: ledger.revision + 1, entries: new Map() }
    case "closed":
      return { ...ledger, revision: ledger.revision + 1, entries: new Map(), closed: true }
    case "claimed": {
      const key = keyOf(event.direction, event.pair)
      const before = ledger.entries.get(key)
      // An authorised pair is not asked for again; a full ledger takes no new ones.
      if (before?.state.state === "authorised") return ledger
      if (before === undefined && ledger.entries.size >= pairsPerStream) return ledger
      const claims = ledger.claims + 1
      const state: PairState = { state: "claimed", by: event.by, claim: claims, generation: event.generation }
      return put({ ...ledger, claims }, key, { pair: event.pair, direction: event.direction, state })
    }
    case "authorised": {
      const { pair, direction, epoch } = event.association
      const key = keyOf(direction, pair)
      const before = ledger.entries.get(key)
      if (before?.state.state !== "claimed" || before.state.claim !== event.claim || epoch !== ledger.epoch) return ledger
      return put(ledger, key, { pair, direction, state: { state: "authorised", association: event.association, generation: event.generation } })
    }
    case "refused": {
      const key = keyOf(event.direction, event.pair)
      const before = ledger.entries.get(key)
      if (before?.state.state !== "claimed" || before.state.claim !== event.claim) return ledger
      return put(ledger, key, { pair: event.pair, direction: event.direction, state: { state: "refused", finding: event.finding, at: event.at } })
    }
    case "withdrawn": {
      const key = keyOf(event.direction, event.pair)
      if (ledger.entries.get(key)?.state.state !== "authorised") return ledger
      return put(ledger, key, { pair: event.pair, direction: event.direction, state: { state: "refused", finding: event.finding, at: event.at } })
    }
    case "renewed": {
      const { pair, direction, epoch } = event.association
      const key = keyOf(direction, pair)
      if (ledger.entries.get(key)?.state.state !== "authorised" || epoch !== ledger.epoch) return ledger
      return put(ledger, key, { pair, direction, state: { state: "authorised", association: event.association, generation: event.generation } })
    }
  }
}

function put(ledger: Ledger, key: string, entry: PairEntry): Ledger {
  const entries = new Map(ledger.entries)
  entries.set(key, entry)
  return { ...ledger, revision: ledger.revision + 1, entries }
}

export function entryOf(ledger: Ledger, direction: Direction, pair: DomainPair): PairEntry | undefined {
  return ledger.entries.get(keyOf(direction, pair))
}

/** The number of the pending claim of this pair, where there is one. */
export function pendingClaim(ledger: Ledger, direction: Direction, pair: DomainPair): number | undefined {
  const state = entryOf(ledger, direction, pair)?.state
  return state?.state === "claimed" ? state.claim : undefined
}

/** The association that lets the pair carry stanzas now, in this direction only. Past its end it is none (checked on use). */
export function authorised(ledger: Ledger, direction: Direction, pair: DomainPair, at: Instant): Association | undefined {
  const state = entryOf(ledger, direction, pair)?.state
  return state?.state === "authorised" && at < state.association.until ? state.association : undefined
}

export function associations(ledger: Ledger): readonly Association[] {
  return [...ledger.entries.values()].flatMap(({ state }) => (state.state === "authorised" ? [state.association] : []))
}

/** Claims that wait for an answer, all together. */
export function pendingCount(ledger: Ledger): number {
  let count = 0
  for (const { state } of ledger.entries.values()) if (state.state === "claimed") count += 1
  return count
}
