// Attacks on the administration of a gateway: names with path parts, links, folders anybody may write in, a second
// gateway, connections that never finish, lines without end (security.md 20, 22, 27).
import assert from "node:assert/strict"
import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { after, afterEach, describe, it } from "node:test"
import { ConfigError } from "../../src/model/errors.ts"
import { AdminSocket } from "../../src/gateway/admin.ts"
import { LogLines } from "../../src/gateway/log-lines.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createFiles } from "../../src/node/files.ts"
import { createListen } from "../../src/node/listen.ts"
import { type Hosting, type HostingOptions, RawAdmin, startHosting, tenant } from "../gateway/admin-fixture.ts"
import { RawComponent, startFixture } from "../gateway/gateway-fixture.ts"

const folder = mkdtempSync(join(tmpdir(), "admin-"))
after(() => rmSync(folder, { recursive: true }))
const running: { stop(): Promise<void> }[] = []
const raw: { close(): void }[] = []
afterEach(async () => {
  for (const each of raw.splice(0)) each.close()
  await Promise.all(running.splice(0).map((fixture) => fixture.stop()))
})

async function hosting(options: HostingOptions): Promise<Hosting> {
  const started = await startHosting(options)
  running.push(started)
  return started
}

async function admin(path: string): Promise<RawAdmin> {
  const connection = await RawAdmin.connect(path)
  raw.push(connection)
  return connection
}

async function refusal(starting: Promise<unknown>): Promise<string> {
  try {
    await starting
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    return error.problems.map(({ setting, sentence }) => `${setting}: ${sentence}`).join("\n")
  }
  return "it started"
}

