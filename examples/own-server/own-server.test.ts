// How other servers see ours: tests against an internet on loopback that ends with the block (docs/lab.md). Here "our server" is a
// gateway of this package; put yours in its place.
import assert from "node:assert/strict"
import { test } from "node:test"
import { lab } from "../../src/entry/testing.ts"

test("others can prove that they reached our domain", async () => {
  await using net = await lab()
  const server = await net.addServer({ domain: "ours.example", certificate: { from: "lab" } })
  const report = await net.check("ours.example")
  assert.equal(report.level, "authenticated")
  // What a server of your own needs: net.credentials("ours.example") to show, net.publish("ours.example", { address, port }) to be found.
  assert.equal(report.endpoints[0]?.port, server.s2s.port)
})

test("an expired certificate is refused, and both ends say why", async () => {
  await using net = await lab({ servers: [{ domain: "peer.example" }, { domain: "old.example", certificate: { from: "lab", notAfter: Date.now() - 1000, notBefore: Date.now() - 9000 } }] })
  const seen = await net.exchange("peer.example", "old.example", "good day")
  assert.equal(seen.kind, "bounced")
  assert.match(seen.kind === "bounced" ? seen.text : "", /\[cert\.expired\]/)
})

test("a fault of the catalogue, put up by its name", async () => {
  await using net = await lab({ scene: "dane-mismatch" })
  const { findings, level } = await net.check("dane-mismatch.example")
  assert.equal(level, "none")
  assert.ok(findings.some(({ id, fix }) => id === "dane.mismatch" && fix.some(({ kind }) => kind === "record")))
})
