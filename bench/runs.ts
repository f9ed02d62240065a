// The measurements: each starts fresh servers of a kind, plays its loads through the driver and stops everything again.
import { type ChildProcess, fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { World } from "../test/interop/world.ts"
import type { ComponentAddress } from "./component.ts"
import type { Done, Report, Task } from "./driver.ts"
import { cpuSeconds, percentile, residentBytes } from "./process-figures.ts"
import { type Kind, type Pair, type PairOptions, type Server, startPair } from "./servers.ts"

/** One figure by name; the table knows the units. */
export type Figures = Record<string, number>

export interface Durations {
  readonly warmUp: number
  readonly seconds: number
}

export class Driver {
  readonly #child: ChildProcess
  readonly #pair: Pair
  constructor(pair: Pair) {
    this.#pair = pair
    this.#child = fork(fileURLToPath(new URL("driver.ts", import.meta.url)), [], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
  }

  get pid(): number {
    return this.#child.pid!
  }

  /** Plays a task; `begun` is called when what is measured begins. */
  play(task: Task, begun: () => void = () => undefined, ended: () => void = () => undefined): Promise<Report> {
    return new Promise((resolve, reject) => {
      let last: Report | undefined
      const settle = (act: () => void): void => {
        this.#child.off("message", said)
        this.#child.off("exit", gone)
        act()
      }
      const gone = (): void => settle(() => reject(new Error("the driver ended")))
      const said = (report: Report | Done): void => {
        if (report.at === "done") {
          const { refused } = report
          if (refused > 0) settle(() => reject(new Error(`${task.task}: ${refused} messages bounced\n${this.#pair.lines()}`)))
          else settle(() => resolve(last!))
        } else if (report.at === "begin") begun()
        else if (report.at === "end") {
          ended()
          last = report
        } else settle(() => reject(new Error(`${task.task}: ${report.detail}\n${this.#pair.lines()}`)))
      }
      this.#child.on("message", said)
      this.#child.on("exit", gone)
      this.#child.send(task)
    })
  }

  stop(): void {
    this.#child.kill("SIGKILL")
  }
}

const addresses = ({ address, port, components }: Server): ComponentAddress[] => components.map((one) => ({ address, port, ...one }))

export async function withPair<T>(
  kind: Kind | readonly [Kind, Kind],
  world: World,
  senders: number,
  receivers: number,
  work: (pair: Pair, driver: Driver) => Promise<T>,
  options: PairOptions = {},
): Promise<T> {
  const pair = await startPair(kind, world, senders, receivers, options)
  const driver = new Driver(pair)
  try {
    // ejabberd gives every connection all domains of its listener: hundreds of connections would be a route each for each of them.
    const sharing = kind === "ejabberd" && options.oneHost === true
    await driver.play({ task: "attach", senders: addresses(pair.left), receivers: addresses(pair.right), sharing })
    return await work(pair, driver)
  } finally {
    driver.stop()
    await pair.stop()
  }
}

/** CPU seconds of left, right and driver while a task's measured part ran. */
export async function timed(pair: Pair, driver: Driver, task: Task): Promise<{ report: Report; left: number; right: number; driver: number }> {
  const pids = [pair.left.pid, pair.right.pid, driver.pid]
  let before: number[] = []
  let used: number[] = []
  const report = await driver.play(
    task,
    () => {
      before = pids.map(cpuSeconds)
    },
    () => {
      used = pids.map((pid, index) => cpuSeconds(pid) - before[index]!)
    },
  )
  return { report, left: used[0]!, right: used[1]!, driver: used[2]! }
}

/** Both loads and the latency row, on one pair with one established stream. */
export function throughput(kind: Kind, world: World, { warmUp, seconds }: Durations): Promise<Figures> {
  return withPair(kind, world, 1, 1, async (pair, driver) => {
    const saturating = await timed(pair, driver, { task: "saturate", window: 1000, refill: 125, warmUp, seconds })
    const paced = await timed(pair, driver, { task: "pace", rate: 20_000, warmUp, seconds })
    const late = await timed(pair, driver, { task: "latency", rate: 500, warmUp: 1, seconds: 2 * seconds })
    const per100k = (cpu: number, count: number): number => (cpu * 100_000) / count
    const figures: Figures = {}
    for (const [name, { report, left, right, driver: own }] of [
      ["saturating", saturating],
      ["paced", paced],
    ] as const) {
      figures[`${name} stanzas/s`] = report.received / report.elapsed
      figures[`${name} CPU left`] = per100k(left, report.received)
      figures[`${name} CPU right`] = per100k(right, report.received)
      figures[`${name} CPU both`] = per100k(left + right, report.received)
      figures[`${name} CPU driver`] = per100k(own, report.received)
    }
    figures["latency p50"] = percentile(late.report.milliseconds, 0.5)
    figures["latency p99"] = percentile(late.report.milliseconds, 0.99)
    figures["latency max"] = Math.max(...late.report.milliseconds)
    figures["latency CPU both"] = per100k(late.left + late.right, late.report.received)
    return figures
  })
}

/** First messages to 50 new domains one after the other, then 200 at once. */
export function contact(kind: Kind, world: World): Promise<Figures> {
  return withPair(kind, world, 1, 251, async (pair, driver) => {
    // The very first association also pays for what is set up once (DNS, contexts, compiled code).
    await driver.play({ task: "contact", from: 250, to: 251 })
    const one = await timed(pair, driver, { task: "contact", from: 0, to: 50 })
    const many = await timed(pair, driver, { task: "spread", from: 50, to: 250, together: 200 })
    return {
      "first p50": percentile(one.report.milliseconds, 0.5),
      "first max": Math.max(...one.report.milliseconds),
      "first CPU left": (one.left * 1000) / 50,
      "first CPU right": (one.right * 1000) / 50,
      "at once associations/s": 200 / many.report.elapsed,
      "at once CPU left": (many.left * 1000) / 200,
      "at once CPU right": (many.right * 1000) / 200,
      "at once CPU both": ((many.left + many.right) * 1000) / 200,
    }
  })
}

/** Resident memory of 1,000 idle associations: 5 senders to 200 receivers. */
export function memory(kind: Kind, world: World): Promise<Figures> {
  return withPair(kind, world, 5, 201, async (pair, driver) => {
    await driver.play({ task: "spread", from: 200, to: 201, together: 5 })
    await new Promise((resolve) => setTimeout(resolve, 2000))
    const before = [residentBytes(pair.left.pid), residentBytes(pair.right.pid)] as const
    const report = await driver.play({ task: "spread", from: 0, to: 200, together: 20 })
    if (report.received !== 1000) throw new Error(`${report.received} associations instead of 1,000`)
    await new Promise((resolve) => setTimeout(resolve, 3000))
    const mib = 1024 * 1024
    const left = (residentBytes(pair.left.pid) - before[0]) / mib
    const right = (residentBytes(pair.right.pid) - before[1]) / mib
    return { "memory left": left, "memory right": right, "memory both": left + right }
  })
}
