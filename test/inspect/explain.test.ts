// What a line of a log means (RFC 6120 4.9.3, XEP-0178): every sentence and every id is known by itself and inside a whole line, a cause
// before the frame around it, and what is not known is said to be so.
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import fc from "fast-check"
import { explain } from "../../src/inspect/explain.ts"
import { explanationSchema } from "../../src/inspect/explain-report.ts"
import { type FindingId, findingSentence, findings } from "../../src/model/findings.ts"
import { foreignSentences } from "../../src/model/foreign-sentences.ts"

const ids = Object.keys(findings) as FindingId[]
const noScenes = (): readonly string[] => []
const found = (text: string): string | undefined => explain(text, noScenes).finding?.id
const said = (text: string): string | undefined => explain(text, noScenes).said?.says

describe("findings", () => {
  it("are known by their id, alone, in a sentence and in a line of JSON", () => {
    for (const id of ids) {
      assert.equal(found(id), id)
      assert.equal(found(`  ${id.toUpperCase()} `), id)
      assert.equal(found(`refused: ${findingSentence(id, "shop.example, 127.0.0.1:5269")}`), id)
      assert.equal(found(JSON.stringify({ level: "warn", ev: "s2s.refused", finding: id, text: "refused" })), id)
    }
  })

  it("are known by their sentence, as in an error that a peer gets", () => {
    for (const id of ids) assert.equal(found(`remote-server-timeout (${findings[id].sentence})`), id)
  })

  it("have a page with what the catalogue says, what others call it, and scenes", () => {
    const { finding } = explain("pkix.name-mismatch", (id) => [`scene-of-${id}`])
    assert.equal(finding?.section, "RFC 6120 13.7.2.1")
    assert.deepEqual(finding?.scenes, ["scene-of-pkix.name-mismatch"])
    assert.ok(finding?.saidBy.some(({ product, says }) => product === "ejabberd" && says === "Certificate host name mismatch"))
  })

  it("are not seen where an id is only part of a word", () => {
    for (const text of ["xdane.mismatch", "dane.mismatch.example", "a.dane.mismatch", "dane.mismatches"]) assert.equal(found(text), undefined, text)
  })
})

