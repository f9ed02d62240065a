// Mode trust-ad against a scripted validating resolver: its self-test, bogus told from broken, and nothing believed that it no
// longer vouches for (security.md 15, 16; RFC 8914).
import assert from "node:assert/strict"
import { test } from "node:test"
import { type DnsMessage, decodeMessage, encodeMessage, type ResourceRecord } from "../../src/dns/message.ts"
import { nameFromText } from "../../src/dns/name.ts"
import { encodeContent, parseBody, shownName, typeName, typeNumbers } from "../../src/dns/records.ts"
import { createResolver, type DnsTransport } from "../../src/dns/resolver.ts"
import { TrustAdError } from "../../src/dns/trust-ad.ts"
import { manualClock, seededRandom } from "./support.ts"

function record(owner: string, type: "A" | "CNAME" | "SOA", value: string): ResourceRecord {
  const target = nameFromText(type === "A" ? "." : value)
  const soa = { kind: "SOA", primary: target, mailbox: target, serial: 1, refresh: 1, retry: 1, expire: 1, minimum: 60 } as const
  const octets = type === "A" ? Uint8Array.from(value.split("."), Number) : encodeContent(type === "SOA" ? soa : { kind: "CNAME", target })
  return { name: nameFromText(owner), type: typeNumbers[type], class: 1, ttl: 60, octets, content: parseBody(typeNumbers[type], octets) }
}

const extendedError = (code: number) => ({ udpPayload: 1232, version: 0, dnssecOk: false, flags: 0, options: [{ code: 15, value: Uint8Array.of(code >> 8, code & 0xff) }] })
const held: Partial<DnsMessage> = { rcode: 2 }
const address = (name: string, ad: boolean): Partial<DnsMessage> => ({ authenticData: ad, answers: [record(name, "A", "192.0.2.1")] })

type Said = Partial<DnsMessage> | undefined
type Table = (name: string, query: DnsMessage, upstream: string) => Said

/** What an honest validating resolver says of the root, and what the table says of the rest. */
function world(table: Table, options: { upstreams?: readonly string[]; knownBogus?: string; root?: (query: DnsMessage, upstream: string) => Said } = {}) {
  const clock = manualClock()
  const asked: string[] = []
  const transport: DnsTransport = {
    async exchange(octets, upstream, _protocol, signal, accept) {
      const query = decodeMessage(octets)
      const [question] = query.questions
      const name = shownName(question!.name)
      asked.push(`${name} ${typeName(question!.type)}${query.authenticData ? " ad" : ""}${query.checkingDisabled ? " cd" : ""}`)
      const honest: Said = { authenticData: query.authenticData, answers: [record(".", "SOA", "ns.example")] }
      const said = name === "." ? (options.root === undefined ? honest : options.root(query, upstream.address)) : table(name, query, upstream.address)
      if (said === undefined) throw new Error("nobody is there")
      const reply = encodeMessage({ ...query, response: true, recursionAvailable: true, authenticData: false, edns: query.edns, ...said })
      signal.throwIfAborted()
      assert.ok(accept(reply))
      return reply
    },
  }
  const upstreams = (options.upstreams ?? ["127.0.0.1"]).map((one) => ({ address: one, port: 53 }))
  const { knownBogus } = options
  return { clock, asked, resolver: createResolver({ dnssec: "trust-ad", ...(knownBogus === undefined ? {} : { knownBogus }), upstreams, transport, clock, random: seededRandom(3) }) }
}

const never = new AbortController().signal
const resolve = (made: ReturnType<typeof world>, name: string) => made.resolver.resolve(name, "A", {})

test("a resolver elsewhere is refused: who is on the way could set the bit", () => {
  for (const upstreams of [["192.0.2.53"], ["127.0.0.1", "10.0.0.1"], ["::ffff:192.0.2.1"], []]) {
    assert.throws(() => world(() => held, { upstreams }), TrustAdError, upstreams.join())
  }
  world(() => held, { upstreams: ["127.0.0.53", "::1"] })
})

test("AD makes an answer secure, by that resolver's word; without it the answer is insecure", async () => {
  const made = world((name) => address(name, name === "signed.example"))
  const signed = await resolve(made, "signed.example")
  assert.deepEqual([signed.status, signed.outcome, signed.validatedBy], ["secure", "data", "resolver 127.0.0.1:53"])
  assert.equal(signed.wire, undefined, "there is nothing that a judge could validate again")
  const unsigned = await resolve(made, "unsigned.example")
  assert.deepEqual([unsigned.status, unsigned.validatedBy], ["insecure", "resolver 127.0.0.1:53"])
  assert.deepEqual(made.asked, ["signed.example A ad", ". SOA ad", ". SOA cd", "unsigned.example A ad", ". SOA ad", ". SOA cd"])
})

