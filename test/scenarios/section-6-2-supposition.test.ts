// Seed section 6.2 in the form of RFC 7712 4.4.2: a second target domain on a stream that exists (N13, DB-32; security.md 3).
import assert from "node:assert/strict"
import { test } from "node:test"
import { alteredText } from "../world/middle.ts"
import { good, type MemoryScene, memoryScene, message, never, own, pairOf, type Server } from "./support.ts"

const piggyback = { uses: { piggyback: true } }
const both = good("b.example", { names: { dns: ["b.example", "rooms.b.example"] } })

/** The second domain is served where the first one is. */
function sameHost(scene: MemoryScene, server: Server, name: string, port = server.address.port, host = "host.b.example"): void {
  scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, port, host]] })
}

test("S6.2.1, N13: the new target resolves to the same place and the certificate proves it: one question, no connection", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: both })
  sameHost(scene, b, "rooms.b.example")
  const stream = await scene.until(a.join("b.example"))
  const connections = scene.world.connections.length
  assert.equal(await scene.until(a.join("rooms.b.example")), stream)
  assert.equal(scene.world.connections.length, connections)
  const [first, second] = stream.associations()
  // Each target has its own association, with its own verdict.
  assert.match(first?.verdict.outcome === "proved" ? first.pair.target : "", /^b\.example$/)
  assert.equal(second?.pair.target, "rooms.b.example")
  assert.equal(second?.level, "authenticated")
  assert.notEqual(second?.verdict, first?.verdict)
  assert.equal(second?.endpoint?.delegation.source, "rooms.b.example")
  stream.channel.write(message("x@a.example", "y@rooms.b.example", "to rooms"))
  stream.channel.write(message("x@a.example", "y@b.example", "to b"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["to rooms", "to b"])
  await scene.close()
})

const elsewhere: readonly (readonly [what: string, (scene: MemoryScene, b: Server) => void])[] = [
  ["another port", (scene, b) => sameHost(scene, b, "rooms.b.example", b.address.port + 1)],
  ["another address", (scene, b) => {
    scene.dns("other.b.example", { A: ["127.0.0.99"] })
    sameHost(scene, b, "rooms.b.example", b.address.port, "other.b.example")
  }],
]
for (const [what, publish] of elsewhere)
  test(`served at ${what}: not on this stream, whatever its certificate proves`, async () => {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"], ...piggyback })
    const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: both })
    publish(scene, b)
    const stream = await scene.until(a.join("b.example"))
    await assert.rejects(stream.add(pairOf("a.example", "rooms.b.example"), never), /served at another address/)
    assert.deepEqual(a.of("dialback"), [], "nothing was asked")
    await scene.close()
  })

test("the certificate of the stream does not prove the new target: a connection of its own, which shows the right one", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const b = await scene.server({ domains: ["b.example", "rooms.b.example"] })
  sameHost(scene, b, "rooms.b.example")
  const first = await scene.until(a.join("b.example"))
  const second = await scene.until(a.join("rooms.b.example"))
  assert.notEqual(second, first)
  assert.equal(second.association.level, "authenticated")
  assert.deepEqual(a.of("dialback"), [])
  await scene.close()
})

test("where encryption is enough, too, a certificate that proves nothing carries no further target", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], require: "encrypted", ...piggyback })
  const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: (name) => own(name) })
  sameHost(scene, b, "rooms.b.example")
  const first = await scene.until(a.join("b.example"))
  assert.equal(first.association.level, "encrypted")
  assert.notEqual(await scene.until(a.join("rooms.b.example")), first)
  await scene.close()
})

test("refused (the domain is not served there after all): a connection of its own, and it is remembered", async () => {
  const link = () => ({ middle: alteredText((text) => text.replace(/(<db:result from='rooms\.b\.example' to='a\.example') type='valid'\/>/, "$1 type='error'><error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:result>")) })
  const scene = memoryScene({ link })
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: both })
  sameHost(scene, b, "rooms.b.example")
  const first = await scene.until(a.join("b.example"))
  const second = await scene.until(a.join("rooms.b.example"))
  assert.notEqual(second, first)
  first.channel.write(message("x@a.example", "y@b.example", "alive"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["alive"])
  const asked = a.of("dialback").filter(({ step }) => step === "result-sent").length
  second.close()
  await scene.until(second.closed)
  await scene.until(a.join("rooms.b.example"))
  assert.equal(a.of("dialback").filter(({ step }) => step === "result-sent").length, asked, "not asked again")
  await scene.close()
})

test("two hundred targets at one place: the first opens, the others come along", async () => {
  const scene = memoryScene()
  const names = [...Array(200).keys()].map((each) => `d${each}.example`)
  const many = good("d0.example", { names: { dns: names } })
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const b = await scene.server({ domains: names, certificate: many })
  const streams = await scene.until(Promise.all(names.map((name) => a.join(name))))
  assert.equal(new Set(streams).size, 1)
  assert.equal(scene.world.connections.length, 1)
  assert.equal(b.admitted.length, 200)
  await scene.close()
})

test("those who wait for a stream to a place that answers nobody try by themselves", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: (name) => (name === "b.example" ? own(name) : good(name)) })
  sameHost(scene, b, "rooms.b.example")
  const [bad, fine] = await scene.until(Promise.allSettled([a.join("b.example"), a.join("rooms.b.example")]))
  assert.equal(bad.status, "rejected")
  assert.equal(fine.status, "fulfilled")
  await scene.close()
})

test("the switch for the peer is off: a connection for each", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: both })
  sameHost(scene, b, "rooms.b.example")
  assert.notEqual(await scene.until(a.join("b.example")), await scene.until(a.join("rooms.b.example")))
  await scene.close()
})
