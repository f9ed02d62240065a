// What DNS said about the TLSA records of our own domains, from when to when; DNS keeps no history, so we do (RFC 7671 8.1).
import type { TlsaRecord } from "../model/dns-answer.ts"
import type { Domain } from "../model/domain.ts"
import type { Instant } from "../model/verdict.ts"
import type { SeenTlsa, TlsaSight } from "./rollover.ts"

/** What DNS said is planned with for this long; self-checks come sooner. */
const sightMs = 2 * 24 * 3_600_000

/** One answer about TLSA records as a look into DNS brought it. */
export interface TlsaLook {
  readonly name: string
  readonly base: Domain
  readonly records: readonly TlsaRecord[]
  readonly ttlMs: number
}

export class TlsaSights {
  readonly #sights = new Map<Domain, { readonly at: Instant; readonly answers: readonly SeenTlsa[] }>()

  of(domain: Domain, now: Instant): TlsaSight {
    const sight = this.#sights.get(domain)
    return sight === undefined || sight.at + sightMs < now ? { kind: "unseen" } : { kind: "seen", answers: sight.answers }
  }

  /** What DNS says now. */
  current(domain: Domain): readonly SeenTlsa[] {
    return (this.#sights.get(domain)?.answers ?? []).filter(({ current }) => current)
  }

  forgetOthers(hosted: (domain: Domain) => boolean): void {
    for (const domain of [...this.#sights.keys()]) if (!hosted(domain)) this.#sights.delete(domain)
  }

  /** A look into DNS, complete: every server of the domain. A look that failed is not brought here. */
  seen(domain: Domain, looks: readonly TlsaLook[], at: Instant): void {
    const before = this.#sights.get(domain)?.answers ?? []
    const answers: SeenTlsa[] = []
    for (const look of looks) {
      const known = before.filter(({ name }) => name === look.name)
      const live = known.find(({ current }) => current)
      const records = [...look.records].sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1))
      answers.push(...known.filter((each) => each !== live && each.lastSeen + each.ttlMs > at))
      if (live !== undefined && JSON.stringify(live.records) === JSON.stringify(records)) {
        answers.push({ ...live, lastSeen: at, ttlMs: Math.max(live.ttlMs, look.ttlMs) })
        continue
      }
      // It may have been there until just now.
      if (live !== undefined) answers.push({ ...live, current: false, lastSeen: at })
      answers.push({ ...look, records, firstSeen: at, lastSeen: at, current: true, first: live === undefined })
    }
    for (const gone of before) {
      if (looks.some(({ name }) => name === gone.name)) continue
      const left = gone.current ? { ...gone, current: false, lastSeen: at } : gone
      if (left.lastSeen + left.ttlMs > at) answers.push(left)
    }
    this.#sights.set(domain, { at, answers })
  }
}
