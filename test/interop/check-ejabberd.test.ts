// `check` of a real ejabberd: one server, a virtual host for every way to be right or wrong (RFC 7712 4.2; RFC 7673, RFC 7711; EKU-01).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { checkWorld, told } from "./check-world.ts"
import { startEjabberd } from "./peers/ejabberd.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

test("an ejabberd in every state", { skip: peerMissing("ejabberd") }, async (t) => {
  // It cannot be told to offer no SASL; otherwise all comes to the same as with Prosody.
  const staged = await checkWorld(world, ["without-sasl"])
  const { net, address, domains } = staged
  const server = await startEjabberd({ address, domains, dns: world.numericDns, caPem: net.authority.certificate.pem, secureAuth: false, dialback: true, clients: true })
  world.add(server)
  for (const [name, wanted] of staged.expected)
    await t.test(name, async () => {
      assert.equal(told(await staged.look(name)), wanted)
    })

  await t.test("by which proof", async () => {
    assert.equal(await staged.proofs("good"), "pkix proved, dane absent, posh absent, dialback offered")
    assert.equal(await staged.proofs("dane-good"), "pkix refuted, dane proved, posh absent, dialback offered")
    assert.equal(await staged.proofs("posh"), "pkix refuted, dane absent, posh proved, dialback offered")
  })

  await t.test("with a certificate of ours it is really logged in to", async () => {
    const result = await staged.look("good", { from: staged.ours("good.asks.example", "good") })
    assert.deepEqual([told(result), result.endpoints[0]?.login?.by, result.endpoints[0]?.login?.state], ["authenticated ok", "external", "accepted"])
  })

  await t.test("it offers EXTERNAL to everybody and refuses afterwards: a certificate for TLS servers alone, and one of an authority it does not know", async () => {
    for (const [kind, words] of [["server-only", "unsupported certificate purpose"], ["self-signed", "self signed certificate"]] as const) {
      const result = await staged.look("good", { from: staged.ours(`${kind}.asks.example`, kind) })
      assert.equal(told(result), "authenticated ok auth.external-refused")
      assert.deepEqual(result.endpoints[0]?.login, { as: `${kind}.asks.example`, by: "external", state: "refused", detail: words })
    }
  })
  await t.test("for clients", async () => {
    const said = async (name: "good" | "self-signed" | "expired" | "dane-stale") => told(await staged.look(name, { service: "xmpp-client" }))
    assert.equal(await said("good"), "authenticated ok")
    assert.equal(await said("self-signed"), "encrypted bad cert.self-signed")
    assert.equal(await said("expired"), "encrypted bad cert.expired")
    // What is stale is the record of the other port.
    assert.equal(await said("dane-stale"), "authenticated ok")
  })
  peerUsed("ejabberd")
})
