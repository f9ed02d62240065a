// The admin socket and what it does to a running gateway: domains come, change, rest and go without touching other
// domains' streams; all or nothing (security.md 10, 20, 21, 22, 27).
import assert from "node:assert/strict"
import { statSync, symlinkSync } from "node:fs"
import { createServer, type Socket } from "node:net"
import { afterEach, describe, it } from "node:test"
import { type Hosting, type HostingOptions, startHosting, tenant } from "./admin-fixture.ts"
import { RawComponent, type RunningFixture, secretFor, startFixture } from "./gateway-fixture.ts"

const running: { stop(): Promise<void> }[] = []
const components: RawComponent[] = []
afterEach(async () => {
  for (const component of components.splice(0)) component.close()
  await Promise.all(running.splice(0).map((fixture) => fixture.stop()))
})

async function hosting(options: HostingOptions): Promise<Hosting> {
  const started = await startHosting(options)
  running.push(started)
  return started
}

async function attach(to: { components: { address: string; port: number } }, domain: string, secret?: string): Promise<RawComponent> {
  const component = await RawComponent.attach(to.components, domain, secret)
  components.push(component)
  return component
}

const message = (from: string, to: string, id: string): string => `<message from='${from}' to='${to}' id='${id}'><body>hello</body></message>`

/** A peer elsewhere that finds the hosting gateway under these names. */
async function peerFor(domains: readonly string[]): Promise<RunningFixture> {
  const peer = await startFixture({ domains, address: "127.0.0.2" })
  running.push(peer)
  return peer
}

async function introduce(peer: RunningFixture, names: readonly string[], at: { address: string; port: number }): Promise<void> {
  const lines = names.map((name) => `    - { peer: ${name}, connect: "${at.address}:${at.port}" }\n`).join("")
  peer.rewrite((yaml) => yaml.replace("  resolver:", `  overrides:\n${lines}  resolver:`))
  assert.equal((await peer.gateway.reload()).ok, true)
}

