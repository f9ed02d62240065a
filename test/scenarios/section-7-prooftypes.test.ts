// Seed section 7, RFC 7712 5: the prooftypes. PKIX, DANE (7.1) and POSH (7.2) prove a domain each alone and all together.
import assert from "node:assert/strict"
import { test } from "node:test"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { createPosh } from "../../src/proof/posh.ts"
import { PoshMemory } from "../../src/proof/posh-memory.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { Webs } from "./posh-web.ts"
import { SignedDns, tlsaRow } from "./signed-dns.ts"
import { good, memoryScene, own, refusedBy } from "./support.ts"

/** B's certificate, signed by itself: nobody but B's own DNS or web server can say that it is B's. */
const selfMade = own("b.example")

/** What B's owner has set up besides the server, and what A asks for. */
interface Setting {
  readonly authority?: boolean
  readonly tlsa?: "right" | "of another key"
  readonly posh?: "right" | "of another certificate"
  readonly asks: readonly ("pkix" | "dane" | "posh")[]
}

async function meet({ authority, tlsa, posh, asks }: Setting) {
  const scene = memoryScene()
  const dns = new SignedDns()
  const webs = new Webs(scene)
  const certificate = authority === true ? good("b.example") : selfMade
  const other = own("b.example")
  if (tlsa !== undefined) scene.dns("_5269._tcp.host.b.example", { TLSA: [tlsaRow(tlsa === "right" ? certificate : other)] })
  if (posh !== undefined) await webs.publish("b.example", posh === "right" ? certificate : other)
  const all: Readonly<Record<string, AnyProoftype>> = { pkix, dane, posh: createPosh({ memory: new PoshMemory(scene.clock) }) }
  const a = await scene.server({ domains: ["a.example"], prooftypes: asks.map((name) => all[name]!), ports: dns.ports })
  await scene.server({ domains: ["b.example"], certificate })
  return {
    scene,
    webs,
    a,
    dns,
    close: async () => {
      await webs.close()
      await scene.close()
    },
  }
}

const proved: readonly (readonly [name: string, setting: Setting, by: readonly string[]])[] = [
  ["S7.1.1: PKIX alone: an authority whose root A has beforehand; no DNS security is needed", { authority: true, asks: ["pkix"] }, ["pkix"]],
  ["S7.1.2: DANE alone: signed DNS names the key of a certificate that nobody issued", { tlsa: "right", asks: ["dane"] }, ["dane"]],
  ["S7.2.1: POSH alone: the domain's web server names the certificate; no DNS security is needed", { posh: "right", asks: ["posh"] }, ["posh"]],
  ["S7.1.1, S7.1.2, S7.2.1: all three together, each says the same", { authority: true, tlsa: "right", posh: "right", asks: ["pkix", "dane", "posh"] }, ["pkix", "dane"]],
  ["S7.1.2: all three are asked, only DANE has something to say", { tlsa: "right", asks: ["pkix", "dane", "posh"] }, ["dane"]],
  ["S7.2.1: all three are asked, only POSH has something to say", { posh: "right", asks: ["pkix", "dane", "posh"] }, ["posh"]],
]

for (const [name, setting, by] of proved)
  test(name, async () => {
    const { scene, a, dns, webs, close } = await meet(setting)
    if (!setting.asks.includes("dane")) dns.rules.set(".example", "insecure")
    const stream = await scene.until(a.open("b.example"))
    assert.equal(stream.association.level, "authenticated")
    assert.deepEqual(stream.association.verdicts.flatMap((verdict) => (verdict.outcome === "proved" ? [verdict.by] : [])), by)
    if (setting.asks.includes("posh")) assert.ok(webs.requests.length <= 1, "a document is asked for once at most")
    await close()
  })

const refused: readonly (readonly [name: string, setting: Setting, finding: string])[] = [
  ["S7.1.1: without an authority PKIX proves nothing", { asks: ["pkix"] }, "cert.self-signed"],
  ["S7.1.2: DANE that names another key stops the connection, whatever PKIX and POSH say", { authority: true, tlsa: "of another key", posh: "right", asks: ["pkix", "dane", "posh"] }, "dane.mismatch"],
  ["S7.2.1: a document that names another certificate proves nothing", { posh: "of another certificate", asks: ["posh"] }, "posh.mismatch"],
]

for (const [name, setting, finding] of refused)
  test(name, async () => {
    const { scene, a, close } = await meet(setting)
    assert.equal((await scene.until(refusedBy(a.open("b.example")))).failure.finding, finding)
    await close()
  })

test("S7.2.1: a document for one certificate is no matter where an authority vouches for another", async () => {
  const { scene, a, close } = await meet({ authority: true, posh: "of another certificate", asks: ["pkix", "posh"] })
  assert.equal((await scene.until(a.open("b.example"))).association.verdict.by, "pkix")
  await close()
})

test("S7.1.1, S7.1.2, S7.2.1: only DANE needs secure DNS, and without it says nothing at all", async () => {
  assert.deepEqual([pkix, dane, createPosh({ memory: new PoshMemory(memoryScene().clock) })].map(({ name, needsSecureDns }) => [name, needsSecureDns]), [["pkix", false], ["dane", true], ["posh", false]])
  const { scene, a, dns, close } = await meet({ tlsa: "right", asks: ["dane"] })
  dns.rules.set(".example", "insecure")
  assert.equal((await scene.until(refusedBy(a.open("b.example")))).failure.verdicts[0]?.outcome, "absent")
  await close()
})
