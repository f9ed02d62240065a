// The parts alone: hash and key tag vectors, canonical form, anchors, periods, and the limits of work (RFC 4034, 5155, 8080; CVE-2023-50387, -50868).
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { test } from "node:test"
import { AnchorError, anchorFor, parseAnchors, rootAnchors } from "../../../src/dns/dnssec/anchors.ts"
import { canonicalBodies, canonicalBody, signedOctets } from "../../../src/dns/dnssec/canonical.ts"
import { denialByNsec, nsecAllowsExpansion, type VerifiedNsec } from "../../../src/dns/dnssec/denial-nsec.ts"
import { denialByNsec3, hashFromLabel, labelFromHash, nsec3Hash, type VerifiedNsec3 } from "../../../src/dns/dnssec/denial-nsec3.ts"
import { dsDigest, isUsableDs } from "../../../src/dns/dnssec/ds.ts"
import { isSupportedAlgorithm, keyTag, ZoneKey } from "../../../src/dns/dnssec/keys.ts"
import { instantOf } from "../../../src/dns/dnssec/rrsig.ts"
import { defaultWorkLimits, Work, WorkExceeded } from "../../../src/dns/dnssec/work.ts"
import { nameFromText } from "../../../src/dns/name.ts"
import { encodeContent, parseBody, typeNumbers } from "../../../src/dns/records.ts"
import { makeSigningKey, signSet } from "../../../src/lab/dns-signer.ts"
import { record } from "../../../src/lab/dns-zones.ts"
import { hex, seeded } from "../support.ts"

const work = (): Work => new Work(defaultWorkLimits)

