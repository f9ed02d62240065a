// Certificates and their DER (X.690; RFC 5280 4.1, 4.2): what is read, what is refused, and that nothing else ever happens.

import assert from "node:assert/strict"
import { X509Certificate } from "node:crypto"
import { test } from "node:test"
import fc from "fast-check"
import {
  type CertificateParts,
  CertificateAuthority,
  generateKey,
  type IssueOptions,
  selfSigned,
} from "../../src/lab/certificate-authority.ts"
import * as der from "../../src/lab/der-writer.ts"
import { CertificateError, type CertificateErrorCode, parseCertificate, presentedNames } from "../../src/x509/certificate.ts"
import { edited, nested } from "./der-arbitrary.ts"
import { DerReader, readInteger, readNamedBits, readObjectIdentifier } from "../../src/x509/der.ts"
import { readTime, timeText } from "../../src/x509/time.ts"

const now = Date.UTC(2026, 10, 20, 12)
const key = generateKey()
const names = { dns: ["a.example"], srv: ["_xmpp-server.a.example"], xmppAddr: ["a.example"], ip: ["127.0.0.1"] }
const make = (options: IssueOptions = {}): Buffer => selfSigned({ now, key, names, ...options }).der
const bytes = (hex: string): Buffer => Buffer.from(hex.replaceAll(" ", ""), "hex")

function code(encoded: Uint8Array): CertificateErrorCode | "none" {
  try {
    parseCertificate(encoded)
    return "none"
  } catch (error) {
    assert.ok(error instanceof CertificateError, String(error))
    assert.ok(error.detail.length > 0)
    return error.code
  }
}

test("a certificate says the same to us as to the platform", () => {
  const issued = CertificateAuthority.create({ now, name: "Lab Root" }).intermediate({ pathLength: 3 }).issue({ names, serial: 0x1234n })
  const ours = parseCertificate(issued.der)
  const platform = new X509Certificate(issued.der)
  assert.equal(ours.fingerprint, platform.fingerprint256.replaceAll(":", "").toLowerCase())
  assert.equal(ours.serial.toString("hex").toUpperCase(), platform.serialNumber)
  assert.equal(ours.notBefore, Date.parse(platform.validFrom))
  assert.equal(ours.notAfter, Date.parse(platform.validTo))
  assert.equal(`${ours.issuerText}`, platform.issuer)
  assert.deepEqual(ours.spki, platform.publicKey.export({ type: "spki", format: "der" }))
  assert.deepEqual(ours.extendedKeyUsage, platform.keyUsage)
  assert.equal(ours.key.name, "P-256")
  assert.equal(ours.version, 3)
  assert.deepEqual(ours.deviations, [])
  assert.deepEqual(presentedNames(ours), ["a.example", "_xmpp-server.a.example", "a.example"])
  assert.ok(Object.isFrozen(ours))
  assert.equal(ours.selfIssued, false)
})

test("the object keeps its own bytes", () => {
  const encoded = make()
  const copy = Buffer.from(encoded)
  const certificate = parseCertificate(encoded)
  encoded.fill(0)
  assert.deepEqual(certificate.der, copy)
  assert.equal(parseCertificate(certificate.der).fingerprint, certificate.fingerprint)
})

