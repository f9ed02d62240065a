// Deadlines as signals on the clock of the ports, so that tests can step them.
import { Stop, type StopSignal } from "../model/stop.ts"
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

export interface Deadline<Signal extends StopSignal = AbortSignal> {
  readonly signal: Signal
  /** Must be called when the work is done; the timer would keep the process alive. */
  done(): void
}

/** Deadlines under one signal: hundreds that hang on the same one would each search through all its listeners to leave. */
const children = new WeakMap<AbortSignal, Set<() => void>>()

function under(parent: AbortSignal): Set<() => void> {
  const known = children.get(parent)
  if (known !== undefined) return known
  const all = new Set<() => void>()
  children.set(parent, all)
  parent.addEventListener("abort", () => {
    for (const over of all) over()
  }, { once: true })
  return all
}

/**
 * Calls back once after `ms`, or when the parent aborts; for what hundreds wait for, where a signal each would cost more than
 * the wait.
 *
 * @param ms from now
 * @param parent not aborted yet
 * @returns ends the wait; must be called when the work is done
 */
export function expiry(clock: Clock, ms: number, parent: AbortSignal, callback: () => void): () => void {
  const all = under(parent)
  const done = (): void => {
    cancel()
    all.delete(over)
  }
  const over = (): void => {
    done()
    callback()
  }
  const cancel = clock.after(ms, over)
  all.add(over)
  return done
}

/** What a deadline needs done when it is reached, and when it is not. */
function armed(abort: (reason: unknown) => void, clock: Clock, ms: number, what: string, parent: AbortSignal | undefined): () => void {
  const cancel = clock.after(ms, () => abort(new DeadlinePassed(`${what} took longer than ${ms} ms`)))
  const stop = () => abort(parent?.reason)
  const others = parent === undefined || parent.aborted ? undefined : under(parent).add(stop)
  if (parent?.aborted === true) stop()
  return () => {
    cancel()
    others?.delete(stop)
  }
}

/**
 * A signal that aborts after `ms`, or when the parent does.
 *
 * @param ms from now
 */
export function deadline(clock: Clock, ms: number, what: string, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  return { signal: controller.signal, done: armed((reason) => controller.abort(reason), clock, ms, what, parent) }
}

/** The same for lookups alone, which come by the hundred. */
export function lookupDeadline(clock: Clock, ms: number, what: string, parent: AbortSignal): Deadline<StopSignal> {
  const signal = new Stop()
  return { signal, done: armed((reason) => signal.abort(reason), clock, ms, what, parent) }
}

/** Resolves when the promise, which never rejects, is settled, or when the signal aborts. */
export async function settledOrAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const done = () => {
      signal.removeEventListener("abort", done)
      resolve()
    }
    signal.addEventListener("abort", done, { once: true })
    void promise.then(done)
  })
}
