// Refusals with ejabberd, each direction, and the sentence that the operators of both ends read. Never an XmppAddr here: it crashes ejabberd 23.01.
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { explain } from "../../src/inspect/explain.ts"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld, type Flaw } from "./world.ts"

const skip = peerMissing("ejabberd")
const world = await createWorld()
after(() => world.end())

/** What `explain` makes of a line of a log. */
const meaning = (line: string): string | undefined => explain(line, () => []).finding?.id

test("an ejabberd without dialback refuses our flawed certificates; both operators read why", { skip }, async (context) => {
  const cases: readonly { flaw: Flaw; finding: string; inbound: RegExp; outbound: RegExp }[] = [
    { flaw: "self-signed", finding: "cert.self-signed", inbound: /self[- ]signed certificate/, outbound: /Peer certificate rejected: self[- ]signed certificate/ },
    { flaw: "expired", finding: "cert.expired", inbound: /certificate has expired/, outbound: /Peer certificate rejected: certificate has expired/ },
  ]
  const gateway = await startOurs(world, {
    domains: cases.flatMap(({ flaw }) => ["talks", "listens"].map((word) => ({ name: `${word}.${flaw}.example`, flaw }))),
    require: "authenticated",
  })
  const ejabberd = await startForeign(world, "ejabberd", { label: "e-refuses-us", strict: true })
  for (const { flaw, finding, inbound, outbound } of cases) {
    await context.test(`${flaw}, we connect`, async () => {
      const talks = `talks.${flaw}.example`
      const bot = await gateway.bot(talks)
      bot.say(`bot@${ejabberd.domain}`, "must not arrive")
      assert.match(await bot.waitFor(/type=['"]error['"]/), /remote-server-timeout|not-authorized|remote-server-not-found/)
      const theirs = await ejabberd.server.waitForLog(
        new RegExp(`Failed inbound s2s EXTERNAL authentication ${talks} -> ${ejabberd.domain}`),
      )
      assert.match(theirs, inbound)
      // Its words reach our operator.
      const ours = await gateway.waitForLog(new RegExp(`s2s\\.refused.*"${talks}"`))
      assert.match(ours, inbound)
      for (const line of [theirs, ours]) assert.equal(meaning(line), finding, line)
    })
    await context.test(`${flaw}, they connect`, async () => {
      const listens = `listens.${flaw}.example`
      const bot = await gateway.bot(listens)
      ejabberd.bot.say(`bot@${listens}`, "must not arrive either")
      assert.match(await ejabberd.bot.waitFor(new RegExp(`from=['"]bot@${listens}['"]`)), outbound)
      const theirs = await ejabberd.server.waitForLog(new RegExp(`Failed to establish outbound s2s connection ${ejabberd.domain} -> ${listens}`))
      assert.match(theirs, outbound)
      assert.equal(meaning(theirs), finding, theirs)
      // It closes without a word; ours can say only that it did.
      assert.match(await gateway.waitForLog(new RegExp(`s2s\\.closed.*"to":"${listens}"`)), /clos|lost|ended/)
      assert.deepEqual(bot.received, [])
    })
  }
  assert.deepEqual(
    ejabberd.bot.received.filter((stanza) => stanza.includes("must not arrive<")),
    [],
  )
})

const refused: readonly { theirs: Flaw; weSay: RegExp; finding: RegExp }[] = [
  { theirs: "self-signed", weSay: /the certificate is self-signed/, finding: /s2s\.refused.*cert\.self-signed/ },
  { theirs: "expired", weSay: /the certificate has expired/, finding: /s2s\.refused.*cert\.expired/ },
]

for (const { theirs, weSay, finding } of refused) {
  test(`we refuse an ejabberd whose certificate is ${theirs}; both operators read why`, { skip }, async () => {
    const talks = `talks.refuses-${theirs}.example`
    const listens = `listens.refuses-${theirs}.example`
    const gateway = await startOurs(world, { domains: [{ name: talks }, { name: listens }], require: "authenticated" })
    const ejabberd = await startForeign(world, "ejabberd", { label: `e-${theirs}`, flaw: theirs })
    // We connect: the stream error reaches it as the receiving side.
    const first = await gateway.bot(talks)
    first.say(`bot@${ejabberd.domain}`, "must not be sent")
    assert.match(await first.waitFor(/type=['"]error['"]/), /not-authorized|remote-server/)
    assert.match(await gateway.waitForLog(finding), weSay)
    assert.match(await ejabberd.server.waitForLog(new RegExp(`Closing inbound s2s connection ${talks} -> ${ejabberd.domain}`)), weSay)
    // They connect.
    const from = gateway.lines.length
    const second = await gateway.bot(listens)
    ejabberd.bot.say(`bot@${listens}`, "must not be taken")
    assert.match(await ejabberd.bot.waitFor(new RegExp(`from=['"]bot@${listens}['"]`)), weSay)
    assert.match(await gateway.waitForLog(finding, { from }), weSay)
    const theirLine = await ejabberd.server.waitForLog(
      new RegExp(`Failed to establish outbound s2s connection ${ejabberd.domain} -> ${listens}`),
    )
    assert.match(theirLine, weSay)
    assert.match(theirLine, /not-authorized.*bouncing for \d+ seconds/)
    assert.equal(meaning(theirLine), `cert.${theirs}`, theirLine)
    assert.deepEqual(second.received, [])
    assert.deepEqual(
      ejabberd.bot.received.filter((stanza) => stanza.includes("must not be sent")),
      [],
    )
  })
}
