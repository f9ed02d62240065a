// Path validation, rule by rule (RFC 5280 section 6; EKU-01 to EKU-05, ID-13, ID-14; every row that was measured of the platform).

import assert from "node:assert/strict"
import { test } from "node:test"
import { CertificateAuthority, type IssueOptions, type IssuedCertificate, selfSigned } from "../../src/lab/certificate-authority.ts"
import * as der from "../../src/lab/der-writer.ts"
import { anchorSet, bareAnchor } from "../../src/x509/anchors.ts"
import { matchIdentity } from "../../src/x509/identifiers.ts"
import { type PathProblem, type PathRequest, validatePath } from "../../src/x509/path.ts"

const NOW = Date.UTC(2026, 10, 20, 12)
const DAY = 86_400_000
const names = { dns: ["a.example"] }

const root = CertificateAuthority.create({ now: NOW, name: "Known Root" })
const middle = root.intermediate({ name: "Known Intermediate" })
const stranger = CertificateAuthority.create({ now: NOW, name: "Unknown Root" })
const strangersMiddle = stranger.intermediate({ name: "Unknown Intermediate" })
const anchors = anchorSet([root.certificate.der])

/** `ok`, or the problem. */
function outcome(chain: readonly Uint8Array[], more: Partial<PathRequest> = {}): PathProblem | "ok" {
  const result = validatePath({ chain, anchors, at: NOW, purpose: "server", ...more })
  return result.ok ? "ok" : result.problem
}

const leaf = (options: IssueOptions = {}, issuer = middle): IssuedCertificate => issuer.issue({ names, ...options })
const server = ["serverAuth"]
const client = ["clientAuth"]

test("every certificate node:tls confuses has its own finding, judged as a server in both directions", () => {
  const rows: [string, readonly Uint8Array[], PathProblem | "ok"][] = [
    ["both EKUs", leaf().chain, "ok"],
    ["no EKU", leaf({ eku: null }).chain, "ok"],
    ["serverAuth only", leaf({ eku: server }).chain, "ok"],
    ["clientAuth only", leaf({ eku: client }).chain, "purpose"],
    ["expired", leaf({ notBefore: NOW - 2 * DAY, notAfter: NOW - DAY }).chain, "expired"],
    ["expired, serverAuth only", leaf({ notBefore: NOW - 2 * DAY, notAfter: NOW - DAY, eku: server }).chain, "expired"],
    ["expired, clientAuth only", leaf({ notBefore: NOW - 2 * DAY, notAfter: NOW - DAY, eku: client }).chain, "expired"],
    ["future", leaf({ notBefore: NOW + DAY }).chain, "not-yet-valid"],
    ["future, serverAuth only", leaf({ notBefore: NOW + DAY, eku: server }).chain, "not-yet-valid"],
    ["unknown CA without root", leaf({}, strangersMiddle).chain, "unknown-root"],
    ["unknown CA with root", [...leaf({}, strangersMiddle).chain, stranger.certificate.der], "unknown-root"],
    ["unknown CA, no intermediate, without root", leaf({}, stranger).chain, "unknown-root"],
    ["unknown CA, no intermediate, with root", [...leaf({}, stranger).chain, stranger.certificate.der], "unknown-root"],
    ["unknown CA without root, serverAuth only", leaf({ eku: server }, strangersMiddle).chain, "unknown-root"],
    ["unknown CA with root, serverAuth only", [...leaf({ eku: server }, strangersMiddle).chain, stranger.certificate.der], "unknown-root"],
    ["self-signed, serverAuth only", selfSigned({ now: NOW, names, eku: server }).chain, "self-signed"],
    ["self-signed, both EKUs", selfSigned({ now: NOW, names }).chain, "self-signed"],
    ["self-signed, expired", selfSigned({ now: NOW, names, notBefore: NOW - 2 * DAY, notAfter: NOW - DAY }).chain, "self-signed"],
    ["missing intermediate", [leaf().der], "incomplete-chain"],
    ["forged signature", leaf({ mutate: { signature: "stranger" } }).chain, "bad-signature"],
    ["forged signature of an intermediate", leaf({}, root.intermediate({ mutate: { signature: "flip" } })).chain, "bad-signature"],
    ["name constraints", leaf({}, root.intermediate({ nameConstraints: { permitted: { dns: ["b.example"] } } })).chain, "name-constraints"],
    ["no certificate", [], "no-path"],
  ]
  for (const [row, chain, want] of rows) assert.equal(outcome(chain), want, row)
  // "wrong name" is no affair of the path: it is proved, and matches nothing.
  const wrong = validatePath({ chain: leaf({ names: { dns: ["b.example"] } }).chain, anchors, at: NOW, purpose: "server" })
  assert.ok(wrong.ok)
  assert.deepEqual(matchIdentity(wrong.path[0]!, [{ type: "DNS-ID", value: "a.example" }]), { presented: ["b.example"] })
})

