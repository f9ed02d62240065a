// POSH, requirement by requirement (RFC 7711, RFC 7712 5.2; POSH-01 to POSH-27, POSH3-1 to POSH3-8): from a table of web hosts to a verdict.
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { parseDomain } from "../../src/model/domain.ts"
import { HttpsError } from "../../src/model/errors.ts"
import { publicInternetOnly } from "../../src/model/reach.ts"
import type { Https } from "../../src/ports.ts"
import { isProblem, readDocument, readOlderDocument } from "../../src/proof/posh-document.ts"
import { ageing, posh } from "../../src/proof/posh.ts"
import { match } from "../../src/proof/prove.ts"
import { subjectPublicKey } from "../x509/subject-public-key.ts"
import { never, shownBy } from "./dane-support.ts"
import { digestOf, documentOf, finalPath, fingerprint, json, listing, nobody, olderPath, other, type Page, portsOf, redirect, saidBy, scriptedWeb, text, tried, type Trial, type Web, webChain, webOf } from "./posh-support.ts"
import { day, issued, now, own, publicRoot, strangerRoot } from "./tlsa-support.ts"

const hour = 3_600_000
const expires = 86_400
const hoster = "https://hoster.example/a.json"
const at = (path: string, page: Page): Web => ({ "hoster.example": { pages: { [path]: page } } })
const hosted = at("/a.json", listing())

type Row = readonly [name: string, web: Web, said: string, trial?: Trial]

function table(name: string, rows: readonly Row[]): void {
  describe(name, () => {
    for (const [what, web, said, trial] of rows)
      test(what, async () => {
        const told = await tried(web, trial)
        assert.equal(told.said, said, "detail" in told.verdict ? told.verdict.detail : "")
      })
  })
}

table("POSH-01: the web server's certificate is judged by ours, for the host that was asked", [
  ["one of the domain's name", webOf(listing()), "proved"],
  ["a wildcard above it", { "a.example": { chain: webChain("*.example"), pages: { [finalPath]: listing() } } }, "proved"],
  ["another name", { "a.example": { chain: webChain("b.example"), pages: { [finalPath]: listing() } } }, "unavailable posh.tls-error"],
  ["its own", { "a.example": { chain: own().chain, pages: { [finalPath]: listing() } } }, "unavailable posh.tls-error"],
  ["an unknown authority", { "a.example": { chain: issued(strangerRoot, "a.example").chain, pages: { [finalPath]: listing() } } }, "unavailable posh.tls-error"],
  ["expired", { "a.example": { chain: issued(publicRoot, "a.example", { notBefore: now - 90 * day, notAfter: now - day }).chain, pages: { [finalPath]: listing() } } }, "unavailable posh.tls-error"],
  ["none", { "a.example": { chain: [], pages: { [finalPath]: listing() } } }, "unavailable posh.tls-error"],
  ["more octets of certificates than are kept", { "a.example": { chain: [webChain("a.example")[0]!, new Uint8Array(65_536)], pages: { [finalPath]: listing() } } }, "unavailable posh.tls-error"],
])

test("POSH-01: of a server with a bad certificate nothing is asked", async () => {
  const { web } = await tried({ "a.example": { chain: webChain("b.example"), pages: { [finalPath]: listing() } } })
  assert.deepEqual([web.shown, web.requests], [["a.example"], []])
})

test("POSH-02, POSH-24: exactly the well-known URI of the service, at the domain, on port 443", async () => {
  const { web } = await tried(webOf(listing()))
  assert.deepEqual(web.requests, [`https://a.example${finalPath}`])
  assert.deepEqual(web.asked.map(({ host, to }) => [host, to]), [["a.example", { address: "127.0.0.1", port: 443 }]])
  const client = await tried({ "a.example": { pages: { "/.well-known/posh/xmpp-client.json": listing() } } }, { service: "xmpp-client" })
  assert.equal(client.said, "proved")
})

