// `posh`, `tlsa` and `dns` as a user meets them: what stands on which stream, exit statuses, bad input, the lab's DNS and web
// (docs/operating.md; RFC 7711 3, RFC 7671 8.1).
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { fileURLToPath } from "node:url"
import { CertificateAuthority, type IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { type LabDns, startLabDns } from "../../src/lab/lab-dns.ts"
import { LabWeb } from "../../src/lab/web-host.ts"
import { systemClock } from "../../src/node/clock.ts"
import { tlsa } from "../proof/tlsa-support.ts"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "publish-"))
after(() => rmSync(folder, { recursive: true }))
const at = (name: string): string => join(folder, name)
function write(name: string, text: string): string {
  writeFileSync(at(name), text, { mode: 0o600 })
  return at(name)
}

const now = Date.now()
const day = 86_400_000
const root = CertificateAuthority.create({ name: "Root", now })
const host = "xmpp1.host.example"
const issue = (more = {}): IssuedCertificate => root.issue({ names: { dns: [host] }, notAfter: now + 60 * day, ...more })
const [one, two] = [issue(), issue()]
const old = issue({ notBefore: now - 9 * day, notAfter: now - day })
write("one.pem", one.chainPem)
write("one.key", one.keyPem)
write("two.pem", two.chainPem)
write("two.key", two.keyPem)
write("old.pem", old.pem)
write("empty.pem", "")
write("cut.pem", one.pem.slice(0, 200))
write("roots.pem", root.certificate.pem)

interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
}

function run(program: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { timeout: 30_000, cwd: folder, env: { ...process.env, ...environment } })
    let [out, err] = ["", ""]
    child.stdout.on("data", (bytes) => (out += bytes))
    child.stderr.on("data", (bytes) => (err += bytes))
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, out, err }))
    child.stdin.end()
  })
}
const xmppDna = (...args: string[]): Promise<Ended> => run(process.execPath, [command, ...args])

/** Many command lines one after the other in one process: starting one for each takes longer than all of them. */
async function allInOne(lines: readonly (readonly string[])[]): Promise<readonly Ended[]> {
  const program = `
    const { run } = await import(process.argv[2])
    const write = process.stdout.write.bind(process.stdout)
    const ended = []
    for (const line of JSON.parse(process.argv[3])) {
      const said = { out: "", err: "" }
      process.stdout.write = (text) => ((said.out += text), true)
      process.stderr.write = (text) => ((said.err += text), true)
      ended.push({ status: await run(line), ...said })
    }
    write(JSON.stringify(ended))`
  const { status, out, err } = await run(process.execPath, ["--input-type=module", "-e", program, "rows", command, JSON.stringify(lines)])
  assert.equal(status, 0, err)
  return JSON.parse(out) as readonly Ended[]
}

