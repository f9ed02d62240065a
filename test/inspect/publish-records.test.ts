// Records in every form they are pasted in: the same octets in all of them (RFC 1035 5.1, RFC 3597 5, RFC 6698 2.1, RFC 8659 4.1).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { nameToText } from "../../src/dns/name.ts"
import { parseBody } from "../../src/dns/records.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { PublishError, readCertificateFile } from "../../src/inspect/publish-certificate.ts"
import { dnsRecords, readPlace } from "../../src/inspect/publish-dns.ts"
import { encoded, formatRecords, type PublishedContent, type PublishedRecord, presented, recordObjects } from "../../src/inspect/publish-records.ts"
import { association, readKind, tlsaRecords, usualKind } from "../../src/inspect/publish-tlsa.ts"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { tlsa } from "../proof/tlsa-support.ts"

const now = Date.UTC(2026, 10, 22)
const middle = CertificateAuthority.create({ name: "Root", now }).intermediate({ commonName: "Middle" })
const issued = middle.issue({ names: { dns: ["host.example"] } })
const file = readCertificateFile(Buffer.from(issued.chainPem), "chain.pem", now)
const host = parseDomain("host.example")

const contents: fc.Arbitrary<PublishedContent> = fc.oneof(
  fc.record({ type: fc.constant("TLSA" as const), usage: fc.nat(3), selector: fc.nat(1), matching: fc.nat(2), association: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((octets) => Buffer.from(octets).toString("hex")) }),
  fc.record({ type: fc.constant("SRV" as const), priority: fc.nat(65_535), weight: fc.nat(65_535), port: fc.nat(65_535), target: fc.constantFrom(".", "host.example", "xn--caf-dma.example") }),
)

test("RFC 3597: the generic line holds the octets of the record", () => {
  fc.assert(
    fc.property(contents, (content) => {
      const record: PublishedRecord = { name: "x.example", ttl: 60, content }
      const [, number, length, hex] = /^x\.example\. 60 IN TYPE(\d+) \\# (\d+) ([0-9a-f]+)$/.exec(formatRecords([record], "generic")[0]!) ?? []
      const octets = Buffer.from(hex!, "hex")
      assert.equal(octets.length, Number(length))
      const read = parseBody(Number(number), octets)
      if (content.type === "TLSA") {
        assert.ok(read.kind === "TLSA")
        assert.deepEqual([read.usage, read.selector, read.matching, Buffer.from(read.association).toString("hex")], [content.usage, content.selector, content.matching, content.association])
      } else if (content.type === "SRV") {
        assert.ok(read.kind === "SRV")
        assert.deepEqual([read.priority, read.weight, read.port, nameToText(read.target)], [content.priority, content.weight, content.port, content.target])
      }
    }),
    { numRuns: 300 },
  )
})

test("addresses and CAA as octets", () => {
  assert.deepEqual(encoded({ type: "A", address: "192.0.2.1" }), Buffer.from([192, 0, 2, 1]))
  assert.equal(encoded({ type: "AAAA", address: "2001:db8::1" }).toString("hex"), "20010db8000000000000000000000001")
  assert.deepEqual(encoded({ type: "CAA", tag: "issue", value: "ca.example" }), Buffer.from("\0\u0005issueca.example", "latin1"))
})

test("every format has the record, and only a zone file its comment", () => {
  const record: PublishedRecord = { name: "_5269._tcp.host.example", ttl: 3600, content: { type: "TLSA", ...usualKind, association: "ab".repeat(32) }, comment: "current" }
  const value = presented(record.content)
  assert.deepEqual(formatRecords([record], "zone"), [`_5269._tcp.host.example. 3600 IN TLSA ${value}   ; current`])
  assert.deepEqual(formatRecords([record], "nsupdate", { zone: "host.example" }), ["zone host.example.", `update add _5269._tcp.host.example. 3600 IN TLSA ${value}`, "send"])
  assert.deepEqual(JSON.parse(formatRecords([record], "json").join("\n")), recordObjects([record]))
  const [item] = formatRecords([record], "terraform").filter((line) => line.includes("{ name"))
  assert.equal(item, `    { name = "_5269._tcp.host.example", type = "TLSA", ttl = 3600, value = "${value}" },`)
})

test("RFC 6698 2.1: every usage, selector and matching type is of the certificate it is about", () => {
  for (const usage of [0, 1, 2, 3]) {
    for (const selector of [0, 1]) {
      for (const matching of [0, 1, 2]) {
        const der = usage % 2 === 1 ? issued.der : middle.certificate.der
        assert.equal(association(file, { usage, selector, matching }), tlsa(der, `${usage} ${selector} ${matching}`).association)
      }
    }
  }
})

