// POSH between servers (RFC 7711, RFC 7712 5.2; POSH-13 to POSH-16, POSH-25, POSH-26; security.md 5, 17, 18): in the world in memory.
import assert from "node:assert/strict"
import { test } from "node:test"
import { LabWeb } from "../../src/lab/web-host.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createPosh } from "../../src/proof/posh.ts"
import { PoshMemory } from "../../src/proof/posh-memory.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { auth, authority, credentialsOf, good, memoryScene, message, own, realScene, refusedBy, type ServerOptions, stranger } from "./support.ts"
import { saidBy } from "../proof/posh-support.ts"
import { digest, documentOf, poshPath, redirectTo, referenceTo, Webs, withPosh } from "./posh-web.ts"

const aCertificate = own("a.example", { names: {}, commonName: "A" })
const bCertificate = own("b.example", { names: {}, commonName: "B" })
const hosterCertificate = own("hoster.example")

function place(options: Parameters<typeof memoryScene>[0] = {}) {
  const scene = memoryScene(options)
  const webs = new Webs(scene)
  const server = (name: string, more: Partial<ServerOptions> = {}) => scene.server({ domains: [name], prooftypes: withPosh(scene), ...more })
  const close = async () => {
    await webs.close()
    await scene.close()
  }
  return { scene, webs, server, close }
}

for (const [how, options] of [["in memory", {}], ["one octet at a time", { link: () => ({ chunk: 1 }) }]] as const) {
  test(`POSH-26: two servers with nothing but self-signed certificates and documents prove each other, ${how}`, async () => {
    const { scene, webs, server, close } = place(options)
    const a = await server("a.example", { certificate: aCertificate })
    const b = await server("b.example", { certificate: bCertificate })
    await webs.publish("a.example", aCertificate)
    await webs.publish("b.example", bCertificate)
    const stream = await scene.until(a.open("b.example"))
    assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "posh"])
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    assert.deepEqual([b.admitted[0]!.verdict.by, b.admitted[0]!.via], ["posh", "certificate"])
    assert.equal(b.of("dialback").length, 0)
    stream.channel.write(message("x@a.example", "y@b.example"))
    await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
    assert.equal(webs.requests.length, 2, "each document was asked for once")
    await close()
  })
}

test("POSH-14: a hoster's one certificate serves its customers, by redirect, by reference and by both", async () => {
  const { scene, webs, server, close } = place()
  const customers = ["one.example", "two.example", "three.example"]
  const a = await server("a.example")
  await server("one.example", { domains: customers, certificate: () => hosterCertificate })
  await webs.publish("hoster.example", hosterCertificate)
  const hoster = "https://hoster.example/.well-known/posh/xmpp-server.json"
  for (const name of customers) await webs.host(name)
  webs.page("one.example", redirectTo(hoster))
  webs.page("two.example", referenceTo(hoster))
  webs.page("three.example", redirectTo("https://three.example/moved"))
  webs.page("three.example", referenceTo(hoster), "/moved")
  for (const name of customers) {
    const stream = await scene.until(a.open(name))
    assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "posh"], name)
  }
  await close()
})

test("POSH-13: a stale document is no matter where PKIX holds", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example")
  const b = await server("b.example")
  await webs.publish("a.example", bCertificate)
  await webs.publish("b.example", aCertificate)
  const stream = await scene.until(a.open("b.example"))
  assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "pkix"])
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  await close()
})

