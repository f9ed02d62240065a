// Whole gateways with real sockets and TLS: routing between components and remote domains, refusals, reload, drain.
import assert from "node:assert/strict"
import { after, describe, it } from "node:test"
import { RawComponent, type RunningFixture, startFixture } from "./gateway-fixture.ts"

describe("two gateways", () => {
  let one: RunningFixture
  let two: RunningFixture
  it("carry stanzas between their components, both ways, proven by certificates", async () => {
    two = await startFixture({ domains: ["b.example", "b2.example"], address: "127.0.0.2" })
    one = await startFixture({ domains: ["a.example"], peers: { "b.example": two.s2s, "b2.example": two.s2s } })
    // The second learns where the first is by a reload, as an operator would tell it.
    two.rewrite((yaml) => yaml.replace("  resolver:", `  overrides: [{ peer: a.example, connect: "127.0.0.1:${one.s2s.port}" }]\n  resolver:`))
    const reloaded = await two.gateway.reload()
    assert.equal(reloaded.ok, true)
    const a = await RawComponent.attach(one.components, "a.example")
    const b = await RawComponent.attach(two.components, "b.example")
    a.send("<message from='x@a.example/r' to='y@b.example' id='1'><body>hello &lt;b&gt;</body></message>")
    const [got] = await b.until(/<message .*?<\/message>/)
    assert.equal(got, "<message from='x@a.example/r' to='y@b.example' id='1'><body>hello &lt;b&gt;</body></message>")
    b.send("<iq type='result' from='y@b.example' to='x@a.example/r' id='2'><q xmlns='urn:q'><p:x xmlns:p='urn:p'/></q></iq>")
    const [back] = await a.until(/<iq .*?<\/iq>/)
    assert.match(back, /id='2'.*urn:q/)
    assert.match(two.lines("s2s.associated").join("\n"), /associated by pkix, authenticated/)
    a.close()
    b.close()
  })
  it("answer for a component that is away, and for one that does not exist", async () => {
    const a = await RawComponent.attach(one.components, "a.example")
    a.send("<message from='a.example' to='y@b2.example' id='3'><body>anybody?</body></message>")
    const [away] = await a.until(/<message .*?<\/message>/)
    assert.match(away, /^<message from='y@b2\.example' to='a\.example' id='3' type='error'><error type='wait' by='b2\.example'>/)
    assert.match(away, /<remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'\/><text .*>Component unavailable<\/text>/)
    a.close()
  })
  after(async () => {
    await Promise.all([one?.stop(), two?.stop()])
  })
})