test("kinds: with and without spaces, and nothing else", () => {
  assert.deepEqual([readKind("3 1 1"), readKind("201")], [usualKind, { usage: 2, selector: 0, matching: 1 }])
  for (const text of ["", "4 1 1", "3 2 1", "3 1 3", "3  1 1", "3 1", "31 1 1", "3 1 1 1"]) assert.throws(() => readKind(text), PublishError, text)
})

test("a key alone makes 3 1 x, and nothing of a certificate", () => {
  const key = { file: "next.key", spki: file.leaf.spki }
  assert.equal(association(key, usualKind), association(file, usualKind))
  for (const kind of ["3 0 1", "2 1 1", "0 1 1"]) assert.throws(() => association(key, readKind(kind)), PublishError, kind)
})

test("DANE-17: usage 2 needs an authority in the file", () => {
  const alone = readCertificateFile(Buffer.from(issued.pem), "cert.pem", now)
  assert.throws(() => association(alone, readKind("2 1 1")), /holds no authority/)
  const authority = readCertificateFile(Buffer.from(middle.certificate.pem), "ca.pem", now)
  assert.equal(association(authority, readKind("2 1 1")), association(file, readKind("2 1 1")))
})

test("the same key in two certificates is one record", () => {
  const again = { ...file, file: "again.pem" }
  assert.equal(tlsaRecords([file, again], [{ host, port: 5269 }], usualKind, 60).length, 1)
  const others = tlsaRecords([file, readCertificateFile(Buffer.from(middle.issue({ names: { dns: ["host.example"] } }).pem), "odd\nname.pem", now)], [{ host, port: 5269 }], usualKind, 60)
  // A file name cannot begin a line of its own in a zone.
  assert.deepEqual(others.map(({ comment }) => comment), ["chain.pem", "odd?name.pem"])
})

const place = { host, port: 5269 }
const plain = { domain: parseDomain("shop.example"), ttl: 60, addresses: [], certificates: [], kind: usualKind, caa: [] }
const none = { "xmpp-server": undefined, "xmpps-server": undefined, "xmpp-client": undefined, "xmpps-client": undefined }

test("CORE-02: what is not offered has the target of nobody; what was not named has no record", () => {
  const { records } = dnsRecords({ ...plain, services: { ...none, "xmpp-server": [place], "xmpp-client": [] } })
  assert.deepEqual(
    records.map(({ name, content }) => `${name} ${presented(content)}`),
    ["_xmpp-server._tcp.shop.example 0 5 5269 host.example.", "_xmpp-client._tcp.shop.example 0 0 0 ."],
  )
})

test("addresses are those of the domain's own hosts; hosts elsewhere are said", () => {
  const own = { host: parseDomain("xmpp.shop.example"), port: 5270 }
  const { records, notes } = dnsRecords({ ...plain, addresses: ["192.0.2.1", "2001:DB8::1"], services: { ...none, "xmpp-server": [place], "xmpps-server": [own] } })
  assert.deepEqual(
    records.slice(2).map(({ name, content }) => `${name} ${content.type} ${presented(content)}`),
    ["xmpp.shop.example A 192.0.2.1", "xmpp.shop.example AAAA 2001:db8::1"],
  )
  assert.match(notes.join("\n"), /of host\.example belong into the zones of their owners/)
  // A name that only ends alike is somebody else's.
  const alike = { host: parseDomain("workshop.example"), port: 5269 }
  assert.equal(dnsRecords({ ...plain, addresses: ["192.0.2.1"], services: { ...none, "xmpp-server": [alike] } }).records.length, 1)
})

test("places, addresses and authorities that are none", () => {
  assert.deepEqual([readPlace("host.example", 5269), readPlace("HOST.example:5270", 1)], [place, { host, port: 5270 }])
  for (const text of ["", "192.0.2.1", "host.example:0", "host.example:70000", "host.example:x", "a b", "[::1]:5269"]) assert.throws(() => readPlace(text, 5269), PublishError, text)
  assert.throws(() => dnsRecords({ ...plain, addresses: ["1.2.3"], services: { ...none, "xmpp-server": [{ host: plain.domain, port: 1 }] } }), /not an IP address/)
  assert.throws(() => dnsRecords({ ...plain, caa: ['x"; y'], services: none }), /no authority's name/)
})
