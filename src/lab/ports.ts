// What the lab asks of the machine: one gateway's world at a time. src/cli and src/entry pass the real one.
import type { GatewayWorld } from "../gateway/gateway.ts"
import type { Clock, Log } from "../ports.ts"

export interface LabPorts {
  /** The machine for one server or one client: its dial refuses its own listeners, not those of its neighbours. */
  world(log: Log): GatewayWorld
}

/**
 * A clock whose timers end with the lab: nobody waits for the last word of a stream whose two ends are gone.
 */
export interface LabClock extends Clock {
  /** Cancels every timer that is set. */
  stop(): void
}

export function labClock(clock: Clock): LabClock {
  const cancels = new Set<() => void>()
  return {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (ms, callback) => {
      const cancel = clock.after(ms, () => {
        cancels.delete(cancel)
        callback()
      })
      cancels.add(cancel)
      return () => {
        cancels.delete(cancel)
        cancel()
      }
    },
    stop: () => {
      for (const cancel of cancels) cancel()
      cancels.clear()
    },
  }
}
