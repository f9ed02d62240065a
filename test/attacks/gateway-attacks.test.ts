// Attacks on what the gateway keeps: a component's place, its name, its certificates and configuration, its log. Each against a
// weakened copy first, where it succeeds (security.md 10, 21, 22, 27).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { afterEach, describe, it } from "node:test"
import { acceptComponent, type ComponentHost, type ComponentSession, defaultComponentTimes } from "../../src/gateway/component.ts"
import { ComponentSlot } from "../../src/gateway/component-slot.ts"
import { Components } from "../../src/gateway/components.ts"
import { noCertificates, loadCertificates } from "../../src/gateway/certificates.ts"
import { Load } from "../../src/gateway/destination.ts"
import { LogLines } from "../../src/gateway/log-lines.ts"
import { Router } from "../../src/gateway/router.ts"
import { Secret } from "../../src/gateway/secret.ts"
import type { Domain } from "../../src/model/domain.ts"
import { createLog } from "../../src/node/log.ts"
import { systemRandom } from "../../src/node/random.ts"
import type { Channel, ChannelHandler } from "../../src/ports.ts"
import { MemoryFiles } from "../gateway/config-fixture.ts"
import { certificateFor, d, RawComponent, type RunningFixture, secretFor, startFixture } from "../gateway/gateway-fixture.ts"
import { settle, StepClock } from "../gateway/fakes.ts"
import { patched } from "./weakened.ts"

const running: RunningFixture[] = []
const components: RawComponent[] = []
afterEach(async () => {
  for (const component of components.splice(0)) component.close()
  await Promise.all(running.splice(0).map((fixture) => fixture.stop()))
})

async function start(options: Parameters<typeof startFixture>[0]): Promise<RunningFixture> {
  const fixture = await startFixture(options)
  running.push(fixture)
  return fixture
}

async function attach(fixture: RunningFixture, domain: string): Promise<RawComponent> {
  const component = await RawComponent.attach(fixture.components, domain)
  components.push(component)
  return component
}

const message = (from: string, to: string, id: string): string => `<message from='${from}' to='${to}' id='${id}'/>`

describe("component displacement (security.md 21)", () => {
  it("whoever knows the secret takes the place of who has it, where nobody looks; here it gets conflict", async () => {
    const one = await start({ domains: ["a.example", "b.example"] })
    const b = await attach(one, "b.example")
    const first = await attach(one, "a.example")
    await patched(Components.prototype, "occupied", () => false, async () => {
      const thief = await attach(one, "a.example")
      b.send(message("b.example", "a.example", "stolen"))
      await thief.until(/id='stolen'/)
      assert.equal(first.text.includes("stolen"), false)
    })
    const two = await start({ domains: ["a.example", "b.example"] })
    const sender = await attach(two, "b.example")
    const owner = await attach(two, "a.example")
    const thief = await RawComponent.connect(two.components)
    components.push(thief)
    await thief.open("a.example")
    await assert.rejects(thief.handshake(secretFor("a.example")), /conflict/)
    sender.send(message("b.example", "a.example", "kept"))
    await owner.until(/id='kept'/)
    assert.equal(thief.text.includes("kept"), false)
  })

  it("of two handshakes that arrive in the same moment, one is second", async () => {
    const attached = async (look: boolean): Promise<{ attached: number; conflicts: number }> => {
      const sessions: ComponentSession[] = []
      const secret = new Secret(secretFor("a.example"))
      const clock = new StepClock()
      const host: ComponentHost = {
        clock,
        random: systemRandom,
        load: new Load(() => 1000),
        limits: () => ({ stanza: 100_000, unauthenticatedStanza: 10_240, depth: 64, pendingClaims: 4 }),
        inputLimit: () => 1000,
        times: () => defaultComponentTimes,
        secret: () => secret,
        occupied: () => look && sessions.length > 0,
        attach: (session) => sessions.push(session),
        detached: () => {},
        routing: () => ({ raw: () => {}, tree: () => {} }) as never,
        flush: () => {},
        refused: () => {},
        broken: (_name, error) => {
          throw error
        },
      }
      const both = [new FedChannel(), new FedChannel()]
      const ends = both.map((channel) => acceptComponent(host, channel, new AbortController().signal))
      for (const channel of both) channel.feed("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='a.example'>")
      await settle()
      for (const channel of both) channel.feed(`<handshake>${secret.handshake(/ id='([^']*)'/.exec(channel.written)![1]!)}</handshake>`)
      await Promise.all(ends)
      return { attached: sessions.length, conflicts: both.filter(({ written }) => written.includes("<conflict ")).length }
    }
    assert.deepEqual(await attached(false), { attached: 2, conflicts: 0 })
    assert.deepEqual(await attached(true), { attached: 1, conflicts: 1 })
  })
})

