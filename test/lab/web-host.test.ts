// The lab's web hosts, asked by the real HTTPS client: certificates, scripted answers, and what is kept of requests.
import assert from "node:assert/strict"
import { createHash, X509Certificate } from "node:crypto"
import { describe, test } from "node:test"
import { readServerName } from "../../src/lab/client-hello.ts"
import { Internet, type LabServer, type LabWebAnswer, type LabWebHost } from "../../src/lab/internet.ts"
import { DialError, HttpsError } from "../../src/model/errors.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { createNodeWorld } from "../../src/node/world.ts"
import type { HttpsAnswer, HttpsRequest } from "../../src/ports.ts"
import { labPorts } from "./support.ts"

const reach = { networks: [parseCidr("127.0.0.0/8")], names: ["example"], ownListeners: [] }
const world = createNodeWorld({ reach: () => reach, log: { write: () => undefined } })
const path = "/.well-known/posh/xmpp-server.json"
const document = { fingerprints: [{ "sha-256": "AAAA" }], expires: 3600 }

const ask = (host: Pick<LabWebHost, "host" | "at">, changes: Partial<HttpsRequest> = {}): Promise<HttpsAnswer> =>
  world.https.get({
    host: host.host,
    path,
    to: host.at,
    maxOctets: 64 * 1024,
    signal: AbortSignal.timeout(5000),
    accept: () => true,
    ...changes,
  })

const failure =
  (...expected: HttpsError["failure"][]) =>
  (error: unknown) => {
    assert.ok(error instanceof HttpsError, String(error))
    assert.ok(expected.includes(error.failure), `${error.failure}: ${error.message}`)
    return true
  }

async function inLab(act: (net: Internet) => Promise<void>): Promise<void> {
  const net = await Internet.start(labPorts)
  try {
    await act(net)
  } finally {
    await net.close()
  }
}

