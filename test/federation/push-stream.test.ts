// The push stream: what the negotiation left unread is read as all that follows it.
import assert from "node:assert/strict"
import { test } from "node:test"
import { PushStream } from "../../src/federation/push-stream.ts"
import { ns } from "../../src/model/namespaces.ts"
import { partBytes, sliceBytes } from "../../src/stream/slices.ts"
import { ManualClock } from "../world/clock.ts"
import type { ChannelHandler } from "../../src/ports.ts"

const claim = (n: number): string => `<db:result from='f${n}.example' to='b.example'>key</db:result>`

/** A stream of a peer that has to rest, whose negotiation left this unread, and what its owner is told. */
function started(unread: string) {
  const clock = new ManualClock()
  const elements: string[] = []
  let handler: ChannelHandler | undefined
  let flows = false
  const place = { address: "127.0.0.1", port: 1 }
  const channel = {
    remote: place,
    local: place,
    backlog: 0,
    write: () => true,
    pause: () => void (flows = false),
    resume: () => void (flows = true),
    attach: (given: ChannelHandler) => void (handler = given),
    release: () => {},
    end: () => {},
    destroy: () => {},
  }
  const push = new PushStream(
    { channel, unread: Buffer.from(unread), scope: [["", ns.server], ["db", ns.dialback], ["stream", ns.streams]], rootName: "stream:stream", lang: "" },
    { stanza: () => {}, element: ({ attributes }) => void elements.push(attributes.find(({ name }) => name === "from")!.value), flushed: () => {}, drain: () => {} },
    { content: ns.server, limits: { stanza: 65_536, unauthenticatedStanza: 65_536, depth: 10, pendingClaims: 100 }, clock, closing: 1000, rest: () => 1 },
  )
  push.start()
  return { clock, elements, hear: (text: string) => handler!.chunk(Buffer.from(text)), flows: () => flows, push }
}

test("attack: claims sent ahead, behind what ended the negotiation, are read a slice a turn, before what comes later", async () => {
  const one = started(Array.from({ length: 800 }, (_, n) => claim(n)).join(""))
  assert.ok(one.elements.length > 0 && one.elements.length <= (sliceBytes + 2 * partBytes) / claim(0).length, `${one.elements.length} at once`)
  assert.equal(one.flows(), false)
  one.hear(claim(800))
  await one.clock.advance(100)
  assert.deepEqual(one.elements, Array.from({ length: 801 }, (_, n) => `f${n}.example`))
  assert.equal(one.flows(), true)
})

test("stanzas of unusual form are handed on as they come, a flood of them a slice a turn", () => {
  const unusual = (size: number, count: number): string => `<message from='f.example' to='b.example'><x:x xmlns:x='urn:example:x'>${"-".repeat(size)}</x:x></message>`.repeat(count)
  const one = started("")
  one.hear(unusual(200, 200))
  assert.deepEqual([one.elements.length, one.clock.pending], [200, 0])
  const many = started("")
  many.hear(unusual(0, 1000))
  assert.ok(many.elements.length < 200, `${many.elements.length}`)
  assert.equal(many.clock.pending, 1)
})

test("what is unread and no labour is read at once", () => {
  const one = started(claim(0))
  assert.deepEqual([one.elements, one.flows(), one.clock.pending], [["f0.example"], true, 0])
})
