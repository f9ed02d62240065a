// A host of many domains: with a certificate for each of them, or with one that their documents vouch for (RFC 7712 4.4.2;
// N13, POSH-16). What a further target costs where no stream can carry it.
import assert from "node:assert/strict"
import { test } from "node:test"
import { good, type MemoryScene, memoryScene, own, type Server } from "./support.ts"
import { Webs, withPosh } from "./posh-web.ts"

const piggyback = { uses: { piggyback: true } }

function hostedAt(scene: MemoryScene, server: Server, names: readonly string[]): void {
  for (const name of names) scene.dns(`_xmpp-server._tcp.${name}`, { SRV: [[0, 0, server.address.port, `host.${server.name}`]] })
}

test("a certificate for each: no web server of a further target is asked, and a silent one holds nothing up", async () => {
  const scene = memoryScene()
  const webs = new Webs(scene)
  const a = await scene.server({ domains: ["a.example"], prooftypes: withPosh(scene), ...piggyback })
  const b = await scene.server({ domains: ["b.example", "c.example"] })
  hostedAt(scene, b, ["c.example"])
  await webs.host("c.example")
  webs.page("c.example", "silence")
  const first = await scene.until(a.join("b.example"))
  const began = scene.clock.now()
  const second = await scene.until(a.join("c.example"))
  assert.ok(scene.clock.now() - began < 1000, `${scene.clock.now() - began} ms`)
  assert.notEqual(second, first)
  assert.equal(second.association.verdict.by, "pkix")
  assert.deepEqual(webs.requests, [])
  await webs.close()
  await scene.close()
})

test("one certificate that documents vouch for: the next target's document is asked for, and the stream carries it", async () => {
  const scene = memoryScene()
  const webs = new Webs(scene)
  const hoster = own("hoster.example")
  const a = await scene.server({ domains: ["a.example"], prooftypes: withPosh(scene), ...piggyback })
  const b = await scene.server({ domains: ["b.example", "c.example"], certificate: hoster })
  hostedAt(scene, b, ["c.example"])
  for (const name of ["b.example", "c.example"]) await webs.publish(name, hoster)
  const first = await scene.until(a.join("b.example"))
  assert.equal(first.association.verdict.by, "posh")
  assert.equal(await scene.until(a.join("c.example")), first)
  assert.deepEqual(first.associations().map(({ verdict }) => verdict.by), ["posh", "posh"])
  await webs.close()
  await scene.close()
})

test("a host of both kinds: the first that needs its document finds it on a connection of its own", async () => {
  const scene = memoryScene()
  const webs = new Webs(scene)
  const hoster = own("hoster.example")
  const a = await scene.server({ domains: ["a.example"], prooftypes: withPosh(scene), ...piggyback })
  const b = await scene.server({ domains: ["b.example", "c.example", "d.example"], certificate: (name) => (name === "b.example" ? good(name) : hoster) })
  hostedAt(scene, b, ["c.example", "d.example"])
  for (const name of ["c.example", "d.example"]) await webs.publish(name, hoster)
  const streams = []
  for (const name of ["b.example", "c.example", "d.example"]) streams.push(await scene.until(a.join(name)))
  assert.deepEqual(streams.map(({ association }) => association.verdict.by), ["pkix", "posh", "posh"])
  assert.equal(streams[1], streams[2])
  await webs.close()
  await scene.close()
})

/** Joins each of them; how many streams that were there were tried for it. */
async function joined(scene: MemoryScene, a: Server, names: readonly string[], before: (name: string) => Promise<void> = async () => {}): Promise<number[]> {
  const tries: number[] = []
  for (const name of names) {
    await before(name)
    tries.push(0)
    const stream = await scene.until(a.join(name))
    const add: typeof stream.add = stream.add.bind(stream)
    Object.assign(stream, {
      add: ((...asked) => {
        tries[tries.length - 1]! += 1
        return add(...asked)
      }) satisfies typeof add,
    })
  }
  return tries
}

test("several streams that carried none further: soon one is tried, not each", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const names = Array.from({ length: 8 }, (_, index) => `d${index}.example`)
  const b = await scene.server({ domains: names })
  hostedAt(scene, b, names.slice(1))
  assert.deepEqual(await joined(scene, a, names), [0, 1, 2, 3, 4, 1, 1, 1])
  assert.equal(scene.world.connections.length, names.length)
  await scene.close()
})

test("a domain that only says to be served there changes nothing for those who are", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"], ...piggyback })
  const names = Array.from({ length: 6 }, (_, index) => `d${index}.example`)
  const b = await scene.server({ domains: names })
  hostedAt(scene, b, [...names.slice(1), "elsewhere.example"])
  const tries = await joined(scene, a, names, async (name) => {
    if (name !== "d4.example") return
    const strays = scene.until(a.join("elsewhere.example"))
    await assert.rejects(strays)
  })
  // Of them four for the stray one, before d4 has its own turn.
  assert.deepEqual(tries, [0, 1, 2, 3 + 4, 4, 1])
  await scene.close()
})
