// The hostile corpus behind the stream header, through the cutter: the verdicts of the tree parser, whole and in pieces (XML-01..06, CORE-12).
import assert from "node:assert/strict"
import { test } from "node:test"

import { Cutter } from "../../src/xml/cutter.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlError } from "../../src/xml/errors.ts"
import { XmlParser } from "../../src/xml/parser.ts"
import { type CorpusCase, corpus } from "./corpus.ts"
import { pieces } from "./cutter-world.ts"

type Events = (XmlElement | string)[]

function readOn(parser: XmlParser, events: Events): void {
  for (let event = parser.next(); event !== undefined; event = parser.next())
    events.push(event.kind === "element" ? event.element : event.kind)
}

/** What the tree parser says to the bytes behind the header; undefined when it refuses the header itself. */
function behindHeader(one: CorpusCase): { parser: XmlParser; bytes: Buffer; events: Events } | undefined {
  const parser = new XmlParser(one.limits)
  parser.push(one.document)
  const events: Events = []
  try {
    if (parser.next()?.kind !== "open") return undefined
    const bytes = parser.rest()
    readOn(parser, events)
    return { parser, bytes, events }
  } catch (error) {
    if (!(error instanceof XmlError)) throw error
    if (parser.rootName === "") return undefined
    const again = new XmlParser(one.limits)
    again.push(one.document)
    again.next()
    return { parser: again, bytes: again.rest(), events: [...events, error.condition] }
  }
}

function cut(one: CorpusCase, parser: XmlParser, bytes: Buffer, size: number): Events {
  const events: Events = []
  const cutter = new Cutter({
    scope: parser.scope,
    rootName: parser.rootName,
    limits: one.limits ?? {},
    handler: {
      stanza(view) {
        const alone = XmlParser.continueFrom(parser.scope, parser.rootName, one.limits)
        alone.push(Buffer.from(view.bytes.subarray(view.start, view.end)))
        readOn(alone, events)
      },
      tree: (element) => events.push(element),
      closeTag: () => events.push("close"),
      failed: (error) => events.push(error.condition),
    },
  })
  for (const piece of pieces(bytes, [size])) cutter.push(piece)
  return events
}

let behind = 0
for (const one of corpus) {
  const expected = behindHeader(one)
  // A stream element that is empty is over with its header; there is nothing to cut.
  if (
    expected === undefined ||
    one.document
      .subarray(0, one.document.length - expected.bytes.length)
      .toString("latin1")
      .endsWith("/>")
  )
    continue
  behind += 1
  test(`${one.group}: ${one.name}`, () => {
    const { parser, bytes, events } = expected
    for (const size of [Math.max(1, bytes.length), 1, 7]) assert.deepEqual(cut(one, parser, bytes, size), events)
    assert.equal(typeof events.at(-1), "string")
    if (one.condition !== undefined) assert.equal(events.at(-1), one.condition)
  })
}

test("most of the corpus lies behind the header", () => assert.ok(behind >= 110, String(behind)))
