// Every scene of the lab as expected, alone on an internet of its own; and what the lab promises about scenes.
import assert from "node:assert/strict"
import { test } from "node:test"
import { mainScenes, scenes } from "../../src/lab/programme.ts"
import { playAlone, type Scene, sceneMs } from "../../src/lab/scene.ts"
import { faults, reportDocument } from "../../src/lab/theatre.ts"
import { labPorts } from "./support.ts"

for (const scene of scenes)
  test(`scene ${scene.id}`, async () => {
    const report = await playAlone(labPorts, scene)
    assert.deepEqual(report.got, report.expected)
    assert.equal(report.broken, undefined)
    assert.equal(report.ok, true)
    assert.deepEqual(faults(report), [])
  })

test("scenes have ids and domains of their own, and those the issue names are there", () => {
  const ids = scenes.map(({ id }) => id)
  assert.equal(new Set(ids).size, ids.length)
  const domains = scenes.flatMap(({ cast }) => cast.map(({ domain }) => domain))
  assert.equal(new Set(domains).size, domains.length, "all casts can be up at once")
  for (const id of ["mutual-external", "no-client-certificate", "self-signed-encrypted", "self-signed-refused", "server-only", "components", "expired", "wrong-name", "unknown-root", "dane-ee", "dane-ta", "stale-tlsa", "delegated-host", "bogus-srv", "bogus-tlsa", "insecure-delegation", "proven-absence", "stripping-resolver"])
    assert.ok(ids.includes(id), id)
  for (const word of ["fingerprints", "redirect", "reference", "redirect-reference", "older", "wrong-hash", "weaker-hash", "expired", "loop", "reference-twice", "http-hop", "wrong-name", "404", "500", "slow", "huge", "gzip", "html", "duplicates", "rollover"])
    assert.ok(ids.includes(`posh-${word}`), word)
  assert.ok(mainScenes.length >= 3 && mainScenes.every((scene) => scenes.includes(scene)))
})

test("a scene that does not come out as expected, breaks or throws is a report that says so", async () => {
  const base: Scene = { id: "made-up", section: "none", title: "made up", cast: [], expected: { a: { b: 1 } }, play: async () => ({ a: { b: 2 } }) }
  const other = await playAlone(labPorts, base)
  assert.equal(other.ok, false)
  assert.deepEqual(faults(other), ["a.b: expected 1, got 2"])
  const broken = await playAlone(labPorts, {
    ...base,
    play: async () => {
      throw new Error("the stage is on fire")
    },
  })
  assert.equal(broken.ok, false)
  assert.deepEqual(faults(broken), ["the stage is on fire"])
  const document = JSON.parse(reportDocument([other, broken])) as { scenes: { id: string; ok: boolean }[] }
  assert.deepEqual(
    document.scenes.map(({ id, ok }) => [id, ok]),
    [
      ["made-up", false],
      ["made-up", false],
    ],
  )
})

test("a scene that never ends is cut off", async (t) => {
  const endless: Scene = { id: "endless", section: "none", title: "endless", cast: [], expected: {}, play: () => new Promise(() => {}) }
  // Its time passes at once: the timer is called when it is set.
  const hurried = {
    world: (log: Parameters<typeof labPorts.world>[0]) => {
      const world = labPorts.world(log)
      return { ...world, clock: { ...world.clock, after: (ms: number, callback: () => void) => world.clock.after(ms === sceneMs ? 1 : ms, callback) } }
    },
  }
  const report = await playAlone(hurried, endless)
  assert.equal(report.ok, false)
  assert.equal(report.broken, `the scene took longer than ${sceneMs / 1000} s`)
  t.diagnostic(`cut off after ${report.ms} ms`)
})
