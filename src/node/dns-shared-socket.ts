// One connected UDP socket for many DNS queries at once, to an upstream on loopback (RFC 5452 9.2 asks for fresh ports off loopback).
import { createSocket, type Socket } from "node:dgram"
import type { StopSignal } from "../model/stop.ts"
import type { NetworkAddress } from "../ports.ts"

interface Waiting {
  readonly accept: (reply: Uint8Array) => boolean
  readonly settle: (reply: Uint8Array | Error) => void
}

/** How long a shared socket stays open without queries, ms. */
const idleTime = 2_000

/**
 * One connected socket for all queries to an upstream on loopback, where nobody can guess ports from outside: a socket a
 * query costs more than the query. Replies are told apart by their id and by what each asker accepts.
 */
export class SharedSocket {
  readonly #socket: Socket
  readonly #waiting = new Map<number, Waiting[]>()
  readonly #connected: Promise<void>
  readonly #gone: () => void
  #count = 0
  #ready = false
  #over = false
  #idle: NodeJS.Timeout | undefined

  constructor({ address, port }: NetworkAddress, gone: () => void) {
    this.#gone = gone
    this.#socket = createSocket(address.includes(":") ? "udp6" : "udp4")
    this.#connected = new Promise((resolve, reject) => {
      this.#socket.once("connect", () => {
        this.#ready = true
        resolve()
      })
      this.#socket.once("error", reject)
    })
    // Every exchange hears of it on its own; a socket that fails between two of them is simply replaced.
    this.#connected.catch(gone)
    this.#socket.on("error", (error) => this.#fail(error))
    this.#socket.on("message", (message) => this.#deliver(message))
    this.#socket.connect(port, address)
  }

  #deliver(message: Uint8Array): void {
    if (message.length < 2) return
    for (const one of this.#waiting.get((message[0]! << 8) | message[1]!) ?? []) {
      if (!one.accept(message)) continue
      one.settle(message)
      return
    }
  }

  /** A refused port is told to whoever waits; the next query opens a new socket. */
  #fail(error: Error): void {
    if (this.#over) return
    this.#over = true
    this.#gone()
    clearTimeout(this.#idle)
    for (const same of this.#waiting.values()) for (const one of same) one.settle(error)
    this.#socket.close()
  }

  async exchange(query: Uint8Array, signal: StopSignal, accept: (reply: Uint8Array) => boolean): Promise<Uint8Array> {
    if (this.#count === 0) {
      clearTimeout(this.#idle)
      this.#socket.ref()
    }
    this.#count += 1
    try {
      if (!this.#ready) await this.#connected
      return await this.#wait(query, signal, accept)
    } finally {
      this.#count -= 1
      if (this.#count === 0) this.#rest()
    }
  }

  #rest(): void {
    if (this.#over) return
    // It keeps nobody's process alive while nothing is asked.
    this.#socket.unref()
    this.#idle = setTimeout(() => {
      this.#over = true
      this.#gone()
      this.#socket.close()
    }, idleTime).unref()
  }

  #wait(query: Uint8Array, signal: StopSignal, accept: (reply: Uint8Array) => boolean): Promise<Uint8Array> {
    const id = (query[0]! << 8) | query[1]!
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        const others = (this.#waiting.get(id) ?? []).filter((other) => other !== one)
        if (others.length === 0) this.#waiting.delete(id)
        else this.#waiting.set(id, others)
        signal.removeEventListener("abort", onAbort)
      }
      const one: Waiting = {
        accept,
        settle: (reply) => {
          leave()
          if (reply instanceof Error) reject(reply)
          else resolve(reply)
        },
      }
      const onAbort = (): void => {
        leave()
        reject(signal.reason)
      }
      if (signal.aborted) return onAbort()
      this.#waiting.set(id, [...(this.#waiting.get(id) ?? []), one])
      signal.addEventListener("abort", onAbort)
      this.#socket.send(query, (error) => {
        // The kernel tells of a closed port once, and here it told whoever sent next.
        if (error !== null) this.#fail(error)
      })
    })
  }
}
