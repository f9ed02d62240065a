// Peers that cost memory or descriptors: answers left unread, thousands of unfinished connections (XML-07; security.md 17; RFC 6120 13.12).
import assert from "node:assert/strict"
import { connect as connectTcp, type Socket } from "node:net"
import { connect as connectTls, type TLSSocket } from "node:tls"
import { afterEach, describe, it } from "node:test"
import { boundless } from "../attacks/weakened.ts"
import { RawComponent, type RunningFixture, startFixture } from "./gateway-fixture.ts"

const running: RunningFixture[] = []
const sockets: { destroy(): void }[] = []
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy()
  await Promise.all(running.splice(0).map((fixture) => fixture.stop()))
})

async function secured(fixture: RunningFixture): Promise<TLSSocket> {
  const socket = connectTls({ host: "127.0.0.1", port: fixture.gateway.addresses.directTls[0]!.port, rejectUnauthorized: false, servername: "a.example", ALPNProtocols: ["xmpp-server"] })
  sockets.push(socket)
  await new Promise((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject))
  return socket
}

const header = "<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams' to='a.example' from='b.example' version='1.0'>"

/** Writes as fast as the gateway takes it, until the connection ends or so much has been taken. */
async function flood(socket: Socket, text: string, most: number): Promise<{ taken: number; ended: boolean }> {
  let ended = false
  let wake = (): void => undefined
  const over = (): void => {
    ended = true
    wake()
  }
  // The end may show as a reset or as a broken pipe.
  socket.on("error", over).on("close", over)
  const block = text.repeat(Math.ceil(65_536 / text.length))
  let taken = 0
  while (!ended && taken < most) {
    if (!socket.write(block) && !ended) {
      await new Promise<void>((resolve) => {
        wake = resolve
        socket.once("drain", resolve)
      })
    }
    taken += block.length
  }
  return { taken, ended }
}

describe("a peer that asks and never reads the answers", () => {
  const rows: readonly (readonly [string, string])[] = [
    ["before anything is proved", "<db:verify from='b.example' to='a.example' id='1'>k</db:verify>"],
    ["behind a first claim", "<db:result from='b.example' to='none.example'>k</db:result>"],
  ]
  for (const [when, request] of rows) {
    it(`${when} has used up what a stream gets long before that`, async () => {
      const one = await startFixture({ domains: ["a.example"] })
      running.push(one)
      const socket = await secured(one)
      socket.pause()
      socket.write(header)
      await flood(socket, request, 64 * 1024 * 1024)
      const line = await one.logged("s2s.closed", /too much work was asked for/)
      assert.equal(line.event, "s2s.closed")
      assert.ok(one.lines("s2s.refused").length <= 25, "a flood is a few lines")
    })

    it(`${when} loses its stream, and the gateway no memory`, async () => {
      const one = await startFixture({ domains: ["a.example"], options: { claimLimits: { budget: boundless } } })
      running.push(one)
      const socket = await secured(one)
      socket.pause()
      socket.write(header)
      const { ended } = await flood(socket, request, 64 * 1024 * 1024)
      const line = await one.logged("s2s.closed", /does not read what it is sent/)
      assert.equal(line.event, "s2s.closed")
      assert.equal(ended || one.gateway.incoming.length === 0, true)
    })
  }
})

describe("2,000 unfinished connections", () => {
  it("hold no more than their share, and everybody else is served", async () => {
    const one = await startFixture({ domains: ["a.example"], more: "limits: { unauthenticatedPerIp: 64 }\n" })
    running.push(one)
    // 64 that are talked to, three times as many that wait outside.
    const held = 4 * 64
    let ended = 0
    const opened: Promise<void>[] = []
    for (let n = 0; n < 2000; n += 1) {
      const socket = connectTcp({ host: "127.0.0.1", port: one.s2s.port })
      sockets.push(socket)
      socket.on("close", () => {
        ended += 1
      })
      opened.push(
        new Promise((resolve) => {
          socket.once("connect", resolve).once("error", () => resolve())
        }),
      )
      if (n % 100 === 99) await Promise.all(opened.splice(0))
    }
    const deadline = Date.now() + 30_000
    while (ended < 2000 - held && Date.now() < deadline) await new Promise((resolve) => setImmediate(resolve))
    assert.equal(ended, 2000 - held)
    assert.equal(one.gateway.incoming.length, 64)
    // A few lines, not two thousand.
    assert.ok(one.lines("s2s.capped").length <= 2)
    const a = await RawComponent.attach(one.components, "a.example")
    sockets.push(a.socket)
    a.send("<message from='a.example' to='a.example' id='served'/>")
    await a.until(/id='served'\/>/)
  })
})
