// Stream headers, both halves (RFC 6120 4.7, 4.8; CORE-10 to CORE-20).
import { ProtocolError } from "../model/errors.ts"
import { type ContentNamespace, ns } from "../model/namespaces.ts"
import { attr, type XmlElement } from "../xml/element.ts"
import { escapeAttribute } from "../xml/serialise.ts"

export interface StreamHeader {
  /** As the peer wrote it; not yet a domain. */
  readonly from: string | undefined
  readonly to: string | undefined
  readonly id: string | undefined
  /** Absent means 0.9: no features follow (CORE-16). */
  readonly version: { readonly major: number; readonly minor: number } | undefined
  readonly lang: string
  /** The dialback namespace is declared: traditional support (DB-02). */
  readonly dialbackDeclared: boolean
}

export interface HeaderFields {
  readonly content: ContentNamespace
  readonly from?: string
  readonly to?: string
  readonly id?: string
  /** False for a peer of version 0.9: no version, no features (CORE-16). */
  readonly version?: boolean
  /** False where white space may stand before it: then no XML declaration may (XML 1.0 2.8). */
  readonly declaration?: boolean
}

/** The XML declaration and the header; `stream:` and `db:` are always our prefixes (CORE-11, CORE-20, DB-01). */
export function headerXml(fields: HeaderFields): string {
  const write = (name: string, value: string | undefined) => (value === undefined ? "" : ` ${name}='${escapeAttribute(value)}'`)
  const dialback = fields.content === ns.server ? ` xmlns:db='${ns.dialback}'` : ""
  const version = fields.version === false ? "" : " version='1.0'"
  const declaration = fields.declaration === false ? "" : "<?xml version='1.0'?>"
  return `${declaration}<stream:stream xmlns='${fields.content}' xmlns:stream='${ns.streams}'${dialback}${write("from", fields.from)}${write("to", fields.to)}${write("id", fields.id)}${version} xml:lang='en'>`
}

/**
 * Reads a header by namespace, not by prefix (CORE-11).
 *
 * @throws ProtocolError invalid-namespace, bad-format or unsupported-version
 */
export function readHeader(root: XmlElement, content: ContentNamespace): StreamHeader {
  if (root.ns !== ns.streams) throw new ProtocolError("invalid-namespace", `the stream's namespace is ${JSON.stringify(root.ns)}`)
  if (root.name !== "stream") throw new ProtocolError("bad-format", `the root element is ${JSON.stringify(root.name)}`)
  const fallback = root.declarations.find(([prefix]) => prefix === "")?.[1]
  // With the stream namespace as default, stanzas name their own namespace each (RFC 6120 4.8.5, second example).
  if (fallback !== content && fallback !== ns.streams) {
    throw new ProtocolError("invalid-namespace", `the content namespace is ${JSON.stringify(fallback ?? "")}, wanted ${content}`)
  }
  const written = attr(root, "version")
  return {
    from: attr(root, "from"),
    to: attr(root, "to"),
    id: attr(root, "id"),
    version: written === undefined ? undefined : readVersion(written),
    lang: root.attributes.find((attribute) => attribute.prefix === "xml" && attribute.name === "lang")?.value ?? "",
    dialbackDeclared: root.declarations.some(([, uri]) => uri === ns.dialback),
  }
}

/** CORE-16: compared by number, part by part; leading zeros are ignored; a higher major version is refused. */
function readVersion(written: string): { major: number; minor: number } | undefined {
  const match = /^(\d{1,9})\.(\d{1,9})$/.exec(written)
  if (match === null) throw new ProtocolError("unsupported-version", `version ${JSON.stringify(written)}`)
  const major = Number(match[1])
  const minor = Number(match[2])
  if (major > 1) throw new ProtocolError("unsupported-version", `version ${JSON.stringify(written)}`)
  return major === 0 ? undefined : { major, minor }
}
