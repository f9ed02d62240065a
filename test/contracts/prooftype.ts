// What every prooftype keeps (RFC 7712 7): called with a prooftype and a few situations, one for each outcome.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import type { Evidence, EvidenceFile } from "../../src/model/evidence.ts"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { findings } from "../../src/model/findings.ts"
import type { Outcome, ServerProof, Verdict } from "../../src/model/verdict.ts"
import { judge, readEvidenceFile } from "../../src/proof/judge.ts"
import { combine, longestProof, match, obtainAll } from "../../src/proof/prove.ts"
import type { AnyProoftype, ProofPorts, ProofSubject } from "../../src/proof/prooftype.ts"
import { builtInProoftypes } from "../../src/proof/registry.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import type { AnchorSet } from "../../src/x509/anchors.ts"
import { noWeb } from "../proof/proof-ports.ts"

export interface ProofSituation {
  readonly name: string
  readonly outcome: Outcome
  readonly subject: ProofSubject
  readonly proof: ServerProof
  readonly at: number
  /** Fresh for every call. */
  ports(): ProofPorts
}

const stranger = parseDomain("stranger.example")

function frozen<T>(value: T, seen = new Set<unknown>()): T {
  if (value === null || typeof value !== "object" || ArrayBuffer.isView(value) || seen.has(value)) return value
  seen.add(value)
  for (const part of Object.values(value)) frozen(part, seen)
  return Object.freeze(value)
}

function fileOf(items: readonly Evidence[], { source, role }: ProofSubject, at: number): EvidenceFile {
  const pair = role === "outgoing" ? { sender: stranger, target: source } : { sender: source, target: stranger }
  const recorded = new Date(at).toISOString()
  return { evidence: 1, tool: { name: "xmpp-dna", version: "0" }, recorded, direction: "out", pair, decision: "associated", level: null, finding: null, sentence: "", items }
}

/** One part of what was shown missing, or of another kind. */
function mutated(said: unknown): unknown[] {
  const parts = Object.entries(said as Record<string, unknown>)
  return parts.flatMap(([name]) => [undefined, "rubbish", -1, {}].map((value) => Object.fromEntries(parts.map(([each, old]) => [each, each === name ? value : old]))))
}

