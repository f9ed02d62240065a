// Bad input to the real command: a sentence that names what, where and the remedy, the exit status of docs/operating.md, and
// nothing on standard output (security.md 21, 25-27).
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, it } from "node:test"
import { fileURLToPath } from "node:url"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "bad-input-"))
after(() => rmSync(folder, { recursive: true }))

const secret = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
const at = (name: string): string => join(folder, name)
function file(name: string, text: string): string {
  writeFileSync(at(name), text, { mode: 0o600 })
  return at(name)
}
file("secret", secret)

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function run(args: readonly string[], input = ""): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [command, ...args], { timeout: 20_000 })
    let out = ""
    let err = ""
    child.stdout.on("data", (bytes) => (out += bytes))
    child.stderr.on("data", (bytes) => (err += bytes))
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, out, err }))
    // The command may end before it has read everything, which is an error of the pipe and none of the test.
    child.stdin.on("error", (error: NodeJS.ErrnoException) => assert.equal(error.code, "EPIPE"))
    child.stdin.end(input)
  })
}

const good = `listen: { s2s: ["127.0.0.1:0"], components: ["127.0.0.1:0"] }
federation:
  resolver: { address: "127.0.0.1:53", dnssec: off }
certificates: { dirs: [${folder}] }
domains:
  - name: a.example
    component: { secret: { file: ${at("secret")} } }
`
let made = 0
const config = (change: (text: string) => string): readonly string[] => {
  made += 1
  return ["serve", "--check", "--config", file(`config-${made}.yaml`, change(good))]
}
const instead = (from: string, to: string) => (text: string) => {
  assert.ok(text.includes(from), from)
  return text.replace(from, to)
}

const proof = { chain: ["AAAA"], presentedAs: "tls-client", protocol: "TLSv1.3", cipher: "x" }
const evidence = (more: Readonly<Record<string, unknown>> = {}, item: Readonly<Record<string, unknown>> = {}): string =>
  JSON.stringify({
    evidence: 1,
    tool: { name: "xmpp-dna", version: "0" },
    recorded: "2026-11-22T13:00:00.000Z",
    direction: "in",
    pair: { sender: "b.example", target: "a.example" },
    decision: "refused",
    level: null,
    finding: "cert.expired",
    sentence: "expired",
    items: [{ version: 1, prooftype: "pkix", role: "incoming", pair: { sender: "b.example", target: "a.example" }, source: "b.example", reference: {}, proof, material: { anchors: { digest: "00", count: 1 } }, at: "2026-11-22T13:00:00.000Z", verdict: { outcome: "refuted", by: "pkix", finding: "cert.expired", detail: "" }, ...item }],
    ...more,
  })

type Row = readonly [what: string, args: readonly string[], status: number, says: RegExp, input?: string]

