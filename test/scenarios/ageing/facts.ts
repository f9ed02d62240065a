// What is so in the world of ageing proofs, at every moment, and what follows from it: written from security.md 4, 9-13, DANE-30, POSH-17
// and TLS-14 alone, without a line of what is tested. It knows which certificate a connection was shown, never what was found out about it.
import type { IssuedCertificate } from "../../../src/lab/certificate-authority.ts"
import { good, own, start, stranger } from "../support.ts"

export const minute = 60_000
export const hour = 60 * minute
export const us = "a.example"
export const them = "b.example"

interface Certificate {
  readonly issued: IssuedCertificate
  /** By the authority that everybody knows, as long as it does. */
  readonly issuer: "known" | "itself" | "unknown"
  readonly ends: number
}
const lasting = start + 30 * 24 * hour
const before = { notBefore: start - 24 * hour }
const ending = (ends: number): Certificate => ({ issued: good(them, { ...before, notAfter: ends }), issuer: "known", ends })

/** What the peer may show, one after the other. */
export const certificates = {
  public: ending(lasting),
  renewed: ending(lasting),
  brief: ending(start + 7 * hour),
  shorter: ending(start + 40 * hour),
  own: { issued: own(them, { ...before, notAfter: lasting }), issuer: "itself", ends: lasting },
  next: { issued: own(them, { ...before, notAfter: start + 30 * hour }), issuer: "itself", ends: start + 30 * hour },
  foreign: { issued: stranger.issue({ names: { dns: [them] }, ...before, notAfter: lasting }), issuer: "unknown", ends: lasting },
} as const satisfies Record<string, Certificate>
export type Shown = keyof typeof certificates
export const allShown = Object.keys(certificates) as readonly Shown[]

export type Listed = readonly Shown[]
export type Level = "encrypted" | "authenticated"

/** All that counts, as it is at one time. */
export interface Facts {
  readonly shown: Shown
  /** We know the root of the authority. */
  readonly rooted: boolean
  /** `says`: signed, whether there are records or not. */
  readonly dns: "says" | "fails" | "bogus" | "silent" | "unsigned"
  readonly tlsa: Listed
  readonly web: "says" | "failing" | "closing" | "elsewhere"
  readonly posh: Listed
  /** Of the document, ms. */
  readonly expires: number
  readonly require: Level
  readonly ratchet: "off" | "warn" | "enforce"
  /** When the override of the ratchet ends, ms since 1970; 0: there is none. */
  readonly override: number
}

/** Records live a minute in resolvers. */
const ttl = minute
/** After asking in vain, until the next answer: five minutes and the time that an answer may take. */
const retry = 5 * minute + 10_000
/** An answer of DNS is asked for again after an hour, and is believed for a quarter of an hour longer. */
const danePeace = hour
const daneEnd = 75 * minute

interface Since extends Facts {
  readonly at: number
}

export interface Connection {
  /** Who opened it. */
  readonly by: "us" | "them"
  readonly at: number
  readonly shown: Shown
}

type Question = (facts: Facts, at: number) => boolean

export class History {
  readonly #all: Since[] = []
  /** What the domain was remembered by when this began. */
  readonly #remembered: boolean

  constructor(facts: Facts, at: number, remembered: boolean) {
    this.#all.push({ ...facts, at })
    this.#remembered = remembered
  }

  get now(): Facts {
    return this.#all.at(-1)!
  }

  change(what: Partial<Facts>, at: number): void {
    this.#all.push({ ...this.now, ...what, at })
  }

