// The pool of outgoing streams with a clock stepped by hand: opening, back-off, bounces, idling, reload, shutdown (CORE-05, CORE-07).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { InputPressure } from "../../src/stream/outlet.ts"
import { retryWait } from "../../src/gateway/backoff.ts"
import type { Destination } from "../../src/gateway/destination.ts"
import { settle } from "./fakes.ts"
import { Bench, far, stanza } from "./pool-bench.ts"

describe("opening", () => {
  it("one attempt however many stanzas wait, and they leave in order when it succeeds", async () => {
    const bench = new Bench()
    for (const id of [1, 2, 3]) assert.equal(bench.send(far("b.example"), stanza(id)), "queued")
    assert.equal(bench.opener.attempts.length, 1)
    const stream = bench.opener.last.succeed()
    await settle()
    assert.equal(stream.channel.written, stanza(1) + stanza(2) + stanza(3))
    bench.send(far("b.example"), stanza(4))
    assert.equal(stream.channel.written, stanza(1) + stanza(2) + stanza(3) + stanza(4))
    assert.equal(bench.opener.attempts.length, 1)
  })
  it("each pair has its own stream, and only so many are opened at once", async () => {
    const bench = new Bench()
    for (const name of ["b.example", "c.example", "e.example"]) bench.send(far(name), stanza(name))
    assert.deepEqual(
      bench.opener.attempts.map((attempt) => attempt.pair.target),
      ["b.example", "c.example"],
    )
    bench.opener.attempts[1]!.fail()
    await settle()
    assert.equal(bench.opener.last.pair.target, "e.example")
    const stream = bench.opener.last.succeed()
    await settle()
    assert.equal(stream.channel.written, stanza("e.example"))
  })
  it("so many begin in one turn of the loop; the others follow in order, and none is forgotten", async () => {
    const bench = new Bench()
    bench.limits = { ...bench.limits, pairs: 10, openings: 10, openingsATurn: 3 }
    const turns: (() => void)[] = []
    const { clock } = bench
    const after = clock.after.bind(clock)
    clock.after = (ms, callback) => {
      if (ms > 0) return after(ms, callback)
      turns.push(callback)
      return () => {}
    }
    const targets = Array.from({ length: 8 }, (_, index) => `d${index}.example`)
    const { attempts } = bench.opener
    for (const name of targets) bench.send(far(name), stanza(name))
    const begun = [attempts.length]
    for (let turn = turns.shift(); turn !== undefined; turn = turns.shift()) {
      turn()
      begun.push(attempts.length)
    }
    assert.deepEqual(begun, [3, 6, 8, 8])
    assert.deepEqual(attempts.map(({ pair }) => pair.target as string), targets)
    // A place that becomes free lets in no more than the turn takes.
    bench.limits = { ...bench.limits, openings: 8, pairs: 20 }
    for (const name of ["e.example", "f.example", "g.example", "h.example"]) bench.send(far(name), stanza(name))
    assert.equal(attempts.length, 8)
    for (const attempt of attempts.slice(0, 8)) attempt.fail()
    await settle()
    assert.equal(attempts.length, 11)
    turns.shift()!()
    assert.equal(attempts.length, 12)
  })
  it("a queue is bounded; what does not fit is refused, what was there stays", async () => {
    const bench = new Bench()
    const big = stanza("x".repeat(600))
    assert.equal(bench.send(far("b.example"), big), "queued")
    assert.equal(bench.send(far("b.example"), big), "full")
    const stream = bench.opener.last.succeed()
    await settle()
    assert.equal(stream.channel.written, big)
  })
  it("a slow destination fills its own queue and stalls nobody else", async () => {
    const bench = new Bench()
    let paused = 0
    const input = new InputPressure(10_000, { pause: () => (paused += 1), resume: () => undefined })
    bench.send(far("slow.example"), stanza(0), input)
    const slow = bench.opener.last.succeed()
    await settle()
    bench.send(far("fast.example"), stanza(0), input)
    const fast = bench.opener.last.succeed()
    await settle()
    slow.channel.full = true
    let full = 0
    for (let id = 1; id <= 100; id += 1) {
      if (bench.send(far("slow.example"), stanza(id), input) === "full") full += 1
      assert.equal(bench.send(far("fast.example"), stanza(id), input), "queued")
    }
    assert.ok(full > 40)
    assert.equal(paused, 0)
    assert.equal(fast.channel.written.endsWith(stanza(100)), true)
    slow.channel.full = false
    slow.channel.backlog = 0
    slow.stream.onDrain!()
    assert.equal(bench.send(far("slow.example"), stanza("again"), input), "queued")
    assert.equal(slow.channel.written.endsWith(stanza("again")), true)
  })
})

