// A small XEP-0114 component over the Dial port: what sits behind each server of the lab (COMP-1, COMP-2).
import { createHash } from "node:crypto"
import { StreamClosed } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import type { Dial, NetworkAddress } from "../ports.ts"
import { headerXml, readHeader } from "../stream/open.ts"
import { XmlStream } from "../stream/xml-stream.ts"
import type { XmlElement } from "../xml/element.ts"
import { escapeAttribute, escapeText } from "../xml/serialise.ts"

export interface ComponentOptions {
  readonly dial: Dial
  /** Where the gateway accepts components. */
  readonly to: NetworkAddress
  readonly domain: string
  readonly secret: string
  /** For the handshake alone. */
  readonly signal: AbortSignal
  /** Every stanza that comes. */
  received(stanza: XmlElement): void
}

const never = new AbortController().signal
const limits = { stanzaBytes: 524_288, depth: 64 }

export class ComponentClient {
  readonly domain: string
  /** Why the connection ended, once it did. */
  readonly closed: Promise<string>
  readonly #stream: XmlStream

  private constructor(domain: string, stream: XmlStream, received: (stanza: XmlElement) => void) {
    this.domain = domain
    this.#stream = stream
    this.closed = this.#listen(received)
  }

  /**
   * Connects and authenticates.
   *
   * @throws DialError, StreamClosed when the gateway refuses, ProtocolError when it answers with something else
   */
  static async attach({ dial, to, domain, secret, signal, received }: ComponentOptions): Promise<ComponentClient> {
    const stream = new XmlStream(await dial.connect(to, { signal }), limits)
    try {
      stream.send(headerXml({ content: ns.component, to: domain, version: false }))
      const { id } = readHeader(await stream.header(signal), ns.component)
      // COMP-2: the handshake is made of the stream id and the secret.
      stream.send(`<handshake>${createHash("sha1").update(`${id ?? ""}${secret}`).digest("hex")}</handshake>`)
      const answer = await stream.element(signal)
      if (answer.ns !== ns.component || answer.name !== "handshake") throw new StreamClosed(`<${answer.name}/> instead of the handshake`)
      return new ComponentClient(domain, stream, received)
    } catch (error) {
      stream.close()
      throw error
    }
  }

  async #listen(received: (stanza: XmlElement) => void): Promise<string> {
    try {
      for (;;) received(await this.#stream.element(never))
    } catch (error) {
      this.#stream.close()
      return error instanceof Error ? error.message : String(error)
    }
  }

  /** Sends a chat message. Local parts and bodies are escaped here. */
  message(id: string, from: string, to: string, body: string): void {
    this.send(
      `<message id='${escapeAttribute(id)}' type='chat' from='${escapeAttribute(from)}' to='${escapeAttribute(to)}'><body>${escapeText(body)}</body></message>`,
    )
  }

  /** Sends XML as it is. */
  send(xml: string): void {
    this.#stream.send(xml)
  }

  async close(): Promise<void> {
    this.#stream.close()
    await this.closed
  }
}
