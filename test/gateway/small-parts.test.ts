// Half-open places, the evidence folder, counted bounces, log lines, the load of all queues, words to suggest.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { parseDomain } from "../../src/model/domain.ts"
import type { FederationEvent } from "../../src/model/events.ts"
import type { Evidence } from "../../src/model/evidence.ts"
import { BounceLog } from "../../src/gateway/bounce-log.ts"
import { bounceReasons } from "../../src/gateway/bounce.ts"
import { InputShare, Load } from "../../src/gateway/destination.ts"
import { nearestWord } from "../../src/gateway/did-you-mean.ts"
import { EvidenceFolder } from "../../src/gateway/evidence-folder.ts"
import { HalfOpen, sourceOf } from "../../src/gateway/half-open.ts"
import { LogLines, logEvents } from "../../src/gateway/log-lines.ts"
import { secretBits } from "../../src/gateway/secret.ts"
import { MemoryFiles, testNow } from "./config-fixture.ts"
import { StepClock } from "./fakes.ts"

const a = parseDomain("a.example")
const b = parseDomain("b.example")

function recorder() {
  const lines: { level: string; event: string; fields: Readonly<Record<string, unknown>> }[] = []
  return { lines, log: new LogLines({ write: (level, event, fields) => void lines.push({ level, event, fields }) }) }
}

describe("half-open connections", () => {
  const guest = (said: string[], name: string) => {
    const visitor = {
      leave: (): void => assert.fail("not let in yet"),
      admitted: (leave: () => void): void => {
        said.push(`${name} in`)
        visitor.leave = leave
      },
      refused: () => void said.push(`${name} refused`),
    }
    return visitor
  }
  it("are bounded by address and in total, and give their place back once", () => {
    const half = new HalfOpen(new StepClock())
    const said: string[] = []
    const enter = (address: string) => {
      const visitor = guest(said, address)
      half.enter(address, { perAddress: 2, total: 3 }, visitor)
      return visitor
    }
    const first = enter("192.0.2.1")
    for (const address of ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]) enter(address)
    assert.deepEqual(said.splice(0), ["192.0.2.1 in", "192.0.2.1 in", "192.0.2.1 refused", "192.0.2.2 in", "192.0.2.3 refused"])
    first.leave()
    first.leave()
    assert.equal(half.total, 2)
    for (const address of ["192.0.2.3", "192.0.2.4"]) enter(address)
    assert.deepEqual(said, ["192.0.2.3 in", "192.0.2.4 refused"])
  })
  it("beyond that some may wait, in order, for a place of their own address, and not for ever", async () => {
    const clock = new StepClock()
    const half = new HalfOpen(clock)
    const said: string[] = []
    const limits = { perAddress: 1, total: 10, waiting: 2, patience: 1000 }
    const [one, two, three, four, other] = ["one", "two", "three", "four", "other"].map((name) => guest(said, name))
    for (const visitor of [one!, two!, three!, four!]) half.enter("192.0.2.1", limits, visitor)
    half.enter("192.0.2.2", limits, other!)
    assert.deepEqual(said.splice(0), ["one in", "four refused", "other in"])
    other!.leave()
    assert.deepEqual(said, [])
    one!.leave()
    assert.deepEqual(said.splice(0), ["two in"])
    await clock.step(1000)
    assert.deepEqual(said.splice(0), ["three refused"])
    two!.leave()
    assert.deepEqual([half.total, said, clock.timers], [0, [], 0])
    half.enter("192.0.2.1", limits, one!)
    half.enter("192.0.2.1", limits, two!)
    half.close()
    assert.deepEqual(said, ["one in", "two refused"])
    assert.equal(clock.timers, 0)
  })
  it("come in no faster than their network's budget allows, in order", async () => {
    const clock = new StepClock()
    const half = new HalfOpen(clock)
    const said: string[] = []
    let free = 1
    const limits = { perAddress: 2, total: 10, waiting: 3, patience: 1000, delay: () => (free > 0 ? 0 : 100) }
    const guests = ["one", "two", "three", "four", "five"].map((name) => {
      const visitor = guest(said, name)
      const admitted = (leave: () => void): void => {
        free -= 1
        visitor.admitted(leave)
      }
      return { ...visitor, admitted }
    })
    for (const visitor of guests) half.enter("192.0.2.1", limits, visitor)
    assert.deepEqual(said.splice(0), ["one in", "five refused"])
    await clock.step(100)
    assert.deepEqual(said, [], "still too early")
    free = 2
    await clock.step(100)
    assert.deepEqual(said.splice(0), ["two in"], "and then the places are taken")
    await clock.step(800)
    assert.deepEqual(said, ["three refused", "four refused"])
    assert.deepEqual([half.total, clock.timers], [2, 0])
  })
  it("a whole /64 counts as one address, a mapped address as the IPv4 one", () => {
    assert.equal(sourceOf("2001:db8:1:2::1"), sourceOf("2001:db8:1:2:ffff::9"))
    assert.notEqual(sourceOf("2001:db8:1:2::1"), sourceOf("2001:db8:1:3::1"))
    assert.equal(sourceOf("::ffff:192.0.2.1"), sourceOf("192.0.2.1"))
    assert.notEqual(sourceOf("192.0.2.1"), sourceOf("192.0.2.2"))
  })
})

