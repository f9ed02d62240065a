// Read pacing on real sockets: what arrives in many small TLS records is delivered without a rest for each.
import assert from "node:assert/strict"
import { once } from "node:events"
import { type AddressInfo, connect, createServer } from "node:net"
import { test } from "node:test"
import { connect as connectTls, createSecureContext, TLSSocket } from "node:tls"

import { CertificateAuthority } from "../../src/lab/certificate-authority.ts"
import { systemClock } from "../../src/node/clock.ts"
import { Pace } from "../../src/node/pace.ts"
import { SocketChannel } from "../../src/node/tcp.ts"

const records = 5000
const record = Buffer.alloc(193, 0x78)

/** Sends `records` small writes as fast as it can; counts the rests that reading took. */
async function transfer(secure: boolean): Promise<{ milliseconds: number; bytes: number; rests: number }> {
  const issued = CertificateAuthority.create({ now: Date.now(), name: "Pacing Root" }).issue({ names: { dns: ["pacing.example"] } })
  const server = createServer({ allowHalfOpen: true })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const client = secure ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false }) : connect(port, "127.0.0.1")
  const [accepted] = await once(server, "connection")
  const socket = secure
    ? new TLSSocket(accepted, { isServer: true, secureContext: createSecureContext({ cert: issued.chainPem, key: issued.keyPem }) })
    : accepted
  await once(client, secure ? "secureConnect" : "connect")
  const pace = new Pace(systemClock)
  let rests = 0
  const counting = {
    onChunk(bytes: number): number {
      const ms = pace.onChunk(bytes)
      if (ms > 0) rests += 1
      return ms
    },
  }
  const channel = new SocketChannel(socket, { pace: counting })
  let bytes = 0
  const began = performance.now()
  const all = new Promise<void>((resolve) => {
    channel.attach({
      chunk(chunk) {
        bytes += chunk.length
        if (bytes === records * record.length) resolve()
      },
      drain: () => undefined,
      end: () => undefined,
      close: () => undefined,
    })
  })
  for (let index = 0; index < records; index += 1) client.write(record)
  await all
  const milliseconds = performance.now() - began
  channel.destroy()
  client.destroy()
  server.close()
  await once(server, "close")
  return { milliseconds, bytes, rests }
}

for (const secure of [false, true]) {
  test(secure ? "5,000 TLS records" : "5,000 writes in clear", async () => {
    const { bytes, rests } = await transfer(secure)
    assert.equal(bytes, records * record.length)
    assert.ok(rests < records / 20, `${rests} rests for ${records} records`)
  })
}