describe("the admin socket", () => {
  it("has mode 660, and answers what the gateway is", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"], tenants: { "b.yaml": tenant("b.example") } })
    assert.equal(statSync(host.socket).mode & 0o777, 0o660)
    await attach(host, "a.example")
    const status = await host.done({ verb: "status" })
    assert.deepEqual(
      [status.state, status.domains, status.components, status.streams],
      ["running", { served: 2, suspended: 0, withoutCertificate: 0 }, { attached: 1, away: 1 }, { in: 0, out: 0 }],
    )
    assert.deepEqual(await host.done({ verb: "ready" }), { ready: true, reasons: [] })
    const { domains } = (await host.done({ verb: "domains" })) as { domains: Record<string, unknown>[] }
    assert.deepEqual(domains, [
      { name: "a.example", state: "served", certificate: "own", component: "up", file: host.at("gw.yaml") },
      { name: "b.example", state: "served", certificate: "own", component: "away", file: host.at("tenants.d/b.yaml") },
    ])
    const { certificates } = (await host.done({ verb: "certs" })) as { certificates: { name: string; served: { fingerprint: string }; onDisk: { fingerprint: string } }[] }
    assert.deepEqual(certificates.map(({ name }) => name), ["a.example", "b.example"])
    assert.equal(certificates[0]!.served.fingerprint, certificates[0]!.onDisk.fingerprint)
  })
  it("adds a domain by a new file, with a secret made here that nobody is told", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["new.example"] })
    const added = await host.done({ verb: "domain.add", name: "New.Example", secret: { generate: true } })
    assert.deepEqual([added.changes, added.file, added.secretFile], [["+ domain new.example"], host.at("tenants.d/new.example.yaml"), host.at("tenants.d/secrets/new.example")])
    const secret = host.read("tenants.d/secrets/new.example").trim()
    assert.match(secret, /^[0-9a-f]{64}$/)
    assert.deepEqual([statSync(host.at("tenants.d/secrets/new.example")).mode & 0o777, statSync(host.at("tenants.d/new.example.yaml")).mode & 0o777], [0o600, 0o640])
    await attach(host, "new.example", secret)
    assert.equal(JSON.stringify([added, host.log]).includes(secret), false)
    assert.match(host.read("tenants.d/new.example.yaml"), /file: secrets\/new\.example/)
  })
  it("changes settings in a file and keeps its comments; an empty value takes a setting out", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"], tenants: { "b.yaml": `# the shop\n${tenant("b.example", "    # until its own arrives\n    certificate: a.example\n")}` } })
    const set = await host.done({ verb: "domain.set", name: "b.example", settings: [{ key: "certificate", value: "" }, { key: "posh.expires", value: "2h" }] })
    assert.deepEqual(set.changes, ["~ domain b.example: certificate a.example -> own, posh.serve false -> true"])
    assert.match(host.read("tenants.d/b.yaml"), /^# the shop\n[\s\S]*posh:\n {6}expires: 2h\n/)
    host.secret("other")
    const secret = await host.done({ verb: "domain.set", name: "b.example", settings: [{ key: "secret.file", value: host.at("secrets/other") }] })
    assert.deepEqual(secret.changes, ["~ domain b.example: secret"])
    await attach(host, "b.example", secretFor("other"))
  })
  it("suspends: the component goes, the name stays taken; resumes: all as before", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"], tenants: { "b.yaml": tenant("b.example") } })
    const before = host.read("tenants.d/b.yaml")
    const a = await attach(host, "a.example")
    const b = await attach(host, "b.example")
    assert.deepEqual((await host.done({ verb: "domain.suspend", name: "b.example" })).changes, ["~ domain b.example: suspended"])
    await b.until(/<stream:error><host-gone /)
    await assert.rejects(attach(host, "b.example"))
    a.send(message("a.example", "b.example", "1"))
    await a.until(/id='1' type='error'.*Component unavailable/)
    assert.deepEqual((await host.done({ verb: "domain.suspend", name: "b.example" })).changes, [])
    assert.deepEqual(((await host.done({ verb: "domains" })) as { domains: { state: string }[] }).domains[1]!.state, "suspended")
    assert.deepEqual((await host.done({ verb: "domain.resume", name: "b.example" })).changes, ["~ domain b.example: resumed"])
    assert.equal(host.read("tenants.d/b.yaml"), before)
    await attach(host, "b.example")
  })
  it("removes: a file with nothing else goes whole, one with others keeps them", async () => {
    const two = `domains:\n  - name: b.example\n    component: { secret: { file: ../secrets/b.example } }\n  # stays\n  - name: c.example\n    component: { secret: { file: ../secrets/c.example } }\n`
    const host = await hosting({ domains: ["a.example"], tenants: { "two.yaml": two, "d.yaml": tenant("d.example") } })
    assert.deepEqual((await host.done({ verb: "domain.remove", name: "d.example" })).changes, ["- domain d.example"])
    assert.equal(host.has("tenants.d/d.yaml"), false)
    assert.deepEqual((await host.done({ verb: "domain.remove", name: "b.example" })).changes, ["- domain b.example"])
    assert.match(host.read("tenants.d/two.yaml"), /# stays\n {2}- name: c\.example/)
    assert.deepEqual([...host.gateway.config.domains.keys()], ["a.example", "c.example"])
  })
  it("reloads, and says where a mistake is", async () => {
    const host = await hosting({ domains: ["a.example"], yaml: (text) => text.replace("certificates: {", "certificates: { reload: signal,") })
    host.secret("b.example")
    host.write("tenants.d/b.yaml", tenant("b.example"))
    assert.deepEqual((await host.done({ verb: "reload" })).changes, ["+ domain b.example"])
    host.write("tenants.d/b.yaml", tenant("b.example", "    portal: 1\n"))
    const { kind, text } = await host.refused({ verb: "reload" })
    assert.equal(kind, "config")
    assert.match(text, /tenants\.d\/b\.yaml:4:5 .*portal/)
    assert.equal(((await host.done({ verb: "status" })).lastReload as { ok: boolean }).ok, false)
  })
  it("drains; the answer comes first", async () => {
    const host = await hosting({ domains: ["a.example"], more: "shutdown: { drain: 0s, deadline: 1s }\n" })
    assert.deepEqual(await host.done({ verb: "drain" }), { draining: true })
    assert.deepEqual(await host.gateway.ended, { lost: 0, inTime: true })
  })
})

