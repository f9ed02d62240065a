// Attacks on the negotiation and the use of streams: each works against a weakened copy and is refused by ours
// (security.md 9, 24; TLS-02, TLS-03, TLS-08, CORE-18, CORE-21, CORE-23, CORE-26; CVE-2011-0411 and its kin).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { Association, DomainPair } from "../../src/model/association.ts"
import { ClaimGuard, defaultClaimLimits } from "../../src/federation/claim-guard.ts"
import { emptyLedger, entryOf, type Ledger, type LedgerEvent, authorised as ledgerAuthorised, reduce } from "../../src/federation/pair-ledger.ts"
import { IncomingSession } from "../../src/federation/session.ts"
import { steadyClock, whenOver } from "../../src/federation/steady-time.ts"
import type { Channel, Clock } from "../../src/ports.ts"
import { XmlStream } from "../../src/stream/xml-stream.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import type { Link } from "../world/channel.ts"
import { ManualClock } from "../world/clock.ts"
import { auth, credentialsOf, good, memoryScene, message, openHeader, own, pairOf, realScene, refusedBy, starttls } from "../scenarios/support.ts"
import { boundless, patched } from "./weakened.ts"

/** Weakened: what stands in clear behind the switch is kept and read as if it had come under TLS, as servers once did. */
async function keepingClearText(body: () => Promise<void>): Promise<void> {
  const kept = new WeakMap<XmlStream, Buffer>()
  const unread = Object.getOwnPropertyDescriptor(XmlStream.prototype, "unread")!.get!
  const restart = XmlStream.prototype.restart
  const forgiving = function (this: XmlStream): Buffer {
    kept.set(this, unread.call(this) as Buffer)
    return Buffer.alloc(0)
  }
  const remembering = function (this: XmlStream, channel?: Channel): void {
    if (channel === undefined) return restart.call(this)
    const attach = channel.attach.bind(channel)
    channel.attach = (handler) => {
      attach(handler)
      const bytes = kept.get(this)
      kept.delete(this)
      if (bytes !== undefined && bytes.length > 0) handler.chunk(bytes)
    }
    restart.call(this, channel)
  }
  await patched(XmlStream.prototype, "unread", forgiving as unknown as Buffer, () => patched(XmlStream.prototype, "restart", remembering, body))
}

test("attack: bytes in clear behind <starttls/>, read as if they had come under TLS", async () => {
  const run = async () => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"] })
    const peer = await scene.raw(b)
    await peer.header("a.example", "b.example")
    // Somebody on the path adds a header and a claim of his own to the honest peer's <starttls/>.
    peer.send(`${starttls}${openHeader("injected.example", "b.example")}`)
    await scene.settle()
    if (peer.text.includes("<proceed")) {
      await peer.secure(credentialsOf(good("a.example")), "b.example")
      await scene.settle()
    }
    const opened = b.of("opened").map(({ pair }) => pair?.sender)
    const condition = peer.condition
    await scene.close()
    return { opened, condition, findings: b.findings.filter((finding) => finding.startsWith("tls.")) }
  }
  await keepingClearText(async () => {
    assert.deepEqual((await run()).opened, ["a.example", "injected.example"])
  })
  assert.deepEqual(await run(), { opened: ["a.example"], condition: "policy-violation", findings: ["tls.starttls-injection"] })
})

test("TLS-02: nor white space, a stanza, half an element, or a byte that is no text", async () => {
  for (const extra of [" ", "\n", "<message/>", "<", "\u0000", "\xff"]) {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"] })
    const peer = await scene.raw(b)
    await peer.header("a.example", "b.example")
    peer.channel.write(Buffer.from(starttls + extra, "latin1"))
    await peer.closed()
    assert.equal(peer.condition, "policy-violation", JSON.stringify(extra))
    assert.doesNotMatch(peer.text, /<proceed/)
    await scene.close()
  }
})

/** Somebody on the path between A and B, who changes what B says in clear. */
const between = (change: (text: string) => string): ((from: unknown, to: { address: string }) => Link) => () => ({
  middle: (bytes, towards) => {
    const text = bytes.toString("latin1")
    return towards === "client" && text.startsWith("<") ? Buffer.from(change(text), "latin1") : bytes
  },
})

test("attack: bytes in clear behind <proceed/>, read by the one who connects as if they had come under TLS", async () => {
  const injected = `${openHeader("b.example", "a.example", " id='injected'")}<stream:features><dialback xmlns='urn:xmpp:features:dialback'/></stream:features>`
  const run = async () => {
    const scene = memoryScene({ link: between((text) => text.replace(/(<proceed [^>]*\/>)/, `$1${injected}`)) })
    const a = await scene.server({ domains: ["a.example"] })
    await scene.server({ domains: ["b.example"] })
    const outcome = await scene.until(a.open("b.example").then(() => "open", () => "refused"))
    const ids = a.of("opened").map(({ id }) => id)
    await scene.close()
    return { outcome, injected: ids.includes("injected"), findings: a.findings }
  }
  await keepingClearText(async () => {
    assert.equal((await run()).injected, true)
  })
  assert.deepEqual(await run(), { outcome: "refused", injected: false, findings: ["tls.starttls-injection"] })
})

