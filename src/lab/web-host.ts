// The lab's web: HTTPS hosts on one loopback address and port, told apart by SNI, with good certificates or bad ones and answers
// that are right or wrong on purpose; what was asked of them is kept (issue, "Lab and interop"; POSH-01, POSH-02).
import { once } from "node:events"
import { type AddressInfo, createServer, type Server, type Socket } from "node:net"
import tls from "node:tls"
import type { Clock, NetworkAddress } from "../ports.ts"
import { type CertificateAuthority, type IssuedCertificate, selfSigned } from "./certificate-authority.ts"
import { readServerName } from "./client-hello.ts"
import { type LabWebAnswer, type LabWebRequest, say } from "./web-answer.ts"

export type { LabWebAnswer, LabWebRequest } from "./web-answer.ts"

/** `stranger`: from a CA that nobody in the lab knows. */
export type LabWebCertificate = "good" | "wrong-name" | "expired" | "self-signed" | "stranger"

export type LabWebScript = LabWebAnswer | ((request: LabWebRequest) => LabWebAnswer)

export interface LabWebHostSpec {
  /** A-labels, lower case. */
  readonly host: string
  /** `good` unless given. */
  readonly certificate?: LabWebCertificate | IssuedCertificate
  /** `http`: answers a TLS handshake in plain HTTP. `nothing`: never answers one. `reset`: breaks it off. Otherwise `https`. */
  readonly speaks?: "https" | "http" | "nothing" | "reset"
  /** By path, with its query; any other path is a 404. */
  readonly answers?: Readonly<Record<string, LabWebScript>>
}

export interface LabWebHost {
  readonly host: string
  /** Where it is, for all hosts of one lab the same. */
  readonly at: NetworkAddress
  readonly certificate: IssuedCertificate
  /** Whole requests, oldest first; the last 10,000. */
  readonly requests: readonly LabWebRequest[]
  /** Handshakes that were begun for this name. */
  readonly connections: number
  /** As it would stand in a document or a redirect: the port of the lab's web stands for 443 and is not named. */
  url(path: string): string
  /** Answers the path so from now on; undefined: 404 again. */
  answer(path: string, script: LabWebScript | undefined): void
  close(): void
}

export interface LabWebSurroundings {
  readonly clock: Clock
  readonly authority: CertificateAuthority
  readonly stranger: () => CertificateAuthority
  /** Told of every request as it is answered. */
  asked?(host: LabWebHost, request: LabWebRequest, answer: LabWebAnswer): void
}

/** Octets of a request that are waited for. */
const mostRequest = 16 * 1024
const mostKept = 10_000
const day = 86_400_000
const notFound: LabWebAnswer = { status: 404, headers: { "Content-Type": "text/plain" }, body: "nothing here\n" }

class Host implements LabWebHost {
  readonly host: string
  readonly at: NetworkAddress
  readonly certificate: IssuedCertificate
  readonly requests: LabWebRequest[] = []
  connections = 0
  readonly context: tls.SecureContext
  readonly speaks: NonNullable<LabWebHostSpec["speaks"]>
  readonly #answers: Map<string, LabWebScript>
  readonly #gone: () => void

  constructor(spec: LabWebHostSpec, certificate: IssuedCertificate, at: NetworkAddress, gone: () => void) {
    this.host = spec.host
    this.at = at
    this.certificate = certificate
    this.context = tls.createSecureContext({ cert: certificate.chainPem, key: certificate.keyPem })
    this.speaks = spec.speaks ?? "https"
    this.#answers = new Map(Object.entries(spec.answers ?? {}))
    this.#gone = gone
  }

  url(path: string): string {
    return `https://${this.host}${path}`
  }

  answer(path: string, script: LabWebScript | undefined): void {
    if (script === undefined) this.#answers.delete(path)
    else this.#answers.set(path, script)
  }

  answerTo(request: LabWebRequest): LabWebAnswer {
    this.requests.push(request)
    if (this.requests.length > mostKept) this.requests.shift()
    const script = this.#answers.get(request.path) ?? notFound
    return typeof script === "function" ? script(request) : script
  }

  close(): void {
    this.#gone()
  }
}

