// DANE with Debian's Prosody, whose libunbound validates our signed zones from our anchor: it connects to us by TLSA alone, is
// stopped by a stale record, and is proven here by its own TLSA, each way (RFC 7673, RFC 7712 5.1).
import assert from "node:assert/strict"
import { after, test } from "node:test"
import { createResolver } from "../../src/dns/resolver.ts"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import { Internet, type LabServer, type LabTlsa } from "../../src/lab/internet.ts"
import { publish } from "../../src/lab/publish.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"
import { labPorts } from "../lab/support.ts"
import { type Bot, startBot } from "./bot.ts"
import { startProsody } from "./peers/prosody.ts"
import { startUnbound } from "./peers/unbound.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import { createWorld } from "./world.ts"

const skip = peerMissing("prosody")
const world = await createWorld()
after(() => world.end())
const ee: LabTlsa = { usage: 3, selector: 1, matching: 1 }

interface Stage {
  readonly net: Internet
  readonly bot: Bot
  readonly server: Awaited<ReturnType<typeof startProsody>>
}

/** A lab with a strict Prosody in it, self-signed, whose TLSA is as told; nobody here has a certificate of a known authority. */
async function stage(label: string, tlsa: readonly LabTlsa[]): Promise<Stage> {
  const net = await Internet.start(labPorts)
  world.add({ close: () => net.close() })
  const address = await world.address()
  const names = [`${label}.example`, `bot.${label}.example`]
  const certificate = selfSigned({ now: Date.now(), names: { dns: names } })
  for (const domain of names) {
    const targets = [{ name: `xmpp.${domain}`, tlsa }]
    publish(net.signed.zones, { domain, zone: { targets }, s2s: { address, port: 5269 }, transport: "starttls", certificate, issuer: certificate })
  }
  const secret = world.secret()
  const identity = { chainPem: certificate.chainPem, keyPem: certificate.keyPem }
  const server = await startProsody({
    address,
    domains: [{ name: names[0]!, identity, components: [{ name: names[1]!, secret, identity }] }],
    dns: net.dns,
    caPem: net.authority.certificate.pem,
    secureAuth: true,
    dialback: false,
    debug: true,
    trustAnchors: net.signed.zones.anchorText,
  })
  world.add(server)
  const bot = world.add(await startBot({ domain: names[1]!, secret, server: server.component }))
  return { net, bot, server }
}

/** How each association of the server came to be: direction, level, and which prooftype proved it. */
function proofs({ events }: LabServer): readonly string[] {
  return events.flatMap((event) => (event.kind === "associated" ? [`${event.direction} ${event.association.level} ${event.association.verdict.outcome} by ${event.association.verdict.by}`] : []))
}

/** Bodies that arrive at components of ours from now on. */
function bodies(net: Internet): string[] {
  const seen: string[] = []
  net.observe({
    message: (_domain, message) => {
      if (message.kind === "received") seen.push(message.body)
    },
  })
  return seen
}

test("Prosody connects to us: both self-signed, both proven by DANE alone", { skip }, async () => {
  const { net, bot, server } = await stage("prosody-dane", [ee])
  const seen = bodies(net)
  const ours = await net.addServer({ domain: "ours.example", certificate: { from: "self" }, validates: true, zone: { targets: [{ name: "xmpp.ours.example", tlsa: [ee] }] } })
  bot.say("bot@ours.example", "by TLSA")
  await net.until("their message", () => seen.find((body) => body === "by TLSA"), 15_000)
  // Prosody is strict and knows only the lab's root: it believed our certificate by TLSA and by nothing else.
  await server.waitForLog(/Enabling DANE with 1 TLSA records/)
  await server.waitForLog(/certificate chain validation result: valid/)
  await server.waitForLog(/SASL EXTERNAL with ours\.example succeeded/)
  assert.deepEqual(proofs(ours), ["in authenticated proved by dane"])
  peerUsed("prosody")
})

test("we connect to Prosody by DANE; it takes us by PKIX, for 0.12 knows DANE only of those it connects to", { skip }, async () => {
  const { net, bot } = await stage("prosody-met", [{ usage: 3, selector: 0, matching: 2 }])
  const ours = await net.addServer({ domain: "meet.example", validates: true, zone: {} })
  ours.component.message("hello", "bot@meet.example", `bot@${bot.domain}`, "by their TLSA")
  await bot.waitFor("<body>by their TLSA</body>", 15_000)
  assert.deepEqual(proofs(ours), ["out authenticated proved by dane"])
  peerUsed("prosody")
})

