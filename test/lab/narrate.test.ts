// How the story is told: one line a step, 80 columns, the chart's words, nothing of a peer's that draws on a terminal.
import assert from "node:assert/strict"
import { test } from "node:test"
import { parseDomain } from "../../src/model/domain.ts"
import type { FederationEvent } from "../../src/model/events.ts"
import type { Verdict } from "../../src/model/verdict.ts"
import { type Layout, Narrator, printable, stepLine, webLine, wrapped } from "../../src/lab/narrate.ts"

const [a, b] = [parseDomain("a.example"), parseDomain("b.example")]
const pair = { sender: a, target: b }
const plain: Layout = { width: 80, names: 22, bold: (text) => text, good: (text) => text, bad: (text) => `!${text}!` }
const out = { at: 0, stream: "s2sout-1", direction: "out" as const, pair }
const into = { at: 0, stream: "s2sin-1", direction: "in" as const, pair }

function told(domain: string, events: readonly FederationEvent[]): string[] {
  const narrator = new Narrator()
  return events.flatMap((event) => {
    const step = narrator.event(domain, event)
    return step === undefined ? [] : [`${step.who} -> ${step.whom} ${step.box}: ${step.words}`]
  })
}

test("the sender's way through the chart", () => {
  const secured = { ...out, kind: "secured", protocol: "TLSv1.3", cipher: "x", certificate: "shown" } as const
  assert.deepEqual(
    told("a.example", [
      { ...out, kind: "discovered", endpoints: ["127.0.0.2 port 5269 starttls"], via: "srv" },
      { ...out, kind: "connected", peer: "127.0.0.2", transport: "starttls" },
      { ...out, kind: "opened", id: "1" },
      secured,
      { ...out, kind: "proof", verdict: { outcome: "proved", by: "pkix", detail: "DNS-ID b.example", until: 1 } },
      { ...out, kind: "opened", id: "2" },
      { ...out, kind: "external", result: "sent" },
      { ...out, kind: "external", result: "refused", detail: "unsupported" },
      { ...out, kind: "dialback", step: "result-sent" },
      { ...out, kind: "stanzas", count: 1, bytes: 1 },
    ]),
    [
      "a.example -> b.example DNS resolution: 127.0.0.2 port 5269, by SRV",
      "a.example -> b.example stream headers: in clear, asks for TLS",
      "a.example -> b.example TLS: 1.3, b.example shows a certificate",
      "a.example -> b.example association: PKIX proves b.example (DNS-ID)",
      "a.example -> b.example stream headers: again, now under TLS",
      "a.example -> b.example authentication: asks for SASL EXTERNAL",
      "a.example -> b.example authentication: EXTERNAL was refused: unsupported",
      "a.example -> b.example authentication: dialback, sends a key",
    ],
  )
})

test("DANE is told in its own name, and signed SRV as such", () => {
  const proof = (verdict: Verdict): FederationEvent => ({ ...out, kind: "proof", verdict })
  assert.deepEqual(
    told("a.example", [
      { ...out, kind: "discovered", endpoints: ["127.0.0.2 port 5269 starttls"], via: "srv", signed: true },
      proof({ outcome: "refuted", by: "pkix", finding: "cert.self-signed", detail: "" }),
      proof({ outcome: "proved", by: "dane", detail: "DANE-EE 3 1 1 at _5269._tcp.b.example", until: 1 }),
      proof({ outcome: "absent", by: "dane", finding: "dane.no-tlsa", detail: "" }),
      proof({ outcome: "refuted", by: "dane", finding: "dane.mismatch", detail: "" }),
      proof({ outcome: "unavailable", by: "dane", finding: "dane.tlsa-bogus", detail: "" }),
    ]),
    [
      "a.example -> b.example DNS resolution: 127.0.0.2 port 5269, by signed SRV",
      "a.example -> b.example association: no PKIX proof [cert.self-signed]",
      "a.example -> b.example association: DANE proves b.example (DANE-EE)",
      "a.example -> b.example association: DANE says nothing [dane.no-tlsa]",
      "a.example -> b.example association: DANE says no [dane.mismatch]",
      "a.example -> b.example association: DANE cannot be asked [dane.tlsa-bogus]",
    ],
  )
})

