// SASL EXTERNAL under a private CA with real servers, each direction, everybody strict (EXT-01..EXT-08, ID-*, EKU-*).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { type Foreign, type Kind, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

/** The peer's own words for: it accepted us by EXTERNAL, and we accepted it by EXTERNAL. */
async function bothByExternal(foreign: Foreign, ours: string): Promise<void> {
  const { server, domain } = foreign
  if (foreign.kind === "prosody") {
    await server.waitForLog(new RegExp(`Accepting SASL EXTERNAL identity from ${ours}`))
    await server.waitForLog(new RegExp(`Incoming s2s connection ${ours}->${domain} complete`))
    await server.waitForLog(new RegExp(`Outgoing s2s connection ${domain}->${ours} complete`))
  } else {
    await server.waitForLog(new RegExp(`Accepted inbound s2s EXTERNAL authentication ${ours} -> ${domain}`))
    await server.waitForLog(new RegExp(`Accepted outbound s2s EXTERNAL authentication ${domain} -> ${ours}`))
  }
  // Nobody fell back to dialback.
  assert.deepEqual(
    server.lines.filter((line) => line.includes(ours) && /dialback/i.test(line)),
    [],
  )
}

for (const kind of ["prosody", "ejabberd"] as const satisfies readonly Kind[]) {
  test(`EXTERNAL both ways with a strict ${kind}; policy authenticated`, { skip: peerMissing(kind) }, async () => {
    const talks = `talks.ours-${kind}.example`
    const listens = `listens.ours-${kind}.example`
    const gateway = await startOurs(world, { domains: [{ name: talks }, { name: listens }], require: "authenticated" })
    const foreign = await startForeign(world, kind, { label: `${kind}-external`, strict: true })
    // We speak first.
    const first = await gateway.bot(talks)
    first.say(`bot@${foreign.domain}`, "we speak first")
    await foreign.bot.waitFor("<body>we speak first</body>")
    foreign.bot.say(`bot@${talks}`, "an answer")
    await first.waitFor("<body>an answer</body>")
    await bothByExternal(foreign, talks)
    // They speak first.
    const second = await gateway.bot(listens)
    foreign.bot.say(`bot@${listens}`, "they speak first")
    const heard = await second.waitFor("<body>they speak first</body>")
    assert.match(heard, new RegExp(`from=.bot@${foreign.domain}`))
    second.say(`bot@${foreign.domain}`, "our answer")
    await foreign.bot.waitFor("<body>our answer</body>")
    await bothByExternal(foreign, listens)
  })

  test(`a ${kind} with a serverAuth-only certificate is accepted by EXTERNAL`, { skip: peerMissing(kind) }, async () => {
    const ours = `takes-server-only.${kind}-ours.example`
    const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
    const foreign = await startForeign(world, kind, { label: `${kind}-server-only`, flaw: "server-only" })
    const bot = await gateway.bot(ours)
    foreign.bot.say(`bot@${ours}`, "by a server certificate")
    await bot.waitFor("<body>by a server certificate</body>")
    const words =
      kind === "prosody"
        ? `Outgoing s2s connection ${foreign.domain}->${ours} complete`
        : `Accepted outbound s2s EXTERNAL authentication ${foreign.domain} -> ${ours}`
    assert.match(await foreign.server.waitForLog(new RegExp(words)), /complete|EXTERNAL/)
    await gateway.waitForLog(/s2s\.associated.*"level_reached":"authenticated"/)
  })
}
