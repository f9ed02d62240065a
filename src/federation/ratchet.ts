// "Never weaker than last time" (security.md 13): the level each remote domain keeps reaching, by direction, as memory that
// can raise what policy asks of it. The reducer is pure; the class around it keeps time, memory and bounds.
import { type Association, compareLevels, type Direction, type FederationLevel } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import type { FindingId } from "../model/findings.ts"
import { peerOf, type Requirement, requirementFor, shortfall } from "../model/policy.ts"
import type { Instant } from "../model/verdict.ts"
import type { Clock } from "../ports.ts"
import type { Combined } from "../proof/prove.ts"
import type { Federation, Hosting } from "./contract.ts"
import type { Memory } from "./memory.ts"
import { RatchetTime } from "./ratchet-time.ts"

const day = 86_400_000
/** A level binds after so many observations, at most one a day, … */
export const observationsNeeded = 3
/** … of which the last is at least so long after the first, ms. */
export const spanNeeded = 7 * day
/** A level not seen for so long is forgotten, ms. */
export const decaysAfter = 90 * day
/** What never came to bind is forgotten sooner, ms. */
const candidateDecaysAfter = 30 * day
/** Peers of whom it is known that stanzas went both ways, and levels they have now; more than that wait for another day. */
const mostSeen = 20_000
const mostProoftypes = 16
/** A clock that is corrected by less between two runs is not worth a word, ms. */
const setBackNoticed = 60_000

/** Levels that can bind: `verified` is the least there is. */
const bindingLevels = ["encrypted", "authenticated"] as const
export type RatchetLevel = (typeof bindingLevels)[number]

/** Observations of at least one level. */
export interface RatchetRun {
  /** At most one a day is counted. */
  readonly count: number
  /** Instants of the ratchet's own time (`RatchetTime`). */
  readonly first: Instant
  readonly last: Instant
  /** Prooftypes that proved the domain when it was last seen. */
  readonly by: readonly string[]
}

/** What is remembered of one remote domain in one direction. */
export type RatchetEntry = Readonly<Partial<Record<RatchetLevel, RatchetRun>>>

export type RatchetEvent =
  /** A stream to or from a domain with which stanzas were exchanged reached this level. */
  | { readonly kind: "observed"; readonly level: FederationLevel; readonly by: readonly string[]; readonly at: Instant }
  /** DNSSEC proves that the domain publishes nothing any more for these prooftypes. */
  | { readonly kind: "withdrawn"; readonly by: readonly string[] }

function binds({ count, first, last }: RatchetRun): boolean {
  return count >= observationsNeeded && last - first >= spanNeeded
}

function lapsed(run: RatchetRun, at: Instant): boolean {
  return at - run.last >= (binds(run) ? decaysAfter : candidateDecaysAfter)
}

/** The next entry; the same object when the event changes nothing. An entry without runs is to be forgotten. */
export function reduceRatchet(entry: RatchetEntry, event: RatchetEvent): RatchetEntry {
  const next: Partial<Record<RatchetLevel, RatchetRun>> = {}
  let changed = false
  for (const level of bindingLevels) {
    const before = entry[level]
    const after = event.kind === "observed" ? observed(before, level, event) : withdrawn(before, level, event.by)
    if (after !== undefined) next[level] = after
    changed ||= after !== before
  }
  return changed ? next : entry
}

function observed(run: RatchetRun | undefined, level: RatchetLevel, event: RatchetEvent & { kind: "observed" }): RatchetRun | undefined {
  const { at } = event
  if (compareLevels(event.level, level) < 0) {
    // A level that is not always reached never comes to bind. One that binds is not lowered by a weaker stream: that is what
    // stripping looks like.
    return run !== undefined && binds(run) && !lapsed(run, at) ? run : undefined
  }
  const by = [...new Set(event.by)].sort().slice(0, mostProoftypes)
  if (run === undefined || lapsed(run, at)) return { count: 1, first: at, last: at, by }
  if (at - run.last >= day) return { ...run, count: Math.min(run.count + 1, observationsNeeded), last: at, by }
  return by.join() === run.by.join() ? run : { ...run, by }
}

function withdrawn(run: RatchetRun | undefined, level: RatchetLevel, gone: readonly string[]): RatchetRun | undefined {
  // TLS itself is withdrawn by nothing that DNS can say.
  if (run === undefined || level !== "authenticated") return run
  const by = run.by.filter((name) => !gone.includes(name))
  if (by.length === run.by.length) return run
  return by.length === 0 ? undefined : { ...run, by }
}

export interface Pinned {
  readonly level: RatchetLevel
  readonly run: RatchetRun
}

/** The highest level that binds at this moment of the ratchet's own time. */
export function pinned(entry: RatchetEntry, at: Instant): Pinned | undefined {
  for (const level of ["authenticated", "encrypted"] as const) {
    const run = entry[level]
    if (run !== undefined && binds(run) && !lapsed(run, at)) return { level, run }
  }
  return undefined
}

export const ratchetModes = ["off", "warn", "enforce"] as const
export type RatchetMode = (typeof ratchetModes)[number]

