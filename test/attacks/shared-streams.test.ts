// Attacks on streams that carry many pairs, and both directions: each works against a weakened copy and is refused by ours
// (seed 5 and 6.1 taken literally; RFC 7712 4.4; XEP-0288; DB-08, DB-34; security.md 1-3).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Association } from "../../src/model/association.ts"
import type { Verdict } from "../../src/model/verdict.ts"
import { associate } from "../../src/federation/associate.ts"
import { proofPorts } from "../../src/federation/claims.ts"
import type { Federation } from "../../src/federation/contract.ts"
import type { DialbackElement } from "../../src/federation/dialback.ts"
import { Outbound } from "../../src/federation/outbound.ts"
import { dane } from "../../src/proof/dane.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { posh } from "../../src/proof/posh.ts"
import type { AnyProoftype } from "../../src/proof/prooftype.ts"
import { anchorsFromPem } from "../../src/x509/anchors.ts"
import { errorsRemembered } from "../federation/ratchet-support.ts"
import { Webs } from "../scenarios/posh-web.ts"
import { SignedDns, tlsaRow } from "../scenarios/signed-dns.ts"
import { auth, credentialsOf, good, memoryScene, message, never, openHeader, own, pairOf, type RawPeer, type Server, start, stranger } from "../scenarios/support.ts"
import { patched } from "./weakened.ts"

const proved: Verdict = { outcome: "proved", by: "pkix", detail: "weakened", until: Date.UTC(2027, 0, 1) }
const both: readonly AnyProoftype[] = [pkix, dane]
const bidi = { uses: { bidi: true, piggyback: true } }
const piggyback = { uses: { piggyback: true } }

/** The link removed: the seed's 5 and 6.1 to the letter. B connects to the claimed domain, is shown its certificate, and believes the stream that claimed. */
function withoutLink(federation: () => Federation): AnyProoftype {
  return {
    ...pkix,
    atHand: false,
    obtain: async (subject) => {
      if (subject.role === "outgoing") return await pkix.obtain(subject, proofPorts(federation(), federation().current(), never))
      const leg = await associate(federation(), { sender: federation().current().anyDomain, target: subject.source }, never)
      leg.stream.close()
      return leg.association.level
    },
    match: (proof, material, reference, at) => (material === "authenticated" ? proved : pkix.match(proof, material as never, reference, at)),
  } as AnyProoftype
}

test("attack: the seed's 6.1 literally: a second stream to the real domain, which nothing links to the one that claims", async () => {
  const run = async (weakened: boolean) => {
    const scene = memoryScene()
    await scene.server({ domains: ["victim.example"] })
    await scene.server({ domains: ["evil.example"] })
    let b: Server | undefined
    const prooftypes = weakened ? [withoutLink(() => b!.federation)] : [pkix]
    b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes })
    const peer = await scene.raw(b)
    await peer.authenticated("evil.example", "b.example", credentialsOf(good("evil.example")))
    peer.send("<db:result from='victim.example' to='b.example'>anything</db:result>")
    await scene.settle()
    await scene.settle()
    peer.channel.write(message("boss@victim.example", "y@b.example", "send money"))
    await scene.settle()
    const bodies = b.bodies
    await scene.close()
    return bodies
  }
  assert.deepEqual(await run(true), ["send money"])
  assert.deepEqual(await run(false), [])
})

test("attack: the seed's 5 literally: the connection back authenticates the wrong stream", async () => {
  const run = async (weakened: boolean) => {
    const scene = memoryScene()
    await scene.server({ domains: ["victim.example"] })
    let b: Server | undefined
    b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes: weakened ? [withoutLink(() => b!.federation)] : [pkix] })
    const peer = await scene.raw(b)
    await peer.upToFeatures("victim.example", "b.example", credentialsOf(own("victim.example")))
    peer.send(auth())
    await scene.settle()
    if (peer.text.includes("<success")) peer.send(openHeader("victim.example", "b.example"))
    await scene.settle()
    peer.channel.write(message("boss@victim.example", "y@b.example", "send money"))
    await scene.settle()
    const bodies = b.bodies
    await scene.close()
    return bodies
  }
  assert.deepEqual(await run(true), ["send money"])
  assert.deepEqual(await run(false), [])
})

