// An HTTPS server for the tests of the client: node:tls and bytes by hand, so that it can be as wrong as it likes.
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import { afterEach } from "node:test"
import tls from "node:tls"
import { systemClock } from "../../src/node/clock.ts"
import { createDial } from "../../src/node/dial.ts"
import { createHttps } from "../../src/node/https.ts"
import { createTls } from "../../src/node/tls.ts"
import type { HttpsRequest, NetworkAddress, TlsCredentials } from "../../src/ports.ts"
import { inTime, loopback, serverCertificate } from "./sockets.ts"

export interface TestServer {
  readonly at: NetworkAddress
  /** Request headers as they came, one text each. */
  readonly requests: string[]
  /** Connections ever accepted, and those still open. */
  readonly counts: { accepted: number; open: number }
  close(): void
}

export interface TestServerOptions {
  readonly credentials?: TlsCredentials
  readonly alpn?: readonly string[]
  /** Sees each raw connection before TLS; true: it has dealt with it. */
  readonly raw?: (socket: Socket) => boolean
  /** Once the handshake is done, before any request. */
  readonly greeted?: (socket: tls.TLSSocket, raw: Socket) => void
}

const running = new Set<TestServer>()
afterEach(() => {
  for (const server of running) server.close()
  running.clear()
})

/**
 * Starts a server that is stopped after the test.
 *
 * @param script called with each whole request header
 */
export async function testServer(
  script: (socket: tls.TLSSocket, request: string, raw: Socket) => void,
  options: TestServerOptions = {},
): Promise<TestServer> {
  const { certificatePem, keyPem } = options.credentials ?? serverCertificate
  const context = tls.createSecureContext({ cert: certificatePem, key: keyPem })
  const sockets = new Set<Socket>()
  const requests: string[] = []
  const counts = { accepted: 0, open: 0 }
  const server = createServer({ allowHalfOpen: true }, (raw) => {
    sockets.add(raw)
    counts.accepted += 1
    counts.open += 1
    raw.on("error", () => raw.destroy())
    raw.on("close", () => {
      counts.open -= 1
      sockets.delete(raw)
    })
    if (options.raw?.(raw) === true) return
    const socket = new tls.TLSSocket(raw, {
      isServer: true,
      secureContext: context,
      ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
    })
    socket.on("error", () => raw.destroy())
    socket.on("end", () => socket.end())
    socket.once("secure", () => options.greeted?.(socket, raw))
    let text = ""
    socket.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1")
      const end = text.indexOf("\r\n\r\n")
      if (end === -1) return
      const request = text.slice(0, end)
      text = text.slice(end + 4)
      requests.push(request)
      script(socket, request, raw)
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const started: TestServer = {
    at: { address: "127.0.0.1", port: (server.address() as AddressInfo).port },
    requests,
    counts,
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
  running.add(started)
  return started
}

export const dial = createDial({ reach: () => loopback, clock: systemClock })
export const https = createHttps({ dial, tls: createTls() })

/** A request that accepts whoever answers. */
export const asking = (server: Pick<TestServer, "at">, changes: Partial<HttpsRequest> = {}): HttpsRequest => ({
  host: "b.example",
  path: "/.well-known/posh/xmpp-server.json",
  to: server.at,
  maxOctets: 1000,
  signal: inTime(),
  accept: () => true,
  ...changes,
})
