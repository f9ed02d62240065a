// How a connection ends (RFC 6120 4.4; TLS-13): who closes first hears the other out, nobody waits for ever, no timer is left.
import assert from "node:assert/strict"
import { test } from "node:test"
import { endWithin, partWithin } from "../../src/stream/closing.ts"
import { memoryPair } from "../world/channel.ts"
import { ManualClock, settle } from "../world/clock.ts"
import { Recorder } from "../world/recorder.ts"

function pair() {
  const clock = new ManualClock()
  const [near, far] = memoryPair({ clock })
  const peer = new Recorder()
  far.attach(peer)
  return { clock, near, far, peer }
}

test("endWithin: our end goes out at once, behind what was written; the connection goes when the peer's end comes", async () => {
  const { clock, near, far, peer } = pair()
  near.write(Buffer.from("last"))
  endWithin(near, clock, 5000)
  await settle()
  assert.equal(peer.text, "last")
  assert.equal(peer.ended, true)
  far.end()
  await settle()
  assert.equal(clock.pending, 0)
})

test("endWithin: a peer that does nothing is cut off", async () => {
  const { clock, near, far, peer } = pair()
  endWithin(near, clock, 5000)
  await clock.advance(4999)
  far.write(Buffer.from("still talking"))
  await settle()
  assert.ok(!peer.calls.includes("close"))
  await clock.advance(1)
  far.write(Buffer.from("to nobody"))
  await settle()
  assert.equal(peer.closed?.by, "reset")
  assert.equal(clock.pending, 0)
})

const answers: readonly (readonly [name: string, pieces: readonly string[]])[] = [
  ["</stream:stream>", ["</stream:stream>"]],
  ["one octet at a time, behind other things", [..."<message/></stream:stream>"]],
  ["without a prefix, with white space", ["</stream", " ", ">\n"]],
  ["with another prefix", ["</s:stream>"]],
]
for (const [name, pieces] of answers) {
  test(`partWithin: our end waits for the peer's closing tag: ${name}`, async () => {
    const { clock, near, far, peer } = pair()
    partWithin(near, clock, 5000)
    await settle()
    assert.equal(peer.ended, false)
    for (const piece of pieces) {
      assert.equal(peer.ended, false)
      far.write(Buffer.from(piece))
      await settle()
    }
    assert.equal(peer.ended, true)
    far.end()
    await settle()
    assert.equal(clock.pending, 0)
  })
}

test("partWithin: the peer's end will do; and other words will not", async () => {
  const { clock, near, far, peer } = pair()
  partWithin(near, clock, 5000)
  far.write(Buffer.from("<message>/stream:stream></message></streams>".repeat(1000)))
  await settle()
  assert.equal(peer.ended, false)
  far.end()
  await settle()
  assert.equal(peer.ended, true)
  assert.equal(clock.pending, 0)
})

test("partWithin: a second is waited at most, then a peer that does nothing is cut off", async () => {
  const { clock, near, far, peer } = pair()
  partWithin(near, clock, 5000)
  await clock.advance(999)
  assert.equal(peer.ended, false)
  await clock.advance(1)
  assert.equal(peer.ended, true)
  await clock.advance(4000)
  far.write(Buffer.from("to nobody"))
  await settle()
  assert.equal(peer.closed?.by, "reset")
  assert.equal(clock.pending, 0)
})

test("partWithin: a connection that is lost meanwhile leaves no timer", async () => {
  const { clock, near, far } = pair()
  partWithin(near, clock, 5000)
  far.write(Buffer.from("unread"))
  far.destroy()
  await settle()
  near.destroy()
  await settle()
  assert.equal(clock.pending, 0)
})