/** A proof is a property of the certificate: what it proved for one domain it proves for the next. */
function byCertificateAlone(prooftype: AnyProoftype): AnyProoftype {
  const known = new Map<string, Verdict>()
  return {
    ...prooftype,
    match: (proof, material, reference, at) => {
      const key = Buffer.from(proof.chain[0] ?? []).toString("hex")
      const verdict = known.get(key) ?? prooftype.match(proof, material, reference, at)
      if (verdict.outcome === "proved") known.set(key, verdict)
      return verdict
    },
  }
}

test("attack: the DANE proof of one domain serves the next one that is led to the same place", async () => {
  const run = async (prooftypes: readonly AnyProoftype[]) => {
    const scene = memoryScene()
    const dns = new SignedDns()
    const key = own("evil.example", { names: {}, commonName: "E" })
    const a = await scene.server({ domains: ["a.example"], prooftypes, ports: dns.ports, require: "encrypted", ...piggyback })
    const evil = await scene.server({ domains: ["evil.example", "victim.example"], certificate: key, prooftypes, ports: dns.ports, require: "encrypted" })
    scene.dns("_5269._tcp.host.evil.example", { TLSA: [tlsaRow(key)] })
    // Spoofed, without a signature: the victim's service is where the attacker's is.
    scene.dns("_xmpp-server._tcp.victim.example", { SRV: [[0, 0, evil.address.port, "host.evil.example"]] })
    dns.rules.set("_xmpp-server._tcp.victim.example SRV", "insecure")
    const stream = await scene.until(a.join("evil.example"))
    assert.equal(stream.association.verdict.by, "dane")
    const added = await scene.until(stream.add(pairOf("a.example", "victim.example"), never).then(({ level }) => level, () => "refused"))
    const levels = stream.associations().map(({ pair, level }) => [pair.target, level])
    await scene.close()
    return { added, levels }
  }
  assert.equal((await run([pkix, byCertificateAlone(dane)])).added, "authenticated")
  assert.deepEqual(await run(both), { added: "refused", levels: [["evil.example", "authenticated"]] })
})

test("attack: the POSH document of one domain serves a further one, as target and as sender", async () => {
  const run = async (second: AnyProoftype) => {
    const scene = memoryScene()
    const webs = new Webs(scene)
    const [key, real] = [own("evil.example", { names: {}, commonName: "E" }), own("victim.example", { names: {}, commonName: "V" })]
    await webs.publish("evil.example", key)
    await webs.publish("victim.example", real)
    const prooftypes = [pkix, second]
    const a = await scene.server({ domains: ["a.example"], prooftypes, ...piggyback })
    const evil = await scene.server({ domains: ["evil.example", "victim.example"], certificate: key, prooftypes: [pkix] })
    // Spoofed: the victim's service is where the attacker's is.
    scene.dns("_xmpp-server._tcp.victim.example", { SRV: [[0, 0, evil.address.port, "host.evil.example"]] })
    const stream = await scene.until(a.join("evil.example"))
    assert.equal(stream.association.verdict.by, "posh")
    const target = await scene.until(stream.add(pairOf("a.example", "victim.example"), never).then(({ level }) => level, () => "refused"))
    const peer = await scene.raw(a)
    await scene.until(peer.authenticated("evil.example", "a.example", credentialsOf(key)))
    peer.send("<db:result from='victim.example' to='a.example'>any</db:result>")
    await scene.eventually("the claim is answered", () => peer.text.includes("<db:result"))
    const sender = /<db:result [^>]*type='([a-z]*)'/.exec(peer.text)?.[1]
    await webs.close()
    await scene.close()
    return { target, sender }
  }
  assert.deepEqual(await run(byCertificateAlone(posh)), { target: "authenticated", sender: "valid" })
  assert.deepEqual(await run(posh), { target: "refused", sender: "error" })
})

