// The Dial port: guarded, capped TCP connections to literal addresses, with a deadline (security.md 17; CORE-04).
import { isIP, Socket } from "node:net"
import { DialError, type DialFailure } from "../model/errors.ts"
import { guardAddress, type OwnListener, type ReachPolicy } from "../model/reach.ts"
import { parseAddress } from "../model/address.ts"
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

/** Of the places in total, those that claims may take: what strangers cause must not keep our own stanzas waiting. */
const claimsShare = 0.5

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

/** How many connections of ours may wait for a place; more than that is refused at once. */
const mostWaiting = 4096

interface Waiting {
  readonly address: string
  readonly admit: () => void
}

/**
 * The places for connections under way. What a peer's claim causes is refused beyond a cap (security.md 17); what we
 * dial for our own stanzas waits its turn, else a burst to many domains of one server would bounce.
 */
class Places {
  readonly #limits: DialLimits
  readonly #destinations = new Map<string, number>()
  readonly #sources = new Map<string, number>()
  #total = 0
  #claims = 0
  readonly #waiting: Waiting[] = []

  constructor(limits: DialLimits) {
    this.#limits = limits
  }

  async take(address: string, source: string | undefined, signal: AbortSignal): Promise<void> {
    const full = this.#full(address) || (source !== undefined && this.#claimsFull(source))
    if (full && (source !== undefined || this.#waiting.length >= mostWaiting))
      throw new DialError("capped", `too many connections to ${address} or in total are under way`)
    // Who is admitted from the queue has been counted by whoever left.
    if (full) return await this.#turn(address, signal)
    this.#count(address, source, 1)
  }

  leave(address: string, source: string | undefined): void {
    this.#count(address, source, -1)
    const next = this.#waiting.findIndex((one) => !this.#full(one.address))
    const [admitted] = next === -1 ? [] : this.#waiting.splice(next, 1)
    if (admitted === undefined) return
    this.#count(admitted.address, undefined, 1)
    admitted.admit()
  }

  #claimsFull(source: string): boolean {
    return this.#claims >= Math.ceil(this.#limits.total * claimsShare) || (this.#sources.get(source) ?? 0) >= this.#limits.perSource
  }

  #full(address: string): boolean {
    return this.#total >= this.#limits.total || (this.#destinations.get(address) ?? 0) >= this.#limits.perDestination
  }

  #turn(address: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(one), 1)
        reject(abortFailure(signal))
      }
      const admit = (): void => {
        signal.removeEventListener("abort", onAbort)
        resolve()
      }
      const one = { address, admit }
      this.#waiting.push(one)
      signal.addEventListener("abort", onAbort, { once: true })
    })
  }

  #count(address: string, source: string | undefined, by: 1 | -1): void {
    this.#total += by
    add(this.#destinations, address, by)
    if (source === undefined) return
    this.#claims += by
    add(this.#sources, source, by)
  }
}

function add(counts: Map<string, number>, key: string, by: 1 | -1): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}

function abortFailure(signal: AbortSignal): DialError {
  const late = signal.reason instanceof Error && (signal.reason.name === "TimeoutError" || signal.reason.name === "DeadlinePassed")
  return new DialError(late ? "timeout" : "aborted", late ? "no connection in time" : "the connection attempt was given up", {
    cause: signal.reason,
  })
}

function open(to: NetworkAddress, signal: AbortSignal, options: DialOptions, deadline: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // It may have been given up while it waited for its turn.
    if (signal.aborted) return reject(abortFailure(signal))
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

/** An IPv6 host owns a /64 and can claim from each of its addresses. */
export function sourceNetwork(source: string): string {
  const bytes = parseAddress(source)
  return bytes?.length === 16 ? bytes.subarray(0, 8).join(".") : source
}

/** A Dial that asks the guard about the very address it then dials. One for each gateway: it knows that gateway's own listeners. */
export function createDial(options: DialOptions): Dial {
  const limits = { ...defaultDialLimits, ...options.limits }
  const places = new Places(limits)
  const guard = (to: NetworkAddress): void => {
    const reach = options.reach()
    const policy = { ...reach, ownListeners: [...reach.ownListeners, ...(options.ownListeners?.() ?? [])] }
    const guarded = guardAddress(to.address, policy, to.port)
    if (!guarded.ok) throw new DialError("guarded", guarded.detail)
  }

  return {
    async connect(to, { signal, source: claimant }): Promise<Channel> {
      const source = claimant === undefined ? undefined : sourceNetwork(claimant)
      if (signal.aborted) throw abortFailure(signal)
      guard(to)
      if (isIP(to.address) === 0 || !Number.isInteger(to.port) || to.port < 1 || to.port > 65_535)
        throw new DialError("guarded", `${to.address} port ${to.port} cannot be dialled`)
      const address = plainAddress(to.address)
      await places.take(address, source, signal)
      try {
        // The policy may have changed while it waited.
        guard(to)
        return new SocketChannel(await open({ address, port: to.port }, signal, options, limits.connect), { pace: options.newPace?.() })
      } finally {
        places.leave(address, source)
      }
    },
  }
}
