// A server of the lab that only negotiates, by a script: what no proper server does, and what takes no gateway (RFC 6120 4 and 5).
import { once } from "node:events"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { createSecureContext, type SecureContextOptions, TLSSocket } from "node:tls"
import type { Service } from "../model/verdict.ts"
import type { NetworkAddress } from "../ports.ts"
import type { IssuedCertificate } from "./certificate-authority.ts"

/** What to say to what was heard so far on one connection, after so many answers; undefined: nothing. */
export type Script = (heard: string, answered: number) => string | undefined

export interface PlainServerSpec {
  readonly domain: string
  /** `xmpp-server` unless given. */
  readonly service?: Service
  /** Without one there is no TLS. */
  readonly certificate?: Pick<IssuedCertificate, "chainPem" | "keyPem">
  readonly directTls?: boolean
  /** What it says before TLS; unless given it asks for STARTTLS, or offers what there is without it. */
  readonly clear?: Script
  /** What it says behind TLS; unless given a header and features with dialback. */
  readonly behind?: Script
  /** Of its TLS, for what a proper server would not do. */
  readonly tls?: SecureContextOptions
  /** A free one unless given. */
  readonly at?: NetworkAddress
}

export interface PlainServer {
  readonly at: NetworkAddress
  /** Everything that came, of all connections, in clear and decrypted. */
  heard(): string
  close(): Promise<void>
}

export function openingOf(from: string, service: Service = "xmpp-server"): string {
  const content = service === "xmpp-server" ? "xmlns='jabber:server' xmlns:db='jabber:server:dialback'" : "xmlns='jabber:client'"
  return `<?xml version='1.0'?><stream:stream ${content} xmlns:stream='http://etherx.jabber.org/streams' from='${from}' id='s1' version='1.0'>`
}

export function featuresOf(content: string): string {
  return `<stream:features>${content}</stream:features>`
}

export const starttlsOffer = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
export const starttlsDemand = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"
export const dialbackOffer = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
export const proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

export function mechanismsOf(...names: readonly string[]): string {
  return `<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>${names.map((name) => `<mechanism>${name}</mechanism>`).join("")}</mechanisms>`
}

export function streamErrorOf(condition: string): string {
  return `<stream:error><${condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>`
}

/** Says these one after the other, each to what comes next. */
export function saying(...answers: readonly string[]): Script {
  return (_, answered) => answers[answered]
}

/** Answers the header, and then nothing that is asked. */
export const opens = (domain: string, features: string, service: Service = "xmpp-server"): Script => saying(`${openingOf(domain, service)}${featuresOf(features)}`)

function usualClear({ domain, service, certificate }: PlainServerSpec): Script {
  if (certificate === undefined) return opens(domain, service === "xmpp-client" ? mechanismsOf("PLAIN") : dialbackOffer, service)
  return saying(`${openingOf(domain, service)}${featuresOf(starttlsDemand)}`, proceed)
}

function usualBehind({ domain, service = "xmpp-server" }: PlainServerSpec): Script {
  return opens(domain, service === "xmpp-server" ? dialbackOffer : mechanismsOf("SCRAM-SHA-256"), service)
}

/** Starts it; nothing is published. */
export async function startPlainServer(spec: PlainServerSpec): Promise<PlainServer> {
  const { certificate } = spec
  const secureContext = certificate === undefined ? undefined : createSecureContext({ cert: certificate.chainPem, key: certificate.keyPem, ...spec.tls })
  const alpn = spec.service === "xmpp-client" ? "xmpp-client" : "xmpp-server"
  const clear = spec.clear ?? usualClear(spec)
  const behind = spec.behind ?? usualBehind(spec)
  const sockets = new Set<Socket>()
  let all = ""
  const secure = (raw: Socket): void => {
    raw.removeAllListeners("data")
    converse(new TLSSocket(raw, { isServer: true, secureContext, requestCert: true, rejectUnauthorized: false, ALPNProtocols: [alpn] } as ConstructorParameters<typeof TLSSocket>[1]), behind)
  }
  const converse = (stream: Duplex, script: Script, raw?: Socket): void => {
    let heard = ""
    let answered = 0
    // Whoever connects may leave in the middle, or refuse our TLS.
    stream.on("error", () => stream.destroy())
    stream.on("data", (bytes: Buffer) => {
      heard += bytes.toString("latin1")
      all += bytes.toString("latin1")
      if (all.length > mostKept) all = all.slice(-mostKept)
      const answer = script(heard, answered)
      if (answer === undefined) return
      answered += 1
      stream.write(answer)
      if (answer === hangUp) stream.end()
      else if (answer === proceed && raw !== undefined && secureContext !== undefined) secure(raw)
    })
  }
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
    socket.on("error", () => socket.destroy())
    if (spec.directTls === true) secure(socket)
    else converse(socket, clear, socket)
  })
  server.listen({ host: spec.at?.address ?? "127.0.0.1", port: spec.at?.port ?? 0 })
  await once(server, "listening")
  const { address, port } = server.address() as AddressInfo
  return {
    at: { address, port },
    heard: () => all,
    close: async () => {
      const closed = once(server, "close")
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

/** The end of the connection in place of an answer. */
export const hangUp = ""
const mostKept = 1_000_000
