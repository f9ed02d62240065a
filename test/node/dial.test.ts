// The dial port: the guard before any packet, caps, every kind of failure, deadlines (security.md 17; CORE-04).
import assert from "node:assert/strict"
import { createServer } from "node:net"
import { describe, test } from "node:test"
import { DialError, type DialFailure } from "../../src/model/errors.ts"
import { parseCidr, publicInternetOnly } from "../../src/model/reach.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createDial, type DialOptions } from "../../src/node/dial.ts"
import { createListen } from "../../src/node/listen.ts"
import { ManualClock, settle as turns } from "../world/clock.ts"
import { acceptor, inTime, loopback } from "./sockets.ts"

const never = new AbortController().signal
const dialWith = (options: Partial<DialOptions> = {}) => createDial({ reach: () => loopback, clock: systemClock, ...options })
const failure = (expected: DialFailure) => (error: unknown) => {
  assert.ok(error instanceof DialError, String(error))
  assert.equal(error.failure, expected, error.message)
  return true
}

/** A port that nobody answers on: a listener that is full does not even refuse. */
async function blackHole(): Promise<{ port: number; close(): Promise<void> }> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, resolve))
  const address = server.address()
  assert.ok(typeof address === "object" && address !== null)
  return { port: address.port, close: () => new Promise((resolve) => server.close(() => resolve())) }
}

describe("the guard", () => {
  test("is asked about every address, and nothing is sent to one it refuses", async () => {
    let accepted = 0
    const listener = await createListen().listen({ address: "127.0.0.1", port: 0 }, (channel) => {
      accepted += 1
      channel.destroy()
    })
    const guarded = dialWith({ reach: () => publicInternetOnly })
    for (const address of ["127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::"])
      await assert.rejects(guarded.connect({ address, port: listener.address.port }, { signal: inTime() }), failure("guarded"), address)
    // The same in the copy without the guard: the attack reaches the listener.
    await (await dialWith().connect(listener.address, { signal: inTime() })).destroy()
    await turns()
    assert.equal(accepted, 1)
    await listener.close()
  })

  test("names, zones, odd spellings and ports out of range are never dialled, so nothing is looked up behind the guard's back", async () => {
    const dial = dialWith({ reach: () => ({ ...loopback, networks: [parseCidr("0.0.0.0/0"), parseCidr("::/0")] }) })
    for (const address of ["localhost", "a.example", "127.1", "0x7f.0.0.1", "2130706433", "fe80::1%lo", "[::1]", "", "127.0.0.1 "])
      await assert.rejects(dial.connect({ address, port: 5269 }, { signal: inTime() }), failure("guarded"), address)
    for (const port of [0, -1, 65_536, 1.5, Number.NaN])
      await assert.rejects(dial.connect({ address: "127.0.0.1", port }, { signal: inTime() }), failure("guarded"), String(port))
  })

  test("our own listeners are not dialled, whatever networks are allowed, wildcards included", async () => {
    const listen = createListen()
    const exact = await listen.listen({ address: "127.0.0.1", port: 0 }, (channel) => channel.destroy())
    const wildcard = await listen.listen({ address: "0.0.0.0", port: 0 }, (channel) => channel.destroy())
    const dial = dialWith({ ownListeners: () => listen.ownListeners() })
    await assert.rejects(dial.connect(exact.address, { signal: inTime() }), failure("guarded"))
    await assert.rejects(dial.connect({ address: "127.0.0.7", port: wildcard.address.port }, { signal: inTime() }), failure("guarded"))
    await exact.close()
    await wildcard.close()
    assert.deepEqual(listen.ownListeners(), [])
    await assert.rejects(dial.connect(exact.address, { signal: inTime() }), failure("refused"))
  })

  test("follows a change of policy at once", async () => {
    let reach = publicInternetOnly
    const { listener, next } = await acceptor()
    const dial = dialWith({ reach: () => reach })
    await assert.rejects(dial.connect(listener.address, { signal: inTime() }), failure("guarded"))
    reach = { ...loopback, names: [], ownListeners: [] }
    const [channel, accepted] = await Promise.all([dial.connect(listener.address, { signal: inTime() }), next()])
    channel.destroy()
    accepted.destroy()
    await listener.close()
  })
})

