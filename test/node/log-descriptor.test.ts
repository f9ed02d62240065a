// A log whose reader is slow, or stops reading: the process goes on, and what was lost is said.
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { closeSync, openSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, test } from "node:test"
import { fileURLToPath } from "node:url"

const log = JSON.stringify(fileURLToPath(new URL("../../src/node/log.ts", import.meta.url)))

/** Logs that many lines, lets timers run now and then, and says on standard error how often the thread was put to sleep meanwhile. */
const program = (lines: number): string => `
  const { wait } = Atomics
  let naps = 0
  Atomics.wait = (...given) => {
    naps += 1
    return wait(...given)
  }
  import { createLog } from ${log}
  const log = createLog({ format: "json" })
  for (let index = 0; index < ${lines}; index += 1) {
    log.write("info", "gateway.ready", { index, text: "x".repeat(80) })
    if (index % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  process.stderr.write(JSON.stringify({ naps }))
  process.once("message", () => {
    log.write("info", "gateway.ready", { text: "the last line" })
    process.disconnect()
  })`

function start(lines: number): { child: ChildProcess; told: Promise<{ naps: number }>; ended: Promise<number | null> } {
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program(lines)], { stdio: ["ignore", "pipe", "pipe", "ipc"] })
  const told = new Promise<{ naps: number }>((resolve) => {
    child.stderr!.once("data", (text: Buffer) => resolve(JSON.parse(text.toString())))
  })
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve))
  return { child, told, ended }
}

describe("a log on a pipe", () => {
  test("that nobody reads does not hold up the process; when somebody reads again, the loss is said", async (t) => {
    const lines = 30_000
    const { child, told, ended } = start(lines)
    t.after(() => child.kill("SIGKILL"))
    assert.deepEqual(await told, { naps: 0 })
    let text = ""
    child.stdout!.setEncoding("utf8").on("data", (part: string) => {
      const before = text.length
      text += part
      // Now all that waited has left, and there is room again.
      if (text.indexOf("log.lost", before - 8) >= 0 && child.connected) child.send("go on")
    })
    assert.equal(await ended, 0)
    const entries = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { ev: string; index?: number; count?: number; text: string })
    const lost = entries.find((entry) => entry.ev === "log.lost")?.count ?? 0
    assert.ok(lost > 0)
    assert.equal(entries.filter((entry) => entry.index !== undefined).length + lost, lines)
    assert.equal(entries.at(-1)!.text, "the last line")
  })

  test("that is read again only when the process ends: the loss is said, behind what waited", async () => {
    const source = `
      import { createLog } from ${log}
      const log = createLog({ format: "json" })
      for (let index = 0; index < 30000; index += 1) log.write("info", "gateway.ready", { index, text: "x".repeat(80) })
      process.stderr.write("over")
      process.exit(0)`
    const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { stdio: ["ignore", "pipe", "pipe"] })
    let text = ""
    child.stderr.once("data", () => {
      child.stdout.setEncoding("utf8").on("data", (part: string) => {
        text += part
      })
    })
    await new Promise((resolve) => child.once("close", resolve))
    const entries = text
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { ev: string; count?: number })
    const last = entries.at(-1)
    assert.equal(last?.ev, "log.lost")
    assert.equal(entries.length - 1 + (last?.count ?? 0), 30_000)
  })

  test("that is read in time loses nothing", async () => {
    const lines = 4000
    const { child, told, ended } = start(lines)
    let count = 0
    child.stdout!.on("data", (part: Buffer) => {
      for (const byte of part) if (byte === 0x0a) count += 1
    })
    await told
    child.send("go on")
    assert.equal(await ended, 0)
    assert.equal(count, lines + 1)
  })
})

/** What a process wrote to a file when it is over, however it ended. */
async function leftBy(program: string): Promise<string[]> {
  const path = join(tmpdir(), `log-descriptor-${process.pid}.log`)
  const descriptor = openSync(path, "w")
  try {
    const source = `
      import { createLog } from ${log}
      const log = createLog({ format: "json" })
      const write = (from, count) => { for (let index = from; index < from + count; index += 1) log.write("info", "gateway.ready", { index }) }
      ${program}`
    const child = spawn(process.execPath, ["--input-type=module", "--eval", source], { stdio: ["ignore", descriptor, "ignore"] })
    await new Promise<void>((resolve, reject) => {
      child.once("error", reject)
      child.once("close", () => resolve())
    })
    return readFileSync(path, "utf8").trimEnd().split("\n")
  } finally {
    closeSync(descriptor)
    rmSync(path, { force: true })
  }
}

describe("a file gets", () => {
  for (const [end, program] of [
    ["an error that nobody catches", "write(0, 1000); throw new Error('the end')"],
    ["an exit", "write(0, 1000); process.exit(1)"],
    ["nothing more to do", "write(0, 1000)"],
  ] as const) {
    test(`every line before the end by ${end}`, async () => {
      const lines = await leftBy(program)
      assert.deepEqual(lines.map((line) => (JSON.parse(line) as { index: number }).index), Array.from({ length: 1000 }, (_, index) => index))
    })
  }
  test("lines that are written while it exits", async () => {
    const lines = await leftBy("process.once('exit', () => write(1, 2)); write(0, 1)")
    assert.deepEqual(lines.map((line) => (JSON.parse(line) as { index: number }).index), [0, 1, 2])
  })
  test("every line before write returns, however the process is torn down then", async () => {
    assert.equal((await leftBy("write(0, 1000); process.abort()")).length, 1000)
  })
})