describe("failure (CORE-05, CORE-07)", () => {
  it("what waited bounces as the failure says", async () => {
    const rows = [
      ["not-found", "remote-server-not-found", "cancel"],
      ["unreachable", "remote-server-timeout", "wait"],
      ["refused", "remote-server-timeout", "wait"],
    ] as const
    for (const [kind, condition, type] of rows) {
      const bench = new Bench()
      bench.send(far("b.example"), stanza(1))
      bench.send(far("b.example"), stanza(2))
      bench.opener.last.fail({ kind, finding: "dns.nxdomain", detail: "b.example" })
      await settle()
      assert.deepEqual(
        bench.undelivered.map(({ text, reason }) => [text, reason.condition, reason.type, reason.text]),
        [1, 2].map((id) => [stanza(id), condition, type, "the domain does not exist in DNS: b.example [dns.nxdomain]"]),
      )
    }
  })
  it("during back-off stanzas are refused at once; the waits grow to the most; success starts anew", async () => {
    const bench = new Bench()
    const waits: number[] = []
    for (let failure = 1; failure <= 8; failure += 1) {
      assert.equal(bench.send(far("b.example"), stanza(failure)), "queued")
      assert.equal(bench.opener.attempts.length, failure)
      bench.opener.last.fail()
      await settle()
      const { wait } = bench.failures.at(-1)!
      waits.push(wait)
      assert.equal(bench.send(far("b.example"), stanza("early")), "remote-server-timeout")
      await bench.clock.step(wait - 1)
      assert.equal(bench.send(far("b.example"), stanza("early")), "remote-server-timeout")
      await bench.clock.step(1)
    }
    assert.deepEqual(waits, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000])
    assert.equal(bench.opener.attempts.length, 8)
    bench.send(far("b.example"), stanza("good"))
    const stream = bench.opener.last.succeed()
    await bench.clock.step(10_000)
    stream.end({ by: "peer", detail: "gone" })
    await settle()
    bench.send(far("b.example"), stanza("next"))
    bench.opener.last.fail()
    await settle()
    assert.equal(bench.failures.at(-1)!.wait, 1000)
  })
  it("jitter spreads the waits over the upper half of each step", () => {
    assert.equal(retryWait(1, 300_000, 0), 1000)
    assert.equal(retryWait(1, 300_000, 0.999_999), 2000)
    assert.equal(retryWait(60, 300_000, 0.5), 225_000)
    assert.equal(retryWait(0, 300_000, 0), 1000)
  })
  it("what trying again cannot change waits the longest", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    bench.opener.last.fail({ kind: "refused", retryable: false })
    await settle()
    assert.equal(bench.failures[0]!.wait, 60_000)
  })
  it("one failing domain does not touch another", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    bench.opener.last.fail()
    await settle()
    assert.equal(bench.send(far("c.example"), stanza(1)), "queued")
  })
  it("an error of our own is told and treated as a failure", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    bench.opener.last.crash(new TypeError("bug"))
    await settle()
    assert.equal(String(bench.broken[0]), "TypeError: bug")
    assert.equal(bench.undelivered.length, 1)
  })
})

