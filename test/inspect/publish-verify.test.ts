// What `posh verify` tells of the way to a document (RFC 7711 3; security.md 27).
import assert from "node:assert/strict"
import { test } from "node:test"
import { verifyPosh } from "../../src/inspect/publish-verify.ts"
import { parseDomain } from "../../src/model/domain.ts"
import type { PoshExchange } from "../../src/proof/posh-trail.ts"
import { anchorSet } from "../../src/x509/anchors.ts"

const at = Date.UTC(2026, 10, 22)
const first = "https://shop.example/.well-known/posh/xmpp-server.json"

const answered = (url: string, location: string): PoshExchange => ({ url, address: "192.0.2.1", chain: [], answer: { status: 302, location, contentType: null, body: new Uint8Array() }, failure: null })

test("the queries of URLs on the way, which may hold what is secret, are told nobody", () => {
  const exchanges = [answered(first, "https://hoster.example/posh.json?token=canary"), answered("https://hoster.example/posh.json?token=canary", "https://shop.example/?again=canary")]
  const material = { source: parseDomain("shop.example"), service: "xmpp-server", at, port: 443, older: false, anchors: anchorSet([]), exchanges } as const
  const found = verifyPosh(material, [], at)
  assert.deepEqual(found.trail.map((line) => line.split(" ")[0]), [`${first}:`, "https://hoster.example/posh.json?…:"])
  assert.match(found.trail[0] ?? "", /status 302, to https:\/\/hoster\.example\/posh\.json\?…$/)
  assert.doesNotMatch(JSON.stringify(found), /canary/)
})
