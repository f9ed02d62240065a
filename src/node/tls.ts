// The Tls port on node:tls, as a transport that judges nothing (RFC 6120 5.4.3, XEP-0368, RFC 9266, RFC 9325; TLS-04, TLS-07, TLS-09, TLS-10, DTLS-4).
import { constants } from "node:crypto"
import type { Socket } from "node:net"
import tls from "node:tls"
import { TlsError } from "../model/errors.ts"
import type { Channel, SecuredChannel, Tls, TlsClientOptions, TlsCredentials, TlsFacts, TlsServerOptions } from "../ports.ts"
import { errorCode, type NewPace, readAhead, SocketChannel } from "./tcp.ts"

/** Certificates of a peer that are kept; OpenSSL itself stops reading a chain at 100 KiB. */
export const maximumChain = 16
/** Contexts kept ready; each costs about 40 KiB. */
const maximumContexts = 1000

/**
 * Classical groups first: the hybrid one that the platform prefers costs up to 28 KiB for as long as a connection lasts, and none of
 * today's stock servers offers it. A peer that insists on it gets it, where the platform knows it.
 */
const groups = ["X25519:P-256:P-384:X25519MLKEM768", "X25519:P-256:P-384"].find((list) => {
  try {
    return tls.createSecureContext({ ecdhCurve: list }) !== undefined
  } catch {
    return false // not known to this OpenSSL
  }
})

const contextOptions: tls.SecureContextOptions = {
  ...(groups === undefined ? {} : { ecdhCurve: groups }),
  // No root lists: they would cost a megabyte a context, and their names would be sent to every client.
  ca: [],
  // TLS 1.2 at least, forward secrecy and AEAD only (TLS-10; RFC 9325 4.2).
  minVersion: "TLSv1.2",
  ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM",
  // Without a context id OpenSSL kills every client that merely asks to resume.
  sessionIdContext: "xmpp-dna",
  // No tickets: a resumed session shows no certificates. No renegotiation (TLS-09).
  secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
}

/** TLS contexts by the identity of their credentials: made when first needed, the least recently used dropped first. */
export class ContextCache {
  readonly #cells = new WeakMap<TlsCredentials, { context: tls.SecureContext | undefined }>()
  readonly #recent = new Set<{ context: tls.SecureContext | undefined }>()
  readonly #limit: number
  /** For a server: no certificate, so every handshake fails with an alert. For a client: none is shown. */
  readonly bare = tls.createSecureContext(contextOptions)

  constructor(limit = maximumContexts) {
    this.#limit = limit
  }

  get size(): number {
    return this.#recent.size
  }

  /** @throws TlsError `no-credentials` when certificate and key cannot be used */
  of(credentials: TlsCredentials): tls.SecureContext {
    let cell = this.#cells.get(credentials)
    if (cell === undefined) this.#cells.set(credentials, (cell = { context: undefined }))
    try {
      cell.context ??= tls.createSecureContext({ ...contextOptions, cert: credentials.certificatePem, key: credentials.keyPem })
    } catch (cause) {
      throw new TlsError("no-credentials", `our certificate or key cannot be used: ${errorCode(cause)}`, { cause })
    }
    this.#recent.delete(cell)
    this.#recent.add(cell)
    for (const oldest of this.#recent) {
      if (this.#recent.size <= this.#limit) break
      this.#recent.delete(oldest)
      oldest.context = undefined
    }
    return cell.context
  }
}

/**
 * Chains that were shown, each once: a peer shows the same one on all its streams, and it is kept, with what was found out about it,
 * for as long as one of them lasts.
 */
class ShownChains {
  readonly #held = new Map<string, WeakRef<readonly Uint8Array[]>>()
  readonly #ended = new FinalizationRegistry<string>((fingerprint) => {
    if (this.#held.get(fingerprint)?.deref() === undefined) this.#held.delete(fingerprint)
  })

