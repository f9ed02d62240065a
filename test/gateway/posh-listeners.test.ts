// The listeners for POSH documents on real sockets: plain behind a web server, and HTTPS by SNI; what is served follows the
// certificates in use and the next ones (RFC 7711 3; POSH-02, POSH-06, POSH-08, POSH-18).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { request } from "node:http"
import { request as secureRequest } from "node:https"
import { after, before, describe, it } from "node:test"
import type { TLSSocket } from "node:tls"
import type { NetworkAddress } from "../../src/ports.ts"
import { authority, certificateFor, type RunningFixture, startFixture } from "./gateway-fixture.ts"

const path = "/.well-known/posh/xmpp-server.json"
const old = certificateFor("host.example")
const renewed = certificateFor("host.example", { notAfter: Date.now() + 40 * 86_400_000 })
const announced = certificateFor("host.example", { notAfter: Date.now() + 50 * 86_400_000 })
const digest = (der: Uint8Array): string => createHash("sha256").update(der).digest("base64")

interface Answer {
  readonly status: number | undefined
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
  readonly shown: string | undefined
}

function ask(at: NetworkAddress, host: string, { method = "GET", asked = path, tls = false } = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { host: at.address, port: at.port, path: asked, method, agent: false, headers: { host } }
    const sent = tls ? secureRequest({ ...options, servername: host, ca: authority.certificate.pem }) : request(options)
    sent.on("error", reject)
    sent.on("response", (response) => {
      const shown = tls ? (response.socket as TLSSocket).getPeerX509Certificate()?.raw : undefined
      let body = ""
      response.setEncoding("utf8")
      response.on("data", (text: string) => (body += text))
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body, shown: shown === undefined ? undefined : digest(shown) }))
    })
    sent.end()
  })
}

describe("listeners for POSH documents", () => {
  let running: RunningFixture
  let [plain, secure]: NetworkAddress[] = []
  before(async () => {
    running = await startFixture({
      domains: ["host.example", "shop.example", "quiet.example"],
      certificates: { "host.example": old, "shop.example": undefined },
      files: { "/next.pem": announced.pem },
      yaml: (text) =>
        text
          .replace("listen:\n", 'listen:\n  posh: ["127.0.0.1:0"]\n  posh_https: ["127.0.0.1:0"]\n')
          .replace("{ name: host.example,", "{ name: host.example, posh: { serve: true, expires: 1d, next: /next.pem },")
          .replace("{ name: shop.example,", "{ name: shop.example, certificate: host.example,"),
    })
    plain = running.gateway.addresses.posh[0] as NetworkAddress
    secure = running.gateway.addresses.poshHttps[0] as NetworkAddress
  })
  after(() => running.stop())

  const hashes = async (host = "host.example"): Promise<string[]> =>
    (JSON.parse((await ask(plain!, host)).body) as { fingerprints: { "sha-256": string }[] }).fingerprints.map((each) => each["sha-256"])

  it("the document, over HTTP by Host and over HTTPS with the certificate of the name", async () => {
    const { status, headers, body } = await ask(plain!, "HOST.example:8081")
    assert.deepEqual([status, headers["content-type"], headers["cache-control"], headers["x-content-type-options"]], [200, "application/json", "max-age=60", "nosniff"])
    assert.equal((JSON.parse(body) as { expires: number }).expires, 86_400)
    assert.deepEqual(await hashes(), [digest(old.der), digest(announced.der)])
    const over = await ask(secure!, "host.example", { tls: true })
    assert.deepEqual([over.status, over.body, over.shown], [200, body, digest(old.der)])
  })

  it("HEAD has no body; other names and paths get 404, other methods 405", async () => {
    const head = await ask(plain!, "host.example", { method: "HEAD" })
    assert.deepEqual([head.status, head.body], [200, ""])
    for (const host of ["shop.example", "quiet.example", "elsewhere.example"]) assert.equal((await ask(plain!, host)).status, 404, host)
    assert.equal((await ask(plain!, "host.example", { asked: "/metrics" })).status, 404)
    assert.equal((await ask(plain!, "host.example", { method: "POST" })).status, 405)
  })

  it("no handshake for a name without a certificate", async () => {
    await assert.rejects(ask(secure!, "elsewhere.example", { tls: true }), /handshake failure|alert|ECONNRESET|disconnected/)
  })

  it("a renewed certificate is published at once, first, and held back; the announced one stays", async () => {
    running.files.set("/certs/host.example.pem", renewed.chainPem + renewed.keyPem, { modified: 1 })
    assert.equal((await running.gateway.reload()).ok, true)
    assert.deepEqual(await hashes(), [digest(renewed.der), digest(announced.der), digest(old.der)])
    assert.equal((await ask(secure!, "host.example", { tls: true })).shown, digest(old.der))
    await running.logged("cert.held", /host\.example still shows the old certificate: peers may remember a POSH document/)
  })

  it("the announced one, when it comes after what is remembered by then, needs no wait of its own", async () => {
    const { held } = running.gateway.renewals.find(({ domain }) => domain === "host.example")!
    running.files.set("/certs/host.example.pem", announced.chainPem + announced.keyPem, { modified: 2 })
    assert.equal((await running.gateway.reload()).ok, true)
    assert.equal(held?.because, "posh")
    assert.equal((await ask(secure!, "host.example", { tls: true })).shown, digest(announced.der), "every document since the start lists it")
  })
})
