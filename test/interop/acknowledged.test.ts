// Acknowledged stanzas with a real Prosody and its mod_smacks on server-to-server streams, both ways (XEP-0198; SM-1 to SM-4).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { linesOf, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

const kinds = [
  { label: "smacks", modules: ["smacks"], directions: ["in", "out"] },
  // Both directions on the connection that we opened.
  { label: "smacks-bidi", modules: ["smacks", "s2s_bidi"], directions: ["out"] },
] as const

for (const { label, modules, directions } of kinds)
  test(`Prosody with ${modules.join(" and ")}, EXTERNAL: each direction is acknowledged, by hundreds, and no stream ends over a count`, { skip: peerMissing("prosody") }, async () => {
    const ours = `${label}.ours.example`
    const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
    const foreign = await startForeign(world, "prosody", { label, strict: true, modules })
    const bot = await gateway.bot(ours)
    for (let index = 1; index <= 600; index += 1) bot.say(`bot@${foreign.domain}`, `from ours ${index}.`)
    await foreign.bot.waitFor("<body>from ours 600.</body>")
    for (let index = 1; index <= 600; index += 1) foreign.bot.say(`bot@${ours}`, `from theirs ${index}.`)
    await bot.waitFor("<body>from theirs 600.</body>")
    // Another round, now that each side has been told how far the other came.
    bot.say(`bot@${foreign.domain}`, "from ours, at last")
    await foreign.bot.waitFor("<body>from ours, at last</body>")
    const managed = linesOf(gateway, "s2s.managed")
    assert.deepEqual(managed.map(({ dir, result, resumable }) => [dir, result, resumable]).sort(), directions.map((dir) => [dir, "enabled", false]))
    const streams = managed.map(({ sid }) => sid)
    assert.deepEqual(linesOf(gateway, "s2s.closed").filter(({ sid }) => streams.includes(sid)), [])
    assert.deepEqual(linesOf(gateway, "s2s.refused"), [])
    await gateway.stop()
    assert.deepEqual(linesOf(gateway, "s2s.lost"), [])
  })
