// The stranger at play: makes the moves, lets its server answer as it is in the mood to, and tells the model of all that crosses.
import assert from "node:assert/strict"
import type { GatewayOptions } from "../../../src/gateway/contract.ts"
import type { Channel } from "../../../src/ports.ts"
import { never } from "../../scenarios/support.ts"
import { Ears } from "./ears.ts"
import { adopted, club, domains, home, honest, nameOf } from "./facts.ts"
import { Line } from "./line.ts"
import type { Rules } from "./model.ts"
import type { Mood, Move, Play, Written } from "./moves.ts"
import { type Received, type StrangeScene, strangeScene } from "./scene.ts"
import { Speech } from "./speech.ts"
import { emptyTally, pick, type Tally, Wits } from "./wits.ts"

function changed({ require, hosted }: Rules, what: Extract<Move, { do: "reload" }>["what"]): Rules {
  if (what !== "drop" && what !== "adopt") return { require: what, hosted }
  const name = what === "drop" ? club : adopted
  return { require, hosted: new Set(hosted.has(name) ? [...hosted].filter((each) => each !== name) : [...hosted, name]) }
}

const writtenAs = (domain = ""): Written => ({ which: Math.max(0, domains.indexOf(domain)), spelling: 0 })

export class Stranger {
  readonly #wits: Wits
  readonly #speech: Speech
  readonly #lines: Line[] = []
  readonly #faults: unknown[] = []
  /** Domains of ours whose component was away at some time. */
  readonly #away = new Set<string>()
  #ears!: Ears
  #scene!: StrangeScene
  /** Between the honest peer and us. */
  readonly #honest: { readonly in: string[]; readonly out: string[]; readonly heard: string[] } = { in: [], out: [], heard: [] }

  private constructor(mood: Mood, tally: Tally) {
    this.#wits = new Wits(mood, tally)
    this.#speech = new Speech(this.#wits)
  }

