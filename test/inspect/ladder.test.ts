// The inspection of domains of the lab: what holds, what fails, whose move it is (RFC 7712 4.2; RFC 6120 4.9, 5; RFC 7673 3).
import assert from "node:assert/strict"
import { after, before, test } from "node:test"
import { inspect } from "../../src/inspect/ladder.ts"
import { repairsOf } from "../../src/inspect/repairs.ts"
import type { InspectQuestion } from "../../src/inspect/question.ts"
import { type DomainResult, domainSchema } from "../../src/inspect/report.ts"
import { builtInProoftypes } from "../../src/proof/registry.ts"
import { judge, readEvidenceFile } from "../../src/proof/judge.ts"
import { DialError } from "../../src/model/errors.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { Service } from "../../src/model/verdict.ts"
import type { LabCertificate, ServerSpec } from "../../src/lab/internet.ts"
import type { Dial } from "../../src/ports.ts"
import { type Inspector, inspector } from "./support.ts"
import { header, type Script, scripted, scriptedTls } from "./scripted.ts"

let lab: Inspector
const running: { close(): Promise<void> }[] = []
const never = new AbortController().signal
const day = 86_400_000

before(async () => {
  lab = await inspector()
})

after(async () => {
  for (const each of running) await each.close()
  await lab.close()
})

async function look(domain: string, more: Partial<InspectQuestion> = {}): Promise<DomainResult> {
  const { result } = await inspect(lab.question(domain, more), lab.ports, never)
  // Every report is of the form that is published, as JSON.
  assert.deepEqual(domainSchema.parse(JSON.parse(JSON.stringify(result))), JSON.parse(JSON.stringify(result)))
  return result
}

async function serve(spec: ServerSpec): Promise<void> {
  await lab.net.addServer(spec)
}

async function play(domain: string, script: Script, service?: Service): Promise<Awaited<ReturnType<typeof scripted>>> {
  const peer = await scripted(lab.net, domain, script, service)
  running.push(peer)
  return peer
}

const ids = ({ findings }: DomainResult): string[] => findings.map(({ id, severity }) => `${severity} ${id}`)
const proofs = (result: DomainResult): Record<string, string> => Object.fromEntries(result.proofs.map(({ proof, state, finding }) => [proof, finding ?? state]))
const verdict = ({ level, ok, unknown }: DomainResult): unknown[] => [level, ok, unknown]

test("a domain that is proven by DANE and PKIX", async () => {
  await serve({ domain: "good.example", zone: { targets: [{ name: "xmpp.good.example", tlsa: [{ usage: 3, selector: 1, matching: 1 }] }] } })
  const result = await look("good.example")
  assert.deepEqual(verdict(result), ["authenticated", true, false])
  assert.deepEqual(proofs(result), { pkix: "proved", dane: "proved", posh: "posh.not-published", dialback: "offered" })
  assert.deepEqual(ids(result), ["info posh.not-published"])
  assert.deepEqual(result.delegation, { derived: "xmpp.good.example", secure: true, via: "srv" })
  const [endpoint] = result.endpoints
  assert.deepEqual([endpoint?.state, endpoint?.tls, endpoint?.starttls, endpoint?.from], ["ok", "TLSv1.3", "required", "good.example"])
  assert.deepEqual(endpoint?.steps.map(({ step }) => step), ["connected", "opened", "secured", "features", "closed"])
  const certificate = result.certificates[endpoint?.certificate ?? ""]
  assert.deepEqual(certificate?.names, ["good.example"])
  assert.equal(result.expires.certificate, certificate?.notAfter)
  assert.ok(result.expires.signatures !== null)
  assert.deepEqual(result.asked, { from: "check.invalid", credentials: false })
  assert.match(result.notes.join(), /check\.invalid/)
})

