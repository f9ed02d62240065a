// Nothing is left behind: 2,000 streams opened and closed leave no timer, no key, no stream object.
import assert from "node:assert/strict"
import { test } from "node:test"
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { credentialsOf, good, memoryScene, own, type Server } from "./support.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

async function alive(refs: readonly WeakRef<object>[]): Promise<number> {
  for (let turn = 0; turn < 5; turn++) {
    await new Promise((resolve) => setImmediate(resolve))
    collectGarbage()
  }
  return refs.filter((ref) => ref.deref() !== undefined).length
}

/** Forgets what the test itself remembers of a server's streams. */
function forget(...servers: Server[]): void {
  for (const server of servers) {
    server.incoming.length = 0
    server.events.length = 0
    server.delivered.length = 0
  }
}

test("1,000 streams by EXTERNAL, opened and closed", async () => {
  const scene = memoryScene()
  const a = await scene.server({ domains: ["a.example"] })
  const b = await scene.server({ domains: ["b.example"] })
  const refs: WeakRef<object>[] = []
  for (let round = 0; round < 1000; round++) {
    const stream = await scene.until(a.open("b.example"))
    refs.push(new WeakRef(stream), ...b.incoming.map((incoming) => new WeakRef(incoming)))
    stream.close()
    await scene.until(stream.closed)
    await scene.settle()
    forget(a, b)
  }
  assert.equal(refs.length, 2000)
  // What one network asks for has its rests.
  await scene.clock.advance(10)
  assert.equal(scene.clock.pending, 0)
  assert.ok((await alive(refs)) <= 4, "streams are kept alive")
  await scene.close()
})

test("700 streams by dialback, opened and closed: keys are forgotten with their streams", async () => {
  const scene = memoryScene()
  const certificate = (name: string) => own(name)
  const a = await scene.server({ domains: ["a.example"], certificate, require: "encrypted", mute: true })
  const b = await scene.server({ domains: ["b.example"], certificate, require: "encrypted" })
  const { keys } = a.federation
  const made: [...Parameters<typeof keys.issue>, string][] = []
  const issue = keys.issue.bind(keys)
  keys.issue = (pair, id) => {
    const key = issue(pair, id)
    made.push([pair, id, key])
    return key
  }
  const refs: WeakRef<object>[] = []
  for (let round = 0; round < 700; round++) {
    const stream = await scene.until(a.open("b.example"))
    refs.push(new WeakRef(stream), ...[...a.incoming, ...b.incoming].map((incoming) => new WeakRef(incoming)))
    const [pair, id, key] = made.at(-1)!
    assert.equal(keys.vouches(pair, id, key), true)
    stream.close()
    await scene.until(stream.closed)
    await scene.settle()
    assert.equal(keys.vouches(pair, id, key), false)
    forget(a, b)
  }
  await scene.clock.advance(60_000)
  assert.equal(scene.clock.pending, 0)
  assert.ok((await alive(refs)) <= 6, "streams are kept alive")
  await scene.close()
})

test("300 claims that fail, and 300 connections that end in the middle", async () => {
  const scene = memoryScene()
  await scene.server({ domains: ["a.example"], require: "encrypted" })
  const b = await scene.server({ domains: ["b.example"], require: "encrypted" })
  const refs: WeakRef<object>[] = []
  const shown = credentialsOf(good("other.example"))
  for (let round = 0; round < 300; round++) {
    const peer = await scene.raw(b)
    await peer.upToFeatures("a.example", "b.example", shown)
    peer.send("<db:result from='a.example' to='b.example'>forged</db:result>")
    await scene.settle()
    peer.channel.destroy()
    const cut = await scene.raw(b)
    await cut.header("a.example", "b.example")
    cut.channel.destroy()
    await scene.settle()
    // Handshakes of a network with so much that came to nothing are kept apart.
    await scene.clock.advance(10)
    refs.push(...b.incoming.map((incoming) => new WeakRef(incoming)))
    forget(b)
  }
  await scene.clock.advance(60_000)
  assert.equal(refs.length, 600)
  assert.equal(scene.clock.pending, 0)
  assert.ok((await alive(refs)) <= 6, "streams are kept alive")
  await scene.close()
})