test("attack: features injected before TLS", async () => {
  const mechanisms = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>EXTERNAL</mechanism></mechanisms>"
  const run = async () => {
    const scene = memoryScene({ link: between((text) => text.replace("</stream:features>", `${mechanisms}</stream:features>`)) })
    const a = await scene.server({ domains: ["a.example"], require: "encrypted", certificate: (name) => own(name) })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
    await scene.until(a.open("b.example"))
    const tried = a.of("external").filter(({ direction }) => direction === "out").length
    await scene.close()
    return { tried, offered: b.of("external").filter(({ direction }) => direction === "in").length }
  }
  // Weakened: what was learnt in clear is still believed under TLS.
  const element = XmlStream.prototype.element
  const first = new WeakMap<XmlStream, XmlElement>()
  const believing = async function (this: XmlStream, signal: AbortSignal): Promise<XmlElement> {
    const read = await element.call(this, signal)
    if (read.name !== "features") return read
    const clear = first.get(this) ?? read
    first.set(this, clear)
    return { ...read, children: [...clear.children, ...read.children] }
  }
  await patched(XmlStream.prototype, "element", believing, async () => {
    assert.equal((await run()).tried > 0, true)
  })
  assert.deepEqual(await run(), { tried: 0, offered: 0 })
})

test("attack: the offer of STARTTLS is taken away (TLS-08)", async () => {
  const stripped = between((text) => text.replace(/<starttls [^>]*>.*?<\/starttls>/, ""))
  const run = async (require: "verified" | "authenticated") => {
    const scene = memoryScene({ link: stripped })
    const a = await scene.server({ domains: ["a.example"], require })
    await scene.server({ domains: ["b.example"], require })
    const outcome = await scene.until(a.open("b.example").then(({ association }) => association.level, (error: Error) => error.message))
    await scene.close()
    return outcome
  }
  // The policy that allows clear text is the weakened copy: there the attack costs the encryption, and the level says so.
  assert.equal(await run("verified"), "verified")
  assert.equal(await run("authenticated"), "authenticated")
})

test("attack: a stanza before authentication, at every step", async () => {
  const stanza = "<message from='king@victim.example' to='y@b.example'><body>forged</body></message>"
  const steps: readonly (readonly [string, string])[] = [
    ["in clear", "not-authorized"],
    ["under TLS", "not-authorized"],
    ["behind a claim", "not-authorized"],
  ]
  for (const [step, condition] of steps) {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
    const peer = await scene.raw(b)
    if (step === "in clear") await peer.header("victim.example", "b.example")
    else await peer.upToFeatures("victim.example", "b.example", undefined)
    if (step === "behind a claim") {
      scene.dns("_xmpp-server._tcp.victim.example", { SRV: [[0, 0, 5269, "silent.example"]] })
      scene.dns("silent.example", { A: ["127.0.0.99"] })
      scene.world.silent.add("127.0.0.99")
      peer.send("<db:result from='victim.example' to='b.example'>key</db:result>")
    }
    peer.send(stanza)
    await peer.closed()
    assert.equal(peer.condition, condition, step)
    assert.deepEqual(b.delivered, [])
    await scene.close()
  }
  // Weakened: the ledger is not asked.
  const asked = IncomingSession.prototype.authorised
  const anything = (pair: DomainPair): Association => ({ ...({} as Association), pair, until: Number.POSITIVE_INFINITY })
  await patched(IncomingSession.prototype, "authorised", anything as typeof asked, async () => {
    const scene = memoryScene()
    const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
    const peer = await scene.raw(b)
    await peer.upToFeatures("victim.example", "b.example", undefined)
    peer.send(`<db:result from='other.example' to='b.example'>key</db:result>${stanza}`)
    await scene.settle()
    assert.deepEqual(b.bodies, ["forged"])
    await scene.close()
  })
})

