// What people name by mistake in place of a certificate: each has a sentence of its own (RFC 7468; POSH-06, POSH-19).
import assert from "node:assert/strict"
import { test } from "node:test"
import { endedSentence, mostFileOctets, PublishError, readCertificateFile } from "../../src/inspect/publish-certificate.ts"
import { CertificateAuthority, selfSigned } from "../../src/lab/certificate-authority.ts"

const now = Date.UTC(2026, 10, 22)
const day = 86_400_000
const root = CertificateAuthority.create({ name: "Root", now })
const middle = root.intermediate({ commonName: "Middle" })
const leaf = middle.issue({ names: { dns: ["host.example"] } })
const other = root.issue({ names: { dns: ["other.example"] } })

const read = (text: string | Uint8Array) => readCertificateFile(typeof text === "string" ? Buffer.from(text) : text, "x.pem", now)

const refused: readonly (readonly [what: string, content: string | Uint8Array, says: RegExp])[] = [
  ["nothing", "", /x\.pem is empty/],
  ["blank lines", " \r\n\n", /is empty/],
  ["other text", "hello\n", /holds no certificate/],
  ["a key instead", leaf.keyPem, /private key and no certificate/],
  ["a public key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", /public key and no certificate/],
  ["a request", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", /request for a certificate/],
  ["a lost end", leaf.pem.replace(/-----END.*/s, ""), /damaged: a -----BEGIN line has no -----END/],
  ["a lost end of the second", leaf.chainPem.slice(0, -30), /damaged: a -----BEGIN/],
  ["no Base64", leaf.pem.replace(/\n[A-Za-z0-9+/]{4}/, "\n!!!!"), /damaged: certificate 1 is not Base64/],
  ["an octet missing", leaf.pem.replace(/\n[A-Za-z0-9+/]{4}/, "\n"), /certificate 1 cannot be read/],
  ["a second that is none", `${leaf.pem}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n`, /certificate 2 cannot be read/],
  ["DER that is none", Buffer.from([0x30, 0x03, 1, 2, 3]), /certificate 1 cannot be read/],
  ["a bundle", leaf.pem.repeat(17), /more than 16 certificates/],
  ["too much", Buffer.alloc(mostFileOctets + 1, 0x20), /too large/],
]

for (const [what, content, says] of refused) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => read(content),
      (error) => error instanceof PublishError && says.test(error.message) && error.message.startsWith("x.pem"),
    )
  })
}

test("a chain file: the first certificate is the server's, the rest stands above it", () => {
  const { leaf: first, above, notes } = read(leaf.chainPem)
  assert.deepEqual([first.der, above.length, notes], [Buffer.from(leaf.der), 1, []])
})

test("CRLF, text between blocks and DER are read as well", () => {
  assert.deepEqual(read(`subject: x\r\n${leaf.pem.replaceAll("\n", "\r\n")}`).leaf.der, Buffer.from(leaf.der))
  assert.deepEqual(read(leaf.der).leaf.der, Buffer.from(leaf.der))
})

test("what is allowed and odd is said: a key beside, certificates that do not belong together, an authority, the future", () => {
  assert.match(read(leaf.keyPem + leaf.pem).notes.join(), /private key, too/)
  const mixed = read(leaf.pem + other.pem)
  assert.match(mixed.notes.join(), /certificate 2, .*did not issue the one before it; only the first 1 of 2 count/)
  assert.equal(mixed.above.length, 0)
  assert.match(read(middle.certificate.pem).notes.join(), /authority's/)
  assert.deepEqual(read(selfSigned({ now, names: { dns: ["host.example"] } }).pem).notes, [])
  assert.match(read(root.issue({ names: { dns: ["host.example"] }, notBefore: now + day, notAfter: now + 9 * day }).pem).notes.join(), /not valid before 2026-11-23/)
})

test("POSH-19: an expired certificate is told from a valid one", () => {
  const old = root.issue({ names: { dns: ["host.example"] }, notBefore: now - 9 * day, notAfter: now - day })
  assert.equal(endedSentence(read(old.pem), now), "the certificate in x.pem expired on 2026-11-21")
  assert.equal(endedSentence(read(leaf.pem), now), undefined)
})
