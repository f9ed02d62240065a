// Fifty hosted domains on one gateway, each exchanging a message with a real server (tenants do not share streams or certificates).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { type Kind, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())
const count = 50

test(`${count} hosted domains exchange a message with Prosody or ejabberd`, {
  skip: peerMissing("prosody", "ejabberd"),
  timeout: 90_000,
}, async () => {
  const names = Array.from({ length: count }, (_, index) => `t${index}.fifty.example`)
  const gateway = await startOurs(world, { domains: names.map((name) => ({ name })), require: "authenticated" })
  const kinds: readonly Kind[] = ["prosody", "ejabberd"]
  const foreign = await Promise.all(kinds.map((kind) => startForeign(world, kind, { label: `${kind}-fifty`, strict: true })))
  const bots = await Promise.all(names.map((name) => gateway.bot(name)))
  await Promise.all(
    bots.map(async (bot, index) => {
      const peer = foreign[index % 2]!
      bot.say(`bot@${peer.domain}`, `from tenant ${index}.`)
      const heard = await peer.bot.waitFor(`<body>from tenant ${index}.</body>`, 60_000)
      assert.match(heard, new RegExp(`bot@${names[index]!.replaceAll(".", "\\.")}`))
      peer.bot.say(`bot@${bot.domain}`, `to tenant ${index}.`)
      await bot.waitFor(`<body>to tenant ${index}.</body>`, 60_000)
    }),
  )
  // Everyone got exactly what was meant for it.
  for (const [index, bot] of bots.entries()) {
    const bodies = bot.received.flatMap((stanza) => /<body>(.*)<\/body>/.exec(stanza)?.[1] ?? [])
    assert.deepEqual(bodies, [`to tenant ${index}.`])
  }
  for (const [index, peer] of foreign.entries()) {
    assert.equal(peer.bot.received.filter((stanza) => stanza.includes("from tenant")).length, count / 2, kinds[index])
  }
})
