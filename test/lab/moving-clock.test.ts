// The clock that scenes let run ahead: what falls due happens in its order, and what it sets going has all its time.
import assert from "node:assert/strict"
import { test } from "node:test"
import { MovingClock } from "../../src/lab/moving-clock.ts"
import { ManualClock } from "../world/clock.ts"

const minute = 60_000

test("hours pass at once; what falls due happens in its order", () => {
  const real = new ManualClock()
  const clock = new MovingClock(real)
  const began = clock.now()
  const happened: string[] = []
  for (const minutes of [20, 5, 90]) clock.after(minutes * minute, () => happened.push(`${minutes}`))
  const cancelled = clock.after(minute, () => happened.push("cancelled"))
  clock.after(2 * minute, () => {
    cancelSecond()
    happened.push("2")
  })
  const cancelSecond = clock.after(3 * minute, () => happened.push("cancelled by another"))
  cancelled()
  clock.pass(60 * minute)
  assert.deepEqual(happened, ["2", "5", "20"])
  assert.equal(clock.now() - began, 60 * minute)
  assert.equal(clock.monotonic(), 60 * minute)
  clock.pass(30 * minute)
  assert.deepEqual(happened, ["2", "5", "20", "90"])
  assert.equal(real.pending, 0, "nothing waits for real")
})

test("what is set going while time passes has all its time, and real time counts as ever", async () => {
  const real = new ManualClock()
  const clock = new MovingClock(real)
  const happened: string[] = []
  clock.after(minute, () => clock.after(8000, () => happened.push("8 s later")))
  clock.after(70 * minute, () => happened.push("70 min"))
  clock.pass(60 * minute)
  assert.deepEqual(happened, [])
  await real.advance(7999)
  assert.deepEqual(happened, [])
  await real.advance(1)
  assert.deepEqual(happened, ["8 s later"])
  await real.advance(10 * minute)
  assert.deepEqual(happened, ["8 s later", "70 min"])
  assert.equal(real.pending, 0)
})
