// DANE between servers (RFC 7673; DANE-02, DANE-10, DANE-11, DANE-13, DANE-33; DANC-4; security.md 1, 4, 18): in the world in memory,
// with DNS that is signed where a test says so.
import assert from "node:assert/strict"
import { test } from "node:test"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { authority, credentialsOf, good, memoryScene, message, own, realScene, refusedBy, type RawPeer, type ServerOptions } from "./support.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"
import { Recorder } from "../world/recorder.ts"

const both: readonly AnyProoftype[] = [pkix, dane]
const aCertificate = own("a.example", { names: {}, commonName: "A" })
const bCertificate = own("b.example", { names: {}, commonName: "B" })

function place(options: Parameters<typeof memoryScene>[0] = {}) {
  const scene = memoryScene(options)
  const dns = new SignedDns()
  const server = (name: string, more: Partial<ServerOptions> = {}) => scene.server({ domains: [name], prooftypes: both, ports: dns.ports, ...more })
  /** Publishes what the server of a domain shows. */
  const promise = (name: string, ...rows: (readonly [number, number, number, string])[]) => scene.dns(`_5269._tcp.host.${name}`, { TLSA: rows })
  return { scene, dns, server, promise, close: () => scene.close() }
}

for (const [how, options] of [["in memory", {}], ["one octet at a time", { link: () => ({ chunk: 1 }) }]] as const) {
  test(`two servers with nothing but self-signed certificates and TLSA prove each other, ${how}`, async () => {
    const { scene, server, promise, close } = place(options)
    const a = await server("a.example", { certificate: aCertificate })
    const b = await server("b.example", { certificate: bCertificate })
    promise("a.example", tlsaRow(aCertificate))
    promise("b.example", tlsaRow(bCertificate))
    const stream = await scene.until(a.open("b.example"))
    assert.equal(stream.association.level, "authenticated")
    assert.equal(stream.association.verdict.by, "dane")
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    assert.equal(b.admitted[0]!.verdict.by, "dane")
    assert.equal(b.admitted[0]!.via, "certificate")
    assert.equal(b.of("dialback").length, 0)
    stream.channel.write(message("x@a.example", "y@b.example"))
    await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
    await close()
  })
}

test("the same on sockets with real TLS: the chain that was shown is the one that is compared", async () => {
  const scene = await realScene()
  const dns = new SignedDns()
  const [ours, theirs] = [own("a.example", { names: {}, commonName: "A" }, scene), own("b.example", { names: {}, commonName: "B" }, scene)]
  const a = await scene.server({ domains: ["a.example"], prooftypes: both, ports: dns.ports, certificate: ours })
  const b = await scene.server({ domains: ["b.example"], prooftypes: both, ports: dns.ports, certificate: theirs })
  scene.dns(`_${a.address.port}._tcp.host.a.example`, { TLSA: [tlsaRow(ours, "3 0 1")] })
  scene.dns(`_${b.address.port}._tcp.host.b.example`, { TLSA: [tlsaRow(theirs, "3 1 2")] })
  const stream = await a.open("b.example")
  assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "dane"])
  await scene.eventually("B lets A in", () => b.admitted.length === 1)
  assert.equal(b.admitted[0]!.verdict.by, "dane")
  await scene.close()
})

test("the same two without signatures are refused, or fall back to dialback where policy allows it", async () => {
  const { scene, dns, server, promise, close } = place()
  dns.rules.set(".example", "insecure")
  const a = await server("a.example", { certificate: aCertificate })
  await server("b.example", { certificate: bCertificate })
  promise("b.example", tlsaRow(bCertificate))
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.equal(failure.finding, "cert.self-signed")
  assert.deepEqual(dns.tlsaAsked().filter((name) => name.includes("_5269")), [])
  const easy = await server("c.example", { require: "encrypted" })
  const stream = await scene.until(easy.open("b.example"))
  assert.equal(stream.association.level, "encrypted")
  await close()
})

test("DANE-10: a stale TLSA record refuses the server though PKIX holds; a prooftype that does not bind lets it pass", async () => {
  const weak: AnyProoftype = { ...dane, binding: () => false }
  for (const [prooftypes, refused] of [[[pkix, weak], false], [both, true]] as const) {
    const { scene, server, promise, close } = place()
    const a = await server("a.example", { prooftypes })
    const b = await server("b.example")
    promise("b.example", tlsaRow(own("b.example")))
    const attempt = a.open("b.example")
    if (refused) {
      const { failure } = await scene.until(refusedBy(attempt))
      assert.equal(failure.finding, "dane.mismatch")
      assert.match(failure.detail, /^_5269\._tcp\.host\.b\.example: .*3 1 1 [0-9a-f]{64}$/)
      assert.deepEqual(failure.evidence?.().map(({ prooftype, verdict }) => [prooftype, verdict.outcome]), [["pkix", "proved"], ["dane", "refuted"]])
      await scene.settle()
      assert.equal(b.admitted.length, 0)
    } else assert.equal((await scene.until(attempt)).association.level, "authenticated")
    await close()
  }
})

