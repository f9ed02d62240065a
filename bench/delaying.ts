// A relay on loopback that makes a network of it: every octet is so many milliseconds on its way, in order, and a connection takes
// its first round trip to come about. A process of its own: what it costs is nobody's figure. It counts octets, too.
import { type ChildProcess, fork } from "node:child_process"
import { connect, createServer, type Socket } from "node:net"
import { fileURLToPath } from "node:url"

interface Place {
  readonly address: string
  readonly port: number
}

/** What the process is told. */
type Order = { readonly order: "relay"; readonly at: Place; readonly to: Place } | { readonly order: "octets" } | { readonly order: "delay"; readonly ms: number }

interface Answer {
  readonly octets: number
  readonly connections: number
  readonly failed?: string
}

/** Each way, ms. */
let delay = 0
let octets = 0
let connections = 0
const due: { readonly at: number; readonly act: () => void }[] = []
let armed = false

/** Timers of Node come up to a millisecond late, which over ten round trips would be one: the last millisecond is waited for awake. */
function look(): void {
  const now = performance.now()
  while (due.length > 0 && due[0]!.at <= now) due.shift()!.act()
  armed = due.length > 0
  if (!armed) return
  const left = due[0]!.at - now
  if (left > 1.5) setTimeout(look, left - 1.2)
  else setImmediate(look)
}

/** The delay changes only between runs, so what is due later was asked for later, but for a connection's first octets. */
function later(at: number, act: () => void): void {
  let index = due.length
  while (index > 0 && due[index - 1]!.at > at) index -= 1
  due.splice(index, 0, { at, act })
  if (!armed) {
    armed = true
    setImmediate(look)
  }
}

/** @param open when the first octet may leave this end at the earliest */
function carry(from: Socket, to: Socket, open: number): void {
  const send = (act: () => void): void => {
    if (delay === 0) return act()
    later(Math.max(performance.now(), open) + delay, act)
  }
  from.on("data", (chunk: Buffer) => {
    octets += chunk.length
    send(() => void to.write(chunk))
  })
  from.on("end", () => send(() => to.end()))
  from.on("error", () => send(() => to.destroy()))
  from.on("close", () => send(() => to.end()))
}

function accept(near: Socket, to: Place): void {
  connections += 1
  near.setNoDelay(true)
  // The kernel took the connection at once; over a network its opener would first hear of it one round trip later.
  const open = performance.now() + 2 * delay
  const far = connect({ host: to.address, port: to.port, noDelay: true })
  carry(near, far, open)
  carry(far, near, open)
}

function obey(order: Order): void {
  const answer = (failed?: string): void => void process.send?.({ octets, connections, ...(failed === undefined ? {} : { failed }) } satisfies Answer)
  if (order.order === "delay") delay = order.ms
  if (order.order !== "relay") return answer()
  const server = createServer({ allowHalfOpen: true }, (near) => accept(near, order.to))
  server.once("error", (error) => answer(error.message))
  server.listen(order.at.port, order.at.address, 512, () => answer())
}

export interface Relay {
  /** Whoever connects to the one is connected to the other. */
  relay(at: Place, to: Place): Promise<void>
  /** Octets of all connections in both directions so far, and connections so far. */
  counted(): Promise<{ readonly octets: number; readonly connections: number }>
  /** @param roundTrip ms */
  delay(roundTrip: number): Promise<void>
  stop(): void
}

/** One relay in its own process; it ends with this one. */
export function startRelay(): Relay {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), ["--relay"], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
  let last: Promise<unknown> = Promise.resolve()
  /** One order after the other: each has one answer. */
  const tell = (order: Order): Promise<Answer> => {
    const answered = last.then(
      () =>
        new Promise<Answer>((resolve, reject) => {
          const gone = (): void => reject(new Error("the relay ended"))
          child.once("exit", gone)
          child.once("message", (answer: Answer) => {
            child.off("exit", gone)
            if (answer.failed === undefined) resolve(answer)
            else reject(new Error(`the relay: ${answer.failed}`))
          })
          child.send(order)
        }),
    )
    last = answered.catch(/* told to whoever asked */ () => undefined)
    return answered
  }
  return {
    relay: async (at, to) => void (await tell({ order: "relay", at, to })),
    counted: () => tell({ order: "octets" }),
    delay: async (roundTrip) => void (await tell({ order: "delay", ms: roundTrip / 2 })),
    stop: () => void child.kill("SIGKILL"),
  }
}

if (process.argv[2] === "--relay") {
  process.on("message", obey)
  process.on("disconnect", () => process.exit(0))
}
