// security.md 27: dialback keys, component secrets and handshakes, SASL text, exporter values and stanzas stand in no event, no
// log line and no evidence, whatever the peer does to get them there.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { test } from "node:test"
import { KeyRing } from "../../src/federation/dialback.ts"
import type { FederationPorts } from "../../src/federation/contract.ts"
import { RawComponent, secretFor, startFixture, type RunningFixture } from "../gateway/gateway-fixture.ts"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import { Recorder } from "../world/recorder.ts"
import { credentialsOf, everythingSaid, good, memoryScene, message, openHeader, own, realScene, type Server } from "../scenarios/support.ts"
import { patched } from "./weakened.ts"

/** Every key that is made while `body` runs. */
async function collectingKeys(body: (keys: string[]) => Promise<void>): Promise<void> {
  const keys: string[] = []
  const issue = KeyRing.prototype.issue
  const noting = function (this: KeyRing, ...given: Parameters<typeof issue>): string {
    const key = issue.apply(this, given)
    keys.push(key)
    return key
  }
  await patched(KeyRing.prototype, "issue", noting, () => body(keys))
}

/** Notes the exporter value of every handshake. */
function notingExporters(found: string[]): (ports: FederationPorts) => FederationPorts {
  return (ports) => ({
    ...ports,
    tls: {
      client: async (...given) => {
        const secured = await ports.tls.client(...given)
        found.push(Buffer.from(secured.facts.exporter).toString("hex"))
        return secured
      },
      server: async (...given) => {
        const secured = await ports.tls.server(...given)
        found.push(Buffer.from(secured.facts.exporter).toString("hex"))
        return secured
      },
    },
  })
}

function nowhere(said: string, canaries: readonly string[]): void {
  for (const canary of canaries) {
    assert.ok(canary.length > 6, `too short to be looked for: ${canary}`)
    for (const form of [canary, Buffer.from(canary).toString("base64"), Buffer.from(canary, "hex").toString("base64")]) {
      if (form.length > 6) assert.ok(!said.includes(form), `${form} was said: ${said.slice(Math.max(0, said.indexOf(form) - 200), said.indexOf(form) + 50)}`)
    }
  }
}

