// The certificate store: folder layouts, matching by name and key, renewal, mistakes, reload (security.md 22).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { ConfigError } from "../../src/model/errors.ts"
import { CertificateAuthority, type IssuedCertificate, type IssueOptions, selfSigned } from "../../src/lab/certificate-authority.ts"
import { type CertificateOwner, type CertificateResult, type CertificateSnapshot, loadCertificates, noCertificates } from "../../src/gateway/certificates.ts"
import { type MemoryFile, MemoryFiles, testNow } from "./config-fixture.ts"

const day = 86_400_000
const root = CertificateAuthority.create({ name: "Root", now: testNow })
const middle = root.intermediate({ commonName: "Intermediate" })
const made = new Map<string, IssuedCertificate>()

/** One certificate for each set of options, made once: keys cost time. */
function issue(dns: string | readonly string[], more: IssueOptions = {}, serial = ""): IssuedCertificate {
  const key = JSON.stringify([dns, more, serial])
  const known = made.get(key)
  if (known !== undefined) return known
  const fresh = middle.issue({ names: { dns: [dns].flat() }, notBefore: testNow - day, notAfter: testNow + 60 * day, ...more })
  made.set(key, fresh)
  return fresh
}

const owner = (name: Domain): CertificateOwner => ({ name, suspended: false, source: "/etc/gw.yaml" })

const leafPem = (certificate: IssuedCertificate): string => certificate.pem
const a = parseDomain("a.example")
const b = parseDomain("b.example")

async function load(
  files: Readonly<Record<string, string | MemoryFile>>,
  domains: readonly Domain[] = [a],
  previous: CertificateSnapshot = noCertificates,
  more: { now?: number; warnMs?: number; folders?: string[] } = {},
): Promise<CertificateResult> {
  return loadCertificates({ folders: more.folders ?? ["/certs"], files: new MemoryFiles(files), domains: new Map(domains.map((name) => [name, owner(name)])), now: more.now ?? testNow, warnMs: more.warnMs ?? 14 * day, previous })
}

async function refused(...rest: Parameters<typeof load>): Promise<string> {
  try {
    await load(...rest)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map((problem) => problem.sentence).join("\n")
  }
  return ""
}

describe("layouts", () => {
  const certificate = issue("a.example")
  const layouts: readonly (readonly [string, Record<string, string>, string])[] = [
    ["certbot", { "live/a.example/README": "text", "live/a.example/cert.pem": leafPem(certificate), "live/a.example/chain.pem": middle.certificate.pem, "live/a.example/fullchain.pem": certificate.chainPem, "live/a.example/privkey.pem": certificate.keyPem }, "live/a.example/fullchain.pem"],
    ["acme.sh", { "a.example_ecc/a.example.cer": leafPem(certificate), "a.example_ecc/ca.cer": middle.certificate.pem, "a.example_ecc/fullchain.cer": certificate.chainPem, "a.example_ecc/a.example.key": certificate.keyPem, "a.example_ecc/a.example.csr": "x" }, "a.example_ecc/fullchain.cer"],
    ["lego", { "certificates/a.example.crt": certificate.chainPem, "certificates/a.example.issuer.crt": middle.certificate.pem, "certificates/a.example.key": certificate.keyPem, "certificates/a.example.json": "{}" }, "certificates/a.example.crt"],
    ["Prosody", { "a.example.crt": certificate.chainPem, "a.example.key": certificate.keyPem }, "a.example.crt"],
    ["all in one file", { "anything.pem": certificate.keyPem + certificate.chainPem }, "anything.pem"],
    ["key and chain in folders of their own", { "private/x.key": certificate.keyPem, "public/x.crt": certificate.chainPem }, "public/x.crt"],
    ["a leaf completed from the authority beside it", { "x.crt": leafPem(certificate), "issuer.crt": middle.certificate.pem + root.certificate.pem, "x.key": certificate.keyPem }, "x.crt"],
  ]
  for (const [name, files, path] of layouts) {
    it(name, async () => {
      const inFolder = Object.fromEntries(Object.entries(files).map(([file, text]) => [`/certs/${file}`, text]))
      const { snapshot, warnings } = await load(inFolder)
      assert.deepEqual(warnings, [])
      const shown = snapshot.pick(a)!
      assert.equal(shown.certificatePath, `/certs/${path}`)
      assert.equal(shown.credentials.certificatePem.match(/BEGIN CERTIFICATE/g)!.length, 2)
      assert.equal(shown.credentials.keyPem.trim(), certificate.keyPem.trim())
      assert.equal(snapshot.pick(b), undefined)
    })
  }
})

