// The seed's chart told step by step, as it happens, from the events of both ends (seed 3 and 4; interface 7): DNS
// resolution, stream headers, TLS, association, authentication, stanzas. Renders; decides nothing.
import { findings } from "../model/findings.ts"
import type { Association } from "../model/association.ts"
import type { FederationEvent } from "../model/events.ts"
import type { MessageSeen } from "./internet.ts"

/** One step in plain words. */
export interface Step {
  /** Who does it. */
  readonly who: string
  /** Whom it concerns. */
  readonly whom: string
  /** The box of the chart. */
  readonly box: "DNS resolution" | "stream headers" | "TLS" | "association" | "authentication" | "stanzas" | "refused"
  readonly words: string
}

/** Turns the events of one lab into steps; remembers which streams are encrypted already. */
export class Narrator {
  readonly #secured = new Set<string>()
  readonly #told = new Set<string>()

  /** Undefined where an event says nothing that the other end's events do not say. */
  event(domain: string, event: FederationEvent): Step | undefined {
    const pair = event.kind === "associated" ? event.association.pair : event.pair
    if (pair === undefined) return undefined
    const whom = event.direction === "out" ? pair.target : pair.sender
    const words = event.direction === "out" ? this.#outgoing(whom, event) : this.#incoming(whom, event)
    return words === undefined ? undefined : { who: domain, whom, box: words[0], words: words[1] }
  }

  #outgoing(peer: string, event: FederationEvent): readonly [Step["box"], string] | undefined {
    switch (event.kind) {
      case "discovered": {
        const [first = "nowhere"] = event.endpoints
        return ["DNS resolution", `${event.via === "srv" ? "SRV leads to" : "found"} ${first.replace(/ starttls$/, "").replace(/ direct-tls$/, ", Direct TLS")}`]
      }
      case "opened":
        if (this.#secured.has(event.stream)) return ["stream headers", "exchanged anew under TLS"]
        return ["stream headers", "exchanged in clear, TLS asked for"]
      case "secured":
        this.#secured.add(event.stream)
        return ["TLS", `${spoken(event.protocol)}; ${peer} ${event.certificate === "shown" ? "shows a certificate" : "shows no certificate"}`]
      case "external":
        if (event.result === "sent") return ["authentication", "SASL EXTERNAL: go by my certificate"]
        return event.result === "refused" ? ["authentication", `${peer} refuses EXTERNAL: ${event.detail ?? ""}`] : undefined
      case "dialback":
        if (event.step === "result-sent") return ["authentication", "dialback: sends a key to be checked"]
        return event.step === "answered" && event.answer !== "valid" ? ["authentication", `dialback: ${peer} answers ${event.answer ?? "nothing"}`] : undefined
      case "refused":
        this.#told.add(event.stream)
        return ["refused", event.sentence]
      default:
        return this.#either(peer, event)
    }
  }

  #incoming(peer: string, event: FederationEvent): readonly [Step["box"], string] | undefined {
    switch (event.kind) {
      case "external":
        if (event.result === "offered") return ["authentication", "offers SASL EXTERNAL"]
        return event.result === "accepted" ? ["authentication", `EXTERNAL accepted: it is ${peer}`] : ["authentication", `EXTERNAL refused: ${event.detail ?? ""}`]
      case "dialback":
        if (event.step === "result-received") return ["authentication", `dialback: will ask ${peer}'s own server`]
        if (event.step === "verify-sent") return ["authentication", "dialback: is this key yours?"]
        if (event.step === "verify-answered") return ["authentication", `dialback: ${peer}'s server says ${event.answer ?? "nothing"}`]
        if (event.step === "same-certificate") return ["authentication", `the very certificate of ${peer}'s server: no key needed`]
        return ["authentication", `dialback: answers ${event.answer ?? "nothing"}`]
      case "refused":
        this.#told.add(event.stream)
        return ["refused", event.sentence]
      case "closed":
        // Told by the peer; its own refusal was told above.
        if (this.#told.has(event.stream) || !event.reason.includes(" with ")) return undefined
        return ["stream headers", event.reason]
      default:
        return event.kind === "opened" || event.kind === "secured" ? undefined : this.#either(peer, event)
    }
  }

  #either(peer: string, event: FederationEvent): readonly [Step["box"], string] | undefined {
    if (event.kind === "proof") {
      const { verdict } = event
      const by = verdict.by.toUpperCase()
      if (verdict.outcome === "proved") return ["association", `${by} proves ${peer} by ${verdict.detail}`]
      return ["association", `${by} does not prove ${peer}: ${findings[verdict.finding].sentence}`]
    }
    if (event.kind === "associated") {
      const { association } = event
      const way = event.direction === "out" ? `may send to ${peer}` : `takes stanzas of ${peer}`
      return ["association", `${way}: ${association.level}, ${basis(association)}`]
    }
    return undefined
  }

  message(domain: string, message: MessageSeen): Step {
    const peer = bare(message.kind === "sent" ? message.to : message.from)
    const quoted = message.kind === "bounced" ? "" : `"${message.body}"`
    if (message.kind === "sent") return { who: domain, whom: peer, box: "stanzas", words: `${message.from} says ${quoted}` }
    if (message.kind === "received") return { who: peer, whom: domain, box: "stanzas", words: `${message.to} hears ${quoted}` }
    return { who: domain, whom: peer, box: "stanzas", words: `${message.to} gets it back: ${message.condition}` }
  }
}

function basis({ via, verdict }: Association): string {
  if (via === "certificate") return `by ${verdict.by.toUpperCase()}`
  return via === "dns" ? "DNS believed" : "by dialback"
}

function spoken(protocol: string): string {
  return protocol.replace(/^TLSv/, "TLS ")
}

function bare(jid: string): string {
  return jid.slice(jid.indexOf("@") + 1)
}

/** Control and format characters of a peer's words, made visible: they must not draw on a terminal. */
export function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\u2028\u2029]/gu, (character) => `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, "0")}`)
}

/** Wraps at words; lines after the first begin with `indent` spaces. A word that is too long stands alone. */
export function wrapped(text: string, width: number, indent: number): string {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    const room = width - (lines.length === 0 ? 0 : indent)
    if (line !== "" && line.length + 1 + word.length > room) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  lines.push(line)
  return lines.join(`\n${" ".repeat(indent)}`)
}

export interface Layout {
  /** Columns. */
  readonly width: number
  /** Columns for `who -> whom`. */
  readonly names: number
  readonly bold: (text: string) => string
  readonly good: (text: string) => string
  readonly bad: (text: string) => string
}

/** One step as a line: milliseconds since the scene began, who -> whom, box: words. */
export function stepLine(step: Step, ms: number, layout: Layout): string {
  const who = `${step.who} -> ${step.whom}`.padEnd(layout.names)
  const head = `${String(Math.round(ms)).padStart(5)} ms  ${who}  `
  const text = printable(`${step.box}: ${step.words}`)
  const lines = wrapped(text, layout.width - head.length, 0).split("\n").join(`\n${" ".repeat(head.length)}`)
  const painted = step.box === "refused" ? layout.bad : layout.bold
  return head + lines.replace(step.box, painted(step.box))
}
