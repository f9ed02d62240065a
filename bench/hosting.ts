// `npm run bench:hosting`: very many hosted domains with a certificate each, beside ejabberd's `hosts` and Prosody's
// VirtualHosts: start to ready, memory, a renewed certificate, a cold domain, one domain more.
import { existsSync } from "node:fs"
import { cpus, loadavg } from "node:os"
import { parseArgs } from "node:util"
import { createWorld, type World } from "../test/interop/world.ts"
import { shownFor, untilShown } from "./handshake.ts"
import { type Certified, Customers, type HostingKind, type HostingServer, kinds, startEjabberd, startOurs, startProsody } from "./hosting-servers.ts"
import { cpuSeconds, median, percentile, residentBytes, threadSeconds } from "./process-figures.ts"

const { values: options } = parseArgs({
  options: {
    domains: { type: "string", default: "10000" },
    few: { type: "string", default: "100" },
    kinds: { type: "string", default: kinds.join(";") },
    limit: { type: "string", default: "120" },
    help: { type: "boolean", default: false },
  },
})
if (options.help) {
  process.stdout.write(`npm run bench:hosting -- [--domains=10000] [--few=100] [--limit=120] [--kinds="${kinds.join(";")}"]\n`)
  process.exit(0)
}
const many = Number(options.domains)
const few = Number(options.few)
/** For each step of each server, ms. */
const limitMs = Number(options.limit) * 1000
/** What goes on after the start in the background is not what is measured. */
const quietMs = 15_000
/** Our own domains are judged in the background, ten a second. */
const idleFigure = "CPU without work, %"
/** Additions measured; the first only warms up. */
const additions = 8

type Figures = Record<string, number | string>
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function start(kind: HostingKind, address: string, world: World, customers: Customers, list: readonly Certified[]): HostingServer {
  const at = { address, caPem: customers.caPem, dns: world.dns }
  if (kind === "prosody") return startProsody(at, list)
  if (kind === "ejabberd") return startEjabberd({ ...at, dns: world.numericDns }, list)
  return startOurs(at, list, kind === "ours, one file")
}

/** CPU seconds that the work took, without what the server did in as long a time just before. */
async function worked(pid: number, work: () => Promise<unknown>): Promise<number> {
  const windowMs = 3000
  const idle = threadSeconds(pid)
  await pause(windowMs)
  const before = threadSeconds(pid)
  const begun = performance.now()
  await work()
  // What follows from it counts as well.
  await pause(Math.max(500, windowMs - (performance.now() - begun)))
  const taken = performance.now() - begun
  return threadSeconds(pid) - before - ((before - idle) * taken) / windowMs
}

async function measure(kind: HostingKind, count: number, world: World, customers: Customers): Promise<Figures> {
  const list = customers.upTo(count)
  const server = start(kind, await world.address(), world, customers, list)
  const { pid } = server.peer
  const late = `not in ${limitMs / 1000} s`
  const begun = performance.now()
  const figures: Figures = {}
  try {
    const last = list.at(-1)!
    const ready = await untilShown(last.domain, last.fingerprint, server.address, limitMs)
    if (ready === undefined) return { "start to ready, s": late }
    figures["start to ready, s"] = (performance.now() - begun) / 1000
    figures["  CPU until then, s"] = cpuSeconds(pid)
    await pause(quietMs)
    figures["resident, MiB"] = residentBytes(pid) / 2 ** 20
    const cold: number[] = []
    for (let n = 1; n <= 20; n += 1) {
      const shown = await shownFor(list[Math.floor((n * count) / 22)]!.domain, server.address)
      if (shown !== undefined) cold.push(shown.handshakeMs)
    }
    figures["first handshake, cold domain, p50 ms"] = percentile(cold, 0.5)
    figures["  max ms"] = Math.max(...cold)
    const idleBefore = threadSeconds(pid)
    await pause(5000)
    const idleRate = (threadSeconds(pid) - idleBefore) / 5
    figures[idleFigure] = idleRate * 100
    const renewed: number[] = []
    for (let n = 0; n < 3; n += 1) {
      const target = list[Math.floor(count / 2) + n]!
      const fresh = customers.issue(target.domain, target.key)
      const from = performance.now()
      await server.renew(fresh)
      if ((await untilShown(target.domain, fresh.fingerprint, server.address, limitMs)) === undefined) break
      renewed.push(performance.now() - from)
    }
    figures["renewed file to served, s"] = renewed.length === 0 ? late : median(renewed) / 1000
    const walls: number[] = []
    const used: number[] = []
    for (let n = 0; n < additions; n += 1) {
      const more = customers.issue(`more${n}-${kind.replace(/\W/g, "")}-${count}.hosted.example`)
      let wall: number | undefined
      const cpu = await worked(pid, async () => {
        const from = performance.now()
        await server.add(more)
        const seen = await untilShown(more.domain, more.fingerprint, server.address, limitMs, 100)
        wall = seen === undefined ? undefined : performance.now() - from
      })
      if (wall === undefined) break
      if (n > 0) {
        walls.push(wall)
        used.push(cpu)
      }
    }
    figures["one domain more to served, s"] = walls.length === 0 ? late : median(walls) / 1000
    if (used.length > 0) figures["  CPU for it, ms"] = median(used) * 1000
    return figures
  } catch (error) {
    process.stderr.write(`${kind}, ${count}: ${error instanceof Error ? error.message : String(error)}\n${server.peer.lines.slice(-10).join("\n")}\n`)
    return { ...figures, "failed with": "see above" }
  } finally {
    await server.peer.stop()
  }
}