for (const make of [async () => memoryScene(), realScene]) {
  test(`the federation core says no secret, ${make === realScene ? "on sockets" : "in memory"}`, async () => {
    await collectingKeys(async (keys) => {
      const scene = await make()
      const exporters: string[] = []
      const ports = notingExporters(exporters)
      const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted", ports })
      const b = await scene.server({ domains: ["b.example"], require: "encrypted", ports })
      const c = await scene.server({ domains: ["c.example"], certificate: (name) => own(name, {}, scene), require: "encrypted", ports })
      const d = await scene.server({ domains: ["d.example"], ports })
      const streams = [await scene.until(a.open("b.example")), await scene.until(c.open("b.example")), await scene.until(b.open("d.example"))]
      streams[0]!.channel.write(message("x@a.example", "y@b.example", "stanza-canary"))
      await scene.eventually("the stanza arrives", () => b.delivered.length === 1)
      await assert.rejects(scene.until(c.open("d.example")))
      // Claims that fail, with keys and identities of the peer's own choice.
      const peer = await scene.raw(b)
      await peer.upToFeatures("a.example", "b.example", credentialsOf(good("a.example", {}, scene)))
      peer.send(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${Buffer.from("sasl-canary.example").toString("base64")}</auth>`)
      await peer.expect("<invalid-authzid")
      peer.send("<db:result from='a.example' to='b.example'>dialback-canary</db:result>")
      await peer.expect("<db:result")
      peer.send("<db:verify from='c.example' to='b.example' id='1'>verify-canary</db:verify>")
      await peer.expect("<db:verify")
      peer.channel.write(message("x@nobody.example", "y@b.example", "refused-canary"))
      await peer.closed()
      for (const stream of streams) stream.close()
      await scene.settle()
      const servers: Server[] = [a, b, c, d]
      assert.ok(keys.length >= 2 && exporters.length >= 6)
      for (const server of servers) {
        assert.ok(server.events.length > 0)
        nowhere(everythingSaid(server), [...keys, ...exporters, "sasl-canary", "dialback-canary", "verify-canary", "stanza-canary", "refused-canary"])
      }
      await scene.close()
    })
  })
}

test("attack: a peer repeats our key in every text it can send, to bring it into our log", async () => {
  for (const words of [
    (key: string) => `<db:result from='b.example' to='a.example' type='error'><error type='cancel'><not-allowed xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/><text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>${key}</text></error></db:result>`,
    (key: string) => `<stream:error><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>your key ${key}</text></stream:error></stream:stream>`,
    (key: string) => `<db:result from='b.example' to='a.example' type='invalid'>${key}</db:result>`,
    (key: string) => `<k${key} xmlns='urn:key'/><db:result from='b.example' to='a.example' type='invalid'/>`,
  ]) {
    await collectingKeys(async (keys) => {
      const scene = memoryScene()
      const host = scene.world.host("127.0.0.82")
      scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "host.b.example"]] })
      scene.dns("host.b.example", { A: ["127.0.0.82"] })
      await host.listen.listen({ address: "127.0.0.82", port: 5269 }, (channel) => {
        const act = async () => {
          const seen = new Recorder()
          channel.attach(seen)
          channel.resume()
          await seen.untilText("<starttls")
          const header = openHeader("b.example", "a.example", " id='x'")
          channel.write(Buffer.from(`${header}<stream:features/><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`))
          channel.release()
          const { channel: under } = await host.tls.server(channel, { pick: () => credentialsOf(own("b.example")), alpn: [], signal: new AbortController().signal })
          const read = new Recorder()
          under.attach(read)
          under.resume()
          await read.untilText("<stream:stream")
          under.write(Buffer.from(`${header}<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>`))
          await read.untilText("</db:result>")
          under.write(Buffer.from(words(/>([0-9a-f]{64})</.exec(read.text)![1]!)))
        }
        void act()
      })
      const a = await scene.server({ domains: ["a.example"], require: "encrypted" })
      const failed = await scene.until(a.open("b.example").then(() => assert.fail("it was not refused"), (error: Error) => error))
      assert.equal(keys.length, 1)
      nowhere(everythingSaid(a) + failed.message + JSON.stringify(failed), keys)
      await scene.close()
    })
  }
})

/** Everything a gateway wrote anywhere: log, events, and the files of its evidence folder. */
function written(fixture: RunningFixture): string {
  const evidence = [...fixture.files.files].filter(([path]) => path.startsWith("/state")).map(([, { text }]) => (typeof text === "string" ? text : Buffer.from(text).toString()))
  const plain = (_key: string, value: unknown): unknown => (value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value)
  return JSON.stringify([fixture.log, fixture.events, evidence], plain)
}

test("a gateway says no secret either: component secrets and handshakes, keys, stanzas; in its log, events and evidence files", async () => {
  await collectingKeys(async (keys) => {
    const now = Date.now()
    const certificate = (name: string) => selfSigned({ names: { dns: [name] }, now, notBefore: now - 86_400_000, notAfter: now + 86_400_000 })
    const encrypted = "  require: encrypted\n"
    const kept = { more: "state: { dir: /state }\n", files: { "/state/.keep": "" } }
    const two = await startFixture({ domains: ["b.example"], address: "127.0.0.2", federation: encrypted, certificates: { "b.example": certificate("b.example") }, ...kept })
    const one = await startFixture({ domains: ["a.example"], peers: { "b.example": two.s2s }, federation: encrypted, certificates: { "a.example": certificate("a.example") }, ...kept })
    two.rewrite((yaml) => yaml.replace("  resolver:", `  overrides: [{ peer: a.example, connect: "${one.s2s.address}:${one.s2s.port}" }]\n  resolver:`))
    assert.equal((await two.gateway.reload()).ok, true)
    const components = [await RawComponent.attach(one.components, "a.example"), await RawComponent.attach(two.components, "b.example")]
    const wrong = await RawComponent.connect(one.components)
    await wrong.open("a.example")
    const guess = createHash("sha1").update("handshake-canary").digest("hex")
    wrong.send(`<handshake>${guess}</handshake>`)
    await wrong.over()
    components[0]!.send("<message from='x@a.example' to='y@b.example'><body>stanza-canary</body></message>")
    await components[1]!.until(/stanza-canary/)
    // And a refusal that leaves evidence behind.
    two.rewrite((yaml) => yaml.replace("require: encrypted", "require: authenticated"))
    assert.equal((await two.gateway.reload()).ok, true)
    components[0]!.send("<message from='x@a.example' to='y@b.example'><body>stanza-canary</body></message>")
    await components[0]!.until(/type='error'/)
    const handshakes = components.map(({ text }, index) => createHash("sha1").update(/id='([^']*)'/.exec(text)![1]! + secretFor(index === 0 ? "a.example" : "b.example")).digest("hex"))
    for (const component of [...components, wrong]) component.close()
    await one.stop()
    await two.stop()
    assert.ok(keys.length > 0)
    for (const fixture of [one, two]) {
      assert.ok(fixture.log.length > 5)
      nowhere(written(fixture), [...keys, ...handshakes, guess, secretFor("a.example"), secretFor("b.example"), "stanza-canary"])
    }
    assert.ok([...one.files.files.keys(), ...two.files.files.keys()].some((path) => path.startsWith("/state") && path.endsWith(".json")), "evidence was kept, and looked at")
  })
})
