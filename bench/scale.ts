// `npm run bench:scale`: round trips until a first message is there, what a further pair costs, 200 domains at one host, and first
// messages between different kinds of servers. Medians of fresh servers, alternating; each figure beside what is needed.
import { cpus, loadavg } from "node:os"
import { existsSync, writeFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { createWorld } from "../test/interop/world.ts"
import { median } from "./process-figures.ts"
import type { Figures } from "./runs.ts"
import { atOnce, atOnceKinds, waves } from "./scale-at-once.ts"
import { pairs } from "./scale-pairs.ts"
import { firstMessages, type Route, routes, roundTrips } from "./scale-trips.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "4" },
    domains: { type: "string", default: "100" },
    parts: { type: "string", default: "trips,first,once,pairs" },
    routes: { type: "string", default: "" },
    text: { type: "string", default: "" },
    out: { type: "string", default: fileURLToPath(new URL("results-scale.json", import.meta.url)) },
    help: { type: "boolean", default: false },
  },
})

if (options.help) {
  process.stdout.write(
    "npm run bench:scale -- [--rounds=3] [--seconds=4] [--domains=100 on each side of the stream] [--parts=trips,first,once,pairs] [--routes=WORDS] [--text=FILE] [--out=FILE]\n",
  )
  process.exit(0)
}

const rounds = Number(options.rounds)
const parts = new Set(options.parts.split(","))
const programs = { ours: undefined, prosody: "/usr/bin/prosody", ejabberd: "/usr/sbin/ejabberdctl" }
const installed = (kind: keyof typeof programs): boolean => programs[kind] === undefined || existsSync(programs[kind])
const chosen = routes.filter((route) => route.kinds.every(installed) && route.name.includes(options.routes))

const all: Record<string, Record<string, number[]>> = {}
/** A run that fails is said, and has no figure. */
async function collect(row: string, measure: () => Promise<Figures>): Promise<void> {
  const began = performance.now()
  try {
    for (const [figure, value] of Object.entries(await measure())) ((all[row] ??= {})[figure] ??= []).push(value)
  } catch (error) {
    process.exitCode = 1
    process.stderr.write(`${row} failed, no figure: ${error instanceof Error ? error.message : String(error)}\n`)
  }
  process.stderr.write(`${row}: ${((performance.now() - began) / 1000).toFixed(0)} s\n`)
}

