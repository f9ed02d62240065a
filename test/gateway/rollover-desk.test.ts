// Renewals over a gateway's life: publish, wait, switch, retire; over restarts, with customers behind one certificate, with
// DNS in the way (RFC 7711 6, RFC 7671 8.1; security.md 11).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { describe, it, test } from "node:test"
import { generateKey, type IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { cacheSlack, lookAgain, unseenPatience } from "../../src/gateway/rollover.ts"
import { MemoryFiles, testNow } from "./config-fixture.ts"
import { day, DeskLife, fingerprint, hosted, hour, issue, served } from "./rollover-fixture.ts"

const shop = parseDomain("shop.example")
const one = issue("shop.example", { notBefore: testNow - 60 * day, notAfter: testNow + 20 * day })
const two = issue("shop.example")
const three = issue("shop.example")

describe("a domain with a document", () => {
  it("publishes, waits for the old expires, switches, retires", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(day))] })
    await life.load({ "shop.example": one })
    assert.deepEqual(life.document("shop.example"), [fingerprint(one)])
    life.now += 5 * day
    const held = await life.load({ "shop.example": two })
    // Publish: the renewed one first (POSH-08), while the old one is shown.
    assert.deepEqual([life.document("shop.example"), life.pick("shop.example")], [[fingerprint(two), fingerprint(one)], fingerprint(one)])
    assert.equal(held.again, life.now + day + cacheSlack)
    const [view] = life.desk.views()
    assert.deepEqual([view!.onDisk.fingerprint, view!.served.fingerprint, view!.held?.because, view!.held?.until], [fingerprint(two), fingerprint(one), "posh", held.again])
    // Wait: whatever else makes it look again.
    life.now = held.again! - 1
    assert.equal((await life.load({ "shop.example": two })).again, held.again)
    assert.equal(life.pick("shop.example"), fingerprint(one))
    // Switch.
    life.now = held.again!
    const switched = await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
    assert.deepEqual(life.document("shop.example"), [fingerprint(two), fingerprint(one)], "streams opened with the old one live on")
    assert.deepEqual(life.desk.views()[0]!.retired, [{ fingerprint: fingerprint(one), until: testNow + 20 * day }])
    assert.equal(switched.again, testNow + 20 * day)
    // Retire: when the old one ends.
    life.now = switched.again!
    await life.load({ "shop.example": two })
    assert.deepEqual(life.document("shop.example"), [fingerprint(two)])
    assert.deepEqual(life.news.map(({ event, loud }) => [event, loud]), [["cert.held", false], ["cert.switched", false]])
  })

  it("one announced in posh.next long enough is shown at once", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(hour, ["/next.pem"]))] })
    life.files.set("/next.pem", two.pem)
    await life.load({ "shop.example": one })
    assert.deepEqual(life.document("shop.example"), [fingerprint(one), fingerprint(two)])
    life.now += hour
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
  })

  it("a next one that cannot be read is said, and the rest is published", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(hour, ["/gone.pem", "/junk.pem", "/key.pem"]))] })
    life.files.set("/junk.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    life.files.set("/key.pem", two.keyPem)
    const { warnings } = await life.load({ "shop.example": one })
    assert.deepEqual(warnings.map(({ event, path }) => [event, path]), [["cert.unreadable", "/gone.pem"], ["cert.unreadable", "/junk.pem"], ["cert.unreadable", "/key.pem"]])
    assert.deepEqual(life.document("shop.example"), [fingerprint(one)])
  })

  it("a second renewal during the wait begins a wait of its own", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(hour))] })
    await life.load({ "shop.example": one })
    await life.load({ "shop.example": two })
    life.now += hour / 2
    const { again } = await life.load({ "shop.example": three })
    assert.equal(again, life.now + hour + cacheSlack)
    life.now = again!
    await life.load({ "shop.example": three })
    assert.equal(life.pick("shop.example"), fingerprint(three))
  })

  it("is held back no longer than the old one lives, and that is loud", async () => {
    const short = issue("shop.example", { notAfter: testNow + hour })
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(day))] })
    await life.load({ "shop.example": short })
    const { again } = await life.load({ "shop.example": two })
    assert.equal(again, testNow + hour)
    life.now = testNow + hour
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
    assert.deepEqual(life.news.map(({ event, loud }) => [event, loud]), [["cert.held", false], ["cert.switched", true]])
  })

  it("a stolen key: the old one is given up by hand, and is published no more", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(day))] })
    await life.load({ "shop.example": one })
    await life.load({ "shop.example": two })
    life.desk.abandon(shop)
    await life.load({ "shop.example": two })
    assert.deepEqual([life.pick("shop.example"), life.document("shop.example")], [fingerprint(two), [fingerprint(two)]])
  })

  it("a stolen key that is given up while a plan is made is given up by the next one", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(day))] })
    await life.load({ "shop.example": one })
    const loading = life.load({ "shop.example": two })
    life.desk.abandon(shop)
    await loading
    await life.load({ "shop.example": two })
    assert.deepEqual([life.pick("shop.example"), life.document("shop.example")], [fingerprint(two), [fingerprint(two)]])
  })

  it("a renewal that runs wild breaks neither the document nor the memory", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(hour))] })
    const many = Array.from({ length: 70 }, () => issue("shop.example"))
    for (const each of many) {
      await life.load({ "shop.example": each })
      life.now += 2 * hour
      await life.load({ "shop.example": each })
      assert.equal(life.pick("shop.example"), fingerprint(each))
    }
    assert.match(life.desk.document(shop)!.text(), /"expires":3600/)
    assert.deepEqual(life.document("shop.example")!.slice(0, 2), [fingerprint(many.at(-1)!), fingerprint(many.at(-2)!)])
    assert.ok(life.document("shop.example")!.length <= 64)
  })

  it("serving that is switched off is not forgotten before peers have", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example", served(hour))] })
    await life.load({ "shop.example": one })
    life.config = { ...life.config, domains: new Map([[shop, hosted("shop.example")]]) }
    const { again } = await life.load({ "shop.example": two })
    assert.equal(life.document("shop.example"), undefined)
    assert.equal(life.pick("shop.example"), fingerprint(one))
    life.now = again!
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
  })

  it("suspended: no document, and afterwards the wait goes on", async () => {
    const on = hosted("shop.example", served(hour))
    const life = await DeskLife.begin({ domains: [on] })
    await life.load({ "shop.example": one })
    const { again } = await life.load({ "shop.example": two })
    life.config = { ...life.config, domains: new Map([[shop, { ...on, suspended: true }]]) }
    await life.load({})
    assert.deepEqual([life.document("shop.example"), life.pick("shop.example")], [undefined, undefined])
    life.config = { ...life.config, domains: new Map([[shop, on]]) }
    assert.equal((await life.load({ "shop.example": two })).again, again)
    assert.equal(life.pick("shop.example"), fingerprint(one))
    assert.deepEqual(life.document("shop.example"), [fingerprint(two), fingerprint(one)])
  })
})