  /** @returns the same octets, from before where they were shown before */
  one(fingerprint: string, chain: readonly Uint8Array[]): readonly Uint8Array[] {
    const known = this.#held.get(fingerprint)?.deref()
    if (known !== undefined) {
      const same = known.length === chain.length && known.every((certificate, index) => Buffer.compare(certificate, chain[index]!) === 0)
      return same ? known : chain
    }
    this.#held.set(fingerprint, new WeakRef(chain))
    this.#ended.register(chain, fingerprint)
    return chain
  }
}

const shownChains = new ShownChains()

/**
 * Copies what the handshake showed. Called once, first thing in the secure event: in Node 24 the chain can be read only once, and
 * getters on a socket that is closing can end the process.
 */
function capture(socket: tls.TLSSocket, serverName: string | undefined, labels: readonly string[]): TlsFacts {
  const chain: Uint8Array[] = []
  const leaf = socket.getPeerX509Certificate()
  for (let certificate = leaf; certificate !== undefined; certificate = certificate.issuerCertificate) {
    chain.push(Uint8Array.from(certificate.raw))
    if (chain.length === maximumChain) break
  }
  const alpn = socket.alpnProtocol
  // The empty context is given explicitly: in TLS 1.2 leaving it out gives another value (RFC 9266 4).
  const exported = (label: string): Uint8Array => Uint8Array.from(socket.exportKeyingMaterial(32, label, Buffer.alloc(0)))
  // TLS 1.2 without its extended master secret exports the same octets on two connections.
  const exporters = socket.getProtocol() === "TLSv1.3" && labels.length > 0 ? new Map(labels.map((label) => [label, exported(label)])) : undefined
  return {
    chain: leaf === undefined ? chain : shownChains.one(leaf.fingerprint256, chain),
    protocol: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().standardName,
    serverName,
    alpn: typeof alpn === "string" ? alpn : undefined,
    exporter: exported("EXPORTER-Channel-Binding"),
    ...(exporters === undefined ? {} : { exporters }),
  }
}

interface Attempt {
  readonly signal: AbortSignal
  readonly newPace: NewPace
  /** A finer reason than the library's error, where we refused ourselves. */
  readonly refusal: (error: TlsError) => TlsError | undefined
  readonly serverName: (socket: tls.TLSSocket) => string | undefined
  readonly exporterLabels: readonly string[] | undefined
  readonly connecting?: true
}

/** Each ticket is an event of its own; those that came in one read are told together, after all that came with them. */
function ticketsOf(socket: tls.TLSSocket): NonNullable<SecuredChannel["tickets"]> {
  return (heard) => {
    let together = 0
    let over = false
    const tell = (): void => {
      const count = together
      together = 0
      if (!over) heard(count)
    }
    const onTicket = (): void => {
      together += 1
      if (together === 1) setImmediate(tell)
    }
    socket.on("session", onTicket)
    return () => {
      over = true
      socket.off("session", onTicket)
    }
  }
}

/** Made here, so that nothing of the handshake is kept alive. */
function receivedOn(raw: Socket): NonNullable<SecuredChannel["received"]> {
  return () => raw.bytesRead
}

/** A server socket of our own making reports later TLS errors only by this event, and would hang without an end. */
function giveUp(this: tls.TLSSocket, error: Error): void {
  this.destroy(error)
}

/** There is always a listener for errors: one without would end the process. Shared, so that nothing of the handshake is kept alive. */
function reported(): undefined {
  return undefined
}

function failureOf(error: Error | undefined): TlsError {
  const code = error === undefined ? "closed" : errorCode(error)
  if (error === undefined || code === "ECONNRESET" || code === "EPIPE")
    return new TlsError("closed", "the peer closed the connection during the TLS handshake", { cause: error })
  if (/NO_APPLICATION_PROTOCOL/.test(code))
    return new TlsError("alpn", "the peer speaks none of our application protocols", { cause: error })
  return new TlsError("handshake", `the TLS handshake failed: ${code}`, { cause: error })
}

function timedOut(signal: AbortSignal): TlsError {
  return new TlsError("timeout", "the TLS handshake was given up", { cause: signal.reason })
}

