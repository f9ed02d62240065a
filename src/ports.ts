// What the pure world asks of the real one (types only): channels, dialling, TLS, time, randomness, logs.
// Bytes move in chunks, by callback: no async iterators and no Duplex between a socket and TLS (docs/decisions).

import type { Instant } from "./model/verdict.ts"

export interface NetworkAddress {
  readonly address: string
  readonly port: number
}

/** Why a channel is over. `reset` also covers a TLS alert from the peer; `local` means we destroyed it. */
export interface ChannelClosed {
  readonly by: "peer" | "local" | "reset" | "error"
  readonly detail?: string
}

export interface ChannelHandler {
  /** Bytes that arrived. They belong to the receiver of the call only until it returns: copy what is kept. */
  chunk(bytes: Buffer): void
  /** The backlog fell to nothing after `write` had returned false. */
  drain(): void
  /** The peer has finished sending (FIN or close_notify); we may still write. */
  end(): void
  /** Called once, last. */
  close(closed: ChannelClosed): void
}

/** A two-way byte pipe: TCP, TLS over TCP, or a pair in memory. Reading is paused until a handler is attached. */
export interface Channel {
  readonly remote: NetworkAddress
  readonly local: NetworkAddress
  /** Replaces the handler. Chunks that arrive while none is attached wait (the source is paused). */
  attach(handler: ChannelHandler): void
  /** Takes the handler away and pauses; used before an upgrade to TLS and when a stream changes hands. */
  release(): void
  /** Queues bytes, which must not be changed afterwards. False: over the high-water mark, `drain` will follow. */
  write(bytes: Uint8Array): boolean
  /** What is written in the rest of this turn of the loop leaves together: for who expects that more follows at once. */
  gather?(): void
  /** Bytes accepted by `write` that the kernel (or the peer in memory) has not taken yet. */
  readonly backlog: number
  pause(): void
  resume(): void
  /** Finish sending after what is queued (close_notify, then FIN). */
  end(): void
  /** Gives up at once. `close` follows with `by: "local"`. */
  destroy(): void
}

/** A certificate chain with its key, as PEM; the identity of the object is the cache key of the TLS context. */
export interface TlsCredentials {
  readonly certificatePem: string
  readonly keyPem: string
}

/** What one completed handshake showed; copied once, never asked again (a late TLS getter can crash the process). */
export interface TlsFacts {
  /** The certificates as presented, leaf first, DER; empty when the peer showed none. At most 16 are kept. */
  readonly chain: readonly Uint8Array[]
  readonly protocol: string
  readonly cipher: string
  readonly serverName: string | undefined
  readonly alpn: string | undefined
  /** EXPORTER-Channel-Binding, 32 octets, empty context (RFC 9266). */
  readonly exporter: Uint8Array
  /** Further ones under the labels asked for, 32 octets, empty context; TLS 1.3 only. Never logged, kept or recorded (security.md 27). */
  readonly exporters?: ReadonlyMap<string, Uint8Array>
}

export interface SecuredChannel {
  readonly channel: Channel
  readonly facts: TlsFacts
  /**
   * Connecting side, where the platform tells: calls back when session tickets of the peer have come, with how many came
   * together. The tickets are never used; they show that the peer has seen the end of our handshake.
   *
   * @returns ends it
   */
  tickets?(heard: (together: number) => void): () => void
  /** Where the platform tells: octets that have come from the peer so far, as they were on the wire, with those that TLS keeps to itself. */
  received?(): number
}

export interface TlsClientOptions {
  /** SNI: the service domain as A-label. */
  readonly serverName: string
  /** Direct TLS sends its ALPN name (XEP-0368); STARTTLS may. */
  readonly alpn?: string
  /** Our own certificate, shown when the peer asks for one. */
  readonly credentials?: TlsCredentials
  /** Labels of further exporters; they must be asked for before the handshake. */
  readonly exporterLabels?: readonly string[]
  readonly signal: AbortSignal
}

export interface TlsServerOptions {
  /** Direct TLS picks by SNI; STARTTLS picks by the header's `to` and ignores the argument (TLS-07). */
  readonly pick: (serverName: string | undefined) => TlsCredentials | undefined
  /** Acceptable ALPN names; a client that offers only others is refused (DTLS-4). A client that offers none is accepted. */
  readonly alpn: readonly string[]
  /** False: no certificate is asked of the client, as a browser would ask its user for one. */
  readonly asksForCertificate?: boolean
  readonly exporterLabels?: readonly string[]
  readonly signal: AbortSignal
}

/** TLS as a transport only: it never judges a certificate. Resumption is impossible; a resumed session is an error. */
export interface Tls {
  client(channel: Channel, options: TlsClientOptions): Promise<SecuredChannel>
  server(channel: Channel, options: TlsServerOptions): Promise<SecuredChannel>
}

/** Opens a connection; every implementation asks the dial guard about the very address it dials (security.md 17). Rejects with DialError. */
export interface Dial {
  connect(
    to: NetworkAddress,
    options: {
      readonly signal: AbortSignal
      /** Address of the peer whose claim caused this connection; attempts are capped by it as well. */
      readonly source?: string
    },
  ): Promise<Channel>
}

export interface Listener {
  readonly address: NetworkAddress
  /** Stops accepting; existing channels stay. */
  close(): Promise<void>
}

export interface Listen {
  /** Binds (port 0 picks a free one) and calls back for each accepted channel. Rejects when it cannot bind. */
  listen(at: NetworkAddress | { readonly path: string }, accept: (channel: Channel) => void): Promise<Listener>
}

