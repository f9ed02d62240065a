// Believing a named resolver's AD bit: on loopback only, self-tested, bogus told from broken, never signed evidence (security.md 15, 16; DANE-29).
import assert from "node:assert/strict"
import { type TestContext, test } from "node:test"
import type { DnsMessage } from "../../src/dns/message.ts"
import { shownName } from "../../src/dns/records.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import { startDnsResponder } from "../../src/lab/dns-responder.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"

const parts = { transport: nodeDnsTransport(), clock: systemClock, random: systemRandom }

/** A resolver that says of each name what its first label says. */
async function opinionated(t: TestContext, validates = true) {
  const queries: DnsMessage[] = []
  const server = await startDnsResponder({
    zones: {
      "secure.example": { A: ["127.0.0.1"] },
      "insecure.example": { A: ["127.0.0.1"] },
      "bogus.example": { A: ["127.0.0.1"] },
      "told.example": { A: ["127.0.0.1"] },
    },
    rewrite: (query, reply) => {
      queries.push(query)
      const name = shownName(query.questions[0]!.name)
      const broken = { ...reply, rcode: 2, answers: [], authorities: [] }
      if (name === "broken.example") return broken
      if (name === "told.example" && reply.edns !== undefined) {
        return { ...broken, edns: { ...reply.edns, options: [{ code: 15, value: Uint8Array.of(0, 6) }] } }
      }
      if (name === "bogus.example" && !query.checkingDisabled) return broken
      return { ...reply, authenticData: validates && (name === "." || name.endsWith("secure.example")) && !name.startsWith("insecure") }
    },
  })
  t.after(() => server.close())
  const upstreams = [{ address: server.address, port: server.port }]
  return {
    queries,
    resolver: createResolver({ ...parts, dnssec: "trust-ad", upstreams }),
    label: `resolver ${server.address}:${server.port}`,
  }
}

test("AD is secure, no AD is insecure, hidden data is bogus, failure is indeterminate", async (t) => {
  const { resolver, label, queries } = await opinionated(t)
  const signal = AbortSignal.timeout(5_000)
  assert.deepEqual(await resolver.ability(signal), { able: true })
  const status = async (name: string) => {
    const { status, outcome, validatedBy, wire } = await resolver.resolve(`${name}.example`, "A", { signal })
    assert.equal(wire, undefined, "an attested answer has no signatures to show")
    return [status, outcome, validatedBy]
  }
  assert.deepEqual(await status("secure"), ["secure", "data", label])
  assert.deepEqual(await status("x.secure"), ["secure", "name-error", label])
  assert.deepEqual(await status("insecure"), ["insecure", "data", label])
  assert.deepEqual(await status("bogus"), ["bogus", "failure", "self"])
  assert.deepEqual(await status("told"), ["bogus", "failure", "self"])
  assert.deepEqual(await status("broken"), ["indeterminate", "failure", "self"])
  // RFC 6840 5.7: AD in the query asks for AD in the answer; DO would bring signatures nobody reads.
  assert.ok(queries[0]!.authenticData && queries[0]!.edns?.dnssecOk === false)
})

test("a resolver that does not validate is found out at once; one off loopback is not accepted at all", async (t) => {
  const { resolver } = await opinionated(t, false)
  const ability = await resolver.ability(AbortSignal.timeout(5_000))
  assert.equal(ability.able ? "able" : ability.because, "stripped")
  for (const address of ["192.0.2.1", "::2", "10.0.0.1"]) {
    assert.throws(() => createResolver({ ...parts, dnssec: "trust-ad", upstreams: [{ address, port: 53 }] }), RangeError)
  }
  const off = await createResolver({ ...parts, dnssec: "off", upstreams: [] }).ability(AbortSignal.timeout(100))
  assert.equal(off.able ? "able" : off.because, "off")
})
