// Attacks on POSH (security.md 5, 9, 17, 18; POSH-01, POSH-14, POSH-20, POSH-27): each succeeds where the rule it meets is missing, and is
// refused by ours.
import assert from "node:assert/strict"
import { test } from "node:test"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import { ClaimGuard, defaultClaimLimits } from "../../src/federation/claim-guard.ts"
import type { FederationPorts } from "../../src/federation/contract.ts"
import type { Https, HttpsRequest } from "../../src/ports.ts"
import type { Verdict } from "../../src/model/verdict.ts"
import { createPosh, posh } from "../../src/proof/posh.ts"
import { pkix } from "../../src/proof/pkix.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"
import { credentialsOf, domain, good, memoryScene, own, start, type MemoryScene, type ServerOptions } from "../scenarios/support.ts"
import { saidBy } from "../proof/posh-support.ts"
import { documentOf, redirectTo, referenceTo, Webs, withPosh } from "../scenarios/posh-web.ts"

const victim = own("victim.example", { names: {}, commonName: "victim" })
const thief = own("thief.example", { names: {}, commonName: "thief" })

interface Failed {
  readonly failure: { readonly verdicts: readonly Verdict[] }
}

/** What comes of A's stream to victim.example, where the thief's server answers: a level, or what POSH says. */
async function connectionTo(scene: MemoryScene, certificate: ServerOptions["certificate"], options: Partial<ServerOptions>): Promise<string> {
  const a = await scene.server({ domains: ["a.example"], prooftypes: withPosh(scene), ...options })
  await scene.server({ domains: ["victim.example"], certificate: certificate ?? null, prooftypes: [pkix] })
  return await scene.until(a.open("victim.example").then(({ association }) => association.level, ({ failure }: Failed) => failure.verdicts.map(saidBy).at(-1) ?? "nothing"))
}

/** The Https port with something changed: what a careless client would do. */
const over = (change: (https: Https) => Https["get"]) => (ports: FederationPorts): FederationPorts => ({ ...ports, https: { get: change(ports.https) } })

test("attack: the PKIX-valid certificate of the host that a document was redirected to, which the document does not list", async () => {
  const hostsCertificate = good("cdn.example")
  // A reader for whom the delegation by redirect adds a name to accept.
  const addsTheHost: AnyProoftype = {
    ...posh,
    match(proof, material, reference, at) {
      const honest = posh.match(proof, material, reference, at)
      if (honest.outcome === "proved") return honest
      const hosts = material.exchanges.map(({ url }: { url: string }) => ({ type: "DNS-ID" as const, value: new URL(url).hostname, because: "source" as const }))
      return { ...pkix.match(proof, { anchors: material.anchors }, { ...reference, accept: hosts }, at), by: "posh" }
    },
  }
  for (const [prooftypes, expected] of [[[pkix, addsTheHost], "authenticated"], [[pkix, posh], "refuted posh.mismatch"]] as const) {
    const scene = memoryScene()
    const webs = new Webs(scene)
    await webs.host("victim.example")
    await webs.host("cdn.example", hostsCertificate)
    webs.page("victim.example", redirectTo("https://cdn.example/victim.json"))
    webs.page("cdn.example", documentOf([victim]), "/victim.json")
    assert.equal(await connectionTo(scene, hostsCertificate, { prooftypes }), expected)
    await webs.close()
    await scene.close()
  }
})

test("attack: somebody on the path answers for the victim's web host with a certificate of another name", async () => {
  // Takes any certificate for the right one.
  const careless = over((https) => async (request) => {
    const { chain } = good(request.host)
    const answer = await https.get({ ...request, accept: (facts) => request.accept({ ...facts, chain }) })
    return { ...answer, facts: { ...answer.facts, chain } }
  })
  for (const [ports, expected] of [[careless, "authenticated"], [undefined, "unavailable posh.tls-error"]] as const) {
    const scene = memoryScene()
    const webs = new Webs(scene)
    const host = await webs.host("victim.example", good("thief.example"))
    webs.page("victim.example", documentOf([thief]))
    assert.equal(await connectionTo(scene, thief, ports === undefined ? {} : { ports }), expected)
    assert.equal(host.requests.length, ports === undefined ? 0 : 1, "nothing is asked of a server that is not the domain's")
    await webs.close()
    await scene.close()
  }
})