table("POSH-03, POSH-25: a document, a reference, or none", [
  ["fingerprints", webOf(listing()), "proved"],
  ["a reference", webOf(json({ url: hoster, expires }), hosted), "proved"],
  ["404", { "a.example": {} }, "absent posh.not-published"],
  ["no address at all", {}, "absent posh.not-published"],
  ["403", webOf({ status: 403 }), "unavailable posh.http-error"],
  ["410", webOf({ status: 410 }), "unavailable posh.http-error"],
  ["500", webOf({ status: 500 }), "unavailable posh.http-error"],
  ["304", webOf({ status: 304 }), "unavailable posh.http-error"],
  ["404 where the domain refers to", webOf(json({ url: "https://hoster.example/none", expires }), hosted), "unavailable posh.http-error"],
  ["404 where the domain redirects to", webOf(redirect("https://hoster.example/none"), hosted), "unavailable posh.http-error"],
  ["nobody at port 443", { "a.example": { dial: "refused" } }, "unavailable posh.unreachable"],
  ["no answer", { "a.example": { dial: "timeout" } }, "unavailable posh.unreachable"],
  ["a handshake that fails", webOf({ fails: "tls" }), "unavailable posh.tls-error"],
  ["an answer that breaks off", webOf({ fails: "closed" }), "unavailable posh.http-error"],
  ["no HTTP", webOf({ fails: "protocol" }), "unavailable posh.http-error"],
])

table("POSH-04, POSH-05, POSH-10: documents of another form are never taken for none", [
  ["no descriptor", webOf(json({ fingerprints: [], expires })), "unavailable posh.no-fingerprints"],
  ["neither of both", webOf(json({ expires })), "unavailable posh.no-fingerprints"],
  ["an empty object", webOf(text("{}")), "unavailable posh.no-fingerprints"],
  ["both of them", webOf(json({ ...documentOf(nobody.der), url: hoster })), "unavailable posh.both-url-and-fingerprints"],
  ["fingerprints that are no list", webOf(json({ fingerprints: fingerprint(nobody.der), expires })), "unavailable posh.bad-json"],
  ["a descriptor that is no object", webOf(json({ fingerprints: [digestOf(nobody.der)], expires })), "unavailable posh.bad-json"],
  ["a url that is no text", webOf(json({ url: 5, expires })), "unavailable posh.bad-json"],
  ["a list", webOf(text("[]")), "unavailable posh.bad-json"],
  ["cut off", webOf(text(JSON.stringify(documentOf(nobody.der)).slice(0, -1))), "unavailable posh.bad-json"],
  ["a comma too many", webOf(text(`{"fingerprints":[],"expires":1,}`)), "unavailable posh.bad-json"],
  ["nested without end", webOf(text("[".repeat(60_000))), "unavailable posh.bad-json"],
  ["a member twice", webOf(text(`{"fingerprints":[],${JSON.stringify(documentOf(nobody.der)).slice(1)}`)), "unavailable posh.duplicate-member"],
  ["a hash twice", webOf(text(`{"expires":9,"fingerprints":[{"sha-256":"${digestOf(other.der)}","sha-256":"${digestOf(nobody.der)}"}]}`)), "unavailable posh.duplicate-member"],
  ["a member twice, once escaped", webOf(text(`{"expires":9,"expire\\u0073":1,"fingerprints":[]}`)), "unavailable posh.duplicate-member"],
  ["HTML", webOf(text("<!doctype html><title>404</title>")), "unavailable posh.not-json"],
  ["empty", webOf(text("")), "unavailable posh.not-json"],
  ["a byte order mark", webOf(text(`\ufeff${JSON.stringify(documentOf(nobody.der))}`)), "unavailable posh.not-json"],
  ["UTF-16", webOf(text(Buffer.from(JSON.stringify(documentOf(nobody.der)), "utf16le"))), "unavailable posh.bad-json"],
  ["octets that are no text", webOf(text(Uint8Array.of(0x7b, 0xff, 0xfe))), "unavailable posh.not-json"],
  ["larger than is read", webOf(text(`${JSON.stringify(documentOf(nobody.der))}${" ".repeat(65_536)}`)), "unavailable posh.too-large"],
  ["encoded", webOf({ fails: "encoded" }), "unavailable posh.encoded"],
  ["members that nobody knows", webOf(json({ ...documentOf(nobody.der), comment: [null, true, "x", -1e3] })), "proved"],
  ["another content type", webOf({ ...listing(), contentType: "text/plain" }), "proved"],
])

