// Where log lines leave the process: at once while the reader keeps up, from a bounded queue while it does not.
import { writeSync } from "node:fs"

/** Octets that wait for a slow reader; lines beyond are dropped and counted. */
const mostWaiting = 1024 * 1024
/** Between two tries, ms: at first, and at most when nothing moves. */
const shortest = 1
const longest = 20
/** How long the end of the process may be held up for the lines still waiting, ms. */
const lastWords = 1000

/**
 * Writes to a file, terminal, pipe or socket by its descriptor. A line is written before `write` returns, so that the last ones
 * before a crash are there; but nobody who reads slowly, or not at all, stops the process: then lines wait, and at last are lost.
 */
export class DescriptorSink {
  readonly #descriptor: number
  readonly #lost: (lines: number) => string
  #waiting: Buffer[] = []
  #octets = 0
  #dropped = 0
  #timer: NodeJS.Timeout | undefined
  #pause = shortest

  /** @param lost the line that says how many were lost, written in their place */
  constructor(descriptor: number, lost: (lines: number) => string) {
    this.#descriptor = descriptor
    this.#lost = lost
    process.once("exit", () => this.#finish())
  }

  write(text: string): void {
    const line = Buffer.from(text)
    if (this.#waiting.length > 0) return this.#keep(line)
    const rest = this.#put(line)
    if (rest !== undefined) this.#keep(rest)
  }

  #keep(line: Buffer): void {
    if (this.#octets + line.length > mostWaiting) {
      this.#dropped += 1
      return
    }
    this.#waiting.push(line)
    this.#octets += line.length
    this.#later()
  }

  #later(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#retry()
    }, this.#pause).unref()
  }

  #retry(): void {
    while (this.#waiting.length > 0) {
      const first = this.#waiting[0]!
      const rest = this.#put(first)
      this.#octets -= first.length - (rest?.length ?? 0)
      this.#pause = rest === first ? Math.min(longest, this.#pause * 2) : shortest
      if (rest !== undefined) {
        this.#waiting[0] = rest
        return this.#later()
      }
      this.#waiting.shift()
    }
    if (this.#dropped === 0) return
    const dropped = this.#dropped
    this.#dropped = 0
    this.write(this.#lost(dropped))
  }

  /** What could not be written now; undefined when nothing is left, also because writing is impossible for good. */
  #put(line: Buffer): Buffer | undefined {
    let written = 0
    try {
      while (written < line.length) written += writeSync(this.#descriptor, line, written)
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined
      // A full disk, or a reader that is gone, costs this line and never the gateway.
      if (code !== "EAGAIN") return undefined
      return written === 0 ? line : line.subarray(written)
    }
    return undefined
  }

  /** The process ends: the queue gets a moment, spent waiting. */
  #finish(): void {
    if (this.#waiting.length === 0) return
    const nap = new Int32Array(new SharedArrayBuffer(4))
    for (let spent = 0; spent < lastWords; spent += longest) {
      this.#retry()
      if (this.#waiting.length === 0) return
      Atomics.wait(nap, 0, 0, longest)
    }
  }
}