test("each way a certificate can fail is bad, names itself, and says what Prosody would", async () => {
  const now = lab.ports.clock.now()
  const bad: readonly (readonly [string, LabCertificate, string, RegExp])[] = [
    ["self.example", { from: "self" }, "cert.self-signed", /self-signed/],
    ["stranger.example", { from: "stranger" }, "cert.unknown-root", /not trusted/],
    ["old.example", { from: "lab", notBefore: now - 40 * day, notAfter: now - 2 * day }, "cert.expired", /has expired/],
    ["other.example", { from: "lab", names: ["elsewhere.example"] }, "pkix.name-mismatch", /not valid for this name/],
  ]
  for (const [domain, certificate, finding, words] of bad) {
    await serve({ domain, certificate })
    const result = await look(domain)
    assert.deepEqual(verdict(result), ["encrypted", false, false], domain)
    assert.deepEqual(ids(result)[0], `bad ${finding}`)
    assert.equal(result.findings[0]?.party, "peer")
    assert.ok(result.findings[0]?.fix.length !== 0)
    assert.match(result.peersSee.find(({ product }) => product === "prosody")?.text ?? "", words)
    // Less was expected: the same facts, and nobody is missed.
    const modest = await look(domain, { expect: "encrypted" })
    assert.deepEqual(verdict(modest), ["encrypted", true, false])
    assert.deepEqual(ids(modest)[0], `warn ${finding}`)
  }
})

test("a certificate that ends soon is a warning", async () => {
  await serve({ domain: "soon.example", certificate: { from: "lab", notAfter: lab.ports.clock.now() + 5 * day } })
  const result = await look("soon.example")
  assert.deepEqual(verdict(result), ["authenticated", true, false])
  assert.ok(ids(result).includes("warn cert.expiring"))
  assert.ok(!ids(await look("soon.example", { expiryWarning: 2 * day })).some((id) => id.includes("expiring")))
})

test("a machine without IPv6: nothing is held against the domain", async () => {
  await serve({ domain: "twofold.example" })
  const { port } = lab.net.server("twofold.example").s2s
  const addresses = lab.net.server("twofold.example").s2s.address
  lab.net.signed.zones.set("_xmpp-server._tcp.twofold.example", { SRV: [[0, 0, port, "xmpp.twofold.example"]] })
  lab.net.signed.zones.set("xmpp.twofold.example", { A: [addresses], AAAA: ["::1"] })
  lab.net.signed.zones.set("_xmpp-server._tcp.six.example", { SRV: [[0, 0, port, "xmpp.six.example"]] })
  lab.net.signed.zones.set("xmpp.six.example", { AAAA: ["::1"] })
  const dial: Dial = { connect: async (to, options) => (to.address.includes(":") ? Promise.reject(new DialError("unreachable", `${to.address} port ${to.port}: ENETUNREACH`)) : lab.ports.dial.connect(to, options)) }
  const from = async (domain: string): Promise<DomainResult> => (await inspect(lab.question(domain), { ...lab.ports, dial }, never)).result
  const both = await from("twofold.example")
  assert.deepEqual([...verdict(both), ids(both).filter((id) => id.includes("reach."))], ["authenticated", true, false, ["info reach.no-route"]])
  const six = await from("six.example")
  assert.deepEqual([...verdict(six), ids(six)[0]], [null, false, true, "unknown reach.no-route"])
})

test("as of another moment: certificates by their dates then, DANE as of now", async () => {
  await serve({ domain: "lasts.example", certificate: { from: "lab", notAfter: lab.ports.clock.now() + 30 * day } })
  const then = lab.ports.clock.now() + 31 * day
  assert.deepEqual(verdict(await look("lasts.example", { at: then - 3 * day })), ["authenticated", true, false])
  const ended = await look("lasts.example", { at: then })
  assert.deepEqual([...verdict(ended), ids(ended)[0]], ["encrypted", false, false, "bad cert.expired"])
  assert.match(ended.notes[0] ?? "", /^certificates were judged as of /)
  // RFC 7671 5.1: the key in DNS has no dates.
  await serve({ domain: "keyed.example", certificate: { from: "lab", notAfter: lab.ports.clock.now() + 30 * day }, zone: { targets: [{ name: "xmpp.keyed.example", tlsa: [{ usage: 3, selector: 1, matching: 1 }] }] } })
  const keyed = await look("keyed.example", { at: then })
  assert.deepEqual([...verdict(keyed), proofs(keyed)["pkix"], proofs(keyed)["dane"]], ["authenticated", true, false, "cert.expired", "proved"])
})

