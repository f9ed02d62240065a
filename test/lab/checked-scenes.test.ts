// The scenes as oracle: after each was played, what `check` finds at every domain of its cast is what is foretold, exactly.
import assert from "node:assert/strict"
import { before, describe, it } from "node:test"
import { looking, seenOf } from "../../src/inspect/looking.ts"
import { checkedScenes, sceneStandings } from "../../src/lab/checked-scenes.ts"
import type { ExhibitSeen } from "../../src/lab/exhibit.ts"
import { Internet } from "../../src/lab/internet.ts"
import { scenes } from "../../src/lab/programme.ts"
import { playScene, raiseCast, type Scene } from "../../src/lab/scene.ts"
import { createAskingWorld } from "../../src/node/asking-world.ts"
import { labPorts } from "./support.ts"

const found = new Map<string, Readonly<Record<string, ExhibitSeen>>>()

async function playedAndChecked(scene: Scene): Promise<void> {
  const net = await Internet.start(labPorts)
  try {
    await raiseCast(net, scene.cast)
    const { broken } = await playScene(net, scene)
    assert.equal(broken, undefined, scene.id)
    const inspected = looking(net, createAskingWorld)
    const look = async (domain: string): Promise<[string, ExhibitSeen]> => [domain, seenOf(await inspected(domain, sceneStandings[domain]?.question))]
    found.set(scene.id, Object.fromEntries(await Promise.all(net.servers.map(({ domain }) => look(domain)))))
  } finally {
    await net.close()
  }
}

before(async () => {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let at = next++; at < scenes.length; at = next++) await playedAndChecked(scenes[at] ?? assert.fail())
  }
  // Each has its time by the clock on the wall: few at once, since the machine may be busy.
  await Promise.all(Array.from({ length: 3 }, worker))
})

describe("after the scene", () => {
  for (const { id } of scenes) it(id, () => assert.deepEqual(found.get(id), checkedScenes[id]))

  it("is told for domains of the scenes alone", () => {
    const domains = Object.values(checkedScenes).flatMap((each) => Object.keys(each))
    assert.equal(new Set(domains).size, domains.length)
    for (const domain of Object.keys(sceneStandings)) assert.ok(domains.includes(domain), domain)
  })
})
