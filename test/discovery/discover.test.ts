// From domain to endpoints: every state DNS can be in, what is guarded, how much work a stranger can cause
// (CORE-01..04, DTLS-1, DTLS-5, DANE-01..05, security.md 6, 7, 17).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { type DiscoverOptions, type Discovery, discover, maxEndpoints } from "../../src/discovery/discover.ts"
import type { DnsAnswer, DnsOutcome, DnsStatus, RecordOf, RecordType, Resolver, SrvRecord } from "../../src/model/dns-answer.ts"
import { parseDomain } from "../../src/model/domain.ts"
import { parseCidr, type ReachPolicy } from "../../src/model/reach.ts"
import { seededRandom } from "../dns/support.ts"

const reach: ReachPolicy = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example"], ownListeners: [] }
const source = parseDomain("a.example")

type Said = { readonly records?: unknown[]; readonly status?: DnsStatus; readonly outcome?: DnsOutcome }
type World = Record<string, Said>

const srv = (target: string, port = 5269, priority = 0, weight = 0): SrvRecord => ({ priority, weight, port, target })
const addresses = (...list: string[]) => list.map((address) => ({ address }))

function resolverOf(world: World) {
  const asked: string[] = []
  const resolver: Resolver = {
    async resolve<T extends RecordType>(name: string, type: T): Promise<DnsAnswer<RecordOf<T>>> {
      asked.push(`${name} ${type}`)
      const said = world[`${name} ${type}`]
      const outcome = said?.outcome ?? (said?.records === undefined ? "name-error" : said.records.length > 0 ? "data" : "no-data")
      return {
        name,
        type,
        records: (said?.records ?? []) as RecordOf<T>[],
        status: said?.status ?? (outcome === "failure" ? "indeterminate" : "insecure"),
        outcome,
        rcode: 0,
        why: outcome === "failure" ? [{ code: "servfail", detail: "broken", upstream: "127.0.0.1:53" }] : [],
        canonical: name,
        validatedBy: "self",
        until: 0,
      }
    },
  }
  return { asked, resolver }
}

async function run(world: World, options: Partial<DiscoverOptions> = {}): Promise<{ found: Discovery; asked: string[] }> {
  const { asked, resolver } = resolverOf(world)
  const found = await discover({ domain: source, service: "xmpp-server", resolver, random: seededRandom(1), reach, ...options })
  return { found, asked }
}

const plainName = "_xmpp-server._tcp.a.example SRV"
const directName = "_xmpps-server._tcp.a.example SRV"
const shown = (found: Discovery) =>
  found.outcome === "endpoints"
    ? found.endpoints.map(({ address, port, transport }) => `${address} ${port} ${transport}`)
    : `${found.outcome} ${found.finding}`

const fail: Said = { outcome: "failure" }
const bogus: Said = { outcome: "failure", status: "bogus" }
const host: World = { "x.example A": { records: addresses("127.0.0.1") }, "a.example A": { records: addresses("127.0.0.9") } }
const xmpp: Said = { records: [srv("x.example")] }
const xmpps: Said = { records: [srv("x.example", 5270)] }
const dot: Said = { records: [srv(".", 0)] }
const secure = (said: Said): Said => ({ ...said, status: "secure" })
const starttls = ["127.0.0.1 5269 starttls"]
const directTls = ["127.0.0.1 5270 direct-tls"]

