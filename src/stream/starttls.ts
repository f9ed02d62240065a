// STARTTLS, both halves (RFC 6120 5; TLS-01 to TLS-04): nothing may stand between the switch and the handshake.
import { ProtocolError } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import type { SecuredChannel, Tls, TlsClientOptions, TlsServerOptions } from "../ports.ts"
import type { XmlElement } from "../xml/element.ts"
import type { XmlStream } from "./xml-stream.ts"

export const starttlsXml = `<starttls xmlns='${ns.tls}'/>`

/** TLS-04: no TLS here; the stream ends with it. */
export const starttlsFailureXml = `<failure xmlns='${ns.tls}'/></stream:stream>`

export function isStarttls(element: XmlElement): boolean {
  return element.ns === ns.tls && element.name === "starttls"
}

/** Bytes in clear behind the switch came from nobody we know (TLS-03, CVE-2011-0411 and its kin). */
export class InjectedBytes extends ProtocolError {
  constructor(count: number) {
    super("policy-violation", `${count} bytes in clear follow the switch to TLS`)
  }
}

export type StarttlsAnswer = { readonly proceed: true } | { readonly proceed: false }

/** Initiating side, after `<starttls/>` was sent: waits for the answer and switches. */
export async function continueStarttls(stream: XmlStream, tls: Tls, options: TlsClientOptions): Promise<SecuredChannel | "refused"> {
  const answer = await stream.element(options.signal)
  if (answer.ns !== ns.tls) throw new ProtocolError("bad-format", `<${answer.name}/> in answer to <starttls/>`)
  if (answer.name === "failure") return "refused"
  if (answer.name !== "proceed") throw new ProtocolError("bad-format", `<${answer.name}/> in answer to <starttls/>`)
  const unread = stream.unread
  if (unread.length > 0) throw new InjectedBytes(unread.length)
  return await tls.client(stream.release(), options)
}

/** Receiving side, after `<starttls/>` was read. White space behind it is refused, too (TLS-02). */
export async function acceptStarttls(stream: XmlStream, tls: Tls, options: TlsServerOptions): Promise<SecuredChannel> {
  const unread = stream.unread
  if (unread.length > 0) throw new InjectedBytes(unread.length)
  stream.send(`<proceed xmlns='${ns.tls}'/>`)
  return await tls.server(stream.release(), options)
}
