// The Random port: the platform's generator for secrets, Math.random for jitter and SRV order.
import { randomBytes, randomFillSync } from "node:crypto"
import type { Random } from "../ports.ts"

/** A question to the generator costs more than what a name or an id needs: short ones are cut from a block. */
const block = Buffer.alloc(4096)
const longestCut = 64
let used = block.length

function cut(count: number): Uint8Array {
  if (used + count > block.length) {
    randomFillSync(block)
    used = 0
  }
  const part = new Uint8Array(block.subarray(used, used + count))
  // Nothing that was given out stays here.
  block.fill(0, used, used + count)
  used += count
  return part
}

export const systemRandom: Random = {
  bytes: (count) => (count <= longestCut ? cut(count) : randomBytes(count)),
  fraction: () => Math.random(),
}
