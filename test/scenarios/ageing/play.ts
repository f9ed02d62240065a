// Plays of ageing proofs: hours and days pass, everything that proofs rest on changes, stanzas go both ways at any moment. What is
// allowed is asked of the history of facts alone.
import assert from "node:assert/strict"
import fc from "fast-check"
import type { GatewayOptions } from "../../../src/gateway/contract.ts"
import { settle } from "../../world/clock.ts"
import { allShown, type Connection, type Facts, History, hour, minute, type Shown, us } from "./facts.ts"
import { ageingScene, type AgeingScene } from "./scene.ts"
import { start } from "../support.ts"

const day = 24 * hour

export type Move =
  | { readonly do: "talk"; readonly by: "us" | "them" | "both" }
  | { readonly do: "wait"; readonly ms: number }
  | { readonly do: "change"; readonly what: Partial<Facts> }
  /** As whoever runs a server well does it: what is shown is published, with something beside it. */
  | { readonly do: "publish"; readonly where: "tlsa" | "posh"; readonly beside: Shown | undefined }
  /** The ratchet is overridden for so long, ms. */
  | { readonly do: "override"; readonly ms: number }
  | { readonly do: "renew-ours" }
  | { readonly do: "restart" }

export interface Play {
  readonly facts: Facts
  readonly moves: readonly Move[]
  readonly bidi: boolean
  readonly remembered: boolean
}

/** What really happened, over all plays: where nothing is carried, or nothing ages, nothing is shown. */
export interface Tally {
  carried: number
  bounced: number
  calm: number
  steady: number
  looks: number
  warned: number
}

export const emptyTally = (): Tally => ({ carried: 0, bounced: 0, calm: 0, steady: 0, looks: 0, warned: 0 })

const weighted = <T>(...choices: readonly (readonly [weight: number, value: T])[]) => fc.oneof(...choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })))
const shown = weighted<Shown>([6, "public"], [3, "renewed"], [3, "brief"], [2, "shorter"], [5, "own"], [4, "next"], [2, "foreign"])
const listed = fc.oneof({ weight: 3, arbitrary: fc.constant<Shown[]>([]) }, { weight: 5, arbitrary: fc.subarray([...allShown], { minLength: 1, maxLength: 3 }) })
const dns = weighted<Facts["dns"]>([8, "says"], [1, "fails"], [1, "bogus"], [1, "silent"], [1, "unsigned"])
const web = weighted<Facts["web"]>([6, "says"], [1, "failing"], [1, "closing"], [1, "elsewhere"])
const expires = weighted([2, 2 * hour], [3, 8 * hour], [1, 24 * hour])
const require = weighted<Facts["require"]>([1, "authenticated"], [1, "encrypted"])
const ratchet = weighted<Facts["ratchet"]>([1, "off"], [2, "warn"], [3, "enforce"])
const facts = fc.record<Facts>({ shown, rooted: weighted([9, true], [1, false]), dns, tlsa: listed, web, posh: listed, expires, require, ratchet, override: fc.constant(0) })
/** Mostly something proves the peer at first. */
const begun = fc.tuple(facts, fc.nat(3)).map(([drawn, order]): Facts => {
  if (order === 0) return drawn
  return { ...drawn, rooted: true, dns: "says", web: "says", ...(order === 1 ? { shown: "public", tlsa: [] } : order === 2 ? { tlsa: [drawn.shown] } : { tlsa: [], posh: [drawn.shown] }) }
})

const change: fc.Arbitrary<Partial<Facts>> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ shown }) },
  { weight: 1, arbitrary: fc.record({ rooted: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ dns }) },
  { weight: 4, arbitrary: fc.record({ tlsa: listed }) },
  { weight: 2, arbitrary: fc.record({ web }) },
  { weight: 3, arbitrary: fc.record({ posh: listed, expires }) },
  { weight: 2, arbitrary: fc.record({ require }) },
  { weight: 2, arbitrary: fc.record({ ratchet }) },
)
const wait = weighted([1, 5000], [2, 3 * minute], [2, 16 * minute], [4, 50 * minute], [6, 68 * minute], [4, 3 * hour], [2, 14 * hour])
const move: fc.Arbitrary<Move> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant("talk"), by: fc.constantFrom<("us" | "them" | "both")[]>("us", "them", "both", "both") }) },
  { weight: 7, arbitrary: fc.record({ do: fc.constant("wait"), ms: wait }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant("change"), what: change }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant("publish"), where: fc.constantFrom<("tlsa" | "posh")[]>("tlsa", "posh"), beside: fc.option(shown, { nil: undefined }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("override"), ms: fc.constantFrom(0, hour, 5 * hour) }) },
  { weight: 1, arbitrary: fc.constant<Move>({ do: "renew-ours" }) },
  { weight: 1, arbitrary: fc.constant<Move>({ do: "restart" }) },
)
export const play = (longest: number): fc.Arbitrary<Play> =>
  fc.record({ facts: begun, moves: fc.array(move, { minLength: 1, maxLength: longest, size: "max" }), bidi: weighted([2, false], [1, true]), remembered: weighted([1, false], [3, true]) })