describe("bad input: status 64, a sentence, nothing on standard output; with --json one document", () => {
  const rows: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [["posh"], /Name a certificate/],
    [["posh", "gone.pem"], /gone\.pem cannot be read/],
    [["posh", "empty.pem"], /is empty/],
    [["posh", "one.key"], /private key and no certificate/],
    [["posh", "cut.pem"], /damaged/],
    [["posh", "old.pem"], /expired on .*proves nothing/],
    [["posh", "one.pem", "--expires", "8d"], /out of range/],
    [["posh", "one.pem", "--expires", "60"], /not a duration/],
    [["posh", "one.pem", "--delegate", "https://h.example/x.json"], /takes the place of certificates/],
    [["posh", "--delegate", "http://h.example/x.json"], /not an https URL/],
    [["posh", "one.pem", "--instructions", "iis", "--for", "shop.example"], /one of nginx/],
    [["posh", "one.pem", "--instructions", "nginx"], /needs --for/],
    [["posh", "one.pem", "--instructions", "nginx", "--for", "192.0.2.1"], /IP address/],
    [["posh", "one.pem", "--instructions", "nginx", "--for", "shop.example", "--folder", "/x; }"], /not an absolute path of/],
    [["posh", "--delegate", "https://h.example/a;b", "--instructions", "nginx", "--for", "shop.example"], /not an https URL with a path and nothing else/],
    [["posh", "--delegate", "https://shop.example/.well-known/posh/xmpp-server.json", "--instructions", "nginx", "--for", "shop.example"], /would ask itself/],
    [["tlsa"], /Name a certificate/],
    [["tlsa", "one.pem", "--kind", "1 1 1"], /--yes-i-mean/],
    [["tlsa", "one.pem", "--kind", "5 1 1"], /no kind of TLSA record/],
    [["tlsa", "one.pem", "--host", "a b"], /a b/],
    [["tlsa", "one.pem", "--host", host, "--port", "0"], /no port/],
    [["tlsa", "one.pem", "--host", host, "--ttl", "soon"], /not a duration/],
    [["tlsa", "one.pem", "--host", host, "--for", "shop.example"], /exclude each other/],
    [["tlsa", "one.pem", "--host", host, "--format", "bind"], /one of zone/],
    [["tlsa", "--next-key", "one.pem", "--host", host], /holds a certificate/],
    [["tlsa", "--next-key", "empty.pem", "--host", host], /no key that can be read/],
    [["tlsa", "rollover", "--host", host, "--current", "one.pem"], /--next/],
    [["tlsa", "rollover", "--current", "one.pem", "--next", "two.pem"], /which server/],
    [["tlsa", "rollover", "--host", host, "--current", "one.pem", "--next", "two.pem", "--remember", "one.pem"], /not what an earlier/],
    [["tlsa", "rollover", "--host", host, "--current", "one.pem", "--next", "two.pem", "--since", "2999-01-01"], /in the future/],
    [["tlsa", "rollover", "--host", host, "--current", "one.pem", "--next", "two.pem", "--resolver", "localhost"], /not an address/],
    [["tlsa", "rollover", "--host", host, "--current", "one.pem", "--hook", "certbot", "--key", "/x"], /absolute/],
    [["tlsa", "rollover", "--host", host, "--current", '/x"; rm', "--hook", "certbot", "--key", "/x"], /not an absolute path of/],
    [["dns", "192.0.2.1"], /IP address/],
    [["dns", "shop.example", "--server", "host.example:99999"], /no server/],
    [["dns", "shop.example", "--client", "none", "--client", "a.example"], /"none"/],
    [["dns", "shop.example", "--address", "localhost"], /not an IP address/],
  ]
  // Each second one as JSON: the sentence is the same.
  const wanted = rows.map(([args], index) => [...args, ...(index % 2 === 1 ? ["--json"] : [])])
  let ended: readonly Ended[]
  before(async () => {
    ended = await allInOne(wanted)
  })
  for (const [index, [args, says]] of rows.entries()) {
    it(args.join(" "), () => {
      const { status, out, err } = ended[index]!
      assert.equal(status, 64, err)
      assert.match(err, says)
      assert.doesNotMatch(err, /\n {4}at /)
      if (index % 2 === 0) assert.equal(out, "")
      else {
        const document = JSON.parse(out) as { error: string; exit: number }
        assert.match(document.error, says)
        assert.equal(document.exit, 64)
      }
    })
  }
})

it("posh: the document alone on standard output, the rest beside it", async () => {
  const { status, out, err } = await xmppDna("posh", "one.pem", "--next", "two.pem", "--expires", "7d")
  const { fingerprints, expires } = JSON.parse(out) as { fingerprints: unknown[]; expires: number }
  assert.deepEqual([status, fingerprints.length, expires], [0, 2, 604_800])
  assert.match(err, /well-known\/posh\/xmpp-server\.json/)
  const reference = await xmppDna("posh", "--delegate", "https://hoster.example/.well-known/posh/xmpp-server.json")
  assert.deepEqual(JSON.parse(reference.out), { url: "https://hoster.example/.well-known/posh/xmpp-server.json", expires: 86_400 })
  const whole = JSON.parse((await xmppDna("posh", "one.pem", "--json", "--instructions", "nginx", "--for", "shop.example")).out) as { kind: string; url: string; instructions: { snippet: string } }
  assert.deepEqual([whole.kind, whole.url], ["posh", "https://shop.example/.well-known/posh/xmpp-server.json"])
  assert.match(whole.instructions.snippet, /^location = \/\.well-known/)
})

