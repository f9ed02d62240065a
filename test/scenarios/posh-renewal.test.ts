// POSH documents grow old under living streams (POSH-17; security.md 10, 11): asked for again from half their life on, with grace
// where the web is silent, withdrawn by what the domain says; and each prooftype by itself.
import assert from "node:assert/strict"
import { test } from "node:test"
import { dane } from "../../src/proof/dane.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { memoryScene, own, type ServerOptions } from "./support.ts"
import { documentOf, Webs, withPosh } from "./posh-web.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"

const minute = 60_000
const hour = 60 * minute
const aCertificate = own("a.example", { names: {}, commonName: "A" })
const bCertificate = own("b.example", { names: {}, commonName: "B" })
const next = own("b.example", { names: {}, commonName: "next B" })
const bTlsa = "_5269._tcp.host.b.example"

/** POSH is asked beside DANE even where DANE proves, so that both have material that ages. */
const needed = (prooftypes: readonly AnyProoftype[]): readonly AnyProoftype[] => prooftypes.map((each) => ({ ...each, dispensable: false }))

/** A, which wants B proved by POSH, and by DANE where DNS is given; B is content with little. */
async function pair(expires: number, dns?: SignedDns) {
  const scene = memoryScene()
  const webs = new Webs(scene)
  const options: Partial<ServerOptions> = dns === undefined ? { prooftypes: withPosh(scene) } : { ports: dns.ports, prooftypes: needed(withPosh(scene, dane)) }
  const a = await scene.server({ domains: ["a.example"], certificate: aCertificate, ...options })
  await scene.server({ domains: ["b.example"], require: "encrypted", certificate: bCertificate })
  await webs.host("b.example")
  webs.page("b.example", documentOf([bCertificate], expires))
  if (dns !== undefined) scene.dns(bTlsa, { TLSA: [tlsaRow(bCertificate)] })
  const stream = await scene.until(a.open("b.example"))
  let end: string | undefined
  void stream.closed.then(({ detail }) => {
    end = detail
  })
  const close = async () => {
    await webs.close()
    await scene.close()
  }
  return { scene, webs, stream, ended: () => end, at: scene.clock.now(), close }
}

test("asked for again at half its life, and the proof goes on, on the same connection", async () => {
  const { scene, webs, stream, ended, at, close } = await pair(8 * 3600)
  assert.equal(stream.association.until, at + 8 * hour)
  await scene.clock.advance(4 * hour - minute)
  assert.equal(webs.requests.length, 1)
  await scene.clock.advance(2 * minute)
  assert.equal(webs.requests.length, 2)
  assert.ok(stream.association.until >= at + 12 * hour)
  await scene.clock.advance(48 * hour)
  assert.equal(ended(), undefined)
  assert.equal(webs.requests.length, 14, "every four hours")
  await close()
})

test("a rollover in good order: both listed, then the old one gone after the switch, and no stream is refused", async () => {
  const { scene, webs, ended, close } = await pair(8 * 3600)
  webs.page("b.example", documentOf([next, bCertificate], 8 * 3600))
  await scene.clock.advance(10 * hour)
  assert.equal(ended(), undefined)
  webs.page("b.example", documentOf([next], 8 * 3600))
  await scene.clock.advance(5 * hour)
  assert.match(ended() ?? "", /\[(posh\.mismatch|cert\.self-signed)\]/)
  await close()
})

for (const [what, reply, finding] of [
  ["404", undefined, "posh.not-published"],
  ["an `expires` of 0", documentOf([bCertificate], 0), "posh.expired"],
] as const)
  test(`withdrawn by ${what}: the stream ends when the domain has said so`, async () => {
    const { scene, webs, stream, ended, close } = await pair(8 * 3600)
    webs.page("b.example", reply)
    await scene.clock.advance(4 * hour - minute)
    assert.equal(ended(), undefined)
    await scene.clock.advance(2 * minute)
    assert.match(ended() ?? "", new RegExp(`\\[(${finding}|cert.self-signed)\\]`))
    await assert.doesNotReject(stream.closed)
    await close()
  })

test("security.md 11: where the web is silent the older document serves until its own end, and not a moment longer", async () => {
  const { scene, webs, ended, at, close } = await pair(8 * 3600)
  webs.page("b.example", { status: 503 })
  await scene.clock.advance(at + 8 * hour - scene.clock.now() - 1000)
  assert.equal(ended(), undefined)
  const tries = webs.requests.length
  assert.ok(tries > 10 && tries < 60, `${tries} requests: every five minutes`)
  await scene.clock.advance(2000)
  assert.match(ended() ?? "", /\[cert\.self-signed\]/)
  await close()
})

test("it comes back in time: nothing was lost", async () => {
  const { scene, webs, ended, stream, at, close } = await pair(8 * 3600)
  webs.page("b.example", { status: 503 })
  await scene.clock.advance(7 * hour)
  webs.page("b.example", documentOf([bCertificate], 8 * 3600))
  await scene.clock.advance(10 * minute)
  assert.ok(stream.association.until >= at + 14 * hour)
  await scene.clock.advance(2 * hour)
  assert.equal(ended(), undefined)
  await close()
})

test("a stream that PKIX proves asks for no document, then or later", async () => {
  const scene = memoryScene()
  const webs = new Webs(scene)
  const a = await scene.server({ domains: ["a.example"], prooftypes: withPosh(scene) })
  await scene.server({ domains: ["b.example"] })
  await webs.publish("b.example", bCertificate)
  const stream = await scene.until(a.open("b.example"))
  const before = webs.requests.length
  assert.ok(before <= 2)
  await scene.clock.advance(12 * hour)
  assert.equal(webs.requests.length, before)
  assert.equal(stream.association.verdict.by, "pkix")
  await webs.close()
  await scene.close()
})

test("each prooftype by itself: the web is silent, DANE goes on; DNS is silent, POSH goes on until DANE's end binds", async () => {
  const dns = new SignedDns()
  const { scene, webs, stream, ended, at, close } = await pair(8 * 3600, dns)
  webs.page("b.example", { status: 503 })
  await scene.clock.advance(12 * hour)
  assert.equal(ended(), undefined)
  const verdict = stream.association.verdict
  assert.ok(verdict.outcome === "proved" && verdict.by === "dane" && verdict.until > at + 12 * hour, JSON.stringify(verdict))
  webs.page("b.example", documentOf([bCertificate], 48 * 3600))
  await scene.clock.advance(2 * hour)
  assert.equal(ended(), undefined)
  dns.rules.set(bTlsa.concat(" TLSA"), "fails")
  await scene.clock.advance(3 * hour)
  // DANE-11: a promise that cannot be read any more is no reason to go on without it.
  assert.match(ended() ?? "", /\[dane\.too-old\]/)
  await close()
})

test("each prooftype by itself: TLSA withdrawn in good order leaves the stream to POSH", async () => {
  const { scene, webs, stream, ended, close } = await pair(48 * 3600, new SignedDns())
  scene.dns(bTlsa, undefined)
  await scene.clock.advance(3 * hour)
  assert.equal(ended(), undefined)
  assert.equal(stream.association.verdict.by, "posh")
  assert.ok(webs.requests.length <= 3, "the document has an age of its own")
  await close()
})
