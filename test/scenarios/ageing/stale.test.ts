// A prooftype of somebody's own whose proofs have ended already: its stream ends, and nothing is judged for ever (security.md 10).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { AnyProoftype } from "../../../src/proof/prooftype.ts"
import { memoryScene, start } from "../support.ts"
import { hour, minute } from "./facts.ts"

test("a proof that is never renewed, and given again and again, is asked about once more when it ends", async () => {
  const scene = memoryScene()
  let judged = 0
  const stale: AnyProoftype = {
    name: "stale",
    atHand: true,
    needsSecureDns: false,
    obtain: () => "material",
    match: () => {
      judged += 1
      return { outcome: "proved", by: "stale", detail: "", until: start + hour }
    },
    binding: () => false,
    record: (material) => material,
    revive: () => ({ cannotJudge: "no" }),
    facts: () => [],
  }
  const a = await scene.server({ domains: ["a.example"], prooftypes: [stale] })
  await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.open("b.example"))
  const before = judged
  await scene.clock.advance(hour + minute)
  assert.ok(judged - before <= 3, `judged ${judged - before} times`)
  assert.match((await scene.until(stream.closed)).detail, /\[proof\.internal\]/)
  await scene.close()
})
