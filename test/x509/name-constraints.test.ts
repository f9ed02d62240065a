// Name constraints by form (RFC 5280 4.2.1.10; ID-13): what is inside, what is outside, what cannot be compared.

import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import {
  CertificateAuthority,
  commonNameSubject,
  generateKey,
  selfSigned,
  type SubjectNames,
  type Subtrees,
} from "../../src/lab/certificate-authority.ts"
import * as der from "../../src/lab/der-writer.ts"
import { parseCertificate } from "../../src/x509/certificate.ts"
import { constraintViolation } from "../../src/x509/name-constraints.ts"

const now = Date.UTC(2026, 10, 20)
const key = generateKey()
let spent = 0
const meter = { spend: (count: number): void => void (spent += count) }

interface Case {
  readonly permitted?: Subtrees
  readonly excluded?: Subtrees
  readonly names?: SubjectNames
  readonly subject?: Uint8Array
}

/** The violation, or undefined. */
function violation({ permitted, excluded, names = {}, subject }: Case): string | undefined {
  const constraints = { ...(permitted === undefined ? {} : { permitted }), ...(excluded === undefined ? {} : { excluded }) }
  const issuer = parseCertificate(CertificateAuthority.create({ now, key, nameConstraints: constraints }).certificate.der)
  const leaf = parseCertificate(selfSigned({ now, key, names, commonName: "end", ...(subject === undefined ? {} : { subject }) }).der)
  return constraintViolation(issuer.nameConstraints!, leaf, meter)
}

const table = (rows: readonly [string, Case, "in" | RegExp][]): void => {
  for (const [row, item, want] of rows) {
    const found = violation(item)
    if (want === "in") assert.equal(found, undefined, row)
    else assert.match(found ?? "(no violation)", want, row)
  }
}
const permittedOut = /is in no permitted subtree/
const excludedIn = /is in an excluded subtree/
const unreadable = /cannot be compared/

test("dNSName", () => {
  const permitted = (base: string, ...dns: string[]): Case => ({ permitted: { dns: [base] }, names: { dns } })
  const excluded = (base: string, ...dns: string[]): Case => ({ excluded: { dns: [base] }, names: { dns } })
  table([
    ["itself", permitted("a.example", "a.example"), "in"],
    ["below", permitted("a.example", "x.y.a.example"), "in"],
    ["case", permitted("A.EXAMPLE", "x.a.example"), "in"],
    ["above", permitted("a.example", "example"), permittedOut],
    ["same ending, other label", permitted("a.example", "ba.example"), permittedOut],
    ["one of two", permitted("a.example", "a.example", "b.example"), permittedOut],
    ["empty base", permitted("", "b.example"), "in"],
    ["two bases", { permitted: { dns: ["a.example", "b.example"] }, names: { dns: ["b.example"] } }, "in"],
    ["no DNS name", { permitted: { dns: ["a.example"] }, names: { ip: ["127.0.0.1"] } }, "in"],
    ["final dot", permitted("a.example", "a.example."), unreadable],
    ["no name at all", permitted("a.example", "a example"), unreadable],
    ["wildcard below", permitted("a.example", "*.a.example"), "in"],
    ["wildcard at the base", permitted("x.a.example", "*.a.example"), permittedOut],
    ["wildcard above", permitted("a.example", "*.example"), permittedOut],
    ["partial wildcard", permitted("a.example", "x*.a.example"), unreadable],
    ["excluded itself", excluded("a.example", "a.example"), excludedIn],
    ["excluded below", excluded("a.example", "x.a.example"), excludedIn],
    ["excluded aside", excluded("a.example", "ba.example"), "in"],
    ["excluded everything", excluded("", "a.example"), excludedIn],
    ["wildcard that stands for the excluded one", excluded("x.a.example", "*.a.example"), excludedIn],
    ["wildcard above the excluded one by two", excluded("y.x.a.example", "*.a.example"), "in"],
    ["second excluded", { excluded: { dns: ["b.example", "a.example"] }, names: { dns: ["a.example"] } }, excludedIn],
    [
      "excluded beats permitted",
      { permitted: { dns: ["example"] }, excluded: { dns: ["a.example"] }, names: { dns: ["a.example"] } },
      excludedIn,
    ],
    ["leading dot in the base", permitted(".example", "a.example"), /constraint "\.example" is malformed/],
    ["wildcard in the base", permitted("*.example", "a.example"), /is malformed/],
  ])
})

