// The shared socket: replies reach the one who asked, whatever the ids; a closed port is told to all; it lets the process end.
import assert from "node:assert/strict"
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { type TestContext, test } from "node:test"
import { nodeDnsTransport } from "../../src/node/dns-transport.ts"

const never = new AbortController().signal

async function echo(t: TestContext, answer: (message: Buffer, send: (reply: Uint8Array) => void) => void) {
  const ports = new Set<number>()
  const server = createSocket("udp4")
  server.on("message", (message, from) => {
    ports.add(from.port)
    answer(message, (reply) => server.send(reply, from.port, from.address))
  })
  server.bind(0, "127.0.0.1")
  await once(server, "listening")
  t.after(() => server.close())
  return { ports, upstream: { address: "127.0.0.1", port: server.address().port } }
}

test("many queries with few ids: each gets its own reply, over one port", async (t) => {
  const { ports, upstream } = await echo(t, (message, send) => {
    send(Uint8Array.of(message[0]!, message[1]!, 99))
    setImmediate(() => send(message))
  })
  const transport = nodeDnsTransport({ sharedOnLoopback: true })
  const replies = await Promise.all(
    Array.from({ length: 200 }, (_, index) => {
      const query = Uint8Array.of(0, index % 5, 7, index)
      return transport.exchange(query, upstream, "udp", never, (reply) => reply[2] === 7 && reply[3] === index)
    }),
  )
  assert.deepEqual(
    replies.map((reply) => reply[3]),
    Array.from({ length: 200 }, (_, index) => index),
  )
  assert.equal(ports.size, 1)
})

test("one that gives up leaves the others; a closed port is told to everyone, and the next query opens anew", async (t) => {
  const { upstream } = await echo(t, (message, send) => {
    if (message[1] === 1) setImmediate(() => send(message))
  })
  const transport = nodeDnsTransport({ sharedOnLoopback: true })
  const quitter = new AbortController()
  const silent = transport.exchange(Uint8Array.of(0, 2), upstream, "udp", quitter.signal, () => true)
  const heard = transport.exchange(Uint8Array.of(0, 1), upstream, "udp", never, () => true)
  quitter.abort(new Error("enough"))
  await assert.rejects(silent, /enough/)
  assert.deepEqual([...(await heard)], [0, 1])
  const closed = createSocket("udp4")
  closed.bind(0, "127.0.0.1")
  await once(closed, "listening")
  const free = { address: "127.0.0.1", port: closed.address().port }
  closed.close()
  await once(closed, "close")
  for (let round = 0; round < 2; round += 1) {
    const both = [1, 2].map((id) => transport.exchange(Uint8Array.of(0, id), free, "udp", never, () => true))
    await Promise.all(both.map((one) => assert.rejects(one, /ECONNREFUSED/)))
  }
})
