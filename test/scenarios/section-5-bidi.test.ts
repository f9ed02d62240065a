// Seed section 5 with XEP-0288: both directions on one connection, each with a proof of its own (BIDI-1 to BIDI-8; security.md 1-3).
import assert from "node:assert/strict"
import { test } from "node:test"
import { errorsRemembered } from "../federation/ratchet-support.ts"
import { alteredText } from "../world/middle.ts"
import { auth, credentialsOf, good, memoryScene, message, never, openHeader, own, pairOf, type RawPeer, realScene, type Scene } from "./support.ts"

const bidi = { uses: { bidi: true, piggyback: true } }
const bidiElement = "<bidi xmlns='urn:xmpp:bidi'/>"

const places: readonly (readonly [name: string, make: () => Promise<Scene>])[] = [
  ["in memory", async () => memoryScene()],
  ["in pieces of 7 octets", async () => memoryScene({ link: () => ({ chunk: 7 }) })],
  ["on sockets", realScene],
]
for (const [place, make] of places)
  test(`S5.2: two of ours with certificates: stanzas both ways on one connection; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"], ...bidi })
    const b = await scene.server({ domains: ["b.example"], ...bidi })
    const out = await scene.until(a.join("b.example"))
    await scene.eventually("B knows the way back", () => b.ways.length === 1)
    const back = await scene.until(b.join("a.example"))
    assert.equal(back, b.ways[0]?.stream)
    assert.equal(b.of("connected").length, 1, "B has connected to nobody")
    out.channel.write(message("x@a.example", "y@b.example", "there"))
    back.channel.write(message("y@b.example", "x@a.example", "back"))
    await scene.eventually("both arrive", () => a.bodies.length === 1 && b.bodies.length === 1)
    // A lets B in by the proof of its own direction, B sends to A by a complete outgoing evaluation.
    const [admitted] = a.admitted
    assert.equal(admitted?.rests?.pair.target, "b.example")
    assert.equal(back.association.level, "authenticated")
    assert.equal(back.association.endpoint?.delegation.source, "a.example")
    assert.deepEqual(a.of("dialback"), [])
    await scene.close()
  })

test("BIDI-1, BIDI-2: advertised before and after TLS, taken only after it and before authentication", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], ...bidi })
  const peer = await scene.raw(b)
  const before = await peer.header("a.example", "b.example")
  assert.match(before, /<bidi xmlns='urn:xmpp:features:bidi'\/>/)
  peer.send(`${bidiElement}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`)
  await peer.expect("<proceed")
  await peer.secure(credentialsOf(good("a.example")), "b.example")
  assert.match(await peer.header("a.example", "b.example"), /<bidi xmlns='urn:xmpp:features:bidi'\/>/)
  await external(peer, "a.example", "b.example")
  assert.equal(b.ways.length, 0, "what was asked for in clear was asked for by anybody")
  await scene.close()
})

async function external(peer: RawPeer, from: string, to: string): Promise<void> {
  peer.send(auth())
  await peer.expect("<success")
  peer.send(openHeader(from, to))
  await peer.expect("features><stream:features".slice(0, 8))
}

test("BIDI-3, BIDI-4: nothing goes back before success or valid, and then only to whom was granted, from whom was asked", async () => {
  const scene = memoryScene()
  const certificate = good("b.example", { names: { dns: ["b.example", "c.example"] } })
  const b = await scene.server({ domains: ["b.example", "c.example"], certificate, ...bidi, abilities: errorsRemembered("a.example") })
  await scene.server({ domains: ["a.example"] })
  const peer = await scene.raw(b)
  await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
  peer.send(bidiElement)
  await scene.settle()
  assert.equal(b.ways.length, 0)
  await external(peer, "a.example", "b.example")
  await scene.settle()
  assert.deepEqual(b.ways.map(({ domain }) => domain), ["a.example"])
  const back = b.ways[0]!.stream
  await scene.until(back.add(pairOf("b.example", "a.example"), never))
  await assert.rejects(back.add(pairOf("b.example", "d.example"), never), /d\.example is not proven on the stream/)
  // BIDI-5: another domain of ours is asserted first.
  const asserted = back.add(pairOf("c.example", "a.example"), never)
  await peer.expect("<db:result from='c.example' to='a.example'>")
  assert.equal(back.associationOf(pairOf("c.example", "a.example")), undefined)
  peer.send("<db:result from='a.example' to='c.example' type='valid'/>")
  assert.equal((await scene.until(asserted)).pair.sender, "c.example")
  await scene.close()
})

test("DB-32: who opened the stream has not said that it knows dialback errors, so no further domain of ours is asserted there", async () => {
  const scene = memoryScene()
  const certificate = good("b.example", { names: { dns: ["b.example", "c.example"] } })
  const b = await scene.server({ domains: ["b.example", "c.example"], certificate, ...bidi, abilities: errorsRemembered("e.example") })
  const a = await scene.server({ domains: ["a.example"], ...bidi })
  await scene.until(a.join("b.example"))
  await scene.eventually("B knows the way back", () => b.ways.length === 1)
  const back = b.ways[0]!.stream
  await assert.rejects(back.add(pairOf("c.example", "a.example"), never), /does not advertise dialback errors/)
  // A connection of its own shows what the peer can do, and from then on it is known.
  const second = await scene.until(b.join("a.example", "c.example"))
  assert.notEqual(second, back)
  assert.deepEqual(b.of("dialback"), [])
  assert.equal((await scene.until(back.add(pairOf("c.example", "a.example"), never))).pair.sender, "c.example")
  await scene.close()
})

test("security.md 3: proven to come in is not proven to be sent to: a client's certificate alone, or a key, where more is needed", async () => {
  for (const [what, certificate] of [["for clients only", good("a.example", { eku: ["clientAuth"] })], ["self-signed", own("a.example")]] as const) {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], exceptions: [], ...bidi, require: "encrypted" })
    const a = await scene.server({ domains: ["a.example"], certificate, require: "encrypted", ...bidi })
    await scene.until(a.join("b.example"))
    await scene.settle()
    b.reload({ policy: { require: "authenticated" } }, { recheck: false })
    const [way] = b.ways
    assert.ok(way !== undefined, what)
    await assert.rejects(scene.until(way.stream.add(pairOf("b.example", "a.example"), never)), /a\.example/, what)
    assert.deepEqual(way.stream.associations(), [])
    await scene.close()
  }
})

test("encryption is enough: a verified key opens the way back, at that level", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], certificate: own("a.example"), require: "encrypted", ...bidi })
  const b = await scene.server({ domains: ["b.example"], certificate: own("b.example"), require: "encrypted", ...bidi })
  const out = await scene.until(a.join("b.example"))
  await scene.eventually("B knows the way back", () => b.ways.length === 1)
  const back = await scene.until(b.join("a.example"))
  assert.equal(back, b.ways[0]?.stream)
  assert.equal(back.association.level, "encrypted")
  back.channel.write(message("y@b.example", "x@a.example", "back"))
  await scene.settle()
  assert.deepEqual(a.bodies, ["back"])
  assert.equal(a.admitted[0]?.level, "encrypted")
  assert.equal(out.association.level, "encrypted")
  await scene.close()
})

test("BIDI-7: on a stream we opened only those come in whom we proved there", async () => {
  let more = ""
  const scene = memoryScene({ link: () => ({ middle: alteredText((text, towards) => (towards === "client" && text.includes("<body>go</body>") ? more : text)) }) })
  const a = await scene.server({ domains: ["a.example"], ...bidi })
  const b = await scene.server({ domains: ["b.example"], ...bidi })
  const out = await scene.until(a.join("b.example"))
  const back = await scene.until(b.join("a.example"))
  more = message("y@evil.example", "x@a.example", "forged").toString()
  back.channel.write(message("y@b.example", "x@a.example", "go"))
  const end = await scene.until(out.closed)
  assert.equal(end.condition, "invalid-from")
  assert.deepEqual(a.bodies, [])
  await scene.close()
})

test("DB-37, security.md 2: a claim on a stream is verified over a connection of its own, never on a stream with stanzas", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], require: "encrypted", ...bidi })
  const c = await scene.server({ domains: ["c.example"], require: "encrypted" })
  const b = await scene.server({ domains: ["b.example", "c.example"], certificate: good("b.example"), require: "encrypted", ...bidi, abilities: errorsRemembered("a.example") })
  scene.dns("_xmpp-server._tcp.c.example", { SRV: [[0, 0, c.address.port, "c.c.example"]] })
  scene.dns("c.c.example", { A: [c.address.address] })
  await scene.until(a.join("b.example"))
  await scene.eventually("B knows the way back", () => b.ways.length === 1)
  const connections = scene.world.connections.length
  // B says it is C as well; A asks C's own server, which knows of no such key.
  const asked = b.ways[0]!.stream.add(pairOf("c.example", "a.example"), never)
  await scene.until(assert.rejects(asked, /dialback/))
  assert.equal(scene.world.connections.length, connections + 1)
  assert.equal(scene.world.connections.at(-1)?.to.address, c.address.address)
  assert.equal(a.of("dialback").filter(({ step }) => step === "verify-sent").length, 1)
  await scene.close()
})

test("the way in ends with the way out that it rests on, and the way out with the way in", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...bidi })
  const b = await scene.server({ domains: ["b.example"], ...bidi })
  const out = await scene.until(a.join("b.example"))
  const back = await scene.until(b.join("a.example"))
  back.channel.write(message("y@b.example", "x@a.example", "one"))
  await scene.settle()
  assert.deepEqual(a.bodies, ["one"])
  a.reload({ hosts: (name) => name === "elsewhere.example" })
  assert.equal((await scene.until(out.closed)).condition, "reset")
  await scene.until(back.closed)
  await scene.close()
})

test("BIDI-4: of two pairs that were granted to the peer's domain one ends: the way back rests on the other", async () => {
  const scene = memoryScene()
  const certificate = good("b.example", { names: { dns: ["b.example", "c.example"] } })
  await scene.server({ domains: ["a.example"] })
  for (const [ends, stays] of [["c.example", "b.example"], ["b.example", "c.example"]] as const) {
    const b = await scene.server({ domains: ["b.example", "c.example"], certificate, ...bidi })
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
    peer.send(bidiElement)
    await external(peer, "a.example", "b.example")
    peer.send("<db:result from='a.example' to='c.example'>key</db:result>")
    await peer.expect("type='valid'")
    const back = b.ways[0]!.stream
    for (const sender of ["b.example", "c.example"]) await scene.until(back.add(pairOf(sender, "a.example"), never))
    b.reload({ hosts: (name) => name === stays })
    assert.equal(back.associationOf(pairOf(ends, "a.example")), undefined)
    assert.equal(back.associationOf(pairOf(stays, "a.example"))?.level, "authenticated")
    assert.equal(back.ended, false)
  }
  await scene.close()
})

test("a peer without bidi, or with the switch off: one direction, and stanzas back end the stream", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...bidi })
  const b = await scene.server({ domains: ["b.example"] })
  const out = await scene.until(a.join("b.example"))
  await scene.settle()
  assert.equal(b.ways.length, 0)
  assert.equal(out.lastInput, undefined)
  await scene.close()
})