test("a proved path says which certificates, which anchor, and from when until when", () => {
  const late = leaf({ notBefore: NOW - 5000, notAfter: NOW + 30 * DAY })
  const result = validatePath({ chain: late.chain, anchors, at: NOW, purpose: "server" })
  assert.ok(result.ok)
  assert.deepEqual(
    result.path.map(({ subjectText }) => subjectText),
    ["CN=a.example", "CN=Known Intermediate", "CN=Known Root"],
  )
  assert.equal(result.anchor.certificate?.subjectText, "CN=Known Root")
  assert.equal(result.from, NOW - 5000)
  assert.equal(result.until, NOW + 30 * DAY)
  const shortRoot = CertificateAuthority.create({ now: NOW, name: "Short Root", notAfter: NOW + DAY })
  const below = validatePath({
    chain: shortRoot.issue({ names }).chain,
    anchors: anchorSet([shortRoot.certificate.der]),
    at: NOW,
    purpose: "server",
  })
  assert.ok(below.ok)
  assert.equal(below.until, NOW + DAY, "the anchor's end counts")
})

test("both ends of the validity belong to it, in whole seconds", () => {
  const chain = leaf({ notBefore: NOW, notAfter: NOW + 1000 }).chain
  const at: [number, PathProblem | "ok"][] = [
    [NOW - 1, "not-yet-valid"],
    [NOW, "ok"],
    [NOW + 1000, "ok"],
    [NOW + 1001, "expired"],
  ]
  for (const [moment, want] of at) assert.equal(outcome(chain, { at: moment }), want, String(moment - NOW))
})

test("purposes: nested in the CAs above, with switches for client, either and anyExtendedKeyUsage (EKU-01, EKU-02)", () => {
  const clientCa = root.intermediate({ name: "Client CA", eku: client })
  const serverCa = root.intermediate({ name: "Server CA", eku: server })
  const rows: [string, readonly Uint8Array[], Partial<PathRequest>, PathProblem | "ok"][] = [
    ["client purpose, clientAuth", leaf({ eku: client }).chain, { purpose: "client" }, "ok"],
    ["client purpose, serverAuth", leaf({ eku: server }).chain, { purpose: "client" }, "purpose"],
    ["either, clientAuth", leaf({ eku: client }).chain, { purpose: "either" }, "ok"],
    ["either, serverAuth", leaf({ eku: server }).chain, { purpose: "either" }, "ok"],
    ["either, something else", leaf({ eku: ["emailProtection"] }).chain, { purpose: "either" }, "purpose"],
    ["either, serverAuth under a client CA", leaf({ eku: server }, clientCa).chain, { purpose: "either" }, "purpose"],
    ["either, both under a client CA", leaf({}, clientCa).chain, { purpose: "either" }, "ok"],
    ["any, something else", leaf({ eku: ["emailProtection"] }).chain, { purpose: "any" }, "ok"],
    ["server under a client CA", leaf({ eku: server }, clientCa).chain, {}, "purpose"],
    ["no EKU under a client CA", leaf({ eku: null }, clientCa).chain, {}, "purpose"],
    ["server under a server CA", leaf({ eku: server }, serverCa).chain, {}, "ok"],
    ["anyEKU", leaf({ eku: ["any"] }).chain, {}, "purpose"],
    ["anyEKU, allowed", leaf({ eku: ["any"] }).chain, { acceptAnyPurpose: true }, "ok"],
    ["clientAuth, anyEKU allowed", leaf({ eku: client }).chain, { acceptAnyPurpose: true }, "purpose"],
    ["keyUsage without a TLS use", leaf({ keyUsage: ["contentCommitment"] }).chain, {}, "purpose"],
  ]
  for (const [row, chain, more, want] of rows) assert.equal(outcome(chain, more), want, row)
  const clientRoot = CertificateAuthority.create({ now: NOW, name: "Client Root", eku: client })
  assert.equal(
    outcome(leaf({}, clientRoot).chain, { anchors: anchorSet([clientRoot.certificate.der]) }),
    "purpose",
    "an anchor's EKU counts",
  )
})

