// Loaded before a gateway that the bench measures: on SIGUSR2 it says how long its loop kept others waiting since the last time, one line
// on standard error. A tick is late because the loop was busy (then its thread used the processor) or because the machine was.

/** ms */
const interval = 2

interface Tick {
  readonly late: number
  /** What the thread itself worked meanwhile, ms. */
  readonly worked: number
}

let ticks: Tick[] = []
let last = performance.now()
let used = process.threadCpuUsage()
setInterval(() => {
  const now = performance.now()
  const { user, system } = process.threadCpuUsage(used)
  used = process.threadCpuUsage()
  ticks.push({ late: Math.max(0, now - last - interval), worked: (user + system) / 1000 })
  last = now
}, interval).unref()

process.on("SIGUSR2", () => {
  const sorted = (values: number[]): number[] => values.sort((one, other) => one - other)
  const late = sorted(ticks.map((tick) => tick.late))
  const worked = sorted(ticks.map((tick) => tick.worked))
  ticks = []
  const at = (values: readonly number[], part: number): number => values[Math.min(values.length - 1, Math.floor(values.length * part))] ?? 0
  const figures = { late: at(late, 0.99), latest: at(late, 1), worked: at(worked, 0.99), longest: at(worked, 1) }
  process.stderr.write(`loop-probe ${JSON.stringify(figures)}\n`)
})
