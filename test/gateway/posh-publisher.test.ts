// What is answered for POSH documents, by method, path and name (RFC 7711 3, 6).
import assert from "node:assert/strict"
import { test } from "node:test"
import { poshHandler } from "../../src/gateway/posh-publisher.ts"
import type { HttpRequest } from "../../src/ports.ts"

const served = { fingerprints: ["00"], expiresMs: 1000, text: () => "{}\n" }
const handle = poshHandler((name) => (["shop.example", "xn--bcher-kva.example"].includes(name) ? served : undefined))
const ask = (more: Partial<HttpRequest> = {}) =>
  handle({ method: "GET", path: "/.well-known/posh/xmpp-server.json", host: "shop.example", remote: { address: "127.0.0.1", port: 1 }, ...more })

test("POSH-02, POSH-18: a document, as JSON, to be kept a minute by caches", () => {
  for (const more of [{}, { method: "HEAD" }, { path: "/.well-known/posh/xmpp-client.json" }, { host: "SHOP.example." }, { host: "bücher.example" }]) {
    const { status, headers, body } = ask(more)
    assert.equal(status, 200, JSON.stringify(more))
    assert.deepEqual(headers, { "content-type": "application/json", "cache-control": "max-age=60", "x-content-type-options": "nosniff" })
    assert.equal(body, "{}\n")
  }
})

test("POSH-03: 404 for every other name and path, with one text for all names", () => {
  const texts = new Set<unknown>()
  for (const host of ["other.example", "", "127.0.0.1", "shop.example.evil.example", "a b", "..", "[::1]"]) {
    const { status, body, headers } = ask({ host })
    assert.equal(status, 404, host)
    assert.equal(headers["cache-control"], "no-cache")
    texts.add(body)
  }
  assert.equal(texts.size, 1)
  for (const path of ["/", "/.well-known/posh/", "/.well-known/posh/xmpp-server.json/", "/.well-known/posh/../posh/xmpp-server.json", "/.well-known/posh._xmpp-server._tcp.json"]) {
    assert.equal(ask({ path }).status, 404, path)
  }
})

test("405 for every other method", () => {
  for (const method of ["POST", "PUT", "OPTIONS", "TRACE", "get"]) {
    const { status, headers } = ask({ method })
    assert.equal(status, 405, method)
    assert.equal(headers["allow"], "GET, HEAD")
  }
})
