// The admin socket: who may open it, how much of anything it takes, one answer a request (security.md 20, 27).
import { dirname } from "node:path"
import { ConfigError } from "../model/errors.ts"
import type { Channel, ChannelHandler, Clock, Files, Listen, Listener } from "../ports.ts"
import { type AdminAnswer, type AdminFailure, type AdminProblem, AdminRefusal, type AdminRequest, adminVersion, maxRequestOctets, readRequest } from "./admin-protocol.ts"
import { reason, type SocketPath } from "./config-values.ts"
import type { LogLines } from "./log-lines.ts"

export interface AdminLimits {
  /** Connections at once; one more is told to come back. */
  readonly connections: number
  /** Without a whole request, or without taking the answer, ms. */
  readonly idleMs: number
}

export const defaultAdminLimits: AdminLimits = { connections: 16, idleMs: 30_000 }

/** A connection that was told something and ended has this long to read it, ms. */
const lastWordMs = 1000
const lineFeed = 0x0a

export interface AdminSurroundings {
  readonly clock: Clock
  readonly listen: Listen
  readonly files: Pick<Files, "stat">
  readonly lines: LogLines
  /** Rejects with AdminRefusal. */
  answer(request: AdminRequest): Promise<unknown>
  broken(error: unknown): void
}

export class AdminSocket {
  readonly #around: AdminSurroundings
  readonly #limits: AdminLimits
  readonly #open = new Set<AdminConnection>()
  #listener: Listener | undefined
  #path: SocketPath | undefined

  constructor(around: AdminSurroundings, limits: Partial<AdminLimits> = {}) {
    this.#around = around
    this.#limits = { ...defaultAdminLimits, ...limits }
  }

  /**
   * Binds. The mode of the socket (0660) holds from its first moment.
   *
   * @throws ConfigError when the folder lets anybody put another socket in its place
   */
  async open(at: SocketPath): Promise<void> {
    const { path } = at
    const folder = dirname(path)
    const refuse = (sentence: string): never => {
      throw new ConfigError([{ place: path, setting: "listen.admin", sentence }])
    }
    const { mode } = await this.#around.files.stat(folder).catch((error: unknown) => refuse(`The folder ${folder} cannot be used: ${reason(error)}.`))
    if ((mode & 0o002) !== 0) {
      const sticky = (mode & 0o1000) !== 0
      const sentence = `Everybody may write in ${folder}: another process could answer in the gateway's place. Use a folder of its own, for example /run/xmpp-dna, mode 750.`
      // Without the sticky bit they may even remove our socket.
      if (!sticky) refuse(sentence)
      this.#around.lines.write("warn", "config.warning", { place: path, setting: "listen.admin", text: sentence })
    }
    try {
      this.#listener = await this.#around.listen.listen(at, (channel) => this.#accept(channel))
      this.#path = at
    } catch (error) {
      const taken = (error as { code?: unknown }).code === "EADDRINUSE"
      refuse(taken ? `${path} is in use: another gateway answers there, or it is no socket.` : `${path} cannot be listened on: ${reason(error)}.`)
    }
  }

  #accept(channel: Channel): void {
    const connection = new AdminConnection(channel, {
      clock: this.#around.clock,
      idleMs: this.#limits.idleMs,
      answer: (line) => this.#answer(line),
      over: () => this.#open.delete(connection),
    })
    this.#open.add(connection)
    if (this.#open.size > this.#limits.connections) connection.refuse(failure("busy", [{ sentence: "Too many connections to the admin socket: try again." }]))
    connection.start()
  }

  async #answer(line: Uint8Array): Promise<AdminAnswer> {
    try {
      return { v: adminVersion, ok: true, result: await this.#around.answer(readRequest(line)) }
    } catch (error) {
      if (error instanceof AdminRefusal) return failure(error.kind, error.problems)
      if (error instanceof ConfigError) return failure("config", error.problems)
      this.#around.broken(error)
      return failure("internal", [{ sentence: "The gateway made a mistake; its log says more (gateway.error)." }])
    }
  }

  /** Where it listens. */
  get path(): SocketPath | undefined {
    return this.#path
  }

  get connections(): number {
    return this.#open.size
  }

  /** Nobody is let in any more; those inside may finish what they asked. */
  async stopListening(): Promise<void> {
    const listener = this.#listener
    this.#listener = undefined
    this.#path = undefined
    await listener?.close()
  }

  async close(): Promise<void> {
    await this.stopListening()
    for (const connection of [...this.#open]) connection.destroy()
  }
}

function failure(kind: AdminFailure, problems: readonly AdminProblem[]): AdminAnswer {
  return { v: adminVersion, ok: false, error: { kind, problems } }
}

interface ConnectionSurroundings {
  readonly clock: Clock
  readonly idleMs: number
  answer(line: Uint8Array): Promise<AdminAnswer>
  over(): void
}

/** Reads one line, answers it, reads the next: what is held is one request and one answer. */
class AdminConnection implements ChannelHandler {
  readonly #channel: Channel
  readonly #around: ConnectionSurroundings
  /** What has arrived and is not answered; never more than one line beyond what one read brings. */
  #held = Buffer.alloc(0)
  #working = false
  /** The peer sends no more. */
  #finished = false
  /** We have said our last word. */
  #ended = false
  #over = false
  #cancelIdle: () => void = () => {}

  constructor(channel: Channel, around: ConnectionSurroundings) {
    this.#channel = channel
    this.#around = around
  }

  start(): void {
    this.#idle(this.#ended ? lastWordMs : this.#around.idleMs)
    this.#channel.attach(this)
  }

  /** Says why and ends. */
  refuse(answer: AdminAnswer): void {
    this.#ended = true
    this.#held = Buffer.alloc(0)
    this.#channel.write(Buffer.from(`${JSON.stringify(answer)}\n`))
    this.#channel.end()
    this.#idle(lastWordMs)
  }

  destroy(): void {
    this.#channel.destroy()
  }

  #idle(ms: number): void {
    this.#cancelIdle()
    this.#cancelIdle = this.#around.clock.after(ms, () => this.#channel.destroy())
  }

  chunk(bytes: Buffer): void {
    // After our last word nothing is read any more, only thrown away.
    if (this.#ended) return
    this.#held = Buffer.concat([this.#held, bytes])
    this.#next()
  }

  #next(): void {
    if (this.#working || this.#ended || this.#over || this.#channel.backlog > 0) return
    const at = this.#held.indexOf(lineFeed)
    if (at > maxRequestOctets || (at === -1 && this.#held.length > maxRequestOctets)) {
      return this.refuse(failure("request", [{ sentence: `A request of more than ${maxRequestOctets} octets is not read.` }]))
    }
    if (at === -1) {
      if (this.#finished) this.#channel.end()
      return
    }
    const line = this.#held.subarray(0, at)
    this.#held = Buffer.from(this.#held.subarray(at + 1))
    this.#working = true
    this.#cancelIdle()
    this.#channel.pause()
    void this.#around.answer(line).then((answer) => {
      this.#working = false
      if (this.#over) return
      this.#channel.write(Buffer.from(`${JSON.stringify(answer)}\n`))
      this.#idle(this.#around.idleMs)
      this.#channel.resume()
      this.#next()
    })
  }

  drain(): void {
    this.#next()
  }

  /** Half a request is none; who has asked and finished still gets the answer. */
  end(): void {
    this.#finished = true
    this.#next()
  }

  close(): void {
    this.#over = true
    this.#cancelIdle()
    this.#around.over()
  }
}
