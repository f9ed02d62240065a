// Attacks with certificates on an accepted stream: each gets in at a weakened copy and is refused by ours (security.md 1, 9;
// EKU-05, ID-01, ID-04, ID-13, EXT-03, EXT-06).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { SubjectNames } from "../../src/lab/certificate-authority.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlStream } from "../../src/stream/xml-stream.ts"
import type { TlsCredentials } from "../../src/ports.ts"
import { auth, authority, credentialsOf, domain, good, type MemoryScene, memoryScene, message, openHeader, own, type RawPeer, type Server, start, starttls, stranger } from "../scenarios/support.ts"
import { anyCertificateOfTheChain, anyIssuer, anyName, judgedBy, patched, purposeErrorIsHarmless, remembered, signaturesOnly } from "./weakened.ts"

const day = 86_400_000
const span = { notBefore: start - day, notAfter: start + 30 * day }

interface Attack {
  readonly name: string
  readonly finding: string
  readonly weakened: AnyProoftype
  readonly certificate: () => TlsCredentials
}

/** A leaf of an authority that may issue below tenant.example only, in forms of name that its constraint does not mention. */
function tenants(names: SubjectNames): TlsCredentials {
  const tenant = authority.intermediate({ name: "Tenant", nameConstraints: { permitted: { dns: ["tenant.example"] } } })
  return credentialsOf(tenant.issue({ ...span, names }))
}

const attacks: readonly Attack[] = [
  { name: "self-signed, for servers only (which hides behind 'wrong purpose')", finding: "cert.self-signed", weakened: purposeErrorIsHarmless, certificate: () => credentialsOf(own("victim.example", { eku: ["serverAuth"] })) },
  { name: "unknown root, for servers only (which hides behind 'wrong purpose')", finding: "cert.unknown-root", weakened: purposeErrorIsHarmless, certificate: () => credentialsOf(stranger.issue({ names: { dns: ["victim.example"] }, ...span, eku: ["serverAuth"] })) },
  { name: "self-signed with the right name", finding: "cert.self-signed", weakened: anyIssuer, certificate: () => credentialsOf(own("victim.example")) },
  {
    name: "the victim's certificate appended to the attacker's own good chain",
    finding: "pkix.name-mismatch",
    weakened: anyCertificateOfTheChain,
    certificate: () => {
      const mine = good("attacker.example")
      return { certificatePem: mine.chainPem + good("victim.example").pem, keyPem: mine.keyPem }
    },
  },
  { name: "a good chain with the wrong name", finding: "pkix.name-mismatch", weakened: anyName, certificate: () => credentialsOf(good("attacker.example")) },
  { name: "a sub-authority constrained to dNSName issues an SRVName alone", finding: "cert.constraints", weakened: signaturesOnly, certificate: () => tenants({ srv: ["_xmpp-server.victim.example"] }) },
  { name: "a sub-authority constrained to dNSName issues an XmppAddr alone", finding: "cert.constraints", weakened: signaturesOnly, certificate: () => tenants({ xmppAddr: ["victim.example"] }) },
  { name: "an SRV-ID of the other service (ID-04)", finding: "pkix.name-mismatch", weakened: anyName, certificate: () => credentialsOf(good("attacker.example", { names: { srv: ["_xmpp-client.victim.example"] } })) },
]

/** The attacker claims to be victim.example with this certificate. */
async function claim(prooftype: AnyProoftype | undefined, credentials: TlsCredentials): Promise<{ scene: MemoryScene; b: Server; peer: RawPeer }> {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], ...(prooftype === undefined ? {} : { prooftypes: [prooftype] }) })
  const peer = await scene.raw(b)
  peer.send(openHeader("victim.example", "b.example") + starttls)
  await peer.expect("<proceed")
  await peer.secure(credentials, "b.example")
  peer.send(openHeader("victim.example", "b.example") + auth())
  await scene.settle()
  return { scene, b, peer }
}

for (const { name, finding, weakened, certificate } of attacks) {
  test(`attack: ${name}`, async () => {
    const credentials = certificate()
    const red = await claim(weakened, credentials)
    assert.match(red.peer.text, /<success/, "the weakened copy must be fooled")
    red.peer.send(openHeader("victim.example", "b.example"))
    red.peer.channel.write(message("king@victim.example", "y@b.example", "forged"))
    await red.scene.settle()
    assert.deepEqual(red.b.bodies, ["forged"])
    await red.scene.close()

    const green = await claim(undefined, credentials)
    assert.doesNotMatch(green.peer.text, /<success|EXTERNAL/)
    assert.deepEqual(green.b.findings, [finding])
    assert.equal(green.b.admitted.length, 0)
    await green.scene.close()
  })
}

test("attack: a valid chain to the same server, with the attacker's `from` in clear and the victim's under TLS", async () => {
  const mine = credentialsOf(good("attacker.example"))
  const run = async (prooftypes: readonly AnyProoftype[] | undefined) => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], ...(prooftypes === undefined ? {} : { prooftypes }) })
    const peer = await scene.raw(b)
    await peer.header("attacker.example", "b.example")
    peer.send(starttls)
    await peer.expect("<proceed")
    await peer.secure(mine, "b.example")
    peer.send(openHeader("victim.example", "b.example"))
    await scene.settle()
    await scene.close()
    return peer.text
  }
  // Weakened: the domain is learnt once, from the first header.
  const first = referenceIdentity({ source: domain("attacker.example"), service: "xmpp-server" }).accept
  assert.match(await run([judgedBy(first)]), /EXTERNAL/)
  assert.doesNotMatch(await run(undefined), /EXTERNAL/)
})

