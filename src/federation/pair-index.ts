// For each domain one pair of a stream that holds now: what a further pair of the same domain may rest on (DB-31, BIDI-4, BIDI-5).
// One pair a domain is kept, since a stream has thousands; when it ends, another that holds takes its place.
import type { Association, DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"

export class PairIndex {
  readonly #by: keyof DomainPair
  readonly #standing: () => Iterable<DomainPair>
  readonly #held: (pair: DomainPair) => Association | undefined
  /** Most streams carry one pair and look for no further one: a table is made for the second. */
  #only: DomainPair | undefined
  #pairs: Map<Domain, DomainPair> | undefined
  /** Domains whose pairs have all ended, as was seen; they may be judged again and hold. */
  #ended: Set<Domain> | undefined

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
    const known = this.#known(domain)
    if (known !== undefined && this.#held(known) !== undefined) return
    this.#keep(domain, pair)
    this.#ended?.delete(domain)
  }

  #known(domain: Domain): DomainPair | undefined {
    return this.#only?.[this.#by] === domain ? this.#only : this.#pairs?.get(domain)
  }

  #keep(domain: Domain, pair: DomainPair): void {
    if (this.#pairs === undefined && (this.#only === undefined || this.#only[this.#by] === domain)) {
      this.#only = pair
      return
    }
    this.#pairs ??= new Map(this.#only === undefined ? [] : [[this.#only[this.#by], this.#only]])
    this.#only = undefined
    this.#pairs.set(domain, pair)
  }

  /** An association with this domain that holds now. */
  find(domain: Domain): Association | undefined {
    const known = this.#known(domain)
    if (known === undefined) return undefined
    const association = this.#held(known)
    if (association !== undefined) {
      this.#ended?.delete(domain)
      return association
    }
    if (this.#ended?.has(domain) === true) return undefined
    this.#lookAtAll()
    const other = this.#known(domain)
    return other === undefined ? undefined : this.#held(other)
  }

  /** One has ended, and others with it perhaps: all of them are looked for at once, so that thousands cost one look. */
  #lookAtAll(): void {
    this.#only = undefined
    this.#pairs = undefined
    const ended = new Set<Domain>()
    for (const pair of this.#standing()) {
      const domain = pair[this.#by]
      if (this.#known(domain) !== undefined && !ended.has(domain)) continue
      this.#keep(domain, pair)
      if (this.#held(pair) === undefined) ended.add(domain)
      else ended.delete(domain)
    }
    this.#ended = ended.size === 0 ? undefined : ended
  }
}
