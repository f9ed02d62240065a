// The harness itself: Debian's Prosody and ejabberd federate with each other, without anything of ours between them.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startBot } from "./bot.ts"
import { peerMissing } from "./peers-used.ts"
import { exchange, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const skip = peerMissing("prosody", "ejabberd")
const world = await createWorld()
after(() => world.end())

test("Prosody and ejabberd exchange messages by SASL EXTERNAL under a private CA, both strict", { skip }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-strict", strict: true })
  const ejabberd = await startForeign(world, "ejabberd", { label: "e-strict", strict: true })
  await exchange(prosody.bot, ejabberd.bot, "external")
  const accepted = await ejabberd.server.waitForLog(
    /Accepted inbound s2s EXTERNAL authentication bot\.p-strict\.example -> bot\.e-strict\.example/,
  )
  assert.match(accepted, /127\./)
  await prosody.server.waitForLog(/Incoming s2s connection bot\.e-strict\.example->bot\.p-strict\.example complete/)
})

test("with self-signed certificates on both ends dialback carries the messages", { skip }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-lax", flaw: "self-signed" })
  const ejabberd = await startForeign(world, "ejabberd", { label: "e-lax", flaw: "self-signed" })
  await exchange(prosody.bot, ejabberd.bot, "dialback")
  const accepted = await ejabberd.server.waitForLog(
    /Accepted inbound s2s dialback authentication bot\.p-lax\.example -> bot\.e-lax\.example/,
  )
  assert.match(accepted, /127\./)
})

test("a strict Prosody refuses a self-signed ejabberd and tells it why", { skip }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-refuses", strict: true })
  const ejabberd = await startForeign(world, "ejabberd", { label: "e-refused", flaw: "self-signed" })
  ejabberd.bot.say(`bot@${prosody.domain}`, "never arrives")
  const bounce = await ejabberd.bot.waitFor("type='error'")
  assert.match(bounce, /certificate is (not trusted|self-signed)/)
  assert.deepEqual(prosody.bot.received, [])
})

test("a component with a wrong secret is told so", { skip }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-secret" })
  await assert.rejects(startBot({ domain: prosody.domain, secret: "wrong", server: prosody.server.component }), /not-authorized/)
})