test("attack: a pair proven in the other direction only", async () => {
  // On the stream that we opened the peer sends stanzas to us: proven is only that *we* may send there.
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example"] })
  const channels: Channel[] = []
  const accept = b.accept.bind(b)
  b.accept = (channel, transport) => {
    channels.push(channel)
    return accept(channel, transport)
  }
  const tls = b.federation.ports.tls
  let under: Channel | undefined
  Object.defineProperty(b.federation.ports, "tls", {
    value: {
      client: tls.client,
      server: async (...given: Parameters<typeof tls.server>) => {
        const secured = await tls.server(...given)
        under = secured.channel
        return secured
      },
    },
  })
  const stream = await scene.until(a.open("b.example"))
  assert.ok(under !== undefined)
  under.write(message("king@b.example", "x@a.example", "back"))
  const end = await scene.until(stream.closed)
  assert.equal(end.condition, "not-authorized")
  assert.deepEqual(a.delivered, [])
  await scene.close()

  // The same in the ledger, beside a copy that forgets the direction.
  const pair = pairOf("b.example", "a.example")
  const out: Association = { ...stream.association, pair, direction: "out", epoch: 0 }
  const events: LedgerEvent[] = [
    { kind: "claimed", pair, direction: "out", by: "certificate", generation: 1 },
    { kind: "authorised", claim: 1, association: out, generation: 1 },
  ]
  const ledger = events.reduce(reduce, emptyLedger)
  const forgetful = (asked: DomainPair) => ledger.entries.shards.flat().find((entry) => entry.pair.sender === asked.sender && entry.pair.target === asked.target)
  assert.notEqual(forgetful(pair), undefined)
  assert.equal(ledgerAuthorised(ledger, "in", pair, 0), undefined)
})

test("attack: db:result in clear, its answer under TLS: claims die at a restart", async () => {
  // On the wire: a claim ends the negotiation, so STARTTLS behind it is not understood any more.
  const scene = memoryScene()
  const v = await scene.server({ domains: ["victim.example"], require: "verified" })
  const b = await scene.server({ domains: ["b.example"], require: "verified" })
  const peer = await scene.raw(b)
  await peer.header("victim.example", "b.example")
  const key = v.federation.keys.issue(pairOf("victim.example", "b.example"), peer.id)
  peer.send(`<db:result from='victim.example' to='b.example'>${key}</db:result>${starttls}`)
  await peer.closed()
  assert.equal(peer.condition, "unsupported-stanza-type")
  assert.equal(b.admitted.length, 0)
  await scene.close()
  // In the ledger: the restart makes the pending claim void. Weakened: the restart is not told.
  const pair = pairOf("victim.example", "b.example")
  const association: Association = {
    id: "1",
    pair,
    stream: "s",
    epoch: 0,
    direction: "in",
    level: "verified",
    verdict: { outcome: "proved", by: "none", detail: "", until: 1 },
    verdicts: [],
    via: "dns",
    proof: undefined,
    evidence: () => [],
    established: 0,
    until: Number.POSITIVE_INFINITY,
  }
  const late = (ledger: Ledger) => entryOf(reduce(ledger, { kind: "authorised", claim: 1, association, generation: 1 }), "in", pair)?.state.state
  const claimed = reduce(emptyLedger, { kind: "claimed", pair, direction: "in", by: "dialback", generation: 1 })
  assert.equal(late(claimed), "authorised")
  assert.equal(late(reduce(claimed, { kind: "restarted" })), undefined)
})

test("attack: a stanza for somebody else (open relay), and for a domain proven elsewhere", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const rows: readonly (readonly [from: string, to: string, condition: string])[] = [
    ["x@a.example", "y@elsewhere.example", "host-unknown"],
    ["x@elsewhere.example", "y@b.example", "invalid-from"],
    ["x@b.example", "y@b.example", "invalid-from"],
    ["", "y@b.example", "improper-addressing"],
    ["x@a.example", "", "improper-addressing"],
    ["x@@a.example", "y@b.example", "improper-addressing"],
    ["a.example/x@victim.example", "y@b.example", "ok"],
    ["a.example@victim.example", "y@b.example", "invalid-from"],
  ]
  for (const [from, to, condition] of rows) {
    const peer = await scene.raw(b)
    await peer.authenticated("a.example", "b.example", credentialsOf(good("a.example")))
    const before = b.delivered.length
    peer.channel.write(message(from, to))
    await scene.settle()
    assert.equal(peer.condition ?? "ok", condition, `${from} to ${to}`)
    assert.equal(b.delivered.length - before, condition === "ok" ? 1 : 0)
    if (condition === "ok") assert.equal(b.delivered.at(-1)?.pair.sender, "a.example")
  }
  await scene.close()
})

test("attack: what follows a refused stanza in the same write is not delivered", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  await peer.authenticated("a.example", "b.example", credentialsOf(good("a.example")))
  peer.channel.write(Buffer.concat([message("x@a.example", "y@b.example", "one"), message("x@victim.example", "y@b.example", "two"), message("x@a.example", "y@b.example", "three")]))
  await peer.closed()
  assert.deepEqual(b.bodies, ["one"])
  await scene.close()
})

