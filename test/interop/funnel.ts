// A server in front of real ones that leads what they send to us onto one stream (RFC 7712 4.4, from the side that stock servers
// do not have): their own `db:result` with their own keys and their own stanzas, on a stream that is there already.
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { createSecureContext, TLSSocket, connect as tlsConnect } from "node:tls"
import { cutElements } from "./bot.ts"
import type { Identity } from "./peers/process.ts"

export interface FunnelSetup {
  /** Where our domains are published for the servers behind it; it listens at port 5269 there. */
  readonly address: string
  /** Our gateway. */
  readonly gateway: string
  /** For whom the shared stream is opened, by SASL EXTERNAL. */
  readonly pair: { readonly from: string; readonly to: string }
  readonly identity: Identity
  /** What the servers behind it are shown. */
  readonly ours: Identity
}

export interface Funnel {
  /** What our gateway said on the shared stream since it was authenticated. */
  readonly heard: readonly string[]
  /** Of the shared stream: our gateway has ended it. */
  readonly over: boolean
  /** Connections of the servers behind it so far. */
  readonly connections: number
  /** Changes what goes onto the shared stream. */
  alter: (element: string) => string
  close(): Promise<void>
}

const header = (from: string, to: string, id?: string): string =>
  `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='${from}' to='${to}'${id === undefined ? "" : ` id='${id}'`} version='1.0'>`
const starttls = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
const proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

const attribute = (tag: string, name: string): string => new RegExp(`\\s${name}=(['"])(.*?)\\1`).exec(tag)?.[2] ?? ""

/** Text of a socket, read up to what is looked for. */
class Reader {
  #text = ""
  #wake = (): void => {}
  #over = false
  constructor(socket: Socket) {
    socket.setEncoding("utf8").on("data", (text: string) => {
      this.#text += text
      this.#wake()
    })
    socket.on("error", () => undefined) // `close` follows
    socket.on("close", () => {
      this.#over = true
      this.#wake()
    })
  }
  /** What was read up to the end of the match. */
  async upTo(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.#text)
      if (found !== null) {
        const end = found.index + found[0].length
        const read = this.#text.slice(0, end)
        this.#text = this.#text.slice(end)
        return read
      }
      if (this.#over) throw new Error(`ended before ${pattern}: ${this.#text}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
  /** Whole elements, until the end. */
  async *elements(): AsyncGenerator<string> {
    for (;;) {
      const { elements, rest } = cutElements(this.#text)
      this.#text = rest
      yield* elements
      if (this.#over) return
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }
}

const features = /<stream:features[^>]*\/>|<\/stream:features>/

async function openShared({ gateway, pair, identity }: FunnelSetup): Promise<{ socket: Socket; reader: Reader; id: string }> {
  const { from, to } = pair
  const plain = connect({ host: gateway, port: 5269 })
  const before = new Reader(plain)
  await once(plain, "connect")
  plain.write(header(from, to))
  await before.upTo(features)
  plain.write(starttls)
  await before.upTo(/<proceed[^>]*>/)
  plain.removeAllListeners("data")
  const { chainPem: cert, keyPem: key } = identity
  const socket = tlsConnect({ socket: plain, servername: to, cert, key, rejectUnauthorized: false })
  await once(socket, "secureConnect")
  const reader = new Reader(socket)
  socket.write(header(from, to))
  await reader.upTo(features)
  socket.write(`<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>${Buffer.from(from).toString("base64")}</auth>`)
  await reader.upTo(/<success[^>]*>/)
  socket.write(header(from, to))
  const id = attribute((await reader.upTo(features)).split("<stream:features")[0] ?? "", "id")
  return { socket, reader, id }
}

export async function startFunnel(setup: FunnelSetup): Promise<Funnel> {
  const shared = await openShared(setup)
  const heard: string[] = []
  const behind = new Map<string, Socket>()
  const sockets = new Set<Socket>()
  let over = false
  let connections = 0
  const listen = async (): Promise<void> => {
    for await (const element of shared.reader.elements()) {
      heard.push(element)
      behind.get(`${attribute(element, "to")} ${attribute(element, "from")}`)?.write(element)
    }
    over = true
  }
  const listening = listen()

  const secureContext = createSecureContext({ cert: setup.ours.chainPem, key: setup.ours.keyPem })
  const serve = async (plain: Socket): Promise<void> => {
    const before = new Reader(plain)
    const asked = await before.upTo(/<stream:stream[^>]*>/)
    const [from, to] = [attribute(asked, "from"), attribute(asked, "to")]
    plain.write(`${header(to, from, shared.id)}<stream:features>${starttls}</stream:features>`)
    await before.upTo(/<starttls[^>]*>/)
    plain.removeAllListeners("data")
    plain.write(proceed)
    const socket = new TLSSocket(plain, { isServer: true, secureContext })
    sockets.add(socket)
    const reader = new Reader(socket)
    await reader.upTo(/<stream:stream[^>]*>/)
    behind.set(`${from} ${to}`, socket)
    // The id of the shared stream, so that their keys are made for it.
    socket.write(`${header(to, from, shared.id)}<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>`)
    for await (const element of reader.elements()) {
      // It ends its own connection when we refuse its pair; that is no matter of the others.
      if (element.startsWith("<stream:error")) break
      shared.socket.write(funnel.alter(element))
    }
    socket.end()
  }
  const server = createServer((socket) => {
    connections += 1
    sockets.add(socket)
    // Servers end connections as they like; what a test waits for tells whether that was too early.
    serve(socket).catch(() => socket.destroy())
  })
  server.listen(5269, setup.address)
  await once(server, "listening")
  const funnel: Funnel = {
    heard,
    get over() {
      return over
    },
    get connections() {
      return connections
    },
    alter: (element) => element,
    async close() {
      for (const socket of [...sockets, shared.socket]) socket.destroy()
      await listening
      server.close()
      await once(server, "close")
    },
  }
  return funnel
}
