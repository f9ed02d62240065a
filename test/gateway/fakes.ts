// A clock that is stepped by hand, channels that remember, and the router with a pool behind it, for tests without sockets.
import type { DomainPair } from "../../src/model/association.ts"
import type { Channel, ChannelHandler, Clock, Random } from "../../src/ports.ts"
import type { OutgoingFailure, OutgoingStream, StreamEnd } from "../../src/federation/contract.ts"
import { OutgoingRefused } from "../../src/federation/refusal.ts"

export class StepClock implements Clock {
  #now: number
  #timers: { at: number; callback: () => void }[] = []
  constructor(now = 1_795_348_800_000) {
    this.#now = now
  }
  now(): number {
    return this.#now
  }
  monotonic(): number {
    return this.#now
  }
  after(ms: number, callback: () => void): () => void {
    const timer = { at: this.#now + ms, callback }
    this.#timers.push(timer)
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }
  get timers(): number {
    return this.#timers.length
  }
  /** Lets time pass, calling what falls due in order; promises settle in between. */
  async step(ms: number): Promise<void> {
    await settle()
    const end = this.#now + ms
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers = this.#timers.filter((timer) => timer !== due)
      this.#now = Math.max(this.#now, due.at)
      due.callback()
      await settle()
    }
    this.#now = end
    await settle()
  }
}

/** Lets every promise that is ready go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn += 1) await Promise.resolve()
}

export const steadyRandom: Random = { bytes: (count) => new Uint8Array(count), fraction: () => 0 }

/** Takes what it is given until told to be full. */
export class FakeChannel implements Channel {
  readonly remote = { address: "192.0.2.1", port: 5269 }
  readonly local = { address: "192.0.2.2", port: 1 }
  written = ""
  full = false
  backlog = 0
  attach(_handler: ChannelHandler): void {
    throw new Error("nobody reads here")
  }
  release(): void {
    throw new Error("nobody reads here")
  }
  write(bytes: Uint8Array): boolean {
    this.written += Buffer.from(bytes).toString("utf8")
    if (this.full) this.backlog += bytes.length
    return !this.full
  }
  pause(): void {
    throw new Error("nobody reads here")
  }
  resume(): void {
    throw new Error("nobody reads here")
  }
  end(): void {
    this.written += "[end]"
  }
  destroy(): void {
    this.written += "[destroyed]"
  }
}

export class FakeStream {
  readonly channel = new FakeChannel()
  readonly closedWith: string[] = []
  rechecked = 0
  readonly dropped: DomainPair[] = []
  readonly stream: OutgoingStream
  #settle!: (end: StreamEnd) => void
  constructor(pair: DomainPair, id: string) {
    const closed = new Promise<StreamEnd>((resolve) => {
      this.#settle = resolve
    })
    this.stream = {
      id,
      pair,
      get association(): never {
        throw new Error("not looked at")
      },
      remote: this.channel.remote,
      channel: this.channel,
      endpoint: undefined,
      errors: false,
      onDrain: undefined,
      onWithdrawn: undefined,
      associations: () => [],
      associationOf: () => undefined,
      add: () => Promise.reject(new Error("nothing is added here")),
      drop: (dropped) => void this.dropped.push(...dropped),
      lastInput: undefined,
      lastOutput: 0,
      closed,
      close: (condition) => {
        this.closedWith.push(condition ?? "")
        this.end({ by: "us", detail: condition ?? "closed" })
      },
      recheck: () => {
        this.rechecked += 1
      },
    }
  }
  end(end: StreamEnd): void {
    this.#settle(end)
  }
}

/** One attempt to open a stream, decided by the test. */
export interface Attempt {
  readonly pair: DomainPair
  readonly signal: AbortSignal
  succeed(): FakeStream
  /** The pair comes onto a stream that is there. */
  onto(stream: FakeStream): void
  fail(failure?: Partial<OutgoingFailure>): void
  crash(error: unknown): void
}

export class Opener {
  readonly attempts: Attempt[] = []
  open = (pair: DomainPair, signal: AbortSignal): Promise<OutgoingStream> =>
    new Promise((resolve, reject) => {
      this.attempts.push({
        pair,
        signal,
        succeed: () => {
          const fake = new FakeStream(pair, `s2sout-${this.attempts.length}`)
          resolve(fake.stream)
          return fake
        },
        onto: (fake) => resolve(fake.stream),
        fail: (failure) => reject(new OutgoingRefused({ finding: "reach.refused", detail: "nobody there", verdicts: [], kind: "unreachable", retryable: true, ...failure })),
        crash: (error) => reject(error),
      })
    })
  get last(): Attempt {
    return this.attempts.at(-1)!
  }
}
