// Pairs that share a stream, as the pool keeps them: one queue and one write for all, each pair's order, and each pair's end.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { DomainPair } from "../../src/model/association.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { FakeStream, settle } from "./fakes.ts"
import { Bench, far } from "./pool-bench.ts"

const to = (name: string, id: number | string): string => `<message to='${name}' id='${id}'/>`
const [b, c, d] = [far("b.example"), far("c.example"), far("d.example")] as [DomainPair, DomainPair, DomainPair]

/** Every pair is opened onto the one stream. */
class SharedBench extends Bench {
  readonly shared = new FakeStream(b, "s2sout-shared")
  say(pair: DomainPair, id: number | string): string {
    return this.send(pair, to(pair.target, id))
  }
  async join(...pairs: DomainPair[]): Promise<void> {
    for (const pair of pairs) {
      this.say(pair, 0)
      this.opener.last.onto(this.shared)
      await settle()
    }
  }
}

describe("pairs on one stream", () => {
  it("leave in one write for all of them, in the order in which they were said", async () => {
    const bench = new SharedBench()
    await bench.join(b, c)
    const before = bench.shared.channel.written
    assert.equal(before, to("b.example", 0) + to("c.example", 0))
    const [wayB, wayC] = [bench.pool.way(b)!, bench.pool.way(c)!]
    assert.equal(wayB.outlet, wayC.outlet)
    wayB.outlet.appendText(to("b.example", 1))
    wayC.outlet.appendText(to("c.example", 1))
    wayB.outlet.appendText(to("b.example", 2))
    let writes = 0
    const write = bench.shared.channel.write.bind(bench.shared.channel)
    bench.shared.channel.write = (bytes) => {
      writes += 1
      return write(bytes)
    }
    bench.flushes.flush()
    assert.equal(writes, 1)
    assert.equal(bench.shared.channel.written.slice(before.length), to("b.example", 1) + to("c.example", 1) + to("b.example", 2))
  })

  it("what waits for a pair that is not granted yet goes nowhere, while the others flow", async () => {
    const bench = new SharedBench()
    await bench.join(b)
    bench.say(c, 1)
    bench.say(b, 1)
    assert.equal(bench.shared.channel.written, to("b.example", 0) + to("b.example", 1))
    bench.opener.last.onto(bench.shared)
    await settle()
    assert.equal(bench.shared.channel.written, to("b.example", 0) + to("b.example", 1) + to("c.example", 1))
  })

  it("the failure of one bounces its own and harms no other", async () => {
    const bench = new SharedBench()
    await bench.join(b)
    bench.say(c, 1)
    bench.opener.last.fail()
    await settle()
    assert.deepEqual(bench.undelivered.map(({ to: target, text }) => [target, text]), [["c.example", to("c.example", 1)]])
    assert.equal(bench.say(b, 1), "queued")
    assert.equal(bench.shared.channel.written, to("b.example", 0) + to("b.example", 1))
  })

  it("a stream that breaks gives back to each pair what was its, in order; each finds its own way again", async () => {
    const bench = new SharedBench()
    await bench.join(b, c)
    await bench.clock.step(6000)
    bench.shared.channel.full = true
    bench.say(b, "full")
    for (const id of [1, 2]) {
      bench.say(c, id)
      bench.say(b, id)
    }
    const attempts = bench.opener.attempts.length
    bench.shared.end({ by: "lost", detail: "reset" })
    await settle()
    assert.deepEqual(bench.lost, [1])
    const again = bench.opener.attempts.slice(attempts)
    assert.deepEqual(again.map(({ pair }) => pair.target).sort(), ["b.example", "c.example"])
    const streams = again.map((attempt) => [attempt.pair.target, attempt.succeed()] as const)
    await settle()
    for (const [name, stream] of streams) assert.equal(stream.channel.written, to(name, 1) + to(name, 2))
    assert.deepEqual(bench.undelivered, [])
  })

  it("a pair that is withdrawn stops at once, the only one too: what waits of it is not written by anybody", async () => {
    for (const pairs of [[b, c], [c]]) {
      const bench = new SharedBench()
      await bench.join(...pairs)
      bench.shared.channel.full = true
      bench.say(pairs[0]!, "full")
      bench.say(c, 1)
      bench.say(pairs[0]!, 2)
      const { written } = bench.shared.channel
      const attempts = bench.opener.attempts.length
      bench.shared.stream.onWithdrawn!([c])
      await settle()
      bench.shared.channel.full = false
      bench.shared.channel.backlog = 0
      bench.shared.stream.onDrain!()
      const more = bench.shared.channel.written.slice(written.length)
      assert.equal(more, pairs.length === 2 ? to("b.example", 2) : "")
      // It asks anew, for itself.
      assert.equal(bench.opener.attempts.length, attempts + 1)
      assert.equal(bench.opener.last.pair, c)
      const fresh = bench.opener.last.succeed()
      await settle()
      assert.match(fresh.channel.written, /c\.example' id='1'/)
    }
  })

  it("a reload drops the pair that is not served any more and leaves the others", async () => {
    const bench = new SharedBench()
    await bench.join(b, c)
    bench.shared.channel.full = true
    bench.say(b, "full")
    bench.say(c, 1)
    bench.say(b, 1)
    bench.shared.stream.associations = () => [{ pair: b }, { pair: c }] as never
    bench.pool.reloaded((pair) => pair.target !== "c.example", () => true)
    assert.deepEqual(bench.shared.dropped, [c])
    assert.deepEqual(bench.shared.closedWith, [])
    assert.equal(bench.shared.rechecked, 1)
    assert.deepEqual(bench.rerouted, [to("c.example", 1)])
    bench.shared.channel.full = false
    bench.shared.channel.backlog = 0
    bench.shared.stream.onDrain!()
    assert.match(bench.shared.channel.written, /b\.example' id='1'\/>$/)
  })

  it("is released when all of them are idle, and not while stanzas come in on it", async () => {
    const bench = new SharedBench()
    await bench.join(b, c)
    await bench.clock.step(500_000)
    bench.say(c, 1)
    await bench.clock.step(500_000)
    assert.deepEqual(bench.shared.closedWith, [])
    Object.defineProperty(bench.shared.stream, "lastInput", { get: () => bench.clock.monotonic() })
    await bench.clock.step(900_000)
    assert.deepEqual(bench.shared.closedWith, [])
    Object.defineProperty(bench.shared.stream, "lastInput", { get: () => 0 })
    await bench.clock.step(900_000)
    assert.deepEqual(bench.shared.closedWith, [""])
    bench.say(b, 2)
    await settle()
    assert.equal(bench.opener.last.pair, b)
  })

  it("a peer that reads nothing: those that wait bounce, each in its name", async () => {
    const bench = new SharedBench()
    await bench.join(b, c, d)
    bench.shared.channel.full = true
    bench.say(b, "full")
    bench.say(b, 1)
    bench.say(c, 1)
    await bench.clock.step(300_000)
    assert.deepEqual(bench.shared.closedWith, ["connection-timeout"])
    assert.deepEqual(bench.undelivered.map(({ text }) => text).sort(), [to("b.example", 1), to("c.example", 1)])
    assert.deepEqual(bench.failures.map(({ to: target }) => target).sort(), ["b.example", "c.example"])
  })

  it("a domain of ours that leaves gets back its own stanzas, and the others stay in the queue", async () => {
    const bench = new SharedBench()
    await bench.join(b)
    const other = { sender: parseDomain("e.example"), target: b.target }
    const ofE = "<message from='e.example' to='b.example' id='e'/>"
    bench.send(other, ofE)
    bench.opener.last.onto(bench.shared)
    await settle()
    bench.shared.channel.full = true
    bench.say(b, "full")
    bench.say(b, 1)
    bench.send(other, ofE)
    bench.say(b, 2)
    bench.pool.giveBack((sender) => sender === "e.example")
    assert.deepEqual(bench.undelivered.map(({ text, reason }) => [text, reason.condition]), [[ofE, "service-unavailable"]])
    bench.shared.channel.full = false
    bench.shared.channel.backlog = 0
    bench.shared.stream.onDrain?.()
    assert.ok(bench.shared.channel.written.endsWith(to("b.example", "full") + to("b.example", 1) + to("b.example", 2)))
  })

  it("ten thousand pairs withdrawn in one moment: the queue is sorted out once, nothing is lost, each in its order", async () => {
    const bench = new SharedBench()
    const count = 10_000
    bench.limits = { ...bench.limits, queue: 1 << 22, pairs: count + 1, openings: count + 1, openingsATurn: 2 * count + 1 }
    const pairs = Array.from({ length: count }, (_, index) => far(`d${index}.example`))
    const stays = far("stays.example")
    for (const pair of [stays, ...pairs]) {
      bench.say(pair, "granted")
      bench.opener.last.onto(bench.shared)
    }
    await settle()
    bench.shared.channel.full = true
    bench.say(stays, "full")
    for (const id of [1, 2]) for (const pair of [stays, ...pairs]) bench.say(pair, id)
    const opened = bench.opener.attempts.length
    const before = process.cpuUsage()
    bench.shared.stream.onWithdrawn!(pairs)
    const { user, system } = process.cpuUsage(before)
    assert.ok(user + system < 6_000_000, `${(user + system) / 1000} ms of CPU`)
    // Some 200 ms on a small machine that has nothing else to do; sorting once for each pair takes minutes. Half of them find another way, the others do not.
    const attempts = bench.opener.attempts.slice(opened)
    assert.equal(attempts.length, count)
    const streams = attempts.map((attempt, index) => {
      if (index % 2 === 0) return attempt.succeed()
      attempt.fail()
      return undefined
    })
    await settle()
    const said = (pair: DomainPair): string => to(pair.target, 1) + to(pair.target, 2)
    const bounced = new Map<string, string>()
    for (const { to: target, text } of bench.undelivered) bounced.set(target, (bounced.get(target) ?? "") + text)
    for (const [index, pair] of pairs.entries()) assert.equal(streams[index]?.channel.written ?? bounced.get(pair.target), said(pair))
    assert.equal(bench.undelivered.length, count)
    bench.shared.channel.full = false
    bench.shared.channel.backlog = 0
    bench.shared.stream.onDrain!()
    assert.ok(bench.shared.channel.written.endsWith(to("stays.example", "full") + said(stays)))
    assert.deepEqual(bench.rerouted, [])
  })
})
