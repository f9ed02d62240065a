// The token prooftype between gateways of ours in the lab: real sockets, real TLS, components at both ends.
import assert from "node:assert/strict"
import { test } from "node:test"
import { createTokenProoftype, type TokenProoftype } from "../../examples/token-prooftype/token-prooftype.ts"
import { judge } from "../../src/entry/main.ts"
import { startGateway } from "../../src/entry/gateway.ts"
import { type Lab, lab, type ServerSpec } from "../../src/entry/testing.ts"
import type { Domain } from "../../src/model/domain.ts"
import type { Direction } from "../../src/model/association.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { a, b, c, ringOf } from "./token-support.ts"

const token = (domain: Domain): TokenProoftype => createTokenProoftype(ringOf(domain))
const cast = (domain: Domain, more: Partial<ServerSpec> = {}): ServerSpec => ({ domain, certificate: { from: "self" }, prooftypes: [token(domain)], ...more })

/** By what one server proved another, in one direction. */
function provedBy(net: Lab, at: string, direction: Direction): string[] {
  return net.server(at).events.flatMap((event) => (event.kind === "associated" && event.direction === direction ? [`${event.association.level} by ${event.association.verdict.by}`] : []))
}

for (const transport of ["STARTTLS", "Direct TLS"] as const) {
  test(`two gateways with certificates that nobody knows prove each other by tokens over ${transport}`, async () => {
    const directTls = transport === "Direct TLS"
    const net = await lab({ servers: [cast(a, { directTls }), cast(b, { directTls })] })
    try {
      for (const [from, to] of [[a, b], [b, a]] as const) assert.equal((await net.exchange(from, to, "hello")).kind, "received")
      for (const server of [a, b]) for (const direction of ["in", "out"] as const) assert.deepEqual(provedBy(net, server, direction), ["authenticated by token"])
    } finally {
      await net.close()
    }
  })
}

test("who is not in the keyring, or does not use it, is refused, and the message bounces", async () => {
  const net = await lab({ servers: [cast(a), { domain: c, certificate: { from: "self" } }] })
  try {
    assert.equal((await net.exchange(a, c, "hello")).kind, "bounced")
    assert.equal((await net.exchange(c, a, "hello")).kind, "bounced")
    for (const server of [a, c]) for (const direction of ["in", "out"] as const) assert.deepEqual(provedBy(net, server, direction), [])
  } finally {
    await net.close()
  }
})

test("evidence says what was shown; whoever has the keyring can judge it, others say that they cannot", async () => {
  const net = await lab({ servers: [cast(a), cast(b)] })
  try {
    await net.exchange(a, b, "hello")
    const association = net.server(a).events.flatMap((event) => (event.kind === "associated" && event.direction === "out" ? [event.association] : []))[0]!
    const items = association.evidence()
    const file = { evidence: 1, tool: { name: "xmpp-dna", version: "0" }, recorded: items[0]!.at, direction: "out", pair: association.pair, decision: "associated", level: association.level, finding: null, sentence: "", items } as const
    const read = JSON.parse(JSON.stringify(file)) as typeof file
    const results = (prooftypes: readonly TokenProoftype[]) => judge(read, { anchors: [net.anchors], prooftypes }).items.map(({ prooftype, result, now }) => `${prooftype}: ${result} ${now?.outcome ?? ""}`.trim())
    assert.deepEqual(results([token(a)]).sort(), ["pkix: same refuted", "token: same proved"])
    assert.deepEqual(results([]).sort(), ["pkix: same refuted", "token: cannot-judge"])
  } finally {
    await net.close()
  }
})

test("a prooftype that takes the name of another is refused at start", async () => {
  const settings = { domains: [], certificates: { dirs: ["/nowhere"] }, federation: {} }
  await assert.rejects(startGateway(settings, { prooftypes: [pkix] }), /two prooftypes are called pkix/)
  await assert.rejects(startGateway(settings, { prooftypes: [token(a), token(b)] }), /two prooftypes are called token/)
})