test("POSH-13: a mismatch alone refuses, going out and coming in, with evidence", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example", { certificate: aCertificate })
  const b = await server("b.example")
  await webs.publish("a.example", bCertificate)
  const easy = await server("c.example", { certificate: bCertificate, domains: ["c.example"] })
  await webs.publish("c.example", aCertificate)
  const { failure } = await scene.until(refusedBy(a.open("c.example")))
  assert.deepEqual(failure.verdicts.map(({ by, outcome }) => `${by} ${outcome}`), ["pkix refuted", "posh refuted"])
  assert.deepEqual(failure.evidence?.().map(({ prooftype }) => prooftype), ["pkix", "posh"])
  // Coming in: B is fine with itself, and does not know A.
  await scene.until(refusedBy(a.open("b.example")))
  await scene.settle()
  assert.deepEqual([b.admitted.length, easy.admitted.length], [0, 0])
  const refused = b.of("refused").find(({ verdicts }) => verdicts.length > 0)
  assert.deepEqual(refused?.verdicts.map(({ by, outcome }) => `${by} ${outcome}`), ["pkix refuted", "posh refuted"])
  assert.ok(refused?.evidence?.().some(({ prooftype }) => prooftype === "posh"))
  await close()
})

test("POSH-25: without a document the fallback stays what it was", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example", { certificate: aCertificate, require: "encrypted" })
  const b = await server("b.example", { certificate: bCertificate, require: "encrypted" })
  await webs.host("a.example")
  await webs.host("b.example")
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.level, "encrypted")
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  assert.equal(typeof b.admitted[0]!.via, "object", "by dialback")
  await close()
})

test("POSH-15: while the document is waited for nothing of ours stands on the stream, and nothing is accepted", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example", { certificate: aCertificate })
  const b = await server("b.example", { certificate: bCertificate })
  await webs.publish("a.example", aCertificate)
  await webs.host("b.example")
  webs.page("b.example", "silence")
  let settled = false
  const attempt = refusedBy(a.open("b.example")).finally(() => {
    settled = true
  })
  await scene.clock.advance(3000)
  assert.equal(settled, false)
  assert.deepEqual([a.of("secured").length, b.of("secured").length], [1, 1])
  assert.equal(b.of("opened").length, 1, "the header before TLS, and none after it")
  assert.equal((await scene.until(attempt)).failure.retryable, true)
  assert.equal(b.admitted.length, 0)
  await close()
})

test("security.md 18: coming in, a silent web server costs five seconds, then features come without EXTERNAL", async () => {
  const { scene, webs, server, close } = place()
  const b = await server("b.example", { require: "encrypted" })
  await webs.host("a.example")
  webs.page("a.example", "silence")
  const peer = await scene.raw(b)
  await peer.header("a.example", "b.example")
  peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
  await peer.expect("<proceed")
  await peer.secure(credentialsOf(aCertificate), "b.example")
  peer.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='a.example' to='b.example' version='1.0'>")
  peer.send(auth())
  await scene.clock.advance(4900)
  assert.equal(peer.text, "")
  await scene.clock.advance(200)
  assert.match(peer.text, /<stream:features/)
  assert.doesNotMatch(peer.text, /EXTERNAL/)
  assert.equal(b.admitted.length, 0)
  assert.deepEqual(b.of("proof").map(({ verdict }) => verdict.by === "posh" && verdict.outcome), [false, "unavailable"])
  await close()
})

test("a certificate that nothing proves is refused at once where nothing less will do, in words that the other side reads", async () => {
  const { scene, webs, server, close } = place()
  const b = await server("b.example")
  const peer = await scene.raw(b)
  await peer.header("a.example", "b.example")
  peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
  await peer.expect("<proceed")
  await peer.secure(credentialsOf(aCertificate), "b.example")
  peer.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='a.example' to='b.example' version='1.0'>")
  await scene.clock.advance(1000)
  assert.match(peer.text, /<not-authorized .*self-signed \[cert\.self-signed\]/)
  assert.deepEqual(b.findings, ["cert.self-signed"])
  await webs.close()
  await close()
})

test("a web server that says nothing does not hold up who is proved without it", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example")
  const b = await server("b.example")
  for (const name of ["a.example", "b.example"]) {
    await webs.host(name)
    webs.page(name, "silence")
  }
  const before = scene.clock.now()
  const stream = await scene.until(a.open("b.example"))
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  assert.ok(scene.clock.now() - before < 1000, `${scene.clock.now() - before} ms`)
  assert.deepEqual([stream.association.verdict.by, b.admitted[0]!.verdict.by], ["pkix", "pkix"])
  await close()
})

