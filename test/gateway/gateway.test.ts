// Whole gateways with real sockets and TLS: routing between components and remote domains, refusals, reload, drain
// (CORE-07, CORE-22, CORE-23; security.md 9, 10, 17; docs/operating.md).
import assert from "node:assert/strict"
import { connect, createServer, type Socket } from "node:net"
import { afterEach, describe, it } from "node:test"
import { ConfigError } from "../../src/model/errors.ts"
import { selfSigned } from "../../src/lab/certificate-authority.ts"
import { checkSeal } from "../../src/proof/seal.ts"
import { certificateFor, RawComponent, type RunningFixture, secretFor, startFixture } from "./gateway-fixture.ts"
import { StepClock } from "./fakes.ts"

const running: RunningFixture[] = []
const components: RawComponent[] = []
afterEach(async () => {
  for (const component of components.splice(0)) component.close()
  await Promise.all(running.splice(0).map((fixture) => fixture.stop()))
})

async function start(...options: Parameters<typeof startFixture>): Promise<RunningFixture> {
  const fixture = await startFixture(...options)
  running.push(fixture)
  return fixture
}

async function attach(fixture: RunningFixture, domain: string): Promise<RawComponent> {
  const component = await RawComponent.attach(fixture.components, domain)
  components.push(component)
  return component
}

/** Tells a running gateway where a peer is, as an operator would. */
async function introduce(fixture: RunningFixture, peer: string, at: { address: string; port: number }): Promise<void> {
  fixture.rewrite((yaml) => yaml.replace("  resolver:", `  overrides: [{ peer: ${peer}, connect: "${at.address}:${at.port}" }]\n  resolver:`))
  assert.deepEqual((await fixture.gateway.reload()).ok, true)
}

type Options = Parameters<typeof startFixture>[0]

/** a.example at 127.0.0.1 and b.example at 127.0.0.2, which know each other, a component attached to each. */
async function couple(one: Partial<Options> = {}, two: Partial<Options> = {}): Promise<{ one: RunningFixture; two: RunningFixture; a: RawComponent; b: RawComponent }> {
  const second = await start({ domains: ["b.example"], address: "127.0.0.2", ...two })
  const first = await start({ domains: ["a.example"], peers: { "b.example": second.s2s }, ...one })
  await introduce(second, "a.example", first.s2s)
  return { one: first, two: second, a: await attach(first, "a.example"), b: await attach(second, "b.example") }
}

const message = (from: string, to: string, id: string): string => `<message from='${from}' to='${to}' id='${id}'><body>hello</body></message>`