const descriptors = (...list: unknown[]): Web => webOf(json({ fingerprints: list, expires }))
const padded = digestOf(nobody.der)
table("POSH-06, POSH-07, POSH-08, POSH-22: hashes of the whole certificate, compared as octets", [
  ["sha-512", descriptors({ "sha-512": digestOf(nobody.der, "sha512") }), "proved"],
  ["sha-384", descriptors({ "sha-384": digestOf(nobody.der, "sha384") }), "proved"],
  ["without padding", descriptors({ "sha-256": padded.replace(/=+$/, "") }), "proved"],
  ["of the key alone", descriptors({ "sha-256": digestOf(subjectPublicKey(nobody.der)) }), "refuted posh.mismatch"],
  ["of another certificate", descriptors(fingerprint(other.der)), "refuted posh.mismatch"],
  ["the second of two", descriptors(fingerprint(other.der), fingerprint(nobody.der)), "proved"],
  ["beside one that nobody knows", descriptors({ "sha3-256": "AAAA", "sha-256": padded }), "proved"],
  ["none that is accepted", descriptors({ "sha-1": digestOf(nobody.der, "sha1"), md5: digestOf(nobody.der, "md5") }), "unavailable posh.no-usable-hash"],
  ["an accepted one in the second descriptor", descriptors({ md5: "AAAA" }, fingerprint(nobody.der)), "proved"],
  ["the strongest speaks for its descriptor", descriptors({ "sha-256": padded, "sha-512": digestOf(other.der, "sha512") }), "refuted posh.weaker-hash"],
  ["and only for its own", descriptors({ "sha-256": padded, "sha-512": digestOf(other.der, "sha512") }, fingerprint(nobody.der)), "proved"],
  ["not Base64", descriptors({ "sha-256": "*".repeat(44) }), "unavailable posh.bad-base64"],
  ["the other alphabet", descriptors({ "sha-256": `-${padded.slice(1)}` }), "unavailable posh.bad-base64"],
  ["padding bits that are set", descriptors({ "sha-256": `${Buffer.alloc(32).toString("base64").slice(0, 42)}B=` }), "unavailable posh.bad-base64"],
  ["hexadecimal", descriptors({ "sha-256": Buffer.from(padded, "base64").toString("hex") }), "unavailable posh.bad-base64"],
  ["a text that was cut", descriptors({ "sha-256": padded.slice(0, 40) }), "unavailable posh.bad-base64"],
  ["no text", descriptors({ "sha-256": 5 }), "unavailable posh.bad-base64"],
])

table("POSH-09, POSH-10: expires is a whole number of seconds", [
  ["missing", webOf(json({ fingerprints: [fingerprint(nobody.der)] })), "unavailable posh.bad-expires"],
  ["a text", webOf(listing("600")), "unavailable posh.bad-expires"],
  ["negative", webOf(listing(-1)), "unavailable posh.bad-expires"],
  ["a fraction", webOf(listing(1.5)), "unavailable posh.bad-expires"],
  ["null", webOf(listing(null)), "unavailable posh.bad-expires"],
  ["0", webOf(listing(0)), "refuted posh.expired"],
  ["0 in a reference", webOf(json({ url: hoster, expires: 0 }), hosted), "refuted posh.expired"],
  ["missing in a reference", webOf(json({ url: hoster }), hosted), "unavailable posh.bad-expires"],
  ["1", webOf(listing(1)), "proved"],
  ["beyond all bounds", webOf(text(`{"fingerprints":[{"sha-256":"${padded}"}],"expires":1e999}`)), "proved"],
])

test("POSH-09, POSH-17; security.md 11: whatever a document says, it is believed a week at most", async () => {
  for (const page of [listing(10 ** 15), text(`{"fingerprints":[{"sha-256":"${padded}"}],"expires":1e999}`)]) {
    const { verdict } = await tried(webOf(page))
    assert.ok(verdict.outcome === "proved")
    assert.equal(verdict.until, now + 7 * day)
  }
})

