// Stanzas that are read a second time, as trees: canonical addresses (security.md 23), and no second measuring.
import assert from "node:assert/strict"
import { test } from "node:test"
import { parseAccepted, withCanonicalDomains } from "../../src/federation/canonical.ts"
import { attr, element } from "../../src/xml/element.ts"

const content = "jabber:server"

test("only the domain is rewritten, and only what is one", () => {
  const rows = [
    ["U@A.Example./R@x/y", "U@a.example/R@x/y"],
    ["A.EXAMPLE", "a.example"],
    ["b\u00fccher.example/x@victim.example", "xn--bcher-kva.example/x@victim.example"],
    ["a@b@c.example", "a@b@c.example"],
    ["127.0.0.1/x", "127.0.0.1/x"],
  ] as const
  for (const [written, wanted] of rows) {
    const stanza = withCanonicalDomains(element("message", content, { from: written, to: "b.example", id: "A.Example" }), content)
    assert.deepEqual([attr(stanza, "from"), attr(stanza, "to"), attr(stanza, "id")], [wanted, "b.example", "A.Example"])
  }
})

test("a stanza that its stream accepted is read whatever its size and depth", () => {
  const deep = `${"<a>".repeat(200)}${"</a>".repeat(200)}`
  const bytes = Buffer.from(`<message><body>${"x".repeat(700 * 1024)}</body>${deep}</message>`)
  assert.equal(parseAccepted([bytes.subarray(0, 9), bytes.subarray(9)], [["", content]]).children.length, 2)
})
