// Helpers of the DNS tests: octets by hand, a clock that moves on command, seeded randomness.
import { Buffer } from "node:buffer"
import type { Clock, Random } from "../../src/ports.ts"

export function hex(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replace(/\s+/g, ""), "hex"))
}

/** "a.b" as octets of an uncompressed name, in hexadecimal. */
export function wireName(text: string): string {
  const labels = text === "." ? [] : text.split(".")
  return `${labels.map((label) => `${label.length.toString(16).padStart(2, "0")}${Buffer.from(label, "latin1").toString("hex")}`).join("")}00`
}

/** Mulberry32: small, seeded, good enough for tests. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

export function seededRandom(seed: number): Random {
  const fraction = seeded(seed)
  return { fraction, bytes: (count) => Uint8Array.from({ length: count }, () => Math.floor(fraction() * 256)) }
}

export interface ManualClock extends Clock {
  /** Moves time and fires what is due, in order, letting promises settle between. */
  advance(ms: number): Promise<void>
  readonly timers: number
}

export function manualClock(start = 1_000_000): ManualClock {
  let time = 0
  const due = new Map<symbol, { at: number; callback: () => void }>()
  const settle = async (): Promise<void> => {
    for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
  }
  return {
    now: () => start + time,
    monotonic: () => time,
    after(ms, callback) {
      const key = Symbol("timer")
      due.set(key, { at: time + ms, callback })
      return () => void due.delete(key)
    },
    get timers() {
      return due.size
    },
    async advance(ms) {
      const end = time + ms
      for (;;) {
        await settle()
        const next = [...due].filter(([, timer]) => timer.at <= end).sort(([, a], [, b]) => a.at - b.at)[0]
        if (next === undefined) break
        due.delete(next[0])
        time = Math.max(time, next[1].at)
        next[1].callback()
      }
      time = end
      await settle()
    },
  }
}
