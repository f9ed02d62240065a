// Runs the corpus whole, byte by byte and in 7-byte pieces: the same verdict, at the same byte, each time (XML-01..06, CORE-12).
import assert from "node:assert/strict"
import type { Buffer } from "node:buffer"
import { test } from "node:test"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlError } from "../../src/xml/errors.ts"
import { type XmlEvent, XmlParser } from "../../src/xml/parser.ts"
import { type CorpusCase, type CorpusClass, corpus } from "./corpus.ts"

interface Outcome {
  readonly events: XmlEvent[]
  readonly fault: XmlError | undefined
  /** Bytes given before the fault. */
  readonly given: number
}

function run(document: Buffer, size: number, limits: CorpusCase["limits"] = {}): Outcome {
  const parser = new XmlParser(limits)
  const events: XmlEvent[] = []
  for (let at = 0; at < document.length; at += size) {
    parser.push(document.subarray(at, at + size))
    try {
      for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event)
    } catch (fault) {
      assert.ok(fault instanceof XmlError, String(fault))
      return { events, fault, given: Math.min(at + size, document.length) }
    }
  }
  return { events, fault: undefined, given: document.length }
}

/** Attribute values in brackets, then all text: enough to see that a value was read rightly. */
function summary(el: XmlElement): string {
  const attributes = el.attributes.length === 0 ? "" : `[${el.attributes.map(({ value }) => value).join("|")}]`
  return attributes + el.children.map((node) => (typeof node === "string" ? node : summary(node))).join("")
}

test("the corpus is large enough in each class", () => {
  const count = (group: CorpusClass): number => corpus.filter((one) => one.group === group).length
  const wanted = { accept: 17, restricted: 15, chars: 27, utf8: 13, namespaces: 19, wellFormed: 30, limits: 7 }
  for (const [group, least] of Object.entries(wanted)) assert.ok(count(group as CorpusClass) >= least, group)
  assert.ok(corpus.length >= 140)
  assert.equal(new Set(corpus.map(({ group, name }) => `${group} ${name}`)).size, corpus.length, "names are unique")
})

for (const one of corpus) {
  test(`${one.group}: ${one.name}`, () => {
    const whole = run(one.document, one.document.length, one.limits)
    for (const outcome of [whole, run(one.document, 1, one.limits), run(one.document, 7, one.limits)]) {
      assert.equal(outcome.fault?.condition, one.condition, outcome.fault?.message)
      assert.equal(outcome.fault?.offset, whole.fault?.offset)
      assert.deepEqual(outcome.events, whole.events)
    }
    if (one.condition === undefined) {
      const last = whole.events.at(-1)
      assert.equal(last?.kind, "close")
      if (one.reads !== undefined)
        assert.deepEqual(
          whole.events.flatMap((event) => (event.kind === "element" ? [summary(event.element)] : [])),
          one.reads,
        )
    } else if (one.decidedAfter !== undefined) {
      assert.equal(run(one.document, 1, one.limits).given, one.decidedAfter, "decided at the earliest byte")
      assert.equal(whole.fault?.offset, one.decidedAfter - 1)
    }
  })
}
