// Our DANE verdict beside OpenSSL's, on the same handshake, for every usage, selector and matching type (docs/dane-openssl.md).
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import type { AddressInfo } from "node:net"
import { after, test } from "node:test"
import { createServer } from "node:tls"
import { CertificateAuthority, type IssuedCertificate, selfSigned, toPem } from "../../src/lab/certificate-authority.ts"
import type { TlsaRecord } from "../../src/model/dns-answer.ts"
import { matchTlsa, selectTlsa, tlsaParameters } from "../../src/proof/tlsa.ts"
import { anchorSet } from "../../src/x509/anchors.ts"
import { temporaryFolder } from "./peers/process.ts"
import { peerMissing, peerUsed } from "./peers-used.ts"
import { writeFileSync } from "node:fs"
import { join } from "node:path"

const skip = peerMissing("openssl")
const domain = "host.example"
const day = 86_400_000
const now = Date.now()
const allUsages = { usages: [3, 2, 1, 0], digests: [2, 1] }

const root = CertificateAuthority.create({ name: "DANE Root", now })
const middle = root.intermediate({ name: "DANE Intermediate" })
const otherRoot = CertificateAuthority.create({ name: "Unknown Root", now })
const otherMiddle = otherRoot.intermediate({ name: "Unknown Intermediate" })
const anchors = anchorSet([root.certificate.der])

/** What the server shows. */
interface Shown {
  readonly what: string
  readonly leaf: IssuedCertificate
  readonly middle: IssuedCertificate | undefined
  readonly root: IssuedCertificate | undefined
  readonly sendsRoot: boolean
}

const known = { middle: middle.certificate, root: root.certificate }
const unknown = { middle: otherMiddle.certificate, root: otherRoot.certificate }
const names = { dns: [domain] }
const passed = { notBefore: now - 40 * day, notAfter: now - day }
const shown: readonly Shown[] = [
  { what: "known root, not sent", leaf: middle.issue({ names }), ...known, sendsRoot: false },
  { what: "known root, sent", leaf: middle.issue({ names }), ...known, sendsRoot: true },
  { what: "unknown root, not sent", leaf: otherMiddle.issue({ names }), ...unknown, sendsRoot: false },
  { what: "unknown root, sent", leaf: otherMiddle.issue({ names }), ...unknown, sendsRoot: true },
  { what: "self-signed", leaf: selfSigned({ now, names }), middle: undefined, root: undefined, sendsRoot: false },
  { what: "self-signed, expired, for another name", leaf: selfSigned({ now, names: { dns: ["else.example"] }, ...passed }), middle: undefined, root: undefined, sendsRoot: false },
  { what: "expired", leaf: middle.issue({ names, ...passed }), ...known, sendsRoot: true },
  { what: "for another name", leaf: middle.issue({ names: { dns: ["else.example"] } }), ...known, sendsRoot: true },
]
/** Those on which every combination is tried with every certificate of the chain; the others with the right one only. */
const inFull = 5

interface Case {
  readonly name: string
  readonly server: number
  readonly records: readonly TlsaRecord[]
}

function tlsa(usage: number, selector: number, matching: number, named: IssuedCertificate, former = false): TlsaRecord {
  const whole = selector === 0 ? named.der : named.key.spki
  const digest = (algorithm: string): string => createHash(algorithm).update(whole).update(former ? "former" : "").digest("hex")
  return { usage, selector, matching, association: matching === 0 ? whole.toString("hex") : digest(matching === 1 ? "sha256" : "sha512") }
}

function* cases(): Generator<Case> {
  const stranger = otherRoot.issue({ names })
  for (const [server, { what, leaf, middle: issuer, root: top }] of shown.entries()) {
    for (const usage of [0, 1, 2, 3]) {
      const authority = usage === 0 || usage === 2
      const own: (readonly [string, IssuedCertificate])[] = authority ? [...(top === undefined ? [] : [["root", top] as const]), ...(issuer === undefined ? [] : [["intermediate", issuer] as const])] : [["leaf", leaf]]
      if (own.length === 0) own.push(["leaf", leaf])
      for (const selector of [0, 1]) {
        for (const matching of [0, 1, 2]) {
          for (const [whose, named] of server < inFull ? own : own.slice(0, 1)) {
            const record = tlsa(usage, selector, matching, named)
            yield { name: `${what}: ${tlsaParameters(record)} of the ${whose}`, server, records: [record] }
          }
          if (server !== 0) continue
          const wrong = tlsa(usage, selector, matching, stranger, true)
          yield { name: `${what}: ${tlsaParameters(wrong)} of somebody else`, server, records: [wrong] }
        }
      }
    }
  }
  const good = shown[0]!.leaf
  // DANE-23: the stronger digest decides, also against the weaker one.
  yield { name: "agility: 3 1 1 right beside 3 1 2 wrong", server: 0, records: [tlsa(3, 1, 1, good), tlsa(3, 1, 2, good, true)] }
  yield { name: "agility: 3 1 1 wrong beside 3 1 2 right", server: 0, records: [tlsa(3, 1, 1, good, true), tlsa(3, 1, 2, good)] }
  yield { name: "agility: 3 0 1 right beside 3 1 2 wrong", server: 0, records: [tlsa(3, 0, 1, good), tlsa(3, 1, 2, good, true)] }
  yield { name: "several: 2 0 1 of the intermediate beside 3 1 1 wrong", server: 0, records: [tlsa(2, 0, 1, middle.certificate), tlsa(3, 1, 1, good, true)] }
}