table("POSH-11, POSH-12, POSH-20, POSH-21: redirects and references", [
  ["302", webOf(redirect(hoster), hosted), "proved"],
  ["301, as if it were temporary", webOf(redirect(hoster, 301), hosted), "proved"],
  ["307", webOf(redirect(hoster, 307), hosted), "proved"],
  ["308", webOf(redirect(hoster, 308), hosted), "proved"],
  ["303", webOf(redirect(hoster, 303), hosted), "proved"],
  ["to a path", { "a.example": { pages: { [finalPath]: redirect("/x.json"), "/x.json": listing() } } }, "proved"],
  ["302, reference, 302, fingerprints", webOf(redirect("https://hoster.example/ref"), { "hoster.example": { pages: { "/ref": json({ url: "https://third.example/x", expires }) } }, "third.example": { pages: { "/x": redirect("https://third.example/y"), "/y": listing() } } }), "proved"],
  ["a query", webOf(redirect("https://hoster.example/p?d=a.example"), at("/p?d=a.example", listing())), "proved"],
  ["to http", webOf(redirect("http://hoster.example/a.json"), hosted), "unavailable posh.redirect-insecure"],
  ["a reference to http", webOf(json({ url: "http://hoster.example/a.json", expires }), hosted), "unavailable posh.redirect-insecure"],
  ["a reference to a path alone", webOf(json({ url: "/x.json", expires })), "unavailable posh.redirect-insecure"],
  ["to an address", webOf(redirect("https://127.0.0.1/a.json")), "unavailable posh.redirect-insecure"],
  ["to an address in disguise", webOf(redirect("https://0x7f.1/a.json")), "unavailable posh.redirect-insecure"],
  ["to a name in disguise", webOf(redirect("https://hoster%2Eexample/a.json"), hosted), "unavailable posh.redirect-insecure"],
  ["to a name that IDNA maps", webOf(redirect("https://%EF%BD%88oster.example/a.json"), hosted), "unavailable posh.redirect-insecure"],
  ["to another port", webOf(redirect("https://hoster.example:8443/a.json"), hosted), "unavailable posh.redirect-insecure"],
  ["with a password", webOf(redirect("https://a:b@hoster.example/a.json"), hosted), "unavailable posh.redirect-insecure"],
  ["to another scheme", webOf(redirect("file:///etc/passwd")), "unavailable posh.redirect-insecure"],
  ["with a backslash", webOf(redirect("https:\\\\hoster.example/a.json"), hosted), "unavailable posh.redirect-insecure"],
  ["with a line end", webOf(redirect("https://hoster.example/\r\nHost: x"), hosted), "unavailable posh.redirect-insecure"],
  ["nowhere", webOf({ status: 302 }), "unavailable posh.http-error"],
  ["to itself", webOf(redirect(finalPath)), "unavailable posh.delegation-loop"],
  ["in a circle of two hosts", webOf(redirect(hoster), at("/a.json", redirect(`https://a.example${finalPath}`))), "unavailable posh.delegation-loop"],
  ["a reference to itself", webOf(json({ url: `https://a.example${finalPath}`, expires })), "unavailable posh.delegation-loop"],
  ["a reference to a reference", webOf(json({ url: hoster, expires }), at("/a.json", json({ url: "https://third.example/x", expires }))), "unavailable posh.reference-to-reference"],
  ["a hop with a certificate of another name", webOf(redirect(hoster), { "hoster.example": { chain: webChain("a.example"), pages: { "/a.json": listing() } } }), "unavailable posh.tls-error"],
])

test("POSH-20: ten redirects are followed, the eleventh is not; nothing is asked after it", async () => {
  const chainOf = (count: number): Web => {
    const pages: Record<string, Page> = { [finalPath]: redirect("/1") }
    for (let index = 1; index < count; index++) pages[`/${index}`] = redirect(`/${index + 1}`)
    pages[`/${count}`] = listing()
    return { "a.example": { pages } }
  }
  assert.equal((await tried(chainOf(10))).said, "proved")
  const { said, web } = await tried(chainOf(11))
  assert.equal(said, "unavailable posh.too-many-redirects")
  assert.equal(web.requests.length, 11)
})