test("what a hosted domain's server does wrong is its hoster's move; with `own` it is yours", async () => {
  await serve({ domain: "shop.example", certificate: { from: "lab", names: ["landlord.example"] }, zone: { signed: false, targets: [{ name: "xmpp.landlord.example" }] } })
  const result = await look("shop.example", { own: true })
  assert.deepEqual(verdict(result), ["encrypted", false, false])
  const mismatch = result.findings.find(({ id }) => id === "pkix.name-mismatch")
  assert.deepEqual([mismatch?.party, mismatch?.severity, mismatch?.endpoints], ["hoster", "bad", [0]])
  const posh = result.findings.find(({ id }) => id === "posh.not-published")
  assert.deepEqual(posh?.fix[0]?.where, "https://shop.example/.well-known/posh/xmpp-server.json")
  assert.deepEqual(JSON.parse(posh?.fix[0]?.text ?? ""), { url: "https://xmpp.landlord.example/.well-known/posh/xmpp-server.json", expires: 86_400 })
  await serve({ domain: "mine.example", certificate: { from: "self" } })
  const mine = await look("mine.example", { own: true })
  assert.equal(mine.findings[0]?.party, "you")
})

test("a stale TLSA record stops every server that looks, and the right one is printed", async () => {
  await serve({ domain: "stale.example", zone: { targets: [{ name: "xmpp.stale.example", tlsa: [{ usage: 3, selector: 1, matching: 1, of: "stale" }] }] } })
  const result = await look("stale.example")
  assert.deepEqual(verdict(result), ["none", false, false])
  const found = result.findings[0]
  assert.equal(found?.id, "dane.mismatch")
  const { port, certificate } = result.endpoints[0] ?? assert.fail()
  const spki = result.certificates[certificate ?? ""]?.spki.slice("sha256:".length)
  assert.deepEqual(found?.fix[0], { kind: "record", text: `_${port}._tcp.xmpp.stale.example. 3600 IN TLSA 3 1 1 ${spki}`, where: null })
})

test("attack: a server that is asked instead of the domain's own proves nothing by its own name, nor by its own TLSA records", async () => {
  const { zones } = lab.net.signed
  for (const [domain, leads] of [["elsewhere.example", false], ["rented.example", true]] as const) {
    const host = `landlord-of-${domain}`
    await serve({ domain, certificate: { from: "lab", names: [host] } })
    const { address, port } = lab.net.server(domain).s2s
    zones.set(host, { A: [address] })
    const before = await look(domain, { connect: { address, port, transport: "starttls" } })
    const { spki } = before.certificates[before.endpoints[0]?.certificate ?? ""] ?? assert.fail()
    zones.set(`_${port}._tcp.${host}`, { TLSA: [[3, 1, 1, spki.slice("sha256:".length)]] })
    if (leads) zones.set(`_xmpp-server._tcp.${domain}`, { SRV: [[0, 0, port, host]] })
    const result = await look(domain, { connect: { address: host, port, transport: "starttls" } })
    assert.deepEqual(verdict(result), leads ? ["authenticated", true, false] : ["encrypted", false, false])
    assert.deepEqual([proofs(result)["pkix"], proofs(result)["dane"]], leads ? ["proved", "proved"] : ["pkix.name-mismatch", undefined])
    assert.deepEqual(result.delegation, { derived: host, secure: leads, via: leads ? "srv" : "operator" })
    assert.equal(/asked at landlord-of-\S+ as you say; DNS does not lead others there/.test(result.notes.join()), !leads)
  }
})

