// For each domain one pair of a stream that holds now: what a further pair of the same domain may rest on (DB-31, BIDI-4, BIDI-5).
// One pair a domain is kept, since a stream has thousands; when it ends, another that holds takes its place.
import type { Association, DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"

export class PairIndex {
  readonly #by: keyof DomainPair
  readonly #standing: () => Iterable<DomainPair>
  readonly #held: (pair: DomainPair) => Association | undefined
  readonly #pairs = new Map<Domain, DomainPair>()
  /** Domains whose pairs have all ended, as was seen; they may be judged again and hold. */
  readonly #ended = new Set<Domain>()

  /**
   * @param by which of a pair's domains it is found under
   * @param standing all pairs that may be found
   * @param held the association of one of them, if it holds now
   */
  constructor(by: keyof DomainPair, standing: () => Iterable<DomainPair>, held: (pair: DomainPair) => Association | undefined) {
    this.#by = by
    this.#standing = standing
    this.#held = held
  }

  add(pair: DomainPair): void {
    const domain = pair[this.#by]
    const known = this.#pairs.get(domain)
    if (known !== undefined && this.#held(known) !== undefined) return
    this.#pairs.set(domain, pair)
    this.#ended.delete(domain)
  }

  /** An association with this domain that holds now. */
  find(domain: Domain): Association | undefined {
    const known = this.#pairs.get(domain)
    if (known === undefined) return undefined
    const association = this.#held(known)
    if (association !== undefined) {
      this.#ended.delete(domain)
      return association
    }
    if (this.#ended.has(domain)) return undefined
    this.#lookAtAll()
    const other = this.#pairs.get(domain)
    return other === undefined ? undefined : this.#held(other)
  }

  /** One has ended, and others with it perhaps: all of them are looked for at once, so that thousands cost one look. */
  #lookAtAll(): void {
    this.#pairs.clear()
    this.#ended.clear()
    for (const pair of this.#standing()) {
      const domain = pair[this.#by]
      if (this.#pairs.has(domain) && !this.#ended.has(domain)) continue
      const ended = this.#held(pair) === undefined
      this.#pairs.set(domain, pair)
      if (ended) this.#ended.add(domain)
      else this.#ended.delete(domain)
    }
  }
}
