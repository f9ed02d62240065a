// `xmpp-dna/gateway` as a program uses it: from settings and from a file, with the same words and the same mistakes.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { test } from "node:test"
import { ConfigError, type GatewaySettings, startGateway } from "../../src/entry/gateway.ts"
import { connect } from "../../src/entry/main.ts"
import { lab } from "../../src/entry/testing.ts"

test("startGateway: a domain served from settings, reached by connect, and again from a file", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "xmpp-dna-gateway-"))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  const net = await lab()
  try {
    const { certificatePem, keyPem } = net.credentials("home.example")
    writeFileSync(join(folder, "home.pem"), certificatePem + keyPem, { mode: 0o600 })
    writeFileSync(join(folder, "root.pem"), net.authority.certificate.pem)
    const settings = {
      listen: { s2s: ["127.0.0.1:0"], components: ["127.0.0.1:0"] },
      federation: { resolver: { address: `${net.dns.address}:${net.dns.port}`, dnssec: "off" }, trust: join(folder, "root.pem"), allow: { networks: ["127.0.0.0/8"], names: ["example"] } },
      certificates: { dirs: [folder], reload: "signal" },
      domains: [{ name: "home.example", component: { secret: "0f7c5f1b66d1f1a9a85fd9b2a9e7c0d1" } }],
    } satisfies GatewaySettings
    const reached = async (source: string | GatewaySettings): Promise<string[]> => {
      const seen: string[] = []
      const gateway = await startGateway(source, { allowInlineSecrets: true, event: (event) => event.kind === "associated" && seen.push(event.association.pair.sender) })
      try {
        const [s2s] = gateway.addresses.s2s
        assert.ok(s2s !== undefined)
        net.publish("home.example", s2s)
        const stream = await connect({ from: "bot.example", to: "home.example", credentials: net.credentials("bot.example"), ...net.options, connect: { ...s2s, transport: "starttls" } })
        assert.equal(stream.association.level, "authenticated")
        await stream.close()
        return seen
      } finally {
        await gateway.close()
      }
    }
    assert.deepEqual(await reached(settings), ["bot.example"])
    const file = join(folder, "gateway.yaml")
    writeFileSync(file, JSON.stringify(settings), { mode: 0o600 })
    assert.deepEqual(await reached(file), ["bot.example"])

    const wrong = { ...settings, federation: { ...settings.federation, require: "permissive" } }
    await assert.rejects(startGateway(wrong), (error: unknown) => {
      assert.ok(error instanceof ConfigError)
      assert.deepEqual(
        error.problems.map(({ setting }) => setting),
        ["federation.require"],
      )
      return true
    })
    // What is written in a file for all to read is another matter than what a program holds.
    await assert.rejects(startGateway(file), /secret stands in the file itself/)
  } finally {
    await net.close()
  }
})
