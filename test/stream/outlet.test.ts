// Outlets: one write a chunk, bounded queues, loss that is counted, and pressure on the right input.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"

import { FlushList, InputPressure, Outlet } from "../../src/stream/outlet.ts"
import { Relay } from "../../src/stream/relay.ts"
import { LateChannel } from "./retention-support.ts"

/** A channel that takes bytes only when told to, and keeps what it took. */
class SlowChannel extends LateChannel {
  readonly taken: Buffer[] = []

  /** The kernel takes everything. */
  drain(): string {
    this.taken.push(...this.writes.map((bytes) => Buffer.from(bytes)))
    return this.read()
  }
}

const wide = 1 << 20

function put(outlet: Outlet, text: string, input?: InputPressure): string {
  const around = Buffer.from(`##${text}##`)
  const result = outlet.append(around, 2, around.length - 2, input)
  around.fill(0x21)
  return result
}

function texts(taken: Iterable<Buffer>): string[] {
  return Array.from(taken, (bytes) => bytes.toString())
}

describe("Outlet", () => {
  test("waits, then writes everything at once when a channel comes", () => {
    const outlet = new Outlet({ limit: wide })
    assert.equal(outlet.state, "waiting")
    assert.equal(put(outlet, "<a/>"), "queued")
    assert.equal(outlet.appendText("<ü/>"), "queued")
    outlet.flush()
    assert.deepEqual([outlet.unsent, outlet.unsentBytes, outlet.written], [2, 9, 0])
    const channel = new SlowChannel()
    outlet.attach(channel)
    assert.equal(outlet.state, "attached")
    assert.equal(channel.writes.length, 1)
    assert.equal(channel.drain(), "<a/><ü/>")
    assert.deepEqual([outlet.unsent, outlet.unsentBytes, outlet.written], [0, 0, 2])
  })

  test("one write for all that a chunk filled", () => {
    const flushes = new FlushList()
    const [one, two] = [new Outlet({ limit: wide, flushes }), new Outlet({ limit: wide, flushes })]
    const [first, second] = [new SlowChannel(), new SlowChannel()]
    one.attach(first)
    two.attach(second)
    for (let index = 0; index < 5; index += 1) {
      put(one, `<a${index}/>`)
      put(two, `<b${index}/>`)
    }
    assert.equal(first.writes.length, 0)
    flushes.flush()
    assert.equal(first.writes.length, 1)
    assert.equal(second.writes.length, 1)
    assert.equal(second.drain(), "<b0/><b1/><b2/><b3/><b4/>")
    flushes.flush()
    assert.equal(first.writes.length, 1)
  })

  test("what a channel still holds is never overwritten", () => {
    const outlet = new Outlet({ limit: wide })
    const channel = new SlowChannel()
    outlet.attach(channel)
    let expected = ""
    for (let round = 0; round < 400; round += 1) {
      const text = `<m n='${round}'>${"y".repeat((round * 37) % 900)}</m>`
      expected += text
      put(outlet, text)
      outlet.flush()
    }
    assert.equal(channel.drain(), expected)
  })

  test("memory of what a channel has taken is used again", () => {
    const outlet = new Outlet({ limit: wide })
    const channel = new SlowChannel()
    outlet.attach(channel)
    const memory = new Set<ArrayBufferLike>()
    for (let round = 0; round < 200; round += 1) {
      let text = ""
      for (let stanza = 0; stanza < 6; stanza += 1) {
        const one = "z".repeat(500)
        text += one
        put(outlet, one)
      }
      outlet.flush()
      for (const bytes of channel.writes) memory.add(bytes.buffer)
      assert.equal(channel.drain(), text)
    }
    assert.ok(memory.size <= 2, `${memory.size} blocks`)
  })

  test("a busy channel keeps the rest bounceable until it has drained", () => {
    const outlet = new Outlet({ limit: wide })
    const channel = new SlowChannel(4)
    outlet.attach(channel)
    put(outlet, "<a/>")
    outlet.flush()
    put(outlet, "<b/>")
    outlet.flush()
    assert.deepEqual([outlet.written, outlet.unsent, channel.writes.length], [1, 1, 1])
    assert.equal(channel.drain(), "<a/>")
    outlet.drained()
    assert.equal(channel.drain(), "<b/>")
    assert.deepEqual([outlet.written, outlet.unsent], [2, 0])
  })

  test("over its limit new stanzas are refused, the queued ones stay", () => {
    const outlet = new Outlet({ limit: 100 })
    assert.equal(put(outlet, "x".repeat(60)), "queued")
    assert.equal(put(outlet, "x".repeat(41)), "full")
    assert.equal(outlet.appendText("x".repeat(41)), "full")
    assert.equal(put(outlet, "x".repeat(40)), "queued")
    assert.equal(put(outlet, "x"), "full")
    assert.equal(outlet.unsent, 2)
    outlet.attach(new SlowChannel())
    assert.equal(put(outlet, "x"), "queued")
  })

  test("one element is taken however large it is", () => {
    const outlet = new Outlet({ limit: 100 })
    assert.equal(put(outlet, "x".repeat(70_000)), "queued")
    assert.equal(put(outlet, "x"), "full")
  })

  test("take gives back what was not handed over, in order, and empties the queue at once", () => {
    const outlet = new Outlet({ limit: wide })
    const expected: string[] = []
    for (let index = 0; index < 500; index += 1) {
      const text = `<m>${index}${"w".repeat((index * 61) % 700)}</m>`
      expected.push(text)
      put(outlet, text)
    }
    const taken = outlet.take()
    assert.equal(outlet.unsent, 0)
    put(outlet, "<later/>")
    assert.deepEqual(texts(taken), expected)
    assert.deepEqual(texts(outlet.take()), ["<later/>"])
    assert.deepEqual(texts(outlet.take()), [])
  })

  test("when a stream breaks the unsent stays and what may be lost is counted", () => {
    const outlet = new Outlet({ limit: wide })
    const channel = new SlowChannel(10)
    outlet.attach(channel)
    put(outlet, "<a/>")
    outlet.flush()
    channel.drain()
    put(outlet, "<b/>")
    put(outlet, "<c/>")
    outlet.flush()
    put(outlet, "<d/>")
    outlet.flush()
    put(outlet, "<e/>")
    outlet.flush()
    assert.equal(outlet.unacknowledged, 3)
    assert.equal(outlet.detach(), 3)
    assert.deepEqual([outlet.state, outlet.unsent, outlet.written], ["waiting", 1, 4])
    const next = new SlowChannel()
    outlet.attach(next)
    assert.equal(next.drain(), "<e/>")
    assert.equal(channel.drain(), "<b/><c/><d/>")
    assert.equal(outlet.detach(), 0)
  })

  test("half a write that the kernel took counts half", () => {
    const outlet = new Outlet({ limit: wide })
    const channel = new SlowChannel()
    outlet.attach(channel)
    for (let index = 0; index < 10; index += 1) put(outlet, "<a/>")
    outlet.flush()
    channel.backlog = 9
    assert.equal(outlet.unacknowledged, 3)
    for (let index = 0; index < 500; index += 1) {
      put(outlet, "<a/>")
      outlet.flush()
    }
    channel.backlog = 9
    assert.equal(outlet.unacknowledged, 3)
    channel.backlog = 2040
    assert.equal(outlet.unacknowledged, 510)
  })

  test("what an old channel holds survives the next one", () => {
    const outlet = new Outlet({ limit: wide })
    const old = new SlowChannel()
    outlet.attach(old)
    put(outlet, "<old/>")
    outlet.flush()
    outlet.detach()
    const next = new SlowChannel()
    outlet.attach(next)
    for (let index = 0; index < 3; index += 1) {
      put(outlet, "<new/>")
      outlet.flush()
      next.drain()
    }
    assert.equal(old.drain(), "<old/>")
  })

  test("a closed outlet takes nothing, and gives back what it had", () => {
    const outlet = new Outlet({ limit: wide })
    put(outlet, "<a/>")
    outlet.close()
    assert.equal(outlet.state, "closed")
    assert.equal(put(outlet, "<b/>"), "closed")
    const channel = new SlowChannel()
    outlet.attach(channel)
    assert.equal(channel.writes.length, 0)
    assert.deepEqual(texts(outlet.take()), ["<a/>"])
  })

  test("a view is copied with the language of its stream", () => {
    const outlet = new Outlet({ limit: wide })
    const relay = new Relay({
      contentNs: "jabber:server",
      scope: [["", "jabber:server"]],
      rootName: "stream",
      unread: Buffer.alloc(0),
      xmlLang: "de",
      handler: {
        stanza: (view) => outlet.appendView(view),
        tree: () => assert.fail("not here"),
        closeTag: () => undefined,
        failed: (error) => assert.fail(error),
        flushed: () => outlet.flush(),
      },
    })
    const chunk = Buffer.from("<message to='x'><body>y</body></message><iq xml:lang='fr'/>")
    relay.chunk(chunk)
    chunk.fill(0x21)
    const channel = new SlowChannel()
    outlet.attach(channel)
    assert.equal(channel.drain(), "<message xml:lang='de' to='x'><body>y</body></message><iq xml:lang='fr'/>")
  })

  test("trim keeps what is queued", () => {
    const outlet = new Outlet({ limit: wide })
    const channel = new SlowChannel()
    put(outlet, "<a/>")
    outlet.trim()
    outlet.attach(channel)
    outlet.trim()
    put(outlet, "<b/>")
    outlet.flush()
    assert.equal(channel.drain(), "<a/><b/>")
  })

  test("property: every stanza is written once or taken once, in order, whatever happens", () => {
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ do: fc.constant("append" as const), size: fc.integer({ min: 1, max: 3000 }) }) },
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constantFrom("flush" as const, "drain" as const, "trim" as const), size: fc.constant(0) }),
      },
      {
        weight: 1,
        arbitrary: fc.record({ do: fc.constantFrom("attach" as const, "detach" as const, "take" as const), size: fc.constant(0) }),
      },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const outlet = new Outlet({ limit: 20_000 })
        const pressure = new InputPressure(5_000, { pause: () => undefined, resume: () => undefined })
        const seen: string[] = []
        const queued: string[] = []
        const channels: SlowChannel[] = []
        let current: SlowChannel | undefined
        let next = 0
        const collect = () => {
          // Only what the newest channel was given is new; read late, so that overwriting would show.
          for (const channel of channels.splice(0))
            seen.push(
              ...channel
                .drain()
                .split(/(?<=;)/)
                .filter(Boolean),
            )
          if (current !== undefined) channels.push(current)
        }
        for (const { do: what, size } of steps) {
          if (what === "append") {
            const text = `${next}${"-".repeat(size)};`
            const unsent = outlet.unsentBytes
            const result = put(outlet, text, pressure)
            assert.equal(result, unsent > 0 && unsent + text.length > 20_000 ? "full" : "queued")
            if (result === "queued") queued.push(text)
            next += 1
          } else if (what === "flush") outlet.flush()
          else if (what === "trim") outlet.trim()
          else if (what === "drain") {
            collect()
            outlet.drained()
          } else if (what === "attach" && current === undefined) {
            current = new SlowChannel(4_000)
            channels.push(current)
            outlet.attach(current)
          } else if (what === "detach" && current !== undefined) {
            outlet.detach()
            collect()
            channels.length = 0
            current = undefined
          } else if (what === "take") {
            const taken = texts(outlet.take())
            collect()
            seen.push(...taken)
          }
          assert.equal(pressure.queued, outlet.unsentBytes)
        }
        collect()
        seen.push(...texts(outlet.take()))
        assert.deepEqual(seen, queued)
        assert.equal(pressure.queued, 0)
      }),
      { numRuns: 300 },
    )
  })
})

