// What a stranger's claims may cost (security.md 14, 17, 18): connect-backs and fetches of proofs at once, a budget of work, and a short
// memory of failed claims.
import { createHash } from "node:crypto"
import type { DomainPair } from "../model/association.ts"
import { pairKey } from "../model/association.ts"
import type { Clock } from "../ports.ts"
import { type BudgetLimits, defaultBudgetLimits, ProofBudget, sourcePrefix, type StreamBudget } from "./proof-budget.ts"

export interface ClaimLimits {
  /** Connect-backs at once, in all. */
  readonly total: number
  /** Connect-backs at once that one source address (IPv4 /24, IPv6 /48) has caused. */
  readonly perSource: number
  /** Claims for which proofs are asked for at once, by DNS or HTTPS, in all and for one source address. */
  readonly materials: number
  readonly materialsPerSource: number
  /** How long a failed claim is remembered, ms; at most 60 s. */
  readonly memory: number
  readonly remembered: number
  /** So many pairs of one domain that failed from one source speak for the domain's others from there. */
  readonly failures: number
  readonly budget: BudgetLimits
}

export const defaultClaimLimits: ClaimLimits = { total: 512, perSource: 64, materials: 256, materialsPerSource: 32, memory: 30_000, remembered: 4096, failures: 3, budget: defaultBudgetLimits }

/** Who claims: the address it comes from and the certificate it showed. */
export interface Claimant {
  readonly address: string
  readonly leaf: Uint8Array | undefined
  /** Of the stream that the claim is made on; without it nothing is counted. */
  readonly budget?: StreamBudget
}

interface Failure {
  readonly until: number
  readonly detail: string
  readonly times: number
}

/** Places, in all and for each source. */
class Places {
  readonly #total: number
  readonly #perSource: number
  readonly #running = new Map<string, number>()
  #taken = 0

  constructor(total: number, perSource: number) {
    this.#total = total
    this.#perSource = perSource
  }

  /** The returned function gives the place back. */
  take(source: string): (() => void) | undefined {
    const running = this.#running.get(source) ?? 0
    if (this.#taken >= this.#total || running >= this.#perSource) return undefined
    this.#taken += 1
    this.#running.set(source, running + 1)
    let left = false
    return () => {
      if (left) return
      left = true
      this.#taken -= 1
      const now = (this.#running.get(source) ?? 1) - 1
      if (now === 0) this.#running.delete(source)
      else this.#running.set(source, now)
    }
  }
}

export class ClaimGuard {
  readonly #clock: Clock
  readonly #limits: ClaimLimits
  readonly #connectBacks: Places
  readonly #materials: Places
  readonly #failed = new Map<string, Failure>()
  readonly #failedDomains = new Map<string, Failure>()
  /** Of work, for each stream and source network. */
  readonly budget: ProofBudget

  constructor(clock: Clock, limits: ClaimLimits = defaultClaimLimits) {
    this.#clock = clock
    this.#limits = limits
    this.#connectBacks = new Places(limits.total, limits.perSource)
    this.#materials = new Places(limits.materials, limits.materialsPerSource)
    this.budget = new ProofBudget(clock, limits.budget)
  }

  /** A place for one connect-back, or undefined when there is none. The returned function gives it back. */
  enter(claimant: Claimant): (() => void) | undefined {
    return this.#connectBacks.take(sourcePrefix(claimant.address))
  }

  /**
   * A place for asking for the proofs of one claim, or undefined when there is none.
   *
   * @param source as `sourcePrefix` names it
   */
  enterMaterial(source: string): (() => void) | undefined {
    return this.#materials.take(source)
  }

  /**
   * Remembered by pair, certificate and source, never by domain alone: nobody can silence the true owner by failing in
   * its name (security.md 14).
   */
  failed(pair: DomainPair, claimant: Claimant, detail: string): void {
    const shown = shownBy(claimant)
    const own = `${pairKey(pair)} ${shown}`
    const known = this.#current(this.#failed, own)
    this.#remember(this.#failed, own, detail, 1)
    // Another domain of ours may be welcome where one is not; where several are not, the claimant is asked no more.
    const domain = `${pair.sender} ${shown}`
    if (known === undefined) this.#remember(this.#failedDomains, domain, detail, (this.#current(this.#failedDomains, domain)?.times ?? 0) + 1)
  }

  /** A claim for the domain was true after all. */
  held({ sender }: DomainPair, claimant: Claimant): void {
    this.#failedDomains.delete(`${sender} ${shownBy(claimant)}`)
  }

  /** Why the same claimant failed with the same claim, or with several for the same domain, a moment ago. */
  recentFailure(pair: DomainPair, claimant: Claimant): string | undefined {
    const shown = shownBy(claimant)
    const own = this.#current(this.#failed, `${pairKey(pair)} ${shown}`)
    if (own !== undefined) return own.detail
    const all = this.#current(this.#failedDomains, `${pair.sender} ${shown}`)
    return all !== undefined && all.times >= this.#limits.failures ? all.detail : undefined
  }

  #current(among: Map<string, Failure>, key: string): Failure | undefined {
    const entry = among.get(key)
    if (entry === undefined || this.#clock.monotonic() < entry.until) return entry
    among.delete(key)
    return undefined
  }

  #remember(among: Map<string, Failure>, key: string, detail: string, times: number): void {
    if (!among.has(key) && among.size >= this.#limits.remembered) {
      // The oldest goes: forgetting a failure costs one more connect-back, nothing else.
      const oldest = among.keys().next().value
      if (oldest !== undefined) among.delete(oldest)
    }
    among.set(key, { until: this.#clock.monotonic() + this.#limits.memory, detail, times })
  }
}

function shownBy({ address, leaf }: Claimant): string {
  const shown = leaf === undefined ? "none" : createHash("sha256").update(leaf).digest("hex")
  return `${sourcePrefix(address)} ${shown}`
}
