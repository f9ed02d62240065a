// Deadlines as AbortSignals on the clock of the ports, so that tests can step them.
import type { Clock } from "../ports.ts"

export class DeadlinePassed extends Error {
  override readonly name = "DeadlinePassed"
}

/** Resolves after `ms`, or when the signal aborts. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => {
    const done = (): void => {
      cancel()
      signal.removeEventListener("abort", done)
      resolve()
    }
    const cancel = clock.after(ms, done)
    signal.addEventListener("abort", done, { once: true })
  })
}

export interface Deadline {
  readonly signal: AbortSignal
  /** Must be called when the work is done; the timer would keep the process alive. */
  done(): void
}

/**
 * A signal that aborts after `ms`, or when the parent does.
 *
 * @param ms from now
 */
export function deadline(clock: Clock, ms: number, what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  const cancel = clock.after(ms, () => controller.abort(new DeadlinePassed(`${what} took longer than ${ms} ms`)))
  const parentAborted = () => controller.abort(parent?.reason)
  if (parent?.aborted === true) parentAborted()
  else parent?.addEventListener("abort", parentAborted, { once: true })
  return {
    signal: controller.signal,
    done: () => {
      cancel()
      parent?.removeEventListener("abort", parentAborted)
    },
  }
}
