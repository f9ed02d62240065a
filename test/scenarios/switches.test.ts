// The switches of a peer, turned off by a reload while streams live: they act at once where the protocols let them, and no stanza is
// lost by it (XEP-0288; RFC 7712 4.4; XEP-0198; security.md 10).
import assert from "node:assert/strict"
import { test } from "node:test"
import { NotCarried } from "../../src/federation/piggyback.ts"
import { current, established, two } from "./managed-support.ts"
import { Sender } from "./pool-support.ts"
import { good, never, pairOf } from "./support.ts"

const names = ["a.example", "c.example"]
const both = good("a.example", { names: { dns: names } })

test("switched off by a reload: both directions: our stanzas leave by a connection of their own from then on, and what is on its way on the other is not lost", async () => {
  const { scene, wire, a, b, sender } = await two({ a: { uses: { bidi: true, streamManagement: true } }, b: { uses: { bidi: true, streamManagement: true } } })
  sender.send("b.example", ["hello"])
  await scene.eventually("it arrives", () => b.bodies.length === 1)
  const answering = new Sender(b)
  answering.send("a.example", ["1"])
  await scene.eventually("the answer comes on the same connection", () => a.bodies.length === 1 && answering.unacknowledged === 0)
  assert.equal(scene.world.connections.length, 1)
  wire.swallow = (text) => text.includes("<body>2")
  answering.send("a.example", ["2"])
  await scene.settle()
  wire.swallow = () => false
  b.reload({ uses: () => ({ bidi: false, piggyback: false, streamManagement: true, pipelining: false }) })
  assert.deepEqual(b.findings, ["policy.switched-off"])
  answering.send("a.example", ["3"])
  await scene.eventually("it goes by another connection", () => a.bodies.length === 2)
  assert.equal(scene.world.connections.length, 2)
  // A's own direction goes on as it was.
  sender.send("b.example", ["there"])
  await scene.eventually("the other direction lives", () => b.bodies.length === 2)
  current(a, sender).channel.destroy()
  await scene.eventually("what was unacknowledged on the first connection is sent on the second", () => a.bodies.length === 3)
  await scene.clock.advance(10_000)
  assert.deepEqual([a.bodies, answering.bounced, answering.lost], [["1", "3", "2"], [], []])
  await scene.close()
})

test("switched off by a reload: further pairs: each has a connection of its own from then on, with what waited", async () => {
  const pair = await two({ a: { domains: names, certificate: both } })
  await established(pair)
  const { scene, a, b, sender } = pair
  sender.send("b.example", ["of c"], "c.example")
  await scene.eventually("C came along", () => b.bodies.length === 2 && sender.unacknowledged === 0)
  assert.equal(scene.world.connections.length, 1)
  const first = current(a, sender)
  const written = first.channel.write.bind(first.channel)
  // The network takes nothing for a while: what is said waits in the queue that both share.
  Object.assign(first.channel, { write: (bytes: Uint8Array) => written(bytes) && false })
  sender.send("b.example", ["last written"])
  sender.send("b.example", ["c1"], "c.example")
  sender.send("b.example", ["a1"])
  Object.assign(first.channel, { write: written })
  a.reload({ uses: () => ({ bidi: false, piggyback: false, streamManagement: true, pipelining: false }) })
  sender.pool.reloaded(() => true, () => true)
  assert.deepEqual(first.associations().map(({ pair: { sender: from } }) => from), ["a.example"])
  first.onDrain?.()
  await scene.eventually("all arrive", () => b.bodies.length === 5 && sender.unacknowledged === 0)
  assert.equal(scene.world.connections.length, 2)
  assert.deepEqual(b.delivered.map(({ pair: { sender: from } }) => from).sort(), ["a.example", "a.example", "a.example", "c.example", "c.example"])
  await assert.rejects(first.add(pairOf("c.example", "b.example"), never), NotCarried)
  assert.deepEqual([sender.bounced, sender.lost], [[], []])
  await scene.close()
})

test("switched off by a reload: acknowledgements: the stream that has them keeps them to its end; lost, it is not resumed, and each stanza is sent once more", async () => {
  const pair = await two()
  await established(pair)
  const { scene, wire, a, b, sender } = pair
  a.reload({ uses: () => ({ bidi: false, piggyback: true, streamManagement: false, pipelining: false }) })
  sender.pool.reloaded(() => true, () => true)
  sender.send("b.example", ["1"])
  await scene.eventually("it is acknowledged", () => b.bodies.length === 2 && sender.unacknowledged === 0)
  wire.swallow = (text, towards) => towards === "server" && text.includes("<body>")
  sender.send("b.example", ["2", "3"])
  await scene.settle()
  wire.swallow = () => false
  wire.there.length = 0
  current(a, sender).channel.destroy()
  await scene.eventually("they arrive", () => b.bodies.length === 4)
  await scene.clock.advance(10_000)
  assert.deepEqual([b.bodies, sender.bounced, sender.lost], [["hello", "1", "2", "3"], [], []])
  assert.equal(wire.there.some((text) => text.includes("urn:xmpp:sm")), false)
  await scene.close()
})
