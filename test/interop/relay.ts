// A TCP relay between two servers: it can stop to pass on what one of them says, break all connections, and refuse new ones.
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"

/** Towards the server that is connected to, or back to the one that connects. */
export type Way = "there" | "back"

export interface Relay {
  readonly address: string
  /** Connections so far. */
  readonly connections: number
  /** Octets that were not passed on. */
  readonly held: number
  /** From now on nothing is passed on this way, on the connections that there are. */
  hold(way: Way): void
  /** On connections from now on, nothing is passed on there beyond so many octets. */
  holdBeyond(octets: number): void
  /** Ends them all by a reset, as a network does. */
  cut(): void
  /** New ones are reset at once. */
  refuse(): void
  accept(): void
  close(): Promise<void>
}

interface Leg {
  readonly from: Socket
  readonly to: Socket
  readonly holds: Set<Way>
  /** Octets that may yet go there. */
  left: number
}

/** Listens at 5269 of this address for the server at 5269 of the other. */
export async function startRelay(address: string, server: string): Promise<Relay> {
  const legs = new Set<Leg>()
  let connections = 0
  let held = 0
  let refusing = false
  let beyond = Number.POSITIVE_INFINITY
  const listener = createServer((from) => {
    from.on("error", () => undefined) // what ends one side ends the other
    if (refusing) return void from.resetAndDestroy()
    connections += 1
    const to = connect({ host: server, port: 5269 })
    to.on("error", () => undefined) // as above
    const leg: Leg = { from, to, holds: new Set(), left: beyond }
    legs.add(leg)
    const pass = (source: Socket, sink: Socket, way: Way): void => {
      source.setNoDelay(true)
      source.on("data", (bytes) => {
        if (way === "there") {
          if (leg.left < bytes.length) leg.holds.add(way)
          leg.left -= bytes.length
        }
        if (leg.holds.has(way)) held += bytes.length
        else if (!sink.destroyed) sink.write(bytes)
      })
      source.on("close", () => {
        legs.delete(leg)
        sink.destroy()
      })
    }
    pass(from, to, "there")
    pass(to, from, "back")
  })
  listener.listen(5269, address)
  await once(listener, "listening")
  const cut = (): void => {
    for (const { from, to } of [...legs]) {
      from.resetAndDestroy()
      to.resetAndDestroy()
    }
  }
  return {
    address,
    get connections() {
      return connections
    },
    get held() {
      return held
    },
    hold(way) {
      for (const { holds } of legs) holds.add(way)
    },
    holdBeyond(octets) {
      beyond = octets
    },
    cut,
    refuse() {
      refusing = true
    },
    accept() {
      refusing = false
    },
    async close() {
      cut()
      listener.close()
      await once(listener, "close")
    },
  }
}