it("an expired certificate in a 3 1 1 record is only said", async () => {
  const { status, out, err } = await xmppDna("tlsa", "old.pem", "--host", host)
  assert.deepEqual([status, out], [0, `_5269._tcp.${host}. 3600 IN TLSA 3 1 1 ${tlsa(old.der, "3 1 1").association}\n`])
  assert.match(err, /expired on/)
})

it("dns: from a gateway's configuration, with its ports, its certificate, and no service for clients", async () => {
  mkdirSync(at("certs"), { recursive: true })
  const shop = issue({ names: { dns: ["shop.example"] } })
  writeFileSync(at("certs/shop.pem"), shop.chainPem)
  writeFileSync(at("certs/shop.key"), shop.keyPem, { mode: 0o600 })
  write("secret", "0f1e2d3c4b5a69788796a5b4c3d2e1f0")
  write("gw.yaml", `listen: { s2s: ["192.0.2.7:5269"], direct_tls: ["192.0.2.7:5270"] }\ncertificates: { dirs: [${at("certs")}] }\ndomains:\n  - name: shop.example\n    component: { secret: { file: ${at("secret")} } }\n`)
  const { status, out, err } = await xmppDna("dns", "shop.example", "--config", "gw.yaml")
  assert.equal(status, 0, err)
  const key = tlsa(shop.der, "3 1 1").association
  assert.deepEqual(out.trim().split("\n"), [
    "_xmpp-server._tcp.shop.example. 3600 IN SRV 0 5 5269 shop.example.",
    "_xmpps-server._tcp.shop.example. 3600 IN SRV 0 5 5270 shop.example.",
    "_xmpp-client._tcp.shop.example. 3600 IN SRV 0 0 0 .   ; not offered",
    "_xmpps-client._tcp.shop.example. 3600 IN SRV 0 0 0 .   ; not offered",
    "shop.example. 3600 IN A 192.0.2.7",
    `_5269._tcp.shop.example. 3600 IN TLSA 3 1 1 ${key}`,
    `_5270._tcp.shop.example. 3600 IN TLSA 3 1 1 ${key}`,
  ])
  const foreign = await xmppDna("dns", "other.example", "--config", "gw.yaml")
  assert.deepEqual([foreign.status, /not hosted by gw\.yaml: shop\.example/.test(foreign.err)], [64, true])
  write("bad.yaml", "domains: 3\n")
  const bad = await xmppDna("dns", "shop.example", "--config", "bad.yaml", "--json")
  assert.deepEqual([bad.status, (JSON.parse(bad.out) as { exit: number }).exit], [78, 78])
})

