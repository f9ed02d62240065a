// Our further senders and targets with real servers (RFC 7712 4.4; DB-31, DB-32): ejabberd advertises dialback errors and takes a
// further sender on the stream; Prosody does not advertise them, and gets a connection for each pair.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { linesOf, type OurGateway, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { exchange, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

const leaving = (gateway: OurGateway) => linesOf(gateway, "s2s.associated").filter(({ dir }) => dir === "out")

const rows = [
  { kind: "ejabberd", streams: 1 },
  { kind: "prosody", streams: 2 },
] as const
for (const { kind, streams } of rows)
  test(`two domains of ours to a bot on ${kind}: ${streams} of our streams`, { skip: peerMissing(kind) }, async () => {
    const names = [`one.${kind}-ours.example`, `two.${kind}-ours.example`]
    const gateway = await startOurs(world, { domains: names.map((name) => ({ name })), require: "authenticated", oneCertificate: true })
    const foreign = await startForeign(world, kind, { label: `${kind}-shares` })
    const bots = await Promise.all(names.map((name) => gateway.bot(name)))
    for (const [index, bot] of bots.entries()) await exchange(bot, foreign.bot, `first ${index}`)
    const ours = leaving(gateway).filter(({ to }) => to === foreign.domain)
    assert.deepEqual(ours.map(({ from }) => from), names)
    assert.equal(new Set(ours.map(({ sid }) => sid)).size, streams)
    // And again, once everything is known.
    for (const [index, bot] of bots.entries()) await exchange(bot, foreign.bot, `again ${index}`)
    assert.equal(leaving(gateway).filter(({ to }) => to === foreign.domain).length, 2)
  })
