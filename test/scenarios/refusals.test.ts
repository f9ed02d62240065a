// Refusals on either side: which finding the operator reads, which condition the peer, and that nothing got in.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { TlsError } from "../../src/model/errors.ts"
import { Recorder } from "../world/recorder.ts"
import { anchors, credentialsOf, good, memoryScene, own, realScene, refusedBy, start, stranger } from "./support.ts"

const day = 86_400_000
const bad: readonly (readonly [name: string, finding: string, make: (domain: string) => IssuedCertificate])[] = [
  ["self-signed", "cert.self-signed", (domain) => own(domain)],
  ["unknown root", "cert.unknown-root", (domain) => stranger.issue({ names: { dns: [domain] }, notBefore: start - day, notAfter: start + day })],
  ["expired", "cert.expired", (domain) => good(domain, { notBefore: start - 2 * day, notAfter: start - day })],
  ["not yet valid", "cert.not-yet-valid", (domain) => good(domain, { notBefore: start + day, notAfter: start + 2 * day })],
  ["for another name", "pkix.name-mismatch", () => good("other.example")],
  ["for clients only", "cert.client-only", (domain) => good(domain, { eku: ["clientAuth"] })],
  ["a forged signature", "cert.bad-signature", (domain) => good(domain, { mutate: { signature: "flip" } })],
  ["the name in CN only", "pkix.name-mismatch", (domain) => good(domain, { names: {}, commonName: domain })],
]

for (const [name, finding, make] of bad) {
  test(`the server we connect to shows a certificate that is ${name}: refused, and both sides read why`, async () => {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"] })
    const b = await scene.server({ domains: ["b.example"], certificate: make })
    const refused = await refusedBy(scene.until(a.open("b.example")))
    assert.equal(refused.failure.finding, finding)
    assert.equal(refused.failure.kind, "refused")
    assert.deepEqual(a.findings, [finding])
    assert.equal(a.of("associated").length, 0)
    await scene.settle()
    assert.deepEqual(b.findings, ["stream.error"])
    assert.match(b.of("closed").map(({ reason }) => reason).join(), new RegExp(`not-authorized: .*\\[${finding}\\]`))
    assert.ok((refused.failure.evidence?.() ?? []).length > 0, "there is evidence to judge")
    await scene.close()
  })

  test(`a server that connects shows a certificate that is ${name}: refused before features, and both sides read why`, async () => {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"], certificate: make })
    const b = await scene.server({ domains: ["b.example"] })
    const refused = await refusedBy(scene.until(a.open("b.example")))
    assert.equal(refused.failure.finding, "stream.error")
    assert.match(refused.failure.detail, new RegExp(`not-authorized, ".*\\[${finding}\\]"`))
    assert.deepEqual(b.findings, [finding])
    assert.equal(b.admitted.length, 0)
    await scene.close()
  })
}

test("EKU-01: a certificate for servers only is accepted in both directions", async () => {
  const scene = memoryScene()
  const certificate = (name: string) => good(name, { eku: ["serverAuth"] })
  const a = await scene.server({ domains: ["a.example"], certificate })
  const b = await scene.server({ domains: ["b.example"], certificate })
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.level, "authenticated")
  await scene.settle()
  assert.equal(b.admitted[0]?.level, "authenticated")
  await scene.close()
})

test("EXT-08: EXTERNAL does not hold and dialback is off: told at once, with a policy-violation", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], dialback: false, require: "encrypted" })
  const peer = await scene.raw(b)
  await peer.header("a.example", "b.example")
  peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
  await peer.expect("<proceed")
  await peer.secure(credentialsOf(own("a.example")), "b.example")
  peer.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='a.example' to='b.example' version='1.0'>")
  await peer.closed()
  assert.equal(peer.condition, "policy-violation")
  assert.deepEqual(b.findings, ["cert.self-signed"])
  await scene.close()
})

test("no certificate to show: STARTTLS fails in words, before a handshake (TLS-04)", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], certificate: null })
  const peer = await scene.raw(b)
  await peer.header("a.example", "b.example")
  peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
  await peer.closed()
  assert.match(peer.text, /<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'\/><\/stream:stream>$/)
  assert.deepEqual(b.findings, ["tls.no-certificate"])
  await scene.close()
})

