// The real command in a process of its own, or many command lines one after the other in one: what they say and how they end.
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Internet } from "../../src/lab/internet.ts"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Ended {
  readonly status: number | null
  readonly out: string
  readonly err: string
  /** Both as a terminal shows them; of `together`. */
  readonly shown: string
}

const { NO_COLOR: _, FORCE_COLOR: __, ...usual } = process.env

export function start(args: readonly string[], cwd: string, environment: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(process.execPath, [command, ...args], { timeout: 30_000, cwd, env: { ...usual, LC_ALL: "C.UTF-8", TERM: "xterm", ...environment } })
}

export function ending(child: ChildProcess, input = ""): Promise<Ended> {
  return new Promise((resolve, reject) => {
    let [out, err] = ["", ""]
    child.stdout?.on("data", (bytes) => (out += bytes))
    child.stderr?.on("data", (bytes) => (err += bytes))
    child.on("error", reject)
    child.on("close", (status) => resolve({ status, out, err, shown: "" }))
    // The command may end before it has read everything, which is an error of the pipe and none of the test.
    child.stdin?.on("error", (error: NodeJS.ErrnoException) => assert.equal(error.code, "EPIPE"))
    child.stdin?.end(input)
  })
}

export interface Commands {
  run(...args: readonly string[]): Promise<Ended>
  close(): Promise<void>
}

const program = `
  // One command a process is what listeners are counted for.
  process.setMaxListeners(0)
  const { run } = await import(process.argv[2])
  process.on("message", async (line) => {
    const said = { out: "", err: "", shown: "" }
    const into = (stream) => (text) => ((said[stream] += text), (said.shown += text), true)
    process.stdout.write = into("out")
    process.stderr.write = into("err")
    process.send({ status: await run(line), ...said })
  })
  process.send("ready")`

/** One process that runs one command line after the other: starting one for each would take longer than all of them. */
export async function commands(cwd: string, environment: Readonly<Record<string, string>> = {}): Promise<Commands> {
  const env = { ...usual, LC_ALL: "C.UTF-8", TERM: "xterm", ...environment }
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, "commands", command], { timeout: 120_000, cwd, env, stdio: ["ignore", "ignore", "inherit", "ipc"] })
  const told = (): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const ended = (status: number | null): void => reject(new Error(`the process of the commands ended with ${status}`))
      child.once("exit", ended).once("message", (message) => {
        child.off("exit", ended)
        resolve(message)
      })
    })
  await told()
  let last: Promise<unknown> = Promise.resolve()
  return {
    run: (...args) => {
      const next = last.then(async () => {
        const answer = told()
        child.send(args)
        return (await answer) as Ended
      })
      // Whoever waits for it is told how it went; the next one is run all the same.
      last = Promise.allSettled([next])
      return next
    },
    close: async () => {
      await last
      child.disconnect()
      if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve))
    },
  }
}

export async function together(lines: readonly (readonly string[])[], cwd: string, environment: Readonly<Record<string, string>> = {}): Promise<readonly Ended[]> {
  const process = await commands(cwd, environment)
  try {
    return await Promise.all(lines.map((line) => process.run(...line)))
  } finally {
    await process.close()
  }
}

/** The options by which a command asks the lab and nobody else; what they name is written into the folder. */
export function throughLab(net: Internet, folder: string): readonly string[] {
  const write = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const { address, port } = net.dns
  return [
    ...["--resolver", `${address}:${port}`],
    ...["--dns-anchors", write("root.txt", net.signed.zones.anchorText)],
    ...["--ca-file", write("ca.pem", net.authority.certificate.pem)],
    ...["--allow", "127.0.0.0/8", "--allow", "::1/128", "--allow", "example"],
  ]
}
