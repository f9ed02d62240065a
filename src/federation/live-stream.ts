// A negotiated stream with the directions it has: who gets which element (XEP-0220 2; XEP-0288; DB-08, DB-17, BIDI-8).
// One push stream and one ledger for both directions; an opened stream has the outbound half, an accepted one the inbound
// half, and with bidi either has both.
import { ProtocolError } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import type { FormerStream, StreamManagement } from "../stream/stream-management.ts"
import type { Detached } from "../stream/xml-stream.ts"
import type { XmlElement } from "../xml/element.ts"
import type { Federation } from "./contract.ts"
import { isDialback, readDialback } from "./dialback.ts"
import type { Outbound } from "./outbound.ts"
import type { LiveLedger } from "./pair-ledger.ts"
import { PushStream } from "./push-stream.ts"
import type { Inbound } from "./serve.ts"

export class LiveStream {
  readonly push: PushStream
  readonly ledger: LiveLedger
  inbound: Inbound | undefined
  outbound: Outbound | undefined
  /** Acknowledgements, where both sides may use them (XEP-0198). */
  management: StreamManagement | undefined
  /** What is left of the stream once it was lost. */
  former: FormerStream | undefined

  /** @param ledger of the stream since its first byte */
  constructor(federation: Federation, detached: Detached, ledger: LiveLedger) {
    this.ledger = ledger
    const { limits, times } = federation.current()
    this.push = new PushStream(
      detached,
      {
        stanza: (view) => {
          if (this.inbound === undefined) throw strayStanza()
          if (this.management?.finished === true) return
          this.inbound.stanza(view)
          // SM-3: whoever is next has it, or its sender has an error.
          this.management?.stanzaHandled()
        },
        element: (element) => this.#element(element),
        flushed: () => {
          this.inbound?.flushed()
          this.management?.flushed()
        },
        drain: () => this.outbound?.drained(),
      },
      {
        content: ns.server,
        limits,
        clock: federation.ports.clock,
        closing: times.closing,
        lastWords: () => this.management?.lastWords() ?? "",
        rest: () => this.inbound?.rest ?? 0,
      },
    )
    // Before anybody else learns of the end, and takes the outlet away.
    void this.push.closed.then((end) => {
      this.former = this.management?.over(end.by === "lost")
    })
  }

  #element(element: XmlElement): void {
    if (element.ns === ns.server) {
      if (this.inbound === undefined) throw strayStanza()
      if (this.management?.finished === true) return
      this.inbound.tree(element)
      this.management?.stanzaHandled()
      return
    }
    if (element.ns === ns.sm && this.management !== undefined) {
      // Stanzas come right behind it, and a first answer for them is due in the same turn.
      if (element.name === "enable") this.push.channel.gather?.()
      return this.management.element(element)
    }
    if (element.ns === ns.dialback) return this.#dialback(element)
    if (this.outbound?.initiated === true && element.ns === ns.streams && element.name === "features") return
    throw new ProtocolError("unsupported-stanza-type", `<${element.name}/> in ${element.ns}`)
  }

  #dialback(element: XmlElement): void {
    const read = isDialback(element) ? readDialback(element) : undefined
    if (read === undefined) {
      if (this.inbound === undefined) return
      if (!isDialback(element)) throw new ProtocolError("unsupported-stanza-type", `<${element.name}/> of dialback`)
      throw new ProtocolError("improper-addressing", `<db:${element.name}/> without proper domains`)
    }
    if (read.type === undefined) {
      // DB-08 and DB-14: a request where nothing may come in changes nothing.
      if (read.kind === "verify") this.inbound?.verify(read)
      else this.inbound?.claim(read)
      return
    }
    // security.md 2, DB-37: we ask nobody about keys on a stream with stanzas, so an answer is none. DB-17: without a
    // direction of ours an answer has no business here.
    if (read.kind === "result") this.outbound?.answer(read)
  }
}

/** CORE-26: stanzas go one way. */
export function strayStanza(): ProtocolError {
  return new ProtocolError("not-authorized", "a stanza on a stream that carries only ours", { tell: "this stream carries stanzas in the other direction only" })
}
