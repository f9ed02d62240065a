// Attacks on resumption, each working on a copy without the rule and refused by ours (XEP-0198; SM-5, SM-6; security.md 12).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Association, DomainPair } from "../../src/model/association.ts"
import { associations } from "../../src/federation/pair-ledger.ts"
import { IncomingSession } from "../../src/federation/session.ts"
import { ResumableSessions } from "../../src/stream/resumable-sessions.ts"
import { auth, credentialsOf, good, type MemoryScene, memoryScene, message, own, type RawPeer, type Server } from "../scenarios/support.ts"
import { store, Time } from "../stream/management-support.ts"
import { patched } from "./weakened.ts"

const sm = "xmlns='urn:xmpp:sm:3'"
const managed = { uses: { streamManagement: true } }

interface Victim {
  readonly scene: MemoryScene
  readonly b: Server
  readonly peer: RawPeer
  readonly session: string
}

/** A's stream to B, acknowledged and resumable; one stanza was taken on it. */
async function victim(require: "authenticated" | "encrypted" = "authenticated"): Promise<Victim> {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], require, ...managed })
  const peer = await scene.raw(b)
  await peer.authenticated("a.example", "b.example", credentialsOf(good("a.example")))
  peer.send(`<enable ${sm} resume='true'/>`)
  const said = await peer.expect("<enabled")
  await scene.settle()
  peer.send(message("x@a.example", "y@b.example", "1").toString())
  await scene.settle()
  return { scene, b, peer, session: /id='([A-Za-z0-9_-]+)'/.exec(said.slice(said.indexOf("<enabled")) + peer.text)?.[1] ?? assert.fail("no session") }
}

/** M, properly authenticated as itself, asks for A's session. */
async function asMallory({ scene, b, session }: Victim): Promise<RawPeer> {
  const mallory = await scene.raw(b, "127.0.0.66")
  await mallory.authenticated("mallory.example", "b.example", credentialsOf(good("mallory.example")))
  mallory.send(`<resume ${sm} previd='${session}' h='0'/>`)
  await scene.settle()
  return mallory
}

/** Whoever knows the name of a session has it. */
function nobodyInParticular(this: ResumableSessions, ...[id, , surrender]: Parameters<ResumableSessions["resume"]>): ReturnType<ResumableSessions["resume"]> {
  for (const from of ["a.example", "mallory.example"]) {
    for (const leaf of [...leaves, undefined]) {
      const counters = honest.call(this, id, { from, to: "b.example", leaf }, surrender)
      if (counters !== undefined) return counters
    }
  }
  return undefined
}
const honest = ResumableSessions.prototype.resume
let leaves: (string | undefined)[] = []

describe("another domain's session", () => {
  test("red: with its name alone Mallory learns the counters and ends A's stream", async () => {
    const known = ResumableSessions.prototype.open
    leaves = []
    await patched(ResumableSessions.prototype, "open", function (this: ResumableSessions, binding, surrender) {
      leaves.push(binding.leaf)
      return known.call(this, binding, surrender)
    }, async () => {
      await patched(ResumableSessions.prototype, "resume", nobodyInParticular, async () => {
        const found = await victim()
        const mallory = await asMallory(found)
        assert.match(mallory.text, /<resumed [^>]*h='1'/)
        assert.match(found.peer.text, /<conflict /)
        await found.scene.close()
      })
    })
  })

  test("green: it is not found, and A's stream goes on", async () => {
    const found = await victim()
    const { scene, b, peer } = found
    const mallory = await asMallory(found)
    assert.match(mallory.text, /<failed [^>]*><item-not-found /)
    peer.send(`${message("x@a.example", "y@b.example", "2")}<r ${sm}/>`)
    await peer.expect("h='2'")
    assert.deepEqual(b.bodies, ["1", "2"])
    await scene.close()
  })
})

describe("a header that names another domain than the one that was proven", () => {
  /** A and Mallory have no certificates that prove anything; Mallory's stream says it is from A, and claims for Mallory. */
  async function attack(): Promise<{ said: string; close(): Promise<void> }> {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", ...managed })
    const certificate = (name: string) => own(name)
    const a = await scene.server({ domains: ["a.example"], certificate, require: "encrypted", mute: true })
    const mallory = await scene.server({ domains: ["mallory.example"], certificate, require: "encrypted" })
    const claim = async (peer: RawPeer, from: string, key: string): Promise<void> => {
      peer.send(`<db:result from='${from}' to='b.example'>${key}</db:result>`)
      await scene.settle()
      await scene.eventually("it is valid", () => peer.text.includes("type='valid'"))
    }
    const first = await scene.raw(b)
    await first.upToFeatures("a.example", "b.example", undefined)
    await claim(first, "a.example", a.federation.keys.issue({ sender: a.name, target: b.name }, first.id))
    first.send(`<enable ${sm} resume='true'/>`)
    await scene.settle()
    const session = /<enabled [^>]*id='([^']+)'/.exec(first.text)?.[1] ?? assert.fail(first.text)
    first.channel.destroy()
    await scene.settle()
    const second = await scene.raw(b, "127.0.0.66")
    await second.upToFeatures("a.example", "b.example", undefined)
    await claim(second, "mallory.example", mallory.federation.keys.issue({ sender: mallory.name, target: b.name }, second.id))
    second.send(`<resume ${sm} previd='${session}' h='0'/>`)
    await scene.settle()
    return { said: second.text, close: () => scene.close() }
  }

  /** Somebody is authenticated on the stream, so the stream is. */
  function anybody(this: IncomingSession, pair: DomainPair): Association | undefined {
    return proven.call(this, pair) ?? associations(this.ledger, "in")[0]
  }
  const proven = IncomingSession.prototype.authorised

  test("red: authenticated is authenticated, and the header says A", async () => {
    await patched(IncomingSession.prototype, "authorised", anybody, async () => {
      const { said, close } = await attack()
      assert.match(said, /<resumed /)
      await close()
    })
  })

  test("green: the pair of the header has to be proven on this very stream", async () => {
    const { said, close } = await attack()
    assert.match(said, /<failed [^>]*><item-not-found /)
    await close()
  })
})