describe("names inside the certificate", () => {
  const files = (certificate: IssuedCertificate, at = "x") => ({ [`/certs/${at}.crt`]: certificate.chainPem, [`/certs/${at}.key`]: certificate.keyPem })
  it("DNS, SRV and XMPP address count, the common name does not", async () => {
    assert.ok((await load(files(issue([], { names: { srv: ["_xmpp-server.a.example"] }, commonName: "x" })))).snapshot.pick(a))
    assert.ok((await load(files(issue([], { names: { xmppAddr: ["a.example"] }, commonName: "x" })))).snapshot.pick(a))
    assert.equal((await load(files(issue([], { names: { srv: ["_xmpp-client.a.example"] }, commonName: "a.example" })))).snapshot.pick(a), undefined)
    const { snapshot, warnings } = await load(files(issue([], { names: {}, commonName: "a.example" })))
    assert.equal(snapshot.pick(a), undefined)
    assert.deepEqual(
      warnings.map((warning) => warning.sentence),
      [
        "/certs/x.crt: the certificate CN=a.example names no domain in its subjectAltName (a common name does not count)",
        "No certificate with its key names a.example: peers cannot authenticate it [tls.no-certificate].",
      ],
    )
  })
  it("an exact name wins over a wildcard, and a wildcard stands for one label", async () => {
    const wild = issue(["*.w.example", "w.example"])
    const exact = issue("one.w.example")
    const [one, two, deep, top] = ["one.w.example", "two.w.example", "x.two.w.example", "w.example"].map(parseDomain) as [Domain, Domain, Domain, Domain]
    const { snapshot } = await load({ ...files(wild, "wild"), ...files(exact, "exact") }, [one, two, deep, top])
    assert.equal(snapshot.pick(one)!.certificatePath, "/certs/exact.crt")
    assert.equal(snapshot.pick(two)!.certificatePath, "/certs/wild.crt")
    assert.equal(snapshot.pick(top)!.certificatePath, "/certs/wild.crt")
    assert.equal(snapshot.pick(deep), undefined)
  })
  it("one certificate for many domains is one set of credentials", async () => {
    const { snapshot } = await load(files(issue(["a.example", "b.example"])), [a, b])
    assert.equal(snapshot.pick(a)!.credentials, snapshot.pick(b)!.credentials)
  })
  it("a self-signed certificate that calls itself an authority is still the domain's", async () => {
    const own = selfSigned({ now: testNow, names: { dns: ["a.example"] }, ca: true, keyUsage: ["digitalSignature", "keyCertSign"] })
    assert.ok((await load({ "/certs/s.pem": own.pem, "/certs/s.key": own.keyPem })).snapshot.pick(a))
  })
})