test("attack: `from` changes behind <success/>", async () => {
  const mine = credentialsOf(good("attacker.example"))
  const run = async () => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], prooftypes: [anyName] })
    const peer = await scene.raw(b)
    await peer.upToFeatures("attacker.example", "b.example", mine)
    peer.send(auth())
    await peer.expect("<success")
    peer.send(openHeader("victim.example", "b.example"))
    peer.channel.write(message("king@victim.example", "y@b.example", "forged"))
    await scene.settle()
    const got = { bodies: b.bodies, condition: peer.condition }
    await scene.close()
    return got
  }
  // Weakened: the header behind authentication is not compared with who was authenticated. The certificate rule is weak in
  // both runs, so that this comparison alone decides.
  const header = XmlStream.prototype.header
  let headers = 0
  const blind = async function (this: XmlStream, signal: AbortSignal): Promise<XmlElement> {
    const root = await header.call(this, signal)
    return ++headers === 3 ? { ...root, attributes: root.attributes.filter(({ name }) => name !== "from") } : root
  }
  await patched(XmlStream.prototype, "header", blind, async () => {
    assert.deepEqual(await run(), { bodies: ["forged"], condition: undefined })
  })
  assert.deepEqual(await run(), { bodies: [], condition: "invalid-from" })
})

test("attack: EXTERNAL with a foreign authzid", async () => {
  const mine = credentialsOf(good("attacker.example"))
  const foreign = Buffer.from("victim.example").toString("base64")
  const run = async () => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"] })
    const peer = await scene.raw(b)
    await peer.upToFeatures("attacker.example", "b.example", mine)
    peer.send(auth(foreign))
    await scene.settle()
    await scene.close()
    return peer.text
  }
  // Weakened: nobody looks at the identity that is asked for.
  const element = XmlStream.prototype.element
  const blind = async function (this: XmlStream, signal: AbortSignal): Promise<XmlElement> {
    const read = await element.call(this, signal)
    return read.name === "auth" ? { ...read, children: ["="] } : read
  }
  await patched(XmlStream.prototype, "element", blind, async () => {
    assert.match(await run(), /<success/)
  })
  const ours = await run()
  assert.match(ours, /<failure [^>]*><invalid-authzid\/>/)
  assert.doesNotMatch(ours, /<success/)
})

test("EXT-03, EXT-05: empty, equal and written differently; broken Base64; another mechanism; an abort; too often", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const ask = async (...words: string[]) => {
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example")))
    for (const word of words) {
      peer.send(word)
      await scene.settle()
    }
    return peer.text.slice(peer.text.indexOf("</stream:features>") + 18)
  }
  const encoded = (text: string) => Buffer.from(text).toString("base64")
  for (const accepted of [auth(), auth(encoded("a.example")), auth(encoded("A.Example."))]) assert.match(await ask(accepted), /^<success /)
  assert.match(await ask(auth(""), "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</response>"), /^<challenge [^>]*\/><success /)
  assert.match(await ask(auth(""), "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), /^<challenge [^>]*\/><success /)
  assert.match(await ask(auth(""), "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>"), /<aborted\/>/)
  assert.match(await ask(auth(""), "<x xmlns='other'/>"), /<malformed-request\/>/)
  for (const broken of ["=AAA", "BBBB=CCC", "A", "YS5leGFtcGxl ", "a.example", "====", "YQ"]) assert.match(await ask(auth(broken)), /<incorrect-encoding\/>/, broken)
  for (const foreign of ["x@a.example", "a.example/x", "b.example", "\u0000", "a.example\u0000"]) assert.match(await ask(auth(encoded(foreign))), /<invalid-authzid\/>/, foreign)
  assert.match(await ask(auth().replace("EXTERNAL", "PLAIN")), /<invalid-mechanism\/>/)
  const often = await ask(auth("A"), auth("A"), auth("A"), auth())
  assert.equal(often.split("<failure").length - 1, 3)
  assert.match(often, /<policy-violation /)
  assert.doesNotMatch(often, /<success/)
  await scene.close()
})

test("attack: a certificate that ended between the features and <auth/>", async () => {
  const run = async (prooftypes: readonly AnyProoftype[] | undefined) => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], ...(prooftypes === undefined ? {} : { prooftypes }) })
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example", { notAfter: start + 5000 })))
    await scene.clock.advance(6001)
    peer.send(auth())
    await scene.settle()
    await scene.close()
    return peer.text
  }
  assert.match(await run([remembered()]), /<success/)
  assert.match(await run(undefined), /<not-authorized\/>/)
})

test("attack: our own domain as `from`", async () => {
  const mine = credentialsOf(good("attacker.example"))
  const run = async (weaken: boolean) => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example", "c.example"], prooftypes: [anyName] })
    // Weakened: nobody asks whether the sender is one of ours. The certificate rule is weak in both runs.
    if (weaken) b.hosting = { ...b.hosting, hosts: (name) => name === "b.example" }
    const peer = await scene.raw(b)
    peer.send(openHeader("attacker.example", "b.example") + starttls)
    await peer.expect("<proceed")
    await peer.secure(mine, "b.example")
    peer.send(openHeader("c.example", "b.example"))
    await scene.settle()
    const got = { offered: /EXTERNAL/.test(peer.text), condition: peer.condition, findings: b.findings }
    await scene.close()
    return got
  }
  assert.deepEqual(await run(true), { offered: true, condition: undefined, findings: [] })
  assert.deepEqual(await run(false), { offered: false, condition: "invalid-from", findings: ["stream.from-own-domain"] })
})
