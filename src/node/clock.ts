// The Clock port: wall time, monotonic time and timers of this machine.
import type { Clock } from "../ports.ts"

/** The longest a timer of the platform can wait, ms; longer ones fire at once there. */
const longestTimer = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    let timer: NodeJS.Timeout
    const wait = (left: number): void => {
      timer = left > longestTimer ? setTimeout(wait, longestTimer, left - longestTimer) : setTimeout(callback, Math.max(0, left))
    }
    wait(ms)
    return () => clearTimeout(timer)
  },
}
