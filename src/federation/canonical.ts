// Stanzas whose domains are not written in canonical form: rewritten, so that components see A-labels only (security.md 23).
import { tryDomain } from "../model/domain.ts"
import type { StanzaView } from "../stream/relay.ts"
import type { XmlElement } from "../xml/element.ts"
import { XmlParser } from "../xml/parser.ts"

function canonicalAddress(address: string): string {
  const slash = address.indexOf("/")
  const bare = slash < 0 ? address : address.slice(0, slash)
  const resource = slash < 0 ? "" : address.slice(slash)
  const at = bare.indexOf("@")
  const domain = tryDomain(at < 0 ? bare : bare.slice(at + 1))
  return domain === undefined ? address : `${at < 0 ? "" : bare.slice(0, at + 1)}${domain}${resource}`
}

/**
 * The stanza with both domains in canonical form.
 *
 * @param content the content namespace of the stream it came from
 */
export function withCanonicalDomains(stanza: StanzaView | XmlElement, content: string): XmlElement {
  const element = "raw" in stanza ? parseView(stanza, content) : stanza
  return {
    ...element,
    attributes: element.attributes.map((attribute) =>
      attribute.ns === "" && (attribute.name === "from" || attribute.name === "to") ? { ...attribute, value: canonicalAddress(attribute.value) } : attribute,
    ),
  }
}

/** The tree of a stanza that was read as bytes. */
export function parseView(view: StanzaView, content: string): XmlElement {
  const parser = XmlParser.continueFrom([["", content]], "stream", {})
  if (view.insert === undefined) parser.push(view.bytes.subarray(view.start, view.end))
  else {
    parser.push(view.bytes.subarray(view.start, view.insertAt))
    parser.push(view.insert)
    parser.push(view.bytes.subarray(view.insertAt, view.end))
  }
  const event = parser.next()
  if (event?.kind !== "element") throw new Error("the cutter let something pass that the parser does not read as a stanza")
  return event.element
}
