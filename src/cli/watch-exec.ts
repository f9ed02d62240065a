// `watch --exec COMMAND`: the command as its author wrote it, with what changed in its environment and as JSON on its standard input.
// Nothing that others say ever becomes part of the command itself.
import { spawn } from "node:child_process"
import type { Change } from "../inspect/changes.ts"
import type { Clock } from "../ports.ts"
import { printable } from "./exit.ts"

const patienceMs = 30_000

/** Facts for the environment: one line each, without what a terminal would obey, and no null octet. */
function factsOf({ kind, severity, domain, service, at, before, level, sentence, detail, finding }: Change): Record<string, string> {
  const facts = { KIND: kind, SEVERITY: severity, DOMAIN: domain, SERVICE: service, AT: at, BEFORE: before ?? "", LEVEL: level ?? "", SENTENCE: sentence, DETAIL: detail, FINDING: finding ?? "" }
  return Object.fromEntries(Object.entries(facts).map(([name, value]) => [`XMPP_DNA_${name}`, printable(value)]))
}

/**
 * Runs it in a group of its own, which is ended when it takes too long or when we end.
 *
 * @returns how it went wrong; undefined: it did not
 */
export async function runCommand(command: string, change: Change, clock: Clock, signal: AbortSignal): Promise<string | undefined> {
  if (signal.aborted) return "it was not started any more"
  // Its output is no answer of ours: both go where our notes go.
  const child = spawn("/bin/sh", ["-c", command], { detached: true, stdio: ["pipe", 2, 2], env: { ...process.env, ...factsOf(change) } })
  let why: string | undefined
  const end = (reason: string) => (): void => {
    why ??= reason
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
    } catch {
      // It ended by itself in this moment.
    }
  }
  const cancel = clock.after(patienceMs, end(`it took longer than ${patienceMs / 1000} s and was ended`))
  const interrupted = end("it was ended with us")
  signal.addEventListener("abort", interrupted, { once: true })
  child.stdin?.on("error", () => {
    // It need not read what it is given.
  })
  child.stdin?.end(`${JSON.stringify(change)}\n`)
  try {
    return await new Promise<string | undefined>((resolve) => {
      child.on("error", (error) => resolve(error.message))
      child.on("exit", (status, by) => resolve(why ?? (status === 0 ? undefined : by === null ? `it ended with ${status}` : `it was ended by ${by}`)))
    })
  } finally {
    cancel()
    signal.removeEventListener("abort", interrupted)
  }
}
