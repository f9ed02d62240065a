// What is news about a domain, and what is not: levels, keys, ends, and what could not be told (RFC 7712 4.2; security.md 10).
import assert from "node:assert/strict"
import { createHash, createPublicKey } from "node:crypto"
import { after, before, describe, it } from "node:test"
import { changesOf, memorySchema, type Remembered } from "../../src/inspect/changes.ts"
import type { Keys } from "../../src/inspect/keys.ts"
import { readCertificate } from "../../src/inspect/describe.ts"
import { inspect } from "../../src/inspect/ladder.ts"
import type { DomainResult, ReportFinding } from "../../src/inspect/report.ts"
import { watching } from "../../src/inspect/watching.ts"
import { parseAnchors } from "../../src/dns/dnssec/anchors.ts"
import { createGatewayWorld } from "../../src/node/gateway-world.ts"
import type { Clock } from "../../src/ports.ts"
import { ManualClock, SeededRandom } from "../world/clock.ts"
import { type Inspector, inspector } from "./support.ts"

const finding = (id: string, severity: ReportFinding["severity"] = "bad"): ReportFinding => ({ id, severity, party: "peer", sentence: `sentence of ${id}`, detail: "", fix: [], section: "", endpoints: [] })

function look(more: Partial<DomainResult> = {}): DomainResult {
  const empty = { delegation: null, proofs: [], endpoints: [], certificates: {}, expires: { certificate: null, signatures: null, posh: null }, findings: [], peersSee: [], reverse: null, notes: [] }
  const asked = { from: "check.invalid", credentials: false }
  return { ...empty, domain: "chat.example", unicode: "chat.example", service: "xmpp-server", started: "2026-11-22T13:00:00.000Z", asOf: "2026-11-22T13:00:00.000Z", tookMs: 1, asked, level: "authenticated", ok: true, unknown: false, discovery: { outcome: "endpoints", answers: [], skipped: [], leftOut: { addresses: 0, targets: 0 } }, ...more }
}

const bad = (level: DomainResult["level"], ...findings: ReportFinding[]): DomainResult => look({ level, ok: false, findings })
const doubt = look({ level: null, ok: false, unknown: true, findings: [finding("dns.servfail", "unknown")] })
const noKeys: Keys = { shown: [], announced: [] }
const keyed = (key: string, ...announced: string[]): Keys => ({ shown: [{ key, forms: [`tlsa 3 1 1 ${key}`] }], announced })

/** What is said of each look, after the one before it. */
function story(...looks: readonly (readonly [DomainResult, Keys?])[]): string[][] {
  let memory: Remembered | undefined
  return looks.map(([result, keys = noKeys]) => {
    const { changes, remembered } = changesOf(memory, result, keys, "")
    memorySchema.parse({ watch: 1, domains: [remembered] })
    memory = remembered
    return changes.map(({ kind, severity, finding: about }) => [kind, severity, about].filter((part) => part !== null).join(" "))
  })
}

