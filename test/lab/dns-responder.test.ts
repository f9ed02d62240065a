// The lab's DNS server, asked by the real resolver over real sockets, and by raw messages; every misbehaviour shown.
import assert from "node:assert/strict"
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { createConnection } from "node:net"
import { type TestContext, test } from "node:test"
import { decodeMessage, encodeMessage, makeQuery } from "../../src/dns/message.ts"
import { nameFromText, nameToText } from "../../src/dns/name.ts"
import { typeName, typeNumbers } from "../../src/dns/records.ts"
import { createResolver } from "../../src/dns/resolver.ts"
import { type DnsResponder, type Misbehaviour, startDnsResponder, type ZoneText } from "../../src/lab/dns-responder.ts"
import type { RecordType } from "../../src/model/dns-answer.ts"
import { systemClock } from "../../src/node/clock.ts"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"
import { systemRandom } from "../../src/node/random.ts"

const zones: ZoneText = {
  "a.example": { A: ["127.0.0.1", "127.0.0.2"], AAAA: ["::1"], TXT: ["hello"], NS: ["ns.lab.example"], ttl: 30 },
  "_xmpp-server._tcp.a.example": { SRV: [[0, 5, 5269, "xmpp.a.example"]] },
  "_5269._tcp.xmpp.a.example": { TLSA: [[3, 1, 1, "ab".repeat(32)]] },
  "alias.example": { CNAME: "a.example" },
  "old.example": { DNAME: "new.example" },
  "x.new.example": { A: ["127.0.0.9"] },
  "*.wild.example": { A: ["127.0.0.8"] },
  "taken.wild.example": { TXT: ["here"] },
  "loop1.example": { CNAME: "loop2.example" },
  "loop2.example": { CNAME: "loop1.example" },
  "big.example": { TLSA: Array.from({ length: 60 }, (_, index) => [3, 1, 1, index.toString(16).padStart(64, "0")] as const) },
}

async function started(t: TestContext): Promise<DnsResponder> {
  const responder = await startDnsResponder({ zones })
  t.after(() => responder.close())
  return responder
}

function resolverFor(responder: DnsResponder, attempt = 200) {
  return createResolver({
    dnssec: "off",
    upstreams: [responder],
    transport: nodeDnsTransport(),
    clock: systemClock,
    random: systemRandom,
    limits: { attempt, lookup: 2_000, failureTtl: 0 },
  })
}

const ask = <T extends RecordType>(responder: DnsResponder, name: string, type: T, attempt?: number) =>
  resolverFor(responder, attempt).resolve(name, type, {})

test("answers every kind of record, aliases, wildcards and absences", async (t) => {
  const responder = await started(t)
  const rows: [string, RecordType, string, unknown[]][] = [
    ["a.example", "A", "data", [{ address: "127.0.0.1" }, { address: "127.0.0.2" }]],
    ["A.EXAMPLE", "AAAA", "data", [{ address: "::1" }]],
    ["a.example", "TXT", "data", [{ strings: [Buffer.from("hello").toString("base64")] }]],
    ["a.example", "NS", "data", [{ target: "ns.lab.example" }]],
    ["_xmpp-server._tcp.a.example", "SRV", "data", [{ priority: 0, weight: 5, port: 5269, target: "xmpp.a.example" }]],
    ["_5269._tcp.xmpp.a.example", "TLSA", "data", [{ usage: 3, selector: 1, matching: 1, association: "ab".repeat(32) }]],
    ["alias.example", "A", "data", [{ address: "127.0.0.1" }, { address: "127.0.0.2" }]],
    ["alias.example", "CNAME", "data", [{ target: "a.example" }]],
    ["x.old.example", "A", "data", [{ address: "127.0.0.9" }]],
    ["any.wild.example", "A", "data", [{ address: "127.0.0.8" }]],
    ["taken.wild.example", "A", "no-data", []],
    ["b.taken.wild.example", "A", "name-error", []],
    ["a.example", "SRV", "no-data", []],
    ["_tcp.a.example", "SRV", "no-data", []],
    ["gone.example", "A", "name-error", []],
    ["y.old.example", "A", "name-error", []],
    ["loop1.example", "A", "failure", []],
  ]
  for (const [name, type, outcome, records] of rows) {
    const answer = await ask(responder, name, type)
    assert.deepEqual([answer.outcome, answer.records], [outcome, records], `${name} ${type}`)
  }
  const soa = await ask(responder, ".", "SOA")
  assert.equal(soa.records[0]?.minimum, 5)
  assert.equal((await ask(responder, ".", "NS")).outcome, "data")
  assert.equal((await ask(responder, "_5270._tcp.a.example", "TLSA")).rcode, 3)
})

test("too long for UDP is truncated and comes over TCP; names change while it runs; queries are logged", async (t) => {
  const responder = await started(t)
  assert.equal((await ask(responder, "big.example", "TLSA")).records.length, 60)
  assert.deepEqual(
    responder.queries.map((query) => [query.name, query.type, query.protocol, query.edns]),
    [
      ["big.example", "TLSA", "udp", true],
      ["big.example", "TLSA", "tcp", true],
    ],
  )
  responder.set("new.example", { A: ["127.0.0.4"] })
  assert.equal((await ask(responder, "new.example", "A")).records[0]?.address, "127.0.0.4")
  responder.set("new.example", undefined)
  assert.equal((await ask(responder, "gone.new.example", "A")).outcome, "name-error")
  assert.throws(() => responder.set("b.example", { A: ["not an address"] }), TypeError)
})

