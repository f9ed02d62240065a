// Handshakes broken off at every octet must not end the process, and thousands of half-open connections must leave nothing behind.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { test } from "node:test"
import { TlsError } from "../../src/model/errors.ts"
import { createListen } from "../../src/node/listen.ts"
import { createTls } from "../../src/node/tls.ts"
import type { Channel } from "../../src/ports.ts"
import { serverCertificate, settle } from "./sockets.ts"

const script = join(import.meta.dirname, "abort-handshakes.ts")

function run(...args: string[]): Promise<{ code: number | null; signal: NodeJS.Signals | null; output: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, ...args], { stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (text: Buffer) => (output += text.toString()))
    child.stderr.on("data", (text: Buffer) => (output += text.toString()))
    child.on("error", reject)
    child.on("close", (code, signal) => resolve({ code, signal, output }))
  })
}

test("a handshake broken off at any octet, in both roles, is one TlsError and nothing more", { timeout: 200_000 }, async () => {
  const { code, signal, output } = await run()
  assert.equal(signal, null, output)
  assert.equal(code, 0, output)
  const results = JSON.parse(output) as {
    attempts: number
    secured: number
    whole: number
    planned: number
    failures: Record<string, number>
    unexpected: string[]
  }
  assert.deepEqual(results.unexpected, [])
  assert.equal(results.whole, 4, "uncut handshakes succeed")
  assert.ok(results.planned > 2000, `${results.planned} octets`)
  const failed = Object.values(results.failures).reduce((sum, count) => sum + count, 0)
  assert.equal(failed + results.secured, results.planned + 4)
  // Some last octets may come after the handshake proper.
  assert.ok(results.secured - 4 < results.planned / 20, output)
})

test("the same against a copy that asks a closing socket for its protocol: the process dies, where the platform still has the fault", {
  timeout: 200_000,
}, async (t) => {
  const { code, signal, output } = await run("weak")
  if (signal === null) {
    t.diagnostic("this version of Node no longer crashes")
    assert.equal(code, 0, output)
  } else assert.ok(signal === "SIGSEGV" || signal === "SIGABRT", signal)
})

test("out of descriptors, listening goes on: when some are free again the next peer is served", {
  timeout: 120_000,
  skip: process.platform === "win32" ? "needs ulimit" : false,
}, async () => {
  const child = spawn("sh", ["-c", 'ulimit -n 60; exec "$0" "$1"', process.execPath, join(import.meta.dirname, "few-descriptors.ts")], {
    stdio: ["pipe", "pipe", "inherit"],
  })
  let output = ""
  child.stdout.on("data", (text: Buffer) => (output += text.toString()))
  const closed = once(child, "close")
  await once(child.stdout, "data")
  const port = Number(output)
  const dial = (): Socket => connect({ port, host: "127.0.0.1" }).on("error", () => undefined)
  /** Octets that come back, or that the connection was closed. */
  const echo = (raw: Socket): Promise<string> =>
    new Promise((resolve) => {
      raw.once("data", (text: Buffer) => resolve(text.toString())).once("close", () => resolve("closed"))
      raw.write("x")
    })
  const crowd = Array.from({ length: 200 }, dial)
  const answers = await Promise.race([Promise.all(crowd.map(echo)), new Promise<string[]>((resolve) => setTimeout(resolve, 300, []))])
  for (const raw of crowd) raw.destroy()
  let answer = "closed"
  for (let patience = 0; answer !== "x" && patience < 50; patience += 1) {
    const raw = dial()
    answer = await echo(raw)
    raw.destroy()
    await settle()
  }
  assert.equal(answer, "x", JSON.stringify(answers))
  child.stdin.end()
  assert.deepEqual(await closed, [0, null])
  const report = JSON.parse(output.slice(output.indexOf("\n") + 1)) as { most: number; held: number }
  assert.ok(report.most > 5 && report.most < 60, output)
})

const descriptors = (): number => readdirSync("/proc/self/fd").length

test("2,000 half-open connections: each is given up by its deadline and gives its descriptor back", {
  timeout: 120_000,
  skip: process.platform !== "linux" ? "counts descriptors in /proc" : false,
}, async () => {
  const count = 2000
  const before = descriptors()
  const accepted: Channel[] = []
  const listener = await createListen({ pending: 4096 }).listen({ address: "127.0.0.1", port: 0 }, (channel) => accepted.push(channel))
  const raws: Socket[] = []
  for (let n = 0; n < count; n += 1) {
    const raw = connect({ port: listener.address.port, host: "127.0.0.1" })
    raw.on("error", () => raw.destroy())
    // Some say nothing at all, some begin a handshake and stop.
    if (n % 2 === 1) raw.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]))
    raws.push(raw)
    if (n % 100 === 0) await settle()
  }
  while (accepted.length < count) await settle()
  assert.ok(descriptors() >= before + 2 * count)
  const deadline = new AbortController()
  const transport = createTls()
  const attempts = accepted.map((channel) =>
    transport.server(channel, { pick: () => serverCertificate, alpn: [], signal: deadline.signal }),
  )
  await settle()
  deadline.abort()
  const outcomes = await Promise.allSettled(attempts)
  assert.ok(
    outcomes.every(
      (outcome) => outcome.status === "rejected" && outcome.reason instanceof TlsError && outcome.reason.failure === "timeout",
    ),
  )
  await Promise.all(raws.map((raw) => raw.closed || new Promise((resolve) => raw.once("close", resolve).resume())))
  await listener.close()
  await settle()
  assert.ok(descriptors() <= before + 4, `${descriptors()} descriptors after, ${before} before`)
})
