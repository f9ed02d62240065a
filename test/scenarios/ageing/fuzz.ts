// The longer run behind `npm run fuzz` for proofs that age: anything changes at any time, in plays of many moves.
// By hand: node test/scenarios/ageing/fuzz.ts --seconds 600 [--seed 1] [--moves 60]
import fc from "fast-check"
import { longRun } from "../../long-run.ts"
import { Ageing, emptyTally, play } from "./play.ts"

const tally = emptyTally()
await longRun(60, (seed, moves) => fc.assert(fc.asyncProperty(play(moves), (drawn) => Ageing.play(drawn, { tally })), { numRuns: 20, seed }))
process.stdout.write(`${JSON.stringify(tally)}: nothing found\n`)
