// A TLS of the world in memory: each end shows its certificates in a preamble, nothing is encrypted, the facts are those of the real one (ports.ts Tls).
import { createHash, X509Certificate } from "node:crypto"
import { TlsError } from "../../src/model/errors.ts"
import type { Channel, Random, SecuredChannel, Tls, TlsClientOptions, TlsCredentials, TlsServerOptions } from "../../src/ports.ts"
import { type Endpoint, MemoryChannel } from "./channel.ts"

const magic = Buffer.from("TLS!")
const longestFrame = 1 << 20
const mostCertificates = 16

interface Hello {
  readonly kind: "client-hello"
  readonly serverName: string
  readonly alpn?: string
  readonly random: string
}
interface ServerFlight {
  readonly kind: "server"
  readonly chain: readonly string[]
  readonly alpn?: string
  readonly random: string
}
interface ClientFlight {
  readonly kind: "client"
  readonly chain: readonly string[]
  readonly seen: string
}
interface Alert {
  readonly kind: "alert"
  readonly reason: "no_application_protocol" | "handshake_failure"
}
type Message = Hello | ServerFlight | ClientFlight | Alert

function frame(message: Message): Buffer {
  const body = Buffer.from(JSON.stringify(message))
  const head = Buffer.alloc(8)
  magic.copy(head)
  head.writeUInt32BE(body.length, 4)
  return Buffer.concat([head, body])
}

/** The certificates of a PEM text as DER, in Base64. */
export function chainOf(credentials: TlsCredentials | undefined): string[] {
  const blocks = credentials?.certificatePem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  return blocks.map((block) => new X509Certificate(block).raw.toString("base64"))
}

/** Reads and writes frames on an endpoint until it is done with; every way out but `done` destroys the connection. */
class Conversation {
  readonly #endpoint: Endpoint
  readonly #signal: AbortSignal
  #held = Buffer.alloc(0)
  #wake: (() => void) | undefined
  #over: TlsError | undefined
  readonly #onAbort = (): void => this.#stop(new TlsError("timeout", "the TLS handshake was given up", { cause: this.#signal.reason }))

  constructor(endpoint: Endpoint, signal: AbortSignal) {
    this.#endpoint = endpoint
    this.#signal = signal
    signal.addEventListener("abort", this.#onAbort, { once: true })
    if (signal.aborted) this.#onAbort()
    const closed = (): void => this.#stop(new TlsError("closed", "the peer closed the connection during the TLS handshake"))
    endpoint.attach({
      chunk: (bytes) => {
        this.#held = Buffer.concat([this.#held, bytes])
        this.#wake?.()
      },
      drain: () => undefined,
      end: closed,
      close: closed,
    })
  }

  #stop(error: TlsError): void {
    this.#over ??= error
    this.#wake?.()
  }

  send(message: Message): void {
    this.#endpoint.write(frame(message))
  }

