// Intermediates that are remembered: what is saved is reading and one signature, and no judgement.

import assert from "node:assert/strict"
import { test } from "node:test"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { parseCertificate } from "../../src/x509/certificate.ts"
import { knownIssuer, knownSignature, MOST_KNOWN } from "../../src/x509/known-issuers.ts"
import { type PathRequest, validatePath } from "../../src/x509/path.ts"

const NOW = Date.UTC(2026, 10, 20, 12)
const DAY = 86_400_000
const names = { dns: ["a.example"] }
const root = CertificateAuthority.create({ now: NOW, name: "Known Root" })
const rootKey = parseCertificate(root.certificate.der).spki
const anchors = anchorSet([root.certificate.der])

function outcome(chain: readonly Uint8Array[], more: Partial<PathRequest> = {}): string {
  const result = validatePath({ chain, anchors, at: NOW, purpose: "server", ...more })
  return result.ok ? "ok" : result.problem
}

test("an intermediate of a path that held is read once; one of a path that did not is never kept", () => {
  const middle = root.intermediate({ name: "Read once" })
  const { chain } = middle.issue({ names })
  const shown = chain[1]!
  assert.equal(knownIssuer(shown), undefined)
  assert.equal(outcome(chain, { at: NOW + 4000 * DAY }), "expired")
  assert.equal(knownIssuer(shown), undefined)
  assert.equal(outcome(chain), "ok")
  const kept = knownIssuer(Uint8Array.from(shown))
  assert.deepEqual(kept?.der, Buffer.from(shown))
  assert.equal(outcome(middle.issue({ names: { dns: ["b.example"] } }).chain), "ok")
  assert.equal(knownIssuer(shown), kept)
  // Only the very object that held, and only with the key that signed it.
  assert.equal(knownSignature(kept!, rootKey), true)
  assert.equal(knownSignature(kept!, kept!.spki), false)
  assert.equal(knownSignature(parseCertificate(shown), rootKey), false)
})

test("attack: behind a remembered intermediate everything is judged as ever", () => {
  const middle = root.intermediate({ name: "Judged as ever" })
  const good = middle.issue({ names }).chain
  assert.equal(outcome(good), "ok")
  const stranger = CertificateAuthority.create({ now: NOW, name: "Known Root" })
  // Other anchors, a root of the same name among them.
  assert.notEqual(outcome(good, { anchors: anchorSet([stranger.certificate.der]) }), "ok")
  // Its own time.
  assert.equal(outcome(good, { at: parseCertificate(good[1]!).notAfter + DAY }), "expired")
  // A leaf that it did not sign.
  const forged = CertificateAuthority.create({ now: NOW, name: "Judged as ever" }).issue({ names }).der
  assert.notEqual(outcome([forged, ...good.slice(1)]), "ok")
  const altered = Uint8Array.from(good[0]!)
  altered[altered.length - 1]! ^= 1
  assert.equal(outcome([altered, ...good.slice(1)]), "bad-signature")
  // One octet of its signature: another certificate, which nobody signed.
  const tampered = Uint8Array.from(good[1]!)
  tampered[tampered.length - 1]! ^= 1
  assert.notEqual(outcome([good[0]!, tampered]), "ok")
  // Its purposes.
  const limited = root.intermediate({ name: "For clients", eku: ["clientAuth"] })
  assert.equal(outcome(limited.issue({ names }).chain, { purpose: "client" }), "ok")
  assert.equal(outcome(limited.issue({ names }).chain), "purpose")
})

test("those of keys that one peer names are not kept", () => {
  const own = CertificateAuthority.create({ now: NOW, name: "Own Root" })
  const { chain } = own.intermediate({ name: "Of an own root" }).issue({ names })
  const { subject, spki } = parseCertificate(own.certificate.der)
  assert.equal(outcome(chain, { extraAnchors: [{ subject, spki, certificate: undefined }] }), "ok")
  assert.equal(knownIssuer(chain[1]!), undefined)
})

test("they are bounded: the one used longest ago goes", () => {
  const chains = Array.from({ length: MOST_KNOWN + 1 }, (_, index) => root.intermediate({ name: `Of many ${index}` }).issue({ names }).chain)
  for (const chain of chains.slice(0, -1)) assert.equal(outcome(chain), "ok")
  assert.equal(outcome(chains[0]!), "ok")
  assert.equal(outcome(chains.at(-1)!), "ok")
  assert.notEqual(knownIssuer(chains[0]![1]!), undefined)
  assert.equal(knownIssuer(chains[1]![1]!), undefined)
  assert.equal(chains.filter((chain) => knownIssuer(chain[1]!) !== undefined).length, MOST_KNOWN)
})