test("a wildcard certificate that PKIX believes does not outweigh TLSA", async () => {
  const { scene, server, promise, close } = place()
  const a = await server("a.example")
  await server("b.example", { certificate: good("*.example") })
  promise("b.example", tlsaRow(bCertificate))
  assert.equal((await scene.until(refusedBy(a.open("b.example")))).failure.finding, "dane.mismatch")
  await close()
})

test("DANE-13, DANE-14: a host's own certificate proves the domain where SRV is signed, and only there", async () => {
  for (const [rule, expected] of [["secure", "authenticated"], ["insecure", "pkix.name-mismatch"]] as const) {
    const { scene, dns, server, close } = place()
    dns.rules.set("_xmpp-server._tcp.b.example SRV", rule)
    const a = await server("a.example")
    await server("b.example", { certificate: good("host.b.example") })
    const result = await scene.until(a.open("b.example").then(({ association }) => association.level, (error: { failure: { finding: string } }) => error.failure.finding))
    assert.equal(result, expected)
    await close()
  }
})

test("DANE-02: bogus SRV ends the attempt: nobody is connected to, not even the domain's own address", async () => {
  const { scene, dns, server, close } = place()
  const a = await server("a.example")
  const b = await server("b.example")
  scene.dns("b.example", { A: [b.address.address] })
  dns.rules.set("_xmpp-server._tcp.b.example SRV", "bogus")
  const { failure } = await scene.until(refusedBy(a.open("b.example")))
  assert.equal(failure.finding, "dns.bogus")
  assert.equal(failure.kind, "unreachable")
  assert.equal(scene.world.connections.length, 0)
  await close()
})

test("DANE-11: a server whose TLSA answer is bogus gets not one byte; the next one of the domain is taken", async () => {
  for (const rule of ["bogus", "fails"] as const) {
    const { scene, dns, server, close } = place()
    const a = await server("a.example")
    const b = await server("b.example", { unlisted: true })
    const first = scene.world.host("127.0.0.99")
    const heard = new Recorder()
    await first.listen.listen({ address: "127.0.0.99", port: 5269 }, (channel) => {
      channel.attach(heard)
      channel.resume()
    })
    scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "one.b.example"], [1, 0, b.address.port, "two.b.example"]] })
    scene.dns("one.b.example", { A: ["127.0.0.99"] })
    scene.dns("two.b.example", { A: [b.address.address] })
    dns.rules.set("_5269._tcp.one.b.example TLSA", rule)
    const stream = await scene.until(a.open("b.example"))
    assert.equal(stream.remote.address, b.address.address)
    assert.equal(heard.text, "")
    dns.rules.set("_5269._tcp.two.b.example TLSA", rule)
    const { failure } = await scene.until(refusedBy(a.open("b.example")))
    assert.equal(failure.finding, rule === "bogus" ? "dane.tlsa-bogus" : "dane.tlsa-failed")
    assert.equal(failure.retryable, true)
    assert.deepEqual(failure.verdicts.map(({ outcome, by }) => [by, outcome]), [["dane", "unavailable"]])
    assert.equal(heard.text, "")
    await close()
  }
})

test("a mismatch at the first server leads to the next (security.md 4: stop ends an endpoint)", async () => {
  const { scene, server, close } = place()
  const a = await server("a.example")
  const b = await server("b.example", { unlisted: true })
  const imposter = await server("c.example", { certificate: () => good("b.example"), domains: ["b.example"], unlisted: true })
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "one.b.example"], [1, 0, 5269, "two.b.example"]] })
  scene.dns("one.b.example", { A: [imposter.address.address] })
  scene.dns("two.b.example", { A: [b.address.address] })
  scene.dns("_5269._tcp.one.b.example", { TLSA: [tlsaRow(bCertificate)] })
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.remote.address, b.address.address)
  assert.deepEqual(a.of("proof").flatMap(({ verdict }) => (verdict.by === "dane" ? [verdict.outcome] : [])), ["refuted", "absent"])
  await close()
})

