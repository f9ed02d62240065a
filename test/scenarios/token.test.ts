// A user's own prooftype between two servers (seed 9, RFC 7712 7; security.md 28): a token bound to the channel, in both
// directions, where neither a certificate nor DNS proves anything.
import assert from "node:assert/strict"
import { test } from "node:test"
import { createTokenProoftype, tokenNamespace } from "../../examples/token-prooftype/token-prooftype.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import type { FederationPorts } from "../../src/federation/contract.ts"
import type { Tls, TlsFacts } from "../../src/ports.ts"
import { a as domainA, b as domainB, ringOf } from "../examples/token-support.ts"
import { everythingSaid, memoryScene, message, own, realScene, refusedBy, type Scene, type ServerOptions } from "./support.ts"

/** Looks at what TLS says, and may change it. */
function facing(change: (facts: TlsFacts) => TlsFacts) {
  return (ports: FederationPorts): FederationPorts => {
    const tls: Tls = {
      client: async (channel, options) => {
        const secured = await ports.tls.client(channel, options)
        return { ...secured, facts: change(secured.facts) }
      },
      server: async (channel, options) => {
        const secured = await ports.tls.server(channel, options)
        return { ...secured, facts: change(secured.facts) }
      },
    }
    return { ...ports, tls }
  }
}

const withTokens = (domain: typeof domainA): readonly AnyProoftype[] => [pkix, createTokenProoftype(ringOf(domain))]

async function two(scene: Scene, ofA: Partial<ServerOptions> = {}, ofB: Partial<ServerOptions> = {}) {
  const a = await scene.server({ domains: ["a.example"], certificate: own("a.example", {}, scene), prooftypes: withTokens(domainA), ...ofA })
  const b = await scene.server({ domains: ["b.example"], certificate: own("b.example", {}, scene), prooftypes: withTokens(domainB), ...ofB })
  return { a, b }
}

for (const [where, build] of [["in memory", async () => memoryScene()], ["one octet at a time", async () => memoryScene({ link: () => ({ chunk: 1 }) })], ["on sockets with real TLS", realScene]] as const) {
  test(`two servers with self-signed certificates prove each other by tokens, ${where}`, async () => {
    const scene: Scene = await build()
    const { a, b } = await two(scene)
    const stream = await scene.until(a.open("b.example"))
    assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "token"])
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    assert.deepEqual([b.admitted[0]!.level, b.admitted[0]!.verdict.by, b.admitted[0]!.via], ["authenticated", "token", "certificate"])
    // The claim rides on db:result; the key in it is not asked about, since the token proves more than it could.
    assert.deepEqual(b.of("dialback").map(({ step }) => step).filter((step) => step.startsWith("verify")), [])
    stream.channel.write(message("x@a.example", "y@b.example"))
    await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
    await scene.close()
  })
}

test("where only one side has the prooftype in use, it is as if nobody had", async () => {
  for (const [ofA, ofB, expected] of [
    [{ prooftypes: [pkix] }, {}, "cert.self-signed"],
    // B says so first: it waits for nothing in the stream.
    [{}, { prooftypes: [pkix] }, "stream.error"],
  ] as const) {
    const scene = memoryScene()
    const { a, b } = await two(scene, ofA, ofB)
    const { failure } = await scene.until(refusedBy(a.open("b.example")))
    assert.equal(failure.finding, expected)
    await scene.settle()
    assert.equal(b.admitted.length, 0)
    await scene.close()
  }
})

