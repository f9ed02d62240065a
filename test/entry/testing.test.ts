// `xmpp-dna/testing` as a test of somebody else's uses it: servers, DNS, certificates, scenes, and a clean end.
import assert from "node:assert/strict"
import { get } from "node:https"
import { test } from "node:test"
import { lab } from "../../src/entry/testing.ts"

test("lab: servers that talk, DNS that can be changed, and nothing left behind", async () => {
  const net = await lab({ servers: [{ domain: "a.example" }, { domain: "b.example" }] })
  assert.equal(typeof net[Symbol.asyncDispose], "function")
  try {
    assert.deepEqual(net.servers.map(({ domain }) => domain).sort(), ["a.example", "b.example"])
    const arrived = await net.exchange("a.example", "b.example", "good day")
    assert.deepEqual({ ...arrived, id: "" }, { kind: "received", id: "", from: "bot@a.example", to: "bot@b.example", body: "good day" })
    const added = await net.addServer({ domain: "c.example", certificate: { from: "stranger" } })
    const bounced = await net.exchange("a.example", "c.example", "good day")
    assert.equal(bounced.kind, "bounced")
    assert.match(bounced.kind === "bounced" ? bounced.text : "", /\[cert\.unknown-root\]/)
    await net.removeServer(added)
    assert.equal((await net.resolver.resolve("_xmpp-server._tcp.c.example", "SRV", {})).records.length, 0)
    await assert.rejects(net.addServer({ domain: "a.example" }), /has a server already/)
    assert.ok(net.dns.queries.some(({ name }) => name.toLowerCase() === "_xmpp-server._tcp.b.example"))
  } finally {
    await net[Symbol.asyncDispose]()
  }
})

test("lab: web hosts with scripted answers, asked as anybody would ask them", async () => {
  const net = await lab()
  try {
    const shop = net.web({ host: "shop.example", answers: { "/x": { json: { expires: 1 } } } })
    const ca = [net.authority.certificate.pem]
    const ask = (path: string): Promise<[number | undefined, string]> =>
      new Promise((resolve, reject) => {
        const { address: host, port } = shop.at
        get({ host, port, servername: shop.host, headers: { Host: shop.host }, path, ca, agent: false }, (response) => {
          let text = ""
          response.on("data", (bytes: Buffer) => (text += bytes.toString()))
          response.on("end", () => resolve([response.statusCode, text]))
        }).on("error", reject)
      })
    assert.deepEqual(await ask("/x"), [200, '{"expires":1}'])
    assert.equal((await ask("/y"))[0], 404)
    assert.deepEqual(shop.requests.map(({ path, host }) => [path, host]), [["/x", "shop.example"], ["/y", "shop.example"]])
  } finally {
    await net.close()
  }
})

test("lab: a scene of the command, played in a test; two labs at once do not meet", async () => {
  const [one, other] = await Promise.all([lab({ scene: "expired" }), lab({ scene: "expired" })])
  try {
    const reports = await Promise.all([one.play(), other.play()])
    for (const report of reports) assert.deepEqual(report.got, report.expected)
    assert.ok(reports.every(({ ok }) => ok))
  } finally {
    await Promise.all([one.close(), other.close()])
  }
  await assert.rejects(lab({ scene: "expierd" }), /there is no scene "expierd"; known: mutual-external/)
})

test("lab: an exhibit put up by its name, checked and judged; any domain of a lab can be checked", async () => {
  const net = await lab({ scene: "auth-no-way", servers: [{ domain: "self.example", certificate: { from: "self" } }] })
  try {
    const report = await net.play()
    assert.deepEqual(report.got, report.expected)
    assert.equal(report.ok, true)
    // Asked as the exhibit is to be asked.
    assert.equal((await net.check("auth-no-way.example")).asked.from, "visitor.example")
    const strict = await net.check("self.example")
    assert.deepEqual([strict.level, strict.ok, strict.findings[0]?.id], ["encrypted", false, "cert.self-signed"])
    assert.equal((await net.check("self.example", { expect: "encrypted" })).ok, true)
    await assert.rejects(net.check("192.0.2.1"), /is an IP address/)
  } finally {
    await net.close()
  }
})
