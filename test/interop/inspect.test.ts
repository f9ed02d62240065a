// The inspection against real servers: what it says of Prosody and ejabberd, good and flawed, with and without a certificate of ours,
// and how they prove themselves when a ping makes them connect (RFC 7712 4.2, 4.3; EKU-01, XEP-0199).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { inspect } from "../../src/inspect/ladder.ts"
import type { InspectPorts, InspectQuestion } from "../../src/inspect/question.ts"
import { type DomainResult, domainSchema } from "../../src/inspect/report.ts"
import type { ReverseQuestion } from "../../src/inspect/reverse.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"
import { selectProoftypes } from "../../src/proof/registry.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"
import { labReach } from "../inspect/support.ts"
import { peerMissing } from "./peers-used.ts"
import { type Kind, startForeign } from "./servers.ts"
import { createWorld, type Flaw } from "./world.ts"

const world = await createWorld()
after(() => world.end())

async function machine(): Promise<InspectPorts & { listen: ReverseQuestion["listen"] }> {
  const { dial, resolver, ...ports } = createGatewayWorld({ log: { write: () => undefined } })
  return {
    ...ports,
    dial: dial(() => labReach),
    resolver: await resolver({ upstreams: [{ address: world.dns.address, port: world.dns.port }], dnssec: "off" }),
    anchors: anchorsFromPem(world.caPem),
    reach: labReach,
    prooftypes: selectProoftypes(new Set(["pkix", "dane"])),
  }
}

async function look(domain: string, more: Partial<InspectQuestion> = {}, asking?: ReverseQuestion): Promise<DomainResult> {
  const question: InspectQuestion = { domain: parseDomain(domain), service: "xmpp-server", expect: "authenticated", ...more }
  const { result } = await inspect(question, await machine(), new AbortController().signal, asking)
  domainSchema.parse(result)
  return result
}

function ours(name: string, flaw?: Flaw): NonNullable<InspectQuestion["from"]> {
  const { chainPem, keyPem } = world.identity(name, flaw)
  return { domain: parseDomain(name), credentials: { certificatePem: chainPem, keyPem } }
}

const told = ({ level, ok, unknown, findings }: DomainResult): unknown[] => [level, ok, unknown, findings.filter(({ severity }) => severity !== "info").map(({ id }) => id)]

for (const kind of ["prosody", "ejabberd"] as const satisfies readonly Kind[]) {
  test(`a good ${kind}, strict: asked by a stranger, by a server it accepts, and by one that it does not`, { skip: peerMissing(kind) }, async () => {
    await startForeign(world, kind, { label: `${kind}-good`, strict: true })
    const domain = `${kind}-good.example`
    assert.deepEqual(told(await look(domain)), ["authenticated", true, false, []], "by a stranger")
    const known = await look(domain, { from: ours(`asks.${kind}.example`) })
    assert.deepEqual([...told(known), known.endpoints[0]?.login?.state], ["authenticated", true, false, [], "accepted"])
    const servers = await look(domain, { from: ours(`servers-only.${kind}.example`, "server-only") })
    assert.equal(servers.level, "authenticated")
    const refused = await look(domain, { from: ours(`refused.${kind}.example`, "self-signed") })
    assert.equal(refused.level, "authenticated", "what it thinks of us says nothing about it")
    assert.notEqual(refused.endpoints[0]?.login?.state, "accepted")
    assert.deepEqual(refused.findings.filter(({ id }) => /^auth\./.test(id)).length, 1, JSON.stringify(refused.findings.map(({ id, detail }) => [id, detail])))
  })

  for (const [flaw, finding] of [
    ["self-signed", "cert.self-signed"],
    ["expired", "cert.expired"],
    ["wrong-name", "pkix.name-mismatch"],
  ] as const)
    test(`a ${kind} whose certificate is ${flaw}`, { skip: peerMissing(kind) }, async () => {
      await startForeign(world, kind, { label: `${kind}-${flaw}`, flaw })
      assert.deepEqual(told(await look(`${kind}-${flaw}.example`)), ["encrypted", false, false, [finding]])
    })
}

test("a Prosody that is pinged connects, and proves itself by its certificate", { skip: peerMissing("prosody") }, async () => {
  await startForeign(world, "prosody", { label: "pinged", strict: true })
  const from = ours("pings.example")
  const address = await world.address()
  world.publish(from.domain, address)
  const { listen } = await machine()
  const result = await look("pinged.example", { from }, { listen, at: { address, port: 5269 }, asked: "ping", patience: 15_000 })
  assert.deepEqual([result.reverse?.state, result.reverse?.level, result.ok], ["proved", "authenticated", true], JSON.stringify(result.reverse))
})
