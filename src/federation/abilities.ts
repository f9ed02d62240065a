// What a peer can do, remembered across streams and restarts (security.md 24): hints that save round trips, learnt only after
// TLS on a proven stream, forgotten at the first surprise. No proof and no refusal ever rests on them.
import { createHash, X509Certificate } from "node:crypto"
import type { Association } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import { peerOf } from "../model/policy.ts"
import type { Instant } from "../model/verdict.ts"
import type { Clock, TlsCredentials } from "../ports.ts"
import type { Memory } from "./memory.ts"

const day = 86_400_000
/** What was not seen again for so long is forgotten, ms. */
export const abilitiesLast = 30 * day
/** What is seen again unchanged is written again after this time, ms. */
const refreshAfter = day
/** Certificates of ours that one peer is known to accept. */
const mostCertificates = 16

/** Features a peer advertised after TLS. */
export interface AdvertisedAbilities {
  /** `<dialback><errors/></dialback>` (XEP-0220 2.5). */
  readonly dialbackErrors: boolean
  /** XEP-0288. */
  readonly bidi: boolean
  /** XEP-0198. */
  readonly streamManagement: boolean
  /** `urn:xmpp:features:pipelining` (XEP-0305). */
  readonly pipelining: boolean
}

/** Ways to add a pair to a stream that a peer refused or failed. */
export type Piggyback = "assertion" | "supposition"

/** One stream's lesson; what is left out was not tried. */
export interface Lesson {
  readonly advertised?: AdvertisedAbilities
  /** Fingerprint of our certificate with which SASL EXTERNAL succeeded. */
  readonly externalAccepted?: string
  readonly refused?: Piggyback
}

interface Known {
  readonly learnt: Instant
  readonly advertised: AdvertisedAbilities | undefined
  /** Newest last. */
  readonly external: readonly (readonly [fingerprint: string, at: Instant])[]
  readonly refused: Readonly<Partial<Record<Piggyback, Instant>>>
}

/** What is known of a peer now. Everything is false that was never seen, or too long ago. */
export interface PeerAbilities extends AdvertisedAbilities {
  /** Something was learnt at all. */
  readonly known: boolean
  accepts(fingerprint: string): boolean
  refuses(piggyback: Piggyback): boolean
}

const nothingAdvertised: AdvertisedAbilities = { dialbackErrors: false, bidi: false, streamManagement: false, pipelining: false }
const nothing: Known = { learnt: 0, advertised: undefined, external: [], refused: {} }

export class Abilities {
  readonly #memory: Memory
  readonly #clock: Clock

  constructor(memory: Memory, clock: Clock) {
    this.#memory = memory
    this.#clock = clock
  }

  recall(peer: Domain): PeerAbilities {
    const now = this.#clock.now()
    const known = this.#read(peer, now)
    return {
      ...(known?.advertised ?? nothingAdvertised),
      known: known !== undefined,
      accepts: (fingerprint) => known?.external.some(([each]) => each === fingerprint) === true,
      refuses: (piggyback) => known?.refused[piggyback] !== undefined,
    }
  }

  /**
   * Remembers what a stream showed.
   *
   * @param association proven on that very stream, after TLS; from any other nothing is learnt
   * @returns whether it was learnt
   */
  learn(association: Association, lesson: Lesson): boolean {
    const { level, proof, via } = association
    // security.md 24: what somebody in the middle, or an unproven server, lets us see is not the peer's ability.
    if (level !== "authenticated" || via !== "certificate" || proof === undefined) return false
    const peer = peerOf(association.pair, association.direction)
    const now = this.#clock.now()
    const before = this.#read(peer, now) ?? nothing
    const { advertised = before.advertised, externalAccepted, refused } = lesson
    const external = externalAccepted === undefined ? before.external : withCertificate(before.external, externalAccepted, now)
    const after: Known = { learnt: now, advertised, external, refused: refused === undefined ? before.refused : { ...before.refused, [refused]: now } }
    if (now - before.learnt < refreshAfter && JSON.stringify({ ...before, learnt: now }) === JSON.stringify(after)) return true
    this.#write(peer, after)
    return true
  }

  /** Something did not go as remembered: all of it is forgotten, and the long way is the right one next time. */
  surprised(peer: Domain): void {
    this.#memory.remove("abilities", peer)
  }

  #read(peer: Domain, now: Instant): Known | undefined {
    const text = this.#memory.get("abilities", peer)
    if (text === undefined) return undefined
    const known = readKnown(text)
    const recent = (at: Instant): boolean => at <= now && now - at < abilitiesLast
    if (known === undefined || !recent(known.learnt)) return undefined
    const refused = Object.fromEntries(Object.entries(known.refused).filter(([, at]) => recent(at)))
    return { ...known, external: known.external.filter(([, at]) => recent(at)), refused }
  }

  #write(peer: Domain, known: Known): void {
    const text = JSON.stringify(known)
    if (this.#memory.put("abilities", peer, text)) return
    // A hint may make room for another one: those learnt longest ago go, nothing of security rests on them.
    const [oldest] = this.#memory.entries("abilities")
    if (oldest !== undefined) this.#memory.remove("abilities", oldest[0])
    this.#memory.put("abilities", peer, text)
  }
}

function withCertificate(external: Known["external"], fingerprint: string, now: Instant): Known["external"] {
  const before = external.find(([each]) => each === fingerprint)
  if (before !== undefined && now - before[1] < refreshAfter) return external
  const others = external.filter(([each]) => each !== fingerprint)
  return [...others, [fingerprint, now] as const].slice(-mostCertificates)
}

/** Undefined: not as we write it. */
function readKnown(text: string): Known | undefined {
  let read: unknown
  try {
    read = JSON.parse(text)
  } catch {
    return undefined // damaged on disk: a hint that is lost costs a round trip
  }
  const { learnt, advertised, external, refused } = (read ?? {}) as Record<string, unknown>
  if (typeof learnt !== "number" || !Array.isArray(external) || typeof refused !== "object" || refused === null) return undefined
  const pairs = external.filter((each): each is [string, number] => Array.isArray(each) && typeof each[0] === "string" && typeof each[1] === "number")
  const since = (way: Piggyback): Partial<Record<Piggyback, Instant>> => {
    const at = (refused as Record<string, unknown>)[way]
    return typeof at === "number" ? { [way]: at } : {}
  }
  return { learnt, advertised: readAdvertised(advertised), external: pairs, refused: { ...since("assertion"), ...since("supposition") } }
}

function readAdvertised(read: unknown): AdvertisedAbilities | undefined {
  if (typeof read !== "object" || read === null) return undefined
  const said = read as Record<string, unknown>
  const yes = (name: keyof AdvertisedAbilities): boolean => said[name] === true
  return { dialbackErrors: yes("dialbackErrors"), bidi: yes("bidi"), streamManagement: yes("streamManagement"), pipelining: yes("pipelining") }
}

const fingerprints = new WeakMap<TlsCredentials, string>()

/**
 * SHA-256 of the leaf certificate in hexadecimal; computed once for each credentials object.
 *
 * @throws Error when the PEM holds no certificate
 */
export function fingerprintOf(credentials: TlsCredentials): string {
  let known = fingerprints.get(credentials)
  if (known === undefined) {
    known = createHash("sha256").update(new X509Certificate(credentials.certificatePem).raw).digest("hex")
    fingerprints.set(credentials, known)
  }
  return known
}