function take(channel: Channel, signal: AbortSignal): { raw: Socket; under: SocketChannel } {
  if (!(channel instanceof SocketChannel)) throw new TypeError("TLS needs a channel made by this folder")
  if (signal.aborted) {
    channel.destroy()
    throw timedOut(signal)
  }
  const raw = channel.handOver()
  if (raw === undefined) {
    channel.destroy()
    throw new TlsError("closed", "the connection was closed before the TLS handshake")
  }
  return { raw, under: channel }
}

/** Waits for the one secure event of a socket just made; every other way out is a TlsError and destroys the connection (TLS-04). */
function handshake(raw: Socket, under: SocketChannel, make: () => tls.TLSSocket, attempt: Attempt): Promise<SecuredChannel> {
  return new Promise((resolve, reject) => {
    let settled = false
    let socket: tls.TLSSocket | undefined
    const stop = (): void => {
      settled = true
      attempt.signal.removeEventListener("abort", onAbort)
      raw.off("end", onGone)
      socket?.off("end", onGone).off("close", onGone).off("error", onError).on("error", reported)
    }
    const fail = (error: TlsError): void => {
      if (settled) return
      stop()
      socket?.destroy()
      under.destroy()
      reject((error.failure === "handshake" ? attempt.refusal(error) : undefined) ?? error)
    }
    const onAbort = (): void => fail(timedOut(attempt.signal))
    const onError = (error: Error): void => fail(failureOf(error))
    const onGone = (): void => fail(failureOf(undefined))
    const onSecure = (): void => {
      if (settled || socket === undefined) return
      try {
        // A resumed session shows no chain, so nothing could be proved on it.
        if (socket.isSessionReused())
          return fail(new TlsError("resumed", "the TLS session was resumed; every stream needs a full handshake"))
        const facts = capture(socket, attempt.serverName(socket), attempt.exporterLabels ?? [])
        stop()
        const pace = attempt.newPace?.()
        const channel = new SocketChannel(socket, { addresses: under, pace })
        const secured = { channel, facts, received: receivedOn(raw) }
        resolve(attempt.connecting === true ? { ...secured, tickets: ticketsOf(socket) } : secured)
      } catch (cause) {
        fail(new TlsError("handshake", `the TLS handshake left no usable facts: ${errorCode(cause)}`, { cause }))
      }
    }
    attempt.signal.addEventListener("abort", onAbort, { once: true })
    raw.once("end", onGone)
    try {
      socket = make()
    } catch (cause) {
      return fail(
        cause instanceof TlsError ? cause : new TlsError("handshake", `the TLS handshake could not start: ${errorCode(cause)}`, { cause }),
      )
    }
    // First of all listeners: the library's own must not read the chain before us.
    socket.prependOnceListener("secure", onSecure)
    socket.on("error", onError)
    socket.on("_tlsError", giveUp)
    socket.once("end", onGone)
    socket.once("close", onGone)
  })
}

/** Our own validator judges the chain; the library's opinion is never asked. Shared: sockets keep their options for life. */
const noOpinion = { rejectUnauthorized: false, checkServerIdentity: () => undefined }

const protocolLists = new Map<string, DataView>()

/** The platform copies it for each connection: of a view that is no byte array into memory of its own, of others into its pool. */
function protocolList(name: TlsClientOptions["alpn"] & string): DataView {
  let list = protocolLists.get(name)
  if (list === undefined) protocolLists.set(name, (list = new DataView(Uint8Array.of(name.length, ...Buffer.from(name, "latin1")).buffer)))
  return list
}

/** What a server shows and speaks on one connection. Its socket keeps the callbacks for life, so what they asked for ends with the handshake. */
class ServerChoice {
  readonly #contexts: ContextCache
  #wanted: TlsServerOptions | undefined
  #refusal: TlsError | undefined
  #unnamed: TlsError | undefined

  constructor(contexts: ContextCache, wanted: TlsServerOptions) {
    this.#contexts = contexts
    this.#wanted = wanted
  }

