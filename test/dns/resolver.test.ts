// The stub resolver against a scripted transport and a manual clock: retries, deadlines, checks, cache, sharing.
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { type DnsMessage, decodeMessage, encodeMessage, type ResourceRecord } from "../../src/dns/message.ts"
import { nameFromText, nameToText } from "../../src/dns/name.ts"
import { encodeContent, parseBody, typeNumbers } from "../../src/dns/records.ts"
import { createResolver, type DnsTransport, type ResolverLimits } from "../../src/dns/resolver.ts"
import { manualClock, seededRandom } from "./support.ts"

interface Call {
  readonly query: DnsMessage
  readonly upstream: string
  readonly protocol: "udp" | "tcp"
}
type Reply = Partial<DnsMessage> | Uint8Array | Error | "silence"

function record(owner: string, type: "A" | "SRV" | "CNAME" | "DNAME" | "SOA" | "NS", ...fields: (string | number)[]): ResourceRecord {
  const octets =
    type === "A"
      ? Uint8Array.from(String(fields[0]).split("."), Number)
      : type === "SRV"
        ? encodeContent({ kind: "SRV", priority: 0, weight: 0, port: 5269, target: nameFromText(String(fields[0])) })
        : type === "SOA"
          ? encodeContent({
              kind: "SOA",
              primary: nameFromText("ns.example"),
              mailbox: nameFromText("m.example"),
              serial: 1,
              refresh: 1,
              retry: 1,
              expire: 1,
              minimum: Number(fields[0]),
            })
          : encodeContent({ kind: type, target: nameFromText(String(fields[0])) })
  const ttl = Number(fields[1] ?? 100)
  return { name: nameFromText(owner), type: typeNumbers[type], class: 1, ttl, octets, content: parseBody(typeNumbers[type], octets) }
}

function world(script: (call: Call, count: number) => Reply, options: { upstreams?: string[]; limits?: Partial<ResolverLimits> } = {}) {
  const clock = manualClock()
  const calls: Call[] = []
  const refusedReplies: Uint8Array[] = []
  const transport: DnsTransport = {
    async exchange(octets, upstream, protocol, signal, accept) {
      signal.throwIfAborted()
      const query = decodeMessage(octets)
      const call = { query, upstream: upstream.address, protocol }
      calls.push(call)
      const reply = script(call, calls.length)
      await Promise.resolve()
      if (reply instanceof Error) throw reply
      if (reply !== "silence") {
        const message =
          reply instanceof Uint8Array
            ? reply
            : encodeMessage({ ...query, response: true, recursionAvailable: true, edns: undefined, ...reply })
        if (accept(message)) return message
        refusedReplies.push(message)
      }
      return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))
    },
  }
  const upstreams = (options.upstreams ?? ["127.0.0.1"]).map((address) => ({ address, port: 53 }))
  const resolver = createResolver({
    dnssec: "off",
    upstreams,
    transport,
    clock,
    random: seededRandom(1),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
  })
  return { clock, calls, resolver, refusedReplies }
}

const codes = (answer: { why: readonly { code: string }[] }) => answer.why.map((reason) => reason.code)
const data = (): Reply => ({ answers: [record("a.example", "A", "192.0.2.1")] })

test("data: insecure because signatures are not checked, with name, time and reason", async () => {
  const { resolver, clock, calls } = world(data)
  const answer = await resolver.resolve("A.Example.", "A", {})
  assert.deepEqual(answer, {
    name: "a.example",
    type: "A",
    records: [{ address: "192.0.2.1" }],
    status: "insecure",
    outcome: "data",
    rcode: 0,
    why: [{ code: "dnssec-off", detail: "signatures are not checked (resolver.dnssec: off)" }],
    canonical: "a.example",
    validatedBy: "self",
    until: clock.now() + 100_000,
  })
  assert.deepEqual(JSON.parse(JSON.stringify(answer)), answer, "an answer is plain JSON")
  const [call] = calls
  assert.equal(call!.query.edns?.udpPayload, 1232)
  assert.equal(call!.query.recursionDesired, true)
  assert.equal(clock.timers, 0, "no timer is left behind")
})

test("name error and no data are answers, each with the SOA's time", async () => {
  const { resolver, clock } = world((call) => ({
    rcode: nameToText(call.query.questions[0]!.name) === "no.example" ? 3 : 0,
    authorities: [record("example", "SOA", 30, 700)],
  }))
  const no = await resolver.resolve("no.example", "A", {})
  assert.deepEqual([no.outcome, no.status, no.rcode, no.until], ["name-error", "insecure", 3, clock.now() + 30_000])
  const empty = await resolver.resolve("empty.example", "A", {})
  assert.deepEqual([empty.outcome, empty.status, empty.rcode], ["no-data", "insecure", 0])
})