describe("levels", () => {
  it("the first sight is told, the same again is not", () => {
    assert.deepEqual(story([look()], [look()], [look()]), [["first good"], [], []])
    assert.deepEqual(story([bad("encrypted", finding("cert.self-signed"))], [bad("encrypted", finding("cert.self-signed"))]), [["first bad cert.self-signed"], []])
  })

  it("dropped, risen and good again", () => {
    const self = bad("encrypted", finding("cert.self-signed"))
    assert.deepEqual(story([look()], [self], [bad("verified", finding("tls.not-offered"))], [self], [look()]), [
      ["first good"],
      ["level-dropped bad cert.self-signed"],
      ["level-dropped bad tls.not-offered", "finding-gone good cert.self-signed"],
      ["level-risen bad", "finding bad cert.self-signed", "finding-gone good tls.not-offered"],
      ["good-again good", "finding-gone good cert.self-signed"],
    ])
  })

  it("what could not be told is told once, forgets nothing, and is no drop", () => {
    assert.deepEqual(story([look()], [doubt], [doubt], [look()], [doubt], [bad("encrypted", finding("cert.expired"))]), [
      ["first good"],
      ["could-not-tell unknown dns.servfail"],
      [],
      ["known-again good"],
      ["could-not-tell unknown dns.servfail"],
      ["level-dropped bad cert.expired"],
    ])
    // Seen as unknown for the first time: nothing is known to have changed.
    assert.deepEqual(story([doubt], [look()]), [["first unknown dns.servfail"], ["known-again good"]])
  })

  it("an end that is near, and other things to do, come and go", () => {
    const near = look({ findings: [finding("cert.expiring", "warn")] })
    assert.deepEqual(story([look()], [near], [near], [look({ findings: [finding("reach.ipv6-dead", "warn")] })], [look({ findings: [finding("posh.not-published", "info")] })]), [
      ["first good"],
      ["expiring warn cert.expiring"],
      [],
      ["finding warn reach.ipv6-dead", "finding-gone good cert.expiring"],
      ["finding-gone good reach.ipv6-dead"],
    ])
  })
})

describe("keys", () => {
  it("announced before it is shown: no alarm", () => {
    assert.deepEqual(story([look(), keyed("a", "tlsa 3 1 1 a")], [look(), keyed("a", "tlsa 3 1 1 a", "tlsa 3 1 1 b")], [look(), keyed("b", "tlsa 3 1 1 b")]), [["first good"], [], ["key-changed info"]])
  })

  it("another key than those announced is what an interception looks like, with a good certificate as well", () => {
    assert.deepEqual(story([look(), keyed("a", "tlsa 3 1 1 a")], [look(), keyed("b", "tlsa 3 1 1 a")]), [["first good"], ["key-unannounced bad"]])
    // Announced together with its use: whoever could change DNS could do both.
    const vouched = look({ proofs: [{ proof: "dane", state: "proved", detail: "", finding: null, needsSecureDns: true, facts: [], until: null }] })
    assert.deepEqual(story([look(), keyed("a", "tlsa 3 1 1 a")], [vouched, keyed("b", "tlsa 3 1 1 b")]), [["first good"], ["key-unannounced warn"]])
    assert.deepEqual(story([look(), keyed("a")], [look(), keyed("b")]), [["first good"], ["key-unannounced warn"]])
  })

  it("servers that take turns are told once each, and silence announces and withdraws nothing", () => {
    assert.deepEqual(story([look(), keyed("a")], [look(), keyed("b")], [look(), keyed("a")], [look(), keyed("b")]), [["first good"], ["key-unannounced warn"], [], []])
    assert.deepEqual(story([look(), keyed("a", "tlsa 3 1 1 a", "tlsa 3 1 1 b")], [doubt, noKeys], [look(), keyed("b", "tlsa 3 1 1 b")]), [["first good"], ["could-not-tell unknown dns.servfail"], ["known-again good", "key-changed info"]])
  })

  it("what is remembered stays within bounds", () => {
    let memory: Remembered | undefined
    for (let round = 0; round < 100; round += 1) memory = changesOf(memory, look(), keyed(`key ${round}`), "").remembered
    assert.equal(memory?.keys.length, 32)
    assert.equal(memory?.keys.at(-1), "key 99")
  })
})