test("an alias asked for anew: the weakest link decides", async () => {
  const made = world((name) => {
    if (name === "host.example") return address(name, false)
    return { authenticData: true, answers: [record(name, "CNAME", "host.example")] }
  })
  const answer = await resolve(made, "alias.example")
  assert.deepEqual([answer.status, answer.canonical], ["insecure", "host.example"])
})

test("absence with AD is a proven absence", async () => {
  const made = world(() => ({ rcode: 3, authenticData: true, authorities: [record("example", "SOA", "ns.example")] }))
  const answer = await resolve(made, "gone.example")
  assert.deepEqual([answer.status, answer.outcome], ["secure", "name-error"])
})

for (const code of [5, 6, 7, 8, 9, 10, 11, 12, 25, 27]) {
  test(`SERVFAIL with extended error ${code} is bogus`, async () => {
    const made = world(() => ({ rcode: 2, edns: extendedError(code) }))
    const answer = await resolve(made, "broken.example")
    assert.deepEqual([answer.status, answer.outcome, answer.why.at(-1)!.code, answer.validatedBy], ["bogus", "failure", "attested-bogus", "resolver 127.0.0.1:53"])
    assert.deepEqual(made.asked, ["broken.example A ad"])
  })
}

test("SERVFAIL without words: bogus if the answer comes with checking disabled, broken otherwise", async () => {
  const bogus = world((name, query) => (query.checkingDisabled ? address(name, false) : held))
  assert.equal((await resolve(bogus, "bogus.example")).status, "bogus")
  assert.deepEqual(bogus.asked, ["bogus.example A ad", "bogus.example A cd"])
  const broken = world(() => held)
  assert.equal((await resolve(broken, "broken.example")).status, "indeterminate")
  const unreachable = world(() => ({ rcode: 2, edns: extendedError(22) }))
  assert.equal((await resolve(unreachable, "lost.example")).status, "indeterminate")
  const refused = world(() => ({ rcode: 5 }))
  assert.equal((await resolve(refused, "refused.example")).status, "indeterminate")
  assert.equal(refused.asked.length, 1, "only SERVFAIL may hide a failed validation")
})

test("self-test: no AD for the root, no CD, no answer, a known bogus name let through", async () => {
  const because = async (made: ReturnType<typeof world>): Promise<string> => {
    const ability = await made.resolver.ability(never)
    return ability.able ? "able" : ability.because
  }
  const nothing: Table = () => held
  assert.equal(await because(world(nothing)), "able")
  assert.equal(await because(world(nothing, { root: () => ({ answers: [record(".", "SOA", "ns.example")] }) })), "not-validating")
  assert.equal(await because(world(nothing, { root: (query) => (query.checkingDisabled ? held : { authenticData: true }) })), "not-validating")
  assert.equal(await because(world(nothing, { root: () => undefined })), "unreachable")
  assert.equal(await because(world(nothing, { knownBogus: "bogus.example" })), "able")
  assert.equal(await because(world((name) => address(name, true), { knownBogus: "bogus.example" })), "not-validating")
  const second = (query: DnsMessage, upstream: string): Said => ({ authenticData: query.authenticData && upstream === "127.0.0.1" })
  assert.equal(await because(world(nothing, { upstreams: ["127.0.0.1", "127.0.0.2"], root: second })), "not-validating")
})

test("who never validated, or stops while we run, makes nothing insecure: the lookup fails", async () => {
  let validates = false
  const made = world((name) => address(name, validates), { root: () => ({ authenticData: validates, answers: [record(".", "SOA", "ns.example")] }) })
  const before = await resolve(made, "one.example")
  assert.deepEqual([before.status, before.outcome, before.why.at(-1)!.code], ["indeterminate", "failure", "not-validating"])
  validates = true
  await made.clock.advance(3_000)
  assert.equal((await resolve(made, "two.example")).status, "secure")
  validates = false
  assert.equal((await resolve(made, "three.example")).status, "indeterminate")
})

test("a bit that nobody vouches for: AD on every answer does not pass where the root has none", async () => {
  const made = world((name) => address(name, true), { root: () => ({ authenticData: false }) })
  const answer = await resolve(made, "forged.example")
  assert.deepEqual([answer.status, answer.records], ["indeterminate", []])
})