/** The operator lets one peer be weaker than it was, for a while and for a reason. */
export interface RatchetOverride {
  readonly peer: Domain
  readonly until: Instant
  readonly why: string
}

export interface RatchetSettings {
  readonly mode: RatchetMode
  readonly overrides: readonly RatchetOverride[]
  /** False with `dnssec: off`, which satisfies no ratchet and teaches it nothing (security.md 15). */
  readonly provesDns: boolean
}

/** For the log; each at most once a day for each peer and direction. */
export interface RatchetNotice {
  readonly finding: FindingId
  readonly peer: Domain | undefined
  readonly direction: Direction | undefined
  readonly detail: string
}

export interface RatchetOptions {
  readonly memory: Memory
  readonly clock: Clock
  /** Read afresh each time: a reload may change it. */
  readonly settings: () => RatchetSettings
  readonly notice?: (notice: RatchetNotice) => void
}

interface Seen {
  readonly level: FederationLevel
  readonly by: readonly string[]
}

export class Ratchet {
  readonly #memory: Memory
  readonly #time: RatchetTime
  readonly #settings: () => RatchetSettings
  readonly #notice: (notice: RatchetNotice) => void
  /** Directions in which stanzas went since the start. */
  readonly #exchanged = new Map<Domain, Set<Direction>>()
  /** The latest level of each peer and direction. */
  readonly #seen = new Map<string, Seen>()
  /** When a notice was last given, in the ratchet's time. */
  readonly #told = new Map<string, Instant>()
  #swept = Number.NEGATIVE_INFINITY

  constructor({ memory, clock, settings, notice }: RatchetOptions) {
    this.#memory = memory
    this.#settings = settings
    this.#notice = notice ?? (() => undefined)
    this.#time = new RatchetTime(memory, clock)
    const { setBack } = this.#time
    if (setBack > setBackNoticed) {
      const detail = `by ${Math.ceil(setBack / 60_000)} minutes since the last run`
      this.#notice({ finding: "policy.clock", peer: undefined, direction: undefined, detail })
    }
  }

  /**
   * What policy asks, raised to what the peer has kept reaching. Only in mode `enforce`, and not where an override holds.
   *
   * @param at wall clock, for the end of overrides
   */
  raise(requirement: Requirement, peer: Domain, direction: Direction, at: Instant): Requirement {
    const { mode, overrides, provesDns } = this.#settings()
    if (mode !== "enforce") return requirement
    const pin = this.pinned(peer, direction)
    if (pin === undefined) return requirement
    const override = overrides.find((each) => each.peer === peer && at < each.until)
    if (override !== undefined) {
      // What rests on the override ends with it (security.md 10).
      if (compareLevels(requirement.require, pin.level) >= 0 && provesDns) return requirement
      return { ...requirement, until: Math.min(requirement.until ?? Number.POSITIVE_INFINITY, override.until) }
    }
    const ratchet = { level: pin.level, satisfiable: provesDns, detail: detailOf(peer, pin, provesDns) }
    return { ...requirement, require: compareLevels(requirement.require, pin.level) >= 0 ? requirement.require : pin.level, ratchet }
  }

