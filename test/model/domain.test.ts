// parseDomain, unicode and the splitting of addresses (security.md 23, CORE-27, RFC 7622 3).
import assert from "node:assert/strict"
import { test } from "node:test"
import { domainToASCII } from "node:url"
import fc from "fast-check"
import {
  DomainError,
  domainOfJid,
  domainTextOfJid,
  isIpLiteral,
  JidError,
  octetLength,
  parseDomain,
  parseJid,
  tryDomain,
  unicode,
} from "../../src/model/domain.ts"

const label63 = "a".repeat(63)

const accepted: [string, string][] = [
  ["a.example", "a.example"],
  ["A.EXAMPLE", "a.example"],
  ["a.example.", "a.example"],
  ["localhost", "localhost"],
  ["1.example", "1.example"],
  ["3com.example", "3com.example"],
  ["a.1com", "a.1com"],
  ["a--b.example", "a--b.example"],
  ["bücher.example", "xn--bcher-kva.example"],
  ["xn--bcher-kva.example", "xn--bcher-kva.example"],
  ["XN--BCHER-KVA.Example.", "xn--bcher-kva.example"],
  ["BüCHER.example", "xn--bcher-kva.example"],
  ["faß.example", "xn--fa-hia.example"],
  ["日本語.example", "xn--wgv71a119e.example"],
  ["пример.example", "xn--e1afmkfd.example"],
  ["a.пример", "a.xn--e1afmkfd"],
  ["l·l.example", "xn--ll-0ea.example"],
  [`${label63}.example`, `${label63}.example`],
  [`${label63}.${label63}.${label63}.${"a".repeat(61)}`, `${label63}.${label63}.${label63}.${"a".repeat(61)}`],
]

test("accepts A-labels, U-labels, ASCII case and one final dot", () => {
  for (const [text, domain] of accepted) {
    assert.equal(parseDomain(text), domain, text)
    assert.equal(tryDomain(text), domain, text)
    assert.equal(parseDomain(domain), domain, "canonical form is its own canonical form")
  }
})