describe("failures", () => {
  test("a closed port is refused", async () => {
    const { listener } = await acceptor()
    await listener.close()
    await assert.rejects(dialWith().connect(listener.address, { signal: inTime() }), failure("refused"))
  })

  test("an address that cannot be reached is unreachable", async () => {
    // TCP to the broadcast address fails in the kernel, before any packet.
    const dial = dialWith({ reach: () => ({ ...loopback, networks: [parseCidr("255.255.255.255/32")] }) })
    await assert.rejects(dial.connect({ address: "255.255.255.255", port: 5269 }, { signal: inTime() }), failure("unreachable"))
  })

  test("silence ends with the deadline of one attempt, or earlier with the signal", async () => {
    const hole = await blackHole()
    const fillers = dialWith({ limits: { perDestination: 64 } })
    // Fill the kernel's queue so that further packets are dropped.
    const controller = new AbortController()
    const filling = Array.from({ length: 16 }, () =>
      fillers.connect({ address: "127.0.0.1", port: hole.port }, { signal: controller.signal }),
    )
    const filled = Promise.allSettled(filling)
    await turns()
    const clock = new ManualClock()
    const dial = dialWith({ clock, limits: { connect: 10_000 } })
    assert.equal(clock.pending, 0)
    const aborting = new AbortController()
    const aborted = dial.connect({ address: "127.0.0.1", port: hole.port }, { signal: aborting.signal })
    aborting.abort()
    await assert.rejects(aborted, failure("aborted"))
    const timely = new AbortController()
    const late = dial.connect({ address: "127.0.0.1", port: hole.port }, { signal: timely.signal })
    timely.abort(new DOMException("too late", "TimeoutError"))
    await assert.rejects(late, failure("timeout"))
    await assert.rejects(dial.connect({ address: "127.0.0.1", port: hole.port }, { signal: AbortSignal.abort() }), failure("aborted"))
    assert.equal(clock.pending, 0, "no timer is left behind")
    controller.abort()
    for (const outcome of await filled) if (outcome.status === "fulfilled") outcome.value.destroy()
    await hole.close()
  })

  test("the deadline of an attempt counts on the clock", async () => {
    const clock = new ManualClock()
    const dial = dialWith({ clock })
    const { listener } = await acceptor()
    const attempt = dial.connect(listener.address, { signal: never })
    const verdict = assert.rejects(attempt, failure("timeout"))
    // The promise jobs that start the connection run, the kernel's answer is not looked at yet: then the deadline passes.
    for (let jobs = 0; jobs < 5; jobs += 1) await undefined
    assert.equal(clock.pending, 1)
    clock.advanceNow(10_000)
    await verdict
    await listener.close()
    assert.equal(clock.pending, 0)
  })
})

describe("caps", () => {
  const outcomes = async (...attempts: Promise<unknown>[]) =>
    (await Promise.allSettled(attempts)).map((outcome) => (outcome.status === "fulfilled" ? "open" : (outcome.reason as DialError).failure))

  test("what claims cause is capped by destination, by source and in total; finished attempts no longer count", async () => {
    const here = await acceptor()
    const there = await acceptor({ address: "127.0.0.2", port: 0 })
    const dial = dialWith({ limits: { perDestination: 2, perSource: 3, total: 8 } })
    const near = (source: string) => dial.connect(here.listener.address, { signal: inTime(), source })
    const far = (source: string) => dial.connect(there.listener.address, { signal: inTime(), source })
    assert.deepEqual(await outcomes(near("s"), near("s"), near("t")), ["open", "open", "capped"], "by destination")
    assert.deepEqual(await outcomes(near("s"), near("s"), far("s"), far("s"), far("t"), far("u")), [
      "open",
      "open",
      "open",
      "capped",
      "open",
      "capped",
    ])
    assert.deepEqual(await outcomes(near("s")), ["open"], "room again")
    await here.listener.close()
    await there.listener.close()
  })

  test("attack, red then green: one host with a /64 of addresses, or many hosts, claim every place", async (t) => {
    const { listener } = await acceptor()
    t.after(() => listener.close())
    const claims = (total: number, sources: readonly string[]) => {
      const dial = dialWith({ limits: { perDestination: 100, perSource: 2, total } })
      return outcomes(...sources.map((source) => dial.connect(listener.address, { signal: inTime(), source })))
    }
    const open = (got: readonly string[]) => got.filter((one) => one === "open").length
    const oneHost = Array.from({ length: 6 }, (_, n) => `2001:db8::${n + 1}`)
    const strangers = Array.from({ length: 6 }, (_, n) => `2001:db8:${n + 1}::1`)
    // Counting addresses is what a cap that knows no networks does; these six count as six.
    assert.equal(open(await claims(100, strangers)), 6, "red: six places")
    assert.equal(open(await claims(100, oneHost)), 2, "green: one source")
    // Of six places in total, three stay for what we send ourselves.
    assert.equal(open(await claims(6, strangers)), 3)
  })

  test("what we dial for ourselves waits its turn, and may be given up while it waits", async () => {
    const { listener } = await acceptor()
    const dial = dialWith({ limits: { perDestination: 1, perSource: 1, total: 1 } })
    const controller = new AbortController()
    const connect = (signal = inTime()) => dial.connect(listener.address, { signal })
    const attempts = [connect(), connect(), connect(controller.signal), connect()]
    const claim = dial.connect(listener.address, { signal: inTime(), source: "s" })
    controller.abort()
    assert.deepEqual(await outcomes(claim, ...attempts), ["capped", "open", "open", "aborted", "open"])
    await listener.close()
  })

  test("an address that becomes forbidden while its turn is awaited is not dialled", async () => {
    const { listener } = await acceptor()
    let reach: typeof publicInternetOnly = loopback
    const dial = dialWith({ reach: () => reach, limits: { total: 1 } })
    const first = dial.connect(listener.address, { signal: inTime() })
    const second = dial.connect(listener.address, { signal: inTime() })
    await undefined
    await undefined
    reach = publicInternetOnly
    assert.deepEqual(await outcomes(first, second), ["open", "guarded"])
    await listener.close()
  })

  test("a refused or guarded attempt gives its place back", async () => {
    const dial = dialWith({ limits: { perDestination: 1, perSource: 1, total: 1 } })
    const { listener } = await acceptor()
    await listener.close()
    for (let n = 0; n < 3; n += 1)
      await assert.rejects(dial.connect(listener.address, { signal: inTime(), source: "s" }), failure("refused"))
    for (let n = 0; n < 3; n += 1)
      await assert.rejects(dial.connect({ address: "10.0.0.1", port: 1 }, { signal: inTime(), source: "s" }), failure("guarded"))
  })
})