test("the SOA of another zone does not prolong an absence", async () => {
  const { resolver, clock } = world(() => ({ rcode: 3, authorities: [record("other.test", "SOA", 30)] }))
  assert.equal((await resolver.resolve("no.example", "A", {})).until, clock.now())
})

test("failures are indeterminate: SERVFAIL, REFUSED, malformed, lame, silence, no network", async () => {
  const cases: [string, Reply, string][] = [
    ["SERVFAIL", { rcode: 2 }, "servfail"],
    ["REFUSED", { rcode: 5 }, "refused"],
    ["NOTAUTH", { rcode: 9 }, "rcode"],
    ["records with NXDOMAIN", { rcode: 3, answers: [record("a.example", "A", "192.0.2.1")] }, "malformed"],
    ["referral", { recursionAvailable: false, authorities: [record("example", "NS", "ns.example")] }, "lame"],
    ["silence", "silence", "timeout"],
    ["no network", new Error("unreachable"), "network"],
    ["two CNAMEs", { answers: [record("a.example", "CNAME", "b.example"), record("a.example", "CNAME", "c.example")] }, "malformed"],
    ["CNAME to itself", { answers: [record("a.example", "CNAME", "a.example")] }, "alias-loop"],
    [
      "CNAME loop of two",
      { answers: [record("a.example", "CNAME", "b.example"), record("b.example", "CNAME", "a.example")] },
      "alias-loop",
    ],
  ]
  for (const [what, reply, code] of cases) {
    const { resolver, clock } = world(() => reply)
    const pending = resolver.resolve("a.example", "A", {})
    await clock.advance(20_000)
    const answer = await pending
    assert.deepEqual([answer.status, answer.outcome, answer.records], ["indeterminate", "failure", []], what)
    assert.ok(codes(answer).includes(code), `${what}: ${codes(answer)}`)
  }
})

test("an answer that is not decodable is a failure, with the question repeated or not", async () => {
  const { resolver, clock, refusedReplies } = world((call, count) => {
    const octets = encodeMessage({ ...call.query, response: true })
    if (count > 1) return Uint8Array.of(1, 2, 3)
    octets[7] = 3
    return octets
  })
  const pending = resolver.resolve("a.example", "A", {})
  await clock.advance(20_000)
  assert.ok(codes(await pending).includes("malformed"))
  assert.equal(refusedReplies.length, 1, "three octets are never an answer")
})

test("answers to another question, another id or that are questions are not taken", async () => {
  const wrong: [string, (call: Call) => Uint8Array][] = [
    [
      "another id",
      ({ query }) => encodeMessage({ ...query, response: true, id: query.id ^ 1, answers: [record("a.example", "A", "192.0.2.66")] }),
    ],
    [
      "another name",
      ({ query }) => encodeMessage({ ...query, response: true, questions: [{ name: nameFromText("b.example"), type: 1, class: 1 }] }),
    ],
    ["another type", ({ query }) => encodeMessage({ ...query, response: true, questions: [{ ...query.questions[0]!, type: 28 }] })],
    ["another class", ({ query }) => encodeMessage({ ...query, response: true, questions: [{ ...query.questions[0]!, class: 3 }] })],
    ["no response", ({ query }) => encodeMessage({ ...query, response: false })],
    [
      "no question, yet data",
      ({ query }) => encodeMessage({ ...query, response: true, questions: [], answers: [record("a.example", "A", "192.0.2.66")] }),
    ],
    ["two questions", ({ query }) => encodeMessage({ ...query, response: true, questions: [...query.questions, ...query.questions] })],
    ["another opcode", ({ query }) => encodeMessage({ ...query, response: true, opcode: 4 })],
  ]
  for (const [what, spoil] of wrong) {
    const { resolver, clock, refusedReplies } = world(spoil)
    const pending = resolver.resolve("a.example", "A", {})
    await clock.advance(20_000)
    assert.equal((await pending).outcome, "failure", what)
    assert.ok(refusedReplies.length > 0, what)
  }
})

