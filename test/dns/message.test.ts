// The codec: round trips without loss, hostile messages refused, nothing hangs (RFC 1035 4.1, RFC 6891).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import { type DnsMessage, decodeMessage, encodeMessage, makeQuery, maxRecords, type ResourceRecord } from "../../src/dns/message.ts"
import { DnsFormatError, nameFromText, nameToText } from "../../src/dns/name.ts"
import { encodeContent, parseBody, type RecordContent, typeNumbers } from "../../src/dns/records.ts"
import { hex, seeded, wireName } from "./support.ts"

const name = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 12 }), { maxLength: 5 })
  .map((labels) => ({ labels: labels.map((label) => Uint8Array.from(label)) }))
const u8 = fc.integer({ min: 0, max: 255 })
const u16 = fc.integer({ min: 0, max: 65535 })
const u32 = fc.integer({ min: 0, max: 4294967295 })
const octets = (minLength: number, maxLength = 40) => fc.uint8Array({ minLength, maxLength }).map((bytes) => Uint8Array.from(bytes))
const types = fc.uniqueArray(u16, { maxLength: 12 }).map((list) => list.sort((a, b) => a - b))

type Encodable = Exclude<RecordContent, { readonly kind: "A" | "AAAA" | "unknown" }>
const contents: fc.Arbitrary<Encodable> = fc.oneof(
  fc.record({ kind: fc.constantFrom("NS" as const, "CNAME" as const, "DNAME" as const, "PTR" as const), target: name }),
  fc.record({ kind: fc.constant("MX" as const), preference: u16, exchange: name }),
  fc.record({
    kind: fc.constant("SOA" as const),
    primary: name,
    mailbox: name,
    serial: u32,
    refresh: u32,
    retry: u32,
    expire: u32,
    minimum: u32,
  }),
  fc.record({ kind: fc.constant("TXT" as const), strings: fc.array(octets(0), { minLength: 1, maxLength: 4 }) }),
  fc.record({ kind: fc.constant("SRV" as const), priority: u16, weight: u16, port: u16, target: name }),
  fc.record({ kind: fc.constant("TLSA" as const), usage: u8, selector: u8, matching: u8, association: octets(1) }),
  fc.record({ kind: fc.constant("DS" as const), keyTag: u16, algorithm: u8, digestType: u8, digest: octets(1) }),
  fc.record({ kind: fc.constant("DNSKEY" as const), flags: u16, protocol: u8, algorithm: u8, publicKey: octets(1) }),
  fc.record({
    kind: fc.constant("RRSIG" as const),
    typeCovered: u16,
    algorithm: u8,
    labels: u8,
    originalTtl: u32,
    expiration: u32,
    inception: u32,
    keyTag: u16,
    signer: name,
    signature: octets(1),
  }),
  fc.record({ kind: fc.constant("NSEC" as const), next: name, types }),
  fc.record({
    kind: fc.constant("NSEC3" as const),
    algorithm: u8,
    flags: u8,
    iterations: u16,
    salt: octets(0),
    nextHash: octets(0),
    types,
  }),
  fc.record({ kind: fc.constant("NSEC3PARAM" as const), algorithm: u8, flags: u8, iterations: u16, salt: octets(0) }),
)

const records: fc.Arbitrary<ResourceRecord> = fc.oneof(
  fc
    .record({ name, content: contents, ttl: fc.integer({ min: 0, max: 0x7fffffff }) })
    .map(({ name, content, ttl }) => ({ name, type: typeNumbers[content.kind], class: 1, ttl, octets: encodeContent(content), content })),
  fc
    .record({ name, octets: octets(4, 4), ttl: fc.integer({ min: 0, max: 0x7fffffff }) })
    .map(({ name, octets, ttl }) => ({ name, type: 1, class: 1, ttl, octets, content: { kind: "A" as const, address: octets.join(".") } })),
  fc
    .record({ name, octets: octets(0, 60), type: fc.integer({ min: 300, max: 65535 }), class: u16 })
    .map(({ name, octets, type, class: recordClass }) => ({
      name,
      type,
      class: recordClass,
      ttl: 7,
      octets,
      content: { kind: "unknown" as const },
    })),
)