describe("two certificates for one name", () => {
  const old = issue("a.example", { notBefore: testNow - 40 * day }, "old")
  const renewed = issue("a.example", { notBefore: testNow - 2 * day }, "new")
  it("in one folder with the same names: the renewal counts", async () => {
    const { snapshot } = await load({ "/certs/a/new.pem": renewed.chainPem + renewed.keyPem, "/certs/a/old.pem": old.chainPem + old.keyPem })
    assert.equal(snapshot.pick(a)!.certificatePath, "/certs/a/new.pem")
    const other = await load({ "/certs/a/1.pem": old.chainPem + old.keyPem, "/certs/a/2.pem": renewed.chainPem + renewed.keyPem })
    assert.equal(other.snapshot.pick(a)!.certificatePath, "/certs/a/2.pem")
  })
  it("a renewal that is not valid yet waits", async () => {
    const future = issue("a.example", { notBefore: testNow + day }, "future")
    const files = { "/certs/a/1.pem": old.chainPem + old.keyPem, "/certs/a/2.pem": future.chainPem + future.keyPem }
    assert.equal((await load(files)).snapshot.pick(a)!.certificatePath, "/certs/a/1.pem")
    assert.equal((await load(files, [a], noCertificates, { now: testNow + 2 * day })).snapshot.pick(a)!.certificatePath, "/certs/a/2.pem")
  })
  it("in two folders: an error that names both", async () => {
    assert.equal(
      await refused({ "/certs/a/x.pem": renewed.chainPem + renewed.keyPem, "/certs/b/x.pem": old.chainPem + old.keyPem }),
      "Two different certificates name a.example: /certs/a/x.pem and /certs/b/x.pem. Remove one, or put the renewal beside the one it replaces.",
    )
  })
  it("in one folder with other names: an error", async () => {
    const wider = issue(["a.example", "b.example"])
    assert.match(await refused({ "/certs/x.pem": renewed.chainPem + renewed.keyPem, "/certs/y.pem": wider.chainPem + wider.keyPem }), /^Two different certificates name a\.example/)
  })
  it("two self-signed ones of the same moment: an error", async () => {
    const [one, two] = [1, 2].map(() => selfSigned({ now: testNow, names: { dns: ["a.example"] } })) as [IssuedCertificate, IssuedCertificate]
    assert.match(await refused({ "/certs/1.pem": one.pem + one.keyPem, "/certs/2.pem": two.pem + two.keyPem }), /^Two different certificates name a\.example: \/certs\/1\.pem and \/certs\/2\.pem/)
  })
  it("the same certificate twice is no conflict, and names that are not hosted have none", async () => {
    const { snapshot } = await load({ "/certs/a/x.pem": old.chainPem + old.keyPem, "/certs/b/x.pem": old.chainPem + old.keyPem })
    assert.ok(snapshot.pick(a))
    assert.equal((await load({ "/certs/a/x.pem": renewed.chainPem + renewed.keyPem, "/certs/b/x.pem": old.chainPem + old.keyPem }, [b])).snapshot.pick(a), undefined)
  })
})

