// The driver of the bench, a process of its own: attaches components to two servers and plays one load at a time, as told over IPC.
import { attachComponent, benchMessage, type Component, type ComponentAddress, MessageCounter } from "./component.ts"

export type Task =
  /** With `sharing` the connection of the first receiver serves all of them. */
  | { readonly task: "attach"; readonly senders: readonly ComponentAddress[]; readonly receivers: readonly ComponentAddress[]; readonly sharing?: boolean }
  /**
   * Keeps `window` messages on their way; refills `refill` at a time, in one write. With `inARow` they are spread over all
   * pairs of the first `from` senders, so many of one pair in a row.
   */
  | {
      readonly task: "saturate"
      readonly window: number
      readonly refill: number
      readonly warmUp: number
      readonly seconds: number
      readonly inARow?: number
      readonly from?: number
    }
  /** `rate` a second, one write each. */
  | { readonly task: "pace"; readonly rate: number; readonly warmUp: number; readonly seconds: number }
  | { readonly task: "latency"; readonly rate: number; readonly warmUp: number; readonly seconds: number }
  /** One message to each receiver of the range, or from each sender, the next when it has arrived. */
  | { readonly task: "contact"; readonly from: number; readonly to: number; readonly each?: "receiver" | "sender" }
  /** One message from each sender to each receiver of the range, at most `together` on their way. */
  | { readonly task: "spread"; readonly from: number; readonly to: number; readonly together: number }

type ReportKind = "begin" | "end" | "failed"

/** Last word on a task that did not fail; `refused` counts bounces. */
export interface Done {
  readonly at: "done"
  readonly refused: number
}

/** `begin` and `end` bracket what is measured; `received` counts messages since the task began. */
export interface Report {
  readonly at: ReportKind
  readonly received: number
  readonly milliseconds: readonly number[]
  readonly elapsed: number
  readonly detail?: string
}

/** A message that has not arrived after this is lost, ms. */
const patience = 60_000

let senders: readonly Component[] = []
let receivers: readonly Component[] = []
let refused = 0

function report(at: Report["at"], received: number, elapsed: number, milliseconds: readonly number[] = [], detail?: string): void {
  process.send?.({ at, received, elapsed, milliseconds, ...(detail === undefined ? {} : { detail }) } satisfies Report)
}

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A few at a time: ejabberd's listeners queue only five connections. */
async function attachAll(addresses: readonly ComponentAddress[]): Promise<Component[]> {
  const attached: Component[] = []
  for (let at = 0; at < addresses.length; at += 4) attached.push(...(await Promise.all(addresses.slice(at, at + 4).map(attachComponent))))
  return attached
}