describe("web hosts of the lab", { timeout: 60_000 }, () => {
  test("one address and port for all of them, told apart by name; requests are kept; DNS knows them until they are closed", async () => {
    await inLab(async (net) => {
      const shop = net.web({ host: "shop.example", answers: { [path]: { json: document } } })
      const other = net.web({ host: "other.example" })
      assert.deepEqual([shop.at, other.at], [net.webAt, net.webAt])
      assert.equal(shop.url(path), `https://shop.example${path}`)
      const answer = await ask(shop)
      assert.deepEqual(
        [answer.status, answer.contentType, JSON.parse(Buffer.from(answer.body).toString())],
        [200, "application/json", document],
      )
      assert.deepEqual(
        answer.facts.chain.map((der) => Buffer.from(der)),
        shop.certificate.chain,
      )
      assert.equal((await ask(other)).status, 404)
      const seen = { method: "GET", path, host: `shop.example:${net.webAt.port}` }
      assert.deepEqual(shop.requests, [seen])
      assert.deepEqual([shop.connections, other.requests.length], [1, 1])
      await assert.rejects(ask({ host: "nobody.example", at: net.webAt }), failure("tls"))
      assert.throws(() => net.web({ host: "shop.example" }), /already/)

      const { dns } = net
      const resolver = await labPorts
        .world({ write: () => undefined })
        .resolver({ upstreams: [{ address: dns.address, port: dns.port }], dnssec: "off" })
      const lookUp = async (): Promise<string> =>
        JSON.stringify(await resolver.resolve("shop.example", "A", { signal: AbortSignal.timeout(5000) }))
      assert.match(await lookUp(), new RegExp(`"${net.webAt.address}"`))
      shop.close()
      await assert.rejects(ask(shop), failure("tls"))
      net.web({ host: "shop.example" }).close()
    })
  })

  test("certificates are as bad as they are called", async () => {
    await inLab(async (net) => {
      const now = net.clock.now()
      const root = new X509Certificate(net.authority.certificate.der)
      const seen = []
      for (const certificate of ["good", "wrong-name", "expired", "self-signed", "stranger"] as const) {
        const host = net.web({ host: `${certificate}.example`, certificate })
        const { facts } = await ask(host)
        const leaf = new X509Certificate(facts.chain[0]!)
        const signed = leaf.verify(root.publicKey)
        seen.push([
          certificate,
          leaf.checkHost(host.host) === host.host,
          Date.parse(leaf.validTo) > now,
          signed,
          leaf.issuer === leaf.subject,
        ])
      }
      assert.deepEqual(seen, [
        ["good", true, true, true, false],
        ["wrong-name", false, true, true, false],
        ["expired", true, false, true, false],
        ["self-signed", true, true, false, true],
        ["stranger", true, true, false, false],
      ])
    })
  })

  test("what is scripted is what a client meets", async () => {
    await inLab(async (net) => {
      const to = net.web({ host: "to.example" })
      let asked = 0
      const host = net.web({
        host: "shop.example",
        answers: {
          "/moved": { location: to.url("/x") },
          "/seen-other": { status: 303, location: "/relative" },
          "/failing": { status: 500 },
          "/html": { headers: { "Content-Type": "text/html" }, body: "<p>hello</p>" },
          "/octets": { body: Uint8Array.of(0xef, 0xbb, 0xbf, 0x7b, 0x7d) },
          "/slow": { delay: 5000, json: document },
          "/drip": { drip: 50, json: document },
          "/quick-drip": { drip: 0, json: document },
          "/huge": { filler: 100_000_000 },
          "/spaced": { json: document, filler: 1000 },
          "/bomb": { gzip: true, filler: 1_000_000 },
          "/cut": { json: document, cut: 10 },
          "/raw": { raw: "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n" },
          "/silent": { silent: true },
          "/counted": () => ({ body: String(++asked) }),
        },
      })
      const at = (name: string, ms = 5000): Promise<HttpsAnswer> => ask(host, { path: name, signal: AbortSignal.timeout(ms) })
      const text = async (name: string): Promise<string> => Buffer.from((await at(name)).body).toString()
      const moved = await at("/moved")
      assert.deepEqual([moved.status, moved.location], [302, to.url("/x")])
      assert.deepEqual([(await at("/seen-other")).status, (await at("/seen-other")).location], [303, "/relative"])
      assert.equal((await at("/failing")).status, 500)
      assert.deepEqual([(await at("/html")).contentType, await text("/html")], ["text/html", "<p>hello</p>"])
      assert.deepEqual([...(await at("/octets")).body], [0xef, 0xbb, 0xbf, 0x7b, 0x7d])
      for (const slow of ["/slow", "/drip", "/silent"]) await assert.rejects(at(slow, 150), failure("timeout"), slow)
      assert.deepEqual(JSON.parse(await text("/quick-drip")), document)
      await assert.rejects(at("/huge"), failure("too-large"))
      assert.equal((await text("/spaced")).length, JSON.stringify(document).length + 1000)
      await assert.rejects(at("/bomb"), failure("encoded"))
      await assert.rejects(at("/cut"), failure("closed"))
      await assert.rejects(at("/raw"), failure("protocol"))
      assert.deepEqual([await text("/counted"), await text("/counted")], ["1", "2"])
      host.answer("/counted", undefined)
      host.answer("/failing", { body: "mended" })
      assert.deepEqual([(await at("/counted")).status, await text("/failing")], [404, "mended"])
      assert.equal(to.requests.length, 0)
    })
  })

  test("hosts that do not speak HTTPS, and a client that does not accept: no request is seen", async () => {
    await inLab(async (net) => {
      const ms = 200
      for (const [speaks, want] of [
        ["http", "tls"],
        ["nothing", "timeout"],
        ["reset", "tls"],
      ] as const) {
        const host = net.web({ host: `${speaks}.example`, speaks })
        await assert.rejects(ask(host, { signal: AbortSignal.timeout(ms) }), failure(want), speaks)
        assert.deepEqual([host.connections, host.requests.length], [1, 0])
      }
      const host = net.web({ host: "shop.example", certificate: "wrong-name" })
      await assert.rejects(ask(host, { accept: () => false }), failure("refused"))
      assert.deepEqual([host.connections, host.requests.length], [1, 0])
    })
  })

  test("the web ends with the lab, also in the middle of answers", async () => {
    const net = await Internet.start(labPorts)
    const host = net.web({
      host: "shop.example",
      answers: {
        [path]: { silent: true },
        "/huge": { filler: 1_000_000_000, headers: { "Content-Length": "1000000000" } },
        "/drip": { drip: 20, body: "x".repeat(1000) },
      },
    })
    const asked = [ask(host), ask(host, { path: "/drip" }), ask(host, { path: "/huge", maxOctets: 2_000_000_000 })].map((one) =>
      assert.rejects(one, failure("closed")),
    )
    while (host.requests.length < 3) await new Promise((resolve) => setImmediate(resolve))
    await net.close()
    await Promise.all(asked)
    await assert.rejects(ask(host), (error: unknown) => error instanceof DialError && error.failure === "refused")
  })

  test("a port of one's choice", async () => {
    const first = await Internet.start(labPorts)
    const { port } = first.webAt
    await first.close()
    const again = await Internet.start(labPorts, { webPort: port })
    try {
      assert.equal(again.webAt.port, port)
      await assert.rejects(Internet.start(labPorts, { webPort: port }), /EADDRINUSE/)
    } finally {
      await again.close()
    }
  })
})

