// The package as others get it: packed, installed into an empty folder, its bin, exports and types used under Node 22 and 24.
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { test } from "node:test"

const root = join(import.meta.dirname, "..")
const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  version: string
  exports: Record<string, string | { types: string; default: string }>
}
const entries = Object.entries(manifest.exports).flatMap(([subpath, target]) =>
  typeof target === "string" ? [] : [{ subpath, ...target }],
)
const specifier = (subpath: string): string => `xmpp-dna${subpath.slice(1)}`

interface Ended {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs a program as a stranger would: without the variables of the npm that runs these tests. */
function start(cwd: string, program: string, ...args: string[]): Promise<Ended> {
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(?:npm_|NODE_OPTIONS|NODE_TEST)/i.test(name) || name === "npm_execpath"),
  )
  return new Promise((resolve) => {
    execFile(program, args, { cwd, env, timeout: 120_000, maxBuffer: 1 << 24 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, stdout, stderr })
    })
  })
}
const npm = (cwd: string, ...args: string[]): Promise<Ended> =>
  process.env.npm_execpath === undefined ? start(cwd, "npm", ...args) : start(cwd, process.execPath, process.env.npm_execpath, ...args)
const tsc = (cwd: string): Promise<Ended> => start(cwd, process.execPath, join(root, "node_modules/typescript/bin/tsc"), "-p", ".")

function succeeded(what: string, ended: Ended): Ended {
  assert.equal(ended.code, 0, `${what}:\n${ended.stdout}${ended.stderr}`)
  return ended
}

