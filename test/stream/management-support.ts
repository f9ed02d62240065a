// One side of stream management with an outlet, time that passes at once, and what is said as text.
import { ProtocolError } from "../../src/model/errors.ts"
import { ns } from "../../src/model/namespaces.ts"
import { Outlet } from "../../src/stream/outlet.ts"
import { ResumableSessions, type SessionBinding, type SessionLimits } from "../../src/stream/resumable-sessions.ts"
import { type ManagementEvent, type ManagementOptions, StreamManagement } from "../../src/stream/stream-management.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlParser } from "../../src/xml/parser.ts"
import { SeededRandom } from "../world/clock.ts"

/** Time that passes at once, timers and all. */
export class Time {
  elapsed = 0
  readonly timers = new Map<object, { at: number; callback: () => void }>()

  monotonic(): number {
    return this.elapsed
  }

  after(ms: number, callback: () => void): () => void {
    const key = {}
    this.timers.set(key, { at: this.elapsed + ms, callback })
    return () => this.timers.delete(key)
  }

  pass(ms: number): void {
    this.elapsed += ms
    for (const [key, { at, callback }] of [...this.timers]) {
      if (at > this.elapsed || !this.timers.delete(key)) continue
      callback()
    }
  }
}

export function parsed(xml: string): XmlElement[] {
  const parser = new XmlParser({})
  parser.push(Buffer.from(`<stream:stream xmlns='jabber:server' xmlns:stream='${ns.streams}'>${xml}`))
  const found: XmlElement[] = []
  for (let event = parser.next(); event !== undefined; event = parser.next()) if (event.kind === "element") found.push(event.element)
  return found
}

export const peer: SessionBinding = { from: "a.example", to: "b.example", leaf: "aa" }

export interface Side {
  readonly management: StreamManagement
  readonly outlet: Outlet
  readonly said: string[]
  readonly events: ManagementEvent[]
  readonly time: Time
  /** What was written since it was asked last, elements of stream management too. */
  wire(): string
  /** Hands in elements as one chunk. */
  hear(xml: string): void
}

export function side(role: "initiating" | "receiving", changes: Partial<ManagementOptions> & { time?: Time; limit?: number } = {}): Side {
  const time = changes.time ?? new Time()
  const said: string[] = []
  const events: ManagementEvent[] = []
  const outlet = new Outlet({ limit: 1 << 20 })
  let written = ""
  const management = new StreamManagement({
    role,
    clock: time,
    send(xml) {
      said.push(xml)
      written += xml
    },
    authenticated: () => true,
    retained: { limit: changes.limit ?? 1 << 20 },
    resumable: 60,
    event: (event) => events.push(event),
    ...changes,
  })
  outlet.attach(
    {
      backlog: 0,
      write(bytes) {
        written += Buffer.from(bytes).toString()
        return true
      },
    },
    management.carry(outlet),
  )
  return {
    management,
    outlet,
    said,
    events,
    time,
    wire() {
      const text = written
      written = ""
      return text
    },
    hear(xml) {
      for (const element of parsed(xml)) {
        if (element.ns === ns.sm) management.element(element)
        else management.stanzaHandled()
      }
      management.flushed()
    },
  }
}

export function stanzas(of: Side, count: number): void {
  for (let index = 0; index < count; index += 1) of.outlet.appendText("<message/>")
  of.outlet.flush()
}

export const sm = `xmlns='${ns.sm}'`
export const store = (time: Time, limits: Partial<SessionLimits> = {}) => new ResumableSessions(time, new SeededRandom("sessions"), { sessions: 10, alike: 4, network: 100, ...limits })
export const refuses = (condition: string) => (error: unknown) => error instanceof ProtocolError && error.condition === condition
