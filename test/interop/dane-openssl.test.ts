// Our verdicts on TLSA records are those of OpenSSL, over every usage, selector and matching type (RFC 6698, RFC 7671).
import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"
import { createServer, type Server } from "node:tls"
import { generateKey, type IssuedCertificate, toPem } from "../../src/lab/certificate-authority.ts"
import type { TlsaRecord } from "../../src/model/dns-answer.ts"
import { matchTlsa, selectTlsa } from "../../src/proof/tlsa.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { day, issued, middle, names, now, own, publicRoot, root, spoilt, strangerRoot, tlsa } from "../proof/tlsa-support.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"

const folder = mkdtempSync(join(tmpdir(), "dane-openssl-"))
const rootsFile = join(folder, "roots.pem")
writeFileSync(rootsFile, publicRoot.certificate.pem)
const servers: Server[] = []
after(() => {
  for (const server of servers) server.close()
  rmSync(folder, { recursive: true, force: true })
})

async function serve(leaf: IssuedCertificate, chain: readonly Uint8Array[]): Promise<number> {
  const server = createServer({ cert: chain.map(toPem).join(""), key: leaf.keyPem }, (socket) => socket.on("error", () => socket.destroy()))
  server.on("tlsClientError", () => {})
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return (server.address() as AddressInfo).port
}

/** Whether `openssl s_client` verifies the server by these records, at the same moment, with the same roots. */
function openssl(port: number, records: readonly TlsaRecord[]): Promise<boolean> {
  const options = ["s_client", "-connect", `127.0.0.1:${port}`, "-dane_tlsa_domain", "a.example", "-dane_ee_no_namechecks", "-attime", String(now / 1000), "-CAfile", rootsFile, "-no-CApath", "-brief", "-verify_return_error"]
  const rows = records.flatMap(({ usage, selector, matching, association }) => ["-dane_tlsa_rrdata", `${usage} ${selector} ${matching} ${association}`])
  return new Promise((resolve, reject) => {
    const child = execFile("openssl", [...options, ...rows], { timeout: 10_000 }, (error, stdout, stderr) => {
      const said = stdout + stderr
      if (/Verification: OK/.test(said)) resolve(true)
      else if (error !== null && /verif|certificate|dane|TLSA/i.test(said)) resolve(false)
      else reject(new Error(`openssl said neither: ${said.slice(0, 500)}`))
    })
    child.stdin?.end()
  })
}

const policy = { usages: [3, 2, 1, 0], digests: [2, 1] }
const anchors = anchorSet([publicRoot.certificate.der])
const ours = (records: readonly TlsaRecord[], chain: readonly Uint8Array[]): boolean =>
  matchTlsa(selectTlsa(records, policy).usable, { chain, accept: names("a.example"), at: now, anchors }).matched

interface Chain {
  readonly what: string
  readonly leaf: IssuedCertificate
  readonly chain: readonly Uint8Array[]
  /** Named by records of usages 2 and 0. */
  readonly authority: Uint8Array
}

const publicMiddle = publicRoot.intermediate({ commonName: "Public Middle" })
const narrow = root.intermediate({ commonName: "Narrow", pathLength: 0 })
const belowNarrow = narrow.intermediate({ commonName: "Below" })
const old = { notBefore: now - 90 * day, notAfter: now - day }
const make = (what: string, leaf: IssuedCertificate, authority: Uint8Array, chain: readonly Uint8Array[] = leaf.chain): Chain => ({ what, leaf, chain, authority })

const belowMiddle = issued(middle, "a.example")

const chains: readonly Chain[] = [
  make("private chain, the authority shown", issued(middle, "a.example"), middle.certificate.der),
  make("private chain, its root shown", belowMiddle, root.certificate.der, [...belowMiddle.chain, root.certificate.der]),
  make("private chain, its root absent", issued(middle, "a.example"), root.certificate.der),
  make("signed by a root that is absent", issued(root, "a.example"), root.certificate.der),
  make("another name", issued(middle, "b.example"), middle.certificate.der),
  make("expired", issued(middle, "a.example", old), middle.certificate.der),
  make("for clients only", issued(middle, "a.example", { eku: ["clientAuth"] }), middle.certificate.der),
  make("path too long for the authority", issued(belowNarrow, "a.example"), narrow.certificate.der),
  make("public chain, the intermediate named", issued(publicMiddle, "a.example"), publicMiddle.certificate.der),
  make("public chain, the root named", issued(publicMiddle, "a.example"), publicRoot.certificate.der),
  make("public chain, another name", issued(publicMiddle, "b.example"), publicMiddle.certificate.der),
  make("public chain, an authority of no part in it", issued(publicMiddle, "a.example"), strangerRoot.certificate.der),
  make("self-signed", own(), own().der),
]

for (const { what, leaf, chain, authority } of chains) {
  test(`OpenSSL agrees: ${what}`, { skip: peerMissing("openssl") }, async () => {
    const port = await serve(leaf, chain)
    const rows: [label: string, records: TlsaRecord[]][] = []
    for (const usage of [3, 2, 1, 0]) {
      for (const selector of [0, 1]) {
        for (const matching of [0, 1, 2]) {
          const kind = `${usage} ${selector} ${matching}`
          rows.push([kind, [tlsa(usage % 2 === 1 ? leaf.der : authority, kind)]])
        }
      }
    }
    const right = tlsa(leaf.der, "3 1 1")
    rows.push(
      ["3 1 1 wrong", [spoilt(right)]],
      ["3 1 1 right, 3 1 2 wrong", [right, spoilt(tlsa(leaf.der, "3 1 2"))]],
      ["3 1 1 wrong, 3 1 2 right", [spoilt(right), tlsa(leaf.der, "3 1 2")]],
      ["3 0 1 wrong, 2 1 1 right", [spoilt(tlsa(leaf.der, "3 0 1")), tlsa(authority, "2 1 1")]],
    )
    const found: string[] = []
    let agreed = 0
    for (let at = 0; at < rows.length; at += 4) {
      await Promise.all(
        rows.slice(at, at + 4).map(async ([label, records]) => {
          const [mine, theirs] = [ours(records, chain), await openssl(port, records)]
          if (mine && theirs) agreed++
          if (theirs !== mine) found.push(`${what} | ${label}: ours ${mine}, OpenSSL ${theirs}`)
        }),
      )
    }
    assert.deepEqual(found, [])
    // DANE-EE fits every chain.
    assert.ok(agreed >= 7, `both accepted ${agreed}`)
    peerUsed("openssl")
  })
}

test("a key on nobody's chain fits nothing, for both", { skip: peerMissing("openssl") }, async () => {
  const leaf = issued(middle, "a.example")
  const port = await serve(leaf, leaf.chain)
  const { spki } = generateKey()
  const record: TlsaRecord = { usage: 2, selector: 1, matching: 0, association: spki.toString("hex") }
  assert.deepEqual([ours([record], leaf.chain), await openssl(port, [record])], [false, false])
  peerUsed("openssl")
})
