// What every Channel must do (ports.ts Channel, TLS-13): run over TCP, TLS, a Unix socket and the in-memory pair.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Channel } from "../../src/ports.ts"
import { Recorder } from "../world/recorder.ts"

export interface ChannelPair {
  readonly a: Channel
  readonly b: Channel
  /** Lets everything that is under way happen: event loop turns, or steps of the world in memory. */
  settle(): Promise<void>
  close(): Promise<void>
}

const bytes = (text: string): Buffer => Buffer.from(text)

/** One piece of 16 KiB, to fill buffers with. */
const block = Buffer.alloc(16_384, "x")

export function channelContract(name: string, makePair: () => Promise<ChannelPair>): void {
  const it = (sentence: string, body: (pair: ChannelPair) => Promise<void>): void => {
    test(sentence, { timeout: 20_000 }, async () => {
      const pair = await makePair()
      try {
        await body(pair)
      } finally {
        await pair.close()
      }
    })
  }

  describe(`channel contract: ${name}`, () => {
    it("carries bytes both ways, in order", async ({ a, b }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      a.attach(atA)
      b.attach(atB)
      for (let n = 0; n < 100; n += 1) a.write(bytes(`${n},`))
      b.write(bytes("back"))
      await atB.untilText("99,")
      await atA.untilText("back")
      assert.equal(atB.text, [...Array(100).keys()].map((n) => `${n},`).join(""))
      assert.equal(atA.text, "back")
    })

    it("each end knows the address of the other", async ({ a, b }) => {
      assert.deepEqual(a.remote, b.local)
      assert.deepEqual(b.remote, a.local)
    })

    it("calls nothing from inside attach, write, resume, end or destroy", async ({ a, b, settle }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      b.write(bytes("early"))
      await settle()
      a.attach(atA)
      assert.deepEqual(atA.calls, [])
      await atA.untilText("early")
      b.attach(atB)
      a.write(bytes("one"))
      assert.deepEqual(atB.calls, [])
      b.pause()
      b.resume()
      assert.deepEqual(atB.calls, [])
      await atB.untilText("one")
      const before = atA.calls.length
      a.destroy()
      assert.equal(atA.calls.length, before)
      await atA.untilClosed()
    })

    it("keeps what arrives while nobody is attached", async ({ a, b, settle }) => {
      b.write(bytes("first "))
      await settle()
      b.write(bytes("second"))
      await settle()
      const atA = new Recorder()
      a.attach(atA)
      await atA.untilText("second")
      assert.equal(atA.text, "first second")
    })

    it("loses nothing between release and the next attach, even when released inside chunk", async ({ a, b, settle }) => {
      const first = new Recorder()
      const second = new Recorder()
      const chunk = first.chunk.bind(first)
      first.chunk = (piece) => {
        chunk(piece)
        a.release()
      }
      a.attach(first)
      const sent: string[] = []
      for (let n = 0; n < 200; n += 1) {
        sent.push(`<${n}>`)
        b.write(bytes(`<${n}>`))
        if (n % 20 === 0) await settle()
      }
      await first.until("a chunk", (seen) => seen.length > 0)
      await settle()
      assert.equal(first.chunks.length, 1, "no chunk after release")
      a.attach(second)
      await second.untilText("<199>")
      assert.equal(first.text + second.text, sent.join(""))
    })

    it("is silent while paused, and an attach reads again", async ({ a, b, settle }) => {
      const atA = new Recorder()
      a.attach(atA)
      a.pause()
      b.write(bytes("held"))
      b.end()
      await settle()
      assert.deepEqual(atA.calls, [])
      a.resume()
      await atA.until("the end", (seen) => seen.ended)
      assert.equal(atA.text, "held")

      const next = new Recorder()
      a.pause()
      a.attach(next)
      await next.until("the end, told again", (seen) => seen.ended)
    })

    it("a paused reader pushes back: the writer's backlog grows, write says false, then drain", async ({ a, b }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      a.attach(atA)
      a.pause()
      b.attach(atB)
      assert.equal(b.backlog, 0)
      let blocks = 0
      // The kernel takes some megabytes first. The bound fails the test instead of filling memory.
      for (let full = 0; full < 8 && blocks < 4096; blocks += 1) {
        if (!b.write(block)) full += 1
        if (blocks % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
      }
      assert.ok(blocks < 4096, "write never said false")
      assert.ok(b.backlog > 0)
      assert.equal(atA.length, 0)
      assert.ok(!atB.calls.includes("drain"))
      a.resume()
      await atB.until("drain", (seen) => seen.calls.includes("drain"))
      assert.equal(b.backlog, 0)
      await atA.until("all bytes", (seen) => seen.length === blocks * block.length)
      assert.equal(atB.calls.filter((call) => call === "drain").length, 1)
    })

    it("a half-closed channel still carries the other way, then both ends close in peace", async ({ a, b, settle }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      a.attach(atA)
      b.attach(atB)
      a.write(bytes("last words"))
      a.end()
      await atB.until("the end", (seen) => seen.ended)
      assert.equal(atB.text, "last words")
      await settle()
      assert.ok(!atB.calls.includes("close"), "the other direction stays open")
      b.write(bytes("and mine"))
      b.end()
      await atA.untilClosed()
      await atB.untilClosed()
      assert.equal(atA.text, "and mine")
      assert.deepEqual(atA.calls.slice(-2), ["end", "close"])
      assert.equal(atA.closed?.by, "peer")
      assert.equal(atB.closed?.by, "peer")
    })

    it("end sends what is queued first", async ({ a, b }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      a.attach(atA)
      b.attach(atB)
      for (let n = 0; n < 100; n += 1) b.write(block)
      b.end()
      await atA.until("the end", (seen) => seen.ended)
      assert.equal(atA.length, 100 * block.length)
    })

    it("destroy: close by local here, by somebody else there, each told once and last", async ({ a, b, settle }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      a.attach(atA)
      b.attach(atB)
      a.destroy()
      a.destroy()
      await atA.untilClosed()
      await atB.until("end or close", (seen) => seen.ended || seen.closed !== undefined)
      b.destroy()
      await atB.untilClosed()
      await settle()
      assert.equal(atA.closed?.by, "local")
      assert.deepEqual(atA.calls, ["close"])
      assert.equal(atB.calls.filter((call) => call === "close").length, 1)
      assert.equal(atB.calls.at(-1), "close")
    })

    it("after the end of it all, write says false and nothing throws", async ({ a, b, settle }) => {
      const atA = new Recorder()
      a.attach(atA)
      a.destroy()
      await atA.untilClosed()
      assert.equal(a.write(bytes("nobody")), false)
      a.end()
      a.pause()
      a.resume()
      a.release()
      b.destroy()
      await settle()
      assert.equal(atA.calls.filter((call) => call === "close").length, 1)
    })

    it("write after end says false and sends nothing", async ({ a, b }) => {
      const atA = new Recorder()
      const atB = new Recorder()
      a.attach(atA)
      b.attach(atB)
      a.end()
      assert.equal(a.write(bytes("too late")), false)
      await atB.until("the end", (seen) => seen.ended)
      assert.equal(atB.text, "")
    })

    it("a close that happens while nobody is attached is told to the next handler", async ({ a, b, settle }) => {
      a.destroy()
      await settle()
      const late = new Recorder()
      a.attach(late)
      await late.untilClosed()
      assert.equal(late.closed?.by, "local")
      b.destroy()
      await settle()
    })

    it("a handler that replaces another takes over from the next chunk on", async ({ a, b }) => {
      const first = new Recorder()
      const second = new Recorder()
      a.attach(first)
      b.write(bytes("one"))
      await first.untilText("one")
      a.attach(second)
      b.write(bytes("two"))
      await second.untilText("two")
      assert.equal(first.text, "one")
      assert.equal(second.text, "two")
    })

    it("pause inside chunk holds the rest back", async ({ a, b, settle }) => {
      const atA = new Recorder()
      const chunk = atA.chunk.bind(atA)
      atA.chunk = (piece) => {
        chunk(piece)
        a.pause()
      }
      a.attach(atA)
      for (let n = 0; n < 20; n += 1) {
        b.write(block)
        await settle()
      }
      await atA.until("a chunk", (seen) => seen.length > 0)
      await settle()
      assert.equal(atA.chunks.length, 1)
      atA.chunk = chunk
      a.resume()
      await atA.until("the rest", (seen) => seen.length === 20 * block.length)
    })
  })
}
