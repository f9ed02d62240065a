// The Https port: one GET over one guarded connection, HTTP/1.1 by node:http, every part of it bounded, and nothing followed,
// inflated, remembered or sent along (security.md 17, 18; RFC 9110, RFC 9112; POSH-02).
import type { ClientRequest, IncomingMessage } from "node:http"
import { HttpsError, TlsError } from "../model/errors.ts"
import type { Channel, Dial, Https, HttpsAnswer, HttpsRequest, Tls, TlsFacts } from "../ports.ts"
import { ChannelDuplex } from "./channel-duplex.ts"
import { request } from "./http-module.ts"
import { errorCode } from "./tcp.ts"

export interface HttpsOptions {
  /** Guarded: what it refuses is not reached. */
  readonly dial: Dial
  readonly tls: Tls
}

/** Octets of a response's header; of each chunk's extensions and of the trailers too. */
const headerOctets = 16 * 1024
/** Header fields of a response: short ones cost more memory than their octets. */
const mostFields = 200
/** Interim answers before the real one. */
const mostInterim = 4
/** Octets of the request target that we send. */
const targetOctets = 8 * 1024
/** On the wire, framing included, for each octet of the body that is allowed: the smallest chunks cost six. */
const framing = 8

/** The target as it goes into the request line: nothing that could end the line or the path (RFC 9112 3.2). */
const targetForm = /^\/[\x21\x22\x24-\x7e]*$/
const hostForm = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/i

type Failure = HttpsError["failure"]

function givenUp(signal: AbortSignal, chain: readonly Uint8Array[]): HttpsError {
  return new HttpsError("timeout", "the HTTPS exchange was given up", { cause: signal.reason, chain })
}

/** What node:http reports, in our words. */
function failureOf(error: unknown): Failure {
  const code = errorCode(error)
  if (code === "HPE_HEADER_OVERFLOW" || code === "HPE_CHUNK_EXTENSIONS_OVERFLOW") return "too-large"
  // The end came in the middle of a message.
  if (code === "HPE_INVALID_EOF_STATE" || code === "ECONNRESET") return "closed"
  return "protocol"
}

/** @throws HttpsError before anything is dialled */
function checkRequest({ host, path }: HttpsRequest): void {
  if (!hostForm.test(host) || host.length > 253) throw new HttpsError("protocol", "the host of an HTTPS request must be a domain name")
  if (!targetForm.test(path) || path.length > targetOctets)
    throw new HttpsError(
      "protocol",
      `the path of an HTTPS request must begin with a slash and be visible ASCII, at most ${targetOctets} octets`,
    )
}

async function secure(channel: Channel, wanted: HttpsRequest, tls: Tls): Promise<{ channel: Channel; facts: TlsFacts }> {
  try {
    // A server that picks no protocol speaks HTTP/1.1 (RFC 9112 9.7); one that knows only others ends the handshake.
    return await tls.client(channel, { serverName: wanted.host, alpn: "http/1.1", signal: wanted.signal })
  } catch (cause) {
    channel.destroy()
    if (wanted.signal.aborted) throw givenUp(wanted.signal, [])
    if (cause instanceof TlsError) throw new HttpsError(cause.failure === "timeout" ? "timeout" : "tls", cause.message, { cause })
    throw cause
  }
}

/** The answer's header, as far as it decides whether a body is read. */
interface Head {
  readonly status: number
  readonly location: string | undefined
  readonly contentType: string | undefined
}

/** @throws HttpsError for an answer that could be read in two ways, or not without decoding it */
function readHead(response: IncomingMessage, maxOctets: number): Head {
  if (response.rawHeaders.length > 2 * mostFields) throw new HttpsError("too-large", `the answer has more than ${mostFields} header fields`)
  const fields = response.headersDistinct
  const single = (name: string): string | undefined => {
    const values = fields[name]
    if (values !== undefined && values.length > 1) throw new HttpsError("protocol", `the answer has ${values.length} ${name} fields`)
    return values?.[0]
  }
  const head = { status: response.statusCode ?? 0, location: single("location"), contentType: single("content-type") }
  if (!readsBody(head.status)) return head
  const codings = [...(fields["content-encoding"] ?? [])].join(",").toLowerCase()
  if (codings !== "" && codings !== "identity") throw new HttpsError("encoded", "the answer is encoded although we accept no encoding")
  const transfer = fields["transfer-encoding"]?.join(",").trim().toLowerCase()
  if (transfer !== undefined && transfer !== "chunked") throw new HttpsError("encoded", "the answer has a transfer coding besides chunked")
  const length = single("content-length")
  if (length !== undefined && transfer !== undefined)
    throw new HttpsError("protocol", "the answer has both Content-Length and Transfer-Encoding")
  if (length !== undefined && Number(length) > maxOctets)
    throw new HttpsError("too-large", `the answer announces more than ${maxOctets} octets`)
  return head
}

