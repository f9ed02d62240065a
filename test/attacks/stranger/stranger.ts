// The stranger at play: makes the moves, lets its server answer as it is in the mood to, and tells the model of all that crosses.
import assert from "node:assert/strict"
import type { GatewayOptions } from "../../../src/gateway/contract.ts"
import type { Channel } from "../../../src/ports.ts"
import { auth, message, never, openHeader, starttls } from "../../scenarios/support.ts"
import { adopted, club, domains, home, honest, nameOf, type Pair } from "./facts.ts"
import { type Heard, Line } from "./line.ts"
import { Model, type Rules } from "./model.ts"
import type { Mood, Move, Play, Words, Written, WrittenPair } from "./moves.ts"
import { type Received, type StrangeScene, strangeScene } from "./scene.ts"

const sm = "xmlns='urn:xmpp:sm:3'"
const conditions = "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'"
const sasl = "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'"
const problem = `<error type='cancel'><item-not-found ${conditions}/></error>`

/** Of one message that a component of ours wrote. */
interface Fate {
  readonly from: string
  readonly to: string
  seen: number
  bounced: number
  /** It was seen where nobody counts, so it is known to have left. */
  left: boolean
}

/** How often what mattered really happened, over all plays: a property of streams on which nothing ever comes in shows nothing. */
export interface Tally {
  plays: number
  sent: number
  delivered: number
  granted: number
  left: number
  bounced: number
  resumed: number
  vouched: number
}
export const emptyTally = (): Tally => ({ plays: 0, sent: 0, delivered: 0, granted: 0, left: 0, bounced: 0, resumed: 0, vouched: 0 })

function changed({ require, hosted }: Rules, what: Extract<Move, { do: "reload" }>["what"]): Rules {
  if (what !== "drop" && what !== "adopt") return { require: what, hosted }
  const name = what === "drop" ? club : adopted
  return { require, hosted: new Set(hosted.has(name) ? [...hosted].filter((each) => each !== name) : [...hosted, name]) }
}

const writtenAs = (domain = ""): Written => ({ which: Math.max(0, domains.indexOf(domain)), spelling: 0 })

export class Stranger {
  readonly #model = new Model()
  readonly #lines: Line[] = []
  readonly #faults: unknown[] = []
  readonly #fates = new Map<string, Fate>()
  /** Domains of ours whose component was away at some time. */
  readonly #away = new Set<string>()
  readonly #sessions: string[] = []
  /** Keys that the gateway made for itself. */
  readonly #made: { readonly pair: Pair; readonly id: string; readonly key: string }[] = []
  /** Of stranger's headers and of the gateway's, for questions and replays. */
  readonly #ids: string[] = []
  readonly #keys = ["first", "second"]
  readonly #tally: Tally
  #mood: Mood
  #scene!: StrangeScene
  #count = 0
  /** Between the honest peer and us. */
  readonly #honest: { readonly in: string[]; readonly out: string[]; readonly heard: string[] } = { in: [], out: [], heard: [] }

  private constructor(mood: Mood, tally: Tally) {
    this.#mood = mood
    this.#tally = tally
  }

