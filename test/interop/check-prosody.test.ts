// `check` of a real Prosody: one server, a virtual host for every way to be right or wrong (RFC 7712 4.2; RFC 7673, RFC 7711; EKU-01).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { checkWorld, told } from "./check-world.ts"
import { startProsody } from "./peers/prosody.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

test("a Prosody in every state", { skip: peerMissing("prosody") }, async (t) => {
  const staged = await checkWorld(world)
  const { net, address, domains } = staged
  const server = await startProsody({ address, domains, dns: net.dns, caPem: net.authority.certificate.pem, secureAuth: false, dialback: true, clients: true })
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

  await t.test("with a certificate of ours it is really logged in to: also with one for TLS servers alone, which it takes", async () => {
    for (const kind of ["good", "server-only"] as const) {
      const result = await staged.look("good", { from: staged.ours(`${kind}.asks.example`, kind) })
      assert.deepEqual([told(result), result.endpoints[0]?.login?.by, result.endpoints[0]?.login?.state], ["authenticated ok", "external", "accepted"])
    }
  })

  await t.test("dialback only: it does not know our authority, or offers no SASL at all", async () => {
    for (const [name, kind] of [["good", "self-signed"], ["without-sasl", "good"]] as const) {
      const result = await staged.look(name, { from: staged.ours(`${kind}.asks-${name}.example`, kind) })
      assert.deepEqual([told(result), result.endpoints[0]?.login?.by, result.endpoints[0]?.login?.state], ["authenticated ok auth.external-not-offered", "dialback", "untried"])
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
  peerUsed("prosody")
})
