// What DNS said grows old under living streams (DANE-30; security.md 10, 11): asked again hourly at most, with grace where the
// world is silent, never past the end; and judged again at a reload.
import assert from "node:assert/strict"
import { test } from "node:test"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { credentialsOf, memoryScene, own, type ServerOptions } from "./support.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"

const both: readonly AnyProoftype[] = [pkix, dane]
const minute = 60_000
const hour = 60 * minute
const aCertificate = own("a.example", { names: {}, commonName: "A" })
const bCertificate = own("b.example", { names: {}, commonName: "B" })
const other = own("b.example")
const bTlsa = "_5269._tcp.host.b.example"

async function pair(a: Partial<ServerOptions> = {}, b: Partial<ServerOptions> = {}) {
  const scene = memoryScene()
  const dns = new SignedDns()
  const setUp = (name: string, certificate: typeof aCertificate, more: Partial<ServerOptions>) => scene.server({ domains: [name], prooftypes: both, ports: dns.ports, certificate, ...more })
  const [from, to] = [await setUp("a.example", aCertificate, a), await setUp("b.example", bCertificate, b)]
  scene.dns("_xmpp-server.a.example", { TLSA: [tlsaRow(aCertificate)] })
  scene.dns(bTlsa, { TLSA: [tlsaRow(bCertificate)] })
  const stream = await scene.until(from.open("b.example"))
  await scene.eventually("B lets A in", () => to.admitted.length === 1)
  dns.asked.length = 0
  let end: string | undefined
  void stream.closed.then(({ detail }) => {
    end = detail
  })
  return { scene, dns, a: from, b: to, stream, ended: () => end, at: scene.clock.now() }
}

test("an hour of peace, then both ends ask again, and the proof goes on; nothing is asked in between", async () => {
  const { scene, dns, b, stream, ended, at } = await pair()
  assert.equal(stream.association.until, at + 75 * minute)
  await scene.clock.advance(59 * minute)
  assert.deepEqual(dns.asked, [])
  await scene.clock.advance(3 * minute)
  assert.deepEqual(dns.tlsaAsked().sort(), [`${bTlsa} TLSA`, "_5269._tcp.host.a.example TLSA", "_xmpp-server.a.example TLSA"].sort())
  assert.ok(stream.association.until >= at + 135 * minute)
  assert.ok(b.incoming[0]!.associations()[0]!.until >= at + 135 * minute)
  await scene.clock.advance(24 * hour)
  assert.equal(ended(), undefined)
  assert.equal(scene.world.connections.length, 1, "the same connection all the time")
  const rounds = dns.tlsaAsked().filter((name) => name.startsWith(bTlsa)).length
  assert.ok(rounds >= 24 && rounds <= 26, `${rounds} rounds in 25 hours`)
  await scene.close()
})

test("a key rolled over in good order: the old one beside the new one keeps the stream, the new one alone ends it", async () => {
  const { scene, a, ended } = await pair()
  scene.dns(bTlsa, { TLSA: [tlsaRow(other), tlsaRow(bCertificate)] })
  await scene.clock.advance(2 * hour)
  assert.equal(ended(), undefined)
  scene.dns(bTlsa, { TLSA: [tlsaRow(other)] })
  await scene.clock.advance(62 * minute)
  assert.match(ended() ?? "", /\[dane\.mismatch\]/)
  assert.deepEqual(a.findings, ["dane.mismatch"])
  await scene.close()
})

test("records taken away, proven: what rested on them ends", async () => {
  const { scene, ended, a } = await pair()
  scene.dns(bTlsa, undefined)
  await scene.clock.advance(62 * minute)
  assert.notEqual(ended(), undefined)
  assert.deepEqual(a.findings.length, 1)
  await scene.close()
})

for (const rule of ["bogus", "fails", "silent"] as const) {
  test(`DNS that is ${rule} takes nothing away before the proof ends, and then everything`, async () => {
    const { scene, dns, stream, ended, a } = await pair()
    const { until } = stream.association
    dns.rules.set(`${bTlsa} TLSA`, rule)
    await scene.clock.advance(74 * minute)
    assert.equal(ended(), undefined)
    assert.equal(stream.association.until, until)
    const asked = dns.tlsaAsked().filter((name) => name.startsWith(bTlsa)).length
    assert.ok(asked >= 2 && asked <= 4, `tried ${asked} times in a quarter of an hour`)
    await scene.clock.advance(2 * minute)
    assert.match(ended() ?? "", /\[dane\.too-old\]/)
    assert.deepEqual(a.findings, ["dane.too-old"])
    await scene.close()
  })
}