const table: [string, Said | undefined, Said | undefined, string[] | string][] = [
  ["_xmpp-server only", xmpp, undefined, starttls],
  ["_xmpps-server only", undefined, xmpps, directTls],
  ["_xmpps-server only, the other empty", { records: [] }, xmpps, directTls],
  ["no SRV: addresses and the default port", undefined, undefined, ["127.0.0.9 5269 starttls"]],
  ["no SRV records at existing names: the same", { records: [] }, { records: [] }, ["127.0.0.9 5269 starttls"]],
  ["target '.': no service", dot, undefined, "no-service dns.srv-refused"],
  ["both '.'", dot, dot, "no-service dns.srv-refused"],
  ["STARTTLS refused, Direct TLS there", dot, xmpps, directTls],
  ["Direct TLS refused, STARTTLS there", xmpp, dot, starttls],
  ["Direct TLS refused, nothing else: no addresses either", undefined, dot, "no-service dns.srv-refused"],
  ["_xmpp-server fails: abort", fail, undefined, "unavailable dns.servfail"],
  ["_xmpp-server fails though Direct TLS is there", fail, xmpps, "unavailable dns.servfail"],
  ["_xmpp-server bogus", bogus, xmpps, "unavailable dns.bogus"],
  ["_xmpps-server fails, the other insecure and present: as if empty", xmpp, fail, starttls],
  ["_xmpps-server bogus, the other insecure and present", xmpp, bogus, starttls],
  ["_xmpps-server fails, the other secure: abort", secure(xmpp), fail, "unavailable dns.servfail"],
  ["_xmpps-server bogus, the other secure: abort", secure(xmpp), bogus, "unavailable dns.bogus"],
  ["_xmpps-server fails, the other absent: abort", undefined, fail, "unavailable dns.servfail"],
  ["_xmpps-server fails, the other securely absent: abort", { records: [], status: "secure" }, fail, "unavailable dns.servfail"],
  ["_xmpps-server fails, the other refused by '.': abort", dot, fail, "unavailable dns.servfail"],
  ["both fail", fail, fail, "unavailable dns.servfail"],
  ["data that is called bogus is none", { records: [srv("x.example")], status: "bogus" }, undefined, "unavailable dns.bogus"],
  ["data of unknown standing is none", { records: [srv("x.example")], status: "indeterminate" }, undefined, "unavailable dns.servfail"],
  ["'.' beside another target is passed over", { records: [srv("."), srv("x.example")] }, undefined, starttls],
  ["port 0", { records: [srv("x.example", 0)] }, undefined, "not-found dns.target-unresolvable"],
  [
    "a target that is no name",
    { records: [srv("x\\.y.example"), srv("_x.example"), srv("x\\000.example")] },
    undefined,
    "not-found dns.target-unresolvable",
  ],
  ["a target that is an address", { records: [srv("127.0.0.1")] }, undefined, "not-found dns.target-unresolvable"],
  ["a target that is guarded", { records: [srv("localhost")] }, undefined, "refused dns.guarded"],
  ["a target of one label", { records: [srv("intranet")] }, undefined, "refused dns.guarded"],
  [
    "a target without addresses: no way back to the domain's own",
    { records: [srv("gone.example")] },
    undefined,
    "not-found dns.target-unresolvable",
  ],
]

test("every pair of SRV answers leads where it must (CORE-03, DTLS-5)", async () => {
  for (const [what, plain, direct, expected] of table) {
    const world: World = {
      ...host,
      ...(plain === undefined ? {} : { [plainName]: plain }),
      ...(direct === undefined ? {} : { [directName]: direct }),
    }
    const { found, asked } = await run(world)
    assert.deepEqual(shown(found), expected, what)
    assert.deepEqual(asked.slice(0, 2), [plainName, directName], "both services are asked at once")
    if (found.outcome !== "endpoints") assert.ok(found.detail.length > 0, what)
    if (found.outcome === "unavailable" && typeof expected === "string") {
      assert.equal(asked.length, 2, `${what}: no lookup follows a failed one`)
    }
  }
})

test("both services are one set for priority and weight", async () => {
  const world: World = {
    ...host,
    "y.example A": { records: addresses("127.0.0.2") },
    [plainName]: { records: [srv("x.example", 5269, 10), srv("y.example", 5269, 30)] },
    [directName]: { records: [srv("y.example", 5270, 0), srv("x.example", 5270, 20)] },
  }
  const { found } = await run(world)
  assert.deepEqual(shown(found), [
    "127.0.0.2 5270 direct-tls",
    "127.0.0.1 5269 starttls",
    "127.0.0.1 5270 direct-tls",
    "127.0.0.2 5269 starttls",
  ])
})

