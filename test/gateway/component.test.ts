// XEP-0114 against a hostile or clumsy component (COMP-1 to COMP-3; security.md 21, 23), on real sockets.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { after, afterEach, before, describe, it } from "node:test"
import { RawComponent, type RunningFixture, secretFor, startFixture } from "./gateway-fixture.ts"
import { StepClock } from "./fakes.ts"

const open: RawComponent[] = []
let fixture: RunningFixture

before(async () => {
  fixture = await startFixture({
    domains: ["a.example", "b.example", "xn--bcher-kva.example"],
    options: { componentTimes: { negotiation: 2000, probe: 1000, closing: 200 } },
    more: "limits: { stanza: 10000, queue: 64KiB, input: 256KiB }\n",
  })
})
afterEach(async () => {
  // Each test begins with nobody attached.
  for (const component of open.splice(0)) component.close()
  for (const session of fixture.gateway.components) await session.closed
})
after(() => fixture.stop())

async function connected(): Promise<RawComponent> {
  const component = await RawComponent.connect(fixture.components)
  open.push(component)
  return component
}

async function attached(domain: string): Promise<RawComponent> {
  const component = await connected()
  await component.open(domain)
  await component.handshake(secretFor(domain))
  return component
}

const streamError = (condition: string): RegExp => new RegExp(`<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>.*</stream:stream>`)

describe("header and handshake", () => {
  it("the answer has the component's name, an id, the namespace, and neither version nor features", async () => {
    const one = await connected()
    await one.open("A.example.")
    const two = await connected()
    await two.open("a.example")
    const ids = [one, two].map((component) => /^<\?xml version='1\.0'\?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http:\/\/etherx\.jabber\.org\/streams' from='a\.example' id='([0-9a-f]{32})' xml:lang='en'>$/.exec(component.text)?.[1])
    assert.equal(typeof ids[0], "string")
    assert.notEqual(ids[0], ids[1])
  })
  it("the known vector: SHA-1 over id and secret", () => {
    assert.equal(createHash("sha1").update("3BF96D32" + "test").digest("hex"), "aaee83c26aeeafcbabeabfcbcd50df997e0a2a1e")
  })
  const refusals: readonly (readonly [string, string, string])[] = [
    ["a domain that is not configured", "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='c.example'>", "host-unknown"],
    ["no domain", "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams'>", "host-unknown"],
    ["another content namespace", "<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='a.example'>", "invalid-namespace"],
    ["another stream namespace", "<stream:stream xmlns='jabber:component:accept' xmlns:stream='urn:x' to='a.example'>", "invalid-namespace"],
    ["no XML", "GET / HTTP/1.0\r\n\r\n", "not-well-formed"],
    ["a DTD", "<!DOCTYPE x []><stream:stream>", "restricted-xml"],
  ]
  for (const [what, bytes, condition] of refusals) {
    it(`${what}: a header of ours, then ${condition}`, async () => {
      const component = await connected()
      component.send(bytes)
      await component.until(/<stream:stream [^>]*>/)
      await component.until(streamError(condition))
      await component.over()
    })
  }
  const wrong: readonly (readonly [string, (id: string) => string])[] = [
    ["another secret", (id) => `<handshake>${createHash("sha1").update(`${id}wrong`).digest("hex")}</handshake>`],
    ["upper case", (id) => `<handshake>${createHash("sha1").update(id + secretFor("a.example")).digest("hex").toUpperCase()}</handshake>`],
    ["nothing", () => "<handshake/>"],
    ["too much", (id) => `<handshake>${createHash("sha1").update(id + secretFor("a.example")).digest("hex")}0</handshake>`],
    ["the secret itself", () => `<handshake>${secretFor("a.example")}</handshake>`],
    ["another component's secret", (id) => `<handshake>${createHash("sha1").update(id + secretFor("b.example")).digest("hex")}</handshake>`],
    ["a stanza first", () => "<message from='a.example' to='b.example'/>"],
    ["another namespace", (id) => `<handshake xmlns='urn:x'>${createHash("sha1").update(id + secretFor("a.example")).digest("hex")}</handshake>`],
  ]
  for (const [what, handshake] of wrong) {
    it(`handshake with ${what}: not-authorized and the end`, async () => {
      const component = await connected()
      await component.open("a.example")
      component.send(handshake(/id='([^']*)'/.exec(component.text)![1]!))
      await component.until(streamError("not-authorized"))
      await component.over()
      assert.equal(fixture.gateway.components.length, 0)
    })
  }
  it("a stanza pipelined behind a wrong handshake goes nowhere; behind a right one it is delivered", async () => {
    const b = await attached("b.example")
    const bad = await connected()
    await bad.open("a.example")
    bad.send("<handshake>no</handshake><message from='a.example' to='b.example' id='evil'/>")
    await bad.over()
    const good = await connected()
    await good.open("a.example")
    const id = /id='([^']*)'/.exec(good.text)![1]!
    good.send(`<handshake>${createHash("sha1").update(id + secretFor("a.example")).digest("hex")}</handshake><message from='a.example' to='b.example' id='good'/>`)
    await b.until(/id='good'/)
    assert.equal(b.text.includes("evil"), false)
  })
  it("who says nothing is dropped", async () => {
    const silent = await connected()
    await silent.until(streamError("connection-timeout"))
    await silent.over()
  })
  it("more than 10 KiB before the handshake is too much", async () => {
    const component = await connected()
    await component.open("a.example")
    component.send(`<handshake>${"0".repeat(11_000)}</handshake>`)
    await component.until(streamError("policy-violation"))
  })
})

