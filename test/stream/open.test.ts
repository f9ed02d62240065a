// Stream headers and features, read and written (CORE-10 to CORE-20, DB-01 to DB-03); stream errors read (RFC 6120 4.9).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { ProtocolError } from "../../src/model/errors.ts"
import { ns } from "../../src/model/namespaces.ts"
import { featuresXml, noFeatures, readFeatures } from "../../src/stream/features.ts"
import { headerXml, readHeader } from "../../src/stream/open.ts"
import { readStreamError, streamErrorXml } from "../../src/stream/stream-errors.ts"
import { authXml, failureXml, readAuth, readResponse } from "../../src/stream/sasl-external.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlParser } from "../../src/xml/parser.ts"

function rootOf(xml: string): XmlElement {
  const parser = new XmlParser()
  parser.push(Buffer.from(xml))
  const event = parser.next()
  return event?.kind === "open" ? event.root : assert.fail("no header")
}

function elementOf(xml: string): XmlElement {
  const parser = XmlParser.continueFrom([["", ns.server], ["stream", ns.streams], ["db", ns.dialback]], "stream:stream")
  parser.push(Buffer.from(xml))
  const event = parser.next()
  return event?.kind === "element" ? event.element : assert.fail("no element")
}

describe("headers", () => {
  test("what is written reads back; special characters survive", () => {
    const written = headerXml({ content: ns.server, from: "a.example", to: "b'<&.example", id: "i'd" })
    const header = readHeader(rootOf(written), ns.server)
    assert.deepEqual(header, { from: "a.example", to: "b'<&.example", id: "i'd", version: { major: 1, minor: 0 }, lang: "en", dialbackDeclared: true })
    assert.match(written, /^<\?xml version='1\.0'\?><stream:stream xmlns='jabber:server'/)
  })

  test("a component stream has no dialback; version 0.9 none of its own", () => {
    const component = headerXml({ content: ns.component, id: "1", version: false })
    assert.doesNotMatch(component, /xmlns:db| version='1\.0' xml/)
    assert.equal(readHeader(rootOf(component), ns.component).version, undefined)
  })

  const shell = (attributes: string): string => `<stream:stream xmlns:stream='${ns.streams}' ${attributes}>`
  const versions: readonly (readonly [string, string | undefined])[] = [
    ["", "0.9"],
    ["version='1.0'", "1.0"],
    ["version='1.10'", "1.10"],
    ["version='01.0'", "1.0"],
    ["version='0.9'", "0.9"],
    ["version='0.99'", "0.9"],
    ["version='2.0'", undefined],
    ["version='11.0'", undefined],
    ["version=''", undefined],
    ["version='1'", undefined],
    ["version='1.0.0'", undefined],
    ["version='-1.0'", undefined],
    ["version='1.0 '", undefined],
  ]
  for (const [written, read] of versions)
    test(`CORE-16: ${written || "no version"}`, () => {
      const act = () => readHeader(rootOf(shell(`xmlns='${ns.server}' ${written}`)), ns.server).version
      if (read === undefined) assert.throws(act, (error) => error instanceof ProtocolError && error.condition === "unsupported-version")
      else {
        const version = act()
        assert.equal(version === undefined ? "0.9" : `${version.major}.${version.minor}`, read)
      }
    })

  const wrong: readonly (readonly [name: string, xml: string, condition: string])[] = [
    ["another stream namespace", `<stream:stream xmlns='${ns.server}' xmlns:stream='urn:x' version='1.0'>`, "invalid-namespace"],
    ["another root", `<stream:streams xmlns='${ns.server}' xmlns:stream='${ns.streams}' version='1.0'>`, "bad-format"],
    ["another content namespace", shell("xmlns='jabber:client' version='1.0'"), "invalid-namespace"],
    ["no content namespace", shell("version='1.0'"), "invalid-namespace"],
  ]
  for (const [name, xml, condition] of wrong)
    test(`CORE-10: ${name}`, () => {
      assert.throws(() => readHeader(rootOf(xml), ns.server), (error) => error instanceof ProtocolError && error.condition === condition)
    })

  test("CORE-11: any prefix, or none", () => {
    for (const xml of [`<s:stream xmlns='${ns.server}' xmlns:s='${ns.streams}' version='1.0'>`, `<stream xmlns='${ns.streams}' version='1.0'>`]) {
      assert.equal(readHeader(rootOf(xml), ns.server).version?.major, 1)
    }
  })
})