/** A server that offers dialback and no TLS. */
async function plaintextServer(scene: ReturnType<typeof memoryScene>, address: string): Promise<void> {
  await scene.world.host(address).listen.listen({ address, port: 5269 }, (channel) => {
    const heard = new Recorder()
    channel.attach({
      chunk: (bytes) => {
        heard.chunk(bytes)
        if (heard.text.includes("<stream:stream") && !heard.text.includes("<db:result")) {
          channel.write(Buffer.from("<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='b.example' to='a.example' id='x' version='1.0'><stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>"))
        }
        if (heard.text.includes("<starttls")) channel.write(Buffer.from("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"))
        if (heard.text.includes("<db:result")) channel.write(Buffer.from("<db:result from='b.example' to='a.example' type='valid'/>"))
      },
      drain: () => {},
      end: () => {},
      close: () => {},
    })
    channel.resume()
  })
}

test("DANE-33: whoever publishes TLSA has promised TLS: taking STARTTLS away gains nothing, even unusable records count", async () => {
  const stranger = own("b.example")
  for (const [rows, expected] of [
    [[], "verified"],
    [[tlsaRow(stranger)], "tls.not-offered"],
    [[[77, 1, 1, "00"]], "tls.not-offered"],
  ] as const) {
    const { scene, server, close } = place()
    const a = await server("a.example", { require: "verified" })
    await plaintextServer(scene, "127.0.0.98")
    scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "host.b.example"]] })
    scene.dns("host.b.example", { A: ["127.0.0.98"] })
    if (rows.length > 0) scene.dns("_5269._tcp.host.b.example", { TLSA: rows })
    const result = await scene.until(a.open("b.example").then(({ association }) => association.level, (error: { failure: { finding: string } }) => error.failure.finding))
    assert.equal(result, expected)
    await close()
  }
})

test("a prooftype that binds stops an endpoint without TLS as it stops one with it, whatever the level", async () => {
  for (const [binding, expected] of [[false, "verified"], [true, "cert.none-shown"]] as const) {
    const { scene, server, close } = place()
    const refuting: AnyProoftype = {
      ...pkix,
      name: "mine",
      match: () => ({ outcome: "refuted", by: "mine", finding: "cert.none-shown", detail: "nothing was shown" }),
      binding: () => binding,
    }
    const a = await server("a.example", { require: "verified", prooftypes: [pkix, refuting] })
    await plaintextServer(scene, "127.0.0.98")
    scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "host.b.example"]] })
    scene.dns("host.b.example", { A: ["127.0.0.98"] })
    const result = await scene.until(a.open("b.example").then(({ association }) => association.level, (error: { failure: { finding: string } }) => error.failure.finding))
    assert.equal(result, expected)
    await close()
  }
})

test("claims for single labels and special names buy no lookup; those for others do", async () => {
  for (const [name, lookups] of [["a.example", true], ["intranet", false], ["a.internal", false], ["a.localhost", false]] as const) {
    const { scene, dns, server, close } = place()
    const b = await server("b.example", { require: "encrypted" })
    const peer = await scene.raw(b)
    await peer.upToFeatures(name, "b.example", credentialsOf(own("x.example")))
    assert.equal(dns.asked.length > 0, lookups, `${name}: ${dns.asked.join(", ")}`)
    await close()
  }
})

test("DANC-4, DANC-6: a domain that connects is proved by its records for clients, whose mismatch stops it", async () => {
  for (const [row, admitted, finding] of [[tlsaRow(aCertificate), 1, []], [tlsaRow(bCertificate), 0, ["dane.client-mismatch"]]] as const) {
    const { scene, server, close } = place()
    const a = await server("a.example", { certificate: aCertificate })
    const b = await server("b.example", { require: "encrypted" })
    scene.dns("_xmpp-server.a.example", { TLSA: [row] })
    const result = await scene.until(a.open("b.example").then(() => "open", () => "refused"))
    await scene.settle()
    assert.deepEqual([result, b.admitted.length, b.findings], [admitted === 1 ? "open" : "refused", admitted, finding])
    if (admitted === 1) assert.deepEqual([b.admitted[0]!.verdict.by, b.admitted[0]!.level], ["dane", "authenticated"])
    await close()
  }
})

async function connected(scene: ReturnType<typeof memoryScene>, to: Awaited<ReturnType<ReturnType<typeof place>["server"]>>, certificate = aCertificate): Promise<RawPeer> {
  const peer = await scene.raw(to)
  await peer.upToFeatures("a.example", "b.example", credentialsOf(certificate))
  return peer
}

test("security.md 18: a stream header buys no lookup, nor does a certificate that PKIX proves", async () => {
  const { scene, dns, server, close } = place()
  const b = await server("b.example", { require: "encrypted" })
  const silent = await scene.raw(b)
  await silent.upToFeatures("a.example", "b.example", undefined)
  assert.deepEqual(dns.asked, [])
  assert.match(await (await connected(scene, b, good("a.example"))).text, /EXTERNAL/)
  assert.deepEqual(dns.asked, [])
  await connected(scene, b)
  assert.deepEqual(dns.tlsaAsked().slice(0, 1), ["_xmpp-server.a.example TLSA"])
  await close()
})