test("what is refused, and by which code", () => {
  const rewrite = (change: (parts: CertificateParts) => void): Buffer => make({ mutate: { rewrite: change } })
  const extension = (oid: string, value: Uint8Array, critical = false): Buffer => make({ extensions: [{ oid, critical, value }] })
  const validity = (from: Buffer): Buffer => rewrite((parts) => void (parts.validity = der.sequence(from, der.time(now))))
  const utc = (text: string, tag = 0x17): Buffer => der.tlv(tag, Buffer.from(text))
  const san = (...items: Uint8Array[]): Buffer => make({ names: { raw: items } })
  const rows: [string, Uint8Array, CertificateErrorCode | "none"][] = [
    ["nothing", Buffer.alloc(0), "der"],
    ["larger than 64 KiB", Buffer.alloc(65_537), "limit"],
    ["octets left over", Buffer.concat([make(), Buffer.of(0)]), "der"],
    ["cut short", make().subarray(0, 100), "der"],
    ["indefinite length", Buffer.concat([bytes("3080"), make().subarray(4), bytes("0000")]), "der"],
    ["long form where the short one fits", rewrite((parts) => void (parts.serial = bytes("02 8101 05"))), "der"],
    ["four-octet length", bytes("30 84 00000001 00"), "der"],
    ["padded serial number", rewrite((parts) => void (parts.serial = bytes("02 02 0005"))), "der"],
    ["empty serial number", rewrite((parts) => void (parts.serial = bytes("02 00"))), "der"],
    ["version 1 written out", rewrite((parts) => void (parts.version = der.context(0, der.integer(0)))), "version"],
    ["version 4", rewrite((parts) => void (parts.version = der.context(0, der.integer(3)))), "version"],
    ["extensions in version 1", rewrite((parts) => void (parts.version = null)), "version"],
    ["two algorithms", make({ mutate: { outerAlgorithm: der.sequence(der.objectIdentifier("1.2.3")) } }), "algorithm"],
    ["time without seconds", validity(utc("2601010000Z")), "time"],
    ["time with an offset", validity(utc("260101000000+0100")), "time"],
    ["fractions of a second", validity(utc("20260101000000.5Z", 0x18)), "time"],
    ["30 February", validity(utc("260230000000Z")), "time"],
    ["29 February 2028", validity(utc("280229000000Z")), "none"],
    ["29 February 2027", validity(utc("270229000000Z")), "time"],
    ["hour 24", validity(utc("260101240000Z")), "time"],
    ["a time of another type", validity(der.utf8String("260101000000Z")), "time"],
    ["an extension twice", rewrite((parts) => void parts.extensions.push(parts.extensions[0]!)), "extension"],
    [
      "critical FALSE written out",
      rewrite(
        (parts) =>
          void parts.extensions.push(der.sequence(der.objectIdentifier("1.2.3"), bytes("010100"), der.octetString(Buffer.alloc(0)))),
      ),
      "der",
    ],
    [
      "a BOOLEAN of 01",
      rewrite(
        (parts) =>
          void parts.extensions.push(der.sequence(der.objectIdentifier("1.2.3"), bytes("010101"), der.octetString(Buffer.alloc(0)))),
      ),
      "der",
    ],
    ["empty extensions", rewrite((parts) => void (parts.extensions = [Buffer.alloc(0)])), "der"],
    ["cA FALSE written out", extension("2.5.29.19", bytes("3003 010100")), "der"],
    ["negative path length", extension("2.5.29.19", bytes("3006 0101ff 0201ff")), "der"],
    ["octets after basicConstraints", extension("2.5.29.19", bytes("3000 00")), "der"],
    ["empty extKeyUsage", make({ eku: [] }), "der"],
    ["empty subjectAltName", make({ names: {}, extensions: [{ oid: "2.5.29.17", value: der.sequence() }] }), "der"],
    ["a dNSName that is not ASCII", san(der.tlv(0x82, Buffer.from("b\u00fccher.example"))), "name"],
    ["a name with an unknown tag", san(der.tlv(0x89, Buffer.of(1))), "name"],
    ["an address of five octets", san(der.tlv(0x87, Buffer.alloc(5))), "name"],
    ["otherName without a value", san(der.context(0, der.objectIdentifier("1.2.3"))), "der"],
    ["1,025 names", make({ names: { dns: new Array<string>(1025).fill("a.b") } }), "limit"],
    ["1,024 names", make({ names: { dns: new Array<string>(1024).fill("a.b") } }), "none"],
    [
      "65 extensions",
      make({ extensions: Array.from({ length: 65 }, (_, index) => ({ oid: `1.2.3.${index}`, value: Buffer.alloc(0) })) }),
      "limit",
    ],
    ["empty nameConstraints", make({ nameConstraints: {} }), "extension"],
    ["empty permittedSubtrees", extension("2.5.29.30", bytes("3002 a000")), "der"],
    ["minimum written out", extension("2.5.29.30", bytes("3009 a007 3005 8200 8001 00")), "der"],
    ["keyUsage of another type", make({ keyUsage: null, extensions: [{ oid: "2.5.29.15", value: bytes("0401 80") }] }), "der"],
    [
      "authorityKeyIdentifier with a serial number only",
      make({ authorityKeyId: null, extensions: [{ oid: "2.5.29.35", value: bytes("3003 820101") }] }),
      "extension",
    ],
    ["an empty part of a name", rewrite((parts) => void (parts.subject = der.sequence(der.setOf()))), "der"],
    ["a key with octets left over", rewrite((parts) => void (parts.spki = der.sequence(parts.spki, parts.spki))), "der"],
    ["signature not of whole octets", make({ mutate: { finish: (encoded) => replaceUnused(encoded) } }), "der"],
  ]
  for (const [row, encoded, want] of rows) assert.equal(code(encoded), want, row)
})

/** Sets the count of unused bits in the signature, the last BIT STRING of the certificate. */
function replaceUnused(encoded: Buffer): Buffer {
  const { signature } = parseCertificate(encoded)
  const changed = Buffer.from(encoded)
  changed[encoded.length - signature.length - 1] = 1
  return changed
}