/** Everything below a folder with its content, so that nothing written anywhere goes unseen. */
function picture(of: string): Record<string, string> {
  const found: Record<string, string> = {}
  for (const entry of readdirSync(of, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    if (entry.isFile()) found[path] = readFileSync(path, "utf8")
    else if (entry.isSymbolicLink()) found[path] = "link"
  }
  return found
}

describe("names that reach for another place", () => {
  const host = async () => hosting({ domains: ["a.example"], tenants: { "b.yaml": tenant("b.example") } })
  const names = ["../x", "../../etc/cron.d/x", "/etc/x", "x/../../y.example", "a.example/../b", "..", ".", "x\0y.example", "x\ny.example", "C:\\x", "%2e%2e", "-rf", "", "a".repeat(1000), "\u202eelpmaxe.x"]
  it("as a domain are no domain, and nothing is written anywhere", async () => {
    const started = await host()
    const before = picture(started.folder)
    for (const name of names) {
      const { kind } = await started.refused({ verb: "domain.add", name, secret: { generate: true } })
      assert.match(kind, /^(?:argument|request)$/, JSON.stringify(name))
      for (const verb of ["domain.suspend", "domain.remove"]) assert.match((await started.refused({ verb, name })).kind, /^(?:argument|request)$/)
    }
    assert.deepEqual(picture(started.folder), before)
  })
  it("as a file are no file name", async () => {
    const started = await host()
    const before = picture(started.folder)
    for (const file of ["../x.yaml", "/tmp.yaml", "sub/x.yaml", ".hidden.yaml", "x\0.yaml", "..", "b.yaml", `${"a".repeat(250)}.yaml`]) {
      assert.equal((await started.refused({ verb: "domain.add", name: "n.example", file, secret: { generate: true } })).kind, "argument", JSON.stringify(file))
    }
    assert.deepEqual(picture(started.folder), before)
  })
  it("a secret is never written over another file, nor through a link that is there", async () => {
    const started = await host()
    mkdirSync(started.at("tenants.d/secrets"))
    writeFileSync(started.at("precious"), "precious")
    symlinkSync(started.at("precious"), started.at("tenants.d/secrets/n.example"))
    assert.match((await started.refused({ verb: "domain.add", name: "n.example", secret: { generate: true } })).text, /is there already/)
    assert.equal((await started.refused({ verb: "domain.add", name: "n.example", secret: { generate: true, file: started.at("precious") } })).kind, "argument")
    assert.equal((await started.refused({ verb: "domain.add", name: "n.example", secret: { generate: true, file: `${started.at("precious")}/inside` } })).kind, "config")
    assert.equal(started.read("precious"), "precious")
  })
  it("a link that leads nowhere is replaced, not followed", async () => {
    const started = await host()
    mkdirSync(started.at("tenants.d/secrets"))
    symlinkSync(started.at("not-yet"), started.at("tenants.d/secrets/n.example"))
    const added = await started.done({ verb: "domain.add", name: "n.example", secret: { generate: true } })
    assert.equal(lstatSync(String(added.secretFile)).isSymbolicLink(), false)
    assert.equal(started.has("not-yet"), false)
  })
  it("words of a setting cannot become other settings of the file", async () => {
    const started = await host()
    const before = started.read("tenants.d/b.yaml")
    const value = "a.example\n    suspended: true\n  - name: evil.example"
    assert.equal((await started.refused({ verb: "domain.set", name: "b.example", settings: [{ key: "certificate", value }] })).kind, "config")
    await started.refused({ verb: "domain.set", name: "b.example", settings: [{ key: "posh.next", value: "x\0y" }] })
    assert.equal(started.read("tenants.d/b.yaml"), before)
    assert.equal(started.gateway.config.domains.has("evil.example" as never), false)
  })
})

describe("the place of the socket", () => {
  it("in a folder where anybody may remove it, is refused; with the sticky bit it is warned of", async () => {
    const open = join(folder, "open")
    mkdirSync(open)
    chmodSync(open, 0o777)
    assert.match(await refusal(hosting({ domains: ["a.example"], socket: join(open, "admin.sock") })), /^listen\.admin: Everybody may write in .*open/)
    chmodSync(open, 0o1777)
    const host = await hosting({ domains: ["a.example"], socket: join(open, "admin.sock") })
    assert.match(String((await host.logged("config.warning")).fields.text), /another process could answer/)
  })
  it("a second gateway does not take the socket of one that runs; a left-over one is taken", async () => {
    const first = await hosting({ domains: ["a.example"] })
    assert.match(await refusal(hosting({ domains: ["b.example"], socket: first.socket })), /admin\.sock is in use: another gateway answers there/)
    assert.equal((await first.done({ verb: "status" })).state, "running")
    const stale = join(folder, "stale.sock")
    // What a killed process leaves behind.
    const { spawnSync } = await import("node:child_process")
    spawnSync(process.execPath, ["-e", `require("node:net").createServer().listen(${JSON.stringify(stale)}, () => process.kill(process.pid, "SIGKILL"))`])
    assert.equal(lstatSync(stale).isSocket(), true)
    const socket = new AdminSocket({ clock: systemClock, listen: createListen(), files: createFiles(), lines: new LogLines({ write: () => undefined }), answer: async () => "here", broken: () => undefined })
    await socket.open({ path: stale })
    assert.deepEqual(await (await admin(stale)).ask({ v: 1, verb: "status" }), { v: 1, ok: true, result: "here" })
    await socket.close()
  })
  it("red: without that rule whoever may write there answers in the gateway's place; green: it never began to listen", async () => {
    const open = join(folder, "stolen")
    mkdirSync(open)
    chmodSync(open, 0o777)
    const path = join(open, "admin.sock")
    const files = createFiles()
    // The weakened copy believes every folder to be its own.
    const weakened = { stat: async (of: string) => ({ ...(await files.stat(of)), mode: 0o700 }) }
    const parts = { clock: systemClock, listen: createListen(), lines: new LogLines({ write: () => undefined }), answer: async () => "the gateway", broken: () => undefined }
    const victim = new AdminSocket({ ...parts, files: weakened })
    await victim.open({ path })
    rmSync(path)
    const thief = createServer((socket) => socket.end('{"v":1,"ok":true,"result":"the thief"}\n'))
    await new Promise<void>((resolve) => thief.listen(path, resolve))
    assert.match(await (await admin(path)).line(), /the thief/)
    await Promise.all([victim.close(), new Promise((resolve) => thief.close(resolve))])
    await assert.rejects(new AdminSocket({ ...parts, files }).open({ path }), /Everybody may write/)
    assert.deepEqual(readdirSync(open), [])
  })
  it("a file that is no socket stays as it is", async () => {
    const file = join(folder, "file.sock")
    writeFileSync(file, "mine")
    assert.match(await refusal(hosting({ domains: ["a.example"], socket: join(dirname(file), "file.sock") })), /^listen\.admin: .*file\.sock/)
    assert.equal(readFileSync(file, "utf8"), "mine")
  })
})

describe("the name of a suspended domain", () => {
  /** Somebody elsewhere who has a good certificate for it, and says something in its name. */
  const claimed = async (options: HostingOptions["options"]): Promise<{ host: Hosting; heard: RawComponent; thief: RawComponent }> => {
    const thief = await startFixture({ domains: ["b.example"], address: "127.0.0.2" })
    running.push(thief)
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"], tenants: { "b.yaml": tenant("b.example") }, ...(options === undefined ? {} : { options }) })
    thief.rewrite((yaml) => yaml.replace("  resolver:", `  overrides: [{ peer: a.example, connect: "127.0.0.1:${host.s2s.port}" }]\n  resolver:`))
    await thief.gateway.reload()
    await host.done({ verb: "domain.suspend", name: "b.example" })
    const [heard, speaks] = [await RawComponent.attach(host.components, "a.example"), await RawComponent.attach(thief.components, "b.example")]
    raw.push(heard, speaks)
    speaks.send("<message from='b.example' to='a.example' id='1'/>")
    return { host, heard, thief: speaks }
  }
  it("red: where it counts as anybody's, a stranger with a certificate speaks in it", async () => {
    const { heard } = await claimed({ alterHosting: (original) => ({ ...original, reserved: () => false }) })
    await heard.until(/<message from='b\.example' to='a\.example' id='1'/)
  })
  it("green: it stays ours, and nobody else is let in under it", async () => {
    const { host, heard, thief } = await claimed(undefined)
    await thief.until(/id='1' type='error'/)
    assert.equal(heard.text.includes("id='1'"), false)
    assert.match(JSON.stringify(host.log), /stream\.from-own-domain/)
  })
})

describe("whoever may open the socket", () => {
  const small = async (path: string, limits: { connections?: number; idleMs?: number }, answer: () => Promise<unknown> = async () => "x") => {
    const socket = new AdminSocket({ clock: systemClock, listen: createListen(), files: createFiles(), lines: new LogLines({ write: () => undefined }), answer, broken: () => undefined }, limits)
    await socket.open({ path })
    running.push({ stop: () => socket.close() })
    return socket
  }
  /** The two ends of a connection learn of its end one after the other. */
  const counted = async (socket: AdminSocket, connections: number): Promise<void> => {
    const end = Date.now() + 30_000
    while (socket.connections !== connections && Date.now() < end) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(socket.connections, connections)
  }
  it("gets an error for every bad line, and the next request is answered", async () => {
    const host = await hosting({ domains: ["a.example"] })
    const connection = await admin(host.socket)
    const bad = ["", "{", "null", "[]", "7", '"x"', "{}", '{"v":2,"verb":"status"}', '{"v":1}', '{"v":1,"verb":"__proto__"}', '{"v":1,"verb":"constructor"}', '{"v":1,"verb":"staus"}', '{"v":1,"verb":"status","more":1}', '{"v":1,"verb":"domain.add","name":"x.example","secret":{"file":"a","env":"b"}}', '{"v":1,"verb":"domain.add","name":"x.example","secret":"canary-secret"}', '{"v":1,"verb":"domain.set","name":"x.example","settings":[]}', `{"v":1,"verb":"status","x":${"[".repeat(20_000)}`]
    for (const line of bad) {
      connection.send(`${line}\n`)
      const answer = JSON.parse(await connection.line())
      assert.deepEqual([answer.ok, answer.error.kind], [false, "request"], line.slice(0, 80))
      assert.equal(JSON.stringify(answer).includes("canary-secret"), false)
    }
    connection.socket.write(Buffer.from([0xff, 0xfe, 0x0a]))
    assert.equal(JSON.parse(await connection.line()).error.kind, "request")
    assert.equal((await connection.ask({ v: 1, verb: "ready" })).ok, true)
    assert.deepEqual(host.log.filter(({ event }) => event === "gateway.error"), [])
  })
  it("with a line of a megabyte is told so and let go; no more than a line is kept", async () => {
    const host = await hosting({ domains: ["a.example"] })
    const connection = await admin(host.socket)
    connection.send(`{"v":1,"verb":"${"x".repeat(1024 * 1024)}`)
    assert.match(await connection.line(), /more than 65536 octets/)
    await connection.over()
    assert.equal((await host.done({ verb: "ready" })).ready, true)
  })
  it("and says nothing, or half a request, is let go after a while", async () => {
    const path = join(folder, "idle.sock")
    const socket = await small(path, { idleMs: 100 })
    const [silent, half] = [await admin(path), await admin(path)]
    half.send('{"v":1,"verb"')
    await Promise.all([silent.over(), half.over()])
    await counted(socket, 0)
  })
  it("and has finished sending still gets the answer; half a request with an end gets none", async () => {
    const path = join(folder, "half.sock")
    await small(path, {})
    const [whole, half] = [await admin(path), await admin(path)]
    whole.socket.end('{"v":1,"verb":"ready"}\n')
    half.socket.end('{"v":1,"verb":"ready"}')
    assert.equal(await whole.line(), '{"v":1,"ok":true,"result":"x"}')
    await Promise.all([whole.over(), half.over()])
    assert.equal(half.text, "")
  })
  it("with more connections than are allowed is told to come back; those inside are served", async () => {
    const path = join(folder, "many.sock")
    const socket = await small(path, { connections: 3 })
    const inside = [await admin(path), await admin(path), await admin(path)]
    for (const each of inside) assert.equal((await each.ask({ v: 1, verb: "ready" })).ok, true)
    const outside = await admin(path)
    assert.match(await outside.line(), /"kind":"busy"/)
    await outside.over()
    assert.equal((await inside[0]!.ask({ v: 1, verb: "ready" })).ok, true)
    inside[1]!.close()
    await counted(socket, 2)
    assert.equal((await (await admin(path)).ask({ v: 1, verb: "ready" })).ok, true)
  })
  it("and asks for a thousand things at once is answered one by one, in order", async () => {
    const path = join(folder, "flood.sock")
    let at = 0
    let most = 0
    let inside = 0
    await small(path, {}, async () => {
      inside += 1
      most = Math.max(most, inside)
      await new Promise((resolve) => setImmediate(resolve))
      inside -= 1
      at += 1
      return at
    })
    const connection = await admin(path)
    connection.send('{"v":1,"verb":"ready"}\n'.repeat(1000))
    for (let n = 1; n <= 1000; n += 1) assert.equal(JSON.parse(await connection.line()).result, n)
    assert.equal(most, 1)
  })
  it("a mistake of ours is no crash and shows nothing of itself", async () => {
    const path = join(folder, "broken.sock")
    await small(path, {}, async () => {
      throw new Error("canary-inside")
    })
    const connection = await admin(path)
    connection.send('{"v":1,"verb":"ready"}\n')
    const line = await connection.line()
    assert.match(line, /"kind":"internal"/)
    assert.equal(line.includes("canary-inside"), false)
  })
  it("no answer and no log line holds a secret, a key or a handshake", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["n.example"] })
    raw.push(await RawComponent.attach(host.components, "a.example"))
    const added = await host.done({ verb: "domain.add", name: "n.example", secret: { generate: true } })
    const secret = readFileSync(String(added.secretFile), "utf8").trim()
    const said = [JSON.stringify(added), JSON.stringify(host.log)]
    for (const verb of ["status", "domains", "certs", "components", "s2s.show", "reload"]) said.push(JSON.stringify(await host.done({ verb })))
    for (const text of said) assert.equal(text.includes(secret) || text.includes("PRIVATE KEY") || text.includes(host.read("secrets/a.example")), false)
  })
})