interface Fate {
  readonly by: "us" | "them"
  /** Everything was in order when it was sent. */
  readonly calm: boolean
  delivered: number
  bounced: number
  carried: Connection | undefined
}

/** One play from beginning to end; rejects with what was wrong. */
export class Ageing {
  readonly #history: History
  readonly #fates = new Map<string, Fate>()
  readonly #faults: Error[] = []
  readonly #last: { us: Connection | undefined; them: Connection | undefined } = { us: undefined, them: undefined }
  readonly #tally: Tally
  /** When the log said that the peer was weaker than before, by direction; each at most once a day and run. */
  readonly #told = new Map<unknown, number>()
  #scene!: AgeingScene
  #seen = 0
  #linesRead = 0
  #readAt = start

  private constructor({ facts, remembered }: Play, tally: Tally) {
    this.#history = new History(facts, start, remembered)
    this.#tally = tally
  }

  static async play(drawn: Play, { gateway, tally = emptyTally() }: { readonly gateway?: GatewayOptions; readonly tally?: Tally } = {}): Promise<void> {
    const ageing = new Ageing(drawn, tally)
    const sights = { crossed: ageing.#crossed.bind(ageing), received: ageing.#received.bind(ageing) }
    const { facts, bidi, remembered, moves } = drawn
    ageing.#scene = await ageingScene(facts, sights, { bidi, remembered, ...(gateway === undefined ? {} : { gateway }) })
    try {
      for (const each of moves) await ageing.#move(each)
      await ageing.#talk("both")
      await ageing.#wait(3 * minute)
      ageing.#accounts()
    } finally {
      await ageing.#scene.close()
    }
    assert.equal(ageing.#scene.scene.clock.pending, 0, "timers are left behind")
  }

  get #now(): number {
    return this.#scene.scene.clock.now()
  }

  /** A fault is noted, not thrown: it happens in the middle of somebody else's work. */
  #object(connection: Connection, leaving: boolean, what: string): void {
    const objection = this.#history.objection(connection, leaving, this.#now)
    if (objection === undefined) return
    const ages = `${Math.round((this.#now - connection.at) / minute)} min after the connection with ${connection.shown} began`
    this.#faults.push(new Error(`${what}, ${ages}: ${objection}; ${JSON.stringify(this.#history.now)}`))
  }