describe("the load of all queues", () => {
  it("is the sum of the inputs' shares, and each input pauses by its own only", () => {
    const load = new Load(() => 100)
    const paused: string[] = []
    const gate = (name: string) => ({ pause: () => void paused.push(`${name} paused`), resume: () => void paused.push(`${name} on`) })
    const one = new InputShare(load, 50, gate("one"))
    const two = new InputShare(load, 50, gate("two"))
    one.add(60)
    two.add(40)
    assert.deepEqual(paused, ["one paused"])
    assert.equal(load.full, true)
    one.release(60)
    assert.deepEqual(paused, ["one paused", "one on"])
    assert.equal(load.full, false)
    assert.equal(load.queued, 40)
  })
})

const item = { version: 1, prooftype: "pkix" } as unknown as Evidence
const refusal = (more: Partial<Extract<FederationEvent, { kind: "refused" }>> = {}): Extract<FederationEvent, { kind: "refused" }> => ({
  kind: "refused",
  at: testNow,
  stream: "s2sin-1",
  direction: "in",
  pair: { sender: b, target: a },
  finding: "cert.expired",
  sentence: "expired",
  verdicts: [],
  evidence: () => [item],
  ...more,
})

describe("the evidence folder", () => {
  const make = (files: MemoryFiles, limits = { files: 3, octets: 100_000 }) => {
    const clock = new StepClock(testNow)
    const { lines, log } = recorder()
    return { clock, lines, folder: new EvidenceFolder("/state", limits, { files, clock, lines: log, version: "1.2.3" }) }
  }
  it("keeps a refusal once in ten minutes, another one too", async () => {
    const files = new MemoryFiles({ "/state/other.txt": "mine" })
    const { clock, folder } = make(files)
    await folder.open()
    folder.keep(refusal())
    folder.keep(refusal())
    folder.keep(refusal({ finding: "cert.self-signed" }))
    folder.keep(refusal({ pair: undefined }))
    const { evidence: _none, ...bare } = refusal({ finding: "stream.closed" })
    folder.keep(bare)
    await folder.settled()
    assert.equal(folder.size.files, 2)
    await clock.step(601_000)
    folder.keep(refusal({ at: testNow + 601_000 }))
    await folder.settled()
    assert.equal(folder.size.files, 3)
    const [path] = [...files.files.keys()].filter((name) => name.includes("cert") || name.includes("-in-b.example-"))
    const kept = JSON.parse(new TextDecoder().decode(await files.read(path!)))
    assert.deepEqual(kept, {
      evidence: 1,
      tool: { name: "xmpp-dna", version: "1.2.3" },
      recorded: "2026-11-22T12:00:00.000Z",
      direction: "in",
      pair: { sender: "b.example", target: "a.example" },
      decision: "refused",
      level: null,
      finding: "cert.expired",
      sentence: "expired",
      items: [{ version: 1, prooftype: "pkix" }],
    })
  })
  it("stays within its bounds, the oldest going first, across restarts, and touches nothing else", async () => {
    const files = new MemoryFiles({ "/state/note.json": { text: "mine", modified: 0 } })
    for (let n = 0; n < 5; n += 1) files.set(`/state/old-${n}.evidence.json`, "{}", { modified: n })
    const { folder } = make(files)
    await folder.open()
    assert.equal(folder.size.files, 3)
    folder.keep(refusal())
    await folder.settled()
    assert.deepEqual([...files.files.keys()].filter((name) => name.includes("old-")), ["/state/old-3.evidence.json", "/state/old-4.evidence.json"])
    assert.ok(files.files.has("/state/note.json"))
    const tight = make(files, { files: 100, octets: 700 })
    await tight.folder.open()
    for (const finding of ["cert.expired", "cert.self-signed", "cert.unknown-root"] as const) tight.folder.keep(refusal({ finding }))
    await tight.folder.settled()
    assert.ok(tight.folder.size.octets <= 700)
    assert.ok(tight.folder.size.files >= 1)
  })
  it("a flood costs a bounded number of writes", async () => {
    const { folder, lines } = make(new MemoryFiles({ "/state/x": "" }), { files: 1000, octets: 10_000_000 })
    await folder.open()
    for (let n = 0; n < 500; n += 1) folder.keep(refusal({ pair: { sender: parseDomain(`d${n}.example`), target: a } }))
    await folder.settled()
    assert.equal(folder.size.files, 32)
    assert.deepEqual(
      lines.filter(({ event }) => event === "evidence.skipped").map(({ fields }) => fields.count),
      [468],
    )
  })
  it("evidence that is larger than the whole folder may be is said; a file that cannot be removed still counts", async () => {
    const tight = make(new MemoryFiles({ "/state/x": "" }), { files: 3, octets: 100 })
    await tight.folder.open()
    tight.folder.keep(refusal())
    await tight.folder.settled()
    assert.match(String(tight.lines[0]?.fields.text), /could not be kept .* more than state.evidence_bytes/)
    const files = new MemoryFiles({ "/state/x": "" })
    files.remove = async () => {
      throw Object.assign(new Error("no"), { code: "EACCES" })
    }
    const stuck = make(files, { files: 1, octets: 100_000 })
    await stuck.folder.open()
    stuck.folder.keep(refusal())
    stuck.folder.keep(refusal({ finding: "cert.unknown-root" }))
    await stuck.folder.settled()
    assert.equal(stuck.folder.size.files, 1)
    assert.equal(stuck.lines.filter(({ event }) => event === "evidence.failed").length, 1)
  })
  it("a folder that cannot be written to is said, and nothing breaks", async () => {
    const files = new MemoryFiles({ "/state/x": "" })
    files.write = async () => {
      throw Object.assign(new Error("no"), { code: "EACCES" })
    }
    const { folder, lines } = make(files)
    await folder.open()
    folder.keep(refusal())
    await folder.settled()
    assert.deepEqual(
      lines.map(({ event, fields }) => [event, fields.text]),
      [["evidence.failed", "evidence of a refusal could not be kept in /state: permission denied"]],
    )
  })
  it("a long domain makes no long name", async () => {
    const files = new MemoryFiles({ "/state/x": "" })
    const { folder } = make(files)
    await folder.open()
    folder.keep(refusal({ pair: { sender: parseDomain(`${"a".repeat(60)}.${"b".repeat(60)}.${"c".repeat(60)}.example`), target: a } }))
    await folder.settled()
    const path = [...files.files.keys()].find((name) => name.endsWith(".evidence.json"))!
    assert.ok(path.length < 200)
  })
})