const misbehaviours: [Misbehaviour, string, string | undefined][] = [
  ["servfail", "failure", "servfail"],
  ["refused", "failure", "refused"],
  ["formerr", "failure", "rcode"],
  ["drop", "failure", "timeout"],
  ["garbage", "failure", "malformed"],
  ["wrong-id", "failure", "timeout"],
  ["wrong-question", "failure", "timeout"],
  ["header-only", "failure", "servfail"],
  ["truncate-always", "failure", "malformed"],
  ["no-edns", "data", undefined],
  ["truncate", "data", undefined],
  [{ delay: 30 }, "data", undefined],
  [{ delay: 5_000 }, "failure", "timeout"],
]

test("every misbehaviour is met as it should be, and ends when told", async (t) => {
  const responder = await started(t)
  await Promise.all(
    misbehaviours.map(async ([how, outcome, code], index) => {
      const name = `bad${index}.example`
      responder.set(name, { A: ["127.0.0.1"] })
      responder.misbehave(name, how)
      const answer = await ask(responder, name, "A", 120)
      const what = JSON.stringify(how)
      assert.equal(answer.outcome, outcome, what)
      assert.equal(answer.status, outcome === "failure" ? "indeterminate" : "insecure", what)
      if (code !== undefined)
        assert.ok(
          answer.why.some((reason) => reason.code === code),
          `${what}: ${JSON.stringify(answer.why)}`,
        )
      responder.misbehave(name, undefined)
      assert.equal((await ask(responder, name, "A")).outcome, "data", what)
    }),
  )
})

test("a misbehaviour may be for one type; a connection may be cut", async (t) => {
  const responder = await started(t)
  responder.misbehave("a.example", "servfail", "AAAA")
  assert.equal((await ask(responder, "a.example", "A")).outcome, "data")
  assert.equal((await ask(responder, "a.example", "AAAA")).outcome, "failure")
  responder.misbehave("big.example", "close")
  const socket = createConnection({ host: responder.address, port: responder.port })
  const query = encodeMessage(makeQuery(1, { name: nameFromText("big.example"), type: typeNumbers.TLSA, class: 1 }, undefined))
  socket.write(Buffer.concat([Uint8Array.of(0, query.length), query]))
  await once(socket, "close")
  assert.equal(socket.bytesRead, 0)
})

test("as a forwarder's upstream: authoritative, recursive, EDNS or none, SOA on absence, other opcodes refused, junk survived", async (t) => {
  const responder = await started(t)
  const socket = createSocket("udp4")
  t.after(() => socket.close())
  const exchange = async (query: Uint8Array) => {
    socket.send(query, responder.port, responder.address)
    const [reply] = (await once(socket, "message")) as [Buffer]
    return decodeMessage(reply)
  }
  const query = makeQuery(
    77,
    { name: nameFromText("GoNe.ExAmPlE"), type: 1, class: 1 },
    { udpPayload: 4096, version: 0, dnssecOk: true, flags: 0, options: [] },
  )
  const reply = await exchange(encodeMessage({ ...query, checkingDisabled: true }))
  assert.deepEqual(
    [reply.id, reply.response, reply.authoritative, reply.recursionAvailable, reply.authenticData, reply.rcode],
    [77, true, true, true, false, 3],
  )
  assert.equal(nameToText(reply.questions[0]!.name), "GoNe.ExAmPlE", "letter case is repeated")
  assert.equal(reply.edns?.dnssecOk, true)
  assert.deepEqual(
    reply.authorities.map((record) => typeName(record.type)),
    ["SOA"],
  )
  assert.equal((await exchange(encodeMessage({ ...query, edns: undefined }))).edns, undefined)
  assert.equal((await exchange(encodeMessage({ ...query, opcode: 4 }))).rcode, 4)
  socket.send(Uint8Array.of(9, 9, 1, 2, 3), responder.port, responder.address)
  const [refusal] = (await once(socket, "message")) as [Buffer]
  assert.deepEqual([...refusal.subarray(0, 4)], [9, 9, 0x80, 1])
  assert.equal((await ask(responder, "a.example", "A")).outcome, "data")
})

test("many lookups at once over real sockets", async (t) => {
  const responder = await started(t)
  const resolver = resolverFor(responder, 1_500)
  const answers = await Promise.all(Array.from({ length: 1_000 }, (_, index) => resolver.resolve(`n${index}.wild.example`, "A", {})))
  assert.equal(answers.filter((answer) => answer.outcome === "data").length, 1_000)
})

test("a port that is taken is an error; close ends everything", async () => {
  const responder = await startDnsResponder({ zones })
  await assert.rejects(startDnsResponder({ port: responder.port }), /EADDRINUSE/)
  await responder.close()
  const again = await startDnsResponder({ port: responder.port })
  assert.equal(again.port, responder.port)
  await again.close()
})