test("departures from the CA profile are kept, not thrown", () => {
  const rows: [IssueOptions, RegExp][] = [
    [{ serial: 0n }, /serial number/],
    [{ serial: -5n }, /serial number/],
    [{ serial: 1n << 170n }, /serial number/],
    [{ commonName: "", critical: { names: false } }, /subjectAltName that is not critical/],
    [{ commonName: "", names: {} }, /names nobody/],
    [{ keyUsage: ["keyCertSign"] }, /without being a CA/],
    [{ keyUsage: [] }, /without a usage/],
    [{ ca: true, keyUsage: null }, /CA without keyUsage/],
    [{ ca: true, subjectKeyId: null }, /CA without subjectKeyIdentifier/],
    [{ ca: true, critical: { basicConstraints: false } }, /not critical/],
    [{ basicConstraints: true, pathLength: 0 }, /limits a path/],
    [{ nameConstraints: { permitted: { dns: ["a.example"] } } }, /constrains names/],
    [{ keyUsage: null, extensions: [{ oid: "2.5.29.15", value: bytes("03020080") }] }, /trailing zero bits/],
    [
      {
        mutate: { rewrite: (parts) => void (parts.validity = der.sequence(der.tlv(0x18, Buffer.from("20260101000000Z")), der.time(now))) },
      },
      /GeneralizedTime/,
    ],
  ]
  for (const [options, phrase] of rows) {
    const { deviations } = parseCertificate(make(options))
    assert.ok(
      deviations.some((deviation) => phrase.test(deviation)),
      `${phrase}: ${deviations.join("; ")}`,
    )
  }
})

test("der: integers, identifiers and bit lists have one form only", () => {
  const element = (hex: string) => new DerReader(bytes(hex)).any()
  const objects: [string, string | undefined][] = [
    ["06092a864886f70d01010b", "1.2.840.113549.1.1.11"],
    ["0603883703", "2.999.3"],
    ["060100", "0.0"],
    ["06012a", "1.2"],
    ["0600", undefined],
    ["0602802a", undefined],
    ["06028837", "2.999"],
    ["060188", undefined],
    ["060a2affffffffffffffff7f", undefined],
  ]
  for (const [hex, want] of objects) {
    if (want === undefined) assert.throws(() => readObjectIdentifier(element(hex), "x"), CertificateError, hex)
    else assert.equal(readObjectIdentifier(element(hex), "x"), want)
  }
  for (const hex of ["0200", "02020000", "0202007f", "0202ff80"]) assert.throws(() => readInteger(element(hex), "x"), CertificateError, hex)
  for (const hex of ["020100", "02020080", "0202ff7f"]) assert.doesNotThrow(() => readInteger(element(hex), "x"), hex)
  assert.deepEqual([...readNamedBits(element("03020106"), "x").bits], [5, 6])
  assert.equal(readNamedBits(element("03020006"), "x").minimal, false)
  for (const hex of ["0300", "03020801", "03020107", "030101", "030400000000"])
    assert.throws(() => readNamedBits(element(hex), "x"), CertificateError, hex)
  for (const hex of ["", "30", "3080", "3081", "30817f", "30820080", "1f8101", "300500", "3084000000"])
    assert.throws(() => new DerReader(bytes(hex)).any(), CertificateError, hex)
})

test("times are read and written as the platform's calendar has them", () => {
  fc.assert(
    fc.property(fc.integer({ min: Date.UTC(1950, 0, 1) / 1000, max: Date.UTC(9999, 11, 31) / 1000 }), (seconds) => {
      const at = seconds * 1000
      assert.equal(timeText(at), new Date(at).toISOString().replace(".000Z", "Z"))
      assert.deepEqual(readTime(new DerReader(der.time(at)).any(), "x"), { at, profile: true })
    }),
    { numRuns: 500 },
  )
})

test("fuzz: bytes, broken certificates and nested elements give a certificate or a CertificateError, at once", () => {
  const certificate = make({ nameConstraints: { permitted: { dns: ["example"], ip: ["10.0.0.0/8"] } }, ca: true })
  const start = process.hrtime.bigint()
  let accepted = 0
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 400 }), edited(certificate), nested), (encoded) => {
      if (code(encoded) === "none") accepted++
    }),
    { numRuns: 6000 },
  )
  assert.ok(accepted > 0, "edits that keep the structure are still certificates")
  assert.ok(Number(process.hrtime.bigint() - start) / 1e6 < 8000)
  assert.equal(code(Buffer.alloc(65_536, 0x30)), "der", "deep nesting costs nothing")
})

test("every prefix and every single-octet change of a certificate is handled", () => {
  const certificate = make()
  for (let length = 0; length < certificate.length; length++)
    assert.notEqual(code(certificate.subarray(0, length)), "none", `${length} octets`)
  for (let at = 0; at < certificate.length; at++) {
    for (const change of [0x01, 0x80, 0xff]) {
      const changed = Buffer.from(certificate)
      changed[at]! ^= change
      assert.doesNotThrow(() => code(changed))
    }
  }
})
