// Names of streams in logs, and stream ids on the wire (CORE-15: unpredictable, fresh after every restart).
import type { Random } from "../ports.ts"

/** A short name for logs; not secret, not on the wire. */
export function streamName(prefix: "s2sin" | "s2sout" | "comp", random: Random): string {
  return `${prefix}-${Buffer.from(random.bytes(4)).toString("hex")}`
}

/** 128 random bits: dialback rests on it. */
export function streamId(random: Random): string {
  return Buffer.from(random.bytes(16)).toString("hex")
}