test("the receiver tells only what the sender cannot", () => {
  assert.deepEqual(
    told("b.example", [
      { ...into, kind: "connected", peer: "127.0.0.1", transport: "starttls" },
      { ...into, kind: "opened", id: "1" },
      { ...into, pair: undefined, kind: "secured", protocol: "TLSv1.3", cipher: "x", certificate: "none" },
      { ...into, kind: "proof", verdict: { outcome: "absent", by: "pkix", finding: "cert.none-shown", detail: "" } },
      { ...into, kind: "dialback", step: "result-received" },
      { ...into, kind: "dialback", step: "verify-sent" },
      { ...into, kind: "dialback", step: "verify-answered", answer: "invalid" },
      { ...into, kind: "dialback", step: "answered", answer: "invalid" },
      { ...into, kind: "refused", finding: "auth.dialback-invalid", sentence: "no", verdicts: [] },
      { ...into, kind: "closed", reason: "the peer ended the stream with reset", unacknowledged: 0 },
    ]),
    [
      "b.example -> a.example association: no PKIX proof [cert.none-shown]",
      "b.example -> a.example authentication: dialback, has a key to check",
      "b.example -> a.example authentication: dialback, is this key yours?",
      "b.example -> a.example authentication: dialback, server says invalid",
      "b.example -> a.example authentication: dialback, answers invalid",
      "b.example -> a.example refused: no",
    ],
  )
  const said = "the peer ended the stream with not-authorized: the certificate has expired"
  assert.deepEqual(told("b.example", [{ ...into, kind: "closed", reason: said, unacknowledged: 0 }]), [`b.example -> a.example refused: ${said}`])
  assert.deepEqual(told("b.example", [{ ...into, kind: "closed", reason: "the peer closed the stream", unacknowledged: 0 }]), [])
})

test("a step is a line of at most 80 columns; what is longer goes on below itself", () => {
  const words = "the certificate is self-signed: the certificate of CN=b.example is self-signed and not among the trusted ones [cert.self-signed]"
  const line = stepLine({ who: "a.example", whom: "b.example", box: "refused", words }, 12.4, plain)
  const lines = line.split("\n")
  assert.equal(lines[0]?.slice(0, 40), "  12  a.example -> b.example  !refused!:")
  assert.ok(lines.length > 1)
  for (const each of lines) assert.ok(each.replaceAll("!", "").length <= 80, each)
  assert.ok(lines.slice(1).every((each) => each.startsWith(" ".repeat(30)) && each[30] !== " "))
  assert.equal(wrapped("one two three", 7, 2), "one two\n  three")
  assert.equal(wrapped("a".repeat(100), 10, 2), "a".repeat(100))
})

test("what a web host was asked, and its answer", () => {
  const asked = { method: "GET", path: "/.well-known/posh/xmpp-server.json", host: "a.example" }
  const url = "https://a.example/.well-known/posh/xmpp-server.json"
  assert.equal(webLine("a.example", asked, { json: {} }, 80), `      GET ${url}: 200`)
  assert.equal(webLine("a.example", asked, { status: 500 }, 80), `      GET ${url}: 500`)
  assert.equal(webLine("a.example", asked, { silent: true }, 80), `      GET ${url}: no answer`)
  const redirected = webLine("a.example", asked, { location: "https://b.example/x\u001b[2J" }, 80)
  assert.equal(redirected, `      GET ${url}: 302, see\n        https://b.example/x\\u001b[2J`)
})

test("a peer's words cannot draw on the terminal or begin a line", () => {
  assert.equal(printable("a\u001b[31mb\nc\u202ed"), "a\\u001b[31mb\\u000ac\\u202ed")
  const line = stepLine({ who: "a.example", whom: "b.example", box: "refused", words: "\u001b[2J\r\n0000  x" }, 0, plain)
  assert.doesNotMatch(line, /\p{Cc}/u)
})
