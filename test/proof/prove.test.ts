// Asking prooftypes: silent, slow, throwing and lying ones are unavailable, never absent (security.md 4, 10); references are
// built from what was asked for (ID-02, ID-12); names of prooftypes are unique.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import type { Endpoint } from "../../src/model/endpoint.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { longestProof, match, obtainAll, obtainAtHand, obtainFor, startAsking } from "../../src/proof/prove.ts"
import type { AnyProoftype, ProofSubject } from "../../src/proof/prooftype.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import { selectProoftypes } from "../../src/proof/registry.ts"
import { anchors, domain, good, never, own, pairOf, start } from "../scenarios/support.ts"
import { withoutWeb } from "./proof-ports.ts"

const subject: ProofSubject = { source: domain("a.example"), service: "xmpp-server", role: "incoming", endpoint: undefined }
const proofOf = (certificate = good("a.example")) => ({ chain: certificate.chain, presentedAs: "tls-client" as const, protocol: "TLSv1.3", cipher: "", serverName: undefined, alpn: undefined })
const yes = { outcome: "proved", by: "mine", detail: "", until: Number.POSITIVE_INFINITY } as const

const quiet = { ...withoutWeb, anchors, resolver: { resolve: () => assert.fail("no lookup was expected") }, at: start }

function mine(changes: Partial<AnyProoftype>): AnyProoftype {
  return { name: "mine", atHand: true, needsSecureDns: false, obtain: () => "material", match: () => yes, binding: () => false, record: (material) => material, revive: () => ({ cannotJudge: "no" }), facts: () => [], ...changes }
}

describe("obtaining", () => {
  const failing: readonly (readonly [string, Partial<AnyProoftype>, RegExp])[] = [
    ["one that throws", { obtain: () => { throw new Error("boom") } }, /boom/],
    ["one that rejects", { atHand: false, obtain: () => Promise.reject(new Error("boom")) }, /boom/],
    ["one that throws no error", { obtain: () => { throw "words" } }, /words/],
  ]
  for (const [name, changes, words] of failing)
    test(`${name} is unavailable`, async () => {
      const { combined } = match(await obtainAll([mine(changes)], subject, { ...quiet, signal: never }), subject, proofOf(), start)
      assert.equal(combined.outcome, "unavailable")
      assert.match(combined.verdict.detail, words)
    })

  test("one that never answers is unavailable when time is up", async () => {
    const controller = new AbortController()
    const waiting = obtainAll([mine({ atHand: false, obtain: () => new Promise(() => {}) }), pkix], subject, { ...quiet, signal: controller.signal })
    controller.abort(new Error("time is up"))
    const { combined, verdicts } = match(await waiting, subject, proofOf(own("a.example")), start)
    assert.equal(combined.outcome, "unavailable")
    assert.equal(combined.verdict.finding, "proof.unavailable")
    assert.match(combined.verdict.detail, /time is up/)
    assert.equal(verdicts.length, 2)
  })

  test("at hand: a throwing one is unavailable, a waiting one has lied, a slow one is not asked", async () => {
    const throwing = mine({ name: "throws", obtain: () => { throw new Error("boom") } })
    const lying = mine({ name: "lies", obtain: () => Promise.reject(new Error("late")) })
    const slow = mine({ name: "slow", atHand: false, obtain: () => assert.fail("it was asked") })
    const obtained = obtainAtHand([throwing, lying, slow], subject, { ...quiet, signal: never })
    const { verdicts } = match(obtained, subject, proofOf(), start)
    assert.deepEqual(verdicts.map(({ by, outcome }) => [by, outcome]), [["throws", "unavailable"], ["lies", "unavailable"]])
  })

  test("for what was shown: the dispensable is asked only where the rest does not decide", async () => {
    let asked = 0
    const web = mine({ name: "web", atHand: false, dispensable: true, obtain: () => Promise.resolve(String((asked += 1))) })
    const ports = { ...quiet, signal: never }
    const decided = await obtainFor([web, pkix], subject, ports, proofOf(), () => start)
    assert.deepEqual([decided.map(({ prooftype }) => prooftype.name), asked], [["pkix"], 0])
    const open = await obtainFor([web, pkix], subject, ports, proofOf(own("a.example")), () => start)
    assert.deepEqual([open.map(({ prooftype }) => prooftype.name), asked], [["web", "pkix"], 1])
  })

  test("before anything is shown: the dispensable at once, or only where it turns out to be needed", async () => {
    let asked = 0
    const web = mine({ name: "web", atHand: false, dispensable: true, obtain: () => Promise.resolve(String((asked += 1))) })
    const ports = { ...quiet, signal: never }
    const asking = (later: boolean) => startAsking([web, pkix], subject, ports, later)
    const atOnce = asking(false)
    assert.equal(asked, 1)
    atOnce.giveUp()
    const decided = await asking(true).for(proofOf(), () => start)
    assert.deepEqual([decided.map(({ prooftype }) => prooftype.name), asked], [["pkix"], 1])
    const open = await asking(true).for(proofOf(own("a.example")), () => start)
    assert.deepEqual([open.map(({ prooftype }) => prooftype.name), asked], [["web", "pkix"], 2])
  })
})

