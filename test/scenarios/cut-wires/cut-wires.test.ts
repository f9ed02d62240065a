// Connections that break at any octet: no message is lost in silence, and none comes twice or comes and bounces where it can be known
// (XEP-0198; SM-3 to SM-7; RFC 6120 4.5; docs/decisions/0022). Longer runs: fuzz.ts.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Leftovers } from "../../../src/gateway/leftovers.ts"
import { StreamManagement } from "../../../src/stream/stream-management.ts"
import { patched } from "../../attacks/weakened.ts"
import { exactlyOnce, neverBoth, neverNone } from "./rules.ts"
import { gentleWires, wires } from "./wires.ts"

const settings = { numRuns: 80, seed: 198 }

test("with acknowledgements nothing is lost in silence, and nothing is sent a third time", () => fc.assert(fc.asyncProperty(wires(20), neverNone), settings))

test("without them a message comes once or bounces once, never both; what a connection took along is lost with it", () =>
  fc.assert(fc.asyncProperty(wires(20), neverBoth), settings))

test("where the lost stream can be gone on with, each message comes once or bounces once", () => fc.assert(fc.asyncProperty(gentleWires(30), exactlyOnce), settings))

describe("red: what is wrong is found", () => {
  const found = async (): Promise<string> => {
    const result = await fc.check(fc.asyncProperty(gentleWires(30), exactlyOnce), { ...settings, endOnFailure: true })
    assert.ok(result.failed, "nothing was found")
    return result.errorInstance instanceof Error ? result.errorInstance.message : String(result.errorInstance)
  }
  const { sortOut } = Leftovers.prototype

  test("what had arrived is sent again", () =>
    patched(
      Leftovers.prototype,
      "sortOut",
      function (this: Leftovers, carrier) {
        return sortOut.call(this, carrier)
      },
      async () => assert.match(await found(), /came 2 times/),
    ))

  test("one more than had arrived is let go of", () =>
    patched(
      Leftovers.prototype,
      "sortOut",
      function (this: Leftovers, carrier, arrived) {
        return sortOut.call(this, carrier, arrived === undefined ? undefined : Math.min(arrived + 1, carrier.outlet.unacknowledged))
      },
      async () => assert.match(await found(), /came 0 times and bounced 0 times/),
    ))

  test("the session is forgotten with its stream", () =>
    patched(StreamManagement.prototype, "over", () => undefined, async () => assert.match(await found(), /came 2 times/)))
})