test("weights decide within a priority, over both services", async () => {
  const world: World = {
    ...host,
    [plainName]: { records: [srv("x.example", 5269, 0, 30)] },
    [directName]: { records: [srv("x.example", 5270, 0, 70)] },
  }
  let direct = 0
  const random = seededRandom(77)
  for (let round = 0; round < 1_000; round += 1) {
    const { found } = await run(world, { random })
    if (found.outcome === "endpoints" && found.endpoints[0]!.transport === "direct-tls") direct += 1
  }
  assert.ok(direct > 640 && direct < 750, `${direct} of 1000`)
})

test("each endpoint says who sent us there, and on what ground", async () => {
  const delegationOf = async (world: World, options?: Partial<DiscoverOptions>) => {
    const { found } = await run({ ...host, ...world }, options)
    assert.equal(found.outcome, "endpoints")
    return found.outcome === "endpoints" ? found.endpoints[0]!.delegation : undefined
  }
  assert.deepEqual(await delegationOf({ [plainName]: secure(xmpp) }), {
    source: "a.example",
    derived: "x.example",
    via: "srv",
    secure: true,
    because: "secure",
  })
  assert.deepEqual(await delegationOf({ [plainName]: xmpp }), {
    source: "a.example",
    derived: "x.example",
    via: "srv",
    secure: false,
    because: "insecure",
  })
  // security.md 6: only when *both* absences are proven does the fallback count as proven.
  const absent = (plain: DnsStatus, direct: DnsStatus) => ({
    [plainName]: { records: [], status: plain },
    [directName]: { records: [], status: direct },
  })
  assert.deepEqual(await delegationOf(absent("secure", "secure")), {
    source: "a.example",
    derived: "a.example",
    via: "fallback",
    secure: true,
    because: "secure",
  })
  assert.equal((await delegationOf(absent("secure", "insecure")))?.secure, false)
  assert.equal((await delegationOf(absent("insecure", "secure")))?.because, "insecure")
  const configured = { override: { address: "127.0.0.7", port: 1, transport: "direct-tls" as const } }
  assert.deepEqual(await delegationOf({}, configured), {
    source: "a.example",
    derived: "a.example",
    via: "operator",
    secure: true,
    because: "configured",
  })
})

test("a secure and an insecure service on one list keep their own standing", async () => {
  const { found } = await run({ ...host, [plainName]: secure(xmpp), [directName]: { records: [srv("x.example", 5270, 9)] } })
  assert.deepEqual(found.outcome === "endpoints" && found.endpoints.map((endpoint) => endpoint.delegation.secure), [true, false])
})

test("addresses: families take turns, each with its own status; a failed family gives none", async () => {
  const both: World = {
    [plainName]: xmpp,
    "x.example A": { records: addresses("127.0.0.1", "127.0.0.2", "127.0.0.3"), status: "secure" },
    "x.example AAAA": { records: addresses("::1") },
  }
  const { found } = await run(both)
  assert.deepEqual(found.outcome === "endpoints" && found.endpoints.map(({ address, addressStatus }) => `${address} ${addressStatus}`), [
    "::1 insecure",
    "127.0.0.1 secure",
    "127.0.0.2 secure",
    "127.0.0.3 secure",
  ])
  assert.deepEqual(shown((await run({ ...both, "x.example AAAA": fail })).found), [
    "127.0.0.1 5269 starttls",
    "127.0.0.2 5269 starttls",
    "127.0.0.3 5269 starttls",
  ])
  assert.equal(shown((await run({ ...both, "x.example A": bogus, "x.example AAAA": fail })).found), "unavailable dns.bogus")
  assert.equal(shown((await run({ ...both, "x.example A": { records: [] }, "x.example AAAA": fail })).found), "unavailable dns.servfail")
})

test("a target whose addresses cannot be had is passed over for the next (DANE-05)", async () => {
  const { found } = await run({
    ...host,
    "bad.example A": bogus,
    [plainName]: { records: [srv("bad.example", 5269, 0), srv("x.example", 5269, 1)] },
  })
  assert.deepEqual(shown(found), starttls)
  assert.ok(found.report.skipped.some((skip) => skip.target === "bad.example port 5269" && skip.reason === "bogus"))
})

