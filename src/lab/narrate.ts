// The seed's chart told step by step, as it happens, from the events of both ends (seed 3 and 4): DNS
// resolution, stream headers, TLS, association, authentication, stanzas. Renders; decides nothing.
import type { Association } from "../model/association.ts"
import type { FederationEvent } from "../model/events.ts"
import type { LabWebAnswer, LabWebRequest, MessageSeen } from "./internet.ts"

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

/** Turns the events of one lab into steps; remembers how far each stream has come. */
export class Narrator {
  readonly #plain = new Set<string>()
  readonly #secured = new Set<string>()
  readonly #refused = new Set<string>()
  /** Those that carry somebody's stanzas already. */
  readonly #carrying = new Set<string>()

  /** Undefined where an event says nothing that the other end's events do not say. */
  event(domain: string, event: FederationEvent): Step | undefined {
    const pair = event.kind === "associated" ? event.association.pair : event.pair
    if (pair === undefined) return undefined
    const whom = event.direction === "out" ? pair.target : pair.sender
    const words = event.direction === "out" ? this.#outgoing(whom, event) : this.#incoming(whom, event)
    if (event.kind === "associated") this.#carrying.add(event.stream)
    return words === undefined ? undefined : { who: domain, whom, box: words[0], words: words[1] }
  }

  #outgoing(peer: string, event: FederationEvent): Told | undefined {
    switch (event.kind) {
      case "discovered": {
        const [first = "nowhere"] = event.endpoints
        const srv = event.signed === true ? "signed SRV" : "SRV"
        return ["DNS resolution", `${first.replace(/ (?:starttls|direct-tls)$/, "")}${event.via === "srv" ? `, by ${srv}` : ""}`]
      }
      case "connected":
        return event.transport === "direct-tls" ? ["TLS", "from the first byte (Direct TLS)"] : undefined
      case "opened":
        if (this.#secured.has(event.stream)) return ["stream headers", this.#plain.has(event.stream) ? "again, now under TLS" : "under TLS"]
        this.#plain.add(event.stream)
        return ["stream headers", "in clear, asks for TLS"]
      case "secured":
        this.#secured.add(event.stream)
        return ["TLS", `${event.protocol.replace(/^TLSv/, "")}, ${peer} shows ${event.certificate === "shown" ? "a" : "no"} certificate`]
      case "external":
        if (event.result === "sent") return ["authentication", "asks for SASL EXTERNAL"]
        return event.result === "refused" ? ["authentication", `EXTERNAL was refused: ${event.detail ?? ""}`] : undefined
      case "dialback":
        if (event.step !== "result-sent") return undefined
        return ["authentication", this.#carrying.has(event.stream) ? "no new connection, sends a key" : "dialback, sends a key"]
      case "management":
        return event.result === "resumed" ? ["stanzas", "goes on where the broken stream ended"] : undefined
      case "refused":
        this.#refused.add(event.stream)
        return ["refused", event.sentence]
      default:
        return either(peer, this.#carrying.has(event.stream) && event.stream.startsWith("s2sin") ? "may send back" : "may send", event)
    }
  }

  #incoming(peer: string, event: FederationEvent): Told | undefined {
    switch (event.kind) {
      case "connected":
      case "opened":
      case "secured":
        return undefined
      case "external":
        if (event.result === "offered") return ["authentication", "offers SASL EXTERNAL"]
        return event.result === "accepted" ? ["authentication", "EXTERNAL accepted"] : ["authentication", `EXTERNAL refused: ${event.detail ?? ""}`]
      case "dialback":
        return ["authentication", `dialback, ${dialbackWords(event)}`]
      case "refused":
        this.#refused.add(event.stream)
        return ["refused", event.sentence]
      case "closed":
        // Our own refusal was told; what the peer said in its stream error was not.
        return this.#refused.has(event.stream) || !event.reason.includes(" with ") ? undefined : ["refused", event.reason]
      default:
        return either(peer, "accepts", event)
    }
  }

  message(domain: string, message: MessageSeen): Step {
    const box = "stanzas"
    if (message.kind === "sent") return { who: domain, whom: bare(message.to), box, words: `${local(message.from)} says "${message.body}"` }
    if (message.kind === "received") return { who: domain, whom: bare(message.from), box, words: `${local(message.to)} hears "${message.body}"` }
    return { who: domain, whom: bare(message.from), box, words: `back to ${local(message.to)}, ${message.condition}` }
  }
}

/** The box of the chart, and words. */
type Told = readonly [Step["box"], string]

function either(peer: string, way: string, event: FederationEvent): Told | undefined {
  if (event.kind === "proof") {
    const { verdict } = event
    const by = verdict.by.toUpperCase()
    if (verdict.outcome === "proved") return ["association", `${by} proves ${peer} (${verdict.detail.split(" ", 1)[0] ?? ""})`]
    // PKIX is asked of everybody; what another prooftype does not say is told in its own name.
    if (verdict.by === "pkix") return ["association", `no PKIX proof [${verdict.finding}]`]
    return ["association", `${by} ${silence[verdict.outcome]} [${verdict.finding}]`]
  }
  if (event.kind === "associated") return ["association", `${way}, ${basis(event.association)}`]
  return undefined
}

const silence = { refuted: "says no", absent: "says nothing", unavailable: "cannot be asked" } as const

function dialbackWords(event: FederationEvent & { kind: "dialback" }): string {
  const { step } = event
  const answer = event.answer ?? "nothing"
  if (step === "result-received") return "has a key to check"
  if (step === "verify-sent") return "is this key yours?"
  if (step === "verify-answered") return `server says ${answer}`
  return step === "same-certificate" ? "the same certificate" : `answers ${answer}`
}

function basis({ level, via, verdict }: Association): string {
  if (via === "certificate") return `${level} by ${verdict.by.toUpperCase()}`
  return via === "dns" ? `${level}, found by DNS` : `${level} by dialback`
}

function bare(jid: string): string {
  return jid.slice(jid.indexOf("@") + 1)
}

function local(jid: string): string {
  return jid.slice(0, jid.indexOf("@"))
}

/** What a web host was asked and said, below the step that it belongs to. */
export function webLine(host: string, { method, path }: LabWebRequest, { status, location, silent }: LabWebAnswer, width: number): string {
  const said = silent === true ? "no answer" : location === undefined ? String(status ?? 200) : `${status ?? 302}, see ${location}`
  return `      ${wrapped(printable(`${method} https://${host}${path}: ${said}`), width - 6, 8)}`
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
  const head = `${String(Math.round(ms)).padStart(4)}  ${`${step.who} -> ${step.whom}`.padEnd(layout.names)}  `
  const lines = wrapped(printable(`${step.box}: ${step.words}`), layout.width - head.length, 0).replaceAll("\n", `\n${" ".repeat(head.length)}`)
  const paint = step.box === "refused" ? layout.bad : layout.bold
  return head + paint(step.box) + lines.slice(step.box.length)
}
