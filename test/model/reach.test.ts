// The dial guard: each form of security.md 17, the way round it, and the configuration that allows it.
import assert from "node:assert/strict"
import { isIPv4, isIPv6 } from "node:net"
import { test } from "node:test"
import fc from "fast-check"
import {
  addressText,
  CidrError,
  guardAddress,
  guardName,
  parseAddress,
  parseCidr,
  publicInternetOnly,
  type ReachPolicy,
} from "../../src/model/reach.ts"

const labPolicy: ReachPolicy = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example", "test"], ownListeners: [] }

test("names: literals, single labels and special-use names are refused before any I/O", () => {
  const rows: [string, string][] = [
    ["127.0.0.1", "ip-literal"],
    ["[::1]", "ip-literal"],
    ["0x7f.1", "not-a-name"],
    ["a..example", "not-a-name"],
    ["com", "single-label"],
    ["localhost", "special-use"],
    ["a.localhost", "special-use"],
    ["printer.local", "special-use"],
    ["a.invalid", "special-use"],
    ["a.test", "special-use"],
    ["a.example", "special-use"],
    ["example.com", "special-use"],
    ["x.example.net", "special-use"],
    ["x.onion", "special-use"],
    ["db.internal", "special-use"],
    ["nas.home.arpa", "special-use"],
    ["1.168.192.in-addr.arpa", "special-use"],
    ["a.alt", "special-use"],
    ["router.lan", "special-use"],
    ["a.localdomain", "special-use"],
    ["mail.corp", "special-use"],
  ]
  for (const [name, refused] of rows) {
    const result = guardName(name, publicInternetOnly)
    assert.equal(result.ok, false, name)
    assert.equal(!result.ok && result.refused, refused, name)
  }
  for (const name of ["jabber.org", "example.edu", "testing.org", "xn--bcher-kva.org", "local.org"]) {
    assert.deepEqual(guardName(name, publicInternetOnly), { ok: true }, name)
  }
})

test("names: what the configuration allows is allowed with everything below it, and nothing else", () => {
  for (const name of ["a.example", "deep.a.example", "example", "b.test"]) assert.equal(guardName(name, labPolicy).ok, true, name)
  for (const name of ["a.invalid", "notexample", "a.notexample.local", "127.0.0.1"])
    assert.equal(guardName(name, labPolicy).ok, false, name)
  assert.equal(guardName("127.0.0.1", { names: ["127.0.0.1", "1"] }).ok, false, "a literal is never a name")
})

