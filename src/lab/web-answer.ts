// What a web host of the lab answers, by the octet: right, wrong, slow, huge, compressed or broken off (issue, "Lab and interop").
import type { Duplex } from "node:stream"
import { gzipSync } from "node:zlib"
import type { Clock } from "../ports.ts"

export interface LabWebRequest {
  readonly method: string
  /** With the query. */
  readonly path: string
  /** As it stood in the request; "" without one. */
  readonly host: string
}

export interface LabWebAnswer {
  /** 302 where there is a location, otherwise 200. */
  readonly status?: number
  readonly location?: string
  /** Besides those that follow from the rest; one of the same name replaces it. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** The body as JSON instead. */
  readonly json?: unknown
  /** That many octets of nothing after the body; the length is not announced. */
  readonly filler?: number
  /** Body and filler compressed, whatever the client accepts: with much filler a bomb. */
  readonly gzip?: boolean
  /** Ends after so many octets of the body, although it was announced whole. */
  readonly cut?: number
  /** Says nothing for so long, ms. */
  readonly delay?: number
  /** One octet at a time, that many ms apart. */
  readonly drip?: number
  /** Exactly this instead of everything above but `delay` and `drip`. */
  readonly raw?: string | Uint8Array
  /** Never says anything, and does not end. */
  readonly silent?: boolean
}

const reasons: Readonly<Record<number, string>> = {
  200: "OK",
  301: "Moved Permanently",
  302: "Found",
  404: "Not Found",
  500: "Internal Server Error",
}
const blank = Buffer.alloc(64 * 1024, " ")
const silentAnswer = { head: Buffer.alloc(0), filler: 0 }

/** The octets of an answer, and how much filler follows them. */
export function answerOctets(answer: LabWebAnswer): { readonly head: Buffer; readonly filler: number } {
  if (answer.silent === true) return silentAnswer
  if (answer.raw !== undefined) return { head: Buffer.from(answer.raw as string), filler: 0 }
  const { status = answer.location === undefined ? 200 : 302, location, json, gzip = false } = answer
  const plain = Buffer.from((json === undefined ? (answer.body ?? "") : JSON.stringify(json)) as string)
  const compressed = gzip ? gzipSync(Buffer.concat([plain, Buffer.alloc(answer.filler ?? 0, " ")])) : plain
  const filler = gzip ? 0 : (answer.filler ?? 0)
  const headers: Record<string, string> = {
    ...(location === undefined ? {} : { Location: location }),
    "Content-Type": "application/json",
    ...(gzip ? { "Content-Encoding": "gzip" } : {}),
    ...(filler > 0 ? {} : { "Content-Length": String(compressed.length) }),
    Connection: "close",
    ...answer.headers,
  }
  const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = Buffer.from(`HTTP/1.1 ${status} ${reasons[status] ?? "Other"}\r\n${fields.join("")}\r\n`, "latin1")
  return { head: Buffer.concat([head, answer.cut === undefined ? compressed : compressed.subarray(0, answer.cut)]), filler }
}

/** Says it, and ends; stops when the other side is gone. */
export function say(to: Duplex, answer: LabWebAnswer, clock: Pick<Clock, "after">): void {
  if (answer.silent === true) return
  let cancel: (() => void) | undefined
  to.once("close", () => cancel?.())
  const later = (ms: number, act: () => void): void => {
    cancel = clock.after(ms, () => {
      if (to.writable) act()
    })
  }
  const { head, filler } = answerOctets(answer)
  const dripped = (at: number, ms: number): void => {
    if (at === head.length) return void to.end()
    to.write(head.subarray(at, at + 1))
    later(ms, () => dripped(at + 1, ms))
  }
  const filled = (left: number): void => {
    if (!to.writable) return
    if (left <= 0) return void to.end()
    const piece = blank.subarray(0, left)
    if (to.write(piece)) setImmediate(filled, left - piece.length)
    else to.once("drain", () => filled(left - piece.length))
  }
  const begin = (): void => {
    if (answer.drip !== undefined) return dripped(0, answer.drip)
    to.write(head)
    filled(filler)
  }
  if (answer.delay === undefined) begin()
  else later(answer.delay, begin)
}
