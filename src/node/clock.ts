// The Clock port: wall time, monotonic time and timers of this machine.
import type { Clock } from "../ports.ts"

/** The longest a timer of the platform can wait, ms; longer ones fire at once there. */
const longestTimer = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(ms, callback) {
    if (ms <= 0) {
      // A timer would wait for the next millisecond.
      const immediate = setImmediate(callback)
      return () => clearImmediate(immediate)
    }
    let timer: NodeJS.Timeout
    const wait = (left: number): void => {
      timer = left > longestTimer ? setTimeout(wait, longestTimer, left - longestTimer) : setTimeout(callback, left)
    }
    wait(ms)
    return () => clearTimeout(timer)
  },
}