  /** Times at which these facts held, from one moment to another. @param moments also what held for no time at all */
  #spans(holds: Question, from: number, to: number, moments = false): (readonly [from: number, to: number])[] {
    const spans: [number, number][] = []
    for (const [index, facts] of this.#all.entries()) {
      const next = this.#all[index + 1]?.at ?? Number.POSITIVE_INFINITY
      const [since, until] = [Math.max(from, facts.at), Math.min(to, next)]
      if (since > until || (!moments && next <= since) || !holds(facts, since)) continue
      const last = spans.at(-1)
      if (last !== undefined && last[1] === since) last[1] = until
      else spans.push([since, until])
    }
    return spans
  }

  #at(moment: number): Facts {
    return this.#all.findLast(({ at }) => at <= moment)!
  }

  #ever(holds: Question, from: number, to: number): boolean {
    return this.#spans(holds, from, to).length > 0
  }

  /** All the time. */
  #always(holds: Question, from: number, to: number): boolean {
    const [only] = this.#spans(holds, from, to)
    return only !== undefined && only[0] <= Math.max(from, this.#all[0]!.at) && only[1] >= to && holds(this.#at(to), to)
  }

  /** A look after this moment found out that it is not so any more: the answer stood long enough for one. */
  #noticed(not: Question, from: number, to: number): boolean {
    return this.#spans(not, from, to).some(([since, until]) => until - since >= retry + ttl)
  }

  /** A certificate of a known authority is judged from what is here, at each reload and at its end. */
  #byAuthority(shown: Shown, at: number): boolean {
    const { issuer, ends } = certificates[shown]
    return issuer === "known" && this.now.rooted && at < ends
  }

  #byDns(connection: Connection, at: number): boolean {
    const answered = this.#spans(({ dns }) => dns === "says", Math.max(connection.at, at - daneEnd), at, true)
    const listed = this.#spans(({ tlsa }) => tlsa.includes(connection.shown), 0, at, true)
    const denies: Question = ({ dns, tlsa }) => dns === "says" && !tlsa.includes(connection.shown)
    // DANE-30; security.md 11: a look that the records of its time bear out, not yet too old, and not taken back since.
    return answered.some(([first, last]) =>
      listed.some(([since, until]) => {
        const look = Math.min(last, until + ttl)
        return look >= Math.max(first, since) && !this.#noticed(denies, look + danePeace, at)
      }),
    )
  }

  #byDocument(connection: Connection, at: number): boolean {
    const { shown } = connection
    // The web server that published it was believed because of its authority.
    if (!this.now.rooted || at >= certificates[shown].ends) return false
    const denies: Question = ({ web, posh }) => web === "says" && !posh.includes(shown)
    // POSH-17: to its own end; from half of its life on, hourly at most, it is asked for again. It may have been remembered from before.
    return this.#all.some((facts, index) => {
      if (facts.web !== "says" || !facts.posh.includes(shown) || !facts.rooted) return false
      const last = Math.min(at, this.#all[index + 1]?.at ?? at)
      const due = last + Math.max(facts.expires / 2, hour)
      return at < last + facts.expires && last >= facts.at && !this.#noticed(denies, due, at)
    })
  }

  /** Anything proves it, as far as may still be believed. */
  #proven(connection: Connection, at: number): boolean {
    return this.#byAuthority(connection.shown, at) || this.#byDns(connection, at) || this.#byDocument(connection, at)
  }

  /** security.md 4: for what leaves, records that promise another certificate stop, and so does what could not be asked at the beginning. */
  #stopped({ by, at: opened, shown }: Connection, at: number): boolean {
    const unreadable: Question = ({ dns }) => dns === "fails" || dns === "bogus" || dns === "silent"
    const promised: Question = ({ dns, tlsa }) => dns === "says" && tlsa.length > 0 && !tlsa.includes(shown)
    // The way back on a connection of theirs is judged when it is needed.
    return (by === "us" && this.#always(unreadable, opened, opened)) || this.#always(promised, Math.max(opened, at - danePeace - retry - ttl) - ttl, at)
  }

  /** What is remembered may have been lowered: DNS proved it, and then denied it with a signature (security.md 13). */
  #lowered(at: number): boolean {
    const first = this.#all.find(({ dns, tlsa }) => dns === "says" && tlsa.length > 0)
    return first !== undefined && this.#ever(({ dns, tlsa }) => dns === "says" && tlsa.length === 0, first.at, at)
  }

  /** The ratchet, in this mode, asks for what the domain kept proving. */
  #held(mode: "warn" | "enforce", at: number): boolean {
    const { ratchet, override } = this.now
    return this.#remembered && ratchet === mode && at >= override && !this.#lowered(at)
  }

  /** security.md 13: it is weaker than what is remembered, which the log has to say. */
  warned(connection: Connection, at: number): boolean {
    return this.#held("warn", at) && !this.#proven(connection, at)
  }

  /** There was a time since then at which the log could say so. */
  mayWarn(from: number, to: number): boolean {
    return this.#remembered && this.#ever(({ ratchet, override }) => ratchet === "warn" && to >= override, from, to)
  }

  /** Why a stanza of ours may not leave there now, or one of theirs come in; undefined: it may. */
  objection(connection: Connection, leaving: boolean, at: number): string | undefined {
    if (leaving && this.#stopped(connection, at)) return "what DNS promises is something else"
    if (this.#proven(connection, at)) return undefined
    if (this.now.require === "authenticated") return "nothing proves it any more"
    return this.#held("enforce", at) ? "it has kept proving more" : undefined
  }

  /** What a new connection would be proven by, were it judged now; nothing where something cannot be asked for, or promises another one. */
  #provable({ by, shown }: Pick<Connection, "by" | "shown">, { dns, tlsa, web, posh, rooted }: Facts, at: number): "pkix" | "dane" | "posh" | undefined {
    const { issuer, ends } = certificates[shown]
    const valid = rooted && at < ends
    if (dns !== "says" && dns !== "unsigned") return undefined
    const promised = dns === "says" && tlsa.length > 0
    if (promised && !tlsa.includes(shown)) return undefined
    // Nobody who connects is looked up where the certificate in hand says enough (security.md 18).
    if (by === "them" && issuer === "known" && valid) return "pkix"
    if (promised) return "dane"
    if (!valid) return undefined
    if (issuer === "known") return "pkix"
    return web === "says" && posh.includes(shown) ? "posh" : undefined
  }

  /** For so long the same has been true, and proves what the peer shows: nothing may bounce. */
  calm(at: number): boolean {
    const proven = this.#provable({ by: "us", shown: this.now.shown }, this.now, at)
    const rested = at - this.#all.at(-1)!.at
    // POSH-17: a document that was fetched before serves for half of its life.
    return proven !== undefined && rested > (proven === "posh" ? 13 * hour : 2 * hour)
  }

  /** One and the same proof went on all the time, and could be asked for all the time: nothing interrupts the connection. */
  steady(connection: Connection, at: number): boolean {
    const { at: opened } = connection
    const by = this.#provable(connection, this.#at(opened), opened)
    const same: Question = (facts, since) => this.#provable(connection, facts, since) === by
    // Also what was so for no time at all: a reload is heeded at once.
    const meanwhile = this.#all.filter((_facts, index) => (this.#all[index + 1]?.at ?? at) >= opened - ttl)
    return by !== undefined && same(this.now, at) && meanwhile.every((facts) => same(facts, Math.max(facts.at, opened)))
  }
}
