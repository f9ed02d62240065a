// Reference identities against presented ones (RFC 9525; ID-02 to ID-12).

import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { generateKey, type IssueOptions, selfSigned } from "../../src/lab/certificate-authority.ts"
import * as der from "../../src/lab/der-writer.ts"
import { type Certificate, parseCertificate } from "../../src/x509/certificate.ts"
import { type AcceptedIdentifier, type MatchOptions, matchIdentity } from "../../src/x509/identifiers.ts"

const key = generateKey()
const certificate = (names: NonNullable<IssueOptions["names"]>, more: IssueOptions = {}): Certificate =>
  parseCertificate(selfSigned({ now: Date.UTC(2026, 10, 20), key, names, commonName: "x", ...more }).der)
const matches = (leaf: Certificate, accepted: AcceptedIdentifier, options?: MatchOptions): boolean =>
  "matched" in matchIdentity(leaf, [accepted], options)
const otherName = (oid: string, value: Uint8Array): Uint8Array =>
  der.context(0, Buffer.concat([der.objectIdentifier(oid), der.context(0, value)]))

test("DNS-ID: whole names, ASCII case apart, and wildcards as ID-07 says", () => {
  const rows: [presented: string, reference: string, boolean][] = [
    ["a.example", "a.example", true],
    ["A.Example", "a.example", true],
    ["a.example", "b.example", false],
    ["a.example", "x.a.example", false],
    ["x.a.example", "a.example", false],
    ["a.example.", "a.example", false],
    ["a.example", "xa.example", false],
    ["*.example", "a.example", true],
    ["*.Example", "a.example", true],
    ["*.example", "a.b.example", false],
    ["*.example", "example", false],
    ["*.example", "xn--bcher-kva.example", true],
    ["a*.example", "ab.example", false],
    ["*a.example", "ba.example", false],
    ["f*.example", "f.example", false],
    ["*", "example", false],
    ["*.", "example", false],
    ["a.*.example", "a.b.example", false],
    ["*.*.example", "a.b.example", false],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", true],
    ["a.example\u0000.b.example", "a.example", false],
    ["a.example ", "a.example", false],
    ["127.0.0.1", "127.0.0.1", false],
    ["*.0.0.1", "127.0.0.1", false],
    ["", "a.example", false],
    [".a.example", "a.example", false],
    [".example", "a.example", false],
    ["a..example", "a.example", false],
  ]
  for (const [presented, value, want] of rows)
    assert.equal(matches(certificate({ dns: [presented] }), { type: "DNS-ID", value }), want, `${JSON.stringify(presented)} for ${value}`)
})

test("SRV-ID: service and domain as one unit (ID-04), wildcards by switch (ID-08)", () => {
  const server: AcceptedIdentifier = { type: "SRV-ID", value: "_xmpp-server.a.example" }
  const rows: [string, boolean][] = [
    ["_xmpp-server.a.example", true],
    ["_XMPP-Server.A.example", true],
    ["_xmpp-client.a.example", false],
    ["_xmpp-server.b.example", false],
    ["xmpp-server.a.example", false],
    ["_xmpp-server._tcp.a.example", false],
    ["_xmpp-server", false],
    ["_xmpp-server.", false],
    ["*.a.example", false],
    ["_*.a.example", false],
    ["a.example", false],
  ]
  for (const [presented, want] of rows) assert.equal(matches(certificate({ srv: [presented] }), server), want, presented)
  const both = certificate({ srv: ["_xmpp-client.a.example", "_xmpp-server.b.example"] })
  assert.ok(!matches(both, server), "never the service of one with the domain of another")
  const wild = certificate({ srv: ["_xmpp-server.*.example"] })
  assert.ok(matches(wild, server))
  assert.ok(!matches(wild, server, { srvWildcards: false }))
  assert.ok(!matches(wild, { type: "SRV-ID", value: "_xmpp-server.example" }))
  assert.ok(!matches(certificate({ srv: ["_xmpp-server.a.example"] }), { type: "DNS-ID", value: "a.example" }), "an SRVName is no dNSName")
})

test("XmppAddr: bare domains only, U-labels brought to A-labels (ID-05)", () => {
  const rows: [string, string, boolean][] = [
    ["a.example", "a.example", true],
    ["A.EXAMPLE", "a.example", true],
    ["b\u00fccher.example", "xn--bcher-kva.example", true],
    ["xn--bcher-kva.example", "xn--bcher-kva.example", true],
    ["user@a.example", "a.example", false],
    ["a.example/x", "a.example", false],
    ["a.example/x@a.example", "a.example", false],
    ["*.example", "a.example", false],
    ["\u212a.example", "k.example", false],
    ["a\u3002example", "a.example", false],
    ["", "a.example", false],
    ["127.0.0.1", "127.0.0.1", false],
  ]
  for (const [presented, value, want] of rows)
    assert.equal(matches(certificate({ xmppAddr: [presented] }), { type: "XmppAddr", value }), want, JSON.stringify(presented))
})