describe("an edit that would not do changes nothing", () => {
  it("a reload that refuses puts the file back, and its mode", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"], tenants: { "b.yaml": tenant("b.example") } })
    const before = host.read("tenants.d/b.yaml")
    const config = host.gateway.config
    const { kind, text } = await host.refused({ verb: "domain.set", name: "b.example", settings: [{ key: "certificate", value: "nobody.example" }, { key: "posh.expires", value: "never" }] })
    assert.equal(kind, "config")
    assert.match(text, /tenants\.d\/b\.yaml:\d+:\d+ .*never/)
    assert.equal(host.read("tenants.d/b.yaml"), before)
    assert.equal(statSync(host.at("tenants.d/b.yaml")).mode & 0o777, 0o640)
    assert.equal(host.gateway.config, config)
  })
  it("adding leaves neither file nor secret behind", async () => {
    const host = await hosting({ domains: ["a.example"] })
    const { kind } = await host.refused({ verb: "domain.add", name: "b.example", secret: { generate: true }, certificate: "a.example", file: "b.txt" })
    assert.equal(kind, "config")
    assert.deepEqual([host.has("tenants.d/b.txt"), host.has("tenants.d/secrets/b.example"), host.gateway.config.domains.size], [false, false, 1])
    assert.equal((await host.refused({ verb: "domain.add", name: "b.example", secret: { file: host.at("none") } })).kind, "config")
    assert.equal(host.has("tenants.d/b.example.yaml"), false)
  })
  it("the last domain cannot go", async () => {
    const host = await hosting({ domains: [], certified: ["b.example"], tenants: { "b.yaml": tenant("b.example") } })
    assert.match((await host.refused({ verb: "domain.remove", name: "b.example" })).text, /No domain is hosted/)
    assert.equal(host.read("tenants.d/b.yaml"), tenant("b.example"))
  })
  it("what is hosted already, is not hosted, is in the main file or no file, is said so", async () => {
    const host = await hosting({ domains: ["a.example"], tenants: { "b.yaml": tenant("b.example") } })
    assert.match((await host.refused({ verb: "domain.add", name: "A.example", secret: { generate: true } })).text, /a\.example is already hosted, by .*gw\.yaml/)
    assert.match((await host.refused({ verb: "domain.remove", name: "c.example" })).text, /c\.example is not hosted here/)
    assert.match((await host.refused({ verb: "domain.suspend", name: "a.example" })).text, /gw\.yaml:8:13 The file is the main configuration/)
    assert.match((await host.refused({ verb: "domain.add", name: "c.example", file: "b.yaml", secret: { generate: true } })).text, /b\.yaml is there already/)
    assert.match((await host.refused({ verb: "domain.set", name: "b.example", settings: [{ key: "certficate", value: "x" }] })).text, /Did you mean certificate\?/)
    assert.equal(host.read("tenants.d/b.yaml"), tenant("b.example"))
  })
  it("a file in a style that an edit would spoil is left to its author", async () => {
    const folded = `domains:\n  - &shop\n    name: b.example\n    component: {secret: {file: ../secrets/b.example}}\nx-shop: *shop\n`
    const plain = folded.replace("&shop\n    ", "").replace("x-shop: *shop\n", "").replace("name: b.example\n", "name:\n      b.example\n")
    const host = await hosting({ domains: ["a.example"], tenants: { "b.yaml": plain } })
    assert.match((await host.refused({ verb: "domain.suspend", name: "b.example" })).text, /written in a way that an automatic change would not keep/)
    assert.equal(host.read("tenants.d/b.yaml"), plain)
  })
  it("seven at once, then fourteen, are done one after the other", async () => {
    const names = [...Array(7).keys()].map((n) => `d${n}.example`)
    const host = await hosting({ domains: ["a.example"], certified: names })
    const added = await Promise.all(names.map((name) => host.done({ verb: "domain.add", name, secret: { generate: true } })))
    assert.deepEqual(added.map(({ changes }) => changes), names.map((name) => [`+ domain ${name}`]))
    const changed = await Promise.all(names.flatMap((name) => [host.ask({ verb: "domain.suspend", name }), host.ask({ verb: "domain.remove", name })]))
    assert.deepEqual(new Set(changed.map(({ ok }) => ok)), new Set([true]))
    assert.deepEqual([...host.gateway.config.domains.keys()], ["a.example"])
  })
})

