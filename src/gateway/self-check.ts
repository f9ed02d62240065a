// Judging our own domains as their peers will, in the background: after the start, after a change, and once a day; a few at
// a time and at a bounded rate (docs/operating.md).
import type { Domain } from "../model/domain.ts"
import type { Clock } from "../ports.ts"
import { deadline } from "../federation/deadline.ts"
import type { OwnStanding, StandingAnswer } from "./own-standing.ts"
import type { TlsaLook } from "./tlsa-sights.ts"

/** Checks begun in a second, at most; DNS and web servers of others are asked. */
const perSecond = 10
const atOnce = 4
/** One check, ms. */
const patience = 20_000
const cycleMs = 24 * 3_600_000

export interface SelfCheckSurroundings {
  readonly clock: Clock
  /** Those that are served now. */
  domains(): Iterable<Domain>
  judge(domain: Domain, signal: AbortSignal): Promise<StandingAnswer>
  /** What DNS promises, as it was seen just now. */
  seen(domain: Domain, looks: readonly TlsaLook[]): void
  /** A domain's problems are not what they were, or are known for the first time. */
  changed(standing: OwnStanding): void
  /** All that waited have been judged. */
  round(standings: ReadonlyMap<Domain, OwnStanding>): void
  broken(domain: Domain, error: unknown): void
}

export class SelfCheck {
  readonly #around: SelfCheckSurroundings
  readonly #standings = new Map<Domain, OwnStanding>()
  /** Insertion order is the order of their turns; a domain waits once. */
  readonly #waiting = new Set<Domain>()
  readonly #urgent = new Set<Domain>()
  readonly #running = new Set<Domain>()
  readonly #stopped = new AbortController()
  #cancelTurn: (() => void) | undefined
  #cancelCycle: () => void = () => {}

  constructor(around: SelfCheckSurroundings) {
    this.#around = around
  }

  /** Everything, now and once a day. */
  begin(): void {
    this.check([...this.#around.domains()])
    this.#cancelCycle = this.#around.clock.after(cycleMs, () => this.begin())
  }

  /** @param urgent before those that wait already */
  check(domains: Iterable<Domain>, urgent = false): void {
    for (const domain of domains) {
      if (urgent) {
        this.#waiting.delete(domain)
        this.#urgent.add(domain)
      } else if (!this.#urgent.has(domain)) this.#waiting.add(domain)
    }
    this.#turn(0)
  }

  /** What is known of domains that are served no more is forgotten. */
  forgetOthers(): void {
    const served = new Set(this.#around.domains())
    for (const list of [this.#standings, this.#waiting, this.#urgent]) for (const domain of [...list.keys()]) if (!served.has(domain)) list.delete(domain)
  }

  stop(): void {
    this.#stopped.abort(new Error("the gateway is shutting down"))
    this.#cancelCycle()
    this.#cancelTurn?.()
    this.#waiting.clear()
    this.#urgent.clear()
  }

  get standings(): ReadonlyMap<Domain, OwnStanding> {
    return this.#standings
  }

  /** Domains whose turn has not come or is not over. */
  get waiting(): number {
    return this.#waiting.size + this.#urgent.size + this.#running.size
  }

  #turn(ms: number): void {
    if (this.#cancelTurn !== undefined || this.#stopped.signal.aborted) return
    this.#cancelTurn = this.#around.clock.after(ms, () => {
      this.#cancelTurn = undefined
      const [domain] = this.#urgent.size > 0 ? this.#urgent : this.#waiting
      if (domain === undefined || this.#running.size >= atOnce) return
      this.#urgent.delete(domain)
      this.#waiting.delete(domain)
      // Changed again while it is judged: its next turn comes after this one.
      if (this.#running.has(domain)) this.#waiting.add(domain)
      else void this.#judge(domain)
      this.#turn(1000 / perSecond)
    })
  }

  async #judge(domain: Domain): Promise<void> {
    const { clock } = this.#around
    this.#running.add(domain)
    const limit = deadline(clock, patience, `judging ${domain}`, this.#stopped.signal)
    try {
      const { standing, tlsa } = await this.#around.judge(domain, limit.signal)
      if (this.#stopped.signal.aborted) return
      if (tlsa !== undefined) this.#around.seen(domain, tlsa)
      const before = this.#standings.get(domain)
      this.#standings.set(domain, standing)
      if (before === undefined ? standing.problems.length > 0 : problems(before) !== problems(standing)) this.#around.changed(standing)
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#around.broken(domain, error)
    } finally {
      limit.done()
      this.#running.delete(domain)
    }
    if (this.#stopped.signal.aborted) return
    if (this.waiting === 0) this.#around.round(this.#standings)
    else this.#turn(1000 / perSecond)
  }
}

/** Details may vary from answer to answer; what is wrong does not. */
function problems(standing: OwnStanding): string {
  return standing.problems.map(({ finding }) => finding).join(" ")
}

/** `202: 198 PKIX (37 also DANE), 4 POSH only, 1 without a proof`. */
export function summaryText(standings: Iterable<OwnStanding>): string {
  let count = 0
  let without = 0
  const bySet = new Map<string, number>()
  for (const { proofs, proved } of standings) {
    count += 1
    const names = proofs.filter(({ outcome }) => outcome === "proved").map(({ name }) => name.toUpperCase())
    if (!proved) without += 1
    else bySet.set(names.join(" and "), (bySet.get(names.join(" and ")) ?? 0) + 1)
  }
  const sets = [...bySet].sort(([, a], [, b]) => b - a).map(([names, number]) => `${number} by ${names}`)
  return [`${count} domain${count === 1 ? "" : "s"} judged as peers would`, ...sets, ...(without === 0 ? [] : [`${without} WITHOUT A PROOF`])].join(", ").replace(",", ":")
}
