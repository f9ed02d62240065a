// Socket channels beyond the contract: reads that rest, errors by their cause, the hand-over to TLS (TLS-03).
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { TlsError } from "../../src/model/errors.ts"
import { plainAddress, type ReadPace, SocketChannel } from "../../src/node/tcp.ts"
import { createTls } from "../../src/node/tls.ts"
import { Recorder } from "../world/recorder.ts"
import { inTime, rawPair, secure, serverCertificate, settle, tcpPair } from "./sockets.ts"

describe("reads that rest", { timeout: 60_000 }, () => {
  async function burst(newPace?: () => ReadPace): Promise<{ chunks: number; bytes: number; largest: number }> {
    const { client, server } = await secure(await tcpPair(), newPace === undefined ? {} : { newPace })
    const ours = new Recorder()
    server.channel.attach(ours)
    const stanza = Buffer.alloc(193, "s")
    for (let n = 0; n < 4000; n += 1) {
      client.channel.write(stanza)
      await new Promise((resolve) => setImmediate(resolve))
    }
    await ours.until("all of it", (seen) => seen.length === 4000 * stanza.length)
    client.channel.destroy()
    server.channel.destroy()
    return { chunks: ours.chunks.length, bytes: ours.length, largest: Math.max(...ours.chunks.map((chunk) => chunk.length)) }
  }

  test("without pacing each TLS record is a chunk; with it, what one rest gathered is one", async () => {
    const plain = await burst()
    assert.ok(plain.chunks > 2000, `${plain.chunks} chunks`)
    const paced = await burst(() => ({ onChunk: () => 1 }))
    assert.equal(paced.bytes, plain.bytes)
    assert.ok(paced.chunks * 2 < plain.chunks, `${paced.chunks} chunks`)
    assert.ok(paced.largest <= 256 * 1024, `${paced.largest} octets at once`)
  })

  test("the pacing is told every octet once", async () => {
    let told = 0
    const { bytes } = await burst(() => ({
      onChunk: (length) => {
        told += length
        return told % 3
      },
    }))
    assert.equal(told, bytes)
  })

  test("a channel destroyed during a rest tells its close, and no timer keeps the process", async () => {
    const { raw, close } = await rawPair()
    const channel = new SocketChannel(raw, { pace: { onChunk: () => 60_000 } })
    const other = new Recorder()
    channel.attach(other)
    channel.destroy()
    await other.untilClosed()
    assert.equal(other.closed?.by, "local")
    close()
  })

  test("octets gathered when the channel goes to TLS are the first TLS reads", async () => {
    const { raw, channel: plain, close } = await rawPair()
    plain.release()
    const channel = plain
    const handler = new Recorder()
    channel.attach(handler)
    raw.write("plain")
    await handler.untilText("plain")
    channel.release()
    raw.write("<not tls/>")
    await settle()
    await assert.rejects(createTls().server(channel, { pick: () => serverCertificate, alpn: [], signal: inTime() }), TlsError)
    assert.equal(handler.text, "plain")
    close()
  })
})