  /** One play from beginning to end; rejects with what was wrong. */
  static async play({ mood, moves, chunk }: Play, options: { readonly gateway?: GatewayOptions; readonly tally?: Tally } = {}): Promise<void> {
    const stranger = new Stranger(mood, options.tally ?? emptyTally())
    const hooks = { received: (stanza: Received) => stranger.#safely(() => stranger.#received(stanza)), accepted: (channel: Channel) => stranger.#accepted(channel) }
    const link = () => (chunk === 0 ? {} : { chunk })
    stranger.#scene = await strangeScene(hooks, { link, ...(options.gateway === undefined ? {} : { gateway: options.gateway }) })
    stranger.#ears = new Ears(stranger.#wits, stranger.#speech, stranger.#scene.stranger.tls)
    stranger.#wits.present = (domain) => stranger.#scene.components.has(domain)
    try {
      await stranger.#all(moves)
    } finally {
      await stranger.#scene.close()
    }
    assert.equal(stranger.#scene.scene.clock.pending, 0, "timers are left behind")
  }

  async #all(moves: readonly Move[]): Promise<void> {
    const { scene, gateway, sender, peer, events } = this.#scene
    this.#wits.tally.plays += 1
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
    this.#wits.model.complete()
    // Whatever the gateway still waits for has its time.
    await scene.clock.advance(300_000)
    for (const line of this.#lines) line.cut()
    await scene.clock.advance(1_800_000)
    await this.#look()
    assert.deepEqual([sender.bounced, sender.lost], [[], []], "what the honest peer sent came back")
    assert.deepEqual(this.#honest.heard.sort(), this.#honest.in.sort(), "from the honest peer")
    assert.deepEqual([...peer.bodies].sort(), this.#honest.out.sort(), "to the honest peer")
    this.#accounts()
    const left = gateway.incoming.filter(({ remote }) => remote.address === this.#scene.stranger.address)
    assert.deepEqual(left.map(({ id }) => id), [], "streams are left")
    const ways = gateway.outgoing.filter(({ pair }) => pair.target !== honest)
    assert.deepEqual(ways.map(({ pair, state, unsent }) => ({ ...pair, state, unsent })), [], "ways are left")
    // An exception costs its stream alone, and is a fault all the same.
    const faults = events.filter((event) => (event.kind === "refused" && event.finding === "proof.internal") || (event.kind === "closed" && event.reason.includes("internal error")))
    assert.deepEqual(faults, [], "an error of our own")
  }

  /** Every message of ours left or came back. */
  #accounts(): void {
    for (const [id, { from, to, seen, bounced, left }] of this.#wits.fates) {
      this.#wits.tally.left += Math.min(1, seen)
      this.#wits.tally.bounced += bounced
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
    this.#wits.model.look()
  }

  /** Also what waits for its turn among others, which takes time, has had it. */
  async #rest(): Promise<void> {
    await this.#look()
    await this.#scene.scene.clock.advance(20)
    await this.#look()
  }

  /** Something between the honest peer and us, in both directions. */
  #talk(): void {
    for (const name of [home, club]) {
      if (!this.#scene.components.has(name)) continue
      const body = `h${this.#wits.next()}`
      this.#honest.in.push(body)
      this.#scene.sender.send(name, [body])
      this.#write(name, honest)
    }
  }

  #write(from: string, to: string): void {
    const component = this.#scene.components.get(from)
    if (component === undefined) return
    const id = `c${this.#wits.next()}`
    if (to === honest) this.#honest.out.push(id)
    else this.#wits.fates.set(id, { from, to, seen: 0, bounced: 0, left: false })
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
        if (line !== undefined) this.#speech.say(line, move.words)
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
        this.#wits.mood = move.mood
        return
      case "wait":
        await this.#look()
        await scene.clock.advance(move.ms)
        return await this.#look()
      case "reload":
        await this.#rest()
        this.#wits.model.changed(changed(this.#wits.model.rules, move.what))
        await this.#scene.reload(this.#wits.model.rules)
        for (const name of [home, club]) if (!this.#wits.model.rules.hosted.has(name)) this.#away.add(name)
        return await this.#look()
      case "component": {
        const name = move.which === 0 ? home : club
        await this.#rest()
        this.#away.add(name)
        if (this.#wits.model.rules.hosted.has(name)) await this.#scene.toggle(name)
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
    const fate = this.#wits.fates.get(id)
    if (error && fate !== undefined) {
      fate.bounced += 1
      return
    }
    this.#wits.tally.delivered += 1
    this.#wits.model.delivered(id, { from, to })
  }

  // Connections.

  #accepted(channel: Channel): void {
    const line = new Line(this.#lines.length, false, channel)
    this.#begin(line)
  }

  #begin(line: Line): void {
    this.#lines.push(line)
    this.#wits.model.opened(line)
    line.listen((heard) => this.#safely(() => this.#ears.hear(line, heard)))
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
      this.#speech.say(line, { say: "header", pair, without: "nothing" })
      if (by === "starttls") this.#speech.say(line, { say: "starttls" })
      await scene.settle()
      await scene.settle()
    }
    if (far === "secured") return line
    if (by !== "clear") this.#speech.say(line, { say: "header", pair, without: "nothing" })
    await scene.settle()
    if (bidi) this.#speech.say(line, { say: "bidi" })
    if (far === "introduced") return line
    if (line.offered) {
      this.#speech.say(line, { say: "auth", authzid: undefined })
      await scene.settle()
      this.#speech.say(line, { say: "header", pair, without: "nothing" })
    } else this.#speech.say(line, { say: "claim", pair, key: 0 })
    if (far === "in") return line
    await this.#look()
    this.#speech.say(line, { say: "enable", resume: true })
    return line
  }

  async #return({ session, cut, other, shown, pair, h }: Extract<Move, { do: "return" }>): Promise<void> {
    const id = pick(this.#wits.sessions, session)
    const former = this.#lines.findLast((line) => line.session === id)
    if (id === undefined || former === undefined) return
    await this.#look()
    if (cut) former.cut()
    await this.#look()
    const { from, to } = former.headed ?? {}
    const same = { from: writtenAs(from), to: writtenAs(to) }
    const as = { shown: other === "certificate" ? shown : former.shown, pair: other === "pair" ? pair : same, bidi: former.bidi }
    const line = await this.#open({ do: "open", by: "starttls", far: "in", settled: true, ...as })
    await this.#look()
    line.say(this.#speech.resume(line, id, h))
    await this.#look()
  }
}
