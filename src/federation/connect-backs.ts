// Connections back to the authoritative servers of whoever claims on one stream (XEP-0220 2.1.2, 2.6; security.md 2). Questions about
// one sender that are open at the same time go over one of them, where its server can refuse a single one (DB-32).
import type { DomainPair } from "../model/association.ts"
import type { Domain } from "../model/domain.ts"
import { StreamClosed } from "../model/errors.ts"
import { partWithin } from "../stream/closing.ts"
import { associate, type AssociatedStream } from "./associate.ts"
import type { Federation, Hosting } from "./contract.ts"
import { settledOrAborted } from "./deadline.ts"
import { type DialbackElement, isDialback, readDialback, verifyRequestXml } from "./dialback.ts"

/** So many senders that go alone are remembered for one stream; a round trip is all that rests on it. */
const mostAlone = 256

interface Question {
  readonly answered: (answer: DialbackElement) => void
  readonly failed: (error: unknown) => void
}

/** One connection that we opened to the sender's own server. */
export class ConnectBack {
  readonly leg: AssociatedStream
  /** Whether its server holds the very certificate that the asserting stream showed (DWD-4), once that was looked at. */
  sameCertificate: boolean | undefined
  readonly #questions = new Map<string, Question>()
  readonly #closing = new AbortController()
  #asked = 0
  #over: { readonly error: unknown } | undefined

  constructor(leg: AssociatedStream) {
    this.leg = leg
  }

  /** It carried more than one question: what ended it need not be about any particular one. */
  get shared(): boolean {
    return this.#asked > 1
  }

  /** Nothing can be asked any more. */
  get over(): boolean {
    return this.#over !== undefined
  }

  /** DB-14: only an answer to this very question counts: both domains and the id. Rejects when the connection ends before it. */
  ask(pair: DomainPair, id: string, key: string, signal: AbortSignal): Promise<DialbackElement> {
    if (signal.aborted) return Promise.reject(signal.reason)
    if (this.#over !== undefined) return Promise.reject(this.#over.error)
    this.#asked += 1
    if (this.#asked === 1) void this.#read()
    const name = nameOf(pair.sender, pair.target, id)
    return new Promise<DialbackElement>((resolve, reject) => {
      const settled = () => {
        this.#questions.delete(name)
        signal.removeEventListener("abort", aborted)
      }
      const aborted = () => {
        settled()
        reject(signal.reason)
      }
      this.#questions.set(name, {
        answered: (answer) => {
          settled()
          resolve(answer)
        },
        failed: (error) => {
          settled()
          reject(error)
        },
      })
      signal.addEventListener("abort", aborted, { once: true })
      this.leg.stream.send(verifyRequestXml(pair, id, key))
    })
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const element = await this.leg.stream.element(this.#closing.signal)
        const answer = isDialback(element) && element.name === "verify" ? readDialback(element) : undefined
        if (answer?.type === undefined) continue
        this.#questions.get(nameOf(answer.from, answer.to, answer.id))?.answered(answer)
      }
    } catch (error) {
      // DB-15: every question that is open ends with it.
      this.#over = { error }
      for (const { failed } of [...this.#questions.values()]) failed(error)
    }
  }

  /** DB-13: a connection for verifications is closed right after them. */
  close(federation: Federation): void {
    this.#closing.abort(new StreamClosed("verification done"))
    const { clock } = federation.ports
    const { leg } = this
    leg.stream.lastWords()
    partWithin(leg.stream.channel, clock, federation.current().times.closing)
    federation.event({ kind: "closed", at: clock.now(), stream: leg.name, direction: "out", pair: leg.pair, reason: "verification done", unacknowledged: 0 })
  }
}

function nameOf(from: string, to: string, id: string | undefined): string {
  return JSON.stringify([from, to, id])
}

/**
 * DB-13 has a connection for one question closed at once. Whoever claims several pairs goes on claiming: a connection that served
 * more than one claim stays for so long after the last, ms.
 */
const lingers = 250

interface Opening {
  readonly back: Promise<ConnectBack>
  /** What was configured, and when, ms of the monotonic clock: later questions are judged by what is so then. */
  readonly hosting: Hosting
  readonly since: number
  users: number
  /** Claims that were served. */
  served: number
  lingering?: () => void
}

/** Those of one accepted stream: whoever claims on others has no part in them, and can do them no harm. */
export class ConnectBacks {
  readonly #federation: Federation
  readonly #open = new Map<Domain, Opening>()
  /** Senders of whom one claim is on its way to a connection; resolves when it has one, or needs none. */
  readonly #entering = new Map<Domain, Promise<void>>()
  /** And how many claims of the sender wait for that one, or have not come to their question since. */
  readonly #expected = new Map<Domain, number>()
  /** Senders whose server takes one question a connection. */
  readonly #alone = new Set<Domain>()

  constructor(federation: Federation) {
    this.#federation = federation
  }

