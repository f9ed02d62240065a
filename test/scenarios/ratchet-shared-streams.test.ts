// "Never weaker than last time" where no stream is opened for a pair: further targets, the way back, further senders; and peers
// that only a token proves (security.md 3, 13, 15, 28).
import assert from "node:assert/strict"
import { test } from "node:test"
import { createTokenProoftype } from "../../examples/token-prooftype/token-prooftype.ts"
import type { Direction } from "../../src/model/association.ts"
import type { Domain } from "../../src/model/domain.ts"
import { Memory } from "../../src/federation/memory.ts"
import { Ratchet, type RatchetSettings } from "../../src/federation/ratchet.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { a as domainA, b as domainB, ringOf } from "../examples/token-support.ts"
import { associationWith } from "../federation/ratchet-support.ts"
import { domain, good, type MemoryScene, memoryScene, never, own, pairOf, refusedBy } from "./support.ts"

const day = 86_400_000

/** A ratchet with settings that a test may change, and a week in which a peer was proved. */
function memoryOf(scene: MemoryScene) {
  const settings: { -readonly [key in keyof RatchetSettings]: RatchetSettings[key] } = { mode: "enforce", overrides: [], provesDns: true }
  const ratchet = new Ratchet({ memory: new Memory({ clock: scene.clock }), clock: scene.clock, settings: () => settings })
  const remember = async (peer: Domain, direction: Direction, by: string): Promise<void> => {
    for (const way of ["in", "out"] as const) ratchet.exchanged(peer, way)
    for (const wait of [0, 4, 4]) {
      await scene.clock.advance(wait * day)
      ratchet.associated(associationWith(direction, peer, "authenticated", [by]))
    }
    assert.equal(ratchet.pinned(peer, direction)?.level, "authenticated")
  }
  return { settings, ratchet, remember }
}

const outcomes: readonly (readonly [what: string, settings: Partial<RatchetSettings>, remembered: boolean, carried: boolean])[] = [
  ["a target of which nothing is remembered", { provesDns: false }, false, true],
  ["a target that is held to what its proof reaches", {}, true, true],
  ["without DNSSEC nothing satisfies what is remembered of the target", { provesDns: false }, true, false],
  ["the same, where the ratchet only warns", { provesDns: false, mode: "warn" }, true, true],
]
for (const [what, changed, remembered, carried] of outcomes) {
  test(`a further target by supposition: ${what}: ${carried ? "carried" : "not carried, and nothing is asked"}`, async () => {
    const scene = memoryScene()
    const { settings, ratchet, remember } = memoryOf(scene)
    const a = await scene.server({ domains: ["a.example"], ratchet, uses: { piggyback: true } })
    const b = await scene.server({ domains: ["b.example", "rooms.b.example"], certificate: good("b.example", { names: { dns: ["b.example", "rooms.b.example"] } }) })
    scene.dns("_xmpp-server._tcp.rooms.b.example", { SRV: [[0, 0, b.address.port, "host.b.example"]] })
    if (remembered) await remember(domain("rooms.b.example"), "out", "pkix")
    Object.assign(settings, changed)
    const stream = await scene.until(a.join("b.example"))
    const added = stream.add(pairOf("a.example", "rooms.b.example"), never).then(({ level }) => level, (error: Error) => error.message)
    assert.match(await scene.until(added), carried ? /^authenticated$/ : /^rooms\.b\.example: policy\.ratchet$/)
    assert.equal(a.of("dialback").filter(({ step }) => step === "result-sent").length, carried ? 1 : 0)
    await scene.close()
  })
}

// A's server proves itself where we connect to it; where it connects to us it shows no certificate, and only a key speaks for it.
test("the way back by a verified key is refused to a domain that kept proving more, and a further claim of it, too", async () => {
  for (const [direction, let_in, back] of [[undefined, true, "encrypted"], ["out", true, "refused"], ["in", false, "no way"]] as const) {
    const scene = memoryScene()
    const { ratchet, remember } = memoryOf(scene)
    if (direction !== undefined) await remember(domainA, direction, "pkix")
    const b = await scene.server({ domains: ["b.example"], require: "encrypted", ratchet, uses: { bidi: true } })
    const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted", uses: { bidi: true } })
    await scene.until(a.join("b.example").then(() => undefined, () => undefined))
    await scene.settle()
    assert.equal(b.admitted.length === 1, let_in, `${direction}`)
    const way = b.ways[0]?.stream
    const added = way?.add(pairOf("b.example", "a.example"), never).then(({ level }) => level as string, () => "refused")
    assert.equal(await scene.until(added ?? Promise.resolve("no way")), back)
    await scene.close()
  }
})

test("the way back that lives ends when what is remembered of the peer comes to bind", async () => {
  const scene = memoryScene()
  const { ratchet, remember } = memoryOf(scene)
  const b = await scene.server({ domains: ["b.example"], require: "encrypted", ratchet, uses: { bidi: true } })
  const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted", uses: { bidi: true } })
  await scene.until(a.join("b.example"))
  await scene.settle()
  const back = b.ways[0]!.stream
  await scene.until(back.add(pairOf("b.example", "a.example"), never))
  await remember(domainA, "out", "dane")
  b.reload({})
  assert.deepEqual([back.associations(), b.findings], [[], ["policy.ratchet"]])
  await scene.close()
})

test("a peer that only a token proves is held to its level as any other: without the token it is refused, until an override or its own time ends that", async () => {
  const scene = memoryScene()
  const { settings, ratchet, remember } = memoryOf(scene)
  const tokens = createTokenProoftype(ringOf(domainA))
  const a = await scene.server({ domains: ["a.example"], certificate: own("a.example"), require: "encrypted", ratchet, prooftypes: [pkix, tokens] })
  await scene.server({ domains: ["b.example"], certificate: own("b.example"), require: "encrypted", prooftypes: [pkix, createTokenProoftype(ringOf(domainB))] })
  await remember(domainB, "out", "token")
  const proved = await scene.until(a.open("b.example"))
  assert.deepEqual([proved.association.level, proved.association.verdict.by], ["authenticated", "token"])
  // No DNS answer withdraws a token: that it is in use no longer is the operator's own doing, and his to write down.
  a.reload({ prooftypes: [pkix] })
  assert.equal((await scene.until(proved.closed)).condition, "reset")
  assert.equal((await scene.until(refusedBy(a.open("b.example")))).failure.finding, "policy.ratchet")
  settings.overrides = [{ peer: domainB, until: scene.clock.now() + day, why: "tokens were given up" }]
  assert.equal((await scene.until(a.open("b.example"))).association.level, "encrypted")
  await scene.close()
})

test("a token is for the pair of its stream: a further sender of ours, and the way back, go by a connection of their own", async () => {
  const scene = memoryScene()
  const uses = { bidi: true, piggyback: true }
  const tokens = (of: Domain) => [pkix, createTokenProoftype(ringOf(of))]
  const a = await scene.server({ domains: ["a.example"], certificate: own("a.example"), prooftypes: tokens(domainA), uses })
  const b = await scene.server({ domains: ["b.example"], certificate: own("b.example"), prooftypes: tokens(domainB), uses })
  const stream = await scene.until(a.join("b.example"))
  await scene.eventually("it is let in", () => b.admitted.length === 1)
  const back = await scene.until(b.join("a.example"))
  assert.deepEqual([stream.association.verdict.by, back.association.verdict.by, scene.world.connections.length], ["token", "token", 2])
  await assert.rejects(stream.add(pairOf("c.example", "b.example"), never))
  await scene.close()
})