describe("a stream that ends", () => {
  it("what was not handed over leaves on a new one; what the network had not taken is counted", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const first = bench.opener.last.succeed()
    await bench.clock.step(6000)
    first.channel.full = true
    bench.send(far("b.example"), stanza(2))
    bench.send(far("b.example"), stanza(3))
    first.end({ by: "lost", detail: "reset" })
    await settle()
    assert.deepEqual(bench.lost, [1])
    const second = bench.opener.last.succeed()
    await settle()
    assert.equal(bench.opener.attempts.length, 2)
    assert.equal(second.channel.written, stanza(3))
    assert.deepEqual(bench.undelivered, [])
  })
  it("a peer that accepts and hangs up at once is left alone, and what waits bounces", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const first = bench.opener.last.succeed()
    await settle()
    first.channel.full = true
    bench.send(far("b.example"), stanza(2))
    bench.send(far("b.example"), stanza(3))
    first.end({ by: "peer", detail: "bye" })
    await settle()
    assert.equal(bench.opener.attempts.length, 1)
    assert.deepEqual(
      bench.undelivered.map(({ text }) => text),
      [stanza(3)],
    )
    assert.equal(bench.send(far("b.example"), stanza(4)), "remote-server-timeout")
  })
  it("an idle one is closed politely; what comes meanwhile waits for the next", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const first = bench.opener.last.succeed()
    await bench.clock.step(500_000)
    bench.send(far("b.example"), stanza(2))
    await bench.clock.step(500_000)
    assert.deepEqual(first.closedWith, [])
    await bench.clock.step(300_000)
    assert.deepEqual(first.closedWith, [""])
    bench.send(far("b.example"), stanza(3))
    await settle()
    const second = bench.opener.last.succeed()
    await settle()
    assert.equal(first.channel.written, stanza(1) + stanza(2))
    assert.equal(second.channel.written, stanza(3))
  })
  it("a pair that is quiet for long is forgotten", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    bench.opener.last.fail()
    await bench.clock.step(3_600_000)
    assert.equal(bench.pool.views.length, 0)
    assert.equal(bench.forgotten > 0, true)
    assert.equal(bench.clock.timers, 0)
  })
})

describe("too many pairs", () => {
  it("one without stream, queue and failure is forgotten for a new one; otherwise there is no way", async () => {
    const bench = new Bench()
    for (const name of ["b.example", "c.example"]) bench.send(far(name), stanza(1))
    for (const attempt of bench.opener.attempts) attempt.succeed()
    await settle()
    bench.send(far("e.example"), stanza(1))
    bench.send(far("f.example"), stanza(1))
    assert.equal(bench.send(far("g.example"), stanza(1)), "crowded")
    bench.opener.attempts[2]!.fail()
    await settle()
    assert.equal(bench.send(far("g.example"), stanza(1)), "crowded")
    await bench.clock.step(60_000)
    assert.equal(bench.send(far("g.example"), stanza(1)), "queued")
    assert.equal(bench.pool.views.some(({ pair }) => pair.target === "e.example"), false)
  })
})

describe("reload", () => {
  it("judges live streams again, forgets failures, ends pairs that are ours or foreign now", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const b = bench.opener.last.succeed()
    bench.send(far("c.example"), stanza(1))
    const c = bench.opener.last.succeed()
    await settle()
    c.channel.full = true
    bench.send(far("c.example"), stanza(2))
    bench.send(far("c.example"), stanza(3))
    bench.send(far("e.example"), stanza(1))
    bench.opener.last.fail()
    await settle()
    const before: Destination = bench.pool.way(far("c.example"))!
    bench.pool.reloaded((pair) => pair.target !== "c.example", () => true)
    await settle()
    assert.equal(b.rechecked, 1)
    assert.deepEqual(c.closedWith, ["reset"])
    assert.deepEqual(bench.rerouted, [stanza(3)])
    assert.equal(before.outlet.appendText("x"), "closed")
    assert.equal(bench.send(far("e.example"), stanza(2)), "queued")
  })
  it("a stream that opens for a pair that was ended meanwhile is closed", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    bench.pool.reloaded(() => false, () => true)
    const late = bench.opener.last.succeed()
    await settle()
    assert.deepEqual(late.closedWith, [""])
    assert.deepEqual(bench.rerouted, [stanza(1)])
    assert.equal(late.channel.written, "")
  })
})