test("without a listener nothing is published, and nothing waits for it", async () => {
  const life = await DeskLife.begin({ domains: [hosted("shop.example", served(day))] })
  life.config = { ...life.config, listen: { posh: [], poshHttps: [] } }
  await life.load({ "shop.example": one })
  await life.load({ "shop.example": two })
  assert.deepEqual([life.pick("shop.example"), life.document("shop.example")], [fingerprint(two), undefined])
})

test("without a document or records: at once", async () => {
  const life = await DeskLife.begin({ domains: [hosted("shop.example")] })
  await life.load({ "shop.example": one })
  await life.load({ "shop.example": two })
  assert.equal(life.pick("shop.example"), fingerprint(two))
  assert.deepEqual(life.news.map(({ event }) => event), ["cert.switched"])
})

test("customers behind the host's certificate: the host's document speaks for all of them, and for the host", async () => {
  const [hostOne, hostTwo] = [issue("host.example"), issue("host.example")]
  const host = parseDomain("host.example")
  const life = await DeskLife.begin({
    domains: [hosted("host.example", { posh: { serve: false, expiresMs: 2 * hour, next: [] } }), hosted("a.example", { certificate: host }), hosted("b.example", { certificate: host, ...served(hour) }), hosted("c.example", { certificate: host, suspended: true })],
  })
  const all = (certificate: IssuedCertificate) => ({ "host.example": certificate, "a.example": certificate, "b.example": certificate, "c.example": certificate })
  await life.load(all(hostOne))
  assert.deepEqual([life.document("host.example"), life.document("a.example"), life.document("b.example"), life.document("c.example")], [[fingerprint(hostOne)], undefined, [fingerprint(hostOne)], undefined])
  assert.equal(life.desk.document(host)!.expiresMs, 2 * hour, "the host's own, whatever its customers say")
  await life.load(all(hostTwo))
  assert.deepEqual(life.document("host.example"), [fingerprint(hostTwo), fingerprint(hostOne)])
  assert.deepEqual(["host.example", "a.example", "b.example"].map((name) => life.pick(name)), [fingerprint(hostOne), fingerprint(hostOne), fingerprint(hostOne)])
  life.now += 2 * hour + cacheSlack
  await life.load(all(hostTwo))
  assert.deepEqual(["host.example", "a.example", "b.example"].map((name) => life.pick(name)), [fingerprint(hostTwo), fingerprint(hostTwo), fingerprint(hostTwo)])
})

