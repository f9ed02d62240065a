// What a stranger can make us connect to (security.md 17), and names that change under mapping (security.md 23).
import assert from "node:assert/strict"
import { test } from "node:test"
import { ClaimGuard, defaultClaimLimits } from "../../src/federation/claim-guard.ts"
import { tryDomain } from "../../src/model/domain.ts"
import { addressText, parseAddress, parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import { credentialsOf, good, memoryScene, message, refusedBy } from "../scenarios/support.ts"

const careful: ReachPolicy = { networks: [parseCidr("127.0.0.0/24")], names: ["example"], ownListeners: [] }
const open: ReachPolicy = { networks: [parseCidr("0.0.0.0/0"), parseCidr("::/0")], names: ["example", "localhost", "internal", "local"], ownListeners: [] }

/** What one claim of inner.example makes us connect to, its DNS being the attacker's. */
async function dialledFor(reach: ReachPolicy, records: { readonly A?: readonly string[]; readonly AAAA?: readonly string[] }, srvTarget = "trap.example"): Promise<{ dialled: string[]; answer: string | undefined }> {
  const scene = memoryScene({ reach })
  for (const written of [...(records.A ?? []), ...(records.AAAA ?? [])]) {
    const address = addressText(parseAddress(written)!)
    const host = scene.world.host(address)
    await host.listen.listen({ address, port: 22 }, (channel) => channel.destroy())
  }
  scene.dns("_xmpp-server._tcp.inner.example", { SRV: [[0, 0, 22, srvTarget]] })
  scene.dns(srvTarget, records)
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const peer = await scene.raw(b)
  await peer.upToFeatures("inner.example", "b.example", undefined)
  peer.send("<db:result from='inner.example' to='b.example'>key</db:result>")
  await scene.clock.advance(9000)
  const dialled = scene.world.connections.map(({ to }) => to.address).filter((address) => address !== b.address.address)
  const answer = /<db:result [^>]*type='error'>(.*?)<\/db:result>/.exec(peer.text)?.[1]
  await scene.close()
  return { dialled: [...new Set(dialled)], answer }
}

const traps: readonly (readonly [name: string, records: { A?: readonly string[]; AAAA?: readonly string[] }])[] = [
  ["another loopback address", { A: ["127.0.9.9"] }],
  ["a private network", { A: ["10.0.0.5", "172.16.0.5", "192.168.0.5"] }],
  ["carrier-grade NAT", { A: ["100.64.0.5"] }],
  ["the link-local metadata address", { A: ["169.254.169.254"] }],
  ["a unique local address", { AAAA: ["fd00::5"] }],
  ["an IPv4-mapped private address", { AAAA: ["::ffff:10.0.0.5"] }],
  ["a private address behind NAT64", { AAAA: ["64:ff9b::a00:5"] }],
  ["multicast", { A: ["224.0.0.5"] }],
]
for (const [name, records] of traps) {
  test(`attack: a claim whose DNS leads to ${name}`, async () => {
    const all = [...(records.A ?? []), ...(records.AAAA ?? [])]
    const red = await dialledFor(open, records)
    assert.ok(red.dialled.length > 0, `without the guard ${all.join()} is dialled`)
    const green = await dialledFor(careful, records)
    assert.deepEqual(green.dialled, [])
    // All ways of not reaching it look alike.
    const dead = await dialledFor(careful, { A: ["127.0.0.77"] })
    assert.equal(green.answer, (await dialledFor(careful, {})).answer)
    assert.equal(green.answer, dead.answer)
  })
}

test("attack: an SRV target that is a special name", async () => {
  for (const target of ["localhost", "metadata.internal", "printer.local"]) {
    assert.ok((await dialledFor(open, { A: ["127.0.0.70"] }, target)).dialled.length > 0, target)
    assert.deepEqual((await dialledFor(careful, { A: ["127.0.0.70"] }, target)).dialled, [], target)
  }
})

test("attack: a domain that resolves to ourselves: our own listeners are never dialled", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  scene.dns("_xmpp-server._tcp.mirror.example", { SRV: [[0, 0, b.address.port, "host.b.example"]] })
  const refused = await refusedBy(scene.until(b.open("mirror.example")))
  assert.equal(refused.failure.finding, "dns.guarded")
  assert.equal(scene.world.connections.length, 0)
  await scene.close()
})

