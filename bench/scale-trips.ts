// First messages: how many round trips they take over a relay that delays, and how long on loopback.
import { connect, createServer } from "node:net"
import type { World } from "../test/interop/world.ts"
import { type Relay, startRelay } from "./delaying.ts"
import { percentile } from "./process-figures.ts"
import { type Driver, type Figures, withPair } from "./runs.ts"
import type { Kind } from "./servers.ts"

/** From whom to whom, by what, and how many round trips are allowed. */
export interface Route {
  readonly name: string
  readonly kinds: readonly [Kind, Kind]
  readonly dialback?: boolean
  readonly directTls?: boolean
  readonly strangerNeed?: number
  readonly rememberedNeed?: number
  /** Milliseconds on loopback. */
  readonly firstNeed?: number
}

export const routes: readonly Route[] = [
  { name: "prosody -> prosody", kinds: ["prosody", "prosody"] },
  { name: "ejabberd -> ejabberd", kinds: ["ejabberd", "ejabberd"] },
  { name: "prosody -> ejabberd", kinds: ["prosody", "ejabberd"] },
  { name: "ejabberd -> prosody", kinds: ["ejabberd", "prosody"] },
  { name: "ours -> prosody", kinds: ["ours", "prosody"], strangerNeed: 6.5, rememberedNeed: 5.5, firstNeed: 15 },
  { name: "ours -> ejabberd", kinds: ["ours", "ejabberd"], strangerNeed: 6.5, rememberedNeed: 5.5 },
  { name: "ours -> ours, STARTTLS", kinds: ["ours", "ours"], strangerNeed: 6.5, rememberedNeed: 4.5 },
  { name: "ours -> ours, Direct TLS", kinds: ["ours", "ours"], directTls: true, strangerNeed: 6.5, rememberedNeed: 3.5 },
  { name: "prosody -> prosody, dialback", kinds: ["prosody", "prosody"], dialback: true },
  { name: "ejabberd -> ejabberd, dialback", kinds: ["ejabberd", "ejabberd"], dialback: true },
  { name: "ours -> prosody, dialback", kinds: ["ours", "prosody"], dialback: true },
  { name: "ours -> ejabberd, dialback", kinds: ["ours", "ejabberd"], dialback: true },
  { name: "ours -> ours, dialback", kinds: ["ours", "ours"], dialback: true },
]

/** ms */
export const roundTrip = 50
/** Each phase writes to so many domains, one after the other. */
const domains = 8
/** Ours close idle streams after this, s; it is the shortest that the configuration takes. */
const idle = 10

const selfSigned = (route: Route): { leftFlaw?: "self-signed" } => (route.dialback === true ? { leftFlaw: "self-signed" } : {})

export async function contactOf(driver: Driver, from: number, to: number, each: "receiver" | "sender" = "receiver", part = 0.5): Promise<number> {
  const { milliseconds } = await driver.play({ task: "contact", from, to, each })
  return percentile(milliseconds, part)
}

/** Of several first messages over one distance the one that other work on the machine disturbed least: it only ever adds. */
const undisturbed = 0
/** The longer distance, in round trips of the shorter: the longer, the less what is left of such work counts. */
const longer = 3

/** What a bare socket sees of the relay's delay where nothing disturbs it, ms: of this the others are multiples. */
export async function seenRoundTrip(relay: Relay, world: World): Promise<number> {
  const at = { address: await world.address(), port: 5269 }
  const server = createServer((socket) => socket.setNoDelay(true).pipe(socket))
  await new Promise<void>((resolve) => server.listen(0, at.address, resolve))
  const bound = server.address()
  if (bound === null || typeof bound === "string") throw new Error("no port")
  await relay.relay(at, { address: at.address, port: bound.port })
  const socket = connect({ host: at.address, port: at.port, noDelay: true })
  const times: number[] = []
  try {
    // The first one also waits for the connection.
    for (let turn = 0; turn < 11; turn += 1) {
      const sent = performance.now()
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject)
        socket.once("data", () => resolve())
        socket.write("x")
      })
      socket.removeAllListeners("error")
      if (turn > 0) times.push(performance.now() - sent)
    }
  } finally {
    socket.destroy()
    server.close()
  }
  return Math.min(...times)
}

/**
 * The same load at three distances. What the servers need for themselves, and what waits for a timer of a kernel, is the
 * same at the two longer ones, so that their difference is round trips and nothing else.
 */
export async function roundTrips(route: Route, world: World): Promise<Figures> {
  const relay = startRelay()
  const { directTls = false, kinds } = route
  try {
    return await withPair(
      kinds,
      world,
      1,
      3 * domains + 1,
      async (_, driver) => {
        await contactOf(driver, 3 * domains, 3 * domains + 1)
        const figures: Figures = {}
        const measure = async (word: string): Promise<void> => {
          const at: { trip: number; first: number }[] = []
          for (const [turn, ms] of [0, roundTrip, longer * roundTrip].entries()) {
            await relay.delay(ms)
            const trip = await seenRoundTrip(relay, world)
            at.push({ trip, first: await contactOf(driver, turn * domains, (turn + 1) * domains, "receiver", undisturbed) })
          }
          const [near, far, farther] = at as [(typeof at)[0], (typeof at)[0], (typeof at)[0]]
          figures[`${word} near`] = near.first
          figures[`${word} far`] = far.first
          figures[`${word} quotient`] = far.first / far.trip
          figures[`${word} trips`] = (farther.first - far.first) / (farther.trip - far.trip)
        }
        await measure("stranger")
        // Dialback leaves nothing that would save a round trip the next time.
        if (kinds[0] === "ours" && route.dialback !== true) {
          // Until every stream is idle and gone: what is left is what was learnt.
          await new Promise((resolve) => setTimeout(resolve, (idle + 3) * 1000))
          await measure("remembered")
        }
        return figures
      },
      { relay, directTls, idle, ...selfSigned(route) },
    )
  } finally {
    relay.stop()
  }
}

/** First messages to 50 new domains one after the other, nothing in between. */
export function firstMessages(route: Route, world: World): Promise<Figures> {
  return withPair(
    route.kinds,
    world,
    1,
    51,
    async (_, driver) => {
      await contactOf(driver, 50, 51)
      const { milliseconds } = await driver.play({ task: "contact", from: 0, to: 50 })
      return { p50: percentile(milliseconds, 0.5), max: Math.max(...milliseconds) }
    },
    selfSigned(route),
  )
}