  /** One play from beginning to end; rejects with what was wrong. */
  static async play({ mood, moves, chunk }: Play, options: { readonly gateway?: GatewayOptions; readonly tally?: Tally } = {}): Promise<void> {
    const stranger = new Stranger(mood, options.tally ?? emptyTally())
    const hooks = { received: (stanza: Received) => stranger.#safely(() => stranger.#received(stanza)), accepted: (channel: Channel) => stranger.#accepted(channel) }
    const link = () => (chunk === 0 ? {} : { chunk })
    stranger.#scene = await strangeScene(hooks, { link, ...(options.gateway === undefined ? {} : { gateway: options.gateway }) })
    try {
      await stranger.#all(moves)
    } finally {
      await stranger.#scene.close()
    }
    assert.equal(stranger.#scene.scene.clock.pending, 0, "timers are left behind")
  }

  async #all(moves: readonly Move[]): Promise<void> {
    const { scene, gateway, sender, peer, events } = this.#scene
    this.#tally.plays += 1
    this.#talk()
    await scene.settle()
    for (const move of moves) {
      await this.#move(move)
      this.#check()
    }
    await this.#look()
    this.#talk()
    await scene.clock.advance(2000)
    await this.#look()
    this.#model.complete()
    // Whatever the gateway still waits for has its time.
    await scene.clock.advance(300_000)
    for (const line of this.#lines) line.cut()
    await scene.clock.advance(1_800_000)
    await this.#look()
    assert.deepEqual([sender.bounced, sender.lost], [[], []], "what the honest peer sent came back")
    assert.deepEqual(this.#honest.heard.sort(), this.#honest.in.sort(), "from the honest peer")
    assert.deepEqual([...peer.bodies].sort(), this.#honest.out.sort(), "to the honest peer")
    this.#accounts()
    const strange = (address: string) => address === this.#scene.stranger.address
    assert.deepEqual(gateway.incoming.filter(({ remote }) => strange(remote.address)).map(({ id }) => id), [], "streams are left")
    assert.deepEqual(gateway.outgoing.filter(({ pair }) => pair.target !== honest).map(({ pair, state, unsent }) => ({ ...pair, state, unsent })), [], "ways are left")
    const broken = events.flatMap((event) => (event.kind === "refused" && event.finding === "proof.internal" ? [event.sentence] : event.kind === "closed" && event.reason.includes("internal error") ? [event.reason] : []))
    assert.deepEqual(broken, [], "an error of our own")
  }

  /** Every message of ours left or came back. */
  #accounts(): void {
    for (const [id, { from, to, seen, bounced, left }] of this.#fates) {
      this.#tally.left += Math.min(1, seen)
      this.#tally.bounced += bounced
      assert.ok(bounced <= 1, `${id} to ${to} bounced ${bounced} times`)
      assert.ok(!(left && bounced > 0), `${id} to ${to} was seen to leave, and bounced`)
      // What was written to a connection that the stranger cut is lost with it where nobody counted; a component that is away is told nothing.
      const excused = this.#away.has(from) || this.#lines.some((line) => line.lost && !line.counting)
      assert.ok(excused || seen + bounced > 0, `${id} to ${to} is nowhere`)
    }
  }

  #safely(step: () => void): void {
    try {
      step()
    } catch (error) {
      this.#faults.push(error)
    }
  }

  #check(): void {
    if (this.#faults.length > 0) throw this.#faults[0]
  }

  /** When all that follows has happened, what was said is compared with what is so. */
  async #look(): Promise<void> {
    await this.#scene.scene.settle()
    await this.#scene.scene.settle()
    this.#check()
    this.#model.look()
  }

  /** Something between the honest peer and us, in both directions. */
  #talk(): void {
    for (const name of [home, club]) {
      if (!this.#scene.components.has(name)) continue
      const body = `h${this.#count++}`
      this.#honest.in.push(body)
      this.#scene.sender.send(name, [body])
      this.#write(name, honest)
    }
  }

  #write(from: string, to: string): void {
    const component = this.#scene.components.get(from)
    if (component === undefined) return
    const id = `c${this.#count++}`
    if (to === honest) this.#honest.out.push(id)
    else this.#fates.set(id, { from, to, seen: 0, bounced: 0, left: false })
    component.send(`<message id='${id}' from='u@${from}' to='v@${to}'><body>${id}</body></message>`)
  }

