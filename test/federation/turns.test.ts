// One beginning after the other: order, rests, those who give up, and a loop that was late.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { Turns } from "../../src/federation/turns.ts"
import type { Clock } from "../../src/ports.ts"
import { ManualClock } from "../world/clock.ts"

const never = new AbortController().signal

test("the first begins at once, each other one a rest after the one before it, in order", async () => {
  const clock = new ManualClock()
  const turns = new Turns(clock)
  const begun: number[] = []
  for (let n = 0; n < 4; n += 1) {
    const turn = turns.take("one", 5, never)
    assert.equal(turn === undefined, n === 0)
    void turn?.then(() => begun.push(n))
  }
  assert.equal(turns.take("another", 5, never), undefined)
  for (const expected of [[], [1], [1, 2], [1, 2, 3]]) {
    assert.deepEqual(begun, expected)
    await clock.advance(5)
  }
  assert.equal(clock.pending, 0)
  assert.equal(turns.take("one", 5, never), undefined)
})

test("who gives up leaves the line, and is told", async () => {
  const clock = new ManualClock()
  const turns = new Turns(clock)
  const [patient, hasty] = [new AbortController(), new AbortController()]
  const begun: string[] = []
  turns.take("one", 5, never)
  void turns.take("one", 5, hasty.signal)?.then(() => begun.push("gave up"))
  void turns.take("one", 5, patient.signal)?.then(() => begun.push("patient"))
  hasty.abort()
  await clock.advance(5)
  assert.deepEqual(begun, ["gave up", "patient"])
  assert.equal(turns.take("one", 5, hasty.signal), undefined, "who has given up already does not wait")
})

test("a loop that was late lets in one at a time", () => {
  const due: (() => void)[] = []
  const late: Pick<Clock, "after"> = {
    after: (_, act) => {
      due.push(act)
      return () => undefined
    },
  }
  const turns = new Turns(late)
  for (let n = 0; n < 10; n += 1) void turns.take("one", 5, never)
  assert.equal(due.length, 1, "one timer, whatever waits")
  due.shift()!()
  assert.equal(due.length, 1)
})

test("everybody has a turn, whoever gives up in between", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.record({ rest: fc.integer({ min: 1, max: 9 }), leaves: fc.option(fc.nat(60), { nil: undefined }) }), { maxLength: 12 }), async (wanted) => {
      const clock = new ManualClock()
      const turns = new Turns(clock)
      let done = 0
      for (const { rest, leaves } of wanted) {
        const controller = new AbortController()
        if (leaves !== undefined) clock.after(leaves, () => controller.abort())
        const turn = turns.take("one", rest, controller.signal)
        if (turn === undefined) done += 1
        else void turn.then(() => (done += 1))
      }
      await clock.advance(200)
      assert.equal(done, wanted.length)
      assert.equal(clock.pending, 0)
    }),
    { numRuns: 50 },
  )
})