test("attack: the key of somebody on the path must not be published by those he deceives", async () => {
  await serve({ domain: "deceived.example", certificate: { from: "self" }, zone: { targets: [{ name: "xmpp.deceived.example", tlsa: [{ usage: 3, selector: 1, matching: 1, of: "stale" }] }] } })
  const { findings } = await look("deceived.example")
  const fixOf = (id: string) => findings.find((each) => each.id === id)?.fix ?? []
  for (const [id, kind] of [["dane.mismatch", "record"], ["posh.not-published", "file"]] as const) {
    const [first, second] = fixOf(id)
    assert.deepEqual([first?.kind, second?.kind], ["text", kind], id)
    assert.match(first?.text ?? "", /no proof vouches for the key .* compare it on the server itself/)
  }
})

test("a domain without SRV is told to write the name that works already", () => {
  const domain = parseDomain("nosrv.example")
  const facts = { detail: "", domain, service: "xmpp-server", host: domain, port: 5269, leaf: undefined, vouched: false } as const
  assert.deepEqual(repairsOf("dns.no-srv-fallback", facts), [{ kind: "record", text: "_xmpp-server._tcp.nosrv.example. 3600 IN SRV 0 5 5269 nosrv.example.", where: null }])
})

test("bogus answers: not a byte goes to the server, and it is said why", async () => {
  await serve({ domain: "bogus-srv.example", zone: { bogusSrv: true } })
  const srv = await look("bogus-srv.example")
  assert.deepEqual(verdict(srv), ["none", false, false])
  assert.equal(srv.findings[0]?.id, "dns.bogus")
  await serve({ domain: "bogus-tlsa.example", zone: { targets: [{ name: "xmpp.bogus-tlsa.example", tlsa: [{ usage: 3, selector: 1, matching: 1 }], bogusTlsa: true }] } })
  const tlsa = await look("bogus-tlsa.example")
  assert.deepEqual(verdict(tlsa), ["none", false, false])
  assert.equal(tlsa.findings[0]?.id, "dane.tlsa-bogus")
  assert.equal(proofs(tlsa)["pkix"], "untried")
  const opened = (): number => lab.net.server("bogus-tlsa.example").events.filter(({ kind }) => kind === "opened").length
  assert.equal(opened(), 0)
  // Without what DNS says about a connection it would have been spoken to: the measure is not a blind one.
  const deaf = lab.ports.prooftypes.map(({ terms: _, ...prooftype }) => prooftype)
  await inspect(lab.question("bogus-tlsa.example"), { ...lab.ports, prooftypes: deaf }, never)
  assert.ok(opened() > 0)
})

test("POSH proves who has no certificate of its own", async () => {
  await serve({ domain: "inn.example", certificate: { from: "lab", names: ["landlord.example"] } })
  const { createHash } = await import("node:crypto")
  const { der } = lab.net.server("inn.example").certificate
  const fingerprint = { "sha-256": createHash("sha256").update(der).digest("base64") }
  const web = lab.net.web({ host: "inn.example", answers: { "/.well-known/posh/xmpp-server.json": { json: { fingerprints: [fingerprint], expires: 3600 } } } })
  const result = await look("inn.example")
  assert.deepEqual(verdict(result), ["authenticated", true, false])
  // A proof that fails beside one that holds harms nobody.
  assert.ok(ids(result).includes("info pkix.name-mismatch"))
  assert.equal(web.requests.length, 1, "asked once for the domain")
  assert.ok(result.expires.posh !== null)
})

