// Asking again for what an association rests on before it grows too old (DANE-30; security.md 10, 11): hourly at most, with
// grace for pairs that exist where the world is silent, and never past the end of what was proved.
import type { Association, ObtainedMaterial } from "../model/association.ts"
import type { SrvRecord } from "../model/dns-answer.ts"
import type { Domain } from "../model/domain.ts"
import type { Endpoint } from "../model/endpoint.ts"
import { peerOf } from "../model/policy.ts"
import type { Instant } from "../model/verdict.ts"
import { match, obtainAll } from "../proof/prove.ts"
import type { AnyProoftype } from "../proof/prooftype.ts"
import type { Discovery } from "../discovery/discover.ts"
import { discoverPeer } from "./associate.ts"
import { type FreshMaterial, type PlaceMaterial, proofPorts, subjectOf } from "./claims.ts"
import { noProof } from "./connecting.ts"
import type { Federation, Hosting } from "./contract.ts"
import { deadline } from "./deadline.ts"
import { whenOver } from "./steady-time.ts"

/** After asking in vain, this long until the next try, ms. */
const retryAfter = 300_000

/** Those that have to be asked for, and age. */
function asked(hosting: Hosting): readonly AnyProoftype[] {
  return hosting.prooftypes.filter(({ atHand }) => !atHand)
}

/** The association that was proved on a stream of its own: dialback rests on another one's. */
function rootOf(association: Association): Association {
  const { via, rests } = association
  if (rests !== undefined) return rootOf(rests)
  return typeof via === "object" ? rootOf(via.authoritative) : association
}

/**
 * From when on the material of an association should be asked for again, ms since 1970. At once where a prooftype came into
 * use after an outgoing stream was judged; an accepted stream is proved by what it has.
 */
export function renewalDue(hosting: Hosting, association: Association): Instant {
  const { proof, direction, obtained = [] } = rootOf(association)
  if (proof === undefined) return Number.POSITIVE_INFINITY
  const moments = asked(hosting).map((prooftype) => dueOf(prooftype, obtained.find(({ prooftype: name }) => name === prooftype.name), direction))
  return Math.min(Number.POSITIVE_INFINITY, ...moments)
}

function dueOf(prooftype: AnyProoftype, kept: ObtainedMaterial | undefined, direction: Association["direction"]): Instant {
  // What was not needed before is not needed now.
  if (kept === undefined) return direction === "out" && prooftype.dispensable !== true ? 0 : Number.POSITIVE_INFINITY
  return prooftype.ageing?.(kept.material).from ?? Number.POSITIVE_INFINITY
}

interface Renewed {
  readonly fresh: FreshMaterial
  /** False: of some prooftypes nobody could say anything new. */
  readonly complete: boolean
}

/** Asks again. Undefined: nobody could say anything, so what is known stays until it ends (security.md 11). */
async function askAgain(federation: Federation, association: Association, signal: AbortSignal): Promise<Renewed | undefined> {
  const hosting = federation.current()
  const { pair, direction, endpoint, proof, obtained: before = [] } = rootOf(association)
  const held = (prooftype: AnyProoftype): ObtainedMaterial | undefined => before.find(({ prooftype: name }) => name === prooftype.name)
  const asks = asked(hosting).filter((prooftype) => prooftype.dispensable !== true || dueOf(prooftype, held(prooftype), direction) <= federation.ports.clock.now())
  const peer = peerOf(pair, direction)
  let now: Endpoint | undefined
  let elsewhere: readonly PlaceMaterial[] = []
  if (direction === "out") {
    // What delegated the domain to this server ages, too: a server it no longer leads to is proved by its own name alone.
    const found = await discoverPeer(federation, hosting, peer, signal)
    if (found.outcome === "unavailable") return undefined
    now = found.outcome === "endpoints" && endpoint !== undefined ? sameServer(found.endpoints, endpoint) : undefined
    if (now === undefined && endpoint !== undefined && stillNamed(found, endpoint)) return undefined
    if (association.direction === "out" && typeof association.via === "object") elsewhere = await promisesElsewhere(federation, peer, found, now, signal)
  }
  const subject = subjectOf(peer, direction === "in" ? "incoming" : "outgoing", now)
  const obtained = await obtainAll(asks, subject, proofPorts(federation, hosting, signal))
  const judged = match(obtained, subject, proof ?? noProof, federation.ports.clock.now())
  const silent = (prooftype: AnyProoftype): boolean => judged.verdicts[asks.indexOf(prooftype)]?.outcome === "unavailable"
  if (asks.length > 0 && asks.every(silent)) return undefined
  const material = asked(hosting).flatMap((prooftype) => {
    // security.md 11: where the world is silent the older answer serves, until its own end, which judging sees.
    if (!asks.includes(prooftype) || silent(prooftype)) return held(prooftype) ?? []
    return judged.kept.find(({ prooftype: name }) => name === prooftype.name) ?? []
  })
  // What comes from a memory may be no younger than what there was: it is not asked for again at once.
  const renewed = ({ prooftype: name, material: each }: ObtainedMaterial): boolean => {
    const prooftype = asks.find((candidate) => candidate.name === name)
    return prooftype === undefined || dueOf(prooftype, { prooftype: name, material: each }, direction) > federation.ports.clock.now()
  }
  return { fresh: { endpoint: now, obtained: material, elsewhere }, complete: !asks.some(silent) && material.every(renewed) }
}

