// Where log lines leave the process: at once while the reader keeps up, from a bounded queue while it does not.
import { writeSync } from "node:fs"

/** Octets that wait for a slow reader; lines beyond are dropped and counted. */
const mostWaiting = 1024 * 1024
/** Between two tries, ms: at first, and at most when nothing moves. */
const shortest = 1
const longest = 20
const newline = 0x0a
/** Lines that come within this time of one that was written leave together, ms; and so many octets of them are not held back. */
const gathering = 10
const mostGathered = 16 * 1024
/** How long the end of the process may be held up for the lines still waiting, ms. */
const lastWords = 1000

/**
 * Writes to a file, terminal, pipe or socket by its descriptor. A line is written before `write` returns, but for those that
 * follow another within a moment: they leave together, for hundreds of pairs may come at once, and a line costs more to write than
 * to word. Whatever ends the process in an orderly way or by an error writes them first. Nobody who reads slowly, or not at
 * all, stops the process: then lines wait, and at last are lost.
 */
export class DescriptorSink {
  readonly #descriptor: number
  readonly #lost: (lines: number) => string
  #waiting: Buffer[] = []
  #octets = 0
  #dropped = 0
  /** Behind a line that was written a moment ago. */
  #gathered = ""
  #gathers = false
  /** The process ends: no timer comes any more. */
  #ending = false
  #timer: NodeJS.Timeout | undefined
  #pause = shortest

  /** @param lost the line that says how many were lost, written in their place */
  constructor(descriptor: number, lost: (lines: number) => string) {
    this.#descriptor = descriptor
    this.#lost = lost
    process.once("exit", () => this.#finish())
  }

  write(text: string): void {
    if (this.#ending) return this.#send(Buffer.from(text))
    if (this.#gathers) {
      this.#gathered += text
      if (this.#gathered.length > mostGathered) this.#letGo()
      return
    }
    this.#gathers = true
    setTimeout(() => {
      this.#gathers = false
      this.#letGo()
    }, gathering).unref()
    this.#send(Buffer.from(text))
  }

  #letGo(): void {
    if (this.#gathered === "") return
    const lines = Buffer.from(this.#gathered)
    this.#gathered = ""
    this.#send(lines)
  }

  #send(lines: Buffer): void {
    if (this.#waiting.length > 0) return this.#keep(lines)
    const rest = this.#put(lines)
    if (rest !== undefined) this.#keep(rest)
  }

  #keep(lines: Buffer): void {
    if (this.#octets + lines.length > mostWaiting) {
      for (const octet of lines) if (octet === newline) this.#dropped += 1
      return
    }
    this.#waiting.push(lines)
    this.#octets += lines.length
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
    // Not gathered: it stands before the lines that came after those.
    this.#send(Buffer.from(this.#lost(dropped)))
  }

  /** What could not be written now; undefined when nothing is left, also because writing is impossible for good. */
  #put(line: Buffer): Buffer | undefined {
    let written = 0
    try {
      while (written < line.length) written += writeSync(this.#descriptor, line, written)
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined
      // A full disk, or a reader that is gone, costs these lines and never the gateway.
      if (code !== "EAGAIN") return undefined
      return written === 0 ? line : line.subarray(written)
    }
    return undefined
  }

  /** The process ends: the queue gets a moment, spent waiting. */
  #finish(): void {
    this.#ending = true
    this.#letGo()
    if (this.#waiting.length === 0) return
    const nap = new Int32Array(new SharedArrayBuffer(4))
    for (let spent = 0; spent < lastWords; spent += longest) {
      this.#retry()
      if (this.#waiting.length === 0) return
      Atomics.wait(nap, 0, 0, longest)
    }
  }
}
