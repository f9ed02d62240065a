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

/** Deadlines under one signal: hundreds that hang on the same one would each search through all its listeners to leave. */
const children = new WeakMap<AbortSignal, Set<AbortController>>()

function under(parent: AbortSignal): Set<AbortController> {
  const known = children.get(parent)
  if (known !== undefined) return known
  const all = new Set<AbortController>()
  children.set(parent, all)
  parent.addEventListener("abort", () => {
    for (const controller of all) controller.abort(parent.reason)
  }, { once: true })
  return all
}

/**
 * A signal that aborts after `ms`, or when the parent does.
 *
 * @param ms from now
 */
export function deadline(clock: Clock, ms: number, what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  const cancel = clock.after(ms, () => controller.abort(new DeadlinePassed(`${what} took longer than ${ms} ms`)))
  const others = parent === undefined || parent.aborted ? undefined : under(parent).add(controller)
  if (parent?.aborted === true) controller.abort(parent.reason)
  return {
    signal: controller.signal,
    done: () => {
      cancel()
      others?.delete(controller)
    },
  }
}