test("TLS 1.2 has no exporters of this kind, so no token is shown and none is waited for", async () => {
  const scene = memoryScene()
  const { a, b } = await two(scene, { ports: facing(({ exporters: _none, ...facts }) => ({ ...facts, protocol: "TLSv1.2" })) })
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.equal(failure.finding, "cert.self-signed")
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("two ends of two different channels (a relay between them) prove nothing to each other", async () => {
  const scene = memoryScene()
  const other = facing((facts) => ({ ...facts, exporters: new Map([...(facts.exporters ?? [])].map(([label, octets]) => [label, octets.map((octet) => octet ^ 1)])) }))
  const { a, b } = await two(scene, { ports: other })
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.equal(failure.finding, "cert.self-signed")
  assert.ok(failure.verdicts.some((verdict) => verdict.outcome === "refuted" && verdict.by === "token" && /does not fit this stream/.test(verdict.detail)))
  await scene.settle()
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("a certificate that proves the domain needs no token", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], prooftypes: withTokens(domainA) })
  const b = await scene.server({ domains: ["b.example"], prooftypes: withTokens(domainB) })
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.verdict.by, "pkix")
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  assert.equal(b.admitted[0]!.verdict.by, "pkix")
  await scene.close()
})

test("a token for one pair says nothing about another one on the same stream", async () => {
  const scene = memoryScene()
  const { b } = await two(scene, {}, { domains: ["b.example", "c.example"] })
  const shown = createTokenProoftype(ringOf(domainA))
  const peer = await scene.raw(b)
  peer.exporterLabels = [shown.exchange.exporterLabel]
  await scene.until(peer.upToFeatures("a.example", "b.example", undefined))
  const exporter = peer.exporters.get(shown.exchange.exporterLabel)!
  const token = shown.exchange.present({ presenter: "initiating", pair: { sender: domainA, target: domainB }, streamId: peer.id, exporter, at: scene.now })!
  const claim = (target: string) => `<db:result xmlns:db='jabber:server:dialback' from='a.example' to='${target}'>${"0".repeat(64)}</db:result>`
  peer.send(token + claim("c.example"))
  await scene.eventually("the claim is answered", () => b.findings.length > 0)
  assert.equal(b.admitted.length, 0)
  // For its own pair it is good: what was refused is the pair, not the token.
  const again = await scene.raw(b)
  again.exporterLabels = [shown.exchange.exporterLabel]
  await scene.until(again.upToFeatures("a.example", "b.example", undefined))
  const context = { presenter: "initiating", pair: { sender: domainA, target: domainB }, streamId: again.id, exporter: again.exporters.get(shown.exchange.exporterLabel)!, at: scene.now } as const
  again.send(shown.exchange.present(context)! + claim("b.example"))
  await scene.eventually("the pair is let in", () => b.admitted.length === 1)
  await scene.close()
})

test("too many tokens end the stream", async () => {
  const scene = memoryScene()
  const { b } = await two(scene)
  const peer = await scene.raw(b)
  await scene.until(peer.upToFeatures("a.example", "b.example", undefined))
  peer.send(`<token xmlns='${tokenNamespace}' key='a1' expires='1'>x</token>`.repeat(9))
  await scene.eventually("the stream ends", () => b.of("closed").length > 0)
  assert.match(b.of("closed")[0]!.reason, /more than 8 proofs/)
  await scene.close()
})

test("security.md 27: neither exported octets nor signatures stand in what is told or kept", async () => {
  const scene = memoryScene()
  const secrets: string[] = []
  const noting = facing((facts) => {
    for (const octets of facts.exporters?.values() ?? []) secrets.push(Buffer.from(octets).toString("hex"), Buffer.from(octets).toString("base64"))
    return facts
  })
  const { a, b } = await two(scene, { ports: noting }, { ports: noting })
  await scene.until(a.open("b.example"))
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  assert.equal(secrets.length, 4)
  for (const server of [a, b]) {
    assert.ok(server.evidence.some(({ prooftype, proof }) => prooftype === "token" && JSON.stringify(proof.presented).includes('"valid":true')))
    assert.ok(server.evidence.every(({ prooftype, proof }) => prooftype === "token" || proof.presented === undefined))
    const said = everythingSaid(server)
    for (const secret of secrets) assert.equal(said.includes(secret), false)
    // 64 octets in Base64: nothing of a signature's length but certificates, which begin otherwise.
    assert.doesNotMatch(said, /"[A-Za-z0-9+/]{86}=="/)
  }
  await scene.close()
})
