// Completion of the command line, as bash itself does it from the script that is printed; zsh and fish where they are installed.
import assert from "node:assert/strict"
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, describe, it } from "node:test"
import { completion, type Shell, shells } from "../../src/cli/completion.ts"
import { tree } from "../../src/cli/main.ts"
import { everyCommand, valueWords, wordsOf } from "../../src/cli/words.ts"
import { together } from "./command.ts"

const folder = mkdtempSync(join(tmpdir(), "completion-"))
after(() => rmSync(folder, { recursive: true }))
const scripts = Object.fromEntries(
  shells.map((shell): [Shell, string] => {
    const file = join(folder, `xmpp-dna.${shell}`)
    writeFileSync(file, completion(tree().program, shell))
    return [shell, file]
  }),
)

function ran(program: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd: folder, encoding: "utf8", timeout: 20_000 })
  assert.equal(error, undefined)
  assert.equal(status, 0, stderr)
  return stdout
}

const installed = (program: string): boolean => spawnSync(program, ["--version"]).status === 0

const cases: readonly (readonly [line: string, expected: readonly string[]])[] = [
  ["che", ["check"]],
  ["check --exp", ["--expect"]],
  ["check --expect ", ["authenticated", "encrypted", "verified"]],
  ["check --json --expect enc", ["encrypted"]],
  ["check a.example --color n", ["never"]],
  ["check --from ", []],
  ["tlsa ro", ["rollover"]],
  ["tlsa rollover --hook c", ["certbot"]],
  ["tlsa rollover --resolv", ["--resolver"]],
  ["posh --service ", ["server", "client"]],
  ["ctl dom", ["domains", "domain"]],
  ["ctl --json domain s", ["set", "suspend"]],
  ["ctl domain add --secret-f", ["--secret-file"]],
  ["completion ", ["bash", "zsh", "fish"]],
  ["schema check", ["check", "check-line"]],
  ["explain dane.mis", ["dane.mismatch"]],
  ["lab wrong-n", ["wrong-name"]],
  ["help wat", ["watch"]],
  ["check --no-c", ["--no-color"]],
  ["-", ["--version", "--help"]],
]

describe("completion", () => {
  it("by bash: commands, options and their values, where they belong", () => {
    writeFileSync(join(folder, "my-cert.pem"), "")
    const asked = [...cases.map(([line]) => line), "check --cert my-", "judge my-", "dns my-"]
    const program = `source "$1"; shift; for line; do COMP_WORDS=(xmpp-dna $line); [[ $line == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _xmpp_dna; echo "$line:\${COMPREPLY[*]}"; done; complete -p xmpp-dna`
    const answers = ran("bash", ["--norc", "-c", program, "bash", scripts.bash ?? "", ...asked])
      .trimEnd()
      .split("\n")
    const expected = [
      ...cases.map(([line, words]) => `${line}:${words.join(" ")}`),
      "check --cert my-:my-cert.pem",
      "judge my-:my-cert.pem",
      "dns my-:",
    ]
    assert.deepEqual(answers, [...expected, "complete -F _xmpp_dna xmpp-dna"])
  })

  // Not every machine has these two; what they would say is said by bash above.
  if (installed("zsh"))
    it("by zsh has no mistake of syntax", () => {
      assert.equal(ran("zsh", ["-n", scripts.zsh ?? ""]), "")
    })

  if (installed("fish"))
    it("by fish answers as bash does", () => {
      const words = (line: string): string[] =>
        ran("fish", ["--no-config", "-c", `source ${scripts.fish}; complete -C ${JSON.stringify(`xmpp-dna ${line}`)}`])
          .trimEnd()
          .split("\n")
          .map((each) => each.split("\t")[0] ?? "")
          .filter((each) => each !== "")
      for (const [line, expected] of cases.filter(([line]) => line !== "-"))
        assert.deepEqual(words(line).sort(), [...expected].sort(), line)
    })

  it("names words for options and arguments that exist", () => {
    const all = everyCommand(wordsOf(tree().program))
    for (const key of Object.keys(valueWords)) {
      const [last = "", ...above] = key.split(" ").reverse()
      const place = above.reverse().join(" ")
      const there = all.filter(({ path }) => place === "" || path.join(" ") === place)
      assert.ok(
        there.some(({ options, argument }) =>
          last.startsWith("-") ? options.some(({ flags }) => flags.includes(last)) : argument.kind === "words",
        ),
        key,
      )
    }
    // What an option takes is said in its description, and each of the words stands there.
    for (const { path, options } of all)
      for (const { flags, value, about } of options)
        if (value.kind === "words")
          for (const word of value.words) assert.ok(about.includes(word), `${path.join(" ")} ${flags.join()}: ${word}`)
  })

  it("is printed, and refused for another shell", async () => {
    const [good, bad] = await together([
      ["completion", "bash"],
      ["completion", "fis"],
    ], folder)
    assert.equal(good?.status, 0)
    assert.match(good?.out ?? "", /^# Completion of xmpp-dna for bash[\s\S]*complete -F _xmpp_dna xmpp-dna\n$/)
    assert.equal(bad?.status, 64)
    assert.equal(bad?.err, 'xmpp-dna: there is no completion for "fis": bash, zsh, fish. Did you mean fish?\n')
  })
})
