// Attacks on the TLS adapter over real sockets: resumption, renegotiation, old protocols, rubbish, silence (TLS-04, TLS-09, TLS-10).
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { writeSync } from "node:fs"
import type { Socket } from "node:net"
import { describe, test } from "node:test"
import tls from "node:tls"
import { TlsError } from "../../src/model/errors.ts"
import { ContextCache, createTls } from "../../src/node/tls.ts"
import { Recorder } from "../world/recorder.ts"
import { authority, clientCertificate, credentialsOf, inTime, rawPair, secure, serverCertificate, settle, tcpPair } from "./sockets.ts"

const hash = (der: Uint8Array): string => createHash("sha256").update(der).digest("hex").slice(0, 12)
const failure = (expected: TlsError["failure"]) => (error: unknown) => {
  assert.ok(error instanceof TlsError, String(error))
  assert.equal(error.failure, expected, error.message)
  return true
}
const transport = createTls()
const serve = { pick: () => serverCertificate, alpn: [] }

describe("refused transports", { timeout: 60_000 }, () => {
  test("a client that knows only TLS 1.1, or only old ciphers, is refused (TLS-10)", async () => {
    const old: tls.ConnectionOptions[] = [
      { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
      { maxVersion: "TLSv1.2", ciphers: "AES128-SHA:AES256-SHA:AES128-GCM-SHA256" },
      { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA" },
    ]
    for (const options of old) {
      const { raw, channel, close } = await rawPair()
      const server = transport.server(channel, { ...serve, signal: inTime() })
      const client = tls.connect({ socket: raw, rejectUnauthorized: false, ...options })
      client.on("error", () => client.destroy())
      await assert.rejects(server, failure("handshake"))
      close()
    }
  })

  test("a server that knows only TLS 1.1 is refused", async () => {
    const { raw, channel, close } = await rawPair()
    const context = tls.createSecureContext({
      cert: serverCertificate.certificatePem,
      key: serverCertificate.keyPem,
      minVersion: "TLSv1",
      maxVersion: "TLSv1.1",
      ciphers: "DEFAULT@SECLEVEL=0",
    })
    const theirs = new tls.TLSSocket(raw, { isServer: true, secureContext: context })
    theirs.on("error", () => theirs.destroy())
    await assert.rejects(transport.client(channel, { serverName: "b.example", signal: inTime() }), failure("handshake"))
    close()
  })

  for (const version of ["TLSv1.2", "TLSv1.3"] as const)
    test(`${version}: a client that wants to resume gets a full handshake, and shows its certificate again`, async () => {
      const sessions: Buffer[] = []
      const seen: string[][] = []
      for (let round = 0; round < 3; round += 1) {
        const { raw, channel, close } = await rawPair()
        const session = sessions.at(-1)
        const client = tls.connect({
          socket: raw,
          ca: [],
          cert: clientCertificate.certificatePem,
          key: clientCertificate.keyPem,
          servername: "b.example",
          rejectUnauthorized: false,
          maxVersion: version,
          ...(session === undefined ? {} : { session }),
        })
        client.on("session", (ticket: Buffer) => sessions.push(ticket))
        client.on("error", () => client.destroy())
        const { facts, channel: secured } = await transport.server(channel, { ...serve, signal: inTime() })
        secured.write(Buffer.from("tickets, if any, come before this"))
        await new Promise((resolve) => client.once("data", resolve))
        seen.push(facts.chain.map(hash))
        close()
      }
      assert.equal(seen.length, 3)
      for (const chain of seen) assert.deepEqual(chain, [hash(Buffer.from(pemBody(clientCertificate.certificatePem), "base64"))])
    })

  test("the attack that makes this matter: against a server with tickets, a resumed session shows fewer certificates, and the adapter refuses it", async () => {
    // The weakened copy: a server context that issues tickets.
    const middle = authority.intermediate({ name: "Ticket" })
    const shown = credentialsOf(middle.issue({ names: { dns: ["a.example"] } }))
    const weak = tls.createSecureContext({
      cert: serverCertificate.certificatePem,
      key: serverCertificate.keyPem,
      ca: [],
      sessionIdContext: "weak",
    })
    let session: Buffer | undefined
    const chains: number[] = []
    for (let round = 0; round < 2; round += 1) {
      const { raw, channel, close } = await rawPair()
      const client = tls.connect({
        socket: raw,
        ca: [],
        cert: shown.certificatePem,
        key: shown.keyPem,
        servername: "b.example",
        rejectUnauthorized: false,
        maxVersion: "TLSv1.2",
        ...(session === undefined ? {} : { session }),
      })
      client.on("session", (ticket: Buffer) => (session = ticket))
      client.on("error", () => client.destroy())
      const cache = new ContextCache()
      cache.of = () => weak
      const handshake = createTls({ contexts: cache }).server(channel, { ...serve, signal: inTime() })
      if (round === 0) chains.push((await handshake).facts.chain.length)
      else await assert.rejects(handshake, failure("resumed"))
      if (round === 0 && session === undefined) await new Promise((resolve) => client.once("session", resolve))
      close()
    }
    assert.deepEqual(chains, [2])
  })

  test("TLS 1.2 renegotiation by the client ends the connection (TLS-09)", async () => {
    const { raw, channel, close } = await rawPair()
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false, maxVersion: "TLSv1.2" })
    client.on("error", () => client.destroy())
    const { channel: secured } = await transport.server(channel, { ...serve, signal: inTime() })
    const ours = new Recorder()
    secured.attach(ours)
    client.write("before")
    await ours.untilText("before")
    const refused = new Promise((resolve) => client.renegotiate({ rejectUnauthorized: false }, resolve))
    client.on("close", () => settle())
    await Promise.race([refused, ours.untilClosed()])
    client.destroy()
    await ours.untilClosed()
    assert.equal(ours.text, "before")
    close()
  })
})