test("a transport that takes what it should not is checked again", async () => {
  const clock = manualClock()
  const transport: DnsTransport = {
    exchange: async (query) =>
      encodeMessage({ ...decodeMessage(query), id: 7, response: true, answers: [record("a.example", "A", "192.0.2.66")] }),
  }
  const resolver = createResolver({
    dnssec: "off",
    upstreams: [{ address: "127.0.0.1", port: 53 }],
    transport,
    clock,
    random: seededRandom(3),
  })
  const answer = await resolver.resolve("a.example", "A", {})
  assert.equal(answer.outcome, "failure")
  assert.ok(codes(answer).includes("mismatch"))
})

test("records off the chain are ignored: other owners, other classes, additional section", async () => {
  const { resolver } = world(() => ({
    answers: [
      record("evil.example", "A", "192.0.2.66"),
      { ...record("a.example", "A", "192.0.2.67"), class: 3, content: { kind: "unknown" } },
      record("a.example", "A", "192.0.2.1"),
      record("a.example", "A", "192.0.2.1"),
    ],
    additionals: [record("a.example", "A", "192.0.2.68")],
  }))
  assert.deepEqual((await resolver.resolve("a.example", "A", {})).records, [{ address: "192.0.2.1" }])
})

test("records of another class alone are no data", async () => {
  const { resolver } = world(() => ({ answers: [{ ...record("a.example", "A", "192.0.2.67"), class: 3, content: { kind: "unknown" } }] }))
  assert.equal((await resolver.resolve("a.example", "A", {})).outcome, "no-data")
})

test("aliases are followed: in one answer, over several, through DNAME; the shortest TTL counts", async () => {
  const { resolver, clock, calls } = world(({ query }) => {
    const asked = nameToText(query.questions[0]!.name)
    if (asked === "a.example")
      return { answers: [record("a.example", "CNAME", "b.example", 50), record("b.example", "CNAME", "x.old.example", 70)] }
    if (asked === "x.old.example") return { answers: [record("old.example", "DNAME", "new.example", 20)] }
    return { answers: [record("x.new.example", "A", "192.0.2.9")] }
  })
  const answer = await resolver.resolve("a.example", "A", {})
  assert.deepEqual([answer.outcome, answer.canonical, answer.records], ["data", "x.new.example", [{ address: "192.0.2.9" }]])
  assert.equal(answer.until, clock.now() + 20_000)
  assert.equal(calls.length, 3)
})

test("aliases are bounded, within one answer and over many", async () => {
  const chain = Array.from({ length: 40 }, (_, index) => record(`n${index}.example`, "CNAME", `n${index + 1}.example`))
  const one = world(() => ({ answers: chain }))
  assert.ok(codes(await one.resolver.resolve("n0.example", "A", {})).includes("alias-too-long"))
  const many = world(({ query }, count) => ({ answers: [record(nameToText(query.questions[0]!.name), "CNAME", `m${count}.example`)] }))
  assert.ok(codes(await many.resolver.resolve("m0.example", "A", {})).includes("alias-too-long"))
  assert.ok(many.calls.length <= 17)
})

test("an alias to nowhere is a name error at its end", async () => {
  const { resolver } = world(() => ({
    rcode: 3,
    answers: [record("a.example", "CNAME", "gone.example")],
    authorities: [record("example", "SOA", 9)],
  }))
  const answer = await resolver.resolve("a.example", "A", {})
  assert.deepEqual([answer.outcome, answer.canonical], ["name-error", "gone.example"])
})

test("truncation leads to TCP; an answer truncated there is malformed", async () => {
  const { resolver, calls } = world(({ protocol }) =>
    protocol === "udp" ? { truncated: true } : { answers: [record("a.example", "A", "192.0.2.1")] },
  )
  assert.equal((await resolver.resolve("a.example", "A", {})).outcome, "data")
  assert.deepEqual(
    calls.map((call) => call.protocol),
    ["udp", "tcp"],
  )
  const never = world(() => ({ truncated: true }))
  assert.ok(codes(await never.resolver.resolve("a.example", "A", {})).includes("malformed"))
})

test("a server that refuses EDNS is asked without it, and remembered", async () => {
  const { resolver, calls } = world(({ query }) =>
    query.edns === undefined ? { answers: [record(nameToText(query.questions[0]!.name), "A", "192.0.2.1")] } : { rcode: 1, questions: [] },
  )
  assert.equal((await resolver.resolve("a.example", "A", {})).outcome, "data")
  assert.equal((await resolver.resolve("b.example", "A", {})).outcome, "data")
  assert.deepEqual(
    calls.map((call) => call.query.edns !== undefined),
    [true, false, false],
  )
})

