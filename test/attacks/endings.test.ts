// Attacks with the end of a stream: what the peer says behind our closing tag, or in one breath with its own (RFC 6120 4.4; DB-32; FED-1).
import assert from "node:assert/strict"
import { test } from "node:test"
import type { FederationPorts } from "../../src/federation/contract.ts"
import { NotCarried } from "../../src/federation/piggyback.ts"
import { StreamPool } from "../../src/gateway/stream-pool.ts"
import { FlushList } from "../../src/stream/outlet.ts"
import { good, memoryScene, never, pairOf } from "../scenarios/support.ts"
import { alteredText } from "../world/middle.ts"

const ours = ["a.example", "c.example"]
const both = good("a.example", { names: { dns: ours } })
const uses = { uses: { piggyback: true } }

/** A peer that keeps its connections, whatever was said on them. */
function keepingConnections(ports: FederationPorts): FederationPorts {
  const { tls } = ports
  const server: typeof tls.server = async (channel, options) => {
    const secured = await tls.server(channel, options)
    const { channel: open } = secured
    const kept = new Proxy(open, {
      get(target, name) {
        if (name === "end" || name === "destroy") return () => {}
        const value: unknown = Reflect.get(target, name, target)
        return typeof value === "function" ? (value.bind(target) as unknown) : value
      },
    })
    return { ...secured, channel: kept }
  }
  return { ...ports, tls: { client: (channel, options) => tls.client(channel, options), server } }
}

/** How often the pool may ask for a stream before the test calls it endless. */
const endless = 50

async function lateAnswer(weakened: boolean): Promise<{ attempts: number; carried: boolean }> {
  let held = ""
  const link = () => ({
    middle: alteredText((text, towards) => {
      if (towards !== "client") return text
      if (text.startsWith("<db:result from='b.example' to='c.example'")) {
        held = text
        return ""
      }
      // The answer comes where the closing tag should, and that never comes.
      if (text.includes("</stream:stream>")) return held
      return text
    }),
  })
  const scene = memoryScene({ link })
  const a = await scene.server({ domains: ours, certificate: both, ...uses })
  await scene.server({ domains: ["b.example"], ports: keepingConnections })
  let attempts = 0
  const { ports } = a.federation
  const pool = new StreamPool({
    clock: ports.clock,
    random: ports.random,
    flushes: new FlushList(),
    limits: () => ({ queue: 10_000, retryMaxMs: 60_000, idleMs: 8000, pairs: 10, openings: 4, openingsATurn: 4 }),
    open: async (pair) => {
      attempts += 1
      if (attempts > endless) return await new Promise<never>(() => {})
      // Weakened: whatever stream the pair was granted on, as long as there is a connection.
      const granted = weakened ? a.outgoing.find((stream) => stream.associationOf(pair) !== undefined) : undefined
      return granted ?? (await a.join(pair.target, pair.sender))
    },
    undelivered: () => {},
    pairOf: () => undefined,
    reroute: () => {},
    failed: () => {},
    lost: () => {},
    broken: () => {},
    forgotten: () => {},
  })
  const say = (sender: string): void => {
    const way = pool.way(pairOf(sender, "b.example"))!
    way.outlet.appendText(`<message from='${sender}' to='b.example'/>`)
    way.wanted()
  }
  say("a.example")
  await scene.eventually("the first stream", () => pool.views[0]?.state === "open")
  const first = pool.views[0]!.stream!
  await scene.clock.advance(7000)
  say("c.example")
  for (let turn = 0; turn < 40; turn += 1) await scene.clock.advance(100)
  assert.ok(held !== "", "the answer was kept back")
  const carried = pool.views.find(({ pair }) => pair.sender === "c.example")?.stream
  const done = { attempts, carried: carried !== undefined && carried !== first }
  void pool.close()
  await scene.close()
  return done
}

test("attack: the answer for a further pair comes only behind our closing tag, and the stream is never closed", async () => {
  // The pool would ask for ever, between two turns of the event loop: nothing else would be heard of this process again.
  assert.ok((await lateAnswer(true)).attempts > endless)
  const { attempts, carried } = await lateAnswer(false)
  assert.ok(attempts < 5, `${attempts} attempts`)
  assert.equal(carried, true)
})

async function closedInOneBreath(
  weakened: boolean,
): Promise<{ bounced: readonly string[]; lost: number; waiting: number; arrived: number }> {
  const link = () => ({
    middle: alteredText((text, towards) =>
      towards === "client" && text.startsWith("<db:result from='b.example' to='a.example' type='valid'") ? `${text}</stream:stream>` : text,
    ),
  })
  const scene = memoryScene({ link })
  const a = await scene.server({ domains: ["a.example"], mute: true })
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const { ports } = a.federation
  const bounced: string[] = []
  let lost = 0
  const pool = new StreamPool({
    clock: ports.clock,
    random: ports.random,
    flushes: new FlushList(),
    limits: () => ({ queue: 10_000, retryMaxMs: 60_000, idleMs: 60_000, pairs: 10, openings: 4, openingsATurn: 4 }),
    open: async (pair) => {
      const stream = await a.open(pair.target)
      // Weakened: what was opened is open.
      return weakened
        ? new Proxy(stream, {
            get(target, name) {
              if (name === "ended") return false
              const kept: unknown = Reflect.get(target, name)
              return typeof kept === "function" ? kept.bind(target) : kept
            },
          })
        : stream
    },
    undelivered: (_pair, stanzas, reason) => void bounced.push(...[...stanzas].map(() => reason.condition)),
    pairOf: () => undefined,
    reroute: () => {},
    failed: () => {},
    lost: (_pair, _stream, count) => (lost += count),
    broken: () => {},
    forgotten: () => {},
  })
  const way = pool.way(pairOf("a.example", "b.example"))!
  way.outlet.appendText("<message from='x@a.example' to='y@b.example'/>")
  way.wanted()
  for (let turn = 0; turn < 20; turn += 1) await scene.clock.advance(100)
  assert.equal(b.of("dialback").filter(({ step, answer }) => step === "answered" && answer === "valid").length, 1)
  const done = { bounced: [...bounced], lost, waiting: pool.unsent, arrived: b.delivered.length }
  void pool.close()
  await scene.close()
  return done
}

test("attack: valid and the end of the stream in one breath: what waited is not written to where nobody reads", async () => {
  assert.deepEqual(await closedInOneBreath(true), { bounced: [], lost: 0, waiting: 0, arrived: 0 })
  assert.deepEqual(await closedInOneBreath(false), { bounced: ["remote-server-timeout"], lost: 0, waiting: 0, arrived: 0 })
})

test("a stream that is being closed, or is over, carries no pair more, not even one that it carried", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ours, certificate: both, ...uses })
  await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.join("b.example"))
  stream.close()
  for (const sender of ours) await assert.rejects(stream.add(pairOf(sender, "b.example"), never), NotCarried)
  const next = await scene.until(a.join("b.example"))
  assert.notEqual(next, stream)
  await scene.until(stream.closed)
  await assert.rejects(stream.add(pairOf("a.example", "b.example"), never), NotCarried)
  await scene.close()
})
