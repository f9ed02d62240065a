// Seed section 6.1, RFC 7712 4.4.1: a second sender domain of ours on a stream that we opened, from our side.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { IncomingStream, OutgoingStream } from "../../src/federation/contract.ts"
import { NotCarried } from "../../src/federation/piggyback.ts"
import { OutgoingRefused } from "../../src/federation/refusal.ts"
import { alteredText } from "../world/middle.ts"
import { good, memoryScene, message, never, own, pairOf } from "./support.ts"

const both = good("a.example", { names: { dns: ["a.example", "c.example"] } })
const piggyback = { uses: { piggyback: true } }

test("S6.1.1, S6.1.3, DB-31, N10: the second sender comes onto the stream with one question and one answer", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, ...piggyback })
  const b = await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.join("b.example"))
  const connections = scene.world.connections.length
  assert.equal(await scene.until(a.join("b.example", "c.example")), stream)
  assert.equal(scene.world.connections.length, connections, "no connection more, in either direction")
  assert.deepEqual(a.of("dialback").map(({ pair, step, answer }) => [pair.sender, step, answer]), [["c.example", "result-sent", undefined], ["c.example", "answered", "valid"]])
  assert.deepEqual(stream.associations().map(({ pair, level }) => [pair.sender, pair.target, level]), [["a.example", "b.example", "authenticated"], ["c.example", "b.example", "authenticated"]])
  assert.notEqual(stream.associations()[0]?.id, stream.associations()[1]?.id)
  stream.channel.write(message("x@c.example", "y@b.example", "from c"))
  stream.channel.write(message("x@a.example", "y@b.example", "from a"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["from c", "from a"])
  await scene.close()
})

test("the peer verifies the second sender with its own server, and the stream's other pair flows meanwhile", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: (name) => (name === "a.example" ? good("a.example") : undefined), require: "encrypted", ...piggyback })
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const stream = await scene.until(a.join("b.example"))
  // C has no certificate of its own, so its server cannot be asked: the answer is an error, and nothing but its own pair ends.
  const refused = scene.until(assert.rejects(stream.add(pairOf("c.example", "b.example"), never), OutgoingRefused))
  stream.channel.write(message("x@a.example", "y@b.example", "meanwhile"))
  await refused
  assert.deepEqual(b.bodies, ["meanwhile"])
  assert.equal(stream.associationOf(pairOf("c.example", "b.example")), undefined)
  assert.notEqual(stream.associationOf(pairOf("a.example", "b.example")), undefined)
  stream.channel.write(message("x@a.example", "y@b.example", "after"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["meanwhile", "after"])
  await scene.close()
})

test("another certificate of ours proves the second sender better: a connection of its own", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example", "c.example"], ...piggyback })
  const b = await scene.server({ domains: ["b.example"] })
  const first = await scene.until(a.join("b.example"))
  await assert.rejects(first.add(pairOf("c.example", "b.example"), never), NotCarried)
  const second = await scene.until(a.join("b.example", "c.example"))
  assert.notEqual(second, first)
  assert.deepEqual(b.admitted.map(({ pair, via }) => [pair.sender, via]), [["a.example", "certificate"], ["c.example", "certificate"]])
  assert.deepEqual(a.of("dialback"), [])
  await scene.close()
})

test("DB-32: a peer that does not advertise errors is not asked; a connection for each", async () => {
  const scene = memoryScene({ link: () => ({ middle: alteredText((text) => text.replace("<errors/>", "")) }) })
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, ...piggyback })
  const b = await scene.server({ domains: ["b.example"] })
  const first = await scene.until(a.join("b.example"))
  await assert.rejects(first.add(pairOf("c.example", "b.example"), never), /does not advertise dialback errors/)
  assert.notEqual(await scene.until(a.join("b.example", "c.example")), first)
  assert.equal(b.of("dialback").length, 0)
  await scene.close()
})

test("DB-07: a peer that never answers: our timer, a connection of its own the next time, the other pairs alive", async () => {
  const scene = memoryScene({ link: () => ({ middle: alteredText((text) => (text.includes("<db:result from='b.example'") ? "" : text)) }) })
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, ...piggyback })
  const b = await scene.server({ domains: ["b.example"] })
  const first = await scene.until(a.join("b.example"))
  const began = scene.clock.now()
  const second = await scene.until(a.join("b.example", "c.example"))
  assert.equal(scene.clock.now() - began >= 5000, true, "the timer of the answer")
  assert.notEqual(second, first)
  first.channel.write(message("x@a.example", "y@b.example", "alive"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["alive"])
  // What it cost once it does not cost again.
  second.close()
  await scene.until(second.closed)
  const again = scene.clock.now()
  await scene.until(a.join("b.example", "c.example"))
  assert.ok(scene.clock.now() - again < 1000)
  await scene.close()
})

