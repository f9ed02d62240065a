// `check` as a user meets it, against the lab: what it says at 80 columns, every form, exit statuses, bad input, interruptions
// (RFC 7712 4.2; the transcripts of docs/check.md are played in test/docs).
import assert from "node:assert/strict"
import type { ChildProcess } from "node:child_process"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { checkSchema, domainSchema } from "../../src/inspect/report.ts"
import { type Documented, documented } from "../docs/world.ts"
import { progress } from "../../src/cli/progress.ts"
import { scripted } from "../inspect/scripted.ts"
import { type Commands, commands, type Ended, ending, start as startCommand } from "./command.ts"

const folder = mkdtempSync(join(tmpdir(), "check-"))
const at = (name: string): string => join(folder, name)
const write = (name: string, text: string): string => {
  writeFileSync(at(name), text, { mode: 0o600 })
  return at(name)
}
const esc = "\u001b"

let lab: Documented
let one: Commands
let quiet: { close(): Promise<void> }

before(async () => {
  lab = await documented(folder)
  quiet = await scripted(lab.net, "quiet.example", () => undefined)
  const me = lab.net.authority.issue({ names: { dns: ["me.example"] } })
  write("me.pem", me.chainPem)
  write("me.key", me.keyPem)
  one = await commands(folder, lab.environment)
})

after(async () => {
  await one.close()
  await quiet.close()
  await lab.net.close()
  rmSync(folder, { recursive: true })
})

const start = (args: readonly string[], environment: Readonly<Record<string, string>> = {}): ChildProcess => startCommand(["check", ...args], folder, { ...lab.environment, ...environment })
const check = (...args: readonly string[]): Promise<Ended> => one.run("check", ...args)
const together = (...lines: readonly (readonly string[])[]): Promise<readonly Ended[]> => Promise.all(lines.map((line) => check(...line)))

