// What a stranger may try on path validation (security.md 9): cycles, branching, borrowed
// certificates, forgeries. Each ends fast, and never with a proof.

import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import {
  CertificateAuthority,
  commonNameSubject,
  generateKey,
  type IssuedCertificate,
  selfSigned,
} from "../../src/lab/certificate-authority.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { type Certificate, CertificateError, parseCertificate } from "../../src/x509/certificate.ts"
import { matchIdentity } from "../../src/x509/identifiers.ts"
import { type PathRequest, type ProvedPath, type RefusedPath, validatePath } from "../../src/x509/path.ts"

const NOW = Date.UTC(2026, 10, 20, 12)
const root = CertificateAuthority.create({ now: NOW, name: "Known Root" })
const middle = root.intermediate({ name: "Known Intermediate" })
const anchors = anchorSet([root.certificate.der])
const victim = middle.issue({ names: { dns: ["victim.example"] } })

function judge(chain: readonly Uint8Array[], more: Partial<PathRequest> = {}): ProvedPath | RefusedPath {
  return validatePath({ chain, anchors, at: NOW, purpose: "server", ...more })
}

/** The problem; fails when it took longer than any chain may. */
function refusedFast(chain: readonly Uint8Array[], more: Partial<PathRequest> = {}): string {
  const start = process.cpuUsage()
  const result = judge(chain, more)
  const { user, system } = process.cpuUsage(start)
  assert.ok(!result.ok)
  // A hang is what is looked for.
  assert.ok(user + system < 3_000_000, `${(user + system) / 1000} ms of CPU`)
  return result.problem
}

test("a victim's certificate and chain appended to a stranger's own proves nothing", () => {
  const own = selfSigned({ now: NOW, names: { dns: ["victim.example"] } })
  assert.equal(refusedFast([own.der, ...victim.chain]), "self-signed")
  assert.equal(refusedFast([own.der, ...victim.chain, root.certificate.der]), "self-signed")
  // Put first it is the victim's key that has to sign in TLS; put anywhere else its names do not count.
  const mine = middle.issue({ names: { dns: ["mine.example"] } })
  const result = judge([...mine.chain, victim.der])
  assert.ok(result.ok)
  assert.ok(!("matched" in matchIdentity(result.path[0]!, [{ type: "DNS-ID", value: "victim.example" }])))
})

test("an end certificate of the victim cannot be made to issue", () => {
  const evil = CertificateAuthority.create({ now: NOW, name: "Evil", key: victim.key, subject: victim.subject })
  const fake = evil.issue({ names: { dns: ["target.example"] } })
  // Signed with the victim's own key, as one who holds a good end certificate can.
  assert.equal(refusedFast([fake.der, ...victim.chain]), "not-a-ca")
})

test("a namesake of a known root, and a forged intermediate with its name", () => {
  const namesake = CertificateAuthority.create({ now: NOW, name: "Known Root" })
  const below = namesake.issue({ names: { dns: ["victim.example"] } })
  assert.equal(refusedFast(below.chain), "unknown-root")
  assert.equal(refusedFast([below.der, namesake.certificate.der]), "unknown-root")
  const sameKeyId = CertificateAuthority.create({ now: NOW, name: "Known Root" })
  const forged = sameKeyId.issue({
    names: { dns: ["victim.example"] },
    authorityKeyId: parseCertificate(root.certificate.der).subjectKeyId!,
  })
  assert.equal(refusedFast(forged.chain), "bad-signature")
})

test("ID-13: a CA constrained to its own domain gets nothing by SRVName or XmppAddr names", () => {
  const constrained = root.intermediate({ name: "Constrained", nameConstraints: { permitted: { dns: ["tenant.example"] } } })
  for (const names of [
    { srv: ["_xmpp-server.victim.example"] },
    { xmppAddr: ["victim.example"] },
    { dns: ["tenant.example"], srv: ["_xmpp-server.victim.example"] },
  ]) {
    assert.equal(refusedFast(constrained.issue({ names, commonName: "x" }).chain), "name-constraints")
  }
  for (const names of [{ srv: ["_xmpp-server.a.tenant.example"] }, { xmppAddr: ["tenant.example"] }]) {
    assert.ok(judge(constrained.issue({ names, commonName: "x" }).chain).ok)
  }
  const excluded = root.intermediate({ name: "Excluded", nameConstraints: { excluded: { dns: ["victim.example"] } } })
  assert.equal(
    refusedFast(excluded.issue({ names: { srv: ["_xmpp-server.*.victim.example"] }, commonName: "x" }).chain),
    "name-constraints",
  )
})

/** A CA certificate for `subject` with `key`, signed by another name and key. */
function certify(
  subject: string,
  key: ReturnType<typeof generateKey>,
  issuer: string,
  issuerKey: ReturnType<typeof generateKey>,
): Uint8Array {
  const signer = CertificateAuthority.create({ now: NOW, key: issuerKey, subject: commonNameSubject(issuer) })
  return signer.intermediate({ key, subject: commonNameSubject(subject) }).certificate.der
}

