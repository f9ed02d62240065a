// Web hosts of the world in memory: the Https port over its dial and its TLS, with one line of JSON each way in place of HTTP.
import { HttpsError, TlsError } from "../../src/model/errors.ts"
import type { Channel, Dial, Https, HttpsAnswer, HttpsRequest, Listen, Listener, Tls, TlsCredentials } from "../../src/ports.ts"
import { Recorder } from "./recorder.ts"

export interface WebAnswer {
  readonly status: number
  readonly headers?: { readonly location?: string; readonly "content-type"?: string; readonly "content-encoding"?: string }
  readonly body?: string | Uint8Array
}

/** `silence`: the connection stays open, and nothing comes. `close`: it ends without an answer. */
export type WebReply = WebAnswer | "silence" | "close"

export interface WebSite {
  readonly port?: number
  readonly credentials: TlsCredentials | ((serverName: string | undefined) => TlsCredentials | undefined)
  answer(path: string, host: string): WebReply | Promise<WebReply>
}

export interface WebHost {
  readonly address: string
  /** `HOST PATH` of each request that was read. */
  readonly requests: readonly string[]
  close(): Promise<void>
}

const never = new AbortController().signal

async function line(channel: Channel): Promise<string> {
  const recorder = new Recorder()
  channel.attach(recorder)
  channel.resume()
  await recorder.untilText("\n")
  return recorder.text.slice(0, recorder.text.indexOf("\n"))
}

export async function serveWeb(host: { readonly address: string; readonly listen: Listen; readonly tls: Tls }, site: WebSite): Promise<WebHost> {
  const requests: string[] = []
  const { credentials } = site
  const pick = typeof credentials === "function" ? credentials : () => credentials
  const serve = async (raw: Channel): Promise<void> => {
    const { channel } = await host.tls.server(raw, { pick, alpn: [], signal: never })
    const [name = "", path = ""] = (await line(channel)).split(" ")
    requests.push(`${name} ${path}`)
    const reply = await site.answer(path, name)
    if (reply === "silence") return
    if (reply !== "close") channel.write(Buffer.from(`${JSON.stringify({ ...reply, body: Buffer.from(reply.body ?? "").toString("base64") })}\n`))
    channel.end()
  }
  const listener: Listener = await host.listen.listen({ address: host.address, port: site.port ?? 443 }, (channel) => {
    // A client that leaves in the middle ends its own request and nothing else.
    void serve(channel).catch(() => channel.destroy())
  })
  return { address: host.address, requests, close: () => listener.close() }
}

/** The port's promises, kept: nothing is asked before `accept`, nothing is larger than allowed, nothing is inflated or followed. */
export function memoryHttps(dial: Dial, tls: Tls): Https {
  const exchange = async ({ host, path, to, source, maxOctets, signal, accept }: HttpsRequest): Promise<HttpsAnswer> => {
    const raw = await dial.connect(to, source === undefined ? { signal } : { signal, source })
    let channel = raw
    const givenUp = (): void => channel.destroy()
    signal.addEventListener("abort", givenUp, { once: true })
    try {
      const secured = await tls.client(raw, { serverName: host, alpn: "http/1.1", signal })
      channel = secured.channel
      const { facts } = secured
      const fail = (failure: HttpsError["failure"], detail: string): never => {
        throw new HttpsError(failure, detail, { chain: facts.chain })
      }
      if (!accept(facts)) fail("refused", "the certificate is not accepted")
      channel.write(Buffer.from(`${host} ${path}\n`))
      const read = await line(channel).catch(() => (signal.aborted ? fail("timeout", "given up") : fail("closed", "closed without an answer")))
      const answer = JSON.parse(read) as WebAnswer & { readonly body: string }
      if (answer.headers?.["content-encoding"] !== undefined) fail("encoded", "the answer is encoded although we accept no encoding")
      const body = answer.status >= 200 && answer.status < 300 ? Uint8Array.from(Buffer.from(answer.body, "base64")) : new Uint8Array()
      if (body.length > maxOctets) fail("too-large", `the answer has more than ${maxOctets} octets`)
      return { status: answer.status, location: answer.headers?.location, contentType: answer.headers?.["content-type"], body, facts }
    } catch (error) {
      if (signal.aborted && !(error instanceof HttpsError)) throw new HttpsError("timeout", "given up", { cause: error })
      if (error instanceof TlsError) throw new HttpsError("tls", error.message, { cause: error })
      throw error
    } finally {
      signal.removeEventListener("abort", givenUp)
      channel.destroy()
    }
  }
  return { get: exchange }
}