test("the pair that a further sender rested on ends: the next one rests on another pair with the target", async () => {
  const scene = memoryScene()
  const names = ["a.example", "c.example", "e.example"]
  const a = await scene.server({ domains: names, certificate: good("a.example", { names: { dns: names } }), ...piggyback })
  await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.join("b.example"))
  await scene.until(a.join("b.example", "c.example"))
  a.reload({ hosts: (name) => name !== "a.example" && names.includes(name) })
  // Where the target is served is not looked up for an assertion.
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 1, "nowhere.example"]] })
  assert.equal((await scene.until(stream.add(pairOf("e.example", "b.example"), never))).level, "authenticated")
  assert.deepEqual(stream.associations().map(({ pair }) => pair.sender), ["c.example", "e.example"])
  stream.drop([pairOf("c.example", "b.example"), pairOf("e.example", "b.example")])
  await assert.rejects(stream.add(pairOf("c.example", "b.example"), never), NotCarried)
  await scene.close()
})

const minute = 60_000
const ends: readonly (readonly [what: string, end: (stream: OutgoingStream, accepted: IncomingStream) => void, apart: number])[] = [
  ["it is closed here, since it was idle", (stream) => stream.close(), 0],
  ["the peer closes it without a word", (_stream, accepted) => accepted.close(), 10 * minute],
  ["the peer closes it because it was idle", (_stream, accepted) => accepted.close("connection-timeout"), 10 * minute],
  ["the connection breaks", (stream) => stream.channel.destroy(), 10 * minute],
  ["the peer ends it for what was asked", (_stream, accepted) => accepted.close("invalid-from"), 24 * 60 * minute],
]
for (const [what, end, apart] of ends) {
  test(`a pair is waiting for its answer while ${what}: it goes by a connection of its own, and ${apart === 0 ? "shares the next one" : `shares again after ${apart / minute} minutes`}`, async () => {
    let silent = true
    const scene = memoryScene({ link: () => ({ middle: alteredText((text) => (silent && text.includes("<db:result from='b.example'") ? "" : text)) }) })
    const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, ...piggyback })
    const b = await scene.server({ domains: ["b.example"] })
    const first = await scene.until(a.join("b.example"))
    const joining = a.join("b.example", "c.example")
    await scene.settle()
    assert.equal(a.of("dialback").filter(({ step }) => step === "result-sent").length, 1)
    end(first, b.incoming[0]!)
    await scene.until(first.closed)
    silent = false
    const alone = await scene.until(joining)
    assert.notEqual(alone, first)
    /** Whether C comes onto a stream of A's now, when its own is closed. */
    const shares = async (): Promise<boolean> => {
      for (const stream of a.outgoing) {
        stream.close()
        await scene.until(stream.closed)
      }
      const next = await scene.until(a.join("b.example"))
      return (await scene.until(a.join("b.example", "c.example"))) === next
    }
    if (apart > 0) {
      assert.equal(await shares(), false)
      await scene.clock.advance(apart - minute)
      assert.equal(await shares(), false)
      await scene.clock.advance(minute)
    }
    assert.equal(await shares(), true)
    await scene.close()
  })
}

test("DB-36: no room for a further pair: a connection of its own; no room there either: one failure, and no third try", async () => {
  let full = "c.example"
  const noRoom = "<error type='wait'><resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>"
  const link = () => ({ middle: alteredText((text) => text.replace(new RegExp(`(<db:result from='b\\.example' to='${full}') type='valid'/>`), `$1 type='error'>${noRoom}`)) })
  const scene = memoryScene({ link })
  // Where it shows no certificate the pair of a connection of its own is asked for by a key, too.
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, mute: true, require: "encrypted", ...piggyback })
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const asked = (): number => a.of("dialback").filter(({ step, pair }) => step === "result-sent" && pair.sender === "c.example").length
  const first = await scene.until(a.join("b.example"))
  await scene.until(assert.rejects(a.join("b.example", "c.example"), OutgoingRefused))
  assert.deepEqual([asked(), scene.world.connections.filter(({ to }) => to.address === b.address.address).length], [2, 2])
  full = "nobody.example"
  const own = await scene.until(a.join("b.example", "c.example"))
  assert.notEqual(own, first)
  assert.equal(asked(), 3, "the first stream is not asked again")
  assert.equal(first.ended, false)
  await scene.close()
})

