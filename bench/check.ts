// `npm run bench:check`: how fast `check` is, with the start of the built program, against the lab in this process (two cores for both):
// help, one healthy domain that DANE and PKIX prove, and 1,000 healthy domains from a file.
import { spawn } from "node:child_process"
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { Internet } from "../src/lab/internet.ts"
import { throughLab } from "../test/cli/command.ts"
import { labPorts } from "../test/lab/support.ts"
import { median } from "./process-figures.ts"

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, domains: { type: "string", default: "1000" }, program: { type: "string" }, help: { type: "boolean", default: false } },
})
if (options.help) {
  process.stdout.write("npm run bench:check -- [--rounds=7] [--domains=1000] [--program=bin/xmpp-dna.js]\n")
  process.exit(0)
}
const rounds = Number(options.rounds)
const many = Number(options.domains)
const perServer = 50
const program = options.program ?? join(import.meta.dirname, "../bin/xmpp-dna.js")

/** User and system time of children that ended, in seconds; of a resolution of 10 ms. */
function childSeconds(): number {
  const text = readFileSync("/proc/self/stat", "latin1")
  const [user, system] = text.slice(text.lastIndexOf(")") + 2).split(" ").slice(13, 15).map(Number) as [number, number]
  return (user + system) / 100
}

interface Run {
  readonly wall: number
  readonly cpu: number
  readonly status: number | null
  readonly out: string
}

async function run(args: readonly string[]): Promise<Run> {
  const [began, before] = [performance.now(), childSeconds()]
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "inherit"] })
  let out = ""
  child.stdout.on("data", (bytes) => (out += bytes))
  const status = await new Promise<number | null>((resolve, reject) => child.on("error", reject).on("close", resolve))
  return { wall: performance.now() - began, cpu: (childSeconds() - before) * 1000, status, out }
}

async function repeated(args: readonly string[]): Promise<{ wall: number; cpu: number }> {
  const runs: Run[] = []
  for (let round = 0; round <= rounds; round += 1) runs.push(await run(args))
  const bad = runs.find(({ status }) => status !== 0)
  if (bad !== undefined) throw new Error(`${args.join(" ")} ended with ${bad.status}: ${bad.out}`)
  // The first one fills the caches of the disk and of the compiler.
  return { wall: median(runs.slice(1).map(({ wall }) => wall)), cpu: median(runs.slice(1).map(({ cpu }) => cpu)) }
}

function row(what: string, value: string, need: string, met: boolean): void {
  process.stdout.write(`${what.padEnd(52)}${value.padStart(10)}   ${need.padStart(9)}  ${met ? "ok" : "MISSED"}\n`)
}

const folder = mkdtempSync(join(tmpdir(), "bench-check-"))
const net = await Internet.start(labPorts)
try {
  const tlsa = [{ usage: 3, selector: 1, matching: 1 }] as const
  await net.addServer({ domain: "one.example", zone: { targets: [{ name: "xmpp.one.example", tlsa }] } })
  const names = Array.from({ length: many }, (_, index) => `d${index}.example`)
  for (let at = 0; at < many; at += perServer) {
    const [first = "", ...others] = names.slice(at, at + perServer)
    await net.addServer({ domain: first, also: others.map((domain) => ({ domain })), certificate: { from: "lab", names: [first, ...others] } })
  }
  const file = join(folder, "domains")
  writeFileSync(file, `${names.join("\n")}\n`)
  const network = [...throughLab(net, folder), "--https-port", String(net.webAt.port)]

  process.stdout.write(`median of ${rounds}; Node ${process.versions.node}, ${availableParallelism()} cores, the lab on them as well\n`)
  const help = await repeated(["--help"])
  row("--help, ms", help.wall.toFixed(0), "< 150", help.wall < 150)
  const one = await repeated(["check", ...network, "one.example"])
  row("one healthy domain, with the start, ms", one.wall.toFixed(0), "< 500", one.wall < 500)
  row("  CPU, ms", one.cpu.toFixed(0), "< 400", one.cpu < 400)
  const all = await run(["check", ...network, "--input", file, "--jsonl"])
  const good = all.out.split("\n").filter((line) => line !== "" && JSON.parse(line).ok === true).length
  if (good !== many) throw new Error(`${good} of ${many} domains were good`)
  const pace = many / (all.wall / 1000)
  row(`${many} healthy domains from a file, domains/s`, pace.toFixed(0), ">= 50", pace >= 50)
  row("  CPU of the command, ms for each", (all.cpu / many).toFixed(1), "", true)
} finally {
  await net.close()
  rmSync(folder, { recursive: true })
}
