// Deadlines under one signal.
import assert from "node:assert/strict"
import { test } from "node:test"
import { deadline, DeadlinePassed } from "../../src/federation/deadline.ts"
import { ManualClock } from "../world/clock.ts"

test("a parent that aborts takes along those that are not done, with its reason; time takes each alone", () => {
  const clock = new ManualClock()
  const parent = new AbortController()
  const [first, done, late] = [deadline(clock, 1000, "one", parent.signal), deadline(clock, 1000, "two", parent.signal), deadline(clock, 5000, "three", parent.signal)]
  done.done()
  clock.advanceNow(1000)
  assert.ok(first.signal.reason instanceof DeadlinePassed)
  assert.equal(late.signal.aborted, false)
  const why = new Error("given up")
  parent.abort(why)
  assert.equal(late.signal.reason, why)
  assert.equal(done.signal.aborted, false)
  assert.ok(first.signal.reason instanceof DeadlinePassed)
  // Under one that has aborted already it is over at once.
  assert.equal(deadline(clock, 1000, "four", parent.signal).signal.reason, why)
})
