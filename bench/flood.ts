// `npm run bench:flood`: 500 stanzas/s between two gateways of ours while one source floods the receiving one with handshakes and claims
// (security.md 17, 18). Needed: p99 of the legitimate stanzas <= 10 ms, none bounced. Several rounds, for the median; every round is shown,
// with what held its stanzas up: the gateway's own loop, or other work on the machine.
import { writeFileSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { parseArgs } from "node:util"
import { type FloodOrder, type FloodReport, prepareFlood } from "../test/attacks/flood-attacker.ts"
import { createWorld } from "../test/interop/world.ts"
import { cpuSeconds, median, percentile, queuedSeconds, residentBytes } from "./process-figures.ts"
import { withPair } from "./runs.ts"
import type { LoopFigures } from "./servers.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "8" },
    handshakes: { type: "string", default: "100" },
    claims: { type: "string", default: "2000" },
    verifies: { type: "string", default: "200" },
    rate: { type: "string", default: "500" },
    out: { type: "string", default: "" },
    help: { type: "boolean", default: false },
  },
})
if (options.help) {
  process.stdout.write("npm run bench:flood -- [--rounds=3] [--seconds=8] [--handshakes=100] [--claims=2000] [--verifies=200] [--rate=500] [--out=FILE]\n")
  process.exit(0)
}
const seconds = Number(options.seconds)
const rates = { handshakes: Number(options.handshakes), claims: Number(options.claims), verifies: Number(options.verifies) }

/** Nobody of the pair lives in this network. */
const source = "127.99.1.1"
const needed = 10

const modes = ["quiet", "stranger", "proven"] as const
type Mode = (typeof modes)[number]

interface Round {
  readonly p50: number
  readonly p99: number
  readonly max: number
  /** Per cent of one core. */
  readonly cpu: readonly [left: number, right: number]
  /** Milliseconds a second that the two could have run and others did. */
  readonly queued: number
  /** Of the receiving gateway. */
  readonly loop: LoopFigures
  readonly resident: number
  readonly came: FloodReport | undefined
}

const world = await createWorld()

function play(mode: Mode): Promise<Round> {
  return withPair(
    "ours",
    world,
    1,
    1,
    async (pair, driver): Promise<Round> => {
      // The pair's first stream is there before the flood begins.
      await driver.play({ task: "contact", from: 0, to: 1 })
      const { address, components } = pair.right
      const order: FloodOrder = {
        target: { address, port: 5269 },
        source,
        domains: components.map(({ domain }) => domain),
        claimed: "nowhere.example",
        ...rates,
        ...(mode === "proven" ? { own: { domain: "attacker.example", ...world.identity("attacker.example") } } : {}),
      }
      const flood = mode === "quiet" ? undefined : await prepareFlood(order)
      const pids = [pair.left.pid, pair.right.pid]
      let began = 0
      let used = pids.map(() => 0)
      let queued = 0
      let loop: Promise<LoopFigures> | undefined
      const report = await driver.play(
        { task: "latency", rate: Number(options.rate), warmUp: 2, seconds },
        () => {
          began = performance.now()
          used = pids.map(cpuSeconds)
          queued = pids.reduce((sum, pid) => sum + queuedSeconds(pid), 0)
          // What was before does not count; the flood's beginning does, when its network has all of its budget left.
          loop = pair.loop()
          flood?.begin()
        },
        () => {
          const elapsed = (performance.now() - began) / 1000
          used = pids.map((pid, index) => ((cpuSeconds(pid) - used[index]!) / elapsed) * 100)
          queued = ((pids.reduce((sum, pid) => sum + queuedSeconds(pid), 0) - queued) * 1000) / elapsed
        },
      )
      await loop
      const figures = await pair.loop()
      const resident = residentBytes(pair.right.pid) / 2 ** 20
      const came = await flood?.stop()
      const { milliseconds } = report
      return { p50: percentile(milliseconds, 0.5), p99: percentile(milliseconds, 0.99), max: Math.max(...milliseconds), cpu: [used[0]!, used[1]!], queued, loop: figures, resident, came }
    },
    { probe: "loop" },
  )
}

const rounds: Record<Mode, Round[]> = { quiet: [], stranger: [], proven: [] }
const lines: string[] = []
function say(line: string): void {
  lines.push(line)
  process.stdout.write(`${line}\n`)
}

const width = (value: number, digits: number, columns = 8): string => value.toFixed(digits).padStart(columns)
say("                stanzas, ms              CPU, %        others ran  loop late, ms    worked at a stretch")
say("                p50     p99     max    left   right   ms/s        p99     max      p99     max      MiB")
const line = (title: string, { p50, p99, max, cpu, queued, loop, resident }: Round): string =>
  `${title.padEnd(11)}${width(p50, 2)}${width(p99, 2)}${width(max, 1)}${width(cpu[0], 0)}${width(cpu[1], 0)}${width(queued, 0, 7)}${width(loop.late, 1, 11)}${width(loop.latest, 1)}${width(loop.worked, 1, 9)}${width(loop.longest, 1)}${width(resident, 0, 9)}`
try {
  for (let round = 1; round <= Number(options.rounds); round += 1) {
    for (const mode of modes) {
      const played = await play(mode)
      rounds[mode].push(played)
      say(line(`${mode} ${round}`, played))
    }
  }
} finally {
  await world.end()
}
for (const mode of modes) {
  const middle = median(rounds[mode].map(({ p99 }) => p99))
  const quiet = median(rounds.quiet.map(({ p99 }) => p99))
  const judged = mode === "quiet" ? "" : `  <= ${needed} ${middle <= needed ? "ok" : "MISSED"}; ${(middle - quiet).toFixed(2)} more than in quiet`
  say(`${mode}: median of the p99 ${middle.toFixed(2)} ms${judged}`)
  const came = rounds[mode].at(-1)?.came
  if (came !== undefined) say(`  the flood, last round: ${JSON.stringify(came)}`)
}
say(`None of the stanzas was bounced (that would have ended the run). ${seconds} s a round; Node ${process.version}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)} at the end.`)
if (options.out !== "") writeFileSync(options.out, `${lines.join("\n")}\n`)
