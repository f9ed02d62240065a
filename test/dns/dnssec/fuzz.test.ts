// A short run of the fuzz in every test run, always with the same seed.
import assert from "node:assert/strict"
import { test } from "node:test"
import { fuzz } from "./fuzz.ts"

test("a path that does anything: secure is true, a secure truth never turns insecure", async () => {
  // Bounded by its count, so that a busy machine asks no less; the seconds end only a run that hangs.
  const { lookups, byStatus } = await fuzz(30, 20261122, 400)
  // The run must see both sides, or it proves nothing.
  assert.ok(lookups >= 400 && (byStatus["secure"] ?? 0) > 10 && (byStatus["bogus"] ?? 0) > 10, JSON.stringify(byStatus))
})
