// What a connection loses that breaks, with a real Prosody and its mod_smacks (XEP-0198; SM-1 to SM-7; security.md 12): a relay
// of ours swallows stanzas or acknowledgements and then breaks it. Each stanza is sent once more or bounced: never both, never neither.
import assert from "node:assert/strict"
import { after, describe, test } from "node:test"
import type { Bot } from "./bot.ts"
import { linesOf, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startRelay } from "./relay.ts"
import { startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const skip = peerMissing("prosody")
const world = await createWorld()
after(() => world.end())

const burst = 60
const numbersFrom = (first: number): number[] => Array.from({ length: burst }, (_, index) => first + index)
const numbers = numbersFrom(1)
/** So long that a burst is many times a handshake. */
const padding = "x".repeat(1_000)
/** A stream must have lived for so long before a new one is opened at once for what it lost, ms. */
const established = 5_200

/** Looks until it is so; fails after twenty seconds. */
async function until(what: string, holds: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2_000; tries += 1) {
    if (holds()) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  assert.fail(`${what}: not within twenty seconds`)
}

const isError = (stanza: string): boolean => /^<message[^>]*type=['"]error['"]/.test(stanza)
const numbersIn = (bot: Bot, wanted: (stanza: string) => boolean): number[] =>
  bot.received.filter(wanted).flatMap((stanza) => [.../^<message[^>]*\bid=['"]burst-(\d+)['"]/.exec(stanza)?.slice(1) ?? []].map(Number))
const arrived = (bot: Bot): number[] => numbersIn(bot, (stanza) => !isError(stanza))
const bounced = (bot: Bot): number[] => numbersIn(bot, isError)

function sendBurst(from: Bot, to: string, sent: readonly number[] = numbers): void {
  for (const number of sent) from.send(`<message id='burst-${number}' from='bot@${from.domain}' to='bot@${to}' type='chat'><body>${padding}</body></message>`)
}

/** Says this again and again until it arrives: the first ones may meet the time that a peer is left alone after a failure. */
async function untilHeard(from: Bot, to: Bot, body: string): Promise<void> {
  for (let tries = 0; tries < 80; tries += 1) {
    from.say(`bot@${to.domain}`, body)
    if (await to.waitFor(`<body>${body}</body>`, 250).then(() => true, () => false)) return
  }
  assert.fail(`${body}: not heard within twenty seconds`)
}

const lived = (since: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, Math.max(0, established - (performance.now() - since))))

/** Ours, and a Prosody behind a relay for those who connect to it, with an established stream of ours. */
async function behindRelay(label: string) {
  const ours = `${label}.ours.example`
  const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
  const published = await world.address()
  const foreign = await startForeign(world, "prosody", { label, strict: true, modules: ["smacks"], published })
  const relay = world.add(await startRelay(published, foreign.server.address))
  const bot = await gateway.bot(ours)
  bot.say(`bot@${foreign.domain}`, "hello")
  await foreign.bot.waitFor("<body>hello</body>")
  const managed = () => linesOf(gateway, "s2s.managed").filter(({ dir, result }) => dir === "out" && result === "enabled")
  await until("acknowledged", () => managed().length === 1)
  await lived(performance.now())
  return { gateway, foreign, relay, bot }
}

// At once, since each waits until its stream is old enough.
describe("Prosody's mod_smacks and a connection that breaks", { concurrency: true, skip }, () => {
  test("stanzas that never arrived are sent once more on a new connection: each arrives once, in order", async () => {
    const { gateway, foreign, relay, bot } = await behindRelay("swallowed")
    relay.hold("there")
    sendBurst(bot, foreign.domain)
    await until("the burst is under way", () => relay.held > burst * padding.length)
    relay.cut()
    await until("the burst arrives", () => arrived(foreign.bot).length >= burst)
    assert.deepEqual(arrived(foreign.bot), numbers)
    assert.deepEqual(bounced(bot), [])
    assert.equal(relay.connections, 2)
    assert.deepEqual(linesOf(gateway, "s2s.lost"), [])
  })

  test("stanzas whose acknowledgement was lost are sent once more, and not bounced", async () => {
    const { foreign, relay, bot } = await behindRelay("unheard")
    relay.hold("back")
    sendBurst(bot, foreign.domain)
    await until("the burst arrives", () => arrived(foreign.bot).length === burst)
    relay.cut()
    await until("and again", () => arrived(foreign.bot).length === 2 * burst)
    await untilHeard(bot, foreign.bot, "afterwards")
    assert.deepEqual(arrived(foreign.bot), [...numbers, ...numbers])
    assert.deepEqual(bounced(bot), [])
  })

  test("when the second connection breaks, too: bounced, each once, and not sent a third time", async () => {
    const { foreign, relay, bot } = await behindRelay("twice")
    relay.hold("there")
    sendBurst(bot, foreign.domain)
    await until("the burst is under way", () => relay.held > burst * padding.length)
    relay.holdBeyond((burst / 2) * padding.length)
    const before = relay.held
    relay.cut()
    await until("it is sent again", () => relay.connections === 2 && relay.held > before + (burst / 4) * padding.length)
    relay.holdBeyond(Number.POSITIVE_INFINITY)
    relay.cut()
    await until("all that was not acknowledged comes back", () => new Set([...bounced(bot), ...arrived(foreign.bot)]).size === burst)
    await untilHeard(bot, foreign.bot, "afterwards")
    assert.equal(new Set(bounced(bot)).size, bounced(bot).length, "bounced once")
    assert.ok(bounced(bot).length >= burst / 4)
    assert.equal(new Set(arrived(foreign.bot)).size, arrived(foreign.bot).length, "what the second connection carried came once")
  })

  test("nobody there any more: every stanza is bounced once, and none arrives later", async () => {
    const { gateway, foreign, relay, bot } = await behindRelay("gone")
    relay.hold("there")
    sendBurst(bot, foreign.domain)
    await until("the burst is under way", () => relay.held > burst * padding.length)
    relay.refuse()
    relay.cut()
    await until("all bounced", () => bounced(bot).length >= burst)
    relay.accept()
    await untilHeard(bot, foreign.bot, "afterwards")
    assert.deepEqual(bounced(bot), numbers)
    assert.deepEqual(arrived(foreign.bot), [])
    assert.deepEqual(linesOf(gateway, "s2s.lost"), [])
  })

  test("Prosody's own stanzas to us: what we acknowledged it does not bounce, and what never came it does", async () => {
    const ours = "inbound.ours.example"
    const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
    const foreign = await startForeign(world, "prosody", { label: "loses", strict: true, modules: ["smacks"] })
    const published = await world.address()
    const relay = world.add(await startRelay(published, gateway.address))
    world.publish(ours, published)
    const bot = await gateway.bot(ours)
    await untilHeard(foreign.bot, bot, "hello")
    await until("acknowledged", () => linesOf(gateway, "s2s.managed").some(({ dir, result }) => dir === "in" && result === "enabled"))
    sendBurst(foreign.bot, ours)
    await until("the burst arrives", () => arrived(bot).length === burst)
    await untilHeard(foreign.bot, bot, "the acknowledgements are on their way")
    relay.hold("there")
    const swallowed = numbersFrom(burst + 1)
    sendBurst(foreign.bot, ours, swallowed)
    await until("the second burst is under way", () => relay.held > burst * padding.length)
    relay.cut()
    await until("it comes back", () => bounced(foreign.bot).length >= burst)
    await untilHeard(foreign.bot, bot, "afterwards")
    assert.deepEqual(arrived(bot), numbers)
    assert.deepEqual(bounced(foreign.bot).toSorted((a, b) => a - b), swallowed)
  })
})
