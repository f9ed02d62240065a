// Mutation fuzz of the parser. In the tests for two seconds; longer by hand: node test/xml/fuzz.ts --seconds 600 [--seed 1]
import assert from "node:assert/strict"
import { Buffer } from "node:buffer"
import { performance } from "node:perf_hooks"
import { pathToFileURL } from "node:url"
import { parseArgs } from "node:util"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlError } from "../../src/xml/errors.ts"
import { type XmlEvent, type XmlLimits, XmlParser } from "../../src/xml/parser.ts"
import { serialise } from "../../src/xml/serialise.ts"
import { corpus, header } from "./corpus.ts"

/** A small generator with a seed, so that a finding can be repeated. */
export function generator(seed: number): (below: number) => number {
  let state = (seed ^ 0x9e3779b9) >>> 0 || 1
  return (below) => {
    state ^= state << 13
    state >>>= 0
    state ^= state >>> 17
    state ^= state << 5
    state >>>= 0
    return state % below
  }
}

const pieces = [
  "<",
  ">",
  "/",
  "=",
  "'",
  '"',
  "&",
  ";",
  "&amp;",
  "&#65;",
  "&#x",
  "]]>",
  "<![CDATA[",
  "<!--",
  "<?",
  "?>",
  "xmlns",
  "xmlns:p='urn:p'",
  "p:",
  "xml:lang",
  ":",
  " ",
  "\r\n",
  "\t",
  "<a/>",
  "</a>",
  "<a>",
  "</m>",
  "é",
  "€",
  "😀",
  "\ufeff",
  "\ufffe",
  "a='1'",
  "</stream:stream>",
  "<!DOCTYPE",
  "<?xml version='1.0'?>",
  "xmlns='jabber:client'",
].map((piece) => Buffer.from(piece))

const seeds = [
  ...corpus.filter(({ document }) => document.length < 2_000).map(({ document }) => document),
  Buffer.from(
    `${header}<message to='b' xml:lang='de' type="chat"><body>a &lt; b &#x20AC; ü</body><x xmlns='urn:x' xmlns:p='urn:p' p:a='1'><p:y><![CDATA[]]]]></p:y></x></message> <iq id='1'/></stream:stream>`,
  ),
]

const legal = [
  ...corpus.filter((one) => one.condition === undefined && one.document.length < 2_000).map(({ document }) => document),
  seeds.at(-1) as Buffer,
]

export function mutated(random: (below: number) => number): Buffer {
  const sources = random(3) === 0 ? seeds : legal
  const source = sources[random(sources.length)] as Buffer
  let document: Buffer = Buffer.from(source)
  // Half of the time the header is left alone, or nearly everything would end there.
  const first = random(2) === 0 ? 0 : Math.min(header.length, document.length)
  for (let count = 1 + random(random(4) + 1); count > 0; count--) {
    const at = first + random(Math.max(1, document.length - first + 1))
    const length = random(6)
    switch (random(6)) {
      case 0:
        if (at < document.length) document[at] = random(256)
        break
      case 1:
        document = Buffer.concat([document.subarray(0, at), document.subarray(at + length)])
        break
      case 2:
        document = Buffer.concat([document.subarray(0, at), pieces[random(pieces.length)] as Buffer, document.subarray(at)])
        break
      case 3:
        document = Buffer.concat([document.subarray(0, at), pieces[random(pieces.length)] as Buffer, document.subarray(at + length)])
        break
      case 4: {
        const from = random(document.length + 1)
        document = Buffer.concat([document.subarray(0, at), document.subarray(from, from + random(40)), document.subarray(at)])
        break
      }
      default:
        document = Buffer.concat([document.subarray(0, at), Buffer.from([random(256), random(256)]), document.subarray(at)])
    }
  }
  return document
}

interface Outcome {
  readonly events: XmlEvent[]
  readonly fault: XmlError | undefined
  readonly rest: Buffer
}

export function outcome(document: Buffer, chunkSize: () => number, limits: Partial<XmlLimits> = { stanzaBytes: 4_096 }): Outcome {
  const parser = new XmlParser(limits)
  const events: XmlEvent[] = []
  try {
    for (let at = 0; at < document.length; ) {
      const size = chunkSize()
      // A chunk is destroyed after use: the parser must have copied what it still needs.
      const chunk = Buffer.from(document.subarray(at, at + size))
      parser.push(chunk)
      for (let event = parser.next(); event !== undefined; event = parser.next()) events.push(event)
      chunk.fill(0)
      at += size
    }
  } catch (fault) {
    if (!(fault instanceof XmlError)) throw fault
    return { events, fault, rest: Buffer.alloc(0) }
  }
  return { events, fault: undefined, rest: parser.rest() }
}

/** The infoset without prefixes: what has to survive writing. */
export function meaning(el: XmlElement): unknown {
  const children: unknown[] = []
  for (const node of el.children) {
    if (typeof node !== "string") children.push(meaning(node))
    else if (typeof children.at(-1) === "string") children.push((children.pop() as string) + node)
    else if (node !== "") children.push(node)
  }
  return [el.ns, el.name, el.attributes.map((one) => [one.ns, one.name, one.value]), children]
}

/** What must hold for any bytes whatever. */
export function checkDocument(document: Buffer, random: (below: number) => number): boolean {
  const whole = outcome(document, () => document.length + 1)
  const sizes: (() => number)[] = [() => 1, () => 1 + random(9), () => 1 + random(200)]
  for (const size of sizes) {
    const again = outcome(document, size)
    assert.equal(again.fault?.message, whole.fault?.message)
    assert.deepEqual(again.events, whole.events)
    assert.deepEqual(again.rest, whole.rest)
  }
  for (const event of whole.events) {
    if (event.kind !== "element") continue
    const written = Buffer.from(`${header}${serialise(event.element, { defaultNs: "jabber:server" })}`)
    // Away from its header an element may need more declarations than it came with.
    const back = outcome(written, () => written.length, { declarations: 1_000 }).events[1]
    assert.ok(back?.kind === "element")
    assert.deepEqual(meaning(back.element), meaning(event.element))
  }
  return whole.fault === undefined
}

/** Mutates and checks until `deadline` (performance.now) or `most` documents. */
export function fuzz(seed: number, deadline: number, most: number): { documents: number; accepted: number } {
  let accepted = 0
  let documents = 0
  for (; documents < most && performance.now() < deadline; documents++) {
    const own = (seed + Math.imul(documents, 0x01000193)) | 0
    const random = generator(own)
    const document = mutated(random)
    try {
      if (checkDocument(document, random)) accepted++
    } catch (cause) {
      throw new Error(`seed ${seed}, document ${documents}: ${document.toString("base64")}`, { cause })
    }
  }
  return { documents, accepted }
}

const isProgram = process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href
if (isProgram) {
  const { values } = parseArgs({ options: { seconds: { type: "string", default: "10" }, seed: { type: "string" } } })
  const seed = values.seed === undefined ? Date.now() | 0 : Number(values.seed)
  console.log(`seed ${seed}`)
  const { documents, accepted } = fuzz(seed, performance.now() + Number(values.seconds) * 1000, Number.POSITIVE_INFINITY)
  console.log(`${documents} documents, ${accepted} accepted, no finding`)
}