describe("bounces in the log", () => {
  it("are counted by pair and reason", async () => {
    const clock = new StepClock()
    const { lines, log } = recorder()
    const bounces = new BounceLog(clock, log)
    for (let n = 0; n < 1000; n += 1) bounces.add(a, b, bounceReasons.full, n % 4 !== 0)
    bounces.add(a, undefined, bounceReasons.malformed, true)
    assert.equal(lines.length, 0)
    await clock.step(5000)
    assert.deepEqual(
      lines.map(({ fields }) => fields.text),
      [
        "750 stanzas bounced with resource-constraint, 250 dropped that are never answered or had no way back: Too much is waiting for this destination",
        "1 stanzas bounced with jid-malformed: The address is not a valid JID",
      ],
    )
    assert.equal(bounces.total, 1001)
    assert.equal(clock.timers, 0)
  })
  it("of very many pairs are written before they fill the memory", () => {
    const { lines, log } = recorder()
    const bounces = new BounceLog(new StepClock(), log)
    for (let n = 0; n < 1001; n += 1) bounces.add(a, parseDomain(`d${n}.example`), bounceReasons.full, true)
    assert.equal(lines.length, 1000)
  })
})

describe("log lines", () => {
  const common = { at: testNow, stream: "s2sout-1", direction: "out" as const }
  const pair = { sender: a, target: b }
  it("have names from the fixed list, say who, and never the stream id", () => {
    const { lines, log } = recorder()
    const verdict = { outcome: "proved", by: "pkix", detail: "", until: testNow } as const
    const events: FederationEvent[] = [
      { ...common, kind: "discovered", pair, endpoints: ["192.0.2.1 port 5269 starttls"], via: "srv" },
      { ...common, kind: "connected", pair, peer: "192.0.2.1", transport: "starttls" },
      { ...common, kind: "opened", pair, id: "d34db33f" },
      { ...common, kind: "secured", pair, protocol: "TLSv1.3", cipher: "X", certificate: "shown" },
      { ...common, kind: "proof", pair, verdict },
      { ...common, kind: "external", pair, result: "refused", detail: "words" },
      { ...common, kind: "dialback", pair, step: "answered", answer: "valid" },
      {
        ...common,
        at: testNow + 31,
        kind: "associated",
        association: { id: "1", pair, stream: "s2sout-1", epoch: 1, direction: "out", level: "authenticated", verdict, verdicts: [verdict], via: "certificate", proof: { protocol: "TLSv1.3" }, evidence: () => [], established: testNow, until: testNow } as never,
      },
      { ...common, kind: "refused", pair, finding: "cert.expired", sentence: "the certificate has expired [cert.expired]", verdicts: [] },
      { ...common, kind: "stanzas", pair, count: 1, bytes: 1 },
      { ...common, kind: "closed", pair, reason: "bye", unacknowledged: 2 },
    ]
    for (const event of events) log.event(event)
    assert.equal(lines.length, 10)
    for (const { event, fields } of lines) {
      assert.ok((logEvents as readonly string[]).includes(event))
      assert.deepEqual([fields.sid, fields.from, fields.to], ["s2sout-1", "a.example", "b.example"])
    }
    assert.equal(JSON.stringify(lines).includes("d34db33f"), false)
    const associated = lines.find(({ event }) => event === "s2s.associated")!
    assert.deepEqual(associated.fields, {
      sid: "s2sout-1",
      dir: "out",
      from: "a.example",
      to: "b.example",
      proof: "pkix",
      level_reached: "authenticated",
      tls: "TLSv1.3",
      peer: "192.0.2.1",
      ms: 31,
      text: "associated by pkix, authenticated",
    })
    assert.deepEqual(
      lines.filter(({ level }) => level !== "debug").map(({ level, event }) => `${level} ${event}`),
      ["info s2s.external", "info s2s.associated", "warn s2s.refused", "info s2s.closed"],
    )
  })
})

describe("small words", () => {
  it("suggestions are near or absent", () => {
    assert.equal(nearestWord("retrymax", ["retry_max", "trust"]), "retry_max")
    assert.equal(nearestWord("fedration", ["federation", "limits"]), "federation")
    assert.equal(nearestWord("lsiten", ["listen"]), "listen")
    assert.equal(nearestWord("zebra", ["listen", "node"]), undefined)
    assert.equal(nearestWord("x".repeat(5000), ["listen"]), undefined)
  })
  it("the strength of a secret is never overstated", () => {
    assert.equal(secretBits("0123456789abcdef0123456789abcdef"), 128)
    assert.equal(secretBits("12345678901234567890"), 66)
    assert.equal(secretBits("abababababababababababababababab"), 0)
  })
})
