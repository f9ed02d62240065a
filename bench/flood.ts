// `npm run bench:flood`: 500 stanzas/s between two gateways of ours while one source floods the receiving one with handshakes and claims
// (security.md 17, 18). Needed: p99 of the legitimate stanzas <= 10 ms, none bounced.
import { parseArgs } from "node:util"
import { type FloodOrder, startFlood } from "../test/attacks/flood-attacker.ts"
import { createWorld } from "../test/interop/world.ts"
import { cpuSeconds, percentile, residentBytes } from "./process-figures.ts"
import { withPair } from "./runs.ts"

const { values: options } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    handshakes: { type: "string", default: "100" },
    claims: { type: "string", default: "2000" },
    verifies: { type: "string", default: "200" },
    rate: { type: "string", default: "500" },
    help: { type: "boolean", default: false },
  },
})
if (options.help) {
  process.stdout.write("npm run bench:flood -- [--seconds=10] [--handshakes=100] [--claims=2000] [--verifies=200] [--rate=500]\n")
  process.exit(0)
}
const seconds = Number(options.seconds)
const rates = { handshakes: Number(options.handshakes), claims: Number(options.claims), verifies: Number(options.verifies) }

/** Nobody of the pair lives in this network. */
const source = "127.99.1.1"
const needed = 10

const world = await createWorld()
try {
  const nowhere = "nowhere.example"
  for (const mode of ["quiet", "stranger", "proven"] as const) {
    await withPair("ours", world, 1, 1, async (pair, driver) => {
      // The pair's first stream is there before the flood begins.
      await driver.play({ task: "contact", from: 0, to: 1 })
      const { address, components } = pair.right
      const order: FloodOrder = {
        target: { address, port: 5269 },
        source,
        domains: components.map(({ domain }) => domain),
        claimed: nowhere,
        ...rates,
        ...(mode === "proven" ? { own: { domain: "attacker.example", ...world.identity("attacker.example") } } : {}),
      }
      const flood = mode === "quiet" ? undefined : startFlood(order)
      const before = [pair.left.pid, pair.right.pid].map(cpuSeconds)
      const began = performance.now()
      const report = await driver.play({ task: "latency", rate: Number(options.rate), warmUp: 2, seconds })
      const elapsed = (performance.now() - began) / 1000
      const used = [pair.left.pid, pair.right.pid].map((pid, index) => ((cpuSeconds(pid) - before[index]!) / elapsed) * 100)
      const resident = residentBytes(pair.right.pid) / 2 ** 20
      const came = await flood?.stop()
      const at = (part: number): string => percentile(report.milliseconds, part).toFixed(2)
      const p99 = percentile(report.milliseconds, 0.99)
      process.stdout.write(
        `${mode.padEnd(9)} ${report.milliseconds.length} stanzas: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, max ${Math.max(...report.milliseconds).toFixed(1)} ms` +
          `${mode === "quiet" ? "" : p99 <= needed ? " ok" : " MISSED"}; CPU left ${used[0]!.toFixed(0)} %, right ${used[1]!.toFixed(0)} %, right ${resident.toFixed(0)} MiB\n`,
      )
      if (came !== undefined) process.stdout.write(`          ${JSON.stringify(came)}\n`)
    })
  }
} finally {
  await world.end()
}
