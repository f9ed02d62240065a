// Attacks on dialback: each works against a weakened copy and is refused by ours (security.md 1, 2, 9, 14; DB-08, DB-14, DB-17,
// DB-24, DB-37; XEP-0220 3.1).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Association } from "../../src/model/association.ts"
import type { ClaimGuard } from "../../src/federation/claim-guard.ts"
import { KeyRing } from "../../src/federation/dialback.ts"
import { IncomingSession } from "../../src/federation/session.ts"
import { XmlStream } from "../../src/stream/xml-stream.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { Recorder } from "../world/recorder.ts"
import { credentialsOf, good, type MemoryScene, memoryScene, message, openHeader, own, pairOf, RawPeer, type Server, type ServerOptions } from "../scenarios/support.ts"
import { ClaimsByDomain, CredulousKeys, KeysWithoutMemory, KeysWithoutStreams, patched } from "./weakened.ts"

const victim = (scene: MemoryScene, more: Partial<ServerOptions> = {}): Promise<Server> => scene.server({ domains: ["victim.example"], require: "encrypted", ...more })
const target = (scene: MemoryScene, more: Partial<ServerOptions> = {}): Promise<Server> => scene.server({ domains: ["b.example"], require: "encrypted", ...more })

/** Gives a server other keys, before it is used. */
function withKeys(server: Server, make: (federation: Server["federation"]) => KeyRing): Server {
  Object.defineProperty(server, "federation", { value: { ...server.federation, keys: make(server.federation) } })
  return server
}

/** The attacker without a certificate, in the victim's name, up to the features. */
async function pretender(scene: MemoryScene, b: Server): Promise<RawPeer> {
  const peer = await scene.raw(b)
  await peer.upToFeatures("victim.example", "b.example", undefined)
  return peer
}

test("attack: a forged key", async () => {
  const run = async (weaken: boolean) => {
    const scene = memoryScene()
    const v = await victim(scene)
    if (weaken) withKeys(v, ({ ports }) => new CredulousKeys(ports.random, ports.clock))
    const b = await target(scene)
    const peer = await pretender(scene, b)
    peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
    await scene.settle()
    peer.channel.write(message("king@victim.example", "y@b.example", "forged"))
    await scene.settle()
    await scene.close()
    return { bodies: b.bodies, findings: b.findings }
  }
  assert.deepEqual(await run(true), { bodies: ["forged"], findings: [] })
  assert.deepEqual(await run(false), { bodies: [], findings: ["auth.dialback-invalid"] })
})

test("attack: a key made for another stream, replayed", async () => {
  const run = async (weaken: boolean) => {
    const scene = memoryScene()
    const v = await victim(scene, { mute: true })
    if (weaken) withKeys(v, ({ ports }) => new KeysWithoutStreams(ports.random, ports.clock))
    // Every server that the victim speaks to sees a key; here one of them keeps it.
    const b = await target(scene)
    const real = await scene.until(v.open("b.example"))
    await scene.settle()
    const [admitted] = b.of("opened").slice(-2)
    assert.ok(admitted !== undefined)
    const keyOf = v.federation.keys.issue(pairOf("victim.example", "b.example"), b.of("opened")[1]!.id)
    const peer = await pretender(scene, b)
    peer.send(`<db:result from='victim.example' to='b.example'>${keyOf}</db:result>`)
    await scene.settle()
    const got = /type='(valid|invalid)'/.exec(peer.text)?.[1]
    real.close()
    await scene.close()
    return got
  }
  assert.equal(await run(true), "valid")
  assert.equal(await run(false), "invalid")
})