test("security.md 18: silent DNS holds the features back for five seconds, and then there is no EXTERNAL", async () => {
  const { scene, dns, server, close } = place()
  const b = await server("b.example", { require: "encrypted" })
  dns.rules.set(".a.example", "silent")
  const began = scene.clock.now()
  const peer = await scene.until(connected(scene, b))
  assert.ok(scene.clock.now() - began >= 5000 && scene.clock.now() - began < 6000, String(scene.clock.now() - began))
  assert.doesNotMatch(peer.text, /EXTERNAL/)
  assert.match(peer.text, /dialback/)
  await close()
})

test("security.md 1: the relay: a key that a proven server confirms lifts the asserting stream to `encrypted` and no higher", async () => {
  const thief = own("x.example")
  for (const [require, shown, expected] of [
    ["encrypted", thief, "encrypted"],
    ["authenticated", thief, undefined],
    // Whoever holds the very key that the records promise needs nobody's confirmation.
    ["encrypted", "the same", "authenticated"],
  ] as const) {
    const { scene, server, promise, close } = place()
    const named = own("a.example")
    const a = await server("a.example", { certificate: named })
    const b = await server("b.example", { require })
    promise("a.example", tlsaRow(named))
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", credentialsOf(shown === "the same" ? named : shown))
    // What the thief got out of A by repeating B's stream id to it: a good key for a stream that is not A's.
    const key = a.federation.keys.issue({ sender: a.name, target: b.name }, peer.id)
    peer.send(`<db:result from='a.example' to='b.example'>${key}</db:result>`)
    await scene.eventually("an answer", () => /<db:result[^>]* type=/.test(peer.text))
    assert.match(peer.text, expected === undefined ? /type='error'/ : /type='valid'/)
    assert.equal(b.admitted[0]?.level, expected)
    if (expected === "encrypted") {
      const { via } = b.admitted[0]!
      assert.ok(typeof via === "object")
      assert.deepEqual([via.authoritative.level, via.authoritative.verdict.by], ["authenticated", "dane"], "the stream to A was proved as well as can be")
    }
    await close()
  }
})

test("one domain's TLSA never vouches for another on the same stream", async () => {
  const { scene, server, close } = place()
  const b = await server("b.example", { require: "authenticated" })
  scene.dns("_xmpp-server.a.example", { TLSA: [tlsaRow(aCertificate)] })
  scene.dns("_xmpp-server.c.example", { TLSA: [tlsaRow(aCertificate)] })
  scene.dns("_xmpp-server.d.example", { TLSA: [tlsaRow(bCertificate)] })
  const peer = await scene.raw(b)
  await scene.until(peer.authenticated("a.example", "b.example", credentialsOf(aCertificate)))
  assert.deepEqual(b.admitted.map(({ pair }) => pair.sender), ["a.example"])
  const claim = async (sender: string) => {
    const before = peer.text.length
    peer.send(`<db:result from='${sender}' to='b.example'>k</db:result>`)
    await scene.eventually("an answer", () => /<db:result/.test(peer.text.slice(before)))
    return /type='([a-z]+)'/.exec(peer.text.slice(before))![1]
  }
  // Its own records prove it, at once and without asking its server.
  assert.equal(await claim("c.example"), "valid")
  assert.equal(b.of("dialback").filter(({ step }) => step === "verify-sent").length, 0)
  // Another key is promised, or none: what a.example promises does not count.
  assert.equal(await claim("d.example"), "error")
  assert.equal(await claim("e.example"), "error")
  assert.deepEqual(b.admitted.map(({ pair }) => pair.sender), ["a.example", "c.example"])
  peer.send("<message from='x@e.example' to='y@b.example'><body>no</body></message>")
  await peer.closed()
  assert.equal(peer.condition, "invalid-from")
  assert.equal(b.delivered.length, 0)
  await close()
})

test("an authority promised for one domain does not certify another (security.md 8)", async () => {
  const { scene, server, promise, close } = place()
  const a = await server("a.example")
  await server("b.example", { certificate: good("b.example") })
  await server("c.example", { certificate: good("b.example") })
  const row = tlsaRow(authority.certificate, "2 1 0")
  for (const name of ["b.example", "c.example"]) promise(name, row)
  assert.equal((await scene.until(a.open("b.example"))).association.level, "authenticated")
  assert.equal((await scene.until(refusedBy(a.open("c.example")))).failure.finding, "dane.name-mismatch")
  await close()
})
