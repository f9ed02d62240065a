// Properties: what is written reads back, chunks do not matter, mutated documents end in XmlError or nothing (XML-01..03).
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { performance } from "node:perf_hooks"
import { test } from "node:test"
import fc from "fast-check"
import { type XmlAttribute, type XmlElement, xmlNamespace } from "../../src/xml/element.ts"
import { defaultLimits, XmlParser } from "../../src/xml/parser.ts"
import { rescope, serialise } from "../../src/xml/serialise.ts"
import { checkDocument, fuzz, generator, meaning, outcome } from "./fuzz.ts"

const header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams'>"
const context = { defaultNs: "jabber:server", prefixes: { stream: "http://etherx.jabber.org/streams" } }

/** A failure is shrunk for a bounded time only. */
function bounded(numRuns: number): fc.Parameters<unknown> {
  return { numRuns, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: true }
}

const name = fc.oneof(
  fc.constantFrom("message", "body", "x", "iq", "__proto__", "a-b.c", "é", "日本", "_", "xmlnsx"),
  fc.stringMatching(/^[A-Za-z_][-.\w]{0,8}$/),
)
const ns = fc.constantFrom("", "jabber:server", "jabber:client", "urn:x", "urn:y", "urn:'\"<&>", " urn:x ", "é")
const prefix = fc.constantFrom("", "p", "q", "ns0", "stream", "__proto__")
const character = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.constantFrom("\t", "\n", "\r", "\r\n", "]]>", "&amp;", "<", "'", '"', "\u0085", "😀", " ", "\ufeff"),
)
const string = fc
  .array(character, { maxLength: 4 })
  .map((parts) => parts.join("").replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, ""))

const attribute: fc.Arbitrary<XmlAttribute> = fc.oneof(
  fc.record({ prefix: fc.constant(""), ns: fc.constant(""), name: name.filter((one) => one !== "xmlns"), value: string }),
  fc.record({ prefix, ns: ns.filter((one) => one !== ""), name, value: string }),
  fc.record({ prefix: fc.constant("xml"), ns: fc.constant(xmlNamespace), name: fc.constantFrom("lang", "space"), value: string }),
)
const { tree } = fc.letrec<{ tree: XmlElement; node: XmlElement | string }>((tie) => ({
  tree: fc.record({
    prefix,
    ns,
    name,
    attributes: fc.uniqueArray(attribute, { maxLength: 4, selector: (one) => `${one.name} ${one.ns}` }),
    declarations: fc.uniqueArray(
      fc.tuple(prefix, ns).filter(([one, bound]) => one === "" || bound !== ""),
      { maxLength: 3, selector: ([one]) => one },
    ),
    children: fc.array(tie("node"), { maxLength: 4 }),
  }),
  node: fc.oneof({ depthSize: "small", maxDepth: 4 }, string, tie("tree")),
}))

function parsed(written: string, start = header): XmlElement {
  const parser = new XmlParser()
  parser.push(Buffer.from(start + written))
  parser.next()
  const event = parser.next()
  assert.ok(event?.kind === "element")
  assert.equal(event.bytes, Buffer.byteLength(written))
  return event.element
}

test("what is written reads back with the same meaning", () => {
  fc.assert(
    fc.property(tree, (el) => {
      const written = serialise(el, context)
      assert.deepEqual(meaning(parsed(written)), meaning(el))
      assert.equal(serialise(parsed(written), context), serialise(parsed(serialise(parsed(written), context)), context))
    }),
    bounded(500),
  )
})

test("what is written stands by itself too", () => {
  fc.assert(
    fc.property(tree, (el) => {
      const alone = serialise(parsed(serialise(el, context)))
      assert.deepEqual(meaning(parsed(alone, "<neutral>")), meaning(el))
    }),
    bounded(200),
  )
})

test("rescoping there and back changes nothing, and touches nothing else", () => {
  fc.assert(
    fc.property(tree, (el) => {
      const stanza = { ...el, ns: "jabber:server" }
      const moved = rescope(stanza, "jabber:server", "urn:away")
      assert.equal(moved.ns, "urn:away")
      assert.deepEqual(meaning(rescope(moved, "urn:away", "jabber:server")), meaning(stanza))
      for (const [i, node] of stanza.children.entries())
        if (typeof node === "string" || node.ns !== "jabber:server") assert.equal(moved.children[i], node)
    }),
    bounded(200),
  )
})

test("any chunks give the same events and the same rest", () => {
  fc.assert(
    fc.property(fc.array(tree, { maxLength: 3 }), fc.integer(), fc.string(), (trees, seed, tail) => {
      const random = generator(seed)
      const content = trees.map((el) => serialise(el, context)).join(" \n")
      const document = Buffer.from(header + content + tail)
      const whole = outcome(document, () => document.length + 1, defaultLimits)
      const pieces = outcome(document, () => 1 + random(12), defaultLimits)
      assert.deepEqual(pieces.events, whole.events)
      assert.equal(pieces.fault?.message, whole.fault?.message)
      assert.ok(whole.events.length >= 1 + trees.length)
    }),
    bounded(200),
  )
})

test("bytes of any kind end in events, silence or an XmlError", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer(), (bytes, seed) => {
      assert.equal(typeof checkDocument(Buffer.concat([Buffer.from(`${header}<m>`), bytes]), generator(seed)), "boolean")
      assert.equal(typeof checkDocument(Buffer.from(bytes), generator(seed)), "boolean")
    }),
    bounded(500),
  )
})

test("mutated documents, for two seconds", (context) => {
  const seed = Date.now() | 0
  context.diagnostic(`seed ${seed}`)
  const { documents, accepted } = fuzz(seed, performance.now() + 2_000, 50_000)
  assert.ok(documents > 100, `${documents} documents`)
  assert.ok(accepted > 0 && accepted < documents, `${accepted} of ${documents} accepted`)
})