/** security.md 3: for a way back that rests on a key alone, what secure DNS says of the domain's other servers. */
async function promisesElsewhere(federation: Federation, peer: Domain, found: Discovery, asked: Endpoint | undefined, signal: AbortSignal): Promise<readonly PlaceMaterial[]> {
  if (found.outcome !== "endpoints") return []
  const hosting = federation.current()
  const prooftypes = hosting.prooftypes.filter(({ needsSecureDns }) => needsSecureDns)
  const placeOf = ({ delegation, port, transport }: Endpoint): string => `${delegation.derived} ${port} ${transport}`
  const places = new Map(found.endpoints.map((endpoint) => [placeOf(endpoint), endpoint]))
  if (asked !== undefined) places.delete(placeOf(asked))
  return await Promise.all(
    [...places.values()].map(async (endpoint) => {
      const subject = subjectOf(peer, "outgoing", endpoint)
      const obtained = await obtainAll(prooftypes, subject, proofPorts(federation, hosting, signal))
      return { endpoint, obtained: match(obtained, subject, noProof, federation.ports.clock.now()).kept }
    }),
  )
}

function sameServer(endpoints: readonly Endpoint[], before: Endpoint): Endpoint | undefined {
  const same = endpoints.filter(
    ({ delegation, port, transport }) => delegation.derived === before.delegation.derived && port === before.port && transport === before.transport,
  )
  return same.find(({ address }) => address === before.address) ?? same[0]
}

/**
 * SRV names the server as before, and only its addresses could not be asked for, or it stood behind the eight that are
 * tried: that delegates the domain to nobody else (security.md 4, 11).
 */
function stillNamed({ report: { answers, skipped } }: Discovery, { delegation: { derived }, port, transport }: Endpoint): boolean {
  const settled = skipped.some(({ target, reason }) => target === `${derived} port ${port}` && (reason === "guarded" || reason === "no-address"))
  if (settled) return false
  const direct = transport === "direct-tls"
  return answers.some(
    ({ type, name, records }) =>
      type === "SRV" && name.startsWith("_xmpps-") === direct && (records as readonly SrvRecord[]).some((record) => record.target === derived && record.port === port),
  )
}

export interface Watched {
  /** Those that carry stanzas now. */
  associations(): readonly Association[]
  /** Something has ended: judge all of them again. */
  recheck(): void
  /** One of them was asked for anew: judge it with that. */
  renew(association: Association, fresh: FreshMaterial): void
  /** An error of our own. */
  broken(error: unknown): void
}

/** Watches the associations of one stream until they end, and renews what ages. */
export class Watch {
  readonly #federation: Federation
  readonly #watched: Watched
  /** Moments of the next try, by association. */
  #retries: Map<string, Instant> | undefined
  #cancel = () => {}
  /** When it is looked next; undefined before the first time. */
  #next: Instant | undefined
  #asking: AbortController | undefined
  #stopped = false

  constructor(federation: Federation, watched: Watched) {
    this.#federation = federation
    this.#watched = watched
  }

  /**
   * To be called whenever the associations have changed.
   *
   * @param added the one change, where one came: thousands are not looked through for it
   */
  arm(added?: Association): void {
    if (this.#stopped) return
    if (added !== undefined && this.#next !== undefined) {
      const next = this.#asking !== undefined ? added.until : Math.min(added.until, this.#due(added))
      if (next < this.#next) this.#at(next)
      return
    }
    this.#cancel()
    const held = this.#watched.associations()
    if (this.#retries !== undefined) {
      const ids = new Set(held.map(({ id }) => id))
      for (const id of this.#retries.keys()) if (!ids.has(id)) this.#retries.delete(id)
    }
    let next: Instant = Number.POSITIVE_INFINITY
    for (const association of held) {
      next = Math.min(next, association.until)
      // One renewal at a time; the next moment is looked for when it is done.
      if (this.#asking === undefined) next = Math.min(next, this.#due(association))
    }
    this.#at(next)
  }

  #at(next: Instant): void {
    this.#cancel()
    this.#next = next
    this.#cancel = whenOver(this.#federation.ports.clock, next, () => this.#look())
  }

  stop(): void {
    this.#stopped = true
    this.#cancel()
    this.#asking?.abort(new Error("the stream is over"))
  }

  #due(association: Association): Instant {
    return Math.max(renewalDue(this.#federation.current(), association), this.#retries?.get(association.id) ?? 0)
  }

  #look(): void {
    const now = this.#federation.ports.clock.now()
    const held = this.#watched.associations()
    if (held.some(({ until }) => now >= until)) {
      this.#watched.recheck()
      return
    }
    const due = held.find((association) => now >= this.#due(association))
    if (due !== undefined && this.#asking === undefined) void this.#renew(due)
    this.arm()
  }

  async #renew(association: Association): Promise<void> {
    const { clock } = this.#federation.ports
    const asking = new AbortController()
    this.#asking = asking
    const limit = deadline(clock, this.#federation.current().times.verification, "asking again", asking.signal)
    try {
      const renewed = await askAgain(this.#federation, association, limit.signal)
      if (this.#stopped) return
      // It may have been judged by others, or have ended, while we asked.
      const current = this.#watched.associations().find(({ id }) => id === association.id)
      if (current === undefined) return
      if (renewed !== undefined) this.#watched.renew(current, renewed.fresh)
      const after = this.#watched.associations().find(({ id }) => id === association.id)
      // What a prooftype remembers may be as old as before: that is no reason to ask again at once, for ever.
      const stale = after !== undefined && renewalDue(this.#federation.current(), after) <= clock.now()
      if (renewed?.complete !== true || stale) (this.#retries ??= new Map()).set(current.id, clock.now() + retryAfter)
    } catch (error) {
      this.#watched.broken(error)
    } finally {
      limit.done()
      this.#asking = undefined
      this.arm()
    }
  }
}