test("the package", async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), "xmpp-dna-package-"))
  t.after(() => rmSync(scratch, { recursive: true, force: true }))

  for (const entry of entries) {
    const source = entry.default.replace(/^\.\/dist\//, "src/").replace(/\.js$/, ".ts")
    assert.ok(existsSync(join(root, source)), `exports ${entry.subpath}, but ${source} does not exist`)
  }
  succeeded("npm pack", await npm(root, "pack", "--pack-destination", scratch))
  const [tarball] = globSync("*.tgz", { cwd: scratch })
  assert.ok(tarball !== undefined, "npm pack left no tarball")
  writeFileSync(join(scratch, "package.json"), JSON.stringify({ name: "consumer", private: true, type: "module" }))
  succeeded("npm install", await npm(scratch, "install", "--prefer-offline", "--no-audit", "--no-fund", join(scratch, tarball)))

  await t.test("holds what runs and what explains it, nothing else", () => {
    const files = globSync("**/*", { cwd: join(scratch, "node_modules/xmpp-dna"), withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(join(scratch, "node_modules/xmpp-dna/").length))
    const foreign = files.filter((file) => !/^(?:package\.json|README\.md|LICENSE|CHANGELOG\.md|bin\/xmpp-dna\.js|man\/[a-z-]+\.1|schema\/[a-z-]+\.json|dist\/.+)$/.test(file))
    assert.deepEqual(foreign, [])
    assert.deepEqual(
      files.filter((file) => /(?<!\.d)\.ts$/.test(file)),
      [],
    )
    for (const file of ["LICENSE", "man/xmpp-dna.1", "schema/check.json"]) assert.ok(files.includes(file), file)
  })

  await t.test("brings no Node and no tool of this repository", () => {
    const installed = globSync("{*,@*/*}", { cwd: join(scratch, "node_modules") })
    assert.ok(installed.includes("zod"), "the runtime dependencies are there")
    assert.deepEqual(
      installed.filter((name) => /^(?:node|node-.+|typescript|fast-check|@biomejs.*|@types\/node)$/.test(name)),
      [],
    )
  })

  await t.test("exports every entry file", () => {
    const exported = entries.map((entry) => basename(entry.default, ".js"))
    assert.deepEqual(
      globSync("*.ts", { cwd: join(root, "src/entry") })
        .map((file) => basename(file, ".ts"))
        .sort(),
      exported.sort(),
    )
    assert.deepEqual(
      [".", "./gateway", "./testing"].filter((subpath) => !entries.some((entry) => entry.subpath === subpath)),
      [],
    )
  })

  for (const [folder, version] of [
    ["node22", /^v22\.(?:1[89]|[2-9]\d)\./],
    ["node", /^v24\./],
  ] as const)
    await t.test(`under the Node of tools/${folder}`, async (leg) => {
      const ask = ["tools/node.cjs", `--from=${folder}`, "-p", "process.execPath"]
      const node = version.test(process.version)
        ? process.execPath
        : succeeded("tools/node.cjs", await start(root, process.execPath, ...ask)).stdout.trim()
      assert.match(succeeded("node --version", await start(scratch, node, "--version")).stdout, version)

      await leg.test("the bin tells its version", async () => {
        const told = succeeded("xmpp-dna --version", await start(scratch, node, "node_modules/.bin/xmpp-dna", "--version"))
        assert.match(told.stdout, new RegExp(`^(?:xmpp-dna )?${manifest.version.replaceAll(".", "\\.")}\\b`))
      })

      await leg.test("the bin refuses an older Node with a sentence and 69", async () => {
        const older = "data:text/javascript,Object.defineProperty(process.versions,'node',{value:'22.17.9'})"
        const refused = await start(scratch, node, "--import", older, "node_modules/.bin/xmpp-dna", "--version")
        assert.equal(refused.code, 69)
        assert.match(refused.stderr, /^xmpp-dna needs Node 22\.18 or newer; this is v/)
        assert.equal(refused.stdout, "")
      })

      await leg.test("a schema can be imported", async () => {
        const program = 'const { default: schema } = await import("xmpp-dna/schema/check.json", { with: { type: "json" } }); console.log(schema.$id)'
        assert.equal(succeeded("import a schema", await start(scratch, node, "--input-type=module", "--eval", program)).stdout, "urn:xmpp-dna:schema:check:1\n")
      })

      for (const { subpath } of entries)
        await leg.test(`${specifier(subpath)} can be imported`, async () => {
          const program = `const names = Object.entries(await import("${specifier(subpath)}")); console.log(JSON.stringify(names.map(([name, value]) => [name, typeof value])))`
          const told = succeeded(`import ${subpath}`, await start(scratch, node, "--input-type=module", "--eval", program))
          const exported = JSON.parse(told.stdout) as [string, string][]
          assert.ok(
            exported.some(([, type]) => type === "function"),
            `exports a function: ${told.stdout}`,
          )
          assert.deepEqual(
            exported.filter(([, type]) => type === "undefined"),
            [],
          )
        })
    })

  await t.test("the types of every export are found and hold under strict settings", async () => {
    const compilerOptions = {
      module: "nodenext",
      target: "es2023",
      lib: ["es2023", "esnext.disposable"],
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
    }
    const nodeTypes = { typeRoots: [join(root, "node_modules/@types")], types: ["node"] }
    writeFileSync(
      join(scratch, "tsconfig.json"),
      JSON.stringify({ compilerOptions: { ...compilerOptions, ...nodeTypes }, files: ["consumer.ts"] }),
    )
    const using = entries.map(
      ({ subpath }, at) =>
        `import * as entry${at} from "${specifier(subpath)}"\nexport const names${at}: string[] = Object.keys(entry${at})\n`,
    )
    writeFileSync(join(scratch, "consumer.ts"), using.join(""))
    succeeded("tsc", await tsc(scratch))

    // A package whose types are missing or `any` would let this pass.
    writeFileSync(
      join(scratch, "consumer.ts"),
      entries.map(({ subpath }, at) => `import { noSuchName as n${at} } from "${specifier(subpath)}"\nn${at}()\n`).join(""),
    )
    const refused = await tsc(scratch)
    assert.equal((refused.stdout.match(/error TS2305/g) ?? []).length, entries.length, refused.stdout)
  })
})
