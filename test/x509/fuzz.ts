// The longer run behind `npm run fuzz` for certificates: hostile bytes give a certificate or a
// CertificateError, and a changed chain is never proved unless its first certificate is the genuine one.

import assert from "node:assert/strict"
import { parseArgs } from "node:util"
import fc from "fast-check"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { CertificateError, parseCertificate } from "../../src/x509/certificate.ts"
import { validatePath } from "../../src/x509/path.ts"
import { edited, nested } from "./der-arbitrary.ts"

const { values } = parseArgs({ options: { seconds: { type: "string", default: "60" }, seed: { type: "string" } } })
const seed = Number(values.seed ?? Date.now() % 2 ** 31)
process.stdout.write(`seed ${seed}\n`)

const now = Date.UTC(2026, 10, 20)
const root = CertificateAuthority.create({ now })
const middle = root.intermediate({
  nameConstraints: { permitted: { dns: ["example"], ip: ["10.0.0.0/8"] }, excluded: { email: ["b.example"] } },
})
const names = { dns: ["a.example", "*.a.example"], srv: ["_xmpp-server.a.example"], xmppAddr: ["a.example"], ip: ["10.0.0.1"] }
const { chain } = middle.issue({ names })
const anchors = anchorSet([root.certificate.der])
const leaf = chain[0]!
const issuer = chain[1]!

const input = fc.oneof(fc.uint8Array({ maxLength: 2000 }), edited(leaf), edited(issuer), nested)
const presented = fc.array(fc.oneof(input, fc.constantFrom(leaf, issuer, root.certificate.der)), { maxLength: 16 })
const end = performance.now() + Number(values.seconds) * 1000
let rounds = 0
for (; performance.now() < end; rounds++) {
  fc.assert(
    fc.property(input, (encoded) => {
      try {
        assert.deepEqual(parseCertificate(encoded).der, Buffer.from(encoded))
      } catch (error) {
        assert.ok(error instanceof CertificateError, String(error))
      }
    }),
    { numRuns: 2000, seed: seed + rounds },
  )
  fc.assert(
    fc.property(presented, (list) => {
      const start = performance.now()
      const result = validatePath({ chain: list, anchors, at: now, purpose: "server" })
      assert.ok(performance.now() - start < 2000, "too slow")
      if (result.ok) assert.deepEqual(result.path[0]!.der, leaf)
    }),
    { numRuns: 500, seed: seed + rounds },
  )
}
process.stdout.write(`${rounds} rounds of 2,500 inputs, nothing found\n`)
