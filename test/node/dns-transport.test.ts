// The DNS transport: fresh ports, source checks, bounds, TCP framing, and reading of resolv.conf (RFC 5452 9, RFC 7766).
import assert from "node:assert/strict"
import { createSocket, type RemoteInfo } from "node:dgram"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type TestContext, test } from "node:test"
import { nodeDnsTransport, systemUpstreams, upstreamsIn } from "../../src/node/dns-transport.ts"

const query = Uint8Array.of(1, 2, 3, 4)
const never = new AbortController().signal
const all = () => true

async function udpServer(t: TestContext, answer: (message: Buffer, from: RemoteInfo, send: (reply: Uint8Array) => void) => void) {
  const server = createSocket("udp4")
  server.on("message", (message, from) => answer(message, from, (reply) => server.send(reply, from.port, from.address)))
  server.bind(0, "127.0.0.1")
  await once(server, "listening")
  t.after(() => server.close())
  return { server, address: "127.0.0.1", port: server.address().port }
}

async function tcpServer(t: TestContext, pieces: Uint8Array[]) {
  const received: Buffer[] = []
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy())
    socket.once("data", async (chunk) => {
      received.push(chunk)
      for (const piece of pieces) {
        socket.write(piece)
        await new Promise(setImmediate)
      }
      if (pieces.length === 0) socket.end()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  t.after(() => server.close())
  return { received, address: "127.0.0.1", port: (server.address() as AddressInfo).port }
}

test("UDP: every query leaves from its own port", async (t) => {
  const ports = new Set<number>()
  const upstream = await udpServer(t, (message, from, send) => {
    ports.add(from.port)
    send(message)
  })
  const transport = nodeDnsTransport()
  const replies = await Promise.all(Array.from({ length: 20 }, () => transport.exchange(query, upstream, "udp", never, all)))
  assert.equal(ports.size, 20)
  assert.deepEqual(new Set(replies.map((reply) => reply.join())), new Set(["1,2,3,4"]))
})

test("UDP: what does not answer the query is passed over, up to a bound", async (t) => {
  const upstream = await udpServer(t, (_, __, send) => {
    for (let stray = 0; stray < 5; stray += 1) send(Uint8Array.of(0))
    send(Uint8Array.of(7))
  })
  const accept = (reply: Uint8Array) => reply[0] === 7
  assert.deepEqual([...(await nodeDnsTransport().exchange(query, upstream, "udp", never, accept))], [7])
  await assert.rejects(nodeDnsTransport({ strays: 5 }).exchange(query, upstream, "udp", never, accept), /5 messages/)
})

test("UDP: messages from another source are not heard", async (t) => {
  const forger = createSocket("udp4")
  forger.bind(0, "127.0.0.1")
  await once(forger, "listening")
  t.after(() => forger.close())
  const upstream = await udpServer(t, (_, from, send) => {
    forger.send(Uint8Array.of(66), from.port, from.address, () => send(Uint8Array.of(7)))
  })
  assert.deepEqual([...(await nodeDnsTransport().exchange(query, upstream, "udp", never, all))], [7])
})

test("UDP: a closed port and an aborted signal end the wait at once, whenever they come", async (t) => {
  const { server, port } = await udpServer(t, () => undefined)
  const transport = nodeDnsTransport()
  const controller = new AbortController()
  const pending = transport.exchange(query, { address: "127.0.0.1", port }, "udp", controller.signal, all)
  server.once("message", () => controller.abort(new Error("enough")))
  await assert.rejects(pending, /enough/)
  const early = new AbortController()
  const cut = transport.exchange(query, { address: "127.0.0.1", port }, "udp", early.signal, all)
  early.abort(new Error("at once"))
  await assert.rejects(cut, /at once/)
  await assert.rejects(
    transport.exchange(query, { address: "127.0.0.1", port }, "udp", AbortSignal.abort(new Error("before")), all),
    /before/,
  )
  const closed = createSocket("udp4")
  closed.bind(0, "127.0.0.1")
  await once(closed, "listening")
  const free = closed.address().port
  closed.close()
  await once(closed, "close")
  await assert.rejects(transport.exchange(query, { address: "127.0.0.1", port: free }, "udp", never, all), /ECONNREFUSED/)
  await assert.rejects(transport.exchange(query, { address: "127.0.0.1", port: free }, "tcp", never, all), /ECONNREFUSED/)
})

test("sockets are bounded: the rest waits its turn, and may give up waiting", async (t) => {
  let open = 0
  let most = 0
  const upstream = await udpServer(t, (message, _, send) => {
    open += 1
    most = Math.max(most, open)
    setImmediate(() => {
      open -= 1
      send(message)
    })
  })
  const transport = nodeDnsTransport({ sockets: 3 })
  const quitter = new AbortController()
  const pending = Array.from({ length: 30 }, () => transport.exchange(query, upstream, "udp", never, all))
  const quits = transport.exchange(query, upstream, "udp", quitter.signal, all)
  quitter.abort(new Error("no patience"))
  await assert.rejects(quits, /no patience/)
  await Promise.all(pending)
  assert.ok(most <= 3, `${most} at once`)
  assert.equal((await transport.exchange(query, upstream, "udp", never, all)).length, 4)
})

test("TCP: the length octets are added and removed, whatever the pieces", async (t) => {
  const upstream = await tcpServer(t, [Uint8Array.of(0), Uint8Array.of(3, 7), Uint8Array.of(8), Uint8Array.of(9, 99)])
  assert.deepEqual([...(await nodeDnsTransport().exchange(query, upstream, "tcp", never, all))], [7, 8, 9])
  assert.deepEqual([...upstream.received[0]!], [0, 4, 1, 2, 3, 4])
})

test("TCP: an answer to something else, an early end and an abort are errors", async (t) => {
  const other = await tcpServer(t, [Uint8Array.of(0, 1, 5)])
  await assert.rejects(
    nodeDnsTransport().exchange(query, other, "tcp", never, () => false),
    /does not belong/,
  )
  const silent = await tcpServer(t, [])
  await assert.rejects(nodeDnsTransport().exchange(query, silent, "tcp", never, all), /closed before/)
  const half = await tcpServer(t, [Uint8Array.of(0, 9, 1)])
  const controller = new AbortController()
  const pending = nodeDnsTransport().exchange(query, half, "tcp", controller.signal, all)
  setImmediate(() => controller.abort(new Error("enough")))
  await assert.rejects(pending, /enough/)
})

test("reads the system's resolvers", async (t) => {
  assert.deepEqual(
    upstreamsIn(
      "# x\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 \nnameserver nonsense\noptions edns0\nnameserver fe80::1%eth0\nnameserver 192.0.2.9",
    ),
    [
      { address: "192.0.2.1", port: 53 },
      { address: "2001:db8::1", port: 53 },
      { address: "fe80::1%eth0", port: 53 },
    ],
  )
  assert.deepEqual(upstreamsIn("search example"), [{ address: "127.0.0.1", port: 53 }])
  const folder = await mkdtemp(join(tmpdir(), "resolv-"))
  t.after(() => rm(folder, { recursive: true }))
  await writeFile(join(folder, "resolv.conf"), "nameserver 192.0.2.7\n")
  assert.deepEqual(await systemUpstreams(join(folder, "resolv.conf")), [{ address: "192.0.2.7", port: 53 }])
  assert.deepEqual(await systemUpstreams(join(folder, "none")), [{ address: "127.0.0.1", port: 53 }])
  await assert.rejects(systemUpstreams(folder), /EISDIR/)
})
