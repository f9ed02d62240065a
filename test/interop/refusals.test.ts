// Refusals with a strict Prosody, each direction, and the sentence that the operators of both ends read.
import assert from "node:assert/strict"
import { createServer } from "node:net"
import { after, test } from "node:test"
import { createSecureContext, TLSSocket } from "node:tls"
import { explain } from "../../src/inspect/explain.ts"
import { startOurs } from "./ours.ts"
import { peerMissing } from "./peers-used.ts"
import { startForeign } from "./servers.ts"
import { createWorld, type Flaw } from "./world.ts"

const skip = peerMissing("prosody")
const world = await createWorld()
after(() => world.end())

/** Prosody's words for a certificate it does not take, and ours for one that we do not take. */
const cases: readonly { flaw: Flaw; theirs: Flaw; prosodySays: RegExp; weSay: RegExp; finding: string }[] = [
  {
    flaw: "self-signed",
    theirs: "self-signed",
    prosodySays: /certificate is (not trusted|self-signed)/,
    weSay: /the certificate is self-signed/,
    finding: "cert.self-signed",
  },
  {
    flaw: "expired",
    theirs: "expired",
    prosodySays: /certificate has expired/,
    weSay: /the certificate has expired/,
    finding: "cert.expired",
  },
  // Our certificate store never shows a certificate for a domain that is not in it; XmppAddr is a name to us and none to Prosody.
  {
    flaw: "address-name",
    theirs: "wrong-name",
    prosodySays: /certificate is not valid for this name/,
    weSay: /the certificate is not for this domain/,
    finding: "pkix.name-mismatch",
  },
]

/** What `explain` makes of a line of a log: the finding, and whose move it is. */
function meaning(line: string): readonly [finding: string | undefined, party: string | undefined] {
  const { finding, said } = explain(line, () => [])
  return [finding?.id, said?.party ?? finding?.party]
}

