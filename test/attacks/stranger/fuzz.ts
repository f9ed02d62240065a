// The longer run behind `npm run fuzz` for streams: a stranger that says anything in any order, in plays of many moves.
// By hand: node test/attacks/stranger/fuzz.ts --seconds 600 [--seed 1] [--moves 80]
import { parseArgs } from "node:util"
import fc from "fast-check"
import { play } from "./moves.ts"
import { Stranger } from "./stranger.ts"
import { emptyTally } from "./wits.ts"

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, seed: { type: "string" }, moves: { type: "string", default: "80" } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 31)
process.stdout.write(`seed ${seed}\n`)
const end = performance.now() + Number(values.seconds) * 1000
const tally = emptyTally()
for (let round = 0; performance.now() < end; round++) {
  await fc.assert(
    fc.asyncProperty(play(Number(values.moves)), (drawn) => Stranger.play(drawn, { tally })),
    { numRuns: 50, seed: seed + round },
  )
}
process.stdout.write(`${JSON.stringify(tally)}: nothing found\n`)