test("nothing there: no such name, SRV '.', nobody listens, an address that is not to be reached, no IPv6", async () => {
  const { zones } = lab.net.signed
  const nobody = await look("nobody.example")
  assert.deepEqual([...verdict(nobody), ...ids(nobody)], ["none", false, false, "bad dns.nxdomain"])
  zones.set("_xmpp-server._tcp.refused.example", { SRV: [[0, 0, 0, "."]] })
  const refused = await look("refused.example")
  assert.deepEqual([...verdict(refused), ...ids(refused)], ["none", false, false, "bad dns.srv-refused"])
  zones.set("_xmpp-server._tcp.closed.example", { SRV: [[0, 0, 1, "xmpp.closed.example"]] })
  zones.set("xmpp.closed.example", { A: ["127.0.0.1"] })
  const closed = await look("closed.example")
  assert.deepEqual([...verdict(closed), ids(closed)[0]], ["none", false, false, "bad reach.refused"])
  zones.set("_xmpp-server._tcp.inside.example", { SRV: [[0, 0, 5269, "xmpp.inside.example"]] })
  zones.set("xmpp.inside.example", { A: ["10.0.0.1"] })
  const inside = await look("inside.example")
  assert.deepEqual([...verdict(inside), ids(inside)[0]], [null, false, true, "unknown dns.guarded"])
  await serve({ domain: "four.example" })
  const six = await look("four.example", { family: 6 })
  assert.deepEqual([...verdict(six), ids(six)[0]], ["none", false, false, "bad reach.no-such-family"])
  assert.deepEqual(verdict(await look("four.example", { family: 4 })), ["authenticated", true, false])
})

test("the resolver does not answer: could not tell, which is never bad", async () => {
  lab.net.dns.misbehave("_xmpp-server._tcp.mute.example", "servfail")
  const result = await look("mute.example")
  assert.deepEqual(verdict(result), [null, false, true])
  assert.deepEqual(result.findings.map(({ id, severity, party }) => [id, severity, party]), [["dns.servfail", "unknown", "resolver"]])
})

test("one dead address beside a live one is a warning, and of IPv6 alone it is said", async () => {
  await serve({ domain: "both.example" })
  const { address, port } = lab.net.server("both.example").s2s
  lab.net.signed.zones.set("xmpp.both.example", { A: [address], AAAA: ["::1"] })
  const result = await look("both.example")
  assert.deepEqual(verdict(result), ["authenticated", true, false])
  const dead = result.findings.find(({ id }) => id === "reach.ipv6-dead")
  assert.deepEqual([dead?.severity, dead?.endpoints.map((at) => result.endpoints[at]?.address)], ["warn", ["::1"]])
  // The same server by another name, of which nothing is remembered.
  lab.net.signed.zones.set("_xmpp-server._tcp.half.example", { SRV: [[0, 0, port, "xmpp.half.example"]] })
  lab.net.signed.zones.set("xmpp.half.example", { A: [address, "127.0.0.2"] })
  assert.ok(ids(await look("half.example")).includes("warn reach.address-dead"))
})

test("every address counts: one of two servers with a bad certificate", async () => {
  await serve({ domain: "pair.example" })
  await serve({ domain: "twin.example", certificate: { from: "self", names: ["pair.example"] } })
  const [good, twin] = [lab.net.server("pair.example").s2s, lab.net.server("twin.example").s2s]
  lab.net.signed.zones.set("_xmpp-server._tcp.pair.example", { SRV: [[0, 0, good.port, "xmpp.pair.example"], [1, 0, twin.port, "xmpp.twin.example"]] })
  const result = await look("pair.example")
  assert.equal(result.endpoints.length, 2)
  assert.equal(result.endpoints[0]?.level, "authenticated")
  assert.deepEqual([result.ok, result.unknown], [false, false])
  assert.ok(result.findings.some(({ id }) => id === "cert.differs" || id === "stream.host-unknown" || id === "tls.handshake-failed"), ids(result).join())
})