test("without SRV and without addresses: not found, and whether the name exists at all", async () => {
  assert.equal(shown((await run({})).found), "not-found dns.nxdomain")
  assert.equal(shown((await run({ "a.example A": { records: [] } })).found), "not-found dns.no-server")
  assert.equal(shown((await run({ "a.example A": fail })).found), "unavailable dns.servfail")
})

test("guard: the claim itself is refused before any lookup", async () => {
  for (const [name, finding] of [
    ["a.invalid", "dns.guarded"],
    ["localhost", "dns.guarded"],
    ["intranet", "dns.guarded"],
    ["127.0.0.1", "dns.guarded"],
    ["[::1]", "dns.guarded"],
    ["0x7f.1", "dns.not-a-domain"],
    ["a..example", "dns.not-a-domain"],
  ] as const) {
    const { found, asked } = await run(host, { domain: name as never })
    assert.equal(shown(found), `refused ${finding}`, name)
    assert.deepEqual(asked, [], name)
  }
})

test("guard: addresses that must not be dialled are dropped, whichever way the name led there", async () => {
  const forms = ["10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"]
  const forms6 = ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1", "fd00::1", "::", "ff02::1", "2002:7f00:1::1"]
  for (const [type, list] of [
    ["A", forms],
    ["AAAA", forms6],
  ] as const) {
    for (const address of list) {
      const { found } = await run({ [plainName]: xmpp, [`x.example ${type}`]: { records: addresses(address) } })
      assert.equal(shown(found), "refused dns.guarded", address)
    }
  }
  const mixed = await run({ [plainName]: xmpp, "x.example A": { records: addresses("10.0.0.1", "127.0.0.1") } })
  assert.deepEqual(shown(mixed.found), starttls)
  const own = { ...reach, ownListeners: [{ address: "127.0.0.1", port: 5269 }] }
  assert.equal(shown((await run({ ...host, [plainName]: xmpp }, { reach: own })).found), "refused dns.guarded")
  const strict: ReachPolicy = { networks: [], names: ["example"], ownListeners: [] }
  assert.equal(
    shown((await run({ ...host, [plainName]: xmpp }, { reach: strict })).found),
    "refused dns.guarded",
    "loopback, where nothing allows it",
  )
})

test("override: SRV is not asked, names are looked up, the guard holds", async () => {
  const at = (address: string) => run(host, { override: { address, port: 15269, transport: "starttls" } })
  assert.deepEqual(shown((await at("127.0.0.7")).found), ["127.0.0.7 15269 starttls"])
  assert.deepEqual((await at("127.0.0.7")).asked, [])
  const named = await at("x.example")
  assert.deepEqual(shown(named.found), ["127.0.0.1 15269 starttls"])
  assert.deepEqual(named.asked, ["x.example AAAA", "x.example A"])
  assert.equal(named.found.outcome === "endpoints" && named.found.endpoints[0]!.delegation.derived, "x.example")
  for (const address of ["10.0.0.1", "localhost", "a..b", "::ffff:127.0.0.1"])
    assert.equal(shown((await at(address)).found), "refused dns.guarded", address)
  assert.equal(shown((await at("gone.example")).found), "not-found dns.target-unresolvable")
})

test("client services have names and a port of their own", async () => {
  const { found, asked } = await run(host, { service: "xmpp-client" })
  assert.deepEqual(asked.slice(0, 2), ["_xmpp-client._tcp.a.example SRV", "_xmpps-client._tcp.a.example SRV"])
  assert.deepEqual(shown(found), ["127.0.0.9 5222 starttls"])
})

test("domains are asked for in A-labels (DANE-28)", async () => {
  const { asked } = await run({}, { domain: parseDomain("bücher.example") })
  assert.equal(asked[0], "_xmpp-server._tcp.xn--bcher-kva.example SRV")
})