/** Registers the tests. Situations must hold at least one that is proved. */
export function prooftypeContract(prooftype: AnyProoftype, situations: readonly ProofSituation[], anchors: readonly AnchorSet[]): void {
  const { name } = prooftype
  const known = new Map(anchors.map((set) => [set.digest, set]))

  const settle = async (situation: ProofSituation): Promise<{ material: unknown; verdict: Verdict }> => {
    const { subject, proof, at } = situation
    const material: unknown = await prooftype.obtain(subject, situation.ports())
    return { material, verdict: prooftype.match(proof, material, referenceIdentity(subject), at) }
  }

  describe(`prooftype contract: ${name}`, () => {
    test("it is known by its name, and there is a situation in which it proves", () => {
      assert.match(name, /^[a-z][a-z0-9-]*$/)
      assert.ok(situations.some(({ outcome }) => outcome === "proved"))
    })

    for (const situation of situations) {
      const { subject, proof, at, outcome } = situation

      test(`${situation.name}: ${outcome}, with a finding of the catalogue or an end`, async () => {
        const { verdict, material } = await settle(situation)
        assert.equal(verdict.outcome, outcome)
        assert.equal(verdict.by, name)
        if (verdict.outcome === "proved") assert.ok(verdict.until > at && verdict.detail !== "")
        else assert.ok(verdict.finding in findings)
        assert.equal(typeof prooftype.binding(material, subject.role), "boolean")
        if (prooftype.dispensable === true) assert.equal(prooftype.binding(material, subject.role), false, "what binds is waited for")
        for (const [label, value] of prooftype.facts(material)) assert.ok(label !== "" && typeof value === "string")
        for (const { fact, mark } of prooftype.rests?.(material, proof, at) ?? []) assert.ok(fact !== "" && (mark === "signed" || mark === "attested"))
        const ageing = prooftype.ageing?.(material)
        if (ageing !== undefined) assert.ok((ageing.from < ageing.until || ageing.from === Number.POSITIVE_INFINITY) && ageing.from >= at - longestProof)
      })

      test(`${situation.name}: matching is pure`, async () => {
        const { material, verdict } = await settle(situation)
        const reference = frozen(referenceIdentity(subject))
        for (let turn = 0; turn < 2; turn++) assert.deepEqual(prooftype.match(frozen({ ...proof }), material, reference, at), verdict)
      })

      test(`${situation.name}: recorded as JSON and read back, it says the same; \`judge\` agrees`, async () => {
        const { material, verdict } = await settle(situation)
        const recorded: unknown = JSON.parse(JSON.stringify(prooftype.record(material)))
        const revived = prooftype.revive(recorded, known)
        assert.ok("material" in revived, JSON.stringify(revived))
        assert.deepEqual(prooftype.match(proof, revived.material, referenceIdentity(subject), at), verdict)
        assert.equal(prooftype.binding(revived.material, subject.role), prooftype.binding(material, subject.role))
        const proven = match([{ prooftype, material }], subject, proof, at)
        const file = fileOf(proven.evidence(fileOf([], subject, at).pair), subject, at)
        const judgement = judge(readEvidenceFile(JSON.stringify(file)), { prooftypes: [prooftype], anchors })
        assert.deepEqual(judgement.items.map(({ result }) => result), ["same"])
      })

      test(`${situation.name}: at hand means at once`, () => {
        const given: unknown = prooftype.obtain(subject, situation.ports())
        assert.equal(given instanceof Promise, !prooftype.atHand)
      })
    }

    for (const situation of situations.filter(({ outcome }) => outcome === "proved")) {
      const { subject, proof, at } = situation
      const other: Domain = stranger

      test(`${situation.name}: nothing of it proves another domain`, async () => {
        const { material } = await settle(situation)
        const verdict = prooftype.match(proof, material, referenceIdentity({ ...subject, source: other }), at)
        assert.notEqual(verdict.outcome, "proved")
      })

      test(`${situation.name}: nor what a stranger shows, rubbish, or nothing`, async () => {
        const { material } = await settle(situation)
        if (prooftype.exchange !== undefined) {
          const { presented, ...bare } = proof
          assert.notEqual(prooftype.match(bare, material, referenceIdentity(subject), at).outcome, "proved")
          for (const said of [undefined, null, 7, "x", [], {}, ...mutated(presented?.said[name])]) {
            const altered = { ...bare, presented: { pair: presented!.pair, said: { [name]: said } } }
            assert.notEqual(prooftype.match(altered, material, referenceIdentity(subject), at).outcome, "proved", JSON.stringify(said))
          }
          return
        }
        for (const chain of [[], [new Uint8Array(0)], [Buffer.from("3000", "hex")], [Buffer.alloc(300, 0x30)], [...proof.chain].slice(1)]) {
          const verdict = prooftype.match({ ...proof, chain }, material, referenceIdentity(subject), at)
          assert.notEqual(verdict.outcome, "proved")
        }
      })

      test(`${situation.name}: the proof ends when it says, and not later`, async () => {
        const { material, verdict } = await settle(situation)
        assert.ok(verdict.outcome === "proved")
        const end = Math.min(verdict.until, at + longestProof * 1000)
        const later = prooftype.match(proof, material, referenceIdentity(subject), end + 1000)
        assert.notEqual(later.outcome, "proved")
      })
    }

    test("a silent or hostile world is material, too: obtaining never rejects, and proves nothing", async () => {
      for (const { subject, proof, at, ...situation } of situations) {
        const gone = new AbortController()
        gone.abort(new Error("given up"))
        const silent: ProofPorts = {
          ...situation.ports(),
          signal: gone.signal,
          https: noWeb,
          resolver: {
            resolve: async (asked, type) => ({ name: asked, type, records: [], status: "indeterminate", outcome: "failure", rcode: undefined, why: [], canonical: asked, validatedBy: "self", until: 0 }),
          },
        }
        const [obtained] = await obtainAll([prooftype], subject, silent)
        const { combined, verdicts } = match([obtained!], subject, proof, at)
        if (prooftype.atHand) continue
        assert.notEqual(combined.outcome, "proved")
        assert.notEqual(verdicts[0]!.outcome, "refuted")
      }
    })

    test("material from a stranger's file is judged or not, and never throws", () => {
      fc.assert(
        fc.property(fc.oneof(fc.jsonValue(), fc.object({ maxDepth: 3 })), (value) => {
          const revived = prooftype.revive(value, known)
          assert.ok("cannotJudge" in revived && revived.cannotJudge !== "")
        }),
        { numRuns: 200 },
      )
    })

    test("its name is taken, and its verdicts weigh by the one table", async () => {
      if (builtInProoftypes.some((each) => each.name === name)) assert.equal(builtInProoftypes.filter((each) => each.name === name).length, 1)
      for (const situation of situations) {
        const { material, verdict } = await settle(situation)
        const { role } = situation.subject
        const binding = prooftype.binding(material, role)
        const combined = combine([{ verdict, binding }], role)
        const stops = binding && (verdict.outcome === "refuted" || (role === "outgoing" && verdict.outcome === "unavailable"))
        assert.equal(combined.outcome, stops ? "stop" : verdict.outcome, situation.name)
      }
    })
  })
}
