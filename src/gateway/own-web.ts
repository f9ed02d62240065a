// HTTPS for judging ourselves: where a name leads to our own listener, which is never dialled (security.md 17), the answer is
// the one that listener would give, with the certificate it would show.
import { HttpsError } from "../model/errors.ts"
import type { HttpAnswer, HttpRequest, Https, HttpsAnswer, HttpsRequest, NetworkAddress, TlsCredentials, TlsFacts } from "../ports.ts"
import { pemBlocks } from "./certificate-scan.ts"

export interface OwnWeb {
  /** Whether this address is a listener of ours that serves POSH documents over HTTPS. */
  isOwn(to: NetworkAddress): boolean
  credentials(serverName: string): TlsCredentials | undefined
  handle(request: HttpRequest): HttpAnswer
}

/** As `https`, but for our own listener. */
export function withOwnWeb(https: Https, own: OwnWeb): Https {
  return { get: (request) => (own.isOwn(request.to) ? answerHere(request, own) : https.get(request)) }
}

async function answerHere({ host, path, to, maxOctets, accept }: HttpsRequest, own: OwnWeb): Promise<HttpsAnswer> {
  const credentials = own.credentials(host)
  if (credentials === undefined) throw new HttpsError("tls", `no certificate here is for ${host}`)
  const chain = [...pemBlocks(credentials.certificatePem)].map(({ body }) => Buffer.from(body, "base64"))
  const facts: TlsFacts = { chain, protocol: "TLSv1.3", cipher: "", serverName: host, alpn: "http/1.1", exporter: new Uint8Array(32) }
  if (!accept(facts)) throw new HttpsError("refused", `the certificate shown here is not one for ${host}`, { chain })
  const { status, headers, body } = own.handle({ method: "GET", path: path.split("?", 1)[0] ?? path, host, remote: to })
  const octets = typeof body === "string" ? new TextEncoder().encode(body) : body
  if (octets.length > maxOctets) throw new HttpsError("too-large", `${octets.length} octets`, { chain })
  return { status, location: headers["location"], contentType: headers["content-type"], body: octets, facts }
}