describe("matching", () => {
  test("security.md 10: a proof that had ended before it was given is none", () => {
    const judged = (until: number) => match([{ prooftype: mine({ match: () => ({ ...yes, until }) }), material: 0 }], subject, proofOf(), start).combined
    assert.deepEqual([judged(start - 1).outcome, judged(start - 1).verdict.detail], ["unavailable", "its proof had ended before it was given"])
    assert.equal(judged(start).outcome, "proved")
  })

  test("one that throws is unavailable; a proof without end ends after a week", () => {
    const throwing = match([{ prooftype: mine({ match: () => { throw new Error("boom") } }), material: 1 }], subject, proofOf(), start)
    assert.equal(throwing.combined.outcome, "unavailable")
    const endless = match([{ prooftype: mine({}), material: 1 }], subject, proofOf(), start)
    assert.ok(endless.combined.outcome === "proved")
    assert.equal(endless.combined.verdict.until, start + longestProof)
    const odd = match([{ prooftype: mine({ match: () => ({ ...yes, until: Number.NaN }) }), material: 1 }], subject, proofOf(), start)
    assert.ok(odd.combined.outcome === "proved" && odd.combined.verdict.until === start + longestProof)
  })

  test("one that needs secure DNS and breaks stops an outgoing stream: it might have been binding", () => {
    const broken = mine({ needsSecureDns: true, match: () => { throw new Error("boom") } })
    const obtained = [{ prooftype: broken, material: 1 }, { prooftype: pkix, material: { anchors } }]
    assert.equal(match(obtained, { ...subject, role: "outgoing" }, proofOf(), start).combined.outcome, "stop")
    assert.equal(match(obtained, subject, proofOf(), start).combined.outcome, "proved")
  })

  test("no prooftype at all proves nothing", () => {
    assert.equal(match([], subject, proofOf(), start).combined.outcome, "absent")
  })

  test("evidence is plain JSON and names what was looked for", () => {
    const [item] = match([{ prooftype: pkix, material: { anchors } }], subject, proofOf(), start).evidence(pairOf("a.example", "b.example"))
    assert.deepEqual(JSON.parse(JSON.stringify(item)), item)
    assert.deepEqual(item?.reference.accept.map(({ type, value }) => `${type} ${value}`), ["DNS-ID a.example", "SRV-ID _xmpp-server.a.example", "XmppAddr a.example"])
    assert.deepEqual(Object.keys(item!.proof).sort(), ["alpn", "chain", "cipher", "presentedAs", "protocol", "serverName"])
  })
})

describe("reference identities", () => {
  const endpoint = (secure: boolean, source = "a.example"): Endpoint => ({
    address: "127.0.0.1",
    port: 5269,
    transport: "starttls",
    addressStatus: "insecure",
    delegation: { source: domain(source), derived: domain("host.provider.example"), via: "srv", secure, because: secure ? "secure" : "insecure" },
  })
  const names = (secure: boolean, source?: string) => referenceIdentity({ source: domain("a.example"), service: "xmpp-server", endpoint: endpoint(secure, source) }).accept.map(({ value }) => value)

  test("ID-12: the target of an insecure delegation is not one; that of a secure one is", () => {
    assert.ok(!names(false).some((name) => name.includes("provider")))
    assert.ok(names(true).includes("host.provider.example"))
    assert.ok(names(true).includes("_xmpp-server.host.provider.example"))
  })
  test("nor that of another domain's delegation", () => {
    assert.ok(!names(true, "other.example").some((name) => name.includes("provider")))
  })
})

describe("the registry", () => {
  test("a user's prooftype stands beside the built-in ones, and takes none of their names", () => {
    assert.deepEqual(selectProoftypes(new Set(["mine", "pkix"]), { extra: [mine({})] }).map(({ name }) => name), ["mine", "pkix"])
    assert.throws(() => selectProoftypes(new Set(["pkix"]), { extra: [mine({ name: "pkix" })] }), /two prooftypes are called pkix/)
    assert.throws(() => selectProoftypes(new Set(["magic"])), /there is no prooftype magic; known: pkix/)
  })
})
