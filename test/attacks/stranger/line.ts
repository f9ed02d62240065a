// One connection of the stranger's, whoever opened it: writes what it is told to, reads what the gateway writes, element by element, and
// keeps what the model needs to know of both.
import type { Channel, Tls } from "../../../src/ports.ts"
import { credentials, keyOf, type Pair, type Shown } from "./facts.ts"

/** From one stream header to the next: what is granted in it ends with it. */
export interface Document {
  /** Of the peer's header, as it is meant. */
  readonly from: string | undefined
  readonly to: string | undefined
  /** Of the answer. */
  id: string | undefined
  /** The gateway said that these may come in. */
  readonly granted: Map<string, Pair>
  /** Somebody came in. */
  opened: boolean
  readonly claims: Pair[]
}

export interface Heard {
  readonly name: string
  readonly text: string
  attribute(name: string): string | undefined
}

const element = (name: string): RegExp => new RegExp(`<(${name})(?=[\\s/>])[^>]*?(?:/>|>.*?</\\1>)`, "sy")
const heard: readonly (readonly [RegExp, (name: string) => string])[] = [
  [/<\?xml[^>]*\?>/y, () => "declaration"],
  [/<stream:stream[^>]*>/y, () => "header"],
  [/<\/stream:stream>/y, () => "end"],
  [element("stream:error|stream:features"), (name) => name.slice("stream:".length)],
  [element("message|presence|iq"), () => "stanza"],
  [element("[a-z:]+"), (name) => name],
]

export class Line {
  readonly number: number
  /** The stranger opened it; else the gateway did. */
  readonly dialled: boolean
  channel: Channel
  /** What the gateway was shown on it. */
  shown: Shown = "nothing"
  secured = false
  /** TLS is being negotiated. */
  busy = false
  over = false
  /** Cut by the stranger, before the gateway had said its last words. */
  lost = false
  /** The gateway has said its last words. */
  ended = false
  /** Since TLS; one for each header of whoever opened it. */
  documents: Document[] = []
  answered = 0
  /** Who opened it asked for both directions, in time. */
  bidi = false
  /** Something was said since TLS behind which that cannot be asked for any more. */
  late = false
  /** Pairs of the gateway's that it has asked for here, and those that the stranger has welcomed. */
  readonly asked = new Set<string>()
  readonly told = new Map<string, Pair>()
  /** One of them ever was. */
  opened = false
  /** Of the stranger's header, where the gateway opened it. */
  id = ""
  /** The certificate that is to be shown, and whom for. */
  wish: Shown = "nothing"
  serverName = ""
  /** EXTERNAL is offered. */
  offered = false
  /** Who was told `<success/>`; the next document is theirs. */
  authenticated: string | undefined
  /** Stanzas of the gateway's since it began to count, and what the stranger was told of its own. */
  counted = 0
  counting = false
  session: string
  /** The session that the stranger asked to go on with. */
  wanted: string | undefined
  readonly #external = new Set<string>()
  #text = ""
  #hear: (heard: Heard) => void = () => {}

  constructor(number: number, dialled: boolean, channel: Channel) {
    this.number = number
    this.session = `line ${number}`
    this.dialled = dialled
    this.channel = channel
  }

  /** The latest that was begun. */
  get document(): Document | undefined {
    return this.documents.at(-1)
  }

  /** The latest that the gateway has answered. */
  get current(): Document | undefined {
    return this.documents[this.answered - 1]
  }

  /** The pair of the latest header, from the stranger to us. */
  get headed(): { readonly from: string | undefined; readonly to: string | undefined } | undefined {
    const { document } = this
    return this.dialled || document === undefined ? document : { from: document.to, to: document.from }
  }

  began(from: string | undefined, to: string | undefined): void {
    this.documents.push({ from, to, id: undefined, granted: new Map(), opened: false, claims: [] })
  }

  /** The gateway's header. @returns who comes in with it, being authenticated */
  answer(id: string): Pair | undefined {
    const before = this.current
    this.answered += 1
    const { current, authenticated } = this
    this.authenticated = undefined
    if (current === undefined) return undefined
    current.id = id
    const to = current.to ?? before?.to
    return authenticated === undefined || to === undefined ? undefined : { from: authenticated, to }
  }

  /** EXTERNAL succeeds when it was asked for and granted, in whatever order. */
  external(step: "asked" | "granted"): void {
    const { document } = this
    this.#external.add(step)
    if (this.#external.size === 2 && document?.from !== undefined && document.to !== undefined) this.welcome({ from: document.from, to: document.to })
  }

  /** The stranger lets a pair of the gateway's in. */
  welcome(pair: Pair): void {
    this.told.set(keyOf(pair), pair)
    this.opened = true
  }

  listen(hear: (heard: Heard) => void): void {
    this.#hear = hear
    this.channel.attach({
      chunk: (bytes) => {
        this.#text += bytes.toString()
        this.#read()
      },
      drain: () => {},
      end: () => {
        this.over = true
        this.channel.end()
      },
      close: () => void (this.over = true),
    })
    this.channel.resume()
  }

  #read(): void {
    for (;;) {
      this.#text = this.#text.trimStart()
      const found = heard.map(([form, name]) => ({ match: at(form, this.#text), name })).find(({ match }) => match !== undefined)
      if (found?.match === undefined) return
      const [text, name = ""] = found.match
      this.#text = this.#text.slice(text.length)
      const start = /^[^>]*>/s.exec(text)?.[0] ?? ""
      this.#hear({ name: found.name(name), text, attribute: (wanted) => new RegExp(` ${wanted}='([^']*)'`).exec(start)?.[1] })
      if (this.busy) return
    }
  }

  /** What was read and is not understood. */
  get rest(): string {
    return this.#text
  }

  say(text: string): void {
    if (!this.over && !this.busy) this.channel.write(Buffer.from(text))
  }

  cut(): void {
    this.lost ||= !this.over && !this.ended
    this.over = true
    this.channel.destroy()
  }

  /** Takes its part in the handshake; without one in the end, the connection is over. */
  async secure(tls: Tls, shown: Shown, serverName: string, signal: AbortSignal): Promise<void> {
    if (this.busy || this.over) return
    this.busy = true
    this.channel.release()
    const own = credentials[shown]
    try {
      const { channel } = this.dialled
        ? await tls.client(this.channel, { serverName, alpn: "xmpp-server", signal, ...(own === undefined ? {} : { credentials: own }) })
        : await tls.server(this.channel, { pick: () => own, alpn: ["xmpp-server"], signal })
      this.channel = channel
    } catch {
      // What a stranger's handshake comes to is the stranger's affair.
      this.over = true
      return
    } finally {
      this.busy = false
    }
    this.shown = shown
    this.secured = true
    this.documents = []
    this.answered = 0
    this.authenticated = undefined
    this.asked.clear()
    this.told.clear()
    this.opened = false
    this.#external.clear()
    this.bidi = false
    this.late = false
    this.#text = ""
    if (this.over) this.channel.destroy()
    else this.listen(this.#hear)
  }
}

function at(form: RegExp, text: string): RegExpExecArray | undefined {
  form.lastIndex = 0
  return form.exec(text) ?? undefined
}
