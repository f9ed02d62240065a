// A minimal external component (XEP-0114) over a raw socket, for tests: whole stanzas as text in and out.
import { createHash } from "node:crypto"
import { once } from "node:events"
import { connect, type Socket } from "node:net"

export interface Bot {
  readonly domain: string
  /** Stanzas received so far, as text. */
  readonly received: readonly string[]
  send(stanza: string): void
  /** The first stanza received (past ones included) in which the text occurs or the pattern matches. */
  waitFor(wanted: string | RegExp, timeout?: number): Promise<string>
  /** Sends a chat message with this body from `bot@<domain>`. */
  say(to: string, body: string): void
  close(): Promise<void>
}

/**
 * Cuts whole top-level elements out of what follows the stream header. Good enough for what servers send to a
 * component: no CDATA, comments or `>` inside attribute values occur there.
 */
export function cutElements(text: string): { elements: string[]; rest: string } {
  const elements: string[] = []
  let start = 0
  let depth = 0
  for (const match of text.matchAll(/<(\/?)([^\s<>/]+)([^<>]*?)(\/?)>/g)) {
    const end = match.index + match[0].length
    if (match[1] === "/") depth -= 1
    else if (match[4] !== "/") depth += 1
    if (depth < 0) break // the end of the stream
    if (depth === 0) {
      elements.push(text.slice(start, end).trim())
      start = end
    }
  }
  return { elements, rest: text.slice(start) }
}

/** Connects and authenticates; rejects with what the server said when it refuses. */
export async function startBot(options: { domain: string; secret: string; server: { address: string; port: number } }): Promise<Bot> {
  const { domain, secret, server } = options
  const socket: Socket = connect({ host: server.address, port: server.port })
  socket.setNoDelay(true)
  await once(socket, "connect")
  socket.write(
    `<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='${domain}'>`,
  )

  const received: string[] = []
  const waiting = new Set<() => void>()
  let buffered = ""
  let closed: string | undefined
  let authenticated = false
  let accept: () => void
  let refuse: (error: Error) => void
  const ready = new Promise<void>((resolve, reject) => {
    accept = resolve
    refuse = reject
  })
  const wake = (): void => {
    for (const look of [...waiting]) look()
  }
  const finish = (why: string): void => {
    closed ??= why
    refuse(new Error(`component ${domain}: ${why}`))
    wake()
  }
  let opened = false
  socket.setEncoding("utf8").on("data", (text: string) => {
    buffered += text
    if (!opened) {
      const header = /<stream:stream[^>]*>/.exec(buffered)
      if (header === null) return
      opened = true
      buffered = buffered.slice(header.index + header[0].length)
      const id = /\bid=(['"])(.*?)\1/.exec(header[0])?.[2] ?? ""
      socket.write(
        `<handshake>${createHash("sha1")
          .update(id + secret)
          .digest("hex")}</handshake>`,
      )
    }
    const { elements, rest } = cutElements(buffered)
    buffered = rest
    for (const element of elements) {
      if (!authenticated && element.startsWith("<handshake")) {
        authenticated = true
        accept()
      } else received.push(element)
      if (element.startsWith("<stream:error")) finish(element)
    }
    wake()
  })
  socket.on("error", (error) => finish(error.message))
  socket.on("close", () => finish(`closed; last received: ${received.at(-1) ?? buffered}`))
  await ready

  return {
    domain,
    received,
    send: (stanza) => void socket.write(stanza),
    say: (to, body) => void socket.write(`<message from='bot@${domain}' to='${to}' type='chat'><body>${body}</body></message>`),
    waitFor(wanted, timeout = 30_000) {
      return new Promise((resolve, reject) => {
        let next = 0
        const settle = (act: () => void): void => {
          clearTimeout(timer)
          waiting.delete(look)
          act()
        }
        const look = (): void => {
          for (; next < received.length; next += 1) {
            const stanza = received[next] ?? ""
            if (typeof wanted === "string" ? stanza.includes(wanted) : wanted.test(stanza)) return settle(() => resolve(stanza))
          }
          if (closed !== undefined) settle(() => reject(new Error(`${domain} is closed (${closed}) before ${wanted}`)))
        }
        const timer = setTimeout(
          () =>
            settle(() => reject(new Error(`${domain} did not receive ${wanted} within ${timeout} ms; received:\n${received.join("\n")}`))),
          timeout,
        )
        waiting.add(look)
        look()
      })
    },
    async close() {
      if (socket.destroyed) return
      socket.end("</stream:stream>")
      const giveUp = setTimeout(() => socket.destroy(), 1_000)
      await new Promise((resolve) => socket.once("close", resolve)) // not events.once: a reset by a dying server is an end as well
      clearTimeout(giveUp)
    },
  }
}