test("SRVName and XmppAddr are held to dNSName constraints (ID-13), and constraints of their own form are refused", () => {
  const dns = (base: string, names: SubjectNames): Case => ({ permitted: { dns: [base] }, names })
  table([
    ["SRVName in", dns("a.example", { srv: ["_xmpp-server.a.example"] }), "in"],
    ["SRVName out", dns("a.example", { srv: ["_xmpp-server.b.example"] }), permittedOut],
    ["SRVName wildcard", dns("a.example", { srv: ["_xmpp-server.*.example"] }), permittedOut],
    ["SRVName without a domain", dns("a.example", { srv: ["_xmpp-server"] }), permittedOut],
    ["SRVName with the domain as its service", dns("a.example", { srv: ["_x.b.example"] }), permittedOut],
    ["XmppAddr in", dns("a.example", { xmppAddr: ["a.example"] }), "in"],
    ["XmppAddr out", dns("a.example", { xmppAddr: ["b.example"] }), permittedOut],
    ["XmppAddr of a user", dns("a.example", { xmppAddr: ["user@b.example/x@a.example"] }), permittedOut],
    ["XmppAddr in U-labels", dns("a.example", { xmppAddr: ["b\u00fccher.a.example"] }), unreadable],
    ["XmppAddr excluded", { excluded: { dns: ["b.example"] }, names: { xmppAddr: ["b.example"] } }, excludedIn],
    ["free where no dNSName is constrained", { permitted: { ip: ["10.0.0.0/8"] }, names: { srv: ["_xmpp-server.b.example"] } }, "in"],
    [
      "SRVName constraint",
      { permitted: { srv: ["_xmpp-server.a.example"] }, names: { dns: ["a.example"] } },
      /SRVName constraints are not supported/,
    ],
  ])
})

test("iPAddress", () => {
  const permitted = (base: string, ...ip: string[]): Case => ({ permitted: { ip: [base] }, names: { ip } })
  const raw = (...octets: number[]): Case => ({
    permitted: { raw: [der.context(7, Uint8Array.from(octets), false)] },
    names: { ip: ["10.0.0.1"] },
  })
  table([
    ["in", permitted("10.0.0.0/8", "10.1.2.3"), "in"],
    ["out", permitted("10.0.0.0/8", "11.1.2.3"), permittedOut],
    ["host bits in the base", permitted("10.9.9.9/8", "10.1.2.3"), "in"],
    ["everything", permitted("0.0.0.0/0", "11.1.2.3"), "in"],
    ["IPv6 in", permitted("2001:db8::/33", "2001:db8:7fff::1"), "in"],
    ["IPv6 out", permitted("2001:db8::/33", "2001:db8:8000::1"), permittedOut],
    ["the other family", permitted("10.0.0.0/8", "::1"), permittedOut],
    ["excluded", { excluded: { ip: ["10.0.0.0/30"] }, names: { ip: ["10.0.0.3"] } }, excludedIn],
    ["not excluded", { excluded: { ip: ["10.0.0.0/30"] }, names: { ip: ["10.0.0.4"] } }, "in"],
    ["mask with a hole", raw(10, 0, 0, 0, 255, 0, 255, 0), /iPAddress constraint is malformed/],
    ["address without a mask", raw(10, 0, 0, 0), /iPAddress constraint is malformed/],
  ])
})

