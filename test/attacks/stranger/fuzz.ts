// The longer run behind `npm run fuzz` for streams: a stranger that says anything in any order, in plays of many moves.
// By hand: node test/attacks/stranger/fuzz.ts --seconds 600 [--seed 1] [--moves 80]
import fc from "fast-check"
import { longRun } from "../../long-run.ts"
import { play } from "./moves.ts"
import { Stranger } from "./stranger.ts"
import { emptyTally } from "./wits.ts"

const tally = emptyTally()
await longRun(80, (seed, moves) => fc.assert(fc.asyncProperty(play(moves), (drawn) => Stranger.play(drawn, { tally })), { numRuns: 50, seed }))
process.stdout.write(`${JSON.stringify(tally)}: nothing found\n`)