test("POSH-14; security.md 5: a host on the way gives the document and no name", async () => {
  // PKIX proves the host of the document; its own certificate, shown for the domain, is not listed.
  const { said, combined } = await tried(webOf(redirect(hoster), hosted), { chain: webChain("hoster.example") })
  assert.equal(said, "refuted posh.mismatch")
  assert.equal(combined.outcome, "refuted")
})

test("POSH-13: a mismatch beside a PKIX proof is no matter; alone it refuses", async () => {
  const page = webOf(json(documentOf(other.der)))
  const good = await tried(page, { chain: issued(publicRoot, "a.example").chain })
  assert.deepEqual([good.said, good.combined.outcome], ["refuted posh.mismatch", "proved"])
  const bad = await tried(page)
  assert.deepEqual([bad.said, bad.combined.outcome], ["refuted posh.mismatch", "refuted"])
})

test("POSH-17: with a reference the shorter of both counts, from the moment of asking", async () => {
  for (const [outer, inner, least] of [[600, 86_400, 600], [86_400, 300, 300]] as const) {
    const { verdict } = await tried(webOf(json({ url: hoster, expires: outer }), at("/a.json", listing(inner))))
    assert.ok(verdict.outcome === "proved")
    assert.equal(verdict.until, now + least * 1000)
  }
  const stale = await tried(webOf(listing(600)), { at: now + 600_000 })
  assert.equal(stale.said, "unavailable posh.expired")
  const early = await tried(webOf(listing(600)), { at: now - 301_000 })
  assert.equal(early.said, "unavailable posh.expired")
})

test("POSH-17; security.md 11: asked again from half its life on, hourly at most; a short life in its last quarter", async () => {
  const of = async (seconds: number) => {
    const { from, until } = ageing((await tried(webOf(listing(seconds)))).material)
    return [(from - now) / 1000, (until - now) / 1000]
  }
  assert.deepEqual(await of(7 * 86_400), [302_400, 604_800])
  assert.deepEqual(await of(5400), [3600, 5400])
  assert.deepEqual(await of(600), [450, 600])
  assert.deepEqual(await of(30), [29.999, 30])
  const none = ageing((await tried({ "a.example": {} })).material)
  assert.deepEqual(none, { from: Number.POSITIVE_INFINITY, until: Number.POSITIVE_INFINITY })
})

describe("POSH-19 and what is left to check of a listed certificate", () => {
  const rows: readonly (readonly [string, ReturnType<typeof own>, string])[] = [
    ["expired", own({ notBefore: now - 90 * day, notAfter: now - 1000 }), "refuted cert.expired"],
    ["not valid yet", own({ notBefore: now + day, notAfter: now + 2 * day }), "refuted cert.not-yet-valid"],
    ["a key that may sign certificates only", own({ keyUsage: ["keyCertSign"] }), "refuted cert.client-only"],
    ["too weak a key", own({ algorithm: "rsa1024" }), "refuted cert.weak-key"],
    ["a CA's own, as it comes from common tools", own({ ca: true, keyUsage: null }), "proved"],
    ["for no purpose that is named", own({ eku: null }), "proved"],
    ["for clients only", own({ eku: ["clientAuth"] }), "proved"],
  ]
  for (const [name, certificate, said] of rows)
    test(name, async () => {
      const told = await tried(webOf(json(documentOf(certificate.der))), { chain: certificate.chain })
      assert.equal(told.said, said)
    })

  test("octets that are no certificate", async () => {
    const der = Buffer.from("not a certificate")
    assert.equal((await tried(webOf(json(documentOf(der))), { chain: [der] })).said, "refuted cert.malformed")
  })

  test("the proof ends with the certificate", async () => {
    const short = own({ notBefore: now - day, notAfter: now + hour })
    const { verdict } = await tried(webOf(json(documentOf(short.der))), { chain: short.chain })
    assert.ok(verdict.outcome === "proved" && verdict.until === now + hour)
  })

  test("no certificate", async () => assert.equal((await tried(webOf(listing()), { chain: [] })).said, "absent cert.none-shown"))
})

