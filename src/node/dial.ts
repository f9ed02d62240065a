// The Dial port: guarded, capped TCP connections to literal addresses, with a deadline (security.md 17; CORE-04).
import { isIP, Socket } from "node:net"
import { DialError, type DialFailure } from "../model/errors.ts"
import { guardAddress, type OwnListener, type ReachPolicy } from "../model/reach.ts"
import type { Channel, Clock, Dial, NetworkAddress } from "../ports.ts"
import { errorCode, type NewPace, plainAddress, readAhead, SocketChannel } from "./tcp.ts"

/** How many connections may be under way at once; one that is open no longer counts. */
export interface DialLimits {
  /** To one address, over all claims. */
  readonly perDestination: number
  /** Caused by one peer's claims. */
  readonly perSource: number
  readonly total: number
  /** How long one attempt may take, ms. */
  readonly connect: number
}

export const defaultDialLimits: DialLimits = { perDestination: 16, perSource: 16, total: 256, connect: 10_000 }

export interface DialOptions {
  /** Read afresh for every connection: it changes with the configuration. */
  readonly reach: () => ReachPolicy
  /** What we listen on ourselves; never dialled. */
  readonly ownListeners?: () => readonly OwnListener[]
  readonly clock: Clock
  readonly limits?: Partial<DialLimits>
  readonly newPace?: NewPace
}

const failures: Readonly<Record<string, DialFailure>> = {
  ECONNREFUSED: "refused",
  ETIMEDOUT: "timeout",
  ECONNRESET: "reset",
  EPIPE: "reset",
}

/** Counts what is under way by key and refuses beyond the cap. */
class Counted {
  readonly #counts = new Map<string, number>()
  readonly #cap: number
  constructor(cap: number) {
    this.#cap = cap
  }
  full(key: string): boolean {
    return (this.#counts.get(key) ?? 0) >= this.#cap
  }
  add(key: string, by: 1 | -1): void {
    const count = (this.#counts.get(key) ?? 0) + by
    if (count === 0) this.#counts.delete(key)
    else this.#counts.set(key, count)
  }
}

function abortFailure(signal: AbortSignal): DialError {
  const late = signal.reason instanceof Error && signal.reason.name === "TimeoutError"
  return new DialError(late ? "timeout" : "aborted", late ? "no connection in time" : "the connection attempt was given up", {
    cause: signal.reason,
  })
}

function open(to: NetworkAddress, signal: AbortSignal, options: DialOptions, deadline: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settings = { allowHalfOpen: true, noDelay: true, highWaterMark: readAhead }
    const socket = new Socket(settings)
    const settle = (): void => {
      stopTimer()
      signal.removeEventListener("abort", onAbort)
      socket.off("connect", onConnect).off("error", onError)
    }
    const fail = (error: DialError): void => {
      settle()
      socket.on("error", ignoreAfterwards)
      socket.destroy()
      reject(error)
    }
    // Destroying a socket under way may still raise one error; the attempt has been reported by then.
    const ignoreAfterwards = (): undefined => undefined
    const onAbort = (): void => fail(abortFailure(signal))
    const onError = (cause: Error): void => {
      const code = errorCode(cause)
      fail(new DialError(failures[code] ?? "unreachable", `${to.address} port ${to.port}: ${code}`, { cause }))
    }
    const onConnect = (): void => {
      settle()
      resolve(socket)
    }
    const stopTimer = options.clock.after(deadline, () =>
      fail(new DialError("timeout", `${to.address} port ${to.port}: no answer within ${deadline / 1000} s`)),
    )
    signal.addEventListener("abort", onAbort, { once: true })
    socket.once("connect", onConnect).once("error", onError)
    // A literal is dialled as it is: no second lookup can put another address in its place (security.md 17).
    socket.connect({ host: to.address, port: to.port, autoSelectFamily: false })
  })
}

/** A Dial that asks the guard about the very address it then dials. One for each gateway: it knows that gateway's own listeners. */
export function createDial(options: DialOptions): Dial {
  const limits = { ...defaultDialLimits, ...options.limits }
  const destinations = new Counted(limits.perDestination)
  const sources = new Counted(limits.perSource)
  let underWay = 0

  return {
    async connect(to, { signal, source }): Promise<Channel> {
      if (signal.aborted) throw abortFailure(signal)
      const reach = options.reach()
      const policy = { ...reach, ownListeners: [...reach.ownListeners, ...(options.ownListeners?.() ?? [])] }
      const guarded = guardAddress(to.address, policy, to.port)
      if (!guarded.ok) throw new DialError("guarded", guarded.detail)
      if (isIP(to.address) === 0 || !Number.isInteger(to.port) || to.port < 1 || to.port > 65_535)
        throw new DialError("guarded", `${to.address} port ${to.port} cannot be dialled`)
      const address = plainAddress(to.address)
      if (underWay >= limits.total || destinations.full(address) || (source !== undefined && sources.full(source)))
        throw new DialError("capped", `too many connections to ${address} or in total are under way`)
      underWay += 1
      destinations.add(address, 1)
      if (source !== undefined) sources.add(source, 1)
      try {
        return new SocketChannel(await open({ address, port: to.port }, signal, options, limits.connect), { pace: options.newPace?.() })
      } finally {
        underWay -= 1
        destinations.add(address, -1)
        if (source !== undefined) sources.add(source, -1)
      }
    },
  }
}
