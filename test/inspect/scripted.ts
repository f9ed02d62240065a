// A server that says what it is told to, in clear or behind STARTTLS, and keeps every octet it was sent: for what no proper server does.
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { TLSSocket } from "node:tls"
import type { Internet } from "../../src/lab/internet.ts"

export interface Scripted {
  readonly port: number
  /** Everything that came, of all connections. */
  heard(): string
  close(): Promise<void>
}

/** What to say to what was heard so far on one connection; undefined: nothing. */
export type Script = (heard: string, answered: number) => string | undefined

export const header = (from: string, content = "jabber:server"): string =>
  `<?xml version='1.0'?><stream:stream xmlns='${content}' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='${from}' id='s1' version='1.0'>`

export interface BehindTls {
  readonly cert: string
  readonly key: string
  readonly script: Script
}

const proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
const offer = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"

/** Offers STARTTLS, and says `script` behind it. */
export async function scriptedTls(net: Internet, domain: string, behind: BehindTls, service = "xmpp-server"): Promise<Scripted> {
  const content = service === "xmpp-server" ? "jabber:server" : "jabber:client"
  return await scripted(net, domain, (_, answered) => (answered === 0 ? `${header(domain, content)}${offer}` : answered === 1 ? proceed : undefined), service, behind)
}

/** Starts it at 127.0.0.1 and leads the domain there. */
export async function scripted(net: Internet, domain: string, script: Script, service = "xmpp-server", behind?: BehindTls): Promise<Scripted> {
  const sockets = new Set<Socket>()
  let all = ""
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    converse(socket, script)
  })
  const converse = (socket: Duplex, says: Script): void => {
    let heard = ""
    let answered = 0
    socket.on("error", () => socket.destroy())
    socket.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1")
      all += bytes.toString("latin1")
      const answer = says(heard, answered)
      if (answer === undefined) return
      answered += 1
      socket.write(answer)
      if (answer !== proceed || behind === undefined) return
      socket.removeAllListeners("data")
      converse(new TLSSocket(socket as Socket, { isServer: true, cert: behind.cert, key: behind.key }), behind.script)
    })
  }
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  net.signed.zones.set(`_${service}._tcp.${domain}`, { SRV: [[0, 0, port, `xmpp.${domain}`]] })
  net.signed.zones.set(`xmpp.${domain}`, { A: ["127.0.0.1"] })
  return {
    port,
    heard: () => all,
    close: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, "close")
    },
  }
}
