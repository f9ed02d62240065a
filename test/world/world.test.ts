// The world in memory keeps its promises: the channel contract, TLS facts and failures, the dial guard, time and randomness.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { DialError, TlsError } from "../../src/model/errors.ts"
import { channelContract } from "../contracts/channel.ts"
import { type Link, memoryPair } from "./channel.ts"
import { ManualClock, SeededRandom, settle } from "./clock.ts"
import { Recorder } from "./recorder.ts"
import { chainOf, createMemoryTls } from "./tls.ts"
import { createTestWorld } from "./world.ts"

const never = new AbortController().signal
const authority = CertificateAuthority.create({ now: Date.UTC(2026, 10, 20) })
const credentialsFor = (name: string) => {
  const issued = authority.issue({ names: { dns: [name] } })
  return { certificatePem: issued.chainPem, keyPem: issued.keyPem }
}
const ours = credentialsFor("a.example")
const theirs = credentialsFor("b.example")

function plainPair(link: Link = {}) {
  const [a, b] = memoryPair({ clock: new ManualClock(), link })
  return {
    a,
    b,
    settle,
    close: async () => {
      a.destroy()
      b.destroy()
    },
  }
}

async function tlsPair(link: Link = {}) {
  const [client, server] = memoryPair({ clock: new ManualClock(), link })
  const tls = createMemoryTls(new SeededRandom("tls"))
  const [near, far] = await Promise.all([
    tls.client(client, { serverName: "b.example", credentials: ours, signal: never }),
    tls.server(server, { pick: () => theirs, alpn: [], signal: never }),
  ])
  return {
    a: near.channel,
    b: far.channel,
    facts: { near: near.facts, far: far.facts },
    settle,
    close: async () => {
      near.channel.destroy()
      far.channel.destroy()
    },
  }
}

channelContract("memory", async () => plainPair())
channelContract("memory, chunks of 4096", async () => plainPair({ chunk: 4096 }))
channelContract("memory TLS", () => tlsPair())

describe("links", () => {
  test("chunks come in the size the link says", async () => {
    const { a, b } = plainPair({ chunk: 3 })
    const seen = new Recorder()
    b.attach(seen)
    a.write(Buffer.from("12345678"))
    await seen.untilText("8")
    assert.deepEqual(
      seen.chunks.map((chunk) => chunk.toString()),
      ["123", "456", "78"],
    )
  })

  test("octets that a handler keeps without a copy turn to rubbish", async () => {
    const { a, b } = plainPair()
    let kept: Buffer | undefined
    const seen = new Recorder()
    const chunk = seen.chunk.bind(seen)
    seen.chunk = (bytes) => {
      kept = bytes
      chunk(bytes)
    }
    b.attach(seen)
    a.write(Buffer.from("mine"))
    await seen.untilText("mine")
    await settle()
    assert.equal(kept?.toString("hex"), "dddddddd")
  })

  test("a cut resets both ends after exactly that many octets", async () => {
    for (let cut = 0; cut <= 10; cut += 1) {
      const { a, b } = plainPair({ cut: { toServer: cut } })
      const near = new Recorder()
      const far = new Recorder()
      a.attach(near)
      b.attach(far)
      a.write(Buffer.from("0123456789"))
      if (cut === 10) {
        await far.untilText("9")
        a.write(Buffer.from("x"))
      }
      await Promise.all([near.untilClosed(), far.untilClosed()])
      assert.equal(far.text, "0123456789".slice(0, cut))
      assert.equal(near.closed?.by, "reset")
      assert.equal(far.closed?.by, "reset")
    }
  })

  test("latency passes on the clock of the world", async () => {
    const clock = new ManualClock()
    const [a, b] = memoryPair({ clock, link: { latency: 25 } })
    const seen = new Recorder()
    b.attach(seen)
    a.write(Buffer.from("slow"))
    await clock.advance(24)
    assert.equal(seen.text, "")
    await clock.advance(1)
    assert.equal(seen.text, "slow")
  })

  test("somebody on the path can change plain text; TLS reads his words as rubbish", async () => {
    const inject = { middle: (bytes: Buffer) => Buffer.concat([bytes, Buffer.from("<injected/>")]) }
    const plain = plainPair(inject)
    const seen = new Recorder()
    plain.b.attach(seen)
    plain.a.write(Buffer.from("<a/>"))
    await seen.untilText("<injected/>")
    await assert.rejects(tlsPair(inject), TlsError)
    let quiet = true
    const later = await tlsPair({ middle: (bytes) => (quiet ? bytes : inject.middle(bytes)) })
    quiet = false
    const far = new Recorder()
    later.b.attach(far)
    later.a.write(Buffer.from("<a/>"))
    await far.untilText("<a/>")
    assert.ok(!far.text.includes("injected"))
  })
})