test("a name of the wrong string type is nobody's; neither are e-mail, URI and address names (ID-11)", () => {
  const wrongSrv = certificate({ raw: [otherName("1.3.6.1.5.5.7.8.7", der.utf8String("_xmpp-server.a.example"))] })
  assert.ok(!matches(wrongSrv, { type: "SRV-ID", value: "_xmpp-server.a.example" }))
  const wrongAddr = certificate({ raw: [otherName("1.3.6.1.5.5.7.8.5", der.ia5String("a.example"))] })
  assert.ok(!matches(wrongAddr, { type: "XmppAddr", value: "a.example" }))
  const others = certificate({ email: ["a.example", "x@a.example"], uri: ["a.example"], ip: ["127.0.0.1"] })
  for (const value of ["a.example", "127.0.0.1"]) assert.ok(!matches(others, { type: "DNS-ID", value }))
})

test("the commonName is never looked at (ID-09)", () => {
  const byName = parseCertificate(selfSigned({ now: Date.UTC(2026, 10, 20), key, commonName: "a.example" }).der)
  assert.deepEqual(matchIdentity(byName, [{ type: "DNS-ID", value: "a.example" }]), { presented: [] })
  const both = certificate({ dns: ["b.example"] }, { commonName: "a.example" })
  assert.deepEqual(matchIdentity(both, [{ type: "DNS-ID", value: "a.example" }]), { presented: ["b.example"] })
})

test("any one match is enough and is told, with what was presented (ID-06, ID-19)", () => {
  const leaf = certificate({ dns: ["*.example"], srv: ["_xmpp-server.c.example"] })
  const accept = [
    { type: "DNS-ID", value: "x.b.example", because: "source" },
    { type: "SRV-ID", value: "_xmpp-server.c.example", because: "secure-delegation" },
  ] as const
  assert.deepEqual(matchIdentity(leaf, accept), { matched: { ...accept[1], presented: "_xmpp-server.c.example" } })
  assert.deepEqual(matchIdentity(leaf, [{ type: "DNS-ID", value: "b.example" }]), {
    matched: { type: "DNS-ID", value: "b.example", presented: "*.example" },
  })
  assert.ok(!("matched" in matchIdentity(leaf, [])), "nothing accepted, nothing matched")
})

test("names for the operator's sentence are printable and few", () => {
  const many = Array.from({ length: 30 }, (_, index) => `n${index}.example`)
  const result = matchIdentity(certificate({ dns: ["\u001b[2J.example", ...many] }), [{ type: "DNS-ID", value: "a.example" }])
  assert.ok("presented" in result)
  assert.equal(result.presented.length, 21)
  assert.equal(result.presented[0], "\\u{1b}[2J.example")
  assert.equal(result.presented[20], "11 more")
})

test("property: a name without a wildcard matches itself and nothing else", () => {
  const label = fc.stringMatching(/^[a-z]([a-z0-9]{0,5}[a-z])?$/)
  const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join("."))
  fc.assert(
    fc.property(name, name, (presented, value) => {
      assert.equal(matches(certificate({ dns: [presented] }), { type: "DNS-ID", value }), presented === value)
      assert.equal(
        matches(certificate({ dns: [`*.${presented}`] }), { type: "DNS-ID", value }),
        value.slice(value.indexOf(".") + 1) === presented && value.includes("."),
      )
    }),
    { numRuns: 200 },
  )
})

test("a certificate of hundreds of domains names each of them in itself, and nobody else", () => {
  const dns = Array.from({ length: 400 }, (_, index) => `d${index}.right.example`)
  const leaf = certificate({ dns: ["*.left.example", ...dns, "X1.Left.Example"] })
  for (const value of dns) {
    assert.deepEqual(matchIdentity(leaf, [{ type: "DNS-ID", value }]), { matched: { type: "DNS-ID", value, presented: value } })
  }
  for (const value of ["d400.right.example", "right.example", "x.d1.right.example", "left.example"]) {
    assert.equal(matches(leaf, { type: "DNS-ID", value }), false, value)
  }
  // One that is written out goes before a wildcard.
  const exact = matchIdentity(leaf, [{ type: "DNS-ID", value: "x1.left.example" }])
  assert.equal("matched" in exact && exact.matched.presented, "X1.Left.Example")
  assert.equal(matches(leaf, { type: "DNS-ID", value: "x2.left.example" }), true)
})