test("and where DNS comes back in time, the proof goes on", async () => {
  const { scene, dns, ended } = await pair()
  dns.rules.set(`${bTlsa} TLSA`, "fails")
  await scene.clock.advance(66 * minute)
  dns.rules.delete(`${bTlsa} TLSA`)
  await scene.clock.advance(30 * minute)
  assert.equal(ended(), undefined)
  await scene.close()
})

test("signatures that end before the hour does: asked again before they end", async () => {
  const scene = memoryScene()
  const dns = new SignedDns()
  dns.signatures = 20 * minute
  const a = await scene.server({ domains: ["a.example"], prooftypes: both, ports: dns.ports })
  await scene.server({ domains: ["b.example"], certificate: bCertificate })
  scene.dns(bTlsa, { TLSA: [tlsaRow(bCertificate)] })
  const stream = await scene.until(a.open("b.example"))
  assert.equal(stream.association.until - scene.clock.now(), 20 * minute)
  await scene.clock.advance(18 * minute)
  assert.ok(stream.association.until - scene.clock.now() > 15 * minute, "renewed at three quarters")
  await scene.close()
})

test("SRV leads elsewhere now: the delegation no longer holds the stream", async () => {
  const { scene, ended, a } = await pair()
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "new.example"]] })
  scene.dns("new.example", { A: ["127.0.0.77"] })
  await scene.clock.advance(62 * minute)
  assert.notEqual(ended(), undefined)
  assert.deepEqual(a.findings, ["cert.self-signed"], "PKIX alone is left, and does not prove it")
  await scene.close()
})

test("SRV names the server as before and its addresses cannot be asked for: nobody else is named, so the proof goes on to its end", async () => {
  const { scene, dns, stream, ended, a } = await pair()
  const { until } = stream.association
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "host.b.example"], [10, 0, 5269, "new.example"]] })
  scene.dns("new.example", { A: ["127.0.0.77"] })
  for (const type of ["A", "AAAA"]) dns.rules.set(`host.b.example ${type}`, "fails")
  await scene.clock.advance(74 * minute)
  assert.deepEqual([ended(), stream.association.until, stream.association.verdict.by], [undefined, until, "dane"])
  await scene.clock.advance(2 * minute)
  assert.match(ended() ?? "", /\[dane\.too-old\]/)
  assert.deepEqual(a.findings, ["dane.too-old"])
  await scene.close()
})

test("a server behind more of its rank than are tried at once is still the domain's", async () => {
  const { scene, ended } = await pair()
  const others = Array.from({ length: 8 }, (_, index) => `more${index}.example`)
  for (const [index, name] of others.entries()) scene.dns(name, { A: [`127.0.1.${index + 1}`] })
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [...others.map((name) => [0, 0, 5269, name] as const), [1, 0, 5269, "host.b.example"]] })
  await scene.clock.advance(74 * minute)
  assert.equal(ended(), undefined)
  await scene.close()
})

test("a stream that PKIX proved meets TLSA published later: a match keeps it, a mismatch ends it", async () => {
  for (const [fits, over] of [[true, false], [false, true]] as const) {
    const scene = memoryScene()
    const dns = new SignedDns()
    const a = await scene.server({ domains: ["a.example"], prooftypes: both, ports: dns.ports })
    const b = await scene.server({ domains: ["b.example"] })
    const stream = await scene.until(a.open("b.example"))
    assert.equal(stream.association.verdict.by, "pkix")
    const [shown] = stream.association.proof!.chain
    scene.dns(bTlsa, { TLSA: [tlsaRow(fits ? { der: Buffer.from(shown!) } : other)] })
    let end: string | undefined
    void stream.closed.then(({ detail }) => {
      end = detail
    })
    await scene.clock.advance(62 * minute)
    assert.equal(end !== undefined, over)
    if (over) assert.match(end ?? "", /\[dane\.mismatch\]/)
    assert.equal(b.admitted.length, 1)
    await scene.close()
  }
})

test("SRV that led elsewhere and leads back is noticed within the hour, with what is promised there by then", async () => {
  const scene = memoryScene()
  const dns = new SignedDns()
  const a = await scene.server({ domains: ["a.example"], prooftypes: both, ports: dns.ports })
  await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.open("b.example"))
  let end: string | undefined
  void stream.closed.then(({ detail }) => {
    end = detail
  })
  const lead = (to: string) => scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, to]] })
  scene.dns("new.example", { A: ["127.0.0.77"] })
  lead("new.example")
  await scene.clock.advance(62 * minute)
  assert.equal(end, undefined, "PKIX proves it by its own name")
  lead("host.b.example")
  scene.dns(bTlsa, { TLSA: [tlsaRow(other)] })
  await scene.clock.advance(62 * minute)
  assert.match(end ?? "", /\[dane\.mismatch\]/)
  await scene.close()
})

