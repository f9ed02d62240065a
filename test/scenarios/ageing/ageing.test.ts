// Proofs that grow old under traffic, in any order, and the same against copies that are weakened in one place (security.md 9-13; DANE-30,
// POSH-17, TLS-14). Longer runs: fuzz.ts.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { Outbound } from "../../../src/federation/outbound.ts"
import { Ratchet } from "../../../src/federation/ratchet.ts"
import { Watch } from "../../../src/federation/renewal.ts"
import type { GatewayOptions } from "../../../src/gateway/contract.ts"
import { dane } from "../../../src/proof/dane.ts"
import type { AnyProoftype } from "../../../src/proof/prooftype.ts"
import { patched } from "../../attacks/weakened.ts"
import { type Facts, hour, minute } from "./facts.ts"
import { Ageing, emptyTally, play } from "./play.ts"

test("whatever changes and whenever, a stanza goes where something proves it now, is not interrupted while that lasts, and is never lost", async () => {
  const tally = emptyTally()
  await fc.assert(fc.asyncProperty(play(30), (drawn) => Ageing.play(drawn, { tally })), { numRuns: 50, seed: 1711 })
  assert.ok(tally.carried > 150 && tally.bounced > 20 && tally.calm > 20 && tally.steady > 80 && tally.looks > 100 && tally.warned > 0, JSON.stringify(tally))
})

describe("red: the same plays find what is missing", () => {
  /** @param wish for how the plays begin, beside chance */
  const found = async (gateway: GatewayOptions = {}, wish: Partial<Facts> = {}, seed = 1711): Promise<string> => {
    const plays = play(30).map((drawn) => ({ ...drawn, remembered: drawn.remembered || wish.ratchet === "enforce", facts: { ...drawn.facts, ...wish } }))
    const result = await fc.check(fc.asyncProperty(plays, (drawn) => Ageing.play(drawn, { gateway })), { numRuns: 150, seed, endOnFailure: true })
    assert.ok(result.failed, "nothing was found")
    return result.errorInstance instanceof Error ? result.errorInstance.message : String(result.errorInstance)
  }
  /** One prooftype, changed. */
  const withProof = (name: string, change: (prooftype: AnyProoftype) => Partial<AnyProoftype>): GatewayOptions => ({
    alterHosting: (hosting) => ({ ...hosting, prooftypes: hosting.prooftypes.map((each) => (each.name === name ? { ...each, ...change(each) } : each)) }),
  })
  const unproven: Partial<Facts> = { shown: "own", tlsa: [], posh: [], dns: "says", require: "encrypted", ratchet: "off" }
  const weak: Partial<Facts> = { ...unproven, ratchet: "enforce" }
  const listed: Partial<Facts> = { ...unproven, posh: ["own"], web: "says", rooted: true, require: "authenticated" }
  const never = () => ({ from: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY })

  test("nothing is asked for again: what is in order is interrupted", () =>
    patched(Watch.prototype, "arm", () => undefined, async () => assert.match(await found(), /needed another connection|was not delivered|came 0 times and bounced 0/)))

  test("a reload judges nothing again", () => patched(Outbound.prototype, "recheck", () => undefined, async () => assert.match(await found({}, unproven), /left, .* nothing proves it any more/)))

  test("a document is not asked for again before its end", async () => assert.match(await found(withProof("posh", () => ({ ageing: never })), listed), /nothing proves it any more|needed another connection/))

  test("DNS is asked every ten minutes", async () => {
    const busy = withProof("dane", () => ({ ageing: (material) => ({ ...dane.ageing!(material), from: material.at + 10 * minute }) }))
    assert.match(await found(busy, { shown: "own", tlsa: ["own"], dns: "says" }), /too many looks/)
  })

  test("what DNS said once serves for ever while DNS is silent", async () => {
    const patient = withProof("dane", () => ({
      match: (proof, material, reference, at) => {
        const verdict = dane.match(proof, material, reference, Math.min(at, material.at))
        return verdict.outcome === "proved" ? { ...verdict, until: at + hour } : verdict
      },
    }))
    assert.match(await found(patient, { shown: "own", tlsa: ["own"], posh: [], dns: "says", require: "authenticated" }), /nothing proves it any more/)
  })

  test("the ratchet holds nobody to anything", () => patched(Ratchet.prototype, "raise", (requirement) => requirement, async () => assert.match(await found({}, weak), /it has kept proving more/)))

  test("nobody is told", () => patched(Ratchet.prototype, "associated", () => undefined, async () => assert.match(await found({}, { ...weak, ratchet: "warn" }), /nobody was told/)))

  test("an override has no end", () => {
    const { raise } = Ratchet.prototype
    const forever: Ratchet["raise"] = function (this: Ratchet, requirement, peer, direction) {
      const { until: _, ...raised } = raise.call(this, requirement, peer, direction, 0)
      return raised
    }
    return patched(Ratchet.prototype, "raise", forever, async () => assert.match(await found({}, weak), /it has kept proving more/))
  })
})
