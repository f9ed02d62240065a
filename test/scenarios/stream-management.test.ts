// Nothing lost on a stream that breaks: stanzas that are acknowledged, streams that are resumed, and limits that are kept
// (XEP-0198, XEP-0478; SM-1 to SM-7, LIM-1, LIM-2, BIDI-9; security.md 12).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { managementShare } from "../../src/federation/managed-stream.ts"
import { ResumableSessions } from "../../src/stream/resumable-sessions.ts"
import { current, established, managed, results, two } from "./managed-support.ts"
import { Sender } from "./pool-support.ts"
import { credentialsOf, good, memoryScene, own, realScene, type Scene } from "./support.ts"

const places: readonly (readonly [name: string, make: () => Promise<Scene>])[] = [
  ["in memory", async () => memoryScene()],
  ["one octet at a time", async () => memoryScene({ link: () => ({ chunk: 1 }) })],
  ["on sockets", realScene],
]

/** C is a domain of A's, too, and came along on its stream; what both sent was acknowledged. */
async function twoWithC() {
  const both = good("a.example", { names: { dns: ["a.example", "c.example"] } })
  const pair = await two({ a: { domains: ["a.example", "c.example"], certificate: both } })
  await established(pair)
  const { scene, b, sender } = pair
  sender.send("b.example", ["of c"], "c.example")
  await scene.eventually("C came along", () => b.bodies.length === 2 && sender.unacknowledged === 0)
  return pair
}

describe("acknowledgements", () => {
  for (const [place, make] of places)
    test(`enabled behind EXTERNAL, with the first stanzas in the same breath, and answered; ${place}`, async () => {
      const scene = await make()
      const b = await scene.server({ domains: ["b.example"], ...managed })
      const a = await scene.server({ domains: ["a.example"], ...managed })
      const sender = new Sender(a)
      sender.send("b.example", ["1", "2"])
      await scene.eventually("all is acknowledged", () => b.bodies.length === 2 && sender.unacknowledged === 0)
      sender.send("b.example", ["3"])
      await scene.eventually("and the next", () => b.bodies.length === 3 && sender.unacknowledged === 0)
      assert.deepEqual(b.bodies, ["1", "2", "3"])
      assert.deepEqual(a.of("management").map(({ resumable }) => resumable), [true])
      await sender.pool.close()
      assert.deepEqual(sender.lost, [])
      await scene.close()
    })

  test("the feature stands behind authentication only; one request a batch; the last words say how far it got (SM-1, SM-3)", async () => {
    const { scene, wire, b, sender } = await two()
    sender.send("b.example", ["1", "2", "3"])
    await scene.eventually("acknowledged", () => b.bodies.length === 3 && sender.unacknowledged === 0)
    const offered = wire.back.filter((text) => text.includes("<sm "))
    assert.equal(offered.length, 1)
    assert.doesNotMatch(offered[0]!, /EXTERNAL/)
    assert.equal(wire.there.filter((text) => text.includes("<r xmlns='urn:xmpp:sm:3'/>")).length, 1)
    assert.ok(wire.back.includes("<a xmlns='urn:xmpp:sm:3' h='3'/>"))
    b.incoming[0]!.close()
    await scene.settle()
    assert.ok(wire.back.includes("<a xmlns='urn:xmpp:sm:3' h='3'/></stream:stream>"))
    await scene.close()
  })

  for (const off of ["a", "b"] as const)
    test(`switched off on one side it is not used: ${off}`, async () => {
      const pair = await two({ [off]: { uses: { streamManagement: false } } })
      const { scene, wire, a, b, sender } = pair
      sender.send("b.example", ["1"])
      await scene.eventually("it arrives", () => b.bodies.length === 1)
      assert.deepEqual([results(a), results(b)], [[], []])
      assert.equal(wire.there.some((text) => text.includes("urn:xmpp:sm")), false)
      await scene.close()
    })

  test("a peer that never answers: its stream is given up, what it did not acknowledge bounces", async () => {
    const pair = await two()
    await established(pair)
    const { scene, wire, sender } = pair
    wire.swallow = (text, towards) => towards === "client" && text.includes("<a ")
    sender.send("b.example", ["late"])
    await scene.clock.advance(300_000)
    assert.deepEqual(sender.bounced.map(({ body, reason }) => [body, reason.condition]), [["late", "remote-server-timeout"]])
    await scene.close()
  })
})

