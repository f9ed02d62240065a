// A foreign server as a child process in the foreground, with its own folder, its log lines, and no way to outlive the test.
import { type ChildProcess, spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Where a peer finds DNS. */
export interface DnsServer {
  readonly address: string
  readonly port: number
}

/** Certificate chain and key of one domain, as PEM. */
export interface Identity {
  readonly chainPem: string
  readonly keyPem: string
}

export interface PeerProcess {
  readonly pid: number
  /** Standard output and error since the start, by line, without colours. At most `MAX_LINES` are kept. */
  readonly lines: readonly string[]
  /**
   * The first line that matches, looking from line `from` on (default 0: also the past).
   * Rejects with the last lines when the process ends first or after `timeout` milliseconds.
   */
  waitForLog(pattern: RegExp, options?: { from?: number; timeout?: number }): Promise<string>
  /** Writes to its standard input. */
  input(text: string): void
  /** Sends a signal, as `kill` does. */
  signal(name: NodeJS.Signals): void
  readonly exited: Promise<number | null>
  /** Ends the process (SIGTERM unless told otherwise, after 3 s SIGKILL) and removes its folder. */
  stop(): Promise<void>
}

const MAX_LINES = 100_000
const COLOURS = new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, "g")

export const temporaryFolder = (name: string): string => mkdtempSync(join(tmpdir(), `xmpp-dna-${name}-`))

/**
 * Starts a program that dies with us: setpriv asks the kernel to kill it when its parent is gone, so that a killed
 * test leaves nothing behind.
 */
export function startProcess(
  name: string,
  program: string,
  args: readonly string[],
  options: { folder?: string; environment?: Record<string, string>; cwd?: string; stopWith?: NodeJS.Signals } = {},
): PeerProcess {
  const child: ChildProcess = spawn("setpriv", ["--pdeathsig", "KILL", "--", program, ...args], {
    cwd: options.cwd ?? options.folder,
    env: { ...process.env, ...options.environment },
    stdio: ["pipe", "pipe", "pipe"],
  })
  child.stdin?.on("error", () => undefined) // written to after its end: `exited` tells that
  const lines: string[] = []
  const waiting = new Set<() => void>()
  let over = false
  const wake = (): void => {
    for (const look of [...waiting]) look()
  }
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ""
    stream?.setEncoding("utf8").on("data", (text: string) => {
      const parts = (rest + text).split(/\r?\n/)
      rest = parts.pop() ?? ""
      for (const part of parts) if (lines.length < MAX_LINES) lines.push(part.replace(COLOURS, ""))
      wake()
    })
  }
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", (code) => {
      over = true
      resolve(code)
      wake()
    })
  })
  exited.catch(wake) // a program that cannot be started is told by waitForLog

  const tail = (): string => lines.slice(-30).join("\n")
  const peer: PeerProcess = {
    pid: child.pid ?? -1,
    lines,
    exited,
    input: (text) => void child.stdin?.write(text),
    signal: (signal) => void child.kill(signal),
    waitForLog(pattern, { from = 0, timeout = 30_000 } = {}) {
      return new Promise((resolve, reject) => {
        let next = from
        const settle = (act: () => void): void => {
          clearTimeout(timer)
          waiting.delete(look)
          act()
        }
        const look = (): void => {
          for (; next < lines.length; next += 1) {
            const line = lines[next]
            if (line !== undefined && pattern.test(line)) return settle(() => resolve(line))
          }
          if (over || child.pid === undefined) settle(() => reject(new Error(`${name} ended before ${pattern} was logged:\n${tail()}`)))
        }
        const timer = setTimeout(
          () => settle(() => reject(new Error(`${name} did not log ${pattern} within ${timeout} ms:\n${tail()}`))),
          timeout,
        )
        waiting.add(look)
        look()
      })
    },
    async stop() {
      if (!over && child.pid !== undefined) {
        child.kill(options.stopWith ?? "SIGTERM")
        const giveUp = setTimeout(() => child.kill("SIGKILL"), 3_000)
        await exited
        clearTimeout(giveUp)
      }
      if (options.folder !== undefined) rmSync(options.folder, { recursive: true, force: true })
    },
  }
  return peer
}

/** Resolves once something listens there; the process must still be alive. */
export async function untilListening(peer: PeerProcess, name: string, address: string, port: number, timeout = 60_000): Promise<void> {
  const end = Date.now() + timeout
  let alive = true
  void peer.exited.then(() => {
    alive = false
  })
  for (;;) {
    const open = await new Promise<boolean>((resolve) => {
      const socket = connect({ host: address, port })
      socket.once("connect", () => {
        socket.destroy()
        resolve(true)
      })
      socket.once("error", () => resolve(false))
    })
    if (open) return
    if (!alive || Date.now() > end) throw new Error(`${name} does not listen on ${address}:${port}:\n${peer.lines.slice(-40).join("\n")}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