describe("against the lab's DNS and web", () => {
  let dns: LabDns
  let web: LabWeb
  let asks: string[]
  const owner = `_5269._tcp.${host}`
  const row = ({ der }: IssuedCertificate): readonly [number, number, number, string] => [3, 1, 1, tlsa(der, "3 1 1").association]
  const publish = (ttl: number, ...certificates: IssuedCertificate[]): void => dns.zones.set(owner, certificates.length === 0 ? undefined : { ttl, TLSA: certificates.map(row) })

  before(async () => {
    dns = await startLabDns(now)
    web = await LabWeb.start({ address: "127.0.0.1", port: 0 }, { clock: systemClock, authority: root, stranger: () => root })
    const server = `${dns.honest.address}:${dns.honest.port}`
    asks = ["--resolver", server, "--dns-anchors", write("anchors", dns.zones.anchorText), "--allow", "127.0.0.0/8", "--allow", "example"]
    dns.zones.set("_xmpp-server._tcp.shop.example", { SRV: [[0, 5, 5269, host], [1, 5, 5270, host], [2, 5, 5269, "xmpp2.host.example"]] })
    dns.zones.set("_xmpp-server._tcp.closed.example", { SRV: [[0, 0, 0, "."]] })
    dns.zones.set("shop.example", { A: ["127.0.0.1"] })
    dns.zones.set("silent.example", { A: ["127.0.0.1"] })
  })
  after(async () => {
    await dns.close()
    await web.close()
  })
  const rollover = (...args: string[]): Promise<Ended> => xmppDna("tlsa", "rollover", "--host", host, "--current", "one.pem", "--next", "two.pem", "--authoritative", `${dns.honest.address}:${dns.honest.port}`, ...asks, ...args)

  it("--for follows SRV: a record for each host and port", async () => {
    const { status, out, err } = await xmppDna("tlsa", "one.pem", "--for", "shop.example", ...asks)
    assert.equal(status, 0, err)
    assert.deepEqual(out.trim().split("\n").map((line) => line.split(" ")[0]), [`_5269._tcp.${host}.`, `_5270._tcp.${host}.`, "_5269._tcp.xmpp2.host.example."])
    assert.equal((await xmppDna("tlsa", "one.pem", "--for", "closed.example", ...asks)).status, 2)
    assert.match((await xmppDna("tlsa", "one.pem", "--for", "plain.example", ...asks)).out, /^_5269\._tcp\.plain\.example\. /)
    dns.zones.spoil("_xmpp-server._tcp.shop.example", "SRV")
    const bogus = await xmppDna("tlsa", "one.pem", "--for", "shop.example", ...asks)
    dns.zones.spoil("_xmpp-server._tcp.shop.example", "SRV", false)
    assert.deepEqual([bogus.status, bogus.out], [3, ""])
  })

  it("rollover: no, then yes; with a memory between runs", async () => {
    publish(1, one)
    const first = await rollover("--remember", "looks")
    assert.deepEqual([first.status, /^STEP 1 of 4/.test(first.out), /SAFE TO SWITCH KEY: {2}no, because the next key is missing at 1 of 1/.test(first.out)], [2, true, true], first.out + first.err)
    publish(2, one, two)
    const second = await rollover("--remember", "looks", "--json")
    const document = JSON.parse(second.out) as { step: number; safe: string; exit: number; records: { value: string }[]; until: string }
    assert.deepEqual([second.status, document.step, document.safe, document.exit, document.records.length], [2, 2, "no", 2, 2])
    assert.ok(Date.parse(document.until) > now)
    assert.equal(statSync(at("looks")).mode & 0o077, 0)
    const waited = await rollover("--remember", "looks", "--wait", "--timeout", "20s")
    assert.equal(waited.status, 0, waited.out + waited.err)
    assert.match(waited.out, /^STEP 3 of 4 .*SAFE TO SWITCH KEY: {2}yes, because every set/s)
    // The next run knows by then.
    assert.equal((await rollover("--remember", "looks")).status, 0)
  })

  it("rollover: could not tell is 3, and --wait gives up in time", async () => {
    publish(60, one, two)
    dns.zones.spoil(owner, "TLSA")
    assert.equal((await rollover("--since", "2026-01-01")).status, 3)
    dns.zones.spoil(owner, "TLSA", false)
    assert.equal((await rollover("--since", "2026-01-01")).status, 0)
    const began = Date.now()
    assert.equal((await rollover("--wait", "--timeout", "1s")).status, 2)
    assert.ok(Date.now() - began < 15_000)
  })

  it("posh verify: good, another certificate, nothing there, no web server", async () => {
    const path = "/.well-known/posh/xmpp-server.json"
    const shop = web.add({ host: "shop.example" })
    const verify = (domain: string, ...more: string[]) => xmppDna("posh", "verify", domain, "--https-port", String(web.at.port), "--ca-file", "roots.pem", ...asks, ...more)
    assert.deepEqual([(await verify("shop.example")).status, /posh\.not-published/.test((await verify("shop.example")).out)], [2, true])
    shop.answer(path, { status: 200, headers: { "Content-Type": "application/json" }, body: (await xmppDna("posh", "one.pem")).out })
    const good = await verify("shop.example", "--cert", "one.pem")
    assert.equal(good.status, 0, good.out + good.err)
    assert.match(good.out.replace(/\s+/g, " "), /names 1 certificate, the one given among them/)
    const other = await verify("shop.example", "--cert", "two.pem", "--json")
    const document = JSON.parse(other.out) as { state: string; finding: string; certificates: { outcome: string }[] }
    assert.deepEqual([other.status, document.state, document.finding, document.certificates[0]?.outcome], [2, "bad", "posh.mismatch", "refuted"])
    assert.equal((await xmppDna("posh", "verify", "silent.example", "--https-port", "1", "--ca-file", "roots.pem", ...asks)).status, 3)
  })
})

