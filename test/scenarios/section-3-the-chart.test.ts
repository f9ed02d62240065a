// Seed section 3, RFC 7712 4.1: the boxes of the chart, in their order, as each of the two servers goes through them.
import assert from "node:assert/strict"
import { test } from "node:test"
import type { FederationEvent } from "../../src/model/events.ts"
import { memoryScene, message, realScene, type Scene, type Server } from "./support.ts"

/** The box of the chart to which an event belongs; undefined: it only tells more about one. */
function boxOf(event: FederationEvent): string | undefined {
  switch (event.kind) {
    case "discovered":
      return "DNS resolution"
    case "opened":
      return "stream headers"
    case "secured":
      return "TLS"
    case "proof":
      return "whose domain is it"
    case "external":
    case "dialback":
      return event.kind === "external" && event.result === "offered" ? undefined : "authentication"
    case "associated":
      return "association"
    default:
      return undefined
  }
}

/** Each box once, in the order in which the server came to it. */
const trace = (server: Server): readonly string[] => [...new Set(server.events.flatMap((event) => boxOf(event) ?? []))]

const places: readonly (readonly [name: string, make: () => Promise<Scene>])[] = [
  ["in memory", async () => memoryScene()],
  ["on sockets", realScene],
]

for (const [place, make] of places) {
  test(`S3.1: both have certificates: A knows who B is before it says who it is itself; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"] })
    const b = await scene.server({ domains: ["b.example"] })
    await scene.until(a.open("b.example"))
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    assert.deepEqual(trace(a), ["DNS resolution", "stream headers", "TLS", "whose domain is it", "authentication", "association"])
    assert.deepEqual(trace(b), ["stream headers", "TLS", "whose domain is it", "authentication", "association"])
    assert.deepEqual(a.of("external").map(({ result }) => result), ["sent", "accepted"])
    assert.equal(b.admitted[0]?.level, "authenticated", "the branch with a client certificate ends in mutual authentication")
    await scene.close()
  })

  test(`S3.1, S3.2: A shows no certificate: TLS comes to its end all the same, and B finds out in another way; ${place}`, async () => {
    const scene = await make()
    const a = await scene.server({ domains: ["a.example"], mute: true, require: "encrypted" })
    const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
    await scene.until(a.open("b.example"))
    await scene.eventually("B lets A in", () => b.admitted.length === 1)
    // A's own way is the same; what its server is asked by B goes on beside it.
    const own = a.events.filter((event) => event.direction === "out").flatMap((event) => boxOf(event) ?? [])
    assert.deepEqual([...new Set(own)], ["DNS resolution", "stream headers", "TLS", "whose domain is it", "authentication", "association"])
    assert.deepEqual(b.of("secured").map(({ direction, certificate }) => [direction, certificate]), [["in", "none"], ["out", "shown"]])
    // B cannot tell from the stream, so it goes through the chart itself, to the server of the domain that was claimed.
    const asked = b.events.filter((event) => event.direction === "out").flatMap((event) => boxOf(event) ?? [])
    assert.deepEqual([...new Set(asked)].slice(0, 4), ["DNS resolution", "stream headers", "TLS", "whose domain is it"])
    assert.ok(typeof b.admitted[0]?.via === "object", "by a key, not by a certificate")
    await scene.close()
  })
}

test("S3.2: a server without a certificate of its own never comes as far as TLS", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], require: "encrypted" })
  const b = await scene.server({ domains: ["b.example"], certificate: null })
  await assert.rejects(scene.until(a.open("b.example")))
  assert.deepEqual([a.of("secured").length, b.of("secured").length], [0, 0])
  assert.deepEqual([a.admitted, b.admitted], [[], []])
  await scene.close()
})

test("S3.1: whoever is refused in one box comes to none behind it", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example"], certificate: null })
  scene.dns("_xmpp-server._tcp.b.example", { SRV: [[0, 0, 5269, "."]] })
  await assert.rejects(scene.until(a.open("b.example")))
  assert.deepEqual(trace(a).filter((box) => box !== "DNS resolution"), [])
  assert.equal(b.events.length, 0, "nobody knocked")
  await scene.close()
})

test("S3.1: stanzas that come before the chart's end are not passed on", async () => {
  const scene = memoryScene()
  const b = await scene.server({ domains: ["b.example"] })
  const peer = await scene.raw(b)
  await peer.upToFeatures("a.example", "b.example", undefined)
  peer.send(message("x@a.example", "y@b.example").toString())
  await peer.closed()
  assert.equal(peer.condition, "not-authorized")
  assert.deepEqual(b.delivered, [])
  await scene.close()
})