describe("displacement (security.md 21)", () => {
  it("a second connection gets conflict; the first stays when it answers", async () => {
    const first = await attached("a.example")
    const b = await attached("b.example")
    const second = await connected()
    await second.open("a.example")
    await assert.rejects(second.handshake(secretFor("a.example")))
    assert.match(second.text, streamError("conflict"))
    assert.equal(second.text.includes("<handshake/>"), false)
    const [, id] = await first.until(/<iq type='get' id='(probe-[^']*)' from='a\.example' to='a\.example'><ping xmlns='urn:xmpp:ping'\/><\/iq>/)
    first.send(`<iq type='result' id='${id}' from='a.example' to='a.example'/>`)
    // Longer than the time an unanswered question would have had.
    await new Promise((resolve) => setTimeout(resolve, 1300))
    first.send("<message from='a.example' to='b.example' id='alive'/>")
    await b.until(/id='alive'/)
    // The answer to our question is not part of the component's conversation.
    assert.equal(first.text.split("probe-").length, 2)
    assert.equal(first.ended, false)
  })
  it("without the secret nobody is asked anything", async () => {
    const first = await attached("a.example")
    const second = await connected()
    await second.open("a.example")
    second.send("<handshake>wrong</handshake>")
    await second.until(streamError("not-authorized"))
    assert.equal(first.text.includes("probe-"), false)
  })
  it("a first one that gives no sign of life is dropped, and the next attempt gets in", async () => {
    const crashed = await attached("a.example")
    const second = await connected()
    await second.open("a.example")
    await assert.rejects(second.handshake(secretFor("a.example")))
    await crashed.until(streamError("connection-timeout"))
    await crashed.over()
    const third = await attached("a.example")
    assert.equal(third.ended, false)
  })
})

