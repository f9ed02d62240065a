// Direct TLS (XEP-0368, DTLS-*) with Prosody 0.12, in and out: `_xmpps-server` only, so STARTTLS cannot have carried it.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { exchange, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

test("Direct TLS both ways with Prosody; policy authenticated", { skip: peerMissing("prosody") }, async () => {
  const ours = "direct.ours.example"
  const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated", directTls: true })
  const prosody = await startForeign(world, "prosody", { label: "p-direct", strict: true, directTls: true })
  const bot = await gateway.bot(ours)
  await exchange(bot, prosody.bot, "direct")
  await prosody.server.waitForLog(new RegExp(`Incoming s2s connection ${ours}->${prosody.domain} complete`))
  await prosody.server.waitForLog(new RegExp(`Outgoing s2s connection ${prosody.domain}->${ours} complete`))
  const direct = gateway.lines.filter((line) => line.includes('"s2s.connect"') && line.includes("direct-tls"))
  assert.ok(direct.length >= 2, `connections by Direct TLS in both directions:\n${gateway.lines.join("\n")}`)
  assert.equal(world.dns.queries.filter((query) => query.name.toLowerCase() === `_xmpps-server._tcp.${ours}`).length > 0, true)
})