test("joining has one deadline, however many streams the peer keeps that answer nothing: then a connection of its own", async () => {
  const names = ["a.example", "c.example", "e.example"]
  let silent = false
  const scene = memoryScene({ link: () => ({ middle: alteredText((text) => (silent && text.includes("<db:result from='b.example'") ? "" : text)) }) })
  const times = { negotiation: 4000, dialbackAnswer: 60_000 }
  const a = await scene.server({ domains: [...names, "f.example"], certificate: good("a.example", { names: { dns: [...names, "f.example"] } }), times, ...piggyback })
  const b = await scene.server({ domains: ["b.example"] })
  for (const sender of names) a.carriers.reachable(pairOf(sender, "b.example").target, await scene.until(a.open("b.example", sender)))
  silent = true
  const began = scene.clock.monotonic()
  const joining = a.join("b.example", "f.example")
  let asked = 0
  await scene.eventually("the first stream is asked", () => (asked = a.of("dialback").filter(({ step }) => step === "result-sent").length) > 0)
  const connections = scene.world.connections.length
  await scene.eventually("it is given up", () => scene.world.connections.length > connections)
  const took = scene.clock.monotonic() - began
  assert.ok(took >= 4000 && took < 4500, `${took} ms`)
  assert.equal((await scene.until(joining)).pair.sender, "f.example")
  assert.equal(asked, 1)
  // The others carry what they carried.
  for (const stream of a.outgoing) stream.channel.write(message(`x@${stream.pair.sender}`, "y@b.example", stream.pair.sender))
  await scene.eventually("all four", () => b.bodies.length === 4)
  await scene.close()
})

test("DB-08: answers that nobody asked for, for other pairs or in the other direction, change nothing", async () => {
  let more = ""
  const link = () => ({
    // The peer itself says what it likes behind each of its answers.
    middle: alteredText((text, towards) => (towards === "client" && text.startsWith("<db:result from='b.example' to='c.example'") ? text + more : text)),
  })
  const scene = memoryScene({ link })
  const a = await scene.server({ domains: ["a.example", "c.example", "e.example"], certificate: good("a.example", { names: { dns: ["a.example", "c.example", "e.example"] } }), ...piggyback })
  await scene.server({ domains: ["b.example"] })
  more = ["<db:result from='b.example' to='e.example' type='valid'/>", "<db:result from='e.example' to='b.example' type='valid'/>", "<db:result from='d.example' to='a.example' type='valid'/>", "<db:result from='b.example' to='c.example' type='invalid'/>", "<db:verify from='b.example' to='a.example' id='x' type='valid'/>"].join("")
  const stream = await scene.until(a.join("b.example"))
  await scene.until(a.join("b.example", "c.example"))
  await scene.settle()
  assert.deepEqual(stream.associations().map(({ pair }) => `${pair.sender} ${pair.target}`), ["a.example b.example", "c.example b.example"])
  assert.deepEqual(a.admitted, [])
  await scene.close()
})

test("a reload that ends one pair leaves the others; the last one takes the stream with it", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, ...piggyback })
  await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.join("b.example"))
  await scene.until(a.join("b.example", "c.example"))
  const gone: string[] = []
  stream.onWithdrawn = (pairs) => void gone.push(...pairs.map(({ sender }) => sender))
  a.reload({ hosts: (name) => name === "c.example" })
  assert.deepEqual(gone, ["a.example"])
  assert.deepEqual(stream.associations().map(({ pair }) => pair.sender), ["c.example"])
  a.reload({ hosts: () => false })
  const end = await scene.until(stream.closed)
  assert.equal(end.condition, "reset")
  assert.deepEqual(gone, ["a.example", "c.example"])
  await scene.close()
})

test("the peer's certificate is judged again for every further pair: what has expired carries no new one", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example", "c.example"], certificate: both, ...piggyback })
  await scene.server({ domains: ["b.example"], certificate: own("b.example") })
  await assert.rejects(scene.until(a.join("b.example")), OutgoingRefused)
  const c = await scene.server({ domains: ["d.example"] })
  const stream = await scene.until(a.join("d.example"))
  a.reload({ policy: { require: "authenticated", proofs: new Set() }, prooftypes: [] }, { recheck: false })
  await assert.rejects(stream.add(pairOf("c.example", "d.example"), never), NotCarried)
  assert.deepEqual(c.admitted.map(({ pair }) => pair.sender), ["a.example"])
  await scene.close()
})
