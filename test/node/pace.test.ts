// The read-pacing controller on a clock of its own.
import assert from "node:assert/strict"
import { test } from "node:test"

import { Pace } from "../../src/node/pace.ts"

/** A sender of `perSecond` writes of `size` octets, and a receiver that reads what is there unless it rests. */
function simulate(
  perSecond: number,
  size: number,
  milliseconds: number,
  pace: Pace,
  time: { now: number },
): { reads: number; worst: number; bytes: number } {
  const end = time.now + milliseconds
  let reads = 0
  let worst = 0
  let bytes = 0
  let waiting = 0
  let oldest = 0
  let restingUntil = 0
  let next = time.now
  while (time.now < end) {
    if (time.now >= next) {
      if (waiting === 0) oldest = time.now
      waiting += size
      next += 1000 / perSecond
    }
    if (waiting > 0 && time.now >= restingUntil) {
      worst = Math.max(worst, time.now - oldest)
      reads += 1
      bytes += waiting
      const chunk = waiting
      waiting = 0
      restingUntil = time.now + pace.onChunk(chunk)
    }
    time.now = Math.min(next, restingUntil > time.now ? restingUntil : next)
  }
  return { reads, worst, bytes }
}

function fresh(): { pace: Pace; time: { now: number } } {
  const time = { now: 1000 }
  return { time, pace: new Pace({ monotonic: () => time.now }) }
}

for (const perSecond of [1, 100, 500, 2_000]) {
  test(`${perSecond} small chunks a second are read at once`, () => {
    const { pace, time } = fresh()
    const result = simulate(perSecond, 193, 2_000, pace, time)
    assert.equal(result.worst, 0)
    assert.equal(result.reads, result.bytes / 193)
    assert.equal(pace.active, false)
  })
}

for (const perSecond of [5_000, 20_000, 50_000]) {
  test(`${perSecond} small chunks a second are gathered, for a millisecond at most`, () => {
    const { pace, time } = fresh()
    const result = simulate(perSecond, 193, 2_000, pace, time)
    assert.ok(result.reads <= 2_100, `${result.reads} reads in two seconds`)
    assert.ok(result.worst <= 1.001, `${result.worst} ms`)
    assert.ok(result.bytes >= 193 * perSecond * 1.99)
  })
}

test("large chunks are never paced, however fast they come", () => {
  const { pace, time } = fresh()
  const result = simulate(10_000, 24_000, 1_000, pace, time)
  assert.equal(result.worst, 0)
  assert.equal(pace.active, false)
})

test("pacing ends when the rate falls, and begins again", () => {
  const { pace, time } = fresh()
  simulate(20_000, 193, 100, pace, time)
  assert.equal(pace.active, true)
  simulate(500, 193, 100, pace, time)
  assert.equal(pace.active, false)
  simulate(20_000, 193, 100, pace, time)
  assert.equal(pace.active, true)
})

test("after a silence the first chunks are read at once", () => {
  const { pace, time } = fresh()
  simulate(20_000, 193, 100, pace, time)
  time.now += 500
  assert.equal(pace.onChunk(193), 0)
  assert.equal(pace.active, false)
})

test("a burst of a few chunks is not paced", () => {
  const { pace, time } = fresh()
  for (let burst = 0; burst < 50; burst += 1) {
    for (let chunk = 0; chunk < 10; chunk += 1) assert.equal(pace.onChunk(193), 0)
    time.now += 100
  }
})

test("many chunks of one wake-up ask for one rest", () => {
  const { pace, time } = fresh()
  let rests = 0
  for (let wakeUp = 0; wakeUp < 100; wakeUp += 1) {
    for (let record = 0; record < 40; record += 1) rests += pace.onChunk(193) > 0 ? 1 : 0
    time.now += 1.2
  }
  assert.equal(rests, 100)
})
