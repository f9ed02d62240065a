// The package's exports as a program uses them: connect to a domain, judge evidence, run a gateway, a lab for tests.
import assert from "node:assert/strict"
import { test } from "node:test"
import { AssociationError, connect, type Evidence, type EvidenceFile, judge, parseDomain, readEvidenceFile } from "../../src/entry/main.ts"
import { lab } from "../../src/entry/testing.ts"

function fileOf(items: readonly Evidence[]): EvidenceFile {
  const [first] = items
  assert.ok(first !== undefined)
  const text = JSON.stringify({
    evidence: 1,
    tool: { name: "xmpp-dna", version: "0" },
    recorded: first.at,
    direction: "out",
    pair: first.pair,
    decision: "associated",
    level: null,
    finding: null,
    sentence: "",
    items,
  })
  return readEvidenceFile(text)
}

test("connect: a stream that is proven before it can be used", async () => {
  const net = await lab({ servers: [{ domain: "b.example" }] })
  try {
    const stream = await connect({ from: "bot.example", to: "b.example", credentials: net.credentials("bot.example"), ...net.options })
    assert.equal(stream.association.level, "authenticated")
    assert.equal(stream.association.via, "certificate")
    assert.deepEqual(stream.pair, { sender: parseDomain("bot.example"), target: parseDomain("b.example") })
    const heard = new Promise<string>((resolve) => net.observe({ message: (_, message) => message.kind === "received" && resolve(`${message.from}: ${message.body}`) }))
    stream.send("<message from='me@bot.example' to='bot@b.example' id='1'><body>hello &amp; goodbye</body></message>")
    await stream.drained()
    assert.equal(await heard, "me@bot.example: hello & goodbye")

    assert.throws(() => stream.send("<message from='me@else.example' to='bot@b.example'/>"), /from else\.example; this stream is for bot\.example/)
    assert.throws(() => stream.send("<message from='me@bot.example' to='bot@c.example'/>"), /to c\.example; this stream leads to b\.example/)
    assert.throws(() => stream.send("</stream:stream>"), TypeError)
    assert.throws(() => stream.send("<db:result xmlns:db='jabber:server:dialback' from='bot.example' to='b.example'>key</db:result>"), /is not a stanza/)

    const evidence = fileOf(stream.association.evidence())
    assert.equal(judge(evidence, { anchors: [net.anchors] }).exit, 0)
    assert.equal(judge(evidence, { anchors: [] }).exit, 3, "other anchors cannot judge")
    assert.equal(judge(evidence, { anchors: [net.anchors], at: Date.UTC(2040, 0, 1) }).exit, 2, "expired by then")

    assert.equal((await stream.close()).by, "us")
    assert.throws(() => stream.send("<message from='me@bot.example' to='bot@b.example'/>"), /the stream is closed/)
  } finally {
    await net.close()
  }
})

test("connect: what cannot be proved is an error that says what to do, with evidence", async () => {
  const net = await lab({ servers: [{ domain: "own.example", certificate: { from: "self" } }] })
  try {
    const options = { from: "bot.example", to: "own.example", credentials: net.credentials("bot.example"), ...net.options }
    await assert.rejects(connect(options), (error: unknown) => {
      assert.ok(error instanceof AssociationError)
      assert.equal(error.code, "cert.self-signed")
      assert.equal(error.domain, "own.example")
      assert.equal(error.party, "peer")
      assert.equal(error.retryable, false)
      assert.notEqual(error.repair, "")
      assert.equal(judge(fileOf(error.evidence()), { anchors: [net.anchors] }).exit, 0)
      return true
    })
    // The guard of security.md 17 stands until somebody allows more.
    const { allow: _, ...guarded } = options
    await assert.rejects(connect(guarded), { code: "dns.guarded" })
    await assert.rejects(connect({ ...options, to: "nobody.example" }), { code: "dns.nxdomain" })
    await assert.rejects(connect({ ...options, signal: AbortSignal.abort(new Error("given up")) }), /given up|AssociationError/)
  } finally {
    await net.close()
  }
})