/** Hands its handler what the test says, at once. */
class FedChannel implements Channel {
  readonly remote = { address: "127.0.0.1", port: 1 }
  readonly local = { address: "127.0.0.1", port: 2 }
  readonly backlog = 0
  written = ""
  #handler: ChannelHandler | undefined
  feed(text: string): void {
    this.#handler!.chunk(Buffer.from(text))
  }
  attach(handler: ChannelHandler): void {
    this.#handler = handler
  }
  release(): void {
    this.#handler = undefined
  }
  write(bytes: Uint8Array): boolean {
    this.written += Buffer.from(bytes).toString("utf8")
    return true
  }
  pause(): void {
    this.written += ""
  }
  resume(): void {
    this.written += ""
  }
  end(): void {
    this.written += "[end]"
  }
  destroy(): void {
    this.written += "[destroyed]"
  }
}

describe("a component that speaks for somebody else (security.md 21, COMP-3, CORE-23)", () => {
  const attempt = async () => {
    const one = await start({ domains: ["a.example", "b.example", "victim.example"] })
    const b = await attach(one, "b.example")
    const attacker = await attach(one, "a.example")
    attacker.send(message("victim.example", "b.example", "forged"))
    return { one, b, attacker }
  }
  it("is believed where the own domain is what the stanza says, and refused here", async () => {
    const { forComponent } = Router.prototype
    const asSaid = function (this: Router, own: Domain, input: Parameters<typeof forComponent>[1]) {
      return forComponent.call(this, own === "a.example" ? d("victim.example") : own, input)
    }
    await patched(Router.prototype, "forComponent", asSaid, async () => {
      const { b } = await attempt()
      await b.until(/<message from='victim\.example' to='b\.example' id='forged'/)
    })
    const { one, b, attacker } = await attempt()
    await attacker.until(/<invalid-from /)
    const victim = await attach(one, "victim.example")
    victim.send(message("victim.example", "b.example", "genuine"))
    await b.until(/id='genuine'/)
    assert.equal(b.text.includes("forged"), false)
  })
})

