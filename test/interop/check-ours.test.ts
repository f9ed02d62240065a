// `check` of our own gateway as `serve` runs it, beside the same of Prosody and ejabberd (RFC 7712 4.2; RFC 7673, RFC 7711; EKU-01).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { checkWorld, elsewhere, told } from "./check-world.ts"
import { startOurs } from "./ours.ts"
import { createWorld } from "./world.ts"

const world = await createWorld()
after(() => world.end())

test("our gateway in every state that it knows", async (t) => {
  // It speaks nothing in clear, and always offers EXTERNAL to whom it proves.
  const staged = await checkWorld(world, ["in-clear", "without-sasl"])
  const { net, address, domains } = staged
  // It looks for certificates by the names inside, so another one has to be asked for by name.
  const hosted = domains.map((each) => (["wrong-name.example", "posh.example"].includes(each.name) ? { ...each, certificate: elsewhere } : each))
  await startOurs(world, { address, domains: hosted, require: "encrypted", roots: net.authority.certificate.pem })
  for (const [name, wanted] of staged.expected)
    await t.test(name, async () => {
      assert.equal(told(await staged.look(name)), wanted)
    })
  await t.test("by which proof", async () => {
    assert.equal(await staged.proofs("good"), "pkix proved, dane absent, posh absent, dialback offered")
    assert.equal(await staged.proofs("dane-good"), "pkix refuted, dane proved, posh absent, dialback offered")
    assert.equal(await staged.proofs("posh"), "pkix refuted, dane absent, posh proved, dialback offered")
  })
  for (const kind of ["good", "server-only", "self-signed"] as const) {
    await t.test(`logged in to with a certificate that is ${kind}`, async () => {
      const result = await staged.look("good", { from: staged.ours(`${kind}.asks.example`, kind) })
      assert.deepEqual([told(result), result.endpoints[0]?.login?.state], kind === "self-signed" ? ["authenticated ok auth.external-not-offered", "untried"] : ["authenticated ok", "accepted"])
    })
  }
})