test("what is more than one inspection takes is counted and said, by family and by server", async () => {
  const { zones } = lab.net.signed
  const fours = Array.from({ length: 20 }, (_, index) => `127.0.9.${index + 1}`)
  zones.set("_xmpp-server._tcp.wide.example", { SRV: [[0, 0, 1, "xmpp.wide.example"]] })
  zones.set("xmpp.wide.example", { A: fours, AAAA: ["::1"] })
  const wide = await look("wide.example")
  assert.deepEqual([wide.endpoints.length, wide.discovery.leftOut], [16, { addresses: 5, targets: 0 }])
  assert.equal(wide.notes[0], "5 further addresses were not looked at: that is more than one inspection takes")
  assert.deepEqual((await look("wide.example", { family: 6 })).discovery.leftOut, { addresses: 0, targets: 0 })

  // Two servers that share addresses: each address counts once; and servers that are not even looked up.
  zones.set("_xmpp-server._tcp.many.example", { SRV: Array.from({ length: 18 }, (_, index) => [index, 0, 1, `x${index}.many.example`] as const) })
  for (let index = 0; index < 18; index++) zones.set(`x${index}.many.example`, { A: fours.slice(0, index < 2 ? 20 : 1) })
  const many = await look("many.example")
  const { addresses, targets } = many.discovery.leftOut
  assert.deepEqual([many.endpoints.length, targets], [16, 2])
  assert.ok(addresses > 20, String(addresses))
  assert.match(many.notes[0] ?? "", /^\d+ further addresses and 2 further servers that SRV names were not looked at: /)
})

test("Direct TLS, and where the operator says", async () => {
  await serve({ domain: "direct.example", directTls: true })
  const result = await look("direct.example")
  assert.deepEqual(verdict(result), ["authenticated", true, false])
  assert.deepEqual([result.endpoints[0]?.transport, result.endpoints[0]?.alpn, result.endpoints[0]?.starttls], ["direct-tls", "xmpp-server", null])
  const { address, port } = lab.net.server("direct.example").s2s
  const there = await look("direct.example", { connect: { address, port, transport: "direct-tls" } })
  assert.deepEqual([...verdict(there), there.delegation?.via, there.discovery.answers.length], ["authenticated", true, false, "operator", 0])
})

test("a server without TLS, one that says nothing, one that does not know the domain, one that inserts bytes", async () => {
  const dialback = "<dialback xmlns='urn:xmpp:features:dialback'/>"
  await play("clear.example", (_, answered) => (answered === 0 ? `${header("clear.example")}<stream:features>${dialback}</stream:features>` : undefined))
  const clear = await look("clear.example")
  assert.deepEqual([...verdict(clear), ids(clear)[0]], ["verified", false, false, "bad tls.not-offered"])
  const modest = await look("clear.example", { expect: "verified" })
  assert.deepEqual([...verdict(modest), ids(modest)[0]], ["verified", true, false, "warn tls.not-offered"])

  // What our gateway says that has no certificate for the domain and takes nothing in clear (TLS-04): the namespace stands on every header.
  const failed = "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
  for (const [name, offers] of [["bare", ""], ["bare-feature", dialback]] as const) {
    const domain = `${name}.example`
    await play(domain, (_, answered) => [`${header(domain)}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>${offers}</stream:features>`, failed][answered])
    const bare = await look(domain, { expect: "verified" })
    assert.deepEqual([...verdict(bare), ids(bare)[0]], ["none", false, false, "bad tls.not-offered"])
    assert.equal(proofs(bare)["dialback"], "absent", "behind TLS only, and there is none")
  }

  await play("quiet.example", () => undefined)
  const quiet = await look("quiet.example", { times: { total: 20_000, endpoint: 500 } })
  assert.deepEqual([...verdict(quiet), ids(quiet)[0]], [null, false, true, "unknown stream.too-slow"])
  assert.equal(quiet.endpoints[0]?.state, "unknown")

  const unknown = "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>"
  await play("moved.example", (_, answered) => (answered === 0 ? `${header("other.example")}${unknown}` : undefined))
  const moved = await look("moved.example")
  assert.deepEqual([...verdict(moved), ids(moved)[0]], ["none", false, false, "bad stream.host-unknown"])

  const offer = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
  await play("inserted.example", (_, answered) => (answered === 0 ? `${header("inserted.example")}${offer}` : answered === 1 ? "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><injected/>" : undefined))
  const inserted = await look("inserted.example")
  assert.deepEqual([inserted.ok, ids(inserted)[0], inserted.findings[0]?.party], [false, "bad tls.starttls-injection", "path"])
  assert.ok(ids(inserted).includes("info tls.not-required"))
})

