// One source that floods a server with TLS handshakes, claims and questions, a process of its own: what it costs is not the server's
// (security.md 17, 18; RFC 6120 13.12). It keeps to its rates, whatever becomes of it.
import { type ChildProcess, fork } from "node:child_process"
import { connect, type Socket } from "node:net"
import { connect as connectTls, type TLSSocket } from "node:tls"
import { fileURLToPath } from "node:url"

export interface FloodOrder {
  readonly target: { readonly address: string; readonly port: number }
  /** Where the attacker connects from. */
  readonly source: string
  /** Hosted by the target. */
  readonly domains: readonly string[]
  /** Claimed senders are `f<n>.<this>`: each is another one. */
  readonly claimed: string
  /** Each a second. */
  readonly handshakes: number
  readonly claims: number
  readonly verifies: number
  /** Certificate of a domain of the attacker's own, by which it authenticates the stream that it claims on. */
  readonly own?: { readonly domain: string; readonly chainPem: string; readonly keyPem: string }
}

export interface FloodReport {
  readonly handshakes: number
  /** Connections that the target ended before TLS was there. */
  readonly turnedAway: number
  /** Streams for claims, and how many of them the target ended with a stream error, by condition. */
  readonly streams: number
  readonly ended: Readonly<Record<string, number>>
  readonly claims: number
  /** Claims that no stream was there for. */
  readonly unsent: number
  readonly verifies: number
  /** Answers to claims, by type and condition. */
  readonly answers: Readonly<Record<string, number>>
}

const streamHeader = (from: string, to: string): string =>
  `<stream:stream xmlns='jabber:server' xmlns:stream='http://etherx.jabber.org/streams' xmlns:db='jabber:server:dialback' from='${from}' to='${to}' version='1.0'>`

class Attacker {
  readonly #order: FloodOrder
  #claimStream: TLSSocket | undefined
  #opening = false
  #next = 0
  #over = false
  readonly #sockets = new Set<Socket>()
  readonly counts = { handshakes: 0, turnedAway: 0, streams: 0, ended: {} as Record<string, number>, claims: 0, unsent: 0, verifies: 0, answers: {} as Record<string, number> }

  constructor(order: FloodOrder) {
    this.#order = order
  }

