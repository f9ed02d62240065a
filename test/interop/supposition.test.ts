// A further target on a stream of ours to a real server (RFC 7712 4.4.2; N13, DB-32): only where it advertises dialback errors
// and its certificate proves the new target, too; otherwise a connection for each, and nothing is asked.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import type { Bot } from "./bot.ts"
import { eventually, linesOf, type OurGateway, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

/** Asks a service what it is; resolves with its answer. */
async function askWhatItIs(bot: Bot, service: string, id: string): Promise<string> {
  bot.send(`<iq type='get' id='${id}' from='bot@${bot.domain}' to='${service}'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>`)
  return await bot.waitFor(new RegExp(`<iq[^>]*id=['"]${id}['"]`))
}

/** A message to a domain that is not served; resolves with what comes back. */
async function toNobody(bot: Bot, domain: string, id: string): Promise<string> {
  bot.send(`<message id='${id}' from='bot@${bot.domain}' to='bot@${domain}' type='chat'><body>to nobody</body></message>`)
  return await bot.waitFor(new RegExp(`<message[^>]*id=['"]${id}['"]`))
}

const notFound = /type=['"]error['"].*remote-server-not-found/s
const left = (gateway: OurGateway) => linesOf(gateway, "s2s.associated").filter(({ dir }) => dir === "out")
const asked = (gateway: OurGateway) => linesOf(gateway, "s2s.dialback").filter(({ dir, step }) => dir === "out" && step === "result-sent").map(({ to }) => to)

const rows = [
  { what: "ejabberd, one certificate", kind: "ejabberd", oneCertificate: true, saysErrors: false, streams: 1 },
  { what: "ejabberd, a certificate for each domain", kind: "ejabberd", oneCertificate: false, saysErrors: false, streams: 2 },
  { what: "Prosody, one certificate, no dialback errors", kind: "prosody", oneCertificate: true, saysErrors: false, streams: 2 },
  { what: "Prosody that says errors, one certificate", kind: "prosody", oneCertificate: true, saysErrors: true, streams: 1 },
  { what: "Prosody that says errors, a certificate for each domain", kind: "prosody", oneCertificate: false, saysErrors: true, streams: 2 },
] as const
for (const [index, { what, kind, oneCertificate, saysErrors, streams }] of rows.entries())
  test(`a bot and the rooms on ${what}: ${streams} of our streams`, { skip: peerMissing(kind) }, async () => {
    const ours = `supposes-${index}.ours.example`
    const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
    const foreign = await startForeign(world, kind, { label: `supposed-${index}`, oneCertificate, saysErrors, strict: kind === "prosody" })
    const bot = await gateway.bot(ours)
    bot.say(`bot@${foreign.domain}`, "hello")
    await foreign.bot.waitFor("<body>hello</body>")
    assert.match(await askWhatItIs(bot, foreign.rooms, "rooms"), /category=['"]conference['"]/)
    await eventually(() => assert.deepEqual(left(gateway).map(({ to, level_reached: level }) => [to, level]), [foreign.domain, foreign.rooms].map((to) => [to, "authenticated"])))
    assert.equal(new Set(left(gateway).map(({ sid }) => sid)).size, streams)
    await eventually(() => assert.deepEqual(asked(gateway), streams === 1 ? [foreign.rooms] : []))
    // The first pair is none the worse for it, and nothing is asked twice.
    bot.say(`bot@${foreign.domain}`, "still here")
    await foreign.bot.waitFor("<body>still here</body>")
    assert.match(await askWhatItIs(bot, foreign.rooms, "again"), /category=['"]conference['"]/)
    assert.equal(left(gateway).length, 2)
    assert.deepEqual(linesOf(gateway, "s2s.refused"), [])
  })

test("ejabberd refuses a target that it does not serve: a bounce for that one, the stream and its other pair live on", { skip: peerMissing("ejabberd") }, async () => {
  const ours = "refused.ours.example"
  const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
  const foreign = await startForeign(world, "ejabberd", { label: "refuses-target", oneCertificate: true, absent: ["gone"] })
  const bot = await gateway.bot(ours)
  bot.say(`bot@${foreign.domain}`, "hello")
  await foreign.bot.waitFor("<body>hello</body>")
  const gone = "gone.refuses-target.example"
  assert.match(await toNobody(bot, gone, "gone"), notFound)
  await eventually(() => assert.deepEqual(asked(gateway), [gone]))
  bot.say(`bot@${foreign.domain}`, "still here")
  await foreign.bot.waitFor("<body>still here</body>")
  const [stream, ...more] = left(gateway)
  assert.deepEqual(more, [], "it never was a pair of ours, and the first one did not begin anew")
  assert.deepEqual(linesOf(gateway, "s2s.closed").filter(({ sid }) => sid === stream?.sid), [])
  assert.equal(bot.received.filter((stanza) => notFound.test(stanza)).length, 1, "bounced once")
})

test("a Prosody that says errors and ends the stream for a target that it does not serve: the other pair is there again, and it is not asked twice", { skip: peerMissing("prosody") }, async () => {
  const ours = "ended.ours.example"
  const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
  const foreign = await startForeign(world, "prosody", { label: "ends-stream", oneCertificate: true, saysErrors: true, absent: ["gone"] })
  const bot = await gateway.bot(ours)
  bot.say(`bot@${foreign.domain}`, "hello")
  await foreign.bot.waitFor("<body>hello</body>")
  const gone = "gone.ends-stream.example"
  assert.match(await toNobody(bot, gone, "gone"), notFound)
  bot.say(`bot@${foreign.domain}`, "here again")
  await foreign.bot.waitFor("<body>here again</body>")
  assert.match(await toNobody(bot, gone, "again"), notFound)
  bot.say(`bot@${foreign.domain}`, "here still")
  await foreign.bot.waitFor("<body>here still</body>")
  await eventually(() => assert.deepEqual(asked(gateway), [gone]))
  assert.equal(left(gateway).length, 2, "the first pair's stream was made again once")
})