const specialAddresses: [string, string][] = [
  ["0.0.0.0", "unspecified"],
  ["0.1.2.3", "reserved"],
  ["10.0.0.1", "private"],
  ["100.64.0.1", "shared"],
  ["100.127.255.255", "shared"],
  ["127.0.0.1", "loopback"],
  ["127.255.255.254", "loopback"],
  ["169.254.169.254", "link-local"],
  ["172.16.0.1", "private"],
  ["172.31.255.255", "private"],
  ["192.0.0.8", "reserved"],
  ["192.0.2.1", "documentation"],
  ["192.88.99.1", "tunnel"],
  ["192.168.1.1", "private"],
  ["198.18.0.1", "benchmarking"],
  ["198.19.255.255", "benchmarking"],
  ["198.51.100.7", "documentation"],
  ["203.0.113.9", "documentation"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.255", "multicast"],
  ["240.0.0.1", "reserved"],
  ["255.255.255.255", "reserved"],
  ["::", "unspecified"],
  ["::1", "loopback"],
  ["0:0:0:0:0:0:0:1", "loopback"],
  ["::ffff:127.0.0.1", "mapped"],
  ["::ffff:7f00:1", "mapped"],
  ["::ffff:8.8.8.8", "mapped"],
  ["::127.0.0.1", "mapped"],
  ["::ffff:0:127.0.0.1", "translated"],
  ["64:ff9b::127.0.0.1", "translated"],
  ["64:ff9b::8.8.8.8", "translated"],
  ["64:ff9b:1::a00:1", "translated"],
  ["100::1", "reserved"],
  ["2001::1", "tunnel"],
  ["2001:2::1", "benchmarking"],
  ["2001:10::1", "reserved"],
  ["2001:20::1", "reserved"],
  ["2001:db8::1", "documentation"],
  ["2002:7f00:1::", "tunnel"],
  ["3fff::1", "documentation"],
  ["5f00::1", "reserved"],
  ["fc00::1", "private"],
  ["fd12:3456::1", "private"],
  ["fe80::1", "link-local"],
  ["febf::1", "link-local"],
  ["fec0::1", "private"],
  ["ff02::1", "multicast"],
  ["4000::1", "reserved"],
  ["fe80::1%eth0", "not-an-address"],
  ["[::1]", "not-an-address"],
  ["127.1", "not-an-address"],
  ["0177.0.0.1", "not-an-address"],
  ["127.0.0.01", "not-an-address"],
  ["2130706433", "not-an-address"],
  ["0x7f.0.0.1", "not-an-address"],
  ["localhost", "not-an-address"],
  ["1.2.3.4 ", "not-an-address"],
  [":::", "not-an-address"],
  ["1::2::3", "not-an-address"],
  ["", "not-an-address"],
]

test("addresses: every special form is refused, by name", () => {
  for (const [address, refused] of specialAddresses) {
    const result = guardAddress(address, publicInternetOnly)
    assert.equal(result.ok ? "ok" : result.refused, refused, address)
  }
})

test("addresses: the borders of the special networks, and plain public ones, are open", () => {
  for (const address of [
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "1.1.1.1",
    "2606:4700::1111",
    "2001:200::1",
    "2003::1",
    "2a00::1",
  ]) {
    assert.deepEqual(guardAddress(address, publicInternetOnly), { ok: true }, address)
  }
})

test("addresses: the lab may dial loopback and nothing it did not name", () => {
  for (const address of ["127.0.0.1", "127.9.9.9", "::1"]) assert.equal(guardAddress(address, labPolicy).ok, true, address)
  for (const address of ["10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "0.0.0.0", "::"])
    assert.equal(guardAddress(address, labPolicy).ok, false, address)
})

test("addresses: an allowed NAT64, mapped or tunnel prefix is no way round to a forbidden IPv4 address", () => {
  const policy: ReachPolicy = {
    networks: ["64:ff9b::/96", "::ffff:0:0/96", "2002::/16", "2001::/32", "64:ff9b:1::/48", "::/96"].map(parseCidr),
    names: [],
    ownListeners: [],
  }
  for (const address of ["64:ff9b::8.8.8.8", "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b:1::808:808", "2001:0:1:1:1:1:f7f7:f7f7"]) {
    assert.equal(guardAddress(address, policy).ok, true, address)
  }
  for (const address of [
    "64:ff9b::127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::1",
    "64:ff9b:1::c0a8:1",
    "2001:0:1:1:1:1:80ff:fffe",
    "::127.0.0.1",
  ]) {
    assert.equal(guardAddress(address, policy).ok, false, address)
  }
  assert.equal(guardAddress("::ffff:127.0.0.1", { ...policy, networks: [...policy.networks, parseCidr("127.0.0.0/8")] }).ok, true)
})

test("addresses: a listener of ours that begins later counts from then on", () => {
  const ownListeners = [{ address: "127.0.0.1", port: 5269 }]
  const policy: ReachPolicy = { ...labPolicy, ownListeners }
  assert.equal(guardAddress("127.0.0.1", policy, 5270).ok, true)
  ownListeners.push({ address: "127.0.0.1", port: 5270 })
  assert.equal(guardAddress("127.0.0.1", policy, 5270).ok, false)
  ownListeners.length = 0
  assert.equal(guardAddress("127.0.0.1", policy, 5269).ok, true)
})

test("addresses: our own listeners are refused even where their network is allowed", () => {
  const policy: ReachPolicy = {
    ...labPolicy,
    ownListeners: [
      { address: "127.0.0.1", port: 5269 },
      { address: "0.0.0.0", port: 5270 },
      { address: "::", port: 5271 },
    ],
  }
  const outcome = (address: string, port: number) => {
    const result = guardAddress(address, policy, port)
    return result.ok ? "ok" : result.refused
  }
  assert.equal(outcome("127.0.0.1", 5269), "own-listener")
  assert.equal(outcome("::ffff:127.0.0.1", 5269), "own-listener")
  assert.equal(outcome("127.0.0.2", 5269), "ok")
  assert.equal(outcome("127.0.0.1", 5280), "ok")
  assert.equal(outcome("127.0.0.7", 5270), "own-listener")
  assert.equal(outcome("::1", 5271), "own-listener")
  assert.equal(outcome("127.0.0.1", 5271), "own-listener")
})

test("networks: read strictly, with a sentence", () => {
  assert.equal(parseCidr("127.0.0.0/8").text, "127.0.0.0/8")
  assert.equal(parseCidr("::1").text, "::1/128")
  assert.equal(parseCidr("192.0.2.7").text, "192.0.2.7/32")
  assert.equal(parseCidr("0.0.0.0/0").prefix, 0)
  for (const text of [
    "",
    "127.0.0.0/33",
    "127.0.0.0/-1",
    "127.0.0.0/",
    "127.0.0.0/8/8",
    "::/129",
    "example",
    "127.0.0.1/8",
    "10.0.0.0/1e1",
    "10/8",
  ]) {
    assert.throws(
      () => parseCidr(text),
      (error) => error instanceof CidrError && error.message.endsWith(".") !== error.message.endsWith("?"),
      text,
    )
  }
  assert.throws(() => parseCidr("127.0.0.1/8"), /did you mean 127\.0\.0\.0\/8\?/)
})

test("property: address text and octets are inverse, and the strict reader agrees with the platform", () => {
  fc.assert(
    fc.property(fc.oneof(fc.uint8Array({ minLength: 4, maxLength: 4 }), fc.uint8Array({ minLength: 16, maxLength: 16 })), (bytes) => {
      const text = addressText(bytes)
      assert.ok(bytes.length === 4 ? isIPv4(text) : isIPv6(text), text)
      assert.deepEqual(parseAddress(text), new Uint8Array(bytes))
    }),
    { numRuns: 2000, seed: 5 },
  )
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(..."0123456789abf:."), maxLength: 24 }), (text) => {
      assert.equal(parseAddress(text) !== undefined, isIPv4(text) || isIPv6(text), text)
    }),
    { numRuns: 5000, seed: 6 },
  )
})