test("attack: the address is right and the certificate has the name, but the target's own TLSA names another key (security.md 3)", async () => {
  const weak: AnyProoftype = { ...dane, binding: () => false, terms: () => ({ tls: false }) }
  const run = async (prooftypes: readonly AnyProoftype[]) => {
    const scene = memoryScene()
    const dns = new SignedDns()
    const wide = good("b.example", { names: { dns: ["b.example", "rooms.b.example"] } })
    const a = await scene.server({ domains: ["a.example"], prooftypes, ports: dns.ports, ...piggyback })
    const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: wide })
    scene.dns("alias.b.example", { A: [b.address.address] })
    scene.dns("_xmpp-server._tcp.rooms.b.example", { SRV: [[0, 0, b.address.port, "alias.b.example"]] })
    scene.dns("_5269._tcp.alias.b.example", { TLSA: [tlsaRow(own("rooms.b.example"))] })
    const stream = await scene.until(a.join("b.example"))
    const added = await scene.until(stream.add(pairOf("a.example", "rooms.b.example"), never).then(() => "carried", () => "refused"))
    const asked = a.of("dialback").length
    await scene.close()
    return { added, asked }
  }
  assert.equal((await run([pkix, weak])).added, "carried")
  assert.deepEqual(await run(both), { added: "refused", asked: 0 })
})

test("attack: what the certificate proved at EXTERNAL it proves no more when a further pair is claimed (DB-34)", async () => {
  const run = async (prooftypes: readonly AnyProoftype[]) => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], prooftypes })
    const peer = await scene.raw(b)
    await peer.authenticated("a.example", "b.example", credentialsOf(good("a.example", { names: { dns: ["a.example", "c.example"] } })))
    // The authority is trusted no more; the streams that live are looked at a moment later.
    b.reload({ anchors: anchorsFromPem(stranger.certificate.pem) }, { recheck: false })
    peer.send("<db:result from='c.example' to='b.example'>any</db:result>")
    await scene.settle()
    const valid = peer.text.includes("type='valid'")
    await scene.close()
    return valid
  }
  assert.equal(await run([byCertificateAlone(pkix)]), true)
  assert.equal(await run([pkix]), false)
})

/** Believes every answer, whoever asked. */
const credulous = function (this: Outbound, read: DialbackElement): void {
  const pair = { sender: read.to, target: read.from }
  const association: Association = {
    id: "weakened", pair, stream: this.facts.name, epoch: this.facts.epoch, direction: "out", level: "authenticated", verdict: proved, verdicts: [], via: "certificate", proof: this.facts.proof, evidence: () => [], established: start, until: Date.UTC(2027, 0, 1),
  }
  this.begin(association)
}

const unsolicited = [
  "<db:result from='victim.example' to='b.example' type='valid'/>",
  "<db:result from='evil.example' to='c.example' type='valid'/>",
  "<db:result from='b.example' to='victim.example' type='valid'/>",
  "<db:verify from='victim.example' to='b.example' id='x' type='valid'/>",
].join("")

async function withBidi(peer: RawPeer): Promise<void> {
  await peer.upToFeatures("evil.example", "b.example", credentialsOf(good("evil.example")))
  peer.send(`<bidi xmlns='urn:xmpp:bidi'/>${auth()}`)
  await peer.expect("<success")
  peer.send(openHeader("evil.example", "b.example"))
  await peer.expect("<stream:features")
}