describe("features", () => {
  const read = (inner: string) => readFeatures(elementOf(`<stream:features>${inner}</stream:features>`))

  test("what is offered reads back", () => {
    const offer = readFeatures(elementOf(featuresXml({ starttls: "required", external: true, dialback: true })))
    assert.deepEqual(offer, { ...noFeatures, starttls: { required: true }, mechanisms: ["EXTERNAL"], dialback: { errors: true } })
    assert.equal(readFeatures(elementOf(featuresXml({ starttls: "optional" }))).starttls?.required, false)
    assert.equal(featuresXml({}), "<stream:features/>")
  })

  test("DB-03: a bare <dialback/> does not handle errors; CORE-17: order and strangers do not matter", () => {
    assert.deepEqual(read(`<x xmlns='urn:x'/><dialback xmlns='${ns.dialbackFeature}'/>text<mechanisms xmlns='${ns.sasl}'><mechanism> EXTERNAL </mechanism><mechanism>PLAIN</mechanism></mechanisms>`), {
      ...noFeatures,
      mechanisms: ["EXTERNAL", "PLAIN"],
      dialback: { errors: false },
    })
  })

  test("the same names in other namespaces are something else", () => {
    const nothing = read("<starttls xmlns='urn:x'/><mechanisms xmlns='urn:x'><mechanism>EXTERNAL</mechanism></mechanisms><dialback xmlns='urn:x'/>")
    assert.deepEqual([nothing.starttls, nothing.mechanisms, nothing.dialback], [undefined, [], undefined])
  })

  test("stream management and limits, as a peer says them (SM-1, LIM-1)", () => {
    const limits = { maxBytes: 262_144, idleSeconds: 600 }
    assert.deepEqual(readFeatures(elementOf(featuresXml({ management: true, limits }))), { ...noFeatures, management: true, limits })
    // Prosody offers an older version beside it.
    assert.equal(read("<sm xmlns='urn:xmpp:sm:2'><optional/></sm>").management, false)
    assert.equal(read("<sm xmlns='urn:xmpp:sm:2'><optional/></sm><sm xmlns='urn:xmpp:sm:3'><optional/></sm>").management, true)
  })

  test("anything else where features are due", () => {
    assert.throws(() => readFeatures(elementOf("<features/>")), (error) => error instanceof ProtocolError && error.condition === "bad-format")
  })
})

describe("stream errors", () => {
  test("written and read; words are cut, escaped, and none are made up", () => {
    const text = `<&'"${"x".repeat(1000)}`
    const written = streamErrorXml("policy-violation", text)
    assert.match(written, /<\/stream:error><\/stream:stream>$/)
    const read = readStreamError(elementOf(written.replace("</stream:stream>", "")))
    assert.equal(read.condition, "policy-violation")
    assert.equal(read.text, text.slice(0, 500))
    assert.equal(readStreamError(elementOf(streamErrorXml("reset").replace("</stream:stream>", ""))).text, undefined)
  })

  test("4.9.2: unknown, missing and old conditions", () => {
    const condition = (inner: string) => readStreamError(elementOf(`<stream:error>${inner}</stream:error>`)).condition
    assert.equal(condition(""), "undefined-condition")
    assert.equal(condition("<strange xmlns='urn:x'/>"), "undefined-condition")
    assert.equal(condition(`<xml-not-well-formed xmlns='${ns.streamErrors}'/>`), "not-well-formed")
    assert.equal(condition(`<invalid-id xmlns='${ns.streamErrors}'/>`), "invalid-id")
    assert.equal(condition(`<stanza-too-big xmlns='urn:xmpp:errors'/><policy-violation xmlns='${ns.streamErrors}'/>`), "policy-violation")
  })
})

describe("SASL EXTERNAL", () => {
  test("EXT-03: our identity in Base64, and what comes back", () => {
    assert.deepEqual(readAuth(elementOf(authXml("a.example"))), { kind: "identity", authzid: "a.example" })
    assert.deepEqual(readAuth(elementOf(`<auth xmlns='${ns.sasl}' mechanism='EXTERNAL'/>`)), { kind: "challenge" })
    assert.deepEqual(readAuth(elementOf(`<auth xmlns='${ns.sasl}'>=</auth>`)), { kind: "failure", condition: "invalid-mechanism" })
    assert.deepEqual(readResponse(elementOf(`<response xmlns='${ns.sasl}'/>`)), { kind: "identity", authzid: "" })
    assert.deepEqual(readResponse(elementOf(`<response xmlns='urn:x'/>`)), { kind: "failure", condition: "malformed-request" })
  })

  test("words of a failure are escaped", () => {
    assert.equal(elementOf(failureXml("not-authorized", "a < b & 'c'")).children.length, 2)
  })
})