  async #move(move: Move): Promise<void> {
    const { scene } = this.#scene
    switch (move.do) {
      case "open":
        await this.#open(move)
        if (move.settled) await this.#look()
        return
      case "say": {
        const line = this.#line(move.line)
        if (line !== undefined) this.#say(line, move.words)
        if (move.settled) await this.#look()
        return
      }
      case "cut":
        await this.#look()
        this.#line(move.line)?.cut()
        return
      case "return":
        return await this.#return(move)
      case "write":
        for (let each = 0; each < move.times; each++) {
          if (move.from !== 1) this.#write(home, domains[move.to]!)
          if (move.from !== 0) this.#write(club, domains[move.to]!)
        }
        if (move.settled) await this.#look()
        return
      case "mood":
        this.#mood = move.mood
        return
      case "wait":
        await this.#look()
        await scene.clock.advance(move.ms)
        return await this.#look()
      case "reload":
        await this.#look()
        this.#model.changed(changed(this.#model.rules, move.what))
        await this.#scene.reload(this.#model.rules)
        for (const name of [home, club]) if (!this.#model.rules.hosted.has(name)) this.#away.add(name)
        return await this.#look()
      case "component": {
        const name = move.which === 0 ? home : club
        await this.#look()
        this.#away.add(name)
        if (this.#model.rules.hosted.has(name)) await this.#scene.toggle(name)
        return await this.#look()
      }
      case "honest":
        return this.#talk()
    }
  }

  #line(which: number): Line | undefined {
    const live = this.#lines.filter(({ over }) => !over)
    return live.length === 0 ? undefined : live[which % live.length]
  }