test("a TLSA record of ours that is stale stops Prosody, though PKIX would hold", { skip }, async () => {
  const { net, bot, server } = await stage("prosody-stale", [ee])
  const seen = bodies(net)
  const late = { domain: "late.example", validates: true }
  const ours = await net.addServer({ ...late, zone: { targets: [{ name: "xmpp.late.example", tlsa: [{ ...ee, of: "stale" }] }] } })
  bot.say("bot@late.example", "to a stale record")
  await server.waitForLog(/Enabling DANE with 1 TLSA records/)
  const bounce = await bot.waitFor(/type=.error./, 20_000)
  assert.match(bounce, /certificate/)
  assert.deepEqual(seen, [])
  assert.deepEqual(proofs(ours), [])
  peerUsed("prosody")
})

test("a TLSA record of Prosody's that is stale stops us", { skip }, async () => {
  const { net, bot } = await stage("prosody-theirs", [{ ...ee, of: "stale" }])
  const ours = await net.addServer({ domain: "wary.example", certificate: { from: "self" }, validates: true, zone: { targets: [{ name: "xmpp.wary.example", tlsa: [ee] }] } })
  ours.component.message("never", "bot@wary.example", `bot@${bot.domain}`, "to the former key")
  const outcome = await net.until("the bounce", () => net.outcome(ours.domain, "never"), 15_000)
  assert.equal(outcome.kind, "bounced")
  assert.match(outcome.kind === "bounced" ? outcome.text : "", /\[dane\.mismatch\]$/)
  assert.deepEqual(proofs(ours), [])
  peerUsed("prosody")
})

for (const [mode, dnssec] of [
  ["validate", (net: Internet) => ({ anchors: net.signed.zones.anchors })],
  ["trust-ad", () => "trust-ad" as const],
] as const) {
  test(`DANE through Debian's unbound, mode ${mode}: proven, stale and bogus records refused`, { skip: peerMissing("unbound") }, async () => {
    const net = await Internet.start(labPorts)
    world.add({ close: () => net.close() })
    const at = { address: await world.address(), port: 5353 }
    const forwardTo = { address: net.dns.address, port: net.dns.port }
    const unbound = world.add(await startUnbound({ at, forwardTo, anchors: net.signed.zones.anchorText }))
    const resolver = createResolver({ dnssec: dnssec(net), upstreams: [unbound.address], transport: nodeDnsTransport(), clock: systemClock, random: systemRandom })
    assert.deepEqual(await resolver.ability(AbortSignal.timeout(10_000)), { able: true })
    const self = { certificate: { from: "self" }, validates: true } as const
    const served = (name: string, tlsa: LabTlsa, bogusTlsa = false) => ({ targets: [{ name: `xmpp.${name}`, tlsa: [tlsa], bogusTlsa }] })
    const good = await net.addServer({ ...self, domain: "good.example", zone: served("good.example", ee), alterResolver: () => resolver })
    await net.addServer({ ...self, domain: "peer.example", zone: served("peer.example", ee) })
    await net.addServer({ domain: "late.example", validates: true, zone: served("late.example", { ...ee, of: "stale" }) })
    await net.addServer({ domain: "torn.example", validates: true, zone: served("torn.example", ee, true) })
    const outcome = async (to: string) => {
      const id = net.say(good, net.server(to), "through unbound")
      return await net.until(`the message to ${to}`, () => net.outcome(net.server(to).domain, id) ?? net.outcome(good.domain, id), 15_000)
    }
    assert.equal((await outcome("peer.example")).kind, "received")
    assert.deepEqual(proofs(good), ["out authenticated proved by dane"])
    const association = good.events.flatMap((event) => (event.kind === "associated" ? [event.association] : []))[0]!
    const attested = association.evidence().flatMap(({ material }) => (material as { tlsa?: { validatedBy: string }[] }).tlsa ?? [])
    // security.md 16: who validated is said, and another's word is never taken for signatures.
    assert.deepEqual([...new Set(attested.map(({ validatedBy }) => validatedBy))], [mode === "validate" ? "self" : `resolver ${at.address}:${at.port}`])
    for (const [to, finding] of [
      ["late.example", "dane.mismatch"],
      ["torn.example", "dane.tlsa-bogus"],
    ] as const) {
      const bounced = await outcome(to)
      assert.equal(bounced.kind, "bounced", to)
      assert.match(bounced.kind === "bounced" ? bounced.text : "", new RegExp(`\\[${finding}\\]$`), to)
    }
    peerUsed("unbound")
  })
}
