// The time of one stream (security.md 10): a wall clock set back lengthens nothing, one set forward is followed.
import assert from "node:assert/strict"
import { test } from "node:test"
import { steadyClock, whenOver } from "../../src/federation/steady-time.ts"
import type { Clock } from "../../src/ports.ts"
import { ManualClock } from "../world/clock.ts"

function machine(): { manual: ManualClock; wall: Clock; set(by: number): void } {
  const manual = new ManualClock(1_000_000)
  let off = 0
  const wall: Clock = { now: () => manual.now() + off, monotonic: () => manual.monotonic(), after: (ms, callback) => manual.after(ms, callback) }
  return { manual, wall, set: (by) => void (off += by) }
}

test("never behind what went by since the stream began; forward with the wall", async () => {
  const { manual, wall, set } = machine()
  const clock = steadyClock(wall)
  assert.equal(clock.now(), 1_000_000)
  await manual.advance(500)
  set(-100_000)
  assert.equal(clock.now(), 1_000_500)
  set(300_000)
  assert.equal(clock.now(), 1_200_500)
  set(-200_000)
  assert.equal(clock.now(), 1_000_500)
  assert.equal(steadyClock(wall).now(), wall.now(), "a stream that begins later begins with the wall")
})

test("the end is called once, however the clock is set, and never when it was cancelled", async () => {
  for (const by of [-86_400_000, 0, 86_400_000]) {
    const { manual, wall, set } = machine()
    let over = 0
    whenOver(steadyClock(wall), 1_000_000 + 600_000, () => over++)
    set(by)
    await manual.advance(60_000)
    assert.equal(over, by > 0 ? 1 : 0, `after a minute, set by ${by}`)
    await manual.advance(600_000)
    assert.equal(over, 1)
    assert.equal(manual.pending, 0)
  }
  const { manual, wall } = machine()
  const cancel = whenOver(wall, 1_000_000 + 200_000, () => assert.fail("it was cancelled"))
  await manual.advance(100_000)
  cancel()
  await manual.advance(200_000)
  assert.equal(manual.pending, 0)
})

test("what has no end is not watched; what has ended is told at once, without a loop", async () => {
  const { manual, wall } = machine()
  whenOver(wall, Number.POSITIVE_INFINITY, () => assert.fail("it has no end"))
  assert.equal(manual.pending, 0)
  let calls = 0
  const again = (): void => {
    calls++
    if (calls < 5) whenOver(wall, 900_000, again)
  }
  whenOver(wall, 900_000, again)
  await manual.advance(3)
  assert.equal(calls, 3, "at least a millisecond apart")
})
