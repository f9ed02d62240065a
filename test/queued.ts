// How long a process was kept waiting by others, for tests that measure a time on a machine that may be busy.
import { readFileSync } from "node:fs"

/** Milliseconds in which the main thread of this process could have run and something else did; nothing where the system does not say. */
export function queuedSoFar(pid: number | "self" = "self"): number {
  try {
    return Number(readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ")[1]) / 1e6
  } catch {
    return 0 // not Linux: the machine is taken for idle
  }
}