test("NSEC3 hashes of RFC 5155 appendix A", () => {
  const salt = hex("aabbccdd")
  for (const [name, expected] of [
    ["example", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom"],
    ["a.example", "35mthgpgcu1qg68fab165klnsnk3dpvl"],
    ["ai.example", "gjeqe526plbf1g8mklp59enfd789njgi"],
    ["*.w.example", "r53bq7cc2uvmubfu5ocmm6pers9tk9en"],
    ["X.Y.w.example", "2vptu5timamqttgl4luu9kg21e0aor3s"],
  ] as const) {
    const hashed = nsec3Hash(nameFromText(name), 12, salt)
    assert.equal(labelFromHash(hashed), expected)
    assert.deepEqual(Buffer.from(hashFromLabel(Buffer.from(expected.toUpperCase()))!), Buffer.from(hashed))
  }
  assert.equal(hashFromLabel(Buffer.from("0p9mhaveqvm6t7vbl5lop2u3t2rp3tow")), undefined)
  assert.equal(hashFromLabel(Buffer.from("0p9m")), undefined)
})

test("the Ed25519 key of RFC 8080 6.1 and its DS record", () => {
  const publicKey = Buffer.from("l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=", "base64")
  const octets = encodeContent({ kind: "DNSKEY", flags: 257, protocol: 3, algorithm: 15, publicKey })
  assert.equal(keyTag(octets), 3613)
  const digest = dsDigest(2, nameFromText("Example.COM"), octets)!
  assert.equal(Buffer.from(digest).toString("hex"), "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b")
})

test("octets that are no key of their algorithm verify nothing and throw nothing", async () => {
  for (const algorithm of [1, 5, 7, 8, 10, 12, 13, 14, 15, 16, 200]) {
    for (const length of [0, 1, 2, 31, 32, 57, 64, 96, 130, 600]) {
      for (const fill of [0, 1, 0xff]) {
        const key = new ZoneKey(new Uint8Array(4), algorithm, new Uint8Array(length).fill(fill))
        for (const signature of [0, 64, 96, 114, 128]) {
          assert.equal(key.verifies(new Uint8Array(3), new Uint8Array(signature)), false)
          assert.equal(await key.verifiesLater(new Uint8Array(3), new Uint8Array(signature)), false)
        }
      }
    }
  }
  assert.ok(!isSupportedAlgorithm(5) && !isSupportedAlgorithm(7) && isSupportedAlgorithm(16))
})

test("both ways of verifying agree on every algorithm, also for signatures that are cut, stretched or noise", async () => {
  const noise = seeded(5)
  for (const algorithm of [8, 10, 13, 14, 15, 16]) {
    const signer = makeSigningKey(algorithm)
    const key = new ZoneKey(signer.octets, algorithm, signer.octets.subarray(4))
    const records = [record(nameFromText("a.example"), typeNumbers.A, Uint8Array.of(127, 0, 0, 1), 60)]
    const { content } = signSet(records, nameFromText("example"), signer, { inception: 0, expiration: 1 })
    assert.ok(content.kind === "RRSIG")
    const signed = signedOctets({ name: records[0]!.name, type: typeNumbers.A, records, signatures: [] }, content)
    const { signature } = content
    const random = Array.from({ length: 40 }, () => signature.map((octet) => (noise() < 0.02 ? Math.floor(noise() * 256) : octet)))
    const zero = signature.map((octet, at) => (at < signature.length / 2 ? 0 : octet))
    for (const one of [signature, signature.slice(1), Uint8Array.of(...signature, 0), new Uint8Array(signature.length), zero, ...random]) {
      const expected = Buffer.compare(one, signature) === 0
      assert.equal(key.verifies(signed, one), expected)
      assert.equal(await key.verifiesLater(signed, one), expected)
    }
  }
})

test("canonical form: names inside in lower case, order by octets, each record once", () => {
  const srv = (target: string) => {
    const octets = encodeContent({ kind: "SRV", priority: 1, weight: 2, port: 3, target: nameFromText(target) })
    return { type: typeNumbers.SRV, octets, content: parseBody(typeNumbers.SRV, octets) }
  }
  assert.deepEqual(canonicalBodies([srv("B.example"), srv("a.EXAMPLE"), srv("b.Example")]), [
    srv("a.example").octets,
    srv("b.example").octets,
  ])
  // RFC 6840 5.1: the next name of an NSEC record keeps its case.
  const nsec = encodeContent({ kind: "NSEC", next: nameFromText("UPPER.example"), types: [1] })
  assert.deepEqual(canonicalBody({ type: typeNumbers.NSEC, octets: nsec, content: parseBody(typeNumbers.NSEC, nsec) }), nsec)
  // NAPTR (35) is read by nobody here and has a name at its end all the same; what only claims to be one stays as it is.
  const naptr = hex("0001 0002 01 61 01 62 00 05 41424344 45 00")
  assert.deepEqual(
    canonicalBody({ type: 35, octets: naptr, content: { kind: "unknown" } }),
    hex("0001 0002 01 61 01 62 00 05 61626364 65 00"),
  )
  assert.deepEqual(canonicalBody({ type: 35, octets: hex("4142"), content: { kind: "unknown" } }), hex("4142"))
})

test("signature times are 32 bits around now (RFC 4034 3.1.5)", () => {
  const at = Date.UTC(2106, 1, 7, 6, 28, 0)
  assert.equal(instantOf(0xffffffff, at), Date.UTC(2106, 1, 7, 6, 28, 15))
  assert.equal(instantOf(10, at), Date.UTC(2106, 1, 7, 6, 28, 26))
  assert.equal(instantOf(0, Date.UTC(2026, 0, 1)), 0)
})

test("anchors: both root keys are shipped; own ones are read from zone file lines", () => {
  assert.deepEqual(
    rootAnchors.anchors.flatMap(({ ds }) => ds.map((one) => one.keyTag)),
    [20326, 38696],
  )
  const digest = "ab".repeat(32)
  const set = parseAnchors(
    `; comment\n\nlab.example. 3600 IN DS 1 13 2 ${digest} ; more\nlab.example DS 2 8 4 (${"cd".repeat(48)})\n. DS 3 15 2 ${digest}`,
  )
  assert.deepEqual(
    set.anchors.map(({ ds }) => ds.map((one) => one.keyTag)),
    [[1, 2], [3]],
  )
  assert.equal(anchorFor(set, nameFromText("deep.LAB.example"))?.ds.length, 2)
  assert.equal(anchorFor(set, nameFromText("other.example"))?.ds.length, 1)
  const key = parseAnchors("example.com. IN DNSKEY 257 3 15 l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=")
  assert.equal(key.anchors[0]!.ds[0]!.keyTag, 3613)
  const other = parseAnchors(`. DS 3 15 2 ${digest}\nlab.example DS 2 8 4 ${"cd".repeat(48)}\nlab.example. DS 1 13 2 ${digest}`)
  assert.equal(other.digest, set.digest, "order and spelling make no difference")
  for (const [text, message] of [
    ["", /no trust anchor/],
    ["; nothing", /no trust anchor/],
    [". DS 1 13 2 xyz", /line 1: the digest/],
    [`. DS 70000 13 2 ${digest}`, /line 1: the key tag/],
    ["\na..b DS 1 13 2 00", /line 2:/],
    [". TXT hello", /line 1: neither/],
    [". DNSKEY 257 3 13 !!", /line 1: the key is no Base64/],
    [`. DS 1 5 2 ${digest}`, /no anchor of \. has a supported/],
    [`. DS 1 13 1 ${"ab".repeat(20)}`, /no anchor of \. has a supported/],
  ] as const) {
    assert.throws(
      () => parseAnchors(text),
      (error) => error instanceof AnchorError && message.test(error.message),
      text,
    )
  }
  assert.equal(isUsableDs({ keyTag: 1, algorithm: 13, digestType: 2, digest: new Uint8Array(31) }), false)
})

const nsec = (owner: string, next: string, ...types: (keyof typeof typeNumbers)[]): VerifiedNsec => ({
  owner: nameFromText(owner),
  next: nameFromText(next),
  types: types.map((type) => typeNumbers[type]),
})
const apex = nameFromText("example")
const denied = (records: readonly VerifiedNsec[], name: string, type: keyof typeof typeNumbers) =>
  denialByNsec(records, nameFromText(name), typeNumbers[type], apex)

test("NSEC: what a record must not be taken to deny (RFC 6840 4)", () => {
  const delegation = nsec("sub.example", "z.example", "NS", "RRSIG", "NSEC")
  const start = nsec("example", "sub.example", "NS", "SOA", "DNSKEY")
  assert.deepEqual(denied([delegation], "sub.example", "DS"), { kind: "no-data", delegation: true, wildcard: false })
  assert.equal(denied([delegation], "sub.example", "A").kind, "nothing", "the parent says nothing about the child's data")
  assert.equal(denied([delegation, start], "x.sub.example", "A").kind, "nothing", "nor about what is below")
  assert.equal(denied([start], "example", "DS").kind, "nothing", "the child's apex says nothing about its DS")
  assert.equal(denied([nsec("d.example", "z.example", "DNAME"), nsec("example", "d.example", "SOA")], "x.d.example", "A").kind, "nothing")
  assert.equal(denied([nsec("c.example", "z.example", "CNAME")], "c.example", "TXT").kind, "nothing")
  assert.equal(denied([nsec("c.example", "z.example", "A")], "c.example", "A").kind, "nothing")
  assert.equal(denied([nsec("a.example", "c.example", "A")], "b.example", "A").kind, "nothing", "the wildcard is not denied")
  assert.deepEqual(denied([nsec("a.example", "c.example"), start], "b.example", "A"), { kind: "name-error" })
  assert.deepEqual(denied([nsec("a.example", "x.b.example")], "b.example", "A"), { kind: "no-data", delegation: false, wildcard: false })
  // The last record leads back to the apex, and to nothing else.
  assert.deepEqual(denied([nsec("m.example", "example"), start], "z.example", "A"), { kind: "name-error" })
  assert.equal(denied([nsec("m.example", "a.example"), start], "z.example", "A").kind, "nothing")
  assert.equal(denied([nsec("m.example", "example"), start], "z.other", "A").kind, "nothing")
  // A zone with its apex alone.
  assert.deepEqual(denied([nsec("example", "example", "SOA", "NS")], "any.example", "A"), { kind: "name-error" })
  assert.equal(denied([nsec("example", "example", "SOA", "NS")], "example", "A").kind, "no-data")
})

test("NSEC: names below a wildcard make it exist, and what exists nearer forbids its expansion (RFC 4592)", () => {
  const first = nsec("example", "a.example", "SOA")
  assert.deepEqual(denied([nsec("example", "x.*.example", "SOA"), nsec("m.example", "example")], "z.example", "A"), {
    kind: "no-data",
    delegation: false,
    wildcard: true,
  })
  const allows = (record: VerifiedNsec, name: string, encloser: string) =>
    nsecAllowsExpansion([record, first], nameFromText(name), nameFromText(encloser), apex)
  assert.equal(allows(nsec("a.example", "z.example"), "x.example", "example"), true)
  assert.equal(allows(nsec("a.example", "y.x.example"), "x.example", "example"), false, "the name itself exists")
  assert.equal(allows(nsec("a.x.example", "z.example"), "b.x.example", "example"), false, "x.example exists and is nearer")
  assert.equal(allows(nsec("a.x.example", "z.example"), "b.x.example", "x.example"), true)
  assert.equal(allows(nsec("x.example", "z.example", "NS"), "b.x.example", "x.example"), false, "a delegation lies in between")
  assert.equal(allows(nsec("b.example", "c.example"), "x.example", "example"), false)
})

/** Two records around everything, with the types of one name between them. */
function hashedAround(encloser: string, ...types: (keyof typeof typeNumbers)[]): VerifiedNsec3[] {
  const ownerHash = nsec3Hash(nameFromText(encloser), 0, new Uint8Array(0))
  const same = { optOut: false, iterations: 0, salt: new Uint8Array(0) }
  return [{ ...same, ownerHash, nextHash: ownerHash, types: types.map((type) => typeNumbers[type]) }]
}

test("NSEC3: a delegation or a DNAME above the name denies nothing below it (RFC 6840 4.1)", () => {
  const below = nameFromText("x.sub.example")
  const kind = (...types: (keyof typeof typeNumbers)[]) => denialByNsec3(hashedAround("sub.example", ...types), below, 1, apex, work()).kind
  assert.equal(kind("A"), "name-error")
  assert.equal(kind("NS", "SOA"), "name-error", "the apex of this very zone")
  assert.equal(kind("NS"), "nothing")
  assert.equal(kind("NS", "DS"), "nothing")
  assert.equal(kind("DNAME"), "nothing")
})

test("NSEC3: hashes are counted, and cost is bounded before it is paid", () => {
  const record: VerifiedNsec3 = {
    ownerHash: new Uint8Array(20),
    nextHash: new Uint8Array(20).fill(1),
    optOut: false,
    iterations: 150,
    salt: new Uint8Array(255),
    types: [],
  }
  const deep = nameFromText(`${"a.".repeat(120)}example`)
  const counted = work()
  assert.throws(() => denialByNsec3([record], deep, 1, apex, counted), WorkExceeded)
  assert.ok(counted.hashRounds <= defaultWorkLimits.hashRounds + 151)
  const costly = work()
  assert.deepEqual(denialByNsec3([{ ...record, iterations: 151 }], deep, 1, apex, costly), { kind: "unsigned", because: "iterations" })
  assert.equal(costly.hashRounds, 0)
})
