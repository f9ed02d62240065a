// Seed section 9, RFC 7712 7: what a prooftype is, and one that a user brings at run time: used in both directions.
import assert from "node:assert/strict"
import { test } from "node:test"
import { createTokenProoftype } from "../../examples/token-prooftype/token-prooftype.ts"
import type { ServerProof, Verdict } from "../../src/model/verdict.ts"
import { builtInProoftypes, selectProoftypes } from "../../src/proof/registry.ts"
import type { AnyProoftype, Prooftype } from "../../src/proof/prooftype.ts"
import { a as domainA, b as domainB, ringOf } from "../examples/token-support.ts"
import { good, memoryScene, message, own, refusedBy, type ServerOptions } from "./support.ts"

/** The smallest one there can be: a list of certificates that somebody has seen with their own eyes. */
function byEye(seen: ReadonlyMap<string, Uint8Array>): Prooftype<"by-eye", Uint8Array | null> {
  return {
    name: "by-eye",
    // (1) the nature of the proof: the certificate shown; (2) the rule: octet for octet the one on the list.
    match: ({ chain: [shown] }: ServerProof, listed, _reference, at): Verdict => {
      if (listed === null) return { outcome: "absent", by: "by-eye", finding: "cert.none-shown", detail: "not on the list" }
      if (shown !== undefined && Buffer.from(shown).equals(listed)) return { outcome: "proved", by: "by-eye", detail: "seen", until: at + 3_600_000 }
      return { outcome: "refuted", by: "by-eye", finding: "cert.self-signed", detail: "another one was seen" }
    },
    // (3) how the material is obtained: it is at hand; (4) so it does not depend on secure DNS.
    obtain: ({ source }) => seen.get(source) ?? null,
    atHand: true,
    needsSecureDns: false,
    binding: () => false,
    record: (listed) => (listed === null ? null : Buffer.from(listed).toString("base64")),
    revive: (recorded) => ({ material: typeof recorded === "string" ? Buffer.from(recorded, "base64") : null }),
    facts: () => [],
  }
}

const aCertificate = own("a.example")
const bCertificate = own("b.example")
const seen = new Map([["a.example", aCertificate.der], ["b.example", bCertificate.der]])

/** Two servers whose certificates nobody issued. */
async function two(ofA: Partial<ServerOptions>, ofB: Partial<ServerOptions>) {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], certificate: aCertificate, ...ofA })
  const b = await scene.server({ domains: ["b.example"], certificate: bCertificate, ...ofB })
  return { scene, a, b }
}

test("S9.1: every prooftype declares the four things, the built-in ones and a user's alike", () => {
  for (const prooftype of [...builtInProoftypes, byEye(seen), createTokenProoftype(ringOf(domainA))] as readonly AnyProoftype[]) {
    assert.equal(typeof prooftype.match, "function", `${prooftype.name}: the proof and its matching rules`)
    assert.equal(typeof prooftype.obtain, "function", `${prooftype.name}: how the material is obtained`)
    assert.equal(typeof prooftype.needsSecureDns, "boolean", `${prooftype.name}: whether it depends on secure DNS`)
    assert.equal(typeof prooftype.binding, "function", prooftype.name)
  }
  // Where it depends on DNS, it also says what the connection has to be like before anything goes over it.
  for (const { needsSecureDns, terms } of builtInProoftypes) if (needsSecureDns) assert.equal(typeof terms, "function")
})

const brought: readonly (readonly [name: string, ofA: AnyProoftype, ofB: AnyProoftype])[] = [
  ["by-eye", byEye(seen), byEye(seen)],
  ["token", createTokenProoftype(ringOf(domainA)), createTokenProoftype(ringOf(domainB))],
]

for (const [name, ofA, ofB] of brought) {
  test(`S9.1: a prooftype of the user's, ${name}, proves both servers to each other, each way`, async () => {
    const { scene, a, b } = await two({ prooftypes: [...selectProoftypes(new Set(["pkix"])), ofA] }, { prooftypes: [...selectProoftypes(new Set(["pkix"])), ofB] })
    const there = await scene.until(a.open("b.example"))
    const back = await scene.until(b.open("a.example"))
    for (const { association } of [there, back]) assert.deepEqual([association.level, association.verdict.by, association.via], ["authenticated", name, "certificate"])
    await scene.settle()
    assert.deepEqual([a, b].map(({ admitted }) => admitted.map(({ level, verdict }) => [level, verdict.by])), [[["authenticated", name]], [["authenticated", name]]])
    there.channel.write(message("x@a.example", "y@b.example", "there"))
    back.channel.write(message("y@b.example", "x@a.example", "back"))
    await scene.settle()
    assert.deepEqual([b.bodies, a.bodies], [["there"], ["back"]])
    await scene.close()
  })

  test(`S9.1: without it the same two refuse each other: ${name}`, async () => {
    const { scene, a, b } = await two({ prooftypes: [...selectProoftypes(new Set(["pkix"])), ofA] }, {})
    await scene.until(refusedBy(a.open("b.example")))
    await scene.until(refusedBy(b.open("a.example")))
    await scene.settle()
    assert.deepEqual([a.delivered, b.delivered], [[], []])
    await scene.close()
  })
}

test("S9.1: it speaks beside the others and over none of them: what it refutes PKIX may still prove", async () => {
  const others = new Map([["b.example", aCertificate.der]])
  const { scene, a } = await two({ certificate: good("a.example"), prooftypes: [...selectProoftypes(new Set(["pkix"])), byEye(others)] }, { certificate: good("b.example") })
  const { association } = await scene.until(a.open("b.example"))
  assert.equal(association.verdict.by, "pkix")
  assert.deepEqual(association.verdicts.map(({ by, outcome }) => [by, outcome]), [["pkix", "proved"], ["by-eye", "refuted"]])
  await scene.close()
})

test("S9.1: it can take no built-in name", () => {
  assert.throws(() => selectProoftypes(new Set(["pkix"]), { extra: [{ ...(byEye(seen) as AnyProoftype), name: "pkix" }] }), /two prooftypes are called pkix/)
})