test("property: nothing in a special network is ever dialled under the default policy", () => {
  const networks = [
    "10.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "100.64.0.0/10",
    "::ffff:0:0/96",
    "64:ff9b::/96",
    "fc00::/7",
    "fe80::/10",
    "ff00::/8",
    "2002::/16",
  ].map(parseCidr)
  fc.assert(
    fc.property(fc.constantFrom(...networks), fc.uint8Array({ minLength: 16, maxLength: 16 }), (network, noise) => {
      const bytes = network.bytes.map((byte, index) => {
        const free = Math.min(8, Math.max(0, (index + 1) * 8 - network.prefix))
        return byte | (noise[index]! & ((1 << free) - 1))
      })
      assert.equal(guardAddress(addressText(bytes), publicInternetOnly).ok, false, addressText(bytes))
    }),
    { numRuns: 2000, seed: 9 },
  )
})

test("attack, red then green: addresses that slip past a guard of prefixes are refused here", () => {
  const byPrefix = (address: string): boolean => !/^(?:127\.|10\.|192\.168\.|::1$|fe80:|f[cd])/.test(address)
  for (const address of [
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:0:0:1",
    "64:ff9b::7f00:1",
    "2002:a00:1::",
    "::127.0.0.1",
    "0.0.0.0",
    "169.254.169.254",
    "172.16.0.1",
  ]) {
    assert.equal(byPrefix(address), true, `the guard of prefixes lets ${address} through`)
    assert.equal(guardAddress(address, publicInternetOnly).ok, false, address)
  }
})