test("a domain that connected: its records for clients change, and its stream ends", async () => {
  const { scene, b } = await pair()
  scene.dns("_xmpp-server.a.example", { TLSA: [tlsaRow(other)] })
  await scene.clock.advance(62 * minute)
  assert.deepEqual(b.findings, ["dane.client-mismatch"])
  assert.equal(b.incoming[0]!.associations().length, 0)
  assert.ok(b.of("closed").some(({ reason }) => reason.includes("dane.client-mismatch")))
  await scene.close()
})

test("a pair verified by dialback stands and falls with the stream that vouched for it", async () => {
  const scene = memoryScene()
  const dns = new SignedDns()
  const named = own("a.example")
  const a = await scene.server({ domains: ["a.example"], prooftypes: both, ports: dns.ports, certificate: named })
  const b = await scene.server({ domains: ["b.example"], prooftypes: both, ports: dns.ports, require: "encrypted" })
  scene.dns("_5269._tcp.host.a.example", { TLSA: [tlsaRow(named)] })
  const peer = await scene.raw(b)
  await peer.upToFeatures("a.example", "b.example", credentialsOf(own("x.example")))
  peer.send(`<db:result from='a.example' to='b.example'>${a.federation.keys.issue({ sender: a.name, target: b.name }, peer.id)}</db:result>`)
  await scene.eventually("verified", () => b.admitted.length === 1)
  assert.equal(b.admitted[0]!.level, "encrypted")
  await scene.clock.advance(2 * hour)
  const [held] = b.incoming[0]!.associations()
  assert.equal(held?.level, "encrypted", "renewal never lifts it")
  assert.ok(held !== undefined && held.until > scene.clock.now())
  scene.dns("_5269._tcp.host.a.example", { TLSA: [tlsaRow(other)] })
  await scene.clock.advance(62 * minute)
  assert.equal(b.incoming[0]!.associations().length, 0)
  assert.deepEqual(b.findings, ["dane.mismatch"])
  await scene.close()
})

test("reload: DANE switched off ends what rested on it alone, at once", async () => {
  const { scene, a, ended } = await pair()
  a.reload({ prooftypes: [pkix] })
  await scene.settle()
  await scene.clock.advance(1000)
  assert.notEqual(ended(), undefined)
  assert.deepEqual(a.findings, ["cert.self-signed"])
  await scene.close()
})

test("reload: DANE switched on is asked about living streams at once", async () => {
  const scene = memoryScene()
  const dns = new SignedDns()
  const a = await scene.server({ domains: ["a.example"], prooftypes: [pkix], ports: dns.ports })
  await scene.server({ domains: ["b.example"] })
  scene.dns(bTlsa, { TLSA: [tlsaRow(other)] })
  const stream = await scene.until(a.open("b.example"))
  let end: string | undefined
  void stream.closed.then(({ detail }) => {
    end = detail
  })
  a.reload({ prooftypes: both })
  await scene.clock.advance(1000)
  assert.match(end ?? "", /\[dane\.mismatch\]/)
  await scene.close()
})

test("reload keeps what was recorded: nothing is asked for, the proof keeps its end", async () => {
  const { scene, a, dns, stream, ended } = await pair()
  const { until } = stream.association
  await scene.clock.advance(10 * minute)
  a.reload({})
  await scene.clock.advance(1000)
  assert.equal(ended(), undefined)
  assert.deepEqual([dns.asked, stream.association.until, stream.association.verdict.by], [[], until, "dane"])
  await scene.close()
})

test("a stream that ends while it asks leaves nothing behind", async () => {
  const { scene, dns, stream, ended } = await pair()
  dns.rules.set(`${bTlsa} TLSA`, "silent")
  await scene.clock.advance(61 * minute)
  assert.equal(dns.tlsaAsked().includes(`${bTlsa} TLSA`), true)
  stream.close()
  await scene.clock.advance(5000)
  assert.notEqual(ended(), undefined)
  dns.asked.length = 0
  await scene.clock.advance(5 * hour)
  assert.deepEqual(dns.asked.filter((name) => name.includes("b.example")), [])
  await scene.close()
})
