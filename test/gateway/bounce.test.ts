// Stanza errors: which stanzas are answered, and what the answer says (RFC 6120 8.3, 10.4.3; CORE-07).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { ns } from "../../src/model/namespaces.ts"
import { attr, child, elements, text } from "../../src/xml/element.ts"
import { bounceOfFailure, bounceReasons, bounceXml, isAnswered, parseQueued } from "../../src/gateway/bounce.ts"

describe("which stanzas are answered", () => {
  const rows: readonly (readonly [string, string | undefined, boolean])[] = [
    ["message", undefined, true],
    ["message", "chat", true],
    ["message", "groupchat", true],
    ["message", "error", false],
    ["iq", "get", true],
    ["iq", "set", true],
    ["iq", "result", false],
    ["iq", "error", false],
    ["iq", undefined, false],
    ["presence", undefined, true],
    ["presence", "subscribe", true],
    ["presence", "probe", true],
    ["presence", "unavailable", false],
    ["presence", "error", false],
    ["handshake", undefined, false],
  ]
  for (const [kind, type, answered] of rows) {
    it(`<${kind}${type === undefined ? "" : ` type='${type}'`}/>: ${answered ? "yes" : "no"}`, () => {
      assert.equal(isAnswered(kind, type), answered)
      const stanza = parseQueued(Buffer.from(`<${kind} from='a.example' to='b.example'${type === undefined ? "" : ` type='${type}'`}/>`), ns.component)
      assert.equal(bounceXml(stanza, bounceReasons.full, "a.example", ns.component) !== undefined, answered)
    })
  }
})

describe("the answer", () => {
  it("goes back with the same id, the condition, its type and a text, in the namespace of the stream back", () => {
    const stanza = parseQueued(Buffer.from("<iq xml:lang='de' type='set' id='i&amp;&apos;1' from='x@a.example/r' to='y@b.example'><q xmlns='urn:q'>secret</q></iq>"), ns.server)
    for (const content of [ns.server, ns.component]) {
      const xml = bounceXml(stanza, { condition: "resource-constraint", type: "wait", text: "too <much>" }, "b.example", content)!
      assert.equal(xml.includes("secret"), false)
      const back = parseQueued(Buffer.from(xml), content)
      assert.deepEqual([back.name, back.ns, attr(back, "from"), attr(back, "to"), attr(back, "id"), attr(back, "type")], ["iq", content, "y@b.example", "x@a.example/r", "i&'1", "error"])
      const error = child(back, "error", content)!
      assert.deepEqual([attr(error, "type"), attr(error, "by")], ["wait", "b.example"])
      const [condition, words] = elements(error)
      assert.deepEqual([condition!.name, condition!.ns, words!.name, text(words!)], ["resource-constraint", ns.stanzaErrors, "text", "too <much>"])
    }
  })
  it("leaves out an id that was not there and cuts a long text", () => {
    const stanza = parseQueued(Buffer.from("<message from='a.example' to='b.example'/>"), ns.server)
    const xml = bounceXml(stanza, { ...bounceReasons.full, text: "x".repeat(9000) }, "b.example", ns.server)!
    assert.equal(xml.includes(" id="), false)
    assert.ok(xml.length < 1000)
  })
  it("says of a failure what RFC 6120 wants", () => {
    const said = (kind: "not-found" | "unreachable" | "refused" | "rejected") => {
      const { condition, type, text: words } = bounceOfFailure({ kind, finding: "cert.expired", detail: "on 1 May" })
      return [condition, type, words]
    }
    const words = "the certificate has expired: on 1 May [cert.expired]"
    assert.deepEqual(said("not-found"), ["remote-server-not-found", "cancel", words])
    assert.deepEqual(said("unreachable"), ["remote-server-timeout", "wait", words])
    assert.deepEqual(said("refused"), ["remote-server-timeout", "wait", words])
    assert.deepEqual(said("rejected"), ["internal-server-error", "cancel", words])
  })
})
