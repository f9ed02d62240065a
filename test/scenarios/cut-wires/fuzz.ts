// The longer run behind `npm run fuzz` for streams that break. By hand: node test/scenarios/cut-wires/fuzz.ts --seconds 600 [--seed 1]
import { parseArgs } from "node:util"
import fc from "fast-check"
import { exactlyOnce, neverBoth, neverNone } from "./rules.ts"
import { gentleWires, wires } from "./wires.ts"

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 31)
process.stdout.write(`seed ${seed}\n`)
const end = performance.now() + Number(values.seconds) * 1000
let rounds = 0
for (; performance.now() < end; rounds++) {
  const settings = { numRuns: 50, seed: seed + rounds }
  await fc.assert(fc.asyncProperty(wires(40), neverNone), settings)
  await fc.assert(fc.asyncProperty(wires(40), neverBoth), settings)
  await fc.assert(fc.asyncProperty(gentleWires(60), exactlyOnce), settings)
}
process.stdout.write(`${rounds} rounds of 150 plays, nothing found\n`)
