// The driver's own XEP-0114 component: a raw socket that counts or times what arrives, and costs next to nothing.
import { createHash } from "node:crypto"
import { connect, type Socket } from "node:net"

const endOfMessage = Buffer.from("</message>")

/** Counts `</message>` in a stream of chunks, also across their borders. */
export class MessageCounter {
  #tail = Buffer.alloc(0)
  count = 0

  add(chunk: Buffer): number {
    const before = this.count
    if (this.#tail.length > 0) {
      const border = Buffer.concat([this.#tail, chunk.subarray(0, endOfMessage.length - 1)])
      if (border.includes(endOfMessage)) this.count += 1
    }
    for (let at = chunk.indexOf(endOfMessage); at >= 0; at = chunk.indexOf(endOfMessage, at + endOfMessage.length)) this.count += 1
    const kept = endOfMessage.length - 1
    this.#tail =
      chunk.length >= kept ? Buffer.from(chunk.subarray(chunk.length - kept)) : Buffer.concat([this.#tail, chunk]).subarray(-kept)
    return this.count - before
  }
}

export interface Component {
  readonly domain: string
  readonly socket: Socket
  /** Set after the handshake. */
  onData: (chunk: Buffer) => void
}

export interface ComponentAddress {
  readonly address: string
  readonly port: number
  readonly domain: string
  readonly secret: string
}

/** Connects and shakes hands; rejects with what the server said. */
export function attachComponent({ address, port, domain, secret }: ComponentAddress): Promise<Component> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port })
    socket.setNoDelay(true)
    const component: Component = { domain, socket, onData: () => undefined }
    let text = ""
    let answered = false
    let ready = false
    socket.once("connect", () => {
      socket.write(
        `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`,
      )
    })
    socket.on("data", (chunk: Buffer) => {
      if (ready) return component.onData(chunk)
      text += chunk.toString("latin1")
      const id = /<stream:stream[^>]*\sid=['"]([^'"]+)['"][^>]*>/.exec(text)?.[1]
      if (id !== undefined && !answered) {
        answered = true
        socket.write(
          `<handshake>${createHash("sha1")
            .update(id + secret)
            .digest("hex")}</handshake>`,
        )
      }
      if (answered && text.includes("<handshake")) {
        ready = true
        resolve(component)
      }
    })
    socket.once("error", reject)
    socket.once("close", () => reject(new Error(`${domain}: the server closed the component stream: ${text.slice(-300)}`)))
  })
}

/** The message of the bench: 193 bytes when the domains have their usual lengths. */
export function benchMessage(from: string, to: string, id: string, size = 193): string {
  const head = `<message from='bot@${from}/one' to='sink@${to}/two' type='chat' id='${id}'><body>`
  const tail = "</body></message>"
  return `${head}${"x".repeat(Math.max(1, size - head.length - tail.length))}${tail}`
}
