// Outlets that keep what they wrote until it is acknowledged: nothing is lost, nothing doubled, and memory is bounded (SM-3, SM-7).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"

import { Outlet } from "../../src/stream/outlet.ts"
import { RetainedLoad, type Retention } from "../../src/stream/retention.ts"
import { asked, keep, LateChannel, put, told } from "./retention-support.ts"

describe("an outlet that retains", () => {
  test("what was written stays until it is acknowledged, oldest first", () => {
    const outlet = new Outlet({ limit: 1000 })
    const channel = new LateChannel()
    outlet.attach(channel, keep())
    put(outlet, "<a/>", "<bb/>")
    outlet.flush()
    put(outlet, "<c/>")
    outlet.flush()
    assert.equal(channel.read(), "<a/><bb/><c/>")
    assert.deepEqual([outlet.unacknowledged, outlet.unacknowledgedBytes, outlet.unsent, outlet.written], [3, 13, 0, 3])
    outlet.acknowledge(1)
    assert.deepEqual([outlet.unacknowledged, outlet.unacknowledgedBytes], [2, 9])
    assert.equal(outlet.detach(), 0)
    put(outlet, "<d/>")
    assert.deepEqual(told(outlet.takeEverything()), ["<bb/> 1", "<c/> 1", "<d/> 0"])
    assert.deepEqual([outlet.unacknowledged, outlet.unsent], [0, 0])
  })

  test("what comes back is sent once more, and comes back marked the second time", () => {
    const outlet = new Outlet({ limit: 1000 })
    outlet.attach(new LateChannel(), keep())
    put(outlet, "<a/>", "<b/>")
    outlet.flush()
    outlet.acknowledge(1)
    outlet.detach()
    put(outlet, "<c/>")
    for (const taken of outlet.takeEverything()) assert.equal(outlet.appendTaken(taken), "queued")
    const next = new LateChannel()
    outlet.attach(next, keep())
    assert.equal(next.read(), "<b/><c/>")
    outlet.detach()
    assert.deepEqual(told(outlet.takeUnacknowledged()), ["<b/> 2", "<c/> 1"])
  })

  test("a resumed stream says what had arrived: the rest was never written", () => {
    const outlet = new Outlet({ limit: 1000 })
    outlet.attach(new LateChannel(), keep())
    put(outlet, "<a/>", "<b/>", "<c/>")
    outlet.flush()
    outlet.detach()
    assert.deepEqual(told(outlet.takeUnacknowledged(2)), ["<c/> 0"])
    assert.throws(() => outlet.takeUnacknowledged(1), RangeError)
  })

  test("what an earlier stream left must be taken before the next", () => {
    const outlet = new Outlet({ limit: 1000 })
    outlet.attach(new LateChannel(), keep())
    put(outlet, "<a/>")
    outlet.flush()
    assert.throws(() => outlet.takeUnacknowledged(), /still carries/)
    outlet.detach()
    assert.throws(() => outlet.attach(new LateChannel()), /was not taken/)
  })

  test("nobody can acknowledge what was not written", () => {
    const outlet = new Outlet({ limit: 1000 })
    outlet.attach(new LateChannel(), keep())
    put(outlet, "<a/>")
    outlet.flush()
    put(outlet, "<b/>")
    assert.throws(() => outlet.acknowledge(2), RangeError)
    assert.equal(outlet.unacknowledged, 1)
  })

  test("beyond its limit nothing more is written until acknowledgements come; then the queue fills and bounces", () => {
    const outlet = new Outlet({ limit: 10 })
    const channel = new LateChannel()
    outlet.attach(channel, keep(8))
    put(outlet, "<a/>")
    outlet.flush()
    put(outlet, "<b/>")
    outlet.flush()
    put(outlet, "<c/>", "<d/>")
    outlet.flush()
    assert.equal(channel.read(), "<a/><b/>")
    assert.equal(outlet.appendText("<e/>"), "full")
    assert.deepEqual([outlet.unacknowledged, outlet.unsent], [2, 2])
    outlet.acknowledge(1)
    assert.equal(channel.read(), "<c/><d/>")
    assert.deepEqual([outlet.unacknowledged, outlet.unsent], [3, 0])
  })

  test("one write is let through, however large it is", () => {
    const outlet = new Outlet({ limit: 10 })
    const channel = new LateChannel()
    outlet.attach(channel, keep(1))
    put(outlet, "x".repeat(70_000))
    outlet.flush()
    assert.equal(channel.read().length, 70_000)
  })

  test("a request goes with the batch, in the same write, and is no stanza", () => {
    const outlet = new Outlet({ limit: 1 << 20 })
    const channel = new LateChannel()
    const pauses: boolean[] = []
    outlet.attach(channel, {
      limit: 1 << 20,
      request(pausing) {
        pauses.push(pausing)
        return pausing ? asked : undefined
      },
    })
    put(outlet, "<a/>", "<b/>")
    outlet.flush()
    put(outlet, "<c/>")
    outlet.flush()
    assert.deepEqual([channel.writes.length, pauses.length], [2, 2])
    assert.equal(channel.read(), "<a/><b/><r/><c/><r/>")
    put(outlet, "x".repeat(1024), "<d/>")
    outlet.flush()
    assert.deepEqual(pauses, [true, true, false, true])
    assert.equal(channel.read(), `${"x".repeat(1024)}<d/><r/>`)
    outlet.detach()
    assert.deepEqual(told(outlet.takeUnacknowledged()), ["<a/> 1", "<b/> 1", "<c/> 1", `${"x".repeat(1024)} 1`, "<d/> 1"])
  })

  test("a request that finds no room in its block is a write of its own", () => {
    const outlet = new Outlet({ limit: 1 << 20 })
    const channel = new LateChannel()
    outlet.attach(channel, { limit: 1 << 20, request: () => asked })
    put(outlet, "x".repeat(1022))
    outlet.flush()
    assert.equal(channel.writes.length, 2)
    assert.equal(channel.read(), `${"x".repeat(1022)}<r/>`)
    assert.equal(outlet.unacknowledged, 1)
  })

  test("switched on in the middle it counts from there; switched off it forgets", () => {
    const load = new RetainedLoad(1000)
    const outlet = new Outlet({ limit: 1000 })
    const channel = new LateChannel()
    outlet.attach(channel)
    put(outlet, "<a/>")
    outlet.flush()
    outlet.retain(keep(4, load.part("peer")))
    put(outlet, "<b/>")
    outlet.flush()
    put(outlet, "<c/>")
    outlet.flush()
    assert.equal(outlet.unacknowledged, 1)
    outlet.retain(undefined)
    assert.equal(channel.read(), "<a/><b/><c/>")
    assert.deepEqual([outlet.unacknowledged, outlet.unsent, load.bytes], [0, 0, 0])
    outlet.detach()
    assert.deepEqual(told(outlet.takeEverything()), [])
  })

  test("what was written before retention and is still held when the stream breaks is counted", () => {
    const outlet = new Outlet({ limit: 1000 })
    outlet.attach(new LateChannel())
    put(outlet, "<a/>", "<b/>")
    outlet.flush()
    outlet.retain(keep())
    put(outlet, "<c/>")
    outlet.flush()
    assert.equal(outlet.detach(), 2)
    assert.deepEqual(told(outlet.takeUnacknowledged()), ["<c/> 1"])
  })

  test("SM-7: what was written once and waits again is known to have been, also when an attached queue is sorted out", () => {
    const outlet = new Outlet({ limit: 1000 })
    const channel = new LateChannel(1)
    outlet.attach(channel)
    outlet.appendText("<full/>")
    outlet.flush()
    outlet.appendTaken({ stanza: Buffer.from("<again/>"), writes: 1 })
    outlet.appendText("<first/>")
    const taken = [...outlet.takeQueued()].map(({ stanza, writes }) => [String(stanza), writes])
    assert.deepEqual(taken, [
      ["<again/>", 1],
      ["<first/>", 0],
    ])
    assert.deepEqual([outlet.unsent, outlet.unsentBytes], [0, 0])
  })

  test("memory that is acknowledged and read is used again", () => {
    const outlet = new Outlet({ limit: 1 << 22 })
    const channel = new LateChannel()
    outlet.attach(channel, keep(1 << 22))
    const memory = new Set<ArrayBufferLike>()
    for (let round = 0; round < 300; round += 1) {
      for (let stanza = 0; stanza < 20; stanza += 1) put(outlet, "z".repeat(1000))
      outlet.flush()
      for (const bytes of channel.writes) memory.add(bytes.buffer)
      assert.equal(channel.read(), "z".repeat(20_000))
      outlet.drained()
      // Two rounds behind, as a peer some way off is.
      if (round >= 2) outlet.acknowledge(20)
    }
    assert.ok(memory.size <= 8, `${memory.size} blocks`)
  })

  test("memory is not used again before it was read, even when it was acknowledged", () => {
    const outlet = new Outlet({ limit: 1 << 22 })
    const channel = new LateChannel()
    outlet.attach(channel, keep(1 << 22))
    let expected = ""
    for (let round = 0; round < 100; round += 1) {
      for (let stanza = 0; stanza < 20; stanza += 1) {
        const text = `${round}.${stanza}`.padEnd(1000, ".")
        expected += text
        put(outlet, text)
      }
      outlet.flush()
      outlet.acknowledge(20)
    }
    assert.equal(channel.read(), expected)
  })

  test("what a broken channel was given is never overwritten for the next one", () => {
    const outlet = new Outlet({ limit: 1 << 22 })
    const broken = new LateChannel()
    outlet.attach(broken, keep(1 << 22))
    const fill = (name: string): string => {
      let filled = ""
      for (let stanza = 0; stanza < 300; stanza += 1) {
        const text = `${name}${stanza}`.padEnd(1000, ".")
        filled += text
        put(outlet, text)
      }
      outlet.flush()
      return filled
    }
    const before = fill("before")
    outlet.acknowledge(outlet.unacknowledged)
    outlet.detach()
    const next = new LateChannel()
    outlet.attach(next, keep(1 << 22))
    put(outlet, "<first/>")
    outlet.flush()
    assert.equal(next.read(), "<first/>")
    const after = fill("after")
    assert.equal(next.read(), after)
    assert.equal(broken.read(), before)
  })

  test("a peer's limit for one stanza refuses what waits and what comes, and nothing else (LIM-2)", () => {
    const outlet = new Outlet({ limit: 1000 })
    put(outlet, "<a/>", "<too-large/>", "<b/>")
    assert.deepEqual(outlet.limitStanzas(6).map(String), ["<too-large/>"])
    assert.equal(outlet.appendText("<seven/>"), "too-large")
    put(outlet, "<six/>")
    const channel = new LateChannel()
    outlet.attach(channel)
    assert.equal(channel.read(), "<a/><b/><six/>")
    assert.deepEqual(outlet.limitStanzas(undefined), [])
    put(outlet, "<as large as it likes/>")
  })

  test("what was taken stays as it was, however often it is taken and whatever is acknowledged and written behind it", () => {
    const outlet = new Outlet({ limit: 1 << 20 })
    const channel = new LateChannel()
    outlet.attach(channel, keep())
    // The second begins a block of the largest size.
    put(outlet, "x".repeat(16_384), "1")
    outlet.flush()
    put(outlet, "2")
    const taken = outlet.take()
    assert.deepEqual([...outlet.take()], [])
    put(outlet, "3")
    outlet.flush()
    outlet.acknowledge(2)
    put(outlet, "y".repeat(16_384))
    outlet.flush()
    channel.read()
    outlet.drained()
    put(outlet, "zzzz")
    assert.deepEqual(Array.from(taken, String), ["2"])
  })

  test("property: whatever happens, each stanza is acknowledged, bounced or waits, once, and the wire carries what was written", () => {
    const plain = <const T extends string>(...names: T[]) => fc.record({ do: fc.constantFrom(...names), size: fc.nat({ max: 100 }) })
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ do: fc.constant("append" as const), size: fc.integer({ min: 1, max: 2000 }) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("append" as const), size: fc.integer({ min: 2000, max: 40_000 }) }) },
      { weight: 5, arbitrary: plain("flush", "drain", "acknowledge") },
      { weight: 1, arbitrary: plain("trim", "break", "resume", "attach", "retain", "take") },
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200, size: "max" }), fc.integer({ min: 1, max: 60_000 }), fc.boolean(), (steps, limit, requests) => {
        const load = new RetainedLoad(100_000)
        const outlet = new Outlet({ limit: 120_000 })
        const retention: Retention = { limit, load: load.part("peer"), request: (pausing) => (requests && pausing ? asked : undefined) }
        let channel: LateChannel | undefined
        let retained = false
        let next = 0
        // The model: numbers of stanzas, each in one place.
        let unsent: { id: number; writes: number }[] = []
        let unacknowledged: { id: number; writes: number }[] = []
        const gone: number[] = []
        const texts = new Map<number, string>()
        let wire = ""
        const late: (() => void)[] = []
        const look = (): void => {
          const written = unsent.splice(0, unsent.length - outlet.unsent)
          for (const { id } of written) wire += texts.get(id)!
          if (retained) unacknowledged.push(...written)
          else gone.push(...written.map(({ id }) => id))
          assert.equal(outlet.unsent, unsent.length)
          if (retained || channel === undefined) assert.equal(outlet.unacknowledged, unacknowledged.length)
          assert.equal(load.bytes, channel === undefined ? 0 : outlet.unacknowledgedBytes)
        }
        const read = (): void => {
          assert.equal(channel!.read().replaceAll("<r/>", ""), wire)
          wire = ""
        }
        const requeue = (handled?: number): void => {
          look()
          // What a broken channel was given is read at any later time: it must not have changed.
          const [broken, carried] = [channel!, wire]
          late.push(() => assert.equal(broken.read().replaceAll("<r/>", ""), carried))
          wire = ""
          outlet.detach()
          channel = undefined
          retained = false
          gone.push(...unacknowledged.splice(0, handled ?? 0).map(({ id }) => id))
          const back = [...unacknowledged.map(({ id, writes }) => ({ id, writes: handled === undefined ? writes + 1 : writes })), ...unsent]
          unacknowledged = []
          unsent = []
          const taken = [...outlet.takeEverything(handled)]
          assert.deepEqual(taken.map(({ stanza, writes }) => [stanza.toString(), writes]), back.map(({ id, writes }) => [texts.get(id), writes]))
          for (const [index, one] of taken.entries()) {
            const { id, writes } = back[index]!
            if (one.writes === 2) gone.push(id)
            else {
              assert.equal(outlet.appendTaken(one), "queued")
              unsent.push({ id, writes })
            }
          }
        }
        for (const { do: what, size } of steps) {
          if (what === "append") {
            const text = `${next}${"-".repeat(size)};`
            const full = outlet.unsentBytes > 0 && outlet.unsentBytes + text.length > 120_000
            assert.equal(outlet.appendText(text), full ? "full" : "queued")
            if (!full) {
              texts.set(next, text)
              unsent.push({ id: next, writes: 0 })
            }
            next += 1
          } else if (what === "flush") outlet.flush()
          else if (what === "trim") outlet.trim()
          else if (what === "drain" && channel !== undefined) {
            look()
            read()
            outlet.drained()
          } else if (what === "acknowledge" && retained) {
            look()
            const count = Math.round((unacknowledged.length * size) / 100)
            gone.push(...unacknowledged.splice(0, count).map(({ id }) => id))
            outlet.acknowledge(count)
          } else if (what === "attach" && channel === undefined) {
            channel = new LateChannel(size % 2 === 0 ? 9000 : Number.POSITIVE_INFINITY)
            retained = size > 20
            if (retained) outlet.attach(channel, retention)
            else outlet.attach(channel)
          } else if (what === "retain" && channel !== undefined && !retained) {
            look()
            retained = true
            outlet.retain(retention)
          } else if (what === "break" && channel !== undefined) requeue()
          else if (what === "resume" && retained) requeue(Math.round((unacknowledged.length * size) / 100))
          else if (what === "take") {
            look()
            const taken = outlet.take()
            const expected = unsent.map(({ id }) => texts.get(id))
            late.push(() => assert.deepEqual(Array.from(taken, String), expected))
            gone.push(...unsent.splice(0).map(({ id }) => id))
          }
          look()
        }
        if (channel !== undefined) requeue()
        for (const compare of late) compare()
        const all = [...gone, ...unsent.map(({ id }) => id)].sort((a, b) => a - b)
        assert.deepEqual(all, [...texts.keys()])
      }),
      { numRuns: 300 },
    )
  })
})