  async read<K extends Message["kind"]>(kind: K): Promise<Extract<Message, { kind: K }>> {
    for (;;) {
      if (this.#over !== undefined) throw this.#over
      const seen = Math.min(this.#held.length, magic.length)
      // The first wrong octet is enough.
      if (!this.#held.subarray(0, seen).equals(magic.subarray(0, seen))) throw new TlsError("handshake", "the peer does not speak TLS")
      const length = this.#held.length < 8 ? undefined : this.#held.readUInt32BE(4)
      if (length !== undefined && length > longestFrame) throw new TlsError("handshake", "a handshake message is too long")
      if (length !== undefined && this.#held.length >= 8 + length) {
        const body = this.#held.subarray(8, 8 + length).toString()
        this.#held = this.#held.subarray(8 + length)
        return this.#expect(kind, body)
      }
      await new Promise<void>((resolve) => (this.#wake = resolve))
      this.#wake = undefined
    }
  }

  #expect<K extends Message["kind"]>(kind: K, body: string): Extract<Message, { kind: K }> {
    let message: Message
    try {
      message = JSON.parse(body) as Message
    } catch (cause) {
      throw new TlsError("handshake", "a handshake message cannot be read", { cause })
    }
    if (message.kind === "alert")
      throw new TlsError(message.reason === "no_application_protocol" ? "alpn" : "handshake", `the peer sent the alert ${message.reason}`)
    if (message.kind !== kind) throw new TlsError("handshake", `a ${message.kind} message came in place of ${kind}`)
    return message as Extract<Message, { kind: K }>
  }

  /** The handshake is complete: what was read beyond it belongs to the stream. */
  done(): Channel {
    this.#signal.removeEventListener("abort", this.#onAbort)
    this.#endpoint.release()
    this.#endpoint.masked = true
    this.#endpoint.unreadMasked(this.#held)
    return new MemoryChannel(this.#endpoint)
  }

  fail(error: unknown): never {
    this.#signal.removeEventListener("abort", this.#onAbort)
    this.#endpoint.release()
    this.#endpoint.destroy()
    throw error
  }
}

function open(channel: Channel, signal: AbortSignal): Conversation {
  if (!(channel instanceof MemoryChannel)) throw new TypeError("this TLS needs a channel of the world in memory")
  if (signal.aborted) {
    channel.destroy()
    throw new TlsError("timeout", "the TLS handshake was given up", { cause: signal.reason })
  }
  const endpoint = channel.handOver()
  if (endpoint === undefined) {
    channel.destroy()
    throw new TlsError("closed", "the connection was closed before the TLS handshake")
  }
  return new Conversation(endpoint, signal)
}

const digest = (...parts: unknown[]): Buffer => createHash("sha256").update(JSON.stringify(parts)).digest()

function secured(
  conversation: Conversation,
  chain: readonly string[],
  serverName: string,
  alpn: string | undefined,
  exporter: Buffer,
  labels: readonly string[] = [],
): SecuredChannel {
  return {
    channel: conversation.done(),
    facts: {
      chain: chain.slice(0, mostCertificates).map((one) => Uint8Array.from(Buffer.from(one, "base64"))),
      protocol: "TLSv1.3",
      cipher: "TLS_AES_128_GCM_SHA256",
      serverName: serverName === "" ? undefined : serverName,
      alpn,
      exporter: Uint8Array.from(exporter),
      ...(labels.length === 0 ? {} : { exporters: new Map(labels.map((label) => [label, Uint8Array.from(digest(label, exporter.toString("hex")))])) }),
    },
  }
}

export function createMemoryTls(random: Random): Tls {
  return {
    async client(channel: Channel, options: TlsClientOptions): Promise<SecuredChannel> {
      const conversation = open(channel, options.signal)
      try {
        const hello: Hello = {
          kind: "client-hello",
          serverName: options.serverName,
          ...(options.alpn === undefined ? {} : { alpn: options.alpn }),
          random: Buffer.from(random.bytes(32)).toString("hex"),
        }
        const chain = chainOf(options.credentials)
        conversation.send(hello)
        const answer = await conversation.read("server")
        const exporter = digest(hello, answer)
        conversation.send({ kind: "client", chain, seen: exporter.toString("hex") })
        return secured(conversation, answer.chain, options.serverName, answer.alpn, exporter, options.exporterLabels)
      } catch (error) {
        return conversation.fail(error)
      }
    },

    async server(channel: Channel, options: TlsServerOptions): Promise<SecuredChannel> {
      const conversation = open(channel, options.signal)
      try {
        const hello = await conversation.read("client-hello")
        const serverName = hello.serverName === "" ? undefined : hello.serverName
        const credentials = options.pick(serverName)
        if (credentials === undefined) {
          conversation.send({ kind: "alert", reason: "handshake_failure" })
          throw new TlsError("no-credentials", `no certificate for ${serverName ?? "a client that names no server"}`)
        }
        const chosen = hello.alpn !== undefined && options.alpn.includes(hello.alpn) ? hello.alpn : undefined
        if (hello.alpn !== undefined && chosen === undefined && options.alpn.length > 0) {
          conversation.send({ kind: "alert", reason: "no_application_protocol" })
          throw new TlsError("alpn", "the client offers none of our application protocols")
        }
        const answer: ServerFlight = {
          kind: "server",
          chain: chainOf(credentials),
          ...(chosen === undefined ? {} : { alpn: chosen }),
          random: Buffer.from(random.bytes(32)).toString("hex"),
        }
        conversation.send(answer)
        const last = await conversation.read("client")
        const exporter = digest(hello, answer)
        // Stands for Finished: both saw the same handshake.
        if (last.seen !== exporter.toString("hex")) throw new TlsError("handshake", "the two ends saw different handshakes")
        return secured(conversation, last.chain, hello.serverName, chosen, exporter, options.exporterLabels)
      } catch (error) {
        return conversation.fail(error)
      }
    },
  }
}
