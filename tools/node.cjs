// Runs a script of this package under a fitting Node: `node tools/node.cjs [--from=node22] ARGS`. Plain CommonJS that any Node
// since 12 can read, because the Node on PATH may be too old for everything else (decision 0001).
"use strict"
const { spawn, spawnSync } = require("node:child_process")
const { existsSync, readFileSync } = require("node:fs")
const { constants } = require("node:os")
const path = require("node:path")

const args = process.argv.slice(2)
const forced = /^--from=(node|node22)$/.exec(args[0] || "") // always that folder's Node, whatever runs this file
if (forced) args.shift()
const folder = path.join(__dirname, forced ? forced[1] : "node")
const [major, minor] = process.versions.node.split(".").map(Number)

const stop = (sentence) => {
  process.stderr.write(`${sentence}\n`)
  process.exit(69)
}

/** The Node kept in `folder`, or undefined: complete (npm writes its hidden lockfile last) and of the version locked. */
function kept() {
  if (!existsSync(path.join(folder, "node_modules", ".package-lock.json"))) return undefined
  const locked = JSON.parse(readFileSync(path.join(folder, "package-lock.json"), "utf8")).packages
  for (const place of Object.keys(locked).filter((name) => name.startsWith("node_modules/"))) {
    const manifest = path.join(folder, place, "package.json")
    if (!existsSync(manifest) || JSON.parse(readFileSync(manifest, "utf8")).version !== locked[place].version) continue
    const program = path.join(folder, place, "bin", process.platform === "win32" ? "node.exe" : "node")
    if (existsSync(program)) return program
  }
  return undefined
}

function fetched() {
  process.stderr.write(
    `Node ${process.version} is too old or not the one asked for: fetching one into ${path.relative("", folder)} (once)\n`,
  )
  // The variables of the npm that started us would point the inner one at the wrong folder and options.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name) || name === "npm_execpath"))
  const npm = process.env.npm_execpath ? [process.execPath, process.env.npm_execpath] : ["npm"]
  const command = [...npm, "ci", "--prefix", folder, "--no-progress"]
  const result = spawnSync(command[0], command.slice(1), {
    env,
    stdio: ["ignore", 2, 2],
    shell: npm.length === 1 && process.platform === "win32",
  })
  const program = result.status === 0 ? kept() : undefined
  return (
    program ||
    stop(
      `xmpp-dna needs Node 22.18 or newer; this is ${process.version}, and none could be fetched for ${process.platform}-${process.arch}.`,
    )
  )
}

const fits = !forced && (major > 22 || (major === 22 && minor >= 18))
const program = fits ? process.execPath : kept() || fetched()
const PATH = path.dirname(program) + path.delimiter + (process.env.PATH || "")
// On 22 running TypeScript is announced as experimental at every start; nobody can do anything about it.
const child = spawn(program, ["--disable-warning=ExperimentalWarning", ...args], {
  stdio: "inherit",
  env: Object.assign({}, process.env, { PATH }),
})

child.on("error", (error) => stop(`xmpp-dna could not start ${program}: ${error.message}`))
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  // Ctrl-C reaches the child by the terminal's process group already; a second copy would read as impatience.
  process.on(signal, () => {
    if (signal !== "SIGINT" || !process.stdin.isTTY) child.kill(signal)
  })
}
// npm passes not every signal on, and a shell stands between it and us. Under npm the child's life is tied to both, so that nothing
// stays behind. Without /proc only the shell is watched.
const family = () => {
  const status = `/proc/${process.ppid}/status`
  return process.ppid + (existsSync(status) ? /^PPid:.*$/m.exec(readFileSync(status, "utf8"))[0] : "")
}
const born = family()
const orphaned = () => {
  try {
    return family() !== born
  } catch {
    return true // the shell went away between the two looks
  }
}
const watch = process.env.npm_lifecycle_event && setInterval(() => orphaned() && child.kill("SIGTERM"), 500)
child.on("exit", (code, signal) => {
  clearInterval(watch)
  process.exit(signal ? 128 + constants.signals[signal] : code)
})