test("a stolen key of the host's: given up once, it is shown and published for no customer any more", async () => {
  const [hostOne, hostTwo] = [issue("host.example"), issue("host.example")]
  const host = parseDomain("host.example")
  const life = await DeskLife.begin({ domains: [hosted("a.example", { certificate: host }), hosted("b.example", { certificate: host })] })
  const all = (certificate: IssuedCertificate) => ({ "a.example": certificate, "b.example": certificate })
  await life.load(all(hostOne))
  await life.load(all(hostTwo))
  assert.equal(life.pick("a.example"), fingerprint(hostOne))
  life.desk.abandon(host)
  await life.load(all(hostTwo))
  assert.deepEqual([life.pick("a.example"), life.pick("b.example"), life.document("host.example")], [fingerprint(hostTwo), fingerprint(hostTwo), [fingerprint(hostTwo)]])
})

describe("security.md 22: no customer adds to the document that speaks for all of them", () => {
  const host = parseDomain("host.example")
  const [lent, evil] = [issue("host.example"), issue("evil.example")]
  const customer = hosted("a.example", { certificate: host })

  it("by a next certificate of its own", async () => {
    const tenant = hosted("evil.example", { certificate: host, source: "/etc/tenant.yaml", ...served(hour, ["/evil.pem"]) })
    const life = await DeskLife.begin({ domains: [customer, tenant] })
    life.files.set("/evil.pem", evil.pem)
    await life.load({ "a.example": lent, "evil.example": lent })
    assert.deepEqual(life.document("evil.example"), [fingerprint(lent), fingerprint(evil)])
    assert.deepEqual(life.document("host.example"), [fingerprint(lent)])
  })

  it("by a certificate it showed before it borrowed the host's", async () => {
    const life = await DeskLife.begin({ domains: [customer, hosted("evil.example", { source: "/etc/tenant.yaml", ...served(hour) })] })
    await life.load({ "a.example": lent, "evil.example": evil })
    life.config = { ...life.config, domains: new Map([...life.config.domains, [parseDomain("evil.example"), hosted("evil.example", { certificate: host, source: "/etc/tenant.yaml", ...served(hour) })]]) }
    await life.load({ "a.example": lent, "evil.example": lent })
    assert.equal(life.pick("evil.example"), fingerprint(evil), "held back, as any renewal")
    assert.deepEqual(life.document("host.example"), [fingerprint(lent)])
  })

  it("by hosting the name of the host with a certificate of its own", async () => {
    const life = await DeskLife.begin({ domains: [customer, hosted("host.example", { source: "/etc/tenant.yaml", ...served(hour, ["/evil.pem"]) })] })
    life.files.set("/evil.pem", evil.pem)
    await life.load({ "a.example": lent, "host.example": evil })
    assert.deepEqual(life.document("host.example"), [fingerprint(lent)])
    assert.equal(life.desk.document(host)!.expiresMs, 7 * day)
  })

  it("by what it announced while it hosted the name of the host alone", async () => {
    const tenant = hosted("host.example", { source: "/etc/tenant.yaml", ...served(hour, ["/evil.pem"]) })
    const life = await DeskLife.begin({ domains: [tenant] })
    life.files.set("/evil.pem", evil.pem)
    await life.load({ "host.example": lent })
    assert.deepEqual(life.document("host.example"), [fingerprint(lent), fingerprint(evil)])
    life.config = { ...life.config, domains: new Map([customer, tenant].map((each) => [each.name, each])) }
    await life.load({ "host.example": lent, "a.example": lent })
    assert.deepEqual(life.document("host.example"), [fingerprint(lent)])
  })

  it("while the operator may announce the host's next one", async () => {
    const life = await DeskLife.begin({ domains: [customer, hosted("host.example", served(hour, ["/next.pem"]))] })
    life.files.set("/next.pem", two.pem)
    await life.load({ "a.example": lent, "host.example": lent })
    assert.deepEqual(life.document("host.example"), [fingerprint(lent), fingerprint(two)])
  })
})

