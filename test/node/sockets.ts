// Real channel pairs over loopback for the tests of src/node: TCP, Unix sockets and TLS.
import { mkdtempSync, rmSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach } from "node:test"
import { CertificateAuthority, type IssuedCertificate } from "../../src/lab/certificate-authority.ts"
import { parseCidr } from "../../src/model/reach.ts"
import { systemClock } from "../../src/node/clock.ts"
import { createDial } from "../../src/node/dial.ts"
import { createListen } from "../../src/node/listen.ts"
import { type NewPace, SocketChannel } from "../../src/node/tcp.ts"
import { createTls } from "../../src/node/tls.ts"
import type { Channel, Listener, NetworkAddress, SecuredChannel, TlsCredentials } from "../../src/ports.ts"
import type { ChannelPair } from "../contracts/channel.ts"

export const loopback = { networks: [parseCidr("127.0.0.0/8"), parseCidr("::1")], names: ["example"], ownListeners: [] }
export const authority = CertificateAuthority.create({ now: Date.now() })
export const inTime = (ms = 15_000): AbortSignal => AbortSignal.timeout(ms)
export const credentialsOf = (issued: IssuedCertificate): TlsCredentials => ({ certificatePem: issued.chainPem, keyPem: issued.keyPem })
export const serverCertificate = credentialsOf(authority.issue({ names: { dns: ["b.example"] } }))
export const clientCertificate = credentialsOf(authority.issue({ names: { dns: ["a.example"] } }))

/** Whatever a test that failed left open would keep its process alive. */
const opened = new Set<{ destroy(): unknown }>()
afterEach(() => {
  destroyAll(...opened)
  opened.clear()
})

function destroyAll(...connections: readonly { destroy(): unknown }[]): void {
  for (const connection of connections) connection.destroy()
}

/** A few turns of the event loop, enough for what loopback delivers at once. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn += 1) await new Promise((resolve) => setImmediate(resolve))
  await new Promise((resolve) => setTimeout(resolve, 5))
}

/** A listener on a free port that hands out what it accepts, in order. */
export async function acceptor(
  at: NetworkAddress | { readonly path: string } = { address: "127.0.0.1", port: 0 },
  newPace?: NewPace,
): Promise<{
  listener: Listener
  next(): Promise<Channel>
}> {
  const arrived: Channel[] = []
  const wanted: ((channel: Channel) => void)[] = []
  const listener = await createListen({ newPace }).listen(at, (channel) => {
    opened.add(channel)
    const want = wanted.shift()
    if (want === undefined) arrived.push(channel)
    else want(channel)
  })
  return {
    listener,
    next: () =>
      new Promise((resolve) => {
        const channel = arrived.shift()
        if (channel === undefined) wanted.push(resolve)
        else resolve(channel)
      }),
  }
}

/** Both ends of one TCP connection: `a` dialled, `b` accepted. */
export async function tcpPair(address = "127.0.0.1", newPace?: NewPace): Promise<ChannelPair> {
  const dial = createDial({ reach: () => loopback, clock: systemClock, newPace })
  const { listener, next } = await acceptor({ address, port: 0 }, newPace)
  const [a, b] = await Promise.all([dial.connect(listener.address, { signal: inTime() }), next()])
  await listener.close()
  opened.add(a)
  return { a, b, settle, close: async () => destroyAll(a, b) }
}

/** A raw client socket, to misbehave with, and the channel our side accepted. */
export async function rawPair(): Promise<{ raw: Socket; channel: SocketChannel; close(): void }> {
  const { listener, next } = await acceptor()
  const raw = connect({ port: listener.address.port, host: listener.address.address, noDelay: true, allowHalfOpen: true })
  raw.on("error", () => raw.destroy())
  opened.add(raw)
  const channel = await next()
  await listener.close()
  return { raw, channel: channel as SocketChannel, close: () => destroyAll(raw, channel) }
}

export async function unixPair(): Promise<ChannelPair> {
  const folder = mkdtempSync(join(tmpdir(), "channel-"))
  const path = join(folder, "socket")
  const { listener, next } = await acceptor({ path })
  const socket = connect({ path, allowHalfOpen: true })
  const end = { address: path, port: 0 }
  const a = new SocketChannel(socket, { addresses: { remote: end, local: end } })
  const b = await next()
  await listener.close()
  return {
    a,
    b,
    settle,
    close: async () => {
      a.destroy()
      b.destroy()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Secures both ends of a TCP pair with the real thing. */
export async function secure(
  pair: ChannelPair,
  options: {
    client?: TlsCredentials
    server?: TlsCredentials
    clientAlpn?: string
    serverAlpn?: readonly string[]
    newPace?: NewPace
  } = {},
): Promise<{ client: SecuredChannel; server: SecuredChannel }> {
  const transport = createTls({ newPace: options.newPace })
  const [client, server] = await Promise.all([
    transport.client(pair.a, {
      serverName: "b.example",
      credentials: options.client ?? clientCertificate,
      ...(options.clientAlpn === undefined ? {} : { alpn: options.clientAlpn }),
      signal: inTime(),
    }),
    transport.server(pair.b, { pick: () => options.server ?? serverCertificate, alpn: options.serverAlpn ?? [], signal: inTime() }),
  ])
  return { client, server }
}

export async function tlsPair(newPace?: NewPace): Promise<ChannelPair> {
  const pair = await tcpPair("127.0.0.1", newPace)
  const { client, server } = await secure(pair, newPace === undefined ? {} : { newPace })
  return { a: client.channel, b: server.channel, settle, close: async () => destroyAll(client.channel, server.channel) }
}