test("attack: unsolicited results on an accepted stream with both directions", async () => {
  const run = async () => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example", "c.example"], ...bidi })
    const peer = await scene.raw(b)
    await withBidi(peer)
    peer.send(unsolicited)
    await scene.settle()
    const carried = b.ways[0]?.stream.associations().map(({ pair }) => `${pair.sender} ${pair.target}`) ?? []
    const admitted = b.admitted.map(({ pair }) => `${pair.sender} ${pair.target}`)
    await scene.close()
    return { carried, admitted }
  }
  await patched(Outbound.prototype, "answer", credulous, async () => {
    const { carried } = await run()
    assert.ok(carried.includes("b.example victim.example") && carried.includes("c.example evil.example"))
  })
  assert.deepEqual(await run(), { carried: [], admitted: ["evil.example b.example"] })
})

test("attack: the same on a stream that we opened, with both directions", async () => {
  const run = async () => {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["b.example", "c.example"], ...bidi })
    const evil = await scene.server({ domains: ["evil.example"], ...bidi })
    const out = await scene.until(a.join("evil.example"))
    await scene.eventually("it may write back", () => evil.ways.length === 1)
    evil.ways[0]!.stream.channel.write(Buffer.from(unsolicited))
    await scene.settle()
    const carried = out.associations().map(({ pair }) => `${pair.sender} ${pair.target}`)
    const admitted = a.admitted.map(({ pair }) => `${pair.sender} ${pair.target}`)
    await scene.close()
    return { carried, admitted }
  }
  await patched(Outbound.prototype, "answer", credulous, async () => {
    const { carried } = await run()
    assert.ok(carried.includes("b.example victim.example") && carried.includes("c.example evil.example"))
  })
  assert.deepEqual(await run(), { carried: ["b.example evil.example"], admitted: [] })
})

test("attack: while one pair is asked for, the answer for another one", async () => {
  const run = async () => {
    const scene = memoryScene()
    await scene.server({ domains: ["evil.example"] })
    const certificate = good("b.example", { names: { dns: ["b.example", "c.example"] } })
    const b = await scene.server({ domains: ["b.example", "c.example"], certificate, ...bidi, abilities: errorsRemembered("evil.example") })
    const peer = await scene.raw(b)
    await withBidi(peer)
    const back = b.ways[0]!.stream
    const asked = back.add(pairOf("c.example", "evil.example"), never).then(() => "granted", () => "refused")
    await peer.expect("<db:result from='c.example' to='evil.example'>")
    peer.send(unsolicited.replace("<db:result from='evil.example' to='c.example' type='valid'/>", ""))
    await scene.settle()
    const carried = back.associations().map(({ pair }) => `${pair.sender} ${pair.target}`)
    await scene.close()
    await scene.until(asked)
    return carried
  }
  await patched(Outbound.prototype, "answer", credulous, async () => {
    assert.ok((await run()).includes("b.example victim.example"))
  })
  assert.deepEqual(await run(), [])
})

test("attack: let in by a key, then our stanzas for a domain with TLSA leave on the stream of whoever relayed it (security.md 3)", async () => {
  const weak: AnyProoftype = { ...dane, binding: () => false, terms: () => ({ tls: false }) }
  const run = async (prooftypes: readonly AnyProoftype[]) => {
    const scene = memoryScene()
    const dns = new SignedDns()
    const real = own("a.example", { names: {}, commonName: "A" })
    // The real one promises its key; somebody between got its key for dialback vouched for, and shows a certificate of his own.
    const a = await scene.server({ domains: ["a.example"], certificate: real, require: "encrypted" })
    scene.dns("_5269._tcp.host.a.example", { TLSA: [tlsaRow(real)] })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes, ports: dns.ports, ...bidi })
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", credentialsOf(own("a.example", { names: {}, commonName: "M" })))
    const key = a.federation.keys.issue(pairOf("a.example", "b.example"), peer.id)
    peer.send(`<bidi xmlns='urn:xmpp:bidi'/><db:result from='a.example' to='b.example'>${key}</db:result>`)
    await peer.expect("type='valid'")
    await scene.settle()
    const [way] = b.ways
    assert.ok(way !== undefined, "it is let in, at the level of encryption")
    const back = await scene.until(way.stream.add(pairOf("b.example", "a.example"), never).then(({ level }) => level, () => "refused"))
    await scene.close()
    return back
  }
  assert.equal(await run([pkix, weak]), "encrypted")
  assert.equal(await run(both), "refused")
})

