// An outlet on real sockets whose reader stops now and then: every byte arrives, in order, although memory is used again.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"
import { describe, test } from "node:test"
import { connect as connectTls, createSecureContext, TLSSocket } from "node:tls"

import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { SocketChannel } from "../../src/node/tcp.ts"
import { Outlet } from "../../src/stream/outlet.ts"

const total = 12 * 1024 * 1024

async function pair(secure: boolean): Promise<{ near: Socket; far: Socket; close(): Promise<void> }> {
  const issued = CertificateAuthority.create({ now: Date.now(), name: "Outlet Root" }).issue({ names: { dns: ["outlet.example"] } })
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const far = secure ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }) : connect(port, "127.0.0.1")
  const [accepted] = (await once(server, "connection")) as [Socket]
  const near = secure
    ? new TLSSocket(accepted, { isServer: true, secureContext: createSecureContext({ cert: issued.chainPem, key: issued.keyPem }) })
    : accepted
  await once(far, secure ? "secureConnect" : "connect")
  return {
    near,
    far,
    async close() {
      far.destroy()
      server.close()
      await once(server, "close")
    },
  }
}

describe("an outlet on real sockets", () => {
  for (const secure of [false, true]) {
    test(secure ? "TLS" : "TCP", async () => {
      const { near, far, close } = await pair(secure)
      const outlet = new Outlet({ limit: 64 * 1024 })
      const channel = new SocketChannel(near)
      const sent = createHash("sha256")
      const received = createHash("sha256")
      let arrived = 0
      let produced = 0
      let random = 12345
      const next = (below: number): number => {
        random = (Math.imul(random, 1103515245) + 12345) >>> 0
        return (random >>> 8) % below
      }
      const done = new Promise<void>((resolve) => {
        far.on("data", (chunk: Buffer) => {
          received.update(chunk)
          arrived += chunk.length
          // The reader stops now and then, for as long as the writer needs to fill every buffer on the way.
          if (next(40) === 0) {
            far.pause()
            setTimeout(() => far.resume(), next(4))
          }
          if (arrived === total) resolve()
        })
      })
      let refused = 0
      const produce = (): void => {
        for (let stanzas = 1 + next(60); stanzas > 0 && produced < total; stanzas -= 1) {
          const length = Math.min(total - produced, next(50) === 0 ? 1 + next(90_000) : 1 + next(700))
          const stanza = Buffer.alloc(length + 2, produced & 0xff)
          stanza.writeUInt8(next(256), next(length) + 1)
          if (outlet.append(stanza, 1, length + 1) !== "queued") {
            refused += 1
            break
          }
          sent.update(stanza.subarray(1, length + 1))
          produced += length
          stanza.fill(0)
        }
        outlet.flush()
        if (produced < total) setImmediate(produce)
      }
      try {
        channel.attach({ chunk: () => undefined, drain: () => outlet.drained(), end: () => undefined, close: () => undefined })
        outlet.attach(channel)
        produce()
        await done
        assert.equal(received.digest("hex"), sent.digest("hex"))
        assert.ok(refused > 0, "the reader was never too slow: the test shows nothing")
        assert.equal(outlet.unsent, 0)
      } finally {
        channel.destroy()
        await close()
      }
    })
  }
})
