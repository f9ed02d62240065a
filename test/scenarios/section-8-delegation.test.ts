// Seed section 8, RFC 7712 6: secure delegation. A domain lives on a hoster's server; who says so decides whether that counts.
import assert from "node:assert/strict"
import { test } from "node:test"
import { dane } from "../../src/proof/dane.ts"
import { documentOf, poshPath, redirectTo, referenceTo, Webs, withPosh } from "./posh-web.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"
import { good, memoryScene, message, own, refusedBy } from "./support.ts"

const customers = ["one.example", "two.example"]
/** The hoster has one certificate, for its own name, and shows it for every customer. */
const issued = good("hoster.example")
const selfMade = own("hoster.example")

async function place(certificate = issued) {
  const scene = memoryScene()
  const dns = new SignedDns()
  const webs = new Webs(scene)
  const a = await scene.server({ domains: ["a.example"], prooftypes: withPosh(scene, dane), ports: dns.ports })
  const hoster = await scene.server({ domains: customers, certificate: () => certificate, unlisted: true })
  scene.dns("hoster.example", { A: [hoster.address.address] })
  for (const name of customers) scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, hoster.address.port, "hoster.example"]] })
  const close = async () => {
    await webs.close()
    await scene.close()
  }
  return { scene, dns, webs, a, hoster, close }
}

test("S8.1, S2.1: unsigned SRV leads to the hoster, and the hoster's name proves the customer nothing", async () => {
  const { scene, dns, a, hoster, close } = await place()
  dns.rules.set(".example", "insecure")
  for (const name of customers) {
    const { failure } = await scene.until(refusedBy(a.open(name)))
    assert.equal(failure.finding, "pkix.name-mismatch")
    assert.match(failure.detail, new RegExp(`for hoster\\.example, wanted ${name.replace(".", "\\.")}`))
  }
  assert.deepEqual(hoster.admitted, [])
  await close()
})

test("S8.1: with signed SRV it does: DNSSEC delegates, and the hoster's certificate holds for every customer", async () => {
  const { scene, a, hoster, close } = await place()
  for (const name of customers) {
    const stream = await scene.until(a.open(name))
    assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "pkix"])
    stream.channel.write(message("x@a.example", `y@${name}`, name))
  }
  await scene.settle()
  assert.deepEqual(hoster.bodies, customers)
  await close()
})

test("S8.1: signed SRV and one TLSA record of the hoster: no authority is needed, for any number of customers", async () => {
  const { scene, a, hoster, close } = await place(selfMade)
  scene.dns(`_${hoster.address.port}._tcp.hoster.example`, { TLSA: [tlsaRow(selfMade)] })
  for (const name of customers) assert.equal((await scene.until(a.open(name))).association.verdict.by, "dane")
  await close()
})

test("S8.1: bogus SRV delegates to nobody: not one connection is made", async () => {
  const { scene, dns, a, close } = await place()
  dns.rules.set("_xmpp-server._tcp.one.example SRV", "bogus")
  assert.equal((await scene.until(refusedBy(a.open("one.example")))).failure.finding, "dns.bogus")
  assert.equal(scene.world.connections.length, 0)
  await close()
})

const hosters = `https://hoster.example${poshPath}`
const ways = [
  ["an HTTPS redirect", redirectTo(hosters)],
  ["a document that refers to the hoster's", referenceTo(hosters)],
] as const

for (const [what, reply] of ways)
  test(`S8.1: POSH delegates by ${what}, with unsigned DNS; whoever has not delegated is refused`, async () => {
    const { scene, dns, webs, a, hoster, close } = await place(selfMade)
    dns.rules.set(".example", "insecure")
    await webs.host("one.example")
    webs.page("one.example", reply)
    await webs.host("hoster.example")
    webs.page("hoster.example", documentOf([selfMade]))
    // The web server has the hoster's name now; XMPP is where it was.
    scene.dns("host.hoster.example", { A: [hoster.address.address] })
    for (const name of customers) scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, hoster.address.port, "host.hoster.example"]] })
    const stream = await scene.until(a.open("one.example"))
    assert.deepEqual([stream.association.level, stream.association.verdict.by], ["authenticated", "posh"])
    assert.equal((await scene.until(refusedBy(a.open("two.example")))).failure.kind, "refused")
    await close()
  })

test("S8.1: what one customer delegates speaks for no other on the same server", async () => {
  const { scene, dns, a, close } = await place()
  dns.rules.set("_xmpp-server._tcp.two.example SRV", "insecure")
  dns.rules.set("_xmpps-server._tcp.two.example SRV", "insecure")
  assert.equal((await scene.until(a.open("one.example"))).association.level, "authenticated")
  assert.equal((await scene.until(refusedBy(a.open("two.example")))).failure.finding, "pkix.name-mismatch")
  await close()
})