describe("a stream that is lost", () => {
  test("what did not arrive is sent again, once, in order, on the stream that goes on with it", async () => {
    const pair = await two()
    await established(pair)
    const { scene, wire, a, b, sender } = pair
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>2")
    sender.send("b.example", ["1"])
    await scene.settle()
    sender.send("b.example", ["2", "3"])
    await scene.settle()
    assert.deepEqual(b.bodies, ["hello", "1"])
    wire.swallow = () => false
    wire.there.length = 0
    current(a, sender).channel.destroy()
    // Comes while nothing is known yet.
    await scene.settle()
    sender.send("b.example", ["4"])
    await scene.eventually("all arrive", () => b.bodies.length === 5 && sender.unacknowledged === 0)
    assert.deepEqual(b.bodies, ["hello", "1", "2", "3", "4"])
    assert.deepEqual(results(a), ["enabled", "resumed"])
    assert.deepEqual(b.of("management").map(({ handled }) => handled), [undefined, 2])
    const resume = wire.there.findIndex((text) => text.includes("<resume "))
    assert.ok(resume >= 0 && wire.there.findIndex((text) => text.includes("<body>")) > resume)
    assert.deepEqual([sender.bounced, sender.lost], [[], []])
    await scene.close()
  })

  test("where only the acknowledgements were lost, nothing is sent twice", async () => {
    const pair = await two()
    await established(pair)
    const { scene, wire, a, b, sender } = pair
    wire.swallow = (text, towards) => towards === "client" && text.includes("<a ")
    sender.send("b.example", ["1", "2"])
    await scene.settle()
    assert.equal(sender.unacknowledged, 2)
    wire.swallow = () => false
    current(a, sender).channel.destroy()
    await scene.eventually("it is known", () => sender.unacknowledged === 0 && results(a).length === 2)
    await scene.clock.advance(1000)
    assert.deepEqual(b.bodies, ["hello", "1", "2"])
    await scene.close()
  })

  test("the old connection may still seem alive to the other side: the new stream takes its place", async () => {
    const pair = await two()
    await established(pair)
    const { scene, wire, a, b, sender } = pair
    // Nothing of the first connection arrives any more, not even its end.
    const first = current(a, sender)
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>")
    sender.send("b.example", ["1"])
    await scene.settle()
    wire.swallow = () => false
    b.incoming[0]!.pause()
    first.channel.destroy()
    await scene.eventually("it arrives", () => b.bodies.length === 2)
    assert.deepEqual(b.bodies, ["hello", "1"])
    assert.equal((await scene.until(b.incoming[0]!.closed)).condition, "conflict")
    await scene.close()
  })

  test("closed while a stanza is on its way: the last count decides, and it is taken once", async () => {
    const scene = memoryScene({ link: () => ({ latency: 50 }) })
    const b = await scene.server({ domains: ["b.example"], ...managed })
    const a = await scene.server({ domains: ["a.example"], ...managed })
    const sender = new Sender(a)
    sender.send("b.example", ["hello"])
    await scene.eventually("acknowledged", () => b.bodies.length === 1 && sender.unacknowledged === 0)
    await scene.clock.advance(10_000)
    b.incoming[0]!.close()
    sender.send("b.example", ["1"])
    await scene.eventually("it comes on the next stream", () => b.incoming.length === 2 && b.bodies.length === 2)
    await scene.clock.advance(10_000)
    assert.deepEqual(b.bodies, ["hello", "1"])
    assert.deepEqual([sender.unacknowledged, sender.bounced, sender.lost], [0, [], []])
    await scene.close()
  })

  test("a peer that has forgotten gets everything once more; lost again it is bounced, not sent a third time", async () => {
    const pair = await two()
    await established(pair)
    const { scene, wire, a, b, sender } = pair
    const forget = () => Object.assign(b.federation, { management: managementShare(b.federation.ports.clock, b.federation.ports.random) })
    const swallowed = (text: string, towards: string) => towards === "server" && text.includes("<body>")
    wire.swallow = swallowed
    sender.send("b.example", ["1"])
    await scene.settle()
    forget()
    current(a, sender).channel.destroy()
    await scene.eventually("a new session", () => results(a).length === 3)
    assert.deepEqual(results(a), ["enabled", "not-resumed", "enabled"])
    await scene.clock.advance(10_000)
    assert.equal(sender.unacknowledged, 1)
    forget()
    current(a, sender).channel.destroy()
    await scene.eventually("a third session", () => results(a).length === 5 || sender.bounced.length === 1)
    assert.deepEqual(sender.bounced.map(({ body, reason }) => [body, reason.condition]), [["1", "remote-server-timeout"]])
    wire.swallow = () => false
    sender.send("b.example", ["2"])
    await scene.eventually("others go on", () => b.bodies.includes("2"))
    assert.deepEqual(b.bodies, ["hello", "2"])
    await scene.close()
  })

  test("a session that had to make room for another of its network: everything is sent once more, nothing is lost", async () => {
    const pair = await two()
    const { scene, wire, a, b, sender } = pair
    const { clock, random } = b.federation.ports
    /** Before A comes again its neighbour does. */
    class Crowded extends ResumableSessions {
      override park(...lost: Parameters<ResumableSessions["park"]>): void {
        super.park(...lost)
        const neighbour = { from: "other.example", to: "b.example", leaf: undefined }
        assert.ok(this.open(neighbour, () => ({ handled: 0, acknowledged: 0, unacknowledged: 0 }), "127.0.0") !== undefined)
      }
    }
    Object.assign(b.federation, { management: { ...managementShare(clock, random), sessions: new Crowded(clock, random, { sessions: 10, alike: 8, network: 1 }) } })
    await established(pair)
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>")
    sender.send("b.example", ["1", "2"])
    await scene.settle()
    wire.swallow = () => false
    current(a, sender).channel.destroy()
    await scene.eventually("they arrive", () => b.bodies.length === 3 && sender.unacknowledged === 0)
    assert.deepEqual([b.bodies, sender.bounced, sender.lost], [["hello", "1", "2"], [], []])
    // The new stream is acknowledged, though there is no room to resume it.
    assert.deepEqual(results(a), ["enabled", "not-resumed", "enabled"])
    assert.deepEqual(a.of("management").map(({ resumable }) => resumable), [true, undefined, false])
    await scene.close()
  })

  for (const [reloads, at] of [["while the next one is being opened", "<stream:stream "], ["while the next one is asked to go on", "<resume "]] as const) {
    test(`a reload ${reloads}: what had arrived is not sent again, and what had not is, once`, async () => {
      const pair = await two()
      await established(pair)
      const { scene, wire, a, b, sender } = pair
      wire.swallow = (text, towards) => (towards === "client" && text.includes("<a ")) || text.includes("<body>3")
      sender.send("b.example", ["1", "2"])
      await scene.settle()
      sender.send("b.example", ["3"])
      await scene.settle()
      assert.equal(sender.unacknowledged, 3)
      let reloaded = false
      wire.swallow = (text, towards) => {
        if (!reloaded && towards === "server" && text.includes(at)) {
          reloaded = true
          a.reload({})
          sender.pool.reloaded(() => true, () => true)
        }
        return false
      }
      current(a, sender).channel.destroy()
      await scene.eventually("all arrive", () => b.bodies.includes("3") && sender.unacknowledged === 0)
      await scene.clock.advance(10_000)
      assert.ok(reloaded)
      assert.deepEqual([b.bodies, sender.bounced, sender.lost], [["hello", "1", "2", "3"], [], []])
      assert.deepEqual(results(a), ["enabled", "resumed"])
      await scene.close()
    })
  }

  for (const leaves of ["c.example", "a.example"]) {
    test(`a reload while it is resumed, by which ${leaves} is ours no more: its stanzas come back, once, the others' go on`, async () => {
      const { scene, wire, a, b, sender } = await twoWithC()
      wire.swallow = (text, towards) => towards === "server" && text.includes("<body>")
      sender.send("b.example", ["a1"])
      sender.send("b.example", ["c1"], "c.example")
      sender.send("b.example", ["a2"])
      await scene.settle()
      let reloaded = false
      wire.swallow = (text, towards) => {
        if (!reloaded && towards === "server" && text.includes("<resume ")) {
          reloaded = true
          a.reload({ hosts: (name) => name !== leaves && (name === "a.example" || name === "c.example") })
          sender.pool.giveBack((domain) => domain === leaves)
          sender.pool.reloaded(({ sender: from }) => from !== leaves, () => true)
        }
        return false
      }
      current(a, sender).channel.destroy()
      const [theirs, others] = leaves === "c.example" ? [["c1"], ["a1", "a2"]] : [["a1", "a2"], ["c1"]]
      await scene.eventually("the others' arrive", () => b.bodies.length === 2 + others.length)
      await scene.eventually("its own come back", () => sender.bounced.length === theirs.length)
      await scene.clock.advance(10_000)
      assert.deepEqual(b.bodies.slice(2), others)
      assert.deepEqual(sender.bounced.map(({ body }) => body.replace("rerouted ", "")), theirs)
      assert.deepEqual(sender.lost, [])
      await scene.close()
    })
  }

  test("resumed with further pairs on it: each claims anew before its stanzas go on (security.md 12)", async () => {
    const { scene, wire, a, b, sender } = await twoWithC()
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>")
    sender.send("b.example", ["c1"], "c.example")
    sender.send("b.example", ["a1"])
    sender.send("b.example", ["c2"], "c.example")
    await scene.settle()
    wire.swallow = () => false
    wire.there.length = 0
    current(a, sender).channel.destroy()
    await scene.eventually("all arrive", () => b.bodies.length === 5 && sender.unacknowledged === 0)
    assert.deepEqual(b.delivered.filter(({ pair }) => pair.sender === "c.example").map(({ xml }) => /<body>([^<]*)/.exec(xml)?.[1]), ["of c", "c1", "c2"])
    const at = (what: string) => wire.there.findIndex((text) => text.includes(what))
    assert.ok(at("<resume ") < at("<db:result from='c.example'") && at("<db:result from='c.example'") < at("<body>c1"))
    assert.deepEqual(results(a), ["enabled", "resumed"])
    assert.equal(b.of("connected").length, 2)
    await scene.close()
  })

  test("a pair that is withdrawn with something unacknowledged, and its stream with it: the stanza bounces, though nobody sends another", async () => {
    const pair = await two({ a: { require: "encrypted" }, b: { require: "encrypted", certificate: (name) => own(name) } })
    const { scene, wire, a, b, sender } = pair
    await established(pair)
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>2")
    sender.send("b.example", ["2"])
    await scene.settle()
    const stream = current(a, sender)
    a.reload({ policy: { require: "authenticated" } })
    stream.recheck()
    await scene.clock.advance(20_000)
    assert.deepEqual([b.bodies, sender.bounced.map(({ body }) => body)], [["hello"], ["2"]])
    await scene.close()
  })

  test("a further pair that is withdrawn with something unacknowledged: it goes by a stream of its own when the shared one ends", async () => {
    const pair = await twoWithC()
    const { scene, wire, a, b, sender } = pair
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>2")
    sender.send("b.example", ["2"], "c.example")
    await scene.settle()
    const stream = current(a, sender)
    a.reload({ uses: () => ({ bidi: false, piggyback: false, streamManagement: true, pipelining: false }) })
    stream.recheck()
    wire.swallow = () => false
    stream.close()
    await scene.clock.advance(20_000)
    assert.deepEqual([b.bodies, sender.bounced], [["hello", "of c", "2"], []])
    await scene.close()
  })

  test("every pair is proven anew before its queue moves; one that is not bounces, and the others go on (security.md 12)", async () => {
    const { scene, wire, a, b, sender } = await twoWithC()
    assert.equal(a.outgoing.length + b.incoming.length, 1)
    wire.swallow = (text, towards) => towards === "server" && text.includes("<body>")
    sender.send("b.example", ["a1"])
    sender.send("b.example", ["c1"], "c.example")
    sender.send("b.example", ["a2"])
    await scene.settle()
    wire.swallow = () => false
    // From now on nothing shows that A's server speaks for C.
    const alone = credentialsOf(good("a.example"))
    a.reload({ credentials: (name) => (name === "a.example" ? alone : undefined) }, { recheck: false })
    scene.dns("_xmpp-server._tcp.c.example", { SRV: [[0, 0, 1, "nowhere.example"]] })
    wire.there.length = 0
    current(a, sender).channel.destroy()
    await scene.eventually("those of A arrive", () => b.bodies.length === 4)
    assert.deepEqual(b.bodies, ["hello", "of c", "a1", "a2"])
    await scene.eventually("those of C bounce", () => sender.bounced.length === 1)
    assert.deepEqual([sender.bounced[0]?.body, b.bodies.length], ["c1", 4])
    assert.equal(wire.there.some((text) => text.includes("<body>c1")), false)
    // Another certificate is another peer: the session was not resumed, and began anew.
    assert.deepEqual(results(a), ["enabled", "not-resumed", "enabled"])
    await scene.close()
  })
})

