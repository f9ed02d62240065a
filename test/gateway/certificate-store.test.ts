// Certificates of tenants and of the operator: whom a folder serves, another name's certificate, and looking only at what
// changed (security.md 10, 22).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { type Domain, parseDomain } from "../../src/model/domain.ts"
import { ConfigError } from "../../src/model/errors.ts"
import { CertificateAuthority, generateKey, type IssuedCertificate, type IssueOptions } from "../../src/lab/certificate-authority.ts"
import { type CertificateOwner, type CertificateRequest, type CertificateResult, type CertificateSnapshot, loadCertificates, noCertificates } from "../../src/gateway/certificates.ts"
import { MemoryFiles, testNow } from "./config-fixture.ts"

const day = 86_400_000
const root = CertificateAuthority.create({ name: "Root", now: testNow })
const middle = root.intermediate({ commonName: "Intermediate" })
const key = generateKey()
const issue = (dns: string, more: IssueOptions = {}): IssuedCertificate => middle.issue({ names: { dns: [dns] }, key, notBefore: testNow - day, notAfter: testNow + 60 * day, ...more })
const whole = ({ chainPem, keyPem }: IssuedCertificate): string => chainPem + keyPem

const [a, b, host] = ["a.example", "b.example", "host.example"].map(parseDomain) as [Domain, Domain, Domain]
const operator = "/etc/gw.yaml"
const owner = (name: Domain, source = operator, certificate?: Domain): CertificateOwner => ({ name, suspended: false, source, ...(certificate === undefined ? {} : { certificate }) })
const ta = "/etc/t.d/a.yaml"
const tb = "/etc/t.d/b.yaml"
const tenants = new Map([
  [ta, ["/t/a"]],
  [tb, ["/t/b"]],
])

class Shop {
  readonly files: MemoryFiles
  last: CertificateSnapshot = noCertificates
  constructor(files: Readonly<Record<string, string>>) {
    this.files = new MemoryFiles({ "/certs/README": "", "/t/a/README": "", "/t/b/README": "", ...files })
  }

  async load(domains: readonly CertificateOwner[], more: Partial<Omit<CertificateRequest, "domains">> = {}): Promise<CertificateResult & { read: string[] }> {
    this.files.asked.length = 0
    const result = await loadCertificates({ folders: ["/certs"], tenantFolders: tenants, files: this.files, domains: new Map(domains.map((each) => [each.name, each])), now: testNow, warnMs: 14 * day, previous: this.last, ...more })
    this.last = result.snapshot
    return { ...result, read: this.files.asked.filter((line) => line.startsWith("read ")).map((line) => line.slice(5)) }
  }

  async refused(...rest: Parameters<Shop["load"]>): Promise<string> {
    try {
      await this.load(...rest)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return error.problems.map(({ sentence }) => sentence).join("\n")
    }
    return ""
  }
}

const paths = ({ snapshot }: CertificateResult, ...domains: Domain[]): (string | undefined)[] => domains.map((domain) => snapshot.pick(domain)?.certificatePath)