describe("deploy hooks", () => {
  /** Stands for the command: ends as it is told, and writes down how it was asked. */
  const bin = at("bin")
  mkdirSync(bin)
  writeFileSync(join(bin, "xmpp-dna"), `#!/bin/sh\necho "$@" > ${at("asked")}\nexit "$SAFE"\n`)
  chmodSync(join(bin, "xmpp-dna"), 0o755)
  const live = at("live")
  mkdirSync(live)

  for (const [kind, environment] of [
    ["certbot", { RENEWED_LINEAGE: `/etc/letsencrypt/live/${host}` }],
    ["acme.sh", { CERT_FULLCHAIN_PATH: at("two.pem"), CERT_KEY_PATH: at("two.key") }],
  ] as const) {
    it(`${kind}: the server's files change when it is safe, and only then`, async () => {
      const printed = await xmppDna("tlsa", "rollover", "--host", host, "--current", join(live, "cert.pem"), "--key", join(live, "key.pem"), "--hook", kind, "--reload", `touch ${at("reloaded")}`)
      assert.equal(printed.status, 0, printed.err)
      // certbot's folder is fixed; here it stands elsewhere.
      const script = printed.out.replace('next="$lineage/fullchain.pem"', `next=${at("two.pem")}`).replace('next_key="$lineage/privkey.pem"', `next_key=${at("two.key")}`)
      const hook = write(`hook-${kind}`, script)
      assert.deepEqual(await run("sh", ["-n", hook]), { status: 0, out: "", err: "" })
      for (const [safe, status, changes] of [[2, 0, false], [3, 0, false], [64, 64, false], [0, 0, true]] as const) {
        writeFileSync(join(live, "cert.pem"), one.chainPem, { mode: 0o644 })
        writeFileSync(join(live, "key.pem"), one.keyPem, { mode: 0o600 })
        rmSync(at("reloaded"), { force: true })
        const ended = await run("sh", [hook], { ...environment, SAFE: String(safe), PATH: `${bin}:${process.env["PATH"]}` })
        assert.equal(ended.status, status, ended.err)
        const shown = [readFileSync(join(live, "cert.pem"), "utf8"), readFileSync(join(live, "key.pem"), "utf8")]
        assert.deepEqual(shown, changes ? [two.chainPem, two.keyPem] : [one.chainPem, one.keyPem], String(safe))
        assert.equal(statSync(at("reloaded"), { throwIfNoEntry: false }) !== undefined, changes)
        assert.equal(statSync(join(live, "key.pem")).mode & 0o777, 0o600)
        assert.match(readFileSync(at("asked"), "utf8"), new RegExp(`^tlsa rollover --host ${host} --port 5269 --current `))
      }
      // Nothing new: the command is not asked.
      rmSync(at("asked"))
      assert.equal((await run("sh", [hook], { ...environment, SAFE: "70", PATH: `${bin}:${process.env["PATH"]}` })).status, 0)
      assert.equal(statSync(at("asked"), { throwIfNoEntry: false }), undefined)
    })
  }
})
