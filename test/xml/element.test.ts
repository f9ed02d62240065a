// The small helpers around elements (RFC 6120 8).
import assert from "node:assert/strict"
import { test } from "node:test"
import { attr, child, element, elements, text, xmlNamespace } from "../../src/xml/element.ts"

const stanza = element("message", "jabber:server", { to: "b.example", from: undefined, "xml:lang": "de" }, [
  "one",
  element("body", "jabber:server", {}, ["inner"]),
  "two",
  element("body", "urn:other"),
  element("body", "jabber:server", {}, ["second"]),
])

test("attributes are found by name and namespace", () => {
  assert.equal(attr(stanza, "to"), "b.example")
  assert.equal(attr(stanza, "from"), undefined)
  assert.equal(attr(stanza, "lang"), undefined)
  assert.equal(attr(stanza, "lang", xmlNamespace), "de")
  assert.equal(attr(stanza, "constructor"), undefined)
})

test("the first child of a name and namespace is found", () => {
  const body = child(stanza, "body", "jabber:server")
  assert.equal(body === undefined ? undefined : text(body), "inner")
  assert.equal(child(stanza, "body", "urn:third"), undefined)
  assert.deepEqual(
    elements(stanza).map(({ ns }) => ns),
    ["jabber:server", "urn:other", "jabber:server"],
  )
})

test("text is the element's own", () => {
  assert.equal(text(stanza), "onetwo")
  assert.equal(text(element("m", "")), "")
})

test("the builder takes records and pairs, and refuses prefixes it cannot bind", () => {
  const pairs = [
    ["__proto__", "1"],
    ["b", undefined],
  ] as const
  assert.deepEqual(element("m", "", pairs).attributes, [{ prefix: "", ns: "", name: "__proto__", value: "1" }])
  assert.deepEqual(element("m", "", {}, ["", "x"]).children, ["x"])
  assert.throws(() => element("m", "", { "db:x": "" }), RangeError)
})