test("attack: a hop over http:, where anybody can answer", async () => {
  // A client that follows wherever it leads; somebody on the path answers as if it were that host.
  const follows = over((https) => async (request) => {
    const answer = await https.get(request)
    return { ...answer, location: answer.location?.replace(/^http:/, "https:") }
  })
  for (const how of ["redirect", "reference"] as const) {
    for (const [ports, expected] of [[follows, how === "redirect" ? "authenticated" : "unavailable posh.redirect-insecure"], [undefined, "unavailable posh.redirect-insecure"]] as const) {
      const scene = memoryScene()
      const webs = new Webs(scene)
      await webs.host("victim.example")
      await webs.host("hoster.example")
      webs.page("victim.example", how === "redirect" ? redirectTo("http://hoster.example/v.json") : referenceTo("http://hoster.example/v.json"))
      webs.page("hoster.example", documentOf([thief]), "/v.json")
      assert.equal(await connectionTo(scene, thief, ports === undefined ? {} : { ports }), expected)
      await webs.close()
      await scene.close()
    }
  }
})

const everywhere: ReachPolicy = { networks: [parseCidr("0.0.0.0/0"), parseCidr("::/0")], names: ["example", "internal"], ownListeners: [] }
const internal = "10.1.2.3"

for (const [how, inside, leadsOn] of [
  ["an A record of its own", "thief.example", undefined],
  ["a redirect", "inner.example", redirectTo("https://inner.example/admin")],
  ["a reference", "inner.example", referenceTo("https://inner.example/admin")],
  ["a redirect to a name of the inside", "wiki.internal", redirectTo("https://wiki.internal/admin")],
] as const)
  test(`attack: a stranger sends us to an address of the inside by ${how}`, async () => {
    const reached = async (reach: ReachPolicy | undefined): Promise<readonly string[]> => {
      const scene = memoryScene(reach === undefined ? {} : { reach })
      const webs = new Webs(scene)
      await webs.host(inside, good(inside), internal)
      if (leadsOn !== undefined) {
        await webs.host("thief.example")
        webs.page("thief.example", leadsOn)
      }
      const b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes: withPosh(scene) })
      const peer = await scene.raw(b)
      await peer.upToFeatures("thief.example", "b.example", credentialsOf(thief))
      const there = scene.world.connections.filter(({ to }) => to.address === internal).map(({ to }) => `${to.address} ${to.port}`)
      assert.equal(b.admitted.length, 0)
      await webs.close()
      await scene.close()
      return there
    }
    assert.deepEqual(await reached(everywhere), [`${internal} 443`])
    assert.deepEqual(await reached(undefined), [])
  })

test("attack: a fetch bought with a stream header alone, by a peer that shows nothing, or what PKIX proves", async () => {
  const bought = async (prooftypes: readonly AnyProoftype[], credentials: ReturnType<typeof credentialsOf> | undefined): Promise<number> => {
    const scene = memoryScene()
    const webs = new Webs(scene)
    await webs.publish("thief.example", victim)
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes })
    const peer = await scene.raw(b)
    await peer.upToFeatures("thief.example", "b.example", credentials)
    await scene.clock.advance(1000)
    await webs.close()
    await scene.close()
    return webs.requests.length
  }
  const eager: AnyProoftype = {
    ...posh,
    atHand: true,
    obtain(subject, ports) {
      void posh.obtain(subject, ports)
      return { nothing: true }
    },
    match: () => ({ outcome: "absent", by: "posh", finding: "posh.not-published", detail: "" }),
  }
  assert.ok((await bought([pkix, eager], undefined)) > 0)
  assert.equal(await bought([pkix, posh], undefined), 0)
  assert.equal(await bought([pkix, posh], credentialsOf(good("thief.example"))), 0)
  assert.equal(await bought([pkix, posh], credentialsOf(thief)), 1, "a certificate that PKIX does not prove buys one")
})

