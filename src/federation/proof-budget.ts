// What strangers may have worked out for them, in cost units: before a stream has proven anything, and by source network for as long
// as claims fail (security.md 14, 17, 18; RFC 6120 13.12). What turns out to be true costs its network little or nothing.
import type { Clock } from "../ports.ts"
import { Turns } from "./turns.ts"

/**
 * Cost units are microseconds of CPU, as measured on a small machine of 2026 (`npm run bench:flood`, `bench/x509.ts`), rounded up.
 * They need not be exact: they make unlike work comparable.
 */
export const costs = {
  /** Accepting a connection, its first header and the TLS handshake with our key. */
  handshake: 1500,
  /** Parsing one certificate that was shown. */
  certificate: 20,
  /** Verifying one signature of a path. */
  signature: 100,
  /** One lookup in DNS or over HTTPS for proofs, with what its answer takes. */
  fetch: 400,
  /** One connect-back: discovery, a connection of ours with its handshake, and judging who is there. */
  verification: 2500,
  /** Reading one claim and answering it, with its line in the log. */
  claim: 100,
  /** Answering one question about our own keys. */
  question: 50,
} as const
export type Cost = keyof typeof costs

export interface BudgetLimits {
  /** Units of one stream before its first pair is proven. */
  readonly stream: number
  /** Units a second that one source network (IPv4 /24, IPv6 /48) gets for what came to nothing... */
  readonly network: number
  /** ...and how many it may have used beyond them. */
  readonly burst: number
  /** Networks remembered; forgetting one gives it a fresh burst. */
  readonly networks: number
}

/** 20 ms a stream; a tenth of one core for each network, after one second of it at once. */
export const defaultBudgetLimits: BudgetLimits = { stream: 20_000, network: 100_000, burst: 1_000_000, networks: 4096 }

/** Of what a stream cost before it proved itself, this part is given back: opening and closing proven streams in a row is no free work either. */
const provenShare = 0.75
/**
 * A network that used this part of its burst has begun much that came to nothing, or to nothing yet. More is allowed where a connect-back
 * lately told that a claim was true (what such a network has under way is not lost yet), and for handshakes, which come by themselves.
 */
const hasty = { verification: 0.02, handshake: 0.1, honest: 0.2 }
/** How long that counts, ms. */
const honestMs = 10_000
/** From then on what is laborious begins one after the other, each its cost apart and up to three times that, the more was used... */
const farthest = 0.5
/** ...and claims are read a slice at a time so far apart, ms; and where it is overdrawn, when all that they get is a refusal. */
const rests = { hasty: 4, overdrawn: 10 }
/** So many refusals of one stream are told to the log one by one in this time, ms; the others by their number, afterwards. */
const toldSingly = 20
const quietMs = 10_000

/** The network a source address is counted under: neighbours share the bound, strangers do not. */
export function sourcePrefix(address: string): string {
  if (!address.includes(":")) return address.split(".").slice(0, 3).join(".")
  const [head = "", tail] = address.split("::")
  const groups = head.split(":")
  // "::" early in an address means zeros; three groups are a /48.
  while (tail !== undefined && groups.length < 3) groups.push("0")
  return groups.slice(0, 3).map((group) => group.toLowerCase().padStart(4, "0")).join(":")
}

/** Of one network: what it has used and not worn off yet, as of a moment. */
interface Account {
  used: number
  at: number
  /** When a connect-back last told that its claim was true. */
  honest: number
}

export class ProofBudget {
  readonly #clock: Pick<Clock, "monotonic">
  readonly limits: BudgetLimits
  readonly #accounts = new Map<string, Account>()
  readonly #turns: Turns

  constructor(clock: Pick<Clock, "monotonic" | "after">, limits: BudgetLimits = defaultBudgetLimits) {
    this.#clock = clock
    this.limits = limits
    this.#turns = new Turns(clock)
  }

  /** Networks that have used something lately. */
  get size(): number {
    return this.#accounts.size
  }

  get now(): number {
    return this.#clock.monotonic()
  }

  /** Units that a network has used beyond its rate. @param network as `sourcePrefix` names it */
  used(network: string): number {
    const account = this.#accounts.get(network)
    if (account === undefined) return 0
    const now = this.#clock.monotonic()
    account.used = Math.max(0, account.used - ((now - account.at) * this.limits.network) / 1000)
    account.at = now
    if (account.used === 0) this.#accounts.delete(network)
    return account.used
  }

  overdrawn(network: string): boolean {
    return this.used(network) >= this.limits.burst
  }

  /** How much of its burst it used, where that is too much to begin everything at once; else 0. */
  haste(network: string, cost: "verification" | "handshake"): number {
    if (this.limits.burst === Number.POSITIVE_INFINITY) return 0
    const part = this.used(network) / this.limits.burst
    if (part < hasty[cost]) return 0
    const honest = this.#clock.monotonic() - (this.#accounts.get(network)?.honest ?? Number.NEGATIVE_INFINITY) < honestMs
    return honest && part < hasty.honest ? 0 : part
  }