const messages: fc.Arbitrary<DnsMessage> = fc
  .record({
    id: u16,
    response: fc.boolean(),
    opcode: fc.integer({ min: 0, max: 15 }),
    authoritative: fc.boolean(),
    truncated: fc.boolean(),
    recursionDesired: fc.boolean(),
    recursionAvailable: fc.boolean(),
    reserved: fc.boolean(),
    authenticData: fc.boolean(),
    checkingDisabled: fc.boolean(),
    rcode: fc.integer({ min: 0, max: 4095 }),
    questions: fc.array(fc.record({ name, type: u16, class: u16 }), { maxLength: 2 }),
    answers: fc.array(records, { maxLength: 6 }),
    authorities: fc.array(records, { maxLength: 3 }),
    additionals: fc.array(records, { maxLength: 3 }),
    edns: fc.option(
      fc.record({
        udpPayload: u16,
        version: u8,
        dnssecOk: fc.boolean(),
        flags: fc.integer({ min: 0, max: 0x7fff }),
        options: fc.array(fc.record({ code: u16, value: octets(0) }), { maxLength: 3 }),
      }),
      { nil: undefined },
    ),
  })
  .map((message) => (message.edns === undefined ? { ...message, rcode: message.rcode & 15 } : message))

/** Compression writes a name's tail with the letters of its first use, so case is left out of the comparison. */
function folded(message: DnsMessage): unknown {
  const fold = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString("hex")
    if (Array.isArray(value)) return value.map(fold)
    if (value !== null && typeof value === "object") {
      if ("labels" in value && Array.isArray(value.labels)) return nameToText(value as never).toLowerCase()
      return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fold(inner)]))
    }
    return value
  }
  return fold(message)
}

test("property: every message survives encoding, labels of any octets and unknown types included", () => {
  fc.assert(
    fc.property(messages, (message) => {
      assert.deepEqual(folded(decodeMessage(encodeMessage(message))), folded(message))
    }),
    { numRuns: 1500, seed: 11 },
  )
})

test("property: record data is kept octet by octet, case and all", () => {
  fc.assert(
    fc.property(contents, (content) => {
      const encoded = encodeContent(content)
      const parsed = parseBody(typeNumbers[content.kind], encoded)
      assert.deepEqual(parsed, { ...content })
      const message = { ...makeQuery(1, { name: nameFromText("a.example"), type: 1, class: 1 }, undefined) }
      const record = { name: nameFromText("a.example"), type: typeNumbers[content.kind], class: 1, ttl: 1, octets: encoded, content }
      assert.deepEqual(decodeMessage(encodeMessage({ ...message, answers: [record] })).answers[0]!.octets, encoded)
    }),
    { numRuns: 1500, seed: 12 },
  )
})

const header = (counts: string, flags = "8180") => `1234 ${flags} ${counts}`
const question = `${wireName("a.example")} 0001 0001`

test("reads a compressed answer as other servers write it", () => {
  // SRV target and owner point into the question; RFC 3597 4 asks to take the former all the same.
  const text = `${header("0001 0001 0000 0000")} ${wireName("_s._tcp.a.example")} 0021 0001  c00c 0021 0001 0000003c 000d 0001 0002 1495 04 786d7070 c014`
  const message = decodeMessage(hex(text))
  const [record] = message.answers
  assert.equal(record!.content.kind, "SRV")
  assert.ok(record!.content.kind === "SRV" && nameToText(record!.content.target) === "xmpp.a.example")
  assert.equal(nameToText(record!.name), "_s._tcp.a.example")
  assert.deepEqual(record!.octets, hex(`0001 0002 1495 ${wireName("xmpp.a.example")}`), "kept decompressed")
})

test("compresses owner names and no names in data", () => {
  const target = nameFromText("a.example")
  const record = (owner: string): ResourceRecord => {
    const content = { kind: "CNAME" as const, target }
    return { name: nameFromText(owner), type: 5, class: 1, ttl: 1, octets: encodeContent(content), content }
  }
  const query = makeQuery(1, { name: nameFromText("b.a.example"), type: 5, class: 1 }, undefined)
  const bytes = encodeMessage({ ...query, answers: [record("b.a.example"), record("c.a.example")] })
  // Header, question (13 + 4), then owner c00c and owner 01 'c' c00e, each with 10 octets of fields and 11 of data.
  assert.equal(bytes.length, 12 + 17 + (2 + 10 + 11) + (4 + 10 + 11))
  assert.equal(nameToText(decodeMessage(bytes).answers[1]!.name), "c.a.example")
})

