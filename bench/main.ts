// `npm run bench`: gateway to gateway beside Prosody to Prosody and ejabberd to ejabberd, in one run, alternating, fresh servers each time.
import { existsSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { createWorld } from "../test/interop/world.ts"
import { idleSocketFloor } from "./floor.ts"
import { median } from "./process-figures.ts"
import { contact, type Figures, memory, throughput } from "./runs.ts"
import { type Kind, kinds } from "./servers.ts"
import { type Results, renderTable } from "./table.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    kinds: { type: "string", default: kinds.join(",") },
    parts: { type: "string", default: "throughput,contact,memory" },
    out: { type: "string", default: fileURLToPath(new URL("results.json", import.meta.url)) },
    help: { type: "boolean", default: false },
  },
})

if (options.help) {
  process.stdout.write(
    "npm run bench -- [--rounds=3] [--seconds=4] [--kinds=ours,prosody,ejabberd] [--parts=throughput,contact,memory] [--out=FILE]\n",
  )
  process.exit(0)
}

const programs: Record<Kind, string | undefined> = { ours: undefined, prosody: "/usr/bin/prosody", ejabberd: "/usr/sbin/ejabberdctl" }
const chosen = options.kinds.split(",").map((word) => {
  const kind = kinds.find((known) => known === word)
  if (kind === undefined) throw new Error(`unknown kind ${word}: known are ${kinds.join(", ")}`)
  return kind
})
const present = chosen.filter((kind) => programs[kind] === undefined || existsSync(programs[kind]))
for (const kind of chosen)
  if (!present.includes(kind)) process.stderr.write(`${kind} is not installed (apt-get install ${kind}): left out\n`)
const parts = new Set(options.parts.split(","))
const rounds = Number(options.rounds)
const durations = { warmUp: 3, seconds: Number(options.seconds) }

const collected = new Map<Kind, Record<string, number[]>>(present.map((kind) => [kind, {}]))
function collect(kind: Kind, figures: Figures): void {
  const mine = collected.get(kind)!
  for (const [name, value] of Object.entries(figures)) (mine[name] ??= []).push(value)
}

/** A run that fails is said and repeated once. Failing again ends the bench, but for other servers than ours: they have no figure then. */
async function measured(kind: Kind, measure: () => Promise<Figures>): Promise<Figures> {
  try {
    return await measure()
  } catch (error) {
    process.stderr.write(`failed, once more: ${error instanceof Error ? error.message : String(error)}\n`)
  }
  try {
    return await measure()
  } catch (error) {
    if (kind === "ours") throw error
    process.stderr.write(`failed again, left out: ${error instanceof Error ? error.message : String(error)}\n`)
    return {}
  }
}

const world = await createWorld()
let floor: Awaited<ReturnType<typeof idleSocketFloor>> | undefined
try {
  for (let round = 1; round <= rounds; round += 1) {
    for (const kind of present) {
      for (const [part, measure] of [
        ["throughput", () => throughput(kind, world, durations)],
        ["contact", () => contact(kind, world)],
        ["memory", () => memory(kind, world)],
      ] as const) {
        if (!parts.has(part)) continue
        process.stderr.write(`round ${round} of ${rounds}: ${kind}, ${part}\n`)
        collect(kind, await measured(kind, measure))
      }
    }
  }
  if (parts.has("memory")) floor = await idleSocketFloor()
} finally {
  await world.end()
}

const results: Results = {
  node: process.version,
  cores: cpus().length,
  rounds,
  medians: Object.fromEntries(
    [...collected].map(([kind, figures]) => [kind, Object.fromEntries(Object.entries(figures).map(([name, all]) => [name, median(all)]))]),
  ),
  all: Object.fromEntries(collected),
  ...(floor === undefined ? {} : { floorMiB: { left: (floor.connecting * 1000) / 2 ** 20, right: (floor.accepting * 1000) / 2 ** 20 } }),
}
writeFileSync(options.out, `${JSON.stringify(results, undefined, 2)}\n`)
process.stdout.write(renderTable(results))