describe("over a restart", () => {
  const domains = [hosted("shop.example", served(day))]
  it("the old certificate is still shown, although the folders have lost it, and the wait goes on", async () => {
    const before = await DeskLife.begin({ domains })
    await before.load({ "shop.example": one })
    const { again } = await before.load({ "shop.example": two })
    const held = [...before.files.files].filter(([path]) => path.startsWith("/state/held/"))
    assert.deepEqual(held.map(([, { mode }]) => mode), [0o600])
    const after = await DeskLife.begin({ domains, files: before.files, now: testNow + hour })
    assert.equal((await after.load({ "shop.example": two })).again, again)
    assert.equal(after.pick("shop.example"), fingerprint(one))
    assert.equal(after.shown!.pick(shop)!.credentials.keyPem.trim(), one.keyPem.trim())
    after.now = again!
    await after.load({ "shop.example": two })
    assert.equal(after.pick("shop.example"), fingerprint(two))
    assert.deepEqual([...before.files.files.keys()].filter((path) => path.startsWith("/state/held/")).map((path) => path.includes(fingerprint(two))), [true], "the old key is kept no longer than needed")
    assert.deepEqual(after.document("shop.example"), [fingerprint(two), fingerprint(one)])
    const third = await DeskLife.begin({ domains, files: before.files })
    third.now = again! + day
    await third.load({ "shop.example": two })
    assert.deepEqual(third.document("shop.example"), [fingerprint(two), fingerprint(one)], "retired ones are remembered")
    assert.deepEqual([before.trouble, after.trouble, third.trouble], [[], [], []])
  })

  it("a memory that is lost or damaged means waiting anew, as long as any document may last", async () => {
    for (const damage of ["", "{", "[]", '{"version":2}', '{"version":1,"documents":{"shop.example":[{"fingerprints":["x"]}]},"retired":{}}', undefined]) {
      const before = await DeskLife.begin({ domains })
      await before.load({ "shop.example": one })
      await before.load({ "shop.example": two })
      if (damage === undefined) before.files.files.delete("/state/rollover.json")
      else before.files.set("/state/rollover.json", damage)
      const after = await DeskLife.begin({ domains, files: before.files, now: testNow + hour })
      const { again } = await after.load({ "shop.example": two })
      assert.equal(after.pick("shop.example"), fingerprint(one))
      assert.equal(again, after.now + 7 * day + cacheSlack)
      assert.equal(after.trouble.length, damage === undefined ? 0 : 1)
      assert.equal((await after.load({ "shop.example": two })).again, again, "and not anew each time")
    }
  })

  it("security.md 22: in a folder that others can write nothing is believed", async () => {
    for (const [folder, facts] of [["/state", { mode: 0o777 }], ["/state", { mode: 0o775 }], ["/state/held", { owner: "other" as const }]] as const) {
      const before = await DeskLife.begin({ domains })
      await before.load({ "shop.example": one })
      await before.load({ "shop.example": two })
      before.files.folders.set(folder, facts)
      const after = await DeskLife.begin({ domains, files: before.files, now: testNow + hour })
      await after.load({ "shop.example": two })
      assert.deepEqual([after.pick("shop.example"), after.document("shop.example")], [fingerprint(two), [fingerprint(two)]])
      assert.match(after.trouble.join(), /nothing in it is believed/)
    }
  })

  it("a renewal while nobody served waits like any other", async () => {
    const before = await DeskLife.begin({ domains })
    await before.load({ "shop.example": one })
    const after = await DeskLife.begin({ domains, files: before.files, now: testNow + hour })
    const { again } = await after.load({ "shop.example": two })
    assert.deepEqual([after.pick("shop.example"), after.document("shop.example")], [fingerprint(one), [fingerprint(two), fingerprint(one)]])
    after.now = again!
    await after.load({ "shop.example": two })
    assert.deepEqual([after.pick("shop.example"), after.news.map(({ loud }) => loud)], [fingerprint(two), [false, false]])
  })

  it("... and is said loudly where the old key is gone", async () => {
    const before = await DeskLife.begin({ domains })
    await before.load({ "shop.example": one })
    for (const path of [...before.files.files.keys()]) if (path.startsWith("/state/held/")) before.files.files.delete(path)
    const after = await DeskLife.begin({ domains, files: before.files, now: testNow + hour })
    await after.load({ "shop.example": two })
    assert.deepEqual(after.news.map(({ event, loud }) => [event, loud]), [["cert.switched", true]])
  })

  it("a certificate of the host's is kept once for all customers; what a customer shows itself is never lent", async () => {
    const host = parseDomain("host.example")
    const [hostOne, hostTwo, tenants] = [issue("host.example"), issue("host.example"), issue("host.example")]
    const several = [hosted("a.example", { certificate: host }), hosted("b.example", { certificate: host }), hosted("host.example", { source: "/etc/tenant.yaml", ...served(day) })]
    const before = await DeskLife.begin({ domains: several })
    await before.load({ "a.example": hostOne, "b.example": hostOne, "host.example": tenants })
    assert.equal([...before.files.files.keys()].filter((path) => path.startsWith("/state/held/")).length, 2)
    for (const lost of [false, true]) {
      const files = new MemoryFiles(Object.fromEntries(before.files.files))
      if (lost) files.files.delete("/state/rollover.json")
      const after = await DeskLife.begin({ domains: several, files, now: testNow + hour })
      await after.load({ "a.example": hostTwo, "b.example": hostTwo, "host.example": tenants })
      assert.deepEqual(["a.example", "b.example", "host.example"].map((name) => after.pick(name)), [fingerprint(hostOne), fingerprint(hostOne), fingerprint(tenants)])
      assert.deepEqual(after.document("host.example"), [fingerprint(hostTwo), fingerprint(hostOne)])
    }
  })

  it("a damaged key file is said and left out", async () => {
    const before = await DeskLife.begin({ domains })
    await before.load({ "shop.example": one })
    await before.load({ "shop.example": two })
    const [path] = [...before.files.files.keys()].filter((each) => each.startsWith("/state/held/"))
    before.files.set(path!, "shop.example\njunk")
    const after = await DeskLife.begin({ domains, files: before.files })
    await after.load({ "shop.example": two })
    assert.equal(after.pick("shop.example"), fingerprint(two))
    assert.match(after.trouble.join(), /held.*it has no certificate with its key/)
  })
})

