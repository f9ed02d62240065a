// A ChannelHandler that remembers everything it was told, and lets a test wait for what it expects (ports.ts ChannelHandler).
import type { ChannelClosed, ChannelHandler } from "../../src/ports.ts"

export class Recorder implements ChannelHandler {
  readonly chunks: Buffer[] = []
  /** In order: "chunk", "drain", "end", "close". */
  readonly calls: ("chunk" | "drain" | "end" | "close")[] = []
  closed: ChannelClosed | undefined
  readonly #waiting = new Set<() => void>()

  get text(): string {
    return Buffer.concat(this.chunks).toString()
  }

  get length(): number {
    return this.chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  }

  get ended(): boolean {
    return this.calls.includes("end")
  }

  #note(call: "chunk" | "drain" | "end" | "close"): void {
    this.calls.push(call)
    for (const look of [...this.#waiting]) look()
  }

  chunk(bytes: Buffer): void {
    this.chunks.push(Buffer.from(bytes))
    this.#note("chunk")
  }

  drain(): void {
    this.#note("drain")
  }

  end(): void {
    this.#note("end")
  }

  close(closed: ChannelClosed): void {
    this.closed = closed
    this.#note("close")
  }

  /** Resolves when the condition holds, looked at after each call; rejects when the channel closes without it. */
  until(what: string, holds: (recorder: Recorder) => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (holds(this)) {
          this.#waiting.delete(look)
          resolve()
        } else if (this.closed !== undefined) {
          this.#waiting.delete(look)
          reject(
            new Error(
              `closed (${JSON.stringify(this.closed)}) while waiting for ${what}; got ${this.length} bytes, ${this.calls.join(" ")}`,
            ),
          )
        }
      }
      this.#waiting.add(look)
      look()
    })
  }

  untilText(text: string): Promise<void> {
    return this.until(JSON.stringify(text), () => this.text.includes(text))
  }

  untilClosed(): Promise<void> {
    return this.until("the close", () => this.closed !== undefined)
  }
}
