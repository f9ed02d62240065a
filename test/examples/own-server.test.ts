// The example of docs/lab.md: compiled as somebody else would, since `await using` is not in every Node, and run.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { pathToFileURL } from "node:url"

const root = join(import.meta.dirname, "../..")
const example = join(root, "examples/own-server/own-server.test.ts")

test("docs/lab.md shows it as it is", () => {
  const [, ...lines] = readFileSync(example, "utf8").split("// gateway of this package; put yours in its place.\n")
  const shown = lines.join("").replace("../../src/entry/testing.ts", "xmpp-dna/testing")
  assert.ok(readFileSync(join(root, "docs/lab.md"), "utf8").includes(`\`\`\`ts\n${shown}\`\`\`\n`))
})

test("it compiles and runs, and its labs end with their blocks", () => {
  const folder = mkdtempSync(join(tmpdir(), "own-server-"))
  try {
    const compiled = spawnSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "--ignoreConfig", "--noCheck", "--noResolve", "--target", "es2022", "--module", "nodenext", "--outDir", folder, example], { encoding: "utf8", timeout: 60_000 })
    assert.equal(compiled.status, 0, compiled.stdout)
    const text = readFileSync(join(folder, "own-server.test.js"), "utf8").replace("../../src/entry/testing.ts", pathToFileURL(join(root, "src/entry/testing.ts")).href)
    assert.doesNotMatch(text, /await using/)
    writeFileSync(join(folder, "own-server.test.mjs"), text)
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env
    // A lab that did not end would keep the process alive.
    const ran = spawnSync(process.execPath, ["--test-reporter=tap", join(folder, "own-server.test.mjs")], { encoding: "utf8", timeout: 60_000, env: environment })
    assert.equal(ran.status, 0, `${ran.stdout}${ran.stderr}`)
    assert.match(ran.stdout, /^# pass 3$/m)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