describe("with TLSA records", () => {
  const name = "_5269._tcp.xmpp.example"
  const base = parseDomain("xmpp.example")
  const row = ({ key: { spki } }: IssuedCertificate) => ({ usage: 3, selector: 1, matching: 1, association: createHash("sha256").update(spki).digest("hex") })
  const begin = () => DeskLife.begin({ domains: [hosted("shop.example")], dnssec: "validate" })

  it("a new key waits for its record, and for the TTL of what was there before", async () => {
    const life = await begin()
    await life.load({ "shop.example": one })
    life.desk.seen(shop, [{ name, base, records: [row(one)], ttlMs: hour }], life.now)
    const { again } = await life.load({ "shop.example": two })
    assert.deepEqual([life.pick("shop.example"), again], [fingerprint(one), life.now + lookAgain])
    assert.deepEqual(life.desk.wantSight, [shop])
    assert.match(life.desk.views()[0]!.held!.sentence, /publish a TLSA record for the new one at _5269\._tcp\.xmpp\.example/)
    life.now += 3 * hour
    life.desk.seen(shop, [{ name, base, records: [row(two), row(one)], ttlMs: hour }], life.now)
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(one), "resolvers may have the old answer for an hour")
    life.now += hour - 1
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(one))
    life.now += 1
    life.desk.seen(shop, [{ name, base, records: [row(one), row(two)], ttlMs: hour }], life.now)
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
  })

  it("the same key under 3 1 1 is shown at once", async () => {
    const key = generateKey()
    const [old, renewed] = [issue("shop.example", { key }), issue("shop.example", { key })]
    const life = await begin()
    await life.load({ "shop.example": old })
    life.desk.seen(shop, [{ name, base, records: [row(old)], ttlMs: hour }], life.now)
    await life.load({ "shop.example": renewed })
    assert.equal(life.pick("shop.example"), fingerprint(renewed))
  })

  it("before anybody has looked it waits a quarter of an hour at most", async () => {
    const life = await begin()
    await life.load({ "shop.example": one })
    await life.load({ "shop.example": two })
    assert.deepEqual([life.pick("shop.example"), life.desk.wantSight], [fingerprint(one), [shop]])
    life.now += unseenPatience - 1
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(one))
    life.now += 1
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
  })

  it("where nobody looks into DNS nothing waits for a look", async () => {
    const life = await DeskLife.begin({ domains: [hosted("shop.example")], dnssec: "validate", looks: false })
    await life.load({ "shop.example": one })
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
  })

  it("what DNS said of a domain is forgotten with it", async () => {
    const life = await begin()
    await life.load({ "shop.example": one })
    life.desk.seen(shop, [{ name, base, records: [row(one)], ttlMs: hour }], life.now)
    assert.equal(life.desk.keyInDns(shop), "3 1 1 current")
    life.desk.forgetOthers((domain) => domain !== shop)
    assert.equal(life.desk.keyInDns(shop), undefined)
  })

  it("records that were taken away hold until nobody can remember them", async () => {
    const life = await begin()
    await life.load({ "shop.example": one })
    life.desk.seen(shop, [{ name, base, records: [row(one)], ttlMs: hour }], life.now)
    life.now += day
    life.desk.seen(shop, [], life.now)
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(one))
    life.now += hour
    await life.load({ "shop.example": two })
    assert.equal(life.pick("shop.example"), fingerprint(two))
  })
})
