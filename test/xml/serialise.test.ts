// Writing: escaping, namespace declarations, refusals, re-scoping (CORE-12, CORE-24, XML-01).
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { test } from "node:test"
import { element, type XmlElement, xmlNamespace, xmlnsNamespace } from "../../src/xml/element.ts"
import { XmlError } from "../../src/xml/errors.ts"
import { XmlParser } from "../../src/xml/parser.ts"
import { escapeAttribute, escapeText, rescope, serialise } from "../../src/xml/serialise.ts"

const server = "jabber:server"
const streams = "http://etherx.jabber.org/streams"

function read(content: string): XmlElement {
  const parser = new XmlParser()
  parser.push(Buffer.from(`<stream:stream xmlns='${server}' xmlns:stream='${streams}' xmlns:db='jabber:server:dialback'>${content}`))
  parser.next()
  const event = parser.next()
  assert.ok(event?.kind === "element")
  return event.element
}

const bare = (changes: Partial<XmlElement>): XmlElement => ({
  prefix: "",
  ns: "",
  name: "m",
  attributes: [],
  declarations: [],
  children: [],
  ...changes,
})
const refused = (el: XmlElement): void =>
  assert.throws(
    () => serialise(el),
    (fault) => fault instanceof XmlError && fault.condition === "not-well-formed",
  )

test("text and attributes are escaped", () => {
  assert.equal(escapeText("a<b>&\"'\t\n\r"), "a&lt;b&gt;&amp;&quot;&apos;\t\n&#13;")
  assert.equal(escapeAttribute("a<b>&\"'\t\n\r"), "a&lt;b&gt;&amp;&quot;&apos;&#9;&#10;&#13;")
  assert.equal(escapeText("nothing to do é€😀"), "nothing to do é€😀")
  assert.equal(serialise(element("m", "", { a: "'>" }, ["]]>"])), "<m a='&apos;&gt;'>]]&gt;</m>")
})