describe("as text", () => {
  it("keeps to 80 columns, but for what is to be pasted, which stands unindented", async () => {
    for (const { out } of await together(["chat.example"], ["shop.example"], ["stale.example"], ["stale.example", "-v"], ["mute.example"], ["soon.example"], ["chat.example", "shop.example", "mute.example", "soon.example"])) {
      if (out.startsWith("stale")) assert.match(out, /^_\d+\._tcp\.xmpp\.stale\.example\. 3600 IN TLSA 3 1 1 [0-9a-f]{64}$/m)
      const long = out.split("\n").filter((line) => [...line].length > 80)
      assert.deepEqual(long.filter((line) => !/^(?:\{|_)\S/.test(line)), [])
    }
  })

  it("ends as docs/check.md says: the expectation, warnings, could not tell", async () => {
    const statuses = await together(
      ["chat.example"],
      ["shop.example", "-q"],
      ["shop.example", "--expect", "encrypted", "-q"],
      ["soon.example", "-q"],
      ["soon.example", "-q", "--fail-on", "warn"],
      ["soon.example", "-q", "--fail-on", "warn", "--warn-expiry", "2d"],
      ["mute.example", "-q"],
      ["mute.example", "shop.example", "-q"],
      ["mute.example", "soon.example", "-q", "--fail-on", "warn"],
      ["chat.example", "-6", "-q"],
      ["chat.example", "-4", "-q"],
    )
    assert.deepEqual(statuses.map(({ status }) => status), [0, 2, 0, 0, 1, 0, 3, 2, 3, 2, 0])
    assert.equal(statuses.map(({ err }) => err).join(""), "")
    assert.match(statuses[1]?.out ?? "", /^shop\.example {3}\u2716 not authenticated: the certificate is not for this domain\n$/)
  })

  it("of both services: how it ends is said once, and a service that nobody is named for is called that", async () => {
    const { out, status } = await check("--service", "both", "shop.example")
    assert.equal(status, 2)
    assert.equal(out.match(/^Exit 2\. /gm)?.length, 1)
    assert.match(out, /\nExit 2\. [^\n]*\n$/)
    assert.match(out, /^shop\.example, for clients {3}\u2716 [^[]*\[dns\.no-server\]/m)
    assert.match(out, /^_xmpp-client\._tcp\.shop\.example\. 3600 IN SRV 0 5 5222 xmpp\.shop\.example\.$/m)
  })

  it("what is not asked is named, with the option that allows it; and asking so gets further", async () => {
    const { zones } = lab.net.signed
    zones.set("_xmpp-server._tcp.inside.example", { SRV: [[0, 0, 5269, "xmpp.inside.example"], [1, 0, 5269, "xmpp.localdomain"]] })
    zones.set("xmpp.inside.example", { A: ["10.0.0.1"], AAAA: ["fd00::1"] })
    const [inside, quiet, name, there] = await together(["inside.example"], ["inside.example", "-q"], ["a.invalid"], ["--connect", "10.0.0.1:5269", "chat.example"])
    assert.match(quiet?.out ?? "", /^inside\.example {3}\? could not tell: [\s\S]*10\.0\.0\.1\s+is\s+private\s[\s\S]*not\s+asked\s+without\s+--allow\n$/)
    assert.match(inside?.out ?? "", /ask\s+again\s+with\s+--allow\s+fd00::1\/128\s+--allow\s+10\.0\.0\.1\/32\s/)
    assert.match(name?.out ?? "", /ask\s+again\s+with\s+--allow\s+a\.invalid\s/)
    assert.match(there?.out ?? "", /ask\s+again\s+with\s+--allow\s+10\.0\.0\.1\/32\s/)
    assert.match((await check("-q", "--allow", "127.0.0.0/8", "--allow", "a.invalid", "a.invalid")).out, /does not exist in DNS/)
  })

  it("has no colours in a pipe, has them when told, and none by NO_COLOR; ASCII for a plain locale", async () => {
    const [piped, forced, never, plain, dumb] = await Promise.all([
      check("chat.example"),
      check("chat.example", "--color", "always"),
      ending(start(["chat.example", "--no-color"], { FORCE_COLOR: "1" })),
      ending(start(["shop.example"], { LC_ALL: "C" })),
      ending(start(["chat.example"], { TERM: "dumb" })),
    ])
    assert.ok(!piped.out.includes(esc))
    assert.ok(forced.out.includes(`${esc}[32m\u2714`))
    assert.ok(!never.out.includes(esc))
    assert.match(plain.out, /BAD {2}not authenticated/)
    for (const { out } of [plain, dumb]) assert.match(out, /^[\n -~]+$/)
  })

  it("really logs in with a certificate of ours, and says so", async () => {
    const [accepted, without] = await together(["--from", "me.example", "--cert", at("me.pem"), "--key", at("me.key"), "chat.example"], ["--from", "me.example", "chat.example"])
    assert.equal(accepted?.status, 0)
    assert.match(accepted?.out ?? "", /accepts us \(EXTERNAL\)/)
    assert.match(without?.out ?? "", /no certificate of me\.example was at hand/)
  })

  it("asks one server, in both ways of writing", async () => {
    const { address, port } = lab.net.server("chat.example").s2s
    const [...ended] = await together(["--connect", `${address}:${port}`, "chat.example"], [`xmpp://${address}:${port}/chat.example`], ["--connect", `${address}:1`, "chat.example", "-q"])
    assert.deepEqual(ended.map(({ status, out }) => [status, /as you say/.test(out)]), [[0, true], [0, true], [2, false]])
  })
})

describe("for machines", () => {
  it("--json is one document of the published form, of both services", async () => {
    const { out, status, err } = await check("--json", "--service", "both", "chat.example", "mute.example")
    const report = checkSchema.parse(JSON.parse(out))
    assert.deepEqual([status, report.exit, err], [2, 2, ""])
    assert.deepEqual(report.results.map(({ domain, service }) => [domain, service]), [
      ["chat.example", "xmpp-server"],
      ["chat.example", "xmpp-client"],
      ["mute.example", "xmpp-server"],
      ["mute.example", "xmpp-client"],
    ])
    assert.equal(report.resolver.validates, true)
  })

  it("--jsonl is a line for each domain", async () => {
    const { out, status } = await check("--jsonl", "chat.example", "shop.example", "mute.example")
    const results = out.trimEnd().split("\n").map((line) => domainSchema.parse(JSON.parse(line)))
    assert.deepEqual([status, results.map(({ domain }) => domain).sort()], [2, ["chat.example", "mute.example", "shop.example"]])
  })

  it("--nagios is a plugin's line and status, a mistake included", async () => {
    const [good, ...states] = await together(...["chat.example", "soon.example", "shop.example", "mute.example", "192.0.2.1"].map((domain) => ["--nagios", domain]))
    assert.match(good?.out ?? "", /^XMPP-DNA OK - chat\.example authenticated by PKIX and DANE \| cert_days=\d+\.\d rrsig_days=\d+\.\d time=\d+\.\d\ds proofs=2\n$/)
    assert.deepEqual(states.map(({ status, out }) => [status, /^XMPP-DNA (\w+) - /.exec(out)?.[1]]), [[1, "WARNING"], [2, "CRITICAL"], [3, "UNKNOWN"], [3, "UNKNOWN"]])
  })

  it("--at: every form counts what ends from then, and not from now", async () => {
    const day = 86_400_000
    const then = new Date(Date.now() + 30 * day).toISOString()
    const forms = await together(["chat.example"], ["--at", then, "chat.example"], ["--at", then, "chat.example", "shop.example"], ["--at", then, "--nagios", "chat.example"], ["--at", then, "--json", "chat.example"], ["--at", then, "--warn-expiry", "80d", "chat.example"])
    const [now, text, table, nagios, json, warned] = forms.map(({ out }) => out) as [string, string, string, string, string, string]
    const left = Number(/EXPIRES +certificate (\d+) d/.exec(now)?.[1])
    assert.ok(left > 80)
    assert.match(text, new RegExp(`EXPIRES +certificate ${left - 30} d · DNSSEC signatures ended `))
    assert.match(table, new RegExp(`^chat\\.example .* ${left - 30} d$`, "m"))
    assert.match(nagios, new RegExp(`cert_days=(?:${left - 30}|${left - 29})\\.\\d rrsig_days=-`))
    const [result] = checkSchema.parse(JSON.parse(json)).results
    assert.equal(result?.asOf, then)
    assert.match(warned, new RegExp(`${left - 30} days from then`))
  })

  it("--prometheus has metrics, and none where nothing is known", async () => {
    const { out } = await check("--prometheus", "chat.example", "mute.example")
    assert.match(out, /^xmpp_dna_check_level\{domain="chat\.example",service="xmpp-server"\} 4$/m)
    assert.doesNotMatch(out, /xmpp_dna_check_(?:level|ok)\{domain="mute\.example"/)
    assert.match(out, /^xmpp_dna_check_unknown\{domain="mute\.example",service="xmpp-server"\} 1$/m)
    assert.match(out, /^probe_success 0$/m)
    for (const line of out.trimEnd().split("\n")) assert.match(line, /^(?:# (?:HELP|TYPE) \w+ .+|\w+(?:\{(?:\w+="[^"]*",?)+\})? \d+(?:\.\d+)?)$/)
  })

  it("--markdown has what to paste in fences", async () => {
    const { out, status } = await check("--markdown", "stale.example")
    assert.equal(status, 2)
    assert.match(out, /^## stale\.example \(xmpp-server\)$/m)
    assert.match(out, /^```\n_\d+\._tcp\.xmpp\.stale\.example\. 3600 IN TLSA 3 1 1 [0-9a-f]{64}\n```$/m)
  })

  it("--evidence keeps what `judge` judges alike", async () => {
    const statuses = (await together(...["chat.example", "shop.example"].map((domain) => ["-q", "--evidence", at("evidence"), domain]))).map(({ status }) => status)
    assert.deepEqual(statuses, [0, 2])
    const kept = readdirSync(at("evidence"))
    assert.equal(kept.length, 2)
    const judged = await Promise.all(kept.map((name) => one.run("judge", "--anchors", at("ca.pem"), "--dns-anchors", at("root.txt"), join(at("evidence"), name))))
    for (const { status, out } of judged) assert.equal(status, 0, out)
  })
})

describe("many and bad", () => {
  it("reads files as people write them, each domain once", async () => {
    const { out, err, status } = await check("--input", write("domains", "\uFEFFchat.example\r\n\r\n# ours\r\nCHAT.example.\r\ncaf\u00e9.example # closed\r\n"), "--jsonl")
    assert.deepEqual(out.trimEnd().split("\n").map((line) => JSON.parse(line).domain).sort(), ["chat.example", "xn--caf-dma.example"])
    assert.match(err, /^note: 1 of 3 were named before/)
    assert.equal(status, 2)
    const piped = await ending(start(["--input", "-", "-q"]), "chat.example\n")
    assert.equal(piped.status, 0)
  })

  it("a hundred and more are a table with the good ones folded", async () => {
    const { port } = lab.net.server("chat.example").s2s
    const names = Array.from({ length: 120 }, (_, index) => `d${index}.chat.example`)
    for (const name of names) lab.net.signed.zones.set(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, port, "xmpp.chat.example"]] })
    const began = Date.now()
    const { out, status } = await check("--input", write("many", names.join("\n")), "--expect", "verified", "--concurrency", "16")
    assert.ok(Date.now() - began < 12_000, "at the pace of ten a second at the very least")
    assert.match(out, /120 checked: .*exit \d\n$/)
    assert.ok(status === 0 || status === 2)
  })

  it("says what is wrong with how it was called, and asks nobody", async () => {
    const mistakes: readonly (readonly [string[], RegExp])[] = [
      [[], /no domain is given/],
      [["192.0.2.1"], /is an IP address/],
      [["[2001:db8::1]"], /is an IP address/],
      [["a b"], /"a b"/],
      [["--input", write("empty", "\r\n# nothing\n")], /names no domain/],
      [["--input", write("wrong", "chat.example\nnot a domain\n")], /wrong:2: /],
      [["--input", at("nowhere")], /cannot be read/],
      [["-4", "-6", "a.example"], /exclude each other/],
      [["--json", "--jsonl", "a.example"], /exclude each other/],
      [["--expect", "splendid", "a.example"], /--expect/],
      [["--service", "web", "a.example"], /--service/],
      [["--timeout", "5", "a.example"], /is not a duration/],
      [["--connect", "chat.example", "a.example"], /host:port/],
      [["--concurrency", "0", "a.example"], /--concurrency/],
      [["--cert", at("me.pem"), "a.example"], /belong together/],
      [["--cert", at("me.pem"), "--key", at("me.key"), "a.example"], /--from/],
      [["--from", "me.example", "--cert", at("me.key"), "--key", at("me.pem"), "a.example"], /no certificate with its key/],
      [["--ca-file", at("nowhere"), "a.example"], /nowhere/],
      [["--at", "yesterday", "a.example"], /--at "yesterday" is no date/],
      [["--seal", at("me.key"), "a.example"], /--seal needs --evidence/],
      [["--evidence", at("sealing"), "--seal", at("me.pem"), "a.example"], /--seal \S+: it holds no key/],
      [["--at", "2030-01-01", "--evidence", at("then"), "a.example"], /exclude each other/],
      // Nothing can be made there, with or without its parents.
      [["--evidence", "/proc/nowhere/evidence", "a.example"], /--evidence \/proc\/nowhere\/evidence: ENOENT/],
      [["--evidence", at("ca.pem"), "a.example"], /--evidence .*ca\.pem: EEXIST/],
    ]
    const ended = await together(...mistakes.map(([args]) => args))
    for (const [index, { status, out, err }] of ended.entries()) {
      const [args, sentence] = mistakes[index] ?? assert.fail()
      assert.equal(status, 64, args.join(" "))
      assert.match(err, sentence)
      assert.match(err, /^xmpp-dna: [^\n]+\n$/)
      if (!args.includes("--json")) assert.equal(out, "")
    }
    const { out } = await check("--json", "192.0.2.1")
    assert.equal(JSON.parse(out).exit, 64)
  })

  it("an address that this program may not go to: could not tell, and how to allow it", async () => {
    lab.net.signed.zones.set("_xmpp-server._tcp.inside.example", { SRV: [[0, 0, 5269, "xmpp.inside.example"]] })
    lab.net.signed.zones.set("xmpp.inside.example", { A: ["10.0.0.1"] })
    const { status, out } = await check("inside.example")
    assert.equal(status, 3)
    assert.match(out, /COULD NOT TELL\n +1 you .*\[dns\.guarded\]\n +if it is meant, ask again with --allow 10\.0\.0\.1\/32\n/s)
  })

  it("a resolver that nobody answers at: could not tell", async () => {
    const child = startCommand(["check", "--resolver", "127.0.0.1:1", "--allow", "example", "--ca-file", at("ca.pem"), "--timeout", "2s", "--json", "chat.example"], folder)
    const { status, out } = await ending(child)
    const report = checkSchema.parse(JSON.parse(out))
    assert.deepEqual([status, report.results[0]?.unknown, report.results[0]?.level], [3, true, null])
  })

  it("on a terminal a line says what is waited for, after 0.4 s, and is gone at the end", (context) => {
    context.mock.timers.enable({ apis: ["setInterval"] })
    const written: string[] = []
    context.mock.method(process.stderr, "write", (text: string) => written.push(text) > 0)
    const shown = progress(3, true)
    for (const domain of ["a.example", "slow.example", "b\u001b.example"]) shown.asks(domain)
    shown.done("a.example", true)
    context.mock.timers.tick(399)
    assert.deepEqual(written, [])
    context.mock.timers.tick(1)
    shown.done("slow.example", false)
    context.mock.timers.tick(400)
    shown.end()
    context.mock.timers.tick(4000)
    // A quick one is never seen, nor is any where nobody looks.
    progress(1, true).end()
    const quick = progress(1, false)
    quick.asks("a.example")
    context.mock.timers.tick(4000)
    quick.end()
    assert.deepEqual(written, ["\r\u001b[K1 of 3, 1 good; asking slow.example", "\r\u001b[K2 of 3, 1 good; asking b\\u001b.example", "\r\u001b[K"])
  })

  it("Ctrl-C in the middle: what was finished stays valid, and nothing is said of the rest", async () => {
    for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      const child = start(["--jsonl", "--concurrency", "1", "chat.example", "quiet.example", "shop.example"])
      const ended = ending(child)
      await new Promise((resolve) => child.stdout?.once("data", resolve))
      child.kill(signal)
      const { status: seen, out } = await ended
      assert.equal(seen, status)
      assert.deepEqual(out.trimEnd().split("\n").map((line) => domainSchema.parse(JSON.parse(line)).domain), ["chat.example"])
    }
    // One document stays one document. Standard error is no terminal, so the second one is waited for until it was asked.
    const { events } = lab.net.server("chat.example")
    const before = events.length
    const child = start(["--json", "--concurrency", "2", "quiet.example", "chat.example"])
    const ended = ending(child)
    await lab.net.until("the look at chat.example", () => events.slice(before).find(({ kind }) => kind === "closed"), 10_000)
    child.kill("SIGINT")
    const { status, out } = await ended
    const report = checkSchema.parse(JSON.parse(out))
    assert.deepEqual([status, report.exit], [130, 130])
    assert.ok(!report.results.some(({ domain }) => domain === "quiet.example"))
  })

  it("a reader that goes away ends it without a word", async () => {
    const child = start(["--jsonl", "--concurrency", "1", "chat.example", "shop.example", "soon.example", "stale.example"])
    const closed = new Promise<[number | null, string | null]>((resolve) => child.once("close", (status, signal) => resolve([status, signal])))
    let err = ""
    child.stderr?.on("data", (bytes) => (err += bytes))
    await new Promise((resolve) => child.stdout?.once("data", resolve))
    child.stdout?.destroy()
    const [, signal] = await closed
    assert.deepEqual([signal, err], [null, ""])
  })
})
