// Anchor sets (security.md 25): what they are called, what they hold, and what is said of a bad file.

import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import { rootCertificates } from "node:tls"
import { CertificateAuthority, selfSigned } from "../../src/lab/certificate-authority.ts"
import { AnchorError, anchorSet, anchorsFromPem, bareAnchor, certificatesFromPem } from "../../src/x509/anchors.ts"
import { CertificateError } from "../../src/x509/certificate.ts"

const now = Date.UTC(2026, 10, 20)
const one = CertificateAuthority.create({ now, name: "One" }).certificate
const two = CertificateAuthority.create({ now, name: "Two" }).certificate
const otherOne = CertificateAuthority.create({ now, name: "One" }).certificate

test("digest and count do not depend on order or duplicates, and differ for different sets", () => {
  const set = anchorSet([one.der, two.der])
  assert.equal(set.count, 2)
  assert.match(set.digest, /^[0-9a-f]{64}$/)
  assert.equal(anchorSet([two.der, one.der, two.der]).digest, set.digest)
  assert.equal(anchorSet([two.der, one.der, two.der]).count, 2)
  assert.notEqual(anchorSet([one.der]).digest, set.digest)
  assert.equal(anchorsFromPem(`${two.pem}${one.pem}`).digest, set.digest)
  // Anybody can compute it again: SHA-256 over the sorted SHA-256 hashes.
  const hashes = [one.der, two.der].map((der) => createHash("sha256").update(der).digest()).sort(Buffer.compare)
  assert.equal(set.digest, createHash("sha256").update(Buffer.concat(hashes)).digest("hex"))
  assert.equal(anchorSet([]).count, 0)
})

test("anchors are found by the encoding of their subject, all of that name", () => {
  const set = anchorSet([one.der, two.der, otherOne.der])
  assert.equal(set.withSubject(one.subject).length, 2)
  assert.deepEqual(set.withSubject(two.subject)[0]?.spki, two.key.spki)
  assert.deepEqual(set.withSubject(Buffer.from("nobody")), [])
  assert.ok(set.has(createHash("sha256").update(one.der).digest("hex")))
  assert.ok(!set.has(createHash("sha256").update(selfSigned({ now }).der).digest("hex")))
  assert.equal(bareAnchor(one.subject, one.key.spki).certificate, undefined)
  assert.throws(() => bareAnchor(Uint8Array.of(1), one.key.spki), CertificateError)
})

test("later changes to the given bytes do not change the set", () => {
  const bytes = Buffer.from(one.der)
  const set = anchorSet([bytes])
  bytes.fill(0)
  assert.deepEqual(set.certificates[0]!.der, one.der)
})

test("every root that this Node bundles can be parsed", () => {
  const set = anchorsFromPem(rootCertificates.join("\n"))
  assert.equal(set.count, new Set(rootCertificates).size)
  assert.deepEqual(set.skipped, [])
})

test("a bad file: the certificate, and the reason", () => {
  const broken = one.pem.replace(/[A-Za-z0-9+/]{8}\n/, "AAAAAAAA\n")
  const rows: [string, number, RegExp][] = [
    ["", 0, /no certificate/],
    ["some text", 0, /no certificate/],
    [`${one.pem}${broken}`, 2, /certificate 2: not a certificate/],
    [`${one.pem}-----BEGIN CERTIFICATE-----\nMII*\n-----END CERTIFICATE-----\n`, 2, /not Base64/],
    [`-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n`, 1, /not Base64/],
    [one.pem.replace(/-----END.*/, ""), 1, /no END line/],
    [`${one.pem.replace(/-----END.*\n/, "")}${two.pem}`, 1, /no END line/],
    [`${one.pem}${two.keyPem}`, 2, /private key/],
    [one.pem.replaceAll("CERTIFICATE", "TRUSTED CERTIFICATE"), 1, /openssl x509/],
    [one.pem.replaceAll("CERTIFICATE", "X509 CRL"), 1, /"X509 CRL", not a certificate/],
    [`${one.pem}-----BEGIN\n`, 2, /dashes/],
  ]
  for (const [text, position, message] of rows) {
    assert.throws(
      () => anchorsFromPem(text),
      (error: unknown) => error instanceof AnchorError && error.position === position && message.test(error.message),
      `${message}`,
    )
  }
  const tolerant = anchorsFromPem(`${one.pem}${broken}${two.pem}`, { skipUnusable: true })
  assert.equal(tolerant.count, 2)
  assert.deepEqual(
    tolerant.skipped.map(({ position }) => position),
    [2],
  )
  assert.throws(() => anchorSet(new Array<Uint8Array>(5000).fill(one.der)), AnchorError)
})

test("comments between the blocks and Windows line ends are fine", () => {
  const text = `# Lab\n${one.pem}\nsubject=CN = Two\n${two.pem}`.replaceAll("\n", "\r\n")
  assert.deepEqual(certificatesFromPem(text), [one.der, two.der])
})