test("what a CA must be, and may be above (RFC 5280 6.1.4)", () => {
  const deep = (length: number, top: IssueOptions = {}): readonly Uint8Array[] => {
    let issuer = root.intermediate({ name: "Level 1", ...top })
    for (let level = 2; level <= length; level++) issuer = issuer.intermediate({ name: `Level ${level}` })
    return leaf({}, issuer).chain
  }
  const rollover = root.intermediate({ name: "Rollover", pathLength: 0 })
  const rows: [string, readonly Uint8Array[], PathProblem | "ok"][] = [
    ["no basicConstraints", leaf({}, root.intermediate({ basicConstraints: false })).chain, "not-a-ca"],
    ["cA FALSE", leaf({}, root.intermediate({ ca: false, basicConstraints: true })).chain, "not-a-ca"],
    ["no keyCertSign", leaf({}, root.intermediate({ keyUsage: ["cRLSign"] })).chain, "not-a-ca"],
    ["path length 0, none below", deep(1, { pathLength: 0 }), "ok"],
    ["path length 0, one below", deep(2, { pathLength: 0 }), "path-length"],
    ["path length 1, one below", deep(2, { pathLength: 1 }), "ok"],
    ["path length 1, two below", deep(3, { pathLength: 1 }), "path-length"],
    ["path length 0, a self-issued one below", leaf({}, rollover.intermediate({ name: "Rollover" })).chain, "ok"],
    ["leaf is a CA", leaf({ ca: true, keyUsage: ["digitalSignature", "keyCertSign"], eku: server }).chain, "ca-as-leaf"],
    ["eight intermediates", deep(8), "ok"],
    ["nine intermediates", deep(9), "budget"],
    [
      "critical unknown extension in the leaf",
      leaf({ extensions: [{ oid: "1.2.3.4", critical: true, value: der.nullValue() }] }).chain,
      "unknown-critical-extension",
    ],
    [
      "critical unknown extension in a CA",
      leaf({}, root.intermediate({ extensions: [{ oid: "1.2.3.4", critical: true, value: der.nullValue() }] })).chain,
      "unknown-critical-extension",
    ],
    [
      "critical policyConstraints",
      leaf(
        {},
        root.intermediate({
          extensions: [{ oid: "2.5.29.36", critical: true, value: der.sequence(der.context(0, Uint8Array.of(0), false)) }],
        }),
      ).chain,
      "unknown-critical-extension",
    ],
    [
      "critical certificatePolicies",
      leaf({}, root.intermediate({ extensions: [{ oid: "2.5.29.32", critical: true, value: der.sequence() }] })).chain,
      "ok",
    ],
    ["expired intermediate", leaf({}, root.intermediate({ notBefore: NOW - 2 * DAY, notAfter: NOW - DAY })).chain, "expired"],
  ]
  for (const [row, chain, want] of rows) assert.equal(outcome(chain), want, row)
})