  settings(): tls.TLSSocketOptions & { highWaterMark: number } {
    const { asksForCertificate, alpn } = this.#wanted!
    return {
      isServer: true,
      secureContext: this.#contextFor(undefined),
      // TLS-06: asked for, never required here.
      requestCert: asksForCertificate ?? true,
      rejectUnauthorized: false,
      // Asked only when the client names a server (TLS-07, DTLS-3).
      SNICallback: (serverName, answer) => {
        const context = this.#contextFor(serverName)
        // A bare context does not take a default certificate away again: then the connection is dropped without an alert.
        if (context === this.#contexts.bare && this.#unnamed === undefined) answer(this.#refusal ?? new Error("no certificate"))
        else answer(null, context)
      },
      ...(alpn.length === 0 ? {} : { ALPNCallback: ({ protocols }: { protocols: string[] }) => this.#protocolAmong(protocols) }),
      highWaterMark: readAhead,
    }
  }

  #contextFor(serverName: string | undefined): tls.SecureContext {
    let problem: TlsError
    try {
      const credentials = this.#wanted?.pick(serverName)
      if (credentials !== undefined) return this.#contexts.of(credentials)
      problem = new TlsError("no-credentials", `no certificate for ${serverName ?? "a client that names no server"}`)
    } catch (cause) {
      problem = cause instanceof TlsError ? cause : new TlsError("no-credentials", `no certificate: ${errorCode(cause)}`, { cause })
    }
    if (serverName === undefined) this.#unnamed = problem
    else this.#refusal = problem
    return this.#contexts.bare
  }

  /** No protocol in common ends the handshake with an alert (DTLS-4, RFC 7301 3.2). */
  #protocolAmong(offered: readonly string[]): string | undefined {
    const chosen = this.#wanted?.alpn.find((name) => offered.includes(name))
    if (chosen === undefined) this.#refusal = new TlsError("alpn", "the client offers none of our application protocols")
    return chosen
  }

  /** A finer reason than the library's error. */
  refusalFor({ message }: TlsError): TlsError | undefined {
    return this.#refusal ?? (/NO_SHARED_CIPHER|NO_SUITABLE/.test(message) ? this.#unnamed : undefined)
  }

  over(): void {
    this.#wanted = undefined
  }
}

function namedBy(socket: tls.TLSSocket): string | undefined {
  const name: unknown = "servername" in socket ? socket.servername : undefined
  return typeof name === "string" && name !== "" ? name : undefined
}

/**
 * Starts TLS on channels of this folder.
 *
 * @param options.newPace paces reads of the decrypted channel
 * @param options.contexts shared between several, or smaller in tests
 */
export function createTls(options: { newPace?: NewPace; contexts?: ContextCache } = {}): Tls {
  const contexts = options.contexts ?? new ContextCache()
  const newPace = options.newPace

  return {
    async client(channel: Channel, wanted: TlsClientOptions): Promise<SecuredChannel> {
      const { raw, under } = take(channel, wanted.signal)
      const make = (): tls.TLSSocket => {
        const settings = {
          socket: raw,
          secureContext: wanted.credentials === undefined ? contexts.bare : contexts.of(wanted.credentials),
          servername: wanted.serverName,
          ...(wanted.alpn === undefined ? {} : { ALPNProtocols: protocolList(wanted.alpn) }),
          ...noOpinion,
          highWaterMark: readAhead,
        }
        return tls.connect(settings)
      }
      return handshake(raw, under, make, {
        signal: wanted.signal,
        newPace,
        refusal: () => undefined,
        serverName: () => wanted.serverName,
        exporterLabels: wanted.exporterLabels,
        connecting: true,
      })
    },

    async server(channel: Channel, wanted: TlsServerOptions): Promise<SecuredChannel> {
      const { raw, under } = take(channel, wanted.signal)
      const choice = new ServerChoice(contexts, wanted)
      try {
        // Standalone: tls.Server loses the intermediates of clients it likes (Node 24).
        return await handshake(raw, under, () => new tls.TLSSocket(raw, choice.settings()), {
          signal: wanted.signal,
          newPace,
          refusal: (error) => choice.refusalFor(error),
          serverName: namedBy,
          exporterLabels: wanted.exporterLabels,
        })
      } finally {
        choice.over()
      }
    },
  }
}
