// Help and man pages: every command has examples that can be typed, on lines of 80 columns, on standard output; a mistyped command is named.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import type { EventEmitter } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, it } from "node:test"
import type { Command } from "commander"
import { tree } from "../../src/cli/main.ts"
import { version } from "../../src/cli/version.ts"
import { everyCommand, wordsOf } from "../../src/cli/words.ts"
import { manual } from "../../tools/manual.ts"
import { together } from "./command.ts"

const root = join(import.meta.dirname, "../..")
const { program } = tree()

function help(command: Command): string {
  let text = command.helpInformation()
  ;(command as unknown as EventEmitter).emit("afterHelp", { error: false, command, write: (more: string) => void (text += more) })
  return text
}

const below = (command: Command): Command[] => [command, ...command.commands.flatMap(below)]
const all = below(program)
const nameOf = (command: Command): string => (command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`)

describe("help", () => {
  it("has an example for every command, and keeps to 80 columns", () => {
    for (const command of all) {
      const text = help(command)
      assert.match(text, /\nExamples?\n {2}\S/, nameOf(command))
      assert.deepEqual(text.split("\n").filter((line) => line.length > 80), [], nameOf(command))
      assert.doesNotMatch(text, /default: \[|display help/, nameOf(command))
    }
  })

  it("tells the exit statuses of every command but what ctl's are", () => {
    for (const command of all.filter((each) => !nameOf(each).includes(" ctl "))) assert.match(help(command), /\nExit status: 0 /, nameOf(command))
  })

  it("shows examples whose commands and options there are", () => {
    const words = everyCommand(wordsOf(program))
    const examples = all.flatMap((command) => [...(/\nExamples?\n([\s\S]*?)(?:\n\n|$)/.exec(help(command))?.[1] ?? "").matchAll(/^ {2}.*?(xmpp-dna [^|>)"'\n]*)/gm)].map(([, line = ""]) => line.trim()))
    assert.ok(examples.length > 40)
    for (const example of examples) {
      const [, ...typed] = example.split(/ +/)
      let place = words[0]
      for (const word of typed) place = place?.commands.find(({ path }) => path.at(-1) === word) ?? place
      const known = place?.options.flatMap(({ flags }) => flags) ?? []
      assert.notEqual(place?.path.length, 0, example)
      for (const word of typed.filter((each) => /^--?[a-z0-9]/.test(each))) assert.ok(known.includes(word), `${example}: ${word}`)
    }
  })

  it("is the same by each way to ask for it, on standard output, exit 0", async () => {
    const ended = await together([[], ["--help"], ["-h"], ["help"], ["check", "--help"], ["check", "-h"], ["help", "check"], ["tlsa", "rollover", "--help"], ["help", "tlsa", "rollover"], ["help", "help"]], root)
    const [bare, long, short, word, check, checkShort, checkWord, rollover, rolloverWord, helpHelp] = ended.map(({ out }) => out)
    assert.deepEqual(ended.map(({ status, err }) => [status, err]), ended.map(() => [0, ""]))
    assert.equal(rolloverWord, rollover)
    for (const other of [bare, short, word, helpHelp]) assert.equal(other, long)
    for (const other of [checkShort, checkWord]) assert.equal(other, check)
    assert.match(long ?? "", /^Usage: xmpp-dna [\s\S]*\nAsk\n {2}check [\s\S]*\nMake\n {2}posh [\s\S]*\nRun\n {2}lab [\s\S]*\nAlso\n {2}schema /)
  })

  it("is near when a word is mistyped: standard error, exit 64", async () => {
    const ended = await together([["chek"], ["check", "--jsno", "a.example"], ["tlsa", "--formt", "zone"], ["ctl", "statsu"], ["ctl", "domain", "ad"], ["help", "chek"], ["ctl", "help", "statsu"], ["help", "ctl", "domain", "ad"], ["qqq"], ["help", "nope"]], root)
    assert.deepEqual(ended.map(({ status, out }) => [status, out]), ended.map(() => [64, ""]))
    const near = ended.map(({ err }) => /Did you mean (\S+?)\?/.exec(err)?.[1])
    assert.deepEqual(near, ["check", "--json", "--format", "status", "add", "check", "status", "add", undefined, undefined])
    // One line, which begins as every other that the program writes of a mistake.
    for (const { err } of ended) assert.match(err, /^xmpp-dna: unknown (?:command|option) '[^\n]+\n$/)
    assert.equal(ended[0]?.err, "xmpp-dna: unknown command 'chek'. Did you mean check?\n")
    assert.equal(ended.at(-1)?.err, "xmpp-dna: unknown command 'nope'\n")
  })

  it("a mistyped option has the form that machines asked for", async () => {
    const ended = await together([["check", "--json", "--jsno", "a.example"], ["dns", "--json"], ["check", "--nagios", "--nagois", "a.example"]], root)
    const [check, dns, nagios] = ended.map(({ out }) => out)
    assert.deepEqual(ended.map(({ status }) => status), [64, 64, 3])
    assert.deepEqual(JSON.parse(check ?? ""), { error: "unknown option '--jsno'", exit: 64 })
    assert.deepEqual(JSON.parse(dns ?? ""), { error: "missing required argument 'domain'", exit: 64 })
    assert.equal(nagios, "XMPP-DNA UNKNOWN - unknown option '--nagois'\n")
  })
})

describe("man pages", () => {
  const pages = manual(program, version())

  it("are what the code says (npm run pages), and all are in the package", () => {
    assert.deepEqual(readdirSync(join(root, "man")).sort(), Object.keys(pages).sort())
    for (const [name, text] of Object.entries(pages)) assert.equal(readFileSync(join(root, "man", name), "utf8"), text, name)
    const { man } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { man: string[] }
    assert.deepEqual(man.sort(), Object.keys(pages).map((name) => `./man/${name}`).sort())
  })

  it("tell every command and option", () => {
    const literal = (text: string): string => text.replaceAll("\\-", "-").replace(/\\f[BIR]/g, "")
    for (const { path, options } of everyCommand(wordsOf(program)).filter(({ path: [first] }) => first !== undefined && first !== "help")) {
      const page = literal(pages[`xmpp-dna-${path[0]}.1`] ?? "")
      assert.ok(page.includes(`xmpp-dna ${path.join(" ")}`), path.join(" "))
      for (const { flags } of options) for (const flag of flags) assert.ok(page.includes(flag), `${path.join(" ")} ${flag}`)
    }
  })

  // groff is on most machines that show man pages, and not on all that run tests.
  if (spawnSync("groff", ["--version"]).status === 0)
    it("are read by groff without a word, on lines of 80 columns", () => {
      const { status, stdout, stderr } = spawnSync("groff", ["-man", "-Tascii", "-P-cbou", "-rLL=80n", "-ww", ...Object.keys(pages).map((name) => join(root, "man", name))], { encoding: "utf8" })
      assert.equal(status, 0)
      assert.equal(stderr, "")
      assert.deepEqual(stdout.split("\n").filter((line) => line.length > 80), [])
      assert.match(stdout, /^EXAMPLES\n {2}xmpp-dna check shop\.example$/m)
    })
})