const rows: readonly Row[] = [
  ["an unknown command", ["jugde"], 64, /unknown command 'jugde'[\s\S]*Did you mean judge\?/],
  ["an unknown option", ["judge", "--jsn", "x"], 64, /unknown option '--jsn'[\s\S]*--json/],
  ["serve without a configuration", ["serve"], 64, /required option '--config <file>'/],
  ["a configuration that is not there", ["serve", "--config", at("none.yaml")], 78, /none\.yaml .*cannot be read: there is no such file/],
  ["a configuration that is a folder", ["serve", "--config", folder], 78, /cannot be read: it is a folder/],
  ["a syntax error", config((text) => `${text}  - [\n`), 78, /config-\d+\.yaml:\d+:\d+ .*not YAML/],
  ["a wrong type", config(instead("dirs: [", "warn: soon, dirs: [")), 78, /yaml:4:\d+ +certificates\.warn +/],
  ["a setting that does not exist", config(instead("listen:", "lisen:")), 78, /yaml:1:1 .*lisen.*listen/s],
  ["one domain twice", config((text) => `${text}  - name: A.EXAMPLE\n    component: { secret: { file: ${at("secret")} } }\n`), 78, /yaml:\d+:\d+ .*a\.example/],
  ["a secret file that is not there", config(instead(at("secret"), at("gone"))), 78, /domains\[0\]\.component\.secret .*gone cannot be read: there is no such file/],
  ["a secret that is a device", config(instead(at("secret"), "/dev/zero")), 78, /\/dev\/zero is not a file/],
  ["a weak secret", config(instead(at("secret"), file("weak", "hunter2hunter2"))), 78, /too weak .*openssl rand -hex 32/],
  ["a secret in the file itself", config(instead(`{ file: ${at("secret")} }`, secret)), 78, /--allow-inline-secrets/],
  ["a mode of DNSSEC that is none", config(instead("dnssec: off", "dnssec: on")), 78, /yaml:3:\d+ +federation\.resolver\.dnssec .*validate, trust-ad, off/],
  ["trust-ad of a resolver elsewhere", config(instead('"127.0.0.1:53", dnssec: off', '"192.0.2.53", dnssec: trust-ad')), 78, /federation\.resolver\.address .*192\.0\.2\.53 is not a loopback address/],
  ["anchors of DNSSEC that are not there", config(instead("dnssec: off", `anchors: ${at("none.ds")}`)), 78, /federation\.resolver\.anchors .*none\.ds cannot be read/],
  ["anchors of DNSSEC that are none", config(instead("dnssec: off", `anchors: ${at("secret")}`)), 78, /federation\.resolver\.anchors .*neither a DS nor a DNSKEY record/],
  ["DANE with DNSSEC off", config(instead("federation:\n", "federation:\n  proofs: [dane]\n")), 78, /federation\.proofs\[0\] .*DANE rests on signed DNS/],
  ["permissive federation", config(instead("federation:\n", "federation:\n  require: permissive\n")), 78, /yaml:3:\d+ +federation\.require .*permissive/],
  ["components on a public address", config(instead('components: ["127.0.0.1:0"]', 'components: ["192.0.2.1:5347"]')), 78, /listen\.components\[0\] .*can be reached by others.*127\.0\.0\.1:5347/],
  ["a trust file that is not there", config(instead("federation:\n", `federation:\n  trust: ${at("roots.pem")}\n`)), 78, /federation\.trust .*roots\.pem/],
  ["evidence that is not there", ["judge", at("none.json")], 64, /none\.json cannot be read/],
  ["evidence that is a folder", ["judge", folder], 64, /cannot be read/],
  ["no JSON", ["judge", "-"], 64, /^xmpp-dna: -: not JSON/, "hello"],
  ["nothing at all", ["judge", "-"], 64, /not JSON, or cut off/],
  ["evidence cut off", ["judge", "-"], 64, /not JSON, or cut off/, evidence().slice(0, 200)],
  ["evidence of a newer version", ["judge", "-"], 3, /version 2; this program reads version 1/, evidence({ evidence: 2 })],
  ["other JSON", ["judge", "-"], 64, /no version/, "{}"],
  ["too large", ["judge", "-"], 64, /larger than 1048576 octets/, `{"x":"${"y".repeat(2_000_000)}"}`],
  ["nested too deep", ["judge", "-"], 64, /nested deeper than 32/, "[".repeat(100_000)],
  ["an item that is none", ["judge", "-"], 64, /items\[0\]\.proof\.chain/, evidence({}, { proof: { ...proof, chain: "AAAA" } })],
  ["words that would draw on the terminal", ["judge", "-"], 64, /^[\P{Cc}\n]*$/u, '{"evidence": "\u001b[2J'],
  ["--at nonsense", ["judge", "--at", "yesterday", "-"], 64, /--at yesterday: not a date; write it like 2026-/, evidence()],
  ["--at that only looks like a date", ["judge", "--at", "1", "-"], 64, /--at 1: not a date/, evidence()],
  ["an anchor file that is not there", ["judge", "--anchors", at("none.pem"), "-"], 64, /--anchors .*none\.pem/, evidence()],
  ["an anchor file without certificates", ["judge", "--anchors", at("secret"), "-"], 64, /--anchors .*secret/, evidence()],
  ["anchors of DNSSEC for judge that are not there", ["judge", "--dns-anchors", at("none.ds"), "-"], 64, /--dns-anchors .*none\.ds/, evidence()],
  ["anchors of DNSSEC for judge that are none", ["judge", "--dns-anchors", at("secret"), "-"], 64, /--dns-anchors .*neither a DS nor a DNSKEY record/, evidence()],
  ["a key of seals that is not there", ["judge", "--key", at("none.pem"), "-"], 64, /--key .*none\.pem/, evidence()],
  ["a key of seals that is none", ["judge", "--key", at("secret"), "-"], 64, /--key .*: it holds no key that can be read/, evidence()],
  ["a scene that does not exist", ["lab", "--once", "no-such-scene"], 64, /there is no scene "no-such-scene"/],
]

describe("bad input: one sentence, one status, nothing on standard output", () => {
  for (const [what, args, status, says, input] of rows) {
    it(`${what}: ${status}`, async () => {
      const ended = await run(args, input)
      assert.match(ended.err, says)
      assert.deepEqual([ended.status, ended.out], [status, ""])
      assert.equal(/\n\s+at |internal error/.test(ended.err), false, ended.err)
      assert.equal(ended.err.includes(secret), false)
    })
  }
  it("the configuration they are made from is good", async () => {
    const ended = await run(config((text) => text))
    assert.equal(ended.status, 0, ended.err)
  })
})

describe("evidence that can be read and not be judged", () => {
  it("unknown anchors, an unknown prooftype: 3, and escape sequences are shown, not obeyed", async () => {
    for (const text of [evidence(), evidence({}, { prooftype: "x\u001b[31m\n" })]) {
      const ended = await run(["judge", "-"], text)
      assert.equal(ended.status, 3, ended.err + ended.out)
      assert.match(ended.out, /cannot judge/)
      assert.equal(ended.out.includes("\u001b"), false)
    }
  })
  it("--json is one document, on failure too", async () => {
    const ended = await run(["judge", "--json", "-"], "hello")
    const said: unknown = JSON.parse(ended.out)
    assert.equal(ended.status, 64)
    assert.deepEqual(Object.keys(said as object), ["file", "error", "exit"])
  })
})

describe("whoever reads goes away", () => {
  it("a closed standard output is no crash", async () => {
    const ended = await new Promise<Ended>((resolve, reject) => {
      const child = spawn(process.execPath, [command, "judge", "-"], { timeout: 20_000 })
      let err = ""
      child.stderr.on("data", (bytes) => (err += bytes))
      child.on("error", reject)
      child.on("close", (status) => resolve({ status, out: "", err }))
      child.stdout.destroy()
      child.stdin.end(evidence())
    })
    assert.deepEqual([ended.status, ended.err], [3, ""])
  })
})