test("a connection that comes to nothing leaves no fetch behind", async () => {
  const { scene, webs, close } = place()
  const memory = new PoshMemory(scene.clock)
  const a = await scene.server({ domains: ["a.example"], prooftypes: [pkix, createPosh({ memory })] })
  await webs.host("b.example")
  webs.page("b.example", "silence")
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "host.b.example"]] })
  scene.dns("host.b.example", { A: ["127.0.0.99"] })
  assert.equal((await scene.until(refusedBy(a.open("b.example")))).failure.finding, "reach.refused")
  await scene.settle()
  assert.equal(memory.size.flights, 0)
  await close()
})

test("a domain whose own web host is gone is proved by nobody else's document", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example")
  await server("b.example", { certificate: bCertificate })
  await webs.publish("c.example", bCertificate)
  scene.dns("b.example", { A: ["127.0.9.200"] })
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  // That nobody answers there is no news for most domains; the certificate is what the operator has to hear of.
  assert.deepEqual([failure.finding, failure.retryable], ["cert.self-signed", true])
  assert.deepEqual(failure.verdicts.map(saidBy), ["refuted cert.self-signed", "unavailable posh.unreachable"])
  await close()
})

test("the certificate of the web host of a document does not become the XMPP server's (security.md 5)", async () => {
  const { scene, webs, server, close } = place()
  const a = await server("a.example")
  const web = good("hoster.example")
  await server("b.example", { certificate: web })
  await webs.host("b.example")
  await webs.host("hoster.example", web)
  webs.page("b.example", referenceTo("https://hoster.example/b.json"))
  webs.page("hoster.example", documentOf([bCertificate]), "/b.json")
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.ok(["pkix.name-mismatch", "posh.mismatch"].includes(failure.finding))
  assert.deepEqual(failure.verdicts.map(({ outcome }) => outcome), ["refuted", "refuted"])
  await close()
})

test("the same on sockets with real TLS and HTTP: two self-signed servers prove each other, one behind a reference", async () => {
  const scene = await realScene()
  const names = (name: string) => ({ names: { dns: [name] }, notBefore: scene.now - 86_400_000, notAfter: scene.now + 86_400_000 })
  const web = await LabWeb.start({ address: "127.0.0.8", port: 0 }, { clock: systemClock, authority, stranger: () => stranger })
  const [ours, theirs] = [own("a.example", { names: {}, commonName: "A" }, scene), own("b.example", { names: {}, commonName: "B" }, scene)]
  const prooftypes = [pkix, createPosh({ port: web.at.port })]
  const a = await scene.server({ domains: ["a.example"], prooftypes, certificate: ours })
  const b = await scene.server({ domains: ["b.example"], prooftypes, certificate: theirs })
  for (const name of ["a.example", "b.example", "hoster.example"]) scene.dns(name, { A: [web.at.address] })
  const lists = (certificate: typeof ours) => ({ status: 200, headers: { "Content-Type": "application/json" }, body: JSON.stringify({ fingerprints: [{ "sha-256": digest(certificate) }], expires: 600 }) })
  const first = web.add({ host: "a.example", certificate: authority.issue(names("a.example")), answers: { [poshPath]: lists(ours) } })
  web.add({ host: "b.example", certificate: authority.issue(names("b.example")), answers: { [poshPath]: { status: 200, body: JSON.stringify({ url: "https://hoster.example/b.json", expires: 300 }) } } })
  web.add({ host: "hoster.example", certificate: authority.issue(names("hoster.example")), answers: { "/b.json": lists(theirs) } })
  const stream = await a.open("b.example")
  assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "posh"])
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  assert.equal(b.admitted[0]!.verdict.by, "posh")
  assert.deepEqual([...new Set(first.requests.map(({ host, path }) => `${host} ${path}`))], [`a.example:${web.at.port} ${poshPath}`])
  await web.close()
  await scene.close()
})