describe("shutdown", () => {
  it("waits for queues and openings, then closes every stream with system-shutdown", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    let drained = false
    void bench.pool.drained().then(() => {
      drained = true
    })
    await settle()
    assert.equal(drained, false)
    const stream = bench.opener.last.succeed()
    await settle()
    assert.equal(drained, true)
    await bench.pool.close()
    assert.deepEqual(stream.closedWith, ["system-shutdown"])
    assert.equal(bench.send(far("c.example"), stanza(2)), "crowded")
    assert.equal(bench.clock.timers, 0)
  })
  it("waits for what the network has not taken, and calls nothing lost after an orderly end", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const stream = bench.opener.last.succeed()
    await settle()
    // Written, in a buffer still, without the channel being full.
    stream.channel.backlog = 18
    bench.send(far("b.example"), stanza(2))
    let drained = false
    void bench.pool.drained().then(() => {
      drained = true
    })
    await bench.clock.step(100)
    assert.equal(drained, false)
    stream.channel.backlog = 0
    await bench.clock.step(100)
    assert.equal(drained, true)
    const write = stream.channel.write.bind(stream.channel)
    // The closing words are in the buffer when the end is told; they are nobody's stanza.
    const { close } = stream.stream
    stream.stream.close = (...said) => {
      write(Buffer.from("</stream:stream>"))
      stream.channel.backlog = 16
      close(...said)
    }
    await bench.pool.close()
    assert.deepEqual(bench.lost, [])
    assert.equal(bench.clock.timers, 0)
  })
  it("a stream we end ourselves loses only what is still not written when it had its time", async () => {
    const rows: readonly (readonly [number, readonly number[]])[] = [
      [0, []],
      [40, [1]],
    ]
    for (const [left, lost] of rows) {
      const bench = new Bench()
      bench.send(far("b.example"), stanza(1))
      const stream = bench.opener.last.succeed()
      await settle()
      stream.channel.full = true
      stream.channel.backlog = 18
      stream.stream.close("reset")
      await settle()
      assert.deepEqual(bench.lost, [])
      stream.channel.backlog = left
      await bench.clock.step(10_000)
      assert.deepEqual(bench.lost, lost)
    }
  })
  it("a peer that reads nothing for two minutes: what waits bounces, and it is left alone", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const stream = bench.opener.last.succeed()
    // Idle for long is not stalled.
    await bench.clock.step(300_000)
    stream.channel.full = true
    bench.send(far("b.example"), stanza(2))
    bench.send(far("b.example"), stanza(3))
    await bench.clock.step(60_000)
    assert.equal(bench.undelivered.length, 0)
    await bench.clock.step(240_000)
    assert.deepEqual(bench.undelivered.map(({ text, reason }) => [text, reason.condition]), [[stanza(3), "remote-server-timeout"]])
    assert.deepEqual(stream.closedWith, ["connection-timeout"])
    assert.equal(bench.failures.length, 1)
    assert.deepEqual(bench.lost, [1])
  })
  it("gives attempts up, and counts what still waits", async () => {
    const bench = new Bench()
    bench.send(far("b.example"), stanza(1))
    const closing = bench.pool.close()
    assert.equal(bench.opener.last.signal.aborted, true)
    assert.equal(bench.pool.unsent, 1)
    const late = bench.opener.last.succeed()
    await closing
    await settle()
    assert.deepEqual(late.closedWith, ["system-shutdown"])
  })
})
