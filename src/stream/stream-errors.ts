// Stream errors (RFC 6120 4.9): the one place that decides what a peer may be told.
import { type ProtocolError, StreamClosed, type StreamErrorCondition } from "../model/errors.ts"
import { ns } from "../model/namespaces.ts"
import type { XmlElement } from "../xml/element.ts"
import { text } from "../xml/element.ts"
import { escapeText } from "../xml/serialise.ts"

/** The longest text of ours or of a peer's that is passed on, in characters. */
const textLimit = 500

/**
 * `<stream:error>` and the closing tag; the stream is over after it (4.9.1.1).
 *
 * @param application one element of another specification that says more (4.9.4)
 */
export function streamErrorXml(condition: StreamErrorCondition, tell?: string, application = ""): string {
  const words = tell === undefined ? "" : `<text xmlns='${ns.streamErrors}' xml:lang='en'>${escapeText(tell.slice(0, textLimit))}</text>`
  return `<stream:error><${condition} xmlns='${ns.streamErrors}'/>${words}${application}</stream:error></stream:stream>`
}

/** What we say of our own failure: the condition and only words written for the peer. */
export function toldTo(error: ProtocolError): { condition: StreamErrorCondition; tell: string | undefined; application: string | undefined } {
  return { condition: error.condition, tell: error.tell, application: error.application }
}

export function isStreamError(element: XmlElement): boolean {
  return element.ns === ns.streams && element.name === "error"
}

/** Reads a peer's stream error; an unknown or missing condition is undefined-condition (4.9.2). */
export function readStreamError(element: XmlElement): StreamClosed {
  let condition = "undefined-condition"
  let words: string | undefined
  for (const node of element.children) {
    if (typeof node === "string" || node.ns !== ns.streamErrors) continue
    if (node.name === "text") words = text(node).slice(0, textLimit)
    else condition = node.name
  }
  // RFC 3920 names that old servers still send.
  if (condition === "xml-not-well-formed") condition = "not-well-formed"
  const said = words === undefined ? condition : `${condition}: ${words}`
  return new StreamClosed(`the peer ended the stream with ${said}`, { condition, ...(words === undefined ? {} : { text: words }) })
}