describe("giving up", { timeout: 60_000 }, () => {
  test("a peer that says nothing is left when the signal says so, in both roles, and its connection is closed without a word (TLS-04)", async () => {
    for (const role of ["server", "client"] as const) {
      const { raw, channel, close } = await rawPair()
      const heard: Buffer[] = []
      raw.on("data", (piece: Buffer) => heard.push(piece))
      const controller = new AbortController()
      const attempt =
        role === "server"
          ? transport.server(channel, { ...serve, signal: controller.signal })
          : transport.client(channel, { serverName: "b.example", signal: controller.signal })
      await settle()
      controller.abort()
      await assert.rejects(attempt, failure("timeout"))
      await new Promise((resolve) => raw.once("end", resolve))
      assert.ok(!Buffer.concat(heard).includes("</stream"))
      close()
    }
  })

  test("a signal that was aborted before: nothing is sent", async () => {
    const { raw, channel, close } = await rawPair()
    const heard: Buffer[] = []
    raw.on("data", (piece: Buffer) => heard.push(piece))
    await assert.rejects(transport.client(channel, { serverName: "b.example", signal: AbortSignal.abort() }), failure("timeout"))
    await new Promise((resolve) => raw.once("end", resolve))
    assert.equal(heard.length, 0)
    close()
  })

  test("a peer that is gone before, and one that goes during the handshake", async () => {
    for (const role of ["server", "client"] as const) {
      const before = await rawPair()
      before.channel.destroy()
      await settle()
      const start = (channel: (typeof before)["channel"]) =>
        role === "server"
          ? transport.server(channel, { ...serve, signal: inTime() })
          : transport.client(channel, { serverName: "b.example", signal: inTime() })
      await assert.rejects(start(before.channel), failure("closed"))
      before.close()

      const during = await rawPair()
      const attempt = start(during.channel)
      during.raw.end()
      await assert.rejects(attempt, failure("closed"))
      during.close()

      const reset = await rawPair()
      const other = start(reset.channel)
      reset.raw.resetAndDestroy()
      await assert.rejects(other, failure("closed"))
      reset.close()
    }
  })

  test("rubbish in the middle of the encrypted stream ends the channel on the server as on the client", async () => {
    for (const role of ["server", "client"] as const) {
      const { raw, channel, close } = await rawPair()
      const context = tls.createSecureContext({ cert: serverCertificate.certificatePem, key: serverCertificate.keyPem, ca: [] })
      const theirs =
        role === "server"
          ? tls.connect({ socket: raw, ca: [], rejectUnauthorized: false })
          : new tls.TLSSocket(raw, { isServer: true, secureContext: context })
      theirs.on("error", () => theirs.destroy())
      const { channel: secured } = await (role === "server"
        ? transport.server(channel, { ...serve, signal: inTime() })
        : transport.client(channel, { serverName: "b.example", signal: inTime() }))
      const ours = new Recorder()
      secured.attach(ours)
      theirs.write("good")
      await ours.untilText("good")
      writeBelow(raw, Buffer.from("this is no TLS record at all"))
      await ours.untilClosed()
      assert.equal(ours.text, "good")
      assert.equal(ours.closed?.by, "error")
      close()
    }
  })

  test("an upgraded channel accepts no plain text any more", async () => {
    const pair = await tcpPair()
    const { client, server } = await secure(pair)
    assert.throws(() => pair.a.write(Buffer.from("<leak/>")), /handed over/)
    assert.throws(() => pair.a.attach(new Recorder()), /handed over/)
    await assert.rejects(transport.client(pair.a, { serverName: "b.example", signal: inTime() }), /handed over/)
    const far = new Recorder()
    server.channel.attach(far)
    client.channel.write(Buffer.from("still fine"))
    await far.untilText("still fine")
    await pair.close()
    await far.untilClosed()
  })
})