describe("a tenant's folder (security.md 22)", () => {
  it("serves the domains of that tenant's file, and nobody else's", async () => {
    const shop = new Shop({ "/t/a/a.pem": whole(issue("a.example")), "/t/a/b.pem": whole(issue("b.example")), "/t/a/op.pem": whole(issue("host.example")) })
    assert.deepEqual(paths(await shop.load([owner(a, ta), owner(b, tb), owner(host)]), a, b, host), ["/t/a/a.pem", undefined, undefined])
    // The same certificates, if folders were everybody's: a tenant would show its own certificate for the others.
    const weak = new Shop(Object.fromEntries([...shop.files.files].map(([path, { text }]) => [path, String(text)])))
    assert.deepEqual(paths(await weak.load([owner(a, ta), owner(b, tb), owner(host)], { folders: ["/certs", "/t/a"], tenantFolders: new Map() }), a, b, host), ["/t/a/a.pem", "/t/a/b.pem", "/t/a/op.pem"])
  })
  it("a certificate that a tenant drops for another's name neither replaces nor disputes that one's own", async () => {
    const shop = new Shop({ "/t/a/b.pem": whole(issue("b.example", { notBefore: testNow - 1000 })), "/t/b/b.pem": whole(issue("b.example")), "/certs/host.pem": whole(issue("host.example")), "/t/b/host.pem": whole(issue("host.example", { notBefore: testNow - 1000 })) })
    assert.deepEqual(paths(await shop.load([owner(a, ta), owner(b, tb), owner(host)]), b, host), ["/t/b/b.pem", "/certs/host.pem"])
  })
  it("the operator's folders serve tenants too; two different certificates are an error, which holds up nobody else's renewal", async () => {
    const shop = new Shop({ "/certs/a.pem": whole(issue("a.example")) })
    assert.deepEqual(paths(await shop.load([owner(a, ta)]), a), ["/certs/a.pem"])
    shop.files.set("/t/a/a.pem", whole(issue("a.example", { notBefore: testNow - 1000 })))
    shop.files.set("/certs/host.pem", whole(issue("host.example")))
    const { snapshot, warnings } = await shop.load([owner(a, ta), owner(host)])
    assert.deepEqual([a, host].map((name) => snapshot.pick(name)?.certificatePath), ["/certs/a.pem", "/certs/host.pem"])
    assert.match(warnings.find(({ event }) => event === "cert.refused")!.sentence, /^a\.example keeps the certificate from \/certs\/a\.pem that is in memory\. Two different certificates name a\.example: \/certs\/a\.pem and \/t\/a\/a\.pem\./)
    // At the start nobody knows which of the two was meant.
    shop.last = noCertificates
    assert.match(await shop.refused([owner(a, ta)]), /^Two different certificates name a\.example/)
    shop.files.files.delete("/t/a/a.pem")
    assert.deepEqual(paths(await shop.load([owner(a, ta)]), a), ["/certs/a.pem"])
  })
  it("a key of the operator's or of another tenant's is not used for a tenant's certificate", async () => {
    const one = issue("a.example", { key: generateKey() })
    for (const elsewhere of ["/certs/a.key", "/t/b/a.key"]) {
      const shop = new Shop({ "/t/a/a.crt": one.chainPem, [elsewhere]: one.keyPem })
      const { warnings, snapshot } = await shop.load([owner(a, ta)])
      assert.equal(snapshot.pick(a), undefined)
      assert.match(warnings.map(({ sentence }) => sentence).join("\n"), /a\.crt is not shown: no private key was found/)
    }
  })
})

describe("another name's certificate", () => {
  it("is the operator's, also when the tenant or its neighbour has one of that name", async () => {
    const shop = new Shop({ "/t/a/host.pem": whole(issue("host.example")), "/t/b/host.pem": whole(issue("host.example", { notBefore: testNow - 1000 })) })
    const { snapshot, warnings } = await shop.load([owner(a, ta, host)])
    assert.equal(snapshot.pick(a), undefined)
    assert.deepEqual(warnings.map(({ sentence }) => sentence), ["a.example is to show the certificate of host.example, and no folder of the operator's has one with its key [tls.no-certificate]."])
    shop.files.set("/certs/host.pem", whole(issue("host.example")))
    const after = await shop.load([owner(a, ta, host), owner(b, tb, host), owner(host)])
    assert.deepEqual(paths(after, a, b, host), ["/certs/host.pem", "/certs/host.pem", "/certs/host.pem"])
    assert.equal(after.snapshot.pick(a)!.credentials, after.snapshot.pick(host)!.credentials, "one TLS context for all of them")
  })
  it("takes the place of an own one, and gives it back", async () => {
    const shop = new Shop({ "/certs/a.pem": whole(issue("a.example")), "/certs/host.pem": whole(issue("host.example")) })
    assert.deepEqual(paths(await shop.load([owner(a)]), a), ["/certs/a.pem"])
    assert.deepEqual(paths(await shop.load([owner(a, operator, host)], { changed: new Set() }), a), ["/certs/host.pem"])
    assert.deepEqual(paths(await shop.load([owner(a)], { changed: new Set() }), a), ["/certs/a.pem"])
  })
  it("suspended domains need none, and nobody is told that they have none", async () => {
    const { snapshot, warnings } = await new Shop({}).load([{ ...owner(a), suspended: true }])
    assert.deepEqual([snapshot.pick(a), warnings], [undefined, []])
  })
})