  /** Milliseconds until the next connection from this address may be looked at; 0 now. */
  delay(address: string): number {
    const beyond = this.used(sourcePrefix(address)) - this.limits.burst
    return beyond < 0 ? 0 : Math.max(1, (beyond * 1000) / this.limits.network)
  }

  /**
   * The turn of something laborious that this network causes, beside what it costs.
   *
   * @returns undefined: it may begin now; else resolves when it may, or when the signal aborts
   */
  turn(network: string, cost: "verification" | "handshake", signal: AbortSignal): Promise<void> | undefined {
    const part = this.haste(network, cost)
    return part === 0 ? undefined : this.#turns.take(network, (costs[cost] * (1 + Math.min(2, (2 * part) / farthest))) / 1000, signal)
  }

  /** A connect-back told that a claim from there was true. */
  held(network: string): void {
    const account = this.#accounts.get(network)
    if (account !== undefined) account.honest = this.#clock.monotonic()
  }

  /** @param units negative gives back */
  change(network: string, units: number): void {
    const { burst, networks } = this.limits
    // A debt is bounded: what a flood used up is worn off soon after its end, for its neighbours' sake.
    const used = Math.min(2 * burst, Math.max(0, this.used(network) + units))
    const honest = this.#accounts.get(network)?.honest ?? Number.NEGATIVE_INFINITY
    this.#accounts.delete(network)
    if (used === 0) return
    if (this.#accounts.size >= networks) {
      // The one that was quiet for longest.
      const oldest = this.#accounts.keys().next().value
      if (oldest !== undefined) this.#accounts.delete(oldest)
    }
    this.#accounts.set(network, { used, at: this.#clock.monotonic(), honest })
  }

  /** For one connection. @param proven nothing is asked of it before its first pair: we opened it */
  stream(address: string, proven = false): StreamBudget {
    return new StreamBudget(this, sourcePrefix(address), proven)
  }
}

/** What one stream may still ask for. */
export class StreamBudget {
  readonly #shared: ProofBudget
  readonly #network: string
  #proven: boolean
  /** Before it proved itself. */
  #used = 0
  #caused = false
  #told = 0
  #untold = 0
  #tellingSince = Number.NEGATIVE_INFINITY

  constructor(shared: ProofBudget, network: string, proven: boolean) {
    this.#shared = shared
    this.#network = network
    this.#proven = proven
  }

  /** Before it proved itself it used all that it has; what it goes on to ask for is not looked at. */
  get exhausted(): boolean {
    return !this.#proven && this.#used >= this.#shared.limits.stream
  }

  /** Whether its network has used up what it has. */
  get overdrawn(): boolean {
    return this.#shared.overdrawn(this.#network)
  }

  /** As `ProofBudget.turn`. */
  turn(cost: "verification" | "handshake", signal: AbortSignal): Promise<void> | undefined {
    return this.#shared.turn(this.#network, cost, signal)
  }

  /** Between two slices of claims and questions, ms; 0: no reason to rest. */
  get rest(): number {
    if (this.overdrawn) return rests.overdrawn
    return this.#shared.haste(this.#network, "verification") > 0 ? rests.hasty : 0
  }

  /** Work that is done in any case. */
  charge(cost: Cost, times = 1): void {
    this.#change(costs[cost] * times)
  }

  /** @returns false, and nothing is charged, when stream or network has too little left */
  spend(cost: Cost, times = 1): boolean {
    const units = costs[cost] * times
    if ((!this.#proven && this.#used + units > this.#shared.limits.stream) || this.overdrawn) return false
    this.#change(units)
    return true
  }

  /** It came to something: the claim was true, or the question was one that we had caused. */
  giveBack(cost: Cost, times = 1): void {
    this.#change(-costs[cost] * times)
  }

  /** Connect-backs came to something: the claim was true. */
  held(times = 1): void {
    this.#shared.held(this.#network)
    this.giveBack("verification", times)
  }

  /** It asked about a key that is ours: our own claim is why it asks, and mostly why it came. */
  caused(): void {
    this.giveBack("question")
    // What proved itself has it back already.
    if (this.#caused || this.#proven) return
    this.#caused = true
    this.#change(-provenShare * costs.handshake)
  }

  /** The first pair was proven: from now on only its network's budget counts, and only for what fails. */
  proven(): void {
    if (this.#proven) return
    this.#proven = true
    this.#shared.change(this.#network, -provenShare * this.#used)
  }

  /** One claim is refused. @returns of how many the log is to be told now; 0: it has heard enough for the moment */
  refused(): number {
    const { now } = this.#shared
    if (now - this.#tellingSince >= quietMs) {
      const told = 1 + this.#untold
      this.#tellingSince = now
      this.#told = 1
      this.#untold = 0
      return told
    }
    if (this.#told < toldSingly) {
      this.#told += 1
      return 1
    }
    this.#untold += 1
    return 0
  }

  #change(units: number): void {
    if (!this.#proven) this.#used = Math.max(0, this.#used + units)
    this.#shared.change(this.#network, units)
  }
}