  #received({ id, body, from, to, error, by }: Received): void {
    assert.equal(to, by, "a component was given what is another's")
    if (from === honest && !error) {
      // Those of the honest peer have no id.
      assert.equal(id, "", `a stanza of the stranger's came in as ${honest}'s`)
      this.#honest.heard.push(body)
      return
    }
    const fate = this.#fates.get(id)
    if (error && fate !== undefined) {
      fate.bounced += 1
      return
    }
    this.#tally.delivered += 1
    this.#model.delivered(id, { from, to })
  }

  // Connections.

  #accepted(channel: Channel): void {
    const line = new Line(this.#lines.length, false, channel)
    this.#begin(line)
  }

  #begin(line: Line): void {
    this.#lines.push(line)
    this.#model.opened(line)
    line.listen((heard) => this.#safely(() => this.#hear(line, heard)))
  }

  async #open({ shown, pair, by, bidi, far }: Extract<Move, { do: "open" }>): Promise<Line> {
    const { scene, stranger } = this.#scene
    const line = new Line(this.#lines.length, true, await this.#scene.dial(by === "direct-tls" ? by : "starttls"))
    this.#begin(line)
    line.wish = shown
    const name = nameOf(pair.to?.which ?? 0, 0).written
    line.serverName = name
    if (far === "connected") return line
    if (by === "direct-tls") await scene.until(line.secure(stranger.tls, shown, name, never))
    else {
      this.#say(line, { say: "header", pair, without: "nothing" })
      if (by === "starttls") this.#say(line, { say: "starttls" })
      await scene.settle()
      await scene.settle()
    }
    if (far === "secured") return line
    if (by !== "clear") this.#say(line, { say: "header", pair, without: "nothing" })
    await scene.settle()
    if (bidi) this.#say(line, { say: "bidi" })
    if (far === "introduced") return line
    if (line.offered) {
      this.#say(line, { say: "auth", authzid: undefined })
      await scene.settle()
      this.#say(line, { say: "header", pair, without: "nothing" })
    } else this.#say(line, { say: "claim", pair, key: 0 })
    if (far === "in") return line
    await this.#look()
    this.#say(line, { say: "enable", resume: true })
    return line
  }

  async #return({ session, cut, other, shown, pair, h }: Extract<Move, { do: "return" }>): Promise<void> {
    const id = this.#pick(this.#sessions, session)
    const former = this.#lines.findLast((line) => line.session === id)
    if (id === undefined || former === undefined) return
    await this.#look()
    if (cut) former.cut()
    await this.#look()
    const { from, to } = former.headed ?? {}
    const same = { from: writtenAs(from), to: writtenAs(to) }
    const line = await this.#open({ do: "open", shown: other === "certificate" ? shown : former.shown, pair: other === "pair" ? pair : same, by: "starttls", bidi: former.bidi, far: "in", settled: true })
    await this.#look()
    line.say(this.#resume(line, id, h))
    await this.#look()
  }

  // What the stranger says.

  #say(line: Line, words: Words): void {
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
        if (!line.dialled) return this.#header(line, from, to)
        line.began(left === "from" ? undefined : pair?.from, left === "to" ? undefined : pair?.to)
        return openHeader(left === "from" ? undefined : from, left === "to" ? undefined : to)
      }
      case "starttls":
        return starttls
      case "bidi":
        if (line.dialled && line.secured && !line.late) line.bidi = true
        return "<bidi xmlns='urn:xmpp:bidi'/>"
      case "features":
        return this.#features()
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
        const key = this.#keys[words.key % this.#keys.length]!
        line.late = true
        if (pair !== undefined) line.document?.claims.push(pair)
        return `<db:result from='${from}' to='${to}'>${key}</db:result>`
      }
      case "ask": {
        const made = this.#pick(this.#made, words.key) ?? { pair: { from: home, to: honest }, id: "none", key: "none" }
        const pair = words.other === "pair" ? (this.#meant(line, words.pair).pair ?? made.pair) : { from: made.pair.to, to: made.pair.from }
        const id = words.other === "id" ? (this.#pick(this.#ids, words.key) ?? "none") : made.id
        const key = words.other === "key" ? this.#pick(this.#keys, words.key)! : made.key
        const { from, to } = pair
        this.#model.asks({ from: to, to: from }, id, key)
        return `<db:verify from='${from}' to='${to}' id='${id}'>${key}</db:verify>`
      }
      case "answer":
        return this.#answer(line, words)
      case "stanza":
        return this.#stanza(line, words)
      case "enable":
        return `<enable ${sm}${words.resume ? " resume='true'" : ""}/>`
      case "resume":
        return this.#resume(line, this.#pick(this.#sessions, words.session) ?? "none", words.h)
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

  #pick<T>(among: readonly T[], which: number): T | undefined {
    return among.length === 0 ? undefined : among.at(which < 0 ? Math.max(which, -among.length) : which % among.length)
  }

  #answer(line: Line, { to: element, pair: written, type, id: which, key }: Extract<Words, { say: "answer" }>): string {
    // The pair is the one that was asked about, so the addresses change places in the result and not in the question about its key.
    const { from, to, pair } = this.#meant(line, written)
    const id = this.#pick(this.#ids, which) ?? "none"
    const inside = type === "error" ? problem : ""
    if (element === "result") {
      if (type === "valid" && pair !== undefined) line.welcome({ from: pair.to, to: pair.from })
      return `<db:result from='${from}' to='${to}' type='${type}'>${inside}</db:result>`
    }
    if (type === "valid" && pair !== undefined) this.#model.vouched(line, pair, id)
    return `<db:verify from='${from}' to='${to}' id='${id}' type='${type}'>${type === "valid" ? this.#pick(this.#keys, key) : inside}</db:verify>`
  }

  #stanza(line: Line, { pair: written, kind, form }: Extract<Words, { say: "stanza" }>): string {
    const { from, to, pair } = this.#meant(line, written)
    const id = `s${this.#count++}`
    this.#tally.sent += 1
    const [a, b] = [`u@${from}`, `v@${to}`]
    const more = kind === "iq" ? " type='set'" : ""
    const content = kind === "message" ? `<body>${id}</body>` : kind === "iq" ? "<q xmlns='urn:example:q'/>" : ""
    if (form === 1) {
      this.#wrote(id, line, pair)
      return `<${kind} id='${id}'${more} from='${from}/b@${honest}' to='${b}/c@${honest}'>${content}</${kind}>`
    }
    if (form === 2) {
      this.#wrote(id, line, pair)
      return `<p:${kind} xmlns:p='jabber:server' id='${id}'${more} from='${a}/r' to='${b}'/>`
    }
    if (form === 3) {
      this.#wrote(id, line, pair)
      return `<${kind} to="${b}" from="${a}" id="${id}"${more}>${content}</${kind}>`
    }
    if (form === 4) {
      this.#wrote(id, line, pair)
      return `<${kind} id='${id}'${more} from='${from}' to='${to}'/>`
    }
    if (form === 5) {
      this.#wrote(id, line, undefined)
      return `<${kind} id='${id}'${more} to='${b}'>${content}</${kind}>`
    }
    if (form === 6) {
      this.#wrote(id, line, pair)
      return `<${kind} id='${id}'${more} from='${a}' to='${b}'><${kind} xmlns='jabber:server' id='inner' from='u@${honest}' to='v@${home}'/></${kind}>`
    }
    this.#wrote(id, line, form === 7 ? undefined : pair)
    return `<${kind} id='${id}'${more} from='${form === 7 ? `u@v@${from}` : a}' to='${b}'>${content}</${kind}>`
  }

  #resume(line: Line, session: string, h: number): string {
    line.wanted = session
    return `<resume ${sm} previd='${session}' h='${h}'/>`
  }

  #wrote(id: string, line: Line, pair: Pair | undefined): void {
    // Where its component is away a stanza bounces, and whom to is another matter.
    this.#model.wrote(id, line, pair, pair !== undefined && this.#scene.components.has(pair.to))
  }

  #header(line: Line, from: string, to: string): string {
    line.id = `b${line.number}-${this.#ids.length}`
    this.#ids.push(line.id)
    return `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='${from}' to='${to}' id='${line.id}' version='1.0'>`
  }

  #features(line?: Line): string {
    const { starttls, external, bidi, errors, management } = this.#mood
    const inside = [
      line?.secured === false && starttls ? "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" : "",
      external && line?.answered === 0 ? `<mechanisms ${sasl}><mechanism>EXTERNAL</mechanism></mechanisms>` : "",
      bidi ? "<bidi xmlns='urn:xmpp:features:bidi'/>" : "",
      `<dialback xmlns='urn:xmpp:features:dialback'>${errors ? "<errors/>" : ""}</dialback>`,
      management && (line?.answered ?? 0) > 0 ? `<sm ${sm}/>` : "",
    ]
    return `<stream:features>${inside.join("")}</stream:features>`
  }

  // What the stranger hears.

  #hear(line: Line, heard: Heard): void {
    const { name } = heard
    if (name === "error" || name === "end") {
      line.ended = true
      if (name === "end") {
        line.say("</stream:stream>")
        line.channel.end()
      }
      return
    }
    if (name === "stanza") return this.#left(line, heard)
    if (name === "db:result") return this.#result(line, heard)
    if (name === "db:verify") return this.#verify(line, heard)
    if (["enable", "enabled", "resume", "resumed", "r", "a"].includes(name)) return this.#management(line, heard)
    if (line.dialled) this.#accepting(line, heard)
    else this.#connecting(line, heard)
  }

  /** The gateway answers on a connection of the stranger's. */
  #accepting(line: Line, heard: Heard): void {
    const { stranger } = this.#scene
    switch (heard.name) {
      case "header": {
        const id = heard.attribute("id") ?? ""
        this.#ids.push(id)
        const pair = line.answer(id)
        // EXT-06: whoever was authenticated, to whom the new header is addressed.
        if (pair !== undefined) this.#granted(line, pair)
        return
      }
      case "features":
        line.offered = heard.text.includes("EXTERNAL")
        return
      case "proceed":
        void line.secure(stranger.tls, line.wish, line.serverName, never)
        return
      case "success":
        line.authenticated = line.current?.from
        return
    }
  }

  /** The gateway speaks on a connection of its own. */
  #connecting(line: Line, heard: Heard): void {
    switch (heard.name) {
      case "header": {
        const [from, to] = [heard.attribute("from") ?? "", heard.attribute("to") ?? ""]
        line.began(from, to)
        this.#model.showed(line, to)
        line.say(this.#header(line, to, from) + this.#features(line))
        line.answered += line.secured ? 1 : 0
        return
      }
      case "starttls":
        line.say("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        void line.secure(this.#scene.stranger.tls, this.#mood.shown, "", never)
        return
      case "bidi":
        line.bidi = true
        return
      case "auth": {
        line.external("asked")
        if (this.#mood.auth === "silence") return
        if (this.#mood.auth === "success") line.external("granted")
        line.say(this.#mood.auth === "success" ? `<success ${sasl}/>` : `<failure ${sasl}><not-authorized/></failure>`)
        return
      }
    }
  }

  #granted(line: Line, pair: Pair): void {
    this.#tally.granted += 1
    if (line.current !== undefined) this.#model.granted(line, line.current, pair)
  }

  #result(line: Line, { text, attribute }: Heard): void {
    const [from, to, type] = [attribute("from") ?? "", attribute("to") ?? "", attribute("type")]
    if (type !== undefined) {
      if (type === "valid") this.#granted(line, { from: to, to: from })
      return
    }
    const key = />([^<]*)</.exec(text)?.[1] ?? ""
    this.#keys.push(key)
    const id = line.dialled ? (line.current?.id ?? "") : line.id
    this.#made.push({ pair: { from, to }, id, key })
    this.#model.keyMade({ from, to }, id, key)
    this.#model.asked(line, { from, to })
    const result = line.told.size === 0 ? this.#mood.result : this.#mood.further
    if (result === "silence") return
    if (result === "another") return line.say(`<db:result from='${honest}' to='${from}' type='valid'/><db:result from='${to}' to='${from === home ? club : home}' type='valid'/>`)
    if (result === "valid") line.welcome({ from, to })
    line.say(`<db:result from='${to}' to='${from}' type='${result}'>${result === "error" ? problem : ""}</db:result>`)
  }

  #verify(line: Line, { attribute }: Heard): void {
    const [from, to, id, type] = [attribute("from") ?? "", attribute("to") ?? "", attribute("id") ?? "", attribute("type")]
    if (type !== undefined) {
      if (type === "valid") {
        this.#tally.vouched += 1
        this.#model.vouchedFor({ from, to }, id)
      }
      return
    }
    const { verify } = this.#mood
    if (verify === "silence") return
    const other = from === home ? club : home
    if (verify === "valid") this.#model.vouched(line, { from: to, to: from }, id)
    if (verify === "another pair") this.#model.vouched(line, { from: to, to: other }, id)
    const answer = (by: string, whom: string, which: string, type: string): string => `<db:verify from='${by}' to='${whom}' id='${which}' type='${type}'>${type === "error" ? problem : ""}</db:verify>`
    if (verify === "another id") return line.say(answer(to, from, `${id}x`, "valid"))
    if (verify === "another pair") return line.say(answer(to, other, id, "valid") + answer(honest, from, id, "valid"))
    line.say(answer(to, from, id, verify))
  }

  #management(line: Line, { name, attribute }: Heard): void {
    const { counts, resumes } = this.#mood
    switch (name) {
      case "enable":
        line.counting = true
        line.counted = 0
        line.session = `x${line.number}`
        if (resumes !== "silence") line.say(`<enabled ${sm} id='${line.session}' resume='true'/>`)
        return
      case "enabled": {
        const id = attribute("id")
        line.counting = true
        if (id === undefined) return
        line.session = id
        this.#sessions.push(id)
        return
      }
      case "resume":
        line.counting = true
        if (resumes === "resumed") line.session = attribute("previd") ?? ""
        if (resumes === "resumed") line.say(`<resumed ${sm} previd='${attribute("previd")}' h='${attribute("h")}'/>`)
        else if (resumes === "failed") line.say(`<failed ${sm}><item-not-found ${conditions}/></failed>`)
        return
      case "resumed":
        this.#tally.resumed += 1
        line.counting = true
        this.#model.resumed(line, attribute("previd") ?? "")
        this.#model.counted(line, Number(attribute("h")))
        return
      case "r":
        if (counts !== "silence") line.say(`<a ${sm} h='${line.counted + (counts === "right" ? 0 : 7)}'/>`)
        return
      case "a":
        this.#model.counted(line, Number(attribute("h")))
        return
    }
  }

  #left(line: Line, { attribute }: Heard): void {
    line.counted += 1
    const domain = (jid: string | undefined): string => (jid ?? "").split("/")[0]!.split("@").at(-1)!
    const pair = { from: domain(attribute("from")), to: domain(attribute("to")) }
    this.#model.leaving(line, line.dialled ? line.current : line.document, pair)
    const id = attribute("id") ?? ""
    if (attribute("type") === "error") this.#model.returned(id)
    const fate = this.#fates.get(id)
    if (fate === undefined) return
    assert.equal(fate.to, pair.to)
    fate.seen += 1
    fate.left ||= !line.counting
  }
}
