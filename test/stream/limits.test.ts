// Stream limits, written and read (XEP-0478; LIM-1, LIM-2; BIDI-9).
import assert from "node:assert/strict"
import { test } from "node:test"

import { ns } from "../../src/model/namespaces.ts"
import { idleWithin, limitsXml, noLimits, readLimits } from "../../src/stream/limits.ts"
import { element, type XmlElement } from "../../src/xml/element.ts"
import { XmlParser } from "../../src/xml/parser.ts"

function inside(parent: string, xml: string): XmlElement {
  const parser = new XmlParser({})
  parser.push(Buffer.from(`<stream:stream xmlns='jabber:server' xmlns:stream='${ns.streams}'><${parent}>${xml}</${parent.split(" ")[0]}>`))
  parser.next()
  const event = parser.next()
  assert.ok(event?.kind === "element")
  return event.element
}

const said = (children: string): XmlElement => inside("stream:features", `<limits xmlns='${ns.limits}'>${children}</limits>`)

test("what is said is read, in features and inside <bidi/>; each part may be missing", () => {
  for (const limits of [{ maxBytes: 524_288, idleSeconds: 600 }, { maxBytes: 10_000, idleSeconds: undefined }, { maxBytes: undefined, idleSeconds: 60 }]) {
    assert.deepEqual(readLimits(inside("stream:features", limitsXml(limits))), limits)
    assert.deepEqual(readLimits(inside(`bidi xmlns='${ns.bidi}'`, limitsXml(limits))), limits)
  }
  assert.equal(limitsXml(noLimits), "")
  assert.equal(limitsXml({ maxBytes: 10_000, idleSeconds: 60 }), `<limits xmlns='${ns.limits}'><max-bytes>10000</max-bytes><idle-seconds>60</idle-seconds></limits>`)
  assert.deepEqual(readLimits(element("features", ns.streams)), noLimits)
})

test("what is no positive whole number was not said", () => {
  for (const value of ["", "0", "-1", "1.5", "1e6", "many", "0x10", "9".repeat(16)]) {
    assert.deepEqual(readLimits(said(`<max-bytes>${value}</max-bytes><idle-seconds>${value}</idle-seconds>`)), noLimits, value)
  }
  assert.deepEqual(readLimits(said("<max-bytes> 65536\n</max-bytes>")), { maxBytes: 65_536, idleSeconds: undefined })
  assert.deepEqual(readLimits(said("<max-bytes xmlns='urn:example'>1</max-bytes>")), noLimits)
})

test("a stream is closed before the peer would, never at once, and never later than we wish", () => {
  assert.equal(idleWithin(600_000, noLimits), 600_000)
  assert.equal(idleWithin(600_000, { maxBytes: undefined, idleSeconds: 100 }), 80_000)
  assert.equal(idleWithin(600_000, { maxBytes: undefined, idleSeconds: 3600 }), 600_000)
  assert.equal(idleWithin(600_000, { maxBytes: undefined, idleSeconds: 1 }), 5000)
  assert.equal(idleWithin(2000, { maxBytes: undefined, idleSeconds: 1 }), 2000)
})