test("attack: the way back was opened by a key while nothing promised more, and TLSA records that the stream does not satisfy come later (security.md 3)", async () => {
  const hour = 3_600_000
  const run = async (publishes: "nothing" | "the real key" | "the key that was shown", { reloads = false, prooftypes = both, host = "host.a.example" } = {}) => {
    const scene = memoryScene()
    const dns = new SignedDns()
    const [real, shown] = [own("a.example", { names: {}, commonName: "A" }), own("a.example", { names: {}, commonName: "M" })]
    const a = await scene.server({ domains: ["a.example"], certificate: real, require: "encrypted" })
    scene.dns("_xmpp-server._tcp.a.example", { SRV: [[0, 0, 5269, "host.a.example"], [1, 0, 5269, "second.a.example"]] })
    scene.dns("second.a.example", { A: ["127.0.0.77"] })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", prooftypes, ports: dns.ports, ...bidi })
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", credentialsOf(shown))
    const key = a.federation.keys.issue(pairOf("a.example", "b.example"), peer.id)
    peer.send(`<bidi xmlns='urn:xmpp:bidi'/><db:result from='a.example' to='b.example'>${key}</db:result>`)
    await peer.expect("type='valid'")
    await scene.settle()
    const back = b.ways[0]!.stream
    const withdrawn: string[] = []
    back.onWithdrawn = (pairs) => void withdrawn.push(...pairs.map(({ target }) => target))
    assert.equal((await scene.until(back.add(pairOf("b.example", "a.example"), never))).level, "encrypted")
    const records = { nothing: [], "the real key": [tlsaRow(real)], "the key that was shown": [tlsaRow(real), tlsaRow(shown)] }[publishes]
    if (records.length > 0) scene.dns(`_5269._tcp.${host}`, { TLSA: records })
    await scene.clock.advance(hour + 5 * 60_000)
    if (reloads) b.reload({})
    const carried = back.associations().map(({ pair }) => pair.target)
    const { findings } = b
    await scene.close()
    return { carried, withdrawn, findings }
  }
  const kept = { carried: ["a.example"], withdrawn: [], findings: [] }
  assert.deepEqual(await run("nothing"), kept)
  assert.deepEqual(await run("the key that was shown"), kept)
  assert.deepEqual(await run("the key that was shown", { reloads: true }), kept)
  // Judged as before by the connection back alone, which satisfies them, it goes on for ever.
  assert.deepEqual(await run("the real key", { prooftypes: [pkix, { ...dane, terms: () => ({ tls: false }) }] }), kept)
  const ended = { carried: [], withdrawn: ["a.example"], findings: ["dane.mismatch"] }
  assert.deepEqual(await run("the real key"), ended)
  assert.deepEqual(await run("the real key", { reloads: true }), ended)
  // At another server of the domain's than the one that the key was verified with.
  assert.deepEqual(await run("the real key", { host: "second.a.example" }), ended)
  assert.deepEqual(await run("the key that was shown", { host: "second.a.example" }), kept)
})

test("attack: a stanza for us on a stream that we opened, from a domain that was claimed there but not granted", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], ...bidi })
  const peer = await scene.raw(b)
  await withBidi(peer)
  // Granted: evil.example. A stanza is never a claim, with bidi neither.
  peer.channel.write(message("x@victim.example", "y@b.example", "forged"))
  await peer.closed()
  assert.equal(peer.condition, "invalid-from")
  assert.deepEqual(b.bodies, [])
  await scene.close()
})