describe("limits", () => {
  test("a stanza larger than the peer accepts bounces, whenever it was queued, and the stream lives (LIM-2)", async () => {
    const { scene, wire, b, sender } = await two({ b: { announced: { maxBytes: 10_000, idleSeconds: 600 } } })
    const large = "x".repeat(10_000)
    sender.send("b.example", ["1", large, "2"])
    await scene.eventually("the small ones arrive", () => b.bodies.length === 2)
    assert.deepEqual(sender.bounced.map(({ body, reason }) => [body, reason.condition, reason.type, reason.rule]), [[large, "policy-violation", "modify", "peer"]])
    assert.equal(sender.send("b.example", [large]), "too-large")
    assert.equal(sender.send("b.example", ["3"]), "queued")
    await scene.eventually("the stream lives", () => b.bodies.length === 3)
    assert.ok(wire.back.some((text) => text.includes("<limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>10000</max-bytes><idle-seconds>600</idle-seconds></limits>")))
    assert.equal(wire.back.find((text) => text.includes("<starttls "))?.includes("<limits"), false)
    await scene.close()
  })

  test("a further pair that comes onto the stream with too large a stanza loses that one alone (LIM-2)", async () => {
    const both = good("a.example", { names: { dns: ["a.example", "c.example"] } })
    const { scene, b, sender } = await two({ a: { domains: ["a.example", "c.example"], certificate: both }, b: { announced: { maxBytes: 10_000, idleSeconds: undefined } } })
    sender.send("b.example", ["1"])
    await scene.eventually("it arrives", () => b.bodies.length === 1)
    const large = "x".repeat(10_000)
    sender.send("b.example", ["2", large, "3"], "c.example")
    await scene.eventually("the others arrive", () => b.bodies.length === 3)
    assert.deepEqual([b.bodies, b.incoming.length], [["1", "2", "3"], 1])
    assert.deepEqual(sender.bounced.map(({ body, reason }) => [body, reason.condition]), [[large, "policy-violation"]])
    await scene.close()
  })

  test("a stream is closed before the peer would do it (LIM-1)", async () => {
    const { scene, a, b, sender } = await two({ b: { announced: { maxBytes: undefined, idleSeconds: 100 } } })
    sender.send("b.example", ["1"])
    await scene.eventually("it arrives", () => b.bodies.length === 1 && sender.unacknowledged === 0)
    await scene.clock.advance(75_000)
    assert.equal(a.of("closed").length, 0)
    await scene.clock.advance(24_000)
    assert.equal(a.of("closed").length, 1)
    await scene.close()
  })

  test("a connecting server says what it accepts where it asks for both directions (BIDI-9)", async () => {
    const both = { uses: { bidi: true, piggyback: true, streamManagement: true } }
    const { scene, wire, b, sender } = await two({ a: { ...both, announced: { maxBytes: 20_000, idleSeconds: undefined } }, b: both })
    sender.send("b.example", ["1"])
    await scene.eventually("B knows the way back", () => b.ways.length === 1)
    assert.ok(wire.there.some((text) => text.includes("<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'><max-bytes>20000</max-bytes></limits></bidi>")))
    assert.deepEqual(b.ways[0]?.stream.limits, { maxBytes: 20_000, idleSeconds: undefined })
    await scene.close()
  })
})

test("both directions of one connection are acknowledged, each by itself", async () => {
  const both = { uses: { bidi: true, piggyback: true, streamManagement: true } }
  const { scene, wire, a, b, sender } = await two({ a: both, b: both })
  const back = new Sender(b)
  sender.send("b.example", ["1", "2"])
  await scene.eventually("acknowledged", () => b.bodies.length === 2 && sender.unacknowledged === 0)
  back.send("a.example", ["3"])
  await scene.eventually("and back", () => a.bodies.length === 1 && back.unacknowledged === 0)
  assert.equal(b.of("connected").length, 1)
  assert.ok(wire.there.includes("<a xmlns='urn:xmpp:sm:3' h='1'/>"))
  await scene.close()
})
