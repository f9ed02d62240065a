// Which pairs of domains may be carried on a stream, and nothing else about XMPP: those that the certificate shown on this very stream
// proves, and those whose key their own server vouched for over a connection that the gateway opened to it (RFC 7712 4.3, 4.4; XEP-0288;
// security.md 1-3, 9, 10, 12). It knows what crossed the connections and what is so (facts.ts); it knows nothing of the gateway.
import assert from "node:assert/strict"
import { bears, keyOf, ledThere, ours, type Pair, proves } from "./facts.ts"
import type { Document, Line } from "./line.ts"

/** What the operator has decided. */
export interface Rules {
  readonly require: "verified" | "encrypted" | "authenticated"
  readonly hosted: ReadonlySet<string>
}

interface Sent {
  readonly line: Line
  readonly document: Document | undefined
  /** Undefined: an address is nobody's. */
  readonly pair: Pair | undefined
  readonly rules: Rules
  /** The gateway had said before that the pair may come in here. */
  readonly welcome: boolean
  /** There was no component to take it. */
  readonly absent: boolean
  delivered: number
  returned: boolean
}

/** An answer names the pair and the stream; its key is in the question alone. */
const questionOf = ({ from, to }: Pair, id: string | undefined): string => JSON.stringify([from, to, id])

export class Model {
  rules: Rules = { require: "encrypted", hosted: ours }
  /** What a domain's own server answered, where the gateway had gone to ask it; and whether under TLS, at least once. */
  readonly #vouched = new Map<string, { readonly secured: boolean }>()
  /** Keys that the gateway made, as the stranger was shown them. */
  readonly #keys = new Map<string, string>()
  readonly #questions = new Map<string, Set<string>>()
  readonly sent = new Map<string, Sent>()
  /** What is looked at when everything had time to be read. */
  readonly #open: (() => void)[] = []
  /** By domain: certificates that its own server showed. */
  readonly #held = new Map<string, Set<string>>()
  readonly #lines: Line[] = []

  opened(line: Line): void {
    this.#lines.push(line)
  }

  // What the stranger does.

  /** @param present somebody is there to take it */
  wrote(id: string, line: Line, pair: Pair | undefined, present: boolean): void {
    const { document } = line
    const welcome = present && pair !== undefined && !line.over && !line.ended && document?.granted.has(keyOf(pair)) === true
    this.sent.set(id, { line, document, pair, rules: this.rules, welcome, absent: !present, delivered: 0, returned: false })
  }

  vouched(line: Line, pair: Pair, id: string): void {
    const from = line.documents[0]?.to
    // Only its own server speaks for a domain, and only where it was asked: on a connection of the gateway's.
    if (line.dialled || pair.from !== from || !ledThere.has(from)) return
    const question = questionOf(pair, id)
    this.#vouched.set(question, { secured: line.secured || this.#vouched.get(question)?.secured === true })
  }

  /** The server of a domain shows a certificate to the gateway, which came for that domain. */
  showed(line: Line, domain: string): void {
    if (line.dialled || !line.secured || !ledThere.has(domain)) return
    const held = this.#held.get(domain) ?? new Set()
    this.#held.set(domain, held.add(line.shown))
  }

  asks(pair: Pair, id: string, key: string): void {
    const question = questionOf(pair, id)
    this.#questions.set(question, (this.#questions.get(question) ?? new Set()).add(key))
  }

  // What the gateway does.

  /** `<success/>` or `valid`: the peer may send for the pair. */
  granted(line: Line, document: Document, pair: Pair): void {
    document.granted.set(keyOf(pair), pair)
    document.opened = true
    this.#open.push(() => assert.ok(this.#proven(line, document, pair, this.rules), `${keyOf(pair)} was granted on line ${line.number}, which nothing proves`))
  }

  /** A stanza of ours on this line. */
  leaving(line: Line, document: Document | undefined, pair: Pair): void {
    this.#open.push(() => assert.ok(this.mayLeave(line, document, pair), `a stanza of ${keyOf(pair)} left on line ${line.number}, where nothing proves that`))
  }

  keyMade(pair: Pair, id: string, key: string): void {
    this.#keys.set(questionOf(pair, id), key)
  }

