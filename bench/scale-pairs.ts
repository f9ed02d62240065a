// Many domain pairs on one stream between two of our gateways: what a further pair costs, and what it costs the others.
import type { World } from "../test/interop/world.ts"
import { startRelay } from "./delaying.ts"
import { type Driver, type Figures, timed, withPair } from "./runs.ts"
import { contactOf, roundTrip, seenRoundTrip } from "./scale-trips.ts"
import type { HeapFigures, Pair } from "./servers.ts"

const together = 200

/** One message of every pair; how many pairs. */
async function everyPair(pair: Pair, driver: Driver, domains: number): Promise<{ readonly left: number; readonly right: number }> {
  return await timed(pair, driver, { task: "spread", from: 0, to: domains, together })
}

function taken(before: HeapFigures, after: HeapFigures, pairs: number): { readonly heap: number; readonly resident: number } {
  const heap = (figures: HeapFigures): number => figures.heapUsed + figures.external
  return { heap: (heap(after) - heap(before)) / pairs, resident: (after.rss - before.rss) / pairs }
}

/** @param domains on either side: their square is the number of pairs; @param seconds of each throughput */
export async function pairs(world: World, domains: number, seconds: number): Promise<Figures> {
  return { ...(await costs(world, domains)), ...(await tripsOfOne(world)), ...(await throughputs(world, domains, seconds)) }
}

async function costs(world: World, domains: number): Promise<Figures> {
  const relay = startRelay()
  const count = domains * domains
  try {
    return await withPair(
      "ours",
      world,
      domains,
      domains,
      async (pair, driver) => {
        // A process that has been at work for a while: buffers and compiled code are no pair's.
        await driver.play({ task: "saturate", window: 1000, refill: 125, warmUp: 1, seconds: 2 })
        const before = await pair.heaps()
        const start = await relay.counted()
        const first = await everyPair(pair, driver, domains)
        const between = await relay.counted()
        const second = await everyPair(pair, driver, domains)
        const end = await relay.counted()
        const after = await pair.heaps()
        const left = taken(before[0]!, after[0]!, count)
        const right = taken(before[1]!, after[1]!, count)
        return {
          pairs: count,
          connections: end.connections,
          octets: (between.octets - start.octets - (end.octets - between.octets)) / count,
          "CPU left": ((first.left - second.left) * 1000) / count,
          "CPU right": ((first.right - second.right) * 1000) / count,
          "heap left": left.heap,
          "heap right": right.heap,
          "resident left": left.resident,
          "resident right": right.resident,
        }
      },
      { relay, oneCertificate: true, probe: "heap" },
    )
  } finally {
    relay.stop()
  }
}

/** Round trips before a further pair's message may leave: what its first one takes longer than its second one. */
async function tripsOfOne(world: World): Promise<Figures> {
  const relay = startRelay()
  try {
    return await withPair(
      "ours",
      world,
      41,
      41,
      async (_, driver) => {
        await driver.play({ task: "contact", from: 0, to: 1 })
        // Near and far, so that what the gateways need for themselves is taken off.
        const at: { trip: number; sender: number; target: number }[] = []
        for (const [turn, ms] of [roundTrip, 2 * roundTrip].entries()) {
          await relay.delay(ms)
          const trip = await seenRoundTrip(relay, world)
          const further = async (each: "sender" | "receiver"): Promise<number> => {
            const [from, to] = [1 + turn * 20, 21 + turn * 20]
            const first = await contactOf(driver, from, to, each)
            return first - (await contactOf(driver, from, to, each))
          }
          at.push({ trip, sender: await further("sender"), target: await further("receiver") })
        }
        const [near, far] = at as [(typeof at)[0], (typeof at)[0]]
        const trips = (each: "sender" | "target"): number => Math.round((10 * (far[each] - near[each])) / (far.trip - near.trip)) / 10
        return { "trips sender": trips("sender"), "trips target": trips("target") }
      },
      { relay, oneCertificate: true },
    )
  } finally {
    relay.stop()
  }
}

/** Saturating one pair, then all of them: some of one pair in a row, as busy pairs have them, and another pair each time. */
async function throughputs(world: World, domains: number, seconds: number): Promise<Figures> {
  return await withPair(
    "ours",
    world,
    domains,
    domains,
    async (pair, driver) => {
      const rate = async (spread: { inARow?: number; from?: number } = {}): Promise<number> => {
        const { report } = await timed(pair, driver, { task: "saturate", window: 1000, refill: 125, warmUp: 3, seconds, ...spread })
        return report.received / report.elapsed
      }
      const one = await rate()
      // To as many components, which is work of its own, with a hundredth of the pairs.
      const few = await rate({ inARow: 1, from: 1 })
      await everyPair(pair, driver, domains)
      const runs = await rate({ inARow: 25 })
      const mixed = await rate({ inARow: 1 })
      return { "one pair": one, few, "in runs": runs, "runs part": runs / one, mixed, "mixed part": mixed / few }
    },
    { oneCertificate: true },
  )
}
