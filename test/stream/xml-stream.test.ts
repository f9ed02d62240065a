// Input of a stream that is negotiated (security.md 24): at most one chunk beside the one being read, and one listener on its deadline.
import assert from "node:assert/strict"
import { getEventListeners } from "node:events"
import { test } from "node:test"
import { ProtocolError, StreamClosed } from "../../src/model/errors.ts"
import type { Channel, ChannelHandler } from "../../src/ports.ts"
import { XmlStream } from "../../src/stream/xml-stream.ts"

const header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
const limits = { stanzaBytes: 10_000, depth: 10 }
const local = { address: "127.0.0.2", port: 5269 }

/** A channel of which is known whether it may deliver. */
class Source implements Channel {
  readonly remote = local
  readonly local = local
  readonly backlog = 0
  paused = false
  handler: ChannelHandler | undefined
  switches = 0
  written = ""

  attach(handler: ChannelHandler): void {
    this.handler = handler
  }
  release(): void {
    this.handler = undefined
  }
  write(bytes: Uint8Array): boolean {
    this.written += Buffer.from(bytes).toString()
    return true
  }
  pause(): void {
    this.paused = true
    this.switches += 1
  }
  resume(): void {
    this.paused = false
    this.switches += 1
  }
  end(): void {
    this.handler = undefined
  }
  destroy(): void {
    this.handler = undefined
  }
  say(text: string): void {
    assert.equal(this.paused, false, "it was told to wait")
    this.handler?.chunk(Buffer.from(text))
  }
}

test("what comes before anybody asked for it is one chunk and one more; the rest waits with the peer", async () => {
  const source = new Source()
  const stream = new XmlStream(source, limits)
  const { signal } = new AbortController()
  source.say(header)
  assert.equal(source.paused, false)
  source.say("<a/><b/>")
  assert.equal(source.paused, true)
  assert.equal((await stream.header(signal)).name, "stream")
  assert.equal((await stream.element(signal)).name, "a")
  assert.equal(source.paused, true, "there is still something to read")
  assert.equal((await stream.element(signal)).name, "b")
  const next = stream.element(signal)
  assert.equal(source.paused, false)
  source.say("<c/>")
  assert.equal((await next).name, "c")
})

test("who reads as fast as the peer writes never stops it", async () => {
  const source = new Source()
  const stream = new XmlStream(source, limits)
  const { signal } = new AbortController()
  const opened = stream.header(signal)
  const before = source.switches
  source.say(header)
  await opened
  for (let n = 0; n < 10; n += 1) {
    const element = stream.element(signal)
    source.say(`<e${n}/>`)
    assert.equal((await element).name, `e${n}`)
  }
  assert.equal(source.switches, before)
})

test("a deadline is listened to once for all steps, ends the wait, and is let go of with the stream", async () => {
  const source = new Source()
  const stream = new XmlStream(source, limits)
  const first = new AbortController()
  const second = new AbortController()
  const listeners = () => [first, second].map(({ signal }) => getEventListeners(signal, "abort").length)
  const opened = stream.header(first.signal)
  source.say(header)
  await opened
  const element = stream.element(first.signal)
  source.say("<a/>")
  await element
  assert.deepEqual(listeners(), [1, 0])
  const late = stream.element(second.signal)
  assert.deepEqual(listeners(), [0, 1])
  first.abort(new Error("nobody waits with this one"))
  second.abort(new Error("too late"))
  await assert.rejects(late, /too late/)
  await assert.rejects(stream.element(first.signal), /nobody waits/)
  const third = new AbortController()
  const last = stream.element(third.signal)
  source.say("<b/>")
  await last
  stream.detach()
  assert.equal(getEventListeners(third.signal, "abort").length, 0)
})

test("a stream that has ended lets go of the signal of who waited: it may be there for as long as the process", async () => {
  const forever = new AbortController().signal
  const listeners = (): number => getEventListeners(forever, "abort").length
  const lost = new Source()
  const waiting = new XmlStream(lost, limits).header(forever)
  assert.equal(listeners(), 1)
  lost.handler?.close({ by: "peer" })
  await assert.rejects(waiting, StreamClosed)
  const broken = new Source()
  const stream = new XmlStream(broken, limits)
  const opened = stream.header(forever)
  broken.say(header)
  await opened
  const element = stream.element(forever)
  broken.say("<a></b>")
  await assert.rejects(element, ProtocolError)
  await assert.rejects(stream.element(forever), ProtocolError)
  const closed = new Source()
  const ours = new XmlStream(closed, limits)
  const { handler } = closed
  const end = ours.header(forever)
  ours.close()
  handler?.close({ by: "local" })
  await assert.rejects(end, StreamClosed)
  assert.equal(listeners(), 0)
})

test("whose peer has said all and ended its side while nobody waited gets what we say; who waits then hears of it", async () => {
  const source = new Source()
  const stream = new XmlStream(source, limits)
  const { signal } = new AbortController()
  source.say(`${header}<a/>`)
  await stream.header(signal)
  source.handler?.end()
  assert.equal((await stream.element(signal)).name, "a")
  stream.lastWords("not-authorized")
  assert.match(source.written, /<not-authorized .*<\/stream:stream>/s)
  const other = new Source()
  const waiting = new XmlStream(other, limits)
  other.handler?.end()
  await assert.rejects(waiting.header(signal), /the peer closed the connection/)
  await assert.rejects(waiting.header(signal), /the peer closed the connection/)
})
