// The first message to a domain in round trips, DNS apart: to a stranger, to a peer that is remembered, between two of ours
// (security.md 24); and what becomes of short cuts that a peer does not take any more.
import assert from "node:assert/strict"
import { test } from "node:test"
import { Abilities, fingerprintOf } from "../../src/federation/abilities.ts"
import { Memory } from "../../src/federation/memory.ts"
import type { StreamUses } from "../../src/federation/contract.ts"
import type { FederationPorts } from "../../src/federation/contract.ts"
import { alteredText } from "../world/middle.ts"
import { credentialsOf, domain, good, memoryScene, message, type MemoryScene, openHeader, auth, type Server } from "./support.ts"

const oneWay = 25
const remembering = (clock: FederationPorts["clock"]): Abilities => new Abilities(new Memory({ clock }), clock)
const pipelining = { uses: { pipelining: true } }

/** In round trips, from the wish to send until the stanza is delivered. */
async function firstMessage(scene: MemoryScene, from: Server, to: Server): Promise<number> {
  const began = scene.clock.monotonic()
  const had = to.bodies.length
  const stream = await scene.until(from.join(to.name))
  stream.channel.write(message(`x@${from.name}`, `y@${to.name}`))
  while (to.bodies.length === had) await scene.clock.advance(oneWay / 5)
  // The world in memory connects at once; TCP takes a round trip for it.
  const taken = 1 + (scene.clock.monotonic() - began) / (2 * oneWay)
  stream.close()
  await scene.until(stream.closed)
  return taken
}

async function couple(options: { theirs?: Partial<StreamUses>; middle?: (text: string, towards: "server" | "client") => string } = {}) {
  const { middle } = options
  const scene = memoryScene({ link: () => ({ latency: oneWay, ...(middle === undefined ? {} : { middle: alteredText(middle) }) }) })
  const a = await scene.server({ domains: ["a.example"], ...pipelining, abilities: remembering })
  const b = await scene.server({ domains: ["b.example"], uses: options.theirs ?? {} })
  return { scene, a, b }
}

test("a stranger: at most 6.5", async () => {
  const { scene, a, b } = await couple()
  assert.ok((await firstMessage(scene, a, b)) <= 6.5 + 0.1)
  await scene.close()
})

test("a peer without pipelining that took our certificate before: at most 5.5, and authentication follows the header", async () => {
  const { scene, a, b } = await couple()
  await firstMessage(scene, a, b)
  const again = await firstMessage(scene, a, b)
  assert.ok(again <= 5.5 + 0.1, `${again}`)
  assert.deepEqual(b.findings, [])
  await scene.close()
})

test("two of ours that know each other: at most 4.5 by STARTTLS", async () => {
  const { scene, a, b } = await couple({ theirs: { pipelining: true } })
  await firstMessage(scene, a, b)
  const again = await firstMessage(scene, a, b)
  assert.ok(again <= 4.5 + 0.1, `${again}`)
  assert.equal(b.of("external").filter(({ result }) => result === "accepted").length, 2)
  await scene.close()
})

test("two of ours that know each other: at most 3.5 by Direct TLS", async () => {
  const scene = memoryScene({ link: () => ({ latency: oneWay }) })
  const b = await scene.server({ domains: ["b.example"], ...pipelining, unlisted: true })
  const host = scene.world.host("127.0.0.77")
  const listener = await host.listen.listen({ address: "127.0.0.77", port: 5270 }, (channel) => void b.accept(channel, "direct-tls"))
  const override = { address: "127.0.0.77", port: 5270, transport: "direct-tls" as const }
  const a = await scene.server({ domains: ["a.example"], ...pipelining, abilities: remembering, overrides: { "b.example": override } })
  await firstMessage(scene, a, b)
  const again = await firstMessage(scene, a, b)
  assert.ok(again <= 3.5 + 0.1, `${again}`)
  await listener.close()
  await scene.close()
})

test("another certificate of ours than the peer took: the long way again", async () => {
  const { scene, a, b } = await couple({ theirs: { pipelining: true } })
  await firstMessage(scene, a, b)
  const renewed = credentialsOf(good("a.example"))
  a.reload({ credentials: () => renewed })
  assert.ok((await firstMessage(scene, a, b)) > 5.6)
  assert.ok((await firstMessage(scene, a, b)) <= 4.6, "and it is remembered, too")
  await scene.close()
})

test("the switch for the peer is off: nothing is sent ahead, whatever is remembered", async () => {
  const { scene, a, b } = await couple({ theirs: { pipelining: true } })
  await firstMessage(scene, a, b)
  a.reload({ uses: () => ({ bidi: false, piggyback: false, streamManagement: false, pipelining: false }) })
  assert.ok((await firstMessage(scene, a, b)) > 5.6)
  await scene.close()
})