test("rfc822Name, in subjectAltName and in the subject", () => {
  const permitted = (base: string, ...email: string[]): Case => ({ permitted: { email: [base] }, names: { email } })
  const subject = der.sequence(der.setOf(der.sequence(der.objectIdentifier("1.2.840.113549.1.9.1"), der.ia5String("x@b.example"))))
  table([
    ["of the domain", permitted("a.example", "x@A.example"), "in"],
    ["of a subdomain", permitted("a.example", "x@b.a.example"), permittedOut],
    ["dot: of a subdomain", permitted(".a.example", "x@b.a.example"), "in"],
    ["dot: of the domain", permitted(".a.example", "x@a.example"), permittedOut],
    ["mailbox", permitted("x@a.example", "x@a.example"), "in"],
    ["mailbox in other case", permitted("x@a.example", "X@a.example"), permittedOut],
    ["excluded mailbox in other case", { excluded: { email: ["x@a.example"] }, names: { email: ["X@a.example"] } }, excludedIn],
    ["no address", permitted("a.example", "a.example"), unreadable],
    ["two at signs", permitted("a.example", '"x@b.example"@a.example'), "in"],
    ["in the subject", { permitted: { email: ["a.example"] }, subject }, permittedOut],
    ["malformed base", permitted("@a.example", "x@a.example"), /rfc822Name constraint .* malformed/],
  ])
})

test("directoryName, compared without case and white space; other forms refused where they are used", () => {
  const name = (text: string): Uint8Array => commonNameSubject(text)
  const printable = der.sequence(der.setOf(der.sequence(der.objectIdentifier("2.5.4.3"), der.printableString("The  Lab "))))
  const two = der.sequence(
    der.setOf(der.sequence(der.objectIdentifier("2.5.4.10"), der.utf8String("Lab"))),
    der.setOf(der.sequence(der.objectIdentifier("2.5.4.3"), der.utf8String("end"))),
  )
  const organisation = der.sequence(der.setOf(der.sequence(der.objectIdentifier("2.5.4.10"), der.utf8String("Lab"))))
  table([
    ["the same", { permitted: { directory: [name("end")] } }, "in"],
    ["another", { permitted: { directory: [name("other")] } }, permittedOut],
    ["a prefix", { permitted: { directory: [organisation] }, subject: two }, "in"],
    ["longer than the name", { permitted: { directory: [two] }, subject: organisation }, permittedOut],
    ["excluded in another string type", { excluded: { directory: [printable] }, subject: name("the lab") }, excludedIn],
    ["no subject", { permitted: { directory: [name("other")] }, subject: der.sequence(), names: { dns: ["a.example"] } }, "in"],
    ["URI used", { permitted: { uri: ["a.example"] }, names: { uri: ["https://a.example/"] } }, /form uri are not supported/],
    ["URI not used", { permitted: { uri: ["a.example"] }, names: { dns: ["a.example"] } }, "in"],
    [
      "registeredID used",
      { excluded: { raw: [der.tlv(0x88, Uint8Array.of(42))] }, names: { raw: [der.tlv(0x88, Uint8Array.of(42))] } },
      /tag 8 are not supported/,
    ],
  ])
})

test("property: excluding what is permitted leaves nothing, and comparisons are counted", () => {
  const label = fc.constantFrom("a", "b", "ab", "*")
  const name = fc
    .tuple(label, fc.array(fc.constantFrom("a", "b", "ab"), { minLength: 1, maxLength: 3 }))
    .map(([first, rest]) => [first, ...rest].join("."))
  const base = fc.array(fc.constantFrom("a", "b", "ab"), { minLength: 1, maxLength: 3 }).map((labels) => labels.join("."))
  fc.assert(
    fc.property(name, base, (dns, tree) => {
      spent = 0
      const inside = violation({ permitted: { dns: [tree] }, names: { dns: [dns] } }) === undefined
      const kept = violation({ excluded: { dns: [tree] }, names: { dns: [dns] } }) === undefined
      assert.ok(!(inside && kept), `${dns} under ${tree}`)
      assert.equal(violation({ permitted: { dns: [tree] }, excluded: { dns: [tree] }, names: { dns: [dns] } }) === undefined, false)
      assert.ok(spent >= 3)
    }),
    { numRuns: 150 },
  )
})
