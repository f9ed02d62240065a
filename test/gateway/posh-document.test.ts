// The document that is published for POSH: its octets, its order, and what is refused to be written (RFC 7711 3.1, 3.2).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import { fingerprintsDocument, referenceDocument } from "../../src/gateway/posh-document.ts"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { testNow } from "./config-fixture.ts"

const root = CertificateAuthority.create({ name: "Root", now: testNow })
const one = root.issue({ names: { dns: ["host.example"] } })
const two = root.issue({ names: { dns: ["host.example"] } })

interface Document {
  readonly fingerprints: readonly Readonly<Record<string, string>>[]
  readonly expires: number
}

const read = (text: string): Document => JSON.parse(text) as Document

test("POSH-06: both digests of the DER, in base64 with padding, and never those of the key", () => {
  const { fingerprints, expires } = read(fingerprintsDocument([one.der], 3600))
  const base64 = (algorithm: string, octets: Uint8Array) => createHash(algorithm).update(octets).digest().toString("base64")
  assert.deepEqual(fingerprints, [{ "sha-256": base64("sha256", one.der), "sha-512": base64("sha512", one.der) }])
  assert.match(fingerprints[0]!["sha-256"]!, /^[A-Za-z0-9+/]{43}=$/)
  assert.match(fingerprints[0]!["sha-512"]!, /^[A-Za-z0-9+/]{86}==$/)
  assert.equal(expires, 3600)
})

test("POSH-08: the order given is the order written; a certificate that comes again counts once", () => {
  const names = (text: string) => read(text).fingerprints.map((each) => each["sha-256"])
  const [first, second] = [names(fingerprintsDocument([one.der], 1))[0], names(fingerprintsDocument([two.der], 1))[0]]
  assert.deepEqual(names(fingerprintsDocument([two.der, one.der], 1)), [second, first])
  assert.deepEqual(names(fingerprintsDocument([one.der, two.der, one.der], 1)), [first, second])
})

test("the same certificates give the same octets", () => {
  assert.equal(fingerprintsDocument([one.der, two.der], 60), fingerprintsDocument([Buffer.from(one.der), Buffer.from(two.der)], 60))
})

test("POSH-04, POSH-09: a document that peers would refuse is not written", () => {
  assert.throws(() => fingerprintsDocument([], 60), /0 certificates/)
  for (const expires of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 604_801]) {
    assert.throws(() => fingerprintsDocument([one.der], expires), RangeError, String(expires))
    assert.throws(() => referenceDocument("https://host.example/x", expires), RangeError, String(expires))
  }
})

test("POSH-05, POSH-11: a reference has an https URL and no fingerprints", () => {
  assert.deepEqual(JSON.parse(referenceDocument("https://host.example/.well-known/posh/xmpp-server.json", 60)), {
    url: "https://host.example/.well-known/posh/xmpp-server.json",
    expires: 60,
  })
  for (const url of ["http://host.example/x", "host.example", "", "ftp://host.example/", "https://user:word@host.example/"]) {
    assert.throws(() => referenceDocument(url, 60), /not an https URL/, url)
  }
})