test("attack: the clock is set back, so that a proof never ends", async () => {
  const run = async (make: (clock: Clock) => Clock) => {
    const manual = new ManualClock(1_000_000)
    let off = 0
    const clock = make({ now: () => manual.now() + off, monotonic: () => manual.monotonic(), after: (ms, callback) => manual.after(ms, callback) })
    let over = false
    whenOver(clock, 1_000_000 + 3_600_000, () => {
      over = true
    })
    off = -86_400_000
    await manual.advance(3_600_001)
    return over
  }
  assert.equal(await run((clock) => clock), false)
  assert.equal(await run((clock) => steadyClock(clock)), true)
})

test("attack: an internal error provoked by one stream costs that stream, not the process, nor another stream", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const good1 = credentialsOf(good("a.example"))
  const bystander = await scene.raw(b)
  await bystander.authenticated("a.example", "b.example", good1)
  const peer = await scene.raw(b)
  await peer.authenticated("a.example", "b.example", good1)
  const delivery = b.hooks.delivery
  Object.defineProperty(b.hooks, "delivery", {
    value: (pair: DomainPair, stream: Parameters<typeof delivery>[1]) => {
      if (stream === b.incoming[1]) throw new TypeError("provoked")
      return delivery(pair, stream)
    },
  })
  peer.channel.write(message("x@a.example", "y@b.example", "poison"))
  await peer.closed()
  assert.equal(peer.condition, "internal-server-error")
  assert.doesNotMatch(peer.text, /provoked/, "the peer does not read our errors")
  bystander.channel.write(message("x@a.example", "y@b.example", "fine"))
  await scene.settle()
  assert.deepEqual(b.bodies, ["fine"])
  assert.deepEqual(b.findings, ["proof.internal"])
  await scene.close()
})

test("attack: a peer that asks and does not read: its stream ends, and what waits for it is bounded", async () => {
  const scene = memoryScene()
  // Without this the budget of a stream would end it long before.
  const claims = (clock: Clock) => new ClaimGuard(clock, { ...defaultClaimLimits, budget: boundless })
  const b = await scene.server({ domains: ["b.example"], claims })
  const peer = await scene.raw(b)
  await peer.upToFeatures("c.example", "b.example", undefined)
  peer.channel.pause()
  let asked = 0
  for (; asked < 5000 && b.of("closed").length === 0; asked++) {
    peer.send(`<db:verify from='c.example' to='b.example' id='${asked}'>key</db:verify>`)
    if (asked % 100 === 0) await scene.settle()
  }
  await scene.settle()
  assert.ok(asked < 5000, "it was stopped")
  assert.match(b.of("closed")[0]!.reason, /does not read/)
  await scene.close()
})

test("half close: what was said before the end still counts, and the end ends the stream", async () => {
  for (const scene of [memoryScene(), await realScene()]) {
    const b = await scene.server({ domains: ["b.example"] })
    const peer = await scene.raw(b)
    await peer.authenticated("a.example", "b.example", credentialsOf(good("a.example", {}, scene)))
    peer.channel.write(message("x@a.example", "y@b.example", "last words"))
    peer.channel.end()
    await scene.eventually("the stream is over", () => b.of("closed").length === 1)
    assert.deepEqual(b.bodies, ["last words"])
    assert.match(b.of("closed")[0]!.reason, /without closing the stream/)
    await scene.close()
  }
})

test("attack: cut at every step: a refusal each time, and nothing left behind", async () => {
  let toClient = 0
  const count = (bytes: Buffer, towards: "server" | "client"): Buffer => {
    if (towards === "client") toClient += bytes.length
    return bytes
  }
  const counting = memoryScene({ link: () => ({ middle: count }) })
  const first = await counting.server({ domains: ["a.example"] })
  await counting.server({ domains: ["b.example"] })
  await counting.until(first.open("b.example"))
  const needed = toClient
  await counting.close()
  for (let cut = 0; cut < needed; cut += 61) {
    const scene = memoryScene({ link: () => ({ cut: { toClient: cut }, chunk: 64 }) })
    const a = await scene.server({ domains: ["a.example"] })
    const b = await scene.server({ domains: ["b.example"] })
    await refusedBy(scene.until(a.open("b.example")))
    await scene.clock.advance(20_000)
    assert.equal(scene.clock.pending, 0, `timers left, cut at ${cut}`)
    assert.equal(a.of("associated").length, 0)
    assert.ok(b.of("closed").length <= 1)
    await scene.close()
  }
})

test("pipelining that is allowed: header and <starttls/>, header and <auth/>, and a header behind <auth/>", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  peer.send(openHeader("a.example", "b.example") + starttls)
  await peer.expect("<proceed")
  await peer.secure(credentialsOf(good("a.example")), "b.example")
  peer.send(openHeader("a.example", "b.example") + auth() + openHeader("a.example", "b.example") + message("x@a.example", "y@b.example", "one flight").toString())
  await scene.settle()
  assert.deepEqual(b.bodies, ["one flight"])
  assert.equal(peer.text.split("<stream:stream").length - 1, 2)
  await scene.close()
})
