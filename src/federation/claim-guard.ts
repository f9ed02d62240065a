// What a stranger's claims may cost (security.md 14, 17, 18): connect-backs and fetches of proofs at once, and a short memory of
// failed claims.
import { createHash } from "node:crypto"
import type { DomainPair } from "../model/association.ts"
import { pairKey } from "../model/association.ts"
import type { Clock } from "../ports.ts"

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
}

export const defaultClaimLimits: ClaimLimits = { total: 512, perSource: 64, materials: 256, materialsPerSource: 32, memory: 30_000, remembered: 4096 }

/** Who claims: the address it comes from and the certificate it showed. */
export interface Claimant {
  readonly address: string
  readonly leaf: Uint8Array | undefined
}

/** The network a source address is counted under: neighbours share the bound, strangers do not. */
export function sourcePrefix(address: string): string {
  if (!address.includes(":")) return address.split(".").slice(0, 3).join(".")
  const [head = "", tail] = address.split("::")
  const groups = head.split(":")
  // "::" early in an address means zeros; three groups are a /48.
  while (tail !== undefined && groups.length < 3) groups.push("0")
  return groups.slice(0, 3).map((group) => group.toLowerCase().padStart(4, "0")).join(":")
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
  readonly #failed = new Map<string, { until: number; detail: string }>()

  constructor(clock: Clock, limits: ClaimLimits = defaultClaimLimits) {
    this.#clock = clock
    this.#limits = limits
    this.#connectBacks = new Places(limits.total, limits.perSource)
    this.#materials = new Places(limits.materials, limits.materialsPerSource)
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
    if (this.#failed.size >= this.#limits.remembered) {
      // The oldest goes: forgetting a failure costs one more connect-back, nothing else.
      const oldest = this.#failed.keys().next().value
      if (oldest !== undefined) this.#failed.delete(oldest)
    }
    this.#failed.set(keyOf(pair, claimant), { until: this.#clock.monotonic() + this.#limits.memory, detail })
  }

  /** Why the same claimant failed with the same claim a moment ago. */
  recentFailure(pair: DomainPair, claimant: Claimant): string | undefined {
    const key = keyOf(pair, claimant)
    const entry = this.#failed.get(key)
    if (entry === undefined) return undefined
    if (this.#clock.monotonic() < entry.until) return entry.detail
    this.#failed.delete(key)
    return undefined
  }
}

function keyOf(pair: DomainPair, { address, leaf }: Claimant): string {
  const shown = leaf === undefined ? "none" : createHash("sha256").update(leaf).digest("hex")
  return `${pairKey(pair)} ${sourcePrefix(address)} ${shown}`
}