const answer = (data: string, type: string, length?: string) =>
  `${header("0001 0001 0000 0000")} ${question} c00c ${type} 0001 0000003c ${length ?? (data.replace(/\s/g, "").length / 2).toString(16).padStart(4, "0")} ${data}`

const hostile: [string, string][] = [
  ["empty", ""],
  ["header cut short", "1234 8180 0001 0000 0000"],
  ["question missing", header("0001 0000 0000 0000")],
  ["more records claimed than there is room for", `${header("0001 00ff 0000 0000")} ${question}`],
  ["65535 records claimed", `${header("0001 ffff ffff ffff")} ${question}`],
  ["17 questions", `${header("0011 0000 0000 0000")} ${question}`],
  ["name pointing at itself", `${header("0001 0000 0000 0000")} c00c 0001 0001`],
  ["name pointing forward", `${header("0001 0000 0000 0000")} c00e 00 0001 0001`],
  ["pointer loop through a label", `${header("0001 0000 0000 0000")} 01 61 c00c 0001 0001`],
  ["two pointers at each other", `${header("0001 0001 0000 0000")} ${question} c01f c01d 0001 0001 00000000 0000`],
  ["pointer behind the message", `${header("0001 0000 0000 0000")} ffff 0001 0001`],
  ["reserved label type 01", `${header("0001 0000 0000 0000")} 41 61 00 0001 0001`],
  ["reserved label type 10", `${header("0001 0000 0000 0000")} 81 61 00 0001 0001`],
  ["label past the end", `${header("0001 0000 0000 0000")} 3f 61 61`],
  ["name of 256 octets", `${header("0001 0000 0000 0000")} ${`3f ${"61".repeat(63)}`.repeat(3)} 3f ${"61".repeat(63)} 00 0001 0001`],
  ["octets behind the message", `${header("0001 0000 0000 0000")} ${question} 00`],
  ["data length past the end", answer("7f000001", "0001", "0005")],
  ["A of 3 octets", answer("7f0000", "0001")],
  ["A of 5 octets", answer("7f00000100", "0001")],
  ["A of no octets", answer("", "0001")],
  ["AAAA of 4 octets", answer("7f000001", "001c")],
  ["SRV without target", answer("0000 0000 1495", "0021")],
  ["SRV with octets behind the target", answer(`0000 0000 1495 ${wireName("x")} 00`, "0021")],
  ["SRV target past its data", answer("0000 0000 1495 05 61", "0021")],
  ["SRV target that ends in the next record's octets", answer(`0000 0000 1495 ${wireName("abc")}`, "0021", "0009")],
  ["TLSA of 2 octets", answer("0301", "0034")],
  ["TLSA without association data", answer("030101", "0034")],
  ["TXT without string", answer("", "0010")],
  ["TXT string past its data", answer("05 61", "0010")],
  ["SOA cut short", answer(`${wireName("a")} ${wireName("b")} 0000`, "0006")],
  ["CNAME with a loop inside", answer("c027", "0005")],
  ["DS without digest", answer("0001 0d 02", "002b")],
  ["DNSKEY without key", answer("0101 03 0d", "0030")],
  ["RRSIG without signature", answer(`0001 0d 02 0000003c 00000000 00000000 0000 ${wireName("a")}`, "002e")],
  ["NSEC with a bitmap of 200 octets", answer(`${wireName("a")} 00 c8 ${"01".repeat(200)}`, "002f")],
  ["NSEC with an empty bitmap window", answer(`${wireName("a")} 00 00`, "002f")],
  ["NSEC with a bitmap ending in zeros", answer(`${wireName("a")} 00 02 40 00`, "002f")],
  ["NSEC with falling windows", answer(`${wireName("a")} 01 01 40 00 01 40`, "002f")],
  ["NSEC3 salt past its data", answer("01 00 0000 ff 00", "0032")],
  ["NSEC3PARAM with octets behind", answer("01 00 0000 00 00", "0033")],
  ["two OPT records", `${header("0000 0000 0000 0002")} 00 0029 04d0 00000000 0000  00 0029 04d0 00000000 0000`],
  ["OPT in the answer section", `${header("0000 0001 0000 0000")} 00 0029 04d0 00000000 0000`],
  ["OPT away from the root", `${header("0000 0000 0000 0001")} ${wireName("a")} 0029 04d0 00000000 0000`],
  ["OPT option past its data", `${header("0000 0000 0000 0001")} 00 0029 04d0 00000000 0004 000a 0008`],
]

