// A real `xmpp-dna serve` with secrets written in its configuration: nothing it says anywhere holds one, bad files and closed pipes
// do not take it down, signals end it in order (security.md 27; issue "Bad input").
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, it } from "node:test"
import { connect as connectTls } from "node:tls"
import { fileURLToPath } from "node:url"
import { certificateFor, patiently, RawComponent } from "../gateway/gateway-fixture.ts"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "serve-"))
const children: ChildProcess[] = []
after(async () => {
  for (const child of children) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    child.kill("SIGKILL")
    await new Promise((resolve) => child.once("exit", resolve))
  }
  rmSync(folder, { recursive: true })
})

mkdirSync(join(folder, "certs"))
mkdirSync(join(folder, "state"), { mode: 0o700 })
const own = certificateFor("a.example")
writeFileSync(join(folder, "certs", "a.pem"), own.chainPem + own.keyPem, { mode: 0o600 })

const secret = randomBytes(16).toString("hex")
const body = "canary-body-4711"
const file = join(folder, "config.yaml")
const config = `listen: { s2s: ["127.0.0.1:0"], direct_tls: ["127.0.0.1:0"], components: ["127.0.0.1:0"] }
federation:
  trust: bundled
  resolver: { address: "127.0.0.1:9", dnssec: off }
  allow: { networks: [127.0.0.0/8], names: [example] }
certificates: { dirs: [${join(folder, "certs")}] }
state: { dir: ${join(folder, "state")} }
log: { level: debug, format: json }
shutdown: { drain: 0s, deadline: 2s }
domains:
  - name: a.example
    component: { secret: "${secret}" }
`

class Served {
  readonly child: ChildProcess
  out = ""
  err = ""
  readonly #waiting = new Set<() => void>()
  constructor() {
    writeFileSync(file, config, { mode: 0o600 })
    this.child = spawn(process.execPath, [command, "serve", "--allow-inline-secrets", "--config", file], { stdio: ["ignore", "pipe", "pipe"] })
    children.push(this.child)
    const look = (): void => {
      for (const each of [...this.#waiting]) each()
    }
    this.child.stdout!.on("data", (bytes) => {
      this.out += bytes
      look()
    })
    this.child.stderr!.on("data", (bytes) => {
      this.err += bytes
      look()
    })
  }
  until(pattern: RegExp): Promise<RegExpExecArray> {
    return patiently(`${pattern} in ${this.out.slice(-2000)}${this.err}`, this.#waiting, () => pattern.exec(this.out + this.err) ?? undefined, 15_000)
  }
  async port(kind: string): Promise<{ address: string; port: number }> {
    const [, port] = await this.until(new RegExp(`${kind} 127\\.0\\.0\\.1 port (\\d+)`))
    await this.until(/ready in/)
    return { address: "127.0.0.1", port: Number(port) }
  }
  end(signal: NodeJS.Signals): Promise<number | null> {
    return new Promise((resolve) => {
      // Not `exit`: the last lines may still be in the pipe.
      this.child.once("close", (status: number | null) => resolve(status))
      this.child.kill(signal)
    })
  }
}

describe("a served gateway", () => {
  it("says no secret, handshake, key or stanza in log, standard error or evidence; SIGTERM ends it with 0", async () => {
    const served = new Served()
    const components = await served.port("components")
    const wrong = await RawComponent.connect(components)
    await wrong.open("a.example")
    const stolen = createHash("sha1").update(`x${secret}`).digest("hex")
    // A bot that sends its secret in clear, where a hash is expected.
    wrong.send(`<handshake>${secret}${stolen}</handshake>`)
    await wrong.over()
    const bot = await RawComponent.attach(components, "a.example", secret)
    const id = /<stream:stream [^>]*id='([^']*)'/.exec(bot.text)![1]!
    bot.send(`<message from='a.example' to='nobody@missing.example' id='1'><body>${body}</body></message>`)
    await bot.until(/type='error'/)
    // A peer with a certificate under an unknown root, and a claim of its own: refused, kept as evidence.
    const peer = certificateFor("b.example")
    const socket = connectTls({ ...{ host: "127.0.0.1", port: (await served.port("direct TLS")).port }, rejectUnauthorized: false, servername: "a.example", ALPNProtocols: ["xmpp-server"], cert: peer.chainPem, key: peer.keyPem })
    socket.on("error", (error: NodeJS.ErrnoException) => assert.equal(error.code, "ECONNRESET"))
    socket.write(`<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' from='b.example' version='1.0'><db:result from='b.example' to='a.example'>${body}</db:result>`)
    await served.until(/evidence\.kept/)
    socket.destroy()
    // A configuration that is broken on the very line of the secret.
    for (const line of [`secret: *${secret}`, `secret: !${secret} x`, `secret: [${secret}`, `secret: { ${secret}: 1 }`, `secret: "${secret}" ${secret}`]) {
      writeFileSync(file, config.replace(`secret: "${secret}"`, line))
      const before = served.err.split("not reloaded").length
      served.child.kill("SIGHUP")
      await served.until(new RegExp(`(?:not reloaded[\\s\\S]*){${before},}`))
    }
    bot.send("<message from='a.example' to='a.example' id='still here'/>")
    await bot.until(/still here/)
    assert.equal(await served.end("SIGTERM"), 0, served.err)
    bot.close()
    const names = readdirSync(join(folder, "state"))
    // One refusal, beside what is remembered of other domains.
    assert.equal(names.filter((name) => name.endsWith(".json")).length, 1)
    const kept = names.map((name) => readFileSync(join(folder, "state", name), "latin1"))
    const everything = served.out + served.err + kept.join("")
    // The search finds what is there.
    assert.match(everything, /component a\.example attached/)
    for (const [what, canary] of Object.entries({ secret, stolen, body, handshake: createHash("sha1").update(id + secret).digest("hex"), id })) {
      assert.equal(everything.includes(canary), false, `${what} in ${everything.split("\n").find((line) => line.includes(canary))}`)
    }
    assert.match(everything, /nothing was lost/)
    assert.doesNotMatch(everything, /s2s\.lost|gateway\.error/)
  })

  it("serves on when the readers of its log and of its standard error are gone; Ctrl-C ends it at once", async () => {
    const served = new Served()
    const components = await served.port("components")
    served.child.stdout!.destroy()
    served.child.stderr!.destroy()
    const bot = await RawComponent.attach(components, "a.example", secret)
    // Two lines each, into closed pipes.
    served.child.kill("SIGHUP")
    bot.send("<message from='a.example' to='a.example' id='one'/>")
    await bot.until(/id='one'/)
    const second = await RawComponent.connect(components)
    await second.open("nobody.example")
    await second.until(/host-unknown/)
    bot.send("<message from='a.example' to='a.example' id='two'/>")
    await bot.until(/id='two'/)
    assert.equal(served.child.exitCode, null)
    assert.equal(await served.end("SIGINT"), 0)
    bot.close()
    second.close()
  })
})
