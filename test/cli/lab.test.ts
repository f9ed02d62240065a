// `xmpp-dna lab` as people and machines run it: the story, the table, the JSON document, exit statuses, and its end.
import assert from "node:assert/strict"
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { existsSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { test } from "node:test"
import { seenOf } from "../../src/inspect/looking.ts"
import { domainSchema } from "../../src/inspect/report.ts"
import { exhibits } from "../../src/lab/exhibits.ts"
import { scenes } from "../../src/lab/programme.ts"
import { queuedSoFar } from "../queued.ts"

const root = join(import.meta.dirname, "../..")
const program = join(root, "src/cli/main.ts")
const launcher = join(root, "tools/node.cjs")

interface Ended {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

class Run {
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  stdout = ""
  stderr = ""
  readonly #began = performance.now()
  readonly #waiting = new Set<() => void>()

  constructor(args: readonly string[], { command = process.execPath, input = "", environment = {} }: { command?: string; input?: string; environment?: Readonly<Record<string, string>> } = {}) {
    this.child = spawn(command, args, { cwd: root, stdio: ["pipe", "pipe", "pipe"], env: { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, ...environment } })
    // It may end before it has read everything.
    this.child.stdin?.on("error", (error: NodeJS.ErrnoException) => assert.equal(error.code, "EPIPE"))
    this.child.stdin?.end(input)
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text
      for (const look of [...this.#waiting]) look()
    })
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text
    })
    this.ended = once(this.child, "close").then(([code]) => ({ code: code as number | null, stdout: this.stdout, stderr: this.stderr, ms: performance.now() - this.#began }))
  }

  /** Milliseconds from the start until the text was there. */
  async says(text: string | RegExp, within = 60_000): Promise<number> {
    return await new Promise((resolve, reject) => {
      const done = (): void => {
        clearTimeout(timer)
        this.#waiting.delete(look)
      }
      const look = (): void => {
        if (typeof text === "string" ? !this.stdout.includes(text) : !text.test(this.stdout)) return
        done()
        resolve(performance.now() - this.#began)
      }
      const timer = setTimeout(() => {
        done()
        reject(new Error(`never said ${text}:\n${this.stdout}${this.stderr}`))
      }, within)
      this.#waiting.add(look)
      look()
    })
  }
}

const lab = (...args: string[]): Run => new Run([program, "lab", ...args])

test("lab --once --json: one document with every scene, twice at the same time", async (t) => {
  const both = await Promise.all([lab("--once", "--json").ended, lab("--once", "--json").ended])
  for (const { code, stdout, stderr, ms } of both) {
    assert.equal(stderr, "")
    const document = JSON.parse(stdout) as { scenes: { id: string; section: string; ok: boolean; expected: unknown; got: unknown }[] }
    assert.deepEqual(Object.keys(document), ["scenes"])
    assert.deepEqual(
      document.scenes.map(({ id }) => id),
      [...scenes, ...exhibits].map(({ id }) => id),
    )
    for (const scene of document.scenes) {
      assert.deepEqual(scene.got, scene.expected, scene.id)
      assert.equal(scene.ok, true, scene.id)
      assert.notEqual(scene.section, "")
    }
    assert.equal(code, 0)
    // Two at once, beside whatever else the machine does: alone one takes a few seconds.
    assert.ok(ms < 120_000, `${ms} ms`)
  }
  t.diagnostic(`two at once: ${both.map(({ ms }) => `${Math.round(ms)} ms`).join(", ")}`)
})

test("lab: ready in under three seconds, tells the chart in plain words, stays up, and ends on Ctrl-C", async (t) => {
  const run = lab()
  try {
    const ready = await run.says("They now meet")
    // What others ran in the meantime does not count.
    const queued = queuedSoFar(run.child.pid)
    t.diagnostic(`ready after ${Math.round(ready)} ms, ${Math.round(queued)} ms of them waiting for others`)
    assert.ok(ready - queued < 3000, `ready after ${ready} ms`)
    await run.says("stays up until Ctrl-C")
    await run.says("Ask its DNS")
    for (const box of ["DNS resolution", "stream headers", "TLS", "association", "authentication", "stanzas"]) assert.match(run.stdout, new RegExp(`^ *\\d+  \\S+ -> \\S+ +${box}: `, "m"))
    assert.match(run.stdout, /^ {2}DNS +127\.0\.0\.1 port \d+/m)
    assert.match(run.stdout, /^ {2}a\.example +127\.\d+\.\d+\.\d+ port \d+ +certificate of the Lab CA$/m)
    assert.match(run.stdout, /a\.example -> b\.example {2}association: may send, authenticated by PKIX/)
    assert.match(run.stdout, /lax\.example -> shy\.example {2}association: accepts, encrypted by dialback/)
    assert.match(run.stdout, /7 of 7 scenes as expected/)
    assert.match(run.stdout, /key\.example -> pin\.example {2}association: DANE proves pin\.example/)
    // Nothing but text in 80 columns when it goes to a pipe.
    assert.doesNotMatch(run.stdout, /[^\n\x20-\x7e]/)
    assert.deepEqual(
      run.stdout.split("\n").filter((line) => line.length > 80),
      [],
    )
    assert.equal(run.child.exitCode, null, "still up")
  } finally {
    run.child.kill("SIGINT")
  }
  const { code, stderr } = await run.ended
  assert.equal(stderr, "")
  assert.equal(code, 0)
})

test("lab: SIGTERM ends it, also before the story is over", async () => {
  const run = lab("expired")
  await run.says("They now meet")
  run.child.kill("SIGTERM")
  assert.equal((await run.ended).code, 0)
})

test("lab: leaves nothing behind on the disk, however often it is told to end", async () => {
  const run = lab("dane-mismatch")
  await run.says(/^\. \S+\/environment\n/m)
  const folder = dirname(/^\. (\S+)$/m.exec(run.stdout)?.[1] ?? "")
  assert.equal(existsSync(join(folder, "authority.pem")), true)
  const more = setInterval(() => run.child.kill("SIGTERM"), 1)
  await run.ended
  clearInterval(more)
  assert.equal(existsSync(folder), false)
})

test("lab: ends when whoever started it is gone", async () => {
  // The parent is killed without a chance to pass anything on, as npm passes no SIGTERM on.
  const parent = new Run(["-e", `const c = require("node:child_process").spawn(process.execPath, [${JSON.stringify(program)}, "lab", "expired"], { stdio: "inherit" }); console.log("child", c.pid)`])
  await parent.says(/child \d+/)
  await parent.says("stays up until Ctrl-C")
  const pid = Number(/child (\d+)/.exec(parent.stdout)?.[1])
  const late = setTimeout(() => process.kill(pid, "SIGKILL"), 60_000)
  const killed = performance.now()
  parent.child.kill("SIGKILL")
  // The lab writes to the same pipe: this resolves when it is gone, too.
  await parent.ended
  clearTimeout(late)
  assert.ok(performance.now() - killed < 30_000, "it ended by itself, and soon")
})

test("lab: ends when nobody reads what it says", async () => {
  const run = lab()
  run.child.stdout?.destroy()
  assert.equal((await run.ended).code, 0)
})

test("lab --once: the exit status tells, also when nobody reads", async () => {
  const run = lab("--once", "expired", "wrong-name")
  run.child.stdout?.destroy()
  const { code, stderr } = await run.ended
  assert.equal(stderr, "")
  assert.equal(code, 0)
})

test("lab: through the launcher of npm start", async () => {
  const { code, stdout } = await new Run([launcher, "src/cli/main.ts", "lab", "--once", "expired"]).ended
  assert.equal(code, 0)
  assert.match(stdout, /^ok {3}expired +\d+ ms {2}RFC 5280 4\.1\.2\.5\n/)
  assert.match(stdout, /1 of 1 scenes as expected\n$/)
})

test("lab --list names every scene and what check finds there; an unknown one gets a suggestion and 64", async () => {
  const [listed, json, unknown] = await Promise.all([lab("--list").ended, lab("--list", "--json").ended, lab("--once", "expierd").ended])
  for (const { id, section } of [...scenes, ...exhibits]) assert.ok(listed.stdout.includes(`${id.padEnd(27)} ${section}\n`), id)
  assert.match(listed.stdout, /^ {4}check: encrypted; bad pkix\.name-mismatch; exit 2$/m)
  assert.equal(listed.code, 0)
  const document = JSON.parse(json.stdout) as { scenes: { id: string; kind: string; title: string; check: Record<string, { exit: number; findings: string[] }> }[] }
  assert.equal(document.scenes.length, scenes.length + exhibits.length)
  for (const { id, title, check } of document.scenes) assert.ok(title !== "" && Object.keys(check).length > 0, id)
  assert.deepEqual(document.scenes.find(({ id }) => id === "cert-expired")?.check["cert-expired.example"], { exit: 2, level: "encrypted", findings: ["bad cert.expired", "info dane.no-tlsa", "info posh.not-published"] })
  assert.equal(document.scenes.find(({ id }) => id === "expired")?.check["old.example"]?.exit, 2)
  assert.equal(unknown.code, 64)
  assert.equal(unknown.stdout, "")
  assert.match(unknown.stderr, /^xmpp-dna: there is no scene "expierd"\. Did you mean expired\?/)
})

test("lab EXHIBIT: says what docs/lab.md shows", async () => {
  const run = lab("pkix-hosted")
  try {
    await run.says(/^\. \S+\/environment$/m)
  } finally {
    run.child.kill("SIGTERM")
  }
  const { stdout } = await run.ended
  const shown = readFileSync(join(root, "docs/lab.md"), "utf8").split("$ xmpp-dna lab pkix-hosted\n")[1]?.split("```")[0]
  const masked = (text: string): string => text.replace(/port \d+ */g, "port PORT ").replace(/^\. \S+$/m, ". PATH").replace(/127\.0\.0\.\d+/g, "ADDRESS")
  assert.equal(masked(stdout), masked(shown ?? ""))
})

test("lab EXHIBIT: stands until Ctrl-C, and the command it prints finds what it says", async () => {
  // One for each way in which the command differs.
  const chosen = ["pkix-hosted", "reach-no-ipv6", "dns-clock", "stream-too-slow", "clients-good", "auth-accepted", "auth-reverse-refused", "posh-good"]
  const run = lab(...chosen)
  let folder = ""
  try {
    await run.says(/^\. (\S+)\/environment$/m)
    folder = /^\. (\S+)\/environment$/m.exec(run.stdout)?.[1] ?? ""
    assert.match(run.stdout, /^hosted: unsigned SRV leads to a server/m)
    const commands = [...run.stdout.matchAll(/^xmpp-dna check .*$/gm)].map(([line]) => line)
    assert.equal(commands.length, chosen.length)
    const ended: Ended[] = []
    const pasted = async (at: number): Promise<void> => {
      ended[at] = await new Run(["-c", `. ${folder}/environment\n${commands[at] ?? ""} --jsonl`], { command: "/bin/sh" }).ended
    }
    // Two at a time: some of them wait for what never comes, and have little time for the rest.
    for (let at = 0; at < commands.length; at += 2) await Promise.all([at, at + 1].filter((each) => each < commands.length).map(pasted))
    for (const [at, { code, stdout, stderr }] of ended.entries()) {
      const exhibit = exhibits.find(({ domain }) => commands[at]?.endsWith(` ${domain}`)) ?? assert.fail(commands[at])
      assert.match(stderr, exhibit.id === "auth-reverse-refused" ? /^note: waiting at 127\./ : /^$/)
      assert.deepEqual(seenOf(domainSchema.parse(JSON.parse(stdout))), exhibit.expected, exhibit.id)
      assert.equal(code, exhibit.expected.exit, exhibit.id)
    }
    assert.equal(run.child.exitCode, null, "still up")
  } finally {
    run.child.kill("SIGINT")
  }
  assert.equal((await run.ended).code, 0)
  assert.equal(existsSync(folder), false, "its folder goes with it")
})

test("lab --shell: every command asks the lab, the command line outweighs it, and the shell's status is the lab's", async () => {
  const input = "xmpp-dna check -q good.example; echo \"good $?\"\nxmpp-dna check -q cert-expired.example; echo \"expired $?\"\nxmpp-dna check --resolver 127.0.0.1:1 --timeout 2s -q good.example; echo \"other $?\"\nxmpp-dna posh verify posh-good.example > /dev/null; echo \"posh $?\"\necho \"$XMPP_DNA_CA_FILE\"\nexit 7\n"
  const { code, stdout } = await new Run([program, "lab", "--shell", "good", "cert-expired", "posh-good"], { input, environment: { SHELL: "/bin/sh" } }).ended
  for (const line of ["good 0", "expired 2", "other 3", "posh 0"]) assert.match(stdout, new RegExp(`^${line}$`, "m"), stdout)
  assert.equal(code, 7)
  const [file = assert.fail(stdout)] = /^\/.*\/authority\.pem$/m.exec(stdout) ?? []
  assert.equal(existsSync(dirname(file)), false, "its folder goes with it")
  const { code: none, stderr } = await new Run([program, "lab", "--shell", "good"], { environment: { SHELL: "/nowhere/sh" } }).ended
  assert.equal(none, 69)
  assert.match(stderr, /^xmpp-dna: \/nowhere\/sh cannot be started/)
})