test("algorithms: a closed list, by exact bytes", () => {
  const rsa = CertificateAuthority.create({ now: NOW, name: "RSA Root", algorithm: "rsa2048" })
  const rsaAnchors = { anchors: anchorSet([rsa.certificate.der]) }
  const rows: [string, readonly Uint8Array[], PathProblem | "ok", Partial<PathRequest>?][] = [
    ["P-384 leaf", leaf({ algorithm: "p384" }).chain, "ok"],
    ["P-521 leaf", leaf({ algorithm: "p521" }).chain, "ok"],
    ["Ed25519 leaf", leaf({ algorithm: "ed25519" }).chain, "ok"],
    ["Ed448 CA", leaf({}, root.intermediate({ algorithm: "ed448" })).chain, "ok"],
    ["RSA 2048 CA", leaf({}, root.intermediate({ algorithm: "rsa2048" })).chain, "ok"],
    ["ECDSA with SHA-512 by a P-256 key", leaf({ signatureName: "ecdsa-sha512" }).chain, "ok"],
    ["RSA-PSS", leaf({ signatureName: "rsa-pss-sha256" }, rsa).chain, "ok", rsaAnchors],
    ["RSA with SHA-512", leaf({ signatureName: "rsa-sha512" }, rsa).chain, "ok", rsaAnchors],
    ["RSA with SHA-1", leaf({ signatureName: "rsa-sha1" }, rsa).chain, "unsupported-algorithm", rsaAnchors],
    ["ECDSA with SHA-1", leaf({ signatureName: "ecdsa-sha1" }).chain, "unsupported-algorithm"],
    ["RSA 1024 leaf", leaf({ algorithm: "rsa1024" }).chain, "weak-key"],
    ["RSA 1024 CA", leaf({}, root.intermediate({ algorithm: "rsa1024" })).chain, "weak-key"],
    ["secp256k1 leaf", leaf({ algorithm: "secp256k1" }).chain, "unsupported-algorithm"],
    ["secp256k1 CA", leaf({}, root.intermediate({ algorithm: "secp256k1" })).chain, "unsupported-algorithm"],
  ]
  for (const [row, chain, want, more] of rows) assert.equal(outcome(chain, more), want, row)
})

test("order, duplicates and strangers in the list do not matter; only the first certificate is judged", () => {
  const low = middle.intermediate({ name: "Low" })
  const own = leaf({}, low)
  const other = selfSigned({ now: NOW, names: { dns: ["c.example"] } }).der
  const [first, ...rest] = own.chain
  for (const list of [
    [...rest].reverse(),
    [...rest, ...rest],
    [other, ...rest],
    [...rest, root.certificate.der],
    [first!, ...rest, first!],
  ])
    assert.equal(outcome([first!, ...list]), "ok")
  assert.equal(outcome([...rest, first!]), "ca-as-leaf", "the leaf is the first, not the one that fits")
})

test("anchors: backtracking, cross-certificates, pinned certificates, names and keys alone", () => {
  const elder = CertificateAuthority.create({ now: NOW - 400 * DAY, name: "Elder Root", notAfter: NOW - DAY })
  const younger = CertificateAuthority.create({ now: NOW, name: "Younger Root" })
  const cross = elder.intermediate({ key: younger.key, subject: younger.certificate.subject, notAfter: NOW + DAY })
  const chain = [...leaf({}, younger).chain, cross.certificate.der]
  const set = (...list: CertificateAuthority[]): { anchors: PathRequest["anchors"] } => ({
    anchors: anchorSet(list.map(({ certificate }) => certificate.der)),
  })
  assert.equal(outcome(chain, set(elder, younger)), "ok", "the expired elder root is left for the younger")
  assert.equal(outcome(chain, set(elder)), "expired")
  assert.equal(outcome(chain, set(younger)), "ok")

  assert.equal(outcome([leaf().der], set(middle)), "ok", "an anchor need not be self-signed")
  const own = selfSigned({ now: NOW, names })
  assert.equal(outcome(own.chain, { anchors: anchorSet([own.der]) }), "ok", "a pinned end certificate")
  const ownOld = selfSigned({ now: NOW, names, notBefore: NOW - 2 * DAY, notAfter: NOW - DAY })
  assert.equal(outcome(ownOld.chain, { anchors: anchorSet([ownOld.der]) }), "expired", "pinned, and expired all the same")
  const forgedBelow = leaf({ mutate: { rewrite: (parts) => (parts.issuer = own.subject) }, key: root.key })
  assert.notEqual(outcome(forgedBelow.chain, { anchors: anchorSet([own.der]) }), "ok")

  const none = anchorSet([])
  const bare = bareAnchor(root.certificate.subject, root.key.spki)
  assert.equal(outcome(leaf().chain, { anchors: none }), "unknown-root")
  assert.equal(outcome(leaf().chain, { anchors: none, extraAnchors: [bare] }), "ok")
  assert.equal(
    outcome(leaf().chain, { anchors: none, extraAnchors: [bareAnchor(root.certificate.subject, stranger.key.spki)] }),
    "bad-signature",
  )
  const result = validatePath({ chain: leaf().chain, anchors: none, extraAnchors: [bare], at: NOW, purpose: "server" })
  assert.ok(result.ok && result.path.length === 2 && result.anchor === bare)
})