describe("InputPressure", () => {
  function gate(): { calls: string[]; pause(): void; resume(): void } {
    const calls: string[] = []
    return { calls, pause: () => calls.push("pause"), resume: () => calls.push("resume") }
  }

  test("pauses over the limit, resumes at half of it, once each", () => {
    const reading = gate()
    const pressure = new InputPressure(100, reading)
    pressure.add(100)
    assert.deepEqual(reading.calls, [])
    pressure.add(1)
    pressure.add(50)
    assert.equal(pressure.paused, true)
    pressure.release(60)
    assert.deepEqual(reading.calls, ["pause"])
    pressure.release(41)
    pressure.release(50)
    assert.deepEqual(reading.calls, ["pause", "resume"])
  })

  test("one slow destination that another input fills stalls nobody else", () => {
    const [fillerGate, otherGate] = [gate(), gate()]
    const filler = new InputPressure(1000, fillerGate)
    const other = new InputPressure(1000, otherGate)
    const slow = new Outlet({ limit: 5000 })
    const fast = new Outlet({ limit: 5000 })
    const channel = new SlowChannel()
    fast.attach(channel)
    for (let index = 0; index < 20; index += 1) {
      put(slow, "f".repeat(90), filler)
      put(slow, "o".repeat(10), other)
      put(fast, "o".repeat(200), other)
      fast.flush()
    }
    assert.deepEqual(fillerGate.calls, ["pause"])
    assert.deepEqual(otherGate.calls, [])
    assert.equal(other.queued, 200)
    assert.equal(channel.drain().length, 4000)
    assert.equal(texts(slow.take()).length, 40)
    assert.deepEqual(fillerGate.calls, ["pause", "resume"])
    assert.deepEqual([filler.queued, other.queued], [0, 0])
  })

  test("one input and one dead destination: it bounces before the input is stalled", () => {
    const reading = gate()
    const pressure = new InputPressure(4000, reading)
    const dead = new Outlet({ limit: 1000 })
    const results = new Set<string>()
    for (let index = 0; index < 100; index += 1) results.add(put(dead, "d".repeat(100), pressure))
    assert.deepEqual([...results], ["queued", "full"])
    assert.deepEqual(reading.calls, [])
  })

  test("what nobody is charged for is not given back to anybody", () => {
    const reading = gate()
    const pressure = new InputPressure(1000, reading)
    const outlet = new Outlet({ limit: 5000 })
    put(outlet, "a".repeat(100))
    put(outlet, "b".repeat(100), pressure)
    put(outlet, "c".repeat(100))
    assert.equal(pressure.queued, 100)
    outlet.attach(new SlowChannel())
    assert.equal(pressure.queued, 0)
  })

  test("resuming may bring more bytes at once without upsetting the order", () => {
    const outlet = new Outlet({ limit: 5000 })
    let more = 3
    const pressure: InputPressure = new InputPressure(3, {
      pause: () => undefined,
      resume() {
        if (more === 0) return
        more -= 1
        put(outlet, `<${more}/>`, pressure)
        outlet.flush()
      },
    })
    put(outlet, "<first/>", pressure)
    const channel = new SlowChannel()
    outlet.attach(channel)
    assert.equal(channel.drain(), "<first/><2/><1/><0/>")
    assert.equal(pressure.queued, 0)
  })
})