async function attach(task: Task & { task: "attach" }): Promise<void> {
  senders = await attachAll(task.senders)
  const [one] = task.sharing === true ? await attachAll(task.receivers.slice(0, 1)) : []
  receivers = one === undefined ? await attachAll(task.receivers) : [one, ...task.receivers.slice(1).map(({ domain }) => ({ ...one, domain }))]
  for (const component of senders) {
    component.onData = (chunk) => {
      // Errors come back to the sender: none of them may pass unseen.
      const text = chunk.toString("latin1")
      const bounced = text.split(/type=['"]error['"]/).length - 1
      refused += bounced
      if (bounced > 0) process.stderr.write(`bounced: ${text.slice(0, 300)}\n`)
    }
  }
  report("end", 0, 0)
}

/** Runs `step` until the time is over and reports the count at the end of the warm-up and at the end. */
async function measured(warmUp: number, seconds: number, received: () => number, milliseconds: readonly number[] = []): Promise<void> {
  await wait(warmUp * 1000)
  const begin = performance.now()
  const before = received()
  report("begin", before, 0)
  await wait(seconds * 1000)
  report("end", received() - before, (performance.now() - begin) / 1000, milliseconds)
}

/** What one refill writes, and from whom: a batch of one pair, or of several that have their turn. */
function batches({ refill, inARow, from: some = senders.length }: Task & { task: "saturate" }): () => { readonly sender: Component; readonly batch: Buffer } {
  const text = (sender: Component, receiver: Component): string => benchMessage(sender.domain, receiver.domain, "m00000001")
  if (inARow === undefined) {
    const [sender, receiver] = [senders[0]!, receivers[0]!]
    const batch = Buffer.from(text(sender, receiver).repeat(refill))
    return () => ({ sender, batch })
  }
  const turns = Math.max(1, Math.round(refill / inARow))
  // All batches of one turn round the pairs, made beforehand: the driver shares the machine with what it measures.
  const made: { sender: Component; batch: Buffer }[] = []
  for (let from = 0; from < receivers.length; from += turns) {
    for (const sender of senders.slice(0, some)) {
      const several = Array.from({ length: turns }, (_, index) => receivers[(from + index) % receivers.length]!)
      made.push({ sender, batch: Buffer.from(several.map((receiver) => text(sender, receiver).repeat(inARow)).join("")) })
    }
  }
  let next = 0
  return () => {
    next = (next + 1) % made.length
    return made[next]!
  }
}

async function saturate(task: Task & { task: "saturate" }): Promise<void> {
  const { window, refill, warmUp, seconds, inARow } = task
  const following = batches(task)
  const perBatch = inARow === undefined ? refill : Math.max(1, Math.round(refill / inARow)) * inARow
  let onTheirWay = 0
  let arrived = 0
  let over = false
  const fill = (): void => {
    while (!over && onTheirWay + perBatch <= window) {
      onTheirWay += perBatch
      const { sender, batch } = following()
      sender.socket.write(batch)
    }
  }
  for (const receiver of receivers) {
    const counter = new MessageCounter()
    receiver.onData = (chunk) => {
      const count = counter.add(chunk)
      onTheirWay -= count
      arrived += count
      fill()
    }
  }
  fill()
  await measured(warmUp, seconds, () => arrived)
  over = true
  await drained(() => onTheirWay)
}

async function drained(onTheirWay: () => number): Promise<void> {
  const end = performance.now() + 10_000
  while (onTheirWay() > 0 && performance.now() < end) await wait(20)
  if (onTheirWay() > 0) process.stderr.write(`${onTheirWay()} messages never arrived\n`)
}

async function pace({ rate, warmUp, seconds }: Task & { task: "pace" }): Promise<void> {
  const [sender, receiver] = [senders[0]!, receivers[0]!]
  const one = Buffer.from(benchMessage(sender.domain, receiver.domain, "m00000001"))
  const counter = new MessageCounter()
  receiver.onData = (chunk) => void counter.add(chunk)
  let sent = 0
  let over = false
  const began = performance.now()
  const tick = (): void => {
    if (over) return
    const due = Math.floor(((performance.now() - began) * rate) / 1000)
    // A server that falls behind is not buried.
    while (sent < due && sent - counter.count < 20_000) {
      sender.socket.write(one)
      sent += 1
    }
    setTimeout(tick, 1)
  }
  tick()
  await measured(warmUp, seconds, () => counter.count)
  over = true
  await drained(() => sent - counter.count)
}

/** The ids in a stream of chunks, as each message's start tag becomes whole. */
function idReader(arrived: (id: string) => void): (chunk: Buffer) => void {
  let rest = ""
  return (chunk) => {
    rest += chunk.toString("latin1")
    let used = 0
    for (const match of rest.matchAll(/<message\s[^>]*?\bid=['"]([^'"]*)['"][^>]*>/g)) {
      arrived(match[1]!)
      used = match.index + match[0].length
    }
    rest = rest.slice(used)
    if (rest.length > 4096) rest = rest.slice(-4096)
  }
}

async function latency({ rate, warmUp, seconds }: Task & { task: "latency" }): Promise<void> {
  const [sender, receiver] = [senders[0]!, receivers[0]!]
  const times: number[] = []
  const sentAt = new Map<string, number>()
  const measureFrom = performance.now() + warmUp * 1000
  receiver.onData = idReader((id) => {
    const sent = sentAt.get(id)
    sentAt.delete(id)
    if (sent !== undefined && sent >= measureFrom) times.push(performance.now() - sent)
  })
  let sent = 0
  let over = false
  const began = performance.now()
  const tick = (): void => {
    if (over) return
    const due = Math.floor(((performance.now() - began) * rate) / 1000)
    while (sent < due) {
      sent += 1
      const id = `m${String(sent).padStart(8, "0")}`
      sentAt.set(id, performance.now())
      sender.socket.write(benchMessage(sender.domain, receiver.domain, id))
    }
    setTimeout(tick, 1)
  }
  tick()
  await measured(warmUp, seconds, () => times.length, times)
  over = true
  await drained(() => sentAt.size)
}

/** Told of each id that arrives at any component: ejabberd gives a connection all domains of its listener. */
function watchAll(arrived: (id: string) => void): void {
  for (const receiver of receivers) receiver.onData = idReader(arrived)
}

async function contact({ from, to, each = "receiver" }: Task & { task: "contact" }): Promise<void> {
  const times: number[] = []
  report("begin", 0, 0)
  const began = performance.now()
  for (let index = from; index < to; index += 1) {
    const sender = senders[each === "sender" ? index : 0]!
    const receiver = receivers[each === "sender" ? 0 : index]!
    const expected = `c${index}`
    const sent = performance.now()
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`the message to ${receiver.domain} did not arrive`)), patience)
      watchAll((id) => {
        if (id !== expected) return
        clearTimeout(timer)
        times.push(performance.now() - sent)
        resolve()
      })
      sender.socket.write(benchMessage(sender.domain, receiver.domain, expected))
    })
  }
  report("end", times.length, (performance.now() - began) / 1000, times)
}

async function spread({ from, to, together }: Task & { task: "spread" }): Promise<void> {
  const pairs = senders.flatMap((sender) => receivers.slice(from, to).map((receiver) => ({ sender, receiver })))
  const times: number[] = []
  const sentAt = new Map<string, number>()
  let next = 0
  report("begin", 0, 0)
  const began = performance.now()
  await new Promise<void>((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${pairs.length - times.length} of ${pairs.length} messages did not arrive`)), patience)
    const fill = (): void => {
      while (next < pairs.length && sentAt.size < together) {
        const { sender, receiver } = pairs[next]!
        const id = `p${next}`
        next += 1
        sentAt.set(id, performance.now())
        sender.socket.write(benchMessage(sender.domain, receiver.domain, id))
      }
    }
    const arrived = (id: string): void => {
      const sent = sentAt.get(id)
      if (sent === undefined) return
      sentAt.delete(id)
      times.push(performance.now() - sent)
      if (times.length === pairs.length) {
        clearTimeout(timer)
        resolve()
      } else fill()
    }
    watchAll(arrived)
    fill()
  })
  report("end", times.length, (performance.now() - began) / 1000, times)
}

async function run(task: Task): Promise<void> {
  refused = 0
  switch (task.task) {
    case "attach":
      return attach(task)
    case "saturate":
      return saturate(task)
    case "pace":
      return pace(task)
    case "latency":
      return latency(task)
    case "contact":
      return contact(task)
    case "spread":
      return spread(task)
  }
}

process.on("message", (task: Task) => {
  run(task).then(
    () => {
      process.send?.({ at: "done", refused } satisfies Done)
    },
    (error: unknown) => report("failed", 0, 0, [], `${error instanceof Error ? error.message : String(error)}; ${refused} bounced`),
  )
})
process.on("disconnect", () => process.exit(0))
