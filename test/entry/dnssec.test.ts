// The public resolver over real sockets: modes, upstreams as text, anchors as text, keeping, and answers judged again as JSON.
import assert from "node:assert/strict"
import { test } from "node:test"
import { createResolver, parseAnchors, rejudge } from "../../src/entry/dnssec.ts"
import { startDnsResponder } from "../../src/lab/dns-responder.ts"
import { buildTree } from "../dns/dnssec/tree.ts"

test("a tree behind a real server, validated, kept, written down and judged again", async (t) => {
  const tree = buildTree(Math.floor(Date.now() / 1000))
  const server = await startDnsResponder({ answer: (name, type, dnssecOk) => tree.answer(name, type, dnssecOk) })
  t.after(() => server.close())
  const anchors = tree.anchorText()
  const resolver = await createResolver({ upstreams: [`127.0.0.1:${server.port}`], anchors })
  const signal = AbortSignal.timeout(5_000)
  assert.deepEqual(await resolver.ability(signal), { able: true })
  const answer = await resolver.resolve("_xmpp-server._tcp.a13.example", "SRV", { signal })
  assert.deepEqual([answer.status, answer.outcome, answer.validatedBy], ["secure", "data", "self"])
  assert.deepEqual(answer.records, [{ priority: 0, weight: 5, port: 5269, target: "host.a13.example" }])
  assert.ok(answer.until > Date.now() && answer.until <= Date.now() + 300_000)
  const before = server.queries.length
  assert.equal(await resolver.resolve("_xmpp-server._tcp.a13.example.", "SRV", { signal }), answer, "kept")
  assert.equal(server.queries.length, before)
  // 60 TLSA records do not fit into a datagram: TCP.
  const many = await resolver.resolve("many.links.example", "TLSA", { signal })
  assert.deepEqual([many.status, many.records.length], ["secure", 60])
  assert.ok(server.queries.some(({ protocol }) => protocol === "tcp"))
  for (const [name, status] of [
    ["gone.h13.example", "secure"],
    ["host.unsigned.example", "insecure"],
    ["host.corrupt.example", "bogus"],
  ] as const) {
    const found = await resolver.resolve(name, "A", { signal })
    assert.equal(found.status, status)
    const written = JSON.parse(JSON.stringify(found)) as typeof found
    assert.equal(rejudge(written, Date.now(), parseAnchors(anchors)).status, status)
    assert.notEqual(rejudge({ ...written, wire: [] }, Date.now(), parseAnchors(anchors)).status, "secure")
    assert.equal(rejudge(written, Date.now()).status, "bogus", "by the root's real anchors nothing here holds")
  }
  assert.equal(
    server.queries.filter(({ name, type }) => name === "host.corrupt.example" && type === "A").length,
    2,
    "a second way was tried",
  )
})

test("two upstreams, one of which strips: the other is asked before anything is called bogus", async (t) => {
  const tree = buildTree(Math.floor(Date.now() / 1000))
  const start = async (strips: boolean) => {
    const server = await startDnsResponder({ answer: (name, type, dnssecOk) => tree.answer(name, type, dnssecOk && !strips) })
    t.after(() => server.close())
    return `127.0.0.1:${server.port}`
  }
  const [stripping, alsoStripping, honest] = [await start(true), await start(true), await start(false)]
  const anchors = tree.anchorText()
  const signal = AbortSignal.timeout(5_000)
  const mixed = await createResolver({ upstreams: [stripping, honest], anchors })
  assert.deepEqual(await mixed.ability(signal), { able: true })
  const answer = await mixed.resolve("host.a13.example", "A", { signal })
  assert.equal(answer.status, "secure")
  assert.ok(
    answer.why.some(({ code }) => code === "signature-missing"),
    "what the first one did is told",
  )
  const none = await createResolver({ upstreams: [stripping, alsoStripping], anchors })
  const ability = await none.ability(signal)
  assert.equal(ability.able ? "able" : ability.because, "stripped")
  assert.equal((await none.resolve("host.a13.example", "A", { signal })).status, "bogus")
})

test("options that make no sense are refused", async () => {
  await assert.rejects(createResolver({ mode: "trust-ad" }), RangeError)
  await assert.rejects(createResolver({ mode: "trust-ad", upstreams: ["192.0.2.1"] }), RangeError)
  for (const upstream of ["", "127.0.0.1:0", "127.0.0.1:70000", "127.0.0.1:x", "[::1", ":53"]) {
    await assert.rejects(createResolver({ upstreams: [upstream] }), RangeError, upstream)
  }
  await assert.rejects(createResolver({ upstreams: ["127.0.0.1"], anchors: "nothing" }), /line 1/)
  for (const upstream of ["::1", "[::1]:5353", "127.0.0.1", "127.0.0.1:5353"])
    assert.ok(await createResolver({ mode: "trust-ad", upstreams: [upstream] }))
})