  #crossed(body: string, by: "us" | "them", connection: Connection): void {
    const fate = this.#fates.get(body)
    // An error of ours has the body, too.
    if (fate === undefined || fate.by !== by) return
    fate.carried = connection
    if (by === "us") this.#object(connection, true, `${body} left`)
  }

  #received(id: string, error: boolean): void {
    const fate = this.#fates.get(id)
    if (fate === undefined) return void this.#faults.push(new Error(`nobody sent ${id}`))
    if (error) {
      fate.bounced += 1
      return
    }
    fate.delivered += 1
    if (fate.carried !== undefined) this.#object(fate.carried, false, `${id} came in`)
  }

  #check(): void {
    const [first] = this.#faults
    if (first !== undefined) throw first
  }

  async #move(move: Move): Promise<void> {
    const before = this.#history.now
    const change = async (what: Partial<Facts>): Promise<void> => {
      this.#history.change(what, this.#now)
      await this.#scene.become(this.#history.now, before)
    }
    if (move.do === "talk") await this.#talk(move.by)
    else if (move.do === "wait") await this.#wait(move.ms)
    else if (move.do === "change") await change(move.what)
    else if (move.do === "publish") {
      const list = [...new Set([before.shown, move.beside ?? before.shown])]
      await change(move.where === "tlsa" ? { tlsa: list, dns: "says" } : { posh: list, web: "says" })
    }
    else if (move.do === "override") await change({ override: move.ms === 0 ? 0 : Math.ceil((this.#now + move.ms) / 1000) * 1000 })
    else if (move.do === "renew-ours") await this.#scene.renewOurs()
    else {
      // What waits for an answer has it by then; what is left to wait goes with the process.
      await this.#wait(2 * minute)
      this.#readLog()
      this.#told.clear()
      await this.#scene.restart()
      this.#last.us = this.#last.them = undefined
    }
    await settle()
    this.#check()
    this.#readLog()
  }

  #readLog(): void {
    const { lines } = this.#scene.log
    for (const { event, fields } of lines.slice(this.#linesRead)) {
      if (event !== "s2s.weaker") continue
      assert.ok(this.#history.mayWarn(this.#readAt, this.#now), `a warning that nobody asked for: ${JSON.stringify(fields)}`)
      const before = this.#told.get(fields["dir"])
      assert.ok(before === undefined || this.#now - before >= day - 15 * hour, `warned again after ${this.#now - (before ?? 0)} ms`)
      this.#told.set(fields["dir"], this.#now)
      this.#tally.warned += 1
    }
    this.#linesRead = lines.length
    this.#readAt = this.#now
  }

  async #wait(ms: number): Promise<void> {
    const before = this.#scene.looks()
    const calm = this.#history.calm(this.#now)
    await this.#scene.scene.clock.advance(ms)
    const after = this.#scene.looks()
    // security.md 11: hourly, and five minutes after what came to nothing, for each direction.
    const most = 2 * (2 + Math.floor(ms / (calm ? hour : 5 * minute)))
    assert.ok(after.dns - before.dns <= most && after.web - before.web <= most, `too many looks in ${ms / minute} min: ${JSON.stringify([before, after])}`)
    this.#tally.looks += after.dns - before.dns + after.web - before.web
  }

  async #talk(by: "us" | "them" | "both"): Promise<void> {
    const { scene, sender } = this.#scene
    const at = this.#now
    const sent: string[] = []
    for (const one of ["us", "them"] as const) {
      if (by !== one && by !== "both") continue
      const id = `${one}${this.#seen++}`
      sent.push(id)
      const fate: Fate = { by: one, calm: this.#history.calm(at), delivered: 0, bounced: 0, carried: undefined }
      this.#fates.set(id, fate)
      if (one === "us") this.#scene.send(id)
      else if (sender.send(us, [id]) !== "queued") fate.bounced += 1
    }
    await settle()
    await scene.clock.advance(30_000)
    this.#check()
    for (const id of sent) this.#looked(id, at)
  }

  /** What is in order is delivered, and on the connection that there is. */
  #looked(id: string, at: number): void {
    const fate = this.#fates.get(id)!
    const { by, carried } = fate
    if (fate.calm) {
      this.#tally.calm += 1
      assert.ok(carried !== undefined && fate.bounced === 0, `${id} was not delivered though all was in order: ${this.#lately()}`)
    }
    this.#readLog()
    if (carried !== undefined && carried.by === by && carried.at >= at && this.#history.warned(carried, this.#now)) {
      const told = this.#told.get(by === "us" ? "out" : "in") ?? Number.NEGATIVE_INFINITY
      assert.ok(this.#now - told <= day, `${id} went with less than is remembered, and nobody was told: ${JSON.stringify(this.#history.now)}`)
    }
    const before = this.#last[by]
    if (before !== undefined && before !== carried && this.#history.steady(before, at)) {
      const age = Math.round((at - before.at) / minute)
      assert.fail(`${id} needed another connection though nothing ended the one of ${age} min before: ${this.#lately()}`)
    }
    if (before !== undefined && before === carried) this.#tally.steady += 1
    if (carried !== undefined) this.#last[by] = carried
  }

  #lately(): string {
    return JSON.stringify([this.#history.now, this.#scene.events.slice(-4)])
  }

  #accounts(): void {
    const { peer, sender } = this.#scene
    for (const [id, fate] of this.#fates) {
      const { by } = fate
      const delivered = by === "us" ? peer.bodies.filter((body) => body === id).length : fate.delivered
      const bounced = fate.bounced + sender.bounced.filter(({ body }) => body.endsWith(id)).length
      assert.equal(delivered + bounced, 1, `${id} came ${delivered} times and bounced ${bounced} times`)
      this.#tally.carried += delivered
      this.#tally.bounced += bounced
    }
    const faults = this.#scene.events.filter((event) => (event.kind === "refused" && event.finding === "proof.internal") || (event.kind === "closed" && event.reason.includes("internal error")))
    assert.deepEqual(faults, [], "an error of our own")
  }
}