describe("a component that keeps its connection and reads nothing", () => {
  const stuck = async (one: RunningFixture): Promise<void> => {
    const slow = await attach(one, "b.example")
    slow.socket.pause()
    const a = await attach(one, "a.example")
    const big = `<message type='error' from='a.example' to='b.example'><body>${"x".repeat(9000)}</body></message>`
    // Until the queue itself is full: then something waits.
    for (let turn = 0; turn < 400 && one.lines("component.bounce").length === 0; turn += 1) {
      if (!a.socket.write(big.repeat(100))) await new Promise((resolve) => a.socket.once("drain", resolve))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  const times = { keepalive: 300 }
  it("holds what waits for it for ever where nobody looks; here it loses its place", async () => {
    const one = await start({ domains: ["a.example", "b.example"], options: { componentTimes: times } })
    await stuck(one)
    await one.logged("component.down", /nothing was read for long/)
    assert.deepEqual(one.gateway.components.map(({ domain }) => domain), ["a.example"])
    const weak = ComponentSlot.prototype.attach
    const blind = function (this: ComponentSlot, session: ComponentSession): void {
      weak.call(this, session)
      session.stalled = undefined
    }
    await patched(ComponentSlot.prototype, "attach", blind, async () => {
      const two = await start({ domains: ["a.example", "b.example"], options: { componentTimes: times } })
      await stuck(two)
      await new Promise((resolve) => setTimeout(resolve, 4 * times.keepalive))
      assert.equal(two.gateway.components.length, 2)
    })
  })
})

describe("reload races (security.md 10)", () => {
  const narrower = (one: RunningFixture): void => one.rewrite((yaml) => yaml.replace("certificates:", "limits: { depth: 32 }\ncertificates:"))
  it("certificates that change during a reload bring no old configuration back", async () => {
    const weak = await start({ domains: ["a.example"] })
    narrower(weak)
    // The weakened way: the configuration of the moment of the change, not of the moment of its turn.
    await Promise.all([weak.gateway.reload(), weak.gateway.reload(weak.gateway.config)])
    assert.equal(weak.gateway.config.limits.depth, 64)
    const one = await start({ domains: ["a.example"] })
    narrower(one)
    const reloaded = one.gateway.reload()
    one.files.watchers[0]!.changed()
    await reloaded
    // The one of the certificates comes after it, and changes nothing.
    await one.logged("config.reloaded", /no change/)
    assert.equal(one.gateway.config.limits.depth, 32)
    assert.equal(one.lines("config.reloaded").length, 2)
  })
  it("a reload that fails for a reason nobody thought of spoils neither the gateway nor the next one", async () => {
    let broken = false
    const one = await start({
      domains: ["a.example"],
      options: {
        alterHosting: (hosting) => {
          if (broken) throw new RangeError("nobody thought of this")
          return hosting
        },
      },
    })
    broken = true
    const result = await one.gateway.reload()
    assert.match(result.ok ? "" : result.problems[0]!.sentence, /nobody thought of this/)
    assert.match(one.lines("gateway.error").join(), /RangeError/)
    broken = false
    assert.equal((await one.gateway.reload()).ok, true)
  })
  it("a reload that is under way when the shutdown begins changes nothing any more", async () => {
    const one = await start({ domains: ["a.example"] })
    narrower(one)
    const reloading = one.gateway.reload()
    await one.gateway.close()
    assert.equal((await reloading).ok, false)
    assert.equal(one.gateway.config.limits.depth, 64)
    assert.equal(one.files.watchers.length, 0)
  })
  it("a certificate damaged on disk takes no running domain down; one that was removed is gone", async () => {
    const good = certificateFor("a.example")
    const files = new MemoryFiles({ "/certs/a.pem": good.chainPem + good.keyPem })
    const request = { folders: ["/certs"], files, domains: new Map([[d("a.example"), { name: d("a.example"), suspended: false, source: "/etc/gw.yaml" }]]), now: Date.now(), warnMs: 0 }
    const { snapshot } = await loadCertificates({ ...request, previous: noCertificates })
    for (const damage of [good.chainPem.slice(0, 200).replace(/.{9}$/s, "\n-----END CERTIFICATE-----\n"), good.chainPem.replace("MII", "AAA")]) {
      files.set("/certs/a.pem", damage)
      // Without a memory of what was shown, half a file is no certificate.
      const weak = await loadCertificates({ ...request, previous: noCertificates })
      assert.equal(weak.snapshot.pick(d("a.example")), undefined)
      const kept = await loadCertificates({ ...request, previous: snapshot })
      assert.equal(kept.snapshot.pick(d("a.example"))?.certificatePath, "/certs/a.pem")
      assert.match(kept.warnings.map(({ sentence }) => sentence).join(), /keeps the certificate .* its files cannot be read/)
    }
    files.files.delete("/certs/a.pem")
    files.set("/certs/other.txt", "")
    assert.equal((await loadCertificates({ ...request, previous: snapshot })).snapshot.pick(d("a.example")), undefined)
  })
})

describe("log injection (security.md 27)", () => {
  const forged = "closed\n{\"level\":\"info\",\"ev\":\"s2s.associated\"}\r\n13:00:00.000 info  s2sin-1  bank.example → a.example  associated\u001b[2J\u009b31m\u2028\u202e"
  const closed = { kind: "closed", at: 0, stream: "s2sin-1", direction: "in", pair: undefined, reason: forged, unacknowledged: 0 } as const
  it("a peer's words begin a line of their own where they are written as they are, and never here", () => {
    let weak = ""
    new LogLines({ write: (_level, event, fields) => (weak += `${event} ${String(fields.text)}\n`) }).event(closed)
    assert.equal(/^13:00:00\.000 info .*associated/m.test(weak), true)
    for (const format of ["json", "pretty"] as const) {
      let written = ""
      new LogLines(createLog({ format, sink: { write: (text) => (written += text) } })).event(closed)
      assert.equal(written.trimEnd().split(/[\n\r\u2028\u2029]/).length, 1, format)
      assert.equal(/[^\P{Cc}\n]|\u202e/u.test(written), false, format)
      assert.match(written, /bank\.example/)
    }
  })
})

describe("the handshake of a component (COMP-2)", () => {
  it("time tells nothing of how much of it was right: both sides are hashed before they are compared", () => {
    const secret = new Secret(secretFor("a.example"))
    const right = secret.handshake("id")
    assert.equal(right, createHash("sha1").update(`id${secretFor("a.example")}`).digest("hex"))
    const guesses = [right.slice(0, 39), `${right}0`, right.toUpperCase(), "", `${right.slice(0, -1)}g`]
    // The weakened comparison by prefix tells how far a guess is right.
    assert.equal(right.startsWith(guesses[0]!), true)
    for (const guess of guesses) assert.equal(secret.acceptsHandshake("id", guess), false)
    assert.equal(secret.acceptsHandshake("id", right), true)
    assert.equal(secret.acceptsHandshake("other id", right), false)
  })
})