/** Collects until `read` has what it needs; false takes no more. The socket is paused before `read` acts. */
function collect(from: Socket, most: number, read: (bytes: Buffer) => boolean): void {
  let bytes = Buffer.alloc(0)
  const onData = (piece: Buffer): void => {
    bytes = Buffer.concat([bytes, piece])
    if (read(bytes)) from.off("data", onData)
    else if (bytes.length > most) from.destroy()
  }
  from.on("data", onData)
}

function readRequest(bytes: Buffer): LabWebRequest | undefined {
  const text = bytes.toString("latin1")
  if (!text.includes("\r\n\r\n")) return undefined
  const [method = "", path = ""] = text.split(" ", 2)
  return { method, path, host: /\r\nhost: *([^\r]*)/i.exec(text)?.[1] ?? "" }
}

export class LabWeb {
  readonly at: NetworkAddress
  readonly #around: LabWebSurroundings
  readonly #server: Server
  readonly #hosts = new Map<string, Host>()
  readonly #sockets = new Set<Socket>()

  private constructor(server: Server, around: LabWebSurroundings) {
    this.#server = server
    this.#around = around
    const { address, port } = server.address() as AddressInfo
    this.at = { address, port }
    server.on("connection", (socket) => this.#accept(socket))
  }

  /**
   * Listens; hosts are added one by one.
   *
   * @param at port 0: a free one, since 443 takes privileges
   */
  static async start(at: NetworkAddress, around: LabWebSurroundings): Promise<LabWeb> {
    const server = createServer({ allowHalfOpen: true, noDelay: true })
    server.listen({ host: at.address, port: at.port })
    await once(server, "listening")
    return new LabWeb(server, around)
  }

  get hosts(): readonly LabWebHost[] {
    return [...this.#hosts.values()]
  }

  /**
   * @param gone called when the host is closed
   * @throws Error when the host is there already
   */
  add(spec: LabWebHostSpec, gone: () => void = () => undefined): LabWebHost {
    if (this.#hosts.has(spec.host)) throw new Error(`${spec.host} has a web host already`)
    const host = new Host(spec, this.#issue(spec), this.at, () => {
      if (this.#hosts.get(spec.host) !== host) return
      this.#hosts.delete(spec.host)
      gone()
    })
    this.#hosts.set(spec.host, host)
    return host
  }

  #issue({ host, certificate = "good" }: LabWebHostSpec): IssuedCertificate {
    const { authority, stranger } = this.#around
    if (typeof certificate !== "string") return certificate
    const names = { dns: [host] }
    const { now } = authority
    switch (certificate) {
      case "good":
        return authority.issue({ names })
      case "wrong-name":
        return authority.issue({ names: { dns: [`wrong.${host}`] } })
      case "expired":
        return authority.issue({ names, notBefore: now - 10 * day, notAfter: now - day })
      case "self-signed":
        return selfSigned({ names, now })
      case "stranger":
        return stranger().issue({ names })
    }
  }

  #accept(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on("error", () => socket.destroy())
    socket.on("close", () => this.#sockets.delete(socket))
    socket.on("end", () => socket.end())
    collect(socket, mostRequest, (flight) => {
      const reading = readServerName(flight)
      if (reading.state === "more") return false
      const host = reading.state === "named" ? this.#hosts.get(reading.serverName) : undefined
      if (host === undefined) {
        socket.destroy()
        return true
      }
      host.connections += 1
      if (host.speaks === "reset") socket.resetAndDestroy()
      else if (host.speaks === "http") socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
      else if (host.speaks === "https") {
        socket.pause()
        socket.unshift(flight)
        this.#secure(socket, host)
      }
      return true
    })
  }

  #secure(raw: Socket, host: Host): void {
    const socket = new tls.TLSSocket(raw, { isServer: true, secureContext: host.context, ALPNProtocols: ["http/1.1"] })
    socket.on("error", () => raw.destroy())
    socket.on("_tlsError", () => raw.destroy())
    socket.on("end", () => socket.end())
    collect(socket, mostRequest, (bytes) => {
      const request = readRequest(bytes)
      if (request === undefined) return false
      // Whatever else the client says is not wanted, but its end is.
      socket.resume()
      const answer = host.answerTo(request)
      this.#around.asked?.(host, request, answer)
      say(socket, answer, this.#around.clock)
      return true
    })
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close")
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }
}