/** Only the body of a success is worth anything: an error page of any size or form says no more than its status. */
function readsBody(status: number): boolean {
  return status >= 200 && status < 300
}

/** The exchange over a connection whose server was accepted. Settles once; the caller destroys the channel. */
function exchange(channel: Channel, wanted: HttpsRequest, facts: TlsFacts): Promise<HttpsAnswer> {
  const { host, path, to, maxOctets, signal } = wanted
  const { chain } = facts
  return new Promise((resolve, reject) => {
    let asked: ClientRequest | undefined
    let arrived = 0
    let settled = false
    const done = (): void => {
      settled = true
      signal.removeEventListener("abort", onAbort)
      asked?.destroy()
    }
    const fail = (error: unknown): void => {
      if (settled) return
      done()
      if (error instanceof HttpsError) reject(new HttpsError(error.failure, error.message, { cause: error.cause, chain }))
      else reject(new HttpsError(failureOf(error), `the HTTP answer failed: ${errorCode(error)}`, { cause: error, chain }))
    }
    const onAbort = (): void => fail(givenUp(signal, chain))
    signal.addEventListener("abort", onAbort, { once: true })
    if (signal.aborted) return onAbort()
    const wire = new ChannelDuplex(channel, (octets) => {
      arrived += octets
      // Chunks of one octet, interim answers, trailers: whatever it is made of, it has an end.
      if (arrived > maxOctets * framing + 4 * headerOctets) fail(new HttpsError("too-large", "the answer does not come to an end"))
    })
    wire.on("error", fail)
    try {
      asked = request({
        // Without an agent: no pool, no reuse, no proxy out of the environment.
        createConnection: () => wire,
        method: "GET",
        path,
        maxHeaderSize: headerOctets,
        insecureHTTPParser: false,
        setHost: false,
        headers: {
          Host: to.port === 443 ? host : `${host}:${to.port}`,
          Accept: "application/json",
          "Accept-Encoding": "identity",
          Connection: "close",
          "User-Agent": "xmpp-dna",
        },
      })
    } catch (error) {
      wire.destroy()
      return fail(error)
    }
    let interim = 0
    asked.on("information", () => {
      interim += 1
      if (interim > mostInterim) fail(new HttpsError("protocol", `more than ${mostInterim} interim answers`))
    })
    asked.on("upgrade", () => fail(new HttpsError("protocol", "the server switches to a protocol that was not asked for")))
    asked.on("error", fail)
    asked.on("close", () => fail(new HttpsError("closed", "the connection was closed before an answer came")))
    asked.on("response", (response) => {
      response.on("error", fail)
      try {
        const head = readHead(response, maxOctets)
        const finish = (body: Uint8Array): void => {
          done()
          resolve({ ...head, body, facts })
        }
        if (!readsBody(head.status)) return finish(new Uint8Array())
        const pieces: Buffer[] = []
        let octets = 0
        response.on("data", (bytes: Buffer) => {
          octets += bytes.length
          if (octets > maxOctets) fail(new HttpsError("too-large", `the answer has more than ${maxOctets} octets`))
          else pieces.push(bytes)
        })
        // A body without a length ends with the connection, and the platform does not say whether TLS was closed properly: what was
        // cut off there passes here as whole. A JSON object that was cut off is none, so nothing is gained by it.
        response.on("end", () => {
          if (response.complete) finish(Uint8Array.from(Buffer.concat(pieces)))
          else fail(new HttpsError("closed", "the connection was closed in the middle of the answer"))
        })
      } catch (error) {
        fail(error)
      }
    })
    asked.end()
  })
}

/**
 * HTTPS as a transport. Nothing is decided about certificates here: `accept` of each request does, before a byte is sent.
 *
 * @returns the port; `get` rejects with DialError (nothing connected) or HttpsError, and leaves no connection behind
 */
export function createHttps({ dial, tls }: HttpsOptions): Https {
  return {
    async get(wanted): Promise<HttpsAnswer> {
      checkRequest(wanted)
      const { to, signal, source } = wanted
      const opened = await dial.connect(to, { signal, ...(source === undefined ? {} : { source }) })
      const { channel, facts } = await secure(opened, wanted, tls)
      try {
        // The certificate is judged first: a server that is not the one meant learns not even the path.
        if (!wanted.accept(facts))
          throw new HttpsError("refused", `the certificate shown for ${wanted.host} was not accepted`, { chain: facts.chain })
        return await exchange(channel, wanted, facts)
      } finally {
        channel.destroy()
      }
    },
  }
}
