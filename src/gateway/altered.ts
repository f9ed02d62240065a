// A snapshot's hosting with some members replaced, for programs that add to it and for labs that weaken it (security.md 10).
import type { Hosting } from "../federation/contract.ts"

/** A copy; its getters stay getters. */
export function altered(hosting: Hosting, changes: Partial<Hosting>): Hosting {
  return Object.defineProperties({} as Hosting, { ...Object.getOwnPropertyDescriptors(hosting), ...Object.getOwnPropertyDescriptors(changes) })
}