test("attack: one source that claims many domains at once, each with a certificate of its own making", async () => {
  const run = async (limits: Partial<typeof defaultClaimLimits>): Promise<{ readonly most: number; readonly told: number }> => {
    const scene = memoryScene()
    let under = 0
    let most = 0
    const counting = (https: Https): Https => ({
      get: async (request: HttpsRequest) => {
        under += 1
        most = Math.max(most, under)
        try {
          return await https.get(request)
        } finally {
          under -= 1
        }
      },
    })
    const webs = new Webs(scene)
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes: [pkix, createPosh()], ports: (ports) => ({ ...ports, https: counting(ports.https) }), claims: (clock) => new ClaimGuard(clock, { ...defaultClaimLimits, ...limits }) })
    const flood = 24
    const peers = await Promise.all(
      Array.from({ length: flood }, async (_, index) => {
        const name = `s${index}.example`
        await webs.host(name)
        webs.page(name, "silence")
        const peer = await scene.raw(b, `127.0.7.${index + 1}`)
        await peer.header(name, "b.example")
        peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await peer.expect("<proceed")
        await peer.secure(credentialsOf(thief), "b.example")
        peer.send(`<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='${domain(name)}' to='b.example' version='1.0'>`)
        return peer
      }),
    )
    await scene.clock.advance(6000)
    const told = peers.filter(({ text }) => text.includes("<stream:features")).length
    assert.equal(b.admitted.length, 0)
    await webs.close()
    await scene.close()
    return { most, told }
  }
  const open = await run({ materials: 1000, materialsPerSource: 1000 })
  assert.deepEqual(open, { most: 24, told: 24 })
  const closed = await run({ materialsPerSource: 4 })
  assert.deepEqual(closed, { most: 4, told: 24 }, "who gets no place in time is not proved, and not left waiting")
  assert.ok(defaultClaimLimits.materialsPerSource <= 32 && defaultClaimLimits.materials <= 256)
})

test("attack: a stranger's failure must not silence the true owner (security.md 14)", async () => {
  const scene = memoryScene()
  const webs = new Webs(scene)
  await webs.host("victim.example")
  webs.page("victim.example", { status: 500 })
  const prooftypes = withPosh(scene)
  const b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes })
  const peer = await scene.raw(b)
  await peer.upToFeatures("victim.example", "b.example", credentialsOf(thief))
  webs.page("victim.example", documentOf([victim]))
  await scene.server({ domains: ["victim.example"], certificate: victim, prooftypes: [pkix] })
  const stream = await scene.until(b.open("victim.example"))
  assert.equal(stream.association.verdict.by, "posh")
  await webs.close()
  await scene.close()
})

test("attack: a document fetched under an authority that the operator has since taken out goes on proving (security.md 10)", async () => {
  const { withAnchors: _, ...forgetful } = posh as AnyProoftype
  const stranger = CertificateAuthority.create({ name: "Another root", now: start })
  for (const [prooftype, left] of [[forgetful, 1], [posh as AnyProoftype, 0]] as const) {
    const scene = memoryScene()
    const webs = new Webs(scene)
    await webs.publish("victim.example", thief)
    const b = await scene.server({ domains: ["b.example"], prooftypes: [pkix, prooftype] })
    await scene.server({ domains: ["victim.example"], certificate: thief, prooftypes: [pkix] })
    const stream = await scene.until(b.open("victim.example"))
    assert.equal(stream.association.verdict.by, "posh")
    b.reload({ anchors: anchorsFromPem(stranger.certificate.pem) })
    await scene.clock.advance(1000)
    assert.equal(b.outgoing.length, left)
    await webs.close()
    await scene.close()
  }
})
