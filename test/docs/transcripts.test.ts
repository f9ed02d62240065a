// Every transcript in the README and the docs (fences marked `console`) is played in the lab: the commands that stand there, word by word, say
// what stands below them. What differs from run to run is not compared: ports, addresses, times, dates, hashes; a line `…` stands for any lines.
import assert from "node:assert/strict"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, describe, it } from "node:test"
import { type Ended, together } from "../cli/command.ts"
import { type Documented, documented, filesOf, nameServer } from "./world.ts"

const root = new URL("../../", import.meta.url)
const pages = ["README.md", ...readdirSync(new URL("docs/", root)).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)].sort()

interface Played {
  readonly page: string
  readonly command: string
  readonly args: readonly string[]
  readonly expected: string
  /** `; echo $?` stands behind it. */
  readonly echoes: boolean
}

/** Words as a shell would make them of the simple lines in our docs. */
function wordsOf(command: string): string[] {
  const words = command.match(/(?:'[^']*'|"[^"$`\\]*"|[^\s'"|;&<>$`\\])+/g) ?? []
  assert.equal(words.join(" "), command, "only plain words and quotes are understood")
  return words.map((word) => word.replace(/'([^']*)'|"([^"]*)"/g, "$1$2"))
}

function transcriptsOf(page: string): Played[] {
  const found: Played[] = []
  for (const block of readFileSync(new URL(page, root), "utf8").split(/^```console\n/m).slice(1)) {
    const [inside = ""] = block.split(/^```$/m)
    for (const part of inside.split(/^\$ /m).slice(1)) {
      const [command = "", ...expected] = part.split("\n")
      const echoes = command.endsWith("; echo $?")
      const [program, ...args] = wordsOf(command.replace(/; echo \$\?$/, ""))
      assert.equal(program, "xmpp-dna", `${page}: ${command}`)
      found.push({ page, command, args, echoes, expected: expected.join("\n") })
    }
  }
  return found
}

/** Words and their order, without what differs from run to run. */
function comparable(text: string): string {
  return text
    .replace(/[A-Za-z0-9+/]{40,}={0,2}/g, "HASH")
    .replace(/:\d{4,5}\b|_\d{4,5}\._tcp|\bport \d{4,5}\b/g, "PORT")
    .replace(/127\.0\.0\.\d+/g, "ADDRESS")
    .replace(/\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?Z?)?/g, "DATE")
    // A longer one makes words go to the next line, so that it stands between others then.
    .replace(/\b\d+ ms|\b\d+\.\d+ ?s\b/g, "")
    .replace(/\b\d+ d\b|(?<=_days=)\d+\.\d/g, "DAYS")
    .replace(/\s+/g, " ")
    .trim()
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")

function fits(said: string, expected: string): boolean {
  const parts = expected.split(/^…$/m).map((part) => escaped(comparable(part)))
  return new RegExp(`^${parts.join(" ?[^]*? ?")}$`).test(comparable(said))
}

const all = pages.flatMap(transcriptsOf)
const folder = mkdtempSync(join(tmpdir(), "transcripts-"))
let world: Documented
let ended: readonly Ended[]

before(async () => {
  world = await documented(folder)
  await filesOf(world, folder)
  const { address, port } = world.net.dns
  const there = (word: string): string => (word === nameServer ? `${address}:${port}` : word)
  ended = await together(all.map(({ args }) => args.map(there)), folder, world.environment)
})

after(async () => {
  await world.net.close()
  rmSync(folder, { recursive: true })
})

describe("transcripts", () => {
  for (const [index, { page, command, expected, echoes }] of all.entries()) {
    it(`${page}: ${command}`, () => {
      const { shown = "", status } = ended[index] ?? {}
      const said = echoes ? `${shown}${status}\n` : shown
      if (!fits(said, expected)) assert.equal(said, expected)
    })
  }

  it("there are some of every command that answers a question", () => {
    const commands = new Set(all.map(({ args }) => args[0]))
    for (const wanted of ["check", "watch", "posh", "tlsa", "dns", "judge"]) assert.ok(commands.has(wanted), wanted)
    assert.ok(all.some(({ args }) => args[0] === "tlsa" && args[1] === "rollover"))
  })

  it("keep to 80 columns, but for what is to be pasted", () => {
    const long = all.flatMap(({ page, expected }) => expected.split("\n").filter((text) => [...text].length > 80 && /\s/.test(text.trim()) && !/^(?:[_{]|; remove {2}_|update add |XMPP-DNA )/.test(text)).map((text) => `${page}: ${text}`))
    assert.deepEqual(long, [])
  })

  it("what differs is seen: another word, a line more, a line less", () => {
    const said = "chat.example   \u2714 authenticated by DANE   0.1 s\nNothing to do.\n"
    assert.ok(fits(said, "chat.example   \u2714 authenticated by DANE   0.7 s\n\nNothing to do."))
    assert.ok(fits("dialback errors   43 ms\n  pipelining", "dialback   143 ms\n  errors pipelining"))
    assert.ok(fits(said, "chat.example   \u2714 authenticated by DANE   0.7 s\n\u2026"))
    for (const wrong of ["chat.example \u2714 authenticated by PKIX 0.1 s Nothing to do.", "chat.example \u2714 authenticated by DANE 0.1 s", `${said}More.`]) assert.ok(!fits(said, wrong), wrong)
  })
})