describe("two gateways", () => {
  it("carry stanzas between their components, both ways, proven by certificates", async () => {
    const { two, a, b } = await couple()
    a.send("<message from='x@a.example/r' to='y@b.example' id='1'><body>hello &lt;b&gt;</body></message>")
    const [got] = await b.until(/<message .*?<\/message>/)
    assert.equal(got, "<message from='x@a.example/r' to='y@b.example' id='1'><body>hello &lt;b&gt;</body></message>")
    b.send("<iq type='result' from='y@b.example' to='x@a.example/r' id='2'><q xmlns='urn:q'><p:x xmlns:p='urn:p'/></q></iq>")
    const [back] = await a.until(/<iq .*?<\/iq>/)
    assert.match(back, /id='2'.*urn:q/)
    assert.match(two.lines("s2s.associated").join("\n"), /associated by pkix, authenticated/)
  })
  it("keep the order of 2,000 stanzas in both forms", async () => {
    const { a, b } = await couple()
    let sent = ""
    for (let id = 0; id < 2000; id += 1) {
      sent += id % 7 === 0 ? `<message from='a.example' to='b.example' id='n${id}'><p:x xmlns:p='urn:p'/></message>` : `<message from='a.example' to='b.example' id='n${id}'/>`
    }
    a.send(sent)
    await b.until(/id='n1999'/)
    assert.deepEqual([...b.text.matchAll(/id='n(\d+)'/g)].map((match) => Number(match[1])), [...Array(2000).keys()])
  })
  for (const [what, federation, streams] of [["150 streams at once, one a pair", "  piggyback: false\n  bidi: false\n", 150], ["one stream for 150 pairs at once", "", 1]] as const) {
    it(`open ${what}, and every stanza arrives`, async () => {
      const names = [...Array(150).keys()].map((n) => `d${n}.example`)
      const many = certificateFor(names)
      const { one, a } = await couple({ peers: {} }, { federation, domains: ["b.example", ...names], certificates: Object.fromEntries(names.map((name) => [name, many])) })
      const two = running[0]!
      // The same certificate in 150 files is one certificate.
      assert.equal(one.gateway.outgoing.length, 0)
      const senders: RawComponent[] = []
      for (const name of names) senders.push(await attach(two, name))
      for (const [n, sender] of senders.entries()) sender.send(message(names[n]!, "a.example", `from-${names[n]}`))
      await a.count("id='from-", 150)
      assert.equal(new Set(a.text.match(/from-d\d+/g)).size, 150)
      assert.equal(one.gateway.incoming.length, streams)
      assert.equal(one.gateway.incoming.flatMap((stream) => stream.associations()).length, 150)
      assert.deepEqual(two.lines("s2s.retry"), [])
    })
  }
  it("answer for a component that is away, to the remote sender", async () => {
    const { a } = await couple({}, { domains: ["b.example", "b2.example"] })
    const both = running[1]!
    both.rewrite((yaml) => yaml.replace("overrides:\n", `overrides:\n    - { peer: b2.example, connect: "127.0.0.2:${running[0]!.s2s.port}" }\n`))
    assert.equal((await both.gateway.reload()).ok, true)
    a.send(message("a.example", "y@b2.example", "3"))
    const [away] = await a.until(/<message .*?<\/message>/)
    assert.match(away, /^<message from='y@b2\.example' to='a\.example' id='3' type='error'><error type='wait' by='b2\.example'>/)
    assert.match(away, /<remote-server-timeout xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'\/><text .*>Component unavailable<\/text>/)
  })
  it("fall back to dialback under `encrypted` when certificates are self-signed", async () => {
    const own = (name: string) => selfSigned({ now: Date.now(), names: { dns: [name] } })
    const { one, two, a, b } = await couple(
      { federation: "  require: encrypted\n", certificates: { "a.example": own("a.example") } },
      { federation: "  require: encrypted\n", certificates: { "b.example": own("b.example") } },
    )
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
    assert.match(two.lines("s2s.associated").join("\n"), /associated by dialback, encrypted/)
    assert.match(one.lines("s2s.associated").join("\n"), /encrypted/)
  })
})

describe("a peer that is not let in or does not let us in", () => {
  it("the sender reads why, the log has the next try, and stanzas bounce at once until then", async () => {
    const { one, a } = await couple({}, { certificates: { "b.example": certificateFor("b.example", { notAfter: Date.now() - 1000 }) } })
    a.send(message("a.example", "b.example", "1"))
    const [bounce] = await a.until(/<message .*?<\/message>/)
    assert.match(bounce, /id='1' type='error'><error type='wait' by='a\.example'><remote-server-timeout .*the certificate has expired.*\[cert\.expired\]/)
    const retry = await one.logged("s2s.retry")
    assert.equal(retry.fields.finding, "cert.expired")
    assert.ok(Date.parse(String(retry.fields.retry)) > Date.now() - 60_000)
    const tries = one.lines("s2s.refused").length
    a.send(message("a.example", "b.example", "2"))
    await a.until(/id='2' type='error'.*cert\.expired/)
    assert.equal(one.lines("s2s.refused").length, tries)
  })
  it("evidence of the refusal is kept in the state folder, once", async () => {
    const { one, a } = await couple(
      { more: "state: { dir: /state, evidence_files: 2, seal: /state/seal.pem }\n", files: { "/state/.keep": "" } },
      { certificates: { "b.example": selfSigned({ now: Date.now(), names: { dns: ["b.example"] } }) } },
    )
    a.send(message("a.example", "b.example", "1"))
    await a.until(/id='1' type='error'/)
    await one.logged("evidence.kept")
    const files = [...one.files.files.keys()].filter((path) => path.startsWith("/state/2"))
    assert.equal(files.length, 1)
    const kept = JSON.parse(new TextDecoder().decode(await one.files.read(files[0]!)))
    assert.deepEqual([kept.decision, kept.finding, kept.pair, kept.direction], ["refused", "cert.self-signed", { sender: "a.example", target: "b.example" }, "out"])
    assert.equal(kept.items[0].prooftype, "pkix")
    assert.equal(kept.items[0].proof.chain.length, 1)
    assert.equal(one.files.files.get(files[0]!)!.mode, 0o600)
    assert.equal(JSON.stringify(kept).includes(secretFor("a.example")), false)
    // Sealed by the key that the log names, of which neither shows the private half (security.md 25, 27).
    const { key } = (await one.logged("evidence.seal")).fields as { key: string }
    assert.deepEqual(checkSeal(kept, [key]), { state: "good", key })
    const pem = new TextDecoder().decode(await one.files.read("/state/seal.pem"))
    assert.equal(one.files.files.get("/state/seal.pem")!.mode, 0o600)
    assert.equal(`${JSON.stringify(kept)}${JSON.stringify(one.log)}`.includes(pem.split("\n")[1]!.slice(-40)), false)
  })
  it("a domain that does not exist bounces remote-server-not-found", async () => {
    const one = await start({
      domains: ["a.example"],
      resolver: {
        resolve: async (name, type) =>
          ({ name, type, records: [], status: "insecure", why: [], canonical: name, validatedBy: "self", until: 0, rcode: 3, outcome: "name-error" }) as never,
      },
    })
    const a = await attach(one, "a.example")
    a.send(message("a.example", "none.example", "1"))
    await a.until(/from='none\.example' to='a\.example' id='1' type='error'><error type='cancel' by='a\.example'><remote-server-not-found /)
    a.send("<presence type='unavailable' from='a.example' to='none.example'/><iq type='result' id='r' from='a.example' to='none.example'/><message from='a.example' to='none.example' id='2'/>")
    const [next] = await a.until(/<(?:message|iq|presence) [^>]*>/)
    assert.match(next, /id='2'/)
  })
  it("is never relayed for: a stanza for a foreign domain ends its stream (CORE-23)", async () => {
    const { one, two, a, b } = await couple()
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
    // The component may say it; the gateway at the other end must not believe that it is for it.
    const { outgoing } = one.gateway
    outgoing[0]!.stream!.channel.write(Buffer.from(message("a.example", "third.example", "relay")))
    const closed = await two.logged("s2s.closed", /not hosted here|foreign-target/)
    assert.match(String(closed.fields.text), /route\.foreign-target/)
    await outgoing[0]!.stream!.closed
    assert.equal(b.text.includes("relay"), false)
  })
  it("cannot speak for another domain than it has proven (security.md 9)", async () => {
    const { one, two, a, b } = await couple()
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
    const { outgoing } = one.gateway
    outgoing[0]!.stream!.channel.write(Buffer.from(message("other.example", "b.example", "forged")))
    const closed = await two.logged("s2s.closed", /other\.example/)
    assert.match(String(closed.fields.text), /route\.unproven-sender/)
    assert.equal(b.text.includes("forged"), false)
  })
})

describe("reload", () => {
  it("is all or nothing: a bad file changes nothing and takes nothing down", async () => {
    const { one, a, b } = await couple()
    const before = one.gateway.config
    one.rewrite((yaml) => yaml.replace("domains:\n", "domains:\n  - { name: new.example, component: { secret: { file: /secrets/none } } }\n"))
    const result = await one.gateway.reload()
    assert.equal(result.ok, false)
    assert.match(result.ok ? "" : result.problems[0]!.sentence, /\/secrets\/none cannot be read/)
    assert.equal(one.gateway.config, before)
    assert.match(one.lines("config.refused").join("\n"), /reload refused, nothing was changed: \/etc\/gw\.yaml:\d+:\d+ /)
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
  })
  it("an ambiguous certificate refuses the whole of it", async () => {
    const one = await start({ domains: ["a.example"] })
    const other = certificateFor("a.example", { notBefore: Date.now() - 1000 })
    one.files.set("/certs/sub/a.pem", other.chainPem + other.keyPem)
    one.rewrite((yaml) => yaml.replace("certificates:", "limits: { depth: 32 }\ncertificates:"))
    const result = await one.gateway.reload()
    assert.match(result.ok ? "" : result.problems[0]!.sentence, /Two different certificates name a\.example/)
    assert.equal(one.gateway.config.limits.depth, 64)
  })
  it("says what changed and what needs a restart; domains come and go", async () => {
    const one = await start({ domains: ["a.example", "old.example"] })
    const old = await attach(one, "old.example")
    one.files.set("/secrets/new.example", secretFor("new.example"))
    one.rewrite((yaml) =>
      yaml
        .replace("{ name: old.example, component: { secret: { file: /secrets/old.example } } }", "{ name: new.example, component: { secret: { file: /secrets/new.example } } }")
        .replace("  resolver:", "  retry_max: 10s\n  resolver:")
        .replace("listen:\n", "listen:\n  # moved\n")
        .replace('direct_tls: ["127.0.0.1:0"]', "direct_tls: []"),
    )
    const result = await one.gateway.reload()
    assert.deepEqual(result.ok && [result.changes, result.needRestart], [["+ domain new.example", "- domain old.example", "~ federation.retry_max"], ["listen"]])
    await old.until(/<stream:error><host-gone /)
    await attach(one, "new.example")
    assert.match(one.lines("cert.missing").join("\n"), /names new\.example/)
  })
  it("a changed secret ends the session that was let in by the old one", async () => {
    const one = await start({ domains: ["a.example"] })
    const a = await attach(one, "a.example")
    one.files.set("/secrets/a.example", secretFor("something else"))
    assert.equal((await one.gateway.reload()).ok, true)
    await a.until(/<stream:error><reset /)
    await assert.rejects(attach(one, "a.example"))
    components.push(await RawComponent.attach(one.components, "a.example", secretFor("something else")))
  })
  it("a remote domain that becomes ours loses its streams at once, in both directions", async () => {
    const { one, two, a, b } = await couple()
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
    b.send(message("b.example", "a.example", "2"))
    await a.until(/id='2'/)
    assert.equal(one.gateway.incoming.length, 1)
    one.files.set("/secrets/b.example", secretFor("b here"))
    one.rewrite((yaml) => yaml.replace("domains:\n", "domains:\n  - { name: b.example, component: { secret: { file: /secrets/b.example } } }\n"))
    const streams = [one.gateway.outgoing[0]!.stream!.closed, one.gateway.incoming[0]!.closed]
    assert.equal((await one.gateway.reload()).ok, true)
    await Promise.all(streams)
    b.send(message("b.example", "a.example", "3"))
    await b.until(/id='3' type='error'/)
    assert.equal(a.text.includes("id='3'"), false)
    a.send(message("a.example", "b.example", "4"))
    await a.until(/id='4' type='error'.*Component unavailable/)
    assert.equal(two.gateway.state, "running")
  })
  it("certificates changed on disk are taken up by themselves; a broken pair keeps the old one", async () => {
    const one = await start({ domains: ["a.example"] })
    const renewed = certificateFor("a.example", { notBefore: Date.now() - 5000 })
    const { watchers } = one.files
    assert.deepEqual(
      watchers.map(({ path }) => path),
      ["/certs"],
    )
    one.files.set("/certs/a.example.pem", renewed.chainPem)
    watchers[0]!.changed()
    await one.logged("cert.refused", /keeps the certificate from \/certs\/a\.example\.pem that is in memory/)
    one.files.set("/certs/a.example.pem", renewed.chainPem + renewed.keyPem)
    const before = one.lines("cert.loaded").length
    watchers[0]!.changed()
    await one.gateway.reload()
    assert.ok(one.lines("cert.loaded").length > before)
    assert.equal(one.lines("cert.refused").length, 2)
  })
  it("an exception that ends closes its streams, and the log says why", async () => {
    const clock = new StepClock(Date.now())
    const until = new Date(clock.now() + 3_600_000).toISOString().replace(/\.\d+Z/, "Z")
    const own = selfSigned({ now: Date.now(), names: { dns: ["b.example"] } })
    const { one, a, b } = await couple(
      { clock, federation: `  exceptions: [{ peer: b.example, require: encrypted, until: "${until}", why: test }]\n` },
      { certificates: { "b.example": own } },
    )
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
    const { closed } = one.gateway.outgoing[0]!.stream!
    await clock.step(3_600_000)
    await closed
    a.send(message("a.example", "b.example", "2"))
    await a.until(/id='2' type='error'.*cert\.self-signed/)
    const closing = one.stop()
    running.splice(running.indexOf(one), 1)
    for (let turn = 0; turn < 10; turn += 1) await clock.step(1000)
    await closing
  })
})

describe("connections without proof (security.md 17, XML-07)", () => {
  it("are capped by address; some more wait outside, and get in when a place is free", async () => {
    const one = await start({ domains: ["a.example"], more: "limits: { unauthenticatedPerIp: 3 }\n" })
    const header = "<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' version='1.0'>"
    const peers: RawComponent[] = []
    for (let n = 0; n < 13; n += 1) {
      const peer = await RawComponent.connect(one.s2s)
      components.push(peer)
      peers.push(peer)
      peer.send(header)
      if (n < 3) await peer.until(/<stream:features>/)
    }
    await peers[12]!.over()
    assert.match(one.lines("s2s.capped").join(), /too many unfinished connections \[stream\.too-many\]/)
    assert.deepEqual(peers.slice(3).map(({ text }) => text), Array(10).fill(""))
    peers[0]!.close()
    await peers[3]!.until(/<stream:features>/)
    assert.deepEqual(peers.slice(4).map(({ text }) => text), Array(9).fill(""))
  })
  it("are ended after `limits.unauthenticated`", async () => {
    const one = await start({ domains: ["a.example"], more: "limits: { unauthenticated: 1s }\n" })
    const peer = await RawComponent.connect(one.s2s)
    components.push(peer)
    await peer.over()
    assert.match(one.lines("s2s.closed").join(), /closed/)
  })
})

describe("shutdown", () => {
  it("drain serves on, then closes components and streams with system-shutdown, and loses nothing", async () => {
    const { one, two, a, b } = await couple({ more: "shutdown: { drain: 1s, deadline: 5s }\n" })
    a.send(message("a.example", "b.example", "1"))
    await b.until(/id='1'/)
    const draining = one.gateway.drain()
    assert.equal(one.gateway.state, "draining")
    a.send(message("a.example", "b.example", "2"))
    await b.until(/id='2'/)
    await a.until(/<stream:error><system-shutdown /)
    assert.deepEqual(await draining, { lost: 0, inTime: true })
    assert.equal(one.gateway.state, "closed")
    // What was delivered before an orderly end is not called lost, nor are our closing words.
    assert.deepEqual([one.lines("s2s.lost"), one.lines("component.down").filter((line) => line.includes("may not have arrived"))], [[], []])
    await two.logged("s2s.closed", /system-shutdown/)
    await assert.rejects(
      new Promise((resolve, reject) => {
        const socket = connect(one.s2s.port, one.s2s.address)
        socket.once("connect", resolve).once("error", reject)
      }),
      /ECONNREFUSED/,
    )
    assert.equal((await one.gateway.reload()).ok, false)
  })
  it("a second call does not wait any longer", async () => {
    const one = await start({ domains: ["a.example"], more: "shutdown: { drain: 9m, deadline: 10m }\n" })
    const first = one.gateway.drain()
    const second = one.gateway.drain()
    assert.deepEqual(await Promise.all([first, second]), [
      { lost: 0, inTime: true },
      { lost: 0, inTime: true },
    ])
  })
  it("at the deadline what still waits is counted as lost", async () => {
    // Takes connections and never says a word.
    const silent = createServer()
    const accepted: Socket[] = []
    silent.on("connection", (socket) => accepted.push(socket))
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.3", resolve))
    const { port } = silent.address() as { port: number }
    try {
      const one = await start({ domains: ["a.example"], peers: { "b.example": { address: "127.0.0.3", port } }, more: "shutdown: { drain: 0s, deadline: 1s }\n" })
      const a = await attach(one, "a.example")
      a.send(message("a.example", "b.example", "1") + message("a.example", "a.example", "self"))
      await a.until(/id='self'/)
      assert.deepEqual(await one.gateway.drain(), { lost: 1, inTime: false })
      assert.match(one.lines("drain.end").join(), /1 stanzas were lost/)
    } finally {
      for (const socket of accepted) socket.destroy()
      silent.close()
    }
  })
})

describe("start", () => {
  const refused = async (options: Options): Promise<string> => {
    try {
      await start(options)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      return error.problems.map(({ setting, sentence }) => `${setting}: ${sentence}`).join("\n")
    }
    return ""
  }
  it("an address that is taken is a configuration error, and nothing stays bound", async () => {
    const one = await start({ domains: ["a.example"] })
    const { port } = one.components
    const free = one.s2s.port
    await one.gateway.close()
    const holder = createServer()
    await new Promise<void>((resolve) => holder.listen(port, "127.0.0.1", resolve))
    const yaml = (text: string): string => text.replace('s2s: ["127.0.0.1:0"]', `s2s: ["127.0.0.1:${free}"]`).replace('components: ["127.0.0.1:0"]', `components: ["127.0.0.1:${port}"]`)
    assert.match(await refused({ domains: ["a.example"], yaml }), new RegExp(`^listen\\.components: 127\\.0\\.0\\.1:${port} cannot be listened on: `))
    await new Promise((resolve) => holder.close(resolve))
    await start({ domains: ["a.example"], yaml })
  })
  it("an unusable state folder and ambiguous certificates are, too", async () => {
    assert.match(await refused({ domains: ["a.example"], more: "state: { dir: /none }\n" }), /^state\.dir: The folder cannot be used: there is no such file or folder/)
    const other = certificateFor("a.example", { notBefore: Date.now() - 1000 })
    assert.match(await refused({ domains: ["a.example"], files: { "/certs/x/y.pem": other.chainPem + other.keyPem } }), /Two different certificates name a\.example/)
  })
  it("without a certificate it runs and says so", async () => {
    const one = await start({ domains: ["a.example"], certificates: { "a.example": undefined }, files: { "/certs/readme.txt": "" } })
    assert.match(one.lines("cert.missing").join(), /No certificate with its key names a\.example/)
    assert.match(one.lines("gateway.ready").join(), /ready: 1 domains, listening on s2s 127\.0\.0\.1:\d+/)
  })
})
