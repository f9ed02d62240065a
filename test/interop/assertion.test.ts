// Further senders and further targets from real servers on one stream to us, accepted and refused (RFC 7712 4.4; DB-19, DB-22,
// DB-34; security.md 2, 9): their own keys and stanzas, led onto one stream by a server in front of them, and verified with them.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { startBot } from "./bot.ts"
import { type Funnel, startFunnel } from "./funnel.ts"
import { eventually, linesOf, type OurGateway, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { type Foreign, type Kind, startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

interface Scene {
  readonly gateway: OurGateway
  readonly foreign: Foreign
  readonly funnel: Funnel
  readonly names: { readonly one: string; readonly two: string; readonly gone: string; readonly second: string }
}

/**
 * Ours, a server with two components, and between them the funnel, whose stream stands for the server's own domain.
 *
 * @param also further names in the certificate of that stream
 */
async function scene(kind: Kind, label: string, require: "encrypted" | "authenticated", also: (bot: string) => readonly string[] = () => []): Promise<Scene> {
  const names = { one: `one.${label}.example`, two: `two.${label}.example`, gone: `gone.${label}.example`, second: `second.${label}-${kind}.example` }
  const { one, two, gone } = names
  const gateway = await startOurs(world, { domains: [{ name: one }, { name: two }], require })
  const foreign = await startForeign(world, kind, { label: `${label}-${kind}`, components: ["second"] })
  const address = await world.address()
  const host = `${label}-${kind}.example`
  const funnel = world.add(
    await startFunnel({
      address,
      gateway: gateway.address,
      pair: { from: host, to: one },
      identity: world.identity(host, undefined, also(foreign.domain)),
      ours: world.identity(one, undefined, [two, gone]),
    }),
  )
  // From now on what they send to us goes through it.
  for (const name of [one, two, gone]) world.publish(name, address)
  return { gateway, foreign, funnel, names }
}

const arrivals = (gateway: OurGateway) => linesOf(gateway, "s2s.associated").filter(({ dir }) => dir === "in")
const steps = (gateway: OurGateway, sender: string) => linesOf(gateway, "s2s.dialback").filter(({ dir, from }) => dir === "in" && from === sender).map(({ step, answer }) => answer ?? step)
/** Its operator reads that the pair was refused. */
const refusedThere = (foreign: Foreign, from: string, to: string) => foreign.server.waitForLog(new RegExp(`${from} ?-> ?${to}.*authentication failed`))
/** The other key: what a server that knows no secret would send. */
const otherKey = (element: string): string => element.replace(/>([0-9a-f])([0-9a-f]{8,})</, (_, first: string, rest: string) => `>${first === "0" ? "1" : "0"}${rest}<`)

for (const kind of ["prosody", "ejabberd"] as const satisfies readonly Kind[]) {
  test(`${kind}: a further sender whose key holds is taken, one whose key does not is refused, and the others never notice`, { skip: peerMissing(kind) }, async () => {
    const { gateway, foreign, funnel, names } = await scene(kind, "asserts", "encrypted")
    const { one, second } = names
    const bot = await gateway.bot(one)
    foreign.bot.say(`bot@${one}`, "by its key")
    await bot.waitFor("<body>by its key</body>")
    await eventually(() => assert.equal(arrivals(gateway).length, 2))
    const [opened, asserted] = arrivals(gateway)
    assert.deepEqual([opened?.level_reached, asserted?.level_reached], ["authenticated", "encrypted"])
    assert.equal(asserted?.sid, opened?.sid, "on the stream that was there")
    await eventually(() => assert.deepEqual(steps(gateway, foreign.domain), ["result-received", "verify-sent", "valid", "valid"]))

    funnel.alter = otherKey
    const other = world.add(await startBot({ domain: second, secret: foreign.secret("second"), server: foreign.server.component }))
    other.say(`bot@${one}`, "by a wrong key")
    await refusedThere(foreign, second, one)
    await eventually(() => assert.deepEqual(steps(gateway, second), ["result-received", "verify-sent", "invalid", "error"]))
    assert.match(funnel.heard.find((element) => element.includes(`to='${second}'`)) ?? "", /type='error'.*forbidden/)
    funnel.alter = (element) => element

    foreign.bot.say(`bot@${one}`, "after that")
    await bot.waitFor("<body>after that</body>")
    assert.equal(arrivals(gateway).length, 2)
    assert.equal(funnel.over, false)
    assert.deepEqual(bot.received.filter((stanza) => stanza.includes("wrong key")), [])
  })

  test(`${kind}: a further target of ours is taken, one that we do not host is refused, and the others never notice`, { skip: peerMissing(kind) }, async () => {
    const { gateway, foreign, funnel, names } = await scene(kind, "supposes", "encrypted")
    const { one, two, gone } = names
    const [first, second] = [await gateway.bot(one), await gateway.bot(two)]
    foreign.bot.say(`bot@${one}`, "to the first")
    await first.waitFor("<body>to the first</body>")
    foreign.bot.say(`bot@${two}`, "to the second")
    await second.waitFor("<body>to the second</body>")
    await eventually(() => assert.deepEqual(arrivals(gateway).map(({ to }) => to), [one, one, two]))
    assert.equal(new Set(arrivals(gateway).map(({ sid }) => sid)).size, 1)

    foreign.bot.say(`bot@${gone}`, "to nobody")
    await refusedThere(foreign, foreign.domain, gone)
    assert.match(funnel.heard.find((element) => element.includes(`from='${gone}'`)) ?? "", /type='error'.*item-not-found/)
    await eventually(() => assert.deepEqual(arrivals(gateway).map(({ to }) => to), [one, one, two]))
    foreign.bot.say(`bot@${one}`, "after that")
    await first.waitFor("<body>after that</body>")
    foreign.bot.say(`bot@${two}`, "after that, too")
    await second.waitFor("<body>after that, too</body>")
    assert.equal(funnel.over, false)
  })

  test(`${kind}, where policy asks for a certificate: a key is not enough, and nobody is asked about it`, { skip: peerMissing(kind) }, async () => {
    const { gateway, foreign, funnel, names } = await scene(kind, "needs", "authenticated", () => [`second.needs-${kind}.example`])
    const { one, second } = names
    const bot = await gateway.bot(one)
    foreign.bot.say(`bot@${one}`, "by its key")
    await refusedThere(foreign, foreign.domain, one)
    assert.match(funnel.heard.find((element) => element.includes(`to='${foreign.domain}'`)) ?? "", /type='error'.*not-authorized/)
    // The other one is named in the certificate of the stream, which is judged for it now.
    const other = world.add(await startBot({ domain: second, secret: foreign.secret("second"), server: foreign.server.component }))
    other.say(`bot@${one}`, "by the certificate in hand")
    await bot.waitFor("<body>by the certificate in hand</body>")
    await eventually(() => assert.deepEqual(steps(gateway, second), ["result-received", "valid"]))
    await eventually(() => assert.deepEqual(arrivals(gateway).map(({ from, level_reached: level }) => [from, level]), [[`needs-${kind}.example`, "authenticated"], [second, "authenticated"]]))
    assert.equal(new Set(arrivals(gateway).map(({ sid }) => sid)).size, 1)
    assert.deepEqual(bot.received.filter((stanza) => stanza.includes("by its key")), [])
    assert.equal(funnel.over, false)
  })
}
