// Seed section 5, RFC 7712 4.3: one side shows no certificate (or none that is good), so its domain is verified by dialback.
import assert from "node:assert/strict"
import { test } from "node:test"
import { DialError } from "../../src/model/errors.ts"
import { memoryScene, message, openHeader, own, realScene, type Scene } from "./support.ts"

const places: readonly (readonly [name: string, make: () => Promise<Scene>])[] = [
  ["in memory", async () => memoryScene()],
  ["in pieces of 7 octets", async () => memoryScene({ link: () => ({ chunk: 7 }) })],
  ["on sockets", realScene],
]

for (const [place, make] of places) {
  test(`S5.1, N7, N8, DB-12, DB-13: without a client certificate a key is verified with A's own server; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted" })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
    const stream = await scene.until(a.open("b.example"))
    // A knows B by its certificate; B knows A by a key, which is never more than encrypted (security.md 1).
    assert.equal(stream.association.level, "authenticated")
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    const [admitted] = b.admitted
    assert.equal(admitted?.level, "encrypted")
    assert.ok(typeof admitted?.via === "object")
    assert.equal(admitted.via.authoritative.level, "authenticated")
    assert.deepEqual(admitted.via.authoritative.pair, { sender: "b.example", target: "a.example" })
    assert.deepEqual(b.of("dialback").map(({ step }) => step), ["result-received", "verify-sent", "verify-answered", "answered"])
    stream.channel.write(message("x@a.example", "y@b.example"))
    await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
    // S5.2: B's connection back to A carried a question, and lets nothing in at A.
    assert.equal(a.admitted.length, 0)
    assert.equal(a.delivered.length, 0)
    await scene.eventually("B's question is over", () => a.of("closed").length === 1)
    await scene.close()
  })

  test(`both self-signed: encrypted, by the same certificate on both connections (DWD-4, DWD-5); ${place}`, async () => {
    const scene = await make()
    const certificate = (name: string) => own(name, {}, scene)
    const a = await scene.server({ domains: ["a.example"], certificate, require: "encrypted" })
    const b = await scene.server({ domains: ["b.example"], certificate, require: "encrypted" })
    const stream = await scene.until(a.open("b.example"))
    assert.equal(stream.association.level, "encrypted")
    assert.equal(stream.association.via, "dns")
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    assert.equal(b.admitted[0]?.level, "encrypted")
    assert.deepEqual(b.of("dialback").map(({ step }) => step), ["result-received", "same-certificate", "answered"])
    stream.channel.write(message("x@a.example", "y@b.example"))
    await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
    await scene.close()
  })

  test(`B requires authenticated: refused with its reason on both sides; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"], mute: true })
    const b = await scene.server({ domains: ["b.example"] })
    await assert.rejects(scene.until(a.open("b.example")), /the server showed no certificate/)
    await scene.eventually("B says why", () => b.findings.length > 0)
    assert.deepEqual(b.findings, ["cert.none-shown"])
    assert.deepEqual(a.findings, ["auth.dialback-refused"])
    assert.equal(b.admitted.length, 0)
    // No connection back was bought by the claim: nothing it could bring would be enough.
    assert.equal(b.of("discovered").length, 0)
    await scene.close()
  })
}

test("CORE-21: before the key was verified no stanza passes, and it ends the stream", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const peer = await scene.raw(b)
  await peer.upToFeatures("a.example", "b.example", undefined)
  peer.send("<message from='x@a.example' to='y@b.example'/>")
  await peer.closed()
  assert.equal(peer.condition, "not-authorized")
  assert.deepEqual(b.delivered, [])
  await scene.close()
})

test("DB-19: while one key is verified the pairs that are proven keep flowing, and one slow domain stalls nobody", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], certificate: (name) => own(name), require: "encrypted" })
  const b = await scene.server({ domains: ["b.example"], certificate: (name) => own(name), require: "encrypted" })
  scene.dns("_xmpp-server._tcp.slow.example", { SRV: [[0, 0, 5269, "host.slow.example"]] })
  scene.dns("host.slow.example", { A: ["127.0.0.99"] })
  scene.world.silent.add("127.0.0.99")
  const stream = await scene.until(a.open("b.example"))
  stream.channel.write(Buffer.from("<db:result from='slow.example' to='b.example'>key</db:result>"))
  stream.channel.write(message("x@a.example", "y@b.example", "still here"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["still here"])
  assert.equal(b.of("dialback").filter(({ step }) => step === "answered").length, 1)
  await scene.clock.advance(9000)
  const answers = b.of("dialback").filter(({ step }) => step === "answered")
  assert.deepEqual(answers.map(({ pair, answer }) => [pair.sender, answer]), [["a.example", "valid"], ["slow.example", "error"]])
  stream.channel.write(message("x@a.example", "y@b.example", "and here"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["still here", "and here"])
  await scene.close()
})

test("security.md 17: claims beyond the caps wait for a place while their time lasts, and are refused when none comes", async () => {
  for (const [busy, level] of [[3, "encrypted"], [Number.POSITIVE_INFINITY, undefined]] as const) {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted", times: { dialbackAnswer: 20_000, negotiation: 30_000 } })
    let asked = 0
    const b = await scene.server({
      domains: ["b.example"],
      require: "encrypted",
      ports: (ports) => ({
        ...ports,
        dial: {
          connect: async (to, options) => {
            if (options.source !== undefined && asked++ < busy) throw new DialError("capped", "too many")
            return await ports.dial.connect(to, options)
          },
        },
      }),
    })
    const outcome = await scene.until(a.open("b.example").then(() => "open", () => "refused"))
    assert.equal(outcome, level === undefined ? "refused" : "open")
    assert.equal(b.admitted[0]?.level, level)
    if (level === undefined) assert.deepEqual(b.findings, ["reach.capped"])
    await scene.close()
    assert.equal(scene.clock.pending, 0)
  }
})

test("the peer never answers our key (as Prosody does when it cannot verify): the wait ends by our own clock", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], certificate: (name) => own(name), require: "encrypted" })
  const b = await scene.server({ domains: ["b.example"], certificate: (name) => own(name), require: "encrypted", times: { verification: 60_000 } })
  scene.dns("host.a.example", { A: ["127.0.0.98"] })
  scene.world.silent.add("127.0.0.98")
  const began = scene.clock.monotonic()
  await assert.rejects(scene.until(a.open("b.example")), /dialback: no answer in time/)
  assert.ok(scene.clock.monotonic() - began <= 5000)
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("policy verified: dialback in clear where the peer has no TLS, and the level says so", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], require: "verified" })
  const a = await scene.server({ domains: ["a.example"], require: "verified" })
  const peer = await scene.raw(b)
  peer.send(openHeader("a.example", "b.example"))
  const features = await peer.expect("</stream:features>")
  assert.match(features, /<starttls [^>]*><\/starttls>|<starttls [^>]*\/>/)
  assert.match(features, /urn:xmpp:features:dialback/)
  const key = a.federation.keys.issue({ sender: a.name, target: b.name }, peer.id)
  peer.send(`<db:result from='a.example' to='b.example'>${key}</db:result>`)
  await peer.expect("type='valid'")
  assert.equal(b.admitted[0]?.level, "verified")
  peer.send("<message from='x@a.example' to='y@b.example'><body>in clear</body></message>")
  await scene.settle()
  assert.deepEqual(b.bodies, ["in clear"])
  await scene.close()
})
