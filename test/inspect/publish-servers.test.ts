// Every authoritative server of a name is found, also the one that cannot be asked: it may be the one that lags (RFC 7671 8.1).
import assert from "node:assert/strict"
import { test } from "node:test"
import { authoritativeServers } from "../../src/inspect/publish-servers.ts"
import type { Resolver } from "../../src/model/dns-answer.ts"
import { parseCidr, publicInternetOnly } from "../../src/model/reach.ts"

const reach = { ...publicInternetOnly, networks: [parseCidr("192.0.2.0/24"), parseCidr("2001:db8::/32")] }
const signal = new AbortController().signal

function resolver(table: Readonly<Record<string, readonly string[] | "failure">>): Resolver & { readonly asked: string[] } {
  const asked: string[] = []
  return {
    asked,
    resolve: async (name, type) => {
      asked.push(`${name} ${type}`)
      const found = table[`${name} ${type}`] ?? []
      const records = found === "failure" ? [] : found.map((text) => (type === "NS" ? { target: text } : { address: text }))
      return { name, type, records, status: "secure", outcome: found === "failure" ? "failure" : records.length === 0 ? "no-data" : "data", rcode: 0, why: [], canonical: name, validatedBy: "self", until: 0 } as never
    },
  }
}

test("the zone is the nearest name above that has NS records; no server is left out", async () => {
  const dns = resolver({
    "host.example NS": ["ns1.host.example", "ns2.far.example", "ns3.far.example", "ns4.far.example"],
    "example NS": ["a.example"],
    "ns1.host.example A": ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
    "ns1.host.example AAAA": ["2001:db8::1"],
    "ns2.far.example AAAA": ["2001:db8::2"],
    "ns4.far.example A": ["127.0.0.1"],
  })
  const found = await authoritativeServers("_5269._tcp.xmpp1.host.example", dns, reach, signal)
  assert.deepEqual(
    found.map(({ name, at }) => [name, at?.address]),
    [
      ["ns1.host.example 192.0.2.1", "192.0.2.1"],
      ["ns1.host.example 192.0.2.2", "192.0.2.2"],
      ["ns2.far.example 2001:db8::2", "2001:db8::2"],
      // Without an address, or with one that must not be asked (security.md 17): they count as silent.
      ["ns3.far.example", undefined],
      ["ns4.far.example", undefined],
    ],
  )
  assert.deepEqual(
    dns.asked.filter((each) => each.endsWith(" NS")),
    ["_5269._tcp.xmpp1.host.example NS", "_tcp.xmpp1.host.example NS", "xmpp1.host.example NS", "host.example NS"],
  )
})

test("a lookup that fails on the way is no reason to ask the servers of the zone above", async () => {
  const dns = resolver({ "host.example NS": "failure", "example NS": ["a.example"], "a.example A": ["192.0.2.9"] })
  assert.deepEqual(await authoritativeServers("_5269._tcp.host.example", dns, reach, signal), [])
})