const refused: [string, DomainError["problem"], string][] = [
  ["", "empty", "nothing"],
  [".", "empty", "the root"],
  ["a.example..", "empty-label", "two final dots"],
  ["..", "empty-label", "dots only"],
  [".a.example", "empty-label", "leading dot"],
  ["a..example", "empty-label", "empty label"],
  ["\u212Aelvin.example", "mapping", "Kelvin sign"],
  ["a.\u212A", "mapping", "Kelvin sign at the end"],
  ["a\u3002example", "mapping", "ideographic full stop"],
  ["a\uff0eexample", "mapping", "fullwidth full stop"],
  ["a\uff61example", "mapping", "halfwidth ideographic full stop"],
  ["\uff11\uff12\uff17.example", "mapping", "fullwidth digits"],
  ["\uff41.example", "mapping", "fullwidth letter"],
  ["É.example", "mapping", "upper case beyond ASCII"],
  ["e\u0301.example", "mapping", "not NFC"],
  ["a\u00adb.example", "mapping", "soft hyphen"],
  ["ſ.example", "mapping", "long s"],
  ["ﬁ.example", "mapping", "ligature"],
  ["①.example", "mapping", "circled digit"],
  ["a\u200db.example", "character", "joiner out of context"],
  ["\u0301a.example", "character", "leading combining mark"],
  ["1א.example", "character", "bidi rule"],
  ["☃.example", "character", "a symbol is not PVALID"],
  ["xn--n3h.example", "a-label", "A-label of a symbol"],
  ["xn--a-.example", "hyphen", "A-label of ASCII"],
  ["xn--.example", "hyphen", "A-label of nothing"],
  ["xn--zzzzzzzz99999.example", "a-label", "Bootstring overflow"],
  ["a.xn--", "hyphen", "ends in xn--"],
  ["xn--e-xbb.example", "a-label", "A-label that decodes to something not in NFC"],
  ["a_b.example", "character", "underscore"],
  ["_xmpp-server._tcp.a.example", "character", "service name"],
  ["a b.example", "character", "space"],
  [" a.example", "character", "leading space"],
  ["a.example\n", "character", "line feed"],
  ["a\0.example", "character", "NUL"],
  ["a%2eexample", "character", "percent"],
  ["user@a.example", "character", "at sign"],
  ["a.example/x", "character", "slash"],
  ["a.example:5269", "character", "port"],
  ["é/x.example", "character", "slash behind a U-label"],
  ["é\t.example", "mapping", "tab that URLs drop"],
  ["x@é.example", "mapping", "user info of a URL"],
  ["*.example", "character", "wildcard"],
  ["-a.example", "hyphen", "leading hyphen"],
  ["a-.example", "hyphen", "final hyphen"],
  [`${"a".repeat(64)}.example`, "label-too-long", "64 octets"],
  [`${"ü".repeat(60)}.example`, "label-too-long", "60 letters, more than 63 octets as A-label"],
  [`${label63}.${label63}.${label63}.${"a".repeat(62)}`, "too-long", "254 octets"],
  ["ü.".repeat(400), "too-long", "over 1023 octets"],
  ["a".repeat(100_000), "too-long", "100 kB"],
  ["192.0.2.1", "ip-literal", "dotted quad"],
  ["999.0.2.1", "ip-literal", "dotted quad out of range"],
  ["127.0.0.1.", "ip-literal", "dotted quad with final dot"],
  ["[2001:db8::1]", "ip-literal", "IPv6 in brackets"],
  ["::1", "ip-literal", "IPv6"],
  ["fe80::1%eth0", "ip-literal", "IPv6 with zone"],
  ["0x7f.1", "numeric", "address in hexadecimal"],
  ["127.1", "numeric", "short address"],
  ["2130706433", "numeric", "address as one number"],
  ["0x7f000001", "numeric", "address as one hexadecimal number"],
  ["a.0x", "numeric", "what URLs read as zero"],
  ["a.123", "numeric", "numeric top-level domain"],
]

test("refuses everything that changes under mapping or is no domain, with a sentence", () => {
  for (const [text, problem, what] of refused) {
    assert.throws(
      () => parseDomain(text),
      (error) => {
        assert.ok(error instanceof DomainError, `${what}: DomainError`)
        assert.equal(error.problem, problem, `${what}: ${error.message}`)
        assert.match(error.message, /\.$/)
        assert.match(error.message, /^[\x20-\x7e]*$/, "a message is printable ASCII")
        assert.ok(error.message.length < 700)
        return true
      },
      what,
    )
    assert.equal(tryDomain(text), undefined, what)
  }
})

test("says domains in U-labels", () => {
  assert.equal(unicode(parseDomain("xn--bcher-kva.example")), "bücher.example")
  assert.equal(unicode(parseDomain("a.xn--e1afmkfd")), "a.пример")
  assert.equal(unicode(parseDomain("a.example")), "a.example")
})

test("property: what is accepted is canonical, equal to the platform mapping, and survives the way through U-labels", () => {
  const labelUnit = fc.constantFrom(..."abz019-AZüßéאבдя日本語\u0301\u200d\u212a\uff11\u3002_ .xn")
  fc.assert(
    fc.property(fc.array(fc.string({ unit: labelUnit, minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 4 }), (labels) => {
      const text = labels.join(".")
      const domain = tryDomain(text)
      if (domain === undefined) return
      assert.match(domain, /^[a-z0-9.-]+$/)
      assert.equal(parseDomain(domain), domain)
      assert.equal(domain, domainToASCII(text).replace(/\.$/, ""))
      assert.equal(parseDomain(unicode(domain)), domain)
    }),
    { numRuns: 3000, seed: 23 },
  )
})

test("property: nothing but DomainError is ever thrown", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
      for (const attempt of [text, `xn--${text}`, `${text}.example`]) {
        try {
          assert.equal(typeof parseDomain(attempt), "string")
        } catch (error) {
          assert.ok(error instanceof DomainError)
        }
      }
    }),
    { numRuns: 2000, seed: 7 },
  )
})

