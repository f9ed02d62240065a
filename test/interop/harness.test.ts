// The harness itself: Debian's Prosody and ejabberd federate with each other, without anything of ours between them.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startBot } from "./bot.ts"
import { startSlixmppBot, startXmppJsBot } from "./peers/library-bots.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
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

test("a strict Prosody refuses a self-signed ejabberd", { skip }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-refuses", strict: true })
  const ejabberd = await startForeign(world, "ejabberd", { label: "e-refused", flaw: "self-signed" })
  ejabberd.bot.say(`bot@${prosody.domain}`, "never arrives")
  // ejabberd sometimes misses the words when the connection closes right behind them, so they are read where they are said.
  assert.match(await ejabberd.bot.waitFor(/type=['"]error['"]/), /remote-server-timeout/)
  assert.match(await prosody.server.waitForLog(/Forbidding insecure connection/), /certificate is (not trusted|self-signed)/)
  assert.deepEqual(prosody.bot.received, [])
})

test("a component with a wrong secret is told so", { skip }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-secret" })
  await assert.rejects(startBot({ domain: prosody.domain, secret: "wrong", server: prosody.server.component }), /not-authorized/)
})

test("@xmpp/component and slixmpp run as components of a Prosody", { skip: peerMissing("prosody", "slixmpp") }, async () => {
  const prosody = await startForeign(world, "prosody", { label: "p-libraries", components: ["js", "py"] })
  const server = prosody.server.component
  const js = world.add(await startXmppJsBot({ domain: "js.p-libraries.example", secret: prosody.secret("js"), server }))
  const py = world.add(await startSlixmppBot({ domain: "py.p-libraries.example", secret: prosody.secret("py"), server }))
  js.say(`bot@${py.domain}`, "from one library to the other")
  await py.waitForLog(/stanza .*from one library to the other/)
  await js.waitForLog(/stanza .*echo: from one library to the other/)
  prosody.bot.say(`bot@${js.domain}`, "hello")
  assert.match(await prosody.bot.waitFor("echo: hello"), /from=.bot@js\.p-libraries\.example/)
  peerUsed("slixmpp")
})
