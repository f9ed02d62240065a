// What a hostile server may say in a report: nothing of it draws on a terminal, begins a line, leaves a label or a table, or becomes a link
// (security.md 17); and what a terminal is taken for.
import assert from "node:assert/strict"
import { test } from "node:test"
import { jsonText } from "../../src/cli/exit.ts"
import { markdown } from "../../src/cli/render-markdown.ts"
import { nagios, prometheus } from "../../src/cli/render-monitoring.ts"
import { text } from "../../src/cli/render-text.ts"
import { hanging, terminal, wrap } from "../../src/cli/terminal.ts"
import { type CheckReport, checkSchema } from "../../src/inspect/report.ts"

const hostile = 'x\u001b[31m\n## owned | ok=9\r"}\u202e 5\n`</script> ![a](http://evil.example/) @all \u0007'
const print = `sha256:${"a".repeat(64)}`
const report: CheckReport = checkSchema.parse({
  schema: 1,
  tool: { name: "xmpp-dna", version: "0.0.0", node: "24.0.0" },
  started: "2026-11-22T13:00:00.120Z",
  tookMs: 12,
  expect: "authenticated",
  exit: 2,
  resolver: { addresses: ["127.0.0.1:53"], validates: true },
  results: [
    {
      domain: "evil.example",
      unicode: "evil.example",
      service: "xmpp-server",
      started: "2026-11-22T13:00:00.120Z",
      asOf: "2026-11-22T13:00:00.120Z",
      tookMs: 12,
      asked: { from: "check.invalid", credentials: false },
      level: "encrypted",
      ok: false,
      unknown: false,
      discovery: { outcome: "endpoints", answers: [{ name: hostile, type: "SRV", status: "insecure", outcome: "data", records: [hostile], why: [hostile], validatedBy: "self", signaturesUntil: null }], skipped: [], leftOut: { addresses: 0, targets: 0 } },
      delegation: null,
      proofs: [{ proof: "pkix", state: "refuted", detail: hostile, finding: "pkix.name-mismatch", needsSecureDns: false, facts: [], until: null }],
      endpoints: [
        { host: hostile, port: 5269, address: "192.0.2.1", family: 4, transport: "starttls", addressStatus: "insecure", via: "srv", secureDelegation: false, state: "ok", steps: [], ms: 4, tls: hostile, cipher: hostile, alpn: hostile, starttls: "offered", from: hostile, features: [hostile], mechanisms: [hostile], certificate: print, chain: [print], proofs: [], level: "encrypted", login: null, findings: [] },
      ],
      certificates: { [print]: { names: [hostile], subject: hostile, issuer: hostile, serial: "1", notBefore: "2026-01-01T00:00:00.000Z", notAfter: "2027-01-01T00:00:00.000Z", key: "P-256", spki: print, extendedKeyUsage: [], selfIssued: false } },
      expires: { certificate: "2027-01-01T00:00:00.000Z", signatures: null, posh: null },
      findings: [{ id: "pkix.name-mismatch", severity: "bad", party: "peer", sentence: "the certificate is not for this domain", detail: hostile, fix: [{ kind: "file", text: `one\n\`\`\`\n${hostile.replaceAll("\n", " ")}`, where: hostile }, { kind: "text", text: hostile, where: null }], section: "RFC 6120 13.7.2.1", endpoints: [0] }],
      peersSee: [{ product: "prosody", text: hostile }],
      reverse: { state: "refuted", asked: "operator", address: "192.0.2.1", tls: null, level: "none", proofs: [], certificate: null, detail: hostile },
      notes: [hostile],
    },
  ],
})
const around = { tty: true, environment: { LANG: "en_GB.UTF-8", TERM: "xterm" }, color: "auto" } as const