test("cycles and pathological branching end within the budgets", () => {
  const keys = Array.from({ length: 15 }, () => generateKey())
  const leafOf = (issuer: string, key: ReturnType<typeof generateKey>): IssuedCertificate =>
    CertificateAuthority.create({ now: NOW, key, subject: commonNameSubject(issuer) }).issue({ names: { dns: ["victim.example"] } })

  // Two CAs that certify each other, and a ring of fifteen.
  const pair = [certify("B", keys[1]!, "A", keys[0]!), certify("A", keys[0]!, "B", keys[1]!)]
  assert.equal(refusedFast([leafOf("A", keys[0]!).der, ...pair]), "no-path")
  const ring = keys.map((key, index) => certify(`R${index}`, key, `R${(index + 1) % 15}`, keys[(index + 1) % 15]!))
  assert.equal(refusedFast([leafOf("R0", keys[0]!).der, ...ring]), "budget")

  // Layers of three, each certified by each of the next: more paths than anyone would walk.
  const names = ["L0", "L1", "L2"]
  const layered = [0, 1].flatMap((layer) =>
    [0, 1].flatMap((low) =>
      [0, 1, 2].map((high) => certify(names[layer]!, keys[layer * 3 + low]!, names[layer + 1]!, keys[layer * 3 + 3 + high]!)),
    ),
  )
  assert.equal(layered.length, 12)
  assert.equal(refusedFast([leafOf("L0", keys[0]!).der, ...layered]), "unknown-root")

  // All of one name, every key tried for every signature.
  const same = keys.map((key, index) => certify("Same", key, "Same", keys[(index + 1) % 15]!))
  assert.equal(refusedFast([leafOf("Same", keys[0]!).der, ...same]), "budget")

  // One name, one key, fifteen certificates.
  const twins = Array.from({ length: 15 }, () => certify("Twin", keys[0]!, "Twin", keys[0]!))
  assert.equal(refusedFast([leafOf("Twin", keys[0]!).der, ...twins]), "unknown-root")

  // The same shapes with a way to the anchor are still proved.
  const bridge = root.intermediate({ key: keys[1]!, subject: commonNameSubject("B") }).certificate.der
  assert.ok(judge([leafOf("A", keys[0]!).der, ...pair, bridge]).ok)
})

test("budgets: certificates, signatures, steps, comparisons", () => {
  const good = middle.issue({ names: { dns: ["a.example"] } })
  assert.equal(refusedFast([...good.chain, ...new Array<Uint8Array>(15).fill(victim.der)]), "budget")
  assert.equal(refusedFast(good.chain, { budget: { signatures: 1 } }), "budget")
  assert.equal(refusedFast(good.chain, { budget: { steps: 1 } }), "budget")
  const many = Array.from({ length: 1000 }, (_, index) => `n${index}.example`)
  const heavy = root.intermediate({ nameConstraints: { excluded: { dns: many.map((name) => `x.${name}`) } } })
  assert.equal(refusedFast(heavy.issue({ names: { dns: many } }).chain), "budget")
  assert.equal(refusedFast(good.chain, { budget: { intermediates: 0 } }), "budget")
  assert.ok(judge(good.chain, { budget: { signatures: 2, intermediates: 1 } }).ok)
})

test("a key chosen to be slow is not put to work", () => {
  const slow = root.intermediate({
    name: "Slow",
    mutate: {
      rewrite: (parts) => {
        const spki = Buffer.from(generateKey("rsa2048").spki)
        // The exponent 65537 becomes an even number.
        spki[spki.length - 1] = 0x00
        parts.spki = spki
      },
    },
  })
  assert.equal(refusedFast(slow.issue({ names: { dns: ["a.example"] } }).chain), "weak-key")
})

test("flip any bit of any certificate of a good chain: no other key and no other name is ever proved", () => {
  const good = middle.issue({ names: { dns: ["a.example"] } })
  const genuine = parseCertificate(good.der)
  fc.assert(
    fc.property(fc.nat(), fc.integer({ min: 0, max: 7 }), fc.nat({ max: 1 }), (position, bit, which) => {
      const chain = good.chain.map((certificate) => Buffer.from(certificate))
      const target = chain[which]!
      target[position % target.length]! ^= 1 << bit
      const result = judge(chain)
      // The intermediate is needed and both are signed, so no change at all may pass.
      assert.ok(!result.ok, `bit ${bit} of octet ${position % target.length} of certificate ${which}`)
    }),
    { numRuns: 1500 },
  )
  const result = judge(good.chain)
  assert.ok(result.ok && result.path[0]!.spki.equals(genuine.spki))
})

test("spliced from two good certificates: signature, body and algorithm of one never carry the other", () => {
  const bodies = ["a.example", "b.example"].map((dns) => parseCertificate(middle.issue({ names: { dns: [dns] } }).der))
  const [one, two] = bodies as [Certificate, Certificate]
  const spliced = Buffer.from(one.der)
  const at = spliced.indexOf(one.signature)
  assert.ok(at > 0)
  // ECDSA signatures differ in length by a few octets: only equal ones can be swapped in place.
  const replacement = Buffer.alloc(one.signature.length)
  two.signature.copy(replacement)
  replacement.copy(spliced, at)
  assert.equal(refusedFast([spliced, middle.certificate.der]), "bad-signature")
})

test("any bytes at all: a proof, a refusal, never an exception", () => {
  const good = middle.issue({ names: { dns: ["a.example"] } })
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), fc.constantFrom(...good.chain, root.certificate.der)), { maxLength: 18 }),
      (chain) => {
        const result = judge(chain)
        if (result.ok) assert.deepEqual(result.path[0]!.der, good.der)
        else assert.ok(result.detail.length > 0 && result.problems.length > 0)
      },
    ),
    { numRuns: 300 },
  )
  assert.throws(() => parseCertificate(Buffer.alloc(0)), CertificateError)
})
