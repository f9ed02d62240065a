// A peer that never answers `db:result`: Prosody when it cannot verify (DB-07; RFC 7712 4.4). Our timer ends it, the stanzas come
// back or go another way, and the other pairs of the stream never notice.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { eventually, linesOf, startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld } from "./world.ts"

const skip = peerMissing("prosody")
const world = await createWorld()
after(() => world.end())

/** For one attempt; three quarters of it for an answer. */
const timeout = "4s"

test("on a stream of its own: our timer, one bounce; the domain that can be verified goes on", { skip }, async () => {
  const [known, lost] = ["known.silent.example", "lost.silent.example"]
  const gateway = await startOurs(world, { domains: [known, lost].map((name) => ({ name, flaw: "self-signed" })), require: "encrypted", timeout })
  const foreign = await startForeign(world, "prosody", { label: "cannot-verify", flaw: "self-signed" })
  // Whoever connects back to this one finds nobody.
  world.publish(lost, await world.address())
  const [first, second] = [await gateway.bot(known), await gateway.bot(lost)]
  first.say(`bot@${foreign.domain}`, "before")
  await foreign.bot.waitFor("<body>before</body>")
  const began = performance.now()
  second.send(`<message id='lost' from='bot@${lost}' to='bot@${foreign.domain}'><body>never verified</body></message>`)
  first.say(`bot@${foreign.domain}`, "meanwhile")
  await foreign.bot.waitFor("<body>meanwhile</body>")
  assert.match(await second.waitFor(/<message[^>]*id=['"]lost['"]/), /type=['"]error['"].*remote-server-timeout.*auth\.dialback-timeout/s)
  const took = performance.now() - began
  assert.ok(took > 2_500 && took < 20_000, `${took} ms`)
  assert.deepEqual(linesOf(gateway, "s2s.dialback").filter(({ from, dir, step }) => from === lost && dir === "out" && step === "answered"), [], "there was no answer")
  first.say(`bot@${foreign.domain}`, "after")
  await foreign.bot.waitFor("<body>after</body>")
  assert.equal(linesOf(gateway, "s2s.associated").filter(({ dir, from }) => dir === "out" && from === known).length, 1, "on the stream that it had")
  assert.deepEqual(foreign.bot.received.filter((stanza) => stanza.includes("never verified")), [])
  assert.equal(second.received.length, 1, "bounced once")
})

test("on a shared stream: the others go on, the pair takes a connection of its own, and the silence is remembered", { skip }, async () => {
  const names = ["one", "two", "three"].map((word) => `${word}.shares-silence.example`)
  const [one, two, three] = names as [string, string, string]
  const gateway = await startOurs(world, { domains: names.map((name) => ({ name })), require: "authenticated", oneCertificate: true, timeout })
  const foreign = await startForeign(world, "prosody", { label: "says-nothing", saysErrors: true })
  const nobody = await world.address()
  for (const name of [two, three]) world.publish(name, nobody)
  const bots = await Promise.all(names.map((name) => gateway.bot(name)))
  const say = async (index: number, body: string): Promise<number> => {
    const began = performance.now()
    bots[index]?.say(`bot@${foreign.domain}`, body)
    await foreign.bot.waitFor(`<body>${body}</body>`)
    return performance.now() - began
  }
  await say(0, "before")
  const late = say(1, "late")
  await say(0, "meanwhile")
  assert.deepEqual(foreign.bot.received.filter((stanza) => stanza.includes("<body>late</body>")), [], "the first pair waits for nobody")
  // Prosody cannot connect back, but by EXTERNAL it need not.
  assert.ok((await late) > 2_500, "the timer")
  await say(0, "after")
  const asked = () => linesOf(gateway, "s2s.dialback").filter(({ dir, step }) => dir === "out" && step === "result-sent").map(({ from }) => from)
  await eventually(() => assert.deepEqual(asked(), [two]))
  // What this peer did not answer once is not asked again, for any domain of ours.
  // Asking would have taken the 3 seconds of the timer.
  assert.ok((await say(2, "at once")) < 2_500)
  await eventually(() => assert.deepEqual(asked(), [two]))
  const left = () => linesOf(gateway, "s2s.associated").filter(({ dir }) => dir === "out")
  await eventually(() => assert.deepEqual(left().map(({ from }) => from), [one, two, three]))
  assert.equal(new Set(left().map(({ sid }) => sid)).size, 3)
  assert.deepEqual(linesOf(gateway, "s2s.closed").filter(({ sid }) => left().some((each) => each.sid === sid)), [])
})
