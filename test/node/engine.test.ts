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
    console.log(JSON.stringify({ before, after: young() }))`
  const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", program], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  })
  return { ...JSON.parse(printed), printed }
}

test("held, the young generation stays as it is", () => {
  const { before, after } = burst(true)
  // What is being copied when it is looked at takes a few pages more.
  assert.ok(after <= before + 4, `${before} MiB before, ${after} MiB after`)
})

test("left alone, it grows: the burst is one that would make it", () => {
  const { before, after } = burst(false)
  assert.ok(after >= before + 8, `${before} MiB before, ${after} MiB after`)
})

/** MiB of the old generation at its largest, while objects that live for a while go through it beside those that stay. */
function largest(inTime: boolean): number {
  const program = `
    import { getHeapSpaceStatistics } from "node:v8"
    import { collectInTime, holdYoungGeneration } from ${JSON.stringify(engine)}
    holdYoungGeneration()
    ${inTime ? "collectInTime()" : ""}
    const old = () => getHeapSpaceStatistics().find((space) => space.space_name === "old_space").space_used_size / 2 ** 20
    const stays = Array.from({ length: 200_000 }, (_, index) => ({ index, text: "x" + index }))
    const ring = []
    let most = 0
    for (let index = 0; index < 3_000_000; index += 1) {
      ring[index % 50_000] = { index, text: "y" + index }
      if (index % 20_000 === 0) most = Math.max(most, old())
    }
    console.log(most, stays.length)`
  return Number.parseFloat(execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" }))
}

test("collected in time, the old generation stays smaller than left alone", () => {
  const [bounded, alone] = [largest(true), largest(false)]
  assert.ok(bounded < 0.8 * alone, `${bounded} MiB in time, ${alone} MiB left alone`)
})

test("this engine knows all settings", () => {
  const program = `import { collectInTime, compileEarly, holdYoungGeneration } from ${JSON.stringify(engine)}; compileEarly(); holdYoungGeneration(); collectInTime(); console.log("set")`
  const { stdout, stderr, status } = spawnSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" })
  assert.deepEqual([stdout, status], ["set\n", 0])
  assert.doesNotMatch(stderr, /flag/i)
})
