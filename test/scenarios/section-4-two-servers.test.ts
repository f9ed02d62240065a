// Seed section 4 and 3, RFC 7712 4.1: two servers, both with certificates, prove each other by PKIX and SASL EXTERNAL.
import assert from "node:assert/strict"
import { test } from "node:test"
import { auth, credentialsOf, good, memoryScene, message, openHeader, realScene, type Scene, starttls } from "./support.ts"

const places: readonly (readonly [name: string, make: () => Promise<Scene>])[] = [
  ["in memory", async () => memoryScene()],
  ["one octet at a time", async () => memoryScene({ link: () => ({ chunk: 1 }) })],
  ["on sockets", realScene],
]

for (const [place, make] of places) {
  test(`S4.1, S4.2: both prove themselves by their certificates; a stanza crosses; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"] })
    const b = await scene.server({ domains: ["b.example"] })
    const stream = await scene.until(a.open("b.example"))
    assert.equal(stream.association.level, "authenticated")
    assert.equal(stream.association.via, "certificate")
    assert.deepEqual(a.of("external").map(({ result }) => result), ["sent", "accepted"])
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    assert.deepEqual(b.of("external").map(({ result }) => result), ["offered", "accepted"])
    const [admitted] = b.admitted
    assert.equal(admitted?.level, "authenticated")
    assert.deepEqual(admitted?.pair, { sender: "a.example", target: "b.example" })
    assert.equal(admitted?.direction, "in")
    // One direction each: nothing says that B may send to A here (CORE-26).
    assert.equal(a.admitted.length, 0)
    assert.equal(b.of("dialback").length, 0)
    stream.channel.write(message("x@a.example", "y@b.example"))
    await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
    assert.deepEqual(b.bodies, ["hi"])
    stream.close()
    const end = await scene.until(stream.closed)
    assert.deepEqual(end, { by: "us", detail: "closed by both sides" })
    await scene.eventually("B saw the end", () => b.of("closed").length === 1)
    await scene.close()
  })

  test(`S4.2: and the other way round on a stream of its own; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"] })
    const b = await scene.server({ domains: ["b.example"] })
    const there = await scene.until(a.open("b.example"))
    const back = await scene.until(b.open("a.example"))
    there.channel.write(message("x@a.example", "y@b.example", "there"))
    back.channel.write(message("y@b.example", "x@a.example", "back"))
    await scene.eventually("both arrive", () => a.delivered.length + b.delivered.length === 2)
    assert.deepEqual([b.bodies, a.bodies], [["there"], ["back"]])
    await scene.close()
  })
}

test("CORE-15: every restart has an id of its own, and the one from before TLS is none of them", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  const ids: string[] = []
  await peer.header("a.example", "b.example")
  ids.push(peer.id)
  peer.send(starttls)
  await peer.expect("<proceed")
  const credentials = credentialsOf(good("a.example"))
  await peer.secure(credentials, "b.example")
  await peer.header("a.example", "b.example")
  ids.push(peer.id)
  peer.send(auth())
  await peer.expect("<success")
  peer.send(openHeader("a.example", "b.example"))
  await scene.settle()
  ids.push([...peer.text.matchAll(/ id='([^']*)'/g)].at(-1)![1]!)
  assert.equal(new Set(ids).size, 3)
  for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/)
  await scene.close()
})

test("S4.3: several domains on one server: the certificate follows the header's `to` (TLS-07)", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example", "c.example"] })
  for (const target of ["b.example", "c.example"]) {
    const stream = await scene.until(a.open(target))
    assert.equal(stream.association.level, "authenticated")
    stream.channel.write(message("x@a.example", `y@${target}`, target))
  }
  await scene.settle()
  assert.deepEqual(b.bodies, ["b.example", "c.example"])
  await scene.close()
})

test("Direct TLS: the handshake comes first, and no STARTTLS inside (DTLS-2)", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], overrides: { "b.example": { address: "127.0.0.60", port: 5270, transport: "direct-tls" } } })
  const b = await scene.server({ domains: ["b.example"], unlisted: true })
  const host = scene.world.host("127.0.0.60")
  const listener = await host.listen.listen({ address: "127.0.0.60", port: 5270 }, (channel) => void b.accept(channel, "direct-tls"))
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.level, "authenticated")
  stream.channel.write(message("x@a.example", "y@b.example"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["hi"])
  assert.equal(b.of("opened").length, 2, "one header under TLS, one behind EXTERNAL, none in clear")
  await listener.close()
  await scene.close()
})

test("nothing is left when the streams are gone: no timer, no pair, no open connection", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.open("b.example"))
  stream.close()
  await scene.until(stream.closed)
  await scene.settle()
  assert.equal(b.incoming[0]?.associations().length, 0)
  assert.equal(scene.clock.pending, 0, "timers left behind")
  await scene.close()
})