describe("looking again", () => {
  const files = { "/certs/a.pem": whole(issue("a.example")), "/certs/b.pem": whole(issue("b.example")), "/t/a/x.pem": whole(issue("x.example")) }
  const both = [owner(a), owner(b)]
  it("nothing changed: nothing is read, and what is shown is the same object", async () => {
    const shop = new Shop(files)
    const before = await shop.load(both)
    assert.deepEqual([...before.read].sort(), ["/certs/a.pem", "/certs/b.pem", "/t/a/x.pem"])
    const after = await shop.load(both)
    assert.deepEqual(after.read, [])
    assert.equal(after.snapshot.pick(a), before.snapshot.pick(a))
  })
  it("a renewal is read alone; the others' credentials stay the same objects", async () => {
    for (const hint of [undefined, new Set(["/certs/a.pem"])]) {
      const shop = new Shop(files)
      const before = await shop.load(both)
      const renewed = issue("a.example", { notBefore: testNow - 1000 })
      shop.files.set("/certs/a.pem", whole(renewed))
      const after = await shop.load(both, hint === undefined ? {} : { changed: hint })
      assert.deepEqual(after.read, ["/certs/a.pem"])
      if (hint !== undefined) assert.deepEqual(shop.files.asked, ["stat /certs/a.pem", "read /certs/a.pem"])
      assert.deepEqual(Buffer.from(after.snapshot.pick(a)!.leaf.der), Buffer.from(renewed.der))
      assert.equal(after.snapshot.pick(b)!.credentials, before.snapshot.pick(b)!.credentials)
    }
  })
  it("a file written again with what it had changes nothing", async () => {
    const shop = new Shop(files)
    const before = await shop.load(both)
    shop.files.files.get("/certs/a.pem")!.modified = 5
    const after = await shop.load(both)
    assert.deepEqual(after.read, ["/certs/a.pem"])
    assert.equal(after.snapshot.pick(a)!.credentials, before.snapshot.pick(a)!.credentials)
  })
  it("files and folders that came and went", async () => {
    const shop = new Shop({ "/certs/a.pem": files["/certs/a.pem"] })
    assert.deepEqual(paths(await shop.load(both), a, b), ["/certs/a.pem", undefined])
    shop.files.set("/certs/live/b.example/fullchain.pem", issue("b.example").chainPem)
    shop.files.set("/certs/live/b.example/privkey.pem", key.pem)
    assert.deepEqual(paths(await shop.load(both, { changed: new Set(["/certs/live/b.example"]) }), a, b), ["/certs/a.pem", "/certs/live/b.example/fullchain.pem"])
    for (const path of [...shop.files.files.keys()]) if (path.startsWith("/certs/live")) shop.files.files.delete(path)
    assert.deepEqual(paths(await shop.load(both, { changed: new Set(["/certs/live"]) }), a, b), ["/certs/a.pem", undefined])
    shop.files.files.delete("/certs/a.pem")
    assert.deepEqual(paths(await shop.load(both, { changed: new Set(["/certs/a.pem"]) }), a, b), [undefined, undefined])
  })
  it("a wildcard that came serves those without one of their own; one that went leaves them without", async () => {
    const sub = parseDomain("s.a.example")
    const shop = new Shop({ "/certs/a.pem": files["/certs/a.pem"] })
    const domains = [owner(a), owner(sub)]
    assert.deepEqual(paths(await shop.load(domains), sub), [undefined])
    shop.files.set("/certs/w.pem", whole(issue("*.a.example")))
    assert.deepEqual(paths(await shop.load(domains, { changed: new Set(["/certs/w.pem"]) }), sub, a), ["/certs/w.pem", "/certs/a.pem"])
    shop.files.files.delete("/certs/w.pem")
    assert.deepEqual(paths(await shop.load(domains, { changed: new Set(["/certs/w.pem"]) }), sub, a), [undefined, "/certs/a.pem"])
  })
  it("an authority that comes beside a leaf completes its chain", async () => {
    const shop = new Shop({ "/certs/a.crt": issue("a.example").pem, "/certs/a.key": key.pem, "/certs/b.pem": files["/certs/b.pem"].replace(middle.certificate.pem, "") })
    const chains = ({ snapshot }: CertificateResult): number => snapshot.pick(a)!.credentials.certificatePem.match(/BEGIN CERTIFICATE/g)!.length
    assert.equal(chains(await shop.load([owner(a)])), 1)
    shop.files.set("/certs/issuer.crt", middle.certificate.pem)
    assert.equal(chains(await shop.load([owner(a)], { changed: new Set(["/certs/issuer.crt"]) })), 2)
  })
  it("one that is not valid yet is taken when its time has come, without a change on disk", async () => {
    const shop = new Shop({ "/certs/a/1.pem": whole(issue("a.example")), "/certs/a/2.pem": whole(issue("a.example", { notBefore: testNow + day })) })
    assert.deepEqual(paths(await shop.load([owner(a)]), a), ["/certs/a/1.pem"])
    assert.deepEqual(paths(await shop.load([owner(a)], { changed: new Set() }), a), ["/certs/a/1.pem"])
    assert.deepEqual(paths(await shop.load([owner(a)], { changed: new Set(), now: testNow + 2 * day }), a), ["/certs/a/2.pem"])
  })
  it("what was refused is not forgotten: the next look judges it again, whatever changed", async () => {
    const shop = new Shop(files)
    const good = (await shop.load(both)).snapshot
    shop.files.set("/certs/other/a.pem", whole(issue("a.example", { notBefore: testNow - 1000 })))
    assert.match(await shop.refused(both, { changed: new Set(["/certs/other/a.pem"]) }), /^Two different certificates name a\.example/)
    assert.equal(shop.last, good)
    assert.match(await shop.refused(both, { changed: new Set(["/certs/b.pem"]) }), /^Two different certificates name a\.example/)
    shop.files.files.delete("/certs/other/a.pem")
    assert.deepEqual(paths(await shop.load(both, { changed: new Set(["/certs/other/a.pem"]) }), a, b), ["/certs/a.pem", "/certs/b.pem"])
  })
})

describe("keys", () => {
  it("that everybody can read are told, those of a group are not", async () => {
    const shop = new Shop({ "/certs/a.crt": issue("a.example").chainPem })
    shop.files.set("/certs/a.key", key.pem, { mode: 0o644 })
    const { warnings } = await shop.load([owner(a)])
    assert.deepEqual(warnings, [{ event: "cert.exposed", path: "/certs/a.key", sentence: "The private key in /certs/a.key can be read by everybody: chmod o-r /certs/a.key" }])
    shop.files.set("/certs/a.key", key.pem, { mode: 0o640 })
    assert.deepEqual((await shop.load([owner(a)])).warnings, [])
  })
  it("of every kind are recognised by their public half", async () => {
    for (const algorithm of ["p256", "p384", "p521", "rsa2048", "ed25519"] as const) {
      const own = generateKey(algorithm)
      const shop = new Shop({ "/certs/a.crt": issue("a.example", { key: own }).chainPem, "/certs/a.key": own.pem, "/certs/stranger.key": key.pem })
      assert.equal((await shop.load([owner(a)])).snapshot.pick(a)?.keyPath, "/certs/a.key", algorithm)
    }
  })
})