test("knows IP literals", () => {
  for (const text of ["127.0.0.1", "256.1.1.1", "::", "::1", "[::1]", "::ffff:192.0.2.1", "fe80::1%lo"])
    assert.equal(isIpLiteral(text), true, text)
  for (const text of ["a.example", "1.2.3", "1.2.3.4.5", "a:b", "", "face"]) assert.equal(isIpLiteral(text), false, text)
})

test("splits an address at the first slash, then the first at sign", () => {
  assert.deepEqual(parseJid("a.example"), { domain: "a.example" })
  assert.deepEqual(parseJid("u@a.example"), { local: "u", domain: "a.example" })
  assert.deepEqual(parseJid("u@a.example/r/s@t"), { local: "u", domain: "a.example", resource: "r/s@t" })
  // security.md 23: the part behind the slash is a resource, never a domain.
  assert.deepEqual(parseJid("a.example/x@victim.example"), { domain: "a.example", resource: "x@victim.example" })
  assert.equal(domainOfJid("a.example/x@victim.example"), "a.example")
  assert.equal(domainOfJid("u@A.Example./r"), "a.example")
  assert.equal(domainTextOfJid("u@B.example/r"), "B.example")
  assert.equal(domainOfJid("a@b@c.example"), undefined)
  assert.throws(() => parseJid("a@b@c.example"), DomainError)
})

test("refuses addresses with an empty, over-long or forbidden part", () => {
  for (const text of [
    "@a.example",
    "u u@a.example",
    'u"@a.example',
    "u'@a.example",
    "u&@a.example",
    "u<@a.example",
    "u:@a.example",
    `${"x".repeat(1024)}@a.example`,
  ]) {
    assert.throws(
      () => parseJid(text),
      (error) => error instanceof JidError && error.problem === "local-part",
      text,
    )
  }
  for (const text of ["a.example/", "a.example/\u0007", `a.example/${"é".repeat(512)}`, "a.example/\ud800"]) {
    assert.throws(
      () => parseJid(text),
      (error) => error instanceof JidError && error.problem === "resource",
      text,
    )
  }
  assert.throws(
    () => parseJid("x".repeat(4000)),
    (error) => error instanceof JidError && error.problem === "too-long",
  )
  assert.throws(() => parseJid("u@"), DomainError)
  assert.throws(() => parseJid("/r"), DomainError)
})

test("counts octets as UTF-8 does", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
      assert.equal(octetLength(text), Buffer.byteLength(text))
    }),
    { numRuns: 1000, seed: 3 },
  )
  assert.equal(octetLength("\ud800x"), 4)
})

test("attack, red then green: texts a lenient reader takes for the victim's domain are refused here", () => {
  // What mapping first and comparing later would make of them (security.md 23).
  const lenient = (text: string): string => new URL(`http://${text.split("@").at(-1)}/`).hostname.replace(/\.+$/, "")
  const attacks: [string, string][] = [
    ["\u212Aelvin.example", "kelvin.example"],
    ["victim\u3002example", "victim.example"],
    ["\uff56ictim.example", "victim.example"],
    ["vic\u00adtim.example", "victim.example"],
    ["victim.example..", "victim.example"],
    ["0x7f.1", "127.0.0.1"],
    ["\uff11\uff12\uff17.0.0.1", "127.0.0.1"],
    ["a.example/x@victim.example", "victim.example"],
  ]
  for (const [text, victim] of attacks) {
    assert.equal(lenient(text), victim, `the lenient reader is fooled by ${text}`)
    assert.notEqual(domainOfJid(text), victim)
    if (!text.includes("/")) assert.throws(() => parseDomain(text), DomainError)
  }
})
