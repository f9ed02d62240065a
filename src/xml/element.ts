// The XML tree of a stream header, stanza or payload, and small helpers to read and build one (RFC 6120 4.8, 8; Namespaces in XML 1.0).

/** One attribute, its namespace resolved. Unprefixed attributes have the namespace ''. */
export interface XmlAttribute {
  readonly prefix: string
  readonly ns: string
  readonly name: string
  readonly value: string
}

/** One element, its namespace resolved; adjacent text, CDATA sections and references are one string child. */
export interface XmlElement {
  readonly prefix: string
  readonly ns: string
  readonly name: string
  /** Without namespace declarations. */
  readonly attributes: readonly XmlAttribute[]
  /** Namespaces declared on this very element; the prefix '' is the default namespace. */
  readonly declarations: readonly (readonly [prefix: string, ns: string])[]
  readonly children: readonly (XmlElement | string)[]
}

/** What `element` takes as attributes: a record, or pairs; undefined values are left out. */
export type AttributeValues = Readonly<Record<string, string | undefined>> | readonly (readonly [name: string, value: string | undefined])[]

/** The namespace the prefix `xml` is always bound to (Namespaces in XML 1.0, 3). */
export const xmlNamespace = "http://www.w3.org/XML/1998/namespace"

/** The namespace of `xmlns` itself, which nothing may be bound to (Namespaces in XML 1.0, 3). */
export const xmlnsNamespace = "http://www.w3.org/2000/xmlns/"

/** The namespace of the stream element, features and stream errors (RFC 6120 4.8.1). */
export const streamNamespace = "http://etherx.jabber.org/streams"

/** Content namespaces: what stanzas are qualified by, one for each kind of stream (RFC 6120 4.8.2, XEP-0114). */
export const contentNamespaces: ReadonlySet<string> = new Set(["jabber:client", "jabber:server", "jabber:component:accept"])

/**
 * Value of an attribute, or undefined.
 * @param ns namespace of the attribute; '' (the default) means an unprefixed one
 */
export function attr(el: XmlElement, name: string, ns = ""): string | undefined {
  for (const attribute of el.attributes) if (attribute.name === name && attribute.ns === ns) return attribute.value
  return undefined
}

/** First child element of that name and namespace, or undefined. */
export function child(el: XmlElement, name: string, ns: string): XmlElement | undefined {
  for (const node of el.children) if (typeof node !== "string" && node.name === name && node.ns === ns) return node
  return undefined
}

/** All child elements, in order; text is left out. */
export function elements(el: XmlElement): XmlElement[] {
  return el.children.filter((node) => typeof node !== "string")
}

/** The element's own text, without that of its descendants. */
export function text(el: XmlElement): string {
  let joined = ""
  for (const node of el.children) if (typeof node === "string") joined += node
  return joined
}

/**
 * Builds an element without a prefix.
 * @param attributes names may be `xml:lang` and the like: only the prefix `xml` is known here
 * @throws RangeError for another prefix in an attribute name
 */
export function element(
  name: string,
  ns: string,
  attributes: AttributeValues = [],
  children: readonly (XmlElement | string)[] = [],
): XmlElement {
  const built: XmlAttribute[] = []
  const pairs = Array.isArray(attributes) ? (attributes as readonly (readonly [string, string | undefined])[]) : Object.entries(attributes)
  for (const [key, value] of pairs) {
    if (value === undefined) continue
    const colon = key.indexOf(":")
    if (colon < 0) built.push({ prefix: "", ns: "", name: key, value })
    else if (key.startsWith("xml:")) built.push({ prefix: "xml", ns: xmlNamespace, name: key.slice(4), value })
    else throw new RangeError(`attribute name with a prefix other than xml: ${key}`)
  }
  return { prefix: "", ns, name, attributes: built, declarations: [], children: children.filter((node) => node !== "") }
}
