// The loop of the long runs behind `npm run fuzz` that play with drawn seeds: `--seconds`, `--seed`, `--moves`.
import { parseArgs } from "node:util"

/**
 * Plays round after round, each with the next seed, until the time is over. Prints the first seed.
 *
 * @param usualMoves of a play, where `--moves` does not say
 * @returns how many rounds there were
 */
export async function longRun(usualMoves: number, round: (seed: number, moves: number) => Promise<void>): Promise<number> {
  const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, seed: { type: "string" }, moves: { type: "string", default: `${usualMoves}` } } })
  const seed = Number(values.seed ?? Date.now() % 2 ** 31)
  process.stdout.write(`seed ${seed}\n`)
  const end = performance.now() + Number(values.seconds) * 1000
  let rounds = 0
  for (; performance.now() < end; rounds++) await round(seed + rounds, Number(values.moves))
  return rounds
}