test("names of one label and IP literals are refused before any lookup, as claims and as targets", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const peer = await scene.raw(b)
  await peer.upToFeatures(undefined, "b.example", undefined, "a.example")
  peer.send("<db:result from='intranet' to='b.example'>key</db:result>")
  await scene.settle()
  assert.match(peer.text, /type='error'/)
  assert.deepEqual(scene.world.lookups, [])
  for (const literal of ["10.0.0.5", "0x7f.1", "2130706433", "[::1]", "127.1"]) {
    const other = await scene.raw(b)
    await other.upToFeatures("a.example", "b.example", undefined)
    other.send(`<db:result from='${literal}' to='b.example'>key</db:result>`)
    await other.closed()
    assert.equal(other.condition, "improper-addressing", literal)
  }
  assert.deepEqual(scene.world.lookups, [])
  assert.equal(b.admitted.length, 0)
  await scene.close()
})

test("attack: more connect-backs than one source may cause", async () => {
  const run = async (perSource: number) => {
    const scene = memoryScene()
    scene.world.silent.add("127.0.0.99")
    scene.dns("silent.example", { A: ["127.0.0.99"] })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", claims: (clock) => new ClaimGuard(clock, { ...defaultClaimLimits, perSource }) })
    let refused = 0
    for (let stream = 0; stream < 6; stream++) {
      const peer = await scene.raw(b, `127.0.0.${100 + stream}`)
      await peer.upToFeatures("s.example", "b.example", undefined)
      for (let index = 0; index < 3; index++) {
        scene.dns(`_xmpp-server._tcp.s${stream}-${index}.example`, { SRV: [[0, 0, 5269, "silent.example"]] })
        peer.send(`<db:result from='s${stream}-${index}.example' to='b.example'>key</db:result>`)
      }
      await scene.settle()
      refused += peer.text.split("<resource-constraint").length - 1
    }
    await scene.close()
    return refused
  }
  assert.equal(await run(1000), 0)
  assert.equal(await run(8), 10, "8 of 18 claims of one network are verified at once")
})

// As libraries map: lower case of any script, compatibility forms, soft hyphens, ideographic full stops.
const naive = (text: string): string | undefined => {
  try {
    return new URL(`http://${text}/`).hostname.replace(/\.$/, "")
  } catch {
    return undefined
  }
}
const spellings: readonly (readonly [name: string, text: string])[] = [
  ["the Kelvin sign", "\u212aing.example"],
  ["a full-width letter", "\uff4bing.example"],
  ["an ideographic full stop", "king\u3002example"],
  ["a full-width full stop", "king\uff0eexample"],
  ["a soft hyphen", "ki\u00adng.example"],
  ["a zero width space", "ki\u200bng.example"],
  ["a mathematical letter", "\u{1d424}ing.example"],
]
for (const [name, text] of spellings) {
  test(`attack: a domain that becomes king.example under mapping: ${name}`, async () => {
    assert.equal(naive(text), "king.example", "what a mapping library makes of it")
    assert.equal(tryDomain(text), undefined)
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"] })
    const other = await scene.raw(b)
    other.send(`<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' from='${text}' to='b.example' version='1.0'>`)
    await other.closed()
    assert.equal(other.condition, "improper-addressing")
    const king = await scene.raw(b)
    await king.authenticated("king.example", "b.example", credentialsOf(good("king.example")))
    king.channel.write(message(`x@${text}`, "y@b.example", "spelt otherwise"))
    await king.closed()
    assert.equal(king.condition, "improper-addressing")
    assert.deepEqual(b.delivered, [])
    await scene.close()
  })
}

test("two final dots are refused, one is dropped, and so is ASCII case: components read the canonical domain", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  await peer.authenticated("A.Example.", "B.EXAMPLE", credentialsOf(good("a.example")))
  peer.channel.write(message("x@A.example", "y@b.Example.", "hi"))
  await scene.settle()
  assert.equal(b.delivered.length, 1)
  assert.match(b.delivered[0]!.xml, /from=["']x@a\.example["']/)
  assert.match(b.delivered[0]!.xml, /to=["']y@b\.example["']/)
  peer.channel.write(message("x@a.example..", "y@b.example", "hi"))
  await peer.closed()
  assert.equal(peer.condition, "improper-addressing")
  assert.equal(b.delivered.length, 1)
  await scene.close()
})
