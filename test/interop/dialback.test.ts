// Dialback with real servers: self-signed certificates under policy `encrypted`, and behind a refused EXTERNAL (DB-*, EKU-*).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { type Kind, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

for (const kind of ["prosody", "ejabberd"] as const satisfies readonly Kind[]) {
  test(`dialback both ways with a ${kind}, both self-signed; policy encrypted`, { skip: peerMissing(kind) }, async () => {
    const talks = `talks.selfsigned-${kind}.example`
    const listens = `listens.selfsigned-${kind}.example`
    const gateway = await startOurs(world, {
      domains: [
        { name: talks, flaw: "self-signed" },
        { name: listens, flaw: "self-signed" },
      ],
      require: "encrypted",
    })
    const foreign = await startForeign(world, kind, { label: `${kind}-dialback`, flaw: "self-signed" })
    const first = await gateway.bot(talks)
    first.say(`bot@${foreign.domain}`, "we dial first")
    await foreign.bot.waitFor("<body>we dial first</body>")
    foreign.bot.say(`bot@${talks}`, "an answer")
    await first.waitFor("<body>an answer</body>")
    const second = await gateway.bot(listens)
    foreign.bot.say(`bot@${listens}`, "they dial first")
    await second.waitFor("<body>they dial first</body>")
    second.say(`bot@${foreign.domain}`, "our answer")
    await foreign.bot.waitFor("<body>our answer</body>")
    // What was reached is said on our side, and it is not more than it was.
    await gateway.waitForLog(/s2s\.associated.*"level_reached":"encrypted"/)
    assert.deepEqual(
      gateway.lines.filter((line) => line.includes('"level_reached":"authenticated"')),
      [],
    )
    if (kind === "ejabberd") {
      await foreign.server.waitForLog(new RegExp(`Accepted inbound s2s dialback authentication ${talks} -> ${foreign.domain}`))
      await foreign.server.waitForLog(new RegExp(`Accepted outbound s2s dialback authentication ${foreign.domain} -> ${listens}`))
    } else {
      await foreign.server.waitForLog(new RegExp(`Incoming s2s connection ${talks}->${foreign.domain} complete`))
      await foreign.server.waitForLog(new RegExp(`Outgoing s2s connection ${foreign.domain}->${listens} complete`))
    }
  })
}

test("ejabberd refuses our serverAuth-only certificate in EXTERNAL; dialback on the same stream carries the message", {
  skip: peerMissing("ejabberd"),
}, async () => {
  const ours = "server-only.ours.example"
  const gateway = await startOurs(world, { domains: [{ name: ours, flaw: "server-only" }], require: "authenticated" })
  const ejabberd = await startForeign(world, "ejabberd", { label: "e-old" })
  const bot = await gateway.bot(ours)
  bot.say(`bot@${ejabberd.domain}`, "by dialback after all")
  await ejabberd.bot.waitFor("<body>by dialback after all</body>")
  const refused = await ejabberd.server.waitForLog(new RegExp(`Failed inbound s2s EXTERNAL authentication ${ours} -> ${ejabberd.domain}`))
  assert.match(refused, /unsupported certificate purpose/)
  const accepted = await ejabberd.server.waitForLog(
    new RegExp(`Accepted inbound s2s dialback authentication ${ours} -> ${ejabberd.domain}`),
  )
  const session = (line: string): string | undefined => /\(tls\|(<[\d.]+>)\)/.exec(line)?.[1]
  assert.notEqual(session(refused), undefined)
  assert.equal(session(accepted), session(refused), "refusal and dialback are on one stream")
  // Our operator can read why EXTERNAL was not taken.
  assert.match(await gateway.waitForLog(/unsupported certificate purpose/), /e-old/)
})
