// The longer run behind `npm run fuzz` for streams that break.
// By hand: node test/scenarios/cut-wires/fuzz.ts --seconds 600 [--seed 1] [--moves 40]
import fc from "fast-check"
import { longRun } from "../../long-run.ts"
import { exactlyOnce, neverBoth, neverNone } from "./rules.ts"
import { gentleWires, wires } from "./wires.ts"

const rounds = await longRun(40, async (seed, moves) => {
  const settings = { numRuns: 50, seed }
  await fc.assert(fc.asyncProperty(wires(moves), neverNone), settings)
  await fc.assert(fc.asyncProperty(wires(moves), neverBoth), settings)
  await fc.assert(fc.asyncProperty(gentleWires(1.5 * moves), exactlyOnce), settings)
})
process.stdout.write(`${rounds} rounds of 150 plays, nothing found\n`)
