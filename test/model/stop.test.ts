// A light signal beside the platform's: the same words of both.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { Stop, type StopSignal } from "../../src/model/stop.ts"

const platform = () => {
  const controller = new AbortController()
  return { signal: controller.signal as StopSignal, abort: (reason?: unknown) => controller.abort(reason) }
}
const light = () => {
  const stop = new Stop()
  return { signal: stop as StopSignal, abort: (reason?: unknown) => stop.abort(reason) }
}

for (const [name, make] of [
  ["the platform's", platform],
  ["ours", light],
] as const) {
  describe(`a signal of ${name}`, () => {
    it("tells each listener once, in order, and keeps the first reason", () => {
      const { signal, abort } = make()
      const heard: string[] = []
      const first = () => heard.push("first")
      signal.addEventListener("abort", first)
      signal.addEventListener("abort", () => heard.push("second"), { once: true })
      signal.addEventListener("abort", first)
      assert.equal(signal.aborted, false)
      signal.throwIfAborted()
      const reason = new Error("enough")
      abort(reason)
      abort(new Error("again"))
      assert.deepEqual(heard, ["first", "second"])
      assert.equal(signal.aborted, true)
      assert.equal(signal.reason, reason)
      assert.throws(() => signal.throwIfAborted(), /enough/)
    })
    it("tells nobody who left, nor who came too late", () => {
      const { signal, abort } = make()
      const heard: string[] = []
      const left = () => heard.push("left")
      signal.addEventListener("abort", left)
      signal.removeEventListener("abort", left)
      signal.removeEventListener("abort", left)
      abort()
      signal.addEventListener("abort", () => heard.push("late"))
      assert.deepEqual(heard, [])
      assert.ok(signal.reason instanceof Error)
    })
    it("one who is taken out while others are told is not told", () => {
      const { signal, abort } = make()
      const heard: string[] = []
      const second = () => heard.push("second")
      signal.addEventListener("abort", () => {
        heard.push("first")
        signal.removeEventListener("abort", second)
      })
      signal.addEventListener("abort", second)
      signal.addEventListener("abort", () => heard.push("third"))
      abort()
      assert.deepEqual(heard, ["first", "third"])
    })
    it("one who leaves while others are told is not in the way of the next", () => {
      const { signal, abort } = make()
      const heard: string[] = []
      const first = () => {
        heard.push("first")
        signal.removeEventListener("abort", first)
      }
      signal.addEventListener("abort", first)
      signal.addEventListener("abort", () => heard.push("second"))
      abort()
      assert.deepEqual(heard, ["first", "second"])
    })
  })
}