describe("rounds in the lab", () => {
  let lab: Inspector
  before(async () => {
    lab = await inspector()
  })
  after(() => lab.close())
  const freshResolver = () => {
    const { dns, signed } = lab.net
    return () => createGatewayWorld({ log: { write: () => undefined } }).resolver({ upstreams: [{ address: dns.address, port: dns.port }], dnssec: "validate", anchors: parseAnchors(signed.zones.anchorText) })
  }

  it("a rollover as it should be, and one as it should not, seen through TLS and signed DNS", async () => {
    const { net, ports } = lab
    const server = await net.addServer({ domain: "turns.example", picksCertificate: true, zone: { targets: [{ name: "xmpp.turns.example", tlsa: [{ usage: 3, selector: 1, matching: 1 }] }] } })
    const spkiOf = ({ der }: { der: Uint8Array }): string => createHash("sha256").update(readCertificate(der)?.spki ?? "").digest("hex")
    const renewed = (after: number) => net.authority.issue({ names: { dns: ["turns.example"] }, notBefore: net.clock.now() - 60_000 + after })
    const [next, stolen] = [renewed(1000), renewed(2000)]
    const announce = (...keys: readonly string[]): void => net.signed.zones.set(`_${server.s2s.port}._tcp.xmpp.turns.example`, { TLSA: keys.map((key) => [3, 1, 1, key] as const) })
    const current = spkiOf(server.certificate)
    const steps = [
      () => announce(current, spkiOf(next)),
      () => server.renew(next),
      () => announce(spkiOf(next)),
      () => server.renew(stolen),
    ]
    const [told, pauses]: [string[][], number[]] = [[], []]
    // Between the looks time passes at once, and the operator does the next step.
    const clock: Clock = {
      ...ports.clock,
      after: (ms, callback) => {
        pauses.push(ms)
        void Promise.resolve(steps.shift()?.()).then(callback)
        return () => undefined
      },
    }
    const resolver = freshResolver()
    await watching([lab.question("turns.example")], new Map(), { interval: 3_600_000, jitter: 0.1, concurrency: 1, rounds: 5 }, {
      clock,
      random: { ...ports.random, fraction: () => 0.75 },
      // Each look sees DNS as it is now.
      look: async (question, signal) => await inspect(question, { ...ports, resolver: await resolver() }, signal),
      seen: () => undefined,
      round: async (changes) => void told.push(changes.map(({ kind, severity }) => `${kind} ${severity}`)),
    }, new AbortController().signal)
    assert.deepEqual(told, [["first good"], [], ["key-changed info"], [], ["level-dropped bad", "key-unannounced bad"]])
    assert.deepEqual(pauses, [3_780_000, 3_780_000, 3_780_000, 3_780_000])
  })

  it("attack: records as large as an answer can be do not make what is remembered unreadable; whole keys are known by them all the same", async () => {
    const { net, ports } = lab
    const server = await net.addServer({ domain: "bulky.example" })
    const { port } = server.s2s
    const spki = createPublicKey(server.certificate.keyPem).export({ type: "spki", format: "der" }).toString("hex")
    net.signed.zones.set(`_${port}._tcp.xmpp.bulky.example`, { TLSA: [[3, 1, 0, spki], [3, 0, 0, "ab".repeat(20_000)]] })
    const { result, keys } = await inspect(lab.question("bulky.example"), ports, new AbortController().signal)
    const { shown, announced } = keys()
    assert.equal(announced.length, 2)
    assert.equal(shown[0]?.forms.filter((form) => announced.includes(form)).length, 1)
    const { remembered } = changesOf(undefined, result, keys(), "")
    assert.ok(memorySchema.safeParse(JSON.parse(JSON.stringify({ watch: 1, domains: [remembered] }))).success)
  })

  it("ends at once when it is given up, also while it waits", async () => {
    const clock = new ManualClock()
    const give = new AbortController()
    let rounds = 0
    const running = watching([lab.question("nowhere.example")], new Map(), { interval: 60_000, jitter: 0, concurrency: 4, rounds: undefined }, {
      clock,
      random: new SeededRandom("watch"),
      look: async () => ({ result: look(), evidence: () => [], keys: () => noKeys }),
      seen: () => undefined,
      round: async () => void (rounds += 1),
    }, give.signal)
    await clock.advance(125_000)
    assert.deepEqual([rounds, clock.pending], [3, 1])
    give.abort()
    await running
    assert.deepEqual([rounds, clock.pending], [3, 0])
  })
})