describe("sentences of other servers", () => {
  it("are known by themselves and within a line", () => {
    for (const { says } of foreignSentences) {
      const words = says.replaceAll("*", "x.example (192.0.2.1)")
      assert.equal(said(words), says)
      assert.equal(said(`Nov 22 13:00:00 s2sout55d0  info  [${words.toUpperCase()}] `), says)
    }
  })

  const lines: readonly (readonly [line: string, finding: FindingId | undefined, party: string])[] = [
    ["s2sout5 warn Forbidding insecure connection to/from shop.example because its certificate is not trusted", "cert.unknown-root", "peer"],
    ["s2sout5 info Session closed by remote with error: not-authorized (Your server's certificate is not valid for this name)", "pkix.name-mismatch", "you"],
    ["s2sin5 info Incoming s2s stream a.example->b.example closed: Remote server's certificate has an expired certificate chain", "cert.expired", "peer"],
    ["mod_saslauth info SASL EXTERNAL with a.example failed: not-authorized: unsupported certificate purpose", "cert.server-only", "peer"],
    ["(tls|<0.512.0>) Failed inbound s2s EXTERNAL authentication a.example -> b.example (192.0.2.1): self-signed certificate", "cert.self-signed", "peer"],
    ["mod_saslauth info SASL EXTERNAL with a.example failed: not-authorized: certificate has expired", "cert.expired", "you"],
    ["(tls|<0.512.0>) Failed outbound s2s EXTERNAL authentication a.example -> b.example (192.0.2.1): Authentication failed: Peer responded with error: not-authorized: self-signed certificate", "cert.self-signed", "you"],
    ["Failed to establish outbound s2s connection a.example -> b.example: Peer certificate rejected: certificate has expired; bouncing for 12 seconds", "cert.expired", "peer"],
    ["refused: the server refused our certificate in SASL EXTERNAL: unable to get local issuer certificate [auth.external-refused]", "cert.incomplete-chain", "you"],
    ["(tls|<0.512.0>) Failed outbound s2s EXTERNAL authentication a.example -> b.example (192.0.2.1): Authentication failed: Peer responded with error: not-authorized", "auth.external-refused", "you"],
    ["Failed to establish outbound s2s connection a.example -> b.example: Peer provided no SASL mechanisms; most likely it doesn't accept our certificate; bouncing for 164 seconds", "auth.external-not-offered", "you"],
    ["Failed to establish outbound s2s connection a.example -> b.example: Stream closed by peer: This host does not serve b.example (host-unknown); bouncing for 12 seconds", "stream.host-unknown", "peer"],
    ["Failed to establish outbound s2s connection a.example -> b.example: authentication failed; bouncing for 12 seconds", "auth.no-way", "you"],
    ["Unable to create new session: Cannot create a plain socket connection with any applicable remote host.", "reach.refused", "peer"],
    ["remote-server-not-found: Server-to-server connection failed: unable to resolve service", "dns.target-unresolvable", "peer"],
    ["<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "stream.host-unknown", "peer"],
    ["<error type='wait'><remote-server-timeout/><text>Server-to-server connection failed: Remote server&apos;s certificate is not trusted</text></error>", "cert.unknown-root", "peer"],
    ["Access-denied by nobody in particular: Server-to-server communication is disabled for this host", undefined, "peer"],
  ]
  for (const [line, finding, party] of lines)
    it(`means ${finding ?? "something without a finding"}: ${line.slice(0, 60)}`, () => {
      const explanation = explain(line, noScenes)
      assert.equal(explanation.finding?.id, finding)
      assert.equal(explanation.said?.party, party)
    })

  it("are the reason of our own sentence that quotes them, and only of one that does", () => {
    const quoted = explain("the server ended the stream with an error: not-authorized (Your server's certificate is self-signed) [stream.error]", noScenes)
    assert.equal(quoted.finding?.id, "cert.self-signed")
    assert.equal(quoted.said?.product, "Prosody")
    assert.equal(found("the server ended the stream with an error: not-authorized [stream.error]"), "stream.error")
    assert.equal(found("no address accepts connections: 127.0.0.1 ECONNREFUSED [reach.refused]"), "reach.refused")
  })

  it("need every word: a part of one means nothing", () => {
    for (const text of ["certificate purpose", "the host has unknown colours", "unexpired certificate has expiredness"]) assert.equal(explain(text, noScenes).known, false, text)
  })
})

describe("what is not known", () => {
  it("is said to be so, with the nearest findings", () => {
    assert.deepEqual(explain("dane.mismach", noScenes).nearest, ["dane.mismatch"])
    assert.equal(explain("the TLSA answer has wrong signatures", noScenes).nearest.includes("dane.tlsa-bogus"), true)
    assert.deepEqual(explain("qwertz", noScenes), { text: "qwertz", known: false, said: null, finding: null, nearest: [] })
  })

  it("is any text: none makes it fail or be slow, and all it says has the form of the schema", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: "binary" }), fc.string().map((text) => text.repeat(200)), fc.constantFrom(...foreignSentences.map(({ says }) => says)).map((says) => says.split(" ").reverse().join(" "))), (text) => {
        const explanation = explain(text, noScenes)
        explanationSchema.parse(explanation)
        assert.equal(explanation.known, explanation.said !== null || explanation.finding !== null)
      }),
      { numRuns: 100 },
    )
    const began = performance.now()
    explain(`${"*".repeat(50_000)} [ ${"because its certificate ".repeat(20_000)}`, noScenes)
    assert.ok(performance.now() - began < 1000)
  })

  it("the name of an event says what happened, and where to look", () => {
    const { said: event, finding } = explain("s2s.refused", noScenes)
    assert.equal(event?.product, "xmpp-dna")
    assert.equal(finding, null)
  })
})