test("no certificate, and nothing is taken in clear: no dialback is offered there, and one that is claimed all the same is refused", async () => {
  for (const require of ["encrypted", "authenticated", "verified"] as const) {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], certificate: null, require })
    const a = await scene.server({ domains: ["a.example"], require })
    const peer = await scene.raw(b)
    await peer.header("a.example", "b.example")
    const offered = /urn:xmpp:features:dialback/.test(peer.text)
    assert.equal(offered, require === "verified")
    const key = a.federation.keys.issue({ sender: a.name, target: b.name }, peer.id)
    peer.send(`<db:result from='a.example' to='b.example'>${key}</db:result>`)
    if (offered) await peer.expect("type='valid'")
    else {
      await peer.closed()
      assert.match(peer.text, /<policy-violation /)
    }
    assert.deepEqual(b.admitted.map(({ level }) => level), offered ? ["verified"] : [])
    await scene.close()
  }
})

test("TLS-04: a handshake that fails is a refusal, in memory and on sockets, and no stream is closed behind it", async () => {
  for (const scene of [memoryScene(), await realScene()]) {
    const a = await scene.server({ domains: ["a.example"] })
    // Takes part up to <proceed/>, then speaks no TLS.
    const b = await scene.server({
      domains: ["b.example"],
      ports: (ports) => ({
        ...ports,
        tls: {
          client: ports.tls.client,
          server: async (channel) => {
            const hello = new Recorder()
            channel.attach(hello)
            channel.resume()
            await hello.until("a first message", ({ length }) => length > 0)
            channel.write(Buffer.from("this is no TLS, this is no TLS"))
            throw new TlsError("handshake", "the test makes none")
          },
        },
      }),
    })
    const refused = await refusedBy(scene.until(a.open("b.example")))
    assert.equal(refused.failure.finding, "tls.handshake-failed")
    await scene.eventually("B is done with it", () => b.of("closed").length === 1)
    await scene.close()
  }
})

test("a peer that does not go on is cut off, and told connection-timeout", async () => {
  for (const after of ["nothing", "header", "tls header"]) {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"] })
    const peer = await scene.raw(b)
    if (after === "header") await peer.header("a.example", "b.example")
    if (after === "tls header") await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
    await scene.clock.advance(10_001)
    assert.equal(peer.condition, "connection-timeout", after)
    assert.match(peer.text, /<stream:stream /, "an error stands behind a header")
    await scene.clock.advance(501)
    peer.send(" ")
    await scene.settle()
    assert.equal(peer.seen.closed?.by, "reset", "the connection is cut although the peer does nothing")
    assert.deepEqual(b.findings, ["stream.too-slow"], after)
    assert.equal(scene.clock.pending, 0)
    await scene.close()
  }
})

test("we give an attempt up: it ends at once, as a refusal", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  await scene.server({ domains: ["b.example"], ports: (ports) => ({ ...ports, tls: { client: ports.tls.client, server: () => new Promise(() => {}) } }) })
  const controller = new AbortController()
  const attempt = refusedBy(a.open("b.example", "a.example", controller.signal))
  await scene.settle()
  controller.abort(new Error("not wanted any more"))
  await scene.until(attempt)
  assert.equal(a.of("closed").length, 1)
  await scene.close()
})

test("a stream that is closed by us while it negotiates is told why", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
  b.incoming[0]!.close("system-shutdown", "this server is going down")
  await peer.closed()
  assert.equal(peer.condition, "system-shutdown")
  assert.match(peer.text, /this server is going down/)
  assert.deepEqual(await scene.until(b.incoming[0]!.closed), { by: "us", detail: "this server is going down", condition: "system-shutdown" })
  await scene.close()
})

test("the first endpoint is dead, the second one holds (CORE-02); DNS that leads nowhere is not found", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example"] })
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 1, "dead.b.example"], [10, 0, b.address.port, "host.b.example"]] })
  scene.dns("dead.b.example", { A: ["127.0.0.77"] })
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.level, "authenticated")
  const nowhere = await refusedBy(scene.until(a.open("nowhere.example")))
  assert.deepEqual([nowhere.failure.finding, nowhere.failure.kind], ["dns.nxdomain", "not-found"])
  await scene.close()
})

test("an endpoint that takes the connection and says nothing leaves time for the one behind it (CORE-02)", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example"] })
  const host = scene.world.host("127.0.0.77")
  const silent = await host.listen.listen({ address: host.address, port: 5269 }, () => {})
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "silent.b.example"], [10, 0, b.address.port, "host.b.example"]] })
  scene.dns("silent.b.example", { A: [host.address] })
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.level, "authenticated")
  assert.equal(stream.remote.address, b.address.address)
  await silent.close()
  await scene.close()
})

test("the anchors are those of this installation", () => {
  assert.equal(anchors.count, 1)
})