test("the next upstream is asked at once after a definite failure, after the deadline in silence", async () => {
  const { resolver, calls, clock } = world(
    ({ upstream }) => (upstream === "127.0.0.1" ? { rcode: 2 } : upstream === "127.0.0.2" ? "silence" : data()),
    {
      upstreams: ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
    },
  )
  const pending = resolver.resolve("a.example", "A", {})
  await clock.advance(1_500)
  const answer = await pending
  assert.equal(answer.outcome, "data")
  assert.deepEqual(
    calls.map((call) => call.upstream),
    ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
  )
  assert.deepEqual(codes(answer), ["dnssec-off", "servfail", "timeout"])
  const again = await resolver.resolve("b.example", "A", {})
  assert.equal(calls.findLast((call) => call.upstream === "127.0.0.2") === calls[1], true, "a silent upstream is asked last for a while")
  assert.equal(again.name, "b.example")
})

test("a silent upstream is asked twice, with more patience, and the whole lookup has one deadline", async () => {
  const { resolver, calls, clock } = world(() => "silence")
  const begun = clock.monotonic()
  let done: number | undefined
  const pending = resolver.resolve("a.example", "A", {}).then((answer) => {
    done = clock.monotonic() - begun
    return answer
  })
  await clock.advance(30_000)
  assert.equal((await pending).outcome, "failure")
  assert.equal(calls.length, 2)
  assert.equal(done, 4_500)
  const many = world(() => "silence", { upstreams: Array.from({ length: 9 }, (_, index) => `127.0.0.${index + 1}`) })
  const slow = many.resolver.resolve("a.example", "A", {})
  await many.clock.advance(8_000)
  assert.ok(codes(await slow).includes("timeout"), "eight seconds are all there is")
})

test("no upstream, bad names and too many lookups are failures with their reasons", async () => {
  assert.ok(codes(await world(data, { upstreams: [] }).resolver.resolve("a.example", "A", {})).includes("no-upstream"))
  for (const name of ["a..example", "x".repeat(64), "é.example", `${"a.".repeat(200)}example`]) {
    const { resolver, calls } = world(data)
    assert.deepEqual(codes(await resolver.resolve(name, "A", {})), ["bad-name"], name)
    assert.equal(calls.length, 0)
  }
  const { resolver, clock } = world(() => "silence", { limits: { inFlight: 2 } })
  const pending = ["a", "b"].map((label) => resolver.resolve(`${label}.example`, "A", {}))
  assert.deepEqual(codes(await resolver.resolve("c.example", "A", {})), ["busy"])
  await clock.advance(20_000)
  await Promise.all(pending)
  assert.throws(() => world(data, { limits: { failureTtl: 61 } }), RangeError)
})

test("off loopback every query has its own id and letter case, and an answer must repeat them", async () => {
  const { resolver, calls } = world(({ query }) => ({ answers: [record(nameToText(query.questions[0]!.name), "A", "192.0.2.1")] }), {
    upstreams: ["192.0.2.53"],
  })
  for (let index = 0; index < 8; index += 1) await resolver.resolve(`abcdefghijkl${index}.example`, "A", {})
  assert.ok(new Set(calls.map((call) => call.query.id)).size > 6)
  const shapes = new Set(calls.map((call) => nameToText(call.query.questions[0]!.name).replace(/\d/, "")))
  assert.equal(shapes.size, 8, "twelve letters and more, no two alike")
  assert.ok([...shapes].some((shape) => shape !== shape.toLowerCase()))
  const loopback = world(data)
  await loopback.resolver.resolve("a.example", "A", {})
  assert.equal(nameToText(loopback.calls[0]!.query.questions[0]!.name), "a.example")
})

test("an answer with other letters is not believed over UDP: TCP decides", async () => {
  const { resolver, calls } = world(
    ({ query, protocol }) => ({
      questions: [{ ...query.questions[0]!, name: nameFromText("abcdefghijklmnop.example") }],
      answers: [record("abcdefghijklmnop.example", "A", protocol === "udp" ? "192.0.2.66" : "192.0.2.1")],
    }),
    { upstreams: ["192.0.2.53"] },
  )
  assert.deepEqual((await resolver.resolve("abcdefghijklmnop.example", "A", {})).records, [{ address: "192.0.2.1" }])
  assert.deepEqual(
    calls.map((call) => call.protocol),
    ["udp", "tcp"],
  )
})

