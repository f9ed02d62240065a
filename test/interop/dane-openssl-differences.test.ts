// The few points where OpenSSL's DANE and ours differ, as docs/dane-openssl.md says; where they agree: dane-openssl.test.ts.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { writeFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { after, test } from "node:test"
import { createServer } from "node:tls"
import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import type { TlsaRecord } from "../../src/model/dns-answer.ts"
import { matchTlsa, selectTlsa, tlsaParameters } from "../../src/proof/tlsa.ts"
import { temporaryFolder } from "./peers/process.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"

const now = Date.now()
const domain = "host.example"

test("where OpenSSL differs, as docs/dane-openssl.md says", { skip: peerMissing("openssl") }, async () => {
  const root = CertificateAuthority.create({ name: "DANE Root", now })
  const leaf = root.issue({ names: { dns: ["else.example"] } })
  const roots = join(temporaryFolder("dane-openssl"), "roots.pem")
  writeFileSync(roots, root.certificate.pem)
  const server = createServer({ cert: leaf.chainPem, key: leaf.keyPem }, (socket) => {
    socket.on("error", () => socket.destroy())
    socket.end()
  })
  // A client that gives up in the middle of the handshake.
  server.on("tlsClientError", (_, socket) => socket.destroy())
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  after(() => server.close())
  const { port } = server.address() as AddressInfo
  const pinned: TlsaRecord = { usage: 3, selector: 1, matching: 1, association: createHash("sha256").update(leaf.key.spki).digest("hex") }
  const ours = (records: readonly TlsaRecord[]): boolean =>
    matchTlsa(selectTlsa(records).usable, { chain: leaf.chain, accept: [{ type: "DNS-ID", value: domain, because: "source" }], at: now }).matched
  // Row 1: without -dane_ee_no_namechecks OpenSSL asks DANE-EE for a name; RFC 7671 5.1 does not (DANE-15).
  assert.equal(ours([pinned]), true)
  assert.match(await openssl(port, roots, [pinned], []), /verif/i)
  assert.doesNotMatch(await openssl(port, roots, [pinned], []), /^Verification: OK$/m)
  assert.match(await openssl(port, roots, [pinned]), /^Verification: OK$/m)
  // Row 2: both discard a record that nobody can use (DANE-22). With nothing left s_client does not connect; here PKIX decides (DANE-13).
  for (const [usage, selector, matching, association] of [
    [3, 1, 1, "00"],
    [77, 1, 1, "ab".repeat(32)],
    [3, 7, 1, "ab".repeat(32)],
    [3, 1, 9, "ab".repeat(32)],
    [3, 0, 0, "3003020101"],
  ] as const) {
    const record: TlsaRecord = { usage, selector, matching, association }
    const { usable, unusable } = selectTlsa([record])
    assert.deepEqual([usable.length, unusable.length], [0, 1], tlsaParameters(record))
    assert.equal(ours([record, pinned]), true)
    assert.match(await openssl(port, roots, [record, pinned]), /^Verification: OK$/m, tlsaParameters(record))
    assert.match(await openssl(port, roots, [record]), /Failed to import any TLSA records/, tlsaParameters(record))
  }
  peerUsed("openssl")
})

async function openssl(port: number, roots: string, records: readonly TlsaRecord[], options: readonly string[] = ["-dane_ee_no_namechecks"]): Promise<string> {
  const rrdata = records.flatMap((record) => ["-dane_tlsa_rrdata", `${tlsaParameters(record)} ${record.association}`])
  const child = spawn(
    "openssl",
    ["s_client", "-connect", `127.0.0.1:${port}`, "-brief", "-verify_return_error", "-CAfile", roots, "-no-CApath", "-no-CAstore", "-dane_tlsa_domain", domain, ...options, ...rrdata],
    { stdio: ["ignore", "pipe", "pipe"], timeout: 20_000 },
  )
  const said: Buffer[] = []
  child.stdout.on("data", (chunk: Buffer) => said.push(chunk))
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk))
  await once(child, "close")
  return Buffer.concat(said).toString()
}