test("nothing that a server says draws on the terminal or begins a line", () => {
  for (const [verbose, quiet] of [[true, false], [false, false], [false, true]] as const) {
    const shown = text(report, terminal({ ...around, color: "never" }), { verbose, quiet })
    assert.doesNotMatch(shown, /[^\P{Cc}\n]|\p{Cf}/u)
    // What is to be pasted is the report's own text, which never holds the server's; everything else is indented or wrapped.
    assert.doesNotMatch(shown, /^## owned/m)
  }
  const plain = text(report, terminal({ tty: false, environment: {}, color: "auto" }), { verbose: true, quiet: false })
  assert.match(plain, /^[\n -~]+$/)
})

test("a plugin's line stays one line with one bar; a label stays a label", () => {
  const line = nagios(report)
  assert.match(line, /^XMPP-DNA CRITICAL - [^|\n]+\| [^|\n]+\n$/)
  assert.match(nagios({ ...report, results: [] }), /^XMPP-DNA UNKNOWN - [^|\n]+\n$/)
  for (const metric of prometheus(report).trimEnd().split("\n")) assert.match(metric, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="[^"]*",?)+\})? \d+(?:\.\d+)?)$/)
})

test("a ticket shows the words and neither headings, cells, tags nor links of theirs", () => {
  const shown = markdown(report)
  assert.doesNotMatch(shown, /[^\P{Cc}\n]|\p{Cf}/u)
  assert.doesNotMatch(shown.replace(/^```\n[\s\S]*?^```$/gm, ""), /^#+ owned|(?<!\\)<\/script|(?<!\\)!\[|http:\/\/|(?<!\\)@all/m)
  // The fence is closed where we close it.
  assert.equal(shown.split("\n").filter((line) => line === "```").length % 2, 0)
  assert.match(shown, /^'''$/m)
})

test("colours are for terminals that want them, and words stand in for marks", () => {
  const coloured = (more: object): boolean => terminal({ ...around, ...more }).mark("good").includes("\u001b")
  assert.equal(coloured({}), true)
  assert.equal(coloured({ tty: false }), false)
  assert.equal(coloured({ environment: { ...around.environment, NO_COLOR: "1" } }), false)
  assert.equal(coloured({ environment: { ...around.environment, NO_COLOR: "" } }), true)
  assert.equal(coloured({ tty: false, environment: { FORCE_COLOR: "1" } }), true)
  assert.equal(coloured({ environment: { NO_COLOR: "1" }, color: "always" }), true)
  assert.equal(coloured({ color: false }), false)
  assert.equal(coloured({ environment: { LANG: "C.UTF-8", TERM: "dumb" } }), false)
  assert.equal(terminal({ ...around, environment: { LC_ALL: "C", LANG: "en_GB.UTF-8" } }).mark("bad").includes("BAD"), true)
  // What asks for nothing is never coloured.
  assert.ok(!terminal({ ...around, color: "always" }).mark("none").includes("\u001b"))
})

test("what stands among the ways out is not noted again, and what has ended is said to have", () => {
  const [result] = report.results
  assert.ok(result)
  const info = (id: string): typeof result.findings[number] => ({ id, severity: "info", party: "nobody", sentence: `sentence of ${id}`, detail: "", fix: [], section: "RFC 7711 3", endpoints: [0] })
  const found = { ...result, findings: [...result.findings, info("posh.not-published"), info("cert.server-only")], expires: { ...result.expires, certificate: "2026-11-20T13:00:00.000Z" } }
  const shown = terminal({ ...around, color: "never" })
  const verbose = text({ ...report, results: [found] }, shown, { verbose: true, quiet: false })
  assert.equal(verbose.split("sentence of posh.not-published").length, 2)
  assert.match(verbose, /\nOR INSTEAD[^\n]*\n +2 +sentence of posh\.not-published [\s\S]*\nNOTED\n +sentence of cert\.server-only /)
  const table = text({ ...report, results: [found, { ...result, domain: "other.example" }] }, shown, { verbose: false, quiet: false })
  assert.match(table, /^evil\.example .* ended /m)
  assert.match(table, /^other\.example .* 39 d /m)
})

test("lines break between words only, and a hash stays whole", () => {
  const hash = "a".repeat(100)
  assert.deepEqual(wrap(`one two ${hash} three`, 20), ["one two", hash, "three"])
  assert.deepEqual(hanging("> ", 2, "b ".repeat(50).trim()).map((line) => line.length), [79, 23])
})

test("attack: a document in JSON draws no more on a terminal than any other form, and is the same document", () => {
  const said = { detail: "a\u001b[31m \u009b31m \u007f \u202e \u2028 \u{e0041} \u00ad end", list: [hostile] }
  const drawing = /[\p{Cc}\p{Cf}\u2028\u2029]/u
  assert.match(JSON.stringify(said), drawing, "red: JSON escapes none of those above 1f")
  for (const written of [jsonText(said), jsonText(said, 2).replaceAll("\n", "")]) {
    assert.doesNotMatch(written, drawing)
    assert.deepEqual(JSON.parse(written), said)
  }
})