const programs: Partial<Record<HostingKind, string>> = { prosody: "/usr/bin/prosody", ejabberd: "/usr/sbin/ejabberdctl" }
const chosen = options.kinds.split(";").map((word) => {
  const kind = kinds.find((known) => known === word.trim())
  if (kind === undefined) throw new Error(`unknown kind ${word}: known are ${kinds.join("; ")}`)
  return kind
})
const world = await createWorld()
const customers = new Customers()
customers.upTo(many)
const results: { readonly kind: HostingKind; readonly few: Figures; readonly many: Figures }[] = []
try {
  for (const kind of chosen) {
    const program = programs[kind]
    if (program !== undefined && !existsSync(program)) {
      process.stderr.write(`${kind} is not installed: left out\n`)
      continue
    }
    process.stderr.write(`${kind}, ${few} domains\n`)
    const small = await measure(kind, few, world, customers)
    process.stderr.write(`${kind}, ${many} domains\n`)
    results.push({ kind, few: small, many: await measure(kind, many, world, customers) })
  }
} finally {
  await world.end()
}

const width = 40
const cell = (value: number | string | undefined): string =>
  (value === undefined ? "-" : typeof value === "string" ? value : value.toFixed(value < 0.1 ? 3 : value < 10 ? 2 : 1)).padStart(16)
const figures = [...new Set(results.flatMap((each) => [...Object.keys(each.few), ...Object.keys(each.many)]))]
const heading = (title: string): string => title.padEnd(width) + results.map(({ kind }) => cell(kind)).join("")
const lines: string[] = []
for (const [title, which] of [
  [`${many} domains`, "many"],
  [`${few} domains`, "few"],
] as const) {
  lines.push(heading(title))
  for (const figure of figures) lines.push(figure.padEnd(width) + results.map((each) => cell(each[which][figure])).join(""))
  lines.push("")
}
lines.push(heading(`${many} beside ${few} domains`))
const times = (each: (typeof results)[number], figure: string): string | undefined => {
  const [a, b] = [each.few[figure], each.many[figure]]
  return typeof a === "number" && typeof b === "number" ? `${(b / a).toFixed(2)}x` : undefined
}
for (const figure of figures) if (figure !== idleFigure) lines.push(figure.padEnd(width) + results.map((each) => cell(times(each, figure))).join(""))
const ours = results.find(({ kind }) => kind === "ours, files")
const better = (figure: string): string | undefined => {
  const own = ours?.many[figure]
  const others = results.filter(({ kind }) => !kind.startsWith("ours")).flatMap((each) => (typeof each.many[figure] === "number" ? [each.many[figure]] : []))
  return typeof own === "number" && others.length > 0 ? `${(Math.min(...others) / own).toFixed(2)}x` : undefined
}
const compared = figures.flatMap((figure) => (figure === idleFigure || better(figure) === undefined ? [] : [figure.padEnd(width) + cell(better(figure))]))
if (compared.length > 0) lines.push("", `${many} domains: how many times as good ours with files is as the better of the others`, ...compared)
lines.push("", "wanted of ours: ready < 5 s, < 300 MiB, renewed file to served < 3 s, one domain more <= 1.50x with files of their own.")
lines.push(`Node ${process.version}, ${cpus().length} cores, load ${loadavg()[0]!.toFixed(1)} at the end. CPU for one domain more includes asking for it ten times a second.`)
process.stdout.write(`${lines.join("\n")}\n`)
