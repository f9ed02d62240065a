// CPU time and memory of a process and its children, from /proc.
import { readdirSync, readFileSync } from "node:fs"

/** Clock ticks a second in /proc; the kernel's user interface fixes it at 100. */
const ticks = 100

function statOf(pid: number): string[] {
  const text = readFileSync(`/proc/${pid}/stat`, "latin1")
  // The name, in parentheses, may hold spaces.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")
}

/** User and system time so far, in seconds; of children only those that ended and were waited for. */
export function cpuSeconds(pid: number): number {
  const fields = statOf(pid)
  const [user, system, childUser, childSystem] = fields.slice(11, 15).map(Number) as [number, number, number, number]
  return (user + system + childUser + childSystem) / ticks
}

/** A figure of the scheduler, in seconds, of all living threads. */
function scheduled(pid: number, field: 0 | 1): number {
  let nanoseconds = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      nanoseconds += Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, "latin1").split(" ")[field])
    } catch (error) {
      // A thread that ended between the two.
      if (!["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error
    }
  }
  return nanoseconds / 1e9
}

/** CPU time of all its living threads, in seconds; finer than the above, which counts hundredths. */
export function threadSeconds(pid: number): number {
  return scheduled(pid, 0)
}

/** How long its living threads could have run and others did, in seconds: what a machine that is busy otherwise costs it. */
export function queuedSeconds(pid: number): number {
  return scheduled(pid, 1)
}

/** Resident memory, in bytes. */
export function residentBytes(pid: number): number {
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "latin1"))
  return Number(match?.[1] ?? 0) * 1024
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))]!
}
