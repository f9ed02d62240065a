// What the gateway remembers of other domains across streams and restarts (security.md 13, 24): opens the memory of
// `state.dir`, says loudly when it was lost, and feeds the ratchet with what streams show.
import type { Association } from "../model/association.ts"
import { ConfigError, StoreError } from "../model/errors.ts"
import { findingSentence } from "../model/findings.ts"
import type { Clock, LogLevel, Store, StoreFound } from "../ports.ts"
import { Abilities } from "../federation/abilities.ts"
import { Memory } from "../federation/memory.ts"
import { Ratchet, type RatchetNotice, type RatchetSettings } from "../federation/ratchet.ts"
import type { GatewayConfig } from "./config.ts"
import type { LogEvent, LogLines } from "./log-lines.ts"

export interface RecollectionWorld {
  readonly clock: Clock
  /** Opens the memory in a folder. Throws StoreError. */
  store?(folder: string): Store
}

export interface RecollectionOptions {
  readonly world: RecollectionWorld
  readonly lines: LogLines
  /** Read afresh: a reload may change the ratchet, not the folder. */
  readonly config: () => GatewayConfig
}

export class Recollection {
  readonly abilities: Abilities
  readonly ratchet: Ratchet
  readonly #memory: Memory

  /** @throws ConfigError when the memory cannot be used; nothing is forgotten by that */
  constructor({ world, lines, config }: RecollectionOptions) {
    const { clock } = world
    const { state } = config()
    const store = state === undefined ? undefined : openStore(world, state.dir)
    this.#memory = new Memory({
      clock,
      ...(store === undefined ? {} : { store }),
      failed: ({ message }) => lines.write("error", "memory.failed", { text: `what is learnt of other domains is kept in memory only until it can be written: ${message}` }),
      recovered: () => lines.write("info", "memory.ready", { text: "the memory can be written again" }),
    })
    const [level, event, text] = foundLine(this.#memory.found, store?.place ?? "", config().ratchet.mode === "enforce")
    lines.write(level, event, { text, ...(event === "memory.lost" ? { finding: "policy.memory-lost" } : {}) })
    this.abilities = new Abilities(this.#memory, clock)
    this.ratchet = new Ratchet({ memory: this.#memory, clock, settings: () => ratchetSettings(config()), notice: (notice) => lines.write(...noticeLine(notice)) })
  }

  /** Streams that last are seen again from time to time. */
  look(streams: Iterable<{ associations(): readonly Association[] }>): void {
    for (const stream of new Set(streams)) for (const association of stream.associations()) this.ratchet.associated(association)
  }

  close(): Promise<void> {
    return this.#memory.close()
  }
}

function openStore({ store }: RecollectionWorld, folder: string): Store | undefined {
  try {
    return store?.(folder)
  } catch (error) {
    if (!(error instanceof StoreError)) throw error
    throw new ConfigError([{ place: folder, setting: "state.dir", sentence: `The memory cannot be used: ${error.message}.` }])
  }
}

function ratchetSettings({ ratchet, dnssec }: GatewayConfig): RatchetSettings {
  return { ...ratchet, provesDns: dnssec !== "off" }
}

function foundLine(found: StoreFound | { readonly kind: "none" }, place: string, needed: boolean): [LogLevel, LogEvent, string] {
  const lost = (detail: string): [LogLevel, LogEvent, string] => ["error", "memory.lost", findingSentence("policy.memory-lost", detail)]
  switch (found.kind) {
    case "kept":
      return ["info", "memory.ready", `the memory of other domains is at ${place}`]
    case "new":
      return ["info", "memory.ready", `a new memory of other domains was begun at ${place}; if there was one before, it is lost`]
    case "upgraded":
      return ["info", "memory.ready", `the memory at ${place} was brought from format ${found.from} to ${found.to}`]
    case "lost":
      return lost(`${place} is gone or empty, though there was one; a new one was begun`)
    case "damaged":
      return lost(`${place} could not be read (${found.detail}) and was set aside as ${found.aside}; a new one was begun`)
    case "none":
      return [needed ? "warn" : "info", "memory.none", "without state.dir, what is learnt of other domains is forgotten when this process ends"]
  }
}

function noticeLine({ finding, peer, direction, detail }: RatchetNotice): [LogLevel, LogEvent, Readonly<Record<string, unknown>>] {
  const event: LogEvent = finding === "policy.ratchet" ? "s2s.weaker" : finding === "policy.ratchet-full" ? "memory.full" : "memory.lost"
  const fields = { finding, ...(peer === undefined ? {} : { domain: peer }), ...(direction === undefined ? {} : { dir: direction }) }
  return ["warn", finding === "policy.clock" ? "memory.clock" : event, { ...fields, text: findingSentence(finding, detail) }]
}
