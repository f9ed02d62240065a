// Names as octets: text and back, comparison, order, substitution (RFC 1035 5.1, RFC 4343, RFC 4034 6.1, RFC 6672).
import assert from "node:assert/strict"
import { test } from "node:test"
import fc from "fast-check"
import {
  compareNames,
  DnsFormatError,
  identicalName,
  isAtOrBelow,
  lowerName,
  lowerNameText,
  makeName,
  nameFromText,
  nameKey,
  nameToText,
  parentName,
  rootName,
  sameName,
  substituteSuffix,
  wireLength,
} from "../../src/dns/name.ts"

const names = fc
  .array(fc.uint8Array({ minLength: 1, maxLength: 20 }), { maxLength: 8 })
  .map((labels) => ({ labels: labels.map((label) => Uint8Array.from(label)) }))

test("property: the text in lower case is that of the name in lower case; identical is same with the same letters", () => {
  fc.assert(
    fc.property(names, (name) => {
      assert.equal(lowerNameText(name), nameToText(lowerName(name)))
      assert.equal(identicalName(name, lowerName(name)), nameToText(name) === lowerNameText(name))
    }),
  )
  assert.equal(lowerNameText(nameFromText("A.Example")), "a.example")
})

test("property: every name, with dots and NULs in labels, survives the way through text", () => {
  fc.assert(
    fc.property(names, (name) => {
      const text = nameToText(name)
      assert.match(text, /^[\x21-\x7e]+$/)
      assert.ok(identicalName(nameFromText(text), name), text)
    }),
    { numRuns: 2000, seed: 1 },
  )
})

test("a dot inside a label is not a dot between labels", () => {
  const inside = nameFromText("a\\.b.example")
  const between = nameFromText("a.b.example")
  assert.equal(inside.labels.length, 2)
  assert.equal(between.labels.length, 3)
  assert.equal(sameName(inside, between), false)
  assert.notEqual(nameKey(inside), nameKey(between))
  assert.equal(nameToText(inside), "a\\.b.example")
})

test("reads escapes, a final dot and the root", () => {
  assert.deepEqual([...nameFromText("\\065\\000x").labels[0]!], [65, 0, 120])
  assert.ok(identicalName(nameFromText("a.example."), nameFromText("a.example")))
  assert.equal(nameFromText(".").labels.length, 0)
  assert.equal(nameToText(rootName), ".")
})

test("refuses names that are none", () => {
  for (const text of [
    "a..b",
    ".a",
    "a\\",
    "a\\256",
    "a\\25",
    "é.example",
    "a\tb",
    "x".repeat(64),
    `${"x".repeat(63)}.`.repeat(4),
    "y".repeat(2000),
  ]) {
    assert.throws(() => nameFromText(text), DnsFormatError, text)
  }
  assert.throws(() => makeName([new Uint8Array(0)]), DnsFormatError)
  assert.throws(() => makeName([new Uint8Array(64)]), DnsFormatError)
})

test("a name may have 255 octets on the wire and no more", () => {
  const longest = [63, 63, 63, 61].map((length) => new Uint8Array(length).fill(0x61))
  assert.equal(wireLength(makeName(longest)), 255)
  assert.throws(() => makeName([...longest.slice(0, 3), new Uint8Array(62).fill(0x61)]), DnsFormatError)
})

test("letter case: ASCII is folded, nothing else", () => {
  const upper = nameFromText("A.ExAmPlE")
  const lower = nameFromText("a.example")
  assert.ok(sameName(upper, lower))
  assert.equal(identicalName(upper, lower), false)
  assert.equal(nameKey(upper), nameKey(lower))
  assert.equal(nameToText(lowerName(upper)), "a.example")
  // 0xc1 and 0xe1 are A and a with an accent in Latin 1; in DNS they are different octets.
  assert.equal(sameName({ labels: [Uint8Array.of(0xc1)] }, { labels: [Uint8Array.of(0xe1)] }), false)
  // "[" and "{" differ by the same bit as letters do.
  assert.equal(sameName(nameFromText("["), nameFromText("{")), false)
})

test("ancestors and substitution", () => {
  const name = nameFromText("x.y.a.example")
  assert.ok(isAtOrBelow(name, nameFromText("A.EXAMPLE")))
  assert.ok(isAtOrBelow(name, name))
  assert.ok(isAtOrBelow(name, rootName))
  assert.equal(isAtOrBelow(nameFromText("a.example"), name), false)
  assert.equal(isAtOrBelow(nameFromText("ba.example"), nameFromText("a.example")), false)
  assert.equal(nameToText(parentName(name)), "y.a.example")
  assert.equal(nameToText(substituteSuffix(name, nameFromText("a.example"), nameFromText("b.test"))), "x.y.b.test")
  const long = nameFromText(`${"x".repeat(63)}.${"x".repeat(63)}.a`)
  assert.throws(() => substituteSuffix(long, nameFromText("a"), nameFromText(`${"x".repeat(63)}.${"x".repeat(63)}`)), DnsFormatError)
})

test("canonical order of RFC 4034 6.1", () => {
  const ordered = [
    "example",
    "a.example",
    "yljkjljk.a.example",
    "Z.a.example",
    "zABC.a.EXAMPLE",
    "z.example",
    "\\001.z.example",
    "*.z.example",
    "\\200.z.example",
  ]
  const shuffled = [...ordered].sort().map(nameFromText)
  assert.deepEqual(shuffled.sort(compareNames).map(nameToText), ordered)
})

test("property: the order is total, and zero exactly for the same name", () => {
  fc.assert(
    fc.property(names, names, names, (a, b, c) => {
      assert.equal(Math.sign(compareNames(a, b)) + Math.sign(compareNames(b, a)), 0)
      assert.equal(compareNames(a, b) === 0, sameName(a, b))
      assert.equal(sameName(a, b), nameKey(a) === nameKey(b))
      if (compareNames(a, b) <= 0 && compareNames(b, c) <= 0) assert.ok(compareNames(a, c) <= 0)
    }),
    { numRuns: 1000, seed: 2 },
  )
})
