// What the tests of the cutter share: a stream read by the tree parser alone and by the cutter, as comparable records.
import { Cutter, type StanzaView } from "../../src/xml/cutter.ts"
import type { XmlElement } from "../../src/xml/element.ts"
import { XmlError } from "../../src/xml/errors.ts"
import { type XmlLimits, XmlParser } from "../../src/xml/parser.ts"

export const scope = [
  ["", "jabber:server"],
  ["stream", "http://etherx.jabber.org/streams"],
  ["db", "jabber:server:dialback"],
] as const
export const rootName = "stream:stream"

export interface Read {
  /** Elements in order, then "close" and the condition of the error, where there were any. */
  readonly events: readonly (XmlElement | string)[]
  /** How many elements came as bytes. */
  readonly raw: number
}

/** Cuts bytes at the given sizes, over and over; copies, so that nobody can rely on the source. */
export function pieces(bytes: Buffer, sizes: readonly number[]): Buffer[] {
  const cut: Buffer[] = []
  let at = 0
  for (let index = 0; at < bytes.length; index += 1) {
    const size = Math.max(1, sizes[index % sizes.length] ?? 1)
    cut.push(Buffer.from(bytes.subarray(at, at + size)))
    at += size
  }
  return cut
}

export function readByTree(chunks: readonly Buffer[], limits: Partial<XmlLimits> = {}): Read {
  const parser = XmlParser.continueFrom(scope, rootName, limits)
  const events: (XmlElement | string)[] = []
  try {
    for (const chunk of chunks) {
      parser.push(Buffer.from(chunk))
      for (let event = parser.next(); event !== undefined; event = parser.next()) {
        events.push(event.kind === "element" ? event.element : event.kind)
      }
    }
  } catch (error) {
    if (!(error instanceof XmlError)) throw error
    events.push(error.condition)
  }
  return { events, raw: 0 }
}

/** The tree of one raw stanza, read on its own: it must be whole and alone. */
export function treeOf(bytes: Buffer, limits: Partial<XmlLimits> = {}): XmlElement {
  const parser = XmlParser.continueFrom(scope, rootName, limits)
  parser.push(bytes)
  const event = parser.next()
  if (event?.kind !== "element" || event.bytes !== bytes.length) throw new Error("the cutter's stanza is not one element")
  return event.element
}

export function readByCutter(
  chunks: readonly Buffer[],
  limits: Partial<XmlLimits> = {},
  inspect: (view: StanzaView, tree: XmlElement) => void = () => undefined,
): Read {
  const events: (XmlElement | string)[] = []
  let raw = 0
  const cutter = new Cutter({
    scope,
    rootName,
    limits,
    handler: {
      stanza(view) {
        const tree = treeOf(Buffer.from(view.bytes.subarray(view.start, view.end)), limits)
        raw += 1
        events.push(tree)
        inspect(view, tree)
      },
      tree: (element) => events.push(element),
      closeTag: () => events.push("close"),
      failed: (error) => events.push(error.condition),
    },
  })
  for (const chunk of chunks) {
    cutter.push(chunk)
    // The chunk belongs to the caller again: nothing may depend on it.
    chunk.fill(0x21)
  }
  return { events, raw }
}
