// Paths as they are remembered of a chain: what was found until it ends, what was refused for a moment (RFC 5280 6; security.md 8, 14).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import type { Domain } from "../../src/model/domain.ts"
import { pkix } from "../../src/proof/pkix.ts"
import { referenceIdentity } from "../../src/proof/reference.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { publicAnchors, shownBy } from "./dane-support.ts"
import { day, issued, now, own, publicRoot, strangerRoot } from "./tlsa-support.ts"

const reference = referenceIdentity({ source: "a.example" as Domain, service: "xmpp-server" })

const judged = (chain: readonly Uint8Array[], anchors = publicAnchors) => {
  const proof = shownBy(chain)
  return (at: number, with_ = anchors) => {
    const verdict = pkix.match(proof, { anchors: with_ }, reference, at)
    return verdict.outcome === "refuted" ? verdict.finding : verdict.outcome
  }
}

describe("a refusal", () => {
  it("holds for a second, and for no moment before it", () => {
    const at = judged(issued(publicRoot, "a.example", { notBefore: now, notAfter: now + day }).chain)
    assert.equal(at(now - 10), "cert.not-yet-valid")
    assert.equal(at(now + 989), "cert.not-yet-valid")
    assert.equal(at(now + 990), "proved")
    assert.equal(at(now - 20), "cert.not-yet-valid")
  })
  it("is another one's with other anchors", () => {
    const at = judged(issued(strangerRoot, "a.example").chain)
    assert.equal(at(now), "cert.unknown-root")
    const theirs = anchorSet([strangerRoot.certificate.der])
    assert.equal(at(now, theirs), "proved")
    assert.equal(at(now), "cert.unknown-root")
    assert.equal(at(now, theirs), "proved")
  })
  it("never lengthens what was found", () => {
    const at = judged(issued(publicRoot, "a.example", { notBefore: now - day, notAfter: now }).chain)
    assert.equal(at(now - 1), "proved")
    assert.equal(at(now + 1), "cert.expired")
    assert.equal(at(now - 1), "proved")
  })
  it("costs a search once, however many pairs are claimed", () => {
    const { chain } = own({ names: { dns: ["a.example"] } })
    /** Milliseconds for each of two hundred. */
    const times = (judge: (index: number) => void): number[] =>
      Array.from({ length: 200 }, (_, index) => {
        const began = performance.now()
        judge(index)
        return performance.now() - began
      }).sort((one, other) => one - other)
    const same = judged(chain)
    const remembered = times((index) => assert.equal(same(now + index), "cert.self-signed"))
    const anew = times((index) => assert.equal(judged([...chain])(now + index), "cert.self-signed"))
    // What took longest met something else that the machine had to do.
    assert.ok(remembered[150]! * 5 < anew[50]!, `${remembered[150]} ms on one connection, ${anew[50]} ms on another each time`)
  })
})