  run(): void {
    const began = performance.now()
    const done = { handshakes: 0, claims: 0, verifies: 0 }
    const due = (kind: keyof typeof done): number => {
      const count = Math.floor(((performance.now() - began) * this.#order[kind]) / 1000) - done[kind]
      done[kind] += count
      return count
    }
    const tick = (): void => {
      if (this.#over) return
      for (let left = due("handshakes"); left > 0; left -= 1) this.#shake()
      if (this.#order.claims + this.#order.verifies > 0) this.#claim(due("claims"), due("verifies"))
      setTimeout(tick, 2)
    }
    tick()
  }

  stop(): void {
    this.#over = true
    for (const socket of this.#sockets) socket.destroy()
  }

  get #from(): string {
    return this.#order.own?.domain ?? `f0.${this.#order.claimed}`
  }

  /** One handshake; the connection ends with it. */
  #shake(): void {
    this.#secure({}, (socket) => socket.destroy())
  }

  #claim(claims: number, verifies: number): void {
    const stream = this.#claimStream
    if (stream === undefined || stream.destroyed) {
      this.counts.unsent += claims
      if (!this.#opening) this.#openClaimStream()
      return
    }
    const { domains, claimed } = this.#order
    let text = ""
    for (let index = 0; index < claims + verifies; index += 1) {
      const number = this.#next
      this.#next += 1
      const to = domains[number % domains.length]
      const key = `${number}`.padStart(64, "0")
      if (index < claims) text += `<db:result from='f${number}.${claimed}' to='${to}'>${key}</db:result>`
      else text += `<db:verify from='f${number}.${claimed}' to='${to}' id='${number}'>${key}</db:verify>`
    }
    this.counts.claims += claims
    this.counts.verifies += verifies
    // A target that stops reading is not waited for, nor is its window filled for ever.
    if (stream.writableLength < 1 << 20) stream.write(text)
  }

  #openClaimStream(): void {
    this.#opening = true
    const { own, domains } = this.#order
    const to = domains[0]!
    const tls = own === undefined ? {} : { cert: own.chainPem, key: own.keyPem }
    this.#secure(
      tls,
      (socket) => {
        let text = ""
        let ready = false
        let authenticating = own !== undefined
        const look = (): void => {
          if (!ready && text.includes("</stream:features>")) {
            if (!authenticating) {
              ready = true
              this.#opening = false
              this.counts.streams += 1
              this.#claimStream = socket
            } else if (text.includes("EXTERNAL")) {
              text = ""
              socket.write("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>=</auth>")
            }
          }
          if (authenticating && text.includes("<success")) {
            authenticating = false
            text = ""
            socket.write(streamHeader(this.#from, to))
          }
          if (ready) this.#read(text)
          if (ready) text = text.slice(-400)
        }
        socket.on("data", (chunk: Buffer) => {
          text += chunk.toString("latin1")
          if (ready) {
            const cut = text.lastIndexOf(">") + 1
            this.#read(text.slice(0, cut))
            text = text.slice(cut)
          } else look()
        })
        socket.once("close", () => {
          this.#opening = false
          if (this.#claimStream === socket) this.#claimStream = undefined
        })
        socket.write(streamHeader(this.#from, to))
      },
      () => {
        this.#opening = false
      },
    )
  }

  #read(text: string): void {
    for (const [, type = "", rest = ""] of text.matchAll(/<db:result[^>]*type=['"](\w+)['"]([^>]*>(?:<error[^>]*><[\w-]+)?)/g)) {
      const condition = /<error[^>]*><([\w-]+)/.exec(rest)?.[1]
      const name = condition === undefined ? type : `${type} ${condition}`
      this.counts.answers[name] = (this.counts.answers[name] ?? 0) + 1
    }
    const condition = /<stream:error><([\w-]+)/.exec(text)?.[1]
    if (condition !== undefined) this.counts.ended[condition] = (this.counts.ended[condition] ?? 0) + 1
  }

  #secure(credentials: { cert?: string; key?: string }, secured: (socket: TLSSocket) => void, failed: () => void = () => undefined): void {
    const { target, source, domains } = this.#order
    const plain = connect({ host: target.address, port: target.port, localAddress: source })
    this.#sockets.add(plain)
    let done = false
    const gone = (): void => {
      this.#sockets.delete(plain)
      if (done) return
      done = true
      this.counts.turnedAway += 1
      failed()
    }
    plain.once("close", gone)
    plain.on("error", () => plain.destroy())
    let text = ""
    const onData = (chunk: Buffer): void => {
      text += chunk.toString("latin1")
      if (!text.includes("<proceed")) return
      plain.off("data", onData)
      const socket = connectTls({ socket: plain, rejectUnauthorized: false, servername: domains[0]!, ...credentials })
      socket.on("error", () => plain.destroy())
      socket.once("secureConnect", () => {
        done = true
        this.counts.handshakes += 1
        secured(socket)
      })
    }
    plain.on("data", onData)
    plain.write(`${streamHeader(this.#from, domains[0]!)}<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>`)
  }
}

/** What the process of the attacker says: several times a second, and once when it has stopped. */
interface Told {
  readonly report: FloodReport
  readonly over: boolean
}

/** An attacker that waits for a word. */
export interface Flood {
  begin(): void
  /** What it told last. */
  soFar(): FloodReport | undefined
  /** Ends it. @returns what came of it */
  stop(): Promise<FloodReport>
}

/** A process of its own, which has started by the time this resolves: what that costs is no flood, and a real one pays for it elsewhere. */
export async function prepareFlood(order: FloodOrder): Promise<Flood> {
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), ["flood"], { stdio: ["ignore", "inherit", "inherit", "ipc"] })
  await new Promise<void>((resolve, reject) => {
    const early = (): void => reject(new Error("the attacker did not start"))
    child.once("exit", early)
    child.once("message", () => {
      child.off("exit", early)
      resolve()
    })
  })
  let soFar: FloodReport | undefined
  child.on("message", ({ report }: Told) => {
    soFar = report
  })
  return {
    begin: () => child.send(order),
    soFar: () => soFar,
    stop: () =>
      new Promise((resolve, reject) => {
        const early = (): void => reject(new Error("the attacker ended early"))
        child.once("exit", early)
        child.on("message", ({ report, over }: Told) => {
          if (!over) return
          child.off("exit", early)
          child.once("exit", () => resolve(report))
          child.disconnect()
        })
        child.send("stop")
      }),
  }
}

if (process.argv[2] === "flood" && process.send !== undefined) {
  let attacker: Attacker | undefined
  const tell = (over: boolean): void => {
    if (attacker !== undefined) process.send?.({ report: attacker.counts, over } satisfies Told)
  }
  let telling: NodeJS.Timeout | undefined
  process.on("message", (order: FloodOrder | "stop") => {
    if (order !== "stop") {
      attacker = new Attacker(order)
      attacker.run()
      telling = setInterval(tell, 200, false)
      return
    }
    clearInterval(telling)
    attacker?.stop()
    tell(true)
  })
  process.on("disconnect", () => process.exit(0))
  process.send("ready")
}
