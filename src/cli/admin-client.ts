// Asks a running gateway one thing over its admin socket (src/gateway/admin-protocol.ts; docs/operating.md).
import { connect } from "node:net"
import type { AdminAnswer, AdminRequest } from "../gateway/admin-protocol.ts"
import { exit, Stop } from "./exit.ts"

/** Octets of one answer; a gateway with tens of thousands of streams stays below. */
const maxAnswerOctets = 64 * 1024 * 1024

/** The words of what goes wrong before anybody answers. */
function unreachable(path: string, code: string | undefined): string {
  if (code === "ENOENT") return `No gateway answers at ${path}: there is no such socket. Is it running, with listen.admin? Another path: --socket.`
  if (code === "ECONNREFUSED") return `No gateway answers at ${path}: the socket is left over from one that has ended.`
  if (code === "EACCES") return `${path} may not be opened by this user: its owner and its group may (mode 660).`
  return `No gateway answers at ${path}${code === undefined ? "" : ` (${code})`}.`
}

/**
 * Sends one request and waits for its answer.
 *
 * @param path of the Unix socket
 * @param timeoutMs for everything together
 * @throws Stop with status 69 when no gateway answers
 */
export function askGateway(path: string, request: AdminRequest, timeoutMs: number): Promise<AdminAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    const chunks: Buffer[] = []
    let octets = 0
    const done = (settle: () => void): void => {
      clearTimeout(timer)
      socket.destroy()
      settle()
    }
    const fail = (sentence: string): void => done(() => reject(new Stop(exit.unavailable, sentence)))
    const timer = setTimeout(() => fail(`The gateway at ${path} did not answer in ${timeoutMs / 1000} s.`), timeoutMs)
    socket.on("connect", () => socket.write(`${JSON.stringify(request)}\n`))
    socket.on("error", (error: NodeJS.ErrnoException) => fail(unreachable(path, error.code)))
    socket.on("end", () => fail(`The gateway at ${path} ended the connection without an answer.`))
    socket.on("data", (bytes: Buffer) => {
      const end = bytes.indexOf(0x0a)
      chunks.push(end === -1 ? bytes : bytes.subarray(0, end))
      octets += bytes.length
      if (octets > maxAnswerOctets) return fail(`The answer from ${path} is longer than ${maxAnswerOctets} octets.`)
      if (end === -1) return
      const answer = readAnswer(Buffer.concat(chunks))
      if (answer === undefined) fail(`What answers at ${path} does not speak version 1 of the admin protocol.`)
      else done(() => resolve(answer))
    })
  })
}

function readAnswer(bytes: Buffer): AdminAnswer | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString("utf8"))
    if (typeof value !== "object" || value === null) return undefined
    const { v, ok } = value as { v?: unknown; ok?: unknown }
    return v === 1 && typeof ok === "boolean" ? (value as AdminAnswer) : undefined
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    return undefined
  }
}