describe("TLS in memory", () => {
  test("shows the facts of the real one", async () => {
    const { facts } = await tlsPair()
    assert.deepEqual(facts.near.exporter, facts.far.exporter)
    assert.equal(facts.near.exporter.length, 32)
    assert.deepEqual(
      facts.far.chain.map((der) => Buffer.from(der).toString("base64")),
      chainOf(ours),
    )
    assert.deepEqual(
      facts.near.chain.map((der) => Buffer.from(der).toString("base64")),
      chainOf(theirs),
    )
    assert.equal(facts.far.serverName, "b.example")
  })

  const failing: [name: string, client: "alpn" | "handshake" | "closed", server: "alpn" | "no-credentials", options: object][] = [
    ["another application protocol", "alpn", "alpn", { client: { alpn: "h2" } }],
    ["no certificate for the name", "handshake", "no-credentials", { server: { pick: () => undefined } }],
  ]
  for (const [name, clientSays, serverSays, options] of failing)
    test(name, async () => {
      const [a, b] = memoryPair({ clock: new ManualClock() })
      const tls = createMemoryTls(new SeededRandom("tls"))
      const { client = {}, server = {} } = options as { client?: object; server?: object }
      const near = tls.client(a, { serverName: "b.example", signal: never, ...client })
      const far = tls.server(b, { pick: () => theirs, alpn: ["xmpp-server"], signal: never, ...server })
      await Promise.all([
        assert.rejects(near, (error) => error instanceof TlsError && error.failure === clientSays),
        assert.rejects(far, (error) => error instanceof TlsError && error.failure === serverSays),
      ])
    })

  test("plain text in place of a handshake, an end, an abort", async () => {
    const tls = createMemoryTls(new SeededRandom("tls"))
    const start = (signal = never) => {
      const [a, b] = memoryPair({ clock: new ManualClock() })
      a.attach(new Recorder())
      return { a, attempt: tls.server(b, { pick: () => theirs, alpn: [], signal }) }
    }
    const is = (failure: string) => (error: unknown) => error instanceof TlsError && error.failure === failure
    const garbage = start()
    garbage.a.write(Buffer.from("<"))
    await assert.rejects(garbage.attempt, is("handshake"))
    const ended = start()
    ended.a.end()
    await assert.rejects(ended.attempt, is("closed"))
    const gone = start()
    gone.a.destroy()
    await assert.rejects(gone.attempt, is("closed"))
    const controller = new AbortController()
    const slow = start(controller.signal)
    controller.abort()
    await assert.rejects(slow.attempt, is("timeout"))
  })

  test("a handshake cut at any octet fails on both ends, or the rest of the stream is cut", async () => {
    const frames = { toServer: 0, toClient: 0 }
    await tlsPair({
      middle: (bytes, towards) => {
        frames[towards === "server" ? "toServer" : "toClient"] += bytes.length
        return bytes
      },
    })
    for (const direction of ["toServer", "toClient"] as const)
      for (let cut = 0; cut < frames[direction]; cut += 7) {
        const [a, b] = memoryPair({ clock: new ManualClock(), link: { cut: { [direction]: cut }, chunk: 64 } })
        const tls = createMemoryTls(new SeededRandom("tls"))
        const far = tls.server(b, { pick: () => theirs, alpn: [], signal: never })
        const near = tls.client(a, { serverName: "b.example", credentials: ours, signal: never })
        const results = await Promise.allSettled([near, far])
        assert.equal(results[1].status, "rejected", `${direction} ${cut}`)
        if (direction === "toClient") assert.equal(results[0].status, "rejected", `${direction} ${cut}`)
      }
  })
})