const chainOf = ({ leaf, middle: issuer, root: top, sendsRoot }: Shown): Buffer[] => [leaf.der, ...(issuer === undefined ? [] : [issuer.der]), ...(sendsRoot && top !== undefined ? [top.der] : [])]

test("the same verdict as openssl s_client on every combination", { skip }, async (t) => {
  const folder = temporaryFolder("dane-openssl")
  const roots = join(folder, "roots.pem")
  writeFileSync(roots, root.certificate.pem)
  const ports = await Promise.all(shown.map(serve))
  const all = [...cases()]
  const openssl = new Array<boolean>(all.length)
  let next = 0
  const worker = async (): Promise<void> => {
    for (let index = next; index < all.length; index = next) {
      next += 1
      const { server, records } = all[index]!
      openssl[index] = await opensslProves(ports[server]!, roots, records)
    }
  }
  await Promise.all([worker(), worker(), worker()])
  const tally = new Map<string, number>()
  for (const [index, { name, server, records }] of all.entries()) {
    const { usable } = selectTlsa(records, allUsages)
    const ours = matchTlsa(usable, { chain: chainOf(shown[server]!), accept: [{ type: "DNS-ID", value: domain, because: "source" }], at: now, anchors })
    assert.equal(openssl[index], ours.matched, `${name}: ours ${JSON.stringify(ours.matched ? ours.detail : ours)}`)
    tally.set(String(ours.matched), (tally.get(String(ours.matched)) ?? 0) + 1)
  }
  // Both verdicts are met often enough for agreement to mean something.
  assert.ok((tally.get("true") ?? 0) >= 40 && (tally.get("false") ?? 0) >= 40, JSON.stringify([...tally]))
  t.diagnostic(`${all.length} combinations, ${tally.get("true")} proved, ${tally.get("false")} not, the same by both`)
  peerUsed("openssl")
})

async function serve(one: Shown): Promise<number> {
  const server = createServer({ cert: chainOf(one).map(toPem).join(""), key: one.leaf.keyPem }, (socket) => {
    socket.on("error", () => socket.destroy())
    socket.end()
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  after(() => server.close())
  return (server.address() as AddressInfo).port
}

test("where OpenSSL differs, as docs/dane-openssl.md says", { skip }, async () => {
  const folder = temporaryFolder("dane-openssl")
  const roots = join(folder, "roots.pem")
  writeFileSync(roots, root.certificate.pem)
  const other = shown.find(({ what }) => what === "for another name")!
  const port = await serve(other)
  const pinned = tlsa(3, 1, 1, other.leaf)
  const question = { chain: chainOf(other), accept: [{ type: "DNS-ID", value: domain, because: "source" }], at: now, anchors } as const
  // Row 1: without -dane_ee_no_namechecks OpenSSL asks DANE-EE for a name; RFC 7671 5.1 does not (DANE-15).
  assert.equal(matchTlsa(selectTlsa([pinned], allUsages).usable, question).matched, true)
  assert.equal(await opensslProves(port, roots, [pinned], []), false)
  assert.equal(await opensslProves(port, roots, [pinned]), true)
  // Row 2: a record nobody can use is an error of the command line there; here it is discarded, and the others count (DANE-22).
  for (const [usage, selector, matching, association] of [
    [3, 1, 1, "00"],
    [77, 1, 1, "ab".repeat(32)],
    [3, 7, 1, "ab".repeat(32)],
    [3, 0, 0, "3003020101"],
  ] as const) {
    const record = { usage, selector, matching, association }
    const { usable, unusable } = selectTlsa([record, pinned], allUsages)
    assert.equal(unusable.length, 1, tlsaParameters(record))
    assert.equal(matchTlsa(usable, question).matched, true)
    assert.match(await opensslSays(port, roots, [record, pinned]), REFUSED, tlsaParameters(record))
  }
  peerUsed("openssl")
})

const withoutNames = ["-dane_ee_no_namechecks"]

async function opensslProves(port: number, roots: string, records: readonly TlsaRecord[], options: readonly string[] = withoutNames): Promise<boolean> {
  const text = await opensslSays(port, roots, records, options)
  // Each of the two it says itself: a crash or a refused option is neither.
  if (/^Verification: OK$/m.test(text)) return true
  assert.match(text, /verify error|Verification error|certificate verify failed/, text)
  return false
}

async function opensslSays(port: number, roots: string, records: readonly TlsaRecord[], options: readonly string[] = withoutNames): Promise<string> {
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
