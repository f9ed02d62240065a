// Federation events as log lines with the fixed event names of docs/operating.md; nothing is derived a second time
// elsewhere (security.md 27: no stanzas, keys or tokens).
import type { FederationEvent } from "../model/events.ts"
import type { Instant } from "../model/verdict.ts"
import type { Log, LogLevel } from "../ports.ts"

/** Every event name the gateway writes. */
export const logEvents = [
  "gateway.ready",
  "gateway.error",
  "config.warning",
  "config.reloaded",
  "config.refused",
  "admin.request",
  "admin.refused",
  "cert.loaded",
  "cert.refused",
  "cert.missing",
  "cert.expires",
  "cert.unreadable",
  "cert.exposed",
  "cert.held",
  "cert.switched",
  "own.checked",
  "own.problem",
  "own.good",
  "state.failed",
  "s2s.discovered",
  "s2s.connect",
  "s2s.open",
  "s2s.tls",
  "s2s.proof",
  "s2s.external",
  "s2s.dialback",
  "s2s.associated",
  "s2s.managed",
  "s2s.refused",
  "s2s.retry",
  "s2s.lost",
  "s2s.closed",
  "s2s.capped",
  "component.up",
  "component.down",
  "component.refused",
  "component.bounce",
  "evidence.seal",
  "evidence.kept",
  "evidence.failed",
  "evidence.skipped",
  "memory.ready",
  "memory.none",
  "memory.lost",
  "memory.failed",
  "memory.full",
  "memory.clock",
  "s2s.weaker",
  "drain.begin",
  "drain.listeners",
  "drain.end",
] as const
export type LogEvent = (typeof logEvents)[number]

interface Line {
  readonly level: LogLevel
  readonly event: LogEvent
  readonly fields: Readonly<Record<string, unknown>>
}

interface StreamMemory {
  readonly since: Instant
  readonly peer: string
}

/** What is worded as a line of level debug alone. */
const quiet: ReadonlySet<FederationEvent["kind"]> = new Set(["discovered", "connected", "opened", "secured", "proof", "dialback", "management", "stanzas"])

/** Turns events into lines; remembers of each open stream when it began and who is at the other end. */
export class LogLines {
  readonly #log: Log
  readonly #streams = new Map<string, StreamMemory>()

  constructor(log: Log) {
    this.#log = log
  }

  write(level: LogLevel, event: LogEvent, fields: Readonly<Record<string, unknown>>): void {
    this.#log.write(level, event, fields)
  }

  event(event: FederationEvent): void {
    if (event.kind === "connected") this.#streams.set(event.stream, { since: event.at, peer: event.peer })
    const line = quiet.has(event.kind) && this.#log.enabled?.("debug") === false ? undefined : this.#line(event)
    if (line !== undefined) this.#log.write(line.level, line.event, { sid: event.stream, dir: event.direction, ...line.fields })
    if (event.kind === "closed") this.#streams.delete(event.stream)
  }

  #line(event: FederationEvent): Line | undefined {
    const pair = "pair" in event && event.pair !== undefined ? { from: event.pair.sender, to: event.pair.target } : {}
    const memory = this.#streams.get(event.stream)
    const peer = memory === undefined ? {} : { peer: memory.peer }
    switch (event.kind) {
      case "discovered":
        return { level: "debug", event: "s2s.discovered", fields: { ...pair, via: event.via, endpoints: event.endpoints, text: `found ${event.endpoints.join(", ")}` } }
      case "connected":
        return { level: "debug", event: "s2s.connect", fields: { ...pair, peer: event.peer, transport: event.transport, text: `connected, ${event.transport}` } }
      case "opened":
        // The stream id is what dialback keys are made of; it stays out (security.md 27).
        return { level: "debug", event: "s2s.open", fields: { ...pair, text: "stream opened" } }
      case "secured":
        return {
          level: "debug",
          event: "s2s.tls",
          fields: { ...pair, tls: event.protocol, cipher: event.cipher, certificate: event.certificate, text: `encrypted with ${event.protocol} ${event.cipher}` },
        }
      case "proof": {
        const { verdict } = event
        const detail = verdict.outcome === "proved" ? {} : { finding: verdict.finding }
        return { level: "debug", event: "s2s.proof", fields: { ...pair, proof: verdict.by, outcome: verdict.outcome, ...detail, text: `${verdict.by}: ${verdict.outcome} ${verdict.detail}`.trim() } }
      }
      case "external":
        return { level: event.result === "refused" ? "info" : "debug", event: "s2s.external", fields: { ...pair, result: event.result, text: `SASL EXTERNAL ${event.result}${event.detail === undefined ? "" : `: ${event.detail}`}` } }
      case "dialback": {
        const words = [event.step, event.answer, event.detail].filter((word) => word !== undefined).join(" ")
        return { level: "debug", event: "s2s.dialback", fields: { ...pair, step: event.step, ...(event.answer === undefined ? {} : { answer: event.answer }), text: `dialback ${words}` } }
      }
      case "associated": {
        const { association } = event
        const by = association.via === "certificate" ? association.verdict.by : association.via === "dns" ? "dns" : "dialback"
        const ms = memory === undefined ? {} : { ms: event.at - memory.since }
        const tls = association.proof === undefined ? {} : { tls: association.proof.protocol }
        return {
          level: "info",
          event: "s2s.associated",
          fields: { from: association.pair.sender, to: association.pair.target, proof: by, level_reached: association.level, ...tls, ...peer, ...ms, text: `associated by ${by}, ${association.level}` },
        }
      }
      case "refused":
        return { level: "warn", event: "s2s.refused", fields: { ...pair, ...peer, finding: event.finding, text: `refused: ${event.sentence}` } }
      case "closed":
        return {
          level: "info",
          event: "s2s.closed",
          fields: { ...pair, ...peer, reason: event.reason, ...(event.unacknowledged > 0 ? { unacknowledged: event.unacknowledged } : {}), text: `closed: ${event.reason}` },
        }
      case "management": {
        const { kind: _kind, at: _at, stream: _stream, direction: _direction, pair: _pair, ...said } = event
        return { level: "debug", event: "s2s.managed", fields: { ...pair, ...said, text: `stream management ${event.result}` } }
      }
      case "stanzas":
        return undefined
    }
  }
}
