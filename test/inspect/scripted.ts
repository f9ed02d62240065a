// A server that says what it is told to, in clear, and keeps every octet it was sent: for what no proper server does.
import { once } from "node:events"
import { type AddressInfo, createServer, type Socket } from "node:net"
import type { Internet } from "../../src/lab/internet.ts"

export interface Scripted {
  readonly port: number
  /** Everything that came, of all connections. */
  heard(): string
  close(): Promise<void>
}

/** What to say to what was heard so far on one connection; undefined: nothing. `end` is said, and the connection ended. */
export type Script = (heard: string, answered: number) => string | undefined

export const header = (from: string, content = "jabber:server"): string =>
  `<?xml version='1.0'?><stream:stream xmlns='${content}' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='${from}' id='s1' version='1.0'>`

/** Starts it at 127.0.0.1 and leads the domain there. */
export async function scripted(net: Internet, domain: string, script: Script, service = "xmpp-server"): Promise<Scripted> {
  const sockets = new Set<Socket>()
  let all = ""
  const server = createServer((socket) => {
    sockets.add(socket)
    let heard = ""
    let answered = 0
    socket.on("error", () => socket.destroy())
    socket.on("close", () => sockets.delete(socket))
    socket.on("data", (bytes) => {
      heard += bytes.toString("latin1")
      all += bytes.toString("latin1")
      const answer = script(heard, answered)
      if (answer === undefined) return
      answered += 1
      socket.write(answer)
    })
  })
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