// A surprise: what the peer took before it does not take now.
const surprises: readonly (readonly [what: string, alter: (text: string) => string])[] = [
  ["it offers SASL EXTERNAL no more, and ends the stream", (text) => text.replace("<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>", "")],
  ["it refuses", (text) => text.replace("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")],
  ["it ends the stream", (text) => text.replace("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>", "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>")],
]
for (const [what, alter] of surprises)
  test(`clean fall-back: ${what}`, async () => {
    // Changed on one connection only: the one after the first.
    let connections = 0
    let changed = -1
    const scene = memoryScene({
      link: () => {
        const mine = connections++
        return { latency: oneWay, middle: alteredText((text, towards) => (mine === changed && towards === "client" ? alter(text) : text)) }
      },
    })
    const a = await scene.server({ domains: ["a.example"], ...pipelining, abilities: remembering })
    const b = await scene.server({ domains: ["b.example"], ...pipelining })
    await firstMessage(scene, a, b)
    changed = connections
    const surprised = await firstMessage(scene, a, b)
    assert.equal(b.bodies.length, 2, "it was delivered all the same")
    assert.ok(surprised > 6.5)
    assert.equal(connections, changed + 2, "one connection more")
    // Learnt again on the connection that went well.
    assert.ok((await firstMessage(scene, a, b)) <= 4.6)
    await scene.close()
  })

test("a peer whose tickets ask for an acknowledgement: a space behind what went ahead, and no XML declaration behind the space", async () => {
  // Tickets come when the peer has read the end of our handshake, a round trip behind our header; its answer is held back.
  const asking = (ports: FederationPorts): FederationPorts => ({
    ...ports,
    tls: {
      ...ports.tls,
      client: async (channel, options) => ({
        ...(await ports.tls.client(channel, options)),
        tickets: (heard) => ports.clock.after(2 * oneWay - 1, () => heard(1)),
      }),
    },
  })
  const said: string[] = []
  const heardInXml = alteredText((text, towards) => {
    if (towards === "server") said.push(text)
    return text
  })
  const maskedSpace = 0x20 ^ 0x5a
  const link = () => ({
    latency: oneWay,
    middle: (bytes: Buffer, towards: "server" | "client") => {
      if (towards === "server" && bytes.length === 1 && bytes[0] === maskedSpace) said.push(" ")
      return heardInXml(bytes, towards)
    },
  })
  const scene = memoryScene({ link })
  const a = await scene.server({ domains: ["a.example"], ...pipelining, abilities: remembering, ports: asking })
  const b = await scene.server({ domains: ["b.example"] })
  await firstMessage(scene, a, b)
  const declared = (texts: readonly string[]): number => texts.join("").split("<?xml").length - 1
  // In clear, after TLS, after authentication; the space before authentication is read where it stands.
  assert.deepEqual([declared(said), said.includes(" ")], [3, true])
  said.length = 0
  const again = await firstMessage(scene, a, b)
  assert.ok(again <= 5.5 + 0.1, `${again}`)
  const [ahead, space, restarted] = said.slice(said.findIndex((text) => text.includes("<auth")))
  assert.match(ahead!, /^<\?xml.*<auth/)
  assert.equal(space, " ")
  assert.match(restarted!, /^<stream:stream/)
  assert.equal(b.bodies.length, 2)
  await scene.close()
})

test("nothing goes ahead of our own verdict: a server that is not proven gets a header and no more", async () => {
  const { scene, a, b } = await couple({ theirs: { pipelining: true } })
  await firstMessage(scene, a, b)
  const known = a.federation.abilities?.recall(domain("b.example"))
  assert.equal(known?.accepts(fingerprintOf(a.hosting.credentials(domain("a.example"))!)), true)
  // Encryption is enough now, and what b shows proves nothing any more.
  a.reload({ policy: { require: "encrypted", proofs: new Set() }, prooftypes: [] })
  const took = await firstMessage(scene, a, b)
  assert.ok(took > 5.6, `${took}`)
  await scene.close()
})

test("receiving: header, authentication and header in one flight; what stands behind them is read in order", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"], ...pipelining })
  const peer = await scene.raw(b)
  await peer.header("a.example", "b.example")
  peer.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
  await peer.expect("<proceed")
  await peer.secure(credentialsOf(good("a.example")), "b.example")
  const header = openHeader("a.example", "b.example")
  peer.send(header + auth() + header + message("x@a.example", "y@b.example", "in the same flight").toString())
  await peer.expect("<success")
  await scene.settle()
  assert.match(peer.text, /<pipelining xmlns='urn:xmpp:features:pipelining'\/>/)
  assert.deepEqual(b.bodies, ["in the same flight"])
  await scene.close()
})