describe("POSH-27; security.md 17: the dial guard on every hop", () => {
  for (const [name, web, trial] of [
    ["a special name", webOf(listing()), { reach: publicInternetOnly }],
    ["an address that may not be dialled", { "a.example": { addresses: ["10.0.0.1"], pages: { [finalPath]: listing() } } }, {}],
    ["a redirect to a special name", webOf(redirect("https://localhost/x")), {}],
    ["a reference to a name with such an address", webOf(json({ url: hoster, expires }), { "hoster.example": { addresses: ["169.254.169.254"] } }), {}],
    ["an address that Dial refuses", { "a.example": { dial: "guarded" } }, {}],
  ] as const satisfies readonly (readonly [string, Web, Trial])[])
    test(name, async () => assert.equal((await tried(web, trial)).said, "unavailable posh.guarded"))

  test("a special name is not even looked up", async () => {
    const { web } = await tried(webOf(listing()), { reach: publicInternetOnly })
    assert.deepEqual(web.dns.asked, [])
  })

  test("the other address of a host is tried, no more than four in all", async () => {
    const { said, web } = await tried({ "a.example": { addresses: ["10.0.0.1", "127.0.0.2"], pages: { [finalPath]: listing() } } })
    assert.equal(said, "proved")
    assert.deepEqual(web.asked.map(({ to }) => to.address), ["127.0.0.2"])
    const dead = await tried({ "a.example": { addresses: ["127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5", "127.0.0.6"], dial: "refused" } })
    assert.equal(dead.web.asked.length, 4)
  })

  test("a caller that gives up is not told that there is nothing", async () => {
    const signal = AbortSignal.abort(new Error("late"))
    assert.equal((await tried(webOf(listing()), { signal })).said, "unavailable posh.unreachable")
  })
})

test("a web server that took the request and says nothing is slow; one that never showed a certificate is not there", async () => {
  for (const [shows, said] of [[true, "unavailable posh.too-slow"], [false, "unavailable posh.unreachable"]] as const) {
    const web = scriptedWeb(webOf(listing()))
    const waiting = new AbortController()
    const https: Https = {
      get: async ({ host, accept }) => {
        if (shows) assert.ok(accept({ chain: webChain(host), protocol: "", cipher: "", serverName: host, alpn: undefined, exporter: new Uint8Array() }))
        waiting.abort(new Error("late"))
        throw new HttpsError("timeout", "given up")
      },
    }
    const subject = { source: parseDomain("a.example"), service: "xmpp-server", role: "outgoing", endpoint: undefined } as const
    const material = await posh.obtain(subject, portsOf(web, { https, signal: waiting.signal }))
    assert.equal(saidBy(match([{ prooftype: posh, material }], subject, shownBy(nobody.chain), now).verdicts[0]!), said)
  }
})

const urlSafe = (der: Uint8Array): string => Buffer.from(der).toString("base64url")
const jwks = (...chains: readonly string[][]): Page => json({ keys: chains.map((x5c) => ({ kty: "PKIX", x5c })) })
const olderWeb = (page: Page, more: Web = {}): Web => ({ "a.example": { pages: { [olderPath]: page } }, ...more })
const older: Trial = { older: true }
table("POSH3-1 to POSH3-8: the form of draft 03", [
  ["POSH3-3: base64url without padding", olderWeb(jwks([urlSafe(nobody.der)])), "proved", older],
  ["plain Base64", olderWeb(jwks([nobody.der.toString("base64")])), "proved", older],
  ["POSH3-2, POSH3-8: the second key", olderWeb(jwks([urlSafe(other.der)], [urlSafe(nobody.der)])), "proved", older],
  ["keys of other types are left alone", olderWeb(json({ keys: [{ kty: "EC" }, { kty: "PKIX", x5c: [urlSafe(nobody.der)] }] })), "proved", older],
  ["the issuer, not the leaf", olderWeb(jwks([urlSafe(other.der), urlSafe(nobody.der)])), "refuted posh.mismatch", older],
  ["not without the switch", olderWeb(jwks([urlSafe(nobody.der)])), "absent posh.not-published"],
  ["the final form goes first", { "a.example": { pages: { [finalPath]: json(documentOf(other.der)), [olderPath]: jwks([urlSafe(nobody.der)]) } } }, "refuted posh.mismatch", older],
  ["neither form", { "a.example": {} }, "absent posh.not-published", older],
  ["POSH3-4: no references", olderWeb(json({ url: hoster, expires }), hosted), "unavailable posh.bad-json", older],
  ["no key of the type", olderWeb(json({ keys: [] })), "unavailable posh.no-fingerprints", older],
  ["a key without certificate", olderWeb(json({ keys: [{ kty: "PKIX" }] })), "unavailable posh.bad-json", older],
  ["not Base64", olderWeb(jwks(["***"])), "unavailable posh.bad-base64", older],
  ["a redirect that keeps the service", olderWeb(redirect(`https://hoster.example${olderPath}`), at(olderPath, jwks([urlSafe(nobody.der)]))), "proved", older],
  ["a redirect that changes it", olderWeb(redirect("https://hoster.example/.well-known/posh._xmpp-client._tcp.json")), "unavailable posh.wrong-service", older],
  ["a redirect that keeps it in the query alone", olderWeb(redirect("https://hoster.example/x.json?_xmpp-server"), at("/x.json?_xmpp-server", jwks([urlSafe(nobody.der)]))), "unavailable posh.wrong-service", older],
  ["a redirect that drops it", olderWeb(redirect("https://hoster.example/x.json")), "unavailable posh.wrong-service", older],
])