  /** The gateway says that a key is its own. */
  vouchedFor(pair: Pair, id: string): void {
    const question = questionOf(pair, id)
    assert.ok(this.#questions.has(question) && this.#keys.has(question), `the gateway vouched for a key that it did not make: ${keyOf(pair)} ${id}`)
    assert.ok(this.#questions.get(question)!.has(this.#keys.get(question)!), `the gateway took another key for its own: ${keyOf(pair)} ${id}`)
  }

  delivered(id: string, pair: Pair): void {
    const sent = this.sent.get(id)
    assert.ok(sent !== undefined, `nobody sent ${id}`)
    assert.deepEqual(sent.pair, pair, `${id} was delivered as another's`)
    sent.delivered += 1
    assert.equal(sent.delivered, 1, `${id} was delivered twice`)
    assert.ok(!sent.returned, `${id} came in, and bounced`)
    this.#open.push(() => assert.ok(this.mayEnter(sent.line, sent.document, pair, sent.rules), `${id} came in for ${keyOf(pair)}, which nothing proves on line ${sent.line.number}`))
  }

  /** An error for a stanza of the stranger's. */
  returned(id: string): void {
    const sent = this.sent.get(id)
    assert.ok(sent !== undefined, `an error for ${id}, which nobody sent`)
    sent.returned = true
    assert.equal(sent.delivered, 0, `${id} came in, and bounced`)
  }

  /** security.md 12: a session belongs to the domains and the certificate that it was opened with. */
  #inherits(line: Line, session: string): boolean {
    const named = ({ documents }: Line): string => JSON.stringify([documents.at(-1)?.from, documents.at(-1)?.to])
    return this.#lines.some((other) => other !== line && other.session === session && other.shown === line.shown && named(other) === named(line))
  }

  resumed(line: Line, session: string): void {
    assert.ok(session === line.wanted && this.#inherits(line, session), `line ${line.number} went on with another's session`)
    line.session = session
  }

  /** What the gateway says that it took, on a line where it counts; also where it was to go on with a session, and could not. */
  counted(line: Line, h: number): void {
    this.#open.push(() => {
      const sessions = new Set([line.session, ...(line.wanted !== undefined && this.#inherits(line, line.wanted) ? [line.wanted] : [])])
      const took = [...this.sent.values()].filter((sent) => (sent.delivered > 0 || sent.absent) && sessions.has(sent.line.session)).length
      assert.ok(h <= took, `${h} stanzas are acknowledged on line ${line.number}, of which ${took} can have been taken`)
    })
  }

  /** To be called when everything had time to be read. */
  look(): void {
    for (const claim of this.#open.splice(0)) claim()
  }

  /** To be called in the end: what was welcome on a stream that lives has arrived. */
  complete(): void {
    for (const [id, { line, welcome, delivered }] of this.sent) {
      if (welcome && !line.over && !line.ended) assert.equal(delivered, 1, `${id} was welcome on line ${line.number} and got lost`)
    }
  }

  /** A reload: what does not hold any more is over, and does not come back by itself (security.md 10). */
  changed(rules: Rules): void {
    this.rules = rules
    for (const line of this.#lines) {
      for (const document of line.documents) {
        for (const [key, pair] of document.granted) {
          if (this.#proven(line, document, pair, rules)) continue
          document.granted.delete(key)
          for (const claim of [...document.claims]) if (keyOf(claim) === key) document.claims.splice(document.claims.indexOf(claim), 1)
        }
      }
      for (const [key, pair] of line.told) if (!this.#ours(pair) || !this.#reached(line, pair.to)) line.told.delete(key)
    }
  }

  /** A `db:result` of the gateway's on this line: it asks nobody to welcome it but who may be there. */
  asked(line: Line, pair: Pair): void {
    const granted = [...(line.current?.granted.values() ?? [])].some(({ from }) => from === pair.to)
    const plausible = line.dialled ? line.bidi && granted : line.documents[0]?.to === pair.to || proves(line.shown, pair.to)
    assert.ok(this.#ours(pair) && ledThere.has(pair.to) && plausible, `the gateway asked for ${keyOf(pair)} on line ${line.number}`)
  }

  // The rules.

  #ours({ from, to }: Pair): boolean {
    return this.rules.hosted.has(from) && !this.rules.hosted.has(to)
  }

  #proven(line: Line, document: Document | undefined, pair: Pair, { require, hosted }: Rules): boolean {
    if (!hosted.has(pair.to) || hosted.has(pair.from)) return false
    if (line.secured && proves(line.shown, pair.from)) return true
    if (require === "authenticated") return false
    const id = line.dialled ? document?.id : line.id
    const claims = (line.dialled ? document?.claims : line.documents.flatMap((each) => each.claims)) ?? []
    const claimed = claims.some((claim) => keyOf(claim) === keyOf(pair))
    const own = line.secured && this.#held.get(pair.from)?.has(line.shown) === true && bears(line.shown, pair.from)
    const vouched = this.#vouched.get(questionOf(pair, id))
    // A verified key reaches no more than both connections do.
    const key = vouched !== undefined && (require === "verified" || (line.secured && vouched.secured))
    return (claimed && (own || key)) || this.#answers(line, pair, claimed)
  }

  /** On a stream that the gateway opened to this domain: for the domain of ours that asked (BIDI-7), and for others that it claims to (BIDI-5). */
  #answers(line: Line, pair: Pair, claimed: boolean): boolean {
    if (line.dialled || !line.bidi || line.documents[0]?.to !== pair.from) return false
    return [...line.told.values()].some(({ from, to }) => to === pair.from && (claimed || from === pair.to))
  }

  mayEnter(line: Line, document: Document | undefined, pair: Pair, rules: Rules): boolean {
    if (!this.#proven(line, document, pair, rules)) return false
    // Who cuts a line does not read on it what was granted a moment before.
    if (line.lost) return true
    // A stanza is never the first proof (CORE-21). What another pair let in by its certificate stays when that one goes.
    return line.dialled ? document?.opened === true : line.bidi && line.opened
  }

  /** A domain of the stranger's, on a stream that the gateway opened: by the certificate shown, or because the way led there. */
  #reached(line: Line, target: string): boolean {
    if (line.secured && proves(line.shown, target)) return true
    const { require } = this.rules
    return line.documents[0]?.to === target && require !== "authenticated" && (line.secured || require === "verified")
  }

  mayLeave(line: Line, document: Document | undefined, pair: Pair): boolean {
    if (!this.#ours(pair) || !ledThere.has(pair.to)) return false
    if (!line.dialled) return line.told.has(keyOf(pair)) && this.#reached(line, pair.to)
    if (!line.bidi || (!proves(line.shown, pair.to) && this.rules.require === "authenticated")) return false
    return [...(document?.granted.values() ?? [])].some(({ from, to }) => from === pair.to && (to === pair.from || line.told.has(keyOf(pair))))
  }
}
