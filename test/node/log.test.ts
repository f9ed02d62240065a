// The log port: JSON lines, lines for people, secrets blacked out, nothing a peer says can draw or begin a line (security.md 27).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { createLog, type LogOptions } from "../../src/node/log.ts"

function capture(options: LogOptions = {}, isTTY = false) {
  let text = ""
  const log = createLog({ ...options, sink: { isTTY, write: (chunk: string) => (text += chunk) } })
  return { log, text: () => text, lines: () => text.split("\n").filter((line) => line !== "") }
}

describe("JSON", () => {
  test("one object a line: time, level, event, fields", () => {
    const { log, lines } = capture()
    log.write("info", "s2s.associated", { sid: "s2sout-1", from: "a.example", to: "b.example", ms: 31 })
    log.write("error", "gateway.error", { text: "x" })
    const [first, second] = lines().map((line) => JSON.parse(line) as Record<string, unknown>)
    assert.match(String(first?.["t"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    const { t: _t, ...rest } = first!
    assert.deepEqual(rest, { level: "info", ev: "s2s.associated", sid: "s2sout-1", from: "a.example", to: "b.example", ms: 31 })
    assert.equal(second?.["level"], "error")
  })

  test("levels below the set one are left out, and the level can change while running", () => {
    const { log, lines } = capture({ level: "warn" })
    for (const level of ["debug", "info", "warn", "error"] as const) log.write(level, `at.${level}`, {})
    log.setLevel("debug")
    log.write("debug", "later", {})
    assert.deepEqual(
      lines().map((line) => (JSON.parse(line) as { ev: string }).ev),
      ["at.warn", "at.error", "later"],
    )
  })

  test("fields that carry secrets are blacked out at any depth, further ones by configuration", () => {
    const { log, text } = capture({ redact: ["jid"] })
    const secrets = {
      secret: "s1",
      password: "s2",
      token: "s3",
      keyPem: "s4",
      body: "s5",
      handshake: "s6",
      credentials: { a: "s7" },
      key: "s8",
    }
    log.write("info", "x", { ...secrets, jid: "s9", nested: { deeper: [secrets] }, keep: "visible" })
    assert.ok(text().includes("visible"))
    assert.doesNotMatch(text(), /s\d/)
    assert.ok(text().includes("[redacted]"))
  })

  test("a field with the name of the prototype is a field", () => {
    const { log, lines } = capture()
    log.write("info", "s2s.refused", { said: JSON.parse('{"__proto__":{"secret":"s1"},"b":1}') as unknown })
    const entry = JSON.parse(lines()[0]!) as { said: object }
    assert.deepEqual(Object.entries(entry.said), [["__proto__", { secret: "[redacted]" }], ["b", 1]])
  })

  test("what is logged is bounded: long texts, deep and circular objects, many items, octets, errors", () => {
    const { log, text, lines } = capture()
    const circle: Record<string, unknown> = {}
    circle["self"] = circle
    log.write("info", "x", {
      long: "a".repeat(100_000),
      circle,
      many: Array.from({ length: 10_000 }, (_, n) => n),
      octets: new Uint8Array(5),
      error: new RangeError("too much"),
      big: 10n,
      nothing: undefined,
    })
    assert.equal(lines().length, 1)
    assert.ok(text().length < 5000, String(text().length))
    assert.match(text(), /"octets":"5 bytes"/)
    assert.match(text(), /RangeError: too much/)
  })
})

describe("lines for people", () => {
  const clock = /^\d\d:\d\d:\d\d\.\d{3} /

  test("have the form of the handbook", () => {
    const { log, lines } = capture({ format: "pretty", colour: false })
    log.write("info", "s2s.associated", {
      sid: "s2sout-7f3a",
      from: "a.example",
      to: "b.example",
      text: "associated by pkix",
      tls: "TLSv1.3",
      ms: 31.2,
      peer: "192.0.2.1",
    })
    log.write("warn", "s2s.refused", {
      sid: "s2sin-91c0",
      from: "c.example",
      to: "a.example",
      text: "refused: no",
      finding: "pkix.name-mismatch",
    })
    log.write("error", "gateway.error", { code: "EMFILE", count: 3 })
    for (const line of lines()) assert.match(line, clock)
    assert.deepEqual(
      lines().map((line) => line.replace(clock, "")),
      [
        "info  s2sout-7f3a  a.example → b.example  associated by pkix  TLSv1.3  31 ms",
        "warn  s2sin-91c0  c.example → a.example  refused: no [pkix.name-mismatch]",
        "error gateway.error  code=EMFILE  count=3",
      ],
    )
  })

  test("are chosen on a terminal, JSON elsewhere; colour only on warnings and errors, and only where wanted", () => {
    const terminal = capture({ colour: true }, true)
    terminal.log.write("info", "x", {})
    terminal.log.write("warn", "x", {})
    terminal.log.write("error", "x", {})
    const esc = String.fromCharCode(27)
    assert.deepEqual(
      terminal.lines().map((line) => line.includes(esc)),
      [false, true, true],
    )
    const before = process.env["NO_COLOR"]
    process.env["NO_COLOR"] = "1"
    try {
      const plain = capture({}, true)
      plain.log.write("error", "x", {})
      assert.ok(!plain.text().includes(esc))
      assert.match(plain.text(), clock)
    } finally {
      if (before === undefined) delete process.env["NO_COLOR"]
      else process.env["NO_COLOR"] = before
    }
    const piped = capture()
    piped.log.write("error", "x", {})
    assert.equal((JSON.parse(piped.text()) as { ev: string }).ev, "x")
  })

  test("a peer's words cannot begin a line, colour the terminal, or turn the writing direction", () => {
    const evil = "no\n13:00:00.000 info  forged line\r\u001b[31m\u009b2J\u202edlrow\u2028x\u0000"
    for (const format of ["pretty", "json"] as const) {
      const { log, lines, text } = capture({ format, colour: false })
      log.write("warn", "s2s.refused", { sid: "s2sin-1", from: "a.example", text: evil, peer: evil, [evil]: 1 })
      assert.equal(lines().length, 1, format)
      assert.doesNotMatch(text().slice(0, -1), /[\p{Cc}\p{Cf}\u2028]/u, format)
    }
  })
})