  /** The level that binds now. */
  pinned(peer: Domain, direction: Direction): Pinned | undefined {
    const entry = this.#read(keyOf(direction, peer))
    return entry === undefined ? undefined : pinned(entry, this.#time.now())
  }

  /** An association came to be, or still holds. It counts once stanzas have gone both ways between us and the peer. */
  associated(association: Association): void {
    const peer = peerOf(association.pair, association.direction)
    const { direction, level } = association
    const by = association.verdicts.flatMap((verdict) => (verdict.outcome === "proved" ? [verdict.by] : []))
    this.#weaker(peer, direction, level)
    const seen = { level, by }
    keep(this.#seen, keyOf(direction, peer), seen)
    if (this.#exchanged.get(peer)?.size === 2) this.#observe(peer, direction, seen)
  }

  /** Stanzas went this way between us and the peer. Cheap when nothing is new, yet not meant for every stanza. */
  exchanged(peer: Domain, direction: Direction): void {
    const before = this.#exchanged.get(peer)
    if (before?.has(direction) === true) return
    const ways = new Set(before).add(direction)
    keep(this.#exchanged, peer, ways)
    if (ways.size < 2) return
    for (const each of ["in", "out"] as const) {
      const seen = this.#seen.get(keyOf(each, peer))
      if (seen !== undefined) this.#observe(peer, each, seen)
    }
  }

  /** DNSSEC proves that the domain publishes nothing for these prooftypes. Silence and unsigned absence are no withdrawal. */
  withdrawn(peer: Domain, direction: Direction, by: readonly string[]): void {
    if (by.length === 0) return
    const key = keyOf(direction, peer)
    const entry = this.#read(key)
    if (entry !== undefined) this.#keep(key, entry, reduceRatchet(entry, { kind: "withdrawn", by }))
  }

  #observe(peer: Domain, direction: Direction, { level, by }: Seen): void {
    const { mode, provesDns } = this.#settings()
    // Without DNSSEC nothing is learnt: what anybody on the path can say is no level to hold a domain to.
    if (mode === "off" || !provesDns) return
    const key = keyOf(direction, peer)
    const entry = this.#read(key) ?? {}
    this.#keep(key, entry, reduceRatchet(entry, { kind: "observed", level, by, at: this.#time.now() }))
  }

  #keep(key: string, before: RatchetEntry, after: RatchetEntry): void {
    if (after === before) return
    this.#time.keep()
    if (Object.keys(after).length === 0) return this.#memory.remove("ratchet", key)
    const text = JSON.stringify(after)
    if (this.#memory.put("ratchet", key, text)) return
    // Full: what has decayed may go, nothing else may (an eviction would be a downgrade).
    if (this.#sweep() && this.#memory.put("ratchet", key, text)) return
    this.#tell("policy.ratchet-full", undefined, undefined, `${this.#memory.size("ratchet")} entries`)
  }

  /** Forgets what has decayed, hourly at most. @returns whether anything went */
  #sweep(): boolean {
    const now = this.#time.now()
    if (now - this.#swept < 3_600_000) return false
    this.#swept = now
    const gone = [...this.#memory.entries("ratchet")].flatMap(([key, text]) => {
      if (key === RatchetTime.key) return []
      const entry = readEntry(text)
      return entry === undefined || Object.values(entry).every((run) => lapsed(run, now)) ? [key] : []
    })
    for (const key of gone) this.#memory.remove("ratchet", key)
    return gone.length > 0
  }

  #weaker(peer: Domain, direction: Direction, level: FederationLevel): void {
    const { mode, overrides, provesDns } = this.#settings()
    if (mode !== "warn") return
    const pin = this.pinned(peer, direction)
    if (pin === undefined || (provesDns && compareLevels(level, pin.level) >= 0)) return
    if (overrides.some((each) => each.peer === peer && this.#time.wall() < each.until)) return
    this.#tell("policy.ratchet", peer, direction, `${detailOf(peer, pin, provesDns)}; it now reaches ${level}`)
  }

  #tell(finding: FindingId, peer: Domain | undefined, direction: Direction | undefined, detail: string): void {
    const key = `${finding} ${direction ?? ""} ${peer ?? ""}`
    const now = this.#time.now()
    if (now - (this.#told.get(key) ?? Number.NEGATIVE_INFINITY) < day) return
    keep(this.#told, key, now)
    this.#notice({ finding, peer, direction, detail })
  }

  #read(key: string): RatchetEntry | undefined {
    const text = this.#memory.get("ratchet", key)
    if (text === undefined) return undefined
    const entry = readEntry(text)
    if (entry === undefined) this.#tell("policy.memory-lost", undefined, undefined, `the entry ${JSON.stringify(key)} cannot be read`)
    return entry
  }
}

/** What the pair of one of our domains with this peer needs now, by policy and by what the peer has kept proving. */
export function requirementOf({ ratchet }: Pick<Federation, "ratchet">, { policy }: Pick<Hosting, "policy">, peer: Domain, direction: Direction, at: Instant): Requirement {
  const requirement = requirementFor(policy, peer, at)
  return ratchet?.raise(requirement, peer, direction, at) ?? requirement
}

/** Why a domain whose proof failed is refused: what it kept proving so far says more than that it does not prove it now, a stop more than either. */
export function toldOf(requirement: Requirement, peer: Domain, combined: Exclude<Combined, { outcome: "proved" }>): { readonly finding: FindingId; readonly detail: string } {
  const short = combined.outcome === "stop" ? undefined : shortfall(requirement, peer, "encrypted")
  return short?.finding === "policy.ratchet" ? short : combined.verdict
}

function keyOf(direction: Direction, peer: Domain): string {
  return `${direction} ${peer}`
}

function detailOf(peer: Domain, { level, run }: Pinned, provesDns: boolean): string {
  const by = run.by.length === 0 ? "" : ` by ${run.by.join(", ")}`
  return `${peer} has kept reaching ${level}${level === "authenticated" ? by : ""}${provesDns ? "" : "; with `dnssec: off` nothing satisfies that"}`
}

/** First in, first out: these say what is the case now; what binds is elsewhere. */
function keep<K, V>(map: Map<K, V>, key: K, value: V): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= mostSeen) return
  const [oldest] = map.keys()
  if (oldest !== undefined) map.delete(oldest)
}

/** Undefined: not as we write it. */
function readEntry(text: string): RatchetEntry | undefined {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return undefined // damaged on disk; the reader of the entry says so
  }
  if (typeof read !== "object" || read === null) return undefined
  const entry: Partial<Record<RatchetLevel, RatchetRun>> = {}
  for (const level of bindingLevels) {
    const run = (read as Record<string, unknown>)[level]
    if (run === undefined) continue
    const { count, first, last, by } = (run ?? {}) as Record<string, unknown>
    const numbers = [count, first, last].every((each) => Number.isFinite(each))
    if (!numbers || !Array.isArray(by) || !by.every((each) => typeof each === "string")) return undefined
    entry[level] = { count: count as number, first: first as number, last: last as number, by: by as string[] }
  }
  return entry
}
