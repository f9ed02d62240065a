// `explain` as a user meets it: lines from a pipe, what stands on which stream, 80 columns, colours, wrong arguments (docs/explain.md).
import assert from "node:assert/strict"
import { describe, it } from "node:test"
import { findings } from "../../src/model/findings.ts"
import { foreignSentences } from "../../src/model/foreign-sentences.ts"
import { type Ended, ending, start, together } from "./command.ts"

const here = import.meta.dirname

describe("explain", () => {
  it("reads lines from a pipe: each meaning once, the unknown only counted", async () => {
    const lines = ["one unsupported certificate purpose", "nothing of interest", "", "again: Unsupported Certificate Purpose\r", "refused: it is not [dane.mismatch]", `\u001b[2J${"x".repeat(9000)}`]
    const { status, out, err } = await ending(start(["explain", "-"], here), lines.join("\n"))
    assert.equal(status, 0)
    assert.deepEqual(out.match(/^(?:Said {6}.*|[a-z]+\.[a-z-]+)$/gm), ["Said      unsupported certificate purpose", "dane.mismatch"])
    assert.equal(err, "xmpp-dna: 3 of 5 lines explained\n")
    assert.ok(!out.includes("\u001b"))
  })

  it("keeps to 80 columns, for every finding and sentence", async () => {
    const texts = [...Object.keys(findings), ...foreignSentences.map(({ says }) => says.replaceAll("*", "x"))]
    const ended = await together([["explain", "--list"], ...texts.map((text) => ["explain", text])], here)
    assert.deepEqual(ended.filter(({ status }) => status !== 0), [])
    assert.deepEqual(ended.flatMap(({ out }) => out.split("\n")).filter((line) => [...line].length > 80), [])
    const [list] = ended as [Ended]
    for (const id of Object.keys(findings)) assert.match(list.out, new RegExp(`^${id.replace(".", "\\.")} +(?:bad|warn|info|unknown) `, "m"))
  })

  it("escapes what it was given, and says where to go with it", async () => {
    const [{ status, out }] = (await together([["explain", "qwertz \u001b[31m\u202e"]], here)) as [Ended]
    assert.equal(status, 3)
    assert.ok(!["\u001b", "\u202e"].some((one) => out.includes(one)))
    assert.match(out, /^Not known .*\nNearest {3}nothing; `xmpp-dna explain --list` names all findings\nTo ask {4}send /)
  })

  it("refuses what it cannot understand", async () => {
    const ended = await together([["explain"], ["explain", "--list", "x"], ["explain", "--color", "red", "x"]], here)
    assert.deepEqual(ended.map(({ status, out }) => [status, out]), ended.map(() => [64, ""]))
    const [plain, always] = (await together([["explain", "dane.mismatch"], ["explain", "--color", "always", "dane.mismatch"]], here)) as [Ended, Ended]
    assert.ok(!plain.out.includes("\u001b"))
    assert.ok(always.out.startsWith("\u001b[1mdane.mismatch\u001b[0m\n"))
  })
})
