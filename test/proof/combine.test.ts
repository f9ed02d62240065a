// `combine`, the one table that weighs verdicts (security.md 4), against every combination of three verdicts.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { FindingId } from "../../src/model/findings.ts"
import type { Role, Verdict } from "../../src/model/verdict.ts"
import { combine, type WeighedVerdict } from "../../src/proof/prove.ts"

const outcomes = ["proved", "refuted", "absent", "unavailable"] as const

function verdict(outcome: (typeof outcomes)[number], by: string, finding: FindingId = "cert.unknown-root"): Verdict {
  return outcome === "proved" ? { outcome, by, detail: "", until: 10 } : { outcome, by, finding, detail: by }
}

function* triples(): Generator<WeighedVerdict[]> {
  for (const one of outcomes) {
    for (const two of outcomes) {
      for (const dane of outcomes) {
        for (const binding of [false, true]) {
          yield [
            { verdict: verdict(one, "pkix"), binding: false },
            { verdict: verdict(two, "posh"), binding: false, dispensable: true },
            { verdict: verdict(dane, "dane"), binding },
          ]
        }
      }
    }
  }
}

/** The rule in words, written a second time. */
function expected(weighed: readonly WeighedVerdict[], role: Role): string {
  const bound = weighed.filter(({ binding }) => binding).map(({ verdict }) => verdict.outcome)
  if (bound.includes("refuted")) return "stop"
  if (role === "outgoing" && bound.includes("unavailable")) return "stop"
  const all = weighed.map(({ verdict }) => verdict.outcome)
  for (const outcome of ["proved", "unavailable", "refuted"]) if (all.includes(outcome as never)) return outcome
  return "absent"
}

for (const role of ["outgoing", "incoming"] as const) {
  test(`${role}: all 128 combinations, in every order`, () => {
    let seen = 0
    for (const triple of triples()) {
      const [x, y, z] = triple as [WeighedVerdict, WeighedVerdict, WeighedVerdict]
      for (const order of [[x, y, z], [x, z, y], [y, x, z], [y, z, x], [z, x, y], [z, y, x]]) {
        const combined = combine(order, role)
        assert.equal(combined.outcome, expected(triple, role))
        assert.deepEqual(combined, combine(triple, role), "the order must not show")
      }
      seen += 1
    }
    assert.equal(seen, 128)
  })
}

test("where nothing is unavailable but what a dispensable prooftype could not find out, a refutation speaks, and the outcome stays", () => {
  const speaks = (pkix: (typeof outcomes)[number], posh: (typeof outcomes)[number], dane: (typeof outcomes)[number], finding: FindingId = "posh.unreachable") => {
    const combined = combine([{ verdict: verdict(pkix, "pkix"), binding: false }, { verdict: verdict(posh, "posh", finding), binding: false, dispensable: true }, { verdict: verdict(dane, "dane", finding), binding: false }], "outgoing")
    return `${combined.outcome} by ${combined.verdict.by}`
  }
  assert.equal(speaks("refuted", "unavailable", "absent"), "unavailable by pkix")
  assert.equal(speaks("refuted", "unavailable", "absent", "posh.bad-json"), "unavailable by posh")
  assert.equal(speaks("absent", "unavailable", "absent"), "unavailable by posh")
  assert.equal(speaks("refuted", "absent", "unavailable"), "unavailable by dane")
  assert.equal(speaks("refuted", "unavailable", "unavailable"), "unavailable by dane")
})

test("unavailable never becomes absent, and nothing asked proves nothing", () => {
  assert.equal(combine([{ verdict: verdict("unavailable", "posh"), binding: false }, { verdict: verdict("absent", "pkix"), binding: false }], "outgoing").outcome, "unavailable")
  assert.equal(combine([], "incoming").outcome, "absent")
})

test("a bound refutation stops even where PKIX proves (DANE-10)", () => {
  const combined = combine([{ verdict: verdict("proved", "pkix"), binding: false }, { verdict: verdict("refuted", "dane"), binding: true }], "outgoing")
  assert.equal(combined.outcome, "stop")
})

test("among several proofs the one that lasts longest carries", () => {
  const short: Verdict = { outcome: "proved", by: "pkix", detail: "", until: 5 }
  const long: Verdict = { outcome: "proved", by: "dane", detail: "", until: 9 }
  assert.equal(combine([{ verdict: short, binding: false }, { verdict: long, binding: true }], "outgoing").verdict.by, "dane")
})
