// Command lines run one after the other in one process of their own: starting one for each takes longer than all of them.
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"

const command = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url))

export interface Ended {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** @param input standard input of the process, which the first line that reads it gets */
export function inOneProcess(lines: readonly (readonly string[])[], input = ""): Promise<readonly Ended[]> {
  const program = `
    // One command a process is what listeners are counted for.
    process.setMaxListeners(0)
    const { run } = await import(process.argv[2])
    const write = process.stdout.write.bind(process.stdout)
    const ended = []
    for (const line of JSON.parse(process.argv[3])) {
      const said = { out: "", err: "" }
      process.stdout.write = (text) => ((said.out += text), true)
      process.stderr.write = (text) => ((said.err += text), true)
      ended.push({ status: await run(line), ...said })
    }
    write(JSON.stringify(ended))`
  return new Promise((resolve, reject) => {
    const args = ["--input-type=module", "-e", program, "lines", command, JSON.stringify(lines)]
    const child = spawn(process.execPath, args, { timeout: 60_000, env: { ...process.env, LC_ALL: "C.UTF-8", TERM: "xterm" } })
    let [out, err] = ["", ""]
    child.stdout.on("data", (bytes) => (out += bytes))
    child.stderr.on("data", (bytes) => (err += bytes))
    child.on("error", reject)
    child.on("close", (status) => {
      if (status === 0) resolve(JSON.parse(out) as Ended[])
      else reject(new Error(`the process ended with ${status}: ${err}`))
    })
    child.stdin.end(input)
  })
}