test("a server whose certificate names its host is proved by the document of its domain's web host, and not by a wrong one", {
  timeout: 20_000,
}, async () => {
  await inLab(async (net) => {
    const hosted = { certificate: { from: "lab", names: ["hoster.example"] } } as const
    const [shop, wrong, peer] = await Promise.all([
      net.addServer({ domain: "shop.example", ...hosted }),
      net.addServer({ domain: "wrong.example", ...hosted }),
      net.addServer({ domain: "peer.example", proofs: ["pkix", "posh"] }),
    ])
    const documentOf = (der: Uint8Array): LabWebAnswer => ({
      json: { fingerprints: [{ "sha-256": createHash("sha256").update(der).digest("base64") }], expires: 3600 },
    })
    const good = net.web({ host: "shop.example", answers: { [path]: documentOf(shop.certificate.der) } })
    net.web({ host: "wrong.example", answers: { [path]: documentOf(shop.certificate.der) } })
    const outcome = async (to: LabServer): Promise<string> => {
      const id = net.say(peer, to, "good day")
      const seen = await net.until("the message", () => net.outcome(to.domain, id) ?? net.outcome(peer.domain, id), 8000)
      return seen.kind
    }
    assert.equal(await outcome(shop), "received")
    assert.deepEqual(
      good.requests.map((request) => request.path),
      [path],
    )
    assert.equal(await outcome(wrong), "bounced")
  })
})

test("the server's name in a ClientHello: whole or in any pieces, in one record or several, or not there", () => {
  const vector = (width: number, ...parts: Buffer[]): Buffer => {
    const content = Buffer.concat(parts)
    const length = Buffer.alloc(width)
    length.writeUIntBE(content.length, 0, width)
    return Buffer.concat([length, content])
  }
  const name = Buffer.concat([Buffer.of(0), vector(2, Buffer.from("Shop.Example"))])
  const extension = (type: number, ...content: Buffer[]): Buffer => Buffer.concat([Buffer.of(0, type), vector(2, ...content)])
  const hello = (...extensions: Buffer[]): Buffer => {
    const body = Buffer.concat([
      Buffer.alloc(34),
      vector(1),
      vector(2, Buffer.of(0x13, 0x01)),
      vector(1, Buffer.of(0)),
      vector(2, ...extensions),
    ])
    return Buffer.concat([Buffer.of(1), vector(3, body)])
  }
  const records = (message: Buffer, size: number): Buffer =>
    Buffer.concat(
      Array.from({ length: Math.ceil(message.length / size) }, (_, n) =>
        Buffer.concat([Buffer.of(22, 3, 1), vector(2, message.subarray(n * size, (n + 1) * size))]),
      ),
    )
  const message = hello(extension(43, Buffer.of(2, 3, 4)), extension(0, vector(2, name)), extension(10))
  for (const size of [1000, 7, 1]) {
    const flight = records(message, size)
    for (let cut = 0; cut < flight.length; cut += 1)
      assert.deepEqual(readServerName(flight.subarray(0, cut)), { state: "more" }, `${cut} of ${flight.length}`)
    assert.deepEqual(readServerName(flight), { state: "named", serverName: "shop.example" })
  }
  assert.deepEqual(readServerName(records(hello(extension(43)), 1000)), { state: "unnamed" })
  assert.deepEqual(readServerName(records(hello(), 1000)), { state: "unnamed" })
  assert.deepEqual(readServerName(Buffer.from("GET / HTTP/1.1\r\n")), { state: "unnamed" })
  assert.deepEqual(readServerName(records(Buffer.concat([Buffer.of(1), vector(3, Buffer.alloc(30_000))]).subarray(0, 20_000), 16_000)), {
    state: "unnamed",
  })
})