describe("stanzas (COMP-3)", () => {
  const fatal: readonly (readonly [string, string, string])[] = [
    ["from another component here", "<message from='b.example' to='a.example'/>", "invalid-from"],
    ["from a remote domain", "<message from='x@far.example' to='b.example'/>", "invalid-from"],
    ["from a subdomain", "<message from='sub.a.example' to='b.example'/>", "invalid-from"],
    ["from a resource that looks like a JID", "<message from='x.example/y@a.example' to='b.example'/>", "invalid-from"],
    ["without from", "<message to='b.example'/>", "improper-addressing"],
    ["without to", "<message from='a.example'/>", "improper-addressing"],
    ["with a from that is no JID", "<message from='a example' to='b.example'/>", "improper-addressing"],
    ["a dialback result", "<db:result xmlns:db='jabber:server:dialback' from='a.example' to='b.example'>k</db:result>", "unsupported-stanza-type"],
    ["a dialback verify", "<verify xmlns='jabber:server:dialback' from='a.example' to='b.example' id='1'>k</verify>", "unsupported-stanza-type"],
    ["a second handshake", "<handshake>x</handshake>", "unsupported-stanza-type"],
    ["stream management", "<r xmlns='urn:xmpp:sm:3'/>", "unsupported-stanza-type"],
    ["a stanza of another stream kind", "<message xmlns='jabber:server' from='a.example' to='b.example'/>", "unsupported-stanza-type"],
    ["a comment", "<!-- x -->", "restricted-xml"],
    ["a stanza above the limit", `<message from='a.example' to='b.example'><body>${"x".repeat(10_000)}</body></message>`, "policy-violation"],
  ]
  for (const [what, xml, condition] of fatal) {
    it(`${what}: ${condition}, nothing is delivered`, async () => {
      const b = await attached("b.example")
      const a = await attached("a.example")
      a.send(xml)
      await a.until(streamError(condition))
      await a.over()
      assert.equal(/<(?:message|db|r |verify)/.test(b.text.replace(/^.*<handshake\/>/, "")), false)
    })
  }
  it("components see canonical domains, whatever was written (security.md 23)", async () => {
    const b = await attached("xn--bcher-kva.example")
    const a = await attached("a.example")
    a.send("<message from='x@A.example./r' to='y@b\u00fccher.EXAMPLE/z' id='1'><body>k</body></message>")
    const [got] = await b.until(/<message .*?<\/message>/)
    assert.equal(got, "<message from='x@a.example/r' to='y@xn--bcher-kva.example/z' id='1'><body>k</body></message>")
  })
  it("prefixed and forwarded payloads arrive with the same meaning (CORE-24)", async () => {
    const b = await attached("b.example")
    const a = await attached("a.example")
    a.send("<message from='a.example' to='b.example'><f xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>in</body></message></f><x:y xmlns:x='urn:x' x:z='1'/></message>")
    const [got] = await b.until(/<message .*<\/message>/)
    assert.equal(got, "<message from='a.example' to='b.example'><f xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client'><body>in</body></message></f><x:y xmlns:x='urn:x' x:z='1'/></message>")
  })
  it("a target that is no JID bounces jid-malformed", async () => {
    const a = await attached("a.example")
    a.send("<iq type='get' id='1' from='a.example' to='x@not a domain'/>")
    const [got] = await a.until(/<iq .*?<\/iq>/)
    assert.match(got, /<error type='modify' by='a\.example'><jid-malformed /)
  })
  it("to itself a component may speak", async () => {
    const a = await attached("a.example")
    a.send("<message from='a.example' to='a.example' id='self'/>")
    await a.until(/<message from='a\.example' to='a\.example' id='self'\/>/)
  })
  it("a component that does not read fills its own queue; the sender is told and goes on", async () => {
    const slow = await attached("b.example")
    slow.socket.pause()
    const a = await attached("a.example")
    const one = `<message from='a.example' to='b.example' id='m'><body>${"x".repeat(9000)}</body></message>`
    let bounced = false
    const told = a.until(/<message from='b\.example' to='a\.example' id='m' type='error'><error type='wait' by='a\.example'><resource-constraint /).then(() => {
      bounced = true
    })
    // The kernels' own buffers come first; 64 MiB is more than they hold.
    for (let sent = 0; sent < 64 * 1024 * 1024 && !bounced; sent += 100 * one.length) {
      if (!a.socket.write(one.repeat(100))) await new Promise((resolve) => a.socket.once("drain", resolve))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await told
    const other = await attached("xn--bcher-kva.example")
    a.send("<message from='a.example' to='xn--bcher-kva.example' id='other'/>")
    await other.until(/id='other'/)
    assert.equal(a.ended, false)
  })
  it("what had not left when a component went away bounces, errors and answers are dropped", async () => {
    const slow = await attached("b.example")
    slow.socket.pause()
    const a = await attached("a.example")
    const filler = `<message type='error' from='a.example' to='b.example'><body>${"x".repeat(9000)}</body></message>`
    let full = 0
    // Fills the kernels' buffers and then the queue, with stanzas that are never answered.
    while (full < 30) {
      if (!a.socket.write(filler.repeat(50))) await new Promise((resolve) => a.socket.once("drain", resolve))
      await new Promise((resolve) => setImmediate(resolve))
      full = fixture.lines("component.bounce").length > 0 ? 30 : full + 1
    }
    a.send("<message from='a.example' to='b.example' id='waits'/>")
    a.send("<message from='a.example' to='a.example' id='seen'/>")
    await a.until(/id='seen'/)
    slow.socket.resetAndDestroy()
    const [got] = await a.until(/<message from='b\.example' to='a\.example' id='waits' type='error'>.*?<\/message>/)
    assert.match(got, /remote-server-timeout.*Component unavailable|resource-constraint/)
    a.send("<message from='a.example' to='b.example' id='later'/>")
    await a.until(/id='later' type='error'.*Component unavailable/)
  })
})

describe("keepalive", () => {
  it("XML-08: white space is sent every five minutes, and white space of the component is taken", async () => {
    const clock = new StepClock(Date.now())
    const quiet = await startFixture({ domains: ["a.example"], clock })
    try {
      const a = await RawComponent.attach(quiet.components, "a.example")
      open.push(a)
      a.send(" \n ")
      a.send("<message from='a.example' to='a.example' id='1'/>")
      await a.until(/id='1'\/>/)
      const before = a.text.length
      await clock.step(299_000)
      await clock.step(1_000)
      await a.until(/^ $/)
      assert.equal(a.text.length, before + 1)
      await clock.step(300_000)
      await a.until(/^ $/)
    } finally {
      const closing = quiet.stop()
      for (let turn = 0; turn < 10; turn += 1) await clock.step(1000)
      await closing
    }
  })
})