test("characters XML does not allow are refused, wherever they stand", () => {
  for (const wrong of ["\0", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff", "\ud800", "x\udc00y", "\udc00\ud800"]) {
    assert.throws(() => escapeText(wrong), XmlError)
    assert.throws(() => escapeAttribute(wrong), XmlError)
    refused(element("m", "", {}, [wrong]))
    refused(element("m", "", { a: wrong }))
    refused(element("m", `urn:${wrong}`))
  }
  assert.equal(escapeText("\x7f\x85\ud83d\ude00"), "\x7f\x85😀")
})

test("names are checked: a name cannot bring markup in", () => {
  for (const wrong of ["", "a b", "1a", "-a", "a>", "a:b", "a/", "<a", "a'", "\u00d7", "\u0301a", "a\0"]) {
    refused(element(wrong, ""))
    refused(bare({ attributes: [{ prefix: "", ns: "", name: wrong, value: "" }] }))
    if (wrong !== "") refused(bare({ ns: "urn:x", prefix: wrong }))
    if (wrong !== "") refused(bare({ declarations: [[wrong, "urn:x"]] }))
  }
  assert.equal(serialise(element("日本-1.é", "")), "<日本-1.é/>")
})

test("a namespace is declared only where it differs", () => {
  const el = element("message", server, { to: "b.example" }, [
    element("body", server, {}, ["hi"]),
    element("x", "urn:x", {}, [element("y", "urn:x")]),
  ])
  assert.equal(serialise(el, { defaultNs: server }), "<message to='b.example'><body>hi</body><x xmlns='urn:x'><y/></x></message>")
  assert.equal(serialise(el), "<message xmlns='jabber:server' to='b.example'><body>hi</body><x xmlns='urn:x'><y/></x></message>")
  assert.equal(serialise(element("a", "urn:a", {}, [element("b", "")])), "<a xmlns='urn:a'><b xmlns=''/></a>")
})

test("prefixes are declared only if the context lacks them", () => {
  const el = read("<db:result from='a.example' to='b.example'>key</db:result>")
  const prefixes = { db: "jabber:server:dialback" }
  const inScope = "<db:result from='a.example' to='b.example'>key</db:result>"
  assert.equal(serialise(el, { defaultNs: server, prefixes }), inScope)
  assert.equal(serialise(el, { defaultNs: server, prefixes: new Map(Object.entries(prefixes)) }), inScope)
  assert.equal(
    serialise(el, { defaultNs: server }),
    "<db:result xmlns:db='jabber:server:dialback' from='a.example' to='b.example'>key</db:result>",
  )
  assert.equal(
    serialise(el, { defaultNs: server, prefixes: { db: "urn:other" } }),
    "<db:result xmlns:db='jabber:server:dialback' from='a.example' to='b.example'>key</db:result>",
  )
})

test("a stanza read from one stream carries the header's prefixes to another", () => {
  const el = read("<message><stream:x stream:a='1'/></message>")
  assert.equal(serialise(el, { defaultNs: server }), `<message><stream:x xmlns:stream='${streams}' stream:a='1'/></message>`)
})

test("declarations that are carried along are kept, for names inside text", () => {
  const source = "<m><q xmlns='urn:q' xmlns:xs='urn:schema' type='xs:int'/></m>"
  assert.equal(serialise(read(source), { defaultNs: server }), source)
})

test("attributes get a prefix when theirs is missing or taken", () => {
  const attribute = (prefix: string, ns: string, name: string) => ({ prefix, ns, name, value: "" })
  assert.equal(serialise(bare({ attributes: [attribute("", "urn:a", "x")] })), "<m xmlns:ns0='urn:a' ns0:x=''/>")
  assert.equal(
    serialise(bare({ attributes: [attribute("p", "urn:a", "x"), attribute("p", "urn:b", "x")] })),
    "<m xmlns:p='urn:a' xmlns:ns0='urn:b' p:x='' ns0:x=''/>",
  )
  assert.equal(
    serialise(bare({ attributes: [attribute("p", "urn:a", "x"), attribute("p", "urn:b", "x")] }), {
      defaultNs: "",
      prefixes: { p: "urn:a" },
    }),
    "<m xmlns:ns0='urn:b' p:x='' ns0:x=''/>",
    "a prefix in scope that is used on the tag is not declared anew there",
  )
  assert.equal(serialise(element("m", "", { "xml:lang": "de" })), "<m xml:lang='de'/>")
})

test("reserved names and namespaces are refused", () => {
  refused(bare({ ns: xmlNamespace }))
  refused(bare({ ns: xmlnsNamespace }))
  refused(bare({ prefix: "p", ns: xmlnsNamespace }))
  refused(bare({ prefix: "xmlns", ns: "urn:x" }))
  refused(bare({ prefix: "xml", ns: "urn:x" }))
  refused(bare({ attributes: [{ prefix: "", ns: "", name: "xmlns", value: "urn:x" }] }))
  refused(bare({ attributes: [{ prefix: "xmlns", ns: "urn:y", name: "p", value: "urn:x" }] }))
})

test("the same attribute twice is refused", () => {
  const twice = { prefix: "", ns: "", name: "a", value: "" }
  refused(bare({ attributes: [twice, twice] }))
})

test("elements of a content namespace are never written with a prefix", () => {
  for (const ns of ["jabber:client", server, "jabber:component:accept"])
    assert.equal(serialise(bare({ prefix: "c", ns })), `<m xmlns='${ns}'/>`, "CORE-12")
})

test("nesting is bounded", () => {
  let el = element("m", "")
  for (let i = 0; i < 2_000; i++) el = element("m", "", {}, [el])
  refused(el)
})

test("re-scoping moves a stanza and all that is its own", () => {
  const el = read(
    "<message to='b.example'><body xml:lang='de'>hi</body><x xmlns='urn:x'><y/></x><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:server'/></forwarded></message>",
  )
  const moved = rescope(el, server, "jabber:component:accept")
  assert.equal(
    serialise(moved, { defaultNs: "jabber:component:accept" }),
    "<message to='b.example'><body xml:lang='de'>hi</body><x xmlns='urn:x'><y/></x><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:server'/></forwarded></message>",
  )
  assert.equal(moved.ns, "jabber:component:accept")
  assert.equal(rescope(el, "jabber:client", server), el, "a stanza of another namespace stays as it is")
})

test("re-scoping replaces the declaration the stanza itself carried", () => {
  const el = read("<message xmlns='jabber:client'><body/></message>")
  assert.equal(serialise(rescope(el, "jabber:client", server), { defaultNs: server }), "<message><body/></message>")
  assert.equal(serialise(rescope(el, "jabber:client", server)), "<message xmlns='jabber:server'><body/></message>")
})