describe("mistakes and reload", () => {
  const certificate = issue("a.example")
  const stranger = issue("b.example")
  it("a key that belongs to another certificate: refused by name", async () => {
    const { snapshot, warnings } = await load({ "/certs/a/fullchain.pem": certificate.chainPem, "/certs/a/privkey.pem": stranger.keyPem })
    assert.equal(snapshot.pick(a), undefined)
    assert.deepEqual(
      warnings.map(({ event, sentence }) => [event, sentence]),
      [
        ["cert.refused", "/certs/a/fullchain.pem is not shown: the private key in privkey.pem is another one's for the certificate CN=a.example (a.example)."],
        ["cert.missing", "No certificate with its key names a.example: peers cannot authenticate it [tls.no-certificate]."],
      ],
    )
  })
  it("a renewal caught halfway keeps the old pair, loudly; the whole one replaces it", async () => {
    const before = await load({ "/certs/a/fullchain.pem": certificate.chainPem, "/certs/a/privkey.pem": certificate.keyPem })
    const renewed = issue("a.example", {}, "renewed")
    for (const half of [
      { "/certs/a/fullchain.pem": renewed.chainPem, "/certs/a/privkey.pem": certificate.keyPem },
      { "/certs/a/fullchain.pem": certificate.chainPem, "/certs/a/privkey.pem": renewed.keyPem },
    ]) {
      const during = await load(half, [a], before.snapshot)
      assert.equal(during.snapshot.pick(a), before.snapshot.pick(a))
      assert.match(during.warnings.map((warning) => warning.sentence).join("\n"), /a\.example keeps the certificate from \/certs\/a\/fullchain\.pem that is in memory/)
    }
    const after = await load({ "/certs/a/fullchain.pem": renewed.chainPem, "/certs/a/privkey.pem": renewed.keyPem }, [a], before.snapshot)
    assert.notEqual(after.snapshot.pick(a)!.credentials, before.snapshot.pick(a)!.credentials)
    assert.deepEqual(after.warnings, [])
  })
  it("unchanged files keep the identity of the credentials", async () => {
    const files = { "/certs/a.crt": certificate.chainPem, "/certs/a.key": certificate.keyPem }
    const before = await load(files)
    const after = await load({ ...files, "/certs/b.crt": stranger.chainPem, "/certs/b.key": stranger.keyPem }, [a, b], before.snapshot)
    assert.equal(after.snapshot.pick(a)!.credentials, before.snapshot.pick(a)!.credentials)
    assert.ok(after.snapshot.pick(b))
  })
  it("what cannot be read is named and left out; the rest works", async () => {
    const { snapshot, warnings } = await load({
      "/certs/a.pem": certificate.chainPem + certificate.keyPem,
      "/certs/bad.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
      "/certs/bad.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
      "/certs/locked.key": "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
      "/certs/open.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n".repeat(7000),
      "/certs/huge.pem": "x".repeat(300_000),
    })
    assert.ok(snapshot.pick(a))
    assert.deepEqual(
      warnings.map((warning) => warning.sentence.replace(/cannot be read: .*/, "cannot be read")),
      [
        "/certs/bad.key: the private key cannot be read",
        "/certs/bad.pem: its certificate 1 cannot be read",
        "/certs/huge.pem: 300000 octets, which is too large for certificates and keys",
        "/certs/locked.key: the private key is locked with a passphrase: store it without one, readable by the gateway only",
      ],
    )
  })
  it("a folder that is missing is named", async () => {
    const { warnings } = await load({ "/certs/a.pem": certificate.chainPem + certificate.keyPem }, [a], noCertificates, { folders: ["/certs", "/none"] })
    assert.deepEqual(
      warnings.map((warning) => warning.sentence),
      ["/none: the folder cannot be read: there is no such file or folder"],
    )
  })
  it("no warning shows a key", async () => {
    const { warnings } = await load({ "/certs/x.key": certificate.keyPem.replace("M", "!"), "/certs/x.crt": certificate.chainPem })
    const body = certificate.keyPem.split("\n")[1]!
    assert.ok(warnings.length > 0)
    assert.equal(JSON.stringify(warnings).includes(body.slice(4, 20)), false)
  })
})

describe("expiry", () => {
  const certificate = issue("a.example", { notBefore: testNow - 80 * day, notAfter: testNow + 10 * day })
  const files = { "/certs/a.pem": certificate.chainPem + certificate.keyPem }
  it("is warned of before it comes, when it has come, and not too early", async () => {
    const at = async (now: number) => (await load(files, [a], noCertificates, { now })).warnings.map((warning) => warning.sentence)
    assert.deepEqual(await at(testNow - 10 * day), [])
    assert.deepEqual(await at(testNow), ["The certificate of a.example ends on 2026-12-02, in 10 days."])
    assert.deepEqual(await at(testNow + 11 * day), ["The certificate of a.example ended on 2026-12-02 [cert.expired]."])
    assert.deepEqual(await at(testNow - 90 * day), ["The certificate of a.example is not valid yet [cert.not-yet-valid]."])
  })
  it("the nearest one is known", async () => {
    const other = issue("b.example")
    const { snapshot } = await load({ ...files, "/certs/b.pem": other.chainPem + other.keyPem }, [a, b])
    assert.deepEqual(snapshot.nearestExpiry, { domain: a, at: snapshot.pick(a)!.leaf.notAfter })
  })
})
