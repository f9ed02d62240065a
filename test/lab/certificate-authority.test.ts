// The lab's CA (RFC 5280 profile): what it makes is read back by the platform's own X.509 code and by OpenSSL's strict mode.

import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { createHash, X509Certificate } from "node:crypto"
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { CertificateAuthority, generateKey, type KeyAlgorithm, selfSigned } from "../../src/lab/certificate-authority.ts"
import * as der from "../../src/lab/der-writer.ts"

const now = Date.UTC(2026, 10, 20)

test("der-writer: integers, identifiers, times and bit lists have the one DER form", () => {
  const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
  const integers: [number | bigint, string][] = [
    [0, "020100"],
    [127, "02017f"],
    [128, "02020080"],
    [256, "02020100"],
    [-1, "0201ff"],
    [-128, "020180"],
    [-129, "0202ff7f"],
    [2n ** 64n, "0209010000000000000000"],
  ]
  for (const [value, want] of integers) assert.equal(hex(der.integer(value)), want, String(value))
  assert.equal(hex(der.objectIdentifier("1.2.840.113549.1.1.11")), "06092a864886f70d01010b")
  assert.equal(hex(der.objectIdentifier("2.999.3")), "0603883703")
  assert.equal(
    der
      .time(Date.UTC(2049, 11, 31, 23, 59, 59))
      .subarray(2)
      .toString(),
    "491231235959Z",
  )
  assert.equal(
    der
      .time(Date.UTC(2050, 0, 1))
      .subarray(2)
      .toString(),
    "20500101000000Z",
  )
  assert.equal(hex(der.namedBits([5, 6])), "03020106")
  assert.equal(hex(der.namedBits([])), "030100")
  assert.equal(der.tlv(4, Buffer.alloc(300)).subarray(0, 4).toString("hex"), "0482012c")
  assert.equal(hex(der.addressOctets("2001:db8::1")), "20010db8000000000000000000000001")
  assert.equal(hex(der.networkOctets("10.0.0.0/8")), "0a000000ff000000")
})

test("every key algorithm gives a certificate the platform verifies", () => {
  const algorithms: KeyAlgorithm[] = ["p256", "p384", "p521", "ed25519", "ed448", "rsa2048"]
  for (const algorithm of algorithms) {
    const root = CertificateAuthority.create({ name: `Root ${algorithm}`, now, algorithm })
    const leaf = root.issue({
      names: { dns: ["a.example"], srv: ["_xmpp-server.a.example"], xmppAddr: ["a.example"], ip: ["127.0.0.1", "::1"] },
    })
    const seen = new X509Certificate(leaf.der)
    assert.ok(seen.verify(new X509Certificate(root.certificate.der).publicKey), algorithm)
    assert.ok(seen.checkIssued(new X509Certificate(root.certificate.der)), algorithm)
    assert.match(seen.subjectAltName ?? "", /DNS:a\.example.*SRVName:_xmpp-server\.a\.example.*XmppAddr:a\.example.*127\.0\.0\.1/)
    assert.deepEqual(leaf.chain, [leaf.der])
  }
})

test("a chain lists the leaf and its intermediates, without the root", () => {
  const root = CertificateAuthority.create({ now })
  const middle = root.intermediate({ name: "Middle" })
  const low = middle.intermediate({ name: "Low" })
  const leaf = low.issue({ names: { dns: ["a.example"] } })
  assert.deepEqual(leaf.chain, [leaf.der, low.certificate.der, middle.certificate.der])
  assert.equal(leaf.chainPem.match(/BEGIN CERTIFICATE/g)?.length, 3)
})

test("serial numbers differ, and mutations break what they say", () => {
  const root = CertificateAuthority.create({ now })
  const serials = new Set([1, 2, 3].map(() => new X509Certificate(root.issue({ names: { dns: ["a.example"] } }).der).serialNumber))
  assert.equal(serials.size, 3)
  const issuer = new X509Certificate(root.certificate.der).publicKey
  for (const signature of ["flip", "stranger"] as const) {
    assert.equal(new X509Certificate(root.issue({ mutate: { signature } }).der).verify(issuer), false, signature)
  }
  const key = generateKey("ed25519")
  const alone = selfSigned({ now, key, names: { dns: ["b.example"] } })
  assert.ok(new X509Certificate(alone.der).verify(new X509Certificate(alone.der).publicKey))
  assert.equal(createHash("sha256").update(alone.key.spki).digest("hex"), createHash("sha256").update(key.spki).digest("hex"))
})

test("OpenSSL strict mode accepts a good chain", {
  skip: existsSync("/usr/bin/openssl") ? false : "no openssl: apt-get install openssl",
}, () => {
  const folder = mkdtempSync(join(tmpdir(), "lab-ca-"))
  try {
    for (const algorithm of ["p256", "ed25519", "rsa2048"] as const) {
      const root = CertificateAuthority.create({ now, algorithm })
      const middle = root.intermediate({ algorithm, pathLength: 0, nameConstraints: { permitted: { dns: ["example"] } } })
      const leaf = middle.issue({ names: { dns: ["a.example"] } })
      writeFileSync(join(folder, "root.pem"), root.certificate.pem)
      writeFileSync(join(folder, "chain.pem"), middle.certificate.pem)
      writeFileSync(join(folder, "leaf.pem"), leaf.pem)
      const out = execFileSync(
        "/usr/bin/openssl",
        [
          "verify",
          "-x509_strict",
          "-purpose",
          "sslserver",
          "-attime",
          String(now / 1000),
          "-CAfile",
          join(folder, "root.pem"),
          "-untrusted",
          join(folder, "chain.pem"),
          join(folder, "leaf.pem"),
        ],
        { encoding: "utf8" },
      )
      assert.match(out, /: OK/)
    }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