/** Routes under way at the same time, where nearly all of it is waiting for the relay; each in a world of its own, for all have the same names. */
const lanes = 3
async function allTrips(): Promise<void> {
  const waiting = [...chosen]
  const lane = async (): Promise<void> => {
    const own = await createWorld()
    try {
      for (let route = waiting.shift(); route !== undefined; route = waiting.shift()) {
        const mine = route
        await collect(`trips ${mine.name}`, () => roundTrips(mine, own))
      }
    } finally {
      await own.end()
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
}

const world = await createWorld()
try {
  for (let round = 1; round <= rounds; round += 1) {
    process.stderr.write(`round ${round} of ${rounds}\n`)
    if (parts.has("trips")) await allTrips()
    for (const route of chosen) {
      if (parts.has("first") && !route.directTls) await collect(`first ${route.name}`, () => firstMessages(route, world))
    }
    if (parts.has("once")) {
      for (const each of atOnceKinds.filter(({ kind }) => installed(kind))) await collect(`once ${each.name}`, () => atOnce(each, world))
    }
    if (parts.has("pairs")) await collect("pairs", () => pairs(world, Number(options.domains), Number(options.seconds)))
  }
} finally {
  await world.end()
}

const figure = (row: string, name: string): number | undefined => {
  const values = all[row]?.[name]
  return values === undefined ? undefined : median(values)
}
const lines: string[] = []
const shown = (value: number | undefined, digits: number, width = 9): string => (value === undefined ? "-" : value.toFixed(digits)).padStart(width)
function judged(value: number | undefined, need: number | undefined, more = false): string {
  if (value === undefined || need === undefined) return ""
  return `  ${more ? ">=" : "<="} ${need} ${(more ? value >= need : value <= need) ? "ok" : "MISSED"}`
}

if (parts.has("trips")) {
  lines.push("first message to a new domain, over a relay".padEnd(46) + "  ms at 0 ms at 50     / 50    trips  needed")
  const tripLine = (route: Route, word: "stranger" | "remembered", need: number | undefined): void => {
    const row = `trips ${route.name}`
    const trips = figure(row, `${word} trips`)
    if (trips === undefined) return
    // Timers and a shared machine make a tenth of it.
    const tenth = Math.round(trips * 10) / 10
    const columns = [shown(figure(row, `${word} near`), 1), shown(figure(row, `${word} far`), 0), shown(figure(row, `${word} quotient`), 2), shown(tenth, 1)]
    lines.push(`  ${route.name}, ${word}`.padEnd(46) + columns.join("") + judged(tenth, need))
  }
  for (const route of chosen) {
    tripLine(route, "stranger", route.strangerNeed)
    tripLine(route, "remembered", route.rememberedNeed)
  }
}
if (parts.has("first")) {
  lines.push("first message to a new domain on loopback, ms".padEnd(46) + "       p50       max  needed")
  for (const route of chosen) {
    const row = `first ${route.name}`
    const p50 = figure(row, "p50")
    if (p50 !== undefined) lines.push(`  ${route.name}`.padEnd(46) + shown(p50, 1) + shown(figure(row, "max"), 1) + judged(p50, route.firstNeed))
  }
}
if (parts.has("once")) {
  for (const way of ["EXTERNAL", "dialback"] as const) {
    lines.push(`200 new domains at one host at once, ${way}`.padEnd(46) + "     1/s   first      CPU ms each, both   first")
    const names = atOnceKinds.filter((each) => each.way === way)
    const rate = (kind: string, which: string): number | undefined => figure(`once ${kind}, ${way}`, `${which}associations/s`)
    const times = (which: string): number => {
      const better = Math.max(...names.filter((other) => other.kind !== "ours").map((other) => rate(other.kind, which) ?? 0))
      return (rate("ours", which) ?? 0) / better
    }
    for (const { name, kind } of names) {
      const value = rate(kind, "")
      if (value === undefined) continue
      const known = kind === "ours" && Number.isFinite(times(""))
      const compared = known ? `   ${times("").toFixed(1)}x the better of the others${judged(times(""), way === "EXTERNAL" ? 5 : undefined, true)}; first ${times("first ").toFixed(1)}x` : ""
      const columns = [shown(value, 0), shown(rate(kind, "first "), 0, 8), shown(figure(`once ${name}`, "CPU both"), 1), shown(figure(`once ${name}`, "first CPU both"), 1, 18)]
      lines.push(`  ${name}`.padEnd(46) + columns.join("") + compared)
    }
  }
}
if (parts.has("pairs")) {
  lines.push("pairs on one stream between two of ours".padEnd(46) + "    median  needed")
  const line = (title: string, name: string, digits: number, need?: number, more?: boolean): void => {
    const value = figure("pairs", name)
    if (value !== undefined) lines.push(`  ${title}`.padEnd(46) + shown(value, digits) + judged(value, need, more))
  }
  line("pairs", "pairs", 0)
  line("connections between the two", "connections", 0)
  line("a further pair: octets, both ways", "octets", 0)
  line("a further pair: CPU ms, opening gateway", "CPU left", 3)
  line("a further pair: CPU ms, accepting gateway", "CPU right", 3)
  line("round trips, further sender", "trips sender", 1, 1)
  line("round trips, further target", "trips target", 1, 1)
  line("heap octets a pair, opening gateway", "heap left", 0, 2048)
  line("heap octets a pair, accepting gateway", "heap right", 0, 2048)
  line("resident octets a pair, opening gateway", "resident left", 0, 2048)
  line("resident octets a pair, accepting gateway", "resident right", 0, 2048)
  line("stanzas/s, one pair", "one pair", 0)
  line("stanzas/s, all pairs, 25 of a pair in a row", "in runs", 0)
  line("  part of one pair's", "runs part", 2, 0.9, true)
  line("stanzas/s, one sender, another target each time", "few", 0)
  line("stanzas/s, all pairs, another target each time", "mixed", 0)
  line("  part of one sender's", "mixed part", 2, 0.9, true)
}
lines.push(`${rounds === 1 ? "One round" : `Median of ${rounds}`}; Node ${process.version}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)} at the end.`)
if (parts.has("trips")) {
  lines.push("Trips: (time at 150 ms - time at 50 ms) / (difference of the round trips that a bare socket sees); TCP's own included, DNS not delayed; of each the shortest.")
  lines.push('"/ 50": the time at 50 ms in round trips, the servers\' own work and the waiting for timers included.')
}
if (parts.has("once")) lines.push(`At once: median of ${waves} waves in the life of one pair of servers, each of 200 domains that neither has met; "first" is the first wave.`)
if (parts.has("pairs")) lines.push("A pair's octets and CPU: those of its first message less those of its second. Its memory: what is left after a collection, less what was before.")
writeFileSync(options.out, `${JSON.stringify({ node: process.version, cores: cpus().length, rounds, all }, undefined, 2)}\n`)
process.stdout.write(`${lines.join("\n")}\n`)
if (options.text !== "") {
  const given = process.argv.slice(2).filter((word) => !/^--(text|out)=/.test(word))
  writeFileSync(options.text, `${["npm run bench:scale", ...(given.length > 0 ? ["--", ...given] : [])].join(" ")}, ${cpus().length} cores.\n\n${lines.join("\n")}\n`)
}