  /**
   * Works with a connection to the sender's server, which others may be using.
   *
   * @param pair what was claimed
   * @param source of the claimant, for what one network may cause
   * @param signal the deadline of the claim
   * @param admit asked before each connection that is opened; who joins others needs no admission
   * @throws OutgoingRefused; StreamClosed when it ends with the question open; what `work` throws
   */
  async use<T>(pair: DomainPair, source: string, signal: AbortSignal, admit: () => Promise<void>, work: (back: ConnectBack) => Promise<T>): Promise<T> {
    const others = this.#joinableOf(pair.sender)
    if (others !== undefined) {
      others.users += 1
      others.served += 1
      others.lingering?.()
      const back = await opened(others.back, signal)
      try {
        // Where the others did not get through, the reason may have been theirs; and what lingered may have been closed as idle.
        if (back?.over === false && back.leg.features.dialback?.errors === true) return await work(back)
      } catch (error) {
        if (!this.#harmed(error, pair.sender, signal)) throw error
      } finally {
        this.#leave(pair.sender, others)
      }
      signal.throwIfAborted()
    }
    for (let again = true; ; again = false) {
      await admit()
      const opening = this.#begin(pair, source, signal)
      let back: ConnectBack | undefined
      try {
        back = await opening.back
        if (back.leg.features.dialback?.errors !== true) this.#goesAlone(pair.sender)
        return await work(back)
      } catch (error) {
        // Others came along, and the reason may have been theirs: once more, alone.
        if (!again || back?.shared !== true || !this.#harmed(error, pair.sender, signal)) throw error
      } finally {
        this.#leave(pair.sender, opening)
      }
    }
  }

  /** A question about this sender needs no connection of its own. */
  joinable(sender: Domain): boolean {
    return this.#joinableOf(sender) !== undefined
  }

  /**
   * While an earlier claim of the same sender finds out whether a connection is needed, and opens it, the others wait. Whoever
   * waited is waited for: the connection stays until they have used it, or need none.
   *
   * @returns `before`: what to wait for, if anything; `over` says, any number of times, that the claim has what it needs
   */
  enter(sender: Domain): { readonly before: Promise<void> | undefined; readonly over: () => void } {
    const before = this.#entering.get(sender)
    let present = true
    if (before !== undefined) {
      this.#expected.set(sender, (this.#expected.get(sender) ?? 0) + 1)
      const over = () => {
        if (!present) return
        present = false
        const left = this.#expected.get(sender)! - 1
        if (left > 0) this.#expected.set(sender, left)
        else this.#expected.delete(sender)
        this.#closeUnused(sender, this.#open.get(sender))
      }
      return { before: this.#alone.has(sender) ? undefined : before, over }
    }
    let tell: () => void = () => {}
    this.#entering.set(sender, new Promise<void>((resolve) => (tell = resolve)))
    const over = () => {
      if (!present) return
      present = false
      this.#entering.delete(sender)
      tell()
    }
    return { before: undefined, over }
  }

  #joinableOf(sender: Domain): Opening | undefined {
    const opening = this.#open.get(sender)
    if (opening === undefined || this.#alone.has(sender)) return undefined
    const hosting = this.#federation.current()
    const age = this.#federation.ports.clock.monotonic() - opening.since
    return opening.hosting === hosting && age < hosting.times.verification ? opening : undefined
  }

  #begin({ sender, target }: DomainPair, source: string, signal: AbortSignal): Opening {
    const back = associate(this.#federation, { sender: target, target: sender }, signal, { source }).then((leg) => new ConnectBack(leg))
    const opening: Opening = { back, hosting: this.#federation.current(), since: this.#federation.ports.clock.monotonic(), users: 1, served: 1 }
    if (this.#alone.has(sender)) return opening
    const former = this.#open.get(sender)
    this.#open.set(sender, opening)
    // Nobody may use that one any more.
    if (former?.users === 0) this.#close(sender, former)
    return opening
  }

  /** A server that ends a connection over one question takes one each. */
  #harmed(error: unknown, sender: Domain, signal: AbortSignal): boolean {
    if (signal.aborted || !(error instanceof StreamClosed)) return false
    this.#goesAlone(sender)
    return true
  }

  #goesAlone(sender: Domain): void {
    if (this.#alone.size >= mostAlone) this.#alone.clear()
    this.#alone.add(sender)
  }

  #leave(sender: Domain, opening: Opening): void {
    opening.users -= 1
    this.#closeUnused(sender, opening)
  }

  #closeUnused(sender: Domain, opening: Opening | undefined): void {
    if (opening === undefined || opening.users > 0) return
    const found = this.#open.get(sender) === opening
    const further = found && !this.#alone.has(sender)
    if (further && this.#expected.has(sender)) return
    if (further && opening.served > 1) {
      opening.lingering?.()
      opening.lingering = this.#federation.ports.clock.after(lingers, () => this.#close(sender, opening))
      return
    }
    this.#close(sender, opening)
  }

  #close(sender: Domain, opening: Opening): void {
    if (this.#open.get(sender) === opening) this.#open.delete(sender)
    opening.lingering?.()
    void opening.back.then(
      (back) => back.close(this.#federation),
      // Why there is none was told to those who waited for it.
      () => {},
    )
  }
}

/** Undefined: there is none, or it was waited for long enough. */
async function opened(back: Promise<ConnectBack>, signal: AbortSignal): Promise<ConnectBack | undefined> {
  let found: ConnectBack | undefined
  const looked = back.then(
    (one) => void (found = one),
    // Why there is none is told to those who opened it.
    () => {},
  )
  await settledOrAborted(looked, signal)
  return found
}