describe("files dropped into the include folder", () => {
  it("are taken up by themselves, and so is their going", async () => {
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"] })
    host.secret("b.example")
    host.write("tenants.d/b.yaml", tenant("b.example"))
    await host.logged("config.reloaded", /\+ domain b\.example/)
    host.write("tenants.d/b.yaml", tenant("b.example", "    suspended: true\n"))
    await host.logged("config.reloaded", /~ domain b\.example: suspended/)
    host.write("tenants.d/b.yaml", "domains: [")
    await host.logged("config.refused", /b\.yaml/)
    assert.equal(host.gateway.config.domains.get("b.example" as never)?.suspended, true)
  })
})

describe("other domains' streams", () => {
  it("live on through add, set, suspend, resume and remove: none closes, every stanza arrives", async () => {
    const peer = await peerFor(["p.example", "q.example"])
    const host = await hosting({ domains: ["a.example", "c.example"], certified: ["b.example", "n.example"], tenants: { "b.yaml": tenant("b.example") }, peers: { "p.example": peer.s2s, "q.example": peer.s2s } })
    await introduce(peer, ["a.example", "b.example", "c.example"], host.s2s)
    const [a, b, c, p, q] = [await attach(host, "a.example"), await attach(host, "b.example"), await attach(host, "c.example"), await attach(peer, "p.example"), await attach(peer, "q.example")]
    b.send(message("b.example", "p.example", "b1"))
    await p.until(/id='b1'/)
    p.send(message("p.example", "b.example", "p1"))
    await b.until(/id='p1'/)
    // Four other pairs, both ways, with traffic all the time.
    let sent = 0
    const pump = setInterval(() => {
      sent += 1
      a.send(message("a.example", "p.example", `a-${sent}.`))
      c.send(message("c.example", "q.example", `c-${sent}.`))
      p.send(message("p.example", "a.example", `p-${sent}.`))
      q.send(message("q.example", "c.example", `q-${sent}.`))
    }, 2)
    try {
      await Promise.all([a.until(/id='p-1\./), c.until(/id='q-1\./), p.until(/id='a-1\./), q.until(/id='c-1\./)])
      const closed = (name: RegExp): number => [...host.log, ...peer.log].filter(({ event, fields }) => event === "s2s.closed" && name.test(JSON.stringify(fields))).length
      await host.done({ verb: "domain.add", name: "n.example", secret: { generate: true } })
      await host.done({ verb: "domain.set", name: "b.example", settings: [{ key: "posh.expires", value: "2h" }] })
      await host.done({ verb: "domain.suspend", name: "b.example" })
      await b.until(/<stream:error><host-gone /)
      await host.logged("s2s.closed")
      assert.deepEqual(host.gateway.outgoing.map(({ pair }) => pair.sender).sort(), ["a.example", "c.example"])
      p.send(message("p.example", "b.example", "gone"))
      await p.until(/id='gone' type='error'/)
      await host.done({ verb: "domain.resume", name: "b.example" })
      await attach(host, "b.example")
      await host.done({ verb: "domain.remove", name: "b.example" })
      await host.done({ verb: "domain.remove", name: "n.example" })
      const last = sent
      clearInterval(pump)
      for (const [component, prefix] of [[a, "p"], [c, "q"], [p, "a"], [q, "c"]] as const) {
        await component.until(new RegExp(`id='${prefix}-${last}\\.`))
        const got = [...component.text.matchAll(new RegExp(`id='${prefix}-(\\d+)\\.'`, "g"))].map((match) => Number(match[1]))
        assert.deepEqual(got.slice(0, last), [...Array(last).keys()].map((n) => n + 1))
      }
      assert.ok(last > 20, `only ${last} stanzas were under way`)
      assert.ok(closed(/"b\.example"/) > 0)
      assert.equal(closed(/"[ac]\.example"/), 0)
    } finally {
      clearInterval(pump)
    }
  })
  it("their certificates stay, for streams that are yet to come", async () => {
    const peer = await peerFor(["p.example"])
    const host = await hosting({ domains: ["a.example"], certified: ["b.example", "c.example"], tenants: { "b.yaml": tenant("b.example"), "c.yaml": tenant("c.example") } })
    await introduce(peer, ["a.example"], host.s2s)
    const served = async () => ((await host.done({ verb: "certs" })) as { certificates: { name: string; served?: object }[] }).certificates.filter(({ served: shown }) => shown !== undefined).map(({ name }) => name)
    assert.deepEqual(await served(), ["a.example", "b.example", "c.example"])
    await host.done({ verb: "domain.suspend", name: "b.example" })
    assert.deepEqual(await served(), ["a.example", "c.example"])
    await host.done({ verb: "domain.remove", name: "c.example" })
    assert.deepEqual(await served(), ["a.example"])
    const [a, p] = [await attach(host, "a.example"), await attach(peer, "p.example")]
    p.send(message("p.example", "a.example", "1"))
    await a.until(/id='1'/)
  })
  it("what waited for a suspended domain, and what it had waiting, goes back to its senders", async () => {
    // Takes connections and never says a word, so that what is sent there waits.
    const accepted: Socket[] = []
    const silent = createServer((socket) => accepted.push(socket))
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.3", resolve))
    const { port } = silent.address() as { port: number }
    running.push({
      stop: async () => {
        silent.close()
        for (const socket of accepted) socket.destroy()
      },
    })
    const host = await hosting({ domains: ["a.example"], certified: ["b.example"], tenants: { "b.yaml": tenant("b.example") }, peers: { "s.example": { address: "127.0.0.3", port } } })
    const b = await attach(host, "b.example")
    b.send(message("b.example", "s.example", "1") + message("b.example", "b.example", "self"))
    await b.until(/id='self'/)
    await host.done({ verb: "domain.suspend", name: "b.example" })
    const [bounce] = await b.until(/<message [^>]*id='1' type='error'>.*?<\/message>/)
    assert.match(bounce, /service-unavailable.*not served here any more/)
    await b.until(/<host-gone /)
    assert.equal(host.gateway.outgoing.length, 0)
  })
  it("a remote domain that becomes ours by `domain add` loses its streams at once", async () => {
    const peer = await peerFor(["p.example", "q.example"])
    const host = await hosting({ domains: ["a.example"], peers: { "p.example": peer.s2s, "q.example": peer.s2s } })
    await introduce(peer, ["a.example"], host.s2s)
    const [a, p, q] = [await attach(host, "a.example"), await attach(peer, "p.example"), await attach(peer, "q.example")]
    a.send(message("a.example", "p.example", "1") + message("a.example", "q.example", "2"))
    await Promise.all([p.until(/id='1'/), q.until(/id='2'/)])
    const stolen = host.gateway.outgoing.find(({ pair }) => pair.target === "p.example")!.stream!.closed
    await host.done({ verb: "domain.add", name: "p.example", secret: { generate: true } })
    await stolen
    a.send(message("a.example", "p.example", "3") + message("a.example", "q.example", "4"))
    await a.until(/id='3' type='error'.*Component unavailable/)
    await q.until(/id='4'/)
    assert.equal(p.text.includes("id='3'"), false)
    assert.deepEqual(host.gateway.outgoing.map(({ pair, stream }) => [pair.target, stream !== undefined]), [["q.example", true]])
  })
})

describe("a link in the include folder", () => {
  it("is neither read nor written through", async () => {
    const host = await hosting({ domains: ["a.example"] })
    host.secret("b.example")
    host.write("elsewhere.yaml", tenant("b.example").replace("../", ""))
    symlinkSync(host.at("elsewhere.yaml"), host.at("tenants.d/b.example.yaml"))
    await host.ask({ verb: "reload" })
    assert.equal(host.gateway.config.domains.has("b.example" as never), false)
    assert.match((await host.refused({ verb: "domain.add", name: "b.example", secret: { generate: true } })).text, /is there already/)
    assert.equal(host.read("elsewhere.yaml"), tenant("b.example").replace("../", ""))
  })
})
