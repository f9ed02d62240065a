// `xmpp-dna ctl` against a real `xmpp-dna serve`: what it prints at 80 columns, its exit statuses, SIGHUP and file drop
// beside it, and drain (docs/operating.md "Managing domains while it runs").
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { type GatewaySights, streamsView } from "../../src/gateway/admin-views.ts"
import { certificateFor, patiently, RawComponent } from "../gateway/gateway-fixture.ts"
import { faultsOf } from "../json-schema.ts"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "ctl-"))
const at = (name: string): string => join(folder, name)
const socket = at("run/admin.sock")
const children: ChildProcess[] = []
after(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill("SIGKILL")
    await new Promise((resolve) => child.once("exit", resolve))
  }
  rmSync(folder, { recursive: true })
})

for (const name of ["certs", "tenants.d", "run"]) mkdirSync(at(name), { mode: 0o700 })
for (const name of ["host.example", "bot.example", "shop.example", "own.example"]) {
  const { chainPem, keyPem } = certificateFor(name)
  writeFileSync(at(`certs/${name}.pem`), chainPem + keyPem, { mode: 0o600 })
}
writeFileSync(at("secret"), "5f0c1d2e3b4a59687786a5b4c3d2e1f0", { mode: 0o600 })
writeFileSync(
  at("config.yaml"),
  `node: gw1
listen: { s2s: ["127.0.0.1:0"], components: ["127.0.0.1:0"], admin: "unix:${socket}" }
federation: { trust: bundled, resolver: { address: "127.0.0.1:9", dnssec: off }, allow: { networks: [127.0.0.0/8], names: [example] } }
certificates: { dirs: [certs] }
include: [tenants.d/*.yaml]
log: { format: json }
shutdown: { drain: 0s, deadline: 2s }
domains:
  - { name: bot.example, component: { secret: { file: secret } } }
`,
  { mode: 0o600 },
)

const published = (name: string): Record<string, unknown> => JSON.parse(readFileSync(new URL(`../../schema/${name}.json`, import.meta.url), "utf8"))

function fits(name: string, text: string): void {
  assert.deepEqual(faultsOf(published(name), JSON.parse(text), { closed: true }), [], `${name}: ${text}`)
}

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function run(args: readonly string[]): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [command, ...args], { timeout: 20_000, cwd: folder, stdio: ["ignore", "pipe", "pipe"] })
    let out = ""
    let err = ""
    child.stdout.on("data", (bytes) => (out += bytes))
    child.stderr.on("data", (bytes) => (err += bytes))
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, out, err }))
  })
}

const ctl = (...args: string[]): Promise<Ended> => run(["ctl", "--socket", socket, ...args])