test("answers are kept for their TTL, capped; absences for the SOA's; failures briefly", async () => {
  const { resolver, calls, clock } = world(({ query }) => {
    const asked = nameToText(query.questions[0]!.name)
    if (asked === "long.example") return { answers: [record(asked, "A", "192.0.2.1", 604800)] }
    if (asked === "zero.example") return { answers: [record(asked, "A", "192.0.2.1", 0)] }
    if (asked === "no.example") return { rcode: 3, authorities: [record("example", "SOA", 50)] }
    if (asked === "bare.example") return { rcode: 3 }
    return { rcode: 2 }
  })
  const asks = async (name: string) => {
    const before = calls.length
    await resolver.resolve(name, "A", {})
    return calls.length > before
  }
  for (const name of ["long.example", "zero.example", "no.example", "bare.example", "fail.example"])
    assert.equal(await asks(name), true, name)
  for (const [name, again] of [
    ["long.example", false],
    ["zero.example", true],
    ["no.example", false],
    ["bare.example", true],
    ["fail.example", false],
  ] as const) {
    assert.equal(await asks(name), again, name)
  }
  await clock.advance(10_000)
  assert.equal(await asks("fail.example"), true, "a failure is forgotten after ten seconds")
  await clock.advance(40_000)
  assert.equal(await asks("no.example"), true)
  assert.equal(await asks("long.example"), false)
  await clock.advance(3_550_000)
  assert.equal(await asks("long.example"), true, "an hour is the longest")
  resolver.flush()
  assert.equal(await asks("long.example"), true)
})

test("equal questions under way are asked once; types and letter case are told apart as DNS does", async () => {
  const { resolver, calls } = world(data)
  const answers = await Promise.all([
    resolver.resolve("a.example", "A", {}),
    resolver.resolve("A.EXAMPLE", "A", {}),
    resolver.resolve("a.example.", "A", {}),
    resolver.resolve("a.example", "AAAA", {}),
  ])
  assert.equal(calls.length, 2)
  assert.equal(answers[0], answers[1])
})

test("an asker that gives up gets its answer at once; the others still get theirs; the last one ends the lookup", async () => {
  const { resolver, calls, clock } = world((_, count) => (count === 1 ? "silence" : data()))
  const first = new AbortController()
  const second = new AbortController()
  const one = resolver.resolve("a.example", "A", { signal: first.signal })
  const two = resolver.resolve("a.example", "A", { signal: second.signal })
  await clock.advance(10)
  first.abort()
  const left = await one
  assert.deepEqual([left.outcome, ...codes(left)], ["failure", "aborted"])
  await clock.advance(1_500)
  assert.equal((await two).outcome, "data")
  assert.equal(calls.length, 2)

  const silent = world(() => "silence")
  const last = new AbortController()
  const pending = silent.resolver.resolve("a.example", "A", { signal: last.signal })
  await silent.clock.advance(10)
  last.abort()
  assert.deepEqual(codes(await pending), ["aborted"])
  await silent.clock.advance(0)
  assert.equal(silent.clock.timers, 0, "nothing goes on in the background")
  assert.equal(silent.calls.length, 1)
  assert.deepEqual(codes(await silent.resolver.resolve("b.example", "A", { signal: AbortSignal.abort() })), ["aborted"])
})

test("a lookup that everybody left is not kept", async () => {
  let silent = true
  const { resolver, clock } = world(() => (silent ? "silence" : data()))
  const asker = new AbortController()
  const pending = resolver.resolve("a.example", "A", { signal: asker.signal })
  await clock.advance(10)
  asker.abort()
  await pending
  await clock.advance(0)
  silent = false
  assert.equal((await resolver.resolve("a.example", "A", {})).outcome, "data")
})

test("property: whatever comes back, the resolver answers in bounded time and never rejects", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.uint8Array({ maxLength: 80 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 3 }),
      async (noise, shape) => {
        const { resolver, clock } = world(({ query }, count) => {
          const piece = Uint8Array.from(noise[count % noise.length]!)
          if (shape === 0) return piece
          const octets = encodeMessage({ ...query, response: true, recursionAvailable: true, edns: undefined })
          octets[7] = shape
          return Uint8Array.from([...octets, ...piece])
        })
        const pending = resolver.resolve("a.example", "SRV", {})
        await clock.advance(10_000)
        const answer = await pending
        assert.ok(answer.status === "indeterminate" || answer.status === "insecure")
      },
    ),
    { numRuns: 300, seed: 10 },
  )
})
