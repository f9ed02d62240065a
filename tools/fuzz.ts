// Behind `npm run fuzz`: runs every test/**/fuzz.ts, one after the other, for as long as asked (`--seconds=60` each), optionally only some
// (`npm run fuzz -- test/xml`). A fuzz script takes `--seconds=N`, prints its seed and ends non-zero with the input that broke the code.
import { spawnSync } from "node:child_process"
import { globSync } from "node:fs"
import { join } from "node:path"
import { parseArgs } from "node:util"

const root = join(import.meta.dirname, "..")
const { values, positionals } = parseArgs({ options: { seconds: { type: "string", default: "60" } }, allowPositionals: true })
const seconds = Number(values.seconds)
if (!Number.isInteger(seconds) || seconds < 1) {
  process.stderr.write(`--seconds=${values.seconds}: say how many whole seconds each script may take\n`)
  process.exit(64)
}

const scripts = globSync("test/**/fuzz.ts", { cwd: root }).filter(
  (script) => positionals.length === 0 || positionals.some((prefix) => script.startsWith(prefix)),
)
let failed = scripts.length === 0 ? 1 : 0
for (const script of scripts.sort()) {
  process.stdout.write(`— ${script} —\n`)
  // The script keeps its own time; a hang of the code under test is ended from outside and counts as a failure.
  const { status } = spawnSync(process.execPath, [script, `--seconds=${seconds}`], {
    cwd: root,
    stdio: "inherit",
    timeout: (seconds * 2 + 30) * 1000,
  })
  if (status !== 0) failed += 1
}
process.stdout.write(`${Math.max(0, scripts.length - failed)} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