describe("ctl", () => {
  let serving: ChildProcess
  let said = ""
  const waiting = new Set<() => void>()
  const until = (pattern: RegExp): Promise<RegExpExecArray> => patiently(`${pattern} in ${said.slice(-1500)}`, waiting, () => pattern.exec(said) ?? undefined, 15_000)
  before(async () => {
    serving = spawn(process.execPath, [command, "serve", "--config", at("config.yaml")], { stdio: ["ignore", "pipe", "pipe"] })
    children.push(serving)
    for (const stream of [serving.stdout!, serving.stderr!]) {
      stream.on("data", (bytes) => {
        said += bytes
        for (const look of [...waiting]) look()
      })
    }
    await until(/ready in/)
  })

  it("the start-up text names the socket", () => {
    assert.match(said, new RegExp(`components 127\\.0\\.0\\.1 port \\d+ · admin ${socket}\n`))
  })
  it("adds, shows, changes, suspends, resumes and removes; no table is wider than 80 columns", async () => {
    const added = await ctl("domain", "add", "shop.example", "--generate-secret", "--certificate", "host.example", "--posh")
    assert.deepEqual([added.status, added.err], [0, ""])
    assert.match(added.out, /^\+ domain shop\.example\nsecret in .*\/tenants\.d\/secrets\/shop\.example \(mode 600\)\nfile .*\/tenants\.d\/shop\.example\.yaml\n$/)
    const [, port] = await until(/components 127\.0\.0\.1 port (\d+)/)
    const bot = await RawComponent.attach({ address: "127.0.0.1", port: Number(port) }, "shop.example", readFileSync(at("tenants.d/secrets/shop.example"), "utf8").trim())
    const [status, domains, certs, components, streams, ready] = await Promise.all([ctl("status"), ctl("domains"), ctl("certs"), ctl("components"), ctl("s2s", "show"), ctl("ready")])
    assert.match(status.out, /^gateway {5}gw1 · xmpp-dna \S+ · running for /)
    assert.match(status.out, /domains {5}2 served, 0 suspended\ncomponents {2}1 attached, 1 away\n/)
    assert.match(domains.out, /^NAME +STATE +CERTIFICATE +PROOFS +COMP +FILE\nbot\.example +served +own +\S.* +away +config\.yaml\nshop\.example +served +host\.example +\S.* up +shop\.example\.yaml\n2 domains, 0 suspended\n$/)
    assert.match(certs.out, /^NAME +ON DISK +SERVED +EXPIRES +KEY IN DNS +POSH\nbot\.example +[0-9a-f]{8} \d+ \w{3} +[0-9a-f]{8} \d+ \w{3} +\d+ d /)
    assert.match(components.out, /shop\.example +up +\S+ +127\.0\.0\.1\n1 of 2 attached\n$/)
    assert.equal(streams.out, "0 associations, 0 authenticated\n")
    assert.deepEqual([ready.status, ready.out], [0, "ready\n"])
    for (const { out } of [domains, certs, components, streams]) for (const line of out.split("\n")) assert.ok(line.length <= 80, line)
    assert.equal((await ctl("domain", "set", "shop.example", "certificate=", "posh=false")).out.split("\n")[0], "~ domain shop.example: certificate host.example -> own, posh.serve true -> false")
    assert.match((await ctl("domain", "suspend", "shop.example")).out, /^~ domain shop\.example: suspended\n/)
    await bot.over()
    assert.match(bot.text, /<host-gone /)
    assert.match((await ctl("domain", "resume", "shop.example")).out, /^~ domain shop\.example: resumed\n/)
    assert.match((await ctl("domain", "remove", "shop.example")).out, /^- domain shop\.example\n/)
  })
  it("a file dropped is served long before the next look, and SIGHUP says what changed", async () => {
    writeFileSync(at("tenants.d/own.yaml"), `domains:\n  - name: own.example\n    component: { secret: { file: ../own-secret } }\n`)
    writeFileSync(at("own-secret"), "c0ffee5f0c1d2e3b4a59687786a5b4c3", { mode: 0o600 })
    // `until` waits a quarter of the minute that lies between two looks.
    await until(/\+ domain own\.example/)
    rmSync(at("tenants.d/own.yaml"))
    serving.kill("SIGHUP")
    await until(/reloaded: (?:nothing changed|- domain own\.example)/)
    await until(/- domain own\.example/)
  })
  it("prints one JSON document with --json, also when refused", async () => {
    const good = await ctl("domains", "--json")
    assert.deepEqual(JSON.parse(good.out).result.domains.map(({ name }: { name: string }) => name), ["bot.example"])
    const refused = await ctl("domain", "remove", "none.example", "--json")
    assert.deepEqual([refused.status, JSON.parse(refused.out).error.kind, refused.err], [64, "argument", ""])
    const nobody = await run(["ctl", "--socket", at("run/none.sock"), "status", "--json"])
    assert.deepEqual([nobody.status, JSON.parse(nobody.out).error.kind], [69, "unavailable"])
  })
  it("what it prints with --json fits the published schemas, and has no member that they do not name", async () => {
    const json = async (...args: string[]): Promise<string> => (await ctl("--json", ...args)).out
    const [, port] = await until(/components 127\.0\.0\.1 port (\d+)/)
    fits("ctl-domain", await json("domain", "add", "own.example", "--generate-secret", "--posh"))
    const bot = await RawComponent.attach({ address: "127.0.0.1", port: Number(port) }, "own.example", readFileSync(at("tenants.d/secrets/own.example"), "utf8").trim())
    // No resolver answers, so that it waits.
    bot.send("<message from='me@own.example' to='you@far.example'><body>hello</body></message>")
    for (const verb of ["status", "ready", "domains", "certs", "components"]) fits(`ctl-${verb}`, await json(verb))
    fits("ctl-streams", await json("s2s", "show"))
    for (const change of [["set", "posh=false"], ["suspend"], ["resume"]]) fits("ctl-domain", await json("domain", change[0] ?? "", "own.example", ...change.slice(1)))
    fits("ctl-domain-abandon", await json("domain", "abandon", "own.example"))
    fits("ctl-domain", await json("domain", "remove", "own.example"))
    fits("ctl-reload", await json("reload"))
    fits("ctl-status", await json("status"))
    for (const refused of [["domain", "set", "bot.example", "posh=true"], ["domain", "set", "none.example", "posh=true"], ["domain", "add", "x.example"], ["--timeout", "1", "status"], ["stauts"]]) fits("ctl-refused", await json(...refused))
    fits("ctl-refused", (await run(["ctl", "--socket", at("run/none.sock"), "status", "--json"])).out)
  })
  it("and so do streams, which are shown of those that there are", () => {
    const pair = { sender: "bot.example", target: "far.example" }
    const verdict = { outcome: "refuted", by: "pkix", finding: "cert.expired", detail: "" }
    const association = { direction: "out", pair, verdict, level: "encrypted", proof: { protocol: "TLSv1.3" }, via: {}, established: 0, until: 1 }
    const sights = {
      incoming: [{ id: "s2sin-1", remote: { address: "127.0.0.1", port: 1 }, associations: () => [{ ...association, direction: "in", verdict: { outcome: "proved", by: "dane" }, via: "external", level: "authenticated", proof: undefined }] }],
      outgoing: [{ pair, stream: { id: "s2sout-1", remote: { address: "127.0.0.1", port: 1 }, association } }, { pair, state: "waiting", unsent: 1, failures: 2 }],
    } as unknown as GatewaySights
    const result = streamsView(sights, undefined)
    assert.deepEqual([result.streams.length, result.without.length], [2, 1])
    fits("ctl-streams", JSON.stringify({ v: 1, ok: true, result }))
  })
  it("says what was wrong, with the status for it", async () => {
    const [twice, none, key, plain, main, typo] = await Promise.all([
      ctl("domain", "add", "bot.example", "--generate-secret"),
      ctl("domain", "add", "x.example"),
      ctl("domain", "set", "bot.example", "x"),
      run(["ctl", "--socket", at("run/none.sock"), "status"]),
      ctl("domain", "suspend", "bot.example"),
      ctl("stauts"),
    ])
    assert.deepEqual([twice.status, twice.out], [64, ""])
    assert.match(twice.err, /^xmpp-dna: bot\.example is already hosted, by .*config\.yaml\.\n$/)
    assert.deepEqual([none.status, none.err], [64, "xmpp-dna: Name exactly one of --generate-secret, --secret-file, --secret-credential and --secret-env.\n"])
    assert.equal(key.status, 64)
    assert.equal(plain.status, 69)
    assert.match(plain.err, /^xmpp-dna: No gateway answers at .*none\.sock: there is no such socket\./)
    assert.equal(main.status, 78)
    assert.match(main.err, /config\.yaml:9:13 {2}The file is the main configuration, which is only changed by hand.*\nnothing was changed\n$/)
    assert.equal(typo.status, 64)
    assert.match(typo.err, /Did you mean status\?/)
    writeFileSync(at("tenants.d/bad.yaml"), "domains: [{ name: bad.example }]\n")
    const reload = await ctl("reload")
    rmSync(at("tenants.d/bad.yaml"))
    assert.equal(reload.status, 78)
    assert.match(reload.err, /bad\.yaml:1:11 .*component.* is missing[\s\S]*nothing was changed\n$/)
  })
  it("does not wait for ever for somebody who never answers, nor believe what is no gateway", async () => {
    const silent = createServer((connection) => void connection.on("error", () => connection.destroy()))
    const liar = createServer((connection) => void connection.end("HTTP/1.1 200 OK\n"))
    await Promise.all([new Promise<void>((resolve) => silent.listen(at("run/silent.sock"), resolve)), new Promise<void>((resolve) => liar.listen(at("run/liar.sock"), resolve))])
    try {
      const [late, other] = await Promise.all([run(["ctl", "--socket", at("run/silent.sock"), "--timeout", "1s", "status"]), run(["ctl", "--socket", at("run/liar.sock"), "status"])])
      assert.deepEqual([late.status, other.status], [69, 69])
      assert.match(late.err, /did not answer in 1 s/)
      assert.match(other.err, /does not speak version 1 of the admin protocol/)
    } finally {
      silent.close()
      liar.close()
    }
  })
  it("drains: the gateway ends in order with status 0, and then nobody answers", async () => {
    const ended = new Promise((resolve) => serving.once("close", resolve))
    const drain = await ctl("drain", "--json")
    assert.equal(drain.status, 0)
    fits("ctl-drain", drain.out)
    assert.equal(await ended, 0)
    assert.equal((await ctl("ready")).status, 69)
  })
})
