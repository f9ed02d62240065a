// A stranger that says anything in any order, against a whole gateway, and the same against copies of it that are weakened in one place
// (RFC 7712 4.3, 4.4; XEP-0220; XEP-0288; XEP-0198; security.md 1-3, 9-14, 23). Longer runs: fuzz.ts.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { ConnectBack } from "../../../src/federation/connect-backs.ts"
import { KeyRing } from "../../../src/federation/dialback.ts"
import { Outbound } from "../../../src/federation/outbound.ts"
import { associations } from "../../../src/federation/pair-ledger.ts"
import { IncomingSession } from "../../../src/federation/session.ts"
import type { GatewayOptions } from "../../../src/gateway/contract.ts"
import type { DomainPair } from "../../../src/model/association.ts"
import { ResumableSessions } from "../../../src/stream/resumable-sessions.ts"
import { anyIssuer, patched } from "../weakened.ts"
import { type Mood, mood, play } from "./moves.ts"
import { Stranger } from "./stranger.ts"
import { emptyTally } from "./wits.ts"

test("a stranger that says anything in any order gets in, and is sent, what was proven and nothing else", async () => {
  const tally = emptyTally()
  await fc.assert(
    fc.asyncProperty(play(60), (drawn) => Stranger.play(drawn, { tally })),
    { numRuns: 50, seed: 7712 },
  )
  // Where nothing gets in and nothing leaves, nothing is shown.
  assert.ok(tally.granted > 20 && tally.delivered > 10 && tally.left > 50 && tally.bounced > 50 && tally.resumed > 0, JSON.stringify(tally))
})

interface Search {
  readonly gateway?: GatewayOptions
  readonly seed?: number
  /** What the stranger's server begins with, beside chance. */
  readonly mood?: Partial<Mood>
}

/** What the stranger finds at a weakened copy. */
async function found({ gateway, seed = 288, mood: wanted = {} }: Search = {}): Promise<string> {
  const plays = play(60, mood.map((drawn) => ({ ...drawn, ...wanted })))
  const result = await fc.check(
    fc.asyncProperty(plays, (drawn) => Stranger.play(drawn, gateway === undefined ? {} : { gateway })),
    { numRuns: 400, seed, endOnFailure: true },
  )
  assert.ok(result.failed, "the stranger found nothing")
  return result.errorInstance instanceof Error ? result.errorInstance.message : String(result.errorInstance)
}

async function foundWhere<T extends object, K extends keyof T>(target: T, name: K, replacement: T[K], search: Search = {}): Promise<string> {
  let what = ""
  await patched(target, name, replacement, async () => void (what = await found(search)))
  return what
}

describe("red: the stranger finds what is missing", () => {
  test("the link: whoever answers at the claimed domain's address has vouched for it", async () => {
    const answer = (pair: DomainPair) => Promise.resolve({ kind: "verify", from: pair.sender, to: pair.target, id: undefined, type: "valid", key: "", condition: undefined, words: undefined } as const)
    assert.match(await foundWhere(ConnectBack.prototype, "ask", answer), /which nothing proves/)
  })

  test("the pair of a stanza: somebody is authenticated on the stream, so the stream is", async () => {
    const honest = IncomingSession.prototype.authorised
    assert.match(
      await foundWhere(IncomingSession.prototype, "authorised", function (this: IncomingSession, pair: DomainPair) {
        return honest.call(this, pair) ?? associations(this.ledger, "in")[0]
      }),
      /which nothing proves|came in as|are acknowledged/,
    )
  })

  test("the pair of an answer: a result that nobody asked for opens the pair that was asked for", async () => {
    const [add, answer] = [Outbound.prototype.add, Outbound.prototype.answer]
    const asked = new WeakMap<Outbound, DomainPair[]>()
    let what = ""
    await patched(Outbound.prototype, "add", function (this: Outbound, ...[pair, ...rest]: Parameters<Outbound["add"]>) {
      asked.set(this, [...(asked.get(this) ?? []), pair])
      return add.call(this, pair, ...rest)
    }, async () => {
      what = await foundWhere(Outbound.prototype, "answer", function (this: Outbound, read: Parameters<Outbound["answer"]>[0]) {
        answer.call(this, read)
        for (const { sender, target } of read.type === "valid" ? (asked.get(this) ?? []) : []) answer.call(this, { ...read, from: target, to: sender })
      }, { mood: { shown: "good", external: true, errors: true, auth: "success", result: "valid", further: "another" } })
    })
    assert.match(what, /left on line/)
  })

  test("the direction and the pair of ours: what may leave for one may leave for all", async () => {
    const honest = Outbound.prototype.associationOf
    assert.match(
      await foundWhere(Outbound.prototype, "associationOf", function (this: Outbound, pair: DomainPair) {
        return honest.call(this, pair) ?? this.associations[0]
      }),
      /left on line|nobody sent/,
    )
  })

  test("our own word: every key is ours", async () => {
    assert.match(await foundWhere(KeyRing.prototype, "vouches", () => true), /a key that it did not make|another key|which nothing proves/)
  })

  test("the binding of a session: whoever knows its name has it", async () => {
    const honest = ResumableSessions.prototype.resume
    const open = ResumableSessions.prototype.open
    const bindings = new Map<string, Parameters<ResumableSessions["open"]>[0]>()
    let what = ""
    await patched(ResumableSessions.prototype, "open", function (this: ResumableSessions, ...[binding, ...rest]: Parameters<ResumableSessions["open"]>) {
      const id = open.call(this, binding, ...rest)
      if (id !== undefined) bindings.set(id, binding)
      return id
    }, async () => {
      what = await foundWhere(ResumableSessions.prototype, "resume", function (this: ResumableSessions, ...[id, binding, surrender]: Parameters<ResumableSessions["resume"]>) {
        return honest.call(this, id, bindings.get(id) ?? binding, surrender)
      }, { seed: 4 })
    })
    assert.match(what, /another's session|are acknowledged/)
  })

  test("the issuer: the right name is enough, whoever signed it", async () => {
    assert.match(await found({ gateway: { alterHosting: (hosting) => ({ ...hosting, prooftypes: [anyIssuer] }) } }), /which nothing proves|where nothing proves/)
  })
})
