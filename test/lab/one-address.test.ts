// Systems on which 127.0.0.1 alone can be listened on: every server of the lab has one address, and all scenes of POSH still go.
import assert from "node:assert/strict"
import { test } from "node:test"
import { scenes } from "../../src/lab/programme.ts"
import type { LabPorts } from "../../src/lab/ports.ts"
import { playAlone } from "../../src/lab/scene.ts"
import { labPorts } from "./support.ts"

const oneAddress: LabPorts = {
  world: (log) => {
    const world = labPorts.world(log)
    return {
      ...world,
      listen: {
        listen: async (at, accept) => {
          if ("address" in at && at.address !== "127.0.0.1") throw new Error(`${at.address} cannot be assigned`)
          return await world.listen.listen(at, accept)
        },
      },
    }
  },
}

for (const id of ["mutual-external", "posh-redirect", "posh-rollover"])
  test(`${id} where all servers share an address`, async () => {
    const scene = scenes.find((one) => one.id === id)
    assert.ok(scene !== undefined)
    const report = await playAlone(oneAddress, scene)
    assert.equal(report.broken, undefined)
    assert.deepEqual(report.got, report.expected)
  })
