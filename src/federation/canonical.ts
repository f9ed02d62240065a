// Stanzas whose domains are not written in canonical form: rewritten, so that components see A-labels only (security.md 23).
import { domainTextOfJid, tryDomain } from "../model/domain.ts"
import type { StanzaView } from "../stream/relay.ts"
import type { XmlElement } from "../xml/element.ts"
import { XmlParser } from "../xml/parser.ts"

function canonicalAddress(address: string): string {
  const written = domainTextOfJid(address)
  const domain = tryDomain(written)
  if (domain === undefined) return address
  const slash = address.indexOf("/")
  const end = slash < 0 ? address.length : slash
  return `${address.slice(0, end - written.length)}${domain}${address.slice(end)}`
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
  const { bytes, start, end, insert, insertAt } = view
  if (insert === undefined) return parseAccepted([bytes.subarray(start, end)], [["", content]])
  return parseAccepted([bytes.subarray(start, insertAt), insert, bytes.subarray(insertAt, end)], [["", content]])
}

/**
 * The tree of a stanza that was accepted before, under whatever limits its stream had: it is not measured a second time,
 * by others.
 *
 * @param pieces one first-level element, in order
 * @param scope the namespaces around it
 */
export function parseAccepted(pieces: readonly Uint8Array[], scope: ReadonlyArray<readonly [prefix: string, ns: string]>): XmlElement {
  const size = pieces.reduce((sum, piece) => sum + piece.length, 0)
  const parser = XmlParser.continueFrom(scope, "stream:stream", { stanzaBytes: 2 * size + 1024, depth: 1000 })
  for (const piece of pieces) parser.push(piece)
  const event = parser.next()
  if (event?.kind !== "element") throw new Error("what was accepted as a stanza does not read as one")
  return event.element
}
