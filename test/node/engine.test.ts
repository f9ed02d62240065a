// Settings of the engine, each in a process of its own: the young generation does not grow once it is held, the old one less, and no flag is unknown.
import assert from "node:assert/strict"
import { execFileSync, spawnSync } from "node:child_process"
import { test } from "node:test"
import { fileURLToPath } from "node:url"

const engine = fileURLToPath(new URL("../../src/node/engine.ts", import.meta.url))

/** MiB of the young generation before and after a burst of objects that live for a while. */
function burst(hold: boolean): { before: number; after: number; printed: string } {
  const program = `
    import { getHeapSpaceStatistics } from "node:v8"
    import { holdYoungGeneration } from ${JSON.stringify(engine)}
    const young = () => getHeapSpaceStatistics().find((space) => space.space_name === "new_space").space_size / 2 ** 20
    ${hold ? "holdYoungGeneration()" : ""}
    const before = young()
    const ring = []
    for (let index = 0; index < 2_000_000; index += 1) ring[index % 50_000] = { index, text: "x" + index }
    // While its threads copy, it has pages of both halves: looked at between two collections only.
    gc({ type: "minor" })
    console.log(JSON.stringify({ before, after: young() }))`
  const printed = execFileSync(process.execPath, ["--expose-gc", "--input-type=module", "--eval", program], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  })
  return { ...JSON.parse(printed), printed }
}

test("held, the young generation stays as it is", () => {
  const { before, after } = burst(true)
  assert.ok(after <= before + 1, `${before} MiB before, ${after} MiB after`)
})

test("left alone, it grows: the burst is one that would make it", () => {
  const { before, after } = burst(false)
  assert.ok(after >= before + 8, `${before} MiB before, ${after} MiB after`)
})

test("collected in time, the old generation may grow twice until the next collection", () => {
  // The limit is what the engine says it has set after a collection. How large a heap really grows until then hangs on how much of
  // the processor the collector's threads get, and a busy machine gives them little.
  const program = `
    import { collectInTime, holdYoungGeneration } from ${JSON.stringify(engine)}
    holdYoungGeneration()
    collectInTime()
    const stays = Array.from({ length: 200_000 }, (_, index) => ({ index, text: "x" + index }))
    gc()
    console.log(stays.length)`
  const flags = ["--expose-gc", "--trace-gc-verbose", "--input-type=module", "--eval"]
  const printed = execFileSync(process.execPath, [...flags, program], { encoding: "utf8", maxBuffer: 2 ** 24 })
  const limits = [...printed.matchAll(/old size: (\d+) KB, new limit: (\d+) KB/g)].map(
    ([, size, limit]) => [Number(size), Number(limit)] as const,
  )
  assert.ok(limits.length > 0, printed)
  for (const [size, limit] of limits) assert.ok(limit < 2.2 * size, `${size} KiB alive, the next collection at ${limit} KiB`)
})

test("this engine knows all settings", () => {
  const program = `import { collectInTime, compileEarly, holdYoungGeneration } from ${JSON.stringify(engine)}; compileEarly(); holdYoungGeneration(); collectInTime(); console.log("set")`
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" })
  assert.deepEqual([stdout, status], ["set\n", 0])
  assert.doesNotMatch(stderr, /flag/i)
})
