// The clock and randomness of the machine, and the bundle of all ports (ports.ts Clock, Random).
import assert from "node:assert/strict"
import { test } from "node:test"
import { DialError } from "../../src/model/errors.ts"
import { systemClock } from "../../src/node/clock.ts"
import { systemRandom } from "../../src/node/random.ts"
import { createNodeWorld } from "../../src/node/world.ts"
import { inTime, loopback } from "./sockets.ts"

test("time goes on, and a timer calls once unless it is cancelled", async () => {
  const { now, monotonic } = { now: systemClock.now(), monotonic: systemClock.monotonic() }
  let cancelled = 0
  const cancel = systemClock.after(1, () => (cancelled += 1))
  cancel()
  cancel()
  await new Promise<void>((resolve) => systemClock.after(5, resolve))
  assert.equal(cancelled, 0)
  assert.ok(systemClock.now() >= now)
  assert.ok(systemClock.monotonic() >= monotonic + 4)
})

test("a timer far beyond what the platform can wait does not fire at once", async () => {
  let fired = false
  const cancel = systemClock.after(90 * 24 * 3_600_000, () => (fired = true))
  await new Promise<void>((resolve) => systemClock.after(10, resolve))
  assert.equal(fired, false)
  cancel()
})

test("random octets have the length asked for and do not repeat; fractions are below one", () => {
  assert.equal(systemRandom.bytes(16).length, 16)
  assert.notDeepEqual(systemRandom.bytes(16), systemRandom.bytes(16))
  // Also over the end of the block that short ones are cut from, and what was given out is the taker's alone.
  const seen = new Set<string>()
  for (let n = 0; n < 2000; n += 1) {
    const cut = systemRandom.bytes(16)
    seen.add(Buffer.from(cut).toString("hex"))
    cut.fill(0)
  }
  assert.equal(seen.size, 2000)
  assert.equal(systemRandom.bytes(65).length, 65)
  for (let n = 0; n < 100; n += 1) {
    const fraction = systemRandom.fraction()
    assert.ok(fraction >= 0 && fraction < 1)
  }
})

test("a world does not dial its own listeners, but those of its neighbour", async () => {
  const quiet = { write: () => undefined }
  const one = createNodeWorld({ reach: () => loopback, log: quiet })
  const two = createNodeWorld({ reach: () => loopback, log: quiet })
  const listener = await one.listen.listen({ address: "127.0.0.1", port: 0 }, (channel) => channel.destroy())
  assert.deepEqual(one.ownListeners(), [listener.address])
  await assert.rejects(
    one.dial.connect(listener.address, { signal: inTime() }),
    (error) => error instanceof DialError && error.failure === "guarded",
  )
  const channel = await two.dial.connect(listener.address, { signal: inTime() })
  channel.destroy()
  await listener.close()
})
