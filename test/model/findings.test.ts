// The catalogue of findings and what belongs to each: nothing is missing, nothing is left over, nothing is too long for a line of a report.
import assert from "node:assert/strict"
import { globSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { test } from "node:test"
import { findingsPage } from "../../src/inspect/findings-page.ts"
import { explanations } from "../../src/model/explanations.ts"
import { type FindingId, findings } from "../../src/model/findings.ts"
import { foreignSentences } from "../../src/model/foreign-sentences.ts"

const root = join(import.meta.dirname, "../..")
const ids = Object.keys(findings) as FindingId[]

test("each finding has a severity, a party, a sentence, a repair or the word nothing, and a section", () => {
  for (const id of ids) {
    const { severity, party, sentence, repair, section } = findings[id]
    assert.match(id, /^[a-z]+\.[a-z0-9]+(?:-[a-z0-9]+)*$/)
    assert.ok(["bad", "warn", "info", "unknown"].includes(severity), id)
    assert.ok(["you", "peer", "path", "resolver", "nobody"].includes(party), id)
    assert.match(sentence, /^(?:[a-z]|DANE|DNS|POSH|SASL|TLS).*[^.]$/, id)
    assert.match(repair, /^[a-z].*[^.]$/, id)
    // "nothing" comes first, and is no part of a longer word.
    if (party === "nobody") assert.match(repair, /^nothing\b/, id)
    assert.match(section, /^(?:(?:RFC|XEP-)\s?\d{4} [0-9A-Z.]+|POSH prooftype draft 03)$/, id)
  }
})

test("each finding is explained, in sentences that say more than the catalogue's", () => {
  assert.deepEqual(Object.keys(explanations), ids)
  for (const id of ids) {
    const explanation = explanations[id]
    assert.match(explanation, /^[A-Z`].*\.$/, id)
    assert.ok(explanation.length >= 60 && explanation.length <= 400, `${id}: ${explanation.length}`)
    assert.ok(!explanation.includes(findings[id].sentence), id)
  }
  assert.equal(new Set(Object.values(explanations)).size, ids.length)
})

test("each finding is raised somewhere", () => {
  const catalogue = /model\/(?:findings|explanations|foreign-sentences)\.ts$/
  // Prooftypes of a program's own raise some; the example is one.
  const code = globSync(["src/**/*.ts", "examples/**/*.ts"], { cwd: root })
    .filter((path) => !catalogue.test(path))
    .map((path) => readFileSync(join(root, path), "utf8"))
    .join("\n")
  const raised = new Set(code.match(/\b[a-z]+\.[a-z0-9-]+(?=["\]])/g))
  assert.deepEqual(ids.filter((id) => !raised.has(id)), [])
})

test("sentences of other servers name a finding of the catalogue, what they mean and what to do, each once", () => {
  for (const { says, product, versions, seen, means, action, finding } of foreignSentences) {
    assert.ok(finding === null || finding in findings, says)
    for (const text of [product, versions, seen, means, action]) assert.ok(text.length > 2 && !text.endsWith("."), says)
    assert.doesNotMatch(says, /^\*|\*\*/)
  }
  const sentences = foreignSentences.map(({ says }) => says.toLowerCase())
  assert.deepEqual(sentences.filter((sentence, index) => sentences.indexOf(sentence) !== index), [])
})

test("docs/findings.md says what the catalogue says (npm run pages)", () => {
  assert.equal(readFileSync(join(root, "docs/findings.md"), "utf8"), findingsPage())
})
