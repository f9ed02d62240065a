// Several keys of one sender that are asked about at the same time: one connection back to its server, where that can refuse one alone
// (XEP-0220 2.1.2, 2.6; DB-12, DB-13, DB-14, DB-32).
import assert from "node:assert/strict"
import { test } from "node:test"
import { alteredText } from "../world/middle.ts"
import { good, memoryScene, message, own } from "./support.ts"

const names = [...Array(40).keys()].map((each) => `d${each}.example`)
const many = good("d0.example", { names: { dns: names } })

interface Bent {
  /** On every connection, what one end says as the other hears it. */
  readonly said?: (text: string) => string
  /** The sender shows the certificate of its server where it connects. */
  readonly shows?: boolean
}

/** A sender whose certificate nobody vouches for asks for forty targets of one host at once. */
async function forty({ said, shows = false }: Bent = {}, now = names) {
  const scene = memoryScene(said === undefined ? {} : { link: () => ({ middle: alteredText(said) }) })
  const common = { require: "encrypted", uses: { piggyback: true }, pendingClaims: 64 } as const
  const a = await scene.server({ ...common, domains: ["a.example"], certificate: own("a.example"), mute: !shows })
  const b = await scene.server({ ...common, domains: names, certificate: many })
  const streams = await scene.until(Promise.allSettled(now.map((name) => a.join(name))))
  await scene.settle()
  const open = scene.world.connections.length - 1 - b.of("closed").filter(({ reason }) => reason === "verification done").length
  if (now === names) await scene.clock.advance(300)
  await scene.settle()
  const steps = (step: string): number => b.of("dialback").filter((event) => event.step === step).length
  const closed = b.of("closed").filter(({ reason }) => reason === "verification done").length
  return { scene, a, b, streams: streams.flatMap((one) => (one.status === "fulfilled" ? [one.value] : [])), connections: scene.world.connections.length, steps, closed, open }
}

for (const shows of [false, true])
  test(`forty at once, ${shows ? "the certificate of their own server shown" : "by their keys"}: one stream, and a connection back for all, closed a moment after the last answer`, async () => {
    const { scene, b, streams, connections, steps, closed, open } = await forty({ shows })
    assert.equal(new Set(streams).size, 1)
    // The first pair opens the stream, and the first claim behind it may be settled before the others come.
    assert.ok(connections <= 4 && closed === connections - 1, `${connections} connections, ${closed} of them back`)
    assert.equal(open, 1, "for those who go on claiming")
    assert.deepEqual([steps("verify-sent"), steps("same-certificate")], shows ? [0, 40] : [40, 0])
    assert.equal(b.admitted.length, 40)
    for (const { level, pair, via } of b.admitted) {
      assert.equal(level, "encrypted")
      const authority = typeof via === "object" ? via.authoritative.pair : undefined
      assert.deepEqual(authority, { sender: pair.target, target: pair.sender }, "each in the name of its own target")
    }
    for (const name of names) streams[0]!.channel.write(message("x@a.example", `y@${name}`, name))
    await scene.settle()
    assert.deepEqual(b.bodies, names)
    await scene.close()
  })

test("a server without dialback errors is asked one question a connection", async () => {
  const { scene, b, connections, closed } = await forty({ said: (text) => text.replace(/(<dialback xmlns='urn:xmpp:features:dialback')><errors\/><\/dialback>/, "$1/>") })
  assert.equal(b.admitted.length, 40)
  assert.ok(closed === 40 && connections >= 80, `${connections} connections, ${closed} of them back`)
  await scene.close()
})

test("one bad key among them is refused alone", async () => {
  const { scene, b, streams, closed } = await forty({ said: (text) => text.replace(/(<db:result from='a\.example' to='d7\.example'>)[0-9a-f]{8}/, "$100000000") })
  assert.equal(streams.length, 39)
  assert.equal(b.admitted.length, 39)
  assert.ok(!b.admitted.some(({ pair }) => pair.target === "d7.example"))
  assert.ok(closed <= 4, `${closed} connections back`)
  await scene.close()
})

test("a server that ends the connection over a second question: each has one of its own, and none is lost", async () => {
  let answers = 0
  const { scene, b, closed } = await forty({
    said: (text) => text.replace(/<db:verify [^>]*type='valid'\/>/g, (answer) => (++answers === 3 ? "</stream:stream>" : answer)),
  })
  assert.equal(b.admitted.length, 40)
  assert.ok(closed > 30, `${closed} connections back`)
  await scene.close()
})

test("an answer about another pair, or with another id, is no answer to those that are open", async () => {
  const { scene, b, streams } = await forty({
    said: (text) => text.replace(/<db:verify ([^>]*)type='valid'\/>/g, (answer, rest: string) => (rest.includes("d5.example") ? `<db:verify ${rest.replace("d5.example", "d6.example")}type='invalid'/>` : answer)),
  })
  // d6 was answered by that, as its server may; d5 never was.
  assert.deepEqual(names.filter((name) => !b.admitted.some(({ pair }) => pair.target === name)).filter((name) => name !== "d6.example"), ["d5.example"])
  assert.ok(streams.length >= 38)
  await scene.close()
})

test("a server that closes the connection when nothing is asked on it is not taken for one that wants a question each", async () => {
  let answers = 0
  const few = names.slice(0, 30)
  const { scene, a, b, connections } = await forty(
    { said: (text) => text.replace(/<db:verify [^>]*type='valid'\/>/g, (answer) => (++answers === few.length ? `${answer}</stream:stream>` : answer)) },
    few,
  )
  assert.equal(b.admitted.length, few.length)
  const later = await scene.until(Promise.allSettled(names.slice(few.length).map((name) => a.join(name))))
  assert.ok(later.every(({ status }) => status === "fulfilled"))
  assert.equal(b.admitted.length, names.length)
  // One more for all of them, and one at most for the first alone.
  assert.ok(scene.world.connections.length - connections <= 2, `${scene.world.connections.length - connections} further connections`)
  await scene.close()
})
