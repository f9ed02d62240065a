// The Random port: the platform's generator for secrets, Math.random for jitter and SRV order.
import { randomBytes } from "node:crypto"
import type { Random } from "../ports.ts"

export const systemRandom: Random = {
  bytes: (count) => randomBytes(count),
  fraction: () => Math.random(),
}
