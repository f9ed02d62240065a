// How the stranger says what a move wants said: the octets, and what they mean to the model.
import { auth, message, openHeader, starttls } from "../../scenarios/support.ts"
import { home, honest, nameOf, type Pair } from "./facts.ts"
import type { Line } from "./line.ts"
import type { Words, WrittenPair } from "./moves.ts"
import { pick, type Wits } from "./wits.ts"

export const sm = "xmlns='urn:xmpp:sm:3'"
export const conditions = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
export const sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
export const problem = `<error type='cancel'><item-not-found ${conditions}/></error>`

export class Speech {
  readonly #wits: Wits

  constructor(wits: Wits) {
    this.#wits = wits
  }

  say(line: Line, words: Words): void {
    const text = this.#words(line, words)
    if (text !== undefined) line.say(text)
  }

  /** The pair as it is written, and as it is meant: from the stranger to us. */
  #meant(line: Line, { from, to }: WrittenPair): { readonly from: string; readonly to: string; readonly pair: Pair | undefined } {
    const { from: theirs = "", to: ours = "" } = line.headed ?? {}
    const a = from === undefined ? { written: theirs, meant: theirs } : nameOf(from.which, from.spelling)
    const b = to === undefined ? { written: ours, meant: ours } : nameOf(to.which, to.spelling)
    return { from: a.written, to: b.written, pair: a.meant === undefined || b.meant === undefined ? undefined : { from: a.meant, to: b.meant } }
  }

  #words(line: Line, words: Words): string | undefined {
    switch (words.say) {
      case "header": {
        const { from, to, pair } = this.#meant(line, words.pair)
        const left = words.without
        if (!line.dialled) return this.header(line, from, to)
        line.began(left === "from" ? undefined : pair?.from, left === "to" ? undefined : pair?.to)
        return openHeader(left === "from" ? undefined : from, left === "to" ? undefined : to)
      }
      case "starttls":
        return starttls
      case "bidi":
        if (line.dialled && line.secured && !line.late) line.bidi = true
        return "<bidi xmlns='urn:xmpp:bidi'/>"
      case "features":
        return this.features()
      case "success":
        if (!line.dialled) line.external("granted")
        return `<success ${sasl}/>`
      case "request":
        return `<r ${sm}/>`
      case "error":
        return "<stream:error><undefined-condition xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
      case "end":
        return "</stream:stream>"
      case "auth":
        line.late = true
        return auth(words.authzid === undefined ? "=" : Buffer.from(nameOf(words.authzid.which, words.authzid.spelling).written).toString("base64"))
      case "claim": {
        const { from, to, pair } = this.#meant(line, words.pair)
        const key = this.#wits.keys[words.key % this.#wits.keys.length]!
        line.late = true
        if (pair !== undefined) line.document?.claims.push(pair)
        return `<db:result from='${from}' to='${to}'>${key}</db:result>`
      }
      case "ask": {
        const made = pick(this.#wits.made, words.key) ?? { pair: { from: home, to: honest }, id: "none", key: "none" }
        const pair = words.other === "pair" ? (this.#meant(line, words.pair).pair ?? made.pair) : { from: made.pair.to, to: made.pair.from }
        const id = words.other === "id" ? (pick(this.#wits.ids, words.key) ?? "none") : made.id
        const key = words.other === "key" ? pick(this.#wits.keys, words.key)! : made.key
        const { from, to } = pair
        this.#wits.model.asks({ from: to, to: from }, id, key)
        return `<db:verify from='${from}' to='${to}' id='${id}'>${key}</db:verify>`
      }
      case "answer":
        return this.#answer(line, words)
      case "stanza":
        return this.#stanza(line, words)
      case "enable":
        return `<enable ${sm}${words.resume ? " resume='true'" : ""}/>`
      case "resume":
        return this.resume(line, pick(this.#wits.sessions, words.session) ?? "none", words.h)
      case "acknowledge":
        return `<a ${sm} h='${words.h}'/>`
      case "half": {
        const { from, to } = this.#meant(line, words.pair)
        const text = message(`u@${from}`, `v@${to}`, "half").toString()
        line.say(text.slice(0, text.length - 4))
        line.cut()
        return undefined
      }
    }
  }

  #answer(line: Line, { to: element, pair: written, type, id: which, key }: Extract<Words, { say: "answer" }>): string {
    // The pair is the one that was asked about, so the addresses change places in the result and not in the question about its key.
    const { from, to, pair } = this.#meant(line, written)
    const id = pick(this.#wits.ids, which) ?? "none"
    const inside = type === "error" ? problem : ""
    if (element === "result") {
      if (type === "valid" && pair !== undefined) line.welcome({ from: pair.to, to: pair.from })
      return `<db:result from='${from}' to='${to}' type='${type}'>${inside}</db:result>`
    }
    if (type === "valid" && pair !== undefined) this.#wits.model.vouched(line, pair, id)
    return `<db:verify from='${from}' to='${to}' id='${id}' type='${type}'>${type === "valid" ? pick(this.#wits.keys, key) : inside}</db:verify>`
  }
  #stanza(line: Line, { pair: written, kind, form }: Extract<Words, { say: "stanza" }>): string {
    const { from, to, pair } = this.#meant(line, written)
    const id = `s${this.#wits.next()}`
    this.#wits.tally.sent += 1
    const meant = form === 5 || form === 7 ? undefined : pair
    // Where its component is away a stanza bounces, and whom to is another matter.
    this.#wits.model.wrote(id, line, meant, meant !== undefined && this.#wits.present(meant.to))
    const [a, b] = [`u@${from}`, `v@${to}`]
    const start = `<${kind} id='${id}'${kind === "iq" ? " type='set'" : ""}`
    const content = kind === "message" ? `<body>${id}</body>` : kind === "iq" ? "<q xmlns='urn:example:q'/>" : ""
    switch (form) {
      case 1:
        return `${start} from='${from}/b@${honest}' to='${b}/c@${honest}'>${content}</${kind}>`
      case 2:
        return `${start.replace("<", "<p:")} xmlns:p='jabber:server' from='${a}/r' to='${b}'/>`
      case 3:
        return `${start} to="${b}" from="${a}">${content}</${kind}>`
      case 4:
        return `${start} from='${from}' to='${to}'/>`
      case 5:
        return `${start} to='${b}'>${content}</${kind}>`
      case 6:
        return `${start} from='${a}' to='${b}'><${kind} xmlns='jabber:server' id='inner' from='u@${honest}' to='v@${home}'/></${kind}>`
      case 7:
        return `${start} from='u@v@${from}' to='${b}'>${content}</${kind}>`
      default:
        return `${start} from='${a}' to='${b}'>${content}</${kind}>`
    }
  }

  resume(line: Line, session: string, h: number): string {
    line.wanted = session
    return `<resume ${sm} previd='${session}' h='${h}'/>`
  }
  header(line: Line, from: string, to: string): string {
    line.id = `b${line.number}-${this.#wits.ids.length}`
    this.#wits.ids.push(line.id)
    return `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='${from}' to='${to}' id='${line.id}' version='1.0'>`
  }

  features(line?: Line): string {
    const { starttls, external, bidi, errors, management } = this.#wits.mood
    const inside = [
      line?.secured === false && starttls ? "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" : "",
      external && line?.answered === 0 ? `<mechanisms ${sasl}><mechanism>EXTERNAL</mechanism></mechanisms>` : "",
      bidi ? "<bidi xmlns='urn:xmpp:features:bidi'/>" : "",
      `<dialback xmlns='urn:xmpp:features:dialback'>${errors ? "<errors/>" : ""}</dialback>`,
      management && (line?.answered ?? 0) > 0 ? `<sm ${sm}/>` : "",
    ]
    return `<stream:features>${inside.join("")}</stream:features>`
  }
}