test("an anchor's profile is forgiven unless strictAnchors is set; its dates, constraints and path length are not", () => {
  const rows: [string, IssueOptions, PathProblem | "ok", PathProblem | "ok"][] = [
    ["serial zero", { serial: 0n }, "ok", "malformed"],
    ["basicConstraints not critical", { critical: { basicConstraints: false } }, "ok", "malformed"],
    ["no keyUsage", { keyUsage: null }, "ok", "malformed"],
    ["no subjectKeyIdentifier", { subjectKeyId: null }, "ok", "malformed"],
    ["version 1", { mutate: { rewrite: (parts) => void Object.assign(parts, { version: null, extensions: [] }) } }, "ok", "malformed"],
    ["no basicConstraints", { basicConstraints: false }, "not-a-ca", "not-a-ca"],
    ["no keyCertSign", { keyUsage: ["cRLSign"] }, "not-a-ca", "not-a-ca"],
    ["expired", { notBefore: NOW - 2 * DAY, notAfter: NOW - DAY }, "expired", "expired"],
    ["name constraints", { nameConstraints: { excluded: { dns: ["a.example"] } } }, "name-constraints", "name-constraints"],
    ["path length", { pathLength: 0 }, "path-length", "path-length"],
    ["SHA-1 in its own signature", { signatureName: "ecdsa-sha1" }, "ok", "ok"],
  ]
  for (const [row, options, lenient, strict] of rows) {
    const odd = CertificateAuthority.create({ now: NOW, name: "Odd Root", ...options })
    const request = { anchors: anchorSet([odd.certificate.der]) }
    const { chain } = leaf({}, odd.intermediate({ name: "Below" }))
    assert.equal(outcome(chain, request), lenient, row)
    assert.equal(outcome(chain, { ...request, strictAnchors: true }), strict, `${row}, strict`)
  }
})

test("the CA profile is asked of presented certificates unless strictPresented is off", () => {
  const rows: [string, readonly Uint8Array[]][] = [
    ["no authorityKeyIdentifier", leaf({ authorityKeyId: null }).chain],
    ["serial zero", leaf({ serial: 0n }).chain],
    ["CA without keyUsage", leaf({}, root.intermediate({ keyUsage: null })).chain],
    ["CA without subjectKeyIdentifier", leaf({}, root.intermediate({ subjectKeyId: null })).chain],
    ["basicConstraints not critical", leaf({}, root.intermediate({ critical: { basicConstraints: false } })).chain],
  ]
  for (const [row, chain] of rows) {
    assert.equal(outcome(chain), "malformed", row)
    assert.equal(outcome(chain, { strictPresented: false }), "ok", `${row}, tolerant`)
  }
  const versionOne = leaf({ mutate: { rewrite: (parts) => void Object.assign(parts, { version: null, extensions: [] }) } }).chain
  assert.equal(outcome(versionOne, { strictPresented: false }), "malformed", "version 3 only, always")
})

test("refusals carry a sentence, all that was found, and the most telling first", () => {
  const result = validatePath({
    chain: selfSigned({
      now: NOW,
      names: { dns: ["\u001b[31m.example"] },
      commonName: "\u001b[31m\u202eevil",
      eku: client,
      notAfter: NOW - 1000,
    }).chain,
    anchors,
    at: NOW,
    purpose: "server",
  })
  assert.ok(!result.ok)
  assert.deepEqual(
    result.problems.map(({ problem }) => problem),
    ["self-signed", "expired", "purpose"],
  )
  assert.equal(result.detail, result.problems[0]!.detail)
  for (const { detail } of result.problems) assert.match(detail, /^[\x20-\x7e]{20,}$/)
  const empty = validatePath({ chain: [], anchors, at: NOW, purpose: "server" })
  assert.ok(!empty.ok && empty.detail === "no certificate was presented")
  const garbage = validatePath({ chain: [Uint8Array.of(0x30, 0x03, 1, 2, 3)], anchors, at: NOW, purpose: "server" })
  assert.ok(!garbage.ok && garbage.problem === "malformed")
})