test("resumption brings no association along: what was proven on the lost stream is proven anew or not believed", async () => {
  const scene = memoryScene()
  const both = credentialsOf(good("a.example", { names: { dns: ["a.example", "c.example"] } }))
  const b = await scene.server({ domains: ["b.example"], ...managed })
  const first = await scene.raw(b)
  await first.authenticated("a.example", "b.example", both)
  first.send(`<enable ${sm} resume='true'/><db:result from='c.example' to='b.example'>key</db:result>`)
  await scene.eventually("C is proven by the certificate in hand", () => b.admitted.some(({ pair }) => pair.sender === "c.example"))
  first.send(message("x@c.example", "y@b.example", "1").toString())
  await scene.settle()
  const session = /<enabled [^>]*id='([^']+)'/.exec(first.text)?.[1] ?? assert.fail(first.text)
  first.channel.destroy()
  await scene.settle()
  const second = await scene.raw(b)
  await second.authenticated("a.example", "b.example", both)
  second.send(`<resume ${sm} previd='${session}' h='0'/>`)
  await second.expect("<resumed")
  assert.deepEqual(b.incoming.at(-1)!.associations().map(({ pair }) => pair.sender), ["a.example"])
  await scene.close()
})

test("before authentication nothing is enabled or resumed (SM-1)", async () => {
  const { scene, b, session } = await victim("encrypted")
  const refused = /<failed xmlns='urn:xmpp:sm:3'><unexpected-request /
  const early = await scene.raw(b, "127.0.0.66")
  await early.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
  early.send(`<resume ${sm} previd='${session}' h='0'/><enable ${sm}/>`)
  await early.expect("</failed><failed")
  assert.match(early.text, refused)
  // And what was refused does not stand in the way of authentication.
  early.send(auth())
  await early.expect("<success")
  const claimant = await scene.raw(b, "127.0.0.67")
  await claimant.upToFeatures("a.example", "b.example", undefined)
  claimant.send(`<db:result from='a.example' to='b.example'>no key of A's</db:result><resume ${sm} previd='${session}' h='0'/>`)
  await scene.settle()
  assert.match(claimant.text, refused)
  assert.deepEqual([b.of("management").length, b.admitted.length], [1, 1])
  await scene.close()
})

test("more acknowledged than was sent ends the stream, and memory is not let go of (SM-5)", async () => {
  const { scene, peer } = await victim()
  peer.send(`<a ${sm} h='1'/>`)
  const said = await peer.expect("</stream:stream>")
  assert.match(said, /<undefined-condition [^>]*\/><handled-count-too-high xmlns='urn:xmpp:sm:3' h='1' send-count='0'\/>/)
  await scene.close()
})

test("one operator with any number of domains: his sessions fill his own network's part, and nobody else goes without (security.md 12)", () => {
  const counters = { handled: 1, acknowledged: 0, unacknowledged: 0 }
  const run = (network: number) => {
    const time = new Time()
    const sessions = store(time, { sessions: 40, alike: 8, network })
    const open = (from: string, where: string) => sessions.open({ from, to: "b.example", leaf: undefined }, () => counters, where)
    const mine = open("a.example", "192.0.2")
    sessions.park(mine!, counters, 60_000)
    for (let each = 0; each < 1000; each += 1) {
      const id = open(`n${each}.evil.example`, "198.51.100")
      // Some he keeps open, some he lets go of as if they were lost.
      if (id !== undefined && each % 3 === 0) sessions.park(id, counters, 60_000)
    }
    return { late: open("late.example", "203.0.113") !== undefined, mine: sessions.resume(mine!, { from: "a.example", to: "b.example", leaf: undefined }, () => counters)?.handled, size: sessions.size }
  }
  assert.deepEqual(run(Number.POSITIVE_INFINITY), { late: false, mine: 1, size: 40 })
  assert.deepEqual(run(10), { late: true, mine: 1, size: 12 })
})

test("of one network the oldest lost session makes room; one that a stream has never does", () => {
  const counters = { handled: 0, acknowledged: 0, unacknowledged: 0 }
  const time = new Time()
  const sessions = store(time, { network: 3 })
  const binding = (from: string) => ({ from, to: "b.example", leaf: undefined })
  const ids = ["x.example", "y.example", "z.example"].map((from) => sessions.open(binding(from), () => counters, "192.0.2")!)
  assert.equal(sessions.open(binding("w.example"), () => counters, "192.0.2"), undefined)
  sessions.park(ids[1]!, counters, 60_000)
  const fourth = sessions.open(binding("w.example"), () => counters, "192.0.2")
  assert.ok(fourth !== undefined)
  assert.equal(sessions.resume(ids[1]!, binding("y.example"), () => counters), undefined)
  assert.equal(sessions.size, 3)
  // What ends makes room, too, and a resumed one is in use again.
  sessions.park(ids[0]!, counters, 60_000)
  assert.ok(sessions.resume(ids[0]!, binding("x.example"), () => counters) !== undefined)
  assert.equal(sessions.open(binding("v.example"), () => counters, "192.0.2"), undefined)
  sessions.close(ids[2]!)
  assert.ok(sessions.open(binding("v.example"), () => counters, "192.0.2") !== undefined)
})
