// One STARTTLS handshake with a server's port for other servers, and the certificate it shows for a domain (RFC 6120 5.4).
import { createHash } from "node:crypto"
import { connect } from "node:net"
import { connect as connectTls } from "node:tls"

export interface Shown {
  /** SHA-256 of the certificate, hex. */
  readonly fingerprint: string
  /** From the first TLS octet to the last, ms. */
  readonly handshakeMs: number
}

/**
 * Undefined: the server does not serve this domain, or shows nothing for it.
 *
 * @param patience ms for everything
 */
export function shownFor(domain: string, address: string, port = 5269, patience = 5000): Promise<Shown | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port })
    const timer = setTimeout(() => settle(undefined), patience)
    let done = false
    const settle = (shown: Shown | undefined): void => {
      if (done) return
      done = true
      clearTimeout(timer)
      socket.destroy()
      resolve(shown)
    }
    socket.on("error", () => settle(undefined))
    socket.on("close", () => settle(undefined))
    socket.once("connect", () =>
      socket.write(
        `<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='probe.example' to='${domain}' version='1.0'>`,
      ),
    )
    let text = ""
    let asked = false
    const read = (chunk: Buffer): void => {
      text += chunk.toString("latin1")
      if (/<(?:\w+:)?error\b/.test(text)) return settle(undefined)
      if (!asked && text.includes("</stream:features>")) {
        asked = true
        text = ""
        socket.write("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
      } else if (asked && text.includes("<proceed")) {
        socket.off("data", read)
        const begun = performance.now()
        // What is shown is compared here; whether it proves anything is not this program's question.
        const secured = connectTls({ socket, servername: domain, rejectUnauthorized: false, checkServerIdentity: () => undefined }, () => {
          const { raw } = secured.getPeerCertificate()
          settle({ fingerprint: createHash("sha256").update(raw).digest("hex"), handshakeMs: performance.now() - begun })
        })
        secured.on("error", () => settle(undefined))
      }
    }
    socket.on("data", read)
  })
}

/**
 * Asks again and again until the certificate is the one expected.
 *
 * @returns milliseconds until then, or undefined when the time is over
 */
export async function untilShown(domain: string, fingerprint: string, address: string, limitMs: number, everyMs = 25): Promise<number | undefined> {
  const begun = performance.now()
  while (performance.now() - begun < limitMs) {
    const shown = await shownFor(domain, address)
    if (shown?.fingerprint === fingerprint) return performance.now() - begun
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
  return undefined
}
