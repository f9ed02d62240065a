// Unmodified component libraries on our gateway: @xmpp/component and slixmpp talk to each other and to a bot on Prosody (COMP-*).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startOurs } from "./ours.ts"
import { startSlixmppBot, startXmppJsBot } from "./peers/library-bots.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

test("@xmpp/component and slixmpp on our gateway, with each other and with a bot on Prosody", {
  skip: peerMissing("prosody", "slixmpp"),
}, async () => {
  const jsName = "js.libraries.example"
  const pyName = "py.libraries.example"
  const gateway = await startOurs(world, { domains: [{ name: jsName }, { name: pyName }], require: "authenticated" })
  const prosody = await startForeign(world, "prosody", { label: "p-with-libraries", strict: true })
  const js = world.add(await startXmppJsBot({ domain: jsName, secret: gateway.secret(jsName), server: gateway.component }))
  const py = world.add(await startSlixmppBot({ domain: pyName, secret: gateway.secret(pyName), server: gateway.component }))
  peerUsed("slixmpp")

  js.say(`bot@${pyName}`, "hello slixmpp")
  await py.waitForLog(/stanza .*hello slixmpp/)
  await js.waitForLog(/stanza .*echo: hello slixmpp/)
  py.say(`bot@${jsName}`, "hello xmpp.js")
  await js.waitForLog(/stanza .*hello xmpp\.js/)
  await py.waitForLog(/stanza .*echo: hello xmpp\.js/)

  for (const [bot, name] of [
    [js, jsName],
    [py, pyName],
  ] as const) {
    bot.say(`bot@${prosody.domain}`, `from ${name}`)
    assert.match(await prosody.bot.waitFor(`<body>from ${name}</body>`), new RegExp(`from=.bot@${name}`))
    prosody.bot.say(`bot@${name}`, `to ${name}`)
    await bot.waitForLog(new RegExp(`stanza .*to ${name}`))
    await prosody.bot.waitFor(`echo: to ${name}`)
  }
})

test("a library bot with a wrong secret is refused and told so", { skip: peerMissing("slixmpp") }, async () => {
  const name = "closed.libraries.example"
  const gateway = await startOurs(world, { domains: [{ name }], require: "authenticated" })
  await assert.rejects(
    startXmppJsBot({ domain: name, secret: "not-the-secret-at-all-0000000000", server: gateway.component }),
    /not-authorized/,
  )
})
