// What an idle stream costs while it lasts (RFC 6120 13.12: thousands of them): objects after a collection, both ends in one process.
import assert from "node:assert/strict"
import { test } from "node:test"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { memoryScene } from "./support.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Octets of all objects that live, and of buffers. */
async function living(): Promise<number> {
  for (let turn = 0; turn < 5; turn += 1) {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
  }
  const { heapUsed, arrayBuffers } = process.memoryUsage()
  return heapUsed + arrayBuffers
}

const streams = 300
/** Both ends, and the channel between them as the world in memory has it; octets. 31,000 when it was written, within ten of one run to the next. */
const most = 36_000

test("an idle stream with both directions and acknowledgements keeps what it needs, and nothing of its negotiation", async () => {
  const scene = memoryScene()
  const uses = { uses: { bidi: true, streamManagement: true } }
  const names = Array.from({ length: streams + 20 }, (_, index) => `d${index}.example`)
  const a = await scene.server({ domains: ["a.example"], ...uses })
  const b = await scene.server({ domains: names, ...uses })
  const open = async (some: readonly string[]): Promise<void> => {
    for (const name of some) {
      await scene.until(a.join(name))
      for (const server of [a, b]) server.events.length = 0
    }
    await scene.settle()
  }
  await open(names.slice(0, 20))
  const before = await living()
  await open(names.slice(20))
  const each = ((await living()) - before) / streams
  assert.ok(each < most, `${Math.round(each)} octets each`)
  await scene.close()
})