describe("plain text behind the switch to TLS (TLS-03)", { timeout: 60_000 }, () => {
  test("never comes out of the encrypted channel: the handshake fails, in both roles", async () => {
    for (const role of ["client", "server"] as const)
      for (const early of [true, false]) {
        const { raw, channel, close } = await rawPair()
        const handler = new Recorder()
        channel.attach(handler)
        raw.write("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        await handler.untilText("/>")
        channel.release()
        if (early) {
          raw.write("<stream:features/>")
          await settle()
        }
        const attempt =
          role === "client"
            ? createTls().client(channel, { serverName: "b.example", signal: inTime() })
            : createTls().server(channel, { pick: () => serverCertificate, alpn: [], signal: inTime() })
        if (!early) raw.write("<stream:features/>")
        await assert.rejects(attempt, (error) => error instanceof TlsError && error.failure === "handshake")
        assert.ok(!handler.text.includes("features"))
        close()
      }
  })
})

describe("ends", { timeout: 60_000 }, () => {
  test("a reset by the peer is called one, on plain and on encrypted channels", async () => {
    const { raw, channel, close } = await rawPair()
    const ours = new Recorder()
    channel.attach(ours)
    raw.resetAndDestroy()
    await ours.untilClosed()
    assert.deepEqual(ours.closed, { by: "reset", detail: "ECONNRESET" })
    close()

    const pair = await tcpPair()
    const { client, server } = await secure(pair)
    const far = new Recorder()
    server.channel.attach(far)
    client.channel.write(Buffer.from("x"))
    await far.untilText("x")
    // Destroyed with unread octets on its side: the kernel sends a reset.
    server.channel.write(Buffer.alloc(100_000))
    await settle()
    client.channel.destroy()
    await far.until("an end of some kind", (seen) => seen.calls.includes("end") || seen.calls.includes("close"))
    server.channel.destroy()
  })

  test("the backlog of a broken channel says how much was not taken", async () => {
    const { raw, channel, close } = await rawPair()
    const ours = new Recorder()
    channel.attach(ours)
    raw.pause()
    const block = Buffer.alloc(1 << 20)
    for (let n = 0; n < 16; n += 1) channel.write(block)
    await settle()
    const before = channel.backlog
    assert.ok(before > 1 << 20)
    raw.resetAndDestroy()
    await ours.untilClosed()
    assert.ok(channel.backlog >= 1 << 20 && channel.backlog <= 16 << 20, String(channel.backlog))
    close()
  })

  test("mapped addresses lose their prefix, others stay", () => {
    assert.equal(plainAddress("::ffff:192.0.2.1"), "192.0.2.1")
    assert.equal(plainAddress("::FFFF:192.0.2.1"), "192.0.2.1")
    assert.equal(plainAddress("2001:db8::1"), "2001:db8::1")
    assert.equal(plainAddress(undefined), "")
  })
})

describe("writes of one turn", { timeout: 60_000 }, () => {
  const line = Buffer.from("octets of ours ")

  test("leave in few records, in order, the first at once", async () => {
    const { client, server } = await secure(await tcpPair())
    const theirs = new Recorder()
    server.channel.attach(theirs)
    for (let n = 0; n < 200; n += 1) client.channel.write(Buffer.from(`${n};`))
    await theirs.until("all of them", (seen) => seen.length >= Buffer.from(Array.from({ length: 200 }, (_, n) => `${n};`).join("")).length)
    assert.equal(Buffer.concat(theirs.chunks).toString(), Array.from({ length: 200 }, (_, n) => `${n};`).join(""))
    assert.ok(theirs.chunks.length <= 3, `${theirs.chunks.length} chunks`)
    client.channel.destroy()
    server.channel.destroy()
  })

  test("leave in one record where who writes them said that more follows, and the next turn's do not wait", async () => {
    const { client, server } = await secure(await tcpPair())
    const theirs = new Recorder()
    server.channel.attach(theirs)
    client.channel.gather?.()
    for (let n = 0; n < 3; n += 1) client.channel.write(line)
    assert.equal(client.channel.backlog, 3 * line.length)
    await theirs.until("all of it", (seen) => seen.length === 3 * line.length)
    assert.deepEqual(theirs.chunks.map((chunk) => chunk.length), [3 * line.length])
    client.channel.write(line)
    await theirs.until("the last", (seen) => seen.length === 4 * line.length)
    assert.equal(theirs.chunks.length, 2)
    client.channel.destroy()
    server.channel.destroy()
  })

  test("what was gathered in clear leaves before the hand-over to TLS, which goes on as ever", async () => {
    const { a, b, close } = await tcpPair()
    const theirs = new Recorder()
    b.attach(theirs)
    a.gather?.()
    a.write(line)
    a.write(line)
    a.release()
    assert.notEqual((a as SocketChannel).handOver(), undefined)
    await theirs.until("all of it", (seen) => seen.length === 2 * line.length)
    assert.equal(theirs.chunks.length, 1)
    a.gather?.()
    await close()
  })

  for (const how of ["end", "destroy"] as const) {
    test(`are not lost when ${how} follows in the same turn`, async () => {
      const { a, b, close } = await tcpPair()
      const theirs = new Recorder()
      b.attach(theirs)
      for (let n = 0; n < 3; n += 1) a.write(line)
      a[how]()
      await theirs.until("all of it", (seen) => seen.length === 3 * line.length)
      assert.equal(theirs.length, 3 * line.length)
      await close()
    })

    test(`are not lost when ${how} follows what was gathered`, async () => {
      const { a, b, close } = await tcpPair()
      const theirs = new Recorder()
      b.attach(theirs)
      a.gather?.()
      for (let n = 0; n < 3; n += 1) a.write(line)
      a[how]()
      await theirs.until("all of it", (seen) => seen.length === 3 * line.length)
      assert.equal(theirs.length, 3 * line.length)
      await close()
    })
  }
})
