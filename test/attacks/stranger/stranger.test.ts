// A stranger that says anything in any order.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { play } from "./moves.ts"
import { emptyTally, Stranger } from "./stranger.ts"

test("a stranger that says anything in any order gets in, and is sent, what was proven and nothing else", async () => {
  const tally = emptyTally()
  await fc.assert(
    fc.asyncProperty(play(Number(process.env["LONG"] ?? 60)), (drawn) => Stranger.play(drawn, { tally })),
    { numRuns: Number(process.env["RUNS"] ?? 50), seed: Number(process.env["SEED"] ?? 1) },
  )
  console.log(tally)
  assert.ok(tally.delivered > 0)
})
