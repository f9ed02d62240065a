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

/** Starting a process for each would take longer than all of them. */
export async function together(lines: readonly (readonly string[])[], cwd: string, environment: Readonly<Record<string, string>> = {}): Promise<readonly Ended[]> {
  const program = `
    // One command a process is what listeners are counted for.
    process.setMaxListeners(0)
    const { run } = await import(process.argv[2])
    const write = process.stdout.write.bind(process.stdout)
    const ended = []
    for (const line of JSON.parse(process.argv[3])) {
      const said = { out: "", err: "", shown: "" }
      const into = (stream) => (text) => ((said[stream] += text), (said.shown += text), true)
      process.stdout.write = into("out")
      process.stderr.write = into("err")
      ended.push({ status: await run(line), ...said })
    }
    write(JSON.stringify(ended))`
  const child = spawn(process.execPath, ["--input-type=module", "-e", program, "rows", command, JSON.stringify(lines)], { timeout: 60_000, cwd, env: { ...usual, LC_ALL: "C.UTF-8", TERM: "xterm", ...environment } })
  const { status, out, err } = await ending(child)
  assert.equal(status, 0, err)
  return JSON.parse(out)
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