export interface Clock {
  now(): Instant
  /** Milliseconds that never go back; differences only. */
  monotonic(): number
  /** Calls back once after `ms`; the returned function cancels. */
  after(ms: number, callback: () => void): () => void
}

export interface Random {
  bytes(count: number): Uint8Array
  /** 0 <= x < 1; for jitter and SRV order, never for secrets. */
  fraction(): number
}

export type LogLevel = "debug" | "info" | "warn" | "error"

/** One structured line. `event` comes from a fixed list; fields never hold secrets or stanza bodies (security.md 27). */
export interface Log {
  write(level: LogLevel, event: string, fields: Readonly<Record<string, unknown>>): void
  /** Whether lines of this level are written anywhere; without it all are. For lines that cost more to word than to drop. */
  enabled?(level: LogLevel): boolean
}

/** One HTTPS request to one address. Nothing is followed, kept, proxied or sent along: no cookies, no credentials. */
export interface HttpsRequest {
  /** A-label; it is the SNI and the Host header. */
  readonly host: string
  /** Path and query, beginning with a slash. */
  readonly path: string
  /** Resolved before and dialled as it is, through the dial guard (security.md 17). */
  readonly to: NetworkAddress
  /** Address of the peer whose claim caused this; attempts are capped by it as well. */
  readonly source?: string
  /** Octets of the body; one more rejects. */
  readonly maxOctets: number
  readonly signal: AbortSignal
  /** Asked once, after the handshake and before a byte of the request is written. False: nothing is asked of this server. */
  accept(facts: TlsFacts): boolean
}

export interface HttpsAnswer {
  readonly status: number
  readonly location: string | undefined
  readonly contentType: string | undefined
  /** Empty unless the status is a success: the body of any other answer is not read. */
  readonly body: Uint8Array
  readonly facts: TlsFacts
}

/** HTTPS as a transport only: certificates are judged by whoever asks. Rejects with HttpsError or DialError. */
export interface Https {
  get(request: HttpsRequest): Promise<HttpsAnswer>
}

export interface HttpRequest {
  readonly method: string
  /** Without the query. */
  readonly path: string
  /** The Host header without its port, lower case; empty when there was none. */
  readonly host: string
  readonly remote: NetworkAddress
}

export interface HttpAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Uint8Array
}

/** A small HTTP server: answers at once, from memory. Bounded in connections, header size and time. */
export interface HttpServe {
  /** @param tls picks the certificate by SNI; undefined refuses the handshake. Without it: plain HTTP. */
  serve(at: NetworkAddress | { readonly path: string }, handle: (request: HttpRequest) => HttpAnswer, tls?: { pick(serverName: string | undefined): TlsCredentials | undefined }): Promise<Listener>
}

export interface DirectoryEntry {
  readonly path: string
  readonly kind: "file" | "directory" | "other"
}

/** The few file operations the gateway needs. */
export interface FileFacts {
  /** Permission bits. */
  readonly mode: number
  readonly size: number
  readonly modified: Instant
  readonly kind: DirectoryEntry["kind"]
  /** Whose it is: the user's this process runs as, the superuser's, or somebody else's. */
  readonly owner: "self" | "root" | "other"
  /** Whether the path is a symbolic link; everything else is about what it leads to. */
  readonly link: boolean
  /** Changes whenever the file is written, replaced, or its owner or permissions change. */
  readonly stamp: string
}

export interface Files {
  read(path: string): Promise<Uint8Array>
  list(path: string): Promise<readonly DirectoryEntry[]>
  /** After links are followed. */
  stat(path: string): Promise<FileFacts>
  /**
   * Calls back (settled, at most once in 500 ms) when something below the path changes. Returns the stopper.
   *
   * @param changed is given the paths that changed; undefined when that is not known
   */
  watch(path: string, changed: (paths?: readonly string[]) => void): () => void
  write(path: string, bytes: Uint8Array, options: { readonly mode: number }): Promise<void>
  remove(path: string): Promise<void>
}

/** What is remembered across restarts; each kind has its own bound. */
export type StoreKind = "abilities" | "ratchet"

export interface StoreRecord {
  readonly kind: StoreKind
  readonly key: string
  /** JSON of whoever keeps it. */
  readonly value: string
}

export interface StoreChange {
  readonly kind: StoreKind
  readonly key: string
  /** Undefined: forgotten. */
  readonly value: string | undefined
  readonly changed: Instant
}

/** How a store was found when it was opened. `lost` and `damaged` are said loudly: what the ratchet knew is gone (security.md 13). */
export type StoreFound =
  | { readonly kind: "kept" | "new" }
  | { readonly kind: "upgraded"; readonly from: number; readonly to: number }
  | { readonly kind: "lost" }
  /** The file could not be read and was set aside, not deleted. */
  | { readonly kind: "damaged"; readonly detail: string; readonly aside: string }

/** A small memory on disk, held by one process at a time. Reads happen once, at the start; what changes is written in batches. */
export interface Store {
  readonly found: StoreFound
  /** For messages: the path of the file. */
  readonly place: string
  /** Everything that is kept, the most recently changed first. */
  records(): readonly StoreRecord[]
  /** All of it or nothing. Rejects with StoreError; the changes are then to be given again. */
  write(changes: readonly StoreChange[]): Promise<void>
  close(): Promise<void>
}