describe("hosts", () => {
  test("dial and listen by address, under the same guard as the real ones", async () => {
    const world = createTestWorld()
    const one = world.host("127.0.0.2")
    const two = world.host("127.0.0.3")
    const accepted: Recorder[] = []
    const listener = await two.listen.listen({ address: "0.0.0.0", port: 5269 }, (channel) => {
      const recorder = new Recorder()
      accepted.push(recorder)
      channel.attach(recorder)
    })
    const channel = await one.dial.connect({ address: "127.0.0.3", port: 5269 }, { signal: never })
    channel.write(Buffer.from("hello"))
    await settle()
    assert.equal(accepted[0]?.text, "hello")
    assert.deepEqual(world.connections, [
      { from: { address: "127.0.0.2", port: channel.local.port }, to: { address: "127.0.0.3", port: 5269 } },
    ])
    const fails = (from: typeof one, address: string, port: number, failure: string) =>
      assert.rejects(
        from.dial.connect({ address, port }, { signal: never }),
        (error) => error instanceof DialError && error.failure === failure,
      )
    await fails(one, "127.0.0.3", 5270, "refused")
    await fails(one, "10.0.0.1", 5269, "guarded")
    await fails(two, "127.0.0.3", 5269, "guarded")
    await listener.close()
    await fails(one, "127.0.0.3", 5269, "refused")
    world.silent.add("127.0.0.3")
    const controller = new AbortController()
    world.clock.after(10_000, () => controller.abort())
    const hanging = one.dial.connect({ address: "127.0.0.3", port: 5269 }, { signal: controller.signal })
    await assert.rejects(world.clock.until(hanging), (error) => error instanceof DialError && error.failure === "aborted")
    assert.equal(world.clock.monotonic(), 10_000)
  })

  test("names resolve from the table", async () => {
    const world = createTestWorld({
      zones: { "a.example": { A: ["127.0.0.2"] }, "_xmpp-server._tcp.a.example": { SRV: [[0, 0, 5269, "a.example"]] } },
    })
    const { resolver } = world.host("127.0.0.9")
    const address = await resolver.resolve("a.example", "A", {})
    assert.equal(address.outcome, "data")
    assert.equal(address.status, "insecure")
    assert.equal((await resolver.resolve("_xmpp-server._tcp.a.example", "SRV", {})).outcome, "data")
    assert.equal((await resolver.resolve("b.example", "A", {})).outcome, "name-error")
    world.dns("b.example", { A: ["127.0.0.3"] })
    assert.equal((await world.host("127.0.0.8").resolver.resolve("b.example", "A", {})).outcome, "data")
    assert.ok(world.lookups.includes("a.example 1"))
  })
})

describe("time and chance", () => {
  test("timers fire in order, and what follows from one happens before the next", async () => {
    const clock = new ManualClock(1000)
    const seen: string[] = []
    clock.after(20, () => seen.push("20"))
    clock.after(10, () => {
      seen.push("10")
      void Promise.resolve().then(() => clock.after(5, () => seen.push("15")))
    })
    const cancel = clock.after(12, () => seen.push("never"))
    cancel()
    await clock.advance(30)
    assert.deepEqual(seen, ["10", "15", "20"])
    assert.equal(clock.now(), 1030)
    assert.equal(clock.pending, 0)
    await assert.rejects(clock.until(new Promise(() => undefined)), /nothing is left/)
    clock.after(100, () => undefined)
    await assert.rejects(clock.until(new Promise(() => undefined), 50), /not settled/)
  })

  test("the same seed, the same octets", () => {
    const one = new SeededRandom("x")
    const two = new SeededRandom("x")
    assert.deepEqual(one.bytes(70), two.bytes(70))
    assert.equal(one.fraction(), two.fraction())
    assert.notDeepEqual(one.bytes(8), new SeededRandom("y").bytes(8))
    for (let n = 0; n < 100; n += 1) assert.ok(one.fraction() < 1)
  })
})