test("the clients' side: no `from`, the names of its own service, and no dialback", async () => {
  const offer = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>"
  const peer = await play("chat.example", (_, answered) => (answered === 0 ? `${header("chat.example", "jabber:client")}${offer}` : undefined), "xmpp-client")
  const result = await look("chat.example", { service: "xmpp-client" })
  assert.equal(ids(result)[0], "bad tls.not-offered")
  assert.equal(result.level, "permissive")
  assert.equal(result.service, "xmpp-client")
  assert.deepEqual(result.asked, { from: null, credentials: false })
  assert.deepEqual(Object.keys(proofs(result)), ["pkix", "dane", "posh"])
  assert.match(peer.heard(), /xmlns='jabber:client'/)
  assert.doesNotMatch(peer.heard(), / from='/)
  // Clients verify nobody by dialback, whatever a server says of it on their port.
  await play("boast.example", (_, answered) => (answered === 0 ? `${header("boast.example", "jabber:client").replace("<stream:stream ", "<stream:stream xmlns:db='jabber:server:dialback' ")}<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>` : undefined), "xmpp-client")
  const boast = await look("boast.example", { service: "xmpp-client", expect: "verified" })
  assert.deepEqual([...verdict(boast), ids(boast)[0]], ["permissive", false, false, "bad tls.not-offered"])
  assert.match(result.discovery.answers.map(({ name }) => name).join(" "), /_xmpp-client\._tcp\.chat\.example.*_xmpps-client\._tcp\.chat\.example/)
})

test("behind TLS: a clients' server as it should be; one that says nothing, one that says too much, one that is not there for us", async () => {
  const issue = (domain: string): { cert: string; key: string } => {
    const { chainPem, keyPem } = lab.net.authority.issue({ names: { dns: [domain] } })
    return { cert: chainPem, key: keyPem }
  }
  const behind = async (domain: string, script: Script, service?: Service): Promise<Awaited<ReturnType<typeof scriptedTls>>> => {
    const peer = await scriptedTls(lab.net, domain, { ...issue(domain), script }, service)
    running.push(peer)
    return peer
  }
  const plain = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>"
  const talk = await behind("talk.example", (_, answered) => (answered === 0 ? `${header("talk.example", "jabber:client")}${plain}` : undefined), "xmpp-client")
  const client = await look("talk.example", { service: "xmpp-client" })
  assert.deepEqual([...verdict(client), client.endpoints[0]?.mechanisms], ["authenticated", true, false, ["SCRAM-SHA-256"]])
  assert.deepEqual(client.endpoints[0]?.login, null)
  // Headers, STARTTLS, the closing tag: no stanza, and nothing of ours.
  assert.doesNotMatch(talk.heard(), /<(?:message|presence|iq|auth)|from=|check\.invalid/)

  await behind("hush.example", () => undefined)
  const hush = await look("hush.example", { times: { total: 20_000, endpoint: 2000 } })
  assert.deepEqual([...verdict(hush), ids(hush)[0], proofs(hush)["pkix"]], [null, false, true, "unknown stream.too-slow", "proved"])

  const many = Array.from({ length: 900 }, (_, at) => `<mechanism>M${at}${"x".repeat(40)}</mechanism>`).join("")
  await behind("loud.example", (_, answered) => (answered === 0 ? `${header(`${"l".repeat(8000)}.example`)}<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${many}</mechanisms></stream:features>` : undefined))
  const loud = await look("loud.example")
  assert.deepEqual(verdict(loud), ["authenticated", true, false])
  assert.ok(ids(loud).includes("info stream.from-mismatch"))
  assert.ok(JSON.stringify(loud).length < 20_000, `${JSON.stringify(loud).length} octets`)

  const error = (condition: string): string => `<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`
  await behind("strict.example", (_, answered) => (answered === 0 ? `${header("strict.example")}${error("policy-violation")}` : undefined))
  const strict = await look("strict.example")
  assert.deepEqual(verdict(strict), ["authenticated", true, false])
  assert.ok(ids(strict).includes("info stream.error"))
  await behind("ghost.example", (_, answered) => (answered === 0 ? `${header("ghost.example")}${error("host-unknown")}` : undefined))
  const ghost = await look("ghost.example")
  assert.deepEqual([...verdict(ghost), ids(ghost)[0]], ["none", false, false, "bad stream.host-unknown"])
})

test("with a certificate of ours we really log in, and end there; nothing that looks like a stanza was sent", async () => {
  await serve({ domain: "login.example" })
  const { chainPem, keyPem } = lab.net.authority.issue({ names: { dns: ["ours.example"] } })
  const from = { domain: parseDomain("ours.example"), credentials: { certificatePem: chainPem, keyPem } }
  const result = await look("login.example", { from })
  assert.deepEqual(result.endpoints[0]?.login, { as: "ours.example", by: "external", state: "accepted", detail: "" })
  assert.deepEqual(verdict(result), ["authenticated", true, false])
  const seen = lab.net.server("login.example").events.filter(({ kind }) => kind === "external" || kind === "stanzas")
  assert.deepEqual(seen.map((event) => (event.kind === "external" ? event.result : event.kind)), ["offered", "accepted"])
  // One that nobody knows is sent away, which says nothing about the domain.
  const stranger = lab.net.authority.issue({ names: { dns: ["someone.example"] } })
  const away = await look("login.example", { from: { domain: parseDomain("ours.example"), credentials: { certificatePem: stranger.chainPem, keyPem: stranger.keyPem } } })
  assert.equal(away.level, "authenticated")
  assert.notEqual(away.endpoints[0]?.login?.state, "accepted")
  assert.ok(ids(away).some((id) => id === "warn auth.external-refused" || id === "warn auth.external-not-offered"), ids(away).join())
  const bare = await look("login.example", { from: { domain: parseDomain("ours.example") } })
  assert.equal(bare.endpoints[0]?.login, null)
  assert.match(bare.notes.join(), /no certificate of ours\.example/)
})

test("the evidence of an inspection is judged again to the same verdicts, offline", async () => {
  const inspection = await inspect(lab.question("good.example"), lab.ports, never)
  const items = inspection.evidence()
  assert.deepEqual(items.map(({ prooftype }) => prooftype), ["pkix", "dane", "posh"])
  const file = { evidence: 1, tool: { name: "xmpp-dna", version: "0" }, recorded: items[0]?.at, direction: "out", pair: items[0]?.pair, decision: "associated", level: null, finding: null, sentence: "", items }
  const judged = judge(readEvidenceFile(JSON.stringify(file)), { prooftypes: builtInProoftypes, anchors: [lab.ports.anchors], dnsAnchors: [lab.net.signed.zones.anchors] })
  assert.deepEqual(judged.items.map(({ prooftype, result }) => [prooftype, result]), [["pkix", "same"], ["dane", "same"], ["posh", "same"]])
})

test("given up in the middle it is could-not-tell, and a hostile domain costs no more than its bounds", async () => {
  const given = new AbortController()
  given.abort(new Error("stopped by hand"))
  const { result } = await inspect(lab.question("good.example"), lab.ports, given.signal)
  assert.deepEqual(verdict(result), [null, false, true])
  lab.net.signed.zones.set("_xmpp-server._tcp.many.example", { SRV: Array.from({ length: 60 }, (_, at) => [0, 0, 1, `h${at}.many.example`] as const) })
  for (let at = 0; at < 60; at++) lab.net.signed.zones.set(`h${at}.many.example`, { A: [`127.1.0.${at + 1}`] })
  const many = await look("many.example")
  assert.equal(many.endpoints.length, 16)
})
