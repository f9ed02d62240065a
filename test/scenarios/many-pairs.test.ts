// What a further pair costs on a stream that exists: one round trip, one question and one answer, and nothing to the others
// (RFC 7712 4.4; DB-06).
import assert from "node:assert/strict"
import { test } from "node:test"
import { good, memoryScene, message, never, pairOf } from "./support.ts"

const oneWay = 25
const uses = { uses: { piggyback: true } }
const names = (count: number): string[] => [...Array(count).keys()].map((each) => `d${each}.a.example`)
const wide = good("a.example", { names: { dns: ["a.example", "*.a.example"] } })

test("a further pair takes one round trip and some three hundred octets", async () => {
  let octets = 0
  const link = () => ({
    latency: oneWay,
    middle: (bytes: Buffer) => {
      octets += bytes.length
      return bytes
    },
  })
  const scene = memoryScene({ link })
  const a = await scene.server({ domains: ["a.example", ...names(20)], certificate: wide, unlisted: true, ...uses })
  await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.join("b.example"))
  for (const name of names(20)) {
    const began = scene.clock.monotonic()
    const before = octets
    await scene.until(stream.add(pairOf(name, "b.example"), never))
    assert.equal(scene.clock.monotonic() - began, 2 * oneWay)
    assert.ok(octets - before < 300, `${octets - before} octets`)
  }
  await scene.close()
})

test("two thousand pairs: one stream, one question each, in parallel; stanzas of the first flow all the while", async () => {
  const scene = memoryScene({ link: () => ({ latency: oneWay }) })
  const all = names(2000)
  const a = await scene.server({ domains: ["a.example", ...all], certificate: wide, unlisted: true, ...uses })
  const b = await scene.server({ domains: ["b.example"] })
  const stream = await scene.until(a.join("b.example"))
  const adding = Promise.all(all.map((name) => stream.add(pairOf(name, "b.example"), never)))
  stream.channel.write(message("x@a.example", "y@b.example", "meanwhile"))
  await scene.eventually("the stanza of the first pair arrives", () => b.bodies.length === 1)
  assert.ok(stream.associations().length < all.length, "it did not wait for all the others")
  await scene.until(adding)
  assert.equal(stream.associations().length, all.length + 1)
  assert.equal(scene.world.connections.length, 1)
  assert.equal(a.of("dialback").filter(({ step }) => step === "result-sent").length, all.length)
  for (const name of ["d0.a.example", "d999.a.example", "d1999.a.example"]) stream.channel.write(message(`x@${name}`, "y@b.example", name))
  await scene.eventually("theirs arrive", () => b.bodies.length === 4)
  assert.deepEqual(b.bodies.slice(1), ["d0.a.example", "d999.a.example", "d1999.a.example"])
  await scene.close()
})