test("refuses hostile messages, each with a sentence", () => {
  for (const [what, text] of hostile) {
    assert.throws(() => decodeMessage(hex(text)), DnsFormatError, what)
  }
  assert.throws(() => decodeMessage(new Uint8Array(70_000)), DnsFormatError)
})

test("a chain of pointers does bounded work", () => {
  // 16 kB of pointers, each to the one before: read a few dozen, then refused.
  const bytes = new Uint8Array(12 + 16_000)
  bytes.set(hex(header("0001 0000 0000 0000")))
  for (let at = 14; at + 1 < 12 + 16_000; at += 2) {
    bytes[at] = 0xc0 | ((at - 2) >> 8)
    bytes[at + 1] = (at - 2) & 0xff
  }
  const answers = Buffer.concat([bytes, hex("fe00 0001 0001 00000000 0000")])
  answers.writeUInt16BE(0, 4)
  assert.throws(() => decodeMessage(answers), DnsFormatError)
})

test("a message of more than 1000 records is refused before they are read", () => {
  const query = makeQuery(1, { name: nameFromText("a.example"), type: 1, class: 1 }, undefined)
  const record: ResourceRecord = {
    name: nameFromText("a.example"),
    type: 1,
    class: 1,
    ttl: 1,
    octets: hex("7f000001"),
    content: { kind: "A", address: "127.0.0.1" },
  }
  assert.equal(decodeMessage(encodeMessage({ ...query, answers: new Array(maxRecords).fill(record) })).answers.length, maxRecords)
  assert.throws(() => decodeMessage(encodeMessage({ ...query, answers: new Array(4000).fill(record) })), /4000 records/)
  assert.throws(() => encodeMessage({ ...query, answers: new Array(5000).fill(record) }), DnsFormatError)
})

test("TTLs with the highest bit set are zero (RFC 2181 8)", () => {
  const message = decodeMessage(hex(answer("7f000001", "0001").replace("0000003c", "ffffffff")))
  assert.equal(message.answers[0]!.ttl, 0)
})

test("records of another class are kept as octets", () => {
  const message = decodeMessage(hex(`${header("0001 0001 0000 0000")} ${question} c00c 0001 0003 00000000 0002 0102`))
  assert.deepEqual(message.answers[0]!.content, { kind: "unknown" })
})

test("the extended response code needs EDNS", () => {
  const query = makeQuery(1, { name: nameFromText("a.example"), type: 1, class: 1 }, undefined)
  assert.throws(() => encodeMessage({ ...query, rcode: 16 }), DnsFormatError)
})

test("fuzz: mutated and random octets are decoded or refused, never anything else, and fast", () => {
  const random = seeded(99)
  const samples = fc.sample(messages, { numRuns: 60, seed: 5 }).map(encodeMessage)
  let decoded = 0
  const begun = process.hrtime.bigint()
  for (let round = 0; round < 20_000; round += 1) {
    const sample = Uint8Array.from(samples[round % samples.length]!)
    for (let change = 0; change <= round % 4; change += 1) sample[Math.floor(random() * sample.length)] = Math.floor(random() * 256)
    const cut = round % 5 === 0 ? sample.subarray(0, Math.floor(random() * sample.length)) : sample
    try {
      decodeMessage(cut)
      decoded += 1
    } catch (error) {
      assert.ok(error instanceof DnsFormatError, String(error))
    }
  }
  assert.ok(decoded > 1000, "mutations leave many messages readable")
  assert.ok(process.hrtime.bigint() - begun < 8_000_000_000n, "20,000 messages in seconds")
})