test("attack: asking us to compute keys (DB-24)", async () => {
  const pair = pairOf("b.example", "c.example")
  const fixed = { bytes: (count: number) => new Uint8Array(count).fill(1), fraction: () => 0 }
  const still = { now: () => 0, monotonic: () => 0, after: () => () => {} }
  // A key for a stream that never was, right by the arithmetic: who confirms it can be used to find others.
  const key = new KeyRing(fixed, still).issue(pair, "chosen")
  const run = async (keys: KeyRing) => {
    const scene = memoryScene()
    const b = withKeys(await target(scene), () => keys)
    const peer = await scene.raw(b)
    await peer.upToFeatures("c.example", "b.example", undefined)
    peer.send(`<db:verify from='c.example' to='b.example' id='chosen'>${key}</db:verify>`)
    await peer.expect("<db:verify")
    await scene.close()
    return /<db:verify [^>]*type='([a-z]+)'/.exec(peer.text)?.[1]
  }
  assert.equal(await run(new KeysWithoutMemory(fixed, still)), "valid")
  assert.equal(await run(new KeyRing(fixed, still)), "invalid")
})

test("attack: two accepted streams of one attacker vouch for each other; a typed answer on an accepted stream (DB-17, DB-37)", async () => {
  const scene = memoryScene()
  await victim(scene)
  const b = await target(scene, { times: { verification: 2000 } })
  scene.world.silent.add("127.0.0.10")
  const one = await pretender(scene, b)
  const two = await pretender(scene, b)
  one.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
  two.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
  await scene.settle()
  for (const peer of [one, two]) {
    for (const { id } of [one, two]) peer.send(`<db:verify from='victim.example' to='b.example' id='${id}' type='valid'/>`)
    peer.send("<db:result from='victim.example' to='b.example' type='valid'/>")
    peer.send("<db:result from='b.example' to='victim.example' type='valid'/>")
  }
  await scene.settle()
  assert.equal(b.admitted.length, 0)
  await scene.clock.advance(3000)
  for (const peer of [one, two]) assert.match(peer.text, /type='error'><error type='wait'><remote-server-timeout/)
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("attack: the question goes back to whoever asked, instead of to the domain's own server", async () => {
  const run = async (weaken: boolean) => {
    const scene = memoryScene()
    await victim(scene)
    // The attacker listens where it connects from, and says yes to everything.
    const liar = withKeys(await scene.server({ domains: ["victim.example"], address: "127.0.0.66", require: "encrypted", unlisted: true }), ({ ports }) => new CredulousKeys(ports.random, ports.clock))
    const b = await target(scene, {
      // Weakened: what the peer's own connection says is taken for where the domain lives.
      ...(weaken ? { ports: (ports) => ({ ...ports, dial: { connect: (to, options) => ports.dial.connect({ ...to, address: liar.address.address }, options) } }) } : {}),
    })
    const peer = new RawPeer(await scene.world.host("127.0.0.66").dial.connect(b.address, { signal: new AbortController().signal }), scene.world.host("127.0.0.66").tls)
    await peer.upToFeatures("victim.example", "b.example", undefined)
    peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
    await scene.settle()
    await scene.close()
    return /<db:result [^>]*type='([a-z]+)'/.exec(peer.text)?.[1]
  }
  assert.equal(await run(true), "valid")
  assert.equal(await run(false), "invalid")
})

/** What the authoritative server says for any question, whoever it is about. */
async function scriptedAuthority(scene: MemoryScene, answer: (id: string) => string): Promise<void> {
  const host = scene.world.host("127.0.0.80")
  scene.dns("_xmpp-server._tcp.victim.example", { SRV: [[0, 0, 5269, "host.victim.example"]] })
  scene.dns("host.victim.example", { A: ["127.0.0.80"] })
  await host.listen.listen({ address: "127.0.0.80", port: 5269 }, (channel) => {
    const act = async () => {
      const header = "<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='victim.example' to='b.example' id='x' version='1.0'>"
      const seen = new Recorder()
      channel.attach(seen)
      channel.resume()
      await seen.untilText("<starttls")
      channel.write(Buffer.from(`${header}<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`))
      channel.release()
      const secured = await host.tls.server(channel, { pick: () => credentialsOf(own("victim.example")), alpn: ["xmpp-server"], signal: new AbortController().signal })
      const under = new Recorder()
      secured.channel.attach(under)
      secured.channel.resume()
      await under.untilText("<stream:stream")
      secured.channel.write(Buffer.from(`${header}<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>`))
      await under.untilText("</db:verify>")
      secured.channel.write(Buffer.from(answer(/ id='([^']*)'>/.exec(under.text)?.[1] ?? "")))
    }
    void act()
  })
}

const wrongAnswers: readonly (readonly [name: string, answer: (id: string) => string])[] = [
  ["for another id", () => "<db:verify from='victim.example' to='b.example' id='another' type='valid'/>"],
  ["for another sender", (id) => `<db:verify from='other.example' to='b.example' id='${id}' type='valid'/>`],
  ["for another target", (id) => `<db:verify from='victim.example' to='c.example' id='${id}' type='valid'/>`],
  ["without an id", () => "<db:verify from='victim.example' to='b.example' type='valid'/>"],
]
for (const [name, answer] of wrongAnswers) {
  test(`attack: a db:verify answer ${name}, on the verification connection itself (DB-14)`, async () => {
    const run = async () => {
      const scene = memoryScene()
      await scriptedAuthority(scene, answer)
      const b = await target(scene, { times: { verification: 3000 } })
      const peer = await pretender(scene, b)
      peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
      await scene.clock.advance(4000)
      await scene.close()
      return /<db:result [^>]*type='([a-z]+)'/.exec(peer.text)?.[1]
    }
    // Weakened: what an answer is about is not compared with what was asked.
    const element = XmlStream.prototype.element
    const blind = async function (this: XmlStream, signal: AbortSignal): Promise<XmlElement> {
      const read = await element.call(this, signal)
      if (read.name !== "verify" || !read.attributes.some((attribute) => attribute.name === "type")) return read
      const asked = /<db:verify [^>]*id='([^']*)'/.exec(sentBy.get(this) ?? "")?.[1] ?? ""
      const fitting = { from: "victim.example", to: "b.example", id: asked, type: "valid" }
      return { ...read, attributes: Object.entries(fitting).map(([key, value]) => ({ prefix: "", ns: "", name: key, value })) }
    }
    const sentBy = new WeakMap<XmlStream, string>()
    const send = XmlStream.prototype.send
    const noting = function (this: XmlStream, xml: string): void {
      sentBy.set(this, (sentBy.get(this) ?? "") + xml)
      send.call(this, xml)
    }
    await patched(XmlStream.prototype, "send", noting, () =>
      patched(XmlStream.prototype, "element", blind, async () => {
        assert.equal(await run(), "valid")
      }),
    )
    assert.equal(await run(), "error")
  })
}

test("attack: db:result answers that nobody asked for, for other pairs and before ours (DB-08, the attack of 2012)", async () => {
  const run = async () => {
    const scene = memoryScene()
    await scriptedInitiation(scene)
    const a = await scene.server({ domains: ["a.example"], require: "encrypted", times: { dialbackAnswer: 1000 } })
    const outcome = await scene.until(a.open("victim.example").then(() => "open", (error: Error) => error.message))
    await scene.close()
    return outcome
  }
  const element = XmlStream.prototype.element
  const blind = async function (this: XmlStream, signal: AbortSignal): Promise<XmlElement> {
    const read = await element.call(this, signal)
    if (read.name !== "result") return read
    const fitting = { from: "victim.example", to: "a.example", type: "valid" }
    return { ...read, attributes: Object.entries(fitting).map(([key, value]) => ({ prefix: "", ns: "", name: key, value })) }
  }
  await patched(XmlStream.prototype, "element", blind, async () => {
    assert.equal(await run(), "open")
  })
  assert.match(await run(), /no answer in time/)
})

/** A server that takes our key and answers about other pairs. */
async function scriptedInitiation(scene: MemoryScene): Promise<void> {
  const host = scene.world.host("127.0.0.81")
  scene.dns("_xmpp-server._tcp.victim.example", { SRV: [[0, 0, 5269, "host.victim.example"]] })
  scene.dns("host.victim.example", { A: ["127.0.0.81"] })
  await host.listen.listen({ address: "127.0.0.81", port: 5269 }, (channel) => {
    const act = async () => {
      const header = openHeader("victim.example", "a.example", " id='x'")
      const seen = new Recorder()
      channel.attach(seen)
      channel.resume()
      await seen.untilText("<starttls")
      channel.write(Buffer.from(`${header}<stream:features/><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`))
      channel.release()
      const secured = await host.tls.server(channel, { pick: () => credentialsOf(own("victim.example")), alpn: ["xmpp-server"], signal: new AbortController().signal })
      const under = new Recorder()
      secured.channel.attach(under)
      secured.channel.resume()
      await under.untilText("<stream:stream")
      secured.channel.write(Buffer.from(`${header}<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>`))
      await under.untilText("</db:result>")
      for (const [from, to] of [["victim.example", "other.example"], ["other.example", "a.example"], ["a.example", "victim.example"]]) {
        secured.channel.write(Buffer.from(`<db:result from='${from}' to='${to}' type='valid'/>`))
      }
    }
    void act()
  })
}

test("attack: the relay of security.md 1: somebody between hands a key on; the level stays encrypted, whatever leg proves it", async () => {
  const run = async (require: "encrypted" | "authenticated") => {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"], require: "encrypted" })
    const b = await scene.server({ domains: ["b.example"], require })
    // The attacker's stream to B, in A's name and without A's certificate.
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", undefined)
    // A does not verify B: it makes the key for the id that the attacker replays to it.
    const key = a.federation.keys.issue(pairOf("a.example", "b.example"), peer.id)
    peer.send(`<db:result from='a.example' to='b.example'>${key}</db:result>`)
    await scene.settle()
    const associations = b.admitted
    await scene.close()
    return associations
  }
  const [relayed] = await run("encrypted")
  assert.ok(relayed !== undefined && typeof relayed.via === "object")
  // Weakened: the leg's own strength would be reported. It is the best there is, and says nothing about the attacker's stream.
  const naive = (association: Association) => (typeof association.via === "object" ? association.via.authoritative.level : association.level)
  assert.equal(naive(relayed), "authenticated")
  assert.equal(relayed.level, "encrypted")
  assert.deepEqual(await run("authenticated"), [])
})

test("attack: the same certificate without its name (DWD-4), and the name without the same certificate", async () => {
  const run = async (shown: ReturnType<typeof own>, held: ReturnType<typeof own>) => {
    const scene = memoryScene()
    await victim(scene, { certificate: held })
    const b = await target(scene)
    const peer = await scene.raw(b)
    await peer.upToFeatures("victim.example", "b.example", credentialsOf(shown))
    peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
    await scene.settle()
    await scene.close()
    return b.of("dialback").map(({ step, answer }) => answer ?? step)
  }
  const mine = own("victim.example")
  assert.deepEqual(await run(mine, mine), ["result-received", "same-certificate", "valid"], "what the rule allows")
  const nameless = own("host.provider.example")
  assert.deepEqual(await run(nameless, nameless), ["result-received", "verify-sent", "invalid", "invalid"])
  assert.deepEqual(await run(own("victim.example"), mine), ["result-received", "verify-sent", "invalid", "invalid"])
})

test("attack: failed claims in the real peer's name, to keep it out (security.md 14)", async () => {
  const run = async (claims?: (clock: Server["federation"]["ports"]["clock"]) => ClaimGuard) => {
    const scene = memoryScene()
    const v = await victim(scene, { mute: true, address: "127.0.1.10" })
    const b = await target(scene, claims === undefined ? {} : { claims })
    for (let time = 0; time < 3; time++) {
      const peer = await pretender(scene, b)
      peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
      await scene.settle()
    }
    const real = await scene.until(v.open("b.example").then(() => "open", (error: Error) => error.message))
    await scene.close()
    return real
  }
  assert.match(await run((clock) => new ClaimsByDomain(clock)), /did not accept our claim/)
  assert.equal(await run(), "open")
})

test("a claimant that failed is not verified again at once: its next claim costs no connection", async () => {
  const scene = memoryScene()
  await victim(scene)
  const b = await target(scene)
  for (let time = 0; time < 3; time++) {
    const peer = await pretender(scene, b)
    peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
    await scene.settle()
  }
  assert.equal(b.of("dialback").filter(({ step }) => step === "verify-sent").length, 1)
  await scene.clock.advance(31_000)
  const peer = await pretender(scene, b)
  peer.send("<db:result from='victim.example' to='b.example'>forged</db:result>")
  await scene.settle()
  assert.equal(b.of("dialback").filter(({ step }) => step === "verify-sent").length, 2)
  await scene.close()
})

test("attack: many claims on one stream: verified at once are no more than the limit, the rest is resource-constraint", async () => {
  const scene = memoryScene()
  scene.world.silent.add("127.0.0.99")
  const b = await target(scene, { pendingClaims: 4 })
  const peer = await scene.raw(b)
  await peer.upToFeatures("s0.example", "b.example", undefined)
  for (let index = 0; index < 10; index++) {
    scene.dns(`_xmpp-server._tcp.s${index}.example`, { SRV: [[0, 0, 5269, "silent.example"]] })
    peer.send(`<db:result from='s${index}.example' to='b.example'>key</db:result>`)
  }
  scene.dns("silent.example", { A: ["127.0.0.99"] })
  await scene.settle()
  assert.equal(peer.text.split("<resource-constraint").length - 1, 6)
  await scene.close()
})

test("attack: a stanza for a pair nobody claimed, on a stream let in by a key (a stanza is never a claim)", async () => {
  const run = async () => {
    const scene = memoryScene()
    const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted" })
    const b = await scene.server({ domains: ["b.example", "rooms.b.example"], require: "encrypted" })
    await scene.server({ domains: ["c.example"] })
    const stream = await scene.until(a.open("b.example"))
    stream.channel.write(message("x@a.example", "y@b.example", "mine"))
    stream.channel.write(message("x@c.example", "y@b.example", "another sender"))
    await scene.settle()
    const rooms = await scene.until(a.open("b.example"))
    rooms.channel.write(message("x@a.example", "y@rooms.b.example", "another target"))
    await scene.settle()
    const verified = b.of("dialback").filter(({ step, pair }) => step === "verify-sent" && pair.sender !== "a.example").length
    await scene.close()
    return { bodies: b.bodies, verified }
  }
  const authorised = IncomingSession.prototype.authorised
  const lax = function (this: IncomingSession, pair: Parameters<typeof authorised>[0]): Association | undefined {
    return authorised.call(this, pair) ?? this.handle.associations()[0]
  }
  await patched(IncomingSession.prototype, "authorised", lax, async () => {
    assert.deepEqual((await run()).bodies, ["mine", "another sender", "another target"])
  })
  assert.deepEqual(await run(), { bodies: ["mine"], verified: 0 })
})

test("DB-23: a question about a domain that is not ours is an error of the question; answered in both states of a stream", async () => {
  const scene = memoryScene()
  const b = await target(scene)
  const key = b.federation.keys.issue(pairOf("b.example", "c.example"), "id1")
  const ask = (peer: RawPeer, to: string, id = "id1") => peer.send(`<db:verify from='c.example' to='${to}' id='${id}'>${key}</db:verify>`)
  const before = await scene.raw(b)
  await before.upToFeatures("c.example", "b.example", undefined)
  const behind = await scene.raw(b)
  await behind.authenticated("c.example", "b.example", credentialsOf(good("c.example")))
  for (const peer of [before, behind]) {
    ask(peer, "b.example")
    await peer.expect("<db:verify from='b.example' to='c.example' id='id1' type='valid'/>")
    ask(peer, "b.example", "id2")
    await peer.expect("<db:verify from='b.example' to='c.example' id='id2' type='invalid'/>")
    ask(peer, "elsewhere.example")
    await peer.expect("<db:verify from='elsewhere.example' to='c.example' id='id1' type='error'><error type='cancel'><item-not-found")
  }
  // Neither question let anything in.
  assert.deepEqual(b.admitted.map(({ via }) => via), ["certificate"])
  await scene.close()
})