test("a thousand records make eight endpoints at most, and a short report", async () => {
  const many = Array.from({ length: 1_000 }, (_, index) => srv(`h${index}.example`, 5269, index))
  const world: World = { [plainName]: { records: many } }
  for (let index = 0; index < 1_000; index += 1) world[`h${index}.example A`] = { records: addresses(`127.0.${index >> 8}.${index & 255}`) }
  const { found, asked } = await run(world)
  assert.equal(found.outcome === "endpoints" && found.endpoints.length, maxEndpoints)
  assert.equal(asked.length, 2 + 2 * maxEndpoints)
  assert.ok(found.report.skipped.length <= 32)
  const wide = await run({
    [plainName]: { records: [srv("x.example"), srv("y.example", 5269, 1)] },
    "x.example A": { records: Array.from({ length: 1_000 }, (_, index) => ({ address: `127.1.${index >> 8}.${index & 255}` })) },
    "y.example A": { records: addresses("127.0.0.5") },
  })
  assert.deepEqual(
    wide.found.outcome === "endpoints" && wide.found.targets.map((target) => `${target.target} ${target.endpoints.length}`),
    ["x.example 4", "y.example 1"],
    "one host does not crowd out the next",
  )
  const twice = await run({ ...host, [plainName]: { records: [srv("x.example"), srv("x.example", 5269, 1)] } })
  assert.deepEqual(shown(twice.found), starttls, "the same place is listed once")
})

test("the report keeps every answer and every omission, as plain JSON", async () => {
  const { found } = await run({ ...host, [plainName]: { records: [srv("x.example"), srv("localhost", 1, 1)] } })
  assert.deepEqual(
    found.report.answers.map(({ name, type }) => `${name} ${type}`),
    [plainName, directName, "x.example AAAA", "x.example A"],
  )
  assert.deepEqual(
    found.report.skipped.map(({ target, reason }) => [target, reason]),
    [["localhost port 1", "guarded"]],
  )
  assert.deepEqual(JSON.parse(JSON.stringify(found)), found)
})

test("property: whatever DNS says, discovery ends with an allowed endpoint list or a reason, and failure is never absence", async () => {
  const target = fc.constantFrom("x.example", "y.example", ".", "localhost", "127.0.0.1", "_x.example")
  const record = fc.record({ priority: fc.nat(2), weight: fc.nat(9), port: fc.constantFrom(0, 5269, 5270), target })
  const status = fc.constantFrom<DnsStatus>("secure", "insecure", "bogus", "indeterminate")
  const saidOf = (records: fc.Arbitrary<unknown[]>): fc.Arbitrary<Said> => fc.oneof(fc.constant(fail), fc.record({ records, status }))
  const srvSaid = saidOf(fc.array(record, { maxLength: 6 }))
  const addressSaid = saidOf(
    fc.array(fc.record({ address: fc.constantFrom("127.0.0.1", "127.0.0.2", "10.0.0.1", "::1", "::ffff:127.0.0.1") }), { maxLength: 4 }),
  )
  await fc.assert(
    fc.asyncProperty(srvSaid, srvSaid, addressSaid, addressSaid, addressSaid, async (plain, direct, x, y, a) => {
      const { found, asked } = await run({
        [plainName]: plain,
        [directName]: direct,
        "x.example A": x,
        "y.example AAAA": y,
        "a.example A": a,
      })
      if (found.outcome === "endpoints") {
        assert.ok(found.endpoints.length >= 1 && found.endpoints.length <= maxEndpoints)
        for (const { address, port, delegation } of found.endpoints) {
          assert.ok(["127.0.0.1", "127.0.0.2", "::1"].includes(address) && port > 0)
          assert.equal(delegation.secure, delegation.because === "secure")
        }
      }
      const broken = (said: Said) => said.outcome === "failure" || said.status === "bogus" || said.status === "indeterminate"
      if (broken(plain)) assert.equal(found.outcome, "unavailable")
      if (!asked.includes("a.example A") || broken(plain)) return
      // The domain's own addresses are asked for only where neither service has a record.
      assert.deepEqual([plain.records, direct.records], [[], []])
    }),
    { numRuns: 2_000, seed: 12 },
  )
})
