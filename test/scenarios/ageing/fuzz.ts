// The longer run behind `npm run fuzz` for proofs that age: anything changes at any time, in plays of many moves.
// By hand: node test/scenarios/ageing/fuzz.ts --seconds 600 [--seed 1] [--moves 60]
import { parseArgs } from "node:util"
import fc from "fast-check"
import { Ageing, emptyTally, play } from "./play.ts"

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, seed: { type: "string" }, moves: { type: "string", default: "60" } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 31)
process.stdout.write(`seed ${seed}\n`)
const end = performance.now() + Number(values.seconds) * 1000
const tally = emptyTally()
for (let round = 0; performance.now() < end; round++) {
  await fc.assert(
    fc.asyncProperty(play(Number(values.moves)), (drawn) => Ageing.play(drawn, { tally })),
    { numRuns: 20, seed: seed + round },
  )
}
process.stdout.write(`${JSON.stringify(tally)}: nothing found\n`)