describe("what was read before", { timeout: 60_000 }, () => {
  test("a ClientHello that arrived with, or before, the upgrade is not lost", async () => {
    for (const patience of [0, 5]) {
      const { raw, channel, close } = await rawPair()
      const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false })
      client.on("error", () => client.destroy())
      for (let n = 0; n < patience; n += 1) await settle()
      const handler = new Recorder()
      channel.attach(handler)
      channel.pause()
      await settle()
      channel.release()
      const { facts } = await transport.server(channel, { ...serve, signal: inTime() })
      assert.equal(facts.protocol, "TLSv1.3")
      assert.equal(handler.length, 0)
      close()
    }
  })

  test("what was written before the upgrade leaves before the handshake", async () => {
    const { raw, channel, close } = await rawPair()
    const proceed = Buffer.alloc(3_000_000, "p")
    channel.write(proceed)
    const attempt = transport.server(channel, { ...serve, signal: inTime(10_000) })
    let read = 0
    await new Promise<void>((resolve) => {
      const look = (piece: Buffer): void => {
        read += piece.length
        if (read >= proceed.length) {
          raw.off("data", look)
          raw.pause()
          resolve()
        }
      }
      raw.on("data", look)
    })
    assert.equal(read, proceed.length)
    const client = tls.connect({ socket: raw, ca: [], rejectUnauthorized: false })
    client.on("error", () => client.destroy())
    assert.equal((await attempt).facts.protocol, "TLSv1.3")
    close()
  })
})

function pemBody(pem: string): string {
  return pem.replace(/-----[^-]+-----/g, "").replace(/\s/g, "")
}

/** Writes below TLS, as somebody on the path can. */
function writeBelow(raw: Socket, bytes: Buffer): void {
  const handle: unknown = Reflect.get(raw, "_handle")
  const fd: unknown = Reflect.get(handle as object, "fd")
  assert.equal(typeof fd, "number")
  writeSync(fd as number, bytes)
}