test("a strict Prosody refuses our flawed certificates; both operators read why", { skip }, async (context) => {
  const names = cases.map(({ flaw }) => ({ talks: `talks.${flaw}.example`, listens: `listens.${flaw}.example`, flaw }))
  const gateway = await startOurs(world, {
    domains: names.flatMap(({ talks, listens, flaw }) => [talks, listens].map((name) => ({ name, flaw }))),
    require: "authenticated",
  })
  const prosody = await startForeign(world, "prosody", { label: "p-refuses-us", strict: true })
  for (const [index, { flaw, prosodySays, finding }] of cases.entries()) {
    // OpenSSL under it may stop at the want of an authority before it sees that there is none.
    const means = (line: string, party: string): void => {
      const expected = line.includes("is not trusted") ? "cert.unknown-root" : finding
      assert.deepEqual(meaning(line), [expected, party], line)
    }
    const { talks, listens } = names[index]!
    await context.test(`${flaw}, we connect`, async () => {
      const from = gateway.lines.length
      const theirFrom = prosody.server.lines.length
      const bot = await gateway.bot(talks)
      bot.say(`bot@${prosody.domain}`, "must not arrive")
      const bounce = await bot.waitFor(/type=['"]error['"]/)
      assert.match(bounce, /remote-server-(timeout|not-found)|not-authorized/)
      const ourLine = await gateway.waitForLog(prosodySays, { from })
      assert.match(ourLine, new RegExp(prosody.domain))
      means(ourLine, "you")
      means(await prosody.server.waitForLog(prosodySays, { from: theirFrom }), "peer")
    })
    await context.test(`${flaw}, they connect`, async () => {
      const from = gateway.lines.length
      const theirFrom = prosody.server.lines.length
      const bot = await gateway.bot(listens)
      prosody.bot.say(`bot@${listens}`, "must not arrive either")
      const bounce = await prosody.bot.waitFor(new RegExp(`from=['"]bot@${listens}['"]`))
      assert.match(bounce, /type=['"]error['"]/)
      assert.match(bounce, prosodySays)
      means(bounce, "peer")
      means(await prosody.server.waitForLog(prosodySays, { from: theirFrom }), "peer")
      assert.match(await gateway.waitForLog(prosodySays, { from }), new RegExp(prosody.domain))
      assert.deepEqual(bot.received, [])
    })
  }
  assert.deepEqual(
    prosody.bot.received.filter((stanza) => stanza.includes("must not arrive<")),
    [],
  )
})

for (const { theirs, weSay, finding } of cases) {
  test(`we refuse a Prosody whose certificate is ${theirs}; both operators read why`, { skip }, async () => {
    const talks = `talks.refuses-${theirs}.example`
    const listens = `listens.refuses-${theirs}.example`
    const gateway = await startOurs(world, { domains: [{ name: talks }, { name: listens }], require: "authenticated" })
    const prosody = await startForeign(world, "prosody", { label: `p-${theirs}`, flaw: theirs })
    // We connect.
    const first = await gateway.bot(talks)
    first.say(`bot@${prosody.domain}`, "must not be sent")
    const bounce = await first.waitFor(/type=['"]error['"]/)
    assert.match(bounce, /not-authorized|remote-server/)
    const ourLine = await gateway.waitForLog(new RegExp(`s2s\\.refused.*${finding.replace(".", "\\.")}`))
    assert.match(ourLine, weSay)
    assert.match(ourLine, new RegExp(prosody.domain))
    const theirLine = await prosody.server.waitForLog(new RegExp(`${weSay.source}.*${finding.replace(".", "\\.")}`))
    assert.match(theirLine, /not-authorized/)
    for (const line of [ourLine, theirLine, bounce]) assert.equal(meaning(line)[0], finding, line)
    // They connect.
    const from = gateway.lines.length
    const theirFrom = prosody.server.lines.length
    const second = await gateway.bot(listens)
    prosody.bot.say(`bot@${listens}`, "must not be taken")
    const theirBounce = await prosody.bot.waitFor(new RegExp(`from=['"]bot@${listens}['"]`))
    assert.match(theirBounce, weSay)
    assert.match(await gateway.waitForLog(new RegExp(`s2s\\.refused.*${finding.replace(".", "\\.")}`), { from }), weSay)
    // The pair and our sentence, in one line of theirs.
    const theirWords = new RegExp(`Outgoing s2s stream ${prosody.domain}->${listens} closed: .*${weSay.source}`)
    assert.match(await prosody.server.waitForLog(theirWords, { from: theirFrom }), /not-authorized/)
    assert.deepEqual(second.received, [])
    assert.deepEqual(
      prosody.bot.received.filter((stanza) => stanza.includes("must not be sent")),
      [],
    )
  })
}

test("words that were lost with a reset after our first white space are asked for once more", async () => {
  const ours = "words.lost.example"
  const theirs = "resets.lost.example"
  const address = await world.address()
  world.publish(theirs, address)
  const { chainPem, keyPem } = world.identity(theirs)
  const secureContext = createSecureContext({ cert: chainPem, key: keyPem })
  const header = `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='${theirs}' to='${ours}' id='1' version='1.0'>`
  const starttls = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
  const refusal =
    "<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>not you</text></stream:error></stream:stream>"
  let connections = 0
  const server = createServer((socket) => {
    connections += 1
    const first = connections === 1
    socket.on("error", () => undefined) // we reset it ourselves
    let before = ""
    socket.on("data", function plain(bytes) {
      before += bytes
      if (!before.includes("<starttls")) return
      socket.off("data", plain)
      socket.write(`${header}${starttls}<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`)
      const tls = new TLSSocket(socket, { isServer: true, secureContext })
      tls.on("error", () => undefined)
      let after = ""
      tls.on("data", (text) => {
        after += text
        // The first time the peer has closed by the time the space comes; the second time nothing comes.
        if (first && /> $/.test(after)) socket.resetAndDestroy()
        if (!first && after.includes("<stream:stream")) tls.end(header + refusal)
      })
    })
  })
  await new Promise<void>((resolve) => server.listen(5269, address, resolve))
  try {
    const gateway = await startOurs(world, { domains: [{ name: ours }], require: "authenticated" })
    const bot = await gateway.bot(ours)
    bot.say(`bot@${theirs}`, "hello")
    const line = await gateway.waitForLog(/s2s\.refused/)
    assert.match(line, /not-authorized.*not you/)
    assert.equal(connections, 2)
  } finally {
    server.close()
  }
})