test("POSH3-7: a certificate of the older form holds until its own end, a week at most", async () => {
  const { verdict } = await tried(olderWeb(jwks([urlSafe(nobody.der)])), older)
  assert.ok(verdict.outcome === "proved" && verdict.until === Math.min(now + 7 * day, verdict.until))
  const short = own({ notBefore: now - day, notAfter: now + hour })
  const told = await tried(olderWeb(jwks([urlSafe(short.der)])), { ...older, chain: short.chain })
  assert.ok(told.verdict.outcome === "proved" && told.verdict.until === now + hour)
})

test("one domain's document says nothing about another, nor one service's about the other", async () => {
  const { material, subject } = await tried(webOf(listing()))
  for (const changed of [{ ...subject, source: parseDomain("b.example") }, { ...subject, service: "xmpp-client" as const }]) {
    const { verdicts } = match([{ prooftype: posh, material }], changed, shownBy(nobody.chain), now)
    assert.equal(verdicts[0]!.outcome, "unavailable")
  }
})

test("in a lab another port stands for 443, on every hop", async () => {
  const { said, web } = await tried(webOf(redirect("https://hoster.example:8443/a.json"), hosted), { port: 8443 })
  assert.equal(said, "proved")
  assert.deepEqual(web.asked.map(({ to }) => to.port), [8443, 8443])
})

test("whatever the octets, a document is read or has a finding; it never throws and is never nothing", () => {
  const mutated = fc.tuple(fc.constant(JSON.stringify(documentOf(nobody.der, other.der))), fc.nat(), fc.string({ minLength: 0, maxLength: 4 })).map(([whole, where, put]) => {
    const cut = where % whole.length
    return Buffer.from(whole.slice(0, cut) + put + whole.slice(cut + 1))
  })
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ maxLength: 200 }), fc.json().map((value) => Buffer.from(value)), mutated), (octets) => {
      for (const read of [readDocument(octets), readOlderDocument(octets)]) {
        if (isProblem(read)) assert.match(read.finding, /^posh\.(?!not-published)/)
        else assert.ok(read.kind === "reference" || (read.kind === "fingerprints" ? read.descriptors.length > 0 : read.leaves.length > 0))
      }
    }),
    { numRuns: 3000 },
  )
})

test("a JSON text of any value is read as JSON.parse reads it, or refused", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (value) => {
      const read = readDocument(Buffer.from(`{"x":${value},"fingerprints":[{"sha-256":"${padded}"}],"expires":5}`))
      assert.ok(read.kind === "fingerprints" || (isProblem(read) && ["posh.bad-json", "posh.duplicate-member"].includes(read.finding)), JSON.stringify(read))
      assert.equal(read.kind, "fingerprints")
    }),
  )
})

test("the signal that ends the asking is the caller's", async () => {
  const { web } = await tried(webOf(listing()))
  assert.ok(web.asked.every(({ signal }) => signal === never))
})
