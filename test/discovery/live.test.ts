// Discovery over the real resolver and real sockets against the lab's DNS server, its misbehaviour included.
import assert from "node:assert/strict"
import { test } from "node:test"
import { discover } from "../../src/discovery/discover.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import { startDnsResponder } from "../../src/lab/dns-responder.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"

test("from a zone table to endpoints, and each way of failing", async (t) => {
  const responder = await startDnsResponder({
    zones: {
      "_xmpp-server._tcp.a.example": { SRV: [[5, 0, 5269, "xmpp.a.example"]] },
      "_xmpps-server._tcp.a.example": { SRV: [[0, 0, 5270, "xmpp.a.example"]] },
      "xmpp.a.example": { A: ["127.0.0.1"], AAAA: ["::1"] },
      "b.example": { A: ["127.0.0.2"] },
      "_xmpp-server._tcp.c.example": { SRV: [[0, 0, 0, "."]] },
      "_xmpp-server._tcp.d.example": { CNAME: "_xmpp-server._tcp.a.example" },
    },
  })
  t.after(() => responder.close())
  const found = async (name: string) => {
    const resolver = createResolver({
      dnssec: "off",
      upstreams: [responder],
      transport: nodeDnsTransport(),
      clock: systemClock,
      random: systemRandom,
      limits: { attempt: 100, lookup: 1_000 },
    })
    const reach = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example"], ownListeners: [] }
    const result = await discover({ domain: parseDomain(name), service: "xmpp-server", resolver, random: systemRandom, reach })
    return result.outcome === "endpoints"
      ? result.endpoints.map(({ address, port }) => `${address} ${port}`)
      : `${result.outcome} ${result.finding}`
  }
  assert.deepEqual(await found("a.example"), ["::1 5270", "127.0.0.1 5270", "::1 5269", "127.0.0.1 5269"])
  assert.deepEqual(await found("b.example"), ["127.0.0.2 5269"])
  assert.equal(await found("c.example"), "no-service dns.srv-refused")
  assert.deepEqual(await found("d.example"), ["::1 5269", "127.0.0.1 5269"])
  assert.equal(await found("e.example"), "not-found dns.nxdomain")
  responder.misbehave("_xmpps-server._tcp.a.example", "servfail")
  assert.deepEqual(await found("a.example"), ["::1 5269", "127.0.0.1 5269"], "a broken name server for the new name only")
  for (const how of ["servfail", "drop", "garbage", "wrong-id", "refused"] as const) {
    responder.misbehave("_xmpp-server._tcp.a.example", how)
    assert.equal(await found("a.example"), "unavailable dns.servfail", how)
  }
})
