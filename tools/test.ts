// Behind `npm test`: type check and lint, Debian peers, unit tests, then interop tests one file at a time; totals in the last two lines.
// Options: --only=unit|interop, --install-peers (root), and path prefixes that narrow the choice of test files. CI=true: any skip is a failure.
import { spawnSync } from "node:child_process"
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { availableParallelism, tmpdir } from "node:os"
import { join } from "node:path"
import { run } from "node:test"
import { spec } from "node:test/reporters"
import { parseArgs } from "node:util"
import { aptLine, installPeers, isAvailable, peers } from "./peers.ts"

const root = join(import.meta.dirname, "..")
const strict = process.env["CI"] === "true"
const totals = { passed: 0, failed: 0, skipped: 0 }
const say = (line: string): void => void process.stdout.write(`${line}\n`)

const { values: options, positionals: prefixes } = parseArgs({
  options: { only: { type: "string" }, "install-peers": { type: "boolean", default: false } },
  allowPositionals: true,
})
if (options.only !== undefined && options.only !== "unit" && options.only !== "interop") {
  process.stderr.write(`--only=${options.only}: say unit or interop\n`)
  process.exit(64)
}

/** One static check, counted as one test. */
function check(name: string, script: string, ...args: string[]): void {
  const { status } = spawnSync(process.execPath, [join(root, "node_modules", script), ...args], { cwd: root, stdio: "inherit" })
  say(`${status === 0 ? "✔" : "✖"} ${name}`)
  totals[status === 0 ? "passed" : "failed"] += 1
}

/** Names of the peers that can be used, after installing what may be installed. */
async function preparePeers(): Promise<string[]> {
  const missing = peers.filter((peer) => !isAvailable(peer))
  if (missing.length > 0 && process.getuid?.() === 0 && (strict || options["install-peers"])) {
    const failure = await installPeers(missing)
    if (failure !== undefined) say(`✖ ${failure}`)
  }
  const absent = missing.filter((peer) => !isAvailable(peer))
  for (const peer of absent) say(`﹣ peer ${peer.name} is not installed, its tests are skipped. As root: ${aptLine([peer])}`)
  return peers.filter((peer) => !absent.includes(peer)).map((peer) => peer.name)
}

async function phase(name: string, files: readonly string[], concurrency: number): Promise<void> {
  if (files.length === 0) return
  say(`\n— ${name}: ${files.length} files —`)
  // A file that never ends is a failure of that file, not of the whole run.
  const events = run({ files: [...files], cwd: root, concurrency, timeout: 240_000, execArgv: ["--disable-warning=ExperimentalWarning"] })
  events.on("test:summary", ({ file, counts }) => {
    if (file !== undefined) return // the sum over all files comes last, without a name
    totals.passed += counts.passed
    totals.failed += counts.tests - counts.passed - counts.skipped
    totals.skipped += counts.skipped
  })
  for await (const text of events.compose(new spec())) process.stdout.write(text)
}

const isInterop = (file: string): boolean => file.startsWith(join("test", "interop"))
const chosen = globSync("test/**/*.test.ts", { cwd: root })
  .filter((file) => prefixes.length === 0 || prefixes.some((prefix) => file.startsWith(prefix)))
  .sort()

const scratch = mkdtempSync(join(tmpdir(), "xmpp-dna-test-"))
const peersLog = join(scratch, "peers.log")
writeFileSync(peersLog, "")
try {
  if (options.only === undefined) {
    check("typecheck", "typescript/bin/tsc", "--noEmit", "-p", ".")
    check("lint", "@biomejs/biome/bin/biome", "lint", "--error-on-warnings", "--diagnostic-level=warn", ".")
  }
  process.env["XMPP_DNA_PEERS"] = JSON.stringify(await preparePeers())
  process.env["XMPP_DNA_PEERS_LOG"] = peersLog // test/interop/peers-used.ts appends the name of each peer that was really run
  if (options.only !== "interop")
    await phase(
      "unit",
      chosen.filter((file) => !isInterop(file)),
      Math.min(4, availableParallelism()),
    )
  // Serially: the peers use fixed ports of the loopback network.
  if (options.only !== "unit") await phase("interop", chosen.filter(isInterop), 1)

  const used = new Set(readFileSync(peersLog, "utf8").split("\n"))
  const ran = peers.filter((peer) => used.has(peer.name))
  const wholeRun = options.only === undefined && prefixes.length === 0
  const skippedPeers = wholeRun ? peers.length - ran.length : 0
  if (wholeRun) for (const peer of peers) if (!used.has(peer.name)) say(`﹣ peer ${peer.name} was run by no test`)
  const skipIsFailure = strict && (totals.skipped > 0 || skippedPeers > 0)
  if (totals.skipped > 0) say(`\n${totals.skipped} skipped`)
  if (skipIsFailure) say("✖ CI=true: nothing may be skipped")
  say(`\n${totals.passed} passed, ${totals.failed} failed`)
  say(`peers: ${ran.length} run, ${skippedPeers} skipped`)
  process.exitCode = totals.failed > 0 || totals.passed === 0 || skipIsFailure ? 1 : 0
} finally {
  rmSync(scratch, { recursive: true, force: true })
}
